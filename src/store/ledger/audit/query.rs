//! Which rows somebody wants to see.

use crate::core::EnvelopeId;

/// What rows are about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Subject {
    /// Anything.
    #[default]
    Any,
    /// The message with this Message-ID, in its angle brackets.
    MessageId(String),
    /// This sender or recipient.
    Address(String),
    /// This domain: of the other organisation, or in an address.
    Domain(String),
    /// This transaction.
    Trace(String),
    /// This envelope.
    Envelope(EnvelopeId),
    /// The carrier with this token.
    Token([u8; 16]),
}

/// A question to the trail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// What the rows are about.
    pub subject: Subject,
    /// Not before, Unix seconds.
    pub since: Option<u64>,
    /// Before, Unix seconds.
    pub until: Option<u64>,
    /// Only rows of this kind.
    pub kind: Option<super::EventKind>,
    /// Only the last so many; at most [`super::MAX_ROWS`].
    pub limit: usize,
}
