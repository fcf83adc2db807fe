//! Records, and what they say together.

use crate::answer::{Answer, No, not_good, refused, unsupported};
use crate::asking;
use crate::json::{Id, Name, Octets};
use crate::keys::suite;
use crate::results::{self, b64};
use mta_seal::core::{Domain, IdentityPublicKey};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::Failure;
use mta_seal::policy::Decision;
use mta_seal::records::{KeyRecord, VerifiedPolicy};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
pub(crate) struct Record {
    name: String,
    text: Octets,
}

/// Records in place of DNS.
pub(crate) fn script(records: &[Record], authenticity: Authenticity) -> Scripted {
    let script = Scripted::new();
    let records = records.iter().map(|record| (record.name.clone(), record.text.0.clone()));
    asking::publish(&script, records, authenticity);
    script
}

/// What an operator who demands sealing and remembers nothing decides.
pub(crate) fn required(records: &[Record], domain: &Domain, now: u64) -> Result<Decision, No> {
    asking::required(&script(records, Authenticity::Insecure), domain, now).map_err(unsupported)
}

/// The refusal that a decision is, if it seals nothing.
pub(crate) fn refusal(decision: &Decision, domain: &Domain) -> No {
    match results::refusal(domain, decision) {
        Some((stage, failure, why)) => refused(stage, &failure, why),
        None => not_good("policy", decision.name()),
    }
}

#[derive(Deserialize)]
pub(crate) struct Published {
    domain: Name,
    records: Vec<Record>,
    now: u64,
}

pub(crate) fn records(input: &Published) -> Answer {
    let domain = &input.domain.0;
    let decision = required(&input.records, domain, input.now)?;
    results::published(&decision).ok_or_else(|| refusal(&decision, domain))
}

#[derive(Deserialize)]
pub(crate) struct Policy {
    domain: Name,
    text: Octets,
}

/// A policy whose signature holds.
pub(crate) fn verified(domain: &Domain, text: &[u8]) -> Result<VerifiedPolicy, No> {
    asking::policy(domain, text)
        .map_err(|(stage, why)| refused(stage, &Failure::PolicyUnknown(domain.clone()), why))
}

pub(crate) fn policy(input: &Policy) -> Answer {
    Ok(results::policy(verified(&input.domain.0, &input.text.0)?.record()))
}

#[derive(Deserialize)]
pub(crate) struct Key {
    text: Octets,
    suite: u16,
    key_id: Id,
}

/// [R-rec-07]
pub(crate) fn key(input: &Key) -> Answer {
    let unusable = |detail: String| No::Refused {
        stage: Some("key-record"),
        failure: "policy-unusable",
        detail,
    };
    let record = KeyRecord::parse(&input.text.0).map_err(|error| unusable(error.to_string()))?;
    let key = record.authenticate(suite(input.suite)?, &input.key_id.into());
    let key = key.ok_or_else(|| unusable("not the key that the policy lists".to_owned()))?;
    Ok(json!({ "public_key": b64(key.as_bytes()) }))
}

#[derive(Deserialize)]
pub(crate) struct Rollover {
    domain: Name,
    text: Octets,
    old_key: Id,
    now: u64,
}

/// [R-rec-08]
pub(crate) fn rollover(input: &Rollover) -> Answer {
    let policy = verified(&input.domain.0, &input.text.0)?;
    let old = IdentityPublicKey::from_bytes(&input.old_key.0)
        .map_err(|error| not_good("rollover", error))?;
    if policy.succeeds(&old, None, input.now) {
        Ok(json!({}))
    } else {
        Err(not_good("rollover", "no successor"))
    }
}
