//! The fields of a delivery status (RFC 3464 section 2).

use crate::mail::header::{Field, Header};
use crate::mail::notice::Action;

/// Most recipients that are read: an envelope has no more [R-con-02].
const MAX_RECIPIENTS: usize = 1_000;

/// Longest text that is kept, in octets.
const MAX_TEXT: usize = 1_000;

/// Octets of the notification for people in which a reason is looked for.
const MAX_NOTIFICATION: usize = 16 * 1024;

/// What is said of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Final-Recipient: a mailbox as it is written there.
    pub address: String,
    /// Original-Recipient, if it is told.
    pub original: Option<String>,
    /// What became of it. A hop that calls a carrier delivered has passed it to somebody who cannot read it, and is taken to have relayed it.
    pub action: Action,
    /// Enhanced status code (RFC 3463).
    pub status: (u8, u16, u16),
    /// What the system said that decided.
    pub diagnostic: Option<String>,
}

/// The system that reports, and the recipients. `text` is for people: OpenSMTPD says the reason nowhere else.
pub(super) fn read(status: &[u8], text: &[u8]) -> (Option<String>, Vec<Reported>) {
    let text = text.get(..MAX_NOTIFICATION).unwrap_or(text);
    let (mut reporting, mut recipients) = (None, Vec::new());
    let mut rest = status;
    while !rest.is_empty() && recipients.len() < MAX_RECIPIENTS {
        // With the CRLF of its last field.
        let end = memchr::memmem::find(rest, b"\r\n\r\n").map_or(rest.len(), |at| at + 2);
        let (group, after) = rest.split_at(end);
        let (group, _) = Header::split(group);
        reporting = reporting.or_else(|| typed(group.only("Reporting-MTA")));
        recipients.extend(recipient(&group, text));
        rest = after.strip_prefix(b"\r\n").unwrap_or(after);
    }
    (reporting, recipients)
}

fn recipient(group: &Header, text: &[u8]) -> Option<Reported> {
    let address = typed(group.only("Final-Recipient"))?;
    let word = words(&group.only("Action")?);
    let (action, class) = match word.split([' ', '(']).next()?.to_ascii_lowercase().as_str() {
        "failed" => (Action::Failed, 5),
        "delayed" => (Action::Delayed, 4),
        "delivered" | "relayed" | "expanded" => (Action::Relayed, 2),
        _ => return None,
    };
    let diagnostic = typed(group.only("Diagnostic-Code"))
        .or_else(|| said(text, &address))
        .filter(|text| !text.is_empty());
    let told = group.only("Status").and_then(|field| enhanced(&words(&field)));
    // Some say less there than what they were told.
    let better = diagnostic.as_deref().and_then(|text| enhanced(text.get(4..)?));
    let status = match (told, better) {
        (Some((_, 0, 0)) | None, Some(better)) => better,
        (told, _) => told.unwrap_or((class, 0, 0)),
    };
    let original = typed(group.only("Original-Recipient"));
    Some(Reported { address, original, action, status, diagnostic })
}

/// The value of a field with a type, such as `rfc822; ann@example.org`.
fn typed(field: Option<Field<'_>>) -> Option<String> {
    let text = words(&field?);
    let (_, value) = text.split_once(';')?;
    Some(value.trim().to_owned())
}

/// A field as one line of bounded length.
fn words(field: &Field<'_>) -> String {
    line(&field.unfolded())
}

fn line(octets: &[u8]) -> String {
    let octets = octets.get(..MAX_TEXT).unwrap_or(octets);
    let text = String::from_utf8_lossy(octets);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The reply in a line `ADDRESS: 550 ...`.
fn said(text: &[u8], address: &str) -> Option<String> {
    let reply = |l: &[u8]| {
        let rest = l.trim_ascii().strip_prefix(address.as_bytes())?.strip_prefix(b":")?;
        let reply = line(rest);
        let code = reply.as_bytes().first_chunk::<3>()?;
        code.iter().all(u8::is_ascii_digit).then_some(reply)
    };
    text.split(|&b| b == b'\n').find_map(reply)
}

/// An enhanced status code at the beginning of a text.
fn enhanced(text: &str) -> Option<(u8, u16, u16)> {
    let code = text.split([' ', '(']).next()?;
    let mut numbers = code.split('.');
    let class = numbers.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
    let mut number = || {
        let digits = numbers.next().filter(|d| d.len() <= 3)?;
        digits.parse::<u16>().ok()
    };
    let (subject, detail) = (number()?, number()?);
    numbers.next().is_none().then_some((class, subject, detail))
}
