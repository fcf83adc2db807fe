//! A row as it stands in the ledger, its digest, and the chain of digests.

use super::super::Scope;
use super::{Detail, TrailId, begin};
use crate::core::{EnvelopeId, sha256};

/// Hash over a row and all rows before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    // struct {
    //     opaque label<1..255>;             /* "mta-seal/1 audit-genesis" */
    //     opaque trail[16];
    // } GenesisInput;
    /// The chain of a trail without rows.
    #[must_use]
    pub fn genesis(trail: &TrailId) -> Self {
        let mut input = begin("mta-seal/1 audit-genesis");
        input.extend_from_slice(trail);
        Self(sha256(&input))
    }

    // struct {
    //     opaque label<1..255>;             /* "mta-seal/1 audit-chain" */
    //     opaque previous[32];
    //     opaque digest[32];
    // } ChainInput;
    /// The chain with one more row.
    #[must_use]
    pub fn and(&self, digest: &[u8; 32]) -> Self {
        let mut input = begin("mta-seal/1 audit-chain");
        input.extend_from_slice(&self.0);
        input.extend_from_slice(digest);
        Self(sha256(&input))
    }
}

/// A row of the trail, exactly as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number: the first has 1, each next one more.
    pub seq: i64,
    /// When, Unix seconds.
    pub at: i64,
    /// Name of its [`EventKind`](super::EventKind); later versions may have others.
    pub kind: String,
    /// 0 for mail that goes out, 1 for mail that comes in, 2 for none.
    pub direction: i64,
    /// Trace id of the transaction, or empty.
    pub trace: String,
    /// Message-ID of the message, or empty.
    pub message_id: String,
    /// Octets of the envelope id.
    pub envelope: Option<Vec<u8>>,
    /// Octets of the carrier's token.
    pub token: Option<Vec<u8>>,
    /// Reverse-path, or empty.
    pub sender: String,
    /// Forward-path, or empty.
    pub recipient: String,
    /// The domain it is about, or empty.
    pub domain: String,
    /// Stable name of the reason, or empty.
    pub reason: String,
    /// The details as JSON text.
    pub detail: String,
    /// Hash of the row, as recorded.
    pub digest: Vec<u8>,
    /// Hash of the row and all before it, as recorded.
    pub chain: Vec<u8>,
}

impl AuditRow {
    // struct {
    //     opaque label<1..255>;             /* "mta-seal/1 audit-row" */
    //     int64 seq; int64 at; int64 direction;
    //     opaque kind<0..2^32-1>; trace, message_id, envelope, token, sender, recipient, domain, reason, detail alike
    // } RowInput;
    /// The digest that the row should have.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut input = begin("mta-seal/1 audit-row");
        for number in [self.seq, self.at, self.direction] {
            input.extend_from_slice(&number.to_be_bytes());
        }
        let fields: [&[u8]; 10] = [
            self.kind.as_bytes(),
            self.trace.as_bytes(),
            self.message_id.as_bytes(),
            self.envelope.as_deref().unwrap_or_default(),
            self.token.as_deref().unwrap_or_default(),
            self.sender.as_bytes(),
            self.recipient.as_bytes(),
            self.domain.as_bytes(),
            self.reason.as_bytes(),
            self.detail.as_bytes(),
        ];
        for field in fields {
            // Each is far shorter; one that is not was not written by us.
            let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
            input.extend_from_slice(&len.to_be_bytes());
            input.extend_from_slice(field);
        }
        sha256(&input)
    }

    /// The time, in Unix seconds.
    #[must_use]
    pub fn time(&self) -> u64 {
        u64::try_from(self.at).unwrap_or(0)
    }

    /// Which way the mail was going.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self.direction {
            0 => Some(Scope::Outgoing),
            1 => Some(Scope::Incoming),
            _ => None,
        }
    }

    /// The envelope.
    #[must_use]
    pub fn envelope_id(&self) -> Option<EnvelopeId> {
        let octets = self.envelope.as_deref()?.try_into().ok()?;
        Some(EnvelopeId::from_bytes(octets))
    }

    /// The details; none if they cannot be read.
    #[must_use]
    pub fn details(&self) -> Detail {
        Detail::parse(&self.detail).unwrap_or_default()
    }
}
