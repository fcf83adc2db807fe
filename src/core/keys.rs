//! Sealing keys: HPKE key pairs of a suite [R-suite-01] [R-key-01].

use std::fmt;

use aws_lc_rs::agreement;
use hpke::aead::AesGcm256;
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::codec::Field;
use super::error::KeyError;
use super::ids::KeyId;
use super::label::{Label, sha256};
use super::suite::Suite;

/// A content key: 32 random octets for one envelope; zeroized when dropped.
pub(super) type ContentKey = Zeroizing<[u8; 32]>;

/// A sealed content key with its authentication tag.
pub(super) type SealedKey = [u8; Suite::SEALED_KEY_LEN];

type PublicOf<K> = <K as Kem>::PublicKey;
type PrivateOf<K> = <K as Kem>::PrivateKey;

#[derive(Clone)]
enum Public {
    X25519(PublicOf<X25519HkdfSha256>),
    XWing(Box<PublicOf<XWing>>),
}

/// The public key of a suite's KEM, to which content keys are sealed.
#[derive(Clone)]
pub struct SealingPublicKey {
    suite: Suite,
    octets: Box<[u8]>,
    key_id: KeyId,
    parsed: Public,
}

impl SealingPublicKey {
    /// Parses a public key of `suite`. Refuses what the KEM refuses, and keys whose X25519 part
    /// is of small order [R-suite-04].
    pub fn from_bytes(suite: Suite, octets: &[u8]) -> Result<Self, KeyError> {
        let expected = suite.public_key_len();
        if octets.len() != expected {
            return Err(KeyError::Length { expected, found: octets.len() });
        }
        let invalid = |_| KeyError::Invalid;
        let (parsed, x25519) = match suite {
            Suite::X25519 => {
                (Public::X25519(Deserializable::from_bytes(octets).map_err(invalid)?), octets)
            }
            // An X-Wing public key is the one of ML-KEM-768, then the one of X25519.
            Suite::XWing => (
                Public::XWing(Box::new(Deserializable::from_bytes(octets).map_err(invalid)?)),
                &octets[expected - 32..],
            ),
        };
        if is_small_order(x25519)? {
            return Err(KeyError::SmallOrder);
        }
        Ok(Self { suite, octets: octets.into(), key_id: key_id(suite, octets)?, parsed })
    }

    /// The suite that the key belongs to.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The octets of the key, as published.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// The identifier of the key [R-key-01].
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// One single-shot HPKE seal in base mode with empty `aad` [R-env-05] [R-suite-03]; appends
    /// `enc` to `enc_out`.
    pub(super) fn seal(
        &self,
        info: &[u8],
        content_key: &ContentKey,
        rng: &mut impl CryptoRng,
        enc_out: &mut Vec<u8>,
    ) -> Option<SealedKey> {
        match &self.parsed {
            Public::X25519(key) => {
                seal_with::<X25519HkdfSha256>(key, info, content_key, rng, enc_out)
            }
            Public::XWing(key) => seal_with::<XWing>(key, info, content_key, rng, enc_out),
        }
    }
}

impl PartialEq for SealingPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite && self.octets == other.octets
    }
}

impl Eq for SealingPublicKey {}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({}, {})", self.suite, self.key_id)
    }
}

#[derive(Clone)]
enum Private {
    X25519(PrivateOf<X25519HkdfSha256>),
    XWing(Box<PrivateOf<XWing>>),
}

/// The private key of a suite's KEM, parsed once and kept; zeroized when dropped.
#[derive(Clone)]
pub struct SealingPrivateKey {
    public: SealingPublicKey,
    parsed: Private,
}

