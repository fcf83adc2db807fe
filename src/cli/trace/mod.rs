//! `mta-seal trace`: one message's whole story on both sides of the gateway, from the audit trail.

mod find;
mod story;

use super::audit;
use super::context;
use super::failure::Failure;
use super::table::{self, printable};
use super::terminal;
use super::when::Range;
use crate::store::ledger::audit::MAX_ROWS;
use serde_json::{Value, json};
use std::path::Path;
use story::Story;

/// Most messages shown as text; `--json` has them all.
const SHOWN: usize = 50;

/// Options of `trace`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A Message-ID, an address, a domain, a trace id, an envelope or a carrier's token
    #[arg(value_name = "WHAT")]
    what: Option<String>,
    #[command(flatten)]
    range: Range,
    /// JSON, with every column of every row
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    if args.what.is_none() && !args.range.is_given() {
        return Err(Failure::usage(
            "name a message, an address or a domain, or a time with --since",
        )
        .hint("`mta-seal trace bob@company2.example --since 1d`"));
    }
    let subjects = args.what.as_deref().map(find::subjects).transpose()?;
    let config = context::config(config)?;
    let (since, until) = args.range.read(context::now())?;
    let trail = audit::trail(&config)?;
    let found =
        find::rows(&trail, subjects.as_deref(), since, until).map_err(context::ledger_failure)?;
    let stories = story::tell(found.rows);
    if stories.is_empty() {
        let what = args
            .what
            .as_deref()
            .map_or_else(|| "then".to_owned(), |what| format!("about `{}`", printable(what)));
        return Err(Failure::refused(format!("nothing is on record {what}")).hint(
            "the trail is kept for `[audit] keep_days`; the log may know more of the last days",
        ));
    }
    terminal::print(&if args.json { json(&stories)? } else { text(&stories, found.cut) })
}

fn json(stories: &[Story]) -> Result<String, Failure> {
    let all: Vec<Value> = stories
        .iter()
        .map(|story| {
            let rows: Vec<Value> = story.rows.iter().map(audit::json_row).collect();
            json!({ "message_id": story.message_id(), "rows": rows })
        })
        .collect();
    table::json(&all)
}

fn text(stories: &[Story], cut: bool) -> String {
    let last = stories.len().saturating_sub(SHOWN);
    let shown: Vec<String> = stories.iter().skip(last).map(Story::text).collect();
    let mut out = shown.join("\n");
    if last > 0 {
        out.push_str(&format!("\nand {last} earlier; --since and --until narrow\n"));
    } else if cut {
        out.push_str(&format!(
            "\nonly the last {MAX_ROWS} rows were read; --since and --until narrow\n"
        ));
    }
    out
}
