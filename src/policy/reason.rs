//! Why mail goes clear, waits or is refused, in words for logs and bounces.

use super::{Authenticity, Denial, KeyFailure, Level, LookupFailure, Refusal};

/// Why a message goes clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ClearReason {
    /// The domain has no policy.
    #[error("the domain has no policy")]
    NoPolicy {
        /// How DNS says so.
        denial: Denial,
        /// Whether DNSSEC vouches for it.
        authenticity: Authenticity,
    },
    /// The domain has withdrawn sealing (`none`).
    #[error("the domain has withdrawn sealing")]
    Withdrawn,
    /// The policy is in mode `testing` and its key cannot be used.
    #[error("the domain is testing, and its key cannot be used: {0}")]
    Testing(KeyFailure),
    /// The operator's rule is `never`.
    #[error("local rule")]
    LocalRule,
    /// The operator's override [R-dec-18].
    #[error("the operator's override")]
    LocalAllowance,
}

/// Why a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DeferReason {
    /// The policy cannot be looked up or read.
    #[error("the sealing policy of the domain cannot be used: {0}")]
    Lookup(LookupFailure),
    /// A policy was found but is not acted upon.
    #[error("the sealing policy of the domain cannot be used: {0}")]
    Refused(Refusal),
    /// None of the policy's keys can be used.
    #[error("the domain asks for sealed mail, but its key cannot be used: {0}")]
    Key(KeyFailure),
    /// A weaker key could be used, but the preferred one cannot.
    #[error("the key that the domain prefers cannot be used: {0}")]
    PreferredKey(KeyFailure),
    /// The domain has asked for sealed mail, and there is no key to seal to.
    #[error("the domain has asked for sealed mail, but no policy can be found now")]
    EnforceRemembered,
    /// DNS denies the policy of a sender that is remembered.
    #[error("the domain had a policy, but none can be found now")]
    PolicyVanished,
    /// DNS denies the policy of a sender that is not remembered. A resolver may have kept that answer from before the domain
    /// began to seal.
    #[error("the domain publishes no policy that can be seen from here")]
    UnknownSender,
    /// The policy is not authenticated well enough for the operator.
    #[error("the policy of the domain is known at level {level}, but {minimum} is required")]
    BelowMinimum {
        /// The level of the policy.
        level: Level,
        /// The least that the operator accepts.
        minimum: Level,
    },
    /// That there is no policy is not authenticated well enough for the operator.
    #[error("that the domain has no policy is not authenticated, but level {minimum} is required")]
    DenialBelowMinimum {
        /// The least that the operator accepts.
        minimum: Level,
    },
    /// DNS denies the policy of a pinned domain.
    #[error("the domain is pinned, but no policy can be found")]
    PinnedWithoutPolicy,
    /// The policy of a pinned domain says `none`, and may be an older one [R-dec-28].
    #[error(
        "the domain is pinned and publishes none, but nothing shows that this is not an older answer"
    )]
    WithdrawalUnsupported,
    /// The remembered identity key is not the pinned one.
    #[error("the remembered identity key of the domain is not the pinned one")]
    MemoryNotPinned,
    /// What is remembered of the domain cannot be read, and may forbid what DNS says.
    #[error("what is remembered of the domain is damaged, and may forbid what DNS says now")]
    MemoryDamaged,
}

impl ClearReason {
    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoPolicy { .. } => "no-policy",
            Self::Withdrawn => "withdrawn",
            Self::Testing(_) => "testing-key-unusable",
            Self::LocalRule => "local-rule",
            Self::LocalAllowance => "override",
        }
    }
}

impl DeferReason {
    /// The stable name in logs, metrics and replies on the inside [R-smtp-02]. A key that cannot be used has one name,
    /// whether another could be.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Lookup(failure) => failure.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Key(failure) | Self::PreferredKey(failure) => failure.code(),
            Self::EnforceRemembered => "enforce-remembered",
            Self::PolicyVanished => "policy-vanished",
            Self::UnknownSender => "unknown-sender",
            Self::BelowMinimum { .. } => "below-minimum-level",
            Self::DenialBelowMinimum { .. } => "denial-below-minimum-level",
            Self::PinnedWithoutPolicy => "pinned-without-policy",
            Self::WithdrawalUnsupported => "withdrawal-unsupported",
            Self::MemoryNotPinned => "memory-not-pinned",
            Self::MemoryDamaged => "memory-damaged",
        }
    }

    /// The enhanced status code (RFC 3463, RFC 5248): 4.7.5 for what cryptography refuses, 4.7.0
    /// for the rest.
    #[must_use]
    pub const fn enhanced(&self) -> &'static str {
        match self {
            Self::Lookup(LookupFailure::BadSignature | LookupFailure::Bogus)
            | Self::Refused(Refusal::IdentityChanged | Refusal::PinMismatch)
            | Self::Key(KeyFailure::Mismatch)
            | Self::PreferredKey(KeyFailure::Mismatch)
            | Self::MemoryNotPinned => "4.7.5",
            _ => "4.7.0",
        }
    }
}

/// Why a message is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RejectReason {
    /// It must be sealed, and the domain cannot unseal.
    #[error("mail to the domain must be sealed, but the domain publishes no key")]
    NoPolicy,
    /// It must be sealed, and the domain has withdrawn sealing.
    #[error("mail to the domain must be sealed, but the domain has withdrawn sealing")]
    Withdrawn,
    /// It must be sealed, and the operator forbids it.
    #[error("the message must be sealed, but local rule forbids sealing to the domain")]
    LocalRule,
}

impl RejectReason {
    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoPolicy => "no-policy",
            Self::Withdrawn => "withdrawn",
            Self::LocalRule => "local-rule",
        }
    }

    /// The enhanced status code (RFC 5248): 5.7.10, encryption needed.
    #[must_use]
    pub const fn enhanced(&self) -> &'static str {
        "5.7.10"
    }
}

/// Why the claimed sender of a sealed message is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefuseReason {
    /// The policy of the domain lists no signing key.
    #[error("the policy of the sender's domain lists no signing key")]
    NoSigningKey,
}

impl RefuseReason {
    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSigningKey => "no-signing-key",
        }
    }

    /// The enhanced status code (RFC 5248): 5.7.7, message integrity failure.
    #[must_use]
    pub const fn enhanced(&self) -> &'static str {
        "5.7.7"
    }
}
