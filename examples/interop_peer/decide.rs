//! The decision table [R-dec-02].

use crate::answer::{Answer, No, refused, unsupported};
use crate::asking::looked_up;
use crate::json::{Id, Name, Octets};
use crate::keys::suite;
use crate::records::{Record, script, verified};
use crate::results::{refusal, verdict};
use mta_seal::core::{Domain, SealingPublicKey};
use mta_seal::dns;
use mta_seal::gateway::lookup::Keys;
use mta_seal::policy::{
    Allowances, Authenticity, Demand, Denial, Hold, LocalPolicy, LookupFailure, Memory, Outcome,
    decide as decision_of,
};
use mta_seal::records::policy_name;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Case {
    domain: Name,
    rule: String,
    minimum: String,
    pin: Option<Id>,
    weaker_suite: bool,
    #[serde(rename = "override")]
    allowed: bool,
    demand: bool,
    now: u64,
    outcome: Told,
    memory: Option<Remembered>,
}

#[derive(Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
enum Told {
    Found { secure: bool, policy: Octets, key_records: Vec<Record> },
    Nxdomain { secure: bool },
    Nodata { secure: bool },
    Servfail,
    Timeout,
    Bogus,
    Malformed,
    TwoRecords,
    CnameLoop,
    TooLarge,
    BadSignature,
}

#[derive(Deserialize)]
struct Remembered {
    policy: Octets,
    level: String,
    key: Option<RememberedKey>,
    enforce_until: u64,
}

#[derive(Deserialize)]
struct RememberedKey {
    suite: u16,
    public_key: Octets,
}

impl Told {
    fn outcome(&self, domain: &Domain, memory: Option<&Memory>) -> Result<Outcome, No> {
        let denied = |denial, secure| Outcome::NoPolicy {
            denial,
            authenticity: if secure { Authenticity::Secure } else { Authenticity::Insecure },
        };
        Ok(match self {
            Self::Found { secure, policy, key_records } => {
                let authenticity =
                    if *secure { dns::Authenticity::Secure } else { dns::Authenticity::Insecure };
                let script = script(key_records, authenticity);
                let name = Domain::from_canonical(policy_name(domain).as_bytes());
                script.set_txt(name.map_err(unsupported)?, &[&policy.0], authenticity);
                looked_up(&script, domain, Keys::Wanted { remembered: memory })
                    .map_err(unsupported)?
            }
            Self::Nxdomain { secure } => denied(Denial::NxDomain, *secure),
            Self::Nodata { secure } => denied(Denial::NoData, *secure),
            Self::Servfail => Outcome::Failed(LookupFailure::ServFail),
            Self::Timeout => Outcome::Failed(LookupFailure::Timeout),
            Self::Bogus => Outcome::Failed(LookupFailure::Bogus),
            Self::Malformed => Outcome::Failed(LookupFailure::Malformed),
            Self::TwoRecords => Outcome::Failed(LookupFailure::TwoRecords),
            Self::CnameLoop => Outcome::Failed(LookupFailure::CnameLoop),
            Self::TooLarge => Outcome::Failed(LookupFailure::Oversize),
            Self::BadSignature => Outcome::Failed(LookupFailure::BadSignature),
        })
    }
}

impl Remembered {
    fn memory(&self, domain: &Domain, now: u64) -> Result<Memory, No> {
        let key = self.key.as_ref().map(|key| {
            SealingPublicKey::from_bytes(suite(key.suite)?, &key.public_key.0).map_err(unsupported)
        });
        let last_seen = now.saturating_sub(3600);
        Ok(Memory {
            policy: verified(domain, &self.policy.0)?,
            key: key.transpose()?,
            level: self.level.parse().map_err(unsupported)?,
            hold: Hold::Firm,
            pinned_root: None,
            first_seen: last_seen,
            last_seen,
            enforce_until: (self.enforce_until != 0).then_some(self.enforce_until),
        })
    }
}

pub(crate) fn decide(case: &Case) -> Answer {
    let domain = &case.domain.0;
    let memory = case.memory.as_ref().map(|told| told.memory(domain, case.now)).transpose()?;
    let outcome = case.outcome.outcome(domain, memory.as_ref())?;
    let local = LocalPolicy {
        rule: case.rule.parse().map_err(unsupported)?,
        minimum_level: case.minimum.parse().map_err(unsupported)?,
        pin: case.pin.map(Into::into),
        allow: Allowances { weaker_suite: case.weaker_suite, clear_on_failure: case.allowed },
    };
    let demand = if case.demand { Demand::Sealed } else { Demand::Absent };
    let decision = decision_of(&local, &outcome, memory.as_ref(), demand, case.now).decision;
    if let Some((_, failure, why)) = refusal(domain, &decision) {
        return Err(refused("decision", &failure, why));
    }
    verdict(&decision).ok_or_else(|| unsupported(decision.name()))
}
