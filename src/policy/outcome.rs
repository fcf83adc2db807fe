//! What looking up a domain's policy brought.

use crate::records::{KeyRecord, Selector, VerifiedPolicy};

use super::KeyFailure;

/// Whether DNSSEC vouches for an answer or a denial: the weakest link of its chain [R-dns-01].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authenticity {
    /// Validated from a trust anchor.
    Secure,
    /// From an unsigned zone.
    Insecure,
}

/// How DNS says that there is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The name does not exist.
    NxDomain,
    /// The name has no TXT record with our version tag.
    NoData,
}

/// Why the look-up of a policy gave neither a policy nor a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupFailure {
    /// SERVFAIL, REFUSED, or all servers lame.
    #[error("the name servers report a failure")]
    ServFail,
    /// No answer in time.
    #[error("the name servers do not answer")]
    Timeout,
    /// DNSSEC validation failed.
    #[error("the DNS answer is not authentic (DNSSEC)")]
    Bogus,
    /// The DNS answer, or the policy record in it, breaks its grammar.
    #[error("the policy record is malformed")]
    Malformed,
    /// More than one record with our version tag.
    #[error("there are two policy records")]
    TwoRecords,
    /// A loop of aliases, or more than 8 [R-dns-01].
    #[error("the policy name has too many aliases")]
    CnameLoop,
    /// The answer or the record is larger than its limit.
    #[error("the policy record is too large")]
    Oversize,
    /// The policy's own signature does not verify.
    #[error("the signature of the policy record does not verify")]
    BadSignature,
}

impl LookupFailure {
    /// All failures.
    pub const ALL: [Self; 8] = [
        Self::ServFail,
        Self::Timeout,
        Self::Bogus,
        Self::Malformed,
        Self::TwoRecords,
        Self::CnameLoop,
        Self::Oversize,
        Self::BadSignature,
    ];

    /// The stable name in logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ServFail => "lookup-servfail",
            Self::Timeout => "lookup-timeout",
            Self::Bogus => "lookup-bogus",
            Self::Malformed => "lookup-malformed",
            Self::TwoRecords => "lookup-two-records",
            Self::CnameLoop => "lookup-cname-loop",
            Self::Oversize => "lookup-oversize",
            Self::BadSignature => "lookup-bad-signature",
        }
    }
}

/// The result of looking up one listed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedKey {
    /// Where it was looked for.
    pub selector: Selector,
    /// The record found there, not yet compared with the policy, or why there is none.
    pub record: Result<KeyRecord, KeyFailure>,
}

/// A policy that was found and whose signature verifies; whether it is believed and in force is
/// for the decision to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPolicy {
    /// The policy.
    pub policy: VerifiedPolicy,
    /// The authenticity of the answer that held it.
    pub authenticity: Authenticity,
    /// What became of the look-ups that [`super::wanted_keys`] asked for.
    pub keys: Vec<FetchedKey>,
}

/// What looking up a domain's policy brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A policy.
    Found(Box<FoundPolicy>),
    /// An answer that there is none.
    NoPolicy {
        /// Its form.
        denial: Denial,
        /// Whether DNSSEC vouches for it.
        authenticity: Authenticity,
    },
    /// Nothing to rely on.
    Failed(LookupFailure),
}

impl Outcome {
    /// Whether a policy was found, and DNSSEC vouches for it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Found(found) if found.authenticity == Authenticity::Secure)
    }
}
