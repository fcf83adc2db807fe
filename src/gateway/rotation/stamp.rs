//! Whether a keyring has changed, without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one state of a keyring from another: its directory changes with each file that is made, replaced or unlinked in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of the directory as it is now; none if it cannot be looked at.
    pub(super) async fn of(directory: &Path) -> Option<Self> {
        let of = |at: Metadata| Self { inode: at.ino(), changed: (at.ctime(), at.ctime_nsec()) };
        tokio::fs::metadata(directory).await.ok().map(of)
    }
}
