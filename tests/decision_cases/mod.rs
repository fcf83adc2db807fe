//! A case in DNS for every row of the decision table, and memories for its columns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, missing_docs)]

mod zone;

pub use zone::ZONES;

use std::time::Duration;

use mta_seal::core::{Domain, SealingPublicKey, Suite};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::policy::{Demand, KeyFailure, Level, LocalPolicy, Memory, MemoryUpdate, decide};
use mta_seal::records::{DnsRecord, KeyRecord, Mode, key_record_name, policy_name};

use crate::policy_support::*;

/// With which memories a row is about a case.
type Applies = fn(Option<&Memory>) -> bool;

/// One domain, and what becomes of mail to it.
pub struct Case {
    pub domain: Domain,
    /// Lines of the master file of `zone`.
    pub records: String,
    pub zone: &'static str,
    /// The rows that it stands for.
    pub rows: Vec<(String, Applies)>,
    /// The outcome in mode `validate`.
    pub outcome: &'static str,
    /// The outcome in mode `ad`, where it is another one: Unbound answers SERVFAIL for what it does not believe or cannot get.
    pub through_unbound: Option<&'static str>,
    /// What `seal` means.
    pub key: Option<SealingPublicKey>,
}

fn always(_: Option<&Memory>) -> bool {
    true
}

fn remembered(memory: Option<&Memory>) -> bool {
    memory.is_some()
}

fn weakly(memory: Option<&Memory>) -> bool {
    memory.is_some_and(|memory| memory.level < Level::Dnssec)
}

fn strongly(memory: Option<&Memory>) -> bool {
    memory.is_some_and(|memory| memory.level == Level::Dnssec)
}

/// The most preferred key of the policies here is known from before [R-dec-13].
fn key_remembered(memory: Option<&Memory>) -> bool {
    memory.and_then(|memory| memory.key.as_ref()) == Some(&large_key())
}

fn key_unknown(memory: Option<&Memory>) -> bool {
    !key_remembered(memory)
}

/// A zone in good order, what a policy found in it is called, and what a denial.
#[derive(Clone, Copy)]
struct Sound {
    zone: &'static str,
    vouched: &'static str,
    found: &'static str,
}

const SOUND: [Sound; 2] = [
    Sound { zone: "signed.example", vouched: "secure", found: "found, secure" },
    Sound { zone: "plain.example", vouched: "insecure", found: "found, insecure" },
];

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    /// A domain of its own in `zone`, with records that depend on its name.
    fn add(
        &mut self,
        zone: &'static str,
        rows: &[(&str, Applies)],
        outcome: &'static str,
        records: impl FnOnce(&Domain) -> String,
    ) -> &mut Case {
        let slug: String = rows[0].0.to_ascii_lowercase().replace(", ", "-").replace(' ', "-");
        let domain = Domain::parse(&format!("{slug}-{}.{zone}", self.0.len())).unwrap();
        self.of(domain, zone, rows, outcome, records)
    }

    fn of(
        &mut self,
        domain: Domain,
        zone: &'static str,
        rows: &[(&str, Applies)],
        outcome: &'static str,
        records: impl FnOnce(&Domain) -> String,
    ) -> &mut Case {
        let rows = rows.iter().map(|(row, applies)| ((*row).to_owned(), *applies)).collect();
        let records = records(&domain);
        self.0.push(Case {
            domain,
            records,
            zone,
            rows,
            outcome,
            through_unbound: None,
            key: None,
        });
        self.0.last_mut().unwrap()
    }

    /// The same for a domain that is a zone of its own and has a good policy.
    fn zone(&mut self, zone: &'static str, row: &str, outcome: &'static str) -> &mut Case {
        let domain = Domain::parse(zone).unwrap();
        self.of(domain, zone, &[(row, always)], outcome, |d| publish(&policy(), d))
    }
}

/// The cases of all rows.
pub fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    for sound in SOUND {
        for mode in [Mode::Enforce, Mode::Testing] {
            in_force(&mut cases, sound, mode);
            not_in_force(&mut cases, sound, mode);
        }
        for mode in [Mode::Enforce, Mode::Testing, Mode::None] {
            successors(&mut cases, sound, mode);
        }
        withdrawn(&mut cases, sound);
        denied(&mut cases, sound);
        unusable(&mut cases, sound);
    }
    broken_zones(&mut cases);
    cases.0
}

