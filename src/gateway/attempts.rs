//! How attempts ended, on their way to the ledger: beside the mail path and never in it. What cannot be written is only
//! missing where the operator looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{debug, warn};

use super::audit::{self, FLOOD, Strangers};
use super::clock::Clock;
use super::failure::Failure;
use super::session::{Recipient, Sender};
use crate::core::Domain;
use crate::core::esmtp::Notify as Wish;
use crate::core::smtp_envelope::mailbox_text;
use crate::smtp::Reply;
use crate::store::ledger::{Attempt, Cause, Event, Fate, Scope, SharedLedger};

/// Attempts that wait for the ledger; beyond it they are not recorded, which bounds memory.
const QUEUE: usize = 2_048;

/// Most attempts in one operation, so that the mail path does not wait for it.
const BATCH: usize = 128;

/// Name of the reason when another server gave it.
pub(super) const NEXT_HOP_REPLY: &str = "next-hop-reply";

/// The reason of the event that says how many are missing, where they came too fast, and where the ledger did not take them.
const LOST: &str = "queue-full";
const UNWRITTEN: &str = "ledger";

/// The way to the ledger.
pub(super) struct Attempts {
    queue: mpsc::Sender<Noted>,
    clock: Arc<dyn Clock>,
    strangers: Strangers,
    /// Events that had no room in the queue.
    lost: AtomicU64,
}

/// What is on its way.
enum Noted {
    Attempt(Box<Attempt>, Option<Box<Event>>),
    Event(Box<Event>),
    /// Everything before it has been written.
    Mark(oneshot::Sender<()>),
}

/// One recipient that was answered.
pub(super) struct Answered<'a> {
    pub(super) scope: Scope,
    /// The partner's domain.
    pub(super) domain: Option<&'a Domain>,
    pub(super) sender: &'a Sender,
    pub(super) recipient: &'a Recipient,
    pub(super) reply: &'a Reply,
    /// What a positive reply means.
    pub(super) accepted: Fate,
    /// Whether the sender is one of our own, who can be told.
    pub(super) ours: bool,
    /// Whether the audit trail has the answer already. It never gets those from here that are positive.
    pub(super) on_record: bool,
}

impl Attempts {
    /// Begins to write what is noted; it ends when nobody can note anything more. `waiting` is woken after a message of ours was
    /// deferred.
    pub(super) fn start(ledger: SharedLedger, clock: Arc<dyn Clock>, waiting: Arc<Notify>) -> Self {
        let (queue, attempts) = mpsc::channel(QUEUE);
        tokio::spawn(write(ledger, waiting, attempts));
        let (strangers, lost) = (Strangers::default(), AtomicU64::new(0));
        Self { queue, clock, strangers, lost }
    }

    /// Notes an answer. Never waits.
    pub(super) fn note(&self, answered: &Answered<'_>) {
        let fate = if answered.reply.is_transient() {
            Fate::Deferred(Box::new(answered.cause()))
        } else if answered.reply.is_positive() {
            answered.accepted.clone()
        } else {
            Fate::Refused
        };
        let attempt = Attempt {
            scope: answered.scope,
            domain: answered.domain.map_or_else(String::new, ToString::to_string),
            sender: answered.sender.path.mailbox().map_or_else(String::new, ToString::to_string),
            recipient: mailbox_text(&answered.recipient.path),
            at: self.clock.now(),
            fate,
        };
        let tells = !answered.on_record && !answered.reply.is_positive();
        let event = tells
            .then(|| {
                let Answered { scope, domain, sender, reply, .. } = answered;
                let recipient = &attempt.recipient;
                audit::refusal(*scope, sender, recipient, *domain, reply, attempt.at)
            })
            .and_then(|event| self.admit(event));
        if self.queue.try_send(Noted::Attempt(Box::new(attempt), event)).is_err() {
            debug!("an attempt is not recorded: too many wait");
            self.lost.fetch_add(u64::from(tells), Ordering::Relaxed);
        }
    }

