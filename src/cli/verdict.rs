//! A decision about a domain as steps of `check` and `explain`.

use super::moment::utc;
use super::steps::{Grade, Step, Steps};
use crate::core::Domain;
use crate::gateway::Considered;
use crate::gateway::config::Config;
use crate::policy::{
    Alarm, ClearReason, Decision, DeferReason, KeyFailure, LocalPolicy, LookupFailure, Memory,
    RejectReason, SenderDecision, SenderPolicy, SenderVerdict, Severity, Source, Verdict,
};
use crate::store::ledger::{Allowance, Scope};

/// What the configuration says of mail to `domain`.
pub(super) fn local(config: Option<&Config>, domain: &Domain) -> LocalPolicy {
    config.map_or_else(LocalPolicy::default, |config| config.destination(domain))
}

/// What the configuration says of mail from `domain`.
pub(super) fn sender_local(config: Option<&Config>, domain: &Domain) -> SenderPolicy {
    config.map_or_else(SenderPolicy::default, |config| config.sender(domain))
}

/// What becomes of mail: a predicate for it.
pub(super) fn fate(decision: &Decision) -> String {
    let (is, _, more) = words(decision);
    format!("{is}: {more}")
}

/// What would become of mail.
pub(super) fn would(decision: &Decision) -> String {
    let (_, would, more) = words(decision);
    format!("{would}: {more}")
}

fn words(decision: &Decision) -> (&'static str, &'static str, String) {
    match decision {
        Decision::Seal { key, level, .. } => {
            let (suite, id) = (key.suite(), key.key_id());
            let how = format!("suite {suite}, key {id}, known at level {level}");
            ("is sealed", "would be sealed", how)
        }
        Decision::Clear(why) => ("leaves in clear", "would leave in clear", why.to_string()),
        Decision::Defer(why) => ("waits (451)", "would wait (451)", why.to_string()),
        Decision::Reject(why) => ("is refused (550)", "would be refused (550)", why.to_string()),
    }
}

/// What becomes of a message to `domain`.
pub(super) fn outgoing(name: &'static str, what: &str, verdict: &Verdict) -> Step {
    let text = format!("{what} {}", fate(&verdict.decision));
    match &verdict.decision {
        Decision::Seal { source: Source::Dns, .. } => Step::pass(name, text),
        Decision::Seal { source: Source::Memory, .. } => {
            Step::warn(name, format!("{text}, by what is remembered: DNS gives nothing usable"))
        }
        Decision::Clear(why) => {
            let step = Step::warn(name, text);
            match why {
                ClearReason::NoPolicy { .. } => step.hint(
                    "`policy = \"require\"` in a [[partner]] table forbids that, whatever DNS says",
                ),
                _ => step,
            }
        }
        Decision::Defer(why) => {
            let grade = if is_open(why) { Grade::Unknown } else { Grade::Fail };
            let step = Step::new(name, grade, text);
            match why {
                // [R-dec-28]
                DeferReason::WithdrawalUnsupported => step.hint(
                    "ask the partner by telephone: if it has withdrawn sealing, take the pin away (`mta-seal partner forget`); \
                     if not, somebody shows an older answer",
                ),
                _ => step,
            }
        }
        Decision::Reject(why) => {
            let grade = match why {
                RejectReason::LocalRule => Grade::Warn,
                RejectReason::NoPolicy | RejectReason::Withdrawn => Grade::Fail,
            };
            Step::new(name, grade, text)
        }
    }
}

/// What becomes of a sealed message from `domain`.
pub(super) fn incoming(name: &'static str, verdict: &SenderVerdict) -> Step {
    match &verdict.decision {
        SenderDecision::Verify { keys, level, source, .. } => {
            let n = keys.len();
            let keys =
                if n == 1 { "1 signing key".to_owned() } else { format!("{n} signing keys") };
            let text = format!("sealed mail is verified with {keys}, known at level {level}");
            match source {
                Source::Dns => Step::pass(name, text),
                Source::Memory => Step::warn(
                    name,
                    format!("{text}, by what is remembered: DNS gives nothing usable"),
                ),
            }
        }
        SenderDecision::Defer(why) => {
            let grade = if is_open(why) { Grade::Unknown } else { Grade::Fail };
            Step::new(name, grade, format!("sealed mail waits (451): {why}"))
        }
        SenderDecision::Refuse(why) => {
            Step::fail(name, format!("sealed mail is refused (550): {why}"))
        }
    }
}

/// Whether a later look-up may well end otherwise.
fn is_open(why: &DeferReason) -> bool {
    matches!(
        why,
        DeferReason::Lookup(LookupFailure::ServFail | LookupFailure::Timeout)
            | DeferReason::Key(KeyFailure::Unreachable)
            | DeferReason::PreferredKey(KeyFailure::Unreachable)
    )
}

/// What an operator would be alarmed of; `mail` says which mail it is about.
pub(super) fn alarms(steps: &mut Steps, mail: &str, alarms: &[Alarm]) {
    for alarm in alarms {
        let grade = match alarm.kind().severity() {
            Severity::Critical => Grade::Fail,
            Severity::Warning | Severity::Notice => Grade::Warn,
        };
        let step = Step::new("alarm", grade, format!("{mail}: {alarm}"));
        steps.push(match alarm {
            Alarm::IdentityChanged { .. } | Alarm::PinMismatch { .. } => step
                .hint("compare the fingerprint with the partner by telephone: it may be an attack"),
            _ => step,
        });
    }
}

/// What is remembered of a domain for mail of this direction.
pub(super) fn memory(scope: Scope, memory: Option<&Memory>, now: u64) -> Step {
    let name = match scope {
        Scope::Outgoing => "memory-outgoing",
        Scope::Incoming => "memory-incoming",
    };
    let Some(memory) = memory.filter(|memory| now < memory.until()) else {
        return Step::pass(name, "nothing is remembered");
    };
    let mut text = format!(
        "identity key {} since {}, serial {}, learned at level {}, usable until {}",
        memory.identity().fingerprint(),
        utc(memory.first_seen),
        memory.serial(),
        memory.level,
        utc(memory.policy_until()),
    );
    let forbidden = memory.enforce_until.filter(|until| scope == Scope::Outgoing && now < *until);
    if let Some(until) = forbidden {
        text.push_str(&format!("; clear mail is forbidden until {}", utc(until)));
    }
    Step::pass(name, text)
}

/// The operator's override.
pub(super) fn allowance(allowance: Option<&Allowance>) -> Step {
    match allowance {
        None => Step::pass("override", "none"),
        Some(Allowance { id, until, why, by, .. }) => Step::warn(
            "override",
            format!(
                "{id}: until {} mail that cannot be sealed leaves in clear ({}: {why})",
                utc(*until),
                by.login
            ),
        ),
    }
}

/// Both an ordinary message and one that demands to be sealed.
pub(super) fn both(
    steps: &mut Steps,
    ordinary: &Considered<Verdict>,
    demanded: &Considered<Verdict>,
) {
    steps.push(outgoing("message", "a message", &ordinary.verdict));
    steps.push(outgoing(
        "message-demanded",
        "a message with MTA-Seal-Required: yes",
        &demanded.verdict,
    ));
}
