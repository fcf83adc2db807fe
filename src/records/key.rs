//! The key record: a sealing key too large for the policy [R-rec-07].

use std::fmt;

use crate::core::{Domain, KeyId, SealingPublicKey, Suite};

use super::error::{RecordError, ValueError};
use super::sealing::{Selector, suite_id};
use super::tags::TagList;
use super::value;

/// The version tag that begins a key record.
pub(super) const KEY_VERSION: &str = "v=MTASEALKEY1";
/// Most octets of a key record.
pub const MAX_KEY_RECORD: usize = 4096;

/// A key record. It is unsigned: only the key id in a policy authenticates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    key: SealingPublicKey,
}

impl KeyRecord {
    /// The record that publishes `key`.
    #[must_use]
    pub fn new(key: SealingPublicKey) -> Self {
        Self { key }
    }

    /// Reads the text of one key record, its strings joined.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        let tags = TagList::parse(text, KEY_VERSION, MAX_KEY_RECORD)?;
        let at = RecordError::at;
        let id = suite_id(tags.require("k")?).map_err(at("k"))?;
        let octets = value::octets(tags.require("p")?).map_err(at("p"))?;
        let suite =
            Suite::try_from(id).map_err(|id| at("k")(ValueError::UnknownSuite { suite: id.0 }))?;
        let key = SealingPublicKey::from_bytes(suite, &octets)
            .map_err(|_| at("p")(ValueError::BadSealingKey { suite: id.0 }))?;
        Ok(Self { key })
    }

    /// The key, if it is the one that a policy lists: same suite, same identifier.
    #[must_use]
    pub fn authenticate(self, suite: Suite, key_id: &KeyId) -> Option<SealingPublicKey> {
        (self.key.suite() == suite && self.key.key_id() == *key_id).then_some(self.key)
    }

    /// The key, on nobody's authority yet.
    #[must_use]
    pub fn unverified(&self) -> &SealingPublicKey {
        &self.key
    }
}

impl fmt::Display for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{KEY_VERSION}; k={}; p={}",
            self.key.suite().id(),
            value::base64(self.key.as_bytes())
        )
    }
}

/// The name at which the key record with this selector is published, without trailing dot.
#[must_use]
pub fn key_record_name(selector: &Selector, domain: &Domain) -> String {
    format!("{selector}.{}", super::policy_name(domain))
}
