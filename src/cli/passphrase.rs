//! Where the passphrase of a keyring comes from: a file, or the terminal; never the command line, which others can read.

use super::failure::Failure;
use super::terminal;
use crate::store::keyring::{Keyring, KeyringError, Passphrase, PassphraseError};
use crate::store::permissions;
use std::path::{Path, PathBuf};

/// Names a file with the passphrase, before `passphrase` of the configuration.
const VARIABLE: &str = "MTA_SEAL_PASSPHRASE_FILE";

/// Reads a keyring; `configured` is the file that its `[[domain]]` names.
pub(super) fn keyring(directory: &Path, configured: Option<&Path>) -> Result<Keyring, Failure> {
    let passphrase = existing(directory, configured)?;
    Ok(Keyring::load_with(directory, passphrase.as_ref())?)
}

/// The passphrase of a keyring; none if it needs none.
pub(super) fn existing(
    directory: &Path,
    configured: Option<&Path>,
) -> Result<Option<Passphrase>, Failure> {
    if !Keyring::needs_passphrase(directory)? {
        return Ok(None);
    }
    if let Some(passphrase) = from_file(configured)? {
        return Ok(Some(passphrase));
    }
    if !terminal::can_ask() {
        return Err(KeyringError::Protected(directory.to_owned()).into());
    }
    let text = terminal::ask_secret(&format!("passphrase of {}: ", directory.display()))?;
    Ok(Some(Passphrase::new(text)?))
}

/// The passphrase that a keyring is to have from now on.
pub(super) fn new(configured: Option<&Path>) -> Result<Passphrase, Failure> {
    match from_file(configured)? {
        Some(passphrase) => Ok(passphrase),
        None => Ok(Passphrase::new(terminal::new_secret("passphrase")?)?),
    }
}

/// The passphrase in the file that the environment or the configuration names.
fn from_file(configured: Option<&Path>) -> Result<Option<Passphrase>, Failure> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    match named.as_deref().or(configured) {
        // The service has its credentials, a command on a terminal has not.
        Some(path) if permissions::handed(path).is_err() && terminal::can_ask() => Ok(None),
        Some(path) => Ok(Some(Passphrase::read(path)?)),
        None => Ok(None),
    }
}

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        KeyringError::from(error).into()
    }
}
