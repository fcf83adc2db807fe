//! The one decision: seal, clear, defer or reject.

use crate::core::SealingPublicKey;
use crate::records::{Mode, VerifiedPolicy};

use super::evidence::{Accepted, Lack, is_vouched_for, weigh};
use super::keys::choose;
use super::memory::Lesson;
use super::{
    Alarm, Authenticity, ClearReason, DeferReason, Demand, Level, LocalPolicy, Memory,
    MemoryUpdate, Outcome, RejectReason, Rule,
};

/// Where the key of a decision comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The policy just looked up.
    Dns,
    /// A remembered policy; the look-up is to be retried in the background.
    Memory,
}

/// What happens to a message for one recipient domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is sealed.
    Seal {
        /// To this key.
        key: SealingPublicKey,
        /// The authenticity of the policy, recorded with the message.
        level: Level,
        /// Where the policy comes from.
        source: Source,
        /// The policy.
        policy: Box<VerifiedPolicy>,
    },
    /// It goes clear.
    Clear(ClearReason),
    /// It waits: 451.
    Defer(DeferReason),
    /// It is refused: 550.
    Reject(RejectReason),
}

impl Decision {
    /// The stable name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Seal { .. } => "seal",
            Self::Clear(_) => "clear",
            Self::Defer(_) => "defer",
            Self::Reject(_) => "reject",
        }
    }

    /// The stable name of the reason; for a sealed message it is where the policy comes from.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Seal { source: Source::Dns, .. } => "dns",
            Self::Seal { source: Source::Memory, .. } => "memory",
            Self::Clear(reason) => reason.code(),
            Self::Defer(reason) => reason.code(),
            Self::Reject(reason) => reason.code(),
        }
    }
}

/// A decision with what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the message.
    pub decision: Decision,
    /// What to remember, whatever the decision.
    pub memory: MemoryUpdate,
    /// What an operator must hear of.
    pub alarms: Vec<Alarm>,
}

/// Decides about a message to one domain at `now`, seconds since 1970 [R-dec-02].
///
/// `outcome` and `memory` are of that domain, `memory` in the outgoing scope.
#[must_use]
pub fn decide(
    local: &LocalPolicy,
    outcome: &Outcome,
    memory: Option<&Memory>,
    demand: Demand,
    now: u64,
) -> Verdict {
    let mut alarms = Vec::new();
    let memory = memory.and_then(|m| m.live(now));
    let evidence = weigh(outcome, memory, local.pin.as_ref(), now, &mut alarms);
    let case = Case { local, memory, demand, now };
    let (decision, memory) = match evidence {
        Ok(accepted) => case.accepted(&accepted, &mut alarms),
        Err(lack) => (case.lacking(lack, &mut alarms), MemoryUpdate::Keep),
    };
    let decision = case.overridden(decision, &mut alarms);
    Verdict { decision, memory, alarms }
}

/// The same where what is remembered is damaged, but for until when `enforce` forbids clear mail, if it says so: neither is mail
/// clear before that on the word of DNS, nor is the time forgotten. Of the identity key nothing is known but what DNSSEC or a pin
/// shows: without them nothing is sealed, nor does what was found take the place of what may be repaired [R-dec-11].
#[must_use]
pub fn decide_damaged(
    local: &LocalPolicy,
    outcome: &Outcome,
    enforce_until: Option<u64>,
    demand: Demand,
    now: u64,
) -> Verdict {
    let mut verdict = decide(local, outcome, None, demand, now);
    let alarms = &mut verdict.alarms;
    alarms.push(Alarm::MemoryDamaged);
    let vouched_for = is_vouched_for(outcome, local.pin.as_ref());
    let enforced = enforce_until.filter(|until| now < *until);
    match &mut verdict.memory {
        MemoryUpdate::Store(memory) if vouched_for => {
            memory.enforce_until = memory.enforce_until.max(enforced);
        }
        memory => *memory = MemoryUpdate::Keep,
    }
    let waits = match verdict.decision {
        Decision::Clear(ClearReason::LocalRule) => {
            if enforced.is_some() && !alarms.contains(&Alarm::NeverOverEnforce) {
                alarms.push(Alarm::NeverOverEnforce);
            }
            false
        }
        Decision::Clear(ClearReason::LocalAllowance)
        | Decision::Reject(RejectReason::LocalRule)
        | Decision::Defer(_) => false,
        Decision::Seal { .. } => !vouched_for,
        Decision::Clear(_) | Decision::Reject(_) => enforced.is_some(),
    };
    if waits {
        let waits = Decision::Defer(DeferReason::MemoryDamaged);
        verdict.decision = Case { local, memory: None, demand, now }.overridden(waits, alarms);
    }
    verdict
}