/// A policy in force, with its keys at hand or not.
fn in_force(cases: &mut Cases, sound: Sound, mode: Mode) {
    let Sound { zone, found, .. } = sound;
    let name = mode.as_str();
    let plain = policy().mode(mode);
    let preferring = plain.clone().with(|d| {
        d.sealing_keys = vec![entry(&large_key()), entry(&new_key())];
    });
    let single = plain.clone().with(|d| d.sealing_keys = vec![entry(&large_key())]);
    cases.add(zone, &[(name, always)], found, |d| publish(&plain, d)).key = Some(new_key());
    // Too large for UDP: BIND cuts it, and it comes over TCP.
    let with_key = |d: &Domain| publish(&preferring, d) + &key_record(d, &large_key());
    cases.add(zone, &[(name, always)], found, with_key).key = Some(large_key());
    // Eight aliases are not too many.
    cases.add(zone, &[(name, always)], found, |d| aliases(&plain, d, 8)).key = Some(new_key());

    let none_known = plain.with(|d| d.sealing_keys = vec!["9:AAAA".parse().unwrap()]);
    for failure in KeyFailure::ALL {
        if failure == KeyFailure::NoUsableSuite {
            let row = [(&*format!("{name}, unknown suites"), always as Applies)];
            cases.add(zone, &row, found, |d| publish(&none_known, d));
            continue;
        }
        let at = |policy: &Policy, d: &Domain| publish(policy, d) + &bad_key_record(d, failure);
        let other = [(&*format!("{name}, other key"), key_unknown as Applies)];
        let none = [(&*format!("{name}, no key"), key_unknown as Applies)];
        let known = [(&*format!("{name}, key remembered"), key_remembered as Applies)];
        cases.add(zone, &other, found, |d| at(&preferring, d)).key = Some(new_key());
        cases.add(zone, &none, found, |d| at(&single, d));
        for policy in [&preferring, &single] {
            cases.add(zone, &known, found, |d| at(policy, d)).key = Some(large_key());
        }
    }
}

fn not_in_force(cases: &mut Cases, sound: Sound, mode: Mode) {
    let Sound { zone, found, .. } = sound;
    let plain = policy().mode(mode);
    for (row, serial, expiry) in
        [("expired", NOW - 500, NOW), ("not yet valid", NOW + HOUR + 1, NOW + DAY)]
    {
        let outside = plain.clone().with(|d| {
            d.serial = serial;
            d.expiry = expiry;
        });
        cases.add(zone, &[(row, always)], found, |d| publish(&outside, d));
    }
    let lower = plain.clone().with(|d| d.serial = NOW - 1001);
    cases.add(zone, &[("lower serial", remembered)], found, |d| publish(&lower, d));
    let stranger = plain.by(STRANGER);
    let rows: &[(&str, Applies)] = if sound.vouched == "secure" {
        &[("other identity, secure", strongly), ("other identity, stronger evidence", weakly)]
    } else {
        &[("other identity, insecure", remembered)]
    };
    cases.add(zone, rows, found, |d| publish(&stranger, d)).key = Some(new_key());
}

fn successors(cases: &mut Cases, sound: Sound, mode: Mode) {
    let Sound { zone, found, .. } = sound;
    let name = mode.as_str();
    let by_rollover = [(&*format!("{name}, by rollover"), remembered as Applies)];
    let plain = policy().mode(mode);
    let rolled =
        |d: &Domain| publish(&plain.clone().of(d.clone()).by(SUCCESSOR).succeeding(OWN), d);
    cases.add(zone, &by_rollover, found, rolled).key = Some(new_key());
    let announced = [(&*format!("{name}, by announced key"), remembered as Applies)];
    let successor = plain.clone().by(ANNOUNCED);
    cases.add(zone, &announced, found, |d| publish(&successor, d)).key = Some(new_key());
}

fn withdrawn(cases: &mut Cases, sound: Sound) {
    let Sound { zone, found, .. } = sound;
    let none = policy().mode(Mode::None);
    cases.add(zone, &[("none", always)], found, |d| publish(&none, d));
    let outside = [("none, not in its time", always as Applies)];
    let past = none.clone().with(|d| d.expiry = NOW);
    cases.add(zone, &outside, found, |d| publish(&past, d));
    let future = none.clone().with(|d| d.serial = NOW + HOUR + 1);
    cases.add(zone, &outside, found, |d| publish(&future, d));
    let stranger = none.by(STRANGER);
    let rows: &[(&str, Applies)] = if sound.vouched == "secure" {
        &[("other identity, secure", strongly), ("none, stronger evidence", weakly)]
    } else {
        &[("other identity, insecure", remembered)]
    };
    cases.add(zone, rows, found, |d| publish(&stranger, d));
}

