//! The keys of one domain in one directory.
//!
//! | File | Holds |
//! |---|---|
//! | `identity.pem` | the identity key (PKCS#8, RFC 8410); may be kept elsewhere |
//! | `identity-former.pem` | the identity key that it has succeeded, until nobody remembers that one any more |
//! | `identity-next.pem` | the one that is to succeed it; best kept elsewhere |
//! | `signing-<id>.pem` | a signing key; `<id>` are the first digits of its key id |
//! | `sealing-<suite>-<selector>.key` | a sealing key |
//! | `policy.txt` | the signed policy record as published |
//! | `ahead.txt` | policies that were signed elsewhere for times to come, one in a line |
//! | `lifetimes.json` | what is known of the lifetimes of the keys |
//! | `destroyed` | key ids of destroyed keys, one in a line, with the time |
//! | `passphrase.age` | in a protected keyring: the secret that opens the private keys, encrypted to a passphrase |
//! | `NAME.age` | in a protected keyring: the private key `NAME`, encrypted to that secret |
//!
//! The directory has mode 0700 and its files 0600. A file that others can read is refused, since
//! the key in it must count as known to them.

mod age_file;
mod destruction;
mod disk;
mod erase;
mod identity;
mod names;
mod papers;
mod passphrase;
mod protection;
mod sealing_file;
mod transfer;

pub use passphrase::{Passphrase, PassphraseError};
pub use protection::Converted;
pub use transfer::{AgeIdentities, AgeRecipient, Export, Merged, Opener, Reader, TransferError};

use crate::core::{IdentityKey, KeyError, KeyId, SealingPrivateKey, SigningKey};
use disk::Existing;
use names::{AHEAD, BOOK, DESTROYED, IDENTITY, Kind, POLICY};
use protection::{Protection, files};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a keyring cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no such directory.
    #[error("no keyring at {}", .0.display())]
    Missing(PathBuf),
    /// Others than the owner have access.
    #[error("{} is open to other users (mode {mode:04o})", .path.display())]
    Open {
        /// File or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whether it is the directory.
        directory: bool,
    },
    /// The owner is not the user this process runs as.
    #[error("{} belongs to user {owner}, not to user {own}, who is reading it", .path.display())]
    Owner {
        /// File or directory.
        path: PathBuf,
        /// Numeric user id of the owner.
        owner: u32,
        /// Numeric user id of this process.
        own: u32,
    },
    /// A passphrase is needed, and none was given.
    #[error("the keys in {} are protected by a passphrase, and none was given", .0.display())]
    Protected(PathBuf),
    /// The passphrase cannot be had.
    #[error("passphrase: {0}")]
    Passphrase(#[from] PassphraseError),
    /// The passphrase is not that of the keyring.
    #[error("{}: wrong passphrase", .0.display())]
    WrongPassphrase(PathBuf),
    /// The file would be overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The file does not hold what its name says.
    #[error("{}: {what}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file holds no usable key.
    #[error("{}: {source}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        source: KeyError,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl KeyringError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("make one with `mta-seal init`, or correct `keys`".to_owned()),
            Self::Open { path, directory, .. } => {
                let mode = if *directory { "700" } else { "600" };
                Some(format!(
                    "chmod {mode} {} (and replace the keys if others may have read them)",
                    path.display()
                ))
            }
            Self::Owner { path, own, .. } => {
                Some(format!("chown {own} {}, or run as its owner", path.display()))
            }
            Self::Protected(_) => Some(
                "set `passphrase = \"FILE\"` or \"credential:NAME\" in its [[domain]]; commands also take \
                 MTA_SEAL_PASSPHRASE_FILE, or ask on a terminal"
                    .to_owned(),
            ),
            Self::Passphrase(error) => error.hint(),
            Self::WrongPassphrase(path) => Some(format!(
                "correct `passphrase` in its [[domain]], or MTA_SEAL_PASSPHRASE_FILE; `age -d {}` tries one too",
                path.display()
            )),
            Self::Exists(_) => {
                Some("keys are never overwritten; choose another directory".to_owned())
            }
            Self::Malformed { .. } | Self::Key { .. } => {
                Some("restore the file, or move it out of the keyring".to_owned())
            }
            Self::Io { .. } => None,
        }
    }
}

/// Writes a new file of mode 0600 with a secret, whole or not at all.
///
/// # Errors
///
/// There is a file of that name, or it cannot be written.
pub fn write_secret(path: &Path, text: &str) -> Result<(), KeyringError> {
    // A bare name has the parent "", which is no directory.
    let bare = path.parent().is_some_and(|parent| parent.as_os_str().is_empty());
    let path = if bare { &Path::new(".").join(path) } else { path };
    disk::write(path, text, Existing::Refuse)
}

