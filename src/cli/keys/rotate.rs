//! `mta-seal keys rotate`: does what is due, with or without a running gateway.

use std::path::Path;
use std::sync::Arc;

use super::concern::{self, About};
use super::{digits, print};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::trail::Trail;
use crate::dns::StubResolver;
use crate::dns::authorities::DNS_PORT;
use crate::gateway::SystemClock;
use crate::gateway::config::{Config, LocalDomain};
use crate::gateway::publication::{Action, Change};
use crate::gateway::rotation::{Event, Keeper, Tended};
use crate::store::keyring::Passphrase;
use crate::store::ledger::ActionKind;

/// Options of `keys rotate`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only this domain of the configuration
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Replace all keys before their time, each as soon as its successor is seen everywhere
    #[arg(long)]
    now: bool,
    /// The port at which authoritative servers are asked, for tests
    #[arg(long, hide = true, default_value_t = DNS_PORT)]
    authoritative_port: u16,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let now = context::now();
    for local in context::locals(&config, args.domain.as_deref())? {
        let trail = Trail::open(&config, local)?;
        let passphrase = context::passphrase(local)?;
        {
            let mut desk = context::desk_with(local, passphrase.as_ref(), now)?;
            // Somebody wants to see it tried, however long the gateway would wait after a refusal.
            for stand in &mut desk.book.stands {
                stand.again = stand.again.min(now);
            }
            desk.save(now)?;
            if args.now {
                trail.change(ActionKind::KeysRotated, "all before their time", || {
                    desk.book.hurry = Some(now);
                    desk.save(now)
                })?;
            }
        }
        let tended = tend(&config, local, passphrase.clone(), args.authoritative_port, now)?;
        let mut desk = context::desk_with(local, passphrase.as_ref(), now)?;
        trail.note(&tended.events, &mut desk, now)?;
        print(&told(local, desk.keyring.identity().is_some(), &tended))?;
    }
    Ok(())
}

/// Visits the keys of a domain once, as the gateway would.
pub(super) fn tend(
    config: &Config,
    local: &LocalDomain,
    passphrase: Option<Passphrase>,
    port: u16,
    now: u64,
) -> Result<Tended, Failure> {
    let resolver = StubResolver::new(&config.dns).map_err(Failure::refused)?;
    let keeper = Keeper::of(local, passphrase, Arc::new(resolver), port, Arc::new(SystemClock))
        .map_err(|error| Failure::refused(&error).hint_if(error.hint()))?;
    Ok(context::block_on(keeper.tend(now))??)
}

/// What a visit has brought, in words.
pub(super) fn told(local: &LocalDomain, identity_here: bool, tended: &Tended) -> String {
    let mut out = format!("{}\n", local.name);
    if tended.events.is_empty() {
        out.push_str("  nothing was due\n");
    }
    for event in &tended.events {
        let line = match event {
            Event::Made(kind, id) => format!("made {kind} key {}", digits(id)),
            Event::Signed { serial, expiry, .. } => {
                format!("signed a policy, serial {serial}, until {}", utc(*expiry))
            }
            Event::Installed(serial) => format!("put the policy of serial {serial} into force"),
            Event::Destroyed(kind, id) => format!("destroyed {kind} key {}", digits(id)),
            Event::RolloverEnded { former, destroyed: true } => {
                format!(
                    "the rollover of the identity key is over: destroyed the former one\n    {former}"
                )
            }
            Event::RolloverEnded { former, destroyed: false } => format!(
                "the rollover of the identity key is over: destroy the former one where it is kept\n    {former}"
            ),
            Event::Lost(kind, id) => format!(
                "! {kind} key {} is missing from the keyring: mail sealed to it is refused",
                digits(id)
            ),
            Event::Swept(files) => format!("erased {files} files that a crash had left"),
            Event::Published(name) => format!("published {name}"),
            Event::Withdrawn(name) => format!("withdrew a record of {name}"),
            Event::Visible(name) => format!("seen at every name server: {name}"),
        };
        out.push_str(&format!("  {line}\n"));
    }
    let mut by_hand: Vec<&Change> = tended.by_hand.iter().collect();
    // In the order in which they are to be made.
    by_hand.sort_by_key(|change| change.action == Action::Remove);
    for change in by_hand {
        let Change { action, name, value, .. } = change;
        out.push_str(&format!("  to {action}: {name} TXT\n    {value}\n"));
    }
    if !tended.by_hand.is_empty() {
        out.push_str("  keep to this order, and run this again when it is done\n");
    }
    if let Some(why) = &tended.refused {
        let other = "see [domain.publish], and docs/publishing.md";
        let hint = tended.remedy.as_deref().unwrap_or(other);
        let what = format!("not published: {why}");
        concern::paragraphs(&mut out, std::iter::once((what.as_str(), hint)));
        out.push_str("    Nothing that is in use is taken away meanwhile.\n");
    }
    let about = About { domain: &local.name, rotates: local.rotation.is_some(), identity_here };
    let told: Vec<(String, String)> =
        tended.concerns.iter().map(|of| (concern::words(of), about.hint(of))).collect();
    concern::paragraphs(&mut out, told.iter().map(|(what, hint)| (what.as_str(), hint.as_str())));
    if tended.next != u64::MAX {
        out.push_str(&format!("  something is due again at {}\n", utc(tended.next)));
    }
    out
}
