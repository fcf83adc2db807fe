//! Bounces of our own carriers: their sender is told which message it was, in words, instead of being handed a blob
//! [R-bnc-02] [R-bnc-03].
//!
//! A bounce is written by whoever has handled the carrier, or says so. It can therefore move nothing but the words about a message that
//! this gateway has sealed, to the one who sent it, about those it was sent to.

use tracing::{info, warn};

use super::{Inbound, Transaction};
use crate::core::address::{ForwardPath, Mailbox};
use crate::core::{Domain, EnvelopeId};
use crate::gateway::failure::Failure;
use crate::gateway::ids::TraceId;
use crate::gateway::session::Sender;
use crate::gateway::system_rng;
use crate::mail::bounce::{Bounce, Reported};
use crate::mail::header::Header;
use crate::mail::notice::{Action, Dsn, Recipient as Noticed, Translated, refusal};
use crate::store::ledger::audit::Detail;
use crate::store::ledger::{AuditRow, Event, EventKind, Scope};

/// How long a carrier can be bounced, in seconds: the longest window, after which no hop keeps it [R-rec-02].
const RECENT: u64 = 30 * 24 * 3600;

/// A bounce of a carrier of ours, and what is said of it.
pub(super) struct Bounced {
    bounce: Bounce,
    original: Original,
    /// Whom it is about.
    told: Vec<Told>,
    /// Its recipient, who has sent the message.
    sender: Mailbox,
    /// Where it came from.
    came_from: String,
}

/// What the ledger knows of the message in a carrier.
struct Original {
    sealed_at: u64,
    /// Empty if it had none.
    message_id: String,
    envelope: Option<EnvelopeId>,
    sender: String,
    domain: String,
    recipients: Vec<String>,
}

/// What is said of one recipient of the envelope.
struct Told {
    address: String,
    reported: Reported,
}

impl Inbound {
    /// What this message is the bounce of; none if it is to be passed on as it is. `head` is its beginning, or all of it.
    pub(super) async fn bounced(
        &self,
        transaction: &Transaction,
        head: &[u8],
        whole: bool,
    ) -> Result<Option<Bounced>, Failure> {
        let Transaction { sender, recipients, .. } = transaction;
        if !sender.path.is_null() {
            return Ok(None);
        }
        let Some(bounce) = Bounce::read(head, whole) else { return Ok(None) };
        let token = *bounce.token.as_bytes();
        let rows = self.shared.ledger.sealed_by_token(token).await.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        let original = Original::of(&rows, self.shared.clock.now());
        let told = original.as_ref().map(|original| original.told(&bounce)).unwrap_or_default();
        let [recipient] = &recipients[..] else { return Ok(None) };
        match (original, &recipient.path) {
            // Nobody else is told whom it was for.
            (Some(original), ForwardPath::Mailbox(mailbox))
                if original.is_by(mailbox) && !told.is_empty() =>
            {
                let (sender, came_from) = (mailbox.clone(), self.came_from(sender));
                info!(message = original.message_id, to = %sender, "bounce of a sealed message");
                Ok(Some(Bounced { bounce, original, told, sender, came_from }))
            }
            _ => {
                info!("bounce of a carrier that it cannot be about");
                Ok(None)
            }
        }
    }

    /// Where a message came from, for people: its name is its own word.
    fn came_from(&self, sender: &Sender) -> String {
        let origin = sender.origin(self.protocol);
        let address = origin.address.map(|address| format!("[{address}]"));
        let words: Vec<String> = origin.hello.into_iter().chain(address).collect();
        if words.is_empty() { "a host that is not known here".to_owned() } else { words.join(" ") }
    }

