//! A bound on what strangers can put into the audit trail: whoever is refused again and again fills no disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Events at once.
const BURST: u64 = 1_000;

/// Events per second in the long run.
const RATE: u64 = 5;

/// The reason of the event that says how many are missing.
pub(in crate::gateway) const FLOOD: &str = "too-many-from-outside";

/// A token bucket for events about mail from outside that nobody took.
#[derive(Debug)]
pub(in crate::gateway) struct Strangers(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: u64,
    /// Unix seconds.
    filled: u64,
    dropped: u64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self(Mutex::new(Bucket { left: BURST, filled: 0, dropped: 0 }))
    }
}

impl Strangers {
    /// Whether there is room for one more at `now`; then also how many had none before.
    pub(in crate::gateway) fn admit(&self, now: u64) -> Option<u64> {
        let mut bucket = self.lock();
        let seconds = now.saturating_sub(bucket.filled);
        bucket.filled = bucket.filled.max(now);
        bucket.left = bucket.left.saturating_add(seconds.saturating_mul(RATE)).min(BURST);
        if bucket.left == 0 {
            bucket.dropped += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.dropped))
    }

    /// How many had no room since it was last said.
    pub(in crate::gateway) fn dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_count_of_what_is_missing() {
        let strangers = Strangers::default();
        let admitted = (0..BURST + 7).filter(|_| strangers.admit(100).is_some()).count();
        assert_eq!(admitted as u64, BURST);
        assert_eq!(strangers.admit(101), Some(7));
        assert_eq!(strangers.admit(101), Some(0));
        assert_eq!(strangers.dropped(), 0);
        // A clock that goes back gives nothing away.
        let admitted = (0..RATE).filter(|_| strangers.admit(50).is_some()).count();
        assert_eq!(admitted as u64, RATE - 2);
        assert_eq!(strangers.admit(101), None);
        assert_eq!(strangers.dropped(), 3);
    }
}
