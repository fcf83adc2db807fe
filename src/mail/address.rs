//! The one mailbox of `From:` (RFC 5322 section 3.4), read so strictly that two readers cannot
//! disagree about it: alignment must not rest on a guess.

use super::encoded_word::{self, Decoded};
use super::header::{Header, unfold};
use super::mime::Cursor;
use crate::core::Domain;

/// A mailbox as it stands in a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The local part, without quotes and quoting.
    pub local: Vec<u8>,
    /// The domain.
    pub domain: Domain,
}

/// Longest field body that is read, unfolded, in octets.
const MAX_BODY: usize = 8 * 1024;

/// The author of the message, if the header has exactly one `From:` with exactly one mailbox.
///
/// Everything else gives `None`, and a message without author is not aligned: no or several
/// fields, lists, groups, source routes, address literals, domains of one label, unquoted text
/// with `@`, comments inside the address, a local part with `@` or an encoded word, encoded words
/// that hide angle brackets or control characters, or that hide other marks of syntax where there is
/// an `@` besides that of the address, more than 8 KiB, and any syntax error.
#[must_use]
pub fn author(header: &Header) -> Option<Mailbox> {
    mailbox(header.only("From")?.body())
}

/// Whether the message has one author and that is of exactly this domain [R-id-01].
#[must_use]
pub fn is_aligned(header: &Header, sender: &Domain) -> bool {
    author(header).is_some_and(|mailbox| mailbox.domain == *sender)
}

/// Reads one mailbox: `local@domain` or `display name <local@domain>`, with comments and folding
/// around them.
#[must_use]
pub fn mailbox(body: &[u8]) -> Option<Mailbox> {
    let text = unfold(body);
    if text.len() > MAX_BODY {
        return None;
    }
    // A control character is read differently from reader to reader.
    if text.iter().any(|&b| is_control(b)) {
        return None;
    }
    // So is an encoded word by those who decode before they look for the address, not after (RFC 2047 section 6.2).
    if let Some(decoded) = encoded_word::decode(&text)
        && may_mislead(&decoded)
    {
        return None;
    }
    let mut bare = Cursor::new(&text);
    if let Some(found) = whole_addr_spec(&mut bare) {
        return Some(found);
    }
    let mut named = Cursor::new(&text);
    skip_phrase(&mut named)?;
    if !named.eat(b'<') {
        return None;
    }
    let found = addr_spec(&mut named)?;
    if !named.eat(b'>') {
        return None;
    }
    named.skip_cfws()?;
    named.is_empty().then_some(found)
}

/// Whether a reader who decodes first may find another address than one who decodes last. A comma, as in "Doe, John", does no
/// harm where there is no `@` but that of the address: what it splits off has no domain.
fn may_mislead(decoded: &Decoded) -> bool {
    let hides = |what: &dyn Fn(u8) -> bool| decoded.hidden.iter().any(|&b| what(b));
    // The wide forms of `@` are one for some.
    let ats: usize = ["@", "\u{ff20}", "\u{fe6b}"]
        .iter()
        .map(|at| memchr::memmem::find_iter(&decoded.text, at).count())
        .sum();
    hides(&|b| is_control(b) || matches!(b, b'<' | b'>'))
        || ats > 1 && hides(&|b| b",;:\"()\\".contains(&b))
}

fn is_control(octet: u8) -> bool {
    octet < b' ' && octet != b'\t' || octet == 0x7f
}

fn whole_addr_spec(input: &mut Cursor<'_>) -> Option<Mailbox> {
    input.skip_cfws()?;
    let found = addr_spec(input)?;
    input.skip_cfws()?;
    input.is_empty().then_some(found)
}

fn addr_spec(input: &mut Cursor<'_>) -> Option<Mailbox> {
    let local = if input.peek() == Some(b'"') {
        input.quoted_string()?
    } else {
        let atom = input.run(|b| is_atext(b) || b == b'.');
        if atom.split(|&b| b == b'.').any(<[u8]>::is_empty) {
            return None;
        }
        atom.to_vec()
    };
    // Some readers take the first `@` for the one that counts, some decode what must not be encoded.
    if local.contains(&b'@') || memchr::memmem::find(&local, b"=?").is_some() {
        return None;
    }
    if !input.eat(b'@') {
        return None;
    }
    let domain = input.run(|b| is_atext(b) || b == b'.');
    let domain = Domain::parse(std::str::from_utf8(domain).ok()?).ok()?;
    Some(Mailbox { local, domain })
}

/// Skips a display name: atoms, dots, quoted strings and comments (RFC 5322 section 4.1 allows
/// the dots).
fn skip_phrase(input: &mut Cursor<'_>) -> Option<()> {
    loop {
        input.skip_cfws()?;
        match input.peek()? {
            b'<' => return Some(()),
            b'"' => {
                input.quoted_string()?;
            }
            _ => {
                if input.run(|b| is_atext(b) || b == b'.').is_empty() {
                    return None;
                }
            }
        }
    }
}

