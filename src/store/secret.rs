//! Files that hold a secret and belong to no keyring: read only if nobody else can read them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Most octets of such a file: a guard against reading something else.
const MAX_FILE: u64 = 1 << 20;

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Others than the owner have access.
    #[error("{} is open to other users (mode {mode:04o})", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
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
            Self::Open { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::NotText(_) | Self::Io { .. } => None,
        }
    }
}

/// Reads a file that only its owner can read. The check is of the very file that is read.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source| SecretError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
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
