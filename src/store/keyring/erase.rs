//! Files whose content is not to be found again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Removes what a crash has left of the writing of a file. If that was already given its name, both are one file: then only the name
/// that is too many goes.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.nlink() > 1 { fs::remove_file(path) } else { erase(path) }
}

/// Writes zeros over a file and removes it. Where the file system writes in place this leaves nothing of it; a copy-on-write file
/// system, an SSD or a backup may keep it all the same (`docs/keys.md`). The directory is left to be synchronised.
pub(super) fn erase(path: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let len = file.metadata()?.len();
    let zeros = [0; 4_096];
    let mut left = len;
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(zeros.get(..some).unwrap_or(&zeros))?;
        left -= some as u64;
    }
    file.sync_all()?;
    fs::remove_file(path)
}
