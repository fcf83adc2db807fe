//! `mta-seal keys revoke`: a key that others may know.

use std::path::Path;

use super::rotate::{tend, told};
use super::{WIDTH, confirm, digits, print};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::operator;
use crate::cli::table;
use crate::cli::trail::Trail;
use crate::core::KeyId;
use crate::dns::authorities::DNS_PORT;
use crate::gateway::config::{LocalDomain, PublicationWay};
use crate::gateway::rotation::{Desk, Made};
use crate::lifetime::{Kind, Life, State};
use crate::store::keyring::Passphrase;
use crate::store::ledger::ActionKind;

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
    let Found { local, passphrase, id } = find(&locals, &args.key, now)?;
    let trail = Trail::open(&config, local)?;
    {
        let desk = context::desk_with(local, passphrase.as_ref(), now)?;
        let life =
            desk.book.life(&id).ok_or_else(|| Failure::refused("the key has gone meanwhile"))?;
        print(&consequences(local, &desk, life, args.destroy, now))?;
    }
    confirm(args.yes, "revoke it?", "nothing was changed")?;
    let mut desk = context::desk_with(local, passphrase.as_ref(), now)?;
    let schedule = local.rotation.unwrap_or_default();
    let made = Made::of(local);
    let mut events = Vec::new();
    trail.change(ActionKind::KeyRevoked, &format!("key {id}: {why}"), || {
        desk.book.revoke(&id, args.destroy, now);
        desk.save(now)
    })?;
    desk.work(&schedule, made, now, &mut context::rng(), &mut events)?;
    drop(desk);
    let mut tended = tend(&config, local, passphrase.clone(), DNS_PORT, now)?;
    tended.events.splice(0..0, events);
    let mut desk = context::desk_with(local, passphrase.as_ref(), now)?;
    trail.note(&tended.events, &mut desk, now)?;
    print(&told(local, desk.keyring.identity().is_some(), &tended))
}

/// A key of ours, and what opens its keyring.
struct Found<'a> {
    local: &'a LocalDomain,
    passphrase: Option<Passphrase>,
    id: KeyId,
}

/// The one key that begins with these digits.
fn find<'a>(locals: &[&'a LocalDomain], digits: &str, now: u64) -> Result<Found<'a>, Failure> {
    let digits = digits.to_ascii_lowercase();
    if digits.len() < MIN_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "`{digits}` are no {MIN_DIGITS} or more digits of a key id"
        ))
        .hint("`mta-seal keys list` shows them"));
    }
    let mut found = Vec::new();
    for &local in locals {
        let passphrase = context::passphrase(local)?;
        let desk = context::desk_with(local, passphrase.as_ref(), now)?;
        let alive = desk.book.keys.iter().filter(|life| life.destroyed.is_none());
        let named = alive.filter(|life| life.id.to_string().starts_with(&digits));
        let key = |life: &Life| Found { local, passphrase: passphrase.clone(), id: life.id };
        found.extend(named.map(key));
    }
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Failure::refused(format!("no key of ours begins with {digits}"))
            .hint("`mta-seal keys list` shows them; an identity key is changed by `mta-seal identity roll`")),
        _ => Err(Failure::usage(format!("several keys begin with {digits}")).hint("give more digits")),
    }
}

/// What will become of mail, told before anything is done [R-life-07].
fn consequences(local: &LocalDomain, desk: &Desk, life: &Life, destroy: bool, now: u64) -> String {
    let active = life.state(desk.policy().record(), now) == State::Active;
    let signs = desk.keyring.identity().is_some();
    let mut out =
        format!("Revoking the {} key {} of {}:\n", life.kind, digits(&life.id), local.name);
    let mut say = |text: &str| table::paragraph(&mut out, "- ", 2, text, WIDTH);
    if active && signs {
        say(match local.publication.way {
            PublicationWay::Manual => {
                "A policy without it is signed at once. Publish it in place of the one in DNS: it is printed below."
            }
            _ => "A policy without it is signed at once and published.",
        });
    } else if active {
        say(
            "The identity key is not here. Until a policy without this key is signed where it is (`mta-seal policy request --anew`) \
             and installed here, senders go on using it.",
        );
    }
    match life.kind {
        Kind::Sealing(_) if life.listing.is_none() => {
            say("No policy has listed it: no mail is sealed to it. Its private key is destroyed.");
        }
        Kind::Sealing(suite) => {
            if active && signs && !suite.is_inline() {
                say(
                    "The next key of its suite is listed when everybody sees its record; meanwhile senders use the other suite.",
                );
            }
            say(
                "Senders that know the former policy may seal to it until they look up again, at the latest until that expires.",
            );
            say(
                "Whoever has the private key reads what was sealed to it, also mail recorded earlier. Nothing can change that.",
            );
            if destroy {
                say(
                    "Its private key is destroyed at once: mail that is on its way to it bounces with `destroyed-key`, and is to be sent again.",
                );
            } else {
                let opens = life.listing.map_or(now, |listing| listing.opens);
                say(&format!(
                    "Mail that is on its way to it still arrives: the private key is kept until {}. With --destroy it goes at once, and that mail bounces.",
                    utc(opens)
                ));
            }
        }
        Kind::Signing => {
            say(
                "The next policy does not list it. Receivers that look up again refuse what it has signed, also mail of ours that is on its way: it comes back and is to be sent again.",
            );
            say(
                "Until they do, at the latest until the former policy expires, whoever has the private key can send in the name of the domain.",
            );
            if active {
                say(
                    "If no other signing key is listed and seen everywhere, receivers that still have the former policy make our mail wait until they look up again.",
                );
            }
            say("The private key is destroyed once a policy lists another one first.");
        }
    }
    if !desk.ahead().is_empty() {
        say(
            "Policies that were signed ahead and list it stay valid wherever they are. If those may be in other hands too, change the identity key (`mta-seal identity roll`).",
        );
    }
    out
}
