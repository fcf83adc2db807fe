//! Bounces of carriers that come back to the organisation that has sealed them: [R-bnc-01] to [R-bnc-04].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::path::Path;

use gateway_support::*;
use mta_seal::mail::carrier::TOKEN_FIELD;
use mta_seal::mail::header::Header;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use mta_seal::store::ledger::audit::Subject;
use mta_seal::store::ledger::{AuditRow, EventKind, EventQuery, Ledger};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const ID: &str = "<figures@company1.example>";
const MESSAGE: &[u8] =
    b"From: alice@company1.example\r\nMessage-ID: <figures@company1.example>\r\n\
                         Subject: the secret figures\r\n\r\nforty-two\r\n";

const SAMPLES: [&str; 8] = [
    "postfix-rcpt",
    "postfix-dot-headers",
    "postfix-delayed",
    "exim-rcpt",
    "exim-dot-headers",
    "opensmtpd-rcpt",
    "sendmail-rcpt",
    "sendmail-dot-headers",
];

fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces");
    std::fs::read_to_string(folder.join(name).with_extension("eml")).unwrap()
}

/// The token in the header of a carrier, or of one that was returned.
fn token_of(message: &[u8]) -> String {
    let message = text(message);
    let (_, rest) = message.split_once(&format!("{TOKEN_FIELD}: ")).expect("a token");
    rest[..32].to_owned()
}

/// A sample as if it were about the carrier with this token, from alice to bob like all samples.
fn bounce_of(name: &str, token: &str) -> String {
    let sample = sample(name);
    sample.replace(&token_of(sample.as_bytes()), token)
}

/// Brings a bounce to the gateway of company1, as a relay does, and returns what its MTA gets.
async fn returned(world: &World, to: &[&str], bounce: &[u8]) -> Message {
    let before = world.mta1.messages().len();
    deliver(world.gw1.inbound(), Smtp, "<>", to, bounce).await.expect("250");
    let mut delivered = world.mta1.messages().split_off(before);
    assert_eq!(delivered.len(), 1);
    delivered.remove(0)
}

/// That a bounce passes as it is.
async fn passes(world: &World, to: &[&str], bounce: &str, why: &str) {
    let delivered = returned(world, to, bounce.as_bytes()).await;
    assert!(without_trace(&delivered.data) == bounce.as_bytes(), "{why}");
}

/// The message on one line, without folding and soft line ends.
fn flat(message: &[u8]) -> String {
    text(message).replace("\r\n\t", " ").replace("=\r\n", "").replace("\r\n", " ")
}

async fn bounced(world: &World) -> Vec<AuditRow> {
    let query = EventQuery {
        subject: Subject::MessageId(ID.to_owned()),
        kind: Some(EventKind::Bounced),
        limit: 100,
        ..EventQuery::default()
    };
    world.gw1.ledger.events(&query).await.unwrap()
}

/// [R-bnc-03] Whatever MTA has bounced it, the sender reads which message it was, to whom, and why.
#[tokio::test]
async fn a_bounce_is_told_in_words() {
    for behind in [Smtp, Lmtp] {
        let world = World::with(WorldOptions { behind1: behind, ..WorldOptions::default() }).await;
        for name in SAMPLES {
            let carrier = world.carrier(MESSAGE).await;
            let token = token_of(&carrier.data);
            let bounce = bounce_of(name, &token);
            let told = returned(&world, &[ALICE], bounce.as_bytes()).await;
            assert!(told.from.starts_with("<>"), "{name}: {}", told.from);
            assert_eq!(told.to, [ALICE], "{name}");

            let (header, _) = Header::split(&told.data);
            let result = header.only("Authentication-Results").unwrap().unfolded();
            assert_eq!(result, b"gw.company1.example; mta-seal=none", "{name}");
            assert_eq!(header.only("References").unwrap().unfolded(), ID.as_bytes(), "{name}");
            let from = text(&header.only("From").unwrap().unfolded());
            assert!(from.ends_with("<postmaster@company1.example>"), "{name}: {from}");

            let said = flat(&told.data);
            let (reason, words) = if name.contains("rcpt") {
                ("550 5.1.1 no such user here", "There is no such mailbox")
            } else if name.contains("dot") {
                ("554 5.7.1 this message is not wanted", "as a matter of its policy")
            } else {
                ("451 4.2.1 mailbox is busy, try again", "waits for another attempt")
            };
            for part in [
                reason,
                words,
                "Message-ID of your message: <figures@company1.example>",
                "rfc822; bob@company2.example",
                "Reporting-MTA: dns; relay.example DSN-Gateway: dns; gw.company1.example",
                "The report came unsealed from client.example [127.0.0.1]",
            ] {
                assert!(said.contains(part), "{name}: no {part:?} in {said}");
            }
            for part in
                [&token, "Sealed message", "application/mta-seal", "figures\r\n", "forty-two"]
            {
                assert!(!contains(&told.data, part.as_bytes()), "{name}: {part:?} in {said}");
            }
        }
        // And the trail says so.
        let rows = bounced(&world).await;
        assert_eq!(rows.len(), SAMPLES.len());
        for row in &rows {
            assert_eq!(row.sender, "alice@company1.example");
            assert_eq!(row.recipient, "bob@company2.example");
            assert_eq!(row.domain, "company2.example");
            assert!(row.token.is_some() && row.envelope.is_some());
            assert_eq!(row.details().text("reporting_mta"), Some("relay.example"));
            assert_eq!(row.details().text("from"), Some("client.example [127.0.0.1]"));
        }
        let delayed = rows.iter().filter(|row| row.reason == "delayed").count();
        let failed = rows.iter().filter(|row| row.reason == "failed").count();
        assert_eq!((delayed, failed), (1, SAMPLES.len() - 1));
        assert_eq!(rows[0].details().text("reply"), Some("550 5.1.1 no such user here"));
    }
}

