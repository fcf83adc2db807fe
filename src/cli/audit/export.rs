//! `audit export`: the rows for other programs, in constant memory.

use super::{digits, json_row};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::table::{printable, printable_json};
use crate::cli::when::Range;
use crate::gateway::config::Config;
use crate::store::ledger::{AuditRow, LedgerError};
use std::io::{self, BufWriter, Write};

/// Options of `audit export`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    range: Range,
    /// One JSON object a line, or comma-separated values with a line of names
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

const NAMES: [&str; 15] = [
    "seq",
    "at",
    "kind",
    "direction",
    "trace",
    "message_id",
    "envelope",
    "token",
    "sender",
    "recipient",
    "domain",
    "reason",
    "detail",
    "digest",
    "chain",
];

/// Why it ends before the last row.
enum Stop {
    Ledger(LedgerError),
    Output(io::Error),
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

pub(super) fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    let (since, until) = args.range.read(context::now())?;
    let trail = super::trail(config)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = write(&mut out, args.format, |take| {
        trail.each(|row| {
            let at = row.time();
            let wanted =
                since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until);
            if wanted { take(row).map_err(Stop::Output) } else { Ok(()) }
        })
    });
    done.and_then(|()| out.flush().map_err(Stop::Output)).map_err(|stop| match stop {
        Stop::Ledger(error) => context::ledger_failure(error),
        Stop::Output(error) => Failure::writing("standard output", &error),
    })
}

/// Writes what `rows` hands over.
fn write<W: Write>(
    out: &mut W,
    format: Format,
    rows: impl FnOnce(&mut dyn FnMut(&AuditRow) -> io::Result<()>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    if format == Format::Csv {
        write!(out, "{}\r\n", NAMES.join(",")).map_err(Stop::Output)?;
    }
    rows(&mut |row| match format {
        Format::Jsonl => writeln!(out, "{}", printable_json(&json_row(row).to_string())),
        Format::Csv => write!(out, "{}\r\n", csv(row)),
    })
}

/// A line of RFC 4180, without its end.
fn csv(row: &AuditRow) -> String {
    let octets = |octets: &Option<Vec<u8>>| octets.as_deref().map(digits).unwrap_or_default();
    let fields: [String; 15] = [
        row.seq.to_string(),
        row.at.to_string(),
        row.kind.clone(),
        row.scope().map(|scope| scope.as_str().to_owned()).unwrap_or_default(),
        row.trace.clone(),
        row.message_id.clone(),
        octets(&row.envelope),
        octets(&row.token),
        row.sender.clone(),
        row.recipient.clone(),
        row.domain.clone(),
        row.reason.clone(),
        row.detail.clone(),
        digits(&row.digest),
        digits(&row.chain),
    ];
    // What a terminal or a spreadsheet would obey is only in the other form as it is.
    fields.map(|field| quoted(&printable(&field))).join(",")
}

/// A field of RFC 4180. What a spreadsheet would take for a formula gets an apostrophe: strangers choose addresses.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@']);
    let guard = if formula { "'" } else { "" };
    if formula || field.contains(['"', ',']) {
        format!("\"{guard}{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row() -> AuditRow {
        AuditRow {
            seq: 17,
            at: 1_800_000_000,
            kind: "sealed".to_owned(),
            direction: 0,
            trace: "0011223344556677".to_owned(),
            message_id: "<a\"b@company1.example>".to_owned(),
            envelope: Some(vec![0xab; 32]),
            token: None,
            sender: "=cmd()\u{9b}2J@company1.example".to_owned(),
            recipient: "bob@company2.example".to_owned(),
            domain: "company2.example".to_owned(),
            reason: "accepted".to_owned(),
            detail: "{\"level\":\"dnssec\",\"serial\":7}".to_owned(),
            digest: vec![1; 32],
            chain: vec![2; 32],
        }
    }

    fn exported(format: Format) -> String {
        let mut out = Vec::new();
        let written = write(&mut out, format, |take| take(&row()).map_err(Stop::Output));
        assert!(written.is_ok());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_exported_in_both_forms() {
        insta::assert_snapshot!(exported(Format::Jsonl));
        insta::assert_snapshot!(exported(Format::Csv).replace("\r\n", "\n"));
        assert_eq!(exported(Format::Csv).matches("\r\n").count(), 2);
    }
}
