//! From our MTA to the world: each message is sealed, or goes clear, or is not sent.

mod destination;

use std::sync::Arc;

use tracing::{info, warn};

use super::Shared;
use super::failure::Failure;
use super::hop::{Downstream, Hop};
use super::ids::retry_key;
use super::message::{self, Start};
use super::report;
use super::session::{Answer, Direction, Recipient, Sender};
use super::settlement::settle;
use super::system_rng;
use crate::core::{DeliveryId, Domain};
use crate::mail::header::Header;
use crate::policy::{Decision, DeferReason, Demand, RejectReason, Rule};
use crate::smtp::server::{DataChunk, DataEnd, ServerConnection, SessionError};
use crate::smtp::{Capabilities, Protocol, Reply};
use crate::store::ledger::{FinalOutcome, FinalReply, Outcome, Outgoing, Side, Upstream};
use destination::{Answered, Course, Destination, Sealing, Stream, texts};

/// The sealing direction.
pub(super) struct Outbound {
    pub(super) shared: Arc<Shared>,
    pub(super) hop: Arc<Hop>,
    pub(super) protocol: Protocol,
    /// Signs null and foreign reverse-paths.
    pub(super) domain: Domain,
}

/// An open transaction of the inside listener.
pub(super) struct Transaction {
    sender: Sender,
    /// The local domain that signs [R-seal-02].
    origin: Domain,
    foreign: bool,
    destinations: Vec<Destination>,
    /// Accepted recipients in the client's order: destination, and place in it.
    accepted: Vec<(usize, usize)>,
}

/// What the ledger was told, for taking it back.
pub(super) struct Booking(Vec<(Outgoing, Vec<(String, Outcome)>, Option<[u8; 32]>)>);

impl Direction for Outbound {
    type Transaction = Transaction;
    type Booking = Booking;

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
        let local = sender.path.domain().filter(|d| self.shared.domains.contains_key(*d)).cloned();
        let foreign = local.is_none() && !sender.path.is_null();
        let origin = local.unwrap_or_else(|| self.domain.clone());
        Ok(Transaction { sender, origin, foreign, destinations: Vec::new(), accepted: Vec::new() })
    }

    async fn recipient(&self, transaction: &mut Transaction, recipient: Recipient) -> Reply {
        match self.admit(transaction, recipient).await {
            Ok(reply) | Err(reply) => reply,
        }
    }

    async fn message(
        &self,
        mut transaction: Transaction,
        connection: &mut ServerConnection,
    ) -> Result<Answer<Booking>, SessionError> {
        connection.accept_data(Some(self.shared.config.limits.message_size)).await?;
        let limits = &self.shared.config.limits;
        let start = match message::start(connection, limits).await? {
            Ok(start) => start,
            Err(refusal) => {
                self.give_up(transaction).await;
                return self.answer_all(connection, refusal).await;
            }
        };
        if let Err(failure) = self.prepare(&mut transaction, &start).await {
            self.log_refusal(&transaction.sender, &failure);
            self.give_up(transaction).await;
            return self.answer_all(connection, failure.reply()).await;
        }
        let streamed = self.stream(&mut transaction, &start, connection).await;
        let (end, hashes) = match streamed {
            Ok(streamed) => streamed,
            Err(error) => {
                // The client has left in the middle: nothing was completed.
                for destination in &mut transaction.destinations {
                    destination.fail(&Failure::NextHopLost.reply());
                }
                self.book(&transaction, &[], Upstream::Deferred).await;
                return Err(error);
            }
        };
        if let Some(failure) = Failure::of_end(end) {
            for destination in &mut transaction.destinations {
                destination.fail(&Failure::NextHopLost.reply());
            }
            self.book(&transaction, &[], Upstream::Deferred).await;
            return self.answer_all(connection, failure.reply()).await;
        }
        Ok(self.conclude(transaction, &start.header, &hashes, connection).await)
    }

    async fn abandon(&self, transaction: Transaction) {
        self.give_up(transaction).await;
    }

    async fn take_back(&self, booking: Booking) {
        for (outgoing, outcomes, hash) in booking.0 {
            let ledger = &self.shared.ledger;
            let now = self.shared.clock.now();
            let result =
                ledger.finish_outgoing(&outgoing, &outcomes, hash, Upstream::Deferred, now).await;
            if let Err(error) = result {
                warn!(%error, "an answer that was not delivered could not be taken back");
            }
        }
    }
}

