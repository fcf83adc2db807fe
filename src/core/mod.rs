//! The pure heart of the protocol: no IO, no clock, no global random numbers.

pub mod address;
pub mod body;
pub mod codec;
mod content;
mod domain;
mod ed25519;
mod envelope;
mod error;
pub mod esmtp;
mod extension;
pub mod header;
mod ids;
mod keys;
mod label;
pub mod padding;
pub mod prefix;
mod seal;
mod suite;
mod unseal;

pub use domain::{Domain, DomainError, MAX_DOMAIN};
pub use ed25519::{PRIVATE_KEY_LEN, PUBLIC_KEY_LEN, SIGNATURE_LEN};
pub use error::{
    DecodeError, EncodeError, KeyError, NamedKey, SealError, Stage, UnsealError, Unsupported,
};
pub use extension::{Extension, Extensions};
pub use header::Header;
pub use ids::{DeliveryId, EnvelopeId, KeyId, ParseIdError};
pub use keys::{
    IdentityKey, IdentityPublicKey, SealingPrivateKey, SealingPublicKey, SigningKey, VerifyingKey,
};
pub use label::{Label, sha256};
pub use prefix::{ContentType, ForwardPath, InvalidField, Prefix, ReversePathField};
pub use seal::{BLOCK, SealTo, Sealed, Sealer, envelope_len, seal};
pub use suite::{Suite, SuiteId};
pub use unseal::{Accepted, Decrypted, Opened, Parsed, Received, Step, Verified, unseal};
