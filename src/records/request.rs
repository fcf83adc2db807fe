//! What is to be signed by an identity key that is kept elsewhere: policies without their signatures [R-life-13].
//!
//! ~~~ text
//! # mta-seal policy request: there is no secret in it
//! domain: company1.example
//! former: <fingerprint of the identity key whose statement the policies should carry>
//! policy: v=MTASEAL1; m=testing; n=...; ...
//! ~~~

use std::fmt;
use std::str::FromStr;

use super::error::{DraftError, RecordError};
use super::policy::PolicyDraft;
use super::rollover::Rollover;
use crate::core::{Domain, IdentityKey, IdentityPublicKey, KeyId};

/// Policies that are to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRequest {
    /// Whose.
    pub domain: Domain,
    /// The identity key that has signed the policy in force.
    pub identity: IdentityPublicKey,
    /// The identity key that it has succeeded, if everybody has to be told still.
    pub former: Option<KeyId>,
    /// The policies, by their serials.
    pub drafts: Vec<PolicyDraft>,
}

/// Why a text is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A line is none of a request.
    #[error("line {0} is none of a policy request")]
    Line(usize),
    /// A line is missing.
    #[error("no line `{0}:`")]
    Missing(&'static str),
    /// A policy is malformed.
    #[error("line {line}: {error}")]
    Policy {
        /// Number of the line.
        line: usize,
        /// What is wrong.
        error: RecordError,
    },
    /// It says something that would not be signed.
    #[error("line {0}: the policy is not written as mta-seal writes it")]
    Written(usize),
    /// They are of several identity keys, or their serials do not rise.
    #[error("line {0}: the policy does not follow the one before")]
    Order(usize),
}

impl PolicyRequest {
    /// Signs all of them with `identity`; each with a statement of `former` of its own, if there is one [R-life-11].
    ///
    /// # Errors
    ///
    /// One makes no valid policy.
    pub fn sign(
        &self,
        identity: &IdentityKey,
        former: Option<&IdentityKey>,
    ) -> Result<Vec<String>, DraftError> {
        let own = identity.fingerprint();
        let sign = |draft: &PolicyDraft| {
            let rollover = former.and_then(|former| {
                let new = identity.public();
                Rollover::sign(former, &self.domain, new, draft.serial, draft.expiry)
            });
            // What was announced has come.
            let next_identity = draft.next_identity.filter(|next| *next != own);
            let draft = PolicyDraft { rollover, next_identity, ..draft.clone() };
            draft.sign(&self.domain, identity)
        };
        self.drafts.iter().map(sign).collect()
    }
}

impl FromStr for PolicyRequest {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut domain, mut former, mut identity) = (None, None, None);
        let mut drafts: Vec<PolicyDraft> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let unknown = RequestError::Line(number);
            match line.split_once(": ") {
                Some(("domain", value)) if domain.is_none() => {
                    domain = Some(Domain::parse(value).map_err(|_| unknown)?);
                }
                Some(("former", value)) if former.is_none() => {
                    former = Some(value.parse().map_err(|_| unknown)?);
                }
                Some(("policy", value)) => {
                    let (draft, key) = PolicyDraft::parse_unsigned(value)
                        .map_err(|error| RequestError::Policy { line: number, error })?;
                    // Nothing is signed that was not shown.
                    if draft.unsigned(&key) != format!("{value} ") {
                        return Err(RequestError::Written(number));
                    }
                    let rises = drafts.last().is_none_or(|before| before.serial < draft.serial);
                    if !rises || identity.get_or_insert_with(|| key.clone()) != &key {
                        return Err(RequestError::Order(number));
                    }
                    drafts.push(draft);
                }
                _ => return Err(unknown),
            }
        }
        Ok(Self {
            domain: domain.ok_or(RequestError::Missing("domain"))?,
            identity: identity.ok_or(RequestError::Missing("policy"))?,
            former,
            drafts,
        })
    }
}

impl fmt::Display for PolicyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# mta-seal policy request: there is no secret in it")?;
        writeln!(f, "domain: {}", self.domain)?;
        if let Some(former) = &self.former {
            writeln!(f, "former: {former}")?;
        }
        for draft in &self.drafts {
            let draft = PolicyDraft { rollover: None, ..draft.clone() };
            writeln!(f, "policy: {}", draft.unsigned(&self.identity).trim_end())?;
        }
        Ok(())
    }
}
