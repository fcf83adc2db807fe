//! With which keys the unsealing side verifies a sender's signatures.

use crate::core::{KeyId, VerifyingKey};
use crate::records::{Mode, VerifiedPolicy};

use super::decide::denial_below;
use super::evidence::{Accepted, Lack, is_vouched_for, weigh};
use super::keys::choose;
use super::memory::Lesson;
use super::{
    Alarm, Authenticity, DeferReason, Level, Memory, MemoryUpdate, Outcome, RefuseReason, Source,
};

/// What the operator asks of one sender domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderPolicy {
    /// The weakest level at which its policy is acted upon.
    pub minimum_level: Level,
    /// Fingerprint of its identity key, compared out of band.
    pub pin: Option<KeyId>,
}

impl Default for SenderPolicy {
    fn default() -> Self {
        Self { minimum_level: Level::FirstUse, pin: None }
    }
}

/// What is known of a sender's signing keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderDecision {
    /// These keys sign the domain's content. A signing key that is not among them, or removed, is
    /// not the domain's.
    Verify {
        /// The keys; never empty.
        keys: Vec<VerifyingKey>,
        /// The authenticity of the policy, recorded with the message.
        level: Level,
        /// Where the policy comes from.
        source: Source,
        /// The policy.
        policy: Box<VerifiedPolicy>,
    },
    /// The sender cannot be authenticated now: 451.
    Defer(DeferReason),
    /// The sender cannot be authenticated: 550.
    Refuse(RefuseReason),
}

/// A decision about a sender with what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderVerdict {
    /// What is known of the sender's keys.
    pub decision: SenderDecision,
    /// What to remember in the incoming scope.
    pub memory: MemoryUpdate,
    /// What an operator must hear of.
    pub alarms: Vec<Alarm>,
}

/// Finds the keys of the domain that claims to have sealed a message, at `now` (seconds since
/// 1970) [R-dec-19].
///
/// `outcome` and `memory` are of that domain, `memory` in the incoming scope; key records need
/// not be looked up.
#[must_use]
pub fn authenticate_sender(
    local: &SenderPolicy,
    outcome: &Outcome,
    memory: Option<&Memory>,
    now: u64,
) -> SenderVerdict {
    let mut alarms = Vec::new();
    let memory = memory.and_then(|m| m.live(now));
    let evidence = weigh(outcome, memory, local.pin.as_ref(), now, &mut alarms);
    let (decision, memory) = match evidence {
        Ok(accepted) => by_policy(local, &accepted, memory, now),
        Err(lack) => {
            let decision = by_memory(local, memory, now)
                .unwrap_or_else(|| without_policy(local, lack, memory));
            (decision, MemoryUpdate::Keep)
        }
    };
    SenderVerdict { decision, memory, alarms }
}

/// The same where what is remembered is damaged. Nothing is known of the identity key but what DNSSEC or a pin shows: without them a
/// policy neither verifies nor refuses anything, and does not take the place of what may be repaired [R-dec-19].
#[must_use]
pub fn authenticate_sender_damaged(
    local: &SenderPolicy,
    outcome: &Outcome,
    now: u64,
) -> SenderVerdict {
    let mut verdict = authenticate_sender(local, outcome, None, now);
    verdict.alarms.push(Alarm::MemoryDamaged);
    if !is_vouched_for(outcome, local.pin.as_ref()) {
        verdict.memory = MemoryUpdate::Keep;
        if !matches!(verdict.decision, SenderDecision::Defer(_)) {
            verdict.decision = SenderDecision::Defer(DeferReason::MemoryDamaged);
        }
    }
    verdict
}

/// What a domain says about mail in its name that comes in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing, or nothing that can be believed.
    None,
    /// It always seals, but by the word of an unexpired remembered policy alone, or of one in force that nothing vouches for.
    Weak,
    /// It always seals, as its policy in force says, above [`Level::FirstUse`].
    Published,
}

