//! The pure heart of the protocol: no IO, no clock, no global random numbers.
//!
//! [`Sealer`] makes an envelope while a message streams past; the states from [`Received`] to
//! [`Accepted`] open one. Both go over their input once and hold a few chunks of 16 KiB, besides
//! a prefix of at most 1 MiB. For messages in memory there are [`seal`] and [`unseal`]:
//!
//! ```
//! use mta_seal::core::{
//!     DeliveryId, Domain, ForwardPath, Prefix, ReversePathField, SealTo, SealingPrivateKey,
//!     SigningKey, Suite, seal, unseal,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! let (sender, recipient) = (Domain::parse("company1.example")?, Domain::parse("company2.example")?);
//! let signing = SigningKey::generate(&mut rng);
//! let sealing = SealingPrivateKey::generate(Suite::XWing, &mut rng)?;
//!
//! let message = b"From: alice@company1.example\r\n\r\nHello Bob.\r\n";
//! let bob = ForwardPath::new("bob@company2.example".into(), 0, String::new())?;
//! let alice =
//!     ReversePathField::new("alice@company1.example".into(), 0, false, 0, String::new())?;
//! let delivery = DeliveryId::random(&mut rng);
//! let prefix = Prefix::mail(sender.clone(), 1_800_000_000, delivery, alice, vec![bob]);
//! let to = SealTo { recipient_domain: &recipient, key: sealing.public() };
//! let (envelope, sealed) = seal(message, to, prefix, &signing, &mut rng)?;
//!
//! let (opened, accepted) = unseal(
//!     &envelope,
//!     |header| (header.key_id == sealing.key_id()).then_some(&sealing),
//!     |domain, id| (*domain == sender && id == signing.key_id()).then(|| signing.public()),
//! )?;
//! assert_eq!(opened, message);
//! assert_eq!(accepted.envelope_id, sealed.envelope_id);
//! assert_eq!(accepted.prefix.forward_paths[0].mailbox(), "bob@company2.example");
//! # Ok(())
//! # }
//! ```
//!
//! In pieces, each state consumes the last, so that no check can be left out:
//!
//! ```
//! # use mta_seal::core::{
//! #     DeliveryId, Domain, Prefix, ReversePathField, SealTo, SealingPrivateKey, SigningKey, Suite,
//! # };
//! use mta_seal::core::{Received, Sealer, Step};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! # let (sender, recipient) = (Domain::parse("company1.example")?, Domain::parse("company2.example")?);
//! # let signing = SigningKey::generate(&mut rng);
//! # let sealing = SealingPrivateKey::generate(Suite::X25519, &mut rng)?;
//! # let prefix = Prefix::mail(
//! #     sender, 0, DeliveryId::random(&mut rng), ReversePathField::default(), vec![],
//! # );
//! # let to = SealTo { recipient_domain: &recipient, key: sealing.public() };
//! let mut envelope = Vec::new();
//! let mut sealer = Sealer::new(to, prefix, &signing, &mut rng, &mut envelope)?;
//! for line in ["From: alice@company1.example\r\n", "\r\n", "Hello Bob.\r\n"] {
//!     sealer.write(line.as_bytes(), &mut envelope)?; // and send `envelope`, and clear it
//! }
//! sealer.finish(&mut envelope)?;
//!
//! let mut pieces = envelope.chunks(1000);
//! let mut received = Received::new();
//! let parsed = loop {
//!     let Some(piece) = pieces.next() else { return Err(received.ended().into()) };
//!     match received.push(piece)? {
//!         Step::More(more) => received = more,
//!         Step::Done(parsed) => break parsed,
//!     }
//! };
//! assert_eq!(parsed.header().key_id, sealing.key_id()); // look up the private key
//! let mut opened = parsed.open(&sealing)?;
//! let decrypted = loop {
//!     let Some(piece) = pieces.next() else { break opened.end()? };
//!     match opened.push(piece)? {
//!         Step::More(more) => opened = more,
//!         Step::Done(decrypted) => break decrypted,
//!     }
//! };
//! assert_eq!(decrypted.signing_key_id(), signing.key_id()); // look up the policy
//! let mut verified = decrypted.verify(signing.public())?;
//! let mut message = Vec::new();
//! for piece in pieces {
//!     verified.push(piece, &mut message)?; // not genuine before it is accepted
//! }
//! let accepted = verified.finish(&mut message)?;
//! assert!(message.ends_with(b"Hello Bob.\r\n"));
//! assert_eq!(accepted.prefix.sender_domain.as_str(), "company1.example");
//! # Ok(())
//! # }
//! ```

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
pub(crate) mod hex;
mod ids;
mod keys;
mod label;
pub mod padding;
pub mod prefix;
mod seal;
mod signing;
pub mod smtp_envelope;
mod suite;
mod unseal;
pub mod words;

pub use domain::{Domain, DomainError, MAX_DOMAIN};
pub use ed25519::{PRIVATE_KEY_LEN, PUBLIC_KEY_LEN, SIGNATURE_LEN};
pub use error::{
    DecodeError, EncodeError, KeyError, NamedKey, SealError, Stage, UnsealError, Unsupported,
};
pub use extension::{Extension, Extensions};
pub use header::Header;
pub use ids::{DeliveryId, EnvelopeId, KeyId, ParseIdError};
pub use keys::{SealingPrivateKey, SealingPublicKey};
pub use label::{Label, sha256};
pub use prefix::{ContentType, ForwardPath, InvalidField, Prefix, ReversePathField};
pub use seal::{BLOCK, SealTo, Sealed, Sealer, envelope_len, seal};
pub use signing::{IdentityKey, IdentityPublicKey, SigningKey, VerifyingKey};
pub use smtp_envelope::{SmtpEnvelope, UnfitPath};
pub use suite::{Suite, SuiteId};
pub use unseal::{Accepted, Decrypted, Opened, Parsed, Received, Step, Verified, unseal};

#[cfg(test)]
mod envelope_tests;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
pub(crate) mod test_rng;
