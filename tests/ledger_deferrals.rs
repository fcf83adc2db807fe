//! Deferrals, notices of delay and overrides in the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use mta_seal::core::Domain;
use mta_seal::store::ledger::{
    Attempt, Bound, Cause, DEFERRAL_GAP, DEFERRAL_MEMORY, DELAY_NOTICE_GAP, Deferral, Fate, Ledger,
    LedgerError, MAX_ALLOWANCE, MAX_DEFERRAL_TEXT, MAX_DEFERRALS, MAX_PATH, MAX_WHY, NewOutboxItem,
    Operator, OperatorLedger, Options, Scope, Side, SqliteLedger,
};

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;

fn open(directory: &Path, options: &Options) -> SqliteLedger {
    SqliteLedger::open(&directory.join("ledger.sqlite"), options, NOW).unwrap()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn attempt(scope: Scope, recipient: &str, fate: Fate) -> Attempt {
    Attempt {
        scope,
        domain: recipient.split('@').nth(1).unwrap_or_default().to_owned(),
        sender: "alice@a.example".to_owned(),
        recipient: recipient.to_owned(),
        at: 0,
        fate,
    }
}

/// Records attempts as of `now`.
async fn record(ledger: &SqliteLedger, attempts: &[Attempt], now: u64) {
    let at = |attempt: &Attempt| Attempt { at: now, ..attempt.clone() };
    let attempts: Vec<Attempt> = attempts.iter().map(at).collect();
    ledger.record_attempts(&attempts, &[]).await.unwrap();
}

fn waits(recipient: &str, words: &str) -> Attempt {
    let cause = Cause { words: words.to_owned(), tell: true, ..Cause::default() };
    attempt(Scope::Outgoing, recipient, Fate::Deferred(Box::new(cause)))
}

async fn all(ledger: &SqliteLedger) -> Vec<Deferral> {
    ledger.deferrals(None, MAX_DEFERRALS).await.unwrap()
}

async fn names(ledger: &SqliteLedger) -> Vec<String> {
    all(ledger).await.into_iter().map(|deferral| deferral.recipient).collect()
}

#[tokio::test]
async fn a_flood_fills_neither_the_table_nor_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_deferrals: 3, ..Options::default() };
    let ledger = open(directory.path(), &options);
    for n in 0..10 {
        let attempt = waits(&format!("{n}@b.example"), &"ü".repeat(MAX_DEFERRAL_TEXT));
        record(&ledger, &[attempt], NOW + n).await;
    }
    // What was tried least lately has gone; a known pair costs no other its place.
    assert_eq!(names(&ledger).await, ["9@b.example", "8@b.example", "7@b.example"]);
    assert!(all(&ledger).await[0].cause.words.len() <= MAX_DEFERRAL_TEXT);
    record(&ledger, &[waits("7@b.example", "")], NOW + 20).await;
    assert_eq!(names(&ledger).await, ["7@b.example", "9@b.example", "8@b.example"]);
    // The other direction has a bound of its own, and paths that no gateway accepts are left out.
    let cause = || Fate::Deferred(Box::default());
    let incoming = attempt(Scope::Incoming, "x@b.example", cause());
    let long = attempt(Scope::Outgoing, &"x".repeat(MAX_PATH + 1), cause());
    record(&ledger, &[incoming, long], NOW).await;
    assert_eq!(all(&ledger).await.len(), 4);
}

#[tokio::test]
async fn a_deferral_ends_with_any_final_answer_for_its_pair_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    for fate in [Fate::Sealed, Fate::Clear, Fate::Refused] {
        let both = [waits("bob@b.example", "x"), waits("carol@b.example", "y")];
        record(&ledger, &both, NOW).await;
        let incoming = attempt(Scope::Incoming, "bob@b.example", fate.clone());
        record(&ledger, &[incoming], NOW).await;
        assert_eq!(all(&ledger).await.len(), 2);
        let settled = attempt(Scope::Outgoing, "bob@b.example", fate);
        record(&ledger, &[settled], NOW).await;
        assert_eq!(names(&ledger).await, ["carol@b.example"]);
    }
    assert_eq!(all(&ledger).await[0].attempts, 3);
    assert_eq!(ledger.deferrals(Some(&domain("c.example")), 9).await, Ok(Vec::new()));
    assert_eq!(ledger.deferrals(Some(&domain("b.example")), 9).await.unwrap().len(), 1);
    // The time of the last attempt counts; a new message of the pair begins anew.
    ledger.expire(NOW + DEFERRAL_MEMORY - 1, 100).await.unwrap();
    assert_eq!(all(&ledger).await.len(), 1);
    let later = NOW + DEFERRAL_GAP + 1;
    record(&ledger, &[waits("carol@b.example", "z")], later).await;
    let again = all(&ledger).await.remove(0);
    assert_eq!((again.first_seen, again.attempts), (later, 1));
    ledger.expire(later + DEFERRAL_MEMORY, 100).await.unwrap();
    assert_eq!(all(&ledger).await, []);
}