impl Outbound {
    /// Answers RCPT: the next hop's reply, or why it was not asked.
    async fn admit(
        &self,
        transaction: &mut Transaction,
        recipient: Recipient,
    ) -> Result<Reply, Reply> {
        let domain = recipient.path.domain().cloned();
        let known = transaction.destinations.iter().position(|d| d.domain == domain);
        let at = match known {
            Some(at) => at,
            None => {
                if transaction.destinations.len() >= self.shared.config.limits.recipient_domains {
                    return Err(Failure::TooManyDomains.reply());
                }
                let course = self.course(domain.as_ref(), Demand::Absent).await?;
                let (path, parameters) = course.mail(&transaction.sender);
                let downstream = Downstream::begin(&self.hop, path, parameters).await?;
                transaction.destinations.push(Destination {
                    domain,
                    course,
                    downstream: Some(downstream),
                    recipients: Vec::new(),
                    outcomes: Vec::new(),
                    booking: None,
                });
                transaction.destinations.len() - 1
            }
        };
        let destination = &mut transaction.destinations[at];
        let outer = destination.course.rcpt(&recipient);
        let Some(downstream) = &mut destination.downstream else {
            return Err(Failure::NextHopLost.reply());
        };
        let reply = downstream.recipient(outer).await;
        if reply.is_positive() {
            transaction.accepted.push((at, destination.recipients.len()));
            destination.recipients.push(recipient);
            destination.outcomes.push(None);
        }
        Ok(reply)
    }

    /// Decides for a domain; the error is the refusal.
    async fn course(&self, domain: Option<&Domain>, demand: Demand) -> Result<Course, Reply> {
        let Some(domain) = domain else {
            // [R-id-02]: nothing to seal to.
            let required = self.shared.config.defaults.policy == Rule::Require;
            return if required || demand == Demand::Sealed {
                Err(Failure::NoDomain.reply())
            } else {
                Ok(Course::Clear)
            };
        };
        let local = self.shared.config.destination(domain);
        let verdict = self.shared.discovery.recipient(domain, &local, demand).await;
        let verdict = verdict.map_err(|error| {
            warn!(%domain, %error, "ledger unavailable");
            Failure::Ledger.reply()
        })?;
        match verdict.decision {
            Decision::Seal { key, level, .. } => {
                Ok(Course::Seal { domain: domain.clone(), key: Box::new(key), level })
            }
            Decision::Clear(why) => {
                info!(%domain, why = %why, "mail goes clear");
                Ok(Course::Clear)
            }
            Decision::Defer(why) => {
                warn!(%domain, why = %why, "mail is deferred");
                let failure = match why {
                    DeferReason::Lookup(_) => Failure::PolicyUnknown(domain.clone()),
                    _ => Failure::PolicyUnusable(domain.clone()),
                };
                Err(failure.reply().with_line(why.to_string()))
            }
            Decision::Reject(why) => {
                warn!(%domain, why = %why, "mail is refused");
                let failure = match why {
                    RejectReason::LocalRule => Failure::DemandRefused(domain.clone()),
                    _ => Failure::PolicyRequired(domain.clone()),
                };
                Err(failure.reply().with_line(why.to_string()))
            }
        }
    }

    /// Everything that is decided by the header block, before any DATA goes to the next hop.
    async fn prepare(&self, transaction: &mut Transaction, start: &Start) -> Result<(), Failure> {
        let demand = start.demand()?;
        for destination in &mut transaction.destinations {
            if destination.recipients.is_empty() {
                // MAIL was sent for a recipient that was then refused.
                if let Some(downstream) = destination.downstream.take() {
                    downstream.abandon().await;
                }
                continue;
            }
            if demand == Demand::Sealed && matches!(destination.course, Course::Clear) {
                match self.course(destination.domain.as_ref(), demand).await {
                    Ok(course) => destination.course = course,
                    Err(reply) => {
                        if let Some(downstream) = destination.downstream.take() {
                            downstream.abandon().await;
                        }
                        destination.fail(&reply);
                        continue;
                    }
                }
            }
            self.begin_entry(&transaction.sender, destination, start.header.raw()).await?;
            self.reissue(&transaction.sender, destination).await;
        }
        Ok(())
    }

