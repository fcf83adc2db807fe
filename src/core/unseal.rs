//! Unsealing an envelope in one pass and constant memory.
//!
//! Each state consumes the last, so no check can be left out:
//! [`Received`] → [`Parsed`] → [`Opened`] → [`Decrypted`] → [`Verified`] → [`Accepted`].

use std::fmt;

use super::body::{Decryptor, START};
use super::codec::Decode;
use super::content::{self, BlockReader};
use super::domain::Domain;
use super::ed25519::SIGNATURE_LEN;
use super::envelope;
use super::error::{NamedKey, Stage, UnsealError};
use super::header::Header;
use super::ids::{EnvelopeId, KeyId};
use super::keys::{ContentKey, SealedKey, SealingPrivateKey, VerifyingKey};
use super::prefix::{PREFIX, Prefix};
use super::suite::Suite;

/// The outcome of handing octets to a state.
#[derive(Debug)]
pub enum Step<S, D> {
    /// More octets are needed.
    More(S),
    /// The state is complete. Octets beyond it are kept for the next ones.
    Done(D),
}

/// Octets of an envelope whose clear part is not complete yet.
///
/// Holds at most the clear part, 4,096 + 1,120 + 48 octets, and the last slice pushed.
#[derive(Default)]
pub struct Received {
    octets: Vec<u8>,
}

impl Received {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next octets of the envelope.
    ///
    /// # Errors
    ///
    /// The header is malformed, too large or unsupported [R-env-02] [R-env-03] [R-env-04].
    pub fn push(mut self, octets: &[u8]) -> Result<Step<Self, Parsed>, UnsealError> {
        self.octets.extend_from_slice(octets);
        let error = |error| UnsealError::decode(Stage::Header, error);
        let Some(header_len) = Header::length(&self.octets).map_err(error)? else {
            return Ok(Step::More(self));
        };
        let Some(header_octets) = self.octets.get(..header_len) else {
            return Ok(Step::More(self));
        };
        let header = Header::from_octets(header_octets).map_err(error)?;
        let rest = &self.octets[header_len..];
        let Some((enc, rest)) = rest.split_at_checked(header.suite.enc_len()) else {
            return Ok(Step::More(self));
        };
        let Some((sealed_key, rest)) = rest.split_first_chunk::<{ Suite::SEALED_KEY_LEN }>() else {
            return Ok(Step::More(self));
        };
        let envelope_id =
            envelope::envelope_id(header_octets, enc, sealed_key).map_err(|error| {
                UnsealError::TooLarge { stage: Stage::Header, what: error.what, limit: error.limit }
            })?;
        Ok(Step::Done(Parsed {
            info: envelope::content_key_info(header_octets),
            enc: enc.to_vec(),
            sealed_key: *sealed_key,
            rest: rest.to_vec(),
            envelope_id,
            header,
        }))
    }

    /// What an envelope is that ends here.
    #[must_use]
    pub fn ended(self) -> UnsealError {
        UnsealError::Unauthentic(Stage::Truncated)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} octets)", self.octets.len())
    }
}

/// An envelope whose clear part is complete and well-formed; nothing is authentic yet.
pub struct Parsed {
    header: Header,
    envelope_id: EnvelopeId,
    info: Vec<u8>,
    enc: Vec<u8>,
    sealed_key: SealedKey,
    rest: Vec<u8>,
}

impl Parsed {
    /// The header as received: names the key that opens the envelope.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The identifier of the envelope [R-env-06].
    #[must_use]
    pub const fn envelope_id(&self) -> EnvelopeId {
        self.envelope_id
    }

    /// Opens the content key with the private key that the header names, and with no other
    /// [R-env-05].
    ///
    /// # Errors
    ///
    /// [`UnsealError::UnknownKey`] if `key` is not the one named; otherwise the envelope was
    /// altered or not made for this key.
    pub fn open(self, key: &SealingPrivateKey) -> Result<Opened, UnsealError> {
        if key.suite() != self.header.suite || key.key_id() != self.header.key_id {
            return Err(UnsealError::UnknownKey(NamedKey::Sealing));
        }
        let content_key = key
            .open(&self.enc, &self.info, &self.sealed_key)
            .ok_or(UnsealError::Unauthentic(Stage::Hpke))?;
        Ok(Opened {
            header: self.header,
            envelope_id: self.envelope_id,
            content_key,
            body_start: Vec::with_capacity(START),
            decryptor: None,
            front: Vec::new(),
            rest: self.rest,
        })
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parsed({}, {:?})", self.envelope_id, self.header)
    }
}