impl SealingPrivateKey {
    /// A new key pair of `suite`.
    pub fn generate(suite: Suite, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        let mut octets = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *octets);
        Self::from_bytes(suite, &*octets)
    }

    /// Parses a private key: the scalar of X25519, or the 32-octet seed of X-Wing [R-suite-01].
    pub fn from_bytes(suite: Suite, octets: &[u8]) -> Result<Self, KeyError> {
        let expected = suite.private_key_len();
        if octets.len() != expected {
            return Err(KeyError::Length { expected, found: octets.len() });
        }
        let invalid = |_| KeyError::Invalid;
        let (parsed, public) = match suite {
            Suite::X25519 => {
                let key = PrivateOf::<X25519HkdfSha256>::from_bytes(octets).map_err(invalid)?;
                let public = X25519HkdfSha256::sk_to_pk(&key).to_bytes().to_vec();
                (Private::X25519(key), public)
            }
            Suite::XWing => {
                let key = PrivateOf::<XWing>::from_bytes(octets).map_err(invalid)?;
                let public = XWing::sk_to_pk(&key).to_bytes().to_vec();
                (Private::XWing(Box::new(key)), public)
            }
        };
        Ok(Self { public: SealingPublicKey::from_bytes(suite, &public)?, parsed })
    }

    /// The octets of the private key. An X25519 scalar comes back clamped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut octets = Zeroizing::new(vec![0; self.suite().private_key_len()]);
        match &self.parsed {
            Private::X25519(key) => key.write_exact(&mut octets),
            Private::XWing(key) => key.write_exact(&mut octets),
        }
        octets
    }

    /// The public key that belongs to this one.
    #[must_use]
    pub const fn public(&self) -> &SealingPublicKey {
        &self.public
    }

    /// The suite that the key belongs to.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.public.suite
    }

    /// The identifier of the key pair [R-key-01].
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.public.key_id
    }

    /// Opens what [`SealingPublicKey::seal`] made.
    pub(super) fn open(
        &self,
        enc: &[u8],
        info: &[u8],
        sealed_key: &SealedKey,
    ) -> Option<ContentKey> {
        match &self.parsed {
            Private::X25519(key) => open_with::<X25519HkdfSha256>(key, enc, info, sealed_key),
            Private::XWing(key) => open_with::<XWing>(key, enc, info, sealed_key),
        }
    }
}

impl fmt::Debug for SealingPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPrivateKey({}, {}, ..)", self.suite(), self.key_id())
    }
}

fn seal_with<K: Kem>(
    key: &K::PublicKey,
    info: &[u8],
    content_key: &ContentKey,
    rng: &mut impl CryptoRng,
    enc_out: &mut Vec<u8>,
) -> Option<SealedKey> {
    let mut sealed = [0; Suite::SEALED_KEY_LEN];
    let (ciphertext, tag_out) = sealed.split_at_mut(content_key.len());
    let buffer = InOutBuf::new(&content_key[..], ciphertext).ok()?;
    let (enc, tag) = hpke::single_shot_seal_inout_detached_with_rng::<AesGcm256, HkdfSha256, K>(
        &OpModeS::Base,
        key,
        info,
        buffer,
        &[],
        rng,
    )
    .ok()?;
    tag.write_exact(tag_out);
    enc_out.extend_from_slice(&enc.to_bytes());
    Some(sealed)
}

fn open_with<K: Kem>(
    key: &K::PrivateKey,
    enc: &[u8],
    info: &[u8],
    sealed_key: &SealedKey,
) -> Option<ContentKey> {
    let mut content_key = ContentKey::default();
    let (ciphertext, tag) = sealed_key.split_at(content_key.len());
    let buffer = InOutBuf::new(ciphertext, &mut content_key[..]).ok()?;
    hpke::single_shot_open_inout_detached::<AesGcm256, HkdfSha256, K>(
        &OpModeR::Base,
        key,
        &Deserializable::from_bytes(enc).ok()?,
        info,
        buffer,
        &[],
        &Deserializable::from_bytes(tag).ok()?,
    )
    .ok()?;
    Some(content_key)
}

/// Whether an X25519 public key is of small order: multiplied by any clamped scalar, which is a
/// multiple of the cofactor, it gives zero (RFC 7748 section 6.1).
fn is_small_order(public: &[u8]) -> Result<bool, KeyError> {
    let scalar = agreement::PrivateKey::from_private_key(&agreement::X25519, &[0x40; 32])
        .map_err(|_| KeyError::Invalid)?;
    let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, public);
    Ok(agreement::agree(&scalar, peer, (), |_| Ok(())).is_err())
}

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 sealing-key-id" */
//     uint16 suite;
//     opaque public_key<1..2^16-1>;
// } SealingKeyIdInput;
fn key_id(suite: Suite, public: &[u8]) -> Result<KeyId, KeyError> {
    let mut input = Label::SealingKeyId.begin();
    input.extend_from_slice(&suite.id().0.to_be_bytes());
    // Cannot fail: the length is the suite's.
    Field::new("public_key", 1, 0xffff).put(&mut input, public).map_err(|_| KeyError::Invalid)?;
    Ok(KeyId::from_bytes(sha256(&input)))
}
