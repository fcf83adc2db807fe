//! Replacing a file as a whole: whoever reads it, at any instant and after any crash, sees the old text or the new one.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the right is waited for: whoever has it needs it for the writing of a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is tried meanwhile; flock(2) has no timeout.
const AGAIN: Duration = Duration::from_millis(20);

/// The one right to replace files in a directory; given back when dropped. It is a lock on the directory itself
/// (flock(2)), so that nothing is left behind.
#[derive(Debug)]
pub struct Replacing {
    directory: File,
    path: PathBuf,
}

impl Replacing {
    /// Waits up to 10 s for the right to replace the file at `path`, which need not exist; a symbolic link is followed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if somebody else keeps it, and what the file system says of the directory.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Self::begin_within(path, PATIENCE)
    }

    fn begin_within(path: &Path, patience: Duration) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = File::open(directory(&path))?;
        let end = Instant::now() + patience;
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(Self { directory, path }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                    let what = "another process keeps its directory locked";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(AGAIN),
            }
        }
    }

    /// Writes `text` to a new file beside the old one, and puts it in its place once it is on the disk. Owner, group and mode
    /// are those of the old file, or of `like` if there is none. What an earlier attempt has left is removed.
    ///
    /// # Errors
    ///
    /// What the file system says; the file is the old one then.
    pub fn replace(&self, text: &str, like: &Path) -> io::Result<()> {
        let like = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(like)?,
            other => other?,
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = directory(&self.path).join(format!(".{name}.new"));
        remove(&new)?;
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
                fchown(&file, Some(like.uid()), Some(like.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        })();
        if written.is_err() {
            // What matters is reported already.
            let _ = remove(&new);
        }
        written?;
        self.directory.sync_all()
    }
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn owner_and_mode_are_kept_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (path, like) = (dir.path().join("partners"), dir.path().join("config"));
        fs::write(&like, "").unwrap();
        fs::set_permissions(&like, Permissions::from_mode(0o640)).unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        // Of an attempt that was cut short.
        fs::write(dir.path().join(".partners.new"), "half").unwrap();
        Replacing::begin(&path).unwrap().replace("one", &like).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode()), ("one", 0o640));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Replacing::begin(&path).unwrap().replace("two", &like).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode()), ("two", 0o600));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("partners"), dir.path().join("link"));
        fs::write(&path, "one").unwrap();
        std::os::unix::fs::symlink("partners", &link).unwrap();
        Replacing::begin(&link).unwrap().replace("two", &link).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partners");
        let first = Replacing::begin(&path).unwrap();
        let other = File::open(dir.path()).unwrap();
        assert!(other.try_lock().is_err());
        let second = Replacing::begin_within(&path, Duration::from_millis(50));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(first);
        other.try_lock().unwrap();
    }
}
