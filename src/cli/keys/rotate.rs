//! `mta-seal keys rotate`: does what is due, with or without a running gateway.

use std::path::Path;
use std::sync::Arc;

use super::print;
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::passphrase;
use crate::dns::StubResolver;
use crate::dns::authorities::DNS_PORT;
use crate::gateway::SystemClock;
use crate::gateway::config::{Config, LocalDomain};
use crate::gateway::rotation::{Event, Keeper, Tended};

/// Options of `keys rotate`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only this domain of the configuration
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Replace all keys before their time, each as soon as its successor is seen everywhere
    #[arg(long)]
    now: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let now = context::now();
    for local in context::locals(&config, args.domain.as_deref())? {
        if args.now {
            let mut desk = context::desk(local, now)?;
            desk.book.hurry = Some(now);
            desk.save(now)?;
        }
        let tended = tend(&config, local, now)?;
        print(&told(local, &tended))?;
    }
    Ok(())
}

/// Visits the keys of a domain once, as the gateway would.
pub(super) fn tend(config: &Config, local: &LocalDomain, now: u64) -> Result<Tended, Failure> {
    let resolver = StubResolver::new(&config.dns).map_err(Failure::refused)?;
    let passphrase = passphrase::existing(&local.keys, local.passphrase.as_deref())?;
    let keeper = Keeper::of(local, passphrase, Arc::new(resolver), DNS_PORT, Arc::new(SystemClock))
        .map_err(|error| Failure::refused(&error).hint_if(error.hint()))?;
    Ok(context::block_on(keeper.tend(now))??)
}

/// What a visit has brought, in words.
pub(super) fn told(local: &LocalDomain, tended: &Tended) -> String {
    let mut out = format!("{}\n", local.name);
    for event in &tended.events {
        let line = match event {
            Event::Made(kind, id) => format!("made {kind} key {id}"),
            Event::Signed { serial, expiry, .. } => {
                format!("signed a policy, serial {serial}, until {}", utc(*expiry))
            }
            Event::Installed(serial) => format!("put the policy of serial {serial} into force"),
            Event::Destroyed(kind, id) => format!("destroyed {kind} key {id}"),
            Event::RolloverEnded { former, destroyed: true } => {
                format!(
                    "the rollover of the identity key is over: destroyed the former one, {former}"
                )
            }
            Event::RolloverEnded { former, destroyed: false } => format!(
                "the rollover of the identity key is over: the former one, {former}, can be destroyed where it is kept"
            ),
            Event::Lost(kind, id) => format!("{kind} key {id} is missing from the keyring"),
            Event::Swept(files) => format!("erased {files} files that a crash had left"),
            Event::Published(name) => format!("published {name}"),
            Event::Withdrawn(name) => format!("withdrew a record of {name}"),
            Event::Visible(name) => format!("{name} is seen at every name server"),
        };
        out.push_str(&format!("  {line}\n"));
    }
    for change in &tended.by_hand {
        out.push_str(&format!("  to {}: {} TXT {}\n", change.action, change.name, change.value));
    }
    if let Some(why) = &tended.refused {
        out.push_str(&format!("  ! not published: {why}\n"));
    }
    for concern in &tended.concerns {
        out.push_str(&format!("  ! {concern}\n"));
    }
    if tended.next != u64::MAX {
        out.push_str(&format!("  next {}\n", utc(tended.next)));
    }
    out
}
