//! `mta-seal partner forget`: removes the entry of a partner, not what is remembered of it.

use std::path::Path;

use super::super::failure::Failure;
use super::super::moment::utc;
use super::super::{context, terminal};
use super::book::Book;
use super::{domain, print, reason, recall};
use crate::gateway::config::{Change, Partner};
use crate::store::ledger::{ActionKind, NewAction, Scope};

/// Options of `partner forget`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The partner's domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// Why; it stays in the ledger, with your name
    #[arg(long, value_name = "TEXT")]
    why: String,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    let why = reason(&args.why)?;
    let (book, before) = Book::open(config)?;
    let mut removed = book.entry(&before, &domain)?.clone();
    let mut changes = Vec::new();
    let after = book.change(|config, text| {
        removed = book.entry(config, &domain)?.clone();
        text.remove(&domain).map_err(|error| book.cannot_edit(&error))?;
        changes = config.standing(&domain).changes(&config.standing_of_strangers());
        let changed: Vec<String> = changes.iter().map(Change::record).collect();
        let detail = match changed.as_slice() {
            [] => format!("{}: {why}", detail(&removed)),
            changed => format!("{}; {}: {why}", detail(&removed), changed.join(", ")),
        };
        Ok(vec![NewAction { kind: ActionKind::Forget, domain: domain.clone(), detail }])
    })?;
    print(&format!("removed {domain}: {}\n", detail(&removed)))?;
    for change in &changes {
        let meaning = change.meaning(&domain);
        if change.weakens() {
            terminal::warning(&meaning);
        } else {
            print(&format!("{meaning}\n"))?;
        }
    }
    let ledger = context::ledger_if_any(&after)?;
    if let Some(known) = recall(ledger.as_ref(), Scope::Outgoing, &domain)? {
        let until = known.kept.enforce_until.filter(|until| *until > context::now());
        let holds = match until {
            Some(until) => format!(", and clear mail to it stays forbidden until {}", utc(until)),
            None => String::new(),
        };
        print(&format!("what the gateway remembers of {domain} stays{holds}\n"))?;
    }
    book.tell()
}

fn detail(partner: &Partner) -> String {
    let treatment = &partner.treatment;
    let pin = match &partner.identity {
        Some(id) => format!("identity {id}"),
        None => "not pinned".to_owned(),
    };
    let aligned = if treatment.require_aligned { ", require_aligned" } else { "" };
    let weaker = if partner.allow_weaker_suite { ", allow_weaker_suite" } else { "" };
    format!(
        "policy {}, minimum_level {}, inbound {}{aligned}{weaker}, {pin}",
        treatment.policy,
        treatment.minimum_level,
        treatment.inbound.as_str()
    )
}
