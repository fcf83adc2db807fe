//! What the ledger knows of a message that is on its way to one recipient domain, so that a retry does not send again
//! what was accepted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, warn};

use super::Shared;
use super::audit::Story;
use super::failure::Failure;
use super::ids::retry_key;
use super::queue_id::QueueId;
use super::session::{Recipient, Sender};
use super::system_rng;
use crate::core::smtp_envelope::mailbox_text;
use crate::core::{DeliveryId, Domain};
use crate::mail::header::Header;
use crate::smtp::{EnhancedStatus, Reply, client};
use crate::store::ledger::{
    Event, FinalOutcome, FinalReply, Outcome, Outgoing, RetryKey, Upstream,
};

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// The next hop's answer, now or at an earlier attempt.
    Reply(Reply),
    /// The final dot went out and no answer came.
    Unknown,
}

impl Answered {
    /// What the client is told.
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Reply(reply) => reply.clone(),
            Self::Unknown => Failure::NextHopLost.reply(),
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Reply(reply) if reply.is_positive() => Outcome::Accepted,
            Self::Reply(reply) if reply.is_permanent() => Outcome::Permanent(FinalReply {
                code: reply.code(),
                // With the status, which a retry and a notice about it repeat.
                text: format!(
                    "{} {}",
                    reply.status(),
                    reply.lines().collect::<Vec<_>>().join("\n")
                ),
            }),
            Self::Reply(_) => Outcome::Temporary,
            Self::Unknown => Outcome::Unknown,
        }
    }

    fn before(outcome: &FinalOutcome) -> Self {
        Self::Reply(match outcome {
            FinalOutcome::Accepted => Reply::new(250, (2, 0, 0), "delivered before"),
            FinalOutcome::Permanent(stored) => {
                let mut lines = stored.text.split('\n').map(str::to_owned);
                let first = lines.next().unwrap_or_default();
                let status = first.split_once(' ').and_then(|(status, text)| {
                    let status = EnhancedStatus::parse(status)?;
                    Some(((status.class(), status.subject(), status.detail()), text.to_owned()))
                });
                let (status, first) = status.unwrap_or(((5, 0, 0), first));
                lines.fold(Reply::new(stored.code, status, first), Reply::with_line)
            }
        })
    }
}

impl From<client::Outcome> for Answered {
    fn from(outcome: client::Outcome) -> Self {
        match outcome {
            client::Outcome::Reply(reply) => Self::Reply(reply),
            client::Outcome::Unknown => Self::Unknown,
        }
    }
}

/// The messages that are on their way right now, those among them that are finished in the background. A retry of one gives
/// way until then: it would be taken for another message.
#[derive(Debug, Default)]
pub(super) struct Underway {
    places: Mutex<Places>,
    /// What a stop of the gateway waits for.
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Places {
    /// Of each retry key the groups of recipients, each with its ticket.
    groups: HashMap<RetryKey, Vec<(u64, Vec<String>)>>,
    next: u64,
}

/// A group of recipients that is under way, until this is dropped.
#[derive(Debug)]
struct Place {
    underway: Arc<Underway>,
    key: RetryKey,
    ticket: u64,
}

impl Underway {
    /// With the tasks that a stop of the gateway waits for.
    pub(super) fn new(tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { places: Mutex::default(), tasks })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets recipients of a message in, unless one of them is under way. They hold a place if the message is `marked`.
    fn admit(
        self: &Arc<Self>,
        key: RetryKey,
        names: &[String],
        marked: bool,
    ) -> Result<Option<Place>, Failure> {
        let mut places = self.lock();
        let is_held = |(_, group): &(u64, Vec<String>)| group.iter().any(|n| names.contains(n));
        if places.groups.get(&key).is_some_and(|groups| groups.iter().any(is_held)) {
            return Err(Failure::InProgress);
        }
        Ok(marked.then(|| self.enter(&mut places, key, names)))
    }

    fn enter(self: &Arc<Self>, places: &mut Places, key: RetryKey, names: &[String]) -> Place {
        let ticket = places.next;
        places.next += 1;
        places.groups.entry(key).or_default().push((ticket, names.to_vec()));
        Place { underway: Arc::clone(self), key, ticket }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.underway.lock();
        if let Some(groups) = places.groups.get_mut(&self.key) {
            groups.retain(|(ticket, _)| *ticket != self.ticket);
            if groups.is_empty() {
                places.groups.remove(&self.key);
            }
        }
    }
}

/// An open entry: it is finished or retired, also when the transaction fails.
#[derive(Debug)]
pub(super) struct Entry {
    outgoing: Outgoing,
    names: Vec<String>,
    key: RetryKey,
    /// Of a message that the MTA before us has made one of a kind: nobody else may be at it.
    place: Option<Place>,
}

/// An entry that was finished in the expectation that the client learns the answer.
#[derive(Debug)]
pub(super) struct Booked {
    outgoing: Outgoing,
    outcomes: Vec<(String, Outcome)>,
    message_hash: Option<[u8; 32]>,
    /// Whether the client is told, and that is recorded once it is known to have read it.
    telling: bool,
}

impl Entry {
    /// Opens the entry of a message, recognised by its retry key: a retry keeps its delivery id. Also returns what an
    /// earlier attempt has settled, for each recipient.
    ///
    /// A retry may come while the attempt before it still waits for an answer, which its client has not waited for. Of a
    /// message that an MTA has marked with its queue id this is certain; others may be alike and yet two.
    pub(super) async fn begin(
        shared: &Shared,
        sender: &Sender,
        domain: Option<&Domain>,
        header: &Header,
        recipients: &[Recipient],
    ) -> Result<(Self, Vec<Option<Answered>>), Failure> {
        let key = retry_key(&sender.path, domain, header.raw());
        let names: Vec<String> = recipients.iter().map(|r| mailbox_text(&r.path)).collect();
        // RFC 5321 section 4.4.
        let marked = QueueId::of(header).is_some();
        let place = shared.underway.admit(key, &names, marked)?;
        let fresh = DeliveryId::random(&mut system_rng());
        let begun = shared.ledger.begin_outgoing(key, &names, fresh, shared.clock.now()).await;
        let outgoing = begun.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        let settled = names
            .iter()
            .map(|name| {
                let known = outgoing.already.iter().find(|(settled, _)| settled == name);
                known.map(|(_, outcome)| Answered::before(outcome))
            })
            .collect();
        Ok((Self { outgoing, names, key, place }, settled))
    }