    /// Opens the ledger's entry: a retry keeps its delivery id, and those that an earlier attempt settled are not sent again.
    async fn begin_entry(
        &self,
        sender: &Sender,
        destination: &mut Destination,
        header: &[u8],
    ) -> Result<(), Failure> {
        let key = retry_key(&sender.path, destination.domain.as_ref(), header);
        let names = texts(&destination.recipients);
        let fresh = DeliveryId::random(&mut system_rng());
        let now = self.shared.clock.now();
        let outgoing = self.shared.ledger.begin_outgoing(key, &names, fresh, now).await;
        let outgoing = outgoing.map_err(|error| {
            warn!(trace = %sender.trace, %error, "ledger unavailable");
            Failure::Ledger
        })?;
        for (name, outcome) in &outgoing.already {
            let reply = match outcome {
                FinalOutcome::Accepted => Reply::new(250, (2, 0, 0), "delivered before"),
                FinalOutcome::Permanent(reply) => stored_reply(reply),
            };
            for (at, own) in names.iter().enumerate() {
                if own == name {
                    destination.outcomes[at] = Some(Answered::Reply(reply.clone()));
                }
            }
        }
        destination.booking = Some(outgoing);
        Ok(())
    }

    /// Makes the downstream transaction one for the recipients that are still open.
    async fn reissue(&self, sender: &Sender, destination: &mut Destination) {
        let Some(mut downstream) = destination.downstream.take() else { return };
        let open = destination.open();
        if open.is_empty() {
            downstream.abandon().await;
            return;
        }
        let (path, parameters) = destination.course.mail(sender);
        let recipients =
            open.iter().map(|&at| destination.course.rcpt(&destination.recipients[at])).collect();
        match downstream.become_one(path, parameters, recipients).await {
            Err(reply) => destination.fail(&reply),
            Ok(replies) => {
                for (at, reply) in open.into_iter().zip(replies) {
                    if !reply.is_positive() {
                        destination.outcomes[at] = Some(Answered::Reply(reply));
                    }
                }
                if downstream.recipients().is_empty() {
                    downstream.abandon().await;
                } else {
                    destination.downstream = Some(downstream);
                }
            }
        }
    }

    /// Passes the message on, to every destination at once, up to but not including the final dots.
    async fn stream(
        &self,
        transaction: &mut Transaction,
        start: &Start,
        connection: &mut ServerConnection,
    ) -> Result<(DataEnd, Vec<Option<[u8; 32]>>), SessionError> {
        let received = self.shared.received(&transaction.sender, self.protocol);
        let mut streams = Vec::with_capacity(transaction.destinations.len());
        let mut out = Vec::new();
        for destination in &mut transaction.destinations {
            let stream = self
                .open_stream(
                    &transaction.sender,
                    &transaction.origin,
                    transaction.foreign,
                    destination,
                    &mut out,
                )
                .await;
            if let (Some(Stream::Clear), Some(_)) = (&stream, &destination.downstream) {
                out.extend_from_slice(received.as_bytes());
            }
            let mut stream = stream;
            push(destination, &mut stream, start.header.raw(), &mut out).await;
            push(destination, &mut stream, &start.body, &mut out).await;
            streams.push(stream);
        }
        let end = loop {
            match start.end {
                Some(end) => break end,
                None => match connection.read_data().await? {
                    DataChunk::Content(content) => {
                        for (destination, stream) in
                            transaction.destinations.iter_mut().zip(&mut streams)
                        {
                            push(destination, stream, &content, &mut out).await;
                        }
                    }
                    DataChunk::End(end) => break end,
                },
            }
        };
        let mut hashes = vec![None; streams.len()];
        if end == DataEnd::Clean {
            for (at, stream) in streams.into_iter().enumerate() {
                let destination = &mut transaction.destinations[at];
                hashes[at] = self.finish_stream(destination, stream, &mut out).await;
            }
        }
        Ok((end, hashes))
    }

    async fn open_stream(
        &self,
        sender: &Sender,
        origin: &Domain,
        foreign: bool,
        destination: &mut Destination,
        out: &mut Vec<u8>,
    ) -> Option<Stream> {
        out.clear();
        // With nothing left to send, the message is sealed all the same, to compare its hash with that of the first attempt.
        let compared = destination.booking.as_ref().is_some_and(|b| b.message_hash.is_some());
        if destination.downstream.is_none() && !(compared && destination.is_settled()) {
            return None;
        }
        let limit = destination.downstream.as_ref().and_then(|d| d.capabilities().size_limit());
        let settled = destination.is_settled();
        let open = destination.recipients.iter().zip(&destination.outcomes);
        let recipients: Vec<&Recipient> =
            open.filter(|(_, outcome)| settled || outcome.is_none()).map(|(r, _)| r).collect();
        let (Some(local), Some(booking)) = (self.shared.domains.get(origin), &destination.booking)
        else {
            destination.fail(&Failure::Ledger.reply());
            return None;
        };
        let sealing = Sealing {
            sender_domain: origin,
            signing: &local.signing,
            foreign,
            sealed_at: self.shared.clock.now(),
            delivery_id: booking.delivery_id,
        };
        let begun = Stream::begin(
            &destination.course,
            sender,
            &recipients,
            &sealing,
            limit,
            &mut system_rng(),
            out,
        );
        let result = match begun {
            Ok(stream) => match &mut destination.downstream {
                Some(downstream) => downstream.data().await.map(|()| stream),
                None => Ok(stream),
            },
            Err(failure) => Err(failure.reply()),
        };
        match result {
            Ok(stream) => {
                if let Some(envelope) = stream.envelope_id() {
                    info!(trace = %sender.trace, %envelope, "sealing");
                }
                Some(stream)
            }
            Err(reply) => {
                destination.fail(&reply);
                None
            }
        }
    }

