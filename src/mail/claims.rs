//! Whom a reader might take for the author of a message that proves nothing: for decisions that
//! must not be evaded [R-uns-07].
//!
//! Where a field has one mailbox that all readers agree about, its domain counts and no text
//! around it: a display name is not an address, whatever it says. Where they may disagree,
//! whatever any of them could read as an address counts.

use super::address::mailbox;
use super::encoded_word;
use super::header::{Header, unfold};
use crate::core::Domain;

/// The fields that may be shown as who wrote or sent a message (RFC 5322 sections 3.6.2 and
/// 3.6.6): some readers show `Sender:` before `From:`, or one of them if the other is missing.
/// `Reply-To:` is not among them: no reader shows it as an author.
pub const FIELDS: [&str; 4] = ["From", "Sender", "Resent-From", "Resent-Sender"];

/// Longest text of all these fields together, unfolded, in octets.
const MAX_TEXT: usize = 8 * 1024;

/// Most addresses in them.
const MAX_ADDRESSES: usize = 64;

/// Most places in a domain at which it may end for some readers.
const MAX_GAPS: usize = 8;

/// Octets after which a name is too long to be a domain, however it is written.
const MAX_NAME: usize = 1024;

/// Every domain that a reader of [`FIELDS`] might take for an author's, each once; those of
/// `From:` first. `None` if that is more than a person could have written: 8 KiB or 64 addresses.
#[must_use]
pub fn claimed_domains(header: &Header) -> Option<Vec<Domain>> {
    let octets: usize = FIELDS
        .iter()
        .flat_map(|name| header.find(name))
        .map(|field| unfold(field.body()).len())
        .sum();
    if octets > MAX_TEXT {
        return None;
    }
    let mut claims = Claims::default();
    for name in FIELDS {
        match header.only(name).and_then(|field| mailbox(field.body())) {
            Some(found) => claims.add(found.domain),
            None => header.find(name).for_each(|field| claims.scan(&unfold(field.body()))),
        }
    }
    (claims.addresses <= MAX_ADDRESSES).then_some(claims.domains)
}

#[derive(Default)]
struct Claims {
    domains: Vec<Domain>,
    addresses: usize,
}

impl Claims {
    fn add(&mut self, domain: Domain) {
        if !self.domains.contains(&domain) {
            self.domains.push(domain);
        }
    }

    /// Adds what stands behind an `@` anywhere, as it is written and with encoded words decoded.
    fn scan(&mut self, text: &[u8]) {
        let decoded = encoded_word::decode(text).map(|decoded| decoded.text);
        for text in [Some(text.to_vec()), decoded].into_iter().flatten() {
            let text: String = String::from_utf8_lossy(&text).chars().filter_map(seen).collect();
            for (at, _) in text.match_indices('@') {
                self.addresses += 1;
                if self.addresses > MAX_ADDRESSES {
                    return;
                }
                for name in names(text.get(at + 1..).unwrap_or_default()) {
                    readings(&name).into_iter().flatten().for_each(|domain| self.add(domain));
                }
            }
        }
    }
}

/// A character as a reader may take it: controls and broken octets vanish, the wide forms of `@`
/// are one.
fn seen(c: char) -> Option<char> {
    match c {
        '\t' => Some(' '),
        '\u{fffd}' => None,
        '\u{ff20}' | '\u{fe6b}' => Some('@'),
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// What may be meant as the domain at the beginning of `text`. Comments, white space, quotes and
/// backslashes do not end it for every reader: obsolete syntax has them around dots (RFC 5322
/// section 4.4), and some readers join whatever stands between them.
fn names(text: &str) -> Vec<String> {
    let mut joined = String::new();
    let mut names = Vec::new();
    let mut gap = false;
    let mut depth = 0_usize;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            '\\' if depth > 0 => {
                chars.next();
            }
            _ if depth > 0 => {}
            ' ' | '"' | '\\' => {}
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || !c.is_ascii() => {
                if gap && !joined.is_empty() && names.len() < MAX_GAPS {
                    names.push(joined.clone());
                }
                gap = false;
                joined.push(c);
                if joined.len() > MAX_NAME {
                    break;
                }
                continue;
            }
            _ => break,
        }
        gap = true;
    }
    names.push(joined);
    names
}

