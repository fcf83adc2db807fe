//! The table of the draft's section "Decision", read from the draft and held against the code for
//! every outcome, memory, rule and demand; and the properties that must follow from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod policy_support;

use std::collections::{BTreeMap, BTreeSet};

use mta_seal::core::SealingPublicKey;
use mta_seal::policy::{
    Alarm, Allowances, Authenticity, ClearReason, Decision, Demand, Denial, Hold, KeyFailure,
    Level, LocalPolicy, LookupFailure, Memory, MemoryUpdate, Outcome, Rule, Source, Verdict,
    decide,
};
use mta_seal::records::{Mode, SealingEntry};
use policy_support::table::{Cell, table};
use policy_support::*;

fn levels(memory: &Memory) -> Vec<Memory> {
    [
        (Level::FirstUse, memory.hold),
        (Level::Remembered, memory.hold),
        (Level::Remembered, Hold::Firm),
        (Level::Dnssec, Hold::Firm),
    ]
    .map(|(level, hold)| Memory { level, hold, ..memory.clone() })
    .to_vec()
}

fn expired(mode: Mode) -> Memory {
    let mut memory = memory(mode);
    let policy = policy().mode(mode).with(|d| {
        d.serial = NOW - 1000;
        d.expiry = NOW;
        d.sealing_keys = vec![entry(&old_key())];
        d.next_identity = Some(fingerprint(ANNOUNCED));
    });
    memory.policy = policy.sign();
    memory
}

/// What is remembered, by the letters of the columns.
fn memories() -> BTreeMap<&'static str, Vec<Option<Memory>>> {
    let keyless = |mode| Memory { key: None, ..memory(mode) };
    let all = |memories: Vec<Memory>| memories.iter().flat_map(levels).map(Some).collect();
    // A memory of which nothing is left.
    let mut lapsed = expired(Mode::Enforce);
    lapsed.last_seen = NOW - 3 * DAY;
    lapsed.enforce_until = Some(NOW);
    let mut useless: Vec<_> =
        all(vec![memory(Mode::None), keyless(Mode::Testing), expired(Mode::Testing)]);
    useless.extend([None, Some(lapsed)]);
    // `testing` came after an `enforce` that it does not lift.
    let carried = Memory { enforce_until: Some(NOW + 1), ..memory(Mode::Testing) };
    BTreeMap::from([
        ("N", useless),
        ("K", all(vec![memory(Mode::Testing)])),
        ("KE", all(vec![memory(Mode::Enforce), carried])),
        ("E", all(vec![keyless(Mode::Enforce), expired(Mode::Enforce)])),
    ])
}

/// One concrete outcome of a row.
struct Instance {
    outcome: Outcome,
    /// The key that `seal` means.
    key: Option<SealingPublicKey>,
    /// With which memories the row is about this outcome.
    applies: fn(Option<&Memory>) -> bool,
}

fn any(_: Option<&Memory>) -> bool {
    true
}

fn live(memory: Option<&Memory>) -> bool {
    memory.is_some_and(|m| NOW < m.until())
}

fn weaker(memory: Option<&Memory>) -> bool {
    live(memory) && memory.is_some_and(|m| m.level < Level::Dnssec)
}

fn strong(memory: Option<&Memory>) -> bool {
    live(memory) && memory.is_some_and(|m| m.level == Level::Dnssec)
}