    /// Sends the rest of the message; returns its hash.
    async fn finish_stream(
        &self,
        destination: &mut Destination,
        stream: Option<Stream>,
        out: &mut Vec<u8>,
    ) -> Option<[u8; 32]> {
        let stream = stream?;
        out.clear();
        let result = match (stream.finish(out), &mut destination.downstream) {
            (Ok(hash), Some(downstream)) => downstream.write(out).await.map(|()| hash),
            (Ok(hash), None) => Ok(hash),
            (Err(failure), _) => Err(failure.reply()),
        };
        let hash = match result {
            Ok(hash) => hash,
            Err(reply) => {
                destination.fail(&reply);
                return None;
            }
        };
        let expected = destination.booking.as_ref().and_then(|booking| booking.message_hash);
        if expected.is_some() && hash.is_some() && expected != hash {
            // The header block is the same, the message is not: no retry, so another id is due.
            if let Some(booking) = destination.booking.take()
                && let Err(error) = self.shared.ledger.retire_outgoing(&booking).await
            {
                warn!(%error, "delivery id could not be retired");
            }
            destination.forget(&Failure::Mixed.reply());
            return None;
        }
        hash
    }

    /// Sends the final dots, records the outcomes, and says what the client is told.
    async fn conclude(
        &self,
        mut transaction: Transaction,
        header: &Header,
        hashes: &[Option<[u8; 32]>],
        connection: &mut ServerConnection,
    ) -> Answer<Booking> {
        // Each dot waits on its own, also if this task is ended.
        let mut waits = Vec::new();
        for (at, destination) in transaction.destinations.iter_mut().enumerate() {
            if let Some(downstream) = destination.downstream.take() {
                waits.push((at, tokio::spawn(downstream.finish())));
            }
        }
        for (at, wait) in waits {
            let destination = &mut transaction.destinations[at];
            match wait.await {
                Ok(Ok(outcomes)) => destination.settle(outcomes),
                Ok(Err(reply)) => destination.fail(&reply),
                Err(_) => destination.settle(Vec::new()),
            }
        }
        let replies = self.replies(&transaction);
        // A client that has grown tired of waiting will send the message again.
        let left = connection.has_left().await;
        let mut upstream = if left { Upstream::Deferred } else { Upstream::Told };
        let mut answer = replies.clone();
        if self.protocol == Protocol::Smtp {
            let settlement = settle(&replies, true);
            let mut reply = settlement.reply;
            if reply.is_transient() {
                upstream = Upstream::Deferred;
            }
            if !settlement.failed.is_empty() && !left {
                let failed = settlement.failed.iter().map(|&n| {
                    let (at, place) = transaction.accepted[n];
                    (&transaction.destinations[at].recipients[place], &replies[n])
                });
                let notice = report::failure(
                    &self.shared,
                    Side::Inside,
                    &transaction.origin,
                    &transaction.sender,
                    Some(header),
                    failed,
                );
                if let Err(error) = report::enqueue(&self.shared, notice).await {
                    warn!(trace = %transaction.sender.trace, %error, "no room for a notice");
                    reply = Failure::Ledger.reply();
                    upstream = Upstream::Deferred;
                }
            }
            answer = vec![reply];
        }
        let (booking, booked) = self.book(&transaction, hashes, upstream).await;
        if !booked {
            for reply in answer.iter_mut().filter(|reply| !reply.is_transient()) {
                *reply = Failure::Ledger.reply();
            }
        }
        self.log(&transaction, &replies);
        Answer { replies: answer, booking }
    }

