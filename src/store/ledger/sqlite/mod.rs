//! The ledger in one SQLite file: WAL, `synchronous=FULL`, one writer with group commit.

mod alarm;
mod audit;
mod deferral;
mod error;
mod expiry;
mod incoming;
mod memory;
mod open;
mod operator;
mod options;
mod outbox;
mod outgoing;
mod schema;
mod trail;
mod writer;

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

use super::audit::Subject;
use super::{
    Action, AlarmRow, Allowance, Attempt, AuditRow, Bound, Checkpoint, Claim, Claimed, Deferral,
    Event, EventQuery, IncomingMessage, IncomingStatus, Ledger, LedgerError, LedgerFuture,
    MAX_ACTIONS, MAX_ALARMS, MAX_ALLOWANCES, MAX_DEFERRALS, MAX_DELAYED, MAX_KEY_RECORD,
    MAX_KEY_RECORDS, MAX_LIST, MAX_OUTBOX_MESSAGE, MAX_PATH, MAX_POLICY, MAX_RECIPIENTS, MemoryUse,
    NewAction, NewOutboxItem, Occurrence, Operator, OutboxId, OutboxItem, Outcome, Outgoing,
    ProbeId, Recorded, Remembered, RetryKey, Scope, Sighting, Signer, Upstream,
};
use crate::core::{DeliveryId, Domain, EnvelopeId};
pub use operator::OperatorLedger;
pub use options::Options;
pub use trail::Trail;
use writer::{Counters, Message, submit};

/// What the operations need to know of the opened ledger.
#[derive(Debug)]
struct Instance {
    epoch: i64,
    next_token: AtomicI64,
    retry_memory: u64,
    max_remembered: u64,
    max_outbox: (u64, u64),
    max_deferrals: u64,
    max_alarms: u64,
    /// Whether events are kept.
    trail: bool,
    unsigned: Unsigned,
}

/// Rows of the trail since the last checkpoint.
#[derive(Debug, Default)]
struct Unsigned {
    rows: AtomicU64,
    bell: Notify,
}

impl Unsigned {
    /// Rows after which a checkpoint is due.
    const MOST: u64 = 1_000;

    fn add(&self, rows: usize) {
        let before = self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        if before.saturating_add(rows as u64) >= Self::MOST {
            self.bell.notify_one();
        }
    }
}

impl Instance {
    /// Most domains that any domain may be one of.
    const fn room_for_all(&self, scope: Scope) -> u64 {
        match scope {
            Scope::Outgoing => self.max_remembered,
            Scope::Incoming => self.max_remembered - self.max_remembered / 4,
        }
    }

    /// A number that is used once in this epoch.
    fn token(&self) -> i64 {
        self.next_token.fetch_add(1, Ordering::Relaxed)
    }
}

/// A handle to a ledger in one SQLite file; clones share the file and its threads, which end
/// with the last handle or with [`SqliteLedger::close`].
#[derive(Clone)]
pub struct SqliteLedger {
    instance: Arc<Instance>,
    /// None if open for reading only.
    writer: Option<mpsc::Sender<Message>>,
    reader: mpsc::Sender<Message>,
    counters: Arc<Counters>,
}

impl SqliteLedger {
    /// Opens the ledger for writing, creating it with mode 0600 if it is not there, and takes
    /// its lock: a second daemon on the same file is refused. Claims and transactions left open
    /// by an earlier process end. `now` is in Unix seconds. Blocks while it works.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] if another process has it open for writing,
    /// [`LedgerError::NewerSchema`], [`LedgerError::NotALedger`], [`LedgerError::Corrupt`], or
    /// what the file system says.
    pub fn open(path: &Path, options: &Options, now: u64) -> Result<Self, LedgerError> {
        open::for_writing(path, options, now)
    }

