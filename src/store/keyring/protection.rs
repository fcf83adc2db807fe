//! Private keys that rest encrypted under a passphrase.
//!
//! `passphrase.age` holds a random secret, encrypted to the passphrase with the work of people's passphrases; each private key
//! is in `NAME.age` instead of `NAME`, encrypted to that secret with the least work. So a start derives one slow key,
//! whatever the number of files, and nothing rests on cryptography that a quantum computer breaks. `age -d` opens all of them.
//!
//! Whatever instant a crash leaves behind can be loaded with the passphrase:
//!
//! | | `passphrase.age` | `NAME` | `NAME.age` | counts |
//! |---|---|---|---|---|
//! | protecting, unprotecting | there | there | | `NAME` |
//! | protecting, unprotecting | there | there, perhaps overwritten | there | `NAME.age` |
//! | protected | there | | there | `NAME.age` |
//! | unprotecting | | there | there | `NAME` |
//!
//! So the clear files are overwritten only after every encrypted one is on the disk, and `passphrase.age` goes last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::age_file::{self, Failed};
use super::disk::{self, Existing};
use super::erase::{discard, erase};
use super::names::{self, ENCRYPTED, PASSPHRASE};
use super::passphrase::Passphrase;
use super::{Keyring, KeyringError};

/// Octets of the secret.
const SECRET: usize = 32;

/// The secret that opens the private keys of a keyring; wiped from memory when dropped.
pub(super) struct Protection(Zeroizing<String>);

impl Protection {
    /// Opens `passphrase.age`; none if the keyring is not protected.
    pub(super) fn open(
        directory: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<Option<Self>, KeyringError> {
        let path = directory.join(PASSPHRASE);
        if !exists(&path)? {
            return Ok(None);
        }
        let text = disk::read_secret(&path)?;
        let passphrase = passphrase.ok_or_else(|| KeyringError::Protected(directory.to_owned()))?;
        match passphrase.open(&text) {
            Ok(secret) => Ok(Some(Self(secret))),
            Err(Failed::Key) => Err(KeyringError::WrongPassphrase(path)),
            Err(Failed::Format) => Err(KeyringError::Malformed { path, what: NOT_WHOLE }),
        }
    }

    /// Makes a secret and stores it.
    fn make<R: CryptoRng + ?Sized>(
        directory: &Path,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<Self, KeyringError> {
        let mut octets = Zeroizing::new([0; SECRET]);
        rng.fill_bytes(octets.as_mut_slice());
        let secret = Zeroizing::new(BASE64_STANDARD.encode(octets.as_slice()));
        let path = directory.join(PASSPHRASE);
        // With a line end, as people open it on a terminal.
        let line = Zeroizing::new(format!("{}\n", secret.as_str()));
        let text = age_file::encrypt(passphrase.secret(), age_file::PEOPLES, &line)
            .map_err(|source| KeyringError::Io { path: path.clone(), source })?;
        disk::write(&path, &text, Existing::Refuse)?;
        Ok(Self(secret))
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.0.as_str())
    }

    /// Writes the private key of the clear path `path`, encrypted.
    fn write(&self, path: &Path, text: &str, existing: Existing) -> Result<(), KeyringError> {
        let path = encrypted(path);
        let text = age_file::encrypt(self.secret(), age_file::RANDOM, text)
            .map_err(|source| KeyringError::Io { path: path.clone(), source })?;
        disk::write(&path, &text, existing)
    }

    /// Reads an encrypted private key.
    fn read(&self, path: &Path) -> Result<Zeroizing<String>, KeyringError> {
        let text = disk::read_secret(path)?;
        let what = |failed| match failed {
            Failed::Key => "not encrypted to the secret in passphrase.age",
            Failed::Format => NOT_WHOLE,
        };
        age_file::decrypt(self.secret(), text.as_bytes())
            .map_err(|failed| KeyringError::Malformed { path: path.to_owned(), what: what(failed) })
    }
}

const NOT_WHOLE: &str = "no whole file in the format of age";

/// What [`Keyring::protect`] or [`Keyring::unprotect`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// Whether there was anything to do.
    pub changed: bool,
    /// The private keys in the keyring.
    pub keys: usize,
}

impl Keyring {
    /// Whether a keyring needs a passphrase.
    ///
    /// # Errors
    ///
    /// The directory cannot be searched.
    pub fn needs_passphrase(directory: &Path) -> Result<bool, KeyringError> {
        exists(&directory.join(PASSPHRASE))
    }

