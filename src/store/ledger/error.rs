//! Why the ledger could not do what it was asked.

use std::io;

/// Which bound of the ledger is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bound {
    /// More recipients in one call than [`super::MAX_RECIPIENTS`].
    #[error("too many recipients")]
    Recipients,
    /// A path longer than [`super::MAX_PATH`].
    #[error("path too long")]
    Path,
    /// More remembered domains in one scope than the ledger was opened for.
    #[error("too many remembered domains")]
    Remembered,
    /// A policy or key record larger than the ledger keeps, or too many key records.
    #[error("record too large")]
    Record,
    /// A message larger than [`super::MAX_OUTBOX_MESSAGE`].
    #[error("outbox message too large")]
    OutboxMessage,
    /// An override without a reason, with an overlong one, or for longer than [`super::MAX_ALLOWANCE`].
    #[error("override without reason, or too long")]
    Allowance,
    /// An acknowledgement without a reason, or with an overlong one.
    #[error("acknowledgement without reason, or with one too long")]
    Acknowledgement,
    /// The outbox holds as many messages or octets as it may.
    #[error("outbox full")]
    Outbox,
}

/// Why the ledger could not do what it was asked.
///
/// Nothing of a failed operation is kept, with one doubt: after [`LedgerError::Unavailable`] on
/// a commit the operation may still have become durable, as with any database. Every variant
/// means a temporary failure (4xx) for the mail at hand, never a silent success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The operating system failed a read, write or sync; the SQLite extended result code.
    #[error("ledger unavailable (database error {code})")]
    Unavailable {
        /// SQLite's extended result code, 0 if the failure was elsewhere.
        code: i32,
    },
    /// The file system or the ledger's own size limit is full.
    #[error("no room left for the ledger")]
    Full,
    /// Another process holds the ledger.
    #[error("ledger locked by another process")]
    Locked,
    /// The file is damaged, or holds something the schema forbids.
    #[error("ledger corrupt")]
    Corrupt,
    /// The file is a database, but not a ledger.
    #[error("not a ledger")]
    NotALedger,
    /// The file was written by a later version of this program.
    #[error("ledger schema {found} is newer than {supported}, the newest this version knows")]
    NewerSchema {
        /// Version found in the file.
        found: i64,
        /// Newest version supported.
        supported: i64,
    },
    /// The ledger was opened by an earlier version of this program, and for reading only.
    #[error("ledger schema {found} must be migrated to {supported} by opening it for writing")]
    OlderSchema {
        /// Version found in the file.
        found: i64,
        /// Version needed.
        supported: i64,
    },
    /// The ledger is open for reading only.
    #[error("ledger is open for reading only")]
    ReadOnly,
    /// A file of the ledger could not be opened or created.
    #[error("cannot open the ledger: {kind}")]
    Open {
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// The ledger has been closed.
    #[error("ledger closed")]
    Closed,
    /// A bound is reached; nothing was written.
    #[error("ledger bound reached: {0}")]
    Limit(Bound),
    /// The fresh delivery id is already in use, so the random numbers of the caller are not.
    #[error("delivery id already in use")]
    Conflict,
    /// A retry carries another message than the one first sent under its delivery id: retire it.
    #[error("message differs from the one sent under this delivery id")]
    MessageDiffers,
    /// An outcome was reported for a recipient that was not to be sent.
    #[error("outcome reported for a recipient that is not of this transaction")]
    StrayRecipient,
}
