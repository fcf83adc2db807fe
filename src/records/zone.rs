//! How a record is handed to whoever publishes it: zone file, DNS panel, JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::core::Domain;

use super::{KeyRecord, Selector, key_record_name, policy_name};

/// Most octets in one character-string of a TXT record (RFC 1035 section 3.3).
pub const MAX_STRING: usize = 255;

/// A record to publish: TXT, or the alias of one that stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    ttl: u32,
    value: String,
}

impl DnsRecord {
    /// A TXT record with the owner name `name` (without trailing dot), a time to live in seconds
    /// and its text.
    #[must_use]
    pub fn txt(name: impl Into<String>, ttl: u32, value: impl Into<String>) -> Self {
        Self { name: name.into(), kind: "TXT", ttl, value: value.into() }
    }

    /// An alias: `name` stands for what `target` has, both without trailing dot.
    #[must_use]
    pub fn alias(name: impl Into<String>, ttl: u32, target: impl Into<String>) -> Self {
        Self { name: name.into(), kind: "CNAME", ttl, value: target.into() }
    }

    /// Whether it is an alias.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        self.kind == "CNAME"
    }

    /// The record that publishes the policy of `domain`.
    #[must_use]
    pub fn policy(domain: &Domain, ttl: u32, text: &str) -> Self {
        Self::txt(policy_name(domain), ttl, text)
    }

    /// The record that publishes a listed key of `domain`.
    #[must_use]
    pub fn key(selector: &Selector, domain: &Domain, ttl: u32, record: &KeyRecord) -> Self {
        Self::txt(key_record_name(selector, domain), ttl, record.to_string())
    }

    /// The owner name, fully qualified, without trailing dot.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time to live in seconds.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The plain text, as a DNS panel that cuts strings by itself wants it; of an alias, the name that it stands for.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The text cut into character-strings of at most [`MAX_STRING`] octets; at least one.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let octets = self.value.as_bytes();
        let empty: &[u8] = &[];
        octets.is_empty().then_some(empty).into_iter().chain(octets.chunks(MAX_STRING))
    }

    /// One entry of a master file (RFC 1035 section 5.1) ending in a line feed: absolute owner
    /// name, one quoted character-string per line when there are several.
    #[must_use]
    pub fn master_file(&self) -> String {
        if self.is_alias() {
            return format!("{}. {} IN CNAME {}.\n", self.name, self.ttl, self.value);
        }
        let mut entry = format!("{}. {} IN TXT", self.name, self.ttl);
        let strings: Vec<&[u8]> = self.strings().collect();
        let several = strings.len() > 1;
        if several {
            entry.push_str(" (");
        }
        for string in strings {
            entry.push_str(if several { "\n    \"" } else { " \"" });
            for &octet in string {
                quote(octet, &mut entry);
            }
            entry.push('"');
        }
        entry.push_str(if several { " )\n" } else { "\n" });
        entry
    }
}

/// Writes one octet of a quoted character-string. A semicolon needs no escape inside quotes.
fn quote(octet: u8, to: &mut String) {
    match octet {
        b'"' | b'\\' => {
            to.push('\\');
            to.push(char::from(octet));
        }
        0x20..=0x7e => to.push(char::from(octet)),
        _ => {
            // Writing to a String does not fail.
            let _ = write!(to, "\\{octet:03}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_one_line() {
        let record = DnsRecord::txt("_mta-seal.company1.example", 3600, "v=MTASEAL1; m=none");
        assert_eq!(
            record.master_file(),
            "_mta-seal.company1.example. 3600 IN TXT \"v=MTASEAL1; m=none\"\n"
        );
        assert_eq!(
            serde_json::to_value(&record).unwrap(),
            serde_json::json!({
                "name": "_mta-seal.company1.example",
                "type": "TXT",
                "ttl": 3600,
                "value": "v=MTASEAL1; m=none",
            })
        );
    }

    #[test]
    fn an_alias_names_its_target() {
        let record = DnsRecord::alias("s1._mta-seal.a.example", 60, "s1._mta-seal.b.example");
        let line = "s1._mta-seal.a.example. 60 IN CNAME s1._mta-seal.b.example.\n";
        assert_eq!(record.master_file(), line);
        assert_eq!(serde_json::to_value(&record).unwrap()["type"], "CNAME");
    }

    #[test]
    fn long_text_is_cut_at_255_octets() {
        for (length, lengths) in [
            (0, vec![0]),
            (255, vec![255]),
            (256, vec![255, 1]),
            (510, vec![255, 255]),
            (1700, vec![255, 255, 255, 255, 255, 255, 170]),
        ] {
            let record = DnsRecord::txt("a.example", 60, "x".repeat(length));
            assert_eq!(record.strings().map(<[u8]>::len).collect::<Vec<_>>(), lengths);
            assert_eq!(record.strings().flatten().count(), length);
        }
    }

    #[test]
    fn quotes_backslashes_and_controls_are_escaped() {
        let record = DnsRecord::txt("a.example", 60, "a\"b\\c\td\u{e9}");
        assert_eq!(record.master_file(), "a.example. 60 IN TXT \"a\\\"b\\\\c\\009d\\195\\169\"\n");
    }
}