fn denied(cases: &mut Cases, sound: Sound) {
    let (nxdomain, nodata) = if sound.vouched == "secure" {
        ("NXDOMAIN, secure", "NODATA, secure")
    } else {
        ("NXDOMAIN, insecure", "NODATA, insecure")
    };
    let zone = sound.zone;
    cases.add(zone, &[(nxdomain, always)], nxdomain, |_| String::new());
    let row = [(nodata, always as Applies)];
    cases.add(zone, &row, nodata, |d| format!("{}. IN HINFO \"x\" \"y\"\n", policy_name(d)));
    // What does not begin with our version is no policy.
    cases.add(zone, &row, nodata, |d| text(&policy_name(d), "v=spf1 -all"));
    cases.add(zone, &[(nxdomain, always)], nxdomain, |d| {
        alias(&policy_name(d), &format!("nothing.{d}"))
    });
}

/// Answers that nobody can use.
fn unusable(cases: &mut Cases, sound: Sound) {
    let zone = sound.zone;
    let mut add = |row, outcome, records: &dyn Fn(&Domain) -> String| {
        cases.add(zone, &[(row, always)], outcome, records);
    };
    let good = |d: &Domain| policy().of(d.clone()).sign().text().to_owned();
    add("malformed", "Malformed", &|d| text(&policy_name(d), "v=MTASEAL1; nonsense"));
    add("two records", "TwoRecords", &|d| {
        publish(&policy(), d) + &publish(&policy().by(STRANGER), d)
    });
    add("too large", "Oversize", &|d| {
        let padded = good(d).replacen("; ", &format!("; y={}; ", "x".repeat(2048)), 1);
        text(&policy_name(d), &padded)
    });
    add("too large", "Oversize", &|d| {
        (0..40).map(|n| text(&policy_name(d), &format!("{n}{}", "x".repeat(900)))).collect()
    });
    add("bad signature", "BadSignature", &|d| {
        text(&policy_name(d), &good(d).replace("m=enforce", "m=testing"))
    });
    add("bad signature", "BadSignature", &|d| text(&policy_name(d), policy().sign().text()));
    add("CNAME loop", "CnameLoop", &|d| aliases(&policy(), d, 9));
    // Both servers see that this does not end, and say SERVFAIL.
    add("CNAME loop", "ServFail", &|d| {
        let (name, other) = (policy_name(d), format!("there.{d}"));
        alias(&name, &other) + &alias(&other, &name)
    });
}

fn broken_zones(cases: &mut Cases) {
    cases.zone("unloadable.example", "SERVFAIL", "ServFail");
    // The root delegates them to a server that does not serve them: what it says itself, and BIND, which does not resolve.
    cases.zone("lame.example", "SERVFAIL", "ServFail");
    cases.zone("referred.example", "SERVFAIL", "ServFail");
    cases.zone("late.example", "timeout", "Timeout");
    cases.zone("stuck.example", "timeout", "Timeout");
    cases.zone("cut.example", "timeout", "Timeout").through_unbound = Some("ServFail");
    for zone in ["tampered.example", "old.example", "wrongds.example", "stripped.example"] {
        cases.zone(zone, "bogus", "Bogus").through_unbound = Some("ServFail");
    }
    // Nor is a denial believed.
    for zone in ["old.example", "wrongds.example", "stripped.example"] {
        let nothing = cases.add(zone, &[("bogus", always)], "Bogus", |_| String::new());
        nothing.through_unbound = Some("ServFail");
    }
}

fn text(name: &str, text: &str) -> String {
    DnsRecord::txt(name, 300, text).master_file()
}

fn alias(name: &str, target: &str) -> String {
    format!("{name}. IN CNAME {target}.\n")
}

fn publish(policy: &Policy, domain: &Domain) -> String {
    text(&policy_name(domain), policy.clone().of(domain.clone()).sign().text())
}

