//! `audit verify`: whether the trail is whole.

use super::papers::Papers;
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::table::{self, printable};
use crate::cli::terminal;
use crate::gateway::config::{Config, parse_fingerprint};
use crate::store::ledger::audit::{Checkpoint, Report};
use serde_json::json;
use std::path::PathBuf;

/// Options of `audit verify`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A checkpoint that was kept elsewhere, to compare with
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Believe this identity key too, of a domain that was ours
    #[arg(long, value_name = "FINGERPRINT")]
    identity: Vec<String>,
    /// JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    let mut given = Vec::new();
    for text in &args.identity {
        given.push(parse_fingerprint(text).map_err(|error| {
            Failure::usage(format!("--identity `{}`: {error}", printable(text)))
        })?);
    }
    let kept = args.checkpoint.as_ref().map(kept).transpose()?;
    let trail = super::trail(config)?;
    let mut papers = Papers::new(&trail, config, &given)?;
    let report = trail.verify(&mut papers, kept).map_err(context::ledger_failure)?;
    terminal::print(&if args.json { json(&report)? } else { text(&report) })?;
    if report.is_whole() { Ok(()) } else { Err(Failure::Found) }
}

fn kept(path: &PathBuf) -> Result<Checkpoint, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::reading_file(path, &error))?;
    Checkpoint::parse(&text)
        .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
}

fn json(report: &Report) -> Result<String, Failure> {
    let flaws: Vec<String> = report.flaws.iter().map(ToString::to_string).collect();
    table::json(&json!({
        "whole": report.is_whole(),
        "first": report.first,
        "last": report.last,
        "rows": report.rows,
        "checkpoints": report.checkpoints,
        "signed": report.signed.as_ref().map(Checkpoint::to_json),
        "unsigned": report.unsigned,
        "flaws": flaws,
        "more_flaws": report.more,
    }))
}

fn text(report: &Report) -> String {
    let mut out = match (report.first, report.last) {
        (Some(first), Some(last)) => format!("rows {first} to {last}: {} rows\n", report.rows),
        _ => "no rows\n".to_owned(),
    };
    match &report.signed {
        Some(Checkpoint { seq, at, domain, key, .. }) => out.push_str(&format!(
            "signed up to row {seq}, {}, by {} with key {key}; {} checkpoints\n",
            utc(*at),
            printable(domain),
            report.checkpoints,
        )),
        None => out.push_str("no checkpoint holds\n"),
    }
    if report.unsigned > 0 {
        out.push_str(&format!("not signed yet: the last {} rows\n", report.unsigned));
    }
    for flaw in &report.flaws {
        out.push_str(&format!("WRONG: {}\n", printable(&flaw.to_string())));
    }
    if report.more > 0 {
        out.push_str(&format!("and {} more\n", report.more));
    }
    out.push_str(if report.is_whole() {
        "the audit trail is whole\n"
    } else {
        "the audit trail is not what this gateway wrote\n"
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::KeyId;
    use crate::store::ledger::audit::{Chain, Flaw};

    fn report() -> Report {
        let checkpoint = Checkpoint {
            trail: [7; 16],
            seq: 4_700,
            previous: 3_700,
            at: 1_800_000_000,
            chain: Chain([1; 32]),
            domain: "company1.example".to_owned(),
            key: KeyId::from_bytes([2; 32]),
            policy: [3; 32],
            signature: [4; 64],
        };
        Report {
            first: Some(1),
            last: Some(4_711),
            rows: 4_711,
            checkpoints: 5,
            signed: Some(checkpoint),
            unsigned: 11,
            flaws: Vec::new(),
            more: 0,
        }
    }

    #[test]
    fn what_is_whole_and_what_is_not_is_said_plainly() {
        let whole = report();
        let why = "its signature is wrong".to_owned();
        let flaws = vec![Flaw::Changed(17), Flaw::Missing(20, 29), Flaw::Unbelieved(4_700, why)];
        let broken = Report { flaws, more: 3, ..report() };
        insta::assert_snapshot!(format!("{}\n{}", text(&whole), text(&broken)));
        insta::assert_snapshot!(json(&broken).unwrap_or_default());
    }
}
