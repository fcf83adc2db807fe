//! From the world to our MTA: carriers are unsealed, other mail passes as it is.

mod bounced;
mod claimed;
mod clear;
mod envelope;
mod expectation;
mod mailboxes;
mod notices;
mod one_by_one;
mod sealed;
mod submission;
mod verification;

use std::sync::Arc;

use tracing::{info, warn};

use super::Shared;
use super::access::Access;
use super::attempts::Answered;
use super::booking::Booked;
use super::config::{Network, OutgoingAlways};
use super::failure::Failure;
use super::hop::{Downstream, Hop, Mail};
use super::message::refuse_all;
use super::queue_id::QueueId;
use super::session::{Answer, Direction, Recipient, Sender};
use crate::core::address::ForwardPath;
use crate::core::esmtp::MailParameters;
use crate::mail::carrier::{Limits, Scanner, State};
use crate::smtp::server::{DataChunk, ServerConnection, SessionError};
use crate::smtp::{Capabilities, Protocol, Reply};
use crate::store::ledger::{Event, Fate, Scope};
pub use claimed::{Cause, Claimed, Exceptions, Ruling};
use envelope::EnvelopeReader;
pub use envelope::{scan_failure, unseal_failure};
use mailboxes::delivered_to;
pub(super) use one_by_one::OneByOne;
pub use verification::{Genuine, signing_key};

/// Room in the advertised SIZE for base64 that a hop wrapped to shorter lines, in percent.
const REWRAP_MARGIN: u64 = 4;

/// The unsealing direction.
pub(super) struct Inbound {
    pub(super) shared: Arc<Shared>,
    pub(super) hop: Arc<Hop>,
    pub(super) protocol: Protocol,
    /// Deliver the whole signed list instead of its intersection with the outer one [R-uns-03].
    pub(super) deliver_signed: bool,
    /// What happens to clear mail of a domain that says it always seals.
    pub(super) outgoing_always: OutgoingAlways,
    /// Clients that pass on mail of others.
    pub(super) forwarders: Vec<Network>,
    /// Senders with one recipient at a time.
    pub(super) one_by_one: OneByOne,
    pub(super) access: Arc<Access>,
}

/// An open transaction of the outside listener.
pub(super) struct Transaction {
    sender: Sender,
    /// Begun with the first recipient.
    downstream: Option<Downstream>,
    /// Accepted recipients in the client's order.
    recipients: Vec<Recipient>,
}

/// A refusal of the whole message.
enum Stop {
    /// The connection is over.
    Session(SessionError),
    /// With this reply; what it is in the log.
    Refuse(Failure),
    /// With a reply of the next hop, or of the SMTP layer.
    Pass(Reply),
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Refuse(failure)
    }
}

impl Direction for Inbound {
    type Transaction = Transaction;
    type Booking = Option<Booked>;

    fn access(&self) -> &Arc<Access> {
        &self.access
    }

    fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    async fn capabilities(&self) -> Capabilities {
        let next = self.hop.capabilities().await;
        let own = self.shared.config.limits.message_size;
        let inner = next.size_limit().map_or(own, |limit| limit.min(own));
        Capabilities {
            size: Some(envelope::carrier_limit(&self.shared.config.hostname, inner)),
            eight_bit_mime: next.eight_bit_mime,
            smtputf8: next.smtputf8,
            // Clear mail gets no notice from us, since its sender may be forged: without DSN behind us, the MTA before us
            // sends the one that it was relayed (RFC 3461 section 5.2.2).
            dsn: next.dsn,
            ..Capabilities::default()
        }
    }

    async fn begin(&self, sender: Sender) -> Result<Transaction, Reply> {
        Ok(Transaction { sender, downstream: None, recipients: Vec::new() })
    }

    async fn recipient(&self, transaction: &mut Transaction, recipient: Recipient) -> Reply {
        let asked = recipient.clone();
        let (Ok(reply) | Err(reply)) = self.admit(transaction, recipient).await;
        // A stranger who is refused before anybody was asked is no news.
        let asked_for = reply.is_transient() || transaction.downstream.is_some();
        if !reply.is_positive() && asked_for {
            self.note(&transaction.sender, &asked, &reply, false);
        }
        reply
    }

    async fn message(
        &self,
        transaction: Transaction,
        connection: &mut ServerConnection,
    ) -> Result<Answer<Self::Booking>, SessionError> {
        let limit = envelope::carrier_limit(
            &self.shared.config.hostname,
            self.shared.config.limits.message_size,
        );
        connection.accept_data(Some(limit)).await?;
        let (mut sender, recipients) = (transaction.sender.clone(), transaction.recipients.clone());
        let passed = self.pass(transaction, &mut sender, connection).await;
        let reply = match passed {
            Ok(answer) => {
                // One reply is about all of them.
                for (n, recipient) in recipients.iter().enumerate() {
                    if let Some(reply) = answer.replies.get(n).or(answer.replies.first()) {
                        self.note(&sender, recipient, reply, true);
                    }
                }
                return Ok(answer);
            }
            Err(Stop::Session(error)) => return Err(error),
            Err(Stop::Pass(reply)) => reply,
            Err(Stop::Refuse(failure)) => {
                info!(reason = failure.name(), "message refused");
                failure.reply()
            }
        };
        for recipient in &recipients {
            self.note(&sender, recipient, &reply, false);
        }
        let replies = refuse_all(connection, &reply).await?;
        Ok(Answer { replies, booking: None })
    }

