//! The end of a message: final dots, their outcomes, and what the client is told of them.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field, info, warn};

use super::destination::{Course, Destination};
use super::spool::Spool;
use super::{Outbound, Transaction, attempt};
use crate::core::{Domain, EnvelopeId};
use crate::gateway::Shared;
use crate::gateway::attempts::Answered as Noted;
use crate::gateway::audit::Story;
use crate::gateway::booking::{Answered, Booked, Entry};
use crate::gateway::breaker::Step;
use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::gateway::queue_id::QueueId;
use crate::gateway::report;
use crate::gateway::session::{Answer, Recipient, Sender};
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
        // The MTA before us has made it one of a kind (RFC 5321 section 4.4).
        let marked = QueueId::of(header).is_some();
        let accounts: Vec<Arc<Account>> =
            transaction.destinations.iter().map(|one| Account::of(&transaction, one)).collect();
        // Also if this task is ended.
        let concluded = CancellationToken::new();
        let _concluded = concluded.clone().drop_guard();
        let (mut booking, all) = self.finish(&mut transaction, &accounts, marked, &concluded).await;
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
        let (rest, booked) = self.book(&mut transaction, upstream, marked, &accounts).await;
        booking.extend(rest);
        if !(all && booked) {
            for reply in answer.iter_mut().filter(|reply| !reply.is_transient()) {
                *reply = Failure::Ledger.reply();
            }
            // Nobody is told anything, so the retry must find what was booked.
            for booked in booking.drain(..) {
                booked.take_back(&self.shared).await;
            }
        } else if upstream == Upstream::Told && marked {
            booking = booking.into_iter().map(Booked::telling).collect();
        }
        for (&(at, place), reply) in transaction.accepted.iter().zip(&replies) {
            accounts[at].log(place, reply, false);
            accounts[at].note(&self.shared, place, reply, transaction.destinations[at].on_record);
        }
        Answer { replies: answer, booking }
    }

    /// Sends the final dots, and takes the outcomes. Of several destinations each is recorded as soon as it is known, if the
    /// message is marked and a retry thus recognised: what one has taken is not sent again, though the process should die while
    /// another makes us wait. `false`: the ledger did not take them all.
    async fn finish(
        &self,
        transaction: &mut Transaction,
        accounts: &[Arc<Account>],
        marked: bool,
        concluded: &CancellationToken,
    ) -> (Vec<Booked>, bool) {
        let sending = transaction.destinations.iter().filter(|d| d.downstream.is_some()).count();
        // Each dot waits on its own, also if this task is ended.
        let mut waits = Vec::new();
        for (at, destination) in transaction.destinations.iter_mut().enumerate() {
            let Some(downstream) = destination.downstream.take() else { continue };
            if let Err(failure) = self.shared.breaker.admit(destination.domain.as_ref()) {
                destination.fail(&failure.reply());
                continue;
            }
            let Some(entry) = destination.entry.take() else { continue };
            let dot = Dot {
                shared: Arc::clone(&self.shared),
                domain: destination.domain.clone(),
                account: Arc::clone(&accounts[at]),
                concluded: concluded.clone(),
                downstream,
                spool: destination.spool.take(),
                entry,
                answers: destination.answers.clone(),
                message_hash: destination.message_hash(),
                record: marked && sending > 1,
            };
            waits.push((at, tokio::spawn(dot.finish().in_current_span())));
        }
        let (mut bookings, mut all) = (Vec::new(), true);
        for (at, wait) in waits {
            let destination = &mut transaction.destinations[at];
            match wait.await {
                Ok(Finish::Ended(answers, entry)) => {
                    destination.answers = answers;
                    destination.entry = Some(*entry);
                }
                Ok(Finish::Recorded(answers, booked)) => {
                    destination.answers = answers;
                    destination.on_record = booked.is_some();
                    all &= booked.is_some();
                    bookings.extend(booked);
                }
                Ok(Finish::Late(failure)) => destination.fail(&failure.reply()),
                Err(_) => destination.settle(Vec::new()),
            }
        }
        (bookings, all)
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
        let enqueued = report::enqueue(&self.shared, notice, &transaction.sender, action).await;
        if let Err(error) = &enqueued {
            warn!(%error, "no room for a notice");
        }
        enqueued.is_ok()
    }

    /// Records the outcomes of every entry that is open; `false` if the ledger did not take them all. Without `accounts`
    /// nothing was passed on to its end, and the audit trail is told otherwise.
    pub(super) async fn book(
        &self,
        transaction: &mut Transaction,
        upstream: Upstream,
        marked: bool,
        accounts: &[Arc<Account>],
    ) -> (Vec<Booked>, bool) {
        // The retry of a marked message cannot be taken for another message. So that it was told is recorded when it is
        // known to have been read, and the process may die in between.
        let upstream = if marked { Upstream::Deferred } else { upstream };
        let mut bookings = Vec::new();
        let mut all = true;
        for (at, destination) in transaction.destinations.iter_mut().enumerate() {
            let Some(entry) = destination.entry.take() else { continue };
            let (answers, hash) = (&destination.answers, destination.message_hash());
            let story = accounts.get(at).map(|account| &account.story);
            match entry.finish(&self.shared, answers, hash, upstream, story).await {
                Some(booked) => {
                    destination.on_record = story.is_some();
                    bookings.push(booked);
                }
                None => all = false,
            }
        }
        (bookings, all)
    }
}

