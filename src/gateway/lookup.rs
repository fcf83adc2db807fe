//! Looking up a domain's policy in DNS: from look-ups of TXT records to an outcome that can be decided on
//! [R-dns-01], [R-dns-02].

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::core::Domain;
use crate::dns::{self, Lookup, Resolver};
use crate::policy::{
    self, Denial, FetchedKey, FoundPolicy, KeyFailure, LookupFailure, Memory, Outcome, WantedKey,
};
use crate::records::{
    KeyRecord, RecordError, Selection, SignedPolicy, VerifiedPolicy, key_record_name, policy_name,
    select_key_record, select_policy,
};

/// Which key records are looked up beside the policy.
#[derive(Debug, Clone, Copy)]
pub enum Keys<'a> {
    /// None: for a sender, whose signing keys stand in the policy.
    NotNeeded,
    /// Those that sealing needs, but for a key that is remembered already.
    Wanted {
        /// What is remembered of the domain.
        remembered: Option<&'a Memory>,
    },
}

/// How long looking up may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The policy record.
    pub policy: Duration,
    /// All look-ups together.
    pub all: Duration,
}

impl From<Duration> for Budget {
    /// The same for the policy record as for all.
    fn from(all: Duration) -> Self {
        Self { policy: all, all }
    }
}

/// Looks up the policy of `domain`, and key records as asked, within `budget`.
pub async fn look_up(
    resolver: &dyn Resolver,
    domain: &Domain,
    keys: Keys<'_>,
    budget: impl Into<Budget>,
) -> Outcome {
    let (budget, now) = (budget.into(), Instant::now());
    let query = Query { resolver, domain, deadline: now + budget.all };
    let name = policy_name(domain);
    let policy = timeout_at(now + budget.policy, query.txt(&name));
    let found = match policy.await.unwrap_or(Lookup::Timeout) {
        Lookup::Found(found) => found,
        other => return unfound(&other),
    };
    let authenticity = authenticity(found.authenticity);
    let text = match select_policy(&found.records) {
        Selection::One(text) => text,
        Selection::None => return Outcome::NoPolicy { denial: Denial::NoData, authenticity },
        Selection::Several => return Outcome::Failed(LookupFailure::TwoRecords),
    };
    let policy = match read_policy(text, domain) {
        Ok(policy) => policy,
        Err(failure) => return Outcome::Failed(failure),
    };
    let mut fetched = Vec::new();
    if let Keys::Wanted { remembered } = keys {
        // A key serves from memory only under the identity that it was remembered with [R-dec-13].
        let remembered = remembered
            .filter(|memory| memory.identity() == policy.identity())
            .and_then(|memory| memory.key.as_ref());
        for wanted in policy::wanted_keys(&policy, remembered) {
            let record = query.key_record(&wanted).await;
            fetched.push(FetchedKey { selector: wanted.selector, record });
        }
    }
    Outcome::Found(Box::new(FoundPolicy { policy, authenticity, keys: fetched }))
}

fn read_policy(text: &[u8], domain: &Domain) -> Result<VerifiedPolicy, LookupFailure> {
    let signed = SignedPolicy::parse(text).map_err(|error| {
        warn!(%domain, %error, "policy record not usable");
        match error {
            RecordError::TooLong { .. } => LookupFailure::Oversize,
            _ => LookupFailure::Malformed,
        }
    })?;
    signed.verify(domain).map_err(|error| {
        warn!(%domain, %error, "policy record not authentic");
        LookupFailure::BadSignature
    })
}

struct Query<'a> {
    resolver: &'a dyn Resolver,
    domain: &'a Domain,
    deadline: Instant,
}

impl Query<'_> {
    async fn txt(&self, name: &str) -> Lookup {
        // A name too long for DNS has no records, but that is no answer of the domain's.
        let Ok(name) = Domain::from_canonical(name.as_bytes()) else {
            return Lookup::Malformed;
        };
        timeout_at(self.deadline, self.resolver.txt(&name)).await.unwrap_or(Lookup::Timeout)
    }

    async fn key_record(&self, wanted: &WantedKey) -> Result<KeyRecord, KeyFailure> {
        match self.txt(&key_record_name(&wanted.selector, self.domain)).await {
            Lookup::Found(found) => match select_key_record(&found.records) {
                Selection::One(text) => KeyRecord::parse(text).map_err(|_| KeyFailure::Malformed),
                Selection::None => Err(KeyFailure::Missing),
                Selection::Several => Err(KeyFailure::Malformed),
            },
            Lookup::NoData(_) | Lookup::NxDomain(_) => Err(KeyFailure::Missing),
            Lookup::Malformed | Lookup::Oversize => Err(KeyFailure::Malformed),
            _ => Err(KeyFailure::Unreachable),
        }
    }
}

fn authenticity(of: dns::Authenticity) -> policy::Authenticity {
    match of {
        dns::Authenticity::Secure => policy::Authenticity::Secure,
        dns::Authenticity::Insecure => policy::Authenticity::Insecure,
    }
}

/// What a look-up means that found no TXT record.
fn unfound(lookup: &Lookup) -> Outcome {
    match lookup {
        Lookup::NoData(denial) => Outcome::NoPolicy {
            denial: Denial::NoData,
            authenticity: authenticity(denial.authenticity),
        },
        Lookup::NxDomain(denial) => Outcome::NoPolicy {
            denial: Denial::NxDomain,
            authenticity: authenticity(denial.authenticity),
        },
        Lookup::Found(_) | Lookup::Malformed => Outcome::Failed(LookupFailure::Malformed),
        Lookup::Bogus => Outcome::Failed(LookupFailure::Bogus),
        Lookup::ServFail { .. } => Outcome::Failed(LookupFailure::ServFail),
        Lookup::Timeout => Outcome::Failed(LookupFailure::Timeout),
        Lookup::CnameLoop => Outcome::Failed(LookupFailure::CnameLoop),
        Lookup::Oversize => Outcome::Failed(LookupFailure::Oversize),
    }
}