/// Whether a domain promises that all mail of its own to domains that can unseal is sealed: tag `o` of the policy that
/// [`authenticate_sender`] would take its keys from [R-uns-12]. A withdrawn policy promises nothing.
///
/// What is learned from clear mail is nothing, since an attacker chooses when it comes: there is no update of memory.
#[must_use]
pub fn promise(
    local: &SenderPolicy,
    outcome: &Outcome,
    memory: Option<&Memory>,
    now: u64,
) -> Promise {
    let SenderDecision::Verify { source, level, policy, .. } =
        authenticate_sender(local, outcome, memory, now).decision
    else {
        return Promise::None;
    };
    let record = policy.record();
    match source {
        _ if !record.outgoing_always || record.mode == Mode::None => Promise::None,
        Source::Dns if level > Level::FirstUse => Promise::Published,
        Source::Dns | Source::Memory => Promise::Weak,
    }
}

/// The same where what is remembered is damaged: it may hold a promise, and so marks as it would.
#[must_use]
pub fn promise_damaged(local: &SenderPolicy, outcome: &Outcome, now: u64) -> Promise {
    match promise(local, outcome, None, now) {
        Promise::None => Promise::Weak,
        promise => promise,
    }
}

fn by_policy(
    local: &SenderPolicy,
    accepted: &Accepted<'_>,
    memory: Option<&Memory>,
    now: u64,
) -> (SenderDecision, MemoryUpdate) {
    let found = accepted.found;
    let learned = Lesson {
        policy: &found.policy,
        key: choose(&found.policy, &found.keys, None).key.ok(),
        level: accepted.unpinned,
        secure: found.authenticity == Authenticity::Secure,
        pin: accepted.pin,
        continues: accepted.continues,
    }
    .learn(memory, now);
    let decision = verify_by(local, &found.policy, accepted.level, Source::Dns);
    (decision, Lesson::update(memory, &learned, now))
}

fn by_memory(local: &SenderPolicy, memory: Option<&Memory>, now: u64) -> Option<SenderDecision> {
    let memory = memory?;
    let policy = memory.policy_at(now)?;
    let pin = local.pin.as_ref();
    if pin.is_some_and(|pin| !memory.satisfies(pin)) {
        return Some(SenderDecision::Defer(DeferReason::MemoryNotPinned));
    }
    if policy.record().signing_keys.is_empty() {
        return None;
    }
    Some(verify_by(local, policy, memory.level(pin), Source::Memory))
}

fn verify_by(
    local: &SenderPolicy,
    policy: &VerifiedPolicy,
    level: Level,
    source: Source,
) -> SenderDecision {
    let minimum = local.minimum_level;
    if level < minimum {
        return SenderDecision::Defer(DeferReason::BelowMinimum { level, minimum });
    }
    let keys = policy.record().signing_keys.clone();
    if keys.is_empty() {
        return SenderDecision::Refuse(RefuseReason::NoSigningKey);
    }
    SenderDecision::Verify { keys, level, source, policy: Box::new(policy.clone()) }
}

fn without_policy(local: &SenderPolicy, lack: Lack, memory: Option<&Memory>) -> SenderDecision {
    match lack {
        Lack::Failed(failure) => SenderDecision::Defer(DeferReason::Lookup(failure)),
        Lack::Refused(refusal) => SenderDecision::Defer(DeferReason::Refused(refusal)),
        Lack::Denied(_, authenticity) => {
            if local.pin.is_some() {
                SenderDecision::Defer(DeferReason::PinnedWithoutPolicy)
            } else if let Some(reason) = denial_below(local.minimum_level, authenticity) {
                SenderDecision::Defer(reason)
            } else if memory.is_some() {
                SenderDecision::Defer(DeferReason::PolicyVanished)
            } else {
                SenderDecision::Defer(DeferReason::UnknownSender)
            }
        }
    }
}