    /// The notice in the place of a bounce: a whole message. It goes where the bounce was going, inside, and nowhere else [R-bnc-04].
    pub(super) fn translate(&self, bounced: &Bounced) -> Vec<u8> {
        let Bounced { bounce, original, told, sender, came_from } = bounced;
        let hostname = self.shared.config.hostname.as_str();
        let recipients: Vec<Noticed<'_>> = told.iter().map(Told::noticed).collect();
        let message_id = Some(original.message_id.as_str()).filter(|id| !id.is_empty());
        let returned = message_id.map(|id| {
            let line = id.replace(['\r', '\n'], " ");
            Header::split(format!("Message-ID: {line}\r\n\r\n").as_bytes()).0
        });
        Dsn {
            reporting_mta: hostname,
            from: self.domain_of(sender),
            id: &TraceId::random(&mut system_rng()).to_string(),
            sender: &sender.to_string(),
            envid: None,
            arrival: original.sealed_at,
            translated: Some(Translated {
                reporting_mta: bounce.reporting_mta.as_deref().unwrap_or("unknown"),
                came_from,
                message_id,
            }),
            date: self.shared.clock.now(),
            recipients: &recipients,
            returned: returned.as_ref(),
        }
        .build()
    }

    /// The domain in whose name a local sender is told.
    fn domain_of<'a>(&'a self, sender: &'a Mailbox) -> &'a Domain {
        sender.domain().unwrap_or(&self.shared.config.hostname)
    }

    /// Puts on record that the next hop has taken the notice; durable when this returns. If it cannot be, the answer stays as it is, for the
    /// sender has been told.
    pub(super) async fn put_bounce_on_record(&self, sender: &Sender, bounced: &Bounced) {
        let now = self.shared.clock.now();
        let events: Vec<Event> =
            bounced.told.iter().map(|told| bounced.event(told, sender, now)).collect();
        self.record(&events, "a bounce").await;
    }
}

impl Bounced {
    fn event(&self, Told { address, reported }: &Told, sender: &Sender, now: u64) -> Event {
        let Self { bounce, original, .. } = self;
        let (class, subject, detail) = reported.status;
        let detail = Detail::default()
            .with("status", format!("{class}.{subject}.{detail}"))
            .with_some("reply", reported.diagnostic.clone())
            .with_some("reporting_mta", bounce.reporting_mta.clone())
            .with("from", self.came_from.as_str());
        Event {
            scope: Some(Scope::Incoming),
            trace: sender.trace.to_string(),
            message_id: original.message_id.clone(),
            envelope: original.envelope,
            token: Some(*bounce.token.as_bytes()),
            sender: original.sender.clone(),
            recipient: address.clone(),
            domain: original.domain.clone(),
            reason: reported.action.as_str().to_owned(),
            detail,
            ..Event::new(EventKind::Bounced, now)
        }
    }
}

impl Original {
    /// From the rows about one carrier; none if there are none, or if it is too old.
    fn of(rows: &[AuditRow], now: u64) -> Option<Self> {
        let first = rows.first().filter(|row| row.time().saturating_add(RECENT) >= now)?;
        let mut recipients: Vec<String> = Vec::new();
        for row in rows {
            if !recipients.contains(&row.recipient) {
                recipients.push(row.recipient.clone());
            }
        }
        Some(Self {
            sealed_at: first.time(),
            message_id: first.message_id.clone(),
            envelope: first.envelope_id(),
            sender: first.sender.clone(),
            domain: first.domain.clone(),
            recipients,
        })
    }

    /// Whether this mailbox has sent the message. A null reverse-path is nobody's.
    fn is_by(&self, mailbox: &Mailbox) -> bool {
        Mailbox::parse(&self.sender).is_ok_and(|sender| sender == *mailbox)
    }

    /// What is reported of the recipients of the envelope, and of nobody else. A hop may have changed the case of an address,
    /// or may know another one beside it.
    fn told(&self, bounce: &Bounce) -> Vec<Told> {
        let about = |recipient: &String| {
            let names = |r: &&Reported| {
                let named = [Some(&r.address), r.original.as_ref()];
                named.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(recipient))
            };
            let reported = bounce.recipients.iter().find(names)?.clone();
            Some(Told { address: recipient.clone(), reported })
        };
        self.recipients.iter().filter_map(about).collect()
    }
}

impl Told {
    fn noticed(&self) -> Noticed<'_> {
        let Reported { action, status, diagnostic, .. } = &self.reported;
        Noticed {
            address: &self.address,
            original: None,
            action: *action,
            status: *status,
            diagnostic: diagnostic.as_deref(),
            reason: match action {
                Action::Failed => refusal(*status),
                Action::Delayed => "The message waits for another attempt.",
                Action::Relayed => {
                    "The next mail server took the message; it sends no notices of delivery."
                }
            },
        }
    }
}
