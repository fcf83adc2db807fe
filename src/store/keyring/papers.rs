//! What lies beside the keys and is no secret: what is known of their lifetimes, and policies that were signed ahead.

use super::{AHEAD, BOOK, Existing, Keyring, KeyringError, disk};
use crate::store::replace::Replacing;
use std::io;
use std::path::Path;

impl Keyring {
    /// Waits for the right to change the keyring, which one process has at a time; it ends with the value that is returned.
    ///
    /// # Errors
    ///
    /// There is no such directory, or somebody keeps the right for longer than 10 s.
    pub fn lock(directory: &Path) -> Result<Replacing, KeyringError> {
        // The lock is on the directory of a file.
        Replacing::begin(&directory.join(BOOK)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyringError::Missing(directory.to_owned()),
            _ => KeyringError::Io { path: directory.to_owned(), source },
        })
    }

    /// What is known of the lifetimes of the keys, as [`Keyring::set_book`] has stored it.
    #[must_use]
    pub fn book(&self) -> Option<&str> {
        self.book.as_deref()
    }

    /// Stores what is known of the lifetimes of the keys, in place of what was stored before.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_book(&mut self, text: &str) -> Result<(), KeyringError> {
        disk::write(&self.directory.join(BOOK), text, Existing::Replace)?;
        self.book = Some(text.to_owned());
        Ok(())
    }

    /// Policies that were signed elsewhere for times to come, one in a line.
    pub fn ahead(&self) -> impl Iterator<Item = &str> {
        let lines = self.ahead.as_deref().unwrap_or_default().lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// Stores policies for times to come, in place of those stored before.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_ahead<'a>(
        &mut self,
        policies: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), KeyringError> {
        let mut text = "# policies signed ahead, one in a line\n".to_owned();
        for policy in policies {
            text.push_str(policy);
            text.push('\n');
        }
        disk::write(&self.directory.join(AHEAD), &text, Existing::Replace)?;
        self.ahead = Some(text);
        Ok(())
    }
}
