//! What was acknowledged is there; what cannot be kept is refused, and never panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mta_seal::core::{DeliveryId, Domain, EnvelopeId, VerifyingKey};
use mta_seal::store::ledger::audit::{Flaw, SigningKeys, Subject};
use mta_seal::store::ledger::{
    Checkpoint, Claimed, Event, EventKind, EventQuery, IncomingMessage, IncomingStatus, Ledger,
    LedgerError, NewOutboxItem, Options, RetryKey, Scope, Side, SqliteLedger, Trail,
};

const NOW: u64 = 1_800_000_000;
const KEEP: u64 = NOW + 1_000_000;
/// Names the ledger to the child process of the crash test.
const CRASH_ENV: &str = "MTA_SEAL_TEST_CRASH_LEDGER";

fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, &Options::default(), NOW)
}

fn message(number: u32) -> IncomingMessage {
    let mut envelope = [0; 32];
    envelope[..4].copy_from_slice(&number.to_be_bytes());
    let mut delivery = [0; 16];
    delivery[..4].copy_from_slice(&number.to_be_bytes());
    IncomingMessage {
        envelope_id: EnvelopeId::from_bytes(envelope),
        sender_domain: Domain::parse("company1.example").unwrap(),
        delivery_id: DeliveryId::from_bytes(delivery),
    }
}

fn recipient() -> Vec<String> {
    vec!["a@company2.example".to_owned()]
}

fn notice(octets: usize) -> NewOutboxItem {
    NewOutboxItem {
        reverse_path: String::new(),
        recipients: recipient(),
        message: vec![b'x'; octets],
        side: Side::Inside,
        created: NOW,
    }
}

/// No checkpoint is signed here.
struct Nobody;

impl SigningKeys for Nobody {
    fn find(&mut self, _: &Checkpoint) -> Result<VerifyingKey, String> {
        Err("nobody signs".to_owned())
    }
}

/// What the audit trail is told of a delivery.
fn event(number: u32) -> Event {
    let trace = format!("{number:016x}");
    Event { scope: Some(Scope::Incoming), trace, ..Event::new(EventKind::Unsealed, NOW) }
}

async fn deliver(ledger: &SqliteLedger, number: u32) -> Result<(), LedgerError> {
    let answers = ledger.claim(&message(number), &recipient(), NOW).await?;
    for answer in answers {
        match answer {
            Claimed::Claimed(claim) => ledger.delivered(&[claim], KEEP, &[event(number)]).await?,
            Claimed::Delivered | Claimed::InProgress => panic!("{number} was not free"),
        }
    }
    Ok(())
}

async fn status(ledger: &SqliteLedger, number: u32) -> IncomingStatus {
    ledger.incoming_status(&message(number), &recipient(), NOW).await.unwrap()[0]
}

