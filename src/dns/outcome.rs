//! What a TXT look-up can end in; every ending keeps its meaning up to the decision table.

use std::time::Duration;

/// Most TXT records one answer may hold.
///
/// A wildcard CNAME to the apex of a domain answers our query with all of its site-verification
/// records, so this is far above the one record that we want.
pub const MAX_TXT_RECORDS: usize = 256;

/// Most octets of TXT data in one answer, over all records.
pub const MAX_TXT_OCTETS: usize = 32 * 1024;

/// Most CNAME records between the query name and its TXT records.
pub const MAX_CHAIN: usize = 8;

/// How far an answer, positive or negative, can be trusted.
///
/// Ordered: the weakest link of a chain is its minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authenticity {
    /// The zone is provably unsigned, no trust anchor covers it, or nobody validated.
    Insecure,
    /// DNSSEC validated from a trust anchor down, every CNAME on the way included.
    Secure,
}

/// TXT records that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The records; the strings of each are joined as octets, without separator.
    pub records: Vec<Vec<u8>>,
    /// The weakest link from the query name to the records.
    pub authenticity: Authenticity,
    /// How long the answer may still be used, at most [`MAX_TTL`](super::MAX_TTL).
    pub ttl: Duration,
    /// The target of each CNAME that was followed, in order, in lower case without trailing dot.
    pub chain: Vec<String>,
}

/// A denial that the records or the name exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Whether the denial itself is proven; a denial without proof can be forged.
    pub authenticity: Authenticity,
    /// How long it may still be used: the lesser of the SOA record's TTL and MINIMUM (RFC 2308
    /// section 5), at most [`MAX_TTL`](super::MAX_TTL); zero without a SOA record.
    pub ttl: Duration,
}

/// The outcome of one TXT look-up.
///
/// Only [`Found`](Self::Found), [`NoData`](Self::NoData) and [`NxDomain`](Self::NxDomain) say
/// anything about the domain; all others are failures and never mean that a record is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// There are TXT records; whether one of them is ours is for the records layer to say.
    Found(Found),
    /// The name exists without TXT records (RFC 2308 section 2.2).
    NoData(Denial),
    /// The name does not exist.
    NxDomain(Denial),
    /// DNSSEC says that the answer is forged, stripped or expired.
    Bogus,
    /// All servers failed, the last one with this response code: 2 is SERVFAIL, 5 is REFUSED.
    ///
    /// A validating resolver also reports bogus answers as SERVFAIL.
    ServFail {
        /// The response code (RFC 6895 section 2.3), extended by EDNS; 0 if the server referred to others instead.
        rcode: u16,
    },
    /// No server could be reached, or none answered within the time given.
    Timeout,
    /// An answer came that breaks the DNS protocol or answers another question.
    Malformed,
    /// The CNAME chain turns back on itself or is longer than [`MAX_CHAIN`].
    CnameLoop,
    /// More than [`MAX_TXT_RECORDS`] records or [`MAX_TXT_OCTETS`] octets, or a proof that takes
    /// more than 128 questions.
    Oversize,
}

impl Lookup {
    /// The authenticity of an answer or denial; failures have none.
    #[must_use]
    pub fn authenticity(&self) -> Option<Authenticity> {
        match self {
            Self::Found(found) => Some(found.authenticity),
            Self::NoData(denial) | Self::NxDomain(denial) => Some(denial.authenticity),
            _ => None,
        }
    }

    /// The remaining time to live of an answer or denial; failures have none.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        match self {
            Self::Found(found) => Some(found.ttl),
            Self::NoData(denial) | Self::NxDomain(denial) => Some(denial.ttl),
            _ => None,
        }
    }

    /// A short name for logs: `found`, `nodata`, `nxdomain`, `bogus`, `servfail`, `timeout`,
    /// `malformed`, `cname-loop` or `oversize`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::NoData(_) => "nodata",
            Self::NxDomain(_) => "nxdomain",
            Self::Bogus => "bogus",
            Self::ServFail { .. } => "servfail",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::CnameLoop => "cname-loop",
            Self::Oversize => "oversize",
        }
    }

    /// The same outcome with its time to live lowered to `ttl`.
    pub(super) fn with_ttl(mut self, ttl: Duration) -> Self {
        match &mut self {
            Self::Found(found) => found.ttl = found.ttl.min(ttl),
            Self::NoData(denial) | Self::NxDomain(denial) => denial.ttl = denial.ttl.min(ttl),
            _ => {}
        }
        self
    }

    /// Octets that the outcome occupies, for the bound of the cache.
    pub(super) fn octets(&self) -> usize {
        match self {
            Self::Found(found) => {
                found.records.iter().map(|r| r.len() + 24).sum::<usize>()
                    + found.chain.iter().map(|c| c.len() + 24).sum::<usize>()
            }
            _ => 0,
        }
    }
}
