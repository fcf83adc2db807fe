//! Publishes the records of a local domain: by hand, by an operator's command, or by dynamic update (RFC 2136).
//!
//! When something is published, and whether it is visible, is decided elsewhere. A [`Publisher`] only makes changes, and is asked
//! again for the same ones after a failure: adding what is there and removing what is gone succeed.

mod hook;
mod manual;
mod turn;
mod update;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use hook::{Hook, HookError};
pub use manual::Manual;
pub(in crate::gateway) use turn::Turn;
pub use update::{Update, UpdateKeyError};

use super::Clock;
use super::config::{Publication, PublicationWay};
use crate::dns::update::UpdateError;

/// One change of one TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// Name of the record, without trailing dot.
    pub name: String,
    /// The whole text of the record, not split into strings.
    pub value: String,
    /// Time to live in seconds.
    pub ttl: u32,
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is there from now on.
    Add,
    /// It is gone from now on; other records of the name stay.
    Remove,
}

impl Action {
    /// As a word: `add` or `remove`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What has become of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// All were made.
    Done,
    /// None was made: the operator has to make them.
    ByHand,
}

/// How records are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// By the operator.
    Manual,
    /// By a command of the operator's.
    Hook,
    /// By dynamic update of a primary server.
    Update,
}

impl Way {
    /// A word for logs and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Hook => "hook",
            Self::Update => "update",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why changes were not made, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The command failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The primary server refuses them, or cannot be believed.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

impl PublishError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hook(error) => error.hint(),
            Self::Update(error) => error.hint(),
        }
    }
}

/// Why records cannot be published as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The command cannot be used.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The key for updates cannot be used.
    #[error(transparent)]
    Key(#[from] UpdateKeyError),
}

impl PublisherError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hook(error) => error.hint(),
            Self::Key(error) => error.hint(),
        }
    }
}

/// A boxed publication in progress.
pub type PublishFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send + 'a>>;

/// Makes changes of records.
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Makes `changes`, which belong together: a new policy is added and the old one removed in one call, and at no time is there
    /// none, if the way of publication can do that. After an error some may have been made; all can be asked for again.
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a>;

    /// How it does so.
    fn way(&self) -> Way;
}

/// The publisher that the configuration of a domain asks for. Blocks while it reads files.
///
/// # Errors
///
/// Its command or key is missing, not usable, or open to others.
pub fn publisher(
    publication: &Publication,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Publisher>, PublisherError> {
    Ok(match &publication.way {
        PublicationWay::Manual => Arc::new(Manual),
        PublicationWay::Hook { command } => Arc::new(Hook::new(command.clone())?),
        PublicationWay::Update { server, tsig, zone } => {
            Arc::new(Update::load(*server, tsig, zone.clone(), clock)?)
        }
    })
}