    async fn abandon(&self, transaction: Transaction) {
        if let Some(downstream) = transaction.downstream {
            downstream.abandon().await;
        }
    }

    fn confirm(&self, _: Self::Booking) {}

    async fn take_back(&self, booking: Self::Booking) {
        if let Some(booking) = booking {
            booking.take_back(&self.shared).await;
        }
    }
}

impl Inbound {
    /// Puts into the audit trail what the next hop has answered already; durable when this returns. Where it cannot be, that events are
    /// missing is counted.
    async fn record(&self, events: &[Event], what: &str) {
        if let Err(error) = self.shared.ledger.record_events(events).await {
            warn!(%error, "{what} could not be put into the audit trail");
            self.shared.attempts.lose(events.len() as u64);
        }
    }

    /// Notes how a recipient was answered.
    fn note(&self, sender: &Sender, recipient: &Recipient, reply: &Reply, on_record: bool) {
        self.shared.attempts.note(&Answered {
            scope: Scope::Incoming,
            domain: sender.path.domain(),
            sender,
            recipient,
            reply,
            accepted: Fate::Delivered,
            ours: false,
            on_record,
        });
    }

    /// Answers RCPT: our own domains only.
    async fn admit(
        &self,
        transaction: &mut Transaction,
        recipient: Recipient,
    ) -> Result<Reply, Reply> {
        let local = match &recipient.path {
            ForwardPath::Postmaster => true,
            ForwardPath::Mailbox(mailbox) => {
                mailbox.domain().is_some_and(|d| self.shared.domains.contains_key(d))
            }
        };
        if !local {
            return Err(Failure::NotLocal.reply());
        }
        if !transaction.recipients.is_empty() && !self.may_have_several(&transaction.sender).await {
            return Err(Failure::TooManyRecipients.reply());
        }
        let downstream = match &mut transaction.downstream {
            Some(downstream) => downstream,
            None => {
                // The size of a carrier is not that of the message inside.
                let parameters =
                    MailParameters { size: None, ..transaction.sender.parameters.clone() };
                let mail = Mail {
                    path: transaction.sender.path.clone(),
                    parameters,
                    origin: transaction.sender.origin(self.protocol),
                };
                let begun = Downstream::begin(&self.hop, mail).await?;
                transaction.downstream.insert(begun)
            }
        };
        let reply = downstream.recipient(delivered_to(&recipient)).await;
        if reply.is_positive() {
            transaction.recipients.push(recipient);
        }
        Ok(reply)
    }

    /// Whether differing outcomes of several recipients could be told to the sender: over LMTP, if the next
    /// hop has one outcome for all, or by a notice to an authenticated sender. Clear mail gets no notice of ours, since its
    /// sender may be forged.
    async fn may_have_several(&self, sender: &Sender) -> bool {
        if self.protocol == Protocol::Lmtp || self.hop.protocol() == Protocol::Smtp {
            return true;
        }
        if self.one_by_one.contains(&sender.path, self.shared.clock.now()) {
            return false;
        }
        match sender.path.domain() {
            Some(domain) => self.shared.discovery.seals(domain).await,
            None => false,
        }
    }

    /// Scans the message until it is known what it is, and passes it on. `sender` gets the queue id that the header names, if
    /// an MTA of ours has written it.
    async fn pass(
        &self,
        mut transaction: Transaction,
        sender: &mut Sender,
        connection: &mut ServerConnection,
    ) -> Result<Answer<Option<Booked>>, Stop> {
        let header = usize::try_from(self.shared.config.limits.header_size).unwrap_or(usize::MAX);
        let mut scanner = Scanner::new(Limits { header, ..Limits::default() });
        let mut octets = Vec::new();
        let mut end = None;
        let state = loop {
            let state = match connection.read_data().await? {
                DataChunk::Content(content) => scanner.push(&content, &mut octets),
                DataChunk::End(how) => {
                    end = Some(how);
                    if let Some(failure) = Failure::of_end(how) {
                        return Err(failure.into());
                    }
                    scanner.finish(&mut octets)
                }
            };
            match state.map_err(scan_failure)? {
                State::Undecided if end.is_none() => {}
                state => break state,
            }
        };
        // A stranger could name the queue id of any message.
        let traced = scanner.header().filter(|_| sender.peer.mta);
        if let Some(id) = traced.and_then(QueueId::of) {
            transaction.sender.note_queue_id(id);
            sender.queue.clone_from(&transaction.sender.queue);
        }
        let received = scanner.header().map_or(0, |header| header.received_count());
        let loops = received > self.shared.config.limits.received;
        if state == State::Carrier {
            if let Some(header) = scanner.header() {
                sender.names.of_carrier(header);
            }
            let mut reader = EnvelopeReader::new(connection, scanner, octets, end.is_some());
            let unsealed = if loops {
                Err(Failure::Loop.into())
            } else {
                self.unseal(transaction, &mut reader).await
            };
            if matches!(unsealed, Err(Stop::Refuse(_) | Stop::Pass(_))) {
                reader.judge_carrier().await?;
            }
            unsealed
        } else if loops {
            Err(Failure::Loop.into())
        } else {
            self.pass_clear(transaction, connection, scanner.take_held(), end).await
        }
    }
}