/// An envelope whose content key is open; the body is decrypted up to the opening signature.
///
/// Holds at most the prefix, which grows as it is authenticated and is limited to 2^20 octets,
/// two chunks, and the last slice pushed.
pub struct Opened {
    header: Header,
    envelope_id: EnvelopeId,
    content_key: ContentKey,
    body_start: Vec<u8>,
    decryptor: Option<Decryptor>,
    /// The front of the content: prefix, opening signature, and what its last chunk has beyond.
    front: Vec<u8>,
    /// Octets of the body that came with the clear part.
    rest: Vec<u8>,
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
            tail: Tail { decryptor, front_rest, rest, reader: BlockReader::new(len as u64) },
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

/// What comes after the opening signature.
struct Tail {
    /// `None` once the last chunk is decrypted.
    decryptor: Option<Decryptor>,
    /// Content already decrypted.
    front_rest: Vec<u8>,
    /// Octets of the body not yet decrypted.
    rest: Vec<u8>,
    reader: BlockReader,
}

impl Tail {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), UnsealError> {
        let front_rest = std::mem::take(&mut self.front_rest);
        self.reader.push(&front_rest, out)?;
        let rest = std::mem::take(&mut self.rest);
        for mut input in [rest.as_slice(), octets] {
            if input.is_empty() {
                continue;
            }
            // Without it the caller said before that the envelope had ended.
            let Some(decryptor) = &mut self.decryptor else {
                return Err(UnsealError::Unauthentic(Stage::Chunk));
            };
            while let Some(plaintext) = decryptor.next_chunk(&mut input)? {
                self.reader.push(plaintext, out)?;
            }
        }
        Ok(())
    }
}

/// An envelope whose prefix is decrypted; what it claims is not verified yet.
pub struct Decrypted {
    header: Header,
    envelope_id: EnvelopeId,
    prefix: Prefix,
    opening_signature: [u8; SIGNATURE_LEN],
    opening_input: Vec<u8>,
    tail: Tail,
}

impl Decrypted {
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

    /// The claimed sender domain, in whose policy the signing key is looked up.
    #[must_use]
    pub const fn sender_domain(&self) -> &Domain {
        &self.prefix.sender_domain
    }

    /// The claimed signing key.
    #[must_use]
    pub const fn signing_key_id(&self) -> KeyId {
        self.prefix.signing_key_id
    }

    /// The claimed time of sealing, in seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn sealed_at(&self) -> u64 {
        self.prefix.sealed_at
    }

    /// Verifies the opening signature with the signing key that the prefix names [R-con-03]. That
    /// the key belongs to the sender domain is for the caller to know.
    ///
    /// # Errors
    ///
    /// [`UnsealError::UnknownKey`] if `key` is not the one named; else the signature is wrong.
    pub fn verify(self, key: &VerifyingKey) -> Result<Verified, UnsealError> {
        if key.key_id() != self.prefix.signing_key_id {
            return Err(UnsealError::UnknownKey(NamedKey::Signing));
        }
        if !key.verify(&self.opening_input, &self.opening_signature) {
            return Err(UnsealError::Unauthentic(Stage::OpeningSignature));
        }
        Ok(Verified {
            header: self.header,
            envelope_id: self.envelope_id,
            prefix: self.prefix,
            opening_signature: self.opening_signature,
            key: key.clone(),
            tail: self.tail,
        })
    }
}

impl fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decrypted({}, ..)", self.envelope_id)
    }
}

/// An envelope whose prefix is verified: sender domain, recipients and parameters are genuine.
/// The message is not yet.
///
/// Holds two chunks and the last slice pushed.
pub struct Verified {
    header: Header,
    envelope_id: EnvelopeId,
    prefix: Prefix,
    opening_signature: [u8; SIGNATURE_LEN],
    key: VerifyingKey,
    tail: Tail,
}

impl Verified {
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

    /// The prefix.
    #[must_use]
    pub const fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Takes the next octets of the envelope, maybe none: octets that came along with the prefix
    /// are looked at here. Appends octets of the message to `out`.
    ///
    /// They come from the holder of the content key, but only [`Accepted`] means that the message
    /// is the one that was signed, and whole: whatever is done with them before must be undone if
    /// a later step fails.
    ///
    /// # Errors
    ///
    /// Altered chunk, wrong padding. The envelope cannot be accepted any more.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), UnsealError> {
        self.tail.push(octets, out)
    }

    /// Decrypts the last chunk, appends the last octets of the message to `out`, and checks
    /// padding and closing signature [R-con-05] [R-con-06]: the envelope ends here.
    ///
    /// # Errors
    ///
    /// Truncated or altered envelope, wrong padding or closing signature, unfinished blocks.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Accepted, UnsealError> {
        self.tail.push(&[], out)?;
        if let Some(decryptor) = self.tail.decryptor.take() {
            self.tail.reader.push(&decryptor.finish()?, out)?;
        }
        let end = self.tail.reader.finish()?;
        let input = content::closing_input(&self.opening_signature, &end.content_hash);
        if !self.key.verify(&input, &end.closing_signature) {
            return Err(UnsealError::Unauthentic(Stage::ClosingSignature));
        }
        Ok(Accepted {
            header: self.header,
            envelope_id: self.envelope_id,
            prefix: self.prefix,
            closing_signature: end.closing_signature,
            content_hash: end.content_hash,
        })
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({}, ..)", self.envelope_id)
    }
}

