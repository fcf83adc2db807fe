//! Sealing a message in one pass and constant memory.
//!
//! ~~~ text
//! struct {
//!     Header header;
//!     opaque enc[Nenc];
//!     opaque sealed_key[48];
//!     Body body;                        /* to the end of the envelope */
//! } Envelope;
//! ~~~

use rand_core::CryptoRng;

use super::body::{self, Encryptor};
use super::codec::Encode;
use super::content::{self, ContentHash};
use super::domain::Domain;
use super::ed25519::SIGNATURE_LEN;
use super::envelope;
use super::error::SealError;
use super::extension::Extensions;
use super::header::{Header, MAGIC};
use super::ids::EnvelopeId;
use super::keys::{ContentKey, SealingPublicKey};
use super::padding;
use super::prefix::{PREFIX, Prefix};
use super::signing::SigningKey;
use super::suite::Suite;

/// Octets of message in every block but the last, so that a block with its length is as long as
/// a chunk of the body.
pub const BLOCK: usize = body::CHUNK - 2;

/// Whom an envelope is sealed to.
#[derive(Debug, Clone, Copy)]
pub struct SealTo<'a> {
    /// The recipient domain, named in the header.
    pub recipient_domain: &'a Domain,
    /// A sealing key of that domain.
    pub key: &'a SealingPublicKey,
}

/// What is known once a message is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The identifier of the envelope [R-env-06].
    pub envelope_id: EnvelopeId,
    /// The closing signature [R-con-06].
    pub closing_signature: [u8; SIGNATURE_LEN],
    /// SHA-256 of all octets between the two signatures [R-con-06]. It covers the padding, whose
    /// length depends on the prefix too.
    pub content_hash: [u8; 32],
    /// SHA-256 of the blocks including the empty one at the end. Since blocks are always cut at
    /// [`BLOCK`] octets, it is a function of the message alone, whatever the prefix and however
    /// the message was handed over; equal for two messages exactly if they are equal.
    pub blocks_hash: [u8; 32],
}

/// Seals one message to one recipient domain while it streams past [R-env-01].
///
/// Holds at most two blocks of the message. What it appends to `out` is in order the octets of
/// the envelope; the caller passes them on and clears `out` as it likes.
pub struct Sealer {
    envelope_id: EnvelopeId,
    signing: SigningKey,
    opening_signature: [u8; SIGNATURE_LEN],
    encryptor: Encryptor,
    hash: ContentHash,
    /// Plaintext not yet encrypted.
    staging: Vec<u8>,
    /// Where in `staging` the block begins that is being filled, with its length still open.
    block: usize,
    /// Octets of content before `staging`.
    encrypted: u64,
}

impl Sealer {
    /// Begins an envelope: writes header, `enc`, sealed key, salt and commitment, and as much of
    /// prefix and opening signature as fills whole chunks. The signing key id of `prefix` is set
    /// to the one of `signing`.
    ///
    /// # Errors
    ///
    /// A prefix or header beyond its limits, or a key that the KEM refuses. `out` is then to be
    /// thrown away.
    pub fn new(
        to: SealTo<'_>,
        mut prefix: Prefix,
        signing: &SigningKey,
        rng: &mut impl CryptoRng,
        out: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        prefix.signing_key_id = signing.key_id();
        let prefix = prefix.to_octets()?;
        let header = Header {
            suite: to.key.suite(),
            key_id: to.key.key_id(),
            recipient_domain: to.recipient_domain.clone(),
            extensions: Extensions::default(),
        }
        .to_octets()?;

        // [R-env-05]
        let mut content_key = ContentKey::default();
        rng.fill_bytes(&mut *content_key);
        let mut enc = Vec::new();
        let sealed_key = to
            .key
            .seal(&envelope::content_key_info(&header), &content_key, rng, &mut enc)
            .ok_or(SealError::Encapsulation)?;
        let envelope_id = envelope::envelope_id(&header, &enc, &sealed_key)?;
        out.extend_from_slice(&header);
        out.extend_from_slice(&enc);
        out.extend_from_slice(&sealed_key);

        let context = envelope::body_context(&envelope_id);
        let (mut encryptor, body_start) = Encryptor::start(&content_key, &context, rng, out)?;
        let opening_signature =
            signing.sign(&content::opening_input(&envelope_id, &body_start, &prefix)?);

        let mut staging = Vec::with_capacity(2 * body::CHUNK);
        PREFIX.put(&mut staging, &prefix)?;
        staging.extend_from_slice(&opening_signature);
        let taken = encryptor.whole_chunks(&staging, out)?;
        staging.drain(..taken);
        staging.shrink_to(2 * body::CHUNK);
        let mut sealer = Self {
            envelope_id,
            signing: signing.clone(),
            opening_signature,
            encryptor,
            hash: ContentHash::new(),
            staging,
            block: 0,
            encrypted: taken as u64,
        };
        sealer.open_block();
        Ok(sealer)
    }

    /// The identifier of the envelope, known from the start [R-env-06].
    #[must_use]
    pub const fn envelope_id(&self) -> EnvelopeId {
        self.envelope_id
    }

