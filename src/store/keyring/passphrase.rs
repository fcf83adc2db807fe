//! The passphrase that an operator gives a keyring or an export of one.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use super::age_file::{self, Failed};
use crate::store::secret_file::{self, SecretFileError};

/// One slow derivation at a time in this process: each takes 256 MiB, and the keyrings of many domains may be opened at once.
static DERIVING: Mutex<()> = Mutex::new(());

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
            Self::Form => Some("the file that holds it has one line and nothing else".to_owned()),
        }
    }
}

/// A passphrase; wiped from memory when dropped. It, and what was cloned from it, remembers what it has opened last, so that a keyring
/// that is read again and again costs the slow derivation once.
#[derive(Clone)]
pub struct Passphrase {
    text: Zeroizing<String>,
    opened: Arc<Mutex<Option<Opened>>>,
}

/// An encrypted text and what it holds.
struct Opened {
    encrypted: Zeroizing<String>,
    secret: Zeroizing<String>,
}

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
        Ok(Self { text, opened: Arc::default() })
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
        self.text == other.text
    }

    pub(super) fn secret(&self) -> SecretString {
        SecretString::from(self.text.as_str())
    }

    /// What `encrypted` holds, if this passphrase opens it.
    pub(super) fn open(&self, encrypted: &Zeroizing<String>) -> Result<Zeroizing<String>, Failed> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.as_ref().filter(|known| known.encrypted == *encrypted) {
            return Ok(known.secret.clone());
        }
        let secret = {
            let _one = DERIVING.lock().unwrap_or_else(PoisonError::into_inner);
            age_file::decrypt(self.secret(), encrypted.as_bytes())?
        };
        let secret = Zeroizing::new(secret.trim_end().to_owned());
        *opened = Some(Opened { encrypted: encrypted.clone(), secret: secret.clone() });
        Ok(secret)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}