/// An envelope that is genuine to its last octet: the message that was released is the one that
/// the sender domain signed for the recipient domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The header.
    pub header: Header,
    /// The identifier of the envelope [R-env-06].
    pub envelope_id: EnvelopeId,
    /// The prefix.
    pub prefix: Prefix,
    /// The closing signature; a receipt names its digest.
    pub closing_signature: [u8; SIGNATURE_LEN],
    /// SHA-256 of all octets between the two signatures [R-con-06].
    pub content_hash: [u8; 32],
}

/// Unseals a whole envelope. `sealing_key` finds the private key that a header names,
/// `signing_key` the verifying key that a sender domain claims; `None` is
/// [`UnsealError::UnknownKey`].
///
/// # Errors
///
/// As the states of this module.
pub fn unseal<'k>(
    envelope: &[u8],
    sealing_key: impl FnOnce(&Header) -> Option<&'k SealingPrivateKey>,
    signing_key: impl FnOnce(&Domain, KeyId) -> Option<&'k VerifyingKey>,
) -> Result<(Vec<u8>, Accepted), UnsealError> {
    /// Octets handed over at a time, so that what is carried along stays small.
    const PIECE: usize = 64 * 1024;

    let mut pieces = envelope.chunks(PIECE);
    let mut received = Received::new();
    let parsed = loop {
        let Some(piece) = pieces.next() else { return Err(received.ended()) };
        match received.push(piece)? {
            Step::More(more) => received = more,
            Step::Done(parsed) => break parsed,
        }
    };
    let key = sealing_key(parsed.header()).ok_or(UnsealError::UnknownKey(NamedKey::Sealing))?;
    let mut opened = parsed.open(key)?;
    let decrypted = loop {
        let Some(piece) = pieces.next() else { break opened.end()? };
        match opened.push(piece)? {
            Step::More(more) => opened = more,
            Step::Done(decrypted) => break decrypted,
        }
    };
    let key = signing_key(decrypted.sender_domain(), decrypted.signing_key_id())
        .ok_or(UnsealError::UnknownKey(NamedKey::Signing))?;
    let mut verified = decrypted.verify(key)?;
    let mut message = Vec::new();
    for piece in pieces {
        verified.push(piece, &mut message)?;
    }
    let accepted = verified.finish(&mut message)?;
    Ok((message, accepted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::core::body::{CHUNK, TAG};
    use crate::core::forge::Parties;

    /// What is held is bounded by chunks and by what was pushed last, not by the message.
    #[test]
    fn memory_is_bounded() {
        const PIECE: usize = 10_000;
        let parties = Parties::new(Suite::XWing);
        let (envelope, _) = parties.seal(&vec![b'm'; 2_000_000], "memory");
        let mut pieces = envelope.chunks(PIECE);
        let Step::Done(parsed) = Received::new().push(pieces.next().unwrap()).unwrap() else {
            panic!("the clear part is shorter than a piece");
        };
        assert!(parsed.rest.capacity() <= PIECE);
        let mut opened = parsed.open(&parties.sealing).unwrap();
        let decrypted = loop {
            match opened.push(pieces.next().unwrap()).unwrap() {
                Step::More(more) => opened = more,
                Step::Done(decrypted) => break decrypted,
            }
            assert!(opened.rest.capacity() == 0 && opened.front.capacity() <= 2 * CHUNK);
        };
        let mut verified = decrypted.verify(parties.signing.public()).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            verified.push(piece, &mut out).unwrap();
            assert!(out.len() <= PIECE + 2 * CHUNK);
            out.clear();
            let tail = &verified.tail;
            assert_eq!(tail.front_rest.capacity() + tail.rest.capacity(), 0);
            assert!(tail.decryptor.as_ref().unwrap().held() <= 2 * (CHUNK + TAG) + CHUNK);
        }
        verified.finish(&mut out).unwrap();
    }
}
