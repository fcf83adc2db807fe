//! Standard input and output in large blocks, without a copy in between.

use super::failure::Failure;
use super::terminal::Progress;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Octets read at once.
pub(super) const READ: usize = 256 << 10;

/// Where a message comes from.
pub(super) struct Input {
    file: File,
    name: String,
    buffer: Vec<u8>,
    progress: Progress,
}

impl Input {
    /// A file, or standard input.
    pub(super) fn open(path: Option<&Path>, verb: &'static str) -> Result<Self, Failure> {
        let (file, name) = match path {
            Some(path) => {
                let file = File::open(path).map_err(|error| Failure::reading_file(path, &error))?;
                (file, path.display().to_string())
            }
            None => {
                let name = "standard input".to_owned();
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                (stdin.map_err(|error| Failure::reading(&name, &error))?.into(), name)
            }
        };
        let total = file.metadata().ok().filter(|data| data.is_file()).map(|data| data.len());
        Ok(Self { file, name, buffer: vec![0; READ], progress: Progress::new(verb, total) })
    }

    /// The next octets; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        let count = loop {
            match self.file.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::reading(&self.name, &error)),
            }
        };
        self.progress.advance(count);
        Ok(self.buffer.get(..count).filter(|octets| !octets.is_empty()))
    }
}

/// Where the result goes.
pub(super) enum Output {
    /// Standard output; written as it comes.
    Standard { file: File, written: u64 },
    /// A file that appears when it is complete; dropped before, it leaves nothing.
    File { file: File, temporary: Temporary, path: PathBuf },
}

/// A file that is removed unless it is renamed.
pub(super) struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing more can be done about it here.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Output {
    /// Standard output.
    pub(super) fn standard() -> Result<Self, Failure> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let file = stdout.map_err(|error| Failure::writing("standard output", &error))?.into();
        Ok(Self::Standard { file, written: 0 })
    }

    /// A file, readable by its owner only: what was sealed is not for others.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        use std::os::unix::fs::OpenOptionsExt;
        let name = path
            .file_name()
            .ok_or_else(|| Failure::usage(format!("{} is no name of a file", path.display())))?;
        let hidden = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let temporary = path.with_file_name(hidden);
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| Failure::writing(temporary.display(), &error))?;
        Ok(Self::File { file, temporary: Temporary(Some(temporary)), path: path.to_owned() })
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Standard { file, written } => {
                file.write_all(octets).map_err(|e| Failure::writing("standard output", &e))?;
                *written += octets.len() as u64;
                Ok(())
            }
            Self::File { file, path, .. } => {
                file.write_all(octets).map_err(|e| Failure::writing(path.display(), &e))
            }
        }
    }

    /// Octets that somebody may have read already.
    pub(super) fn released(&self) -> u64 {
        match self {
            Self::Standard { written, .. } => *written,
            Self::File { .. } => 0,
        }
    }

    /// Lets a file appear.
    pub(super) fn commit(self) -> Result<(), Failure> {
        let Self::File { file, mut temporary, path } = self else { return Ok(()) };
        let failed = |error| Failure::writing(path.display(), &error);
        file.sync_all().map_err(failed)?;
        if let Some(from) = &temporary.0 {
            std::fs::rename(from, &path).map_err(failed)?;
        }
        temporary.0 = None;
        Ok(())
    }
}
