//! Remembered domains and the outbox.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use mta_seal::core::Domain;
use mta_seal::store::ledger::{
    Bound, Ledger, LedgerError, NewOutboxItem, Options, Remembered, Scope, Side, SqliteLedger,
};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3_600;

fn open(directory: &Path, options: &Options) -> SqliteLedger {
    SqliteLedger::open(&directory.join("ledger.sqlite"), options, NOW).unwrap()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn seen(serial: u64) -> Remembered {
    Remembered {
        identity_key: [3; 32],
        serial,
        policy: b"v=MTASEAL1; ...\0\xff".to_vec(),
        key_records: vec![b"first".to_vec(), Vec::new(), vec![0xfe; 2_000]],
        level: 2,
        first_seen: NOW - DAY,
        last_observed: NOW,
        until: NOW + 2 * DAY,
        enforce_until: Some(NOW + DAY),
        hold: Some(172_800),
        counted_at: 0,
        pinned_root: None,
    }
}

#[tokio::test]
async fn a_domain_comes_back_as_it_was_remembered_in_its_scope_only() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let partner = domain("partner.example");
    let first = Remembered { enforce_until: None, ..seen(u64::MAX - 1) };
    assert_eq!(ledger.remember(Scope::Incoming, &partner, &first, NOW).await, Ok(true));
    assert_eq!(ledger.recall(Scope::Outgoing, &partner).await, Ok(None));
    ledger.close().await;
    let ledger = open(directory.path(), &Options::default());
    assert_eq!(ledger.recall(Scope::Incoming, &partner).await, Ok(Some(first)));
    assert_eq!(ledger.recall(Scope::Incoming, &domain("a.partner.example")).await, Ok(None));
    assert_eq!(ledger.forget(Scope::Outgoing, &partner).await, Ok(false));
    assert_eq!(ledger.forget(Scope::Incoming, &partner).await, Ok(true));
    assert_eq!(ledger.recall(Scope::Incoming, &partner).await, Ok(None));
}

#[tokio::test]
async fn a_lower_serial_never_replaces_a_higher_one_of_the_same_identity() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let partner = domain("partner.example");
    let remember = |what: Remembered| {
        let (ledger, partner) = (ledger.clone(), partner.clone());
        async move { ledger.remember(Scope::Outgoing, &partner, &what, NOW).await }
    };
    // Above the signed range, where a comparison in SQL would go wrong.
    let high = Remembered { key_records: Vec::new(), ..seen(1 << 63) };
    assert_eq!(remember(seen(5)).await, Ok(true));
    assert_eq!(remember(high.clone()).await, Ok(true));
    assert_eq!(remember(seen(6)).await, Ok(false));
    assert_eq!(ledger.recall(Scope::Outgoing, &partner).await, Ok(Some(high.clone())));
    let longer = Remembered { until: NOW + 9 * DAY, ..high };
    assert_eq!(remember(longer.clone()).await, Ok(true));
    assert_eq!(ledger.recall(Scope::Outgoing, &partner).await, Ok(Some(longer)));
    let rolled_over = Remembered { identity_key: [4; 32], ..seen(7) };
    assert_eq!(remember(rolled_over.clone()).await, Ok(true));
    assert_eq!(ledger.recall(Scope::Outgoing, &partner).await, Ok(Some(rolled_over)));
}

#[tokio::test]
async fn strangers_do_not_push_partners_out() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_remembered: 2, ..Options::default() };
    let ledger = open(directory.path(), &options);
    let names = ["a.example", "b.example", "c.example"].map(domain);
    let brief = Remembered { until: NOW + 10, enforce_until: None, ..seen(1) };
    ledger.remember(Scope::Incoming, &names[0], &seen(1), NOW).await.unwrap();
    ledger.remember(Scope::Incoming, &names[1], &brief, NOW).await.unwrap();
    let full = Err(LedgerError::Limit(Bound::Remembered));
    assert_eq!(ledger.remember(Scope::Incoming, &names[2], &seen(1), NOW).await, full);
    assert_eq!(ledger.remember(Scope::Incoming, &names[0], &seen(2), NOW).await, Ok(true));
    assert_eq!(ledger.remember(Scope::Outgoing, &names[2], &seen(1), NOW).await, Ok(true));
    // What has expired gives way.
    assert_eq!(ledger.remember(Scope::Incoming, &names[2], &seen(1), NOW + 10).await, Ok(true));
    let list = ledger.remembered(Scope::Incoming, None, 10).await.unwrap();
    let list: Vec<_> = list.into_iter().map(|(domain, seen)| (domain, seen.serial)).collect();
    assert_eq!(list, [(names[0].clone(), 2), (names[2].clone(), 1)]);
    let rest = ledger.remembered(Scope::Incoming, Some(&names[0]), 10).await.unwrap();
    assert_eq!(rest, [(names[2].clone(), seen(1))]);
    assert_eq!(ledger.expire(NOW + 2 * DAY, 10).await, Ok(3));
    assert_eq!(ledger.remembered(Scope::Incoming, None, 10).await, Ok(Vec::new()));
}

