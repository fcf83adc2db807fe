//! Senders whose clear mail comes one recipient at a time.
//!
//! Clear mail that comes over SMTP and goes on over LMTP may be accepted for one recipient and refused for good for
//! another. There is one reply for both, and no notice may go to a sender that anybody can forge. The message is then
//! refused for now, and from then on this sender has one recipient in a transaction: the retry learns of each what the
//! ledger knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::core::address::ReversePath;

/// Most senders that are kept; the one that was told first goes first.
const MAX_SENDERS: usize = 1024;

/// How long a sender is kept, in seconds: longer than MTAs wait between two attempts.
const KEPT: u64 = 24 * 3600;

/// Reverse-paths, and until when they have one recipient in a transaction.
#[derive(Debug, Default)]
pub(in crate::gateway) struct OneByOne(Mutex<BTreeMap<ReversePath, u64>>);

impl OneByOne {
    /// Begins to treat a sender so.
    pub(super) fn insert(&self, sender: &ReversePath, now: u64) {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|_, until| *until > now);
        if senders.len() >= MAX_SENDERS
            && let Some(first) = senders.iter().min_by_key(|(_, until)| **until)
        {
            let first = first.0.clone();
            senders.remove(&first);
        }
        senders.insert(sender.clone(), now.saturating_add(KEPT));
    }

    /// Whether a sender is treated so.
    pub(super) fn contains(&self, sender: &ReversePath, now: u64) -> bool {
        let senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.get(sender).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn senders_are_kept_for_a_day_and_in_bounds() {
        let path = |n: usize| ReversePath::parse(&format!("<u{n}@a.example>")).unwrap();
        let senders = OneByOne::default();
        for n in 0..=MAX_SENDERS {
            senders.insert(&path(n), n as u64);
        }
        let now = MAX_SENDERS as u64;
        assert!(!senders.contains(&path(0), now), "the first one had to go");
        assert!(senders.contains(&path(1), now) && senders.contains(&path(MAX_SENDERS), now));
        assert!(!senders.contains(&path(1), KEPT + 1));
    }
}
