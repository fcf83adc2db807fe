//! The end of a message: final dots, their outcomes, and what the client is told of them.

use tracing::{Instrument, info, warn};

use super::destination::Course;
use super::spool::Spool;
use super::{Outbound, Transaction};
use crate::gateway::booking::{Answered, Booked};
use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::gateway::report;
use crate::gateway::session::Answer;
use crate::gateway::settlement::settle;
use crate::mail::header::Header;
use crate::mail::notice::Action;
use crate::smtp::client::Outcome;
use crate::smtp::server::ServerConnection;
use crate::smtp::{Protocol, Reply};
use crate::store::ledger::{Fate, Side, Upstream};

impl Outbound {
    /// Sends the final dots, records the outcomes, and says what the client is told [R-seal-06].
    pub(super) async fn conclude(
        &self,
        mut transaction: Transaction,
        header: &Header,
        connection: &mut ServerConnection,
    ) -> Answer<Vec<Booked>> {
        let silent = silent(&transaction);
        // Each dot waits on its own, also if this task is ended. A client that does not wait so long is seen below.
        let mut waits = Vec::new();
        for (at, destination) in transaction.destinations.iter_mut().enumerate() {
            if let Some(downstream) = destination.downstream.take() {
                let delivery = deliver(downstream, destination.spool.take());
                waits.push((at, tokio::spawn(delivery.in_current_span())));
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
        let replies = replies(&transaction);
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
            let failed = &settlement.failed;
            let notified =
                left || self.notify(&transaction, header, Action::Failed, &replies, failed).await;
            if !notified {
                reply = Failure::Ledger.reply();
                upstream = Upstream::Deferred;
            }
            answer = vec![reply];
        }
        if left {
            // Whoever still reads must not take for told what is booked as untold.
            for reply in answer.iter_mut().filter(|reply| !reply.is_transient()) {
                *reply = Failure::Mixed.reply();
            }
        }
        // What the next hop has taken is not sent again, whatever the client is told now. If there is no room for the
        // notice, the message still goes on: it is about a success.
        let relayed: Vec<usize> =
            silent.into_iter().filter(|&n| replies[n].is_positive()).collect();
        self.notify(&transaction, header, Action::Relayed, &replies, &relayed).await;
        let (booking, booked) = self.book(&mut transaction, upstream).await;
        if !booked {
            for reply in answer.iter_mut().filter(|reply| !reply.is_transient()) {
                *reply = Failure::Ledger.reply();
            }
        }
        log(&transaction, &replies);
        self.note_each(&transaction, &replies);
        Answer { replies: answer, booking }
    }

    /// Notes how each recipient was answered, for the operator.
    fn note_each(&self, transaction: &Transaction, replies: &[Reply]) {
        for (&(at, place), reply) in transaction.accepted.iter().zip(replies) {
            let destination = &transaction.destinations[at];
            let accepted = match &destination.course {
                Course::Seal { .. } => Fate::Sealed,
                Course::Clear => Fate::Clear,
            };
            self.note(transaction, &destination.recipients[place], reply, accepted);
        }
    }

    /// Puts a notice about recipients that failed for good, or were relayed, into the outbox; `false` if it has no room.
    async fn notify(
        &self,
        transaction: &Transaction,
        header: &Header,
        action: Action,
        replies: &[Reply],
        places: &[usize],
    ) -> bool {
        let recipients = places.iter().map(|&n| {
            let (at, place) = transaction.accepted[n];
            (&transaction.destinations[at].recipients[place], &replies[n])
        });
        let notice = report::notice(
            &self.shared,
            Side::Inside,
            &transaction.origin,
            &transaction.sender,
            Some(header),
            action,
            recipients,
        );
        let enqueued = report::enqueue(&self.shared, notice).await;
        if let Err(error) = &enqueued {
            warn!(%error, "no room for a notice");
        }
        enqueued.is_ok()
    }

    /// Records the outcomes of every entry that is open; `false` if the ledger did not take them all.
    pub(super) async fn book(
        &self,
        transaction: &mut Transaction,
        upstream: Upstream,
    ) -> (Vec<Booked>, bool) {
        let mut bookings = Vec::new();
        let mut all = true;
        for destination in &mut transaction.destinations {
            let Some(entry) = destination.entry.take() else { continue };
            let (answers, hash) = (&destination.answers, destination.message_hash);
            match entry.finish(&self.shared, answers, hash, upstream).await {
                Some(booked) => bookings.push(booked),
                None => all = false,
            }
        }
        (bookings, all)
    }
}

/// Sends what was kept for signing, and the final dot. The error is the reply for a message whose final dot was not sent.
async fn deliver(mut downstream: Downstream, spool: Option<Spool>) -> Result<Vec<Outcome>, Reply> {
    if let Some(spool) = spool {
        spool.send(&mut downstream).await?;
    }
    downstream.finish().await
}

/// The recipients that a next hop without DSN is about to answer for: places in the client's order.
fn silent(transaction: &Transaction) -> Vec<usize> {
    let is_silent = |&(at, place): &(usize, usize)| {
        let destination = &transaction.destinations[at];
        destination.downstream.as_ref().is_some_and(|downstream| !downstream.reports())
            && destination.answers[place].is_none()
    };
    let accepted = transaction.accepted.iter().enumerate();
    accepted.filter(|(_, accepted)| is_silent(accepted)).map(|(n, _)| n).collect()
}

/// The outcome of each accepted recipient in the client's order.
fn replies(transaction: &Transaction) -> Vec<Reply> {
    let reply = |&(at, place): &(usize, usize)| {
        let answer = transaction.destinations[at].answers[place].as_ref();
        answer.map_or_else(|| Failure::NextHopLost.reply(), Answered::reply)
    };
    transaction.accepted.iter().map(reply).collect()
}

fn log(transaction: &Transaction, replies: &[Reply]) {
    for (&(at, place), reply) in transaction.accepted.iter().zip(replies) {
        let destination = &transaction.destinations[at];
        let (how, level) = match &destination.course {
            Course::Seal { level, .. } => ("sealed", level.as_str()),
            Course::Clear => ("clear", "-"),
        };
        info!(
            from = %transaction.sender.path,
            to = %destination.recipients[place].path,
            how,
            level,
            envelope = destination.envelope.map(tracing::field::display),
            reply = %reply,
            "message relayed"
        );
    }
}
