//! Delivery status notifications (RFC 3464) in `multipart/report` (RFC 6522), in the form of RFC 6533 if the sender's
//! address is beyond ASCII.
//!
//! A notice carries header fields of the message it is about, at most, and never text of its
//! body: what was sealed does not leave in a bounce.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;

use super::date::rfc5322;
use super::header::Header;
use super::trace::{fold, plain};
use crate::core::Domain;

/// Octets of the original header that are returned at most; whole fields only.
const MAX_RETURNED: usize = 32 * 1024;

/// Longest text taken from outside, in characters.
const MAX_TEXT: usize = 500;

/// Longest line that hops were measured to leave alone, with its CR.
const MAX_LINE: usize = 990;

/// What became of a recipient (RFC 3464 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Passed to a system that does not send notices itself.
    Relayed,
    /// Not yet delivered; further attempts follow.
    Delayed,
    /// Not delivered, and no further attempt follows.
    Failed,
}

impl Action {
    /// The value of the field `Action` (RFC 3464 section 2.3.3).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
        }
    }
}

/// Why a recipient was refused, in words, as the enhanced status code says it (RFC 3463, RFC 5248).
#[must_use]
pub fn refusal((_, subject, detail): (u8, u16, u16)) -> &'static str {
    match (subject, detail) {
        (1, 1 | 6) | (2, 0) => "There is no such mailbox at the recipient's mail system.",
        (1, 2 | 10) => "The domain of this address takes no mail.",
        (1, 3) => "The address is not one that the recipient's mail system understands.",
        (1, 7 | 8) => "The recipient's mail system does not accept your address.",
        (2, 1) => "The mailbox exists, but takes no messages now.",
        (2, 2) => "The mailbox is full.",
        (2, 3) | (3, 4) => "The message is too large.",
        (2, _) => "The mailbox does not accept the message.",
        (4, 6) => "The message was sent in circles.",
        (4, 7) => "The message was on its way for too long.",
        (4, _) => "The message could not be routed to the recipient.",
        (6, 7) => "The address has characters that a mail system on the way cannot handle.",
        (6, _) => "The form of the message is not one that the recipient's mail system accepts.",
        (7, 10) => "The message may only be sent sealed, and could not be.",
        (7, _) => {
            "The recipient's mail system does not accept the message, as a matter of its policy."
        }
        _ => "The recipient's mail system refused the message.",
    }
}

/// What is said of one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// The mailbox, as in RCPT TO without angle brackets.
    pub address: &'a str,
    /// Decoded ORCPT parameter with its type, such as `rfc822;ann@example.org`.
    pub original: Option<&'a str>,
    /// What became of it.
    pub action: Action,
    /// Enhanced status code (RFC 3463): class, subject, detail.
    pub status: (u8, u16, u16),
    /// The reply of the next hop, if it was one that decided.
    pub diagnostic: Option<&'a str>,
    /// One sentence for the person who sent the message.
    pub reason: &'a str,
}

/// A report of another system that a notice passes on, as a gateway of RFC 3464 section 2.2.3 does.
#[derive(Debug, Clone, Copy)]
pub struct Translated<'a> {
    /// The system that reports, as it calls itself.
    pub reporting_mta: &'a str,
    /// Where the report came from, as it is known here.
    pub came_from: &'a str,
    /// Message-ID of the message that it is about, in angle brackets.
    pub message_id: Option<&'a str>,
}

