//! Signing keys for content and identity keys for policies: the same algorithm, distinct types, so
//! that one is never taken for the other.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::ed25519::{self, PRIVATE_KEY_LEN, PUBLIC_KEY_LEN, SIGNATURE_LEN};
use super::error::KeyError;
use super::ids::KeyId;
use super::label::{Label, sha256};

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 signing-key-id" or
//                                          "mta-seal/1 identity" */
//     opaque public_key[32];
// } Ed25519KeyIdInput;
fn ed25519_key_id(label: Label, public: &[u8; PUBLIC_KEY_LEN]) -> KeyId {
    let mut input = label.begin();
    input.extend_from_slice(public);
    KeyId::from_bytes(sha256(&input))
}

macro_rules! ed25519_pair {
    ($(#[$private_doc:meta])* $private:ident, $(#[$public_doc:meta])* $public:ident,
     $label:expr, $(#[$id_doc:meta])* $id:ident) => {
        $(#[$public_doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $public {
            key: ed25519::Public,
            id: KeyId,
        }

        impl $public {
            /// Parses a public key of 32 octets. Refuses encodings that are not canonical and keys
            /// of small order [R-sig-01].
            pub fn from_bytes(octets: &[u8]) -> Result<Self, KeyError> {
                ed25519::Public::from_bytes(octets).map(Self::new)
            }

            fn new(key: ed25519::Public) -> Self {
                let id = ed25519_key_id($label, key.as_bytes());
                Self { key, id }
            }

            /// The octets of the key, as published.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
                self.key.as_bytes()
            }

            $(#[$id_doc])*
            #[must_use]
            pub const fn $id(&self) -> KeyId {
                self.id
            }

            /// Whether `signature` is by this key over `input`, strictly [R-sig-01].
            #[must_use]
            pub fn verify(&self, input: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
                self.key.verify(input, signature)
            }
        }

        impl fmt::Debug for $public {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($public), "({})"), self.id)
            }
        }

        $(#[$private_doc])*
        #[derive(Clone)]
        pub struct $private {
            key: ed25519::Private,
            public: $public,
        }

        impl $private {
            fn new(key: ed25519::Private) -> Self {
                let public = $public::new(key.public());
                Self { key, public }
            }

            /// A new key pair.
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                Self::new(ed25519::Private::generate(rng))
            }

            /// The key pair of a private key (RFC 8032 section 5.1.5).
            #[must_use]
            pub fn from_bytes(octets: &[u8; PRIVATE_KEY_LEN]) -> Self {
                Self::new(ed25519::Private::from_bytes(octets))
            }

            /// The octets of the private key.
            #[must_use]
            pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_LEN]> {
                self.key.to_bytes()
            }

            /// Reads an unencrypted PKCS#8 PEM file (RFC 8410).
            pub fn from_pem(text: &str) -> Result<Self, KeyError> {
                ed25519::Private::from_pem(text).map(Self::new)
            }

            /// Writes an unencrypted PKCS#8 PEM file, version 1, which all common tools read.
            pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
                self.key.to_pem()
            }

            /// The public key that belongs to this one.
            #[must_use]
            pub const fn public(&self) -> &$public {
                &self.public
            }

            $(#[$id_doc])*
            #[must_use]
            pub const fn $id(&self) -> KeyId {
                self.public.id
            }

            /// The signature of `input`, which begins with a [`Label`] [R-lab-01].
            #[must_use]
            pub fn sign(&self, input: &[u8]) -> [u8; SIGNATURE_LEN] {
                self.key.sign(input)
            }
        }

        impl fmt::Debug for $private {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($private), "({}, ..)"), self.public.id)
            }
        }
    };
}

ed25519_pair! {
    /// The Ed25519 key pair of a gateway that signs content; zeroized when dropped.
    SigningKey,
    /// The public key with which content is verified.
    VerifyingKey,
    Label::SigningKeyId,
    /// The identifier of the signing key [R-key-01].
    key_id
}

ed25519_pair! {
    /// The Ed25519 key pair of a domain that signs its policies and nothing else; zeroized when
    /// dropped.
    IdentityKey,
    /// The public key with which the policies of a domain are verified.
    IdentityPublicKey,
    Label::Identity,
    /// The fingerprint of the identity key [R-key-01].
    fingerprint
}