/// What does not change in the course of one decision.
struct Case<'a> {
    local: &'a LocalPolicy,
    memory: Option<&'a Memory>,
    demand: Demand,
    now: u64,
}

impl Case<'_> {
    /// Decides by a policy that is in force and believed.
    fn accepted(
        &self,
        accepted: &Accepted<'_>,
        alarms: &mut Vec<Alarm>,
    ) -> (Decision, MemoryUpdate) {
        let found = accepted.found;
        let known = self.memory.filter(|_| accepted.continues);
        let choice = choose(&found.policy, &found.keys, known.and_then(|m| m.key.as_ref()));
        let learned = Lesson {
            policy: &found.policy,
            key: choice.key.clone().ok(),
            level: accepted.unpinned,
            secure: found.authenticity == Authenticity::Secure,
            pin: accepted.pin,
            continues: accepted.continues,
        }
        .learn(self.memory, self.now);
        let mode = found.policy.record().mode;
        // [R-dec-28]
        let insecure = found.authenticity != Authenticity::Secure;
        let unsupported = mode == Mode::None && self.local.pin.is_some() && insecure;
        let (enforced, update) = if unsupported {
            alarms.push(Alarm::PolicyVanished);
            (self.memory.is_some_and(|m| m.enforces(self.now)), MemoryUpdate::Keep)
        } else {
            let enforced = learned.enforces(self.now) || mode == Mode::Enforce;
            (enforced, Lesson::update(self.memory, &learned, self.now))
        };

        if let Some(decision) = self.never(enforced, alarms) {
            return (decision, update);
        }
        if let Some(reason) = self.below_minimum(accepted.level) {
            return (Decision::Defer(reason), update);
        }
        if mode == Mode::None {
            let decision = if unsupported {
                Decision::Defer(DeferReason::WithdrawalUnsupported)
            } else if enforced {
                // [R-dec-21]
                Decision::Defer(DeferReason::EnforceRemembered)
            } else if self.must_seal() {
                Decision::Reject(RejectReason::Withdrawn)
            } else {
                Decision::Clear(ClearReason::Withdrawn)
            };
            return (decision, update);
        }
        // [R-dec-14]: the only case in which a key that cannot be used leads to clear mail.
        let unpinned = self.local.pin.is_none();
        let clear_allowed = mode == Mode::Testing && unpinned && !enforced && !self.must_seal();
        // [R-dec-17], [R-dec-18]: a weaker seal is better than none.
        let weaker = self.local.allow.weaker_suite || self.local.allow.clear_on_failure;
        let decision = match (choice.key, choice.preferred) {
            (Ok(_), Some(failure)) if !clear_allowed && !weaker => {
                Decision::Defer(DeferReason::PreferredKey(failure))
            }
            (Ok(key), failure) => {
                alarms.extend(failure.map(Alarm::WeakerSuite));
                Decision::Seal {
                    key,
                    level: accepted.level,
                    source: Source::Dns,
                    policy: Box::new(found.policy.clone()),
                }
            }
            (Err(failure), _) => {
                if mode == Mode::Testing {
                    alarms.push(Alarm::TestingKeyUnusable(failure));
                }
                if clear_allowed {
                    Decision::Clear(ClearReason::Testing(failure))
                } else {
                    Decision::Defer(DeferReason::Key(failure))
                }
            }
        };
        (decision, update)
    }

    /// Decides when no believed policy is in force: by memory, else by what DNS says.
    fn lacking(&self, lack: Lack, alarms: &mut Vec<Alarm>) -> Decision {
        let enforced = self.memory.is_some_and(|m| m.enforces(self.now));
        if let Some(decision) = self.never(enforced, alarms) {
            return decision;
        }
        if let Some(decision) = self.by_memory() {
            return decision;
        }
        if enforced {
            return Decision::Defer(match lack {
                Lack::Refused(refusal) => DeferReason::Refused(refusal),
                Lack::Failed(failure) => DeferReason::Lookup(failure),
                Lack::Denied(..) => DeferReason::EnforceRemembered,
            });
        }
        match lack {
            // [R-dec-22]
            Lack::Failed(failure) => Decision::Defer(DeferReason::Lookup(failure)),
            Lack::Refused(refusal) => Decision::Defer(DeferReason::Refused(refusal)),
            Lack::Denied(denial, authenticity) => {
                if self.local.pin.is_some() {
                    return Decision::Defer(DeferReason::PinnedWithoutPolicy);
                }
                if let Some(reason) = denial_below(self.local.minimum_level, authenticity) {
                    return Decision::Defer(reason);
                }
                if self.must_seal() {
                    Decision::Reject(RejectReason::NoPolicy)
                } else {
                    Decision::Clear(ClearReason::NoPolicy { denial, authenticity })
                }
            }
        }
    }

    /// [R-dec-04]: the operator wins over the domain, but not over the message.
    fn never(&self, enforced: bool, alarms: &mut Vec<Alarm>) -> Option<Decision> {
        if self.local.rule != Rule::Never {
            return None;
        }
        if self.demand == Demand::Sealed {
            return Some(Decision::Reject(RejectReason::LocalRule));
        }
        if enforced {
            alarms.push(Alarm::NeverOverEnforce);
        }
        Some(Decision::Clear(ClearReason::LocalRule))
    }

    /// [R-dec-06]: an unexpired remembered policy and key seal, whatever DNS says.
    fn by_memory(&self) -> Option<Decision> {
        let memory = self.memory?;
        let key = memory.key_at(self.now)?;
        let pin = self.local.pin.as_ref();
        if pin.is_some_and(|pin| !memory.satisfies(pin)) {
            return Some(Decision::Defer(DeferReason::MemoryNotPinned));
        }
        let level = memory.level(pin);
        if let Some(reason) = self.below_minimum(level) {
            return Some(Decision::Defer(reason));
        }
        Some(Decision::Seal {
            key: key.clone(),
            level,
            source: Source::Memory,
            policy: Box::new(memory.policy.clone()),
        })
    }

    /// [R-dec-20]: what must be sealed never goes clear.
    fn must_seal(&self) -> bool {
        self.local.rule == Rule::Require || self.demand == Demand::Sealed
    }

    /// [R-dec-23]
    fn below_minimum(&self, level: Level) -> Option<DeferReason> {
        let minimum = self.local.minimum_level;
        (level < minimum).then_some(DeferReason::BelowMinimum { level, minimum })
    }

    /// [R-dec-18]: what the operator's override makes of a decision; what is sealed stays so [R-dec-27].
    fn overridden(&self, decision: Decision, alarms: &mut Vec<Alarm>) -> Decision {
        match decision {
            Decision::Defer(why) if self.local.allow.clear_on_failure && !self.must_seal() => {
                alarms.push(Alarm::ClearOnFailure(why));
                Decision::Clear(ClearReason::LocalAllowance)
            }
            other => other,
        }
    }
}

/// [R-dec-16]: an operator who demands DNSSEC does not take an unsigned zone's word for it that
/// there is no policy.
pub(super) fn denial_below(minimum: Level, authenticity: Authenticity) -> Option<DeferReason> {
    let adequate = match authenticity {
        Authenticity::Secure => minimum <= Level::Dnssec,
        Authenticity::Insecure => minimum <= Level::Remembered,
    };
    (!adequate).then_some(DeferReason::DenialBelowMinimum { minimum })
}
