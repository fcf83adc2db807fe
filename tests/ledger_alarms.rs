//! Alarms in the ledger: kept until acknowledged, opened again by news, and not pushed out by strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use mta_seal::core::Domain;
use mta_seal::store::ledger::{
    ALARM_GAP, ALARM_MEMORY, AlarmRow, Bound, Ledger, LedgerError, MAX_ALARM_TEXT, MAX_ALARMS,
    MAX_WHY, Occurrence, Operator, OperatorLedger, Options, Remembered, Scope, SqliteLedger,
};

const NOW: u64 = 1_800_000_000;

fn open(directory: &Path, options: &Options) -> SqliteLedger {
    SqliteLedger::open(&directory.join("ledger.sqlite"), options, NOW).unwrap()
}

fn operator(directory: &Path) -> OperatorLedger {
    OperatorLedger::open(&directory.join("ledger.sqlite")).unwrap()
}

fn alice() -> Operator {
    Operator { uid: 1_000, login: "alice".to_owned() }
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn occurrence(name: &str, words: &str, at: u64) -> Occurrence {
    Occurrence {
        scope: Scope::Outgoing,
        domain: name.to_owned(),
        kind: "identity-changed".to_owned(),
        words: words.to_owned(),
        partner: false,
        asks: true,
        first: at,
        last: at,
        count: 1,
    }
}

async fn all(ledger: &SqliteLedger) -> Vec<AlarmRow> {
    ledger.alarms(None, MAX_ALARMS).await.unwrap()
}

async fn only(ledger: &SqliteLedger) -> AlarmRow {
    let mut all = all(ledger).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test]
async fn occurrences_of_one_kind_and_domain_are_one_row_that_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let more =
        Occurrence { last: NOW + 60, count: 4, ..occurrence("b.example", "from A to C", NOW) };
    let batch = [occurrence("b.example", "from A to B", NOW), more];
    ledger.record_alarms(&batch).await.unwrap();
    ledger.close().await;
    let ledger = open(directory.path(), &Options::default());
    let row = only(&ledger).await;
    assert_eq!((row.first_seen, row.last_seen, row.count), (NOW, NOW + 60, 5));
    assert_eq!((row.words.as_str(), row.open, row.acknowledged), ("from A to C", true, None));
    assert_eq!(ledger.open_alarms().await, Ok(vec![("identity-changed".to_owned(), 1)]));

    // Direction, domain and kind tell rows apart.
    let incoming =
        Occurrence { scope: Scope::Incoming, ..occurrence("b.example", "from A to B", NOW) };
    let other = Occurrence { kind: "serial-back".to_owned(), ..incoming.clone() };
    let long =
        Occurrence { words: "ä".repeat(MAX_ALARM_TEXT), ..occurrence("c.example", "", NOW) };
    ledger.record_alarms(&[incoming, other, long]).await.unwrap();
    assert_eq!(all(&ledger).await.len(), 4);
    let of = ledger.alarms(Some(&domain("c.example")), 9).await.unwrap();
    assert_eq!(of[0].words.len(), MAX_ALARM_TEXT);
    assert_eq!(ledger.alarms(Some(&domain("b.example")), 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_acknowledged_alarm_is_opened_again_by_news_and_by_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let b = domain("b.example");
    let raise = async |words: &str, at: u64| {
        let was_closed = all(&ledger).await.iter().any(|row| !row.open);
        let raised = [occurrence("b.example", words, at)];
        let reopened = ledger.record_alarms(&raised).await.unwrap().reopened;
        let row = only(&ledger).await;
        assert_eq!(reopened == raised, was_closed && row.open, "{reopened:?}");
        row
    };
    let acknowledge = |why: &str, kind: Option<&str>| {
        operator(directory.path()).acknowledge(&b, kind, NOW + 10, why, &alice())
    };
    raise("from A to B", NOW).await;
    for why in ["", " \t", &"x".repeat(MAX_WHY + 1)] {
        let refused = Err(LedgerError::Limit(Bound::Acknowledgement));
        assert_eq!(acknowledge(why, None), refused);
    }
    assert_eq!(acknowledge("x", Some("serial-back")), Ok(Vec::new()));
    let closed = acknowledge(" asked by telephone ", Some("identity-changed")).unwrap();
    let ack = closed[0].acknowledged.clone().unwrap();
    assert_eq!((ack.at, ack.by, ack.why.as_str()), (NOW + 10, alice(), "asked by telephone"));
    assert!(!closed[0].open);
    assert_eq!(acknowledge("again", None), Ok(Vec::new()));
    assert_eq!(ledger.open_alarms().await, Ok(Vec::new()));

    let same = raise("from A to B", NOW + 60).await;
    assert_eq!((same.open, same.count, same.first_seen), (false, 2, NOW));
    let news = raise("from A to C", NOW + 120).await;
    assert_eq!((news.open, news.count, news.first_seen), (true, 1, NOW + 120));
    assert_eq!(news.acknowledged.unwrap().by, alice());
    // While it is open, it goes on.
    let more = raise("from A to D", NOW + 180).await;
    assert_eq!((more.open, more.count, more.first_seen), (true, 2, NOW + 120));
    acknowledge("once more", None).unwrap();
    let silence = NOW + 180 + ALARM_GAP;
    assert!(!raise("from A to D", silence).await.open);
    assert!(raise("from A to D", silence + ALARM_GAP + 1).await.open);
}

#[tokio::test]
async fn notices_are_never_open_and_only_what_is_closed_expires() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let notice = Occurrence {
        asks: false,
        kind: "identity-rolled-over".to_owned(),
        ..occurrence("b.example", "from A to B", NOW)
    };
    let alarm = occurrence("c.example", "from A to B", NOW);
    let closed = occurrence("d.example", "from A to B", NOW);
    ledger.record_alarms(&[notice, alarm, closed]).await.unwrap();
    assert_eq!(ledger.open_alarms().await, Ok(vec![("identity-changed".to_owned(), 2)]));
    let acknowledge = operator(directory.path());
    acknowledge.acknowledge(&domain("d.example"), None, NOW, "x", &alice()).unwrap();
    assert_eq!(ledger.expire(NOW + ALARM_MEMORY - 1, 9).await, Ok(0));
    assert_eq!(ledger.expire(NOW + ALARM_MEMORY, 9).await, Ok(2));
    assert_eq!(only(&ledger).await.domain, "c.example");
}

#[tokio::test]
async fn strangers_push_out_strangers_of_their_own_direction_only() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_alarms: 5, ..Options::default() };
    let ledger = open(directory.path(), &options);
    let remembered = Remembered {
        identity_key: [0; 32],
        serial: 1,
        policy: Vec::new(),
        key_records: Vec::new(),
        level: 0,
        hold: None,
        counted_at: NOW,
        pinned_root: None,
        first_seen: NOW,
        last_observed: NOW,
        until: NOW + 1_000,
        enforce_until: None,
    };
    let known = domain("known.example");
    ledger.remember(Scope::Outgoing, &known, &remembered, NOW).await.unwrap();
    let incoming = |name: &str, partner: bool, at: u64| Occurrence {
        scope: Scope::Incoming,
        partner,
        ..occurrence(name, "from A to B", at)
    };
    ledger
        .record_alarms(&[
            incoming("known.example", false, NOW),
            incoming("partner.example", true, NOW),
            incoming("acknowledged.example", false, NOW + 5_000),
            occurrence("stranger.example", "from A to B", NOW),
        ])
        .await
        .unwrap();
    let acknowledged = domain("acknowledged.example");
    operator(directory.path()).acknowledge(&acknowledged, None, NOW, "x", &alice()).unwrap();
    let mut dropped = 0;
    for n in 0..50 {
        // Remembered for incoming mail only: whoever writes to us has chosen that.
        let name = format!("{n}.example");
        ledger.remember(Scope::Incoming, &domain(&name), &remembered, NOW).await.unwrap();
        dropped +=
            ledger.record_alarms(&[incoming(&name, false, NOW + 1 + n)]).await.unwrap().dropped;
    }
    // All but the five that are left and the one that was acknowledged.
    assert_eq!(dropped, 45);
    let rows = all(&ledger).await;
    let names: Vec<&str> = rows.iter().map(|row| row.domain.as_str()).collect();
    for kept in ["known.example", "partner.example", "stranger.example", "49.example"] {
        assert!(names.contains(&kept), "{kept}: {names:?}");
    }
    assert_eq!(names.len(), 3 + 5, "{names:?}");
    // The best known come first.
    assert_eq!(names[0], "partner.example");
    // An alarm that is there already takes no room.
    ledger.record_alarms(&[incoming("49.example", false, NOW + 99)]).await.unwrap();
    assert_eq!(all(&ledger).await.len(), names.len());
    // A batch counts what it has put there itself.
    let batch: Vec<Occurrence> =
        (0..20).map(|n| incoming(&format!("batch{n}.example"), false, NOW + 200 + n)).collect();
    assert_eq!(ledger.record_alarms(&batch).await.unwrap().dropped, 20);
    assert_eq!(all(&ledger).await.len(), names.len());
}

#[tokio::test]
async fn a_reader_beside_the_daemon_sees_alarms_and_cannot_write_them() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let alarm = [occurrence("b.example", "from A to B", NOW)];
    ledger.record_alarms(&alarm).await.unwrap();
    let reader = SqliteLedger::open_read_only(&directory.path().join("ledger.sqlite")).unwrap();
    assert_eq!(all(&reader).await, all(&ledger).await);
    assert_eq!(reader.record_alarms(&alarm).await, Err(LedgerError::ReadOnly));
}
