//! The clear part of an envelope.

use std::fmt;

use super::super::body::START;
use super::super::codec::Decode;
use super::super::envelope;
use super::super::error::{NamedKey, Stage, UnsealError};
use super::super::header::Header;
use super::super::ids::EnvelopeId;
use super::super::keys::{SealedKey, SealingPrivateKey};
use super::super::suite::Suite;
use super::Step;
use super::opened::Opened;

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
    pub(super) header: Header,
    pub(super) envelope_id: EnvelopeId,
    pub(super) info: Vec<u8>,
    pub(super) enc: Vec<u8>,
    pub(super) sealed_key: SealedKey,
    pub(super) rest: Vec<u8>,
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
