//! `mta-seal keys revoke`: a key that others may know.

use std::path::Path;

use super::rotate::{tend, told};
use super::{confirm, on_record, print};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::operator;
use crate::core::KeyId;
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::LocalDomain;
use crate::gateway::rotation::{Desk, Made};
use crate::lifetime::{Kind, Life, State};
use crate::store::ledger::{ActionKind, NewAction};

/// Options of `keys revoke`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The key id, or as many of its first digits as tell it from the others
    #[arg(value_name = "KEY")]
    key: String,
    /// Only this domain of the configuration
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Why; it stays in the ledger, with your name
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Destroy the private key at once, though mail that is on its way then bounces
    #[arg(long)]
    destroy: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Fewest digits that name a key.
const MIN_DIGITS: usize = 8;

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let why = operator::reason(&args.why, "whoever audits the ledger will ask why it was revoked")?;
    let config = context::config(config)?;
    let now = context::now();
    let locals = context::locals(&config, args.domain.as_deref())?;
    let (local, id) = find(&locals, &args.key, now)?;
    {
        let desk = context::desk(local, now)?;
        let life =
            desk.book.life(&id).ok_or_else(|| Failure::refused("the key has gone meanwhile"))?;
        print(&consequences(local, &desk, life, args.destroy, now))?;
    }
    confirm(args.yes, "nothing was changed")?;
    let detail = format!("key {id}: {why}");
    let action = NewAction { kind: ActionKind::KeyRevoked, domain: local.name.clone(), detail };
    on_record(&config.state.join(LEDGER_FILE), &[action], now)?;
    let mut desk = context::desk(local, now)?;
    desk.book.revoke(&id, args.destroy, now);
    desk.save(now)?;
    let made = Made { at: local.records_under(), selectors: &local.publication.selectors };
    let schedule = local.rotation.unwrap_or_default();
    let mut events = Vec::new();
    desk.work(&schedule, made, now, &mut context::rng(), &mut events)?;
    drop(desk);
    let mut tended = tend(&config, local, now)?;
    tended.events.splice(0..0, events);
    print(&told(local, &tended))
}

/// The one key that begins with these digits.
fn find<'a>(
    locals: &[&'a LocalDomain],
    digits: &str,
    now: u64,
) -> Result<(&'a LocalDomain, KeyId), Failure> {
    let digits = digits.to_ascii_lowercase();
    if digits.len() < MIN_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "`{digits}` are no {MIN_DIGITS} or more digits of a key id"
        ))
        .hint("`mta-seal keys list` shows them"));
    }
    let mut found = Vec::new();
    for local in locals {
        let desk = context::desk(local, now)?;
        let alive = desk.book.keys.iter().filter(|life| life.destroyed.is_none());
        let named = alive.filter(|life| life.id.to_string().starts_with(&digits));
        found.extend(named.map(|life| (*local, life.id)));
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::refused(format!("no key of ours begins with {digits}"))
            .hint("`mta-seal keys list` shows them; an identity key is changed by `mta-seal identity roll`")),
        _ => Err(Failure::usage(format!("several keys begin with {digits}")).hint("give more digits")),
    }
}

/// What will become of mail, told before anything is done [R-life-07].
fn consequences(local: &LocalDomain, desk: &Desk, life: &Life, destroy: bool, now: u64) -> String {
    let domain = &local.name;
    let active = life.state(desk.policy().record(), now) == State::Active;
    let mut out = format!("Revoking the {} key {} of {domain}:\n", life.kind, life.id);
    let mut say = |text: String| out.push_str(&format!("- {text}\n"));
    if desk.keyring.identity().is_none() {
        say("The identity key is not here: until you sign a policy without this key elsewhere and install it, senders go on using it.".to_owned());
    }
    match life.kind {
        Kind::Sealing(_) => {
            if active {
                say("A policy without it is signed at once and published. Where the suite needs a record of its own, its next key is listed when everybody sees that record; meanwhile senders use the other suite.".to_owned());
            }
            say("Senders that know the former policy may seal to it until they look up again, at the latest until that expires.".to_owned());
            say("Whoever has the private key reads what was sealed to it, also mail recorded earlier. Nothing can change that.".to_owned());
            let opens = life.listing.map_or(now, |listing| listing.opens);
            say(if destroy {
                "Mail that is on its way to it bounces with `destroyed-key`, and is to be sent again.".to_owned()
            } else {
                format!(
                    "Mail that is on its way to it still arrives: the private key is kept until {}. With --destroy it goes at once, and that mail bounces.",
                    utc(opens)
                )
            });
        }
        Kind::Signing => {
            say("The next policy does not list it. Receivers that look up again refuse what it has signed, also mail of ours that is on its way: it comes back and is to be sent again.".to_owned());
            say("Until they do, at the latest until the former policy expires, whoever has the private key can send in the name of the domain.".to_owned());
            if active {
                say("If no other signing key is listed and seen everywhere, receivers that still have the former policy make our mail wait until they look up again.".to_owned());
            }
            say("The private key is destroyed once a policy lists another one first.".to_owned());
        }
    }
    if !desk.ahead().is_empty() {
        say("Policies that were signed ahead and list it stay valid wherever they are. If those may be in other hands too, change the identity key (`mta-seal identity roll`).".to_owned());
    }
    out
}