/// The domains that a name may be read as: with all its characters, with those of ASCII alone, or
/// up to the first that is not.
fn readings(name: &str) -> [Option<Domain>; 3] {
    let read = |name: &str| Domain::parse(name.trim_matches(['.', '-', '_'])).ok();
    if name.is_ascii() {
        return [read(name), None, None];
    }
    let ascii: String = name.chars().filter(char::is_ascii).collect();
    let first = name.split(|c: char| !c.is_ascii()).next().unwrap_or_default();
    [read(name), read(&ascii), read(first)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::claimed_domains;
    use crate::core::Domain;
    use crate::mail::header::Header;

    fn claims(fields: &[u8]) -> Option<Vec<Domain>> {
        claimed_domains(&Header::split(&[fields, b"\r\n"].concat()).0)
    }

    fn claims_partner(from: &str) -> bool {
        let field = format!("From: {from}\r\n");
        claims(field.as_bytes()).unwrap().contains(&Domain::parse("p.example").unwrap())
    }

    #[test]
    fn a_display_name_is_not_an_address() {
        for from in [
            "\"ceo@p.example\" <x@evil.example>",
            "\"'ceo@p.example' via Sales\" <sales@list.example>",
            "=?utf-8?Q?ceo=40p.example?= <x@evil.example>",
            "=?utf-7?Q?ceo+AEA-p.example?= <x@evil.example>",
            "x@evil.example (ceo@p.example)",
            "ceo=p.example@evil.example",
            "ceo%p.example@evil.example",
            "ceo@p.example.evil.example",
            "ceo@xp.example",
            "ceo@x.p.example",
            "p.example",
            "ceo@\u{440}.example",
        ] {
            assert!(!claims_partner(from), "{from}");
        }
    }

    #[test]
    fn whatever_a_reader_may_take_for_an_address_counts() {
        for from in [
            "ceo@p.example",
            "CEO@P.Example",
            "ceo@p.example.",
            "ceo@p.example <x@evil.example>",
            "x@evil.example, ceo@p.example",
            "ceo: x@p.example;",
            "<@p.example:x@evil.example>",
            "\"ceo@p.example\"@evil.example",
            "=?utf-8?Q?ceo=40p.example?=",
            "=?utf-8?B?Y2VvQHA=?= =?utf-8?Q?.example?=",
            "=?utf-8?Q?ceo=40p.example=00?=@evil.example",
            "=?utf-8?Q?=3Cceo=40p.example=3E?= <x@evil.example>",
            "\"=?utf-8?Q?=3Cceo=40p.example=3E?=\" <x@evil.example>",
            "=?utf-8?Q?ceo=40p.example=2C?= <x@evil.example>",
            "=?utf-7?Q?ceo+AEA-p.example+ACw-?= <x@evil.example>",
            "\"=?utf-8?Q?x=22?= , ceo@p.example, =?utf-8?Q?=22y?=\" <x@evil.example>",
            "=?utf-16be?B?AGMAZQBvAEAAcAAuAGUAeABhAG0AcABsAGU=?=",
            "ceo@p .example",
            "ceo@p(x).(y)example",
            "ceo@(x)p.example",
            "ceo@p. exam(x)ple",
            "ceo@p.example evil",
            "ceo@p.example .evil",
            "ceo@\"p.example\"",
            "ceo@\\p.example",
            "ceo@\x0bp.example",
            "ceo@p.exa\x0bmple",
            "ceo@\u{ff50}\u{ff0e}example",
            "ceo\u{ff20}p.example",
            "ceo@p\u{3002}example",
            "ceo@p.ex\u{ad}ample",
            "ceo@\u{200b}p.example",
            "ceo @ p.example",
            "<ceo@p.example",
            "(ceo@p.example",
        ] {
            assert!(claims_partner(from), "{from}");
        }
        let broken = claims(b"From: ceo@p.exa\xffmple\r\n").unwrap();
        assert!(broken.contains(&Domain::parse("p.example").unwrap()));
    }

    #[test]
    fn every_field_that_may_be_shown_counts() {
        for field in super::FIELDS {
            let text = format!("From: x@evil.example\r\n{field}: y@p.example\r\n");
            let found = claims(text.as_bytes()).unwrap();
            assert!(found.iter().any(|domain| domain.as_str() == "p.example"), "{text}");
        }
        let other = "From: x@evil.example\r\nReply-To: y@p.example\r\n";
        assert_eq!(claims(other.as_bytes()).unwrap().len(), 1);
        assert_eq!(claims(b"Subject: x\r\n").unwrap(), []);
    }

    #[test]
    fn more_than_a_person_writes_is_not_read() {
        assert_eq!(claims(format!("From: {}\r\n", "x@y.example,".repeat(65)).as_bytes()), None);
        assert_eq!(claims(format!("Sender: {}\r\n", "x".repeat(8200)).as_bytes()), None);
        assert_eq!(claims("From: x@y.example\r\n".repeat(60).as_bytes()).unwrap().len(), 1);
    }
}