/// Not a test of its own: the child process of the crash test, which delivers until it is
/// killed and prints the number of each delivery once it is acknowledged.
#[test]
fn crash_child() {
    let Some(path) = std::env::var_os(CRASH_ENV) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let ledger = open(Path::new(&path)).unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|lane| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    for number in (lane..).step_by(8) {
                        deliver(&ledger, number).await.unwrap();
                        println!("done {number}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_killed_process() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_child", "--nocapture"])
            .env(CRASH_ENV, directory.path().join(format!("{round}.sqlite")))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut done = BTreeSet::new();
        let note = |line: &str, done: &mut BTreeSet<u32>| {
            if let Some((_, number)) = line.rsplit_once("done ") {
                done.insert(number.parse().unwrap());
            }
        };
        while done.len() < 200 + round * 57 {
            note(&lines.next().expect("the child goes on until killed"), &mut done);
        }
        child.kill().unwrap();
        lines.for_each(|line| note(&line, &mut done));
        child.wait().unwrap();

        let path = directory.path().join(format!("{round}.sqlite"));
        let ledger = open(&path).expect("the lock of a dead process is no lock");
        for number in &done {
            assert_eq!(status(&ledger, *number).await, IncomingStatus::Delivered, "{number}");
            let trace = Subject::Trace(format!("{number:016x}"));
            let rows = ledger.events(&EventQuery { subject: trace, ..EventQuery::default() });
            assert_eq!(rows.await.unwrap().len(), 1, "{number}");
        }
        let verified = Trail::open(&path).unwrap().verify(&mut Nobody, None).unwrap();
        assert_eq!(verified.flaws, [Flaw::Unsigned], "every row follows from the one before it");
        // Claims that were open are free again.
        let free = (0..500).filter(|number| !done.contains(number));
        for number in free {
            assert_ne!(status(&ledger, number).await, IncomingStatus::InProgress);
        }
        ledger.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_operations_share_commits() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.sqlite")).unwrap();
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { deliver(&ledger, number).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let (commits, operations) = ledger.commits();
    assert_eq!(operations, 800);
    assert!(commits <= operations / 2, "{commits} commits for {operations} operations");
    for number in 0..400 {
        assert_eq!(status(&ledger, number).await, IncomingStatus::Delivered);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operation_that_fails_does_not_fail_its_companions() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.sqlite")).unwrap();
    let taken = DeliveryId::from_bytes([1; 16]);
    ledger.begin_outgoing(RetryKey::from_bytes([1; 32]), &recipient(), taken, NOW).await.unwrap();
    let good: Vec<_> = (0..50)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { deliver(&ledger, number).await })
        })
        .collect();
    let bad: Vec<_> = (2..52)
        .map(|number| {
            let (ledger, key) = (ledger.clone(), RetryKey::from_bytes([number; 32]));
            tokio::spawn(async move { ledger.begin_outgoing(key, &recipient(), taken, NOW).await })
        })
        .collect();
    for task in good {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    for task in bad {
        assert_eq!(task.await.unwrap(), Err(LedgerError::Conflict));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_ledger_says_so_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let options = Options { max_size: Some(256 * 1_024), ..Options::default() };
    let ledger = SqliteLedger::open(&path, &options, NOW).unwrap();
    let mut kept = Vec::new();
    loop {
        match ledger.enqueue(&notice(20_000), &[]).await {
            Ok(id) => kept.push(id),
            Err(error) => break assert_eq!(error, LedgerError::Full),
        }
        assert!(kept.len() < 20, "the size limit does not hold");
    }
    assert!(!kept.is_empty());
    // Small operations that still fit are not failed by a large one in the same commit.
    let small: Vec<_> = (0..10)
        .map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { deliver(&ledger, number).await })
        })
        .collect();
    let large: Vec<_> = (0..10)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.enqueue(&notice(20_000), &[]).await })
        })
        .collect();
    for task in large {
        assert_eq!(task.await.unwrap(), Err(LedgerError::Full));
    }
    for task in small {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    // Fill it to the brim, then nothing is acknowledged that is not there.
    let mut number = 10;
    while deliver(&ledger, number).await.is_ok() {
        number += 1;
        assert!(number < 10_000, "the size limit does not hold");
    }
    assert_ne!(status(&ledger, number).await, IncomingStatus::Delivered);
    for delivered in 0..number {
        assert_eq!(status(&ledger, delivered).await, IncomingStatus::Delivered);
    }
    ledger.done(kept[0]).await.unwrap();
    deliver(&ledger, number + 1).await.expect("there is room again");
    ledger.close().await;
    let ledger = SqliteLedger::open(&path, &options, NOW).unwrap();
    assert_eq!(status(&ledger, number + 1).await, IncomingStatus::Delivered);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_reader_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let ledger = open(&path).unwrap();
    assert_eq!(open(&path).unwrap_err(), LedgerError::Locked);
    deliver(&ledger, 1).await.unwrap();
    let reader = SqliteLedger::open_read_only(&path).unwrap();
    assert_eq!(status(&reader, 1).await, IncomingStatus::Delivered);
    let answer = reader.claim(&message(2), &recipient(), NOW).await;
    assert_eq!(answer, Err(LedgerError::ReadOnly));
    deliver(&ledger, 3).await.unwrap();
    assert_eq!(status(&reader, 3).await, IncomingStatus::Delivered);
    let other = ledger.clone();
    ledger.close().await;
    assert_eq!(deliver(&other, 4).await, Err(LedgerError::Closed));
    assert_eq!(other.due(NOW, 1).await, Err(LedgerError::Closed));
    drop(open(&path).unwrap());
    let missing = SqliteLedger::open_read_only(&directory.path().join("none.sqlite"));
    assert_eq!(missing.unwrap_err(), LedgerError::Open { kind: std::io::ErrorKind::NotFound });
    assert!(!directory.path().join("none.sqlite").exists());
}

