//! Whether the file of partners has changed since the gateway has read it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file as it is now; none if it is not there or cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        let of = |file: Metadata| Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            // That of the inode: nobody sets it back.
            changed: (file.ctime(), file.ctime_nsec()),
        };
        std::fs::metadata(path).ok().map(of)
    }
}

/// What a look at the file has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing to do.
    Same,
    /// It has changed since it was read.
    Changed,
    /// It was there when it was read, and has gone.
    Gone,
}

/// A file that is looked at again and again.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// The state that was last dealt with.
    known: Option<Stamp>,
    /// That of the last look.
    seen: Option<Stamp>,
}

impl Watch {
    /// Begins with the state of this moment; to be made before the file is read.
    pub(super) fn begin(path: &Path) -> Self {
        let known = Stamp::of(path);
        Self { path: path.to_owned(), known, seen: known }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is this file that is looked at.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Looks at the file. A change counts once the file has stayed the same from one look to the next: an editor that
    /// writes it in two steps must not put the half into force. Each change is reported once.
    pub(super) fn look(&mut self) -> Look {
        let now = Stamp::of(&self.path);
        let settled = now == std::mem::replace(&mut self.seen, now);
        if now == self.known || !settled {
            return Look::Same;
        }
        self.known = now;
        if now.is_some() { Look::Changed } else { Look::Gone }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_change_is_reported_once_and_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partners.toml");
        let mut watch = Watch::begin(&path);
        assert_eq!([watch.look(), watch.look()], [Look::Same; 2]);
        fs::write(&path, "one").unwrap();
        assert_eq!(
            [watch.look(), watch.look(), watch.look()],
            [Look::Same, Look::Changed, Look::Same]
        );
        // Still being written.
        fs::write(&path, "").unwrap();
        assert_eq!(watch.look(), Look::Same);
        fs::write(&path, "one and two").unwrap();
        assert_eq!(
            [watch.look(), watch.look(), watch.look()],
            [Look::Same, Look::Changed, Look::Same]
        );
        // Replaced by one of the same size.
        let new = dir.path().join("new");
        fs::write(&new, "two and one").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!([watch.look(), watch.look()], [Look::Same, Look::Changed]);
        fs::remove_file(&path).unwrap();
        assert_eq!(
            [watch.look(), watch.look(), watch.look()],
            [Look::Same, Look::Gone, Look::Same]
        );
    }
}
