//! A keyring in one encrypted file, for a second node and for backup.
//!
//! Within the format of age there is JSON:
//!
//! ~~~ json
//! {
//!   "format": "mta-seal keyring",
//!   "version": 1,
//!   "domain": "company1.example",
//!   "exported": 1795737600,
//!   "files": [{ "name": "policy.txt", "content": "v=MTASEAL1; ...\n" }]
//! }
//! ~~~
//!
//! `files` are those of the keyring under the names they have in clear; the identity key only if asked for. `exported` is in
//! seconds since 1970. Readers ignore members that they do not know.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::{Identity, Recipient, x25519};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::age_file::{self, Failed};
use super::disk::{self, Existing};
use super::names::{self, AHEAD, BOOK, DESTROYED, Kind, POLICY};
use super::passphrase::Passphrase;
use super::protection::files;
use super::{Keyring, KeyringError, sealing_file};
use crate::core::{Domain, IdentityKey, KeyId, SigningKey};
use crate::store::secret_file::{self, SecretFileError};

const FORMAT: &str = "mta-seal keyring";
const VERSION: u32 = 1;

/// Why an export cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The text names no recipient.
    #[error("`{0}` is no recipient of age")]
    Recipient(String),
    /// The file holds no identity of age.
    #[error("{}: no line AGE-SECRET-KEY-1...", .0.display())]
    Identity(PathBuf),
    /// The file of identities cannot be read, or others can read it.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The passphrase is wrong, or the identity is no recipient of it.
    #[error("it is encrypted to another passphrase or recipient")]
    Key,
    /// It is no whole file in the format of age.
    #[error("it is no whole file in the format of age")]
    Age,
    /// It does not hold a keyring.
    #[error("it holds no keyring of mta-seal in version 1")]
    Format,
    /// Encryption failed.
    #[error("encryption failed: {0}")]
    Encrypt(io::Error),
}

/// Who can open an export.
#[derive(Debug, Clone)]
pub enum Reader {
    /// Whoever knows it.
    Passphrase(Passphrase),
    /// Whoever has the identity of one of these.
    Recipients(Vec<AgeRecipient>),
}

/// A public key of age: `age1...`.
#[derive(Clone)]
pub struct AgeRecipient(x25519::Recipient);

impl FromStr for AgeRecipient {
    type Err = TransferError;

    fn from_str(text: &str) -> Result<Self, TransferError> {
        text.parse().map(Self).map_err(|_| TransferError::Recipient(text.to_owned()))
    }
}

impl fmt::Debug for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgeRecipient({})", self.0)
    }
}

/// What opens an export.
pub enum Opener {
    /// A passphrase.
    Passphrase(Passphrase),
    /// Identities of age.
    Identities(AgeIdentities),
}

/// Private keys of age.
pub struct AgeIdentities(Vec<x25519::Identity>);

impl AgeIdentities {
    /// Reads a file as `age-keygen` writes it, which others cannot read.
    ///
    /// # Errors
    ///
    /// It cannot be read, or holds no identity.
    pub fn read(path: &Path) -> Result<Self, TransferError> {
        let text = secret_file::read(path)?;
        let identities: Vec<_> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        if identities.is_empty() {
            return Err(TransferError::Identity(path.to_owned()));
        }
        Ok(Self(identities))
    }
}

/// The files of a keyring, out of their directory.
#[derive(Serialize, Deserialize)]
pub struct Export {
    format: String,
    version: u32,
    domain: String,
    exported: u64,
    files: Vec<File>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct File {
    name: String,
    content: String,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        f.debug_struct("Export")
            .field("domain", &self.domain)
            .field("exported", &self.exported)
            .field("files", &names)
            .finish_non_exhaustive()
    }
}

/// What became of the files of an export; names in clear.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Not there before.
    pub added: Vec<String>,
    /// There already.
    pub present: Vec<String>,
    /// Sealing keys that are listed as destroyed, here or there: not brought back.
    pub destroyed: Vec<String>,
    /// Keys that are here, though the export lists them as destroyed.
    pub alive: Vec<String>,
    /// Files that this version does not know.
    pub unknown: Vec<String>,
}

