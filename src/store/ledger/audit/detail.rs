//! What a row says beside its columns: one flat JSON object with sorted names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{MAX_DETAIL_TEXT, MAX_DETAILS, cut};

/// Names with texts and numbers. Texts longer than [`MAX_DETAIL_TEXT`] are cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail(BTreeMap<String, Value>);

impl Detail {
    /// The same with one more; the first [`MAX_DETAILS`] stay.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) if text.len() > MAX_DETAIL_TEXT => {
                Value::String(cut(&text, MAX_DETAIL_TEXT).to_owned())
            }
            value => value,
        };
        if self.0.len() < MAX_DETAILS {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// The same with one more, if there is one.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The text with this name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The number with this name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// As it stands in the ledger.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_else(|_| "{}".to_owned())
    }

    /// From what stands in the ledger; `None` if it is no JSON object.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).map(Self).ok()
    }
}
