//! Files that hold a secret, such as a password: read only if nobody else can.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::credential;
use super::permissions::{self, PermissionError};

/// Most octets of such a file: a guard against reading something else.
pub const MAX_FILE: u64 = 1 << 20;

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Others have access.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// It has more than [`MAX_FILE`] octets, or is no text.
    #[error("{}: {what}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl SecretFileError {
    /// What would help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Permission(error) => error.hint(),
            Self::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(match credential::of(path) {
                    Some(name) => {
                        format!("LoadCredential={name}:FILE in the unit of the service hands it")
                    }
                    None => "correct the path, or put the file there".to_owned(),
                })
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run this as the user of the gateway, or as root".to_owned())
            }
            Self::Malformed { .. } | Self::Io { .. } => None,
        }
    }
}

/// Reads a file that others cannot read.
///
/// # Errors
///
/// It cannot be read, others have access as [`permissions::secret`] has it, or it is no text.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let io = |source| SecretFileError::Io { path: path.to_owned(), source };
    let malformed = |what| SecretFileError::Malformed { path: path.to_owned(), what };
    permissions::handed(path)?;
    // Without waiting for somebody who writes into a pipe.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(io)?;
    // Of the very file that is read.
    let metadata = file.metadata().map_err(io)?;
    permissions::secret_as(path, &metadata)?;
    if !metadata.is_file() {
        return Err(malformed("not a file"));
    }
    if metadata.len() > MAX_FILE {
        return Err(malformed("too large for a secret"));
    }
    // One octet more than there are, so that the buffer need not grow and leave copies behind.
    let len = usize::try_from(metadata.len()).unwrap_or(0);
    let mut octets = Zeroizing::new(Vec::with_capacity(len + 1));
    file.by_ref().take(MAX_FILE).read_to_end(&mut octets).map_err(io)?;
    let text = std::str::from_utf8(&octets).map_err(|_| malformed("not a text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