impl Export {
    /// Takes the files of a keyring.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn of(
        keyring: &Keyring,
        domain: &Domain,
        now: u64,
        with_identity: bool,
    ) -> Result<Self, KeyringError> {
        let mut taken = Vec::new();
        for path in files(&keyring.directory)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = names::encrypted(name).unwrap_or(name);
            let text = match Kind::of(name) {
                None => continue,
                // Policies signed ahead, with their keys, are worth as much as the identity key.
                Some(Kind::Identity | Kind::FormerIdentity | Kind::Ahead) if !with_identity => {
                    continue;
                }
                // It is to be kept off the gateway.
                Some(Kind::NextIdentity) => continue,
                Some(kind) if kind.is_secret() => match keyring.secret(&path)? {
                    Some(text) => text,
                    None => continue,
                },
                Some(_) => disk::read_public(&path)?,
            };
            taken.push(File { name: name.to_owned(), content: (*text).clone() });
        }
        Ok(Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            domain: domain.to_string(),
            exported: now,
            files: taken,
        })
    }

    /// The domain of the keyring.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported
    }

    /// The signed policy in it.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.file(POLICY).map(|file| file.content.trim())
    }

    /// The number of private keys in it.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.files.iter().filter(|file| names::is_secret(&file.name)).count()
    }

    fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The encrypted file, as ASCII text.
    ///
    /// # Errors
    ///
    /// [`TransferError::Encrypt`].
    pub fn encrypt(&self, reader: &Reader) -> Result<String, TransferError> {
        let failed = TransferError::Encrypt;
        let octets: usize =
            self.files.iter().map(|file| file.name.len() + file.content.len()).sum();
        // Room for escapes, so that the buffer need not grow and leave copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(2 * octets + 1_024));
        serde_json::to_writer_pretty(&mut *json, self).map_err(|error| failed(error.into()))?;
        let text = std::str::from_utf8(&json).map_err(|error| failed(io::Error::other(error)))?;
        match reader {
            Reader::Passphrase(passphrase) => {
                age_file::encrypt(passphrase.secret(), age_file::PEOPLES, text)
            }
            Reader::Recipients(list) => {
                age_file::encrypt_to(list.iter().map(|one| &one.0 as &dyn Recipient), text)
            }
        }
        .map_err(failed)
    }

    /// Whether a passphrase opens such a file, rather than an identity.
    ///
    /// # Errors
    ///
    /// [`TransferError::Age`].
    pub fn needs_passphrase(octets: &[u8]) -> Result<bool, TransferError> {
        age_file::asks_for_passphrase(octets).map_err(|_| TransferError::Age)
    }

    /// Opens such a file, as ASCII text or in binary form.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or holds something else.
    pub fn decrypt(octets: &[u8], opener: &Opener) -> Result<Self, TransferError> {
        let text = match opener {
            Opener::Passphrase(passphrase) => age_file::decrypt(passphrase.secret(), octets),
            Opener::Identities(AgeIdentities(list)) => {
                age_file::decrypt_by(list.iter().map(|one| one as &dyn Identity), octets)
            }
        };
        let text = text.map_err(|failed| match failed {
            Failed::Key => TransferError::Key,
            Failed::Format => TransferError::Age,
        })?;
        let export: Self = serde_json::from_str(&text).map_err(|_| TransferError::Format)?;
        if export.format != FORMAT || export.version != VERSION {
            return Err(TransferError::Format);
        }
        Ok(export)
    }

    /// The keys that were destroyed where it was made, as it says.
    ///
    /// # Errors
    ///
    /// Its list of them is malformed.
    pub fn destroyed(&self) -> Result<Vec<KeyId>, KeyringError> {
        let listed = self.file(DESTROYED).map_or("", |file| &file.content);
        let id =
            |id: &str| id.parse().map_err(|_| self.malformed(DESTROYED, "a line without key id"));
        listed.lines().filter_map(first).map(id).collect()
    }

    /// Adds to a keyring what it does not have; nothing in it is overwritten, and no key that is listed as destroyed comes
    /// back. The policy is left to the caller, who knows whether it counts.
    ///
    /// Whoever knows the recipient of an export can make one. So its list of destroyed keys takes no key from a keyring: it
    /// only keeps out what is not there.
    ///
    /// # Errors
    ///
    /// A file is malformed, or another is there under its name: then nothing was changed. Or a file cannot be written.
    pub fn merge_into(&self, keyring: &mut Keyring) -> Result<Merged, KeyringError> {
        let mut merged = Merged::default();
        let listed = self.destroyed()?;
        let sealing = keyring.sealing.iter().map(|own| (own.key.key_id(), names::sealing(own)));
        let signing =
            keyring.signing.iter().map(|own| (own.key_id(), names::signing(&own.key_id())));
        let here = sealing.chain(signing).filter(|(id, _)| !keyring.destroyed.contains(id));
        merged.alive = here.filter(|(id, _)| listed.contains(id)).map(|(_, name)| name).collect();
        let mut destroyed = keyring.destroyed.clone();
        destroyed.extend(listed);
        let (mut identity, mut former) = (None, None);
        let (mut signing, mut sealing) = (Vec::new(), Vec::new());
        for File { name, content } in &self.files {
            let path = || keyring.directory.join(name);
            let key = |source| KeyringError::Key { path: PathBuf::from(name), source };
            match Kind::of(name) {
                Some(Kind::Identity) => {
                    let key = IdentityKey::from_pem(content).map_err(key)?;
                    match keyring.identity() {
                        Some(own) if own.fingerprint() == key.fingerprint() => {
                            merged.present.push(name.clone());
                        }
                        Some(_) => return Err(KeyringError::Exists(path())),
                        None if destroyed.contains(&key.fingerprint()) => {
                            merged.destroyed.push(name.clone());
                        }
                        None => identity = Some((name, key)),
                    }
                }
                Some(Kind::FormerIdentity) => {
                    let key = IdentityKey::from_pem(content).map_err(key)?;
                    if keyring.former_identity().is_some() {
                        merged.present.push(name.clone());
                    } else if destroyed.contains(&key.fingerprint()) {
                        merged.destroyed.push(name.clone());
                    } else {
                        former = Some((name, key));
                    }
                }
                Some(Kind::Signing) => {
                    let key = SigningKey::from_pem(content).map_err(key)?;
                    if keyring.signing.iter().any(|own| own.key_id() == key.key_id()) {
                        merged.present.push(name.clone());
                    } else if destroyed.contains(&key.key_id()) {
                        merged.destroyed.push(name.clone());
                    } else {
                        signing.push((name, key));
                    }
                }
                Some(Kind::Sealing) => {
                    let key =
                        sealing_file::parse(content).map_err(|what| self.malformed(name, what))?;
                    let id = key.key.key_id();
                    if keyring.sealing.iter().any(|own| own.key.key_id() == id) {
                        merged.present.push(name.clone());
                    } else if destroyed.contains(&id) {
                        merged.destroyed.push(name.clone());
                    } else {
                        sealing.push((name, key));
                    }
                }
                Some(
                    Kind::NextIdentity | Kind::Policy | Kind::Book | Kind::Ahead | Kind::Destroyed,
                ) => {}
                None => merged.unknown.push(name.clone()),
            }
        }
        // The destroyed ones first, so that a crash brings none of them back.
        keyring.extend(DESTROYED, self.file(DESTROYED).map_or("", |file| &file.content))?;
        // What is known here counts; keys that it does not know are taken for newly found.
        if let (None, Some(file)) = (keyring.book(), self.file(BOOK)) {
            keyring.set_book(&file.content)?;
        }
        if let (0, Some(file)) = (keyring.ahead().count(), self.file(AHEAD)) {
            let lines = file.content.lines().map(str::trim);
            let lines: Vec<&str> = lines.filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
            keyring.set_ahead(lines)?;
        }
        if let Some((name, key)) = identity {
            keyring.add_identity(key)?;
            merged.added.push(name.clone());
        }
        if let Some((name, key)) = former {
            keyring.add_former_identity(key)?;
            merged.added.push(name.clone());
        }
        for (name, key) in signing {
            keyring.add_signing(key)?;
            merged.added.push(name.clone());
        }
        for (name, key) in sealing {
            keyring.add_sealing(key)?;
            merged.added.push(name.clone());
        }
        Ok(merged)
    }

    fn malformed(&self, name: &str, what: &'static str) -> KeyringError {
        KeyringError::Malformed { path: PathBuf::from(name), what }
    }
}

