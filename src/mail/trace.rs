//! The `Received:` field (RFC 5321 section 4.4).

use std::net::IpAddr;

use super::date::rfc5322;

/// Longest name or identifier written; longer ones are cut.
const MAX_NAME: usize = 255;

/// Protocol word of the `with` clause (RFC 3848, RFC 6531 section 3.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocol {
    /// LMTP instead of SMTP.
    pub lmtp: bool,
    /// The client said EHLO; always so with LMTP.
    pub extended: bool,
    /// Under TLS.
    pub tls: bool,
    /// The client authenticated.
    pub auth: bool,
    /// The message needs SMTPUTF8.
    pub utf8: bool,
}

impl Protocol {
    /// The registered word, such as `ESMTPSA`. TLS, AUTH and SMTPUTF8 exist with EHLO only.
    #[must_use]
    pub fn word(self) -> String {
        let Self { lmtp, extended, tls, auth, utf8 } = self;
        let base = match (lmtp, extended || tls || auth || utf8, utf8) {
            (true, _, true) => "UTF8LMTP",
            (true, _, false) => "LMTP",
            (false, _, true) => "UTF8SMTP",
            (false, true, false) => "ESMTP",
            (false, false, false) => "SMTP",
        };
        format!("{base}{}{}", if tls { "S" } else { "" }, if auth { "A" } else { "" })
    }
}

/// One `Received:` field. It names no recipient: that would tell one of another.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Argument of HELO, EHLO or LHLO, as the client wrote it.
    pub helo: &'a str,
    /// Address of the client.
    pub peer: IpAddr,
    /// Name of this host.
    pub by: &'a str,
    /// Protocol of the transaction.
    pub with: Protocol,
    /// Trace id under which the transaction is in the log.
    pub id: &'a str,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub date: u64,
}

impl Received<'_> {
    /// The field with its CRLF, folded to lines of at most 78 characters but for longer names.
    ///
    /// What a client says of itself is reduced to letters, digits and `.-_:[]`, so that no
    /// comment, line or other clause can come of it.
    #[must_use]
    pub fn to_field(&self) -> String {
        let peer = match self.peer {
            IpAddr::V4(ip) => format!("([{ip}])"),
            IpAddr::V6(ip) => format!("([IPv6:{ip}])"),
        };
        let words = [
            "from".to_owned(),
            plain(self.helo),
            peer,
            "by".to_owned(),
            plain(self.by),
            "with".to_owned(),
            self.with.word(),
            "id".to_owned(),
            format!("{};", plain(self.id)),
            rfc5322(self.date),
        ];
        fold("Received:", words.iter().map(String::as_str))
    }
}

/// A name without any character of syntax; `unknown` if nothing is left.
pub(super) fn plain(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(*c))
        .take(MAX_NAME)
        .collect();
    if kept.is_empty() { "unknown".to_owned() } else { kept }
}

/// Joins words to a field, folding before a word that would pass column 78 (RFC 5322
/// section 2.1.1).
pub(super) fn fold<'a>(name: &str, words: impl Iterator<Item = &'a str>) -> String {
    let mut field = name.to_owned();
    let mut column = name.len();
    for (index, word) in words.enumerate() {
        // The first word stays on the line of the name: a line of white space only would follow.
        if index > 0 && column + 1 + word.len() > 78 {
            field.push_str("\r\n\t");
            column = 8 + word.len();
        } else {
            field.push(' ');
            column += 1 + word.len();
        }
        field.push_str(word);
    }
    field.push_str("\r\n");
    field
}

/// The value of the `id` clause of a Received field, as a host before us wrote it; `field` is the unfolded body.
///
/// Clauses are pairs of words (`from X by Y with Z id W`), comments may stand anywhere and nest. So the name in HELO,
/// which a stranger chooses, is not taken for a clause.
#[must_use]
pub fn received_id(field: &[u8]) -> Option<&[u8]> {
    let mut words = Words { rest: field };
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if name.eq_ignore_ascii_case(b"id") {
            return Some(value);
        }
    }
    None
}

/// The words before the semicolon, outside comments.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut depth = 0_usize;
        let mut start = 0;
        for (at, octet) in self.rest.iter().enumerate() {
            let ends = matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')');
            if !ends {
                continue;
            }
            if depth == 0 && at > start {
                let word = self.rest.get(start..at);
                self.rest = self.rest.get(at..).unwrap_or_default();
                return word;
            }
            match octet {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                b';' if depth == 0 => break,
                _ => {}
            }
            start = at + 1;
        }
        let last = self.rest.get(start..).filter(|word| depth == 0 && !word.is_empty());
        self.rest = &[];
        last.filter(|word| !word.contains(&b';'))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Protocol, Received};
    use crate::mail::header::Header;
    use proptest::prelude::*;

    fn sample() -> Received<'static> {
        Received {
            helo: "mx.example.org",
            peer: "2001:db8::1".parse().unwrap(),
            by: "gateway.example.net",
            with: Protocol { extended: true, tls: true, ..Protocol::default() },
            id: "0af3",
            date: 0,
        }
    }

    #[test]
    fn a_field_reads_well() {
        assert_eq!(
            sample().to_field(),
            "Received: from mx.example.org ([IPv6:2001:db8::1]) by gateway.example.net with\r\n\
             \tESMTPS id 0af3; Thu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn protocol_words_are_the_registered_ones() {
        let of =
            |lmtp, extended, tls, auth, utf8| Protocol { lmtp, extended, tls, auth, utf8 }.word();
        assert_eq!(of(false, false, false, false, false), "SMTP");
        assert_eq!(of(false, true, true, true, false), "ESMTPSA");
        assert_eq!(of(true, true, true, false, false), "LMTPS");
        assert_eq!(of(true, true, false, true, true), "UTF8LMTPA");
        assert_eq!(of(false, true, false, false, true), "UTF8SMTP");
    }

    #[test]
    fn a_client_cannot_add_a_clause() {
        let helo = "x) by evil (\r\nReceived: from y;\t\u{e9}";
        let field = Received { helo, ..sample() }.to_field();
        assert!(field.starts_with("Received: from xbyevilReceived:fromy ([IPv6:"), "{field}");
    }

    proptest! {
        #[test]
        fn always_one_field_of_short_ascii_lines(helo in "\\PC{0,60}|.{0,40}", id in ".{0,20}") {
            let field = Received { helo: &helo, id: &id, ..sample() }.to_field();
            let (header, rest) = Header::split(field.as_bytes());
            prop_assert!(rest.is_empty());
            prop_assert_eq!(header.fields().count(), 1);
            prop_assert!(field.split("\r\n").all(|line| line.len() <= 78));
            prop_assert!(field.bytes().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n' | b'\t')));
        }
    }
}
