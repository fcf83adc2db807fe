//! The audit trail: every change of it is found, but for what nobody can find in the file alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use mta_seal::core::{Domain, EnvelopeId, SigningKey, VerifyingKey};
use mta_seal::store::ledger::audit::{Chain, Detail, Flaw, Report, SigningKeys, Subject};
use mta_seal::store::ledger::{
    ActionKind, AuditRow, Checkpoint, Event, EventKind, EventQuery, Ledger, LedgerError, NewAction,
    Operator, OperatorLedger, Options, Scope, Signer, SqliteLedger, Trail,
};
use rusqlite::Connection;
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3_600;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn signer() -> Signer {
    let domain = Domain::parse("company1.example").unwrap();
    Signer { domain, key: key(), policy: "v=MTASEAL1; a policy".to_owned() }
}

/// Believes one key.
struct One(VerifyingKey);

impl SigningKeys for One {
    fn find(&mut self, _: &Checkpoint) -> Result<VerifyingKey, String> {
        Ok(self.0.clone())
    }
}

fn event(number: u8) -> Event {
    Event {
        scope: Some(Scope::Outgoing),
        trace: format!("{number:016x}"),
        message_id: format!("<{number}@company1.example>"),
        envelope: Some(EnvelopeId::from_bytes([number; 32])),
        token: Some([number; 16]),
        sender: "alice@company1.example".to_owned(),
        recipient: format!("bob{number}@company2.example"),
        domain: "company2.example".to_owned(),
        reason: "accepted".to_owned(),
        detail: Detail::default().with("level", "dnssec").with("serial", 7_u64),
        ..Event::new(EventKind::Sealed, NOW + u64::from(number))
    }
}

/// Rows 1 to 12, with checkpoints at 5 and 10.
async fn trail() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let ledger = SqliteLedger::open(&path, &Options::default(), NOW).unwrap();
    for number in 1..=12 {
        ledger.record_events(&[event(number)]).await.unwrap();
        if number % 5 == 0 {
            let seq = ledger.checkpoint(&signer(), NOW).await.unwrap().unwrap().seq;
            assert_eq!(seq, u64::from(number));
            assert_eq!(ledger.checkpoint(&signer(), NOW).await, Ok(None), "nothing is new");
        }
    }
    ledger.close().await;
    (directory, path)
}

fn verified(path: &Path, kept: Option<Checkpoint>) -> Result<Report, LedgerError> {
    Trail::open(path)?.verify(&mut One(key().public().clone()), kept)
}

fn flaws(path: &Path) -> Vec<Flaw> {
    verified(path, None).unwrap().flaws
}

