//! The name of a file with a secret, or of a credential that systemd hands over.

use super::value::FromText;
use crate::store::credential;
use std::path::{Path, PathBuf};

/// `"PATH"`, relative to the configuration, or `"credential:NAME"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretPath(PathBuf);

impl SecretPath {
    /// The file.
    pub(super) fn at(self, base: &Path) -> PathBuf {
        base.join(self.0)
    }

    /// The path as it is written; absolute for a credential that is there.
    pub(super) fn into_path(self) -> PathBuf {
        self.0
    }
}

impl FromText for SecretPath {
    const EXPECTED: &'static str =
        "the path of a file, or \"credential:NAME\" with the name of a credential of systemd";

    fn from_text(text: &str) -> Result<Self, String> {
        match credential::name(text) {
            None if text.is_empty() => Err("an empty path".to_owned()),
            None => Ok(Self(PathBuf::from(text))),
            Some(name) if credential::is_name(name) => Ok(Self(credential::path(name))),
            Some(name) => Err(format!("`{name}` is no name of a credential")),
        }
    }
}
