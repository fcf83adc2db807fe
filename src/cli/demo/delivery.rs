//! The ordinary course: what is handed over, what the relay sees, what arrives.

use super::account::{Account, thousands};
use super::carrier::{Carrier, LINE};
use super::hops::{Arrived, submit};
use super::message::{Message, seen};
use super::world::World;
use super::{ANNA, BRUNO};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::core::hex::Hex;
use crate::core::sha256;
use crate::mail::date::rfc5322;
use crate::mail::header::Header;
use std::time::{Duration, Instant};

pub(super) fn scene(account: &mut Account, took: Duration) {
    account.title("mta-seal demo: a message from company1 to company2, by a relay nobody trusts");
    for line in [
        "  anna@company1.example                             bruno@company2.example",
        "        │                                                     ▲",
        "        ▼                                                     │",
        "   gateway 1 ────────▶  relay (hostile)  ────────▶  gateway 2",
        "     seals              reads, alters, replays       unseals",
    ] {
        account.line(line);
    }
    account.gap();
    let ready = took.as_secs_f64() * 1000.0;
    account.remark(&format!(
        "All in this process, on loopback, with fresh keys; ready in {ready:.0} ms."
    ));
    account.remark("DNS: company1.example and company2.example are signed, and validated here;");
    account.remark("branch.example, which belongs to company2 too, is not.");
    if cfg!(debug_assertions) {
        account.remark("A debug build: the times say little.");
    }
}

/// Sends the message for the first time; returns it as the relay has it.
pub(super) async fn first(
    world: &World,
    account: &mut Account,
    message: &Message,
) -> Result<Arrived, Failure> {
    account.heading("1. What the sender handed over", None);
    for change in &message.changes {
        account.remark(&format!("Before sending: {change}."));
    }
    account.quote(&format!("MAIL FROM:<{ANNA}>  RCPT TO:<{BRUNO}>"));
    for name in ["From", "Subject"] {
        if let Some(value) = message.field(name) {
            account.quote(&format!("{name}: {value}"));
        }
    }
    for line in message.first_lines(3) {
        account.quote(&line);
    }
    octets(account, "in all", &message.content);

    let begun = Instant::now();
    let reply = submit(world.inside()?, ANNA, BRUNO, &message.content).await?;
    let took = begun.elapsed();
    let Some(relayed) = world.relay.last().filter(|_| reply.is_positive()) else {
        return Err(Failure::refused(format!("gateway 1 did not take the message: {reply}")));
    };
    relay_view(account, message, &relayed, took);

    let begun = Instant::now();
    let reply = submit(world.outside()?, ANNA, BRUNO, &forwarded(&relayed)).await?;
    let took = begun.elapsed();
    account.heading("3. What arrived", Some(took));
    let Some(arrived) = world.mailbox.last().filter(|_| reply.is_positive()) else {
        return Err(Failure::refused(format!("gateway 2 did not take the message: {reply}")));
    };
    mailbox_view(account, message, &arrived);
    account.expect(world.mailbox.count() == 1, "delivered once");
    Ok(relayed)
}

/// A message as a relay passes it on: with a trace field of its own (RFC 5321 section 4.4).
pub(super) fn forwarded(relayed: &Arrived) -> Vec<u8> {
    let date = rfc5322(context::now());
    let mut message =
        format!("Received: from mx.company1.example by relay.example; {date}\r\n").into_bytes();
    message.extend_from_slice(&relayed.content);
    message
}

fn relay_view(account: &mut Account, message: &Message, relayed: &Arrived, took: Duration) {
    account.heading("2. What the relay could see", Some(took));
    account.quote(&format!("MAIL FROM:{}  RCPT TO:{}", relayed.from, relayed.to.join(", ")));
    let Some(carrier) = Carrier::take_apart(&relayed.content) else {
        account.expect(false, "the relay got a carrier");
        return;
    };
    for line in String::from_utf8_lossy(carrier.header()).lines() {
        account.quote(line);
    }
    account.quote("");
    for line in carrier.first_lines(3) {
        account.quote(&line);
    }
    let lines = carrier.envelope.len().div_ceil(LINE);
    account.quote(&format!("… {} lines of this", thousands(lines)));
    if let Some(parsed) = carrier.clear_part() {
        let header = parsed.header();
        account.line(&format!(
            "{} octets: sealed to {}, suite {}",
            thousands(relayed.content.len()),
            header.recipient_domain,
            header.suite
        ));
    }
    let places: [&[u8]; 2] = [&relayed.content, &carrier.envelope];
    let secrets = message.secrets(relayed.content.len() + carrier.envelope.len());
    if secrets.is_empty() {
        account.remark("The message has no line that is long enough to look for.");
    } else {
        account.expect(
            seen(&secrets, &places) == 0,
            &format!(
                "none of {} lines of the message is in it: no subject, name, text, file",
                thousands(secrets.len())
            ),
        );
    }
    let locals = [b"anna@".to_vec(), b"bruno@".to_vec()];
    account.expect(
        seen(&locals, &[&relayed.content]) == 0,
        "the mailboxes stand in the SMTP envelope only; the header names two domains",
    );
}

fn mailbox_view(account: &mut Account, message: &Message, arrived: &Arrived) {
    account.quote(&format!("MAIL FROM:{}  RCPT TO:{}", arrived.from, arrived.to.join(", ")));
    let split = arrived.content.len().saturating_sub(message.content.len());
    let (above, below) = arrived.content.split_at(split);
    for line in String::from_utf8_lossy(above).lines() {
        account.quote(line);
    }
    octets(account, "below that", below);
    account.expect(below == message.content, "the message is the same, octet for octet");
    let (trace, rest) = Header::split(above);
    let names: Vec<String> = trace
        .fields()
        .map(|field| String::from_utf8_lossy(field.name()).to_ascii_lowercase())
        .collect();
    let ours = names == ["authentication-results", "received"] && rest.is_empty();
    account.expect(ours, "above it stand the two trace fields of gateway 2 and nothing else");
    let result = trace.find("authentication-results").next().map(|field| field.unfolded());
    let result = result.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    let vouched = ["mta-seal=pass", "policy.domain=company1.example", "policy.level=dnssec"];
    account.expect(
        vouched.iter().all(|word| result.contains(word)),
        "gateway 2 vouches for company1.example, by keys from signed DNS",
    );
    account.expect(
        arrived.from == format!("<{ANNA}>") && arrived.to == [format!("<{BRUNO}>")],
        "sender and recipient are those of the signed SMTP envelope",
    );
}

fn octets(account: &mut Account, which: &str, octets: &[u8]) {
    account.line(&format!("{} octets {which}", thousands(octets.len())));
    account.line(&format!("sha256 {}", Hex(&sha256(octets))));
}
