//! Sender and recipients: from the command line, or out of the header as a mail program would take them.

use crate::cli::failure::Failure;
use crate::core::Domain;
use crate::core::address::{Mailbox, ReversePath};
use crate::mail::address;
use crate::mail::header::Header;

/// Most recipients that are taken from a header.
const MAX_RECIPIENTS: usize = 1_000;

/// Recipients by domain, in the order of their first one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Recipients {
    /// Mailboxes that have a domain.
    pub(super) domains: Vec<(Domain, Vec<Mailbox>)>,
    /// Recipients with an address literal in place of one.
    pub(super) without: usize,
    /// Addresses in the header that cannot be read.
    pub(super) unread: usize,
}

impl Recipients {
    pub(super) fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.without == 0
    }

    fn add(&mut self, mailbox: Mailbox) {
        let Some(domain) = mailbox.domain().cloned() else {
            self.without += 1;
            return;
        };
        match self.domains.iter_mut().find(|(known, _)| *known == domain) {
            Some((_, all)) if all.contains(&mailbox) => {}
            Some((_, all)) => all.push(mailbox),
            None => self.domains.push((domain, vec![mailbox])),
        }
    }
}

fn bare(text: &str) -> &str {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text)
}

/// `--from`.
pub(super) fn reverse_path(text: &str) -> Result<ReversePath, Failure> {
    match bare(text) {
        "" => Ok(ReversePath::Null),
        address => Mailbox::parse(address).map(ReversePath::Mailbox).map_err(|error| {
            Failure::usage(format!("--from `{text}`: {error}"))
                .hint("write an address such as anna@company1.example, or \"<>\" for a bounce")
        }),
    }
}

/// All of `--to`.
pub(super) fn forward_paths(texts: &[String]) -> Result<Recipients, Failure> {
    let mut recipients = Recipients::default();
    for text in texts {
        let mailbox = Mailbox::parse(bare(text)).map_err(|error| {
            Failure::usage(format!("--to `{text}`: {error}"))
                .hint("write an address such as bob@company2.example")
        })?;
        recipients.add(mailbox);
    }
    Ok(recipients)
}

/// The author in From; the null path if there is not exactly one.
pub(super) fn author(header: &Header) -> ReversePath {
    address::author(header).and_then(read).map_or(ReversePath::Null, ReversePath::Mailbox)
}

/// Everybody in To and Cc.
pub(super) fn in_header(header: &Header) -> Recipients {
    let mut recipients = Recipients::default();
    for field in header.find("To").chain(header.find("Cc")) {
        for element in elements(&field.unfolded()) {
            if recipients.domains.len() + recipients.unread >= MAX_RECIPIENTS {
                return recipients;
            }
            match address::mailbox(element).and_then(read) {
                Some(mailbox) => recipients.add(mailbox),
                None => recipients.unread += 1,
            }
        }
    }
    recipients
}

/// The mailbox as it is written in an SMTP envelope.
fn read(mailbox: address::Mailbox) -> Option<Mailbox> {
    let local = String::from_utf8(mailbox.local).ok()?;
    let quoted = || format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\""));
    Mailbox::new(&local, mailbox.domain.clone())
        .or_else(|_| Mailbox::new(&quoted(), mailbox.domain.clone()))
        .ok()
}

/// The elements of a list of addresses: what stands between commas outside quotes, comments and angle brackets.
fn elements(list: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut comments, mut angle) = (false, false, 0_usize, false);
    for (at, octet) in list.iter().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match octet {
            b'\\' if quoted || comments > 0 => escaped = true,
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments += 1,
            b')' if !quoted => comments = comments.saturating_sub(1),
            b'<' if !quoted && comments == 0 => angle = true,
            b'>' if !quoted && comments == 0 => angle = false,
            b',' if !quoted && comments == 0 && !angle => {
                found.push(list.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(list.get(start..).unwrap_or_default());
    found.retain(|element| !element.trim_ascii().is_empty());
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn recipients_are_read_from_a_header() {
        let text = "To: a@b.example, \"Last, First\" <\"x y\"@b.example>,\r\n c@d.example (one, two)\r\n\
                    Cc: team: e@f.example;, A <a@b.example>\r\nBcc: z@z.example\r\n\r\n";
        let found = in_header(&Header::split(text.as_bytes()).0);
        let shown: Vec<String> =
            found.domains.iter().flat_map(|(_, all)| all.iter().map(ToString::to_string)).collect();
        assert_eq!(shown, ["a@b.example", "\"x y\"@b.example", "c@d.example"]);
        assert_eq!(found.unread, 1);
        assert!(!found.is_empty());
    }
}
