//! What a gateway remembers of a domain, and for how long [R-dec-09] to [R-dec-12].

use crate::core::{Domain, IdentityPublicKey, KeyId, SealingPublicKey};
use crate::records::{Mode, Validity, VerifiedPolicy};

use super::Level;

/// How long, in seconds, a first answer that nothing vouches for is held: 48 hours.
pub const FIRST_HOLD: u64 = 172_800;
/// Least time in seconds between two observations that both lengthen the hold: 24 hours.
pub const OBSERVATION_GAP: u64 = 86_400;

/// A memory is not written again for less than this many seconds of a later last observation: one
/// hour.
const REFRESH: u64 = 3600;

/// How long a memory lasts after the last observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// As long as the domain asks: until its policy expires, and `max_age` for `enforce`.
    Firm,
    /// Not longer than this, since it began with an answer that nothing vouches for.
    Growing {
        /// Length in seconds.
        seconds: u64,
        /// When it was last lengthened, seconds since 1970.
        counted_at: u64,
    },
}

/// What is remembered of one domain, for one direction: looking up a sender never makes memory for sending to it, or an
/// attacker could choose the moment of first use [R-dec-12]. Times are seconds since 1970.
///
/// The policy is stored as its text and verified again when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The policy with the highest serial; its identity key is the one that is believed.
    pub policy: VerifiedPolicy,
    /// The sealing key last chosen, listed by `policy`.
    pub key: Option<SealingPublicKey>,
    /// The level at which `policy` was learned; never [`Level::Pinned`], which is the operator's
    /// to give and to take.
    pub level: Level,
    /// How long the memory lasts.
    pub hold: Hold,
    /// The pinned fingerprint that the identity key has, or descends from by rollovers.
    pub pinned_root: Option<KeyId>,
    /// When the identity key, or the one it succeeded, was first seen.
    pub first_seen: u64,
    /// When `policy` was last seen.
    pub last_seen: u64,
    /// Until when clear mail is forbidden, if the domain has asked for `enforce`.
    pub enforce_until: Option<u64>,
}

/// What to do with the memory after a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryUpdate {
    /// Leave it as it is.
    Keep,
    /// Replace it; it should be durable before mail is sent on the strength of it [R-dec-09].
    Store(Box<Memory>),
}

impl Memory {
    /// The identity key that is believed.
    #[must_use]
    pub fn identity(&self) -> &IdentityPublicKey {
        self.policy.identity()
    }

    /// The highest serial seen under this identity.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.policy.record().serial
    }

    /// The first second at which the remembered policy and its keys are no longer used.
    #[must_use]
    pub fn policy_until(&self) -> u64 {
        let expiry = self.policy.record().expiry;
        match self.hold {
            Hold::Firm => expiry,
            Hold::Growing { seconds, .. } => expiry.min(self.last_seen.saturating_add(seconds)),
        }
    }

    /// The first second at which nothing is left of the memory, so that it can be deleted.
    #[must_use]
    pub fn until(&self) -> u64 {
        let identity =
            self.last_seen.saturating_add(length(self.hold, self.policy.record().max_age));
        identity.max(self.policy_until()).max(self.enforce_until.unwrap_or(0))
    }

    /// Whether clear mail is forbidden at `now`.
    #[must_use]
    pub fn enforces(&self, now: u64) -> bool {
        self.enforce_until.is_some_and(|until| now < until)
    }

    /// The remembered policy, if it may still be acted upon at `now`.
    #[must_use]
    pub fn policy_at(&self, now: u64) -> Option<&VerifiedPolicy> {
        let usable = now < self.policy_until() && self.policy.validity(now) == Validity::InForce;
        usable.then_some(&self.policy)
    }

    /// The remembered sealing key, if mail may still be sealed to it at `now` [R-dec-25].
    #[must_use]
    pub fn key_at(&self, now: u64) -> Option<&SealingPublicKey> {
        let policy = self.policy_at(now)?;
        let key = self.key.as_ref()?;
        (self.asks_for_sealing() && policy.record().lists_sealing(&key.key_id())).then_some(key)
    }

    /// Whether the remembered policy is no withdrawal.
    #[must_use]
    pub fn asks_for_sealing(&self) -> bool {
        self.policy.record().mode != Mode::None
    }

    /// The level at which the memory itself vouches for its policy [R-dec-10].
    #[must_use]
    pub fn level(&self, pin: Option<&KeyId>) -> Level {
        if pin.is_some_and(|pin| self.satisfies(pin)) {
            Level::Pinned
        } else {
            self.level.clamp(Level::Remembered, Level::Dnssec)
        }
    }

    /// Whether the identity key is the pinned one, or its successor.
    #[must_use]
    pub fn satisfies(&self, pin: &KeyId) -> bool {
        self.pinned_root.as_ref() == Some(pin) || self.identity().fingerprint() == *pin
    }

    /// This memory, if anything is left of it at `now`.
    pub(super) fn live(&self, now: u64) -> Option<&Self> {
        (now < self.until()).then_some(self)
    }

    /// The domain that is remembered.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        self.policy.domain()
    }
}