/// A copy in which somebody who owns the file has done this.
fn tampered(path: &Path, statements: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("ledger.sqlite");
    std::fs::copy(path, &copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    let triggers = "DROP TRIGGER audit_unchanged; DROP TRIGGER audit_kept;
        DROP TRIGGER audit_checkpoint_unchanged; DROP TRIGGER audit_checkpoint_kept;
        PRAGMA ignore_check_constraints = 1; PRAGMA synchronous = OFF;";
    connection.execute_batch(triggers).unwrap();
    connection.execute_batch(statements).unwrap();
    connection.close().unwrap();
    (directory, copy)
}

/// Makes digests and chain of all rows from `from` on what they should be, without a key.
fn recomputed(path: &Path, from: i64) {
    let trail = Trail::open(path).unwrap();
    let mut rows = Vec::new();
    trail
        .each::<LedgerError>(|row| {
            rows.push(row.clone());
            Ok(())
        })
        .unwrap();
    let mut chain = Chain::genesis(&trail.id());
    drop(trail);
    let connection = Connection::open(path).unwrap();
    for row in rows {
        chain = chain.and(&row.digest());
        if row.seq >= from {
            connection
                .execute(
                    "UPDATE audit SET digest = ?2, chain = ?3 WHERE seq = ?1",
                    rusqlite::params![row.seq, row.digest(), chain.0],
                )
                .unwrap();
        }
    }
}

fn is_found(path: &Path, statements: &str) {
    let (_directory, copy) = tampered(path, statements);
    match verified(&copy, None) {
        Ok(report) => assert!(!report.is_whole(), "{statements}: {report:?}"),
        Err(error) => assert_eq!(error, LedgerError::Corrupt, "{statements}"),
    }
}

#[tokio::test]
async fn a_trail_as_it_was_written_is_whole() {
    let (_directory, path) = trail().await;
    let report = verified(&path, None).unwrap();
    assert_eq!(report.flaws, []);
    assert_eq!((report.first, report.last, report.rows), (Some(1), Some(12), 12));
    assert_eq!((report.checkpoints, report.unsigned), (2, 2));
    assert_eq!(report.signed.unwrap().seq, 10);
}

#[tokio::test]
async fn every_change_of_every_column_of_every_row_is_found() {
    let (_directory, path) = trail().await;
    let texts =
        ["kind", "trace", "message_id", "sender", "recipient", "domain", "reason", "detail"];
    let mut changes: Vec<String> = texts.map(|name| format!("{name} = {name} || 'x'")).to_vec();
    changes.extend(texts.map(|name| format!("{name} = ''")));
    changes.extend(
        ["at = at + 1", "at = -at", "direction = 1 - direction", "seq = seq + 100"]
            .map(str::to_owned),
    );
    for name in ["envelope", "token", "digest", "chain"] {
        changes.push(format!("{name} = zeroblob(length({name}))"));
        changes.push(format!("{name} = x''"));
    }
    changes.extend(
        ["envelope = NULL", "token = NULL", "envelope = token, token = envelope"]
            .map(str::to_owned),
    );
    for seq in 1..=12 {
        for change in &changes {
            is_found(&path, &format!("UPDATE audit SET {change} WHERE seq = {seq}"));
        }
    }
    // The row itself is named.
    let (_copy, copy) =
        tampered(&path, "UPDATE audit SET recipient = 'eve@company2.example' WHERE seq = 7");
    assert_eq!(flaws(&copy), [Flaw::Changed(7)]);
}

#[tokio::test]
async fn rows_that_are_missing_or_in_another_order_are_found() {
    let (_directory, path) = trail().await;
    for rows in ["= 1", "= 6", "= 10", "IN (2, 3)", "<= 4", ">= 10", ">= 1", "BETWEEN 4 AND 11"] {
        is_found(&path, &format!("DELETE FROM audit WHERE seq {rows}"));
    }
    // Also where the others close up.
    is_found(
        &path,
        "DELETE FROM audit WHERE seq = 6; UPDATE audit SET seq = seq - 1 WHERE seq > 6",
    );
    for (one, other) in [(1, 2), (5, 6), (3, 9), (11, 12)] {
        let swap = format!(
            "UPDATE audit SET seq = -1 WHERE seq = {one}; UPDATE audit SET seq = {one} WHERE seq = {other};
             UPDATE audit SET seq = {other} WHERE seq = -1"
        );
        is_found(&path, &swap);
    }
    let (_copy, copy) = tampered(&path, "DELETE FROM audit WHERE seq = 6");
    assert_eq!(flaws(&copy), [Flaw::Missing(6, 6)]);
    // As pruning would leave it, but the trail does not say so.
    is_found(&path, "DELETE FROM audit WHERE seq <= 5");
    let (_copy, copy) = tampered(&path, "DELETE FROM audit WHERE seq <= 5");
    assert_eq!(flaws(&copy), [Flaw::NotPruned(5)]);
}

#[tokio::test]
async fn a_trail_that_was_written_anew_without_the_key_is_found() {
    let (_directory, path) = trail().await;
    for seq in 1..=10 {
        let (_copy, copy) =
            tampered(&path, &format!("UPDATE audit SET reason = 'x' WHERE seq = {seq}"));
        recomputed(&copy, 1);
        let found = flaws(&copy);
        assert!(found.contains(&Flaw::Differs(10)), "{seq}: {found:?}");
    }
    // With the checkpoints gone too.
    let (_copy, copy) =
        tampered(&path, "UPDATE audit SET reason = 'x'; DELETE FROM audit_checkpoint");
    recomputed(&copy, 1);
    assert_eq!(flaws(&copy), [Flaw::Unsigned]);
    // With checkpoints by another key.
    let (_copy, copy) =
        tampered(&path, "UPDATE audit SET reason = 'x'; DELETE FROM audit_checkpoint");
    recomputed(&copy, 1);
    let ledger = SqliteLedger::open(&copy, &Options::default(), NOW).unwrap();
    let forger = Signer { key: SigningKey::from_bytes(&[8; 32]), ..signer() };
    ledger.checkpoint(&forger, NOW).await.unwrap().unwrap();
    ledger.close().await;
    assert!(matches!(flaws(&copy)[..], [Flaw::Unbelieved(12, _)]));
    // As the trail of another ledger with the same key.
    is_found(&path, "UPDATE audit_trail SET trail = randomblob(16)");
}

#[tokio::test]
async fn every_change_of_a_checkpoint_is_found() {
    let (_directory, path) = trail().await;
    let mut changes = [
        "seq = seq + 1",
        "seq = seq - 1",
        "previous = previous + 1",
        "at = at + 1",
        "domain = 'x.example'",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in ["chain", "key", "policy", "signature"] {
        changes.push(format!("{name} = zeroblob(length({name}))"));
        changes.push(format!("{name} = x''"));
    }
    for seq in [5, 10] {
        for change in &changes {
            is_found(&path, &format!("UPDATE audit_checkpoint SET {change} WHERE seq = {seq}"));
        }
    }
    let (_copy, copy) = tampered(&path, "DELETE FROM audit_checkpoint WHERE seq = 5");
    assert_eq!(flaws(&copy), [Flaw::NoCheckpoint(5)]);
}

/// Honest about it: whoever owns the file can take back what is not signed, and the last signatures with it. A checkpoint that is
/// kept elsewhere shows it.
#[tokio::test]
async fn an_end_that_was_cut_off_is_found_by_a_checkpoint_kept_elsewhere() {
    let (_directory, path) = trail().await;
    let kept = Trail::open(&path).unwrap().last_checkpoint().unwrap().unwrap();
    let kept = Checkpoint::parse(&kept.to_json().to_string()).unwrap();
    let found = |path: &Path| verified(path, Some(kept.clone())).unwrap().flaws;
    assert_eq!(found(&path), []);

    // Not found in the file alone, nor by a checkpoint from before.
    let (_copy, copy) = tampered(&path, "DELETE FROM audit WHERE seq > 10");
    assert_eq!(found(&copy), []);
    let (_copy, copy) = tampered(&path, "UPDATE audit SET reason = 'x' WHERE seq > 10");
    recomputed(&copy, 11);
    assert_eq!(found(&copy), []);
    // Not found in the file alone.
    let cut = "DELETE FROM audit WHERE seq > 5; DELETE FROM audit_checkpoint WHERE seq > 5";
    let (_copy, copy) = tampered(&path, cut);
    assert_eq!(flaws(&copy), []);
    assert_eq!(found(&copy), [Flaw::KeptCutOff(10)]);
    let anew =
        "UPDATE audit SET reason = 'x' WHERE seq > 5; DELETE FROM audit_checkpoint WHERE seq > 5";
    let (_copy, copy) = tampered(&path, anew);
    recomputed(&copy, 6);
    assert_eq!(flaws(&copy), []);
    assert_eq!(found(&copy), [Flaw::KeptDiffers(10)]);
    // A ledger that was thrown away.
    let (_other, other) = trail().await;
    assert_eq!(flaws(&other), []);
    assert_eq!(found(&other), [Flaw::OtherTrail]);
    // While the checkpoint is there, its rows cannot go.
    let (_copy, copy) = tampered(&path, "DELETE FROM audit WHERE seq > 8");
    assert_eq!(flaws(&copy), [Flaw::CutOff(10)]);
}

#[tokio::test]
async fn only_pruning_removes_rows_and_the_rest_can_be_verified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let ledger = SqliteLedger::open(&path, &Options::default(), NOW).unwrap();
    for day in 0..10 {
        for number in 1..=10 {
            let event = Event { at: NOW + day * DAY, ..event(number) };
            ledger.record_events(&[event]).await.unwrap();
        }
        ledger.checkpoint(&signer(), NOW + day * DAY).await.unwrap().unwrap();
    }
    let connection = Connection::open(&path).unwrap();
    for refused in [
        "DELETE FROM audit WHERE seq = 1",
        "UPDATE audit SET reason = 'x'",
        "DELETE FROM audit_checkpoint",
        "UPDATE audit_checkpoint SET at = 0",
    ] {
        assert!(connection.execute(refused, []).is_err(), "{refused}");
    }
    let first_kept = Checkpoint::parse(
        &Trail::open(&path).unwrap().last_checkpoint().unwrap().unwrap().to_json().to_string(),
    )
    .unwrap();
    let now = NOW + 10 * DAY;
    let prune = |before: u64, most: u64, limit: usize| {
        let ledger = ledger.clone();
        async move { ledger.prune(before, most, limit, now).await.unwrap() }
    };
    // Nothing is so old.
    assert_eq!(prune(NOW - 1, 1_000, 100).await, 0);
    // Up to a checkpoint, a few at a time.
    assert_eq!(prune(NOW + 3 * DAY, 1_000, 25).await, 20);
    assert_eq!(prune(NOW + 3 * DAY, 1_000, 25).await, 20);
    assert_eq!(prune(NOW + 3 * DAY, 1_000, 25).await, 0);
    let report = verified(&path, Some(first_kept.clone())).unwrap();
    assert_eq!((report.flaws, report.first), (vec![], Some(41)));
    // Too many.
    assert_eq!(prune(0, 30, 100).await, 30);
    assert_eq!(flaws(&path), []);
    ledger.checkpoint(&signer(), now).await.unwrap().unwrap();
    // All of them; the chain goes on.
    assert!(prune(now, 1_000, 1_000).await > 0);
    ledger.record_events(&[event(1)]).await.unwrap();
    let report = verified(&path, None).unwrap();
    assert_eq!((report.flaws, report.rows), (vec![], 2));
    assert_eq!(verified(&path, Some(first_kept)).unwrap().flaws, [Flaw::KeptPruned(100)]);
    // Who prunes by hand is told from who prunes by rule.
    ledger.close().await;
    drop(connection);
    let forged = "UPDATE audit_trail SET pruned = 1000; DELETE FROM audit WHERE kind = 'pruned'";
    is_found(&path, forged);
}

#[tokio::test]
async fn questions_are_answered_and_bounded() {
    let (_directory, path) = trail().await;
    let ledger = SqliteLedger::open(&path, &Options::default(), NOW).unwrap();
    let ask = async |subject: Subject| {
        let query = EventQuery { subject, ..EventQuery::default() };
        let rows: Vec<i64> =
            ledger.events(&query).await.unwrap().iter().map(|row: &AuditRow| row.seq).collect();
        rows
    };
    assert_eq!(ask(Subject::MessageId("<3@company1.example>".to_owned())).await, [3]);
    assert_eq!(ask(Subject::Trace(format!("{:016x}", 4))).await, [4]);
    assert_eq!(ask(Subject::Token([5; 16])).await, [5]);
    assert_eq!(ask(Subject::Envelope(EnvelopeId::from_bytes([6; 32]))).await, [6]);
    assert_eq!(ask(Subject::Address("bob7@company2.example".to_owned())).await, [7]);
    let all: Vec<i64> = (1..=12).collect();
    assert_eq!(ask(Subject::Address("alice@company1.example".to_owned())).await, all);
    assert_eq!(ask(Subject::Domain("company2.example".to_owned())).await, all);
    for none in [
        Subject::MessageId(String::new()),
        Subject::Address(String::new()),
        Subject::Trace(String::new()),
    ] {
        assert_eq!(ask(none).await, [] as [i64; 0]);
    }
    let within = EventQuery { since: Some(NOW + 4), until: Some(NOW + 7), ..EventQuery::default() };
    assert_eq!(ledger.events(&within).await.unwrap().len(), 3);
    let last = EventQuery { limit: 2, ..EventQuery::default() };
    assert_eq!(ledger.events(&last).await.unwrap()[0].seq, 11);
    // What peers choose is cut, and what is too much is counted.
    let long = Event {
        sender: "é".repeat(5_000),
        detail: Detail::default().with("reply", "é".repeat(5_000)),
        ..event(1)
    };
    ledger.record_events(&vec![long; 5_000]).await.unwrap();
    let rows = ledger.events(&EventQuery { limit: 2, ..EventQuery::default() }).await.unwrap();
    assert_eq!(
        (rows[0].sender.len(), rows[0].details().text("reply").unwrap().len()),
        (1_024, 512)
    );
    assert_eq!((rows[1].kind.as_str(), rows[1].details().number("count")), ("lapse", Some(904)));
    ledger.close().await;
    assert_eq!(flaws(&path), []);
}

#[tokio::test]
async fn commands_beside_the_daemon_append_to_the_same_chain() {
    let (_directory, path) = trail().await;
    let ledger = SqliteLedger::open(&path, &Options::default(), NOW).unwrap();
    let operator = OperatorLedger::open(&path).unwrap();
    let by = Operator { uid: 0, login: "alice".to_owned() };
    let domain = Domain::parse("company2.example").unwrap();
    operator.allow(&domain, NOW, NOW + 60, "key lost", &by).unwrap();
    ledger.record_events(&[event(1)]).await.unwrap();
    operator.disallow(&domain, NOW, &by).unwrap();
    for kind in [ActionKind::Pin, ActionKind::KeyRevoked] {
        let action = NewAction { kind, domain: domain.clone(), detail: "ticket 4711".to_owned() };
        operator.record(&[action], NOW, &by).unwrap();
    }
    let rows = ledger.events(&EventQuery { limit: 5, ..EventQuery::default() }).await.unwrap();
    let told: Vec<(&str, &str)> =
        rows.iter().map(|row| (row.kind.as_str(), row.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            ("override", "allow-clear"),
            ("sealed", "accepted"),
            ("override", "disallow-clear"),
            ("partner", "pin"),
            ("key", "key-revoked"),
        ]
    );
    assert_eq!(rows[3].details().text("login"), Some("alice"));
    assert_eq!(rows[3].details().text("what"), Some("ticket 4711"));
    ledger.close().await;
    drop(operator);
    assert_eq!(flaws(&path), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_make_one_chain() {
    let (_directory, path) = trail().await;
    let ledger = SqliteLedger::open(&path, &Options::default(), NOW).unwrap();
    let operator_path = path.clone();
    let commands = tokio::task::spawn_blocking(move || {
        let operator = OperatorLedger::open(&operator_path).unwrap();
        let by = Operator { uid: 0, login: "alice".to_owned() };
        let domain = Domain::parse("company2.example").unwrap();
        for _ in 0..50 {
            let detail = "x".to_owned();
            let action = NewAction { kind: ActionKind::Pin, domain: domain.clone(), detail };
            operator.record(&[action], NOW, &by).unwrap();
        }
    });
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.record_events(&[event(number)]).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    commands.await.unwrap();
    ledger.close().await;
    let report = verified(&path, None).unwrap();
    assert_eq!((report.flaws, report.rows), (vec![], 162));
}
