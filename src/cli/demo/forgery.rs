//! An attacker who answers DNS questions in place of the recipient's zone.

use super::account::Account;
use super::carrier::{Carrier, find};
use super::hops::submit;
use super::world::{BRANCH, COMPANY2, STRANGER, World};
use super::{ANNA, BRANCH_BRUNO, BRUNO};
use crate::cli::failure::Failure;
use crate::smtp::Reply;
use std::time::Instant;

/// A word that must not be seen on the way.
const CANARY: &str = "Quetzalcoatlus";

/// What became of one message.
struct Sent {
    reply: Reply,
    /// Whether the relay got it, and only sealed to a key of the recipient's own.
    genuine: bool,
    /// Whether it arrived.
    arrived: bool,
}

impl Sent {
    fn holds(&self) -> bool {
        self.reply.is_positive() && self.genuine && self.arrived
    }

    fn outcome(&self) -> String {
        if self.holds() {
            "sealed to the remembered key, delivered".to_owned()
        } else if self.reply.is_positive() {
            "accepted, but not sealed to the remembered key".to_owned()
        } else {
            self.reply.to_string()
        }
    }
}

pub(super) async fn of_dns(world: &World, account: &mut Account) -> Result<(), Failure> {
    let begun = Instant::now();
    let met = send(world, BRANCH, BRANCH_BRUNO).await?;
    world.replace(BRANCH, &world.forged(BRANCH)?)?;
    let forged = send(world, BRANCH, BRANCH_BRUNO).await?;
    world.strip_policy(BRANCH)?;
    let no_data = send(world, BRANCH, BRANCH_BRUNO).await?;
    world.strip(BRANCH)?;
    let no_name = send(world, BRANCH, BRANCH_BRUNO).await?;

    world.strip_signatures(COMPANY2)?;
    world.replace(COMPANY2, &world.forged(COMPANY2)?)?;
    let bogus = send(world, COMPANY2, BRUNO).await?;
    let before = world.relay.count();
    let stranger =
        submit(world.inside()?, ANNA, &format!("someone@{STRANGER}"), &message()).await?;
    let kept = world.relay.count() == before;

    account.heading("6. An attacker answers in place of DNS", Some(begun.elapsed()));
    account.expect(met.holds(), "first contact with branch.example: sealed, delivered, remembered");
    account.attack(forged.holds(), "forged record and keys", &forged.outcome());
    account.attack(no_data.holds(), "record stripped (NODATA)", &no_data.outcome());
    account.attack(no_name.holds(), "record stripped (NXDOMAIN)", &no_name.outcome());
    account.attack(bogus.holds(), "forged in a signed zone", &bogus.outcome());
    if account.attack(
        stranger.is_transient() && kept,
        "the same at first contact",
        &stranger.to_string(),
    ) {
        account.attack_detail("nothing believed: the mail waits, never clear");
    }
    account.gap();
    account.remark("Not shown, because it would work: without DNSSEC the very first answer is");
    account.remark("believed. DNSSEC, or a fingerprint compared by telephone, closes that.");
    Ok(())
}

fn message() -> Vec<u8> {
    format!("From: {ANNA}\r\nSubject: {CANARY}\r\n\r\n{CANARY}\r\n").into_bytes()
}

/// Sends a message to a domain and lets the relay pass on what it gets.
async fn send(world: &World, domain: &str, recipient: &str) -> Result<Sent, Failure> {
    let (before, delivered) = (world.relay.count(), world.mailbox.count());
    let message = message();
    let reply = submit(world.inside()?, ANNA, recipient, &message).await?;
    let relayed = world.relay.last().filter(|_| world.relay.count() == before + 1);
    let Some(relayed) = relayed else {
        return Ok(Sent { reply, genuine: false, arrived: false });
    };
    let keys = world.genuine(domain)?;
    let key = Carrier::take_apart(&relayed.content)
        .and_then(|carrier| carrier.clear_part())
        .map(|parsed| parsed.header().key_id);
    let hidden = find(&relayed.content, CANARY.as_bytes(), 0).is_none();
    let genuine = hidden && key.is_some_and(|key| keys.holds(&key));
    let passed = submit(world.outside()?, ANNA, recipient, &relayed.content).await?;
    let arrived = world.mailbox.last().is_some_and(|last| last.content.ends_with(&message));
    let once = world.mailbox.count() == delivered + 1;
    Ok(Sent { reply, genuine, arrived: passed.is_positive() && once && arrived })
}
