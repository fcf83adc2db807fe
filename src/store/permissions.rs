//! Who else may read or write what the gateway depends on.
//!
//! Nothing here opens a file: it tells an administrator of a slip before the gateway runs with it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The superuser, who can read and write everything anyway.
const ROOT: u32 = 0;

/// Why a file is not safe to use.
#[derive(Debug, thiserror::Error)]
pub enum PermissionError {
    /// Others may read or write it.
    #[error("{} is open to other users (mode {mode:04o}): {why}", .path.display())]
    Open {
        /// File or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The change of `chmod` that closes it.
        change: &'static str,
        /// What they could do.
        why: &'static str,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, not to user {own}, who runs this: {why}", .path.display())]
    Owner {
        /// File or directory.
        path: PathBuf,
        /// Numeric user id of the owner.
        owner: u32,
        /// Numeric user id of this process.
        own: u32,
        /// What the owner could do.
        why: &'static str,
    },
    /// It cannot be looked at.
    #[error("{}: {source}", .path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl PermissionError {
    /// What the administrator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open { path, change, .. } => Some(format!("chmod {change} {}", path.display())),
            Self::Owner { path, owner, own, .. } if *own == ROOT => Some(format!(
                "run as user {owner} (systemd: `User=`), or chown root {}",
                path.display()
            )),
            Self::Owner { path, own, .. } => {
                Some(format!("chown {own} {}, or run as its owner", path.display()))
            }
            Self::Io { .. } => None,
        }
    }
}

/// Refuses a file with a secret that others can read, such as a private key or a password. A file of root's may be
/// readable by a group, which is how systemd and Debian hand keys to a service. A file that is not there is left to
/// whoever reads it.
///
/// # Errors
///
/// [`PermissionError`], with what to change.
pub fn secret(path: &Path) -> Result<(), PermissionError> {
    metadata(path)?.map_or(Ok(()), |file| secret_as(path, &file))
}

/// The same for a file whose metadata are known.
///
/// # Errors
///
/// [`PermissionError`], with what to change.
pub fn secret_as(path: &Path, file: &Metadata) -> Result<(), PermissionError> {
    let own = rustix::process::geteuid().as_raw();
    let foreign_root = file.uid() == ROOT && own != ROOT;
    let (others, change) = if foreign_root { (0o037, "g-wx,o=") } else { (0o077, "600") };
    owned(path, file, own, true, "its owner can read and change the secret")?;
    closed(path, file, others, change, "the secret in it counts as known to them")
}

/// Refuses a file that says what the gateway does, such as its configuration, if others can write it.
///
/// # Errors
///
/// [`PermissionError`], with what to change.
pub fn trusted(path: &Path) -> Result<(), PermissionError> {
    unchanged(path, "its owner decides where mail goes", "they could decide where mail goes")
}

/// Refuses a command that the gateway runs, if others can write it.
///
/// # Errors
///
/// [`PermissionError`], with what to change.
pub fn command(path: &Path) -> Result<(), PermissionError> {
    unchanged(path, "the gateway would run what its owner likes", "it would run what they like")
}

/// `owner` and `others` say what they could do.
fn unchanged(
    path: &Path,
    owner: &'static str,
    others: &'static str,
) -> Result<(), PermissionError> {
    let Some(file) = metadata(path)? else { return Ok(()) };
    let own = rustix::process::geteuid().as_raw();
    owned(path, &file, own, true, owner)?;
    closed(path, &file, 0o022, "go-w", others)
}

/// Refuses a file or directory of the gateway's own, such as its state, if others can read or write it.
///
/// # Errors
///
/// [`PermissionError`], with what to change.
pub fn private(path: &Path) -> Result<(), PermissionError> {
    let Some(file) = metadata(path)? else { return Ok(()) };
    let own = rustix::process::geteuid().as_raw();
    owned(path, &file, own, false, "its owner can read and change what the gateway remembers")?;
    let change = if file.is_dir() { "700" } else { "600" };
    closed(path, &file, 0o077, change, "it says who writes to whom")
}

fn metadata(path: &Path) -> Result<Option<Metadata>, PermissionError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PermissionError::Io { path: path.to_owned(), source }),
    }
}

fn owned(
    path: &Path,
    file: &Metadata,
    own: u32,
    or_root: bool,
    why: &'static str,
) -> Result<(), PermissionError> {
    let owner = file.uid();
    if owner == own || (or_root && owner == ROOT) {
        return Ok(());
    }
    Err(PermissionError::Owner { path: path.to_owned(), owner, own, why })
}

fn closed(
    path: &Path,
    file: &Metadata,
    others: u32,
    change: &'static str,
    why: &'static str,
) -> Result<(), PermissionError> {
    let mode = file.mode() & 0o7777;
    if mode & others == 0 {
        return Ok(());
    }
    Err(PermissionError::Open { path: path.to_owned(), mode, change, why })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn modes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        type Check = fn(&Path) -> Result<(), PermissionError>;
        let cases: [(Check, &[u32], &[u32]); 4] = [
            (secret, &[0o600, 0o400], &[0o604, 0o640, 0o620, 0o602, 0o660]),
            (trusted, &[0o644, 0o600, 0o640], &[0o664, 0o646]),
            (command, &[0o755, 0o700], &[0o775, 0o757]),
            (private, &[0o600], &[0o640, 0o604, 0o620]),
        ];
        for (check, good, bad) in cases {
            for mode in good {
                set(&file, *mode);
                assert!(check(&file).is_ok(), "{mode:o}");
            }
            for mode in bad {
                set(&file, *mode);
                let error = check(&file).unwrap_err();
                assert!(error.hint().unwrap().starts_with("chmod "), "{error}");
                assert!(matches!(error, PermissionError::Open { .. }), "{mode:o}");
            }
        }
        set(dir.path(), 0o755);
        assert_eq!(
            private(dir.path()).unwrap_err().hint().unwrap(),
            format!("chmod 700 {}", dir.path().display())
        );
        assert!(secret(&dir.path().join("none")).is_ok());
    }

    #[test]
    fn owners() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        set(&file, 0o600);
        if let Err(error) = chown(&file, Some(65_534), None) {
            eprintln!("skipped: only root can give a file away: {error}");
            return;
        }
        for check in [secret, trusted, command, private] {
            let error = check(&file).unwrap_err();
            assert!(matches!(error, PermissionError::Owner { owner: 65_534, .. }), "{error}");
            assert!(error.hint().unwrap().contains("chown"), "{error}");
        }
    }
}
