//! What an operator must hear of [R-alm-01].

use std::fmt;
use std::str::FromStr;

use crate::core::KeyId;

use super::{DeferReason, KeyFailure, Level, LookupFailure};

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
    /// DNS denies a policy that is remembered or pinned, or shows an unsupported `none` of a pinned domain [R-dec-28].
    #[error("DNS denies a policy that is remembered or pinned, or withdraws it without proof")]
    PolicyVanished,
    /// DNS gives a forged or broken answer about a policy that is remembered or pinned.
    #[error("DNS does not give the policy that is remembered or pinned: {0}")]
    PolicyNotAuthentic(LookupFailure),
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
    /// What the ledger holds of the domain cannot be read, so that the domain counts as unknown.
    #[error("what is remembered of the domain is damaged and not used")]
    MemoryDamaged,
    /// There is no room to remember the domain, so that it counts as unknown the next time.
    #[error("there is no room to remember the domain")]
    MemoryFull,
    /// A key of our own domain is used beyond its time, since its successor cannot be used [R-life-05].
    #[error("{0}")]
    RotationLate(String),
    /// A record of our own domain is not published, or not withdrawn, everywhere.
    #[error("{0}")]
    RecordMissing(String),
    /// The policy of our own domain ends, and none is there to follow it.
    #[error(
        "the policy of this domain ends at {at} (Unix seconds), and none is ready to take its place"
    )]
    PolicyEnds {
        /// Its expiry, Unix seconds.
        at: u64,
    },
    /// The clock has jumped, or the gateway was away for long [R-life-09].
    #[error(
        "the clock has jumped: keys and policies stay as they are until it has been steady for an hour"
    )]
    ClockJumped,
    /// Somebody else signs policies with the identity key of our own domain [R-life-15].
    #[error("{0}")]
    AnotherSigner(String),
    /// The keys of our own domain cannot be tended.
    #[error("the keys of this domain cannot be tended: {0}")]
    RotationFailed(String),
}

impl Alarm {
    /// What sort of event it is.
    #[must_use]
    pub const fn kind(&self) -> AlarmKind {
        match self {
            Self::IdentityChanged { .. } => AlarmKind::IdentityChanged,
            Self::IdentityReplaced { .. } => AlarmKind::IdentityReplaced,
            Self::IdentityRolledOver { .. } => AlarmKind::IdentityRolledOver,
            Self::PinMismatch { .. } => AlarmKind::PinMismatch,
            Self::SerialBack { .. } => AlarmKind::SerialBack,
            Self::PolicyVanished => AlarmKind::PolicyVanished,
            Self::PolicyNotAuthentic(_) => AlarmKind::PolicyNotAuthentic,
            Self::TestingKeyUnusable(_) => AlarmKind::TestingKeyUnusable,
            Self::WeakerSuite(_) => AlarmKind::WeakerSuite,
            Self::NeverOverEnforce => AlarmKind::NeverOverEnforce,
            Self::ClearOnFailure(_) => AlarmKind::ClearOnFailure,
            Self::MemoryDamaged => AlarmKind::MemoryDamaged,
            Self::MemoryFull => AlarmKind::MemoryFull,
            Self::RotationLate(_) => AlarmKind::RotationLate,
            Self::RecordMissing(_) => AlarmKind::RecordMissing,
            Self::PolicyEnds { .. } => AlarmKind::PolicyEnds,
            Self::ClockJumped => AlarmKind::ClockJumped,
            Self::AnotherSigner(_) => AlarmKind::AnotherSigner,
            Self::RotationFailed(_) => AlarmKind::RotationFailed,
        }
    }
}

/// How much an alarm matters, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// To be known; nobody has to do anything.
    Notice,
    /// Mail is less protected than it could be, or will be.
    Warning,
    /// It looks like an attack: a key has changed, or protection is being taken away.
    Critical,
}

impl Severity {
    /// All severities, least first.
    pub const ALL: [Self; 3] = [Self::Notice, Self::Warning, Self::Critical];

