//! The five states of a key.

use std::fmt;

use crate::records::PolicyRecord;

use super::book::Life;

/// Where a key is in its life [R-life-01].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It exists; what must be seen before it is used is not yet seen everywhere, or not for long enough.
    Prepared,
    /// Everybody can see that, and it may be used.
    Published,
    /// The policy lists it, as the first of the signing keys if it is one.
    Active,
    /// Another has taken its place; mail that needs it may still be on the way.
    Retiring,
    /// Its private part is gone.
    Destroyed,
}

impl State {
    /// All states in their order.
    pub const ALL: [Self; 5] =
        [Self::Prepared, Self::Published, Self::Active, Self::Retiring, Self::Destroyed];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Published => "published",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Destroyed => "destroyed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Life {
    /// The state under this policy, which is the one in the keyring.
    #[must_use]
    pub fn state(&self, policy: &PolicyRecord, now: u64) -> State {
        if self.destroyed.is_some() {
            State::Destroyed
        } else if self.is_used_by(policy) {
            State::Active
        } else if self.from.is_some() || self.revoked.is_some() {
            State::Retiring
        } else if self.is_ready(now) {
            State::Published
        } else {
            State::Prepared
        }
    }
}
