//! Ed25519 as the protocol demands it: strict, the same in every implementation [R-sig-01].

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::error::KeyError;

/// Octets of a public key.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Octets of a private key.
pub const PRIVATE_KEY_LEN: usize = 32;
/// Octets of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// A public key that is canonically encoded and not of small order.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Public(VerifyingKey);

impl Public {
    pub(super) fn from_bytes(octets: &[u8]) -> Result<Self, KeyError> {
        let octets: &[u8; PUBLIC_KEY_LEN] = octets
            .try_into()
            .map_err(|_| KeyError::Length { expected: PUBLIC_KEY_LEN, found: octets.len() })?;
        let key = VerifyingKey::from_bytes(octets).map_err(|_| KeyError::Invalid)?;
        // [R-sig-01]: a y-coordinate not below the field's prime decompresses, but comes back as
        // another encoding.
        if key.to_edwards().compress().as_bytes() != octets {
            return Err(KeyError::Invalid);
        }
        if key.is_weak() {
            return Err(KeyError::SmallOrder);
        }
        Ok(Self(key))
    }

    pub(super) fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.0.as_bytes()
    }

    /// Whether `signature` is a valid signature of `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        // [R-sig-01]: refuses S not below the order and R of small order; compares R as octets,
        // so that it is canonical, with the cofactorless equation.
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// A private key; zeroized when dropped.
#[derive(Clone)]
pub(super) struct Private(SigningKey);

impl Private {
    pub(super) fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; PRIVATE_KEY_LEN]);
        rng.fill_bytes(&mut *seed);
        Self::from_bytes(&seed)
    }

    pub(super) fn from_bytes(octets: &[u8; PRIVATE_KEY_LEN]) -> Self {
        Self(SigningKey::from_bytes(octets))
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_LEN]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(super) fn from_pem(text: &str) -> Result<Self, KeyError> {
        // Reads version 1, and version 2 if its public key belongs to the private one.
        SigningKey::from_pkcs8_pem(text).map(Self).map_err(|_| KeyError::Pem)
    }

    pub(super) fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        // RFC 5208 (version 1): common tools refuse the version 2 of RFC 5958, which is what a
        // public key beside the private one makes of it.
        let key = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Pem)
    }

    pub(super) fn public(&self) -> Public {
        Public(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}
