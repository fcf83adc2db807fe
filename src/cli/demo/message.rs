//! The message that the demo sends, and the words in it that nobody on the way may see.

use super::account::thousands;
use super::carrier::find;
use super::world::{COMPANY1, COMPANY2};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::core::Domain;
use crate::mail::carrier::{CarrierWriter, Token};
use crate::mail::date::rfc5322;
use crate::mail::header::Header;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Most octets of a message given as a file.
const MAX_MESSAGE: u64 = 25 << 20;

/// Lines shorter than this may stand in any carrier by chance.
const TELLING: usize = 16;

/// Octets that are searched through at most.
const MAX_SEARCH: usize = 1 << 30;

/// Fields and lines that stand in every MIME message, so in carriers too.
const COMMON: [&str; 3] = ["content-", "mime-version:", "date:"];

/// A message as SMTP can carry it.
pub(super) struct Message {
    pub(super) content: Vec<u8>,
    /// What was changed in the file so that SMTP can carry it.
    pub(super) changes: Vec<String>,
}

impl Message {
    /// A letter of business: accents, an attachment, some kilobytes.
    pub(super) fn built_in() -> Self {
        let mut prices = String::from("item;description;quantity;unit price EUR\r\n");
        for item in 1..=96 {
            let price = 1_180 + item * 37 % 911;
            let _ = write!(
                prices,
                "{item};Ventilklappe Größe {};{};{price}.{:02}\r\n",
                40 + item * 5,
                item * 3 % 17 + 1,
                item * 7 % 100
            );
        }
        let attachment = BASE64_STANDARD.encode(prices.as_bytes());
        let mut content = format!(
            "Received: from desk-17.company1.example by mail.company1.example; {date}\r\n\
             Date: {date}\r\n\
             From: =?utf-8?q?Anna_Kov=C3=A1=C5=99?= <anna@company1.example>\r\n\
             To: Bruno Meier <bruno@company2.example>\r\n\
             Cc: legal-counsel@company2.example\r\n\
             Subject: Offer 2041, Project Aurora: strictly confidential\r\n\
             Message-ID: <offer-2041.aurora@company1.example>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"=_aurora\"\r\n\
             \r\n\
             --=_aurora\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n\
             Lieber Bruno,\r\n\
             \r\n\
             wie besprochen: unser Höchstgebot für Aurora liegt bei 4,2 Mio. €.\r\n\
             Bitte behandle die Zahlen vertraulich. Příloha obsahuje ceník.\r\n\
             .\r\n\
             .. and a line of dots, because SMTP treats them specially\r\n\
             \r\n\
             Viele Grüße aus Köln\r\n\
             Anna\r\n\
             --=_aurora\r\n\
             Content-Type: text/csv; name=\"aurora-prices.csv\"\r\n\
             Content-Disposition: attachment; filename=\"aurora-prices.csv\"\r\n\
             Content-Transfer-Encoding: base64\r\n\
             \r\n",
            date = rfc5322(context::now()),
        )
        .into_bytes();
        for line in attachment.as_bytes().chunks(76) {
            content.extend_from_slice(line);
            content.extend_from_slice(b"\r\n");
        }
        content.extend_from_slice(b"--=_aurora--\r\n");
        Self { content, changes: Vec::new() }
    }

