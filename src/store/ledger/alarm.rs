//! What an operator should look into: one row for each direction, domain and kind, from the first occurrence until
//! somebody acknowledges it, and for a while after.
//!
//! Nothing in the mail path depends on it. The rows are kept in pools, by direction and by how well the domain is known: it
//! is named by the configuration, or remembered as a destination of our own mail, or neither. A full pool forgets its own
//! rows only, so that whoever has many domains pushes out strangers like himself and nobody else.

use super::{Operator, Scope};

/// Most octets kept of the words of an alarm.
pub const MAX_ALARM_TEXT: usize = 500;
/// Seconds after its last occurrence for which an alarm is kept that is not open: 90 days.
pub const ALARM_MEMORY: u64 = 90 * 24 * 3_600;
/// An alarm that is not open and did not occur for so many seconds begins anew: 7 days.
pub const ALARM_GAP: u64 = 7 * 24 * 3_600;
/// Most occurrences in one [`super::Ledger::record_alarms`].
pub const MAX_ALARM_BATCH: usize = 4_096;
/// Most rows that one [`super::Ledger::alarms`] returns: all that [`super::Options::max_alarms`] keeps in all pools.
pub const MAX_ALARMS: usize = 12_000;

/// One or more occurrences of one alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Which way the mail was going.
    pub scope: Scope,
    /// The domain it is about.
    pub domain: String,
    /// Stable name of what has happened.
    pub kind: String,
    /// The same in words, of the latest. More than [`MAX_ALARM_TEXT`] octets are cut.
    pub words: String,
    /// Whether the configuration names the domain.
    pub partner: bool,
    /// Whether somebody has to look into it; else the row is never open.
    pub asks: bool,
    /// Time of the first, Unix seconds.
    pub first: u64,
    /// Time of the last, Unix seconds.
    pub last: u64,
    /// How many.
    pub count: u64,
}

/// What became of occurrences in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// How many open alarms full pools have let go for them.
    pub dropped: u64,
    /// Those that have opened an alarm again that had been acknowledged.
    pub reopened: Vec<Occurrence>,
}

/// An alarm in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRow {
    /// Which way the mail was going.
    pub scope: Scope,
    /// The domain it is about.
    pub domain: String,
    /// Stable name of what has happened.
    pub kind: String,
    /// The same in words, of the latest occurrence.
    pub words: String,
    /// Time of the first occurrence, Unix seconds; since it was last acknowledged, if it occurred again.
    pub first_seen: u64,
    /// Time of the last occurrence, Unix seconds.
    pub last_seen: u64,
    /// How many occurrences since [`AlarmRow::first_seen`].
    pub count: u64,
    /// Whether somebody has to look into it.
    pub open: bool,
    /// The last acknowledgement; it stays when the alarm is opened again.
    pub acknowledged: Option<Acknowledgement>,
}

/// That somebody has looked into an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// When, Unix seconds.
    pub at: u64,
    /// Who.
    pub by: Operator,
    /// What was found.
    pub why: String,
}
