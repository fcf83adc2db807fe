//! The signers of a local domain's carriers, from its configuration.

use std::path::PathBuf;

use super::config::LocalDomain;
use crate::mail::dkim::{CarrierSigner, DkimError, DkimKey, DkimKeyError};
use crate::store::secret_file::{self, SecretFileError};

/// Why a DKIM key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DkimStartError {
    /// Its file cannot be read, or others can read it.
    #[error("dkim: {0}")]
    Read(SecretFileError),
    /// Its file holds no usable key.
    #[error("dkim: {}: {error}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: DkimKeyError,
    },
    /// It does not sign.
    #[error("dkim: {}: {error}", .path.display())]
    Sign {
        /// The file.
        path: PathBuf,
        /// What failed.
        error: DkimError,
    },
}

impl DkimStartError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read(SecretFileError::Permission(error)) => error.hint(),
            _ => {
                Some("make a key with `mta-seal dkim`, or correct `dkim` of the domain".to_owned())
            }
        }
    }
}

/// Reads the keys that `dkim` of a domain names, in that order, with what is to be published of each. Blocks while it reads
/// files.
///
/// # Errors
///
/// A key cannot be read or used.
pub fn keys(local: &LocalDomain) -> Result<Vec<DkimKey>, DkimStartError> {
    let read = |path: &PathBuf| {
        let text = secret_file::read(path).map_err(DkimStartError::Read)?;
        DkimKey::from_pem(&text).map_err(|error| DkimStartError::Key { path: path.clone(), error })
    };
    local.dkim.iter().map(|entry| read(&entry.key)).collect()
}

/// The signers that `dkim` of a domain asks for; each has made a signature already. Blocks while it reads files.
///
/// # Errors
///
/// A key cannot be read or used.
pub fn signers(local: &LocalDomain) -> Result<Vec<CarrierSigner>, DkimStartError> {
    let entries = local.dkim.iter().zip(keys(local)?);
    entries
        .map(|(entry, key)| {
            CarrierSigner::new(&local.name, &entry.selector, key)
                .map_err(|error| DkimStartError::Sign { path: entry.key.clone(), error })
        })
        .collect()
}
