//! The ledger in one SQLite file.

/// How to open a ledger.
#[derive(Debug, Clone)]
pub struct Options {}

/// A handle to a ledger in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteLedger {}