    /// Opens an existing ledger for reading, also while a daemon has it open; operations that
    /// write fail with [`LedgerError::ReadOnly`]. Blocks while it works.
    ///
    /// # Errors
    /// As [`SqliteLedger::open`], and [`LedgerError::OlderSchema`].
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        open::for_reading(path)
    }

    /// Finishes what was submitted, closes the file and gives its lock back. Other handles get
    /// [`LedgerError::Closed`] from then on.
    pub async fn close(self) {
        // The writer last: the last connection of all tidies the write-ahead log away.
        for queue in [Some(self.reader), self.writer].into_iter().flatten() {
            let (waiter, stopped) = oneshot::channel();
            if queue.send(Message::Stop(waiter)).await.is_ok() {
                let _ = stopped.await;
            }
        }
    }

    /// How many transactions were committed, and how many operations they held.
    #[must_use]
    pub fn commits(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.counters.commits), count(&self.counters.jobs))
    }

    fn write<T, F>(&self, action: F) -> LedgerFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        match &self.writer {
            Some(queue) => Box::pin(submit(queue, action)),
            None => fail(LedgerError::ReadOnly),
        }
    }

    /// The events, for a job to own.
    fn kept(&self, events: &[Event]) -> Vec<Event> {
        if !self.instance.trail {
            return Vec::new();
        }
        self.instance.unsigned.add(events.len());
        events.to_vec()
    }

    fn read<T, F>(&self, action: F) -> LedgerFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        Box::pin(submit(&self.reader, action))
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").field("epoch", &self.instance.epoch).finish_non_exhaustive()
    }
}

fn fail<'a, T: Send + 'a>(error: LedgerError) -> LedgerFuture<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

/// Refuses what no gateway would send; returns the paths for the job to own.
fn bounded(recipients: &[String]) -> Result<Vec<String>, LedgerError> {
    if recipients.len() > MAX_RECIPIENTS {
        return Err(LedgerError::Limit(Bound::Recipients));
    }
    if recipients.iter().any(|path| path.len() > MAX_PATH) {
        return Err(LedgerError::Limit(Bound::Path));
    }
    Ok(recipients.to_vec())
}

/// Whether a message may be put into the outbox.
fn fits(item: &NewOutboxItem) -> Result<(), LedgerError> {
    if item.message.len() > MAX_OUTBOX_MESSAGE {
        return Err(LedgerError::Limit(Bound::OutboxMessage));
    }
    if item.reverse_path.len() > MAX_PATH {
        return Err(LedgerError::Limit(Bound::Path));
    }
    bounded(&item.recipients).map(drop)
}