/// A final dot that is due, and what is recorded of it.
struct Dot {
    shared: Arc<Shared>,
    domain: Option<Domain>,
    account: Arc<Account>,
    /// The client's answer is settled, and everybody was told of it.
    concluded: CancellationToken,
    downstream: Downstream,
    spool: Option<Spool>,
    entry: Entry,
    answers: Vec<Option<Answered>>,
    message_hash: Option<[u8; 32]>,
    /// Whether the outcomes are recorded at once.
    record: bool,
}

/// How it ended.
enum Finish {
    Ended(Vec<Option<Answered>>, Box<Entry>),
    /// `None`: the ledger did not take it.
    Recorded(Vec<Option<Answered>>, Option<Booked>),
    /// The domain is stalled. The answer is still to come, and the retry will find it in the ledger.
    Late(Failure),
}

impl Dot {
    /// Sends it, and waits as long as the domain is not stalled.
    async fn finish(self) -> Finish {
        let Self { shared, domain, account, concluded, entry, .. } = self;
        let (mut answers, message_hash, record) = (self.answers, self.message_hash, self.record);
        let mut dot = tokio::spawn(deliver(self.downstream, self.spool).in_current_span());
        let moves_on = |ended: &Ended| match ended {
            Ok(Ok(outcomes)) => outcomes.iter().any(|o| matches!(o, Outcome::Reply(_))),
            _ => false,
        };
        match shared.breaker.wait(domain.as_ref(), Step::Dot, &mut dot, moves_on).await {
            Ok(ended) => settle_open(&mut answers, ended),
            Err(stalled) => {
                let failure = stalled.failure();
                let own = Arc::clone(&shared);
                entry.go_on(&shared, |entry| async move {
                    let ended = dot.await;
                    if moves_on(&ended) {
                        stalled.answered();
                    }
                    let open: Vec<usize> =
                        (0..answers.len()).filter(|&at| answers[at].is_none()).collect();
                    settle_open(&mut answers, ended);
                    let (upstream, story) = (Upstream::Deferred, Some(&account.story));
                    let booked = entry.finish(&own, &answers, message_hash, upstream, story).await;
                    // That the client was told to try again comes first.
                    concluded.cancelled().await;
                    for at in open {
                        let Some(answer) = &answers[at] else { continue };
                        account.tell_late(&own, at, &answer.reply(), booked.is_some());
                    }
                });
                return Finish::Late(failure);
            }
        }
        if !record {
            return Finish::Ended(answers, Box::new(entry));
        }
        let (upstream, story) = (Upstream::Deferred, Some(&account.story));
        let booked = entry.finish(&shared, &answers, message_hash, upstream, story).await;
        Finish::Recorded(answers, booked)
    }
}

/// The outcomes, or the reply for a message whose final dot was not sent.
type Ended = Result<Result<Vec<Outcome>, Reply>, JoinError>;

/// Fills the answers that are open.
fn settle_open(answers: &mut [Option<Answered>], ended: Ended) {
    let mut outcomes = match ended {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(reply)) => vec![Outcome::Reply(reply); answers.len()],
        // What became of the message is not known.
        Err(_) => Vec::new(),
    }
    .into_iter();
    for answer in answers {
        answer.get_or_insert_with(|| outcomes.next().map_or(Answered::Unknown, Answered::from));
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

/// What the log, the operator and the audit trail are told of a message at one destination.
pub(super) struct Account {
    sender: Sender,
    foreign: bool,
    proven: bool,
    recipients: Vec<Recipient>,
    how: &'static str,
    level: &'static str,
    accepted: Fate,
    envelope: Option<EnvelopeId>,
    story: Story,
}

impl Account {
    fn of(transaction: &Transaction, destination: &Destination) -> Arc<Self> {
        let (how, level, accepted) = match &destination.course {
            Course::Seal { evidence, .. } => ("sealed", evidence.level.as_str(), Fate::Sealed),
            Course::Clear(_) => ("clear", "-", Fate::Clear),
        };
        Arc::new(Self {
            sender: transaction.sender.clone(),
            foreign: transaction.foreign,
            proven: transaction.proven,
            recipients: destination.recipients.clone(),
            how,
            level,
            accepted,
            envelope: destination.envelope,
            story: destination.story(&transaction.sender, &transaction.origin),
        })
    }

    /// Logs the answer to one recipient; `late`: the client was told to try again before it came.
    fn log(&self, place: usize, reply: &Reply, late: bool) {
        let Self { sender, how, level, .. } = self;
        let (from, to) = (&sender.path, self.recipients.get(place).map(|to| &to.path));
        let (to, envelope) = (to.map(field::display), self.envelope.map(field::display));
        let late = late.then_some(true);
        info!(%from, to, how, level, envelope, %reply, late, "message relayed");
    }

    /// Notes the answer to one recipient for the operator.
    fn note(&self, shared: &Shared, place: usize, reply: &Reply, on_record: bool) {
        let Some(recipient) = self.recipients.get(place).filter(|_| self.proven) else { return };
        let accepted = self.accepted.clone();
        let answered = attempt(&self.sender, self.foreign, recipient, reply, accepted);
        shared.attempts.note(&Noted { on_record, ..answered });
    }

    /// Tells of an answer that came after the client was told to try again. The recipient waits no longer if it is final and
    /// `booked`, so that the retry is told the same; else this attempt is noted as it is.
    fn tell_late(&self, shared: &Shared, place: usize, reply: &Reply, booked: bool) {
        self.log(place, reply, true);
        if booked && !reply.is_transient() {
            self.note(shared, place, reply, true);
        }
    }
}
