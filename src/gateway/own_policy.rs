//! The policy of a domain of our own: read and verified here, wherever it is needed.

use crate::core::Domain;
use crate::records::{RecordError, SignedPolicy, VerifiedPolicy, VerifyError};
use crate::store::keyring::Keyring;

/// Why a policy of our own cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The keyring holds none.
    #[error("the keyring holds none")]
    Missing,
    /// It is malformed.
    #[error(transparent)]
    Malformed(#[from] RecordError),
    /// It is not signed for this domain.
    #[error(transparent)]
    NotVerified(#[from] VerifyError),
}

/// The policy in the keyring of `domain`.
///
/// # Errors
///
/// There is none, or [`verified`] refuses it.
pub fn own_policy(keyring: &Keyring, domain: &Domain) -> Result<VerifiedPolicy, PolicyError> {
    verified(keyring.policy().ok_or(PolicyError::Missing)?, domain)
}

/// A text as a policy of `domain`.
///
/// # Errors
///
/// It is malformed, or not signed for the domain.
pub fn verified(text: &str, domain: &Domain) -> Result<VerifiedPolicy, PolicyError> {
    Ok(SignedPolicy::parse(text.as_bytes())?.verify(domain)?)
}
