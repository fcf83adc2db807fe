//! The ledger: what must survive a restart so that mail is delivered once and partners stay
//! known.
//!
//! [`Ledger`] has the operations the gateway needs and no more; [`SqliteLedger`] keeps them in
//! one SQLite file. Every operation that changes something is durable when its future resolves.
//! The caller passes the time, in Unix seconds. Nothing secret is stored.

mod action;
mod alarm;
mod allowance;
pub mod audit;
mod deferral;
mod error;
pub mod incoming;
mod memory;
mod outbox;
pub mod outgoing;
mod probe;
mod sqlite;

use std::pin::Pin;
use std::sync::Arc;

pub use action::{Action, ActionKind, MAX_ACTIONS, NewAction};
pub use alarm::{
    ALARM_GAP, ALARM_MEMORY, Acknowledgement, AlarmRow, MAX_ALARM_BATCH, MAX_ALARM_TEXT,
    MAX_ALARMS, Occurrence, Recorded,
};
pub use allowance::{Allowance, MAX_ALLOWANCE, MAX_ALLOWANCES, MAX_WHY, Operator};
pub use audit::{AuditRow, Checkpoint, Event, EventKind, EventQuery, Signer};
pub use deferral::{
    Attempt, Cause, DEFERRAL_GAP, DEFERRAL_MEMORY, DELAY_NOTICE_GAP, Deferral, Fate, MAX_ATTEMPTS,
    MAX_DEFERRAL_TEXT, MAX_DEFERRALS, MAX_DELAYED,
};
pub use error::{Bound, LedgerError};
pub use incoming::{Claim, Claimed, IncomingMessage, IncomingStatus};
pub use memory::{MemoryUse, Remembered, Scope};
pub use outbox::{NewOutboxItem, OutboxId, OutboxItem, Side};
pub use outgoing::{FinalOutcome, FinalReply, Outcome, Outgoing, RetryKey, Upstream};
pub use probe::{MAX_PROBE, ProbeId, Sighting};
pub use sqlite::{OperatorLedger, Options, SqliteLedger, Trail};

use crate::core::{DeliveryId, Domain, EnvelopeId};

/// Most recipients in one call (draft-mta-seal: at most 1,000 forward-paths in an envelope).
pub const MAX_RECIPIENTS: usize = 1_000;
/// Longest path in octets; RFC 5321 section 4.5.3.1.3 has 256, internationalised ones need more.
pub const MAX_PATH: usize = 1_024;
/// Most octets kept of a permanent reply.
pub const MAX_REPLY: usize = 2_048;
/// Largest policy record in octets.
pub const MAX_POLICY: usize = 16 * 1_024;
/// Largest key record in octets.
pub const MAX_KEY_RECORD: usize = 16 * 1_024;
/// Most key records of one domain.
pub const MAX_KEY_RECORDS: usize = 16;
/// Largest message in the outbox in octets.
pub const MAX_OUTBOX_MESSAGE: usize = 1_024 * 1_024;
/// Most messages and most octets that one [`Ledger::due`] returns, so that memory is bounded; a
/// single larger message does not exist.
pub const MAX_DUE: (usize, usize) = (100, 8 * 1_024 * 1_024);
/// Most domains that one [`Ledger::remembered`] returns.
pub const MAX_LIST: usize = 100;
/// Seconds after which a claim that was neither reported delivered nor released is void. The
/// longest wait for a final reply is 10 minutes (RFC 5321 section 4.5.3.2.6).
pub const CLAIM_LEASE: u64 = 3_600;
/// Seconds after which an outgoing transaction that was not finished no longer counts as open.
pub const OPEN_LEASE: u64 = 24 * 3_600;

/// What an operation of the ledger returns.
pub type LedgerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

/// A ledger as the layers above hold it.
pub type SharedLedger = Arc<dyn Ledger>;