/// A notice about one message.
#[derive(Debug, Clone, Copy)]
pub struct Dsn<'a> {
    /// Name of this host, which reports, or passes a report on.
    pub reporting_mta: &'a str,
    /// Domain in whose name the notice is sent; it comes from its postmaster.
    pub from: &'a Domain,
    /// Unique left part of the notice's Message-ID.
    pub id: &'a str,
    /// Reverse-path of the message: to whom the notice goes.
    pub sender: &'a str,
    /// Decoded ENVID parameter.
    pub envid: Option<&'a str>,
    /// When the message arrived, in seconds since 1970.
    pub arrival: u64,
    /// The report of somebody else that this one is made of; none if this host itself reports.
    pub translated: Option<Translated<'a>>,
    /// Now, in seconds since 1970.
    pub date: u64,
    /// Whom the notice is about; at least one.
    pub recipients: &'a [Recipient<'a>],
    /// Header of the message, to be returned.
    pub returned: Option<&'a Header>,
}

impl Dsn<'_> {
    /// The whole message: CRLF lines, no line above 998 octets. It goes out with the null
    /// reverse-path (RFC 3464 section 2).
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let id = plain(self.id);
        let from = format!("postmaster@{}", self.from);
        let status = self.status_fields().into_bytes();
        let status = if self.is_international() {
            MimePart::new("message/global-delivery-status", status)
        } else {
            seven_bit("message/delivery-status", status)
        };
        let mut parts = vec![MimePart::new("text/plain", self.human()), status];
        parts.extend(self.returned.map(|header| returned_part(header, self.is_international())));
        // The boundary is fixed by the unique id, so that a notice is a function of its inputs.
        let report = ContentType::new("multipart/report")
            .attribute("report-type", self.report_type())
            .attribute("boundary", format!("=_dsn_{id}"));
        let mut bytes = Vec::new();
        let mut message = MessageBuilder::new();
        // Readers put it beside the message itself (RFC 5322 section 3.6.4).
        if let Some(about) = self.message_id().filter(|id| is_message_id(id)) {
            message = message
                .header("In-Reply-To", Raw::new(about))
                .header("References", Raw::new(about));
        }
        message
            .header("Date", Raw::new(rfc5322(self.date)))
            .header("Message-ID", Raw::new(format!("<{id}@{}>", self.from)))
            .from(("Mail Delivery System", from.as_str()))
            .to(Address::new_address(None::<&str>, visible(self.sender)))
            .subject(self.subject())
            .header("Auto-Submitted", Raw::new("auto-replied"))
            .body(MimePart::new(report, parts))
            .serialize(&mut bytes);
        bytes
    }

    /// Whether the notice travels by SMTPUTF8 in any case, and so may say every address as it is (RFC 6533 section 4).
    fn is_international(&self) -> bool {
        !self.sender.is_ascii()
    }

    fn message_id(&self) -> Option<&str> {
        self.translated.and_then(|report| report.message_id)
    }

    fn report_type(&self) -> &'static str {
        if self.is_international() { "global-delivery-status" } else { "delivery-status" }
    }

    /// The worst that happened.
    fn action(&self) -> Action {
        self.recipients.iter().map(|r| r.action).max().unwrap_or(Action::Failed)
    }

    fn subject(&self) -> &'static str {
        match self.action() {
            Action::Failed => "Message not delivered",
            Action::Delayed => "Message delayed",
            Action::Relayed => "Message passed on",
        }
    }

    /// The part that people read.
    fn human(&self) -> String {
        let mut text = String::new();
        if self.translated.is_some() {
            text.push_str(
                "A mail system on the way reports the following about your message.\r\n\r\n",
            );
        }
        text.push_str(match self.action() {
            Action::Failed => "Your message was not delivered to everyone it was meant for:\r\n",
            Action::Delayed => {
                "Your message is not yet delivered to everyone it is meant for. The attempts\r\n\
                 continue; you need not send it again:\r\n"
            }
            Action::Relayed => {
                "Your message was passed on to a mail system that does not report deliveries:\r\n"
            }
        });
        for recipient in self.recipients {
            text.push_str("\r\n");
            text.push_str(&format!(
                "{}: {}\r\n",
                visible(recipient.address),
                recipient.action.as_str()
            ));
            text.push_str(&format!("    {}\r\n", visible(recipient.reason)));
            if let Some(diagnostic) = recipient.diagnostic {
                text.push_str(&format!("    The mail system said: {}\r\n", visible(diagnostic)));
            }
        }
        if let Some(about) = self.message_id() {
            text.push_str(&format!("\r\nMessage-ID of your message: {}\r\n", visible(about)));
        }
        if let Some(report) = self.translated {
            text.push_str(&format!(
                "\r\nThe report came unsealed from {}.\r\n\
                 It is that system's word, and nothing proves it.\r\n",
                visible(report.came_from)
            ));
        }
        text.push_str("\r\nIf you need help, ask your postmaster and show this whole message.\r\n");
        text
    }

    /// `per-message-fields` and one group of `per-recipient-fields` each (RFC 3464 sections 2.2
    /// and 2.3).
    fn status_fields(&self) -> String {
        let address = if self.is_international() { visible } else { ascii };
        let mut text = String::new();
        if let Some(envid) = self.envid.map(ascii).filter(|id| !id.trim().is_empty()) {
            push(&mut text, "Original-Envelope-Id:", &envid);
        }
        let own = format!("dns; {}", plain(self.reporting_mta));
        if let Some(report) = self.translated {
            let theirs = format!("dns; {}", ascii(report.reporting_mta));
            push(&mut text, "Reporting-MTA:", &theirs);
            push(&mut text, "DSN-Gateway:", &own);
        } else {
            push(&mut text, "Reporting-MTA:", &own);
        }
        push(&mut text, "Arrival-Date:", &rfc5322(self.arrival));
        for recipient in self.recipients {
            text.push_str("\r\n");
            if let Some((kind, original)) = recipient.original.and_then(|o| o.split_once(';')) {
                let original = format!("{}; {}", plain(kind), address(original));
                push(&mut text, "Original-Recipient:", &original);
            }
            let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
            let last = format!("{kind}; {}", address(recipient.address));
            push(&mut text, "Final-Recipient:", &last);
            push(&mut text, "Action:", recipient.action.as_str());
            let (class, subject, detail) = recipient.status;
            push(&mut text, "Status:", &format!("{class}.{subject}.{detail}"));
            if let Some(diagnostic) = recipient.diagnostic {
                push(&mut text, "Diagnostic-Code:", &format!("smtp; {}", ascii(diagnostic)));
            }
        }
        text
    }
}

