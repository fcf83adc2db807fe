//! What a gateway puts on record of a message, whatever becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::dns::Lookup;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::audit::Subject;
use mta_seal::store::ledger::{AuditRow, EventKind, EventQuery, Ledger, Scope};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const MESSAGE: &[u8] = b"Message-ID: <offer-1@company1.example>\r\nSubject: canary-subject\r\n\r\n\
    canary-text\r\n";

/// Every row about mail, and not the start of the gateway.
async fn rows(gw: &Gw) -> Vec<AuditRow> {
    let rows = gw.ledger.events(&EventQuery::default()).await.unwrap();
    rows.into_iter().filter(|row| row.direction != 2).collect()
}

/// The same once there are so many; refusals are recorded beside the mail path.
async fn so_many_rows(gw: &Gw, count: usize) -> Vec<AuditRow> {
    for _ in 0..2_000 {
        let rows = rows(gw).await;
        if rows.len() >= count {
            return rows;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{:#?}", rows(gw).await);
}

fn told(rows: &[AuditRow]) -> Vec<(&str, &str, &str)> {
    rows.iter()
        .map(|row| (row.kind.as_str(), row.reason.as_str(), row.recipient.as_str()))
        .collect()
}

#[tokio::test]
async fn a_sealed_message_is_on_record_on_both_sides_when_the_client_is_told() {
    let world = World::new().await;
    let to = [BOB, "<carol@company2.example>"];
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    let carrier = world.relay.messages().pop().unwrap();
    let sent = rows(&world.gw1).await;
    let both = [
        ("sealed", "accepted", "bob@company2.example"),
        ("sealed", "accepted", "carol@company2.example"),
    ];
    assert_eq!(told(&sent), both);
    let (_, accepted) = open(&carrier.data, &world.company1, &world.company2);
    for row in &sent {
        assert_eq!(row.message_id, "<offer-1@company1.example>");
        assert_eq!(
            (row.sender.as_str(), row.domain.as_str()),
            ("alice@company1.example", "company2.example")
        );
        assert_eq!(row.scope(), Some(Scope::Outgoing));
        let detail = row.details();
        assert_eq!(detail.text("level"), Some("first-use"));
        assert_eq!(detail.text("evidence"), Some("validated"));
        assert_eq!(detail.number("serial"), Some(NOW - 500));
        assert_eq!(detail.text("delivery"), Some(accepted.prefix.delivery_id.to_string().as_str()));
        assert_eq!(
            detail.text("identity"),
            Some(world.company2.identity().fingerprint().to_string().as_str())
        );
        assert_eq!(detail.number("size"), Some(128));
        assert_eq!(detail.text("closing").map(str::len), Some(64));
    }
    let envelope = sent[0].envelope_id().unwrap();
    let token: [u8; 16] = sent[0].token.clone().unwrap().try_into().unwrap();
    let text = String::from_utf8_lossy(&carrier.data).into_owned();
    let hex: String = token.iter().map(|octet| format!("{octet:02x}")).collect();
    assert!(text.contains(&format!("MTA-Seal-Token: {hex}\r\n")));
    assert_eq!(world.gw1.ledger.sealed_by_token(token).await.unwrap(), sent);
    assert_eq!(world.gw1.ledger.sealed_by_envelope(envelope).await.unwrap(), sent);
    assert!(world.gw2.ledger.sealed_by_token(token).await.unwrap().is_empty());

    world.forward(&carrier).await.expect("250");
    let came = rows(&world.gw2).await;
    let both = [
        ("unsealed", "accepted", "bob@company2.example"),
        ("unsealed", "accepted", "carol@company2.example"),
    ];
    assert_eq!(told(&came), both);
    for row in &came {
        assert_eq!(
            (row.message_id.as_str(), row.domain.as_str()),
            ("<offer-1@company1.example>", "company1.example")
        );
        assert_eq!((row.envelope_id(), row.token.as_deref()), (Some(envelope), Some(&token[..])));
    }
    // Another copy is not delivered again, and that is on record too.
    world.forward(&carrier).await.expect("250");
    let came = so_many_rows(&world.gw2, 4).await;
    let again = [
        ("replayed", "settled-before", "bob@company2.example"),
        ("replayed", "settled-before", "carol@company2.example"),
    ];
    assert_eq!(told(&came[2..]), again);
    // Nothing of the message itself is.
    for gw in [&world.gw1, &world.gw2] {
        let all = format!("{:?}", gw.ledger.events(&EventQuery::default()).await.unwrap());
        assert!(!all.contains("canary"), "{all}");
    }
}

#[tokio::test]
async fn what_is_not_sealed_says_why() {
    let world = World::new().await;
    // Without a policy mail goes clear.
    world.send(ALICE, &["<dave@company3.example>"], MESSAGE).await.expect("250");
    let clear = ("clear", "no-policy", "dave@company3.example");
    assert_eq!(told(&rows(&world.gw1).await), [clear]);
    // What cannot be looked up waits; the message is not known at RCPT.
    let name = Org::new("company4.example", 40).policy_name();
    world.dns.set(name, Lookup::Timeout);
    let _ = world.send(ALICE, &["<erin@company4.example>"], MESSAGE).await;
    let sent = so_many_rows(&world.gw1, 2).await;
    assert_eq!(told(&sent)[1], ("deferred", "policy-unknown", "erin@company4.example"));
    assert_eq!(
        (sent[1].message_id.as_str(), sent[1].sender.as_str()),
        ("", "alice@company1.example")
    );
    assert!(sent[1].details().text("reply").unwrap().starts_with("451 "));
}

#[tokio::test]
async fn each_recipient_has_what_became_of_it_and_a_retry_is_told_from_the_first_attempt() {
    let world = World::new().await;
    let marked =
        [b"Received: by mail.company1.example (Postfix)\r\n\tid 4XyZ12abcd; x\r\n", MESSAGE]
            .concat();
    world.relay.rule(Step::Dot, "company3.example", 1, Act::Reply("450 4.2.0 later"));
    world.relay.rule(Step::Dot, "company5.example", 1, Act::Reply("554 5.7.1 not liked"));
    world.relay.rule(Step::Dot, "company6.example", 1, Act::TakeAndClose);
    let to = [BOB, "<dave@company3.example>", "<fay@company5.example>", "<gil@company6.example>"];
    let _ = world.send(ALICE, &to, &marked).await;
    let sent = rows(&world.gw1).await;
    let mut first = told(&sent);
    first.sort_unstable();
    assert_eq!(
        first,
        [
            ("clear", "next-hop-lost", "gil@company6.example"),
            ("deferred", "next-hop-reply", "dave@company3.example"),
            ("refused", "next-hop-reply", "fay@company5.example"),
            ("sealed", "accepted", "bob@company2.example"),
        ]
    );
    for row in &sent {
        assert_eq!(row.details().text("queue"), Some("4XyZ12abcd"));
        let unknown = row.recipient.starts_with("gil@");
        assert_eq!(row.details().text("outcome"), unknown.then_some("unknown"));
    }
    let _ = world.send(ALICE, &to, &marked).await;
    let all = rows(&world.gw1).await;
    let mut second = told(&all[4..]);
    second.sort_unstable();
    assert_eq!(
        second,
        [
            ("clear", "no-policy", "dave@company3.example"),
            ("clear", "no-policy", "gil@company6.example"),
            ("notice", "failed", "alice@company1.example"),
            ("replayed", "settled-before", "bob@company2.example"),
            ("replayed", "settled-before", "fay@company5.example"),
        ]
    );
    // Told once, however often the gateway takes notes of it.
    assert_eq!(so_many_rows(&world.gw1, 9).await.len(), 9);
}

#[tokio::test]
async fn what_comes_in_is_on_record_whatever_it_is() {
    let world = World::new().await;
    // Refused by the MTA behind the gateway.
    let carrier = world.carrier(MESSAGE).await;
    world.mta2.rule(Step::Dot, "bob@", 1, Act::Reply("550 5.7.1 not liked"));
    let _ = world.forward(&carrier).await;
    let came = so_many_rows(&world.gw2, 1).await;
    assert_eq!(told(&came), [("refused", "next-hop-reply", "bob@company2.example")]);
    assert_eq!(came[0].message_id, "<offer-1@company1.example>");
    // Clear mail, and a carrier that somebody has changed.
    let clear = Message {
        from: "<erin@company4.example>".to_owned(),
        data: MESSAGE.to_vec(),
        ..carrier.clone()
    };
    world.forward(&clear).await.expect("250");
    let came = rows(&world.gw2).await;
    assert_eq!(told(&came)[1], ("clear", "accepted", "bob@company2.example"));
    assert_eq!(
        (came[1].domain.as_str(), came[1].scope()),
        ("company4.example", Some(Scope::Incoming))
    );
    let mut broken = carrier.clone();
    let middle = broken.data.len() / 2;
    broken.data[middle] = if broken.data[middle] == b'A' { b'B' } else { b'A' };
    let _ = world.forward(&broken).await;
    let came = so_many_rows(&world.gw2, 3).await;
    assert_eq!(
        (came[2].kind.as_str(), came[2].token.as_ref()),
        ("refused", came[0].token.as_ref())
    );
}

/// A flood of refusals from outside fills no disk, and the trail says what is missing.
#[tokio::test]
async fn a_flood_from_outside_is_counted() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    world.forward(&carrier).await.expect("250");
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    let to: Vec<&str> = carrier.to.iter().map(String::as_str).collect();
    for _ in 0..1_050 {
        client.transact(Smtp, &carrier.from, &to, &carrier.data).await.expect("250");
    }
    so_many_rows(&world.gw2, 1_001).await;
    // The clock stands still: there is room again only later.
    world.clock.advance(60);
    client.transact(Smtp, &carrier.from, &to, &carrier.data).await.expect("250");
    so_many_rows(&world.gw2, 1_002).await;
    let query = EventQuery { kind: Some(EventKind::Lapse), ..EventQuery::default() };
    let lapses = world.gw2.ledger.events(&query).await.unwrap();
    assert_eq!(lapses.len(), 1);
    assert_eq!(lapses[0].reason, "too-many-from-outside");
    assert_eq!(lapses[0].details().number("count"), Some(50));
}

/// Nothing is told to a client that is not on record.
#[tokio::test]
async fn without_a_ledger_nothing_is_sealed_and_clear_mail_comes_in_once() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    let path = world.gw2.directory().join("ledger.sqlite");
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("DROP TABLE audit").unwrap();
    let refused = world.forward(&carrier).await;
    assert!(refused.end.iter().all(|reply| reply.is("451 4.3.0")), "{refused:?}");
    let clear =
        Message { from: "<erin@company4.example>".to_owned(), data: MESSAGE.to_vec(), ..carrier };
    world.forward(&clear).await.expect("250");
}

#[tokio::test]
async fn a_start_and_a_stop_are_on_record_and_signed() {
    let world = World::new().await;
    let World { gw1, .. } = world;
    let ledger = gw1.ledger.clone();
    let query = EventQuery { subject: Subject::Any, ..EventQuery::default() };
    assert_eq!(ledger.events(&query).await.unwrap()[0].kind, "started");
    assert!(gw1.stop().await);
    let rows = ledger.events(&query).await.unwrap();
    assert_eq!(rows.last().unwrap().kind, "stopped");
}