    /// Reads a message from a file.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut octets = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_MESSAGE + 1).read_to_end(&mut octets))
            .map_err(|error| Failure::reading_file(path, &error))?;
        if octets.len() as u64 > MAX_MESSAGE {
            let limit = MAX_MESSAGE >> 20;
            return Err(Failure::refused(format!("{} is too large", path.display()))
                .hint(format!("the demo takes messages up to {limit} MiB")));
        }
        Self::from_octets(&octets)
            .map_err(|failure| match failure {
                Unusable::Empty => Failure::refused(format!("{} is empty", path.display())),
                Unusable::Octet(what) => Failure::refused(format!("{} has {what}", path.display())),
            })
            .map_err(|failure| {
                failure
                    .hint("SMTP cannot carry it; give a message as a mail program saves it (.eml)")
            })
    }

    fn from_octets(octets: &[u8]) -> Result<Self, Unusable> {
        let mut changes = Vec::new();
        let mut content = Vec::with_capacity(octets.len() + 2);
        let mut rest = octets;
        if rest.starts_with(b"From ") {
            let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            rest = rest.get(line..).unwrap_or_default();
            changes.push("left out the \"From \" line of a mailbox file".to_owned());
        }
        if rest.is_empty() {
            return Err(Unusable::Empty);
        }
        let mut converted = 0;
        for line in rest.split_inclusive(|&octet| octet == b'\n') {
            let (text, end) = match line.strip_suffix(b"\n") {
                Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
                None => (line, false),
            };
            if text.contains(&b'\r') {
                return Err(Unusable::Octet("a CR that ends no line"));
            }
            if text.contains(&0) {
                return Err(Unusable::Octet("a NUL octet"));
            }
            content.extend_from_slice(text);
            content.extend_from_slice(b"\r\n");
            if !end {
                changes.push("ended the last line".to_owned());
            } else if !line.ends_with(b"\r\n") {
                converted += 1;
            }
        }
        if converted > 0 {
            // RFC 5321 section 2.3.8
            let lines = thousands(converted);
            changes.push(format!("gave {lines} lines the ends that SMTP has: LF became CRLF"));
        }
        Ok(Self { content, changes })
    }

    /// The value of a header field as far as it can be shown.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let (header, _) = Header::split(&self.content);
        let value = header.find(name).next()?.unfolded();
        Some(String::from_utf8_lossy(&value).trim().to_owned())
    }

    /// Lines of the message, its body first, that say something.
    pub(super) fn first_lines(&self, lines: usize) -> Vec<String> {
        let (header, body) = Header::split(&self.content);
        let text = if body.is_empty() { header.raw().to_vec() } else { body };
        text.split(|&octet| octet == b'\n')
            .filter(|line| !is_common(line) && line.len() > 2 && !line.starts_with(b"--"))
            .take(lines)
            .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
            .collect()
    }

    /// What nobody on the way may see: every line of the message that is its own, and with them
    /// its subject, names, identifiers and attachments.
    ///
    /// `octets` is the size of what will be searched: of a large message only some lines are
    /// given, spread over the whole, so that the search does not take long.
    pub(super) fn secrets(&self, octets: usize) -> Vec<Vec<u8>> {
        let mut secrets: Vec<Vec<u8>> = self
            .content
            .split(|&octet| octet == b'\n')
            .map(|line| line.trim_ascii().to_vec())
            .filter(|line| line.len() >= TELLING && !is_common(line))
            .collect();
        let (header, _) = Header::split(&self.content);
        for name in ["subject", "message-id", "from", "to", "cc"] {
            for field in header.find(name) {
                let value = field.unfolded().trim_ascii().to_vec();
                if value.len() >= TELLING {
                    secrets.push(value);
                }
            }
        }
        secrets.sort();
        secrets.dedup();
        let most = (MAX_SEARCH / octets.max(1)).max(8);
        let step = secrets.len().div_ceil(most).max(1);
        let empty = empty_carrier();
        let foreign = |secret: &Vec<u8>| find(&empty, secret, 0).is_none();
        secrets.into_iter().step_by(step).filter(foreign).collect()
    }
}

/// Why octets are no message for SMTP.
#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    Empty,
    Octet(&'static str),
}

/// What stands in every carrier; a message may quote it.
fn empty_carrier() -> Vec<u8> {
    let mut text = Vec::new();
    if let (Ok(sender), Ok(recipient)) = (Domain::parse(COMPANY1), Domain::parse(COMPANY2)) {
        let token = Token::new([0; 16]);
        CarrierWriter::new(&sender, &recipient, token, 0, &mut text).finish(&mut text);
    }
    text
}

fn is_common(line: &[u8]) -> bool {
    COMMON.iter().any(|start| {
        line.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
    })
}

/// How many of `secrets` stand in any of `places`.
pub(super) fn seen(secrets: &[Vec<u8>], places: &[&[u8]]) -> usize {
    let in_any = |secret: &[u8]| places.iter().any(|place| find(place, secret, 0).is_some());
    secrets.iter().filter(|secret| in_any(secret)).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_become_what_smtp_carries() {
        let message = Message::from_octets(b"From x\nA: b\n\n.\r\nend").unwrap();
        assert_eq!(message.content, b"A: b\r\n\r\n.\r\nend\r\n");
        assert_eq!(message.changes.len(), 3);
        let message = Message::from_octets(b"A: b\r\n\r\nend\r\n").unwrap();
        assert_eq!(message.content, b"A: b\r\n\r\nend\r\n");
        assert!(message.changes.is_empty());
    }

    #[test]
    fn what_smtp_cannot_carry_is_refused() {
        assert!(Message::from_octets(b"").is_err());
        assert!(Message::from_octets(b"From x").is_err());
        assert!(Message::from_octets(b"A: b\r\n\r\na\rb\r\n").is_err());
        assert!(Message::from_octets(b"A: b\r\n\r\na\0b\r\n").is_err());
    }

    #[test]
    fn the_search_finds_what_is_there() {
        let message = Message::built_in();
        let secrets = message.secrets(message.content.len());
        assert!(secrets.len() > 60);
        assert_eq!(seen(&secrets, &[&message.content]), secrets.len());
        assert_eq!(seen(&secrets, &[b"nothing of it"]), 0);
        assert_eq!(
            seen(&secrets, &[b"...", b"Anna: Viele Gr\xc3\xbc\xc3\x9fe aus K\xc3\xb6ln"]),
            1
        );
        let few = message.secrets(MAX_SEARCH / 10);
        assert!((5..=10).contains(&few.len()));
    }

    #[test]
    fn a_message_that_quotes_a_carrier_is_no_leak() {
        let message = Message::from_octets(&empty_carrier()).unwrap();
        let own: Vec<u8> = message.secrets(1).concat();
        assert!(find(&own, b"sealed on its way", 0).is_none());
    }
}
