//! Records, and sets of them.

use std::time::Duration;

use mta_seal::core::{Domain, IdentityPublicKey};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::Failure;
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::policy::{Decision, Demand, LocalPolicy, LookupFailure, Outcome, Rule, decide};
use mta_seal::records::{
    KeyRecord, PolicyRecord, SealingEntry, SignedPolicy, VerifiedPolicy, policy_name,
};
use serde_json::{Value, json};

use super::Answer;
use super::fields::{Fields, b64};
use super::keys::suite;

pub fn policy_of(
    domain: &Domain,
    text: &[u8],
) -> Result<VerifiedPolicy, (&'static str, &'static str)> {
    let signed = SignedPolicy::parse(text).map_err(|_| ("record", "policy-unknown"))?;
    signed.verify(domain).map_err(|_| ("record-signature", "policy-unknown"))
}

fn domain_of(input: &mut Fields) -> Domain {
    Domain::parse(&input.text("domain")).unwrap()
}

pub fn policy_record(mut input: Fields) -> Answer {
    let (domain, text) = (domain_of(&mut input), input.octets("text"));
    input.end();
    Ok(said(policy_of(&domain, &text)?.record()))
}

fn said(record: &PolicyRecord) -> Value {
    // All members, so that a new one is not forgotten here.
    let PolicyRecord {
        mode,
        serial,
        expiry,
        max_age,
        window,
        identity,
        signing_keys,
        sealing_keys,
        outgoing_always,
        rollover,
        next_identity,
    } = record;
    let signing: Vec<Value> = signing_keys
        .iter()
        .map(|key| json!({ "public_key": b64(key.as_bytes()), "key_id": b64(key.key_id().as_bytes()) }))
        .collect();
    json!({
        "mode": mode.as_str(),
        "serial": serial,
        "expiry": expiry,
        "max_age": max_age,
        "window": window,
        "identity": b64(identity.as_bytes()),
        "fingerprint": b64(identity.fingerprint().as_bytes()),
        "signing_keys": signing,
        "sealing_keys": sealing_keys.iter().filter_map(entry).collect::<Vec<_>>(),
        "outgoing_always": outgoing_always,
        "rollover": rollover.as_ref().map(|statement| json!({
            "old_key": b64(statement.former().unwrap().as_bytes()),
            "expiry": statement.expiry(),
        })),
        "next_identity": next_identity.map(|id| b64(id.as_bytes())),
    })
}

/// An entry of a known suite.
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

pub fn key_record(mut input: Fields) -> Answer {
    let (text, suite) = (input.octets("text"), suite(input.number("suite")));
    let key_id = input.id("key_id");
    input.end();
    let record = KeyRecord::parse(&text).ok();
    let key = record.and_then(|record| record.authenticate(suite, &key_id));
    Ok(json!({ "public_key": b64(key.ok_or(("key-record", "policy-unusable"))?.as_bytes()) }))
}

pub fn rollover(mut input: Fields) -> Answer {
    let (domain, text) = (domain_of(&mut input), input.octets("text"));
    let old = IdentityPublicKey::from_bytes(&input.octets("old_key")).unwrap();
    let now = input.number("now");
    input.end();
    let proven = policy_of(&domain, &text)?.succeeds(&old, None, now);
    if proven { Ok(json!({})) } else { Err(("rollover", "none")) }
}

/// Publishes records; what is at no name does not exist.
pub fn publish(dns: &Scripted, records: Vec<Fields>, authenticity: Authenticity) {
    let mut texts: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for mut record in records {
        let (name, text) = (record.text("name"), record.octets("text"));
        record.end();
        match texts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, there)) => there.push(text),
            None => texts.push((name, vec![text])),
        }
    }
    for (name, texts) in texts {
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        dns.set_txt(Domain::from_canonical(name.as_bytes()).unwrap(), &texts, authenticity);
    }
}

/// What the gateway's own look-up brings.
pub fn outcome_of(dns: &Scripted, domain: &Domain, keys: Keys<'_>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(look_up(dns, domain, keys, Duration::from_secs(20)))
}

/// The policy and the key that mail is sealed to, for an operator who requires it and remembers nothing.
pub fn decided(
    domain: &Domain,
    records: Vec<Fields>,
    now: u64,
) -> Result<Decision, (&'static str, &'static str)> {
    let dns = Scripted::new();
    publish(&dns, records, Authenticity::Insecure);
    let outcome = outcome_of(&dns, domain, Keys::Wanted { remembered: None });
    let stage = match outcome {
        Outcome::Failed(LookupFailure::BadSignature) => "record-signature",
        Outcome::Failed(_) => "record",
        _ => "policy",
    };
    let local = LocalPolicy { rule: Rule::Require, ..LocalPolicy::default() };
    let decision = decide(&local, &outcome, None, Demand::Absent, now).decision;
    match failure_of(domain, &decision) {
        Some(failure) => Err((stage, failure)),
        None => Ok(decision),
    }
}

/// How a decision is answered that neither seals nor lets go.
pub fn failure_of(domain: &Domain, decision: &Decision) -> Option<&'static str> {
    match decision {
        Decision::Seal { .. } | Decision::Clear(_) => None,
        Decision::Defer(why) => Some(Failure::of_deferral(domain, why).name()),
        Decision::Reject(why) => Some(Failure::of_rejection(domain, why).name()),
    }
}

pub fn records(mut input: Fields) -> Answer {
    let (domain, records) = (domain_of(&mut input), input.objects("records"));
    let now = input.number("now");
    input.end();
    assert_eq!(policy_name(&domain), format!("_mta-seal.{domain}"));
    match decided(&domain, records, now)? {
        Decision::Seal { key, policy, .. } => Ok(json!({
            "mode": policy.record().mode.as_str(),
            "serial": policy.record().serial,
            "suite": key.suite().id().0,
            "key_id": b64(key.key_id().as_bytes()),
            "public_key": b64(key.as_bytes()),
        })),
        other => panic!("{other:?}"),
    }
}
