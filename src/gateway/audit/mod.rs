//! What the audit trail is told of a message: from names and answers to its events.

mod names;
mod signing;
mod strangers;

pub(super) use names::Names;
pub(super) use signing::{Signing, sign_last};
pub(super) use strangers::{FLOOD, Strangers};

use super::attempts::NEXT_HOP_REPLY;
use super::booking::Answered;
use super::failure::Failure;
use super::session::Sender;
use crate::core::{Domain, EnvelopeId};
use crate::smtp::Reply;
use crate::store::ledger::audit::Detail;
use crate::store::ledger::{Event, EventKind, NewOutboxItem, Scope, Side};

/// The reason of a message that the next hop took.
const ACCEPTED: &str = "accepted";

/// What is common to all recipients of a message at one destination.
#[derive(Debug, Clone)]
pub(super) struct Story {
    /// All but the recipient, as if the next hop had taken it.
    event: Event,
}

impl Story {
    /// Of a message on its way; `accepted` is what it means that the next hop takes it.
    pub(super) fn new(
        scope: Scope,
        sender: &Sender,
        domain: Option<&Domain>,
        accepted: EventKind,
    ) -> Self {
        Self { event: begin(scope, sender, domain, accepted) }
    }

    /// With more details.
    pub(super) fn saying(mut self, say: impl FnOnce(Detail) -> Detail) -> Self {
        self.event.detail = say(std::mem::take(&mut self.event.detail));
        self
    }

    /// With the envelope that it travels in.
    pub(super) fn in_envelope(
        mut self,
        envelope: Option<EnvelopeId>,
        token: Option<[u8; 16]>,
    ) -> Self {
        (self.event.envelope, self.event.token) = (envelope, token);
        self
    }

    /// For this reason, if the next hop takes it.
    pub(super) fn because(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.event.reason);
        self
    }

    /// What became of a recipient now.
    pub(super) fn told(&self, recipient: &str, answered: &Answered, at: u64) -> Event {
        let mut event = self.about(recipient, at);
        match answered {
            Answered::Unknown => {
                event.reason = Failure::NextHopLost.name().to_owned();
                event.detail = event.detail.with("outcome", "unknown");
            }
            Answered::Reply(reply) => {
                if reply.is_positive() && event.reason.is_empty() {
                    ACCEPTED.clone_into(&mut event.reason);
                } else if !reply.is_positive() {
                    (event.kind, event.reason) = unaccepted(reply);
                }
                event.detail = event.detail.with("reply", reply.to_string());
            }
        }
        event
    }

    /// That a recipient had it before, and it was not passed on again.
    pub(super) fn before(&self, recipient: &str, at: u64) -> Event {
        let event = self.about(recipient, at);
        let known = |name| event.detail.text(name);
        let detail = Detail::default()
            .with_some("queue", known("queue"))
            .with_some("client", known("client"));
        Event { kind: EventKind::Replayed, reason: "settled-before".to_owned(), detail, ..event }
    }

    fn about(&self, recipient: &str, at: u64) -> Event {
        Event { at, recipient: recipient.to_owned(), ..self.event.clone() }
    }
}

/// That a recipient was answered 4xx or 5xx, of whom no [`Story`] tells.
pub(super) fn refusal(
    scope: Scope,
    sender: &Sender,
    recipient: &str,
    domain: Option<&Domain>,
    reply: &Reply,
    at: u64,
) -> Event {
    let (kind, reason) = unaccepted(reply);
    let event = begin(scope, sender, domain, kind);
    let detail = event.detail.with("reply", reply.to_string());
    Event { at, reason, recipient: recipient.to_owned(), detail, ..event }
}

/// That the gateway has started, or is about to stop.
pub(super) fn life(kind: EventKind, at: u64) -> Event {
    let detail = Detail::default()
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("pid", std::process::id());
    Event { detail, ..Event::new(kind, at) }
}

/// That the gateway writes a notice about a message: who is told, and of what.
pub(super) fn notice(sender: &Sender, notice: &NewOutboxItem, what: &str) -> Event {
    // It goes the other way than the message.
    let scope = match notice.side {
        Side::Inside => Scope::Outgoing,
        Side::Outside => Scope::Incoming,
    };
    Event {
        at: notice.created,
        reason: what.to_owned(),
        sender: String::new(),
        recipient: notice.recipients.first().cloned().unwrap_or_default(),
        ..begin(scope, sender, sender.path.domain(), EventKind::Notice)
    }
}

fn unaccepted(reply: &Reply) -> (EventKind, String) {
    let kind = if reply.is_permanent() { EventKind::Refused } else { EventKind::Deferred };
    (kind, Failure::row_of(reply).unwrap_or(NEXT_HOP_REPLY).to_owned())
}

fn begin(scope: Scope, sender: &Sender, domain: Option<&Domain>, kind: EventKind) -> Event {
    let names = &sender.names;
    let queue = sender.queue.as_ref().map(|id| id.as_str());
    let detail =
        Detail::default().with_some("queue", queue).with("client", sender.peer.address.to_string());
    Event {
        scope: Some(scope),
        trace: sender.trace.to_string(),
        message_id: names.message_id().to_owned(),
        envelope: names.envelope(),
        token: names.token(),
        sender: sender.path.mailbox().map_or_else(String::new, ToString::to_string),
        domain: domain.map_or_else(String::new, ToString::to_string),
        detail,
        ..Event::new(kind, sender.arrived)
    }
}
