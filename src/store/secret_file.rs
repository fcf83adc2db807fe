//! Files that hold a secret, such as a password: read only if nobody else can.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Most octets of such a file: a guard against reading something else.
pub const MAX_FILE: u64 = 65_536;

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Others than the owner have access.
    #[error("{} is open to other users (mode {mode:04o})", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The owner is neither root nor the user this process runs as.
    #[error("{} belongs to user {owner}, not to user {own}, who is reading it", .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Numeric user id of the owner.
        owner: u32,
        /// Numeric user id of this process.
        own: u32,
    },
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
            Self::Open { path, .. } => Some(format!(
                "the secret counts as known to them: change it, and chmod 600 {}",
                path.display()
            )),
            Self::Owner { path, own, .. } => Some(format!("chown {own} {}", path.display())),
            Self::Malformed { .. } | Self::Io { .. } => None,
        }
    }
}

/// Reads a file of mode 0600 or less. The check is of the very file that is read.
///
/// # Errors
///
/// It cannot be read, others have access, it belongs to another user than root and this one, or it is no text.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let io = |source| SecretFileError::Io { path: path.to_owned(), source };
    let malformed = |what| SecretFileError::Malformed { path: path.to_owned(), what };
    let mut file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != own && owner != 0 {
        return Err(SecretFileError::Owner { path: path.to_owned(), owner, own });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Open { path: path.to_owned(), mode });
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