    /// The delivery id to seal with.
    pub(super) fn delivery_id(&self) -> DeliveryId {
        self.outgoing.delivery_id
    }

    /// Hash of the message that was first sent under this id.
    pub(super) fn message_hash(&self) -> Option<[u8; 32]> {
        self.outgoing.message_hash
    }

    /// Records what became of each recipient, in the order given to [`Entry::begin`], and in the audit trail if there is a
    /// story; durable when this returns. `None`: the ledger did not take it.
    pub(super) async fn finish(
        self,
        shared: &Shared,
        answers: &[Option<Answered>],
        message_hash: Option<[u8; 32]>,
        upstream: Upstream,
        story: Option<&Story>,
    ) -> Option<Booked> {
        let events = story.map(|story| self.events(story, answers, shared.clock.now()));
        // Until it is recorded.
        let _place = self.place;
        let mut outcomes: Vec<(String, Outcome)> = Vec::new();
        for (name, answered) in self.names.into_iter().zip(answers) {
            if self.outgoing.send.contains(&name) && !outcomes.iter().any(|(n, _)| *n == name) {
                let outcome = answered.as_ref().map_or(Outcome::Unknown, Answered::outcome);
                outcomes.push((name, outcome));
            }
        }
        let outgoing = self.outgoing;
        let booked = Booked { outgoing, outcomes, message_hash, telling: false };
        match booked.record(shared, upstream, &events.unwrap_or_default()).await {
            Ok(()) => Some(booked),
            Err(error) => {
                warn!(%error, "outcome could not be recorded");
                None
            }
        }
    }

    /// What the audit trail is told of each recipient.
    fn events(&self, story: &Story, answers: &[Option<Answered>], now: u64) -> Vec<Event> {
        let told = |(name, answered): (&String, &Option<Answered>)| {
            if self.outgoing.already.iter().any(|(settled, _)| settled == name) {
                return story.before(name, now);
            }
            story.told(name, answered.as_ref().unwrap_or(&Answered::Unknown), now)
        };
        self.names.iter().zip(answers).map(told).collect()
    }

    /// Goes on in the background, while the client is told to try again; a retry gives way until the entry is finished.
    pub(super) fn go_on<F>(mut self, shared: &Shared, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let underway = &shared.underway;
        if self.place.is_none() {
            self.place = Some(underway.enter(&mut underway.lock(), self.key, &self.names));
        }
        underway.tasks.spawn(work(self).in_current_span());
    }

    /// Forgets the delivery id: the message is another one than that of the earlier attempt.
    pub(super) async fn retire(self, shared: &Shared) {
        if let Err(error) = shared.ledger.retire_outgoing(&self.outgoing).await {
            warn!(%error, "delivery id could not be retired");
        }
    }
}

impl Booked {
    async fn record(
        &self,
        shared: &Shared,
        upstream: Upstream,
        events: &[Event],
    ) -> Result<(), crate::store::ledger::LedgerError> {
        let Self { outgoing, outcomes, message_hash, .. } = self;
        let now = shared.clock.now();
        let ledger = &shared.ledger;
        ledger.finish_outgoing(outgoing, outcomes, *message_hash, upstream, now, events).await
    }

    /// The client is being told: [`Booked::confirm`] is for this.
    pub(super) fn telling(mut self) -> Self {
        self.telling = true;
        self
    }

    /// The client has read the answer. Recorded in the background: should it be lost, the entry is kept until it expires.
    pub(super) fn confirm(self, shared: &Arc<Shared>) {
        if !self.telling {
            return;
        }
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if let Err(error) = self.record(&shared, Upstream::Told, &[]).await {
                debug!(%error, "an answer that was read could not be recorded");
            }
        });
    }

    /// The client did not learn the answer after all.
    pub(super) async fn take_back(self, shared: &Shared) {
        if let Err(error) = self.record(shared, Upstream::Deferred, &[]).await {
            warn!(%error, "an answer that was not delivered could not be taken back");
        }
    }
}
