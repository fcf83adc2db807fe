//! A carrier that must be whole before its first octet can be sent, since the hash of its body stands in its header
//! (RFC 6376 section 3.5). What is kept is ciphertext; the message itself is never written to disk.

use std::fs::Permissions;
use std::io::{self, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tracing::warn;

use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::mail::dkim::CarrierSigner;
use crate::smtp::Reply;

/// A carrier up to this size, in octets, stays in memory; a larger one is written and read in such pieces.
const PIECE: usize = 256 * 1024;

/// Octets that are left free on the file system, since the ledger needs some to say what has been delivered.
const RESERVE: u64 = 64 << 20;

/// A carrier that waits for its signatures.
///
/// Beyond [`PIECE`] it lies in a file of mode 0600 that has no name: it is gone with this value, and with the process however
/// it ends.
pub(super) struct Spool {
    directory: PathBuf,
    signers: Arc<[CarrierSigner]>,
    /// What is not in the file; everything, as long as there is none.
    piece: Vec<u8>,
    file: Option<File>,
}

impl Spool {
    /// Makes its file in `directory`, if it needs one.
    pub(super) fn new(directory: PathBuf, signers: Arc<[CarrierSigner]>) -> Self {
        Self { directory, signers, piece: Vec::new(), file: None }
    }

    /// Keeps the next octets of the carrier.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), Reply> {
        self.piece.extend_from_slice(octets);
        if self.piece.len() < PIECE {
            return Ok(());
        }
        self.spill().await.map_err(refusal)
    }

    /// Moves what is in memory to the file.
    async fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let directory = self.directory.clone();
                let made = tokio::task::spawn_blocking(|| make(directory)).await;
                none.insert(File::from_std(made.map_err(io::Error::other)??))
            }
        };
        let room = rustix::fs::fstatvfs(&*file).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        if room? < RESERVE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(&self.piece).await?;
        self.piece.clear();
        Ok(())
    }

    /// Signs the carrier and sends it, from DATA up to but not including the final dot.
    pub(super) async fn send(mut self, downstream: &mut Downstream) -> Result<(), Reply> {
        if self.file.is_some() {
            self.spill().await.map_err(refusal)?;
        }
        let fields = self.sign().await?;
        downstream.data().await?;
        downstream.write(&fields).await?;
        self.rewind().await.map_err(refusal)?;
        loop {
            downstream.write(&self.piece).await?;
            if !self.next().await.map_err(refusal)? {
                return Ok(());
            }
        }
    }

    /// The signature fields, the first signer's first.
    async fn sign(&mut self) -> Result<Vec<u8>, Reply> {
        let signers = Arc::clone(&self.signers);
        let mut signing: Vec<_> = signers.iter().map(CarrierSigner::begin).collect();
        self.rewind().await.map_err(refusal)?;
        loop {
            signing.iter_mut().for_each(|signing| signing.write(&self.piece));
            if !self.next().await.map_err(refusal)? {
                break;
            }
        }
        let mut fields = Vec::new();
        for signing in signing {
            fields.extend(signing.finish().map_err(|error| {
                warn!(%error, "carrier not signed");
                Failure::Signature.reply()
            })?);
        }
        Ok(fields)
    }

    /// Makes [`Self::piece`] the first one.
    async fn rewind(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // Also tells of a write that failed late.
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await?;
        self.next().await.map(drop)
    }

    /// Makes [`Self::piece`] the next one; `false` at the end.
    async fn next(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        self.piece.clear();
        file.take(PIECE as u64).read_to_end(&mut self.piece).await?;
        Ok(!self.piece.is_empty())
    }
}

/// A file without a name, its owner's alone.
fn make(directory: PathBuf) -> io::Result<std::fs::File> {
    let file = tempfile::tempfile_in(directory)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn refusal(error: io::Error) -> Reply {
    warn!(%error, "carrier could not be kept for signing");
    Failure::Spool.reply()
}
