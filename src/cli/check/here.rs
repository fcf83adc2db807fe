//! What this gateway makes of another domain: configuration, memory, override, decision. Only read.

use super::Look;
use crate::cli::context;
use crate::cli::steps::{Step, Steps};
use crate::cli::verdict;
use crate::gateway::config::{ClearMail, Config};
use crate::gateway::{Sources, SystemClock};
use crate::policy::{Demand, Level, LocalPolicy};
use crate::store::ledger::{Ledger, LedgerError, Scope, SqliteLedger};

pub(super) async fn check(look: &Look<'_>, config: Option<&Config>, steps: &mut Steps) {
    let local = verdict::local(config, look.domain);
    steps.push(settings(look, config, &local));
    let ledger = match config.map(context::ledger_if_any).transpose() {
        Ok(ledger) => ledger.flatten(),
        Err(failure) => {
            let (text, hint) = match failure.message() {
                Some(message) => (message.text.clone(), message.hint.clone()),
                None => ("the ledger cannot be read".to_owned(), None),
            };
            let step = Step::unknown(
                "memory-outgoing",
                format!("{text}; so what this gateway would do is not known"),
            );
            steps.push(match hint {
                Some(hint) => step.hint(hint),
                None => step,
            });
            return;
        }
    };
    if let Err(error) = decide(look, config, &local, ledger.as_ref(), steps).await {
        let what = format!("what this gateway would do is not known: {error}");
        steps.push(Step::unknown("message", what));
    }
}

async fn decide(
    look: &Look<'_>,
    config: Option<&Config>,
    local: &LocalPolicy,
    ledger: Option<&SqliteLedger>,
    steps: &mut Steps,
) -> Result<(), LedgerError> {
    let sources = Sources {
        resolver: look.resolver,
        ledger: ledger.map(|ledger| ledger as &dyn Ledger),
        clock: &SystemClock,
        budget: look.dns.timeout,
    };
    let domain = look.domain;
    for scope in [Scope::Outgoing, Scope::Incoming] {
        let memory = sources.recall(scope, domain).await?;
        steps.push(verdict::memory(scope, memory.as_ref(), look.now));
    }
    steps.push(verdict::allowance(sources.allowance(domain).await?.as_ref()));
    let ordinary = sources.recipient(domain, local, Demand::Absent).await?;
    let demanded = sources.recipient(domain, local, Demand::Sealed).await?;
    let sender = sources.sender(domain, &verdict::sender_local(config, domain)).await?;
    verdict::alarms(steps, "outgoing mail", &ordinary.verdict.alarms);
    verdict::alarms(steps, "incoming mail", &sender.verdict.alarms);
    verdict::both(steps, &ordinary, &demanded);
    steps.push(verdict::incoming("sealed-mail", &sender.verdict));
    Ok(())
}

/// What the configuration asks of the domain.
fn settings(look: &Look<'_>, config: Option<&Config>, local: &LocalPolicy) -> Step {
    let mut text = format!("policy \"{}\", least level {}", local.rule, local.minimum_level);
    match local.pin {
        Some(pin) => text.push_str(&format!(", pinned to identity key {pin}")),
        None => text.push_str(", not pinned"),
    }
    if local.allow.weaker_suite {
        text.push_str(", a weaker suite is allowed");
    }
    let strict =
        config.is_some_and(|c| c.treatment(look.domain).inbound == ClearMail::RequireSealed);
    text.push_str(if strict { "; its clear mail is refused" } else { "; its clear mail is taken" });
    if config.is_some_and(|config| config.treatment(look.domain).require_aligned) {
        text.push_str(", and its sealed mail must have one author, of it");
    }
    if local.minimum_level == Level::Pinned && local.pin.is_none() {
        return Step::fail("partner", format!("{text}: nothing can reach that level"))
            .hint("write `identity` into its [[partner]] table");
    }
    Step::pass("partner", text)
}
