//! What a gateway puts on record of a message, whatever becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::store::ledger::audit::Subject;
use mta_seal::store::ledger::{AuditRow, EventQuery, Ledger, Scope};

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
    assert_eq!(told(&rows(&world.gw1).await), [("clear", "no-policy", "dave@company3.example")]);
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