/// The outcomes of every row. The matches are exhaustive, so a new outcome needs a row.
fn rows() -> BTreeMap<String, Vec<Instance>> {
    use Authenticity::{Insecure, Secure};
    let mut rows: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
    let mut add = |row: &str, outcome, key: Option<SealingPublicKey>, applies| {
        rows.entry(row.into()).or_default().push(Instance { outcome, key, applies });
    };
    for authenticity in [Secure, Insecure] {
        let vouched = match authenticity {
            Secure => "secure",
            Insecure => "insecure",
        };
        for denial in [Denial::NxDomain, Denial::NoData] {
            let name = match denial {
                Denial::NxDomain => "NXDOMAIN",
                Denial::NoData => "NODATA",
            };
            let outcome = Outcome::NoPolicy { denial, authenticity };
            add(&format!("{name}, {vouched}"), outcome, None, any);
        }

        for mode in [Mode::Enforce, Mode::Testing] {
            let plain = policy().mode(mode);
            let name = mode.as_str();
            add(name, plain.found(authenticity), Some(new_key()), any);
            let preferring = plain.clone().with(|d| {
                d.sealing_keys = vec![entry(&large_key()), entry(&new_key())];
            });
            let outcome = preferring.found_with(authenticity, fetched(None));
            add(name, outcome, Some(large_key()), any);
            let single = plain.clone().with(|d| d.sealing_keys = vec![entry(&large_key())]);
            let none_known = plain
                .clone()
                .with(|d| d.sealing_keys = vec!["9:AAAA".parse::<SealingEntry>().unwrap()]);
            let other_row = format!("{name}, other key");
            let none_row = format!("{name}, no key");
            for failure in KeyFailure::ALL {
                if failure == KeyFailure::NoUsableSuite {
                    add(&none_row, none_known.found(authenticity), None, any);
                    continue;
                }
                let keys = || fetched(Some(failure));
                let outcome = preferring.found_with(authenticity, keys());
                add(&other_row, outcome, Some(new_key()), any);
                add(&none_row, single.found_with(authenticity, keys()), None, any);
            }
            // A look-up that was not even made.
            add(&none_row, single.found(authenticity), None, any);

            for (row, serial, expiry) in [
                ("expired", NOW - 500, NOW),
                ("expired", NOW - 500, NOW - 1),
                ("not yet valid", NOW + HOUR + 1, NOW + DAY),
            ] {
                let outside = plain.clone().with(|d| {
                    d.serial = serial;
                    d.expiry = expiry;
                });
                add(row, outside.found(authenticity), None, any);
            }
            let lower = plain.clone().with(|d| d.serial = NOW - 1001);
            add("lower serial", lower.found(authenticity), None, live);
            let stranger = plain.clone().by(STRANGER).found(authenticity);
            match authenticity {
                Insecure => add("other identity, insecure", stranger, None, live),
                Secure => {
                    add("other identity, secure", stranger.clone(), None, strong);
                    let row = "other identity, stronger evidence";
                    add(row, stranger, Some(new_key()), weaker);
                }
            }
        }
        let rolled = policy().by(SUCCESSOR).succeeding(OWN);
        let outcome = rolled.found(authenticity);
        add("enforce, by rollover", outcome, Some(new_key()), live);
        let announced = policy().by(ANNOUNCED);
        let outcome = announced.found(authenticity);
        add("enforce, by announced key", outcome, Some(new_key()), live);

        let none = policy().mode(Mode::None);
        add("none", none.found(authenticity), None, any);
        let row = "none, not in its time";
        let past = none.clone().with(|d| d.expiry = NOW);
        add(row, past.found(authenticity), None, any);
        let future = none.clone().with(|d| d.serial = NOW + HOUR + 1);
        add(row, future.found(authenticity), None, any);
        let stranger = none.by(STRANGER).found(authenticity);
        match authenticity {
            Insecure => add("other identity, insecure", stranger, None, live),
            Secure => {
                add("other identity, secure", stranger.clone(), None, strong);
                add("none, stronger evidence", stranger, None, weaker);
            }
        }
    }
    for failure in LookupFailure::ALL {
        let row = match failure {
            LookupFailure::ServFail => "SERVFAIL",
            LookupFailure::Timeout => "timeout",
            LookupFailure::Bogus => "bogus",
            LookupFailure::Malformed => "malformed",
            LookupFailure::TwoRecords => "two records",
            LookupFailure::CnameLoop => "CNAME loop",
            LookupFailure::Oversize => "too large",
            LookupFailure::BadSignature => "bad signature",
        };
        add(row, Outcome::Failed(failure), None, any);
    }
    rows
}

