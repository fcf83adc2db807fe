//! The signed content: opening signature, message, padding and closing signature.

use std::fmt;

use super::super::body::Decryptor;
use super::super::content::{self, BlockReader};
use super::super::domain::Domain;
use super::super::ed25519::SIGNATURE_LEN;
use super::super::error::{NamedKey, Stage, UnsealError};
use super::super::header::Header;
use super::super::ids::{EnvelopeId, KeyId};
use super::super::prefix::Prefix;
use super::super::signing::VerifyingKey;

/// What comes after the opening signature.
pub(super) struct Tail {
    /// `None` once the last chunk is decrypted.
    pub(super) decryptor: Option<Decryptor>,
    /// Content already decrypted.
    pub(super) front_rest: Vec<u8>,
    /// Octets of the body not yet decrypted.
    pub(super) rest: Vec<u8>,
    pub(super) reader: BlockReader,
    /// The first failure, which no later call can undo.
    pub(super) failed: Option<UnsealError>,
}

impl Tail {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), UnsealError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.take(octets, out).inspect_err(|error| self.failed = Some(*error))
    }

    fn take(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), UnsealError> {
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
    pub(super) header: Header,
    pub(super) envelope_id: EnvelopeId,
    pub(super) prefix: Prefix,
    pub(super) opening_signature: [u8; SIGNATURE_LEN],
    pub(super) opening_input: Vec<u8>,
    pub(super) tail: Tail,
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
    pub(super) header: Header,
    pub(super) envelope_id: EnvelopeId,
    pub(super) prefix: Prefix,
    pub(super) opening_signature: [u8; SIGNATURE_LEN],
    pub(super) key: VerifyingKey,
    pub(super) tail: Tail,
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
