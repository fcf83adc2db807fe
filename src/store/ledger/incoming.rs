//! Replay protection of the unsealing side: what was delivered, and what is being delivered.
//!
//! A delivery is known by two keys, each with the recipient: the envelope id, which a replay
//! repeats, and sender domain with delivery id, which a sealed-again retry repeats. A recipient
//! is free, *claimed* from just before the final dot to the next hop's answer, or *delivered*.
//! Either key suffices to be claimed or delivered.
//!
//! A claim belongs to one epoch, that is one opening of the ledger by one process. It ends when
//! released, when its epoch ends (a restart: a duplicate is preferred to a loss), and after
//! [`super::CLAIM_LEASE`], should its transaction have vanished.

use crate::core::{DeliveryId, Domain, EnvelopeId};

/// What identifies an incoming message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// The id of its envelope.
    pub envelope_id: EnvelopeId,
    /// The sender domain of its verified prefix.
    pub sender_domain: Domain,
    /// The delivery id of its verified prefix.
    pub delivery_id: DeliveryId,
}

/// What the ledger knows of one recipient of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingStatus {
    /// Nothing: it may be claimed.
    New,
    /// The next hop has it: 250 and no second delivery.
    Delivered,
    /// Another transaction is at it: 451.
    InProgress,
}

/// The answer to a claim for one recipient.
#[derive(Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours: send the final dot, then report delivered or release.
    Claimed(Claim),
    /// The next hop has it: 250 and no second delivery.
    Delivered,
    /// Another transaction is at it: 451.
    InProgress,
}

/// The right to deliver one message to one recipient.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    pub(super) recipient: String,
    pub(super) keys: [[u8; 32]; 2],
    pub(super) token: i64,
}

impl Claim {
    /// The forward-path it was made for.
    #[must_use]
    pub fn recipient(&self) -> &str {
        &self.recipient
    }
}
