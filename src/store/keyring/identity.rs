//! The identity keys of a keyring: the one that signs, the one that it has succeeded, and the one that is to succeed it.
//!
//! | | `identity.pem` | `identity-former.pem` | `identity-next.pem` |
//! |---|---|---|---|
//! | prepared | A | | B |
//! | after the first step of a rollover | | A | B |
//! | after the second | B | A | |
//! | when nobody remembers A any more | B | | |
//!
//! A key moves by renaming its file, so that no copy of it is left behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::destruction::erase;
use super::names::{ENCRYPTED, FORMER, Kind, NEXT};
use super::{IDENTITY, Keyring, KeyringError};
use crate::core::{IdentityKey, KeyId};

/// An identity key and where it lies.
struct Stored {
    key: IdentityKey,
    path: PathBuf,
}

/// The identity keys that do not sign.
#[derive(Default)]
pub(super) struct Others {
    former: Option<Stored>,
    next: Option<Stored>,
}

impl Others {
    /// Takes what was read from a file of this kind.
    pub(super) fn take(&mut self, kind: Kind, key: IdentityKey, path: &Path) {
        let place = if kind == Kind::NextIdentity { &mut self.next } else { &mut self.former };
        *place = Some(Stored { key, path: path.to_owned() });
    }
}

impl Keyring {
    /// The identity key that the present one has succeeded, as long as it is needed and kept here.
    #[must_use]
    pub fn former_identity(&self) -> Option<&IdentityKey> {
        self.others.former.as_ref().map(|stored| &stored.key)
    }

    /// The identity key that is to succeed the present one, unless it is kept elsewhere.
    #[must_use]
    pub fn next_identity(&self) -> Option<&IdentityKey> {
        self.others.next.as_ref().map(|stored| &stored.key)
    }

    /// Where the next identity key is, or would be, kept.
    #[must_use]
    pub fn next_identity_file(&self) -> PathBuf {
        let path = || self.directory.join(NEXT);
        self.others.next.as_ref().map_or_else(path, |stored| stored.path.clone())
    }

    /// Stores the identity key that is to succeed the present one.
    ///
    /// # Errors
    ///
    /// There is one already, or the file cannot be written.
    pub fn add_next_identity(&mut self, key: IdentityKey) -> Result<(), KeyringError> {
        let path = self.directory.join(NEXT);
        let pem =
            key.to_pem().map_err(|source| KeyringError::Key { path: path.clone(), source })?;
        let path = self.store(&path, &pem)?;
        self.others.next = Some(Stored { key, path });
        Ok(())
    }

    /// Stores the identity key that the present one has succeeded.
    ///
    /// # Errors
    ///
    /// There is one already, or the file cannot be written.
    pub(super) fn add_former_identity(&mut self, key: IdentityKey) -> Result<(), KeyringError> {
        let path = self.directory.join(FORMER);
        let pem =
            key.to_pem().map_err(|source| KeyringError::Key { path: path.clone(), source })?;
        let path = self.store(&path, &pem)?;
        self.others.former = Some(Stored { key, path });
        Ok(())
    }

    /// Puts the next identity key in the place of the present one, which becomes the former one; a former one that is here already is
    /// destroyed. After a crash at any point it can be called again.
    ///
    /// # Errors
    ///
    /// There is no next key, or the file system refuses.
    pub fn roll_identity(&mut self, now: u64) -> Result<(), KeyringError> {
        let Some(next) = &self.others.next else {
            return Err(KeyringError::Missing(self.directory.join(NEXT)));
        };
        let (next_path, next_key) = (next.path.clone(), next.key.clone());
        if let Some(path) = self.exposed()?.into_iter().next() {
            // A copy in clear would stay behind under the name of another key.
            let what = "in clear in a protected keyring: finish `mta-seal keys protect` first";
            return Err(KeyringError::Malformed { path, what });
        }
        if let Some((key, path)) = self.identity.clone().zip(self.identity_path()) {
            self.destroy_former_identity(now)?;
            let path = self.rename(&path, FORMER)?;
            self.others.former = Some(Stored { key, path });
            self.identity = None;
        }
        let path = self.rename(&next_path, IDENTITY)?;
        self.files.insert(next_key.fingerprint(), path);
        self.identity = Some(next_key);
        self.others.next = None;
        Ok(())
    }

    /// Destroys the former identity key for good, as [`Keyring::destroy`] does with other keys. `None`: there is none here.
    ///
    /// # Errors
    ///
    /// The file system refuses. It may be noted as destroyed then while the file is still there; [`Keyring::sweep`] finishes it.
    pub fn destroy_former_identity(&mut self, now: u64) -> Result<Option<KeyId>, KeyringError> {
        let Some(stored) = self.others.former.take() else { return Ok(None) };
        self.destroy_identity(&stored, now).map(Some)
    }

    /// Destroys the next identity key that is kept here. `None`: there is none.
    ///
    /// # Errors
    ///
    /// As those of [`Keyring::destroy_former_identity`].
    pub fn destroy_next_identity(&mut self, now: u64) -> Result<Option<KeyId>, KeyringError> {
        let Some(stored) = self.others.next.take() else { return Ok(None) };
        self.destroy_identity(&stored, now).map(Some)
    }

    fn destroy_identity(&mut self, stored: &Stored, now: u64) -> Result<KeyId, KeyringError> {
        let id = stored.key.fingerprint();
        self.note_destroyed(&id, now)?;
        erase(&stored.path)?;
        Ok(id)
    }

    /// Erases identity keys that are noted as destroyed: a crash has interrupted it, or they came back.
    pub(super) fn sweep_identities(&mut self) -> Result<usize, KeyringError> {
        let mut swept = 0;
        for place in [&mut self.others.former, &mut self.others.next] {
            let destroyed = &self.destroyed;
            let gone = place.take_if(|stored| destroyed.contains(&stored.key.fingerprint()));
            if let Some(stored) = gone {
                erase(&stored.path)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Where the present identity key lies.
    fn identity_path(&self) -> Option<PathBuf> {
        self.files.get(&self.identity.as_ref()?.fingerprint()).cloned()
    }

    /// Gives a file of the keyring another name, durably. An encrypted one stays so.
    fn rename(&self, from: &Path, to: &str) -> Result<PathBuf, KeyringError> {
        let encrypted = from.to_str().is_some_and(|from| from.ends_with(ENCRYPTED));
        let to = self.directory.join(format!("{to}{}", if encrypted { ENCRYPTED } else { "" }));
        fs::rename(from, &to)
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .map_err(|source| KeyringError::Io { path: from.to_owned(), source })?;
        Ok(to)
    }
}