/// [R-bnc-02] What is not surely about a carrier of ours, for its sender, passes as it is.
#[tokio::test]
async fn other_bounces_pass_unchanged() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    let token = token_of(&carrier.data);
    let real = bounce_of("postfix-rcpt", &token);
    let to = [ALICE];

    // A guess; and a token that another gateway has made.
    passes(&world, &to, &bounce_of("postfix-rcpt", &"0123456789abcdef".repeat(2)), "guessed").await;
    deliver(world.gw2.outbound(), Smtp, BOB, &[ALICE], MESSAGE).await.expect("250");
    let foreign = token_of(&world.relay.messages().last().unwrap().data);
    passes(&world, &to, &bounce_of("postfix-rcpt", &foreign), "of another gateway").await;
    // To somebody else, who must not learn to whom alice has written; or to her and somebody else.
    passes(&world, &["<mallory@company1.example>"], &real, "to another one").await;
    passes(&world, &[ALICE, "<mallory@company1.example>"], &real, "to another one as well").await;
    passes(&world, &["<mta-seal@company1.example>"], &real, "to the gateway").await;
    // It names nobody to whom the message was sent.
    let stranger = real.replace("; bob@", "; mallory@").replace(";bob@", ";mallory@");
    passes(&world, &to, &stranger, "names another recipient").await;
    // The token is in the words for people, or there are two.
    let sample = sample("postfix-rcpt");
    let plain = sample.replace("I'm sorry", &format!("{TOKEN_FIELD}: {token}\r\n\r\nI'm sorry"));
    passes(&world, &to, &plain, "token in the text").await;
    let two = real.replace(TOKEN_FIELD, &format!("{TOKEN_FIELD}: {foreign}\r\n{TOKEN_FIELD}"));
    passes(&world, &to, &two, "two tokens").await;
    // With a sender it is no bounce.
    let before = world.mta1.messages().len();
    let sent = deliver(world.gw1.inbound(), Smtp, "<x@relay.example>", &to, real.as_bytes()).await;
    sent.expect("250");
    assert!(without_trace(&world.mta1.messages()[before].data) == real.as_bytes());
    // Any other message without a sender, however long.
    let other = format!("{}{}", sample, "and so on\r\n".repeat(100_000));
    passes(&world, &to, &other, "long").await;
    passes(&world, &to, "From: x@relay.example\r\n\r\nI am away\r\n", "no report").await;
    assert!(bounced(&world).await.is_empty());

    // All this time the real one would have been told; a month later it is not.
    let told = returned(&world, &to, real.as_bytes()).await;
    assert!(flat(&told.data).contains(ID));
    world.clock.advance(30 * DAY);
    assert!(flat(&returned(&world, &to, real.as_bytes()).await.data).contains(ID));
    world.clock.advance(1);
    passes(&world, &to, &real, "too old").await;
}

