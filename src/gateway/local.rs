//! What the gateway needs to act for one of its own domains.

use std::path::Path;
use std::sync::Arc;

use super::config::LocalDomain;
use super::dkim::{self, DkimStartError};
use super::own_policy::{PolicyError, own_policy};
use crate::core::{Domain, SigningKey};
use crate::mail::dkim::CarrierSigner;
use crate::records::VerifiedPolicy;
use crate::store::keyring::{Keyring, KeyringError, Passphrase};

/// The keys of a local domain and the policy it publishes.
pub struct LocalKeys {
    /// The private keys.
    pub(super) keyring: Keyring,
    /// Signs what is sealed.
    pub(super) signing: SigningKey,
    /// The published policy.
    pub(super) policy: VerifiedPolicy,
    /// Sign its carriers; none if the gateway is not to.
    pub(super) dkim: Arc<[CarrierSigner]>,
}

/// Why a domain's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalKeysError {
    /// The keyring cannot be read.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The keyring holds no policy of this domain.
    #[error("policy record: {0}")]
    Policy(#[from] PolicyError),
    /// The policy lists no signing key whose private part is in the keyring.
    #[error("no signing key of the policy is in the keyring")]
    NoSigningKey,
    /// A DKIM key cannot be used.
    #[error(transparent)]
    Dkim(#[from] DkimStartError),
}

impl LocalKeysError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Keyring(error) => error.hint(),
            Self::Dkim(error) => error.hint(),
            _ => Some("`mta-seal zone` shows what the keyring publishes".to_owned()),
        }
    }
}

impl LocalKeys {
    /// Reads everything that the configuration names for a domain.
    pub fn of(local: &LocalDomain) -> Result<Self, LocalKeysError> {
        let passphrase = passphrase(local)?;
        Self::unlocked(local, passphrase.as_ref())
    }

    /// The same with the passphrase of its keyring, if it is protected.
    pub(super) fn unlocked(
        local: &LocalDomain,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, LocalKeysError> {
        let keyring = Keyring::load_with(&local.keys, passphrase)?;
        Ok(Self::new(keyring, &local.name)?.with_dkim(dkim::signers(local)?))
    }

    /// The same, with signers of its carriers.
    #[must_use]
    pub fn with_dkim(mut self, signers: Vec<CarrierSigner>) -> Self {
        self.dkim = signers.into();
        self
    }

    /// Octets that DKIM puts before each carrier.
    pub(super) fn dkim_len(&self) -> u64 {
        self.dkim.iter().map(CarrierSigner::field_len).sum()
    }

    /// Reads the keyring of `domain` in `directory`.
    pub fn load(directory: &Path, domain: &Domain) -> Result<Self, LocalKeysError> {
        Self::new(Keyring::load(directory)?, domain)
    }

    /// Takes a keyring of `domain`.
    pub fn new(keyring: Keyring, domain: &Domain) -> Result<Self, LocalKeysError> {
        let policy = own_policy(&keyring, domain)?;
        let listed = policy.record().signing_keys.iter().map(|key| key.key_id());
        let signing = keyring.signing_key(listed).cloned().ok_or(LocalKeysError::NoSigningKey)?;
        Ok(Self { keyring, signing, policy, dkim: Arc::new([]) })
    }
}

/// The passphrase that the configuration names, if the keyring of the domain is protected.
pub(super) fn passphrase(local: &LocalDomain) -> Result<Option<Passphrase>, KeyringError> {
    Ok(match &local.passphrase {
        Some(path) if Keyring::needs_passphrase(&local.keys)? => Some(Passphrase::read(path)?),
        _ => None,
    })
}