    /// Whether its private keys are written encrypted.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.protection.is_some()
    }

    /// The private keys that rest in clear, though the keyring is protected: what [`Keyring::protect`] has still to do.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn exposed(&self) -> Result<Vec<PathBuf>, KeyringError> {
        if self.protection.is_none() {
            return Ok(Vec::new());
        }
        Ok(files(&self.directory)?.into_iter().filter(|path| is(path, names::is_secret)).collect())
    }

    /// Encrypts every private key of a keyring under a passphrase, then overwrites and removes what was in clear. May be run
    /// again, above all after a crash.
    ///
    /// # Errors
    ///
    /// The keyring cannot be loaded, is protected by another passphrase, or cannot be written.
    pub fn protect<R: CryptoRng + ?Sized>(
        directory: &Path,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<Converted, KeyringError> {
        let _only = Self::lock(directory)?;
        let keyring = Self::load_with(directory, Some(passphrase))?;
        let (mut changed, keys) = (keyring.protection.is_none(), keyring.private_keys());
        let protection = match keyring.protection {
            Some(protection) => protection,
            None => Protection::make(directory, passphrase, rng)?,
        };
        let all = files(directory)?;
        let clear: Vec<&PathBuf> = all.iter().filter(|path| is(path, names::is_secret)).collect();
        for path in &clear {
            let text = disk::read_secret(path)?;
            if !exists(&encrypted(path))? {
                protection.write(path, &text, Existing::Refuse)?;
            } else if !was_overwritten(&text) && *text != *protection.read(&encrypted(path))? {
                let what = "another key than in the encrypted file beside it";
                return Err(KeyringError::Malformed { path: (*path).clone(), what });
            }
        }
        let remnants = all.iter().filter(|path| is(path, names::is_remnant));
        // Before the clear files: one of them may be a name too many of the file that is to stay.
        for (path, gone) in remnants
            .map(|path| (path, discard(path)))
            .collect::<Vec<_>>()
            .into_iter()
            .chain(clear.into_iter().map(|path| (path, erase(path))))
        {
            gone.map_err(|source| KeyringError::Io { path: path.clone(), source })?;
            changed = true;
        }
        disk::sync(directory)?;
        Ok(Converted { changed, keys })
    }

    /// Writes every private key of a keyring in clear again, and removes the encrypted ones. May be run again, above all after
    /// a crash.
    ///
    /// # Errors
    ///
    /// The keyring cannot be loaded or written.
    pub fn unprotect(
        directory: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<Converted, KeyringError> {
        let _only = Self::lock(directory)?;
        let keyring = Self::load_with(directory, passphrase)?;
        let keys = keyring.private_keys();
        let all = files(directory)?;
        let encrypted = all.iter().filter(|path| is(path, |name| names::encrypted(name).is_some()));
        let encrypted: Vec<&PathBuf> = encrypted.collect();
        let changed = keyring.protection.is_some() || !encrypted.is_empty();
        if let Some(protection) = &keyring.protection {
            for path in &encrypted {
                // What stands there was overwritten in part, or is the same.
                disk::write(&path.with_extension(""), &protection.read(path)?, Existing::Replace)?;
            }
        }
        let remove = |path: &Path| {
            fs::remove_file(path)
                .map_err(|source| KeyringError::Io { path: path.to_owned(), source })
        };
        encrypted.into_iter().try_for_each(|path| remove(path))?;
        if keyring.protection.is_some() {
            disk::sync(directory)?;
            remove(&directory.join(PASSPHRASE))?;
        }
        disk::sync(directory)?;
        Ok(Converted { changed, keys })
    }

    /// Stores a private key under its name in clear, encrypted if the keyring is protected; where it lies then. Whoever changes a keyring
    /// that others may change too holds [`Keyring::lock`].
    pub(super) fn store(&self, path: &Path, text: &str) -> Result<PathBuf, KeyringError> {
        if exists(path)? {
            return Err(KeyringError::Exists(path.to_owned()));
        }
        match &self.protection {
            Some(protection) => {
                protection.write(path, text, Existing::Refuse)?;
                Ok(encrypted(path))
            }
            // Somebody has protected it since it was loaded.
            None if Self::needs_passphrase(&self.directory)? => {
                Err(KeyringError::Protected(self.directory.clone()))
            }
            None => {
                disk::write(path, text, Existing::Refuse)?;
                Ok(path.to_owned())
            }
        }
    }

    /// Reads the private key at `path`, in clear or encrypted; none if another file counts instead.
    pub(super) fn secret(&self, path: &Path) -> Result<Option<Zeroizing<String>>, KeyringError> {
        let text = disk::read_secret(path)?;
        let is_encrypted = is(path, |name| names::encrypted(name).is_some());
        match (&self.protection, is_encrypted) {
            (Some(_), false) if exists(&encrypted(path))? => Ok(None),
            (_, false) => Ok(Some(text)),
            (Some(protection), true) => protection.read(path).map(Some),
            (None, true) if exists(&path.with_extension(""))? => Ok(None),
            (None, true) => {
                let what = "encrypted, but there is no passphrase.age beside it";
                Err(KeyringError::Malformed { path: path.to_owned(), what })
            }
        }
    }

    fn private_keys(&self) -> usize {
        usize::from(self.identity.is_some()) + self.signing.len() + self.sealing.len()
    }
}

/// Where the private key with the clear path `path` is encrypted.
fn encrypted(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ENCRYPTED);
    path.into()
}

/// Whether a clear file was being overwritten when a crash came; no private key has a NUL in it.
fn was_overwritten(text: &str) -> bool {
    text.contains('\0')
}

fn is(path: &Path, what: impl Fn(&str) -> bool) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(what)
}

fn exists(path: &Path) -> Result<bool, KeyringError> {
    // A dangling link is there: whoever reads it says what is wrong.
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(KeyringError::Io { path: path.to_owned(), source }),
    }
}

/// The files of a keyring, by name.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>, KeyringError> {
    let failed = |source| KeyringError::Io { path: directory.to_owned(), source };
    let entries = fs::read_dir(directory).map_err(failed)?;
    let paths: io::Result<Vec<PathBuf>> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}
