//! Files that hold secrets: written whole or not at all, read only if nobody else can.

use super::KeyringError;
use super::erase::discard;
use super::names::temporary;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Most octets of a file with a secret in a keyring: a guard against reading something else.
const MAX_SECRET: u64 = 65_536;

/// Most octets of any other file in a keyring.
const MAX_FILE: u64 = 4 << 20;

/// What to do when a file of that name exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Refuse,
    Replace,
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    |source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyringError::Exists(path.to_owned()),
        _ => KeyringError::Io { path: path.to_owned(), source },
    }
}

/// Makes a directory, and its parents, that only its owner can enter.
pub(super) fn make_directory(path: &Path) -> Result<(), KeyringError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path))
}

/// Refuses what others can read or a different user owns.
pub(super) fn check(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyringError> {
    closed(path, metadata, 0o077)
}

fn closed(path: &Path, metadata: &fs::Metadata, others: u32) -> Result<(), KeyringError> {
    let owner = metadata.uid();
    let own = rustix::process::geteuid().as_raw();
    if owner != own {
        return Err(KeyringError::Owner { path: path.to_owned(), owner, own });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & others != 0 {
        return Err(KeyringError::Open {
            path: path.to_owned(),
            mode,
            directory: metadata.is_dir(),
        });
    }
    Ok(())
}

/// Reads a file that only its owner can read. The check is of the very file that is read.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    let mut file = File::open(path).map_err(io(path))?;
    let metadata = file.metadata().map_err(io(path))?;
    check(path, &metadata)?;
    read(path, &mut file, metadata.len(), MAX_SECRET)
}

/// Reads a file that holds no secret, but decides what the gateway does: only its owner can write it.
pub(super) fn read_public(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    let mut file = File::open(path).map_err(io(path))?;
    let metadata = file.metadata().map_err(io(path))?;
    closed(path, &metadata, 0o022)?;
    read(path, &mut file, metadata.len(), MAX_FILE)
}

fn read(
    path: &Path,
    file: &mut File,
    len: u64,
    most: u64,
) -> Result<Zeroizing<String>, KeyringError> {
    let malformed = |what| KeyringError::Malformed { path: path.to_owned(), what };
    if len > most {
        return Err(malformed("too large for a file of a keyring"));
    }
    // One octet more than there are, so that the buffer need not grow and leave copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(len).unwrap_or(0) + 1));
    file.take(most).read_to_end(&mut octets).map_err(io(path))?;
    let text = std::str::from_utf8(&octets).map_err(|_| malformed("not a text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Writes a file of mode 0600 such that at any instant there is the whole file or none.
pub(super) fn write(path: &Path, text: &str, existing: Existing) -> Result<(), KeyringError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(temporary(&name, std::process::id()));
    // Of a process with this number that ended while it was writing; in a container every one has the same.
    match discard(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&temporary)(error)),
        _ => {}
    }
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io(&temporary))?;
        file.write_all(text.as_bytes()).map_err(io(&temporary))?;
        file.sync_all().map_err(io(&temporary))?;
        match existing {
            Existing::Replace => fs::rename(&temporary, path).map_err(io(path)),
            // A link fails where a rename would overwrite.
            Existing::Refuse => fs::hard_link(&temporary, path).map_err(io(path)),
        }
    })();
    if existing == Existing::Refuse || written.is_err() {
        // What matters is reported already.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync(directory)
}

/// Makes what was done in a directory durable.
pub(super) fn sync(directory: &Path) -> Result<(), KeyringError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io(directory))
}