#[tokio::test]
async fn a_sender_is_told_once_for_a_domain_and_day() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Options::default());
    let silent = Attempt { fate: Fate::Deferred(Box::default()), ..waits("dave@b.example", "") };
    for now in [NOW, NOW + 4 * HOUR] {
        let attempts = [waits("bob@b.example", ""), silent.clone(), waits("x@c.example", "")];
        record(&ledger, &attempts, now).await;
    }
    let due = |delay, now| {
        let ledger = ledger.clone();
        async move {
            let found = ledger.delayed(delay, now, 100).await.unwrap();
            found.into_iter().map(|deferral| deferral.recipient).collect::<Vec<_>>()
        }
    };
    let now = NOW + 4 * HOUR;
    assert!(due(4 * HOUR + 1, now).await.is_empty());
    assert_eq!(due(4 * HOUR, now).await, ["bob@b.example", "x@c.example"]);
    let notice = NewOutboxItem {
        reverse_path: String::new(),
        recipients: vec!["alice@a.example".to_owned()],
        message: b"x".to_vec(),
        side: Side::Inside,
        created: now,
    };
    ledger.tell_delay(&notice, "alice@a.example", "b.example", &[]).await.unwrap();
    assert_eq!(due(4 * HOUR, now).await, ["x@c.example"]);
    assert_eq!(ledger.due(now, 10).await.unwrap().len(), 1);
    // What is not tried any more is not told of.
    assert!(due(4 * HOUR, now + DELAY_NOTICE_GAP).await.is_empty());
    let later = now + DELAY_NOTICE_GAP;
    record(&ledger, &[waits("bob@b.example", "")], later).await;
    assert_eq!(due(4 * HOUR, later).await, ["bob@b.example"]);
}

#[tokio::test]
async fn overrides_are_given_and_ended_beside_the_daemon_and_never_vanish() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    assert!(matches!(OperatorLedger::open(&path), Err(LedgerError::Open { .. })));
    let daemon = open(directory.path(), &Options::default());
    let operator = OperatorLedger::open(&path).unwrap();
    let by = |login: &str| Operator { uid: 7, login: login.to_owned() };
    let (partner, other) = (domain("b.example"), domain("c.example"));
    for (until, why) in [
        (NOW, "x"),
        (NOW - 1, "x"),
        (NOW + MAX_ALLOWANCE + 1, "x"),
        (NOW + 1, " \t"),
        (NOW + 1, &"x".repeat(MAX_WHY + 1)),
    ] {
        let refused = operator.allow(&partner, NOW, until, why, &by("alice"));
        assert_eq!(refused, Err(LedgerError::Limit(Bound::Allowance)));
    }
    let first = operator.allow(&partner, NOW, NOW + HOUR, " key lost ", &by("alice")).unwrap();
    assert_eq!(
        (first.why.as_str(), &first.by, first.ended.clone()),
        ("key lost", &by("alice"), None)
    );
    let longer =
        operator.allow(&partner, NOW, NOW + MAX_ALLOWANCE, "key lost", &by("alice")).unwrap();
    let holds = |domain: &Domain, now| {
        let (daemon, domain) = (daemon.clone(), domain.clone());
        async move { daemon.allowance(&domain, now).await.unwrap().map(|found| found.id) }
    };
    assert_eq!(holds(&partner, NOW).await, Some(longer.id));
    assert_eq!(holds(&partner, NOW + MAX_ALLOWANCE).await, None);
    assert_eq!(holds(&other, NOW).await, None);
    assert_eq!(operator.disallow(&other, NOW + 1, &by("bob")), Ok(Vec::new()));
    let ended = operator.disallow(&partner, NOW + 1, &by("bob")).unwrap();
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|given| given.ended == Some((NOW + 1, by("bob")))));
    assert_eq!(holds(&partner, NOW + 1).await, None);
    // Long after, they are still told of.
    daemon.expire(NOW + 100 * MAX_ALLOWANCE, 1_000).await.unwrap();
    let ids = |found: Vec<mta_seal::store::ledger::Allowance>| {
        found.into_iter().map(|given| given.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(daemon.allowances(10).await.unwrap()), [longer.id, first.id]);
    daemon.close().await;
    let reader = SqliteLedger::open_read_only(&path).unwrap();
    assert_eq!(ids(reader.allowances(10).await.unwrap()), [longer.id, first.id]);
    assert_eq!(ids(reader.allowances(1).await.unwrap()), [longer.id]);
}