    /// Takes the next octets of the message; appends what is complete to `out`.
    ///
    /// # Errors
    ///
    /// Only if encryption fails, or after 2^52 octets; the envelope cannot be completed then.
    pub fn write(&mut self, mut message: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        while !message.is_empty() {
            let (now, rest) = message.split_at(message.len().min(BLOCK - self.block_len()));
            self.staging.extend_from_slice(now);
            message = rest;
            if self.block_len() == BLOCK {
                self.close_block();
                self.encrypt(out)?;
                self.open_block();
            }
        }
        Ok(())
    }

    /// Ends the message: writes the last blocks, padding, closing signature and last chunk.
    ///
    /// # Errors
    ///
    /// As [`Sealer::write`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Sealed, SealError> {
        if self.block_len() > 0 {
            self.close_block();
            self.open_block();
        }
        // The block now open stays empty: it is the end of the blocks.
        self.hash.update(&self.staging[self.block..]);
        let blocks_hash = self.hash.clone().finish();
        let len = self.encrypted + self.staging.len() as u64 + SIGNATURE_LEN as u64;
        let mut padding = padding::padded(len) - len;
        while padding > 0 {
            let now = usize::try_from(padding).map_or(body::CHUNK, |left| left.min(body::CHUNK));
            let start = self.staging.len();
            self.staging.resize(start + now, 0);
            self.hash.update(&self.staging[start..]);
            self.encrypt(out)?;
            padding -= now as u64;
        }
        let content_hash = self.hash.finish();
        let closing_signature =
            self.signing.sign(&content::closing_input(&self.opening_signature, &content_hash));
        self.staging.extend_from_slice(&closing_signature);
        self.encryptor.finish(&self.staging, out)?;
        Ok(Sealed { envelope_id: self.envelope_id, closing_signature, content_hash, blocks_hash })
    }

    /// Octets of message in the block that is being filled.
    fn block_len(&self) -> usize {
        self.staging.len() - self.block - 2
    }

    /// Begins a block, of length zero until it is closed.
    fn open_block(&mut self) {
        self.block = self.staging.len();
        self.staging.extend_from_slice(&[0, 0]);
    }

    /// Writes the length of the block that was filled.
    fn close_block(&mut self) {
        // At most BLOCK, which fits in 16 bits.
        #[allow(clippy::cast_possible_truncation)]
        let len = self.block_len() as u16;
        self.staging[self.block..self.block + 2].copy_from_slice(&len.to_be_bytes());
        self.hash.update(&self.staging[self.block..]);
    }

    /// Encrypts all whole chunks of plaintext; no block is open.
    fn encrypt(&mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let taken = self.encryptor.whole_chunks(&self.staging, out)?;
        self.staging.drain(..taken);
        self.encrypted += taken as u64;
        Ok(())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({}, ..)", self.envelope_id)
    }
}

/// Seals a whole message; see [`Sealer`].
///
/// # Errors
///
/// As [`Sealer::new`].
pub fn seal(
    message: &[u8],
    to: SealTo<'_>,
    prefix: Prefix,
    signing: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Sealed), SealError> {
    let mut out = Vec::new();
    let mut sealer = Sealer::new(to, prefix, signing, rng, &mut out)?;
    sealer.write(message, &mut out)?;
    let sealed = sealer.finish(&mut out)?;
    Ok((out, sealed))
}

/// The exact length in octets of an envelope that [`Sealer`] makes of a message of `message_len`
/// octets, with an encoded prefix of `prefix_len` octets ([`Prefix::encoded_len`]) [R-car-03].
#[must_use]
pub fn envelope_len(
    suite: Suite,
    recipient_domain: &Domain,
    prefix_len: usize,
    message_len: u64,
) -> u64 {
    let header = MAGIC.len() + 1 + 2 + 32 + 1 + recipient_domain.as_str().len() + 2;
    let clear = header + suite.enc_len() + Suite::SEALED_KEY_LEN;
    let blocks = message_len.saturating_add(2 * message_len.div_ceil(BLOCK as u64) + 2);
    let rest = 3 + prefix_len as u64 + 2 * SIGNATURE_LEN as u64;
    body::body_len(padding::padded(blocks.saturating_add(rest))).saturating_add(clear as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::forge::Parties;
    use crate::core::test_rng::TestRng;

    /// What is held is bounded by blocks, not by the message or a large prefix.
    #[test]
    fn memory_is_bounded() {
        let parties = Parties::new(Suite::X25519);
        let mut prefix = parties.prefix();
        let path = crate::core::ForwardPath::new("b".repeat(512), 0, "o".repeat(500)).unwrap();
        prefix.forward_paths = vec![path; 1000];
        let (mut rng, mut out) = (TestRng::new("memory"), Vec::new());
        let mut sealer =
            Sealer::new(parties.to(), prefix, &parties.signing, &mut rng, &mut out).unwrap();
        let message = vec![b'm'; 100_000];
        for _ in 0..20 {
            assert!(sealer.staging.capacity() <= 2 * body::CHUNK);
            out.clear();
            sealer.write(&message, &mut out).unwrap();
            assert!(out.len() <= message.len() + 2 * BLOCK);
        }
    }
}
