//! Records, and sets of them.

use std::time::Duration;

use mta_seal::core::{Domain, IdentityPublicKey};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::policy::{Decision, Demand, LocalPolicy, Outcome, Rule, decide};
use mta_seal::records::{KeyRecord, SignedPolicy, VerifiedPolicy, policy_name};
use serde_json::json;

use super::Answer;
use super::fields::Fields;
use super::keys::suite;
use super::results::{self, b64, published, refusal};

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
    Ok(results::policy(policy_of(&domain, &text)?.record()))
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
    let local = LocalPolicy { rule: Rule::Require, ..LocalPolicy::default() };
    let decision = decide(&local, &outcome, None, Demand::Absent, now).decision;
    match refusal(domain, &decision) {
        Some((stage, failure, _)) => Err((stage, failure.name())),
        None => Ok(decision),
    }
}

pub fn records(mut input: Fields) -> Answer {
    let (domain, records) = (domain_of(&mut input), input.objects("records"));
    let now = input.number("now");
    input.end();
    assert_eq!(policy_name(&domain), format!("_mta-seal.{domain}"));
    let decision = decided(&domain, records, now)?;
    Ok(published(&decision).unwrap_or_else(|| panic!("{decision:?}")))
}
