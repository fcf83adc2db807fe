//! What can go wrong, sorted by whose fault it is.

use std::fmt;

use super::suite::SuiteId;

/// What this implementation of version 1 does not know [R-env-03] [R-con-01].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The header has another version than 1.
    #[error("envelope version {0}")]
    Version(u8),
    /// The header names a suite that is not in the table [R-suite-01].
    #[error("suite {0}")]
    Suite(SuiteId),
    /// An unknown extension is marked critical.
    #[error("critical extension {0}")]
    CriticalExtension(u16),
    /// The prefix has a type other than mail and receipt.
    #[error("content type {0}")]
    ContentType(u8),
}

/// The step of unsealing at which an envelope failed, in the order of the steps.
///
/// For logs and test vectors; replies to the outside do not tell the cryptographic ones apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Header, `enc` and sealed key [R-env-01].
    Header,
    /// HPKE opening of the content key [R-env-05].
    Hpke,
    /// Key commitment of the body [R-env-07].
    Commitment,
    /// Decryption of a chunk of the body; tampering and truncation inside a chunk look alike.
    Chunk,
    /// Encoding of the prefix [R-con-01].
    Prefix,
    /// Opening signature [R-con-03].
    OpeningSignature,
    /// Framing of the blocks [R-con-04].
    Block,
    /// Length and octets of the padding [R-con-05].
    Padding,
    /// Closing signature [R-con-06].
    ClosingSignature,
    /// The envelope ends before its last chunk.
    Truncated,
}

impl Stage {
    /// The name used in logs and test vectors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Hpke => "hpke",
            Self::Commitment => "commitment",
            Self::Chunk => "chunk",
            Self::Prefix => "prefix",
            Self::OpeningSignature => "opening-signature",
            Self::Block => "block",
            Self::Padding => "padding",
            Self::ClosingSignature => "closing-signature",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an encoded structure cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside the named field.
    #[error("input ends inside {0}")]
    Truncated(&'static str),
    /// The named field has a value or length that its definition excludes.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Octets follow the named structure.
    #[error("octets after {0}")]
    Leftover(&'static str),
    /// A number or length goes beyond its limit.
    #[error("{what} above the limit of {limit}")]
    TooLarge {
        /// Field or structure.
        what: &'static str,
        /// Most octets or elements allowed.
        limit: usize,
    },
    /// Well-formed but unknown to this version.
    #[error("unsupported {0}")]
    Unsupported(Unsupported),
}

/// A value that does not fit its field on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} above the limit of {limit}")]
pub struct EncodeError {
    /// Field or structure.
    pub what: &'static str,
    /// Most octets or elements allowed.
    pub limit: usize,
}

/// Why a message could not be sealed. All causes are local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A part of header or prefix is beyond its limit.
    #[error(transparent)]
    TooLarge(#[from] EncodeError),
    /// HPKE refused the recipient's public key.
    #[error("encapsulation to the recipient's key failed")]
    Encapsulation,
    /// The symmetric encryption failed, or the message has more than 2^38 chunks.
    #[error("encryption of the body failed")]
    Encryption,
}

/// Why an envelope was not unsealed, sorted by fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The octets do not have the form that the specification demands.
    #[error("malformed {stage}: {what}")]
    Malformed {
        /// Where it was found.
        stage: Stage,
        /// Field or structure.
        what: &'static str,
    },
    /// Well-formed, but of a version, suite, critical extension or type that is not known here.
    #[error("unsupported {what} in the {stage}")]
    Unsupported {
        /// Where it was found.
        stage: Stage,
        /// What is not known.
        what: Unsupported,
    },
    /// A limit of the specification is exceeded.
    #[error("{what} above the limit of {limit}")]
    TooLarge {
        /// Where it was found.
        stage: Stage,
        /// Field or structure.
        what: &'static str,
        /// Most octets or elements allowed.
        limit: usize,
    },
    /// The caller has no key, or offered another key than the one named. Nothing was decrypted, or
    /// nothing released.
    #[error("the {0} key that is named is not at hand")]
    UnknownKey(NamedKey),
    /// A cryptographic check failed: altered, truncated, spliced, or made with other keys.
    #[error("not authentic: {0}")]
    Unauthentic(Stage),
}

/// Which of the keys that an envelope names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedKey {
    /// `key_id` of the header.
    Sealing,
    /// `signing_key_id` of the prefix.
    Signing,
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealing => "sealing",
            Self::Signing => "signing",
        })
    }
}

impl UnsealError {
    /// The step at which unsealing failed.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Malformed { stage, .. }
            | Self::Unsupported { stage, .. }
            | Self::TooLarge { stage, .. }
            | Self::Unauthentic(stage) => *stage,
            Self::UnknownKey(NamedKey::Sealing) => Stage::Hpke,
            Self::UnknownKey(NamedKey::Signing) => Stage::OpeningSignature,
        }
    }

    /// The error of a structure that was read at `stage`.
    pub(crate) const fn decode(stage: Stage, error: DecodeError) -> Self {
        match error {
            DecodeError::Truncated(what)
            | DecodeError::Malformed(what)
            | DecodeError::Leftover(what) => Self::Malformed { stage, what },
            DecodeError::TooLarge { what, limit } => Self::TooLarge { stage, what, limit },
            DecodeError::Unsupported(what) => Self::Unsupported { stage, what },
        }
    }
}

/// Why octets are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key has another length than its suite or algorithm demands.
    #[error("key has {found} octets instead of {expected}")]
    Length {
        /// Octets demanded.
        expected: usize,
        /// Octets found.
        found: usize,
    },
    /// The suite is not in the table [R-suite-01].
    #[error("unknown suite {0}")]
    UnknownSuite(SuiteId),
    /// The algorithm's own validation refuses the key, or the encoding is not canonical.
    #[error("invalid public key")]
    Invalid,
    /// The key, or its X25519 part, is of small order [R-suite-04] [R-sig-01].
    #[error("degenerate public key")]
    SmallOrder,
    /// The text is no unencrypted PKCS#8 PEM file of an Ed25519 key (RFC 8410).
    #[error("not a PKCS#8 PEM file of an Ed25519 private key")]
    Pem,
}
