//! The one right to have the records of a keyring changed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file in the keyring's directory that is locked (flock(2)); it is empty.
const NAME: &str = "publishing";

/// The right to have changes made, from when they are read from the book until it says what has become of them: a gateway and a command
/// would otherwise make the same ones, and one's late `add` of a policy would bring back what the other has removed. Given back when
/// dropped, and by the system when the process ends.
#[derive(Debug)]
pub(in crate::gateway) struct Turn(File);

impl Turn {
    /// Takes the right, unless somebody else has it. Blocks only while it opens a file.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(in crate::gateway) fn take(keys: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).mode(0o600).open(keys.join(NAME))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A child that is being started may still have the file open for an instant. If this fails it is closed all the same.
        let _ = self.0.unlock();
    }
}