impl Keyring {
    /// Whether a key of any kind is here.
    fn has(&self, id: &KeyId) -> bool {
        let others = [self.former_identity(), self.next_identity()];
        self.sealing.iter().any(|own| own.key.key_id() == *id)
            || self.signing.iter().any(|own| own.key_id() == *id)
            || self
                .identity()
                .into_iter()
                .chain(others.into_iter().flatten())
                .any(|own| own.fingerprint() == *id)
    }

    /// Adds to a list the lines about keys that are not in it; of keys that are here none is added to those destroyed.
    fn extend(&mut self, list: &str, more: &str) -> Result<(), KeyringError> {
        let path = self.directory.join(list);
        let mut text = match disk::read_public(&path) {
            Ok(text) => (*text).clone(),
            Err(KeyringError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                String::new()
            }
            Err(error) => return Err(error),
        };
        let known: Vec<String> = text.lines().filter_map(first).map(str::to_owned).collect();
        let mut changed = false;
        for line in more.lines() {
            let Some(id) = first(line).filter(|id| !known.iter().any(|known| known == id)) else {
                continue;
            };
            if list == DESTROYED {
                let Ok(id) = id.parse::<KeyId>() else { continue };
                if self.has(&id) {
                    continue;
                }
                self.destroyed.insert(id);
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(line);
            text.push('\n');
            changed = true;
        }
        if changed {
            disk::write(&path, &text, Existing::Replace)?;
        }
        Ok(())
    }
}

/// The first word of a line that is no comment: a key id.
fn first(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|word| !word.starts_with('#'))
}
