//! `mta-seal alarms`: what looks like an attack or needs a person, from the ledger of the running gateway [R-alm-02].

use super::advice;
use super::context;
use super::failure::Failure;
use super::moment::{length, utc};
use super::operator;
use super::table::{self, printable};
use super::terminal::print;
use crate::core::Domain;
use crate::gateway::LEDGER_FILE;
use crate::policy::{AlarmKind, Severity};
use crate::store::ledger::{AlarmRow, Ledger, MAX_ALARMS, OperatorLedger};
use serde_json::json;
use std::path::Path;

/// Options of `alarms`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Also those that are acknowledged, and notices
    #[arg(long)]
    all: bool,
    /// JSON
    #[arg(long)]
    json: bool,
    /// Only about this domain
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say that somebody has looked into the alarms about DOMAIN
    Ack(AckArgs),
}

/// Options of `alarms ack`.
#[derive(Debug, clap::Args)]
struct AckArgs {
    /// The domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// Only this kind, such as `identity-changed`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// What was found; it stays in the ledger, with your name
    #[arg(long, value_name = "TEXT")]
    why: String,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    match &args.command {
        Some(Command::Ack(ack)) => acknowledge(ack, config),
        None => list(args, config),
    }
}

/// Prints alarms. Exit code 1 if any of them is open.
fn list(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let domain = args.domain.as_deref().map(domain).transpose()?;
    let config = context::config(config)?;
    let ledger = context::ledger(&config)?;
    let mut alarms = context::block_on(ledger.alarms(domain.as_ref(), MAX_ALARMS))?
        .map_err(context::ledger_failure)?;
    let open = alarms.iter().any(|alarm| alarm.open);
    if !args.all {
        alarms.retain(|alarm| alarm.open);
    }
    let text = if args.json { json(&alarms)? } else { text(&alarms, context::now()) };
    print(&text)?;
    if open { Err(Failure::Found) } else { Ok(()) }
}

fn acknowledge(args: &AckArgs, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    if let Some(kind) = &args.kind
        && kind.parse::<AlarmKind>().is_err()
    {
        let names: Vec<&str> = AlarmKind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(Failure::usage(format!("--kind `{}`: no kind of alarm", printable(kind)))
            .hint(format!("one of: {}", names.join(", "))));
    }
    let why = operator::reason(&args.why, "whoever sees the alarm next will ask what was found")?;
    let config = context::config(config)?;
    let ledger =
        OperatorLedger::open(&config.state.join(LEDGER_FILE)).map_err(context::ledger_failure)?;
    let (now, by) = (context::now(), operator::current());
    let closed = ledger
        .acknowledge(&domain, args.kind.as_deref(), now, why, &by)
        .map_err(context::ledger_failure)?;
    if closed.is_empty() {
        return Err(Failure::refused(format!("no such alarm about {domain} is open"))
            .hint("`mta-seal alarms` shows those that are"));
    }
    let mut text = String::new();
    for AlarmRow { scope, kind, .. } in closed {
        text.push_str(&format!("{kind} about {domain}, {}: acknowledged\n", scope.as_str()));
    }
    print(&text)
}

fn domain(name: &str) -> Result<Domain, Failure> {
    Domain::parse(name).map_err(|error| Failure::usage(format!("`{}`: {error}", printable(name))))
}

/// A kind of a later version is not less than a warning.
fn severity(alarm: &AlarmRow) -> Severity {
    alarm.kind.parse().map_or(Severity::Warning, |kind: AlarmKind| kind.severity())
}

fn json(alarms: &[AlarmRow]) -> Result<String, Failure> {
    let rows: Vec<serde_json::Value> = alarms
        .iter()
        .map(|alarm| {
            let acknowledged = alarm.acknowledged.as_ref().map(|ack| {
                json!({ "at": ack.at, "uid": ack.by.uid, "login": ack.by.login, "why": ack.why })
            });
            json!({
                "direction": alarm.scope.as_str(),
                "domain": alarm.domain,
                "kind": alarm.kind,
                "severity": severity(alarm).as_str(),
                "words": alarm.words,
                "first_seen": alarm.first_seen,
                "last_seen": alarm.last_seen,
                "count": alarm.count,
                "open": alarm.open,
                "acknowledged": acknowledged,
                "advice": advice::about_alarm(alarm),
            })
        })
        .collect();
    table::json(&rows)
}

