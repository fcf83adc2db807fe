//! What the operator and the message ask for.

use std::fmt;
use std::str::FromStr;

use crate::core::KeyId;

use super::Level;

/// The operator's rule for a destination [R-dec-03].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rule {
    /// Mail is sealed or does not leave.
    Require,
    /// Mail is sealed where the destination can unseal it.
    #[default]
    Prefer,
    /// Mail is never sealed; the operator wins over a remembered `enforce`.
    Never,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Require, Self::Prefer, Self::Never];

    /// The name used in configuration and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Prefer => "prefer",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no [`Rule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a rule: expected require, prefer or never")]
pub struct UnknownRule;

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == text).ok_or(UnknownRule)
    }
}

/// What the operator allows for one destination beyond the rules; nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowances {
    /// Seal to a less preferred suite if the key of the preferred one cannot be had [R-dec-17].
    pub weaker_suite: bool,
    /// For a while: seal to whatever key of the policy can be used, and send clear mail where the message
    /// would wait otherwise. The operator has named the domain, a time and a reason, so this wins over a remembered
    /// `enforce`, a pin and a minimum level; never over [`Rule::Require`] or the demand of the message [R-dec-18].
    pub clear_on_failure: bool,
}

/// The operator's policy for one destination. The default is that of an unlisted domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalPolicy {
    /// The rule.
    pub rule: Rule,
    /// The weakest level at which a policy is acted upon.
    pub minimum_level: Level,
    /// Fingerprint of the destination's identity key, compared out of band.
    pub pin: Option<KeyId>,
    /// Exceptions to the rules.
    pub allow: Allowances,
}

impl Default for LocalPolicy {
    fn default() -> Self {
        Self {
            rule: Rule::Prefer,
            minimum_level: Level::FirstUse,
            pin: None,
            allow: Allowances::default(),
        }
    }
}

/// What the message itself asks for, by its header or an onward gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Demand {
    /// Nothing.
    #[default]
    Absent,
    /// To be sealed or not to leave [R-dec-05].
    Sealed,
}