    /// Puts an event into the audit trail, some time. Never waits.
    pub(super) fn record(&self, event: Event) {
        if let Some(event) = self.admit(event)
            && self.queue.try_send(Noted::Event(event)).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts events that the ledger did not take, for the trail to say so later.
    pub(super) fn lose(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    /// Lets an event pass, unless there are too many from outside; and says before it how many are missing.
    fn admit(&self, event: Event) -> Option<Box<Event>> {
        let mut flood = 0;
        if event.scope == Some(Scope::Incoming) {
            flood = self.strangers.admit(event.at)?;
        }
        self.tell_lost(event.at, flood);
        Some(Box::new(event))
    }

    /// Puts on record that events are missing.
    fn tell_lost(&self, at: u64, flood: u64) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        for (count, why) in [(flood, FLOOD), (lost, LOST)] {
            let lapse = || Noted::Event(Box::new(Event::lapse(at, why, count)));
            if count > 0 && self.queue.try_send(lapse()).is_err() {
                self.lost.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything that was noted is written, or cannot be.
    pub(super) async fn flush(&self) {
        self.tell_lost(self.clock.now(), self.strangers.dropped());
        let (mark, passed) = oneshot::channel();
        if self.queue.send(Noted::Mark(mark)).await.is_ok() {
            let _ = passed.await;
        }
    }
}

impl Answered<'_> {
    fn cause(&self) -> Cause {
        let row = Failure::row_of(self.reply);
        let words = match Failure::words_of(self.reply) {
            Some(words) => words.to_owned(),
            None => {
                let last = self.reply.lines().last().unwrap_or_default();
                format!("the next mail server does not take it now: {last}")
            }
        };
        let parameters = &self.recipient.parameters;
        // RFC 3461 section 4.1: without NOTIFY it is for the MTA to decide.
        let spared = match parameters.notify {
            None => false,
            Some(Wish::Never) => true,
            Some(Wish::On { delay, .. }) => !delay,
        };
        Cause {
            reason: row.unwrap_or(NEXT_HOP_REPLY).to_owned(),
            words,
            reply: self.reply.to_string(),
            queue: self.sender.queue.as_ref().map(|id| id.as_str().to_owned()),
            trace: self.sender.trace.to_string(),
            tell: self.ours && !spared,
            original: parameters.orcpt.as_ref().map(|orcpt| {
                format!("{};{}", orcpt.addr_type(), String::from_utf8_lossy(orcpt.address()))
            }),
            envid: self.sender.parameters.envid.as_ref().map(|id| id.decoded().to_owned()),
        }
    }
}

async fn write(ledger: SharedLedger, waiting: Arc<Notify>, mut noted: mpsc::Receiver<Noted>) {
    let (mut batch, mut lost) = (Vec::new(), 0);
    while noted.recv_many(&mut batch, BATCH).await > 0 {
        let (mut attempts, mut events, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        for noted in batch.drain(..) {
            match noted {
                Noted::Attempt(attempt, event) => {
                    attempts.push(*attempt);
                    events.extend(event.map(|event| *event));
                }
                Noted::Event(event) => events.push(*event),
                Noted::Mark(mark) => marks.push(mark),
            }
        }
        let told = events.len() as u64;
        if lost > 0
            && let Some(at) = events.first().map(|event| event.at)
        {
            events.push(Event::lapse(at, UNWRITTEN, lost));
        }
        if attempts.is_empty() && events.is_empty() {
            // Only marks.
        } else if let Err(error) = ledger.record_attempts(&attempts, &events).await {
            warn!(%error, "attempts could not be recorded");
            lost += told;
        } else {
            if !events.is_empty() {
                lost = 0;
            }
            if attempts.iter().any(waits) {
                waiting.notify_one();
            }
        }
        for mark in marks {
            // Who waits no longer needs no answer.
            let _ = mark.send(());
        }
    }
}

/// Whether somebody may have to be told of a delay.
fn waits(attempt: &Attempt) -> bool {
    matches!(&attempt.fate, Fate::Deferred(cause) if cause.tell)
}
