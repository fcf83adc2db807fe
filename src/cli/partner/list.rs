//! `mta-seal partner list`: all partners, from both files.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use super::super::failure::Failure;
use super::super::moment::utc;
use super::super::{context, table};
use super::print;
use crate::gateway::config::{Config, Partner};
use crate::store::ledger::{Ledger, MAX_ALLOWANCES, Scope};

/// Options of `partner list`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// JSON, with whole fingerprints
    #[arg(long)]
    json: bool,
}

/// A partner with what the ledger knows of it.
struct Row<'a> {
    partner: &'a Partner,
    /// Until when an override holds.
    overridden: Option<u64>,
    /// Since when its key is remembered for sealing.
    remembered: Option<u64>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let rows = rows(&config)?;
    print(&if args.json { json(&rows)? } else { text(&rows) })
}

fn rows(config: &Config) -> Result<Vec<Row<'_>>, Failure> {
    let ledger = context::ledger_if_any(config)?;
    let now = context::now();
    let mut overridden = HashMap::new();
    if let Some(ledger) = &ledger {
        let all = context::block_on(ledger.allowances(MAX_ALLOWANCES))?
            .map_err(context::ledger_failure)?;
        for allowance in all.into_iter().filter(|allowance| allowance.holds(now)) {
            let until: &mut u64 = overridden.entry(allowance.domain).or_default();
            *until = allowance.until.max(*until);
        }
    }
    context::block_on(async {
        let mut rows = Vec::new();
        for partner in &config.partners {
            let domain = &partner.domain;
            let kept = match &ledger {
                Some(ledger) => ledger.recall(Scope::Outgoing, domain).await?,
                None => None,
            };
            let remembered = kept.filter(|kept| now < kept.until).map(|kept| kept.first_seen);
            let overridden = overridden.get(domain.as_str()).copied();
            rows.push(Row { partner, overridden, remembered });
        }
        Ok(rows)
    })?
    .map_err(context::ledger_failure)
}

fn json(rows: &[Row<'_>]) -> Result<String, Failure> {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let Row { partner, overridden, remembered } = row;
            json!({
                "domain": partner.domain.as_str(),
                "policy": partner.treatment.policy.as_str(),
                "minimum_level": partner.treatment.minimum_level.as_str(),
                "identity": partner.identity.map(|id| id.to_string()),
                "inbound": partner.treatment.inbound.as_str(),
                "allow_weaker_suite": partner.allow_weaker_suite,
                "file": partner.place.file.display().to_string(),
                "line": partner.place.line,
                "override_until": overridden,
                "remembered_since": remembered,
            })
        })
        .collect();
    table::json(&rows)
}

fn text(rows: &[Row<'_>]) -> String {
    if rows.is_empty() {
        return "no partners\n".to_owned();
    }
    let head = ["DOMAIN", "POLICY", "LEVEL", "PIN", "INBOUND", "OVERRIDE", "REMEMBERED", "DEFINED"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let none = || "-".to_owned();
    for Row { partner, overridden, remembered } in rows {
        // As much as tells two keys apart at a glance; `show` has the whole.
        let pin =
            partner.identity.map(|id| id.to_string().chars().take(8).chain("..".chars()).collect());
        lines.push(vec![
            partner.domain.to_string(),
            partner.treatment.policy.to_string(),
            partner.treatment.minimum_level.to_string(),
            pin.unwrap_or_else(none),
            partner.treatment.inbound.as_str().to_owned(),
            overridden.map_or_else(none, |until| format!("clear until {}", utc(until))),
            remembered.map_or_else(none, |since| format!("since {}", utc(since))),
            partner.place.to_string(),
        ]);
    }
    table::lines("", &lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn config() -> Config {
        let text = "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n\
             [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n\
             [[partner]]\ndomain = 'c.example'\n\
             [[partner]]\ndomain = 'b.example'\npolicy = 'require'\ninbound = 'require-sealed'\n\
             identity = '0707070707070707070707070707070707070707070707070707070707070707'\n";
        Config::parse(text, Path::new("/etc/mta-seal/mta-seal.toml")).unwrap()
    }

    fn of(config: &Config) -> Vec<Row<'_>> {
        let row = |at: usize, overridden, remembered| {
            let partner = &config.partners[at];
            Row { partner, overridden, remembered }
        };
        vec![row(0, None, Some(NOW)), row(1, Some(NOW), None)]
    }

    #[test]
    fn partners_are_shown_in_columns() {
        insta::assert_snapshot!(text(&of(&config())));
        assert_eq!(text(&[]), "no partners\n");
    }

    #[test]
    fn json_has_the_whole_fingerprint() {
        insta::assert_snapshot!(json(&of(&config())).unwrap());
    }
}