fn local(rule: Rule) -> LocalPolicy {
    LocalPolicy { rule, ..LocalPolicy::default() }
}

/// Calls `check` for every combination of outcome, memory, rule and demand, with row and column.
fn every_case(
    mut check: impl FnMut(&str, &str, &Instance, Option<&Memory>, Rule, Demand),
) -> usize {
    let memories = memories();
    let mut cases = 0;
    for (row, instances) in rows() {
        for (letters, memories) in &memories {
            for instance in &instances {
                for memory in memories {
                    let memory = memory.as_ref();
                    if !(instance.applies)(memory) {
                        continue;
                    }
                    for rule in Rule::ALL {
                        for demand in [Demand::Absent, Demand::Sealed] {
                            check(&row, letters, instance, memory, rule, demand);
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    cases
}

fn must_seal(rule: Rule, demand: Demand) -> bool {
    rule == Rule::Require || demand == Demand::Sealed
}

#[test]
fn the_code_decides_as_the_table_says() {
    let table = table();
    let names: BTreeSet<_> = table.keys().cloned().collect();
    let known: BTreeSet<_> = rows().keys().cloned().collect();
    assert_eq!(names, known, "rows of the draft and of the code");

    let mut reached = BTreeSet::new();
    let cases = every_case(|row, letters, instance, memory, rule, demand| {
        let column = match (rule, demand) {
            (Rule::Never, _) => "never",
            _ if must_seal(rule, demand) => "+",
            _ => "-",
        };
        let expected = match (rule, demand) {
            // [R-dec-04]
            (Rule::Never, Demand::Absent) => Cell::Clear,
            (Rule::Never, Demand::Sealed) => Cell::Reject,
            _ => table[row][&format!("{letters}{column}")],
        };
        let verdict = decide(&local(rule), &instance.outcome, memory, demand, NOW);
        let case = format!("{row}, {letters}{column}, {rule}, {demand:?}, {memory:?}: {verdict:?}");
        match &verdict.decision {
            Decision::Seal { key, source: Source::Dns, policy, .. } => {
                let Outcome::Found(found) = &instance.outcome else { panic!("{case}") };
                assert_eq!(Some(key), instance.key.as_ref(), "{case}");
                assert_eq!(**policy, found.policy, "{case}");
            }
            Decision::Seal { key, source: Source::Memory, policy, level } => {
                assert_eq!(key, &old_key(), "{case}");
                assert_eq!(**policy, memory.unwrap().policy, "{case}");
                assert_eq!(*level, memory.unwrap().level.max(Level::Remembered), "{case}");
            }
            Decision::Clear(_) | Decision::Defer(_) | Decision::Reject(_) => {}
        }
        assert_eq!(Cell::of(&verdict.decision), expected, "{case}");
        reached.insert((row.to_owned(), format!("{letters}{column}")));
    });
    assert!(cases > 5000, "{cases} cases");
    for (row, cells) in &table {
        for column in cells.keys() {
            let cell = (row.clone(), column.clone());
            assert!(reached.contains(&cell), "{cell:?} is never tried");
        }
    }
}

/// Every policy of the operator: rules, levels, pins, exceptions.
fn locals() -> Vec<LocalPolicy> {
    let mut locals = Vec::new();
    for rule in Rule::ALL {
        for minimum_level in Level::ALL {
            for pin in [None, Some(fingerprint(OWN)), Some(fingerprint(STRANGER))] {
                for allowed in [false, true] {
                    locals.push(LocalPolicy {
                        rule,
                        minimum_level,
                        pin,
                        allow: Allowances { weaker_suite: allowed, clear_on_failure: allowed },
                    });
                }
            }
        }
    }
    locals
}

#[test]
fn the_properties_hold_for_every_operator() {
    let mut cases = 0;
    let locals = locals();
    every_case(|row, _, instance, memory, rule, demand| {
        // One memory less for each state keeps the run short; the table test has them all.
        if memory.is_some_and(|m| m.level == Level::Remembered && m.hold == Hold::Firm) {
            return;
        }
        for local in locals.iter().filter(|local| local.rule == rule) {
            let verdict = decide(local, &instance.outcome, memory, demand, NOW);
            let case = || format!("{row}, {local:?}, {demand:?}, {memory:?}: {verdict:?}");
            let clear = matches!(verdict.decision, Decision::Clear(_));
            cases += 1;

            // Clear mail under an override [R-dec-18] raises an alarm that says what was lifted.
            let overridden =
                matches!(verdict.decision, Decision::Clear(ClearReason::LocalAllowance));
            let alarmed =
                verdict.alarms.iter().any(|alarm| matches!(alarm, Alarm::ClearOnFailure(_)));
            assert_eq!(overridden, alarmed, "{}", case());
            assert!(!overridden || local.allow.clear_on_failure, "{}", case());
            assert!(!(clear && must_seal(rule, demand)), "{}", case());
            let clear = clear && !overridden;

            let failed = matches!(instance.outcome, Outcome::Failed(_));
            assert!(!(clear && failed && rule != Rule::Never), "{}", case());

            // Clear mail beside a remembered `enforce`: `never`, or `none` by the same identity.
            let enforced = memory.is_some_and(|m| m.enforces(NOW));
            let lifted = row == "none";
            assert!(!(clear && enforced && rule != Rule::Never && !lifted), "{}", case());
            if clear && enforced && rule == Rule::Never && !lifted {
                assert!(verdict.alarms.contains(&Alarm::NeverOverEnforce), "{}", case());
            }

            // A policy in force that says `enforce` forbids clear mail as well.
            if row.starts_with("enforce") {
                assert!(!clear || rule == Rule::Never, "{}", case());
            }
            // With a pin, only its identity can say `none`, or that it is testing.
            if clear && local.pin.is_some() && rule != Rule::Never {
                assert!(matches!(instance.outcome, Outcome::Found(_)), "{}", case());
            }

            let sealed_to = |verdict: &Verdict| match &verdict.decision {
                Decision::Seal { level, policy, .. } => Some((*level, policy.identity().clone())),
                _ => None,
            };
            if let Some((level, identity)) = sealed_to(&verdict) {
                assert!(level >= local.minimum_level, "{}", case());
                let fingerprint = identity.fingerprint();
                if let Some(pin) = local.pin {
                    let root = row.contains(", by ").then_some(policy_support::fingerprint(OWN));
                    assert!(fingerprint == pin || root == Some(pin), "{}", case());
                    assert_eq!(level, Level::Pinned, "{}", case());
                }
            }

            // A demand can only tighten.
            if demand == Demand::Sealed {
                let without = decide(local, &instance.outcome, memory, Demand::Absent, NOW);
                if verdict.decision != without.decision {
                    // The weaker suite stands in for clear mail [R-dec-15].
                    let loose = matches!(without.decision, Decision::Clear(_))
                        || row == "testing, other key";
                    let tight =
                        matches!(verdict.decision, Decision::Defer(_) | Decision::Reject(_));
                    assert!(loose && tight, "{} without: {without:?}", case());
                }
                assert_eq!(verdict.memory, without.memory, "{}", case());
            }

            // Only a policy that is found and believed changes memory.
            if let MemoryUpdate::Store(after) = &verdict.memory {
                let Outcome::Found(found) = &instance.outcome else { panic!("{}", case()) };
                assert_eq!(after.policy, found.policy, "{}", case());
                assert!(after.level < Level::Pinned, "{}", case());
            }
        }
    });
    assert!(cases > 50_000, "{cases} cases");
}

#[test]
fn the_operator_hears_of_what_looks_like_an_attack() {
    every_case(|row, letters, instance, memory, rule, demand| {
        let verdict = decide(&local(rule), &instance.outcome, memory, demand, NOW);
        let has = |wanted: fn(&Alarm) -> bool| verdict.alarms.iter().any(wanted);
        let changed = has(|a| matches!(a, Alarm::IdentityChanged { .. }));
        let replaced = has(|a| matches!(a, Alarm::IdentityReplaced { .. }));
        let rolled = has(|a| matches!(a, Alarm::IdentityRolledOver { .. }));
        let back = has(|a| matches!(a, Alarm::SerialBack { .. }));
        let vanished = has(|a| matches!(a, Alarm::PolicyVanished));
        assert_eq!(
            changed,
            ["other identity, insecure", "other identity, secure"].contains(&row),
            "{row}"
        );
        assert_eq!(replaced, row.contains("stronger evidence"), "{row}");
        assert_eq!(rolled, row.contains(", by "), "{row}");
        assert_eq!(back, row == "lower serial", "{row}");
        let denied = row.starts_with('N') || row == "none, not in its time";
        assert!(!vanished || denied, "{row}");
        let forged = has(|a| matches!(a, Alarm::PolicyNotAuthentic(_)));
        let doubtful = ["bogus", "bad signature"].contains(&row);
        assert!(!forged || doubtful, "{row}");
        assert!(forged || !doubtful || letters == "N", "{row} {letters}");
        if row.starts_with('N') && letters != "N" {
            assert!(vanished, "{row} {letters}");
        }
    });
}

/// The weaker suite where it is allowed, and nothing else [R-dec-17].
#[test]
fn an_allowed_suite_is_used_and_nothing_else_changes() {
    let allow = Allowances { weaker_suite: true, ..Allowances::default() };
    every_case(|row, _, instance, memory, rule, demand| {
        let allowed = LocalPolicy { rule, allow, ..LocalPolicy::default() };
        let with = decide(&allowed, &instance.outcome, memory, demand, NOW).decision;
        let without = decide(&local(rule), &instance.outcome, memory, demand, NOW).decision;
        if row.contains("other key") && rule != Rule::Never {
            assert!(matches!(with, Decision::Seal { ref key, .. } if *key == new_key()), "{row}");
        } else {
            assert_eq!(with, without, "{row}");
        }
    });
}

/// While an override lasts nothing waits but what must be sealed; what can be sealed is [R-dec-18].
#[test]
fn an_override_lets_mail_flow_and_seals_what_it_can() {
    let allow = Allowances { clear_on_failure: true, ..Allowances::default() };
    let suite = Allowances { weaker_suite: true, ..Allowances::default() };
    let mut lifted = BTreeSet::new();
    every_case(|row, letters, instance, memory, rule, demand| {
        for minimum_level in Level::ALL {
            for pin in [None, Some(fingerprint(STRANGER))] {
                let local = LocalPolicy { rule, minimum_level, pin, allow };
                let plain = LocalPolicy { allow: suite, ..local };
                let with = decide(&local, &instance.outcome, memory, demand, NOW);
                let without = decide(&plain, &instance.outcome, memory, demand, NOW);
                let case = format!("{row}, {letters}, {local:?}, {demand:?}: {with:?}");
                assert_eq!(with.memory, without.memory, "{case}");
                let waits = matches!(without.decision, Decision::Defer(_));
                if waits && !must_seal(rule, demand) {
                    let clear = Decision::Clear(ClearReason::LocalAllowance);
                    assert_eq!(with.decision, clear, "{case}");
                    lifted.insert(letters.to_owned());
                } else {
                    assert_eq!(with, without, "{case}");
                }
            }
        }
    });
    // Against a remembered `enforce` too: in every column.
    for letters in ["N", "K", "KE", "E"] {
        assert!(lifted.contains(letters), "{letters}");
    }
}
