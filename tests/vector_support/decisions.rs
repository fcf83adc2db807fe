//! The decision about a message to a domain.

use mta_seal::core::{Domain, SealingPublicKey};
use mta_seal::dns::{Authenticity as DnsAuthenticity, Scripted};
use mta_seal::gateway::lookup::Keys;
use mta_seal::policy::{
    Allowances, Authenticity, Demand, Denial, Hold, Level, LocalPolicy, LookupFailure, Memory,
    Outcome, decide as decide_by,
};
use mta_seal::records::policy_name;
use serde_json::Value;

use super::Answer;
use super::asking::looked_up;
use super::fields::{Fields, octets};
use super::keys::suite;
use super::records::{policy_of, publish};
use super::results::{refusal, verdict};

fn failure(result: &str) -> LookupFailure {
    match result {
        "servfail" => LookupFailure::ServFail,
        "timeout" => LookupFailure::Timeout,
        "bogus" => LookupFailure::Bogus,
        "malformed" => LookupFailure::Malformed,
        "two-records" => LookupFailure::TwoRecords,
        "cname-loop" => LookupFailure::CnameLoop,
        "too-large" => LookupFailure::Oversize,
        "bad-signature" => LookupFailure::BadSignature,
        other => panic!("outcome {other}"),
    }
}

fn outcome(mut told: Fields, domain: &Domain, memory: Option<&Memory>) -> Outcome {
    let result = told.text("result");
    let outcome = match result.as_str() {
        "found" => {
            let dns = Scripted::new();
            let authenticity = if told.flag("secure") {
                DnsAuthenticity::Secure
            } else {
                DnsAuthenticity::Insecure
            };
            let name = Domain::from_canonical(policy_name(domain).as_bytes()).unwrap();
            dns.set_txt(name, &[&told.octets("policy")], authenticity);
            publish(&dns, told.objects("key_records"), authenticity);
            looked_up(&dns, domain, Keys::Wanted { remembered: memory }).unwrap()
        }
        "nxdomain" | "nodata" => Outcome::NoPolicy {
            denial: if result == "nodata" { Denial::NoData } else { Denial::NxDomain },
            authenticity: if told.flag("secure") {
                Authenticity::Secure
            } else {
                Authenticity::Insecure
            },
        },
        other => Outcome::Failed(failure(other)),
    };
    told.end();
    outcome
}

fn memory(mut told: Fields, domain: &Domain, now: u64) -> Memory {
    let policy = policy_of(domain, &told.octets("policy")).unwrap();
    let key = told.optional("key").map(|mut key| {
        let suite = suite(key.number("suite"));
        let public = SealingPublicKey::from_bytes(suite, &key.octets("public_key")).unwrap();
        key.end();
        public
    });
    let level = told.text("level").parse().unwrap();
    let enforce_until = Some(told.number("enforce_until")).filter(|until| *until > 0);
    told.end();
    let seen = now - 3600;
    Memory {
        policy,
        key,
        level,
        hold: Hold::Firm,
        pinned_root: None,
        first_seen: seen,
        last_seen: seen,
        enforce_until,
    }
}

pub fn decide(mut input: Fields) -> Answer {
    let domain = Domain::parse(&input.text("domain")).unwrap();
    let now = input.number("now");
    let pin = match input.take("pin") {
        Value::Null => None,
        value => Some(mta_seal::core::KeyId::from_bytes(
            octets(value.as_str().unwrap()).try_into().unwrap(),
        )),
    };
    let local = LocalPolicy {
        rule: input.text("rule").parse().unwrap(),
        minimum_level: input.text("minimum").parse::<Level>().unwrap(),
        pin,
        allow: Allowances {
            weaker_suite: input.flag("weaker_suite"),
            clear_on_failure: input.flag("override"),
        },
    };
    let demand = if input.flag("demand") { Demand::Sealed } else { Demand::Absent };
    let memory = input.optional("memory").map(|told| memory(told, &domain, now));
    let outcome = outcome(input.object("outcome"), &domain, memory.as_ref());
    input.end();
    let decision = decide_by(&local, &outcome, memory.as_ref(), demand, now).decision;
    match refusal(&domain, &decision) {
        Some((_, failure, _)) => Err(("decision", failure.name())),
        None => Ok(verdict(&decision).unwrap()),
    }
}