/// A believed policy on its way into memory.
pub(super) struct Lesson<'a> {
    pub(super) policy: &'a VerifiedPolicy,
    /// The key chosen, if one could be had.
    pub(super) key: Option<SealingPublicKey>,
    /// The level of the evidence at this moment, without regard to a pin.
    pub(super) level: Level,
    /// Whether DNSSEC vouched for the answer.
    pub(super) secure: bool,
    /// The pin that the identity satisfies.
    pub(super) pin: Option<KeyId>,
    /// Whether the identity continues the remembered one.
    pub(super) continues: bool,
}

impl Lesson<'_> {
    /// What to store after this observation: nothing, if it differs from what is remembered only by
    /// a little time, or if it is a withdrawal for which nothing speaks, unless it be a pin [R-dec-09].
    pub(super) fn update(before: Option<&Memory>, after: &Memory, now: u64) -> MemoryUpdate {
        let known = before.is_some_and(|before| {
            let recent = Memory {
                last_seen: after.last_seen,
                enforce_until: after.enforce_until,
                ..before.clone()
            };
            let same_wish = before.enforce_until.is_some() == after.enforce_until.is_some();
            recent == *after && same_wish && now.abs_diff(before.last_seen) < REFRESH
        });
        let unfounded = !after.asks_for_sealing() && after.level == Level::FirstUse;
        if known || unfounded {
            MemoryUpdate::Keep
        } else {
            MemoryUpdate::Store(Box::new(after.clone()))
        }
    }

    /// The memory after this observation.
    pub(super) fn learn(self, before: Option<&Memory>, now: u64) -> Memory {
        let record = self.policy.record();
        let continued = before.filter(|_| self.continues);
        let firm = self.secure || self.pin.is_some();
        let hold = match continued.map(|m| m.hold) {
            _ if firm => Hold::Firm,
            Some(Hold::Firm) => Hold::Firm,
            Some(Hold::Growing { seconds, counted_at }) => {
                grow(seconds, counted_at, record.max_age, now)
            }
            None => Hold::Growing { seconds: FIRST_HOLD.min(record.max_age), counted_at: now },
        };
        let forbidden = before.and_then(|m| m.enforce_until).filter(|u| now < *u);
        let enforce_until = match record.mode {
            Mode::Enforce => Some(now.saturating_add(length(hold, record.max_age))),
            // [R-dec-11]: a `none` that replaced another identity key lifts nothing, however often it
            // is seen.
            Mode::None if continued.is_some_and(Memory::asks_for_sealing) => None,
            Mode::Testing | Mode::None => forbidden,
        };
        let key = self.key.or_else(|| {
            let old = continued?.key.clone()?;
            record.lists_sealing(&old.key_id()).then_some(old)
        });
        Memory {
            policy: self.policy.clone(),
            key,
            level: self.level,
            hold,
            pinned_root: self.pin.or_else(|| continued?.pinned_root),
            first_seen: continued.map_or(now, |m| m.first_seen),
            last_seen: now,
            enforce_until,
        }
    }
}

/// How long after the last observation the memory of an identity lasts.
fn length(hold: Hold, max_age: u64) -> u64 {
    match hold {
        Hold::Firm => max_age,
        Hold::Growing { seconds, .. } => seconds.min(max_age),
    }
}

fn grow(seconds: u64, counted_at: u64, max_age: u64, now: u64) -> Hold {
    if now >= counted_at.saturating_add(OBSERVATION_GAP) {
        Hold::Growing { seconds: seconds.saturating_mul(2).min(max_age), counted_at: now }
    } else {
        Hold::Growing { seconds: seconds.min(max_age), counted_at }
    }
}