/// One paragraph for each alarm, what matters most first.
fn text(alarms: &[AlarmRow], now: u64) -> String {
    if alarms.is_empty() {
        return "no alarms\n".to_owned();
    }
    let mut sorted: Vec<&AlarmRow> = alarms.iter().collect();
    sorted.sort_by_key(|alarm| (!alarm.open, std::cmp::Reverse(severity(alarm))));
    let paragraphs: Vec<String> = sorted.into_iter().map(|alarm| paragraph(alarm, now)).collect();
    paragraphs.join("\n")
}

fn paragraph(alarm: &AlarmRow, now: u64) -> String {
    let AlarmRow { scope, domain, kind, words, first_seen, last_seen, count, .. } = alarm;
    let ago = |moment: u64| length(now.saturating_sub(moment));
    let mut out = format!(
        "{}: {} ({}, {} mail)\n",
        printable(domain),
        printable(kind),
        severity(alarm).as_str(),
        scope.as_str(),
    );
    out.push_str(&format!("  what: {}\n", printable(words)));
    out.push_str(&format!(
        "  since: {} ({}); last {} ago; {count} time{}\n",
        utc(*first_seen),
        ago(*first_seen),
        ago(*last_seen),
        if *count == 1 { "" } else { "s" },
    ));
    if let Some(ack) = &alarm.acknowledged {
        let again = if alarm.open { ", and it has changed or come back" } else { "" };
        out.push_str(&format!(
            "  acknowledged: {} by {} (uid {}){again}: {}\n",
            utc(ack.at),
            printable(&ack.by.login),
            ack.by.uid,
            printable(&ack.why),
        ));
    }
    if alarm.open {
        out.push_str(&format!("  hint: {}\n", printable(&advice::about_alarm(alarm))));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::ledger::{Acknowledgement, Operator, Scope};

    const NOW: u64 = 1_800_000_000;

    fn alarm(kind: &str, words: &str) -> AlarmRow {
        AlarmRow {
            scope: Scope::Outgoing,
            domain: "company2.example".to_owned(),
            kind: kind.to_owned(),
            words: words.to_owned(),
            first_seen: NOW - 11_100,
            last_seen: NOW - 95,
            count: 7,
            open: true,
            acknowledged: None,
        }
    }

    fn alarms() -> Vec<AlarmRow> {
        let by = Operator { uid: 0, login: "alice".to_owned() };
        let acknowledged =
            Some(Acknowledgement { at: NOW - 600, by, why: "\x1b[2J4711".to_owned() });
        let changed = "the identity key changed from A to B without rollover; not believed";
        vec![
            AlarmRow {
                acknowledged: acknowledged.clone(),
                ..alarm("weaker-suite", "sealed to less")
            },
            AlarmRow {
                open: false,
                acknowledged,
                ..alarm("policy-vanished", "DNS denies a policy")
            },
            AlarmRow { scope: Scope::Incoming, count: 1, ..alarm("identity-changed", changed) },
            alarm("of-a-later-version", "\x1b[31mred"),
        ]
    }

    #[test]
    fn each_alarm_is_told_with_what_to_do() {
        insta::assert_snapshot!(text(&alarms(), NOW));
        assert_eq!(text(&[], NOW), "no alarms\n");
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_snapshot!(json(&alarms()[..1]).unwrap());
    }

    #[test]
    fn every_kind_has_its_advice() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in AlarmKind::ALL {
            assert!(seen.insert(advice::about_alarm(&alarm(kind.as_str(), ""))), "{kind}");
        }
        assert!(!seen.contains(&advice::about_alarm(&alarm("of-a-later-version", ""))));
    }
}
