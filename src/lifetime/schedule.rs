//! How long keys and policies live.

use crate::records::CLOCK_TOLERANCE;

/// How long a signing key stays listed after its last use, in seconds: the greatest window, 30 days [R-life-06].
pub const LISTED_AFTER_USE: u64 = *crate::records::WINDOW.end();

/// The lengths that an operator chooses, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How long a sealing key is listed before another takes its place. Default 7 days.
    pub sealing: u64,
    /// How long a signing key signs. Default 30 days.
    pub signing: u64,
    /// How long a policy is signed for. Default 30 days.
    pub policy: u64,
    /// When a policy is signed anew, though nothing in it changes. Default 7 days.
    pub sign: u64,
    /// How long before its time a key is made and its record published. Default 2 days.
    pub ahead: u64,
    /// With how much left of the policy an operator is told that it ends. Default 14 days.
    pub warn: u64,
}

/// Time after which a gateway is taken to have a new key of its keyring, in seconds.
const TAKEN_UP: u64 = 60;

impl Default for Schedule {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            sealing: 7 * DAY,
            signing: 30 * DAY,
            policy: 30 * DAY,
            sign: 7 * DAY,
            ahead: 2 * DAY,
            warn: 14 * DAY,
        }
    }
}

/// Lengths that do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A length is zero.
    #[error("`{0}` must be longer than nothing")]
    Zero(&'static str),
    /// The one must be shorter than the other.
    #[error("`{shorter}` must be shorter than `{longer}`")]
    Order {
        /// The setting that is too long.
        shorter: &'static str,
        /// What it must be below.
        longer: &'static str,
    },
    /// More keys would be listed at once than a policy may list.
    #[error(
        "`signing` is so short that more than 8 signing keys would be listed at once; the least is {least} s"
    )]
    Signing {
        /// Least length in seconds.
        least: u64,
    },
}

impl Schedule {
    /// Refuses lengths with which a domain would be without a key or a policy.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`], with the names of the settings.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let named = [
            ("sealing", self.sealing),
            ("signing", self.signing),
            ("policy", self.policy),
            ("sign", self.sign),
            ("ahead", self.ahead),
        ];
        if let Some((name, _)) = named.iter().find(|(_, length)| *length == 0) {
            return Err(ScheduleError::Zero(name));
        }
        let order = [
            (("sign", self.sign), ("policy", self.policy)),
            (("ahead", self.ahead), ("sealing", self.sealing)),
            (("ahead", self.ahead), ("signing", self.signing)),
            (("warn", self.warn), ("policy", self.policy)),
        ];
        for ((shorter, a), (longer, b)) in order {
            if a >= b {
                return Err(ScheduleError::Order { shorter, longer });
            }
        }
        // One signs, one follows, and the former ones stay listed.
        let room = crate::records::MAX_KEYS as u64 - 2;
        let least = LISTED_AFTER_USE.div_ceil(room);
        if self.signing < least {
            return Err(ScheduleError::Signing { least });
        }
        Ok(())
    }

    /// From when on a key made at `made` that needs no record may be listed: never in the visit that makes it, since the gateway takes it
    /// up only at the end of that [R-life-02].
    #[must_use]
    pub fn takes_up(&self, made: u64) -> u64 {
        // No later than a successor counts as late.
        made.saturating_add(TAKEN_UP.min(self.ahead.div_ceil(2)))
    }

    /// When the private key of a policy's sealing key may be destroyed: senders stop at the policy's expiry, messages may be
    /// `window` old when they arrive, and clocks may differ [R-life-04].
    #[must_use]
    pub fn opens_until(expiry: u64, window: u64) -> u64 {
        expiry.saturating_add(window).saturating_add(CLOCK_TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_go_together() {
        assert_eq!(Schedule::default().check(), Ok(()));
    }

    #[test]
    fn what_leaves_a_gap_is_refused() {
        let usual = Schedule::default();
        let refused = |schedule: Schedule| schedule.check().is_err();
        assert!(refused(Schedule { sign: usual.policy, ..usual }));
        assert!(refused(Schedule { ahead: usual.sealing, ..usual }));
        assert!(refused(Schedule { ahead: usual.signing, ..usual }));
        assert!(refused(Schedule { warn: usual.policy, ..usual }));
        assert!(refused(Schedule { sealing: 0, ..usual }));
        assert!(refused(Schedule { signing: 4 * 86_400, ..usual }));
    }
}