/// A carrier without a sender, as of a bounce, has nobody who could be told.
#[tokio::test]
async fn a_bounce_of_a_bounce_is_nobodys() {
    let world = World::new().await;
    world.send("<>", &[BOB], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    let bounce = bounce_of("exim-rcpt", &token_of(&carrier.data));
    passes(&world, &[ALICE], &bounce, "of a carrier without a sender").await;
    passes(&world, &["<postmaster>"], &bounce, "to the postmaster").await;
}

/// [R-bnc-03] Of several recipients those are told of that are named and were written to, and nobody new.
#[tokio::test]
async fn nobody_new_is_named() {
    let world = World::new().await;
    let carol = "<carol@company2.example>";
    let dave = "<Dave@company2.example>";
    world.send(ALICE, &[BOB, carol, dave], MESSAGE).await.expect("250");
    let token = token_of(&world.relay.only().data);
    let group = |address: &str, text: &str| {
        format!(
            "Final-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: 5.2.2\r\n\
             Diagnostic-Code: smtp; 552 5.2.2 {text}\r\n\r\n"
        )
    };
    let real = bounce_of("sendmail-rcpt", &token);
    let groups = group("mallory@evil.example", "evil words")
        + &group("dave@company2.example", "dave is full")
        + &group("eve@company2.example", "eve is full");
    let bounce = real.replace("Final-Recipient:", &format!("{groups}Final-Recipient:"));
    let told = flat(&returned(&world, &[ALICE], bounce.as_bytes()).await.data);
    for part in ["bob@company2.example: failed", "Dave@company2.example: failed", "dave is full"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    for part in ["mallory", "evil words", "eve@", "carol@"] {
        assert!(!told.contains(part), "{part:?} in {told}");
    }
    let rows = bounced(&world).await;
    let names: Vec<_> = rows.iter().map(|row| row.recipient.as_str()).collect();
    assert_eq!(names, ["bob@company2.example", "Dave@company2.example"]);
}

/// A large carrier comes back whole: the notice is as small as ever, and the rest is read and dropped.
#[tokio::test]
async fn a_large_bounce_is_a_small_notice() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    let bounce = bounce_of("opensmtpd-rcpt", &token_of(&carrier.data));
    let (head, tail) = bounce.split_at(bounce.len() - 500);
    let large = format!("{head}{}{tail}", "c2VhbGVk\r\n".repeat(800_000));
    assert!(large.len() > 8_000_000);
    let told = returned(&world, &[ALICE], large.as_bytes()).await;
    assert!(told.data.len() < 4_000 && flat(&told.data).contains(ID));
}

/// The notice is in our own name, so a bounce in the name of somebody who must seal is told, and marked.
#[tokio::test]
async fn a_partner_that_must_seal() {
    let extra1 = "[[partner]]\ndomain = \"company2.example\"\ninbound = \"require-sealed\"\n";
    let world =
        World::with(WorldOptions { extra1: extra1.to_owned(), ..WorldOptions::default() }).await;
    let carrier = world.carrier(MESSAGE).await;
    let token = token_of(&carrier.data);
    let named = |token: &str| {
        bounce_of("postfix-rcpt", token)
            .replace("MAILER-DAEMON@relay.example", "MAILER-DAEMON@company2.example")
    };
    let told = returned(&world, &[ALICE], named(&token).as_bytes()).await;
    assert!(flat(&told.data).contains("mta-seal=none policy.expected=sealed"));
    assert!(flat(&told.data).contains(ID));
    assert!(!contains(&told.data, b"MAILER-DAEMON"));
    // Any other is refused as ever.
    let guessed = named(&"0123456789abcdef".repeat(2));
    let sent = deliver(world.gw1.inbound(), Smtp, "<>", &[ALICE], guessed.as_bytes()).await;
    assert!(sent.verdict().is("550 5.7.10"), "{sent:?}");
}

/// [R-bnc-04] A bounce that comes sealed is what the partner's own MTA has written, and stays as it is.
#[tokio::test]
async fn a_sealed_bounce_is_not_touched() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    let token = token_of(&carrier.data);
    for bounce in [
        // About the message, which the partner's MTA has got unsealed; and about the carrier, from an MTA before the partner's gateway.
        bounce_of("postfix-rcpt", &token).replace(TOKEN_FIELD, "X-Nothing"),
        bounce_of("postfix-rcpt", &token),
    ] {
        let sent = deliver(world.gw2.outbound(), Smtp, "<>", &[ALICE], bounce.as_bytes()).await;
        sent.expect("250");
        let sealed = world.relay.messages().pop().unwrap();
        assert!(!contains(&sealed.data, b"Undelivered Mail"));
        forward(world.gw1.inbound(), Smtp, &sealed).await.expect("250");
        let delivered = world.mta1.messages().pop().unwrap();
        assert!(flat(&delivered.data).contains("mta-seal=pass"));
        assert!(without_trace(&delivered.data) == bounce.as_bytes());
    }
    assert!(bounced(&world).await.is_empty());
}

/// What the MTA behind the gateway answers about the notice is the answer; and nobody outside is ever told.
#[tokio::test]
async fn the_next_hop_has_the_last_word() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    let bounce = bounce_of("postfix-rcpt", &token_of(&carrier.data));
    let gw1 = world.gw1.inbound();
    for (act, expected) in [("451 4.2.1 later", "451 4.2.1"), ("554 5.3.0 no", "554 5.3.0")] {
        world.mta1.rule(Step::Dot, "alice@", 1, Act::Reply(act));
        deliver(gw1, Smtp, "<>", &[ALICE], bounce.as_bytes()).await.expect(expected);
    }
    assert!(world.mta1.messages().is_empty() && bounced(&world).await.is_empty());
    deliver(gw1, Smtp, "<>", &["<alice@elsewhere.example>"], bounce.as_bytes())
        .await
        .expect("550 5.7.1");
    assert_eq!(world.relay.messages().len(), 1);
}
