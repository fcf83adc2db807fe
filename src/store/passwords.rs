//! The file of those who may log in: lines `name:hash`, the hash a PHC string of argon2id (RFC 9106).
//!
//! Empty lines and lines that begin with `#` count for nothing. `mta-seal password` prints a line.

use std::fmt;
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;

use super::secret_file::{self, SecretFileError};

/// Longest name and longest password, in octets.
const MAX_FIELD: usize = 255;

/// Most memory of one verification in KiB: 256 MiB.
const MAX_MEMORY: u32 = 256 << 10;

/// Most passes over the memory, and most lanes.
const MAX_PASSES: u32 = 64;

/// Octets of the salt (RFC 9106 section 3.1).
const SALT: usize = 16;

/// Fewest octets of a hash that is worth comparing.
const MIN_HASH: usize = 16;

/// Why a password file cannot be used, or a line cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// The file cannot be read, or others can read it.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// A line is not `name:hash`.
    #[error("{}:{line}: {what}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Nobody could log in.
    #[error("{} names nobody", .0.display())]
    Empty(PathBuf),
    /// The name cannot stand in a line.
    #[error("a name has 1 to 255 octets without colon, white space and control characters")]
    Name,
    /// The password cannot be sent by PLAIN.
    #[error("a password has 1 to 255 octets without NUL")]
    Password,
    /// The hash could not be computed.
    #[error("password could not be hashed")]
    Hash,
}

impl PasswordsError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(error) => error.hint(),
            Self::Malformed { .. } | Self::Empty(_) => {
                Some("`mta-seal password NAME` prints a line for it".to_owned())
            }
            Self::Name | Self::Password | Self::Hash => None,
        }
    }
}

/// Those who may log in.
pub struct Passwords {
    lines: Vec<Line>,
}

struct Line {
    name: String,
    hash: PasswordHash,
}

/// The line that a password was found right by. It counts as long as the file holds that very line.
#[derive(Clone, PartialEq, Eq)]
pub struct Checked(PasswordHash);

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked(redacted)")
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({} redacted)", self.lines.len())
    }
}

impl Passwords {
    /// Reads a file that others cannot read.
    pub fn load(path: &Path) -> Result<Self, PasswordsError> {
        let text = secret_file::read(path)?;
        let mut lines: Vec<Line> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let malformed =
                |what| PasswordsError::Malformed { path: path.to_owned(), line: at + 1, what };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or(malformed("not `name:hash`"))?;
            if !is_name(name) {
                return Err(malformed("the name has a character that no name has"));
            }
            if lines.iter().any(|other| other.name == name) {
                return Err(malformed("the name stands twice"));
            }
            let hash = parse(hash).ok_or(malformed("the hash is no usable argon2id PHC string"))?;
            lines.push(Line { name: name.to_owned(), hash });
        }
        if lines.is_empty() {
            return Err(PasswordsError::Empty(path.to_owned()));
        }
        Ok(Self { lines })
    }

    /// Whether the file names someone.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.line(name).is_some()
    }

    /// Whether the file still holds the line of `name` by which a password was found right.
    #[must_use]
    pub fn holds(&self, name: &str, checked: &Checked) -> bool {
        self.line(name).is_some_and(|line| line.hash == checked.0)
    }

    /// Compares a password. Blocks for some tens of milliseconds, as long for a name that is not there as for one that
    /// is.
    #[must_use]
    pub fn verify(&self, name: &str, password: &str) -> Option<Checked> {
        let known = self.line(name);
        // A name that is not there is compared with another's hash, and the result thrown away.
        let hash = &known.or(self.lines.first())?.hash;
        let right = Argon2::default().verify_password(password.as_bytes(), hash).is_ok();
        (right && known.is_some()).then(|| Checked(hash.clone()))
    }

    fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_FIELD
        && !name.starts_with('#')
        && !name.chars().any(|c| c.is_control() || c.is_whitespace() || c == ':')
}

/// Reads a hash of argon2id version 1.3 whose costs are bounded.
fn parse(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let parameters = Params::try_from(&hash).ok()?;
    let usable = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && hash.version == Some(Version::V0x13.into())
        && hash.salt.is_some()
        && hash.hash.as_ref().is_some_and(|hash| hash.len() >= MIN_HASH)
        && parameters.m_cost() <= MAX_MEMORY
        && parameters.t_cost() <= MAX_PASSES
        && parameters.p_cost() <= MAX_PASSES;
    usable.then_some(hash)
}

/// Makes the line of a name and a password, without line end.
pub fn line<R: CryptoRng + ?Sized>(
    name: &str,
    password: &str,
    rng: &mut R,
) -> Result<String, PasswordsError> {
    if !is_name(name) {
        return Err(PasswordsError::Name);
    }
    if password.is_empty() || password.len() > MAX_FIELD || password.contains('\0') {
        return Err(PasswordsError::Password);
    }
    let mut salt = [0; SALT];
    rng.fill_bytes(&mut salt);
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| PasswordsError::Hash)?;
    Ok(format!("{name}:{hash}"))
}