/// Whether a text may stand as the only word of a field.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.is_some_and(|id| {
        id.len() <= MAX_TEXT && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
    })
}

fn push(text: &mut String, name: &str, value: &str) {
    text.push_str(&fold(name, value.split_ascii_whitespace()));
}

/// Text without control characters, on one line, of at most [`MAX_TEXT`] characters.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

/// The same in ASCII; other characters as `\x{E9}` (RFC 6533 section 3). At most [`MAX_TEXT`]
/// characters come out as well, so that a line stays short.
fn ascii(text: &str) -> String {
    let mut plain = String::new();
    for c in visible(text).chars() {
        if plain.len() >= MAX_TEXT {
            break;
        }
        if c.is_ascii() {
            plain.push(c);
        } else {
            plain.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
        }
    }
    plain
}

fn seven_bit(media: &'static str, octets: Vec<u8>) -> MimePart<'static> {
    MimePart::new(media, octets).transfer_encoding("7bit")
}

/// The original header, cut after a whole field, as it was if 7bit can carry it.
fn returned_part(header: &Header, international: bool) -> MimePart<'static> {
    let mut octets = Vec::new();
    for field in header.fields() {
        if octets.len() + field.raw().len() > MAX_RETURNED {
            break;
        }
        octets.extend_from_slice(field.raw());
    }
    let short = octets.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE);
    if octets.is_ascii() && short {
        return seven_bit("text/rfc822-headers", octets);
    }
    let media = if international { "message/global-headers" } else { "text/rfc822-headers" };
    MimePart::new(media, octets)
}
