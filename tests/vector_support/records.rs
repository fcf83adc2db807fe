//! Records, and sets of them.

use mta_seal::core::{Domain, IdentityPublicKey};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::policy::Decision;
use mta_seal::records::{KeyRecord, VerifiedPolicy, policy_name};
use serde_json::json;

use super::Answer;
use super::asking;
use super::fields::Fields;
use super::keys::suite;
use super::results::{self, b64, published, refusal};

pub fn policy_of(
    domain: &Domain,
    text: &[u8],
) -> Result<VerifiedPolicy, (&'static str, &'static str)> {
    asking::policy(domain, text).map_err(|(stage, _)| (stage, "policy-unknown"))
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
    let read = |mut record: Fields| {
        let (name, text) = (record.text("name"), record.octets("text"));
        record.end();
        (name, text)
    };
    asking::publish(dns, records.into_iter().map(read), authenticity);
}

/// The policy and the key that mail is sealed to, for an operator who requires it and remembers nothing.
pub fn decided(
    domain: &Domain,
    records: Vec<Fields>,
    now: u64,
) -> Result<Decision, (&'static str, &'static str)> {
    let dns = Scripted::new();
    publish(&dns, records, Authenticity::Insecure);
    let decision = asking::required(&dns, domain, now).unwrap();
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
