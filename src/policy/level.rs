//! How well a domain's identity key is known.

use std::fmt;
use std::str::FromStr;

/// The authenticity of a policy, weakest first [R-dec-01].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Never seen before, and not authenticated by DNSSEC.
    FirstUse,
    /// Signed by the same identity key as before, rollovers followed.
    Remembered,
    /// Found through an unbroken DNSSEC chain.
    Dnssec,
    /// Signed by the identity key whose fingerprint the operator compared out of band.
    Pinned,
}

impl Level {
    /// All levels, weakest first.
    pub const ALL: [Self; 4] = [Self::FirstUse, Self::Remembered, Self::Dnssec, Self::Pinned];

    /// The name used in configuration, logs and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstUse => "first-use",
            Self::Remembered => "remembered",
            Self::Dnssec => "dnssec",
            Self::Pinned => "pinned",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no [`Level`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a level: expected first-use, remembered, dnssec or pinned")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(UnknownLevel)
    }
}
