//! A carrier in the hands of the relay: what can be read without any key, and what can be done
//! to it.

use crate::core::{Received, Step};
use crate::mail::carrier::{MEDIA_TYPE, Scanner, State};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Octets that one line of base64 stands for (RFC 2045 section 6.8).
pub(super) const LINE: usize = 57;

/// A message of the relay that holds an envelope.
pub(super) struct Carrier {
    /// Everything before the envelope.
    head: Vec<u8>,
    /// The envelope, out of its base64.
    pub(super) envelope: Vec<u8>,
    /// Everything behind it.
    tail: Vec<u8>,
}

impl Carrier {
    /// Takes a carrier apart; none if the message is no carrier.
    pub(super) fn take_apart(message: &[u8]) -> Option<Self> {
        let mut envelope = Vec::new();
        let mut scanner = Scanner::default();
        scanner.push(message, &mut envelope).ok()?;
        if scanner.finish(&mut envelope).ok()? != State::Carrier {
            return None;
        }
        let part = find(message, MEDIA_TYPE.as_bytes(), 0)?;
        let start = find(message, b"\r\n\r\n", part)? + 4;
        let end = find(message, b"\r\n--", start)?;
        let head = message.get(..start)?.to_vec();
        let tail = message.get(end..)?.to_vec();
        Some(Self { head, envelope, tail })
    }

    /// The carrier with another envelope in it, well-formed in everything else.
    pub(super) fn with(&self, envelope: &[u8]) -> Vec<u8> {
        let mut message = self.head.clone();
        let text = BASE64_STANDARD.encode(envelope);
        for (at, line) in text.as_bytes().chunks(76).enumerate() {
            if at > 0 {
                message.extend_from_slice(b"\r\n");
            }
            message.extend_from_slice(line);
        }
        message.extend_from_slice(&self.tail);
        message
    }

    /// The carrier with one bit of its envelope turned over.
    pub(super) fn with_flipped(&self, octet: usize, bit: u8) -> Vec<u8> {
        let mut envelope = self.envelope.clone();
        if let Some(octet) = envelope.get_mut(octet) {
            *octet ^= 1 << (bit % 8);
        }
        self.with(&envelope)
    }

    /// The outer header.
    pub(super) fn header(&self) -> &[u8] {
        find(&self.head, b"\r\n\r\n", 0).and_then(|end| self.head.get(..end)).unwrap_or_default()
    }

    /// The first lines of the envelope as they stand in the carrier.
    pub(super) fn first_lines(&self, lines: usize) -> Vec<String> {
        let octets = self.envelope.get(..LINE * lines).unwrap_or(&self.envelope);
        octets.chunks(LINE).map(|line| BASE64_STANDARD.encode(line)).collect()
    }

    /// The part of the envelope that anybody can read.
    pub(super) fn clear_part(&self) -> Option<crate::core::Parsed> {
        match Received::new().push(&self.envelope) {
            Ok(Step::Done(parsed)) => Some(parsed),
            Ok(Step::More(_)) | Err(_) => None,
        }
    }
}

/// Where `wanted` first stands in `text`, from `start` on.
pub(super) fn find(text: &[u8], wanted: &[u8], start: usize) -> Option<usize> {
    memchr::memmem::find(text.get(start..)?, wanted).map(|at| start + at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::Domain;
    use crate::mail::carrier::{CarrierWriter, Token};

    #[test]
    fn a_carrier_put_together_again_is_the_same() {
        let domain = Domain::parse("company2.example").unwrap();
        let mut envelope = b"\xd3MTASEAL".to_vec();
        envelope.extend((0..10_000_u32).map(|n| u8::try_from(n * 31 % 251).unwrap()));
        let mut message = Vec::new();
        let mut writer = CarrierWriter::new(&domain, &domain, Token::new([7; 16]), 0, &mut message);
        writer.write(&envelope, &mut message);
        writer.finish(&mut message);
        let carrier = Carrier::take_apart(&message).unwrap();
        assert_eq!(carrier.envelope, envelope);
        assert_eq!(carrier.with(&envelope), message);
        let flipped = Carrier::take_apart(&carrier.with_flipped(9_000, 3)).unwrap().envelope;
        let differing = flipped.iter().zip(&envelope).filter(|(a, b)| a != b).count();
        assert_eq!((differing, flipped.len()), (1, envelope.len()));
        assert!(Carrier::take_apart(b"From: anna@company1.example\r\n\r\nclear\r\n").is_none());
    }
}
