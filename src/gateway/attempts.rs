//! How attempts ended, on their way to the ledger: beside the mail path and never in it. What cannot be written is only
//! missing where the operator looks.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tracing::{debug, warn};

use super::clock::Clock;
use super::failure::Failure;
use super::session::{Recipient, Sender};
use crate::core::Domain;
use crate::core::esmtp::Notify as Wish;
use crate::core::smtp_envelope::mailbox_text;
use crate::smtp::Reply;
use crate::store::ledger::{Attempt, Cause, Fate, Scope, SharedLedger};

/// Attempts that wait for the ledger; beyond it they are not recorded, which bounds memory.
const QUEUE: usize = 2_048;

/// Most attempts in one operation, so that the mail path does not wait for it.
const BATCH: usize = 128;

/// Name of the reason when another server gave it.
pub(super) const NEXT_HOP_REPLY: &str = "next-hop-reply";

/// The way to the ledger.
pub(super) struct Attempts {
    queue: mpsc::Sender<Attempt>,
    clock: Arc<dyn Clock>,
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
}

impl Attempts {
    /// Begins to write what is noted; it ends when nobody can note anything more. `waiting` is woken after a message of ours was
    /// deferred.
    pub(super) fn start(ledger: SharedLedger, clock: Arc<dyn Clock>, waiting: Arc<Notify>) -> Self {
        let (queue, attempts) = mpsc::channel(QUEUE);
        tokio::spawn(write(ledger, waiting, attempts));
        Self { queue, clock }
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
        if self.queue.try_send(attempt).is_err() {
            debug!("an attempt is not recorded: too many wait");
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

async fn write(ledger: SharedLedger, waiting: Arc<Notify>, mut attempts: mpsc::Receiver<Attempt>) {
    let mut batch = Vec::new();
    while attempts.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = ledger.record_attempts(&batch).await {
            warn!(%error, "attempts could not be recorded");
        } else if batch.iter().any(waits) {
            waiting.notify_one();
        }
        batch.clear();
    }
}

/// Whether somebody may have to be told of a delay.
fn waits(attempt: &Attempt) -> bool {
    matches!(&attempt.fate, Fate::Deferred(cause) if cause.tell)
}
