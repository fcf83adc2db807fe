//! Publication by dynamic update of the zone's primary server: all changes of a call at once, so that there is never none or two.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::info;

use super::{Action, Change, PublishError, PublishFuture, Published, Publisher, Way};
use crate::core::Domain;
use crate::dns::update::{Edit, Key, KeyError, Primary};
use crate::gateway::Clock;
use crate::store::secret_file::{self, SecretFileError};

/// Why the key that signs updates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpdateKeyError {
    /// Its file cannot be read, or others can read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// Its file holds no usable key.
    #[error("{}: {error}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
}

impl UpdateKeyError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Key { error, .. } => Some(error.hint().to_owned()),
        }
    }
}

/// A primary server and the key for it.
pub struct Update {
    primary: Primary,
    clock: Arc<dyn Clock>,
}

impl Update {
    /// For the server at `server`, with the key in the file `tsig`. Without `zone` the server is asked for it. Blocks while it
    /// reads the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, others can read it, or it holds no usable key.
    pub fn load(
        server: SocketAddr,
        tsig: &Path,
        zone: Option<Domain>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UpdateKeyError> {
        let text = secret_file::read(tsig)?;
        let key = Key::parse(&text)
            .map_err(|error| UpdateKeyError::Key { path: tsig.to_owned(), error })?;
        Ok(Self { primary: Primary::new(server, key, zone), clock })
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("primary", &self.primary).finish_non_exhaustive()
    }
}

impl Publisher for Update {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        Box::pin(async move {
            let edits: Vec<Edit<'_>> = changes.iter().map(edit).collect();
            self.primary.apply(&edits, self.clock.now()).await.map_err(PublishError::Update)?;
            let server = self.primary.address();
            for change in changes {
                info!(%server, action = %change.action, name = change.name, "record changed by update");
            }
            Ok(Published::Done)
        })
    }

    fn way(&self) -> Way {
        Way::Update
    }
}

fn edit(change: &Change) -> Edit<'_> {
    let (name, text) = (change.name.as_str(), change.value.as_str());
    match change.action {
        Action::Add => Edit::Add { name, text, ttl: change.ttl },
        Action::Remove => Edit::Remove { name, text },
    }
}