/// The gateway's durable memory.
///
/// Futures may be dropped at any time; the operation then happens or not. `now` is the time in
/// Unix seconds.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Begins an outgoing transaction once its header block is known: chooses the delivery id
    /// and the recipients that are still to be sent, by the rules of [`outgoing`].
    ///
    /// Every transaction that was begun must be finished or retired, also when it fails.
    fn begin_outgoing(
        &self,
        retry_key: RetryKey,
        recipients: &[String],
        fresh: DeliveryId,
        now: u64,
    ) -> LedgerFuture<'_, Outgoing>;

    /// Records the outcomes for `outgoing.send` before the client is answered; a recipient that
    /// is not named counts as [`Outcome::Unknown`]. `message_hash` is that of the whole message,
    /// if it was read to its end.
    ///
    /// If a report to the outbox belongs to the answer, put it there first: a crash in between
    /// then costs a second report, not a lost one. If the reply could not be written to the
    /// client after [`Upstream::Told`], report again with [`Upstream::Deferred`], and without `events`, which
    /// go into the audit trail in the same step.
    ///
    /// # Errors
    /// [`LedgerError::MessageDiffers`] if another hash was recorded,
    /// [`LedgerError::StrayRecipient`] for an outcome of a recipient not in `outgoing.send`.
    fn finish_outgoing(
        &self,
        outgoing: &Outgoing,
        outcomes: &[(String, Outcome)],
        message_hash: Option<[u8; 32]>,
        upstream: Upstream,
        now: u64,
        events: &[Event],
    ) -> LedgerFuture<'_, ()>;

    /// Forgets the delivery id: the message turned out to be another one. The next transaction
    /// with this retry key gets a fresh id.
    fn retire_outgoing(&self, outgoing: &Outgoing) -> LedgerFuture<'_, ()>;

    /// What is known of each recipient, in the order given; claims nothing.
    fn incoming_status(
        &self,
        message: &IncomingMessage,
        recipients: &[String],
        now: u64,
    ) -> LedgerFuture<'_, Vec<IncomingStatus>>;

    /// Claims each recipient that is free, in one step; the answers are in the order given. A
    /// recipient that is named twice is claimed once, the second gets
    /// [`Claimed::InProgress`].
    fn claim(
        &self,
        message: &IncomingMessage,
        recipients: &[String],
        now: u64,
    ) -> LedgerFuture<'_, Vec<Claimed>>;

    /// Records that the next hop has accepted for these recipients, before the client is told.
    /// It is remembered at least until `keep_until` (Unix seconds): the time after which the
    /// message would be refused as too old under any window. `events` go into the audit trail in the same step.
    fn delivered(
        &self,
        claims: &[Claim],
        keep_until: u64,
        events: &[Event],
    ) -> LedgerFuture<'_, ()>;

    /// Gives claims back: the next hop did not accept, or its answer is unknown.
    fn release(&self, claims: &[Claim]) -> LedgerFuture<'_, ()>;

    /// What is remembered of a domain, expired or not.
    fn recall(&self, scope: Scope, domain: &Domain) -> LedgerFuture<'_, Option<Remembered>>;

    /// Remembers a domain, in place of what was remembered before. `false`: nothing was written,
    /// since a higher serial under the same identity key is already there (two look-ups may
    /// finish in either order).
    ///
    /// # Errors
    /// [`LedgerError::Limit`] if the record is too large, or the domain is new and there are as
    /// many domains as may be remembered; no other domain is forgotten for it.
    fn remember(
        &self,
        scope: Scope,
        domain: &Domain,
        remembered: &Remembered,
        now: u64,
    ) -> LedgerFuture<'_, bool>;

    /// Forgets a domain; `false` if it was not remembered.
    fn forget(&self, scope: Scope, domain: &Domain) -> LedgerFuture<'_, bool>;

    /// The remembered domains in order of their names: those after `after`, at most `limit` and
    /// [`MAX_LIST`].
    fn remembered(
        &self,
        scope: Scope,
        after: Option<&Domain>,
        limit: usize,
    ) -> LedgerFuture<'_, Vec<(Domain, Remembered)>>;

    /// How many domains are remembered, and how many may be.
    fn memory_use(&self, scope: Scope) -> LedgerFuture<'_, MemoryUse>;

    /// Puts a message of the gateway's own into the outbox; it is due at once. `events` go into the audit trail in the
    /// same step.
    ///
    /// # Errors
    /// [`LedgerError::Limit`] if it is too large or the outbox is full.
    fn enqueue(&self, item: &NewOutboxItem, events: &[Event]) -> LedgerFuture<'_, OutboxId>;

    /// Messages whose time has come, earliest first; at most `limit` and [`MAX_DUE`].
    fn due(&self, now: u64, limit: usize) -> LedgerFuture<'_, Vec<OutboxItem>>;

    /// Removes a message that the next hop has, or that is given up.
    fn done(&self, id: OutboxId) -> LedgerFuture<'_, ()>;

    /// Makes a message due again at `next_attempt` (Unix seconds).
    fn postpone(&self, id: OutboxId, next_attempt: u64) -> LedgerFuture<'_, ()>;

    /// Records how attempts ended: those that were answered 4xx are kept, those that were settled are
    /// forgotten. Nothing that is told to a client may wait for it. Attempts with an oversize path, and those beyond
    /// [`MAX_ATTEMPTS`], are left out. `events` go into the audit trail in the same step.
    fn record_attempts(&self, attempts: &[Attempt], events: &[Event]) -> LedgerFuture<'_, ()>;

    /// Pairs of sender and recipient that wait, latest attempt first within their domain; at most `limit` and
    /// [`MAX_DEFERRALS`].
    fn deferrals(&self, domain: Option<&Domain>, limit: usize) -> LedgerFuture<'_, Vec<Deferral>>;

    /// Outgoing pairs that have been tried in vain for `delay` seconds or more, whose sender may be told, and was not told
    /// about the domain in the last [`DELAY_NOTICE_GAP`]; by sender and domain. At most `limit` and [`MAX_DELAYED`].
    fn delayed(&self, delay: u64, now: u64, limit: usize) -> LedgerFuture<'_, Vec<Deferral>>;

    /// Puts a notice of delay into the outbox and remembers, in the same step, that `sender` was told about `domain`.
    ///
    /// # Errors
    /// As [`Ledger::enqueue`].
    fn tell_delay(
        &self,
        notice: &NewOutboxItem,
        sender: &str,
        domain: &str,
        events: &[Event],
    ) -> LedgerFuture<'_, OutboxId>;

    /// Since when the mail of ours to `domain` that was tried in the last [`DEFERRAL_GAP`] has been waiting, Unix seconds;
    /// `None` if none waits.
    fn waiting_since(&self, domain: &Domain, now: u64) -> LedgerFuture<'_, Option<u64>>;

    /// Records alarms, and in the audit trail those that are new. Nothing that is told to a client may wait for it.
    /// Those beyond [`MAX_ALARM_BATCH`] are left out.
    fn record_alarms(&self, occurrences: &[Occurrence]) -> LedgerFuture<'_, Recorded>;

    /// Alarms, the open ones and the best known domains first; at most `limit` and [`MAX_ALARMS`].
    fn alarms(&self, domain: Option<&Domain>, limit: usize) -> LedgerFuture<'_, Vec<AlarmRow>>;

    /// How many alarms of each kind are open; kinds without any are left out.
    fn open_alarms(&self) -> LedgerFuture<'_, Vec<(String, u64)>>;

    /// The operator's override that holds for a destination now, the longest of several.
    fn allowance(&self, domain: &Domain, now: u64) -> LedgerFuture<'_, Option<Allowance>>;

    /// All overrides, the latest first; at most `limit` and [`MAX_ALLOWANCES`].
    fn allowances(&self, limit: usize) -> LedgerFuture<'_, Vec<Allowance>>;

    /// What operators have changed by command, about one domain or all, the latest first; at most `limit` and
    /// [`MAX_ACTIONS`].
    fn actions(&self, domain: Option<&Domain>, limit: usize) -> LedgerFuture<'_, Vec<Action>>;

    /// Puts actions of the gateway's own on record, all or none.
    fn record_actions(
        &self,
        actions: &[NewAction],
        now: u64,
        by: &Operator,
    ) -> LedgerFuture<'_, ()>;

    /// The last partner that a command has added or pinned, whatever has become of it since; none if no command ever has.
    fn partner_on_record(&self) -> LedgerFuture<'_, Option<String>>;

    /// What was seen of a probe.
    fn sighting(&self, probe: ProbeId) -> LedgerFuture<'_, Option<Sighting>>;

    /// Appends events to the audit trail, all or none.
    fn record_events(&self, events: &[Event]) -> LedgerFuture<'_, ()>;

    /// The rows of the audit trail that answer a question, oldest first.
    fn events(&self, query: &EventQuery) -> LedgerFuture<'_, Vec<AuditRow>>;

    /// The [`EventKind::Sealed`] rows about the carrier with this token, one for each recipient; none if it is not ours.
    fn sealed_by_token(&self, token: [u8; 16]) -> LedgerFuture<'_, Vec<AuditRow>>;

    /// The [`EventKind::Sealed`] rows about an envelope, one for each recipient; none if it is not ours.
    fn sealed_by_envelope(&self, id: EnvelopeId) -> LedgerFuture<'_, Vec<AuditRow>>;

    /// Signs the audit trail up to its last row; `None`: it is signed already.
    fn checkpoint(&self, signer: &Signer, now: u64) -> LedgerFuture<'_, Option<Checkpoint>>;

    /// Ends when so many rows have come since the last checkpoint that the next one is due.
    fn checkpoint_due(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Removes rows of the audit trail up to a checkpoint that was signed at `before` or earlier, or after which there are
    /// `most` rows; about `limit` of them. How many have gone; call again while it is not 0.
    fn prune(&self, before: u64, most: u64, limit: usize, now: u64) -> LedgerFuture<'_, usize>;

    /// Deletes what has expired, at most about `limit` rows of each kind, and says how many went;
    /// call again while it is not 0. Run it every few minutes.
    fn expire(&self, now: u64, limit: usize) -> LedgerFuture<'_, usize>;
}
