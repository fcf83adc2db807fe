//! Credentials of systemd: files that the service manager hands to a service in a directory of its own.
//!
//! systemd sets `CREDENTIALS_DIRECTORY`. The files are root's with mode 0400 and an access control list for the user of the
//! service, which `stat` shows as group-readable, or that user's own where the file system has no such lists.

use std::path::{Path, PathBuf};

/// Where systemd puts them.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Stands for the directory when there is none, so that the path says what is missing.
const NONE: &str = "$CREDENTIALS_DIRECTORY";

/// Most octets of a name, as of a file.
const MAX_NAME: usize = 255;

/// The name in `credential:NAME`.
#[must_use]
pub fn name(text: &str) -> Option<&str> {
    text.strip_prefix("credential:")
}

/// Whether systemd would take such a name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let usable = |octet: u8| octet.is_ascii_graphic() && octet != b'/' && octet != b':';
    (1..=MAX_NAME).contains(&name.len()) && ![".", ".."].contains(&name) && name.bytes().all(usable)
}

/// The file of a credential. If this process was handed none there is no such file; [`missing`] tells it from others.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let directory = std::env::var_os(VARIABLE).filter(|directory| !directory.is_empty());
    PathBuf::from(directory.unwrap_or_else(|| NONE.into())).join(name)
}

/// The name of the credential if `path` is that of one and this process was handed none.
#[must_use]
pub fn missing(path: &Path) -> Option<&str> {
    path.parent().filter(|parent| parent.ends_with(NONE))?;
    path.file_name()?.to_str()
}

/// The name of the credential if `path` is in the directory that systemd has handed to this process.
#[must_use]
pub fn of(path: &Path) -> Option<&str> {
    let directory = std::env::var_os(VARIABLE).filter(|directory| !directory.is_empty())?;
    path.parent().filter(|parent| *parent == Path::new(&directory))?;
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name("credential:tls.key"), Some("tls.key"));
        assert_eq!(name("tls.key"), None);
        for good in ["tls.key", "a", "company1.example-passphrase"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../etc/shadow", "a:b", "a b", "ä", "a\n"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_missing_one_has_its_name() {
        let path = Path::new("/etc/mta-seal").join(NONE).join("tls.key");
        assert_eq!(missing(&path), Some("tls.key"));
        assert_eq!(missing(Path::new("/run/credentials/mta-seal.service/tls.key")), None);
        assert_eq!(missing(Path::new("tls.key")), None);
    }
}
