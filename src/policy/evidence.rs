//! Whether a policy that was found is believed.

use crate::core::KeyId;
use crate::records::{Mode, Validity, VerifiedPolicy};

use super::{Alarm, Authenticity, Denial, FoundPolicy, Level, LookupFailure, Memory, Outcome};

/// Why a policy that was found, and whose signature verifies, is not acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Its expiry has passed.
    #[error("the policy has expired")]
    Expired,
    /// Its serial lies too far ahead [R-rec-06].
    #[error("the policy is not valid yet")]
    NotYetValid,
    /// Another identity key than the remembered one, without proof of succession.
    #[error("the identity key of the domain has changed without proof")]
    IdentityChanged,
    /// Not the pinned identity key.
    #[error("the identity key of the domain is not the pinned one")]
    PinMismatch,
    /// A lower serial than the remembered one.
    #[error("the policy is older than the remembered one")]
    SerialBack,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Expired,
        Self::NotYetValid,
        Self::IdentityChanged,
        Self::PinMismatch,
        Self::SerialBack,
    ];

    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "policy-expired",
            Self::NotYetValid => "policy-not-yet-valid",
            Self::IdentityChanged => "identity-changed",
            Self::PinMismatch => "pin-mismatch",
            Self::SerialBack => "serial-back",
        }
    }
}

/// Whether what is found is more than an answer that anybody could have forged: all that there is to go by where memory is damaged.
pub(super) fn is_vouched_for(outcome: &Outcome, pin: Option<&KeyId>) -> bool {
    pin.is_some() || outcome.is_secure()
}

/// A believed policy.
pub(super) struct Accepted<'a> {
    pub(super) found: &'a FoundPolicy,
    /// The level, the pin considered.
    pub(super) level: Level,
    /// The level without regard to a pin.
    pub(super) unpinned: Level,
    /// The pin that its identity satisfies.
    pub(super) pin: Option<KeyId>,
    /// Whether its identity continues the remembered one.
    pub(super) continues: bool,
}

/// Why an outcome brings no believed policy in force.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lack {
    Denied(Denial, Authenticity),
    Failed(LookupFailure),
    Refused(Refusal),
}

/// Weighs an outcome against the live memory and the operator's pin: a believed policy in force, or
/// why there is none.
pub(super) fn weigh<'a>(
    outcome: &'a Outcome,
    memory: Option<&Memory>,
    pin: Option<&KeyId>,
    now: u64,
    alarms: &mut Vec<Alarm>,
) -> Result<Accepted<'a>, Lack> {
    let found = match outcome {
        Outcome::NoPolicy { denial, authenticity } => {
            return Err(denied(*denial, *authenticity, memory, pin, alarms));
        }
        Outcome::Failed(failure) => {
            let forged = matches!(failure, LookupFailure::Bogus | LookupFailure::BadSignature);
            if forged && is_expected(memory, pin) {
                alarms.push(Alarm::PolicyNotAuthentic(*failure));
            }
            return Err(Lack::Failed(*failure));
        }
        Outcome::Found(found) => found,
    };
    let refusal = match found.policy.validity(now) {
        Validity::InForce => None,
        Validity::Expired => Some(Refusal::Expired),
        Validity::NotYet => Some(Refusal::NotYetValid),
    };
    if let Some(refusal) = refusal {
        // [R-dec-08]: a withdrawal that is not in force asks for nothing and lifts nothing.
        return Err(if found.policy.record().mode == Mode::None {
            denied(Denial::NoData, found.authenticity, memory, pin, alarms)
        } else {
            Lack::Refused(refusal)
        });
    }
    believe(found, memory, pin, now, alarms).map_err(Lack::Refused)
}

fn denied(
    denial: Denial,
    authenticity: Authenticity,
    memory: Option<&Memory>,
    pin: Option<&KeyId>,
    alarms: &mut Vec<Alarm>,
) -> Lack {
    if is_expected(memory, pin) {
        alarms.push(Alarm::PolicyVanished);
    }
    Lack::Denied(denial, authenticity)
}

/// Whether there should be a policy to be found.
fn is_expected(memory: Option<&Memory>, pin: Option<&KeyId>) -> bool {
    memory.is_some_and(Memory::asks_for_sealing) || pin.is_some()
}

fn believe<'a>(
    found: &'a FoundPolicy,
    memory: Option<&Memory>,
    pin: Option<&KeyId>,
    now: u64,
    alarms: &mut Vec<Alarm>,
) -> Result<Accepted<'a>, Refusal> {
    let policy = &found.policy;
    let seen = policy.identity().fingerprint();
    let secure = found.authenticity == Authenticity::Secure;
    let evidence = if secure { Level::Dnssec } else { Level::FirstUse };
    let standing = memory.map(|memory| (memory, Standing::of(policy, memory, now)));

    // [R-dec-24]
    if let Some(pin) = pin {
        let descends = standing
            .as_ref()
            .is_some_and(|(memory, standing)| standing.continues() && memory.satisfies(pin));
        if seen != *pin && !descends {
            alarms.push(Alarm::PinMismatch { pinned: *pin, seen });
            return Err(Refusal::PinMismatch);
        }
    }
    let accept = |level: Level, continues| Accepted {
        found,
        level: if pin.is_some() { Level::Pinned } else { level },
        unpinned: level,
        pin: pin.copied(),
        continues,
    };

    let Some((memory, standing)) = standing else {
        return Ok(accept(evidence, false));
    };
    let remembered = memory.identity().fingerprint();
    if standing.continues() {
        if policy.record().serial < memory.serial() {
            alarms.push(Alarm::SerialBack {
                remembered: memory.serial(),
                seen: policy.record().serial,
            });
            return Err(Refusal::SerialBack);
        }
        if standing == Standing::Successor {
            alarms.push(Alarm::IdentityRolledOver { remembered, seen });
        }
        // [R-dec-10]: the very text that was once authenticated keeps its level; better evidence only
        // raises it [R-dec-26].
        let known = if policy.text() == memory.policy.text() {
            memory.level(None)
        } else {
            Level::Remembered
        };
        return Ok(accept(evidence.max(known), true));
    }
    // [R-dec-07]: only evidence of a higher level overrides what is remembered.
    let level = if pin.is_some() { Level::Pinned } else { evidence };
    if level > memory.level(pin) {
        alarms.push(Alarm::IdentityReplaced { remembered, seen, level });
        Ok(accept(evidence, false))
    } else {
        alarms.push(Alarm::IdentityChanged { remembered, seen });
        Err(Refusal::IdentityChanged)
    }
}

/// How the identity key of a policy stands to the remembered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    Successor,
    Stranger,
}

impl Standing {
    fn of(policy: &VerifiedPolicy, memory: &Memory, now: u64) -> Self {
        if policy.identity() == memory.identity() {
            return Self::Same;
        }
        let announced = memory.policy.record().next_identity.as_ref();
        if policy.succeeds(memory.identity(), announced, now) {
            Self::Successor
        } else {
            Self::Stranger
        }
    }

    fn continues(self) -> bool {
        self != Self::Stranger
    }
}
