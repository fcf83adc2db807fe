//! The front of the body: commitment, prefix and opening signature.

use std::fmt;

use super::super::body::{Decryptor, START};
use super::super::codec::Decode;
use super::super::content::{self, BlockReader};
use super::super::ed25519::SIGNATURE_LEN;
use super::super::envelope;
use super::super::error::{Stage, UnsealError};
use super::super::header::Header;
use super::super::ids::EnvelopeId;
use super::super::keys::ContentKey;
use super::super::prefix::{PREFIX, Prefix};
use super::Step;
use super::verified::{Decrypted, Tail};

/// An envelope whose content key is open; the body is decrypted up to the opening signature.
///
/// Holds at most the prefix, which grows as it is authenticated and is limited to 2^20 octets,
/// two chunks, and the last slice pushed.
pub struct Opened {
    pub(super) header: Header,
    pub(super) envelope_id: EnvelopeId,
    pub(super) content_key: ContentKey,
    pub(super) body_start: Vec<u8>,
    pub(super) decryptor: Option<Decryptor>,
    /// The front of the content: prefix, opening signature, and what its last chunk has beyond.
    pub(super) front: Vec<u8>,
    /// Octets of the body that came with the clear part.
    pub(super) rest: Vec<u8>,
}

impl Opened {
    /// The header as received.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The identifier of the envelope [R-env-06].
    #[must_use]
    pub const fn envelope_id(&self) -> EnvelopeId {
        self.envelope_id
    }

    /// Takes the next octets of the envelope, maybe none: octets that came along with the clear
    /// part are looked at here. Does not come to an end before the first chunk is complete; for a
    /// short message that is the end of the envelope, see [`Opened::end`].
    ///
    /// # Errors
    ///
    /// Wrong commitment, altered chunk, malformed, too large or unsupported prefix.
    pub fn push(mut self, octets: &[u8]) -> Result<Step<Self, Decrypted>, UnsealError> {
        let mut kept = std::mem::take(&mut self.rest);
        let mut input = octets;
        if !kept.is_empty() {
            kept.extend_from_slice(octets);
            input = &kept;
        }
        if self.decryptor.is_none() {
            let missing = START - self.body_start.len();
            let (now, rest) = input.split_at(missing.min(input.len()));
            self.body_start.extend_from_slice(now);
            input = rest;
            let Ok(start) = <&[u8; START]>::try_from(self.body_start.as_slice()) else {
                return Ok(Step::More(self));
            };
            let context = envelope::body_context(&self.envelope_id);
            self.decryptor = Some(Decryptor::start(&self.content_key, &context, start)?);
        }
        if let Some(decryptor) = &mut self.decryptor {
            while let Some(plaintext) = decryptor.next_chunk(&mut input)? {
                self.front.extend_from_slice(plaintext);
                if front_len(&self.front)?.is_some_and(|len| len <= self.front.len()) {
                    let rest = input.to_vec();
                    let decryptor = self.decryptor.take();
                    return self.decrypted(decryptor, rest).map(Step::Done);
                }
            }
        }
        Ok(Step::More(self))
    }

    /// Decrypts the last chunk: the envelope ends here.
    ///
    /// # Errors
    ///
    /// As [`Opened::push`]; or the envelope is truncated.
    pub fn end(self) -> Result<Decrypted, UnsealError> {
        let mut opened = match self.push(&[])? {
            Step::Done(decrypted) => return Ok(decrypted),
            Step::More(opened) => opened,
        };
        let decryptor =
            opened.decryptor.take().ok_or(UnsealError::Unauthentic(Stage::Truncated))?;
        opened.front.extend_from_slice(&decryptor.finish()?);
        match front_len(&opened.front)? {
            Some(len) if len <= opened.front.len() => opened.decrypted(None, Vec::new()),
            _ => Err(UnsealError::Malformed { stage: Stage::Prefix, what: "end of the content" }),
        }
    }

    fn decrypted(
        self,
        decryptor: Option<Decryptor>,
        rest: Vec<u8>,
    ) -> Result<Decrypted, UnsealError> {
        let malformed = UnsealError::Malformed { stage: Stage::Prefix, what: "end of the content" };
        let len = front_len(&self.front)?.ok_or(malformed)?;
        let mut front = self.front;
        let front_rest = front.split_off(len.min(front.len()));
        let signed = front.get(3..).ok_or(malformed)?;
        let (prefix_octets, opening_signature) =
            signed.split_last_chunk::<SIGNATURE_LEN>().ok_or(malformed)?;
        let prefix = Prefix::from_octets(prefix_octets)
            .map_err(|error| UnsealError::decode(Stage::Prefix, error))?;
        let start = <&[u8; START]>::try_from(self.body_start.as_slice()).map_err(|_| malformed)?;
        let opening_input = content::opening_input(&self.envelope_id, start, prefix_octets)
            .map_err(|_| malformed)?;
        Ok(Decrypted {
            header: self.header,
            envelope_id: self.envelope_id,
            prefix,
            opening_signature: *opening_signature,
            opening_input,
            tail: Tail {
                decryptor,
                front_rest,
                rest,
                reader: BlockReader::new(len as u64),
                failed: None,
            },
        })
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({}, ..)", self.envelope_id)
    }
}

/// Length of prefix and opening signature at the front of a content; `None` if not known yet.
fn front_len(front: &[u8]) -> Result<Option<usize>, UnsealError> {
    let Some([a, b, c]) = front.first_chunk::<3>() else { return Ok(None) };
    let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    PREFIX.check(len).map_err(|error| UnsealError::decode(Stage::Prefix, error))?;
    Ok(Some(3 + len + SIGNATURE_LEN))
}
