//! The unsealing side's replay protection: one delivery, whichever key a copy repeats.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use mta_seal::core::{DeliveryId, Domain, EnvelopeId};
use mta_seal::store::ledger::{
    CLAIM_LEASE, Claim, Claimed, IncomingMessage, IncomingStatus, Ledger, Options, SqliteLedger,
};

const NOW: u64 = 1_800_000_000;
const KEEP: u64 = NOW + 14 * 24 * 3_600;

fn open(directory: &Path) -> SqliteLedger {
    SqliteLedger::open(&directory.join("ledger.sqlite"), &Options::default(), NOW).unwrap()
}

fn message(envelope: u8, domain: &str, delivery: u8) -> IncomingMessage {
    IncomingMessage {
        envelope_id: EnvelopeId::from_bytes([envelope; 32]),
        sender_domain: Domain::parse(domain).unwrap(),
        delivery_id: DeliveryId::from_bytes([delivery; 16]),
    }
}

fn to(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn claim(ledger: &SqliteLedger, message: &IncomingMessage, names: &[&str]) -> Vec<Claimed> {
    ledger.claim(message, &to(names), NOW).await.unwrap()
}

fn claims(answers: Vec<Claimed>) -> Vec<Claim> {
    let claim = |answer| match answer {
        Claimed::Claimed(claim) => Some(claim),
        Claimed::Delivered | Claimed::InProgress => None,
    };
    answers.into_iter().filter_map(claim).collect()
}

#[tokio::test]
async fn either_key_with_the_recipient_makes_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let sent = message(1, "company1.example", 1);
    let taken = claims(claim(&ledger, &sent, &["a@x.example"]).await);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].recipient(), "a@x.example");

    let replay = message(1, "company1.example", 9);
    let sealed_again = message(9, "company1.example", 1);
    let strangers = [message(9, "company1.example", 9), message(9, "company2.example", 1)];
    for copy in [&sent, &replay, &sealed_again] {
        assert_eq!(claim(&ledger, copy, &["a@x.example"]).await, [Claimed::InProgress]);
    }
    ledger.delivered(&taken, KEEP, &[]).await.unwrap();
    for copy in [&sent, &replay, &sealed_again] {
        assert_eq!(claim(&ledger, copy, &["a@x.example"]).await, [Claimed::Delivered]);
        let status =
            ledger.incoming_status(copy, &to(&["a@x.example", "A@x.example"]), NOW).await.unwrap();
        assert_eq!(status, [IncomingStatus::Delivered, IncomingStatus::New]);
    }
    for other in &strangers {
        let status = ledger.incoming_status(other, &to(&["a@x.example"]), NOW).await.unwrap();
        assert_eq!(status, [IncomingStatus::New]);
    }
}

#[tokio::test]
async fn recipients_stand_alone_and_a_released_one_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let sent = message(1, "company1.example", 1);
    let mut taken = claims(claim(&ledger, &sent, &["a@x.example", "b@x.example"]).await);
    let (b, a) = (taken.pop().unwrap(), taken.pop().unwrap());
    ledger.delivered(&[a], KEEP, &[]).await.unwrap();
    ledger.release(std::slice::from_ref(&b)).await.unwrap();
    let answers = claim(&ledger, &sent, &["a@x.example", "b@x.example", "b@x.example"]).await;
    assert!(matches!(answers[..], [Claimed::Delivered, Claimed::Claimed(_), Claimed::InProgress]));
    // A claim that was given back gives nothing back a second time.
    ledger.release(&[b]).await.unwrap();
    assert_eq!(claim(&ledger, &sent, &["b@x.example"]).await, [Claimed::InProgress]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_copies_exactly_one_is_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Arc::new(open(directory.path()));
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let ledger = ledger.clone();
            // Half repeat the envelope, half only the delivery id.
            let copy = message(number % 2, "company1.example", 1);
            tokio::spawn(async move { claim(&ledger, &copy, &["a@x.example"]).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap()[..] {
            [Claimed::Claimed(_)] => won += 1,
            [Claimed::InProgress] => {}
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_restart_releases_claims_and_keeps_deliveries() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let sent = message(1, "company1.example", 1);
    let taken = claims(claim(&ledger, &sent, &["a@x.example", "b@x.example"]).await);
    ledger.delivered(&taken[..1], KEEP, &[]).await.unwrap();
    ledger.close().await;
    let ledger = open(directory.path());
    let answers = claim(&ledger, &sent, &["a@x.example", "b@x.example"]).await;
    assert!(matches!(answers[..], [Claimed::Delivered, Claimed::Claimed(_)]));
    // A claim of the dead epoch does not release that of the living one.
    ledger.release(&taken).await.unwrap();
    let answers = claim(&ledger, &sent, &["a@x.example", "b@x.example"]).await;
    assert_eq!(answers, [Claimed::Delivered, Claimed::InProgress]);
}

#[tokio::test]
async fn a_claim_whose_transaction_vanished_lapses() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let sent = message(1, "company1.example", 1);
    let lapsed = claims(claim(&ledger, &sent, &["a@x.example"]).await);
    let names = to(&["a@x.example"]);
    let answer = ledger.claim(&sent, &names, NOW + CLAIM_LEASE - 1).await.unwrap();
    assert_eq!(answer, [Claimed::InProgress]);
    let answer = ledger.claim(&sent, &names, NOW + CLAIM_LEASE).await.unwrap();
    assert!(matches!(answer[..], [Claimed::Claimed(_)]));
    ledger.release(&lapsed).await.unwrap();
    let answer = ledger.claim(&sent, &names, NOW + CLAIM_LEASE).await.unwrap();
    assert_eq!(answer, [Claimed::InProgress], "only the new owner releases");
}

#[tokio::test]
async fn deliveries_are_kept_until_they_expire() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let sent = message(1, "company1.example", 1);
    let taken = claims(claim(&ledger, &sent, &["a@x.example"]).await);
    ledger.delivered(&taken, KEEP, &[]).await.unwrap();
    assert_eq!(ledger.expire(KEEP - 1, 100).await, Ok(0));
    assert_eq!(claim(&ledger, &sent, &["a@x.example"]).await, [Claimed::Delivered]);
    assert_eq!(ledger.expire(KEEP, 100).await, Ok(2));
    assert!(matches!(claim(&ledger, &sent, &["a@x.example"]).await[..], [Claimed::Claimed(_)]));
}
