//! How large a ledger may grow, and how long it remembers.

use std::time::Duration;

/// How to open a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Seconds for which the outcome of an outgoing transaction is remembered for its retry.
    /// Default 7 days; MTAs usually give up after 5.
    pub retry_memory: u64,
    /// Most remembered domains in each scope; of the incoming one, a quarter is kept for domains to which mail is sent.
    /// Default 100,000.
    pub max_remembered: u64,
    /// Most messages in the outbox. Default 10,000.
    pub max_outbox_items: u64,
    /// Most octets of messages in the outbox. Default 64 MiB.
    pub max_outbox_octets: u64,
    /// Most pairs of sender and recipient that wait, kept for the operator, in each direction. Default 10,000.
    pub max_deferrals: u64,
    /// Most alarms kept in each of six pools: by direction, and of partners, other correspondents and strangers. Default 2,000.
    pub max_alarms: u64,
    /// Whether the audit trail is kept. Only for measuring what it costs. Default true.
    pub trail: bool,
    /// Largest size of the database file in octets, rounded down to pages of 4 KiB; beyond it
    /// the ledger is full. Default none: the file system decides.
    pub max_size: Option<u64>,
    /// How long to wait for a lock of another program, such as a backup. Default 5 s.
    pub busy_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retry_memory: 7 * 24 * 3_600,
            max_remembered: 100_000,
            max_outbox_items: 10_000,
            max_outbox_octets: 64 * 1_024 * 1_024,
            max_deferrals: 10_000,
            max_alarms: 2_000,
            trail: true,
            max_size: None,
            busy_timeout: Duration::from_secs(5),
        }
    }
}
