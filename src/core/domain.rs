//! Domain names as the protocol compares them.

use std::fmt;
use std::str::FromStr;

/// Longest domain name in octets, without the trailing dot (RFC 1035 section 2.3.4).
pub const MAX_DOMAIN: usize = 253;

/// A fully qualified domain name in lower-case A-labels, without trailing dot.
///
/// Two domains are the same identity exactly if their octets are equal [R-id-01]. Address
/// literals are not domains.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

/// Why a text is no [`Domain`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// The name is empty.
    #[error("empty domain name")]
    Empty,
    /// The name has more than [`MAX_DOMAIN`] octets.
    #[error("domain name longer than {MAX_DOMAIN} octets")]
    TooLong,
    /// A label is empty, longer than 63 octets, or has other characters than letters, digits,
    /// inner hyphens and underscores.
    #[error("malformed label in domain name")]
    BadLabel,
    /// The name has a single label, or a last label of digits only, as an IPv4 address does.
    #[error("not a fully qualified domain name")]
    NotQualified,
    /// The internationalised name has no A-label form (UTS 46).
    #[error("domain name has no A-label form")]
    NoALabels,
}

impl Domain {
    /// Reads a domain name as it stands in an address or a command: letters of either case,
    /// U-labels allowed, no trailing dot.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| DomainError::NoALabels)?
        };
        Self::from_a_labels(&ascii)
    }

    /// Reads a name that must already be in its canonical form, as inside an envelope [R-id-01].
    pub fn from_canonical(octets: &[u8]) -> Result<Self, DomainError> {
        let text = std::str::from_utf8(octets).map_err(|_| DomainError::BadLabel)?;
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(DomainError::BadLabel);
        }
        Self::from_a_labels(text)
    }

    fn from_a_labels(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > MAX_DOMAIN {
            return Err(DomainError::TooLong);
        }
        let mut labels = 0;
        let mut last = "";
        for label in text.split('.') {
            if !is_label(label) {
                return Err(DomainError::BadLabel);
            }
            labels += 1;
            last = label;
        }
        if labels < 2 || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DomainError::NotQualified);
        }
        Ok(Self(text.into()))
    }

    /// The name in lower-case A-labels without trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.0)
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
