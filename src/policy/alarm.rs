//! What an operator must hear of.

use crate::core::KeyId;

use super::{DeferReason, KeyFailure, Level};

/// Something that mail does not fail on, or not only, but that a person should look into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Alarm {
    /// The policy is signed by another identity key than the remembered one, without proof of
    /// succession; it was not believed.
    #[error("the identity key changed from {remembered} to {seen} without rollover; not believed")]
    IdentityChanged {
        /// Fingerprint of the remembered key.
        remembered: KeyId,
        /// Fingerprint of the key seen.
        seen: KeyId,
    },
    /// The same, but evidence of a higher level replaced the memory.
    #[error("the identity key changed from {remembered} to {seen}, as {level} evidence shows")]
    IdentityReplaced {
        /// Fingerprint of the remembered key.
        remembered: KeyId,
        /// Fingerprint of the key now believed.
        seen: KeyId,
        /// Level of the evidence.
        level: Level,
    },
    /// The identity key was succeeded by another, with proof.
    #[error("the identity key rolled over from {remembered} to {seen}")]
    IdentityRolledOver {
        /// Fingerprint of the former key.
        remembered: KeyId,
        /// Fingerprint of its successor.
        seen: KeyId,
    },
    /// The policy is not signed by the pinned identity key or its successor.
    #[error("the identity key {seen} is not the pinned {pinned}")]
    PinMismatch {
        /// The pinned fingerprint.
        pinned: KeyId,
        /// Fingerprint of the key seen.
        seen: KeyId,
    },
    /// The policy has a lower serial than the remembered one: an old one is replayed, or a server
    /// lags behind.
    #[error("the policy's serial went back from {remembered} to {seen}")]
    SerialBack {
        /// The remembered serial.
        remembered: u64,
        /// The serial seen.
        seen: u64,
    },
    /// DNS denies a policy that is remembered or pinned.
    #[error("DNS denies a policy that is remembered or pinned")]
    PolicyVanished,
    /// A policy in mode `testing` has no usable key; mail went clear if it was allowed to. To be
    /// reported to the domain.
    #[error("the key of a testing policy cannot be used: {0}")]
    TestingKeyUnusable(KeyFailure),
    /// Mail was sealed to a less preferred suite.
    #[error("sealed to a less preferred suite: {0}")]
    WeakerSuite(KeyFailure),
    /// Clear mail by the rule `never` to a domain that asks for `enforce`.
    #[error("clear mail by local rule, although the domain asks for enforce")]
    NeverOverEnforce,
    /// Clear mail by the operator's override, where it would have waited.
    #[error("clear mail by the operator's override, although: {0}")]
    ClearOnFailure(DeferReason),
}
