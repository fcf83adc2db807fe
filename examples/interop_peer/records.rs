//! Records, and what they say together.

use crate::answer::{Answer, No, not_good, refused};
use crate::json::{Id, Name, Octets, b64};
use crate::keys::suite;
use mta_seal::core::{Domain, IdentityPublicKey};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::Failure;
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::policy::{
    Decision, DeferReason, Demand, LocalPolicy, LookupFailure, Memory, Outcome, Rule, Verdict,
};
use mta_seal::records::{KeyRecord, SealingEntry, SignedPolicy, VerifiedPolicy};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// No name is looked up elsewhere, so that nothing is waited for.
const BUDGET: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
pub(crate) struct Record {
    name: String,
    text: Octets,
}

/// Records in place of DNS.
pub(crate) fn script(records: &[Record], authenticity: Authenticity) -> Scripted {
    let mut by_name: HashMap<&str, Vec<&[u8]>> = HashMap::new();
    for record in records {
        by_name.entry(&record.name).or_default().push(&record.text.0);
    }
    let script = Scripted::new();
    for (name, texts) in by_name {
        // A name that cannot be asked for is not there.
        if let Ok(name) = Domain::from_canonical(name.as_bytes()) {
            script.set_txt(name, &texts, authenticity);
        }
    }
    script
}

/// What looking `domain` up brings, with key records if `remembered` is given.
pub(crate) fn looked_up(
    script: &Scripted,
    domain: &Domain,
    remembered: Option<Option<&Memory>>,
) -> Result<Outcome, No> {
    let keys = remembered.map_or(Keys::NotNeeded, |remembered| Keys::Wanted { remembered });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(crate::answer::unsupported)?;
    Ok(runtime.block_on(look_up(script, domain, keys, BUDGET)))
}

/// What an operator who demands sealing and remembers nothing decides.
pub(crate) fn required(records: &[Record], domain: &Domain, now: u64) -> Result<Verdict, No> {
    let script = script(records, Authenticity::Insecure);
    let outcome = looked_up(&script, domain, Some(None))?;
    let local = LocalPolicy { rule: Rule::Require, ..LocalPolicy::default() };
    Ok(mta_seal::policy::decide(&local, &outcome, None, Demand::Absent, now))
}

/// The refusal that a decision is, if it seals nothing.
pub(crate) fn refusal(decision: &Decision, domain: &Domain) -> No {
    match decision {
        Decision::Defer(why) => {
            let stage = match why {
                DeferReason::Lookup(LookupFailure::BadSignature) => "record-signature",
                DeferReason::Lookup(_) => "record",
                _ => "policy",
            };
            refused(stage, &Failure::of_deferral(domain, why), why)
        }
        Decision::Reject(why) => refused("policy", &Failure::of_rejection(domain, why), why),
        Decision::Seal { .. } | Decision::Clear(_) => not_good("policy", decision.name()),
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
    match required(&input.records, domain, input.now)?.decision {
        Decision::Seal { key, policy, .. } => Ok(json!({
            "mode": policy.record().mode.as_str(),
            "serial": policy.record().serial,
            "suite": key.suite().id().0,
            "key_id": b64(key.key_id().as_bytes()),
            "public_key": b64(key.as_bytes()),
        })),
        other => Err(refusal(&other, domain)),
    }
}

#[derive(Deserialize)]
pub(crate) struct Policy {
    domain: Name,
    text: Octets,
}

/// A policy whose signature holds.
pub(crate) fn verified(domain: &Domain, text: &[u8]) -> Result<VerifiedPolicy, No> {
    let unknown = Failure::PolicyUnknown(domain.clone());
    SignedPolicy::parse(text)
        .map_err(|error| refused("record", &unknown, error))?
        .verify(domain)
        .map_err(|error| refused("record-signature", &unknown, error))
}

fn entry(entry: &SealingEntry) -> Option<Value> {
    let (public, selector) = match entry {
        SealingEntry::Inline(key) => (Some(b64(key.as_bytes())), None),
        SealingEntry::Listed { selector, .. } => (None, Some(selector.as_str())),
        SealingEntry::Unknown { .. } => return None,
    };
    Some(json!({
        "suite": entry.suite()?.id().0,
        "key_id": b64(entry.key_id()?.as_bytes()),
        "public_key": public,
        "selector": selector,
    }))
}

pub(crate) fn policy(input: &Policy) -> Answer {
    let policy = verified(&input.domain.0, &input.text.0)?;
    let record = policy.record();
    let signing_keys = record.signing_keys.iter().map(
        |key| json!({ "public_key": b64(key.as_bytes()), "key_id": b64(key.key_id().as_bytes()) }),
    );
    let rollover = record.rollover.as_ref().and_then(|statement| {
        let old = statement.former()?;
        Some(json!({ "old_key": b64(old.as_bytes()), "expiry": statement.expiry() }))
    });
    Ok(json!({
        "mode": record.mode.as_str(),
        "serial": record.serial,
        "expiry": record.expiry,
        "max_age": record.max_age,
        "window": record.window,
        "identity": b64(record.identity.as_bytes()),
        "fingerprint": b64(record.identity.fingerprint().as_bytes()),
        "signing_keys": signing_keys.collect::<Vec<_>>(),
        "sealing_keys": record.sealing_keys.iter().filter_map(entry).collect::<Vec<_>>(),
        "outgoing_always": record.outgoing_always,
        "rollover": rollover,
        "next_identity": record.next_identity.map(|id| b64(id.as_bytes())),
    }))
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
