//! `mta-seal keys list`: the calendar of the keys.

use std::path::Path;

use serde::Serialize;

use super::print;
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::{length, utc};
use crate::cli::table;
use crate::gateway::config::LocalDomain;
use crate::gateway::rotation::{Desk, Made};
use crate::lifetime::{Concern, Entry, Next, Schedule, calendar};
use crate::records::CLOCK_TOLERANCE;

/// Options of `keys list`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only this domain of the configuration
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// With the values of records that are to be added or removed
    #[arg(long)]
    records: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let now = context::now();
    let mut sheets = Vec::new();
    for local in context::locals(&config, args.domain.as_deref())? {
        sheets.push(sheet(local, &context::desk(local, now)?, now));
    }
    if args.json {
        return print(&table::json(&sheets)?);
    }
    let texts: Vec<String> = sheets.iter().map(|sheet| text(sheet, args.records, now)).collect();
    print(&texts.join("\n"))
}

/// What is told of a domain. Times are Unix seconds.
#[derive(Debug, Serialize)]
struct Sheet {
    domain: String,
    /// Whether the gateway rotates the keys by itself.
    rotates: bool,
    identity_here: bool,
    policy: Policy,
    keys: Vec<Key>,
    /// Records that are not as they should be.
    records: Vec<Record>,
    concerns: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Policy {
    serial: u64,
    expiry: u64,
    /// Since when, or from when on, everybody sees it.
    seen_by_all: Option<u64>,
    /// When it is signed anew.
    signed_anew: Option<u64>,
    /// Serials of policies that were signed ahead.
    ahead: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Key {
    kind: String,
    id: String,
    selector: Option<String>,
    state: &'static str,
    made: u64,
    used_from: Option<u64>,
    next: &'static str,
    at: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Record {
    action: &'static str,
    name: String,
    value: String,
}

fn sheet(local: &LocalDomain, desk: &Desk, now: u64) -> Sheet {
    let schedule = local.rotation.unwrap_or_default();
    let policy = desk.policy().record();
    let ahead = desk.ahead();
    let identity_here = desk.keyring.identity().is_some();
    let records = desk.book.stands.iter().filter(|s| s.withdrawn || s.seen.is_none());
    let made = Made { at: local.records_under(), selectors: &local.publication.selectors };
    let concerns = match local.rotation {
        Some(_) => desk.plan(&schedule, made, now).concerns,
        None => by_hand(policy.expiry, &schedule, now),
    };
    Sheet {
        domain: local.name.to_string(),
        rotates: local.rotation.is_some(),
        identity_here,
        policy: Policy {
            serial: policy.serial,
            expiry: policy.expiry,
            seen_by_all: desk.book.policy_ready,
            signed_anew: (identity_here && local.rotation.is_some())
                .then(|| desk.book.installed.saturating_add(schedule.sign)),
            ahead: ahead.iter().map(|policy| policy.serial).collect(),
        },
        keys: calendar(&desk.book, policy, &ahead, &schedule, now).iter().map(key).collect(),
        records: records
            .map(|stand| Record {
                action: if stand.withdrawn { "remove" } else { "add" },
                name: stand.name.clone(),
                value: stand.value.clone(),
            })
            .collect(),
        concerns: concerns.iter().map(ToString::to_string).collect(),
    }
}

fn by_hand(expiry: u64, schedule: &Schedule, now: u64) -> Vec<Concern> {
    let ends = now.saturating_add(schedule.warn) >= expiry;
    if ends { vec![Concern::PolicyEnds { at: expiry }] } else { Vec::new() }
}

fn key(entry: &Entry) -> Key {
    let (next, at) = match entry.next {
        Next::Seen => ("waits until its record is seen everywhere", None),
        Next::Ready(at) => ("may be used", Some(at)),
        Next::Use(at) => ("takes the place of the one in use", Some(at)),
        Next::Replace(at) => ("is replaced", Some(at)),
        Next::Destroy(at) => ("is destroyed", Some(at)),
        Next::Delist(at) => ("is no longer listed", Some(at)),
        Next::Nothing => ("", None),
    };
    Key {
        kind: entry.kind.to_string(),
        id: entry.id.to_string(),
        selector: entry.selector.clone(),
        state: entry.state.as_str(),
        made: entry.made,
        used_from: entry.from,
        next,
        at,
    }
}

fn text(sheet: &Sheet, values: bool, now: u64) -> String {
    let policy = &sheet.policy;
    let mut out = format!("{}\n", sheet.domain);
    let mut rows = vec![vec![
        "policy".to_owned(),
        format!("serial {}", policy.serial),
        match policy.expiry.checked_sub(now) {
            Some(left) => format!("ends {} (in {})", utc(policy.expiry), length(left)),
            None => format!("ended {}", utc(policy.expiry)),
        },
    ]];
    rows.push(vec![
        String::new(),
        match policy.seen_by_all {
            Some(at) if at <= now => "seen by all".to_owned(),
            Some(at) => format!("seen by all from {}", utc(at)),
            None if sheet.rotates => "not yet seen by all".to_owned(),
            None => "by hand".to_owned(),
        },
        match policy.signed_anew {
            Some(at) => format!("signed anew {}", utc(at)),
            None if !policy.ahead.is_empty() => {
                let next = policy.ahead.iter().min().copied().unwrap_or(0);
                format!("{} signed ahead, next {}", policy.ahead.len(), utc(next))
            }
            None if sheet.identity_here => "signed anew by `mta-seal policy sign`".to_owned(),
            None => "identity key elsewhere".to_owned(),
        },
    ]);
    out.push_str(&table::lines("  ", &rows));
    let rows: Vec<Vec<String>> = sheet.keys.iter().map(|key| row(key, now)).collect();
    out.push_str(&table::lines("  ", &rows));
    for record in &sheet.records {
        let value = if values { record.value.as_str() } else { "(--records shows the value)" };
        out.push_str(&format!("  to {}: {} TXT {value}\n", record.action, record.name));
    }
    for concern in &sheet.concerns {
        out.push_str(&format!("  ! {concern}\n"));
    }
    out
}

fn row(key: &Key, now: u64) -> Vec<String> {
    let at = match key.at {
        Some(at) if at.saturating_add(CLOCK_TOLERANCE) < now => "now due".to_owned(),
        Some(at) => utc(at),
        None => String::new(),
    };
    let short = key.id.get(..16).unwrap_or(&key.id).to_owned();
    let selector = key.selector.clone().unwrap_or_default();
    vec![key.kind.clone(), short, selector, key.state.to_owned(), key.next.to_owned(), at]
}