/// The policy behind so many aliases.
fn aliases(policy: &Policy, domain: &Domain, links: usize) -> String {
    let name = |at: usize| if at == 0 { policy_name(domain) } else { format!("a{at}.{domain}") };
    let chain: String = (0..links).map(|at| alias(&name(at), &name(at + 1))).collect();
    let signed = policy.clone().of(domain.clone()).sign();
    chain + &text(&name(links), signed.text())
}

fn key_record(domain: &Domain, key: &SealingPublicKey) -> String {
    let record = KeyRecord::new(key.clone()).to_string();
    text(&key_record_name(&selector(), domain), &record)
}

fn bad_key_record(domain: &Domain, failure: KeyFailure) -> String {
    let name = key_record_name(&selector(), domain);
    match failure {
        KeyFailure::NoUsableSuite | KeyFailure::Missing => String::new(),
        // Bogus.
        KeyFailure::Unreachable => alias(&name, "_mta-seal.tampered.example"),
        KeyFailure::Malformed => text(&name, "v=MTASEALKEY1; nonsense"),
        KeyFailure::Mismatch => key_record(domain, &key(Suite::XWing, 13)),
    }
}

/// Policies that were good an hour ago, by the letters of what they leave behind, and whether the records of their keys were
/// there.
fn earlier_policies(domain: &Domain) -> [(&'static str, Policy, bool); 10] {
    let base = |mode| remembered_policy(mode).of(domain.clone());
    let large = |mode| base(mode).with(|d| d.sealing_keys = vec![entry(&large_key())]);
    let spent = |policy: Policy| policy.with(|d| d.expiry = NOW);
    [
        ("N", base(Mode::None), false),
        // A key that could never be had.
        ("N", large(Mode::Testing), false),
        ("K", base(Mode::Testing), false),
        ("KE", base(Mode::Enforce), false),
        ("E", large(Mode::Enforce), false),
        ("E", spent(base(Mode::Enforce)), false),
        ("N", spent(large(Mode::Testing)), true),
        ("K", large(Mode::Testing), true),
        ("KE", large(Mode::Enforce), true),
        ("E", spent(large(Mode::Enforce)), true),
    ]
}

/// Where the policy stood, and its text; nothing for an unknown domain, "N".
pub fn earlier(domain: &Domain, letters: &str) -> Option<(Domain, String)> {
    let mut policies = earlier_policies(domain).into_iter().filter(|(at, ..)| *at != "N");
    let (_, policy, _) = policies.find(|(at, ..)| *at == letters)?;
    Some((policy_at(domain), policy.sign().text().to_owned()))
}

/// What is remembered of a domain, by the letters of the columns: each learned an hour ago from a good answer, at `first-use` and at
/// `dnssec`.
pub async fn memories(domain: &Domain) -> Vec<(&'static str, Option<Memory>)> {
    let mut all = vec![("N", None)];
    for authenticity in [Authenticity::Insecure, Authenticity::Secure] {
        for (letters, policy, with_key) in &earlier_policies(domain) {
            all.push((*letters, observe(policy, *with_key, authenticity).await));
        }
    }
    all
}

fn policy_at(domain: &Domain) -> Domain {
    Domain::from_canonical(policy_name(domain).as_bytes()).unwrap()
}

/// The memory that a good answer leaves, with the record of [`large_key`] or without; none of a first withdrawal that nothing
/// vouches for [R-dec-09].
async fn observe(policy: &Policy, with_key: bool, authenticity: Authenticity) -> Option<Memory> {
    let dns = Scripted::new();
    dns.set_txt(policy_at(&policy.domain), &[policy.sign().text().as_bytes()], authenticity);
    if with_key {
        let at = key_record_name(&selector(), &policy.domain);
        let at = Domain::from_canonical(at.as_bytes()).unwrap();
        let record = KeyRecord::new(large_key()).to_string();
        dns.set_txt(at, &[record.as_bytes()], authenticity);
    }
    let wanted = Keys::Wanted { remembered: None };
    let outcome = look_up(&dns, &policy.domain, wanted, Duration::from_secs(1)).await;
    let verdict = decide(&LocalPolicy::default(), &outcome, None, Demand::Absent, NOW - HOUR);
    match verdict.memory {
        MemoryUpdate::Store(memory) => Some(*memory),
        MemoryUpdate::Keep => {
            let first = authenticity == Authenticity::Insecure;
            assert!(first && policy.draft.mode == Mode::None, "nothing learned from {outcome:?}");
            None
        }
    }
}
