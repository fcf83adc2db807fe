//! A domain's policy for `seal` and `unseal`: from DNS, or from files.

use super::failure::Failure;
use super::record_files::Records;
use crate::core::Domain;
use crate::dns::{
    Authenticity as Proof, DnsConfig, Found, Lookup, Resolver, Scripted, StubResolver,
};
use crate::policy::{
    Authenticity, Denial, FetchedKey, FoundPolicy, KeyFailure, LookupFailure, Outcome, WantedKey,
    wanted_keys,
};
use crate::records::{
    KeyRecord, MAX_KEY_RECORD, Selection, SignedPolicy, key_record_name, policy_name,
    select_key_record, select_policy,
};

/// Looks up the policy of `domain`, and the key records that sealing needs if `keys`.
pub(super) fn discover(
    domain: &Domain,
    keys: bool,
    files: Option<&Records>,
    dns: &DnsConfig,
) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::temporary(format!("cannot start looking up names: {error}")))?;
    runtime.block_on(async {
        match files {
            Some(files) => {
                let script = Scripted::new();
                files.publish(domain, &script)?;
                Ok(look_up(&script, domain, keys).await)
            }
            None => {
                let resolver = StubResolver::new(dns).map_err(Failure::refused)?;
                Ok(look_up(&resolver, domain, keys).await)
            }
        }
    })
}

fn proof(proof: Proof) -> Authenticity {
    match proof {
        Proof::Secure => Authenticity::Secure,
        Proof::Insecure => Authenticity::Insecure,
    }
}

async fn look_up(resolver: &dyn Resolver, domain: &Domain, keys: bool) -> Outcome {
    let Ok(name) = Domain::parse(&policy_name(domain)) else {
        // No such name can exist: with the label it is longer than DNS allows.
        let (denial, authenticity) = (Denial::NxDomain, Authenticity::Insecure);
        return Outcome::NoPolicy { denial, authenticity };
    };
    let found = match resolver.txt(&name).await {
        Lookup::Found(found) => found,
        Lookup::NoData(denial) => {
            let authenticity = proof(denial.authenticity);
            return Outcome::NoPolicy { denial: Denial::NoData, authenticity };
        }
        Lookup::NxDomain(denial) => {
            let authenticity = proof(denial.authenticity);
            return Outcome::NoPolicy { denial: Denial::NxDomain, authenticity };
        }
        Lookup::Bogus => return Outcome::Failed(LookupFailure::Bogus),
        Lookup::ServFail { .. } => return Outcome::Failed(LookupFailure::ServFail),
        Lookup::Timeout => return Outcome::Failed(LookupFailure::Timeout),
        Lookup::Malformed => return Outcome::Failed(LookupFailure::Malformed),
        Lookup::CnameLoop => return Outcome::Failed(LookupFailure::CnameLoop),
        Lookup::Oversize => return Outcome::Failed(LookupFailure::Oversize),
    };
    let policy = match policy(domain, &found) {
        Ok(policy) => policy,
        Err(outcome) => return outcome,
    };
    let mut fetched = Vec::new();
    if keys {
        for wanted in wanted_keys(&policy, None) {
            let record = key_record(resolver, domain, &wanted).await;
            fetched.push(FetchedKey { selector: wanted.selector, record });
        }
    }
    let authenticity = proof(found.authenticity);
    Outcome::Found(Box::new(FoundPolicy { policy, authenticity, keys: fetched }))
}

fn policy(domain: &Domain, found: &Found) -> Result<crate::records::VerifiedPolicy, Outcome> {
    let text = match select_policy(&found.records) {
        Selection::One(text) => text,
        Selection::None => {
            let authenticity = proof(found.authenticity);
            return Err(Outcome::NoPolicy { denial: Denial::NoData, authenticity });
        }
        Selection::Several => return Err(Outcome::Failed(LookupFailure::TwoRecords)),
    };
    let signed =
        SignedPolicy::parse(text).map_err(|_| Outcome::Failed(LookupFailure::Malformed))?;
    signed.verify(domain).map_err(|_| Outcome::Failed(LookupFailure::BadSignature))
}

async fn key_record(
    resolver: &dyn Resolver,
    domain: &Domain,
    wanted: &WantedKey,
) -> Result<KeyRecord, KeyFailure> {
    let name = key_record_name(&wanted.selector, domain);
    let name = Domain::parse(&name).map_err(|_| KeyFailure::Missing)?;
    let found = match resolver.txt(&name).await {
        Lookup::Found(found) => found,
        Lookup::NoData(_) | Lookup::NxDomain(_) => return Err(KeyFailure::Missing),
        Lookup::Malformed | Lookup::Oversize => return Err(KeyFailure::Malformed),
        _ => return Err(KeyFailure::Unreachable),
    };
    match select_key_record(&found.records) {
        Selection::One(text) if text.len() <= MAX_KEY_RECORD => {
            KeyRecord::parse(text).map_err(|_| KeyFailure::Malformed)
        }
        Selection::None => Err(KeyFailure::Missing),
        _ => Err(KeyFailure::Malformed),
    }
}
