//! The threads that own the connections: one writer with group commit, one reader.
//!
//! SQLite calls block, so they never run on the runtime. The writer takes whatever has queued,
//! runs each job in a savepoint of its own, commits once, and only then answers: concurrent
//! transactions share one fsync, and a lone one does not wait for company.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::super::LedgerError;

/// Jobs that wait for a thread; beyond it callers wait, which bounds memory.
pub(super) const QUEUE: usize = 256;
/// Most jobs in one commit.
const GROUP: usize = 64;
/// Longest time that jobs are added to a group, so that the first does not wait for the last.
const GROUP_TIME: Duration = Duration::from_millis(2);

/// What a thread is sent.
pub(super) enum Message {
    /// Something to do with the connection.
    Work(Box<dyn Work>),
    /// Close the connection, then answer.
    Stop(oneshot::Sender<()>),
}

/// A job with its waiter. It may run more than once, each time from the same database state.
pub(super) trait Work: Send {
    /// Does the job within the open transaction.
    fn run(&mut self, connection: &Connection) -> Result<(), LedgerError>;
    /// Answers the waiter, once the fate of the transaction is known.
    fn answer(self: Box<Self>, fate: Result<(), LedgerError>);
}

struct Job<T, F> {
    action: F,
    value: Option<T>,
    waiter: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Work for Job<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), LedgerError> {
        self.value = None;
        self.value = Some((self.action)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fate: Result<(), LedgerError>) {
        let value = self.value.ok_or(LedgerError::Closed);
        // A waiter that has left does not need its answer.
        let _ = self.waiter.send(fate.and(value));
    }
}

/// Hands a job to a thread and waits for its answer.
pub(super) async fn submit<T, F>(queue: &mpsc::Sender<Message>, action: F) -> Result<T, LedgerError>
where
    T: Send + 'static,
    F: FnMut(&Connection) -> Result<T, LedgerError> + Send + 'static,
{
    let (waiter, answer) = oneshot::channel();
    let job = Job { action, value: None, waiter };
    queue.send(Message::Work(Box::new(job))).await.map_err(|_| LedgerError::Closed)?;
    answer.await.map_err(|_| LedgerError::Closed)?
}

/// Counters of the writer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Transactions that were committed.
    pub(super) commits: AtomicU64,
    /// Jobs whose transaction was committed.
    pub(super) jobs: AtomicU64,
}

/// The writer's loop: until told to stop or until every handle is gone.
pub(super) fn write_loop(
    connection: &Connection,
    mut queue: mpsc::Receiver<Message>,
    counters: &Arc<Counters>,
) -> Option<oneshot::Sender<()>> {
    while let Some(first) = queue.blocking_recv() {
        let started = Instant::now();
        let mut group = Vec::new();
        let mut stop = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Work(work) => group.push(work),
                Message::Stop(waiter) => {
                    stop = Some(waiter);
                    break;
                }
            }
            if group.len() >= GROUP || started.elapsed() >= GROUP_TIME {
                break;
            }
            next = queue.try_recv().ok();
        }
        commit(connection, group, counters);
        if stop.is_some() {
            return stop;
        }
    }
    None
}

/// The reader's loop; each job sees one snapshot.
pub(super) fn read_loop(
    connection: &Connection,
    mut queue: mpsc::Receiver<Message>,
) -> Option<oneshot::Sender<()>> {
    while let Some(message) = queue.blocking_recv() {
        match message {
            Message::Work(mut work) => {
                let fate = connection
                    .execute_batch("BEGIN")
                    .map_err(LedgerError::from)
                    .and_then(|()| work.run(connection));
                abandon(connection);
                work.answer(fate);
            }
            Message::Stop(waiter) => return Some(waiter),
        }
    }
    None
}

/// Where a group failed.
enum Failure {
    /// Nothing could be begun: each job alone would fail alike.
    Begin(LedgerError),
    /// The whole transaction was lost, perhaps by the fault of one job.
    Later(LedgerError),
}

