//! `mta-seal partner`: the domains that mail is exchanged with, and the operator's overrides.
//!
//! Partners made here stand in a file of their own beside the configuration, which a running gateway takes up by itself.
//! Every change is on record in the ledger before it is made.

mod add;
mod book;
mod compare;
mod forced_tls;
mod forget;
mod found;
mod import;
mod list;
mod overrides;
mod pin;
mod show;

use std::path::Path;

use super::failure::Failure;
use super::terminal::print;
use super::{context, operator};
use crate::core::Domain;
use crate::policy::Memory;
use crate::store::ledger::{Ledger, Remembered, Scope, SqliteLedger};

/// What is done with partners.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Look DOMAIN up, compare its fingerprint with the partner, and add it
    ///
    /// Shows what the domain publishes, with the fingerprint of its identity key in digits and words, and asks whether the
    /// partner reads you the same by telephone. A running gateway takes the partner up by itself.
    Add(add::Args),
    /// Show all partners
    List(list::Args),
    /// Show what holds for DOMAIN, what is remembered of it, and what was done about it
    Show(show::Args),
    /// Set or change the fingerprint of a partner
    Pin(pin::Args),
    /// Remove the entry of a partner
    Forget(forget::Args),
    /// Add the domains of a file, such as a Postfix smtp_tls_policy_maps, as partners whose mail must be sealed
    Import(import::Args),
    /// Override: until a given time, mail to DOMAIN leaves in clear where it would wait
    AllowClear(overrides::AllowArgs),
    /// End the override of DOMAIN
    DisallowClear(overrides::DisallowArgs),
    /// Show current and past overrides
    Overrides(overrides::ListArgs),
}

pub(super) fn run(command: &Command, config: Option<&Path>) -> Result<(), Failure> {
    match command {
        Command::Add(args) => add::run(args, config),
        Command::List(args) => list::run(args, config),
        Command::Show(args) => show::run(args, config),
        Command::Pin(args) => pin::run(args, config),
        Command::Forget(args) => forget::run(args, config),
        Command::Import(args) => import::run(args, config),
        Command::AllowClear(args) => overrides::allow(args, config),
        Command::DisallowClear(args) => overrides::disallow(args, config),
        Command::Overrides(args) => overrides::list(args, config),
    }
}

fn domain(name: &str) -> Result<Domain, Failure> {
    Domain::parse(name).map_err(|error| Failure::usage(format!("`{name}`: {error}")))
}

/// The reason of a change.
fn reason(why: &str) -> Result<&str, Failure> {
    operator::reason(why, "whoever audits the ledger will ask")
}

/// What is remembered of a domain in one direction.
struct Recalled {
    /// The row.
    kept: Remembered,
    /// The same as the gateway understands it; none if the row is damaged.
    memory: Option<Memory>,
}

fn recall(
    ledger: Option<&SqliteLedger>,
    scope: Scope,
    domain: &Domain,
) -> Result<Option<Recalled>, Failure> {
    let Some(ledger) = ledger else { return Ok(None) };
    let kept = context::block_on(ledger.recall(scope, domain))?.map_err(context::ledger_failure)?;
    Ok(kept.map(|kept| Recalled { memory: crate::gateway::restore(domain, &kept), kept }))
}