    /// The outcome of each accepted recipient in the client's order.
    fn replies(&self, transaction: &Transaction) -> Vec<Reply> {
        let outcome = |&(at, place): &(usize, usize)| {
            let outcome = transaction.destinations[at].outcomes[place].as_ref();
            outcome.map_or_else(|| Failure::NextHopLost.reply(), Answered::reply)
        };
        transaction.accepted.iter().map(outcome).collect()
    }

    /// Records the outcomes; `false` if the ledger did not take them all.
    async fn book(
        &self,
        transaction: &Transaction,
        hashes: &[Option<[u8; 32]>],
        upstream: Upstream,
    ) -> (Booking, bool) {
        let mut bookings = Vec::new();
        let mut booked = true;
        for (at, destination) in transaction.destinations.iter().enumerate() {
            let Some(outgoing) = &destination.booking else { continue };
            let names = texts(&destination.recipients);
            let mut outcomes: Vec<(String, Outcome)> = Vec::new();
            for (name, answered) in names.into_iter().zip(&destination.outcomes) {
                if outgoing.send.contains(&name) && !outcomes.iter().any(|(n, _)| *n == name) {
                    outcomes.push((name, outcome(answered.as_ref())));
                }
            }
            let hash = hashes.get(at).copied().flatten();
            let now = self.shared.clock.now();
            let ledger = &self.shared.ledger;
            if let Err(error) =
                ledger.finish_outgoing(outgoing, &outcomes, hash, upstream, now).await
            {
                warn!(trace = %transaction.sender.trace, %error, "outcome could not be recorded");
                booked = false;
            }
            bookings.push((outgoing.clone(), outcomes, hash));
        }
        (Booking(bookings), booked)
    }

    async fn give_up(&self, transaction: Transaction) {
        for mut destination in transaction.destinations {
            if let Some(downstream) = destination.downstream.take() {
                downstream.abandon().await;
            }
            if let Some(booking) = &destination.booking {
                let now = self.shared.clock.now();
                let ledger = &self.shared.ledger;
                let _ = ledger.finish_outgoing(booking, &[], None, Upstream::Deferred, now).await;
            }
        }
    }

    /// The same reply for every recipient.
    async fn answer_all(
        &self,
        connection: &mut ServerConnection,
        reply: Reply,
    ) -> Result<Answer<Booking>, SessionError> {
        let replies = message::refuse_all(connection, &reply).await?;
        Ok(Answer { replies, booking: Booking(Vec::new()) })
    }

    fn log_refusal(&self, sender: &Sender, failure: &Failure) {
        info!(trace = %sender.trace, from = %sender.path, reason = failure.name(), "message refused");
    }

    fn log(&self, transaction: &Transaction, replies: &[Reply]) {
        for (&(at, place), reply) in transaction.accepted.iter().zip(replies) {
            let destination = &transaction.destinations[at];
            let (how, level) = match &destination.course {
                Course::Seal { level, .. } => ("sealed", level.as_str()),
                Course::Clear => ("clear", "-"),
            };
            info!(
                trace = %transaction.sender.trace,
                from = %transaction.sender.path,
                to = %destination.recipients[place].path,
                how,
                level,
                reply = %reply,
                "message relayed"
            );
        }
    }
}

/// Passes content on to one destination, whose outcome is then settled if that fails.
async fn push(
    destination: &mut Destination,
    stream: &mut Option<Stream>,
    content: &[u8],
    out: &mut Vec<u8>,
) {
    let Some(open) = stream.as_mut() else { return };
    let result = match (open.write(content, out), destination.downstream.as_mut()) {
        (Ok(()), Some(downstream)) => downstream.write(out).await,
        (Ok(()), None) => Ok(()),
        (Err(failure), _) => Err(failure.reply()),
    };
    out.clear();
    if let Err(reply) = result {
        destination.fail(&reply);
        *stream = None;
    }
}

fn outcome(answered: Option<&Answered>) -> Outcome {
    match answered {
        Some(Answered::Reply(reply)) if reply.is_positive() => Outcome::Accepted,
        Some(Answered::Reply(reply)) if reply.is_permanent() => Outcome::Permanent(FinalReply {
            code: reply.code(),
            text: reply.lines().collect::<Vec<_>>().join("\n"),
        }),
        Some(Answered::Reply(_)) => Outcome::Temporary,
        Some(Answered::Unknown) | None => Outcome::Unknown,
    }
}

/// A permanent refusal of an earlier attempt, as it is told now.
fn stored_reply(stored: &FinalReply) -> Reply {
    let mut lines = stored.text.split('\n').map(str::to_owned);
    let first = lines.next().unwrap_or_default();
    lines.fold(Reply::new(stored.code, (5, 0, 0), first), Reply::with_line)
}