/// SQLite's integers are signed; a time past year 292 billion is "never".
fn sql_time(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn unix_time(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

impl Ledger for SqliteLedger {
    fn begin_outgoing(
        &self,
        retry_key: RetryKey,
        recipients: &[String],
        fresh: DeliveryId,
        now: u64,
    ) -> LedgerFuture<'_, Outgoing> {
        let recipients = match bounded(recipients) {
            Ok(recipients) => recipients,
            Err(error) => return fail(error),
        };
        let instance = self.instance.clone();
        self.write(move |connection| {
            outgoing::begin(connection, &instance, retry_key, &recipients, fresh, now)
        })
    }

    fn finish_outgoing(
        &self,
        outgoing: &Outgoing,
        outcomes: &[(String, Outcome)],
        message_hash: Option<[u8; 32]>,
        upstream: Upstream,
        now: u64,
        events: &[Event],
    ) -> LedgerFuture<'_, ()> {
        if outcomes.len() > MAX_RECIPIENTS {
            return fail(LedgerError::Limit(Bound::Recipients));
        }
        let (instance, outgoing) = (self.instance.clone(), outgoing.clone());
        let (outcomes, events) = (outcomes.to_vec(), self.kept(events));
        self.write(move |connection| {
            outgoing::finish(
                connection,
                &instance,
                &outgoing,
                &outcomes,
                message_hash,
                upstream,
                now,
            )?;
            audit::append(connection, &events)
        })
    }

    fn retire_outgoing(&self, outgoing: &Outgoing) -> LedgerFuture<'_, ()> {
        let id = outgoing.delivery_id;
        self.write(move |connection| outgoing::retire(connection, id))
    }

    fn incoming_status(
        &self,
        message: &IncomingMessage,
        recipients: &[String],
        now: u64,
    ) -> LedgerFuture<'_, Vec<IncomingStatus>> {
        let recipients = match bounded(recipients) {
            Ok(recipients) => recipients,
            Err(error) => return fail(error),
        };
        let message = message.clone();
        self.read(move |connection| incoming::status(connection, &message, &recipients, now))
    }

    fn claim(
        &self,
        message: &IncomingMessage,
        recipients: &[String],
        now: u64,
    ) -> LedgerFuture<'_, Vec<Claimed>> {
        let recipients = match bounded(recipients) {
            Ok(recipients) => recipients,
            Err(error) => return fail(error),
        };
        let (instance, message) = (self.instance.clone(), message.clone());
        self.write(move |connection| {
            incoming::claim(connection, &instance, &message, &recipients, now)
        })
    }

    fn delivered(
        &self,
        claims: &[Claim],
        keep_until: u64,
        events: &[Event],
    ) -> LedgerFuture<'_, ()> {
        let keys: Vec<_> = claims.iter().flat_map(|claim| claim.keys).collect();
        let events = self.kept(events);
        self.write(move |connection| {
            incoming::delivered(connection, &keys, keep_until)?;
            audit::append(connection, &events)
        })
    }

    fn release(&self, claims: &[Claim]) -> LedgerFuture<'_, ()> {
        let instance = self.instance.clone();
        let claims: Vec<_> =
            claims.iter().flat_map(|claim| claim.keys.map(|key| (key, claim.token))).collect();
        self.write(move |connection| incoming::release(connection, &instance, &claims))
    }

    fn recall(&self, scope: Scope, domain: &Domain) -> LedgerFuture<'_, Option<Remembered>> {
        let domain = domain.clone();
        self.read(move |connection| memory::recall(connection, scope, &domain))
    }

    fn remember(
        &self,
        scope: Scope,
        domain: &Domain,
        remembered: &Remembered,
        now: u64,
    ) -> LedgerFuture<'_, bool> {
        if remembered.policy.len() > MAX_POLICY
            || remembered.key_records.len() > MAX_KEY_RECORDS
            || remembered.key_records.iter().any(|record| record.len() > MAX_KEY_RECORD)
        {
            return fail(LedgerError::Limit(Bound::Record));
        }
        let (instance, domain) = (self.instance.clone(), domain.clone());
        let remembered = remembered.clone();
        self.write(move |connection| {
            memory::remember(connection, &instance, scope, &domain, &remembered, now)
        })
    }

    fn forget(&self, scope: Scope, domain: &Domain) -> LedgerFuture<'_, bool> {
        let domain = domain.clone();
        self.write(move |connection| memory::forget(connection, scope, &domain))
    }

    fn remembered(
        &self,
        scope: Scope,
        after: Option<&Domain>,
        limit: usize,
    ) -> LedgerFuture<'_, Vec<(Domain, Remembered)>> {
        let (after, limit) = (after.cloned(), limit.min(MAX_LIST));
        self.read(move |connection| memory::list(connection, scope, after.as_ref(), limit))
    }

    fn memory_use(&self, scope: Scope) -> LedgerFuture<'_, MemoryUse> {
        let most = self.instance.room_for_all(scope);
        self.read(move |connection| {
            let domains = unix_time(memory::count(connection, scope)?);
            Ok(MemoryUse { domains, most })
        })
    }

    fn enqueue(&self, item: &NewOutboxItem, events: &[Event]) -> LedgerFuture<'_, OutboxId> {
        if let Err(error) = fits(item) {
            return fail(error);
        }
        let (instance, item, events) = (self.instance.clone(), item.clone(), self.kept(events));
        self.write(move |connection| {
            let id = outbox::enqueue(connection, &instance, &item)?;
            audit::append(connection, &events)?;
            Ok(id)
        })
    }

    fn due(&self, now: u64, limit: usize) -> LedgerFuture<'_, Vec<OutboxItem>> {
        self.read(move |connection| outbox::due(connection, now, limit))
    }

    fn done(&self, id: OutboxId) -> LedgerFuture<'_, ()> {
        self.write(move |connection| outbox::done(connection, id))
    }

    fn postpone(&self, id: OutboxId, next_attempt: u64) -> LedgerFuture<'_, ()> {
        self.write(move |connection| outbox::postpone(connection, id, next_attempt))
    }

    fn record_attempts(&self, attempts: &[Attempt], events: &[Event]) -> LedgerFuture<'_, ()> {
        let (instance, attempts) = (self.instance.clone(), deferral::bounded(attempts));
        let events = self.kept(events);
        self.write(move |connection| {
            deferral::record(connection, &instance, &attempts)?;
            audit::append(connection, &events)
        })
    }

    fn deferrals(&self, domain: Option<&Domain>, limit: usize) -> LedgerFuture<'_, Vec<Deferral>> {
        let (domain, limit) = (domain.cloned(), limit.min(MAX_DEFERRALS));
        self.read(move |connection| deferral::list(connection, domain.as_ref(), limit))
    }

    fn delayed(&self, delay: u64, now: u64, limit: usize) -> LedgerFuture<'_, Vec<Deferral>> {
        let limit = limit.min(MAX_DELAYED);
        self.read(move |connection| deferral::delayed(connection, delay, now, limit))
    }

    fn tell_delay(
        &self,
        notice: &NewOutboxItem,
        sender: &str,
        domain: &str,
        events: &[Event],
    ) -> LedgerFuture<'_, OutboxId> {
        if let Err(error) = fits(notice) {
            return fail(error);
        }
        let (instance, notice) = (self.instance.clone(), notice.clone());
        let (sender, domain) = (sender.to_owned(), domain.to_owned());
        let events = self.kept(events);
        self.write(move |connection| {
            let id = deferral::tell(connection, &instance, &notice, &sender, &domain)?;
            audit::append(connection, &events)?;
            Ok(id)
        })
    }

    fn waiting_since(&self, domain: &Domain, now: u64) -> LedgerFuture<'_, Option<u64>> {
        let domain = domain.clone();
        self.read(move |connection| deferral::waiting_since(connection, &domain, now))
    }

    fn record_alarms(&self, occurrences: &[Occurrence]) -> LedgerFuture<'_, Recorded> {
        let (instance, occurrences) = (self.instance.clone(), alarm::bounded(occurrences));
        self.write(move |connection| alarm::record(connection, &instance, &occurrences))
    }

    fn alarms(&self, domain: Option<&Domain>, limit: usize) -> LedgerFuture<'_, Vec<AlarmRow>> {
        let (domain, limit) = (domain.cloned(), limit.min(MAX_ALARMS));
        self.read(move |connection| alarm::list(connection, domain.as_ref(), limit))
    }

    fn open_alarms(&self) -> LedgerFuture<'_, Vec<(String, u64)>> {
        self.read(alarm::open)
    }

    fn allowance(&self, domain: &Domain, now: u64) -> LedgerFuture<'_, Option<Allowance>> {
        let domain = domain.clone();
        self.read(move |connection| operator::allowance(connection, &domain, now))
    }

    fn allowances(&self, limit: usize) -> LedgerFuture<'_, Vec<Allowance>> {
        let limit = limit.min(MAX_ALLOWANCES);
        self.read(move |connection| operator::list(connection, limit))
    }

    fn actions(&self, domain: Option<&Domain>, limit: usize) -> LedgerFuture<'_, Vec<Action>> {
        let (domain, limit) = (domain.cloned(), limit.min(MAX_ACTIONS));
        self.read(move |connection| operator::actions(connection, domain.as_ref(), limit))
    }

    fn record_actions(
        &self,
        actions: &[NewAction],
        now: u64,
        by: &Operator,
    ) -> LedgerFuture<'_, ()> {
        let (actions, by) = (actions.to_vec(), by.clone());
        self.write(move |connection| operator::insert(connection, &actions, now, &by))
    }

    fn partner_on_record(&self) -> LedgerFuture<'_, Option<String>> {
        self.read(operator::partner_on_record)
    }

    fn sighting(&self, probe: ProbeId) -> LedgerFuture<'_, Option<Sighting>> {
        self.read(move |connection| deferral::sighting(connection, probe))
    }

    fn record_events(&self, events: &[Event]) -> LedgerFuture<'_, ()> {
        let events = self.kept(events);
        self.write(move |connection| audit::append(connection, &events))
    }

    fn events(&self, query: &EventQuery) -> LedgerFuture<'_, Vec<AuditRow>> {
        let query = query.clone();
        self.read(move |connection| audit::query(connection, &query))
    }

    fn sealed_by_token(&self, token: [u8; 16]) -> LedgerFuture<'_, Vec<AuditRow>> {
        self.read(move |connection| audit::sealed(connection, Subject::Token(token)))
    }

    fn sealed_by_envelope(&self, id: EnvelopeId) -> LedgerFuture<'_, Vec<AuditRow>> {
        self.read(move |connection| audit::sealed(connection, Subject::Envelope(id)))
    }

    fn checkpoint(&self, signer: &Signer, now: u64) -> LedgerFuture<'_, Option<Checkpoint>> {
        let signer = signer.clone();
        self.instance.unsigned.rows.store(0, Ordering::Relaxed);
        self.write(move |connection| audit::checkpoint(connection, &signer, now))
    }

    fn checkpoint_due(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.instance.unsigned.bell.notified())
    }

    fn prune(&self, before: u64, most: u64, limit: usize, now: u64) -> LedgerFuture<'_, usize> {
        self.write(move |connection| audit::prune(connection, before, most, limit, now))
    }

    fn expire(&self, now: u64, limit: usize) -> LedgerFuture<'_, usize> {
        self.write(move |connection| expiry::expire(connection, now, limit))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What the promises rest on: a commit waits for the disk, and rows go with their parents.
    #[tokio::test]
    async fn the_writer_has_the_settings_that_durability_needs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &Options::default(), 1).unwrap();
        for (pragma, wanted) in
            [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")]
        {
            let query = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
            let found: String = ledger
                .write(move |connection| Ok(connection.query_row(&query, [], |row| row.get(0))?))
                .await
                .unwrap();
            assert_eq!(found, wanted, "{pragma}");
        }
    }

    /// An error in one statement of a job undoes the whole job and nothing else.
    #[tokio::test]
    async fn a_job_is_done_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &Options::default(), 1).unwrap();
        let insert = "INSERT INTO incoming (key, expires) VALUES (?1, 1)";
        let half = ledger.write(move |connection| {
            connection.execute(insert, [[1_u8; 32]])?;
            connection.execute(insert, [[1_u8; 32]])?;
            Ok(())
        });
        let whole = ledger.write(move |connection| Ok(connection.execute(insert, [[2_u8; 32]])?));
        let (half, whole) = tokio::join!(half, whole);
        assert!(matches!(half, Err(LedgerError::Unavailable { .. })));
        assert_eq!(whole, Ok(1));
        let keys: Vec<[u8; 32]> = ledger
            .read(|connection| {
                let mut keys = connection.prepare("SELECT key FROM incoming")?;
                Ok(keys.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
            })
            .await
            .unwrap();
        assert_eq!(keys, [[2; 32]]);
    }
}
