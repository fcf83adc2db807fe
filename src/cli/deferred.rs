//! `mta-seal deferred`: which mail waits, since when and why, from the ledger of the running gateway.

use super::advice;
use super::context;
use super::failure::Failure;
use super::moment::{length, utc};
use super::table;
use super::terminal;
use crate::core::Domain;
use crate::store::ledger::{DEFERRAL_MEMORY, Deferral, Ledger, MAX_DEFERRALS, Scope};
use serde_json::json;
use std::path::Path;

/// Most pairs shown of one reason; `--json` has them all.
const SHOWN: usize = 20;

/// Options of `deferred`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only mail to and from this domain
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// JSON, with every recipient
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let domain = match &args.domain {
        None => None,
        Some(name) => Some(
            Domain::parse(name)
                .map_err(|error| Failure::usage(format!("--domain `{name}`: {error}")))?,
        ),
    };
    let ledger = context::ledger(&config)?;
    let now = context::now();
    let mut waiting = context::block_on(ledger.deferrals(domain.as_ref(), MAX_DEFERRALS))?
        .map_err(context::ledger_failure)?;
    // A gateway that stands still forgets nothing.
    waiting.retain(|deferral| now.saturating_sub(deferral.last_seen) < DEFERRAL_MEMORY);
    let text = if args.json { json(&waiting)? } else { text(&waiting, now) };
    terminal::print(&text)
}

fn json(waiting: &[Deferral]) -> Result<String, Failure> {
    let rows: Vec<serde_json::Value> = waiting
        .iter()
        .map(|deferral| {
            let cause = &deferral.cause;
            json!({
                "direction": deferral.scope.as_str(),
                "domain": deferral.domain,
                "sender": deferral.sender,
                "recipient": deferral.recipient,
                "reason": cause.reason,
                "words": cause.words,
                "reply": cause.reply,
                "queue": cause.queue,
                "trace": cause.trace,
                "first_seen": deferral.first_seen,
                "last_seen": deferral.last_seen,
                "attempts": deferral.attempts,
                "advice": advice::about(deferral),
            })
        })
        .collect();
    table::json(&rows)
}

/// One paragraph for each domain, direction and reason.
fn text(waiting: &[Deferral], now: u64) -> String {
    if waiting.is_empty() {
        return "nothing waits\n".to_owned();
    }
    let mut sorted: Vec<&Deferral> = waiting.iter().collect();
    let group = |deferral: &Deferral| {
        let code = matches!(deferral.scope, Scope::Incoming);
        let Deferral { domain, cause, .. } = deferral;
        (domain.clone(), code, cause.reason.clone(), cause.words.clone())
    };
    sorted.sort_by_cached_key(|deferral| group(deferral));
    let mut paragraphs: Vec<String> = Vec::new();
    for group in sorted.chunk_by(|a, b| group(a) == group(b)) {
        paragraphs.push(paragraph(group, now));
    }
    let mut text = paragraphs.join("\n");
    if waiting.len() >= MAX_DEFERRALS {
        text.push_str(&format!("\nonly {MAX_DEFERRALS} recipients were read; --domain narrows\n"));
    }
    text
}

fn paragraph(group: &[&Deferral], now: u64) -> String {
    let Some(first) = group.first() else { return String::new() };
    let cause = &first.cause;
    let domain = match first.domain.as_str() {
        "" => "without a domain".to_owned(),
        domain => table::printable(domain),
    };
    let waits = match first.scope {
        Scope::Outgoing => "mail to it waits",
        Scope::Incoming => "mail from it waits",
    };
    let since = group.iter().map(|deferral| deferral.first_seen).min().unwrap_or(now);
    let mut out =
        format!("{domain}: {waits} since {} ({})\n", utc(since), length(now.saturating_sub(since)));
    let (words, reason) = (table::printable(&cause.words), table::printable(&cause.reason));
    out.push_str(&format!("  why: {words} ({reason})\n"));
    // In our own replies the words are a part of it.
    if cause.reason == "next-hop-reply" {
        out.push_str(&format!("  reply: {}\n", table::printable(&cause.reply)));
    }
    out.push_str(&format!("  hint: {}\n", table::printable(&advice::about(first))));
    let head = ["WAITS", "LAST TRY", "TRIES", "FROM", "TO", "QUEUE ID", "TRACE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for deferral in group.iter().take(SHOWN) {
        let sender = match deferral.sender.as_str() {
            "" => "<>".to_owned(),
            sender => sender.to_owned(),
        };
        rows.push(vec![
            length(now.saturating_sub(deferral.first_seen)),
            format!("{} ago", length(now.saturating_sub(deferral.last_seen))),
            deferral.attempts.to_string(),
            sender,
            deferral.recipient.clone(),
            deferral.cause.queue.clone().unwrap_or_else(|| "-".to_owned()),
            deferral.cause.trace.clone(),
        ]);
    }
    out.push_str(&table::lines("  ", &rows));
    if group.len() > SHOWN {
        out.push_str(&format!("  and {} more\n", group.len() - SHOWN));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::ledger::Cause;

    const NOW: u64 = 1_800_000_000;

    fn deferral(domain: &str, recipient: &str, reason: &str, words: &str) -> Deferral {
        Deferral {
            scope: Scope::Outgoing,
            domain: domain.to_owned(),
            sender: "alice@company1.example".to_owned(),
            recipient: recipient.to_owned(),
            cause: Cause {
                reason: reason.to_owned(),
                words: words.to_owned(),
                reply: format!("451 4.4.1 {words}"),
                queue: Some("4XyZ12abcd".to_owned()),
                trace: "0011223344556677".to_owned(),
                ..Cause::default()
            },
            first_seen: NOW - 11_100,
            last_seen: NOW - 95,
            attempts: 7,
        }
    }

    fn waiting() -> Vec<Deferral> {
        let unusable = "the domain asks for sealed mail, but its key cannot be used: missing";
        let company2 = |to: &str| deferral("company2.example", to, "policy-unusable", unusable);
        let carol = Deferral {
            first_seen: NOW - 60,
            last_seen: NOW - 1,
            attempts: 1,
            ..company2("carol@company2.example")
        };
        let greylisted = "the next mail server does not take it now: \x1b[2JGreylisted";
        let mut incoming =
            deferral("company3.example", "alice@company1.example", "next-hop-reply", greylisted);
        incoming.scope = Scope::Incoming;
        incoming.sender = String::new();
        incoming.cause.queue = None;
        vec![company2("bob@company2.example"), incoming, carol]
    }

    #[test]
    fn each_domain_and_reason_is_told_with_what_to_do() {
        insta::assert_snapshot!(text(&waiting(), NOW));
        assert_eq!(text(&[], NOW), "nothing waits\n");
    }

    #[test]
    fn json_has_every_field_and_every_recipient() {
        insta::assert_snapshot!(json(&waiting()[..1]).unwrap());
        let many: Vec<Deferral> = (0..50)
            .map(|n| deferral("b.example", &format!("{n}@b.example"), "mixed", "some"))
            .collect();
        let all: Vec<serde_json::Value> = serde_json::from_str(&json(&many).unwrap()).unwrap();
        assert_eq!(all.len(), 50);
        assert!(text(&many, NOW).ends_with("  and 30 more\n"));
    }
}
