//! `mta-seal keys list`: the calendar of the keys.

use std::path::Path;

use serde::Serialize;

use super::concern::{self, About};
use super::{WIDTH, print};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::{length, utc};
use crate::cli::table;
use crate::gateway::config::{LocalDomain, PublicationWay};
use crate::gateway::rotation::{Desk, Made};
use crate::lifetime::{Concern, Entry, Next, Schedule, Stand, calendar};
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
    /// Who publishes the records: `manual`, `hook` or `update`.
    publishes: &'static str,
    identity_here: bool,
    policy: Policy,
    keys: Vec<Key>,
    /// Records that are not as they should be.
    records: Vec<Record>,
    concerns: Vec<String>,
    #[serde(skip)]
    hints: Vec<String>,
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
    revoked: Option<u64>,
    destroyed: Option<u64>,
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
    let mut records: Vec<&Stand> =
        desk.book.stands.iter().filter(|s| s.withdrawn || s.seen.is_none()).collect();
    // In the order in which they are to be changed.
    records.sort_by_key(|stand| stand.withdrawn);
    let made = Made::of(local);
    let concerns = match local.rotation {
        Some(_) => desk.plan(&schedule, made, now).concerns,
        None => by_hand(policy.expiry, &schedule, now),
    };
    let about = About { domain: &local.name, rotates: local.rotation.is_some(), identity_here };
    Sheet {
        domain: local.name.to_string(),
        rotates: about.rotates,
        publishes: match local.publication.way {
            PublicationWay::Manual => "manual",
            PublicationWay::Hook { .. } => "hook",
            PublicationWay::Update { .. } => "update",
        },
        identity_here,
        policy: Policy {
            serial: policy.serial,
            expiry: policy.expiry,
            seen_by_all: desk.book.policy_ready,
            signed_anew: (identity_here && about.rotates)
                .then(|| desk.book.installed.saturating_add(schedule.sign)),
            ahead: ahead.iter().map(|policy| policy.serial).collect(),
        },
        keys: calendar(&desk.book, policy, &ahead, &schedule, now).iter().map(key).collect(),
        records: records
            .into_iter()
            .map(|stand| Record {
                action: if stand.withdrawn { "remove" } else { "add" },
                name: stand.name.clone(),
                value: stand.value.clone(),
            })
            .collect(),
        concerns: concerns.iter().map(concern::words).collect(),
        hints: concerns.iter().map(|concern| about.hint(concern)).collect(),
    }
}

fn by_hand(expiry: u64, schedule: &Schedule, now: u64) -> Vec<Concern> {
    let ends = now.saturating_add(schedule.warn) >= expiry;
    if ends { vec![Concern::PolicyEnds { at: expiry }] } else { Vec::new() }
}

fn key(entry: &Entry) -> Key {
    let (next, at) = match entry.next {
        Next::Seen => ("usable when seen everywhere", None),
        Next::Ready(at) => ("usable from", Some(at)),
        Next::Use(at) => ("in use from", Some(at)),
        Next::Replace(at) => ("replaced", Some(at)),
        Next::Destroy(at) => ("destroyed", Some(at)),
        Next::Delist(at) => ("unlisted", Some(at)),
        Next::Nothing => ("", None),
    };
    Key {
        kind: entry.kind.to_string(),
        id: entry.id.to_string(),
        selector: entry.selector.clone(),
        state: entry.state.as_str(),
        made: entry.made,
        used_from: entry.from,
        revoked: entry.revoked,
        destroyed: entry.destroyed,
        next,
        at,
    }
}