#[tokio::test]
async fn a_database_locked_by_another_program_is_a_temporary_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let options = Options { busy_timeout: Duration::from_millis(50), ..Options::default() };
    let ledger = SqliteLedger::open(&path, &options, NOW).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let both = tokio::join!(deliver(&ledger, 1), deliver(&ledger, 2));
    assert_eq!(both, (Err(LedgerError::Locked), Err(LedgerError::Locked)));
    assert_eq!(status(&ledger, 1).await, IncomingStatus::New);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(deliver(&ledger, 1).await, Ok(()));
}

#[tokio::test]
async fn other_files_are_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "Not a database at all, but long enough to look at.\n".repeat(50))
        .unwrap();
    assert_eq!(open(&text).unwrap_err(), LedgerError::Corrupt);

    let foreign = directory.path().join("foreign.sqlite");
    let other = rusqlite::Connection::open(&foreign).unwrap();
    other.execute_batch("CREATE TABLE addresses (name TEXT)").unwrap();
    other.close().unwrap();
    let before = std::fs::read(&foreign).unwrap();
    assert_eq!(open(&foreign).unwrap_err(), LedgerError::NotALedger);
    assert_eq!(std::fs::read(&foreign).unwrap(), before);

    let newer = directory.path().join("newer.sqlite");
    open(&newer).unwrap().close().await;
    let other = rusqlite::Connection::open(&newer).unwrap();
    other.pragma_update(None, "user_version", 1_000).unwrap();
    other.close().unwrap();
    let before = std::fs::read(&newer).unwrap();
    let error = open(&newer).unwrap_err();
    assert!(matches!(error, LedgerError::NewerSchema { found: 1_000, .. }));
    assert!(error.to_string().contains("newer"));
    assert!(matches!(
        SqliteLedger::open_read_only(&newer).unwrap_err(),
        LedgerError::NewerSchema { .. }
    ));
    assert_eq!(std::fs::read(&newer).unwrap(), before);

    let nowhere = open(&directory.path().join("no/such/ledger.sqlite")).unwrap_err();
    assert_eq!(nowhere, LedgerError::Open { kind: std::io::ErrorKind::NotFound });
}

#[tokio::test]
async fn a_damaged_file_is_an_error_not_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let ledger = open(&path).unwrap();
    for number in 0..300 {
        deliver(&ledger, number).await.unwrap();
    }
    ledger.close().await;
    // Everything behind the schema's first page.
    let length = std::fs::metadata(&path).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length).unwrap() - 4_096]).unwrap();
    drop(file);
    match open(&path) {
        Err(error) => assert_eq!(error, LedgerError::Corrupt),
        Ok(ledger) => {
            assert_eq!(deliver(&ledger, 5).await, Err(LedgerError::Corrupt));
            let key = RetryKey::from_bytes([1; 32]);
            let id = DeliveryId::from_bytes([1; 16]);
            let begun = ledger.begin_outgoing(key, &recipient(), id, NOW).await;
            assert_eq!(begun, Err(LedgerError::Corrupt));
        }
    }
}

#[tokio::test]
async fn files_are_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let ledger = open(&path).unwrap();
    deliver(&ledger, 1).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        files += 1;
    }
    assert_eq!(files, 4, "database, log, index of the log, lock");
}

#[tokio::test]
async fn a_dropped_future_leaves_the_ledger_usable() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.sqlite")).unwrap();
    for number in 0..200 {
        let message = message(number);
        let names = recipient();
        let claim = ledger.claim(&message, &names, NOW);
        tokio::select! { biased; _ = claim => {}, () = std::future::ready(()) => {} }
    }
    deliver(&ledger, 1_000).await.unwrap();
}
