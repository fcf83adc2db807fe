//! The three results of the contract.

use mta_seal::gateway::Failure;
use serde_json::{Value, json};

/// The members of `done`, or why there are none.
pub(crate) type Answer = Result<Value, No>;

/// What is not `done`.
#[derive(Debug)]
pub(crate) enum No {
    /// The draft says no, at this check if the library says which.
    Refused { stage: Option<&'static str>, failure: &'static str, detail: String },
    /// This peer cannot do that.
    Unsupported(String),
}

impl No {
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (String, Value)> {
        let members = match self {
            Self::Refused { stage, failure, detail } => json!({
                "result": "refused", "stage": stage, "failure": failure, "detail": detail,
            }),
            Self::Unsupported(detail) => json!({ "result": "unsupported", "detail": detail }),
        };
        match members {
            Value::Object(members) => members.into_iter(),
            _ => serde_json::Map::new().into_iter(),
        }
    }
}

/// A refusal that is answered by a row of the draft's table.
pub(crate) fn refused(
    stage: impl Into<Option<&'static str>>,
    failure: &Failure,
    detail: impl ToString,
) -> No {
    No::Refused { stage: stage.into(), failure: failure.name(), detail: detail.to_string() }
}

/// A refusal that nobody is answered.
pub(crate) fn not_good(stage: &'static str, detail: impl ToString) -> No {
    No::Refused { stage: Some(stage), failure: "none", detail: detail.to_string() }
}

pub(crate) fn unsupported(detail: impl ToString) -> No {
    No::Unsupported(detail.to_string())
}
