//! The sealing keys of a policy, tag `k` [R-rec-03].

use std::fmt;
use std::str::FromStr;

use crate::core::{KeyId, SealingPublicKey, Suite, SuiteId};

use super::error::ValueError;
use super::value;

/// The selector of a key record: one label of lower-case letters, digits and inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector(Box<str>);

impl Selector {
    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Selector {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = (1..=63).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if label { Ok(Self(text.into())) } else { Err(ValueError::BadSelector) }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One sealing key of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealingEntry {
    /// The public key itself, for suites with keys of 32 octets.
    Inline(SealingPublicKey),
    /// A key record that holds the key, and the key's identifier, which authenticates it.
    Listed {
        /// The suite of the key.
        suite: Suite,
        /// The label below the policy name at which the key record stands.
        selector: Selector,
        /// The identifier that the key must have [R-key-01].
        key_id: KeyId,
    },
    /// An entry of a suite that this implementation does not know: skipped [R-suite-02].
    Unknown {
        /// The suite.
        suite: SuiteId,
        /// The entry as it stands in the record.
        entry: Box<str>,
    },
}

impl SealingEntry {
    /// The entry for a key: inline if its suite stands inline, else listed under `selector`.
    #[must_use]
    pub fn of(key: &SealingPublicKey, selector: &Selector) -> Self {
        if key.suite().is_inline() {
            Self::Inline(key.clone())
        } else {
            Self::Listed { suite: key.suite(), selector: selector.clone(), key_id: key.key_id() }
        }
    }

    /// The suite, if it is known.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        match self {
            Self::Inline(key) => Some(key.suite()),
            Self::Listed { suite, .. } => Some(*suite),
            Self::Unknown { .. } => None,
        }
    }

    /// The identifier of the key, if its suite is known.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Inline(key) => Some(key.key_id()),
            Self::Listed { key_id, .. } => Some(*key_id),
            Self::Unknown { .. } => None,
        }
    }
}

impl FromStr for SealingEntry {
    type Err = ValueError;

    fn from_str(entry: &str) -> Result<Self, Self::Err> {
        let (number, rest) = entry.split_once(':').ok_or(ValueError::BadSealingEntry)?;
        let id = suite_id(number)?;
        let (selector, text) = match rest.split_once(':') {
            Some((selector, text)) => (Some(selector.parse::<Selector>()?), text),
            None => (None, rest),
        };
        let octets = value::octets(text)?;
        if octets.is_empty() {
            return Err(ValueError::BadSealingEntry);
        }
        let Ok(suite) = Suite::try_from(id) else {
            return Ok(Self::Unknown { suite: id, entry: entry.into() });
        };
        match selector {
            None if suite.is_inline() => SealingPublicKey::from_bytes(suite, &octets)
                .map(Self::Inline)
                .map_err(|_| ValueError::BadSealingKey { suite: id.0 }),
            Some(selector) if !suite.is_inline() => Ok(Self::Listed {
                suite,
                selector,
                key_id: KeyId::from_bytes(value::exactly(octets)?),
            }),
            _ => Err(ValueError::WrongForm { suite: id.0 }),
        }
    }
}

impl fmt::Display for SealingEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(key) => {
                write!(f, "{}:{}", key.suite().id(), value::base64(key.as_bytes()))
            }
            Self::Listed { suite, selector, key_id } => {
                write!(f, "{}:{selector}:{}", suite.id(), value::base64(key_id.as_bytes()))
            }
            Self::Unknown { entry, .. } => f.write_str(entry),
        }
    }
}

/// The number of a suite: 1 to 65535 without leading zero.
pub(super) fn suite_id(text: &str) -> Result<SuiteId, ValueError> {
    let number = value::number_in(text, 1..=u64::from(u16::MAX))?;
    u16::try_from(number).map(SuiteId).map_err(|_| ValueError::OutOfRange)
}

pub(super) fn parse_entries(text: &str, most: usize) -> Result<Vec<SealingEntry>, ValueError> {
    value::list(text, most)?.into_iter().map(str::parse).collect()
}