fn commit(connection: &Connection, mut group: Vec<Box<dyn Work>>, counters: &Arc<Counters>) {
    if group.is_empty() {
        return;
    }
    match attempt(connection, &mut group, counters) {
        Ok(fates) => group.into_iter().zip(fates).for_each(|(work, fate)| work.answer(fate)),
        // SQLite rolls back everything on some errors (a full disk among them); jobs that fit
        // must not fail for one that does not.
        Err(Failure::Later(_)) if group.len() > 1 => {
            let mut unusable = None;
            for mut work in group {
                let fate = match &unusable {
                    Some(error) => Err(LedgerError::clone(error)),
                    None => match attempt(connection, std::slice::from_mut(&mut work), counters) {
                        Ok(mut fates) => fates.pop().unwrap_or(Err(LedgerError::Closed)),
                        Err(Failure::Later(error)) => Err(error),
                        Err(Failure::Begin(error)) => {
                            unusable = Some(error.clone());
                            Err(error)
                        }
                    },
                };
                work.answer(fate);
            }
        }
        Err(Failure::Begin(error) | Failure::Later(error)) => {
            group.into_iter().for_each(|work| work.answer(Err(error.clone())));
        }
    }
}

fn attempt(
    connection: &Connection,
    group: &mut [Box<dyn Work>],
    counters: &Arc<Counters>,
) -> Result<Vec<Result<(), LedgerError>>, Failure> {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    begun.map_err(|error| Failure::Begin(error.into()))?;
    let done = run_group(connection, group).and_then(|fates| {
        connection.execute_batch("COMMIT")?;
        Ok(fates)
    });
    match done {
        Ok(fates) => {
            counters.commits.fetch_add(1, Ordering::Relaxed);
            let jobs = fates.iter().filter(|fate| fate.is_ok()).count();
            counters.jobs.fetch_add(jobs as u64, Ordering::Relaxed);
            Ok(fates)
        }
        Err(error) => {
            abandon(connection);
            Err(Failure::Later(error))
        }
    }
}

fn run_group(
    connection: &Connection,
    group: &mut [Box<dyn Work>],
) -> Result<Vec<Result<(), LedgerError>>, LedgerError> {
    let mut fates = Vec::with_capacity(group.len());
    for work in group {
        connection.execute_batch("SAVEPOINT job")?;
        let fate = work.run(connection);
        if let Err(error) = &fate {
            if connection.is_autocommit() {
                return Err(error.clone());
            }
            connection.execute_batch("ROLLBACK TO job")?;
        }
        connection.execute_batch("RELEASE job")?;
        fates.push(fate);
    }
    Ok(fates)
}

/// Ends a transaction that is still open. If even that fails the next `BEGIN` reports it.
fn abandon(connection: &Connection) {
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    type Answer = oneshot::Receiver<Result<usize, LedgerError>>;

    fn job(
        action: impl FnMut(&Connection) -> Result<usize, LedgerError> + Send + 'static,
    ) -> (Box<dyn Work>, Answer) {
        let (waiter, answer) = oneshot::channel();
        (Box::new(Job { action, value: None, waiter }), answer)
    }

    fn insert(connection: &Connection) -> Result<usize, LedgerError> {
        Ok(connection.execute("INSERT INTO t VALUES (1)", [])?)
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    /// SQLite rolls the whole transaction back by itself when the disk is full.
    #[test]
    fn a_job_that_costs_the_transaction_does_not_cost_its_companions_theirs() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n)").unwrap();
        let (first, mut first_answer) = job(insert);
        let (fatal, mut fatal_answer) = job(|connection| {
            insert(connection)?;
            connection.execute_batch("ROLLBACK")?;
            Err(LedgerError::Full)
        });
        let (last, mut last_answer) = job(insert);
        let counters = Arc::default();
        commit(&connection, vec![first, fatal, last], &counters);
        assert_eq!(first_answer.try_recv().unwrap(), Ok(1));
        assert_eq!(fatal_answer.try_recv().unwrap(), Err(LedgerError::Full));
        assert_eq!(last_answer.try_recv().unwrap(), Ok(1));
        assert_eq!(rows(&connection), 2);
        assert_eq!(counters.jobs.load(Ordering::Relaxed), 2);
    }

    /// A commit that fails is an answer to everybody in it, and the next one works.
    #[test]
    fn a_commit_that_fails_is_never_a_success() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE t (n); CREATE TABLE p (id INTEGER PRIMARY KEY);
             CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
        // The violation shows at COMMIT only.
        let (bad, mut bad_answer) = job(|connection| {
            insert(connection)?;
            Ok(connection.execute("INSERT INTO c VALUES (7)", [])?)
        });
        let (good, mut good_answer) = job(insert);
        let counters = Arc::default();
        commit(&connection, vec![bad, good], &counters);
        assert!(matches!(bad_answer.try_recv().unwrap(), Err(LedgerError::Unavailable { .. })));
        assert_eq!(good_answer.try_recv().unwrap(), Ok(1));
        assert_eq!(rows(&connection), 1);
        assert_eq!(counters.commits.load(Ordering::Relaxed), 1);
    }
}
