//! From our MTA to the world: each message is sealed, or goes clear, or is not sent.
//!
//! [`signer`] says who may send and as whom, [`admission`] answers RCPT and settles what depends on the header block, [`relay`] passes the message on,
//! [`conclusion`] sends the final dots and says what the client is told. A [`destination`] is one recipient domain.

mod admission;
mod conclusion;
mod destination;
mod relay;
mod signer;
mod spool;
mod story;

use std::sync::Arc;

use tracing::info;

use super::Shared;
use super::access::Access;
use super::attempts::Answered;
use super::authorisation::Grant;
use super::booking::Booked;
use super::failure::Failure;
use super::hop::Hop;
use super::message;
use super::queue_id::QueueId;
use super::session::{Answer, Direction, Recipient, Sender};
use crate::core::Domain;
use crate::smtp::server::{ServerConnection, SessionError};
use crate::smtp::{Capabilities, Protocol, Reply};
use crate::store::ledger::{Fate, Scope, Upstream};
use destination::Destination;

/// The sealing direction.
pub(super) struct Outbound {
    pub(super) shared: Arc<Shared>,
    pub(super) hop: Arc<Hop>,
    pub(super) protocol: Protocol,
    /// Signs null and foreign reverse-paths.
    pub(super) domain: Domain,
    pub(super) access: Arc<Access>,
}

/// An open transaction of the inside listener.
pub(super) struct Transaction {
    sender: Sender,
    /// What the client may send.
    grant: Grant,
    /// The client has proved that it may send. Until then nothing is remembered for its sake: strangers share its range.
    proven: bool,
    /// It had proved it before the first recipient, so that look-ups have left their traces.
    learned: bool,
    /// The local domain that signs [R-seal-02]; certain when the header block is known.
    origin: Domain,
    foreign: bool,
    destinations: Vec<Destination>,
    /// Accepted recipients in the client's order: destination, and place in it.
    accepted: Vec<(usize, usize)>,
}

impl Direction for Outbound {
    type Transaction = Transaction;
    type Booking = Vec<Booked>;

    fn access(&self) -> &Arc<Access> {
        &self.access
    }

    fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    async fn capabilities(&self) -> Capabilities {
        let next = self.hop.capabilities().await;
        let own = self.shared.config.limits.message_size;
        Capabilities {
            size: Some(next.size_limit().map_or(own, |limit| limit.min(own))),
            eight_bit_mime: next.eight_bit_mime,
            smtputf8: next.smtputf8,
            dsn: true,
            ..Capabilities::default()
        }
    }

    async fn begin(&self, sender: Sender) -> Result<Transaction, Reply> {
        let grant = self.authorise(&sender).map_err(|failure| failure.reply())?;
        let local = sender.path.domain().filter(|d| self.shared.domains.contains_key(d)).cloned();
        let foreign = local.is_none() && !sender.path.is_null();
        let origin = local.unwrap_or_else(|| self.domain.clone());
        let (destinations, accepted) = (Vec::new(), Vec::new());
        let proven = grant.is_proven();
        let learned = proven;
        Ok(Transaction { sender, grant, proven, learned, origin, foreign, destinations, accepted })
    }

    async fn recipient(&self, transaction: &mut Transaction, recipient: Recipient) -> Reply {
        let asked = recipient.clone();
        let (Ok(reply) | Err(reply)) = self.admit(transaction, recipient).await;
        if !reply.is_positive() {
            self.note(transaction, &asked, &reply, Fate::Refused);
        }
        reply
    }

    async fn message(
        &self,
        mut transaction: Transaction,
        connection: &mut ServerConnection,
    ) -> Result<Answer<Vec<Booked>>, SessionError> {
        let limits = &self.shared.config.limits;
        connection.accept_data(Some(limits.message_size)).await?;
        let mut start = match message::start(connection, limits).await? {
            Ok(start) => start,
            Err(refusal) => {
                self.note_all(&transaction, &refusal);
                self.abandon(transaction).await;
                return answer_all(connection, refusal).await;
            }
        };
        if let Some(id) = QueueId::of(&start.header) {
            transaction.sender.note_queue_id(id);
        }
        transaction.sender.names.of_message(&start.header);
        let prepared = match self.claim(&mut transaction, &mut start) {
            Ok(()) => self.prepare(&mut transaction, &start).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = prepared {
            let sender = &transaction.sender;
            info!(from = %sender.path, reason = failure.name(), "message refused");
            self.note_all(&transaction, &failure.reply());
            self.abandon(transaction).await;
            return answer_all(connection, failure.reply()).await;
        }
        let ended = self.relay(&mut transaction, &start, connection).await;
        let failed = match &ended {
            Ok(end) => Failure::of_end(*end),
            // The client has left in the middle: nothing was completed.
            Err(_) => Some(Failure::NextHopLost),
        };
        if let Some(failure) = failed {
            for destination in &mut transaction.destinations {
                destination.fail(&Failure::NextHopLost.reply());
            }
            self.book(&mut transaction, Upstream::Deferred, false, &[]).await;
            ended?;
            self.note_all(&transaction, &failure.reply());
            return answer_all(connection, failure.reply()).await;
        }
        Ok(self.conclude(transaction, &start.header, connection).await)
    }

    async fn abandon(&self, mut transaction: Transaction) {
        for destination in &mut transaction.destinations {
            if let Some(downstream) = destination.downstream.take() {
                downstream.abandon().await;
            }
            destination.fail(&Failure::NextHopLost.reply());
        }
        self.book(&mut transaction, Upstream::Deferred, false, &[]).await;
    }

    fn confirm(&self, bookings: Vec<Booked>) {
        for booked in bookings {
            booked.confirm(&self.shared);
        }
    }

    async fn take_back(&self, bookings: Vec<Booked>) {
        for booked in bookings {
            booked.take_back(&self.shared).await;
        }
    }
}

impl Outbound {
    /// Notes how a recipient was answered; `accepted` is what a positive reply means.
    fn note(
        &self,
        transaction: &Transaction,
        recipient: &Recipient,
        reply: &Reply,
        accepted: Fate,
    ) {
        let Transaction { sender, foreign, proven, .. } = transaction;
        if !proven {
            return;
        }
        self.shared.attempts.note(&attempt(sender, *foreign, recipient, reply, accepted));
    }

    /// Notes that a whole message was refused.
    fn note_all(&self, transaction: &Transaction, refusal: &Reply) {
        for &(at, place) in &transaction.accepted {
            let recipient = &transaction.destinations[at].recipients[place];
            self.note(transaction, recipient, refusal, Fate::Refused);
        }
    }
}

/// An answer to a recipient, as the operator is told of it.
fn attempt<'a>(
    sender: &'a Sender,
    foreign: bool,
    recipient: &'a Recipient,
    reply: &'a Reply,
    accepted: Fate,
) -> Answered<'a> {
    Answered {
        scope: Scope::Outgoing,
        domain: recipient.path.domain(),
        sender,
        recipient,
        reply,
        accepted,
        ours: !foreign && !sender.path.is_null(),
        on_record: false,
    }
}

/// The same reply for every recipient.
async fn answer_all(
    connection: &mut ServerConnection,
    reply: Reply,
) -> Result<Answer<Vec<Booked>>, SessionError> {
    let replies = message::refuse_all(connection, &reply).await?;
    Ok(Answer { replies, booking: Vec::new() })
}
