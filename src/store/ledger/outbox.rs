//! Mail the gateway itself writes (delivery reports, notices), until the next hop has it.

/// Which next hop a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The organisation's own MTA.
    Inside,
    /// Towards other organisations.
    Outside,
}

/// A message to be put into the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutboxItem {
    /// The reverse-path without angle brackets, empty for the null reverse-path.
    pub reverse_path: String,
    /// The forward-paths without angle brackets, at least one.
    pub recipients: Vec<String>,
    /// The message in RFC 5322 form with CRLF line ends; at most
    /// [`super::MAX_OUTBOX_MESSAGE`] octets. Never text of a message that came sealed.
    pub message: Vec<u8>,
    /// Where it goes.
    pub side: Side,
    /// When it was written, Unix seconds; it is due at once.
    pub created: u64,
}

/// The number of a message in the outbox; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId(pub(super) i64);

/// A message in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its number.
    pub id: OutboxId,
    /// What was put in.
    pub item: NewOutboxItem,
    /// How often it was postponed.
    pub attempts: u32,
}