/// `atext` of RFC 5322 section 3.2.3 with UTF-8 (RFC 6532 section 3.2).
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet) || octet >= 0x80
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{author, is_aligned};
    use crate::core::Domain;
    use crate::mail::header::Header;

    fn read(text: &str) -> Option<String> {
        let (header, _) = Header::split(text.as_bytes());
        author(&header).map(|m| format!("{}@{}", String::from_utf8_lossy(&m.local), m.domain))
    }

    #[test]
    fn one_mailbox_is_read() {
        for body in [
            "a@b.example",
            " <a@b.example>",
            " Ann Example <a@B.Example>",
            "\"Example, Ann\" <a@b.example>",
            "\"ceo@bank.example\" <a@b.example>",
            "=?utf-8?Q?Ann_=40_x?= <a@b.example>",
            "=?utf-8?Q?Example=2C_Ann?= <a@b.example>",
            "=?utf-8?B?RXhhbXBsZSwgQW5u?= <a@b.example>",
            "=?utf-8?Q?Ann_=22A=22_Example_=28x=3A_y=3B=29?= <a@b.example>",
            "=?utf-7?Q?Example+ACw Ann?= <a@b.example> (=?utf-8?Q?x=2C?=)",
            "=?iso-2022-jp?B?GyRCPD4+GyhC?= <a@b.example>",
            "Ann E. Example\r\n <a@b.example> (at home <x@y.example>)",
            "(comment) a@b.example (other)",
            "Änn <\"a\"@b.example>",
        ] {
            let text = format!("To: x@y.example\r\nfrom: {body}\r\n\r\n");
            assert_eq!(read(&text).as_deref(), Some("a@b.example"), "{body}");
        }
        assert_eq!(
            read("From: x@bücher.example\r\n\r\n").as_deref(),
            Some("x@xn--bcher-kva.example")
        );
    }

    #[test]
    fn anything_else_has_no_author() {
        for body in [
            "",
            "a@b.example, c@d.example",
            "a@b.example,",
            "group: a@b.example;",
            "ceo@bank.example <a@b.example>",
            "<a@b.example> <c@d.example>",
            "<a@b.example> c@d.example",
            "<@relay.example:a@b.example>",
            "a@[192.0.2.1]",
            "a@localhost",
            "a@b.example@c.example",
            "a@(x)b.example",
            "a b@c.example",
            "\"a@b.example",
            "(a@b.example",
            "a@b.example\0",
            "a@b.example\r x",
            "a..b@c.example",
            "a@b.example.",
            "<a@b.example",
            "<>",
            "\"ceo@bank.example\"@b.example",
            "=?utf-8?Q?ceo=40bank.example=00?=@b.example",
            "=?utf-8?Q?=3Cceo=40bank.example=3E?= <a@b.example>",
            "\"=?utf-8?Q?x=0D=0A?=\" <a@b.example>",
            "=?utf-8?Q?ceo=40bank.example=2C?= <a@b.example>",
            "=?utf-8?Q?ceo=40bank.example=3B?= <a@b.example>",
            "=?utf-8?Q?x=3Aceo=40bank.example?= <a@b.example>",
            "=?utf-8?Q?=22ceo=22=40bank.example?= <a@b.example>",
            "=?utf-8?Q?ceo=40bank.example=28?= <a@b.example>",
            "=?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZSw=?= <a@b.example>",
            "=?utf-7?Q?ceo+AEA-bank.example+ACw-?= <a@b.example>",
            "=?utf-7?Q?+ADw-ceo+AEA-bank.example+AD4-?= <a@b.example>",
            "=?utf-8?Q?ceo=EF=BC=A0bank.example=2C?= <a@b.example>",
            "\"=?x?q?x=22?= , ceo@bank.example, =?x?q?=22y?=\" <a@b.example>",
            "\"=?x?q?x=5C?=\" \"ceo@bank.example, \" <a@b.example>",
            "a@b.example (=?utf-8?Q?=29=2C_ceo=40bank.example_=28?=)",
            "=?<>?Q?=3Cceo=40bank.example=3E?= <a@b.example>",
        ] {
            assert_eq!(read(&format!("From: {body}\r\n\r\n")), None, "{body:?}");
        }
        // Two fields, in every spelling of the name.
        assert_eq!(read("From: a@b.example\r\nFROM : a@b.example\r\n\r\n"), None);
        assert_eq!(read("Subject: x\r\n\r\n"), None);
    }

    #[test]
    fn alignment_is_exact() {
        let (header, _) = Header::split(b"From: a@b.example\r\n\r\n");
        assert!(is_aligned(&header, &Domain::parse("b.example").unwrap()));
        assert!(!is_aligned(&header, &Domain::parse("example.org").unwrap()));
        assert!(!is_aligned(&header, &Domain::parse("x.b.example").unwrap()));
    }
}
