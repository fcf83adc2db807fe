//! Files that hold a secret and belong to no keyring: read only if others cannot.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::permissions::{self, PermissionError};

/// Most octets of such a file: a guard against reading something else.
const MAX_FILE: u64 = 1 << 20;

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Others have access.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// The file is no text, or far too long.
    #[error("{}: not a text of at most 1 MiB", .0.display())]
    NotText(PathBuf),
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl SecretError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Permission(error) => error.hint(),
            Self::NotText(_) | Self::Io { .. } => None,
        }
    }
}

/// Reads a file that others cannot read.
///
/// # Errors
///
/// [`SecretError`]: the file cannot be read, or others can read it, as [`permissions::secret`] has it.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    permissions::secret(path)?;
    let failed = |source| SecretError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() > MAX_FILE {
        return Err(SecretError::NotText(path.to_owned()));
    }
    // One octet more than there are, so that the buffer need not grow and leave copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    Read::by_ref(&mut file).take(MAX_FILE).read_to_end(&mut octets).map_err(failed)?;
    match std::str::from_utf8(&octets) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(SecretError::NotText(path.to_owned())),
    }
}
