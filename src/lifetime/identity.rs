//! The succession of identity keys, and how long the former one is needed [R-life-10].

use serde::{Deserialize, Serialize};

use crate::core::KeyId;
use crate::records::{CLOCK_TOLERANCE, VerifiedPolicy};

use super::book::{Book, as_text};

/// The identity key of a domain, and the one that it has succeeded. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Fingerprint of the key that signs.
    #[serde(default, with = "as_text::option", skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The successor that its latest policy announces.
    #[serde(default, with = "as_text::option", skip_serializing_if = "Option::is_none")]
    pub next: Option<KeyId>,
    /// The latest expiry of all policies that it has signed.
    #[serde(default)]
    pub expiry: u64,
    /// The greatest `max_age` among them.
    #[serde(default)]
    pub max_age: u64,
    /// How it came after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<Succession>,
}

/// What shows partners that an identity key succeeds the one that they remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// A statement of the former key, in every policy until the rollover ends.
    Statement,
    /// The policies of the former key have announced it.
    Announced,
    /// Nothing: the former key is lost.
    Nothing,
}

/// A rollover of the identity key. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// Fingerprint of the former key.
    #[serde(with = "as_text")]
    pub former: KeyId,
    /// What shows it.
    pub proof: Proof,
    /// When the first policy of the new key was put into the keyring.
    pub since: u64,
    /// The latest expiry of all policies that the former key has signed.
    pub expiry: u64,
    /// The greatest `max_age` among them.
    pub max_age: u64,
    /// From when on everybody sees that first policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// When it ended: nobody remembers the former key any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// When the private part of the former key was destroyed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<u64>,
    /// Whether that is in the audit trail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noted: bool,
}

impl Succession {
    /// One that begins at `since`; expiry and `max_age` are the greatest of the former key's policies.
    fn begun(former: KeyId, proof: Proof, since: u64, (expiry, max_age): (u64, u64)) -> Self {
        Self {
            former,
            proof,
            since,
            expiry,
            max_age,
            ready: None,
            ended: None,
            destroyed: None,
            noted: false,
        }
    }

    /// Whether somebody may still remember the former key.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.ended.is_none()
    }

    /// When it ends; none as long as the first policy of the new key has not been seen everywhere.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.ready.map(|ready| self.end_if_seen(ready))
    }

    /// When it ends if that policy is seen everywhere at `ready`: the last one who saw the former key did so just before, and
    /// remembers it for `max_age`, or until the last of its policies expires [R-dec-11].
    #[must_use]
    pub fn end_if_seen(&self, ready: u64) -> u64 {
        ready.saturating_add(self.max_age).max(self.expiry).saturating_add(CLOCK_TOLERANCE)
    }
}

impl Book {
    /// Enters whose policy is in the keyring, and how that key came after the one before.
    pub fn identify(&mut self, policy: &VerifiedPolicy, now: u64) {
        let record = policy.record();
        let key = policy.identity().fingerprint();
        let before = &self.identity;
        let stated = record.rollover.as_ref().and_then(|statement| {
            let former = statement.former()?;
            policy.succeeds(&former, None, record.serial).then(|| former.fingerprint())
        });
        let succession = match before.key {
            Some(former) if former != key => {
                let proof = match () {
                    () if stated == Some(former) => Proof::Statement,
                    () if before.next == Some(key) => Proof::Announced,
                    () => Proof::Nothing,
                };
                Some(Succession::begun(former, proof, now, (before.expiry, before.max_age)))
            }
            Some(_) => return,
            // The book was lost: too long rather than too short.
            None => stated.map(|former| {
                let lasts = (record.expiry.max(now), record.max_age);
                Succession::begun(former, Proof::Statement, now, lasts)
            }),
        };
        self.identity = Identity { key: Some(key), succession, ..Identity::default() };
    }

    /// The rollover that lasts, if one does.
    #[must_use]
    pub fn rollover(&self) -> Option<&Succession> {
        self.identity.succession.as_ref().filter(|succession| succession.lasts())
    }

    /// Notes that the rollover is over, and whether the former key was destroyed here.
    pub fn end_rollover(&mut self, destroyed: bool, now: u64) {
        if let Some(succession) = &mut self.identity.succession {
            succession.ended.get_or_insert(now);
            succession.destroyed = destroyed.then_some(now);
        }
    }
}
