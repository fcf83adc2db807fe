//! Which of a policy's sealing keys is used.

use crate::core::{KeyId, SealingPublicKey, Suite};
use crate::records::{SealingEntry, Selector, VerifiedPolicy};

use super::FetchedKey;

/// Most key records looked up for one message and domain [R-dns-01].
pub const MAX_KEY_LOOKUPS: usize = 2;

/// Why a sealing key that a policy names cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyFailure {
    /// All keys are of suites unknown here, or there is none.
    #[error("the policy lists no key of a known suite")]
    NoUsableSuite,
    /// There is no key record at the selector.
    #[error("the key record is missing")]
    Missing,
    /// The key record could not be looked up: SERVFAIL, timeout, bogus, aliases.
    #[error("the key record cannot be looked up")]
    Unreachable,
    /// The key record breaks its grammar or limits, or there are two.
    #[error("the key record is malformed")]
    Malformed,
    /// The key is not the one that the policy lists.
    #[error("the key record does not hold the key that the policy lists")]
    Mismatch,
}

impl KeyFailure {
    /// All failures.
    pub const ALL: [Self; 5] =
        [Self::NoUsableSuite, Self::Missing, Self::Unreachable, Self::Malformed, Self::Mismatch];

    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoUsableSuite => "key-no-suite",
            Self::Missing => "key-missing",
            Self::Unreachable => "key-unreachable",
            Self::Malformed => "key-malformed",
            Self::Mismatch => "key-mismatch",
        }
    }
}

/// A key record that a sender needs to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedKey {
    /// Where the record stands.
    pub selector: Selector,
    /// The suite of the key.
    pub suite: Suite,
    /// The identifier of the key.
    pub key_id: KeyId,
}

/// The key records worth looking up for a policy: those preferred to the first key at hand, that
/// is one in the policy itself or the one `remembered`; at most [`MAX_KEY_LOOKUPS`].
#[must_use]
pub fn wanted_keys(
    policy: &VerifiedPolicy,
    remembered: Option<&SealingPublicKey>,
) -> Vec<WantedKey> {
    let listed = |entry: &SealingEntry| match entry {
        SealingEntry::Listed { suite, selector, key_id }
            if remembered.is_none_or(|key| key.key_id() != *key_id) =>
        {
            Some(WantedKey { selector: selector.clone(), suite: *suite, key_id: *key_id })
        }
        _ => None,
    };
    candidates(policy).map_while(listed).take(MAX_KEY_LOOKUPS).collect()
}

/// The key to seal to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The most preferred key that can be had.
    pub(super) key: Result<SealingPublicKey, KeyFailure>,
    /// Why a key preferred to it cannot.
    pub(super) preferred: Option<KeyFailure>,
}

/// Chooses among a policy's keys in its order of preference [R-dec-15]. A key of a key record counts only if
/// suite and identifier are those of the policy; a remembered key serves wherever the policy
/// still lists its identifier [R-dec-13].
pub(super) fn choose(
    policy: &VerifiedPolicy,
    fetched: &[FetchedKey],
    remembered: Option<&SealingPublicKey>,
) -> Choice {
    let mut failure = None;
    for entry in candidates(policy) {
        match obtain(entry, fetched, remembered) {
            Ok(key) => {
                return Choice { key: Ok(key), preferred: failure };
            }
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    Choice { key: Err(failure.unwrap_or(KeyFailure::NoUsableSuite)), preferred: None }
}

fn obtain(
    entry: &SealingEntry,
    fetched: &[FetchedKey],
    remembered: Option<&SealingPublicKey>,
) -> Result<SealingPublicKey, KeyFailure> {
    match entry {
        SealingEntry::Inline(key) => Ok(key.clone()),
        SealingEntry::Unknown { .. } => Err(KeyFailure::NoUsableSuite),
        SealingEntry::Listed { suite, selector, key_id } => {
            if let Some(key) = remembered.filter(|key| key.key_id() == *key_id) {
                return Ok(key.clone());
            }
            let record = fetched
                .iter()
                .find(|fetched| fetched.selector == *selector)
                .map_or(Err(KeyFailure::Unreachable), |f| f.record.clone())?;
            record.authenticate(*suite, key_id).ok_or(KeyFailure::Mismatch)
        }
    }
}

/// The first entry of each known suite, in order of preference [R-rec-03].
fn candidates(policy: &VerifiedPolicy) -> impl Iterator<Item = &SealingEntry> {
    let entries = &policy.record().sealing_keys;
    entries.iter().enumerate().filter_map(|(at, entry)| {
        let suite = entry.suite()?;
        let first = !entries[..at].iter().any(|e| e.suite() == Some(suite));
        first.then_some(entry)
    })
}