    /// The name used in logs, metrics and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The sorts of alarms. Their names are stable: they stand in the ledger, in metrics and in scripts of operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// [`Alarm::IdentityChanged`].
    IdentityChanged,
    /// [`Alarm::IdentityReplaced`].
    IdentityReplaced,
    /// [`Alarm::IdentityRolledOver`].
    IdentityRolledOver,
    /// [`Alarm::PinMismatch`].
    PinMismatch,
    /// [`Alarm::SerialBack`].
    SerialBack,
    /// [`Alarm::PolicyVanished`].
    PolicyVanished,
    /// [`Alarm::PolicyNotAuthentic`].
    PolicyNotAuthentic,
    /// [`Alarm::TestingKeyUnusable`].
    TestingKeyUnusable,
    /// [`Alarm::WeakerSuite`].
    WeakerSuite,
    /// [`Alarm::NeverOverEnforce`].
    NeverOverEnforce,
    /// [`Alarm::ClearOnFailure`].
    ClearOnFailure,
    /// [`Alarm::MemoryDamaged`].
    MemoryDamaged,
    /// [`Alarm::MemoryFull`].
    MemoryFull,
    /// [`Alarm::RotationLate`].
    RotationLate,
    /// [`Alarm::RecordMissing`].
    RecordMissing,
    /// [`Alarm::PolicyEnds`].
    PolicyEnds,
    /// [`Alarm::ClockJumped`].
    ClockJumped,
    /// [`Alarm::AnotherSigner`].
    AnotherSigner,
    /// [`Alarm::RotationFailed`].
    RotationFailed,
}

impl AlarmKind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::IdentityChanged,
        Self::IdentityReplaced,
        Self::IdentityRolledOver,
        Self::PinMismatch,
        Self::SerialBack,
        Self::PolicyVanished,
        Self::PolicyNotAuthentic,
        Self::TestingKeyUnusable,
        Self::WeakerSuite,
        Self::NeverOverEnforce,
        Self::ClearOnFailure,
        Self::MemoryDamaged,
        Self::MemoryFull,
        Self::RotationLate,
        Self::RecordMissing,
        Self::PolicyEnds,
        Self::ClockJumped,
        Self::AnotherSigner,
        Self::RotationFailed,
    ];

    /// The one table of names and severities, which is that of the draft [R-alm-01].
    const fn row(self) -> (&'static str, Severity) {
        match self {
            Self::IdentityChanged => ("identity-changed", Severity::Critical),
            Self::IdentityReplaced => ("identity-replaced", Severity::Critical),
            Self::IdentityRolledOver => ("identity-rolled-over", Severity::Notice),
            Self::PinMismatch => ("pin-mismatch", Severity::Critical),
            Self::SerialBack => ("serial-back", Severity::Warning),
            Self::PolicyVanished => ("policy-vanished", Severity::Critical),
            Self::PolicyNotAuthentic => ("policy-not-authentic", Severity::Warning),
            Self::TestingKeyUnusable => ("testing-key-unusable", Severity::Warning),
            Self::WeakerSuite => ("weaker-suite", Severity::Warning),
            Self::NeverOverEnforce => ("never-over-enforce", Severity::Warning),
            Self::ClearOnFailure => ("clear-on-failure", Severity::Warning),
            Self::MemoryDamaged => ("memory-damaged", Severity::Critical),
            Self::MemoryFull => ("memory-full", Severity::Warning),
            Self::RotationLate => ("rotation-late", Severity::Warning),
            Self::RecordMissing => ("record-missing", Severity::Warning),
            Self::PolicyEnds => ("policy-ends", Severity::Warning),
            Self::ClockJumped => ("clock-jumped", Severity::Warning),
            Self::AnotherSigner => ("another-signer", Severity::Critical),
            Self::RotationFailed => ("rotation-failed", Severity::Warning),
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.row().1
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no [`AlarmKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of alarm")]
pub struct UnknownAlarm;

impl FromStr for AlarmKind {
    type Err = UnknownAlarm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownAlarm)
    }
}
