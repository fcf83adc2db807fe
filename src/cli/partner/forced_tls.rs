//! Files of domains to which mail must not leave unprotected: tables for Postfix's `smtp_tls_policy_maps`, and plain lists.

use std::collections::HashMap;

use crate::core::Domain;

/// What a file says, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForcedTls {
    /// The domains to which TLS is forced, with the line of each, from 1.
    pub(super) domains: Vec<(usize, Domain)>,
    /// Lines that make no partner.
    pub(super) skipped: Vec<Skipped>,
}

/// A line that makes no partner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Which one, from 1.
    pub(super) line: usize,
    /// Its key.
    pub(super) key: String,
    /// Why.
    pub(super) why: String,
}

/// Reads a text. Each logical line (postconf(5)) has a domain alone, or a destination and its TLS level.
pub(super) fn read(text: &str) -> ForcedTls {
    let mut found = ForcedTls::default();
    let mut lines = HashMap::new();
    for (line, text) in logical_lines(text) {
        let mut words = text.split_whitespace();
        let Some(key) = words.next() else { continue };
        let domain = level(words.next()).and_then(|()| domain(key));
        let domain = domain.and_then(|domain| match lines.insert(domain.clone(), line) {
            None => Ok(domain),
            Some(first) => Err(format!("stands in line {first} already")),
        });
        match domain {
            Ok(domain) => found.domains.push((line, domain)),
            Err(why) => found.skipped.push(Skipped { line, key: key.to_owned(), why }),
        }
    }
    found
}

/// Lines that begin with white space continue the one before; comments and empty ones do not end it.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, before)) if line.starts_with([' ', '\t']) => before.push_str(line),
            _ => lines.push((at + 1, line.to_owned())),
        }
    }
    lines
}

/// Whether a level of Postfix forces TLS; a list has none.
fn level(word: Option<&str>) -> Result<(), String> {
    let Some(word) = word else { return Ok(()) };
    match word.to_ascii_lowercase().as_str() {
        "encrypt" | "verify" | "secure" | "fingerprint" | "dane-only" => Ok(()),
        "none" | "may" => Err(format!("`{word}` does not force TLS")),
        "dane" => Err("`dane` does not force TLS where there are no TLSA records".to_owned()),
        _ => Err(format!("`{word}` is no TLS level of Postfix")),
    }
}

/// A domain of mailboxes; other destinations are not what a policy is published for.
fn domain(key: &str) -> Result<Domain, String> {
    if key.starts_with('[') || key.contains(':') {
        return Err("a host or port, not a domain of mailboxes".to_owned());
    }
    if key.starts_with('.') {
        return Err("all subdomains: name each one, since each has a policy of its own".to_owned());
    }
    if key.starts_with('/') || key.contains('*') {
        return Err("a pattern: name each domain".to_owned());
    }
    Domain::parse(key).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(found: &ForcedTls) -> Vec<(usize, &str)> {
        found.domains.iter().map(|(line, domain)| (*line, domain.as_str())).collect()
    }

    #[test]
    fn a_table_for_postfix() {
        let text = "# forced TLS\nbank.example\tsecure match=nexthop\n\
            Law.Example   VERIFY\n    match=.law.example\n  # not its end\n\n\
            .bank.example encrypt\n[mx.shop.example]:25 encrypt\nshop.example:587 encrypt\n\
            open.example may\nlax.example dane\nodd.example foo\nstrict.example dane-only\n\
            print.example fingerprint\nbank.example encrypt\nlocalhost encrypt\n/x/ encrypt\n";
        let found = read(text);
        assert_eq!(
            names(&found),
            [
                (2, "bank.example"),
                (3, "law.example"),
                (13, "strict.example"),
                (14, "print.example")
            ]
        );
        let skipped: Vec<(usize, &str, &str)> =
            found.skipped.iter().map(|s| (s.line, s.key.as_str(), s.why.as_str())).collect();
        let parts = [
            (7, ".bank.example", "all subdomains"),
            (8, "[mx.shop.example]:25", "a host or port"),
            (9, "shop.example:587", "a host or port"),
            (10, "open.example", "`may` does not force TLS"),
            (11, "lax.example", "`dane` does not force"),
            (12, "odd.example", "`foo` is no TLS level"),
            (15, "bank.example", "stands in line 2 already"),
            (16, "localhost", "not a fully qualified"),
            (17, "/x/", "a pattern"),
        ];
        assert_eq!(skipped.len(), parts.len(), "{skipped:?}");
        for (skipped, part) in skipped.iter().zip(parts) {
            assert_eq!((skipped.0, skipped.1), (part.0, part.1));
            assert!(skipped.2.starts_with(part.2), "{skipped:?}");
        }
    }

    #[test]
    fn a_plain_list() {
        let found = read("a.example\r\nB.example\r\n\r\n# c\r\nmüller.example\r\n");
        assert_eq!(
            names(&found),
            [(1, "a.example"), (2, "b.example"), (5, "xn--mller-kva.example")]
        );
        assert_eq!(found.skipped, []);
        assert_eq!(read(""), ForcedTls::default());
    }
}