fn text(sheet: &Sheet, values: bool, now: u64) -> String {
    let mut out = format!("{}, times in UTC\n", sheet.domain);
    if !sheet.rotates {
        let by_hand = "The gateway leaves these keys as they are: [domain.rotation] is not configured. At a date below \
                       nothing happens by itself; `mta-seal keys rotate` does what is due then.";
        table::paragraph(&mut out, "  ", 2, by_hand, WIDTH);
    }
    let facts = policy(sheet, now);
    let head = |at: usize| if at == 0 { "policy" } else { "" };
    let rows = facts.into_iter().enumerate();
    let rows: Vec<Vec<String>> = rows.map(|(at, fact)| vec![head(at).to_owned(), fact]).collect();
    out.push_str(&table::lines("  ", &rows));
    out.push('\n');
    let (over, keys): (Vec<&Key>, Vec<&Key>) = sheet.keys.iter().partition(|key| key.is_over());
    let mut rows = vec![["KEY", "FOR", "STATE", "NEXT"].map(str::to_owned).to_vec()];
    if keys.iter().any(|key| key.own_selector().is_some()) {
        rows[0].push("SELECTOR".to_owned());
    }
    rows.extend(keys.iter().map(|key| row(key, now)));
    out.push_str(&table::lines("  ", &rows));
    if let Some(last) = over.iter().filter_map(|key| key.destroyed).max() {
        let count = over.len();
        out.push_str(&format!(
            "  {count} more destroyed, the last {}; --json has them\n",
            short(last)
        ));
    }
    if !sheet.records.is_empty() {
        out.push('\n');
    }
    for Record { action, name, value } in &sheet.records {
        out.push_str(&match (sheet.publishes, *action) {
            ("manual", action) => format!("  to {action}: {name} TXT\n"),
            (_, "remove") => format!("  not yet gone everywhere: {name} TXT\n"),
            _ => format!("  not yet seen everywhere: {name} TXT\n"),
        });
        if values {
            out.push_str(&format!("    {value}\n"));
        }
    }
    if !sheet.records.is_empty() && !values {
        out.push_str("  (--records shows the values)\n");
    }
    let concerns = sheet.concerns.iter().map(String::as_str);
    concern::paragraphs(&mut out, concerns.zip(sheet.hints.iter().map(String::as_str)));
    out
}

/// What is told of the policy, line by line.
fn policy(sheet: &Sheet, now: u64) -> Vec<String> {
    let policy = &sheet.policy;
    let end = match policy.expiry.checked_sub(now) {
        Some(left) => format!("until {} ({} left)", short(policy.expiry), length(left)),
        None => format!("ended {}", short(policy.expiry)),
    };
    let seen = match policy.seen_by_all {
        Some(at) if at <= now => "seen by everybody".to_owned(),
        Some(at) => format!("seen by everybody from {}", short(at)),
        None if sheet.rotates => "not yet seen by everybody".to_owned(),
        None => "published by hand: `mta-seal check` looks whether it is seen".to_owned(),
    };
    let anew = match policy.signed_anew {
        Some(at) if is_late(at, now) => "signed anew: overdue".to_owned(),
        Some(at) => format!("signed anew {}", short(at)),
        None if !policy.ahead.is_empty() => {
            let next = policy.ahead.iter().min().copied().unwrap_or(0);
            format!("{} signed ahead, the next from {}", policy.ahead.len(), short(next))
        }
        None if sheet.identity_here => "`mta-seal policy sign` signs it anew".to_owned(),
        None => "none signed ahead: `mta-seal policy request`".to_owned(),
    };
    vec![format!("serial {}, {end}", policy.serial), seen, anew]
}

/// A time without the zone, which the first line names.
fn short(unix: u64) -> String {
    let text = utc(unix);
    text.strip_suffix(" UTC").unwrap_or(&text).to_owned()
}

fn is_late(at: u64, now: u64) -> bool {
    at.saturating_add(CLOCK_TOLERANCE) < now
}

impl Key {
    /// As many digits as tell it from the others.
    fn short(&self) -> &str {
        self.id.get(..16).unwrap_or(&self.id)
    }

    /// It was destroyed in its time, and nothing happens with it any more.
    fn is_over(&self) -> bool {
        self.destroyed.is_some() && self.at.is_none() && self.revoked.is_none()
    }

    /// Its selector, if that does not follow from its id.
    fn own_selector(&self) -> Option<&str> {
        let selector = self.selector.as_deref()?;
        let digits = selector.strip_prefix('k').unwrap_or_default();
        (digits.len() < 8 || !self.id.starts_with(digits)).then_some(selector)
    }
}

fn row(key: &Key, now: u64) -> Vec<String> {
    let next = match (key.at, key.destroyed) {
        (Some(at), _) if is_late(at, now) => format!("{} (overdue)", key.next),
        (Some(at), _) => format!("{} {}", key.next, short(at)),
        (None, Some(at)) => format!("since {}", short(at)),
        (None, None) => key.next.to_owned(),
    };
    let revoked = if key.revoked.is_some() { "revoked; " } else { "" };
    let mut row = [key.short(), &key.kind, key.state].map(str::to_owned).to_vec();
    row.push(format!("{revoked}{next}"));
    row.extend(key.own_selector().map(str::to_owned));
    row
}
