//! The end of a private key: first noted, then overwritten, then unlinked, so that a crash at any point leaves either a key that is
//! still to be destroyed or one that is known to be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{DESTROYED, Keyring, KeyringError, disk, names};
use crate::core::KeyId;
use disk::Existing;

impl Keyring {
    /// Destroys the private part of a key for good: the keyring remembers its id and the time (Unix seconds), the file is overwritten
    /// and unlinked, and the copy in memory is wiped. What a copy-on-write file system, a solid-state disk or a backup has kept of it is
    /// beyond reach.
    ///
    /// `false`: there is no such key here; it is noted as destroyed all the same.
    ///
    /// # Errors
    ///
    /// The file system refuses. The id may be noted then while the file is still there; [`Keyring::sweep`] finishes it.
    pub fn destroy(&mut self, id: &KeyId, now: u64) -> Result<bool, KeyringError> {
        self.note_destroyed(id, now)?;
        self.sealing.retain(|stored| stored.key.key_id() != *id);
        self.signing.retain(|key| key.key_id() != *id);
        let Some(path) = self.files.get(id) else { return Ok(false) };
        erase(path)?;
        if path.extension().is_some_and(|extension| extension == "age") {
            // What an interrupted protection has left in clear.
            erase(&path.with_extension(""))?;
        }
        self.files.remove(id);
        Ok(true)
    }

    /// Finishes what a crash has interrupted: erases the files of keys that are noted as destroyed, and what was left of files that
    /// were being written. Returns how many files went.
    ///
    /// Only whoever holds [`Keyring::lock`] may do this.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn sweep(&mut self) -> Result<usize, KeyringError> {
        let failed = |source| KeyringError::Io { path: self.directory.clone(), source };
        let back: Vec<KeyId> = self
            .sealing
            .iter()
            .map(|stored| stored.key.key_id())
            .chain(self.signing.iter().map(|key| key.key_id()))
            .filter(|id| self.destroyed.contains(id))
            .collect();
        let mut left: Vec<PathBuf> = std::mem::take(&mut self.erased);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if names::is_remnant(name) {
                left.push(path);
            }
        }
        for path in &left {
            super::erase::discard(path)
                .map_err(|source| KeyringError::Io { path: path.clone(), source })?;
        }
        for id in &back {
            self.destroy(id, 0)?;
        }
        Ok(left.len() + back.len() + self.sweep_identities()?)
    }

    pub(super) fn note_destroyed(&mut self, id: &KeyId, now: u64) -> Result<(), KeyringError> {
        if !self.destroyed.insert(*id) {
            return Ok(());
        }
        let path = self.directory.join(DESTROYED);
        let before = match disk::read_public(&path) {
            Ok(text) => text,
            Err(KeyringError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                zeroize::Zeroizing::new(
                    "# key id, and when its private key was destroyed\n".to_owned(),
                )
            }
            Err(error) => return Err(error),
        };
        let text = format!("{}\n{id} {now}\n", before.trim_end());
        disk::write(&path, &text, Existing::Replace)
    }
}

/// Whether this is what [`erase`] leaves if it is cut short: nothing but zeros.
pub(super) fn is_erased(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet == 0)
}

/// Overwrites and unlinks a file, durably. One that is not there is erased.
pub(super) fn erase(path: &Path) -> Result<(), KeyringError> {
    let erased = super::erase::erase(path);
    match erased {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(KeyringError::Io { path: path.to_owned(), source }),
        Ok(()) => disk::sync(path.parent().unwrap_or(Path::new("."))),
    }
}
