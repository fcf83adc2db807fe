//! `mta-seal partner forget`: removes the entry of a partner, not what is remembered of it.

use std::path::Path;

use super::super::failure::Failure;
use super::super::moment::utc;
use super::super::{context, terminal};
use super::book::Book;
use super::{domain, print, reason, recall};
use crate::gateway::config::{ClearMail, Config, Partner};
use crate::policy::{Level, Rule};
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
    let after = book.change(|config, text| {
        removed = book.entry(config, &domain)?.clone();
        text.remove(&domain).map_err(|error| book.cannot_edit(&error))?;
        let detail = format!("{}: {why}", detail(&removed));
        Ok(vec![NewAction { kind: ActionKind::Forget, domain: domain.clone(), detail }])
    })?;
    print(&format!("removed {domain}: {}\n", detail(&removed)))?;
    for warning in losses(&removed, &after) {
        terminal::warning(&warning);
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

/// What no longer holds without the entry.
fn losses(removed: &Partner, after: &Config) -> Vec<String> {
    let (domain, now) = (&removed.domain, &after.defaults);
    let mut warnings = Vec::new();
    let was = removed.treatment.policy;
    if was != now.policy {
        let happens = match now.policy {
            Rule::Require => "is sealed or refused from now on",
            Rule::Prefer => "leaves in clear from now on if it publishes no policy",
            Rule::Never => "leaves in clear from now on",
        };
        warnings.push(format!("mail to {domain} {happens}"));
    }
    if removed.identity.is_some() && now.minimum_level < Level::Pinned {
        warnings.push(format!(
            "the identity key of {domain} is no longer pinned: whoever holds its DNS can change it"
        ));
    }
    if removed.treatment.inbound == ClearMail::RequireSealed && now.inbound == ClearMail::Mark {
        warnings.push(format!("clear mail that claims to be from {domain} is taken from now on"));
    }
    warnings
}

fn detail(partner: &Partner) -> String {
    let treatment = &partner.treatment;
    let pin = match &partner.identity {
        Some(id) => format!("identity {id}"),
        None => "not pinned".to_owned(),
    };
    format!(
        "policy {}, minimum_level {}, inbound {}, {pin}",
        treatment.policy,
        treatment.minimum_level,
        treatment.inbound.as_str()
    )
}
