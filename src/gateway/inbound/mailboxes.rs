//! Mailboxes of a domain that have a meaning of their own: those of its postmaster [R-uns-08], and that of its gateway
//! [R-uns-09].

use crate::core::address::{ForwardPath, Mailbox};
use crate::gateway::session::Recipient;

/// The gateway's own mailbox, from which carriers come.
const GATEWAY: &str = "mta-seal";

/// Where people write to those who run the mail (RFC 2142 sections 3 and 4, RFC 5321 section 4.5.1).
const CONTACTS: [&str; 2] = ["postmaster", "abuse"];

fn is_gateway(mailbox: &Mailbox) -> bool {
    mailbox.local_part().eq_ignore_ascii_case(GATEWAY)
}

/// Whether mail to this recipient is for those who run the mail, in whatever case it is written.
pub(super) fn is_contact(path: &ForwardPath) -> bool {
    path.mailbox().is_none_or(|mailbox| {
        let local = mailbox.local_part();
        is_gateway(mailbox) || CONTACTS.iter().any(|name| local.eq_ignore_ascii_case(name))
    })
}

/// The recipient that the next hop is told. The gateway's own mailbox is nobody's: people who answer a carrier, and MTAs
/// that could not deliver one, reach the postmaster [R-uns-09].
pub(super) fn delivered_to(recipient: &Recipient) -> Recipient {
    let gateway = recipient.path.mailbox().filter(|mailbox| is_gateway(mailbox));
    let postmaster = gateway
        .and_then(Mailbox::domain)
        .and_then(|domain| Mailbox::new("postmaster", domain.clone()).ok());
    match postmaster {
        Some(mailbox) => Recipient { path: ForwardPath::Mailbox(mailbox), ..recipient.clone() },
        None => recipient.clone(),
    }
}
