//! Notices that the gateway itself owes to a sender (RFC 3464), by way of the outbox.

use super::Shared;
use super::audit;
use super::failure::Failure;
use super::ids::TraceId;
use super::session::{Recipient, Sender};
use super::system_rng;
use crate::core::Domain;
use crate::core::esmtp::Notify;
use crate::core::smtp_envelope::mailbox_text;
use crate::mail::header::{Header, SEAL_REQUIRED};
use crate::mail::notice::{self, Action, Dsn, Recipient as Noticed};
use crate::smtp::Reply;
use crate::store::ledger::{LedgerError, NewOutboxItem, Side};

/// The notice that some recipients were refused while others were accepted ([`Action::Failed`]), or that some were
/// passed on to a next hop that sends no notices ([`Action::Relayed`], RFC 3461 section 5.2.2). `None` if the sender
/// wants none, or is null: a notice about a notice would go in circles (RFC 5321 section 4.5.5).
///
/// It returns the header of the message at most, which the sender wrote, and never text that came out of an envelope.
/// `side` is where the sender is.
pub(super) fn notice<'a>(
    shared: &Shared,
    side: Side,
    from: &Domain,
    sender: &Sender,
    header: Option<&Header>,
    action: Action,
    recipients: impl Iterator<Item = (&'a Recipient, &'a Reply)>,
) -> Option<NewOutboxItem> {
    let reverse_path = sender.path.mailbox()?.to_string();
    let wanted = recipients.filter(|(recipient, _)| wants(recipient, action));
    let told: Vec<Told> = wanted.map(|told| Told::new(told, action)).collect();
    if told.is_empty() {
        return None;
    }
    let recipients: Vec<Noticed<'_>> = told.iter().map(Told::noticed).collect();
    let now = shared.clock.now();
    let id = TraceId::random(&mut system_rng()).to_string();
    let report = Dsn {
        reporting_mta: shared.config.hostname.as_str(),
        from,
        id: &id,
        sender: &reverse_path,
        envid: sender.parameters.envid.as_ref().map(|envid| envid.decoded()),
        arrival: sender.arrived,
        translated: None,
        date: now,
        recipients: &recipients,
        // Without an MTA of our own behind the gateway the notice takes the way to the world.
        returned: header.filter(|_| shared.config.inbound.is_some()),
    };
    let mut message = report.build();
    if side == Side::Outside {
        // What is said about a sealed message does not leave in clear: our own sealing side reads this [R-seal-03].
        message.splice(..0, format!("{SEAL_REQUIRED}: yes\r\n").into_bytes());
    }
    Some(NewOutboxItem {
        reverse_path: String::new(),
        recipients: vec![reverse_path],
        message,
        side,
        created: now,
    })
}

/// Whether the sender asked to hear this of the recipient (RFC 3461 section 4.1).
pub(super) fn wants(recipient: &Recipient, action: Action) -> bool {
    let notify = recipient.parameters.notify;
    match action {
        Action::Failed => notify.is_none_or(Notify::failure),
        Action::Relayed => matches!(notify, Some(Notify::On { success: true, .. })),
        Action::Delayed => matches!(notify, Some(Notify::On { delay: true, .. })),
    }
}

/// What is said of one recipient, as text.
struct Told {
    action: Action,
    address: String,
    original: Option<String>,
    reply: Reply,
    diagnostic: String,
    /// One sentence for the sender.
    reason: String,
}

impl Told {
    fn new((recipient, reply): (&Recipient, &Reply), action: Action) -> Self {
        let original = recipient.parameters.orcpt.as_ref().map(|orcpt| {
            format!("{};{}", orcpt.addr_type(), String::from_utf8_lossy(orcpt.address()))
        });
        let address = mailbox_text(&recipient.path);
        let status = reply.status();
        let reason = match action {
            // Of our own refusals we know more than their code says [R-smtp-02].
            Action::Failed => match Failure::words_of(reply) {
                Some(words) => format!("Refused by this mail system: {words}."),
                None => {
                    notice::refusal((status.class(), status.subject(), status.detail())).to_owned()
                }
            },
            Action::Relayed => {
                "The next mail server took the message; it sends no notices of delivery.".to_owned()
            }
            Action::Delayed => "The message waits for another attempt.".to_owned(),
        };
        let (diagnostic, reply) = (reply.to_string(), reply.clone());
        Self { action, address, original, reply, diagnostic, reason }
    }

    fn noticed(&self) -> Noticed<'_> {
        let status = self.reply.status();
        Noticed {
            address: &self.address,
            original: self.original.as_deref(),
            action: self.action,
            status: (status.class(), status.subject(), status.detail()),
            diagnostic: Some(&self.diagnostic),
            reason: &self.reason,
        }
    }
}

/// Puts a notice about a message of `sender` into the outbox; durable when this returns.
pub(super) async fn enqueue(
    shared: &Shared,
    notice: Option<NewOutboxItem>,
    sender: &Sender,
    action: Action,
) -> Result<(), LedgerError> {
    if let Some(notice) = notice {
        let event = audit::notice(sender, &notice, action.as_str());
        shared.ledger.enqueue(&notice, &[event]).await?;
        shared.outbox.notify_one();
    }
    Ok(())
}