/// A sealing key with the selector of its key record.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// One DNS label; unused for suites whose keys stand in the policy.
    pub selector: String,
    /// The key.
    pub key: SealingPrivateKey,
}

impl StoredKey {
    /// Gives a key the selector that follows from its key id.
    #[must_use]
    pub fn new(key: SealingPrivateKey) -> Self {
        Self { selector: Self::selector_of(&key.key_id()), key }
    }

    fn selector_of(id: &KeyId) -> String {
        let id = id.to_string();
        format!("k{}", id.get(..12).unwrap_or(&id))
    }
}

/// What a keyring knows about the key that an envelope names.
#[derive(Debug)]
pub enum Find<'a> {
    /// The key is here.
    Found(&'a SealingPrivateKey),
    /// The key was here and has been destroyed.
    Destroyed,
    /// The key was never here.
    Unknown,
}

/// The keys of one domain.
pub struct Keyring {
    directory: PathBuf,
    identity: Option<IdentityKey>,
    others: identity::Others,
    signing: Vec<SigningKey>,
    sealing: Vec<StoredKey>,
    destroyed: HashSet<KeyId>,
    policy: Option<String>,
    book: Option<String>,
    ahead: Option<String>,
    /// Where the private part of each key lies.
    files: HashMap<KeyId, PathBuf>,
    protection: Option<Protection>,
    /// Files of keys that were overwritten, and not unlinked since something came between.
    erased: Vec<PathBuf>,
}

impl Keyring {
    /// Makes an empty keyring in a new or empty directory.
    ///
    /// # Errors
    ///
    /// The directory holds something or cannot be made.
    pub fn create(directory: &Path) -> Result<Self, KeyringError> {
        disk::make_directory(directory)?;
        let failed = |source| KeyringError::Io { path: directory.to_owned(), source };
        if fs::read_dir(directory).map_err(failed)?.next().is_some() {
            return Err(KeyringError::Exists(directory.to_owned()));
        }
        Self::load(directory)
    }

    /// Reads a keyring that is not protected.
    ///
    /// # Errors
    ///
    /// Any file in it is open to others, belongs to another user, or is malformed; or it needs a passphrase.
    pub fn load(directory: &Path) -> Result<Self, KeyringError> {
        Self::load_with(directory, None)
    }

    /// Reads a keyring; the passphrase is used if it is protected.
    ///
    /// # Errors
    ///
    /// As those of [`Keyring::load`], or the passphrase is wrong.
    pub fn load_with(
        directory: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, KeyringError> {
        let failed = |source| KeyringError::Io { path: directory.to_owned(), source };
        let metadata = match fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => return Err(KeyringError::Missing(directory.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyringError::Missing(directory.to_owned()));
            }
            Err(error) => return Err(failed(error)),
        };
        disk::check(directory, &metadata)?;
        let mut keyring = Self {
            directory: directory.to_owned(),
            identity: None,
            others: identity::Others::default(),
            signing: Vec::new(),
            sealing: Vec::new(),
            destroyed: HashSet::new(),
            policy: None,
            book: None,
            ahead: None,
            files: HashMap::new(),
            protection: Protection::open(directory, passphrase)?,
            erased: Vec::new(),
        };
        for path in files(directory)? {
            keyring.read(&path)?;
        }
        Ok(keyring)
    }

