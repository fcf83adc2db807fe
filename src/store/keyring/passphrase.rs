//! The passphrase that an operator gives a keyring or an export of one.

use std::fmt;
use std::path::Path;

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use crate::store::secret_file::{self, SecretFileError};

/// Most octets of a passphrase.
const MAX: usize = 1_024;

/// Why a passphrase cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Its file cannot be read, or others can read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// It is empty, too long, or not one line.
    #[error("a passphrase is one line of 1 to 1,024 octets without control characters")]
    Form,
}

impl PassphraseError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Form => None,
        }
    }
}

/// A passphrase; wiped from memory when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes what was typed, without its line end.
    ///
    /// # Errors
    ///
    /// [`PassphraseError::Form`].
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.is_empty() || text.len() > MAX || text.chars().any(char::is_control) {
            return Err(PassphraseError::Form);
        }
        Ok(Self(text))
    }

    /// Reads it from a file that others cannot read; a line end does not belong to it.
    ///
    /// # Errors
    ///
    /// [`PassphraseError`].
    pub fn read(path: &Path) -> Result<Self, PassphraseError> {
        let mut text = secret_file::read(path)?;
        let line = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(line);
        Self::new(text)
    }

    /// Whether two are the same; for one that was typed twice.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    pub(super) fn secret(&self) -> SecretString {
        SecretString::from(self.0.as_str())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}
