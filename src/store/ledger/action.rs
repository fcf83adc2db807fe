//! What operators have changed by command, and the gateway in keys of our own: who, when, what. Rows are added before the change is made, and never changed or
//! deleted; a row whose change was cut short by a kill stays.

use super::{EventKind, Operator};
use crate::core::Domain;

/// Most actions that one [`super::Ledger::actions`] returns.
pub const MAX_ACTIONS: usize = 1_000;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// A partner was added.
    Add,
    /// The fingerprint of a partner was set.
    Pin,
    /// A partner was removed.
    Forget,
    /// A partner was added with others from a file.
    Import,
    /// An override was given.
    AllowClear,
    /// An override was ended.
    DisallowClear,
    /// The private part of a key of our own was destroyed.
    KeyDestroyed,
    /// A key of our own was revoked.
    KeyRevoked,
    /// All keys of our own are replaced before their time.
    KeysRotated,
    /// Private keys of our own were encrypted under a passphrase.
    KeysProtected,
    /// Private keys of our own were written in clear again.
    KeysUnprotected,
    /// Keys of our own were written to a file for another node or a backup.
    KeysExported,
    /// Keys of our own were taken from such a file.
    KeysImported,
    /// A policy of our own was signed or put into force.
    Policy,
    /// Keys of our own were made for policies that are to be signed elsewhere.
    PolicyRequested,
    /// The identity key that is to succeed our own was made.
    IdentityPrepared,
    /// The identity key of our own was succeeded by another.
    IdentityRolled,
    /// The change recorded just before could not be made.
    Failed,
}

impl ActionKind {
    /// The name in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Pin => "pin",
            Self::Forget => "forget",
            Self::Import => "import",
            Self::AllowClear => "allow-clear",
            Self::DisallowClear => "disallow-clear",
            Self::KeyDestroyed => "key-destroyed",
            Self::KeyRevoked => "key-revoked",
            Self::KeysRotated => "keys-rotated",
            Self::KeysProtected => "keys-protected",
            Self::KeysUnprotected => "keys-unprotected",
            Self::KeysExported => "keys-exported",
            Self::KeysImported => "keys-imported",
            Self::Policy => "policy",
            Self::PolicyRequested => "policy-requested",
            Self::IdentityPrepared => "identity-prepared",
            Self::IdentityRolled => "identity-rolled",
            Self::Failed => "failed",
        }
    }

    /// The kind of its row in the audit trail.
    #[must_use]
    pub const fn event(self) -> EventKind {
        match self {
            Self::Add | Self::Pin | Self::Forget | Self::Import | Self::Failed => {
                EventKind::Partner
            }
            Self::AllowClear | Self::DisallowClear => EventKind::Override,
            _ => EventKind::Key,
        }
    }
}

/// What is about to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAction {
    /// The kind of change.
    pub kind: ActionKind,
    /// The partner, or the domain of our own, that it is about.
    pub domain: Domain,
    /// What exactly, and why, in words.
    pub detail: String,
}

/// An action on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its number; later ones have higher numbers.
    pub id: i64,
    /// When, Unix seconds.
    pub at: u64,
    /// Who gave the command.
    pub by: Operator,
    /// The name of its [`ActionKind`]; later versions may have others.
    pub action: String,
    /// The partner, or the domain of our own, that it was about.
    pub domain: String,
    /// What exactly, and why, in words.
    pub detail: String,
}
