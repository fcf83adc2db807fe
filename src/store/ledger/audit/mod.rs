//! The audit trail: one row for each decision and event, appended and never changed, chained by hashes and signed from time
//! to time. `docs/audit.md` has the format.
//!
//! A row never holds text, subject or keys of a message. Whoever can write the file can cut rows off after the last signed
//! [`Checkpoint`] that somebody else keeps; every other change is found by [`Verifier`].

mod checkpoint;
mod detail;
mod query;
mod row;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointError, Signer, TrailId};
pub use detail::Detail;
pub use query::{EventQuery, Subject};
pub use row::{AuditRow, Chain};
pub use verify::{Flaw, Report, SigningKeys, Verifier};

use super::Scope;
use crate::core::EnvelopeId;

/// Most octets kept of a Message-ID, an address or a reason; longer ones are cut.
pub const MAX_AUDIT_TEXT: usize = 1_024;
/// Most octets kept of one text in the details of a row.
pub const MAX_DETAIL_TEXT: usize = 512;
/// Most details of a row.
pub const MAX_DETAILS: usize = 32;
/// Most events in one call; those beyond are counted in one [`EventKind::Lapse`].
pub const MAX_EVENTS: usize = 4_096;
/// Most rows that one [`super::Ledger::events`] returns.
pub const MAX_ROWS: usize = 10_000;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a row tells of. The names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// The name in the ledger and in output.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The kind with this name; a later version may know others.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|kind| kind.as_str() == name)
            }
        }
    };
}

kinds! {
    /// A message left sealed for a recipient: the next hop took it, or its answer was lost.
    Sealed = "sealed",
    /// A message went on as it was, out or in.
    Clear = "clear",
    /// A recipient or a message was answered 4xx.
    Deferred = "deferred",
    /// A recipient or a message was answered 5xx.
    Refused = "refused",
    /// A sealed message was unsealed, and the next hop took it for a recipient.
    Unsealed = "unsealed",
    /// What a recipient had before was not delivered again.
    Replayed = "replayed",
    /// A receipt is awaited for a recipient.
    ReceiptExpected = "receipt-expected",
    /// A receipt was written.
    ReceiptSent = "receipt-sent",
    /// A receipt proves what became of a recipient.
    ReceiptReceived = "receipt-received",
    /// A receipt proves nothing.
    ReceiptOdd = "receipt-odd",
    /// No receipt came in time.
    Unproven = "unproven",
    /// A bounce about a message of ours came back.
    Bounced = "bounced",
    /// The gateway wrote a notice to a sender.
    Notice = "notice",
    /// Keys or a policy of our own have changed.
    Key = "key",
    /// A partner has changed.
    Partner = "partner",
    /// An override was given or ended.
    Override = "override",
    /// An alarm was raised, or acknowledged.
    Alarm = "alarm",
    /// The gateway has started.
    Started = "started",
    /// The gateway is about to stop.
    Stopped = "stopped",
    /// Rows whose time was over have gone.
    Pruned = "pruned",
    /// Events that are not in the trail: there was no room or too many came at once.
    Lapse = "lapse",
}

/// What is to be put on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, Unix seconds.
    pub at: u64,
    /// What has happened.
    pub kind: EventKind,
    /// Which way the mail was going; `None` if it is about none.
    pub scope: Option<Scope>,
    /// Trace id of the transaction, or empty.
    pub trace: String,
    /// Message-ID of the message as its sender wrote it, or empty.
    pub message_id: String,
    /// The envelope.
    pub envelope: Option<EnvelopeId>,
    /// Token of the carrier.
    pub token: Option<[u8; 16]>,
    /// Reverse-path without angle brackets; empty if it is null, or if there is none.
    pub sender: String,
    /// Forward-path without angle brackets, or empty.
    pub recipient: String,
    /// The other organisation's domain, or the one of ours that it is about; may be empty.
    pub domain: String,
    /// Stable name of the reason; may be empty.
    pub reason: String,
    /// Everything else.
    pub detail: Detail,
}

impl Event {
    /// An event about no message.
    #[must_use]
    pub fn new(kind: EventKind, at: u64) -> Self {
        Self {
            at,
            kind,
            scope: None,
            trace: String::new(),
            message_id: String::new(),
            envelope: None,
            token: None,
            sender: String::new(),
            recipient: String::new(),
            domain: String::new(),
            reason: String::new(),
            detail: Detail::default(),
        }
    }

    /// That `count` events are missing, and why.
    #[must_use]
    pub fn lapse(at: u64, reason: &str, count: u64) -> Self {
        let detail = Detail::default().with("count", count);
        Self { reason: reason.to_owned(), detail, ..Self::new(EventKind::Lapse, at) }
    }
}

/// Begins what is hashed or signed: the label with its length in front, as the protocol does with its own.
fn begin(label: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(label.as_bytes());
    out
}

/// The beginning of a text, cut between characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}