#[tokio::test]
async fn strangers_leave_room_for_those_to_whom_mail_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_remembered: 8, ..Options::default() };
    let ledger = open(directory.path(), &options);
    for n in 0..6 {
        let stranger = domain(&format!("s{n}.example"));
        assert_eq!(ledger.remember(Scope::Incoming, &stranger, &seen(1), NOW).await, Ok(true));
    }
    let used = ledger.memory_use(Scope::Incoming).await.unwrap();
    assert!(used.is_nearly_full() && used.most == 6, "{used:?}");
    let full = Err(LedgerError::Limit(Bound::Remembered));
    let [late, partner, other, third] =
        ["late", "partner", "other", "third"].map(|name| domain(&format!("{name}.example")));
    assert_eq!(ledger.remember(Scope::Incoming, &late, &seen(1), NOW).await, full);
    for known in [&partner, &other, &third] {
        assert_eq!(ledger.remember(Scope::Outgoing, known, &seen(1), NOW).await, Ok(true));
    }
    assert_eq!(ledger.remember(Scope::Incoming, &partner, &seen(1), NOW).await, Ok(true));
    assert_eq!(ledger.remember(Scope::Incoming, &other, &seen(1), NOW).await, Ok(true));
    assert_eq!(ledger.remember(Scope::Incoming, &third, &seen(1), NOW).await, full);
}

#[tokio::test]
async fn oversize_records_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let partner = domain("partner.example");
    for wrong in [
        Remembered { policy: vec![0; 16_385], ..seen(1) },
        Remembered { key_records: vec![vec![0; 16_385]], ..seen(1) },
        Remembered { key_records: vec![Vec::new(); 17], ..seen(1) },
    ] {
        let answer = ledger.remember(Scope::Outgoing, &partner, &wrong, NOW).await;
        assert_eq!(answer, Err(LedgerError::Limit(Bound::Record)));
    }
}

fn notice(text: &[u8], created: u64) -> NewOutboxItem {
    NewOutboxItem {
        reverse_path: String::new(),
        recipients: vec!["z@company1.example".into(), "a@company1.example".into()],
        message: text.to_vec(),
        side: Side::Inside,
        created,
    }
}

#[tokio::test]
async fn the_outbox_keeps_mail_until_it_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let later = NewOutboxItem { side: Side::Outside, ..notice(b"later\r\n", NOW + 1) };
    let second = ledger.enqueue(&later, &[]).await.unwrap();
    let first = ledger.enqueue(&notice(b"\0first\r\n", NOW), &[]).await.unwrap();
    ledger.close().await;
    let ledger = open(directory.path(), &Options::default());

    let due = ledger.due(NOW, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].id, due[0].attempts), (first, 0));
    assert_eq!(due[0].item, notice(b"\0first\r\n", NOW));
    ledger.postpone(first, NOW + 300).await.unwrap();
    assert_eq!(ledger.due(NOW, 10).await, Ok(Vec::new()));
    let due = ledger.due(NOW + 300, 10).await.unwrap();
    let order: Vec<_> = due.iter().map(|item| (item.id, item.attempts)).collect();
    assert_eq!(order, [(second, 0), (first, 1)]);
    assert_eq!(due[0].item, later);
    assert_eq!(ledger.due(NOW + 300, 1).await.unwrap().len(), 1);
    ledger.done(second).await.unwrap();
    ledger.done(first).await.unwrap();
    assert_eq!(ledger.due(u64::MAX, 10).await, Ok(Vec::new()));
    // Numbers are not used again, so a late `done` hits nobody else.
    let third = ledger.enqueue(&notice(b"third", NOW), &[]).await.unwrap();
    assert!(third > first && third > second);
}

#[tokio::test]
async fn the_outbox_is_bounded_in_messages_and_octets() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_outbox_items: 2, max_outbox_octets: 10, ..Options::default() };
    let ledger = open(directory.path(), &options);
    let full = Err(LedgerError::Limit(Bound::Outbox));
    let first = ledger.enqueue(&notice(b"12345678", NOW), &[]).await.unwrap();
    assert_eq!(ledger.enqueue(&notice(b"123", NOW), &[]).await, full);
    ledger.enqueue(&notice(b"12", NOW), &[]).await.unwrap();
    assert_eq!(ledger.enqueue(&notice(b"", NOW), &[]).await, full);
    ledger.done(first).await.unwrap();
    ledger.done(first).await.unwrap();
    ledger.enqueue(&notice(b"12345678", NOW), &[]).await.unwrap();
    assert_eq!(ledger.enqueue(&notice(b"", NOW), &[]).await, full);
    let answer = ledger.enqueue(&notice(&vec![b'x'; 1_024 * 1_024 + 1], NOW), &[]).await;
    assert_eq!(answer, Err(LedgerError::Limit(Bound::OutboxMessage)));
}