    fn read(&mut self, path: &Path) -> Result<(), KeyringError> {
        let key = |source| KeyringError::Key { path: path.to_owned(), source };
        let malformed = |what| KeyringError::Malformed { path: path.to_owned(), what };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
        match Kind::of(names::encrypted(name).unwrap_or(name)) {
            None => {}
            Some(kind) if kind.is_secret() => {
                if destruction::is_erased(&disk::read_secret(path)?) {
                    self.erased.push(path.to_owned());
                    return Ok(());
                }
                let Some(text) = self.secret(path)? else { return Ok(()) };
                match kind {
                    Kind::Identity => {
                        let identity = IdentityKey::from_pem(&text).map_err(key)?;
                        self.files.insert(identity.fingerprint(), path.to_owned());
                        self.identity = Some(identity);
                    }
                    Kind::FormerIdentity | Kind::NextIdentity => {
                        self.others.take(kind, IdentityKey::from_pem(&text).map_err(key)?, path);
                    }
                    Kind::Signing => {
                        let signing = SigningKey::from_pem(&text).map_err(key)?;
                        self.files.insert(signing.key_id(), path.to_owned());
                        self.signing.push(signing);
                    }
                    _ => {
                        let stored = sealing_file::parse(&text).map_err(malformed)?;
                        self.files.insert(stored.key.key_id(), path.to_owned());
                        self.sealing.push(stored);
                    }
                }
            }
            Some(Kind::Policy) => self.policy = Some(disk::read_public(path)?.trim().to_owned()),
            Some(Kind::Book) => self.book = Some(disk::read_public(path)?.to_string()),
            Some(Kind::Ahead) => self.ahead = Some(disk::read_public(path)?.to_string()),
            Some(_) => {
                let text = disk::read_public(path)?;
                for line in text.lines().map(str::trim) {
                    let Some(id) = line.split_whitespace().next() else { continue };
                    if !id.starts_with('#') {
                        self.destroyed
                            .insert(id.parse().map_err(|_| malformed("a line without key id"))?);
                    }
                }
            }
        }
        Ok(())
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Finds the private key that an envelope names; there is no trying of others [R-env-05].
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Find<'_> {
        // What is listed as destroyed must not open anything, even if a copy came back.
        if self.destroyed.contains(id) {
            return Find::Destroyed;
        }
        match self.sealing.iter().find(|stored| stored.key.key_id() == *id) {
            Some(stored) => Find::Found(&stored.key),
            None => Find::Unknown,
        }
    }

    /// Whether the private part of this key was destroyed.
    #[must_use]
    pub fn is_destroyed(&self, id: &KeyId) -> bool {
        self.destroyed.contains(id)
    }

    /// All sealing keys, by file name.
    #[must_use]
    pub fn sealing_keys(&self) -> &[StoredKey] {
        &self.sealing
    }

    /// All signing keys, by file name.
    #[must_use]
    pub fn signing_keys(&self) -> &[SigningKey] {
        &self.signing
    }

    /// The key to sign with: the first of those listed in the policy that is here.
    #[must_use]
    pub fn signing_key(&self, listed: impl IntoIterator<Item = KeyId>) -> Option<&SigningKey> {
        listed.into_iter().find_map(|id| self.signing.iter().find(|key| key.key_id() == id))
    }

    /// The identity key, unless it is kept elsewhere.
    #[must_use]
    pub fn identity(&self) -> Option<&IdentityKey> {
        self.identity.as_ref()
    }

    /// The text of the signed policy record.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Stores the identity key.
    ///
    /// # Errors
    ///
    /// There is one already, or the file cannot be written.
    pub fn add_identity(&mut self, key: IdentityKey) -> Result<(), KeyringError> {
        let path = self.directory.join(IDENTITY);
        let pem =
            key.to_pem().map_err(|source| KeyringError::Key { path: path.clone(), source })?;
        let path = self.store(&path, &pem)?;
        self.files.insert(key.fingerprint(), path);
        self.identity = Some(key);
        Ok(())
    }

    /// Stores a signing key.
    ///
    /// # Errors
    ///
    /// The key is here already, or the file cannot be written.
    pub fn add_signing(&mut self, key: SigningKey) -> Result<(), KeyringError> {
        let path = self.directory.join(names::signing(&key.key_id()));
        let pem =
            key.to_pem().map_err(|source| KeyringError::Key { path: path.clone(), source })?;
        let path = self.store(&path, &pem)?;
        self.files.insert(key.key_id(), path);
        self.signing.push(key);
        Ok(())
    }

    /// Stores a sealing key.
    ///
    /// # Errors
    ///
    /// The key is here already, its selector is no DNS label, or the file cannot be written.
    pub fn add_sealing(&mut self, stored: StoredKey) -> Result<(), KeyringError> {
        if !sealing_file::is_label(&stored.selector) {
            let path = self.directory.clone();
            return Err(KeyringError::Malformed { path, what: "the selector is no DNS label" });
        }
        let path = self.directory.join(names::sealing(&stored));
        let path = self.store(&path, &sealing_file::print(&stored))?;
        self.files.insert(stored.key.key_id(), path);
        self.sealing.push(stored);
        Ok(())
    }

    /// Stores the text of the signed policy record, in place of the one before.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_policy(&mut self, text: &str) -> Result<(), KeyringError> {
        disk::write(&self.directory.join(POLICY), &format!("{text}\n"), Existing::Replace)?;
        self.policy = Some(text.to_owned());
        Ok(())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("directory", &self.directory)
            .field("identity", &self.identity.is_some())
            .field("signing", &self.signing.iter().map(SigningKey::key_id).collect::<Vec<_>>())
            .field("sealing", &self.sealing.iter().map(|s| s.key.key_id()).collect::<Vec<_>>())
            .field("destroyed", &self.destroyed.len())
            .field("protected", &self.protection.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
