//! Who is waiting for mail, and why: what the operator is shown, and what senders are told of.
//!
//! One row for each direction, sender and recipient, from the first 4xx until the pair is accepted or
//! refused for good. Nothing in the mail path depends on it: it may lag behind, and a full table forgets what was tried
//! least lately.

use super::Scope;

/// Most octets kept of each text of a deferral.
pub const MAX_DEFERRAL_TEXT: usize = 500;
/// Seconds after its last attempt for which a deferral is kept: 7 days, longer than MTAs try.
pub const DEFERRAL_MEMORY: u64 = 7 * 24 * 3_600;
/// A pair that was not tried for so many seconds begins anew: the MTA before us has given up, and this is another message.
pub const DEFERRAL_GAP: u64 = 24 * 3_600;
/// Seconds between two notices of delay to one sender about one domain.
pub const DELAY_NOTICE_GAP: u64 = 24 * 3_600;
/// Most rows that one [`super::Ledger::deferrals`] returns: all that [`super::Options::max_deferrals`] keeps of both
/// directions, for a command that ends when it has shown them.
pub const MAX_DEFERRALS: usize = 20_000;
/// Most rows that one [`super::Ledger::delayed`] returns.
pub const MAX_DELAYED: usize = 1_000;
/// Most attempts in one [`super::Ledger::record_attempts`].
pub const MAX_ATTEMPTS: usize = 1_024;

/// How one attempt for one recipient ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which way the message was going.
    pub scope: Scope,
    /// The domain of the partner: of the recipient of outgoing mail, of the sender of incoming. May be empty.
    pub domain: String,
    /// The reverse-path without angle brackets, empty if it is null.
    pub sender: String,
    /// The forward-path without angle brackets.
    pub recipient: String,
    /// When, Unix seconds.
    pub at: u64,
    /// What was answered.
    pub fate: Fate,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// 2xx, and the message left sealed.
    Sealed,
    /// 2xx, and the message left in clear.
    Clear,
    /// 2xx for a message that came in.
    Delivered,
    /// 5xx.
    Refused,
    /// 4xx.
    Deferred(Box<Cause>),
}

impl Fate {
    /// The word that stands in the ledger.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Clear => "clear",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// Why a recipient was answered 4xx. Texts longer than [`MAX_DEFERRAL_TEXT`] are cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// Name of the row of the draft's table of replies, or `next-hop-reply`.
    pub reason: String,
    /// The reason in words.
    pub words: String,
    /// The reply.
    pub reply: String,
    /// Queue id of the MTA before us, if it is known.
    pub queue: Option<String>,
    /// Trace id of the transaction.
    pub trace: String,
    /// Whether the sender may be told of the delay: one of our own, who did not ask to be spared.
    pub tell: bool,
    /// Decoded ORCPT parameter with its type.
    pub original: Option<String>,
    /// Decoded ENVID parameter.
    pub envid: Option<String>,
}

/// A pair of sender and recipient that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferral {
    /// Which way the mail is going.
    pub scope: Scope,
    /// The domain of the partner.
    pub domain: String,
    /// The reverse-path, empty if it is null.
    pub sender: String,
    /// The forward-path.
    pub recipient: String,
    /// Why, at the last attempt.
    pub cause: Cause,
    /// Time of the first attempt, Unix seconds.
    pub first_seen: u64,
    /// Time of the last attempt, Unix seconds.
    pub last_seen: u64,
    /// How many attempts.
    pub attempts: u64,
}
