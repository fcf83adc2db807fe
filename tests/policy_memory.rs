//! What is remembered, for how long, and at which level it counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod policy_support;

use mta_seal::core::Suite;
use mta_seal::policy::{
    Alarm, ClearReason, Decision, DeferReason, Demand, Denial, FIRST_HOLD, Hold, KeyFailure, Level,
    LocalPolicy, LookupFailure, Memory, MemoryUpdate, Outcome, Refusal, Rule, Source, Verdict,
    decide, decide_damaged, wanted_keys,
};
use mta_seal::policy::{Allowances, Authenticity, RejectReason, SenderPolicy, authenticate_sender};
use mta_seal::records::Mode;
use policy_support::*;

const FAILED: Outcome = Outcome::Failed(LookupFailure::ServFail);

fn prefer() -> LocalPolicy {
    LocalPolicy::default()
}

fn at_least(minimum_level: Level) -> LocalPolicy {
    LocalPolicy { minimum_level, ..prefer() }
}

fn pinned(seed: u8) -> LocalPolicy {
    LocalPolicy { pin: Some(fingerprint(seed)), ..prefer() }
}

fn run(local: &LocalPolicy, outcome: &Outcome, memory: Option<&Memory>, now: u64) -> Verdict {
    decide(local, outcome, memory, Demand::Absent, now)
}

/// Decides and returns the memory afterwards.
fn observe(local: &LocalPolicy, outcome: &Outcome, memory: Option<&Memory>, now: u64) -> Memory {
    match run(local, outcome, memory, now).memory {
        MemoryUpdate::Store(memory) => *memory,
        MemoryUpdate::Keep => memory.expect("something remembered").clone(),
    }
}

fn level(verdict: &Verdict) -> (Level, Source) {
    match &verdict.decision {
        Decision::Seal { level, source, .. } => (*level, *source),
        other => panic!("{other:?}"),
    }
}

fn deferred(verdict: &Verdict) -> DeferReason {
    match &verdict.decision {
        Decision::Defer(reason) => *reason,
        other => panic!("{other:?}"),
    }
}

fn no_policy(authenticity: Authenticity) -> Outcome {
    Outcome::NoPolicy { denial: Denial::NxDomain, authenticity }
}

#[test]
fn a_first_answer_is_held_for_48_hours_and_doubles_once_a_day() {
    // [R-dec-11]
    let outcome = policy().insecure();
    let mut memory = observe(&prefer(), &outcome, None, NOW);
    let hold = |memory: &Memory| match memory.hold {
        Hold::Growing { seconds, .. } => seconds,
        Hold::Firm => panic!("firm"),
    };
    assert_eq!(memory.level, Level::FirstUse);
    assert_eq!(hold(&memory), FIRST_HOLD);
    assert_eq!(memory.enforce_until, Some(NOW + 2 * DAY));
    assert_eq!(memory.until(), NOW + 2 * DAY);

    // Observations in quick succession do not add up.
    for hours in 1..24 {
        memory = observe(&prefer(), &outcome, Some(&memory), NOW + hours * HOUR);
        assert_eq!(hold(&memory), FIRST_HOLD, "after {hours} h");
    }
    memory = observe(&prefer(), &outcome, Some(&memory), NOW + DAY - 1);
    assert_eq!(hold(&memory), FIRST_HOLD);
    memory = observe(&prefer(), &outcome, Some(&memory), NOW + DAY);
    assert_eq!(hold(&memory), 4 * DAY);
    assert_eq!(memory.enforce_until, Some(NOW + 5 * DAY));
    memory = observe(&prefer(), &outcome, Some(&memory), NOW + 2 * DAY - 1);
    assert_eq!(hold(&memory), 4 * DAY);
    for (days, expected) in [(2, 8), (3, 16), (4, 32), (5, 60), (6, 60)] {
        memory = observe(&prefer(), &outcome, Some(&memory), NOW + days * DAY);
        assert_eq!(hold(&memory), expected * DAY, "after {days} days");
    }
    assert_eq!(memory.first_seen, NOW);
}

#[test]
fn a_poisoned_first_answer_is_gone_after_two_days() {
    let poisoned = policy().by(STRANGER).insecure();
    let memory = observe(&prefer(), &poisoned, None, NOW);
    let real = policy().insecure();
    let before = run(&prefer(), &real, Some(&memory), NOW + 2 * DAY - 1);
    assert_eq!(level(&before), (Level::Remembered, Source::Memory));
    let after = run(&prefer(), &real, Some(&memory), NOW + 2 * DAY);
    assert_eq!(level(&after), (Level::FirstUse, Source::Dns));
    assert_eq!(after.alarms, []);
    // DNSSEC ends it at once.
    let secure = run(&prefer(), &policy().secure(), Some(&memory), NOW + 1);
    assert_eq!(level(&secure), (Level::Dnssec, Source::Dns));
}

#[test]
fn the_hold_is_not_longer_than_max_age() {
    let short = policy().with(|d| d.max_age = DAY);
    let memory = observe(&prefer(), &short.insecure(), None, NOW);
    assert_eq!(memory.until(), NOW + DAY);
    let none = policy().with(|d| d.max_age = 0);
    let memory = observe(&prefer(), &none.insecure(), None, NOW);
    assert_eq!(memory.until(), NOW);
    assert!(!memory.enforces(NOW));
}

#[test]
fn dnssec_and_pins_make_memory_firm() {
    let outcomes = [
        (prefer(), policy().secure(), Level::Dnssec),
        (pinned(OWN), policy().insecure(), Level::FirstUse),
    ];
    for (local, outcome, learned) in outcomes {
        let fresh = observe(&local, &outcome, None, NOW);
        assert_eq!((fresh.hold, fresh.level), (Hold::Firm, learned));
        assert_eq!(fresh.enforce_until, Some(NOW + 60 * DAY));
        assert_eq!(fresh.policy_until(), NOW + 30 * DAY);
        let growing = memory(Mode::Enforce);
        assert_eq!(observe(&local, &outcome, Some(&growing), NOW).hold, Hold::Firm);
        // And an unsigned answer later does not soften it.
        let later = observe(&prefer(), &policy().insecure(), Some(&fresh), NOW + DAY);
        assert_eq!(later.hold, Hold::Firm);
    }
}

#[test]
fn enforce_is_lifted_by_none_and_not_by_testing() {
    let enforce = observe(&prefer(), &policy().secure(), None, NOW);
    let until = enforce.enforce_until;
    let newer = |mode| {
        let policy = policy().mode(mode).with(|d| d.serial += 1);
        policy.insecure()
    };
    let testing = observe(&prefer(), &newer(Mode::Testing), Some(&enforce), NOW + DAY);
    assert_eq!(testing.enforce_until, until);
    assert_eq!(testing.policy.record().mode, Mode::Testing);

    let verdict = run(&prefer(), &newer(Mode::None), Some(&enforce), NOW + DAY);
    assert_eq!(verdict.decision, Decision::Clear(ClearReason::Withdrawn));
    let none = observe(&prefer(), &newer(Mode::None), Some(&enforce), NOW + DAY);
    assert_eq!(none.enforce_until, None);
    // The withdrawal is remembered, so that an older policy cannot be replayed.
    let replay = run(&prefer(), &policy().secure(), Some(&none), NOW + DAY);
    assert_eq!(deferred(&replay), DeferReason::Refused(Refusal::SerialBack));
    // And nobody else can withdraw, even at a higher level.
    let growing = memory(Mode::Enforce);
    let stranger = policy().mode(Mode::None).by(STRANGER).secure();
    let verdict = run(&prefer(), &stranger, Some(&growing), NOW);
    assert_eq!(deferred(&verdict), DeferReason::EnforceRemembered);
    let after = observe(&prefer(), &stranger, Some(&growing), NOW);
    assert_eq!(after.enforce_until, growing.enforce_until);
    // Time lifts it as well.
    let lapsed = run(&prefer(), &no_policy(Authenticity::Insecure), Some(&enforce), NOW + 60 * DAY);
    assert!(matches!(lapsed.decision, Decision::Clear(_)));
    let not_yet =
        run(&prefer(), &no_policy(Authenticity::Secure), Some(&enforce), NOW + 60 * DAY - 1);
    assert_eq!(deferred(&not_yet), DeferReason::EnforceRemembered);
}

#[test]
fn a_remembered_key_is_used_until_the_policy_expires() {
    let memory = observe(&prefer(), &policy().secure(), None, NOW);
    let expiry = NOW + 30 * DAY;
    let last = run(&prefer(), &FAILED, Some(&memory), expiry - 1);
    assert_eq!(level(&last), (Level::Dnssec, Source::Memory));
    assert_eq!(last.memory, MemoryUpdate::Keep);
    let gone = run(&prefer(), &FAILED, Some(&memory), expiry);
    assert_eq!(deferred(&gone), DeferReason::Lookup(LookupFailure::ServFail));
}

#[test]
fn serials_may_stay_but_not_go_back() {
    let memory = observe(&prefer(), &policy().insecure(), None, NOW);
    let same = run(&prefer(), &policy().insecure(), Some(&memory), NOW + 1);
    assert_eq!(level(&same), (Level::Remembered, Source::Dns));
    let lower = policy().with(|d| d.serial -= 1);
    let verdict = run(&prefer(), &lower.secure(), Some(&memory), NOW + 1);
    assert_eq!(level(&verdict).1, Source::Memory);
    assert_eq!(verdict.alarms, [Alarm::SerialBack { remembered: NOW - 500, seen: NOW - 501 }]);
    assert_eq!(verdict.memory, MemoryUpdate::Keep);
}

#[test]
fn a_policy_text_keeps_its_level_and_a_new_one_does_not() {
    // [R-dec-10]
    let memory = observe(&prefer(), &policy().secure(), None, NOW);
    let same = run(&prefer(), &policy().insecure(), Some(&memory), NOW + 1);
    assert_eq!(level(&same), (Level::Dnssec, Source::Dns));
    let strict = at_least(Level::Dnssec);
    let from_memory = run(&strict, &FAILED, Some(&memory), NOW + 1);
    assert_eq!(level(&from_memory), (Level::Dnssec, Source::Memory));

    let newer = policy().with(|d| d.serial += 1).insecure();
    let verdict = run(&prefer(), &newer, Some(&memory), NOW + 1);
    assert_eq!(level(&verdict), (Level::Remembered, Source::Dns));
    let verdict = run(&strict, &newer, Some(&memory), NOW + 1);
    assert_eq!(
        deferred(&verdict),
        DeferReason::BelowMinimum { level: Level::Remembered, minimum: Level::Dnssec }
    );
    let memory = observe(&prefer(), &newer, Some(&memory), NOW + 1);
    assert_eq!(memory.level, Level::Remembered);
}

#[test]
fn the_minimum_level_holds_for_every_evidence() {
    let first = policy().insecure();
    for (minimum, sealed) in [
        (Level::FirstUse, true),
        (Level::Remembered, false),
        (Level::Dnssec, false),
        (Level::Pinned, false),
    ] {
        let verdict = run(&at_least(minimum), &first, None, NOW);
        if sealed {
            assert_eq!(level(&verdict).0, Level::FirstUse);
        } else {
            let level = Level::FirstUse;
            assert_eq!(deferred(&verdict), DeferReason::BelowMinimum { level, minimum });
            // It is remembered nonetheless, so that `remembered` can be reached.
            assert!(matches!(verdict.memory, MemoryUpdate::Store(_)));
        }
    }
    let own = memory(Mode::Enforce);
    let verdict = run(&at_least(Level::Dnssec), &FAILED, Some(&own), NOW);
    assert!(matches!(deferred(&verdict), DeferReason::BelowMinimum { .. }));
    let none = policy().mode(Mode::None).insecure();
    let verdict = run(&at_least(Level::Dnssec), &none, None, NOW);
    assert!(matches!(deferred(&verdict), DeferReason::BelowMinimum { .. }));

    // [R-dec-16] A denial counts as much as DNSSEC says.
    for (minimum, insecure, secure) in [
        (Level::FirstUse, true, true),
        (Level::Remembered, true, true),
        (Level::Dnssec, false, true),
        (Level::Pinned, false, false),
    ] {
        for (authenticity, believed) in
            [(Authenticity::Insecure, insecure), (Authenticity::Secure, secure)]
        {
            let outcome = no_policy(authenticity);
            let verdict = run(&at_least(minimum), &outcome, None, NOW);
            let clear = matches!(verdict.decision, Decision::Clear(_));
            assert_eq!(clear, believed, "{minimum} {authenticity:?}");
            if !clear {
                let reason = DeferReason::DenialBelowMinimum { minimum };
                assert_eq!(deferred(&verdict), reason);
            }
            let local = LocalPolicy { rule: Rule::Require, ..at_least(minimum) };
            let verdict = run(&local, &outcome, None, NOW);
            let rejected = verdict.decision == Decision::Reject(RejectReason::NoPolicy);
            assert_eq!(rejected, believed);
        }
    }
    // An override reaches over a minimum and a pin, and not over `require` [R-dec-18].
    let mut local = at_least(Level::Dnssec);
    local.pin = Some(fingerprint(OWN));
    assert!(matches!(run(&local, &FAILED, None, NOW).decision, Decision::Defer(_)));
    local.allow.clear_on_failure = true;
    assert!(matches!(run(&local, &FAILED, None, NOW).decision, Decision::Clear(_)));
    local.rule = Rule::Require;
    assert!(matches!(run(&local, &FAILED, None, NOW).decision, Decision::Defer(_)));
}

#[test]
fn a_pin_admits_only_its_identity_and_successors() {
    let verdict = run(&pinned(OWN), &policy().insecure(), None, NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Dns));

    let forged = policy().by(STRANGER).secure();
    let verdict = run(&pinned(OWN), &forged, None, NOW);
    assert_eq!(deferred(&verdict), DeferReason::Refused(Refusal::PinMismatch));
    assert_eq!(verdict.memory, MemoryUpdate::Keep);
    assert_eq!(
        verdict.alarms,
        [Alarm::PinMismatch { pinned: fingerprint(OWN), seen: fingerprint(STRANGER) }]
    );
    // With memory of the pinned key, mail goes on.
    let own = memory(Mode::Enforce);
    let verdict = run(&pinned(OWN), &forged, Some(&own), NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Memory));

    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        let verdict = run(&pinned(OWN), &no_policy(authenticity), None, NOW);
        assert_eq!(deferred(&verdict), DeferReason::PinnedWithoutPolicy);
        assert_eq!(verdict.alarms, [Alarm::PolicyVanished]);
    }
    for failure in LookupFailure::ALL {
        let verdict = run(&pinned(OWN), &Outcome::Failed(failure), None, NOW);
        assert_eq!(deferred(&verdict), DeferReason::Lookup(failure));
        let forged = matches!(failure, LookupFailure::Bogus | LookupFailure::BadSignature);
        assert_eq!(verdict.alarms.contains(&Alarm::PolicyNotAuthentic(failure)), forged);
        assert_eq!(run(&prefer(), &Outcome::Failed(failure), None, NOW).alarms, []);
    }

    // A memory of another key than the pinned one is of no use, and gives way to the pinned one.
    let verdict = run(&pinned(STRANGER), &FAILED, Some(&own), NOW);
    assert_eq!(deferred(&verdict), DeferReason::MemoryNotPinned);
    let pinned_now = policy().by(STRANGER).insecure();
    let strongest = Memory { level: Level::Dnssec, hold: Hold::Firm, ..own };
    let verdict = run(&pinned(STRANGER), &pinned_now, Some(&strongest), NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Dns));
    let learned = observe(&pinned(STRANGER), &pinned_now, Some(&strongest), NOW);
    assert_eq!(learned.pinned_root, Some(fingerprint(STRANGER)));
}

#[test]
fn rollovers_are_followed_from_the_pin_through_memory() {
    let local = pinned(OWN);
    let first = observe(&local, &policy().insecure(), None, NOW);
    let second = policy().by(SUCCESSOR).succeeding(OWN).with(|d| d.serial += 1);
    let second = second.clone().succeeding(OWN);
    // Without memory of the pinned key the statement has nothing to start from.
    let verdict = run(&local, &second.insecure(), None, NOW);
    assert_eq!(deferred(&verdict), DeferReason::Refused(Refusal::PinMismatch));

    let verdict = run(&local, &second.insecure(), Some(&first), NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Dns));
    assert!(matches!(verdict.alarms[..], [Alarm::IdentityRolledOver { .. }]));
    let memory = observe(&local, &second.insecure(), Some(&first), NOW);
    assert_eq!(memory.pinned_root, Some(fingerprint(OWN)));
    assert_eq!(memory.identity(), identity(SUCCESSOR).public());

    // Later policies need no statement; the former key has no say any more.
    let third = policy().by(SUCCESSOR).with(|d| d.serial += 2);
    let verdict = run(&local, &third.insecure(), Some(&memory), NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Dns));
    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        let former = policy().with(|d| d.serial += 3).found(authenticity);
        let verdict = run(&local, &former, Some(&memory), NOW);
        assert_eq!(level(&verdict), (Level::Pinned, Source::Memory));
        assert!(matches!(verdict.alarms[..], [Alarm::IdentityChanged { .. }]));
    }
    let other = policy().by(STRANGER).with(|d| d.serial += 3).succeeding(OWN);
    let verdict = run(&local, &other.insecure(), Some(&memory), NOW);
    assert_eq!(level(&verdict).1, Source::Memory);

    // When the operator takes the pin away, the memory is worth what DNS made it.
    assert_eq!(memory.level(None), Level::Remembered);
}

#[test]
fn an_expired_statement_of_succession_proves_nothing() {
    let own = memory(Mode::Enforce);
    let rolled = policy().by(SUCCESSOR).succeeding(OWN);
    let expiring = rolled.clone().with(|d| {
        d.rollover = mta_seal::records::Rollover::sign(
            &identity(OWN),
            &domain(),
            identity(SUCCESSOR).public(),
            d.serial,
            NOW,
        );
    });
    let verdict = run(&prefer(), &expiring.insecure(), Some(&own), NOW - 1);
    assert_eq!(level(&verdict).1, Source::Dns);
    let verdict = run(&prefer(), &expiring.insecure(), Some(&own), NOW);
    assert_eq!(level(&verdict).1, Source::Memory);
}

#[test]
fn a_remembered_key_serves_where_it_is_still_listed() {
    // [R-dec-13]
    let preferring =
        policy().with(|d| d.sealing_keys = vec![entry(&large_key()), entry(&new_key())]);
    let found = preferring.found_with(Authenticity::Insecure, fetched(None));
    let memory = observe(&prefer(), &found, None, NOW);
    assert_eq!(memory.key, Some(large_key()));
    let listed = preferring.sign();
    assert_eq!(wanted_keys(&listed, None).len(), 1);
    assert_eq!(wanted_keys(&listed, memory.key.as_ref()), []);
    assert_eq!(wanted_keys(&listed, Some(&new_key())).len(), 1);

    let again = preferring
        .with(|d| d.serial += 1)
        .found_with(Authenticity::Insecure, fetched(Some(KeyFailure::Missing)));
    let verdict = run(&prefer(), &again, Some(&memory), NOW + DAY);
    assert!(matches!(
        verdict.decision,
        Decision::Seal { ref key, .. } if *key == large_key()
    ));

    // A key that the domain no longer lists is given up, even if no other can be had.
    let other = policy().with(|d| {
        d.serial += 2;
        d.sealing_keys = vec![entry(&key(Suite::XWing, 14))];
    });
    let verdict = run(&prefer(), &other.insecure(), Some(&memory), NOW + DAY);
    assert_eq!(deferred(&verdict), DeferReason::Key(KeyFailure::Unreachable));
    let memory = observe(&prefer(), &other.insecure(), Some(&memory), NOW + DAY);
    assert_eq!(memory.key, None);
    // A stranger's policy never gets at the remembered key, not even with higher evidence.
    let own = Memory { key: Some(large_key()), ..policy_support::memory(Mode::Enforce) };
    let stranger = policy().by(STRANGER).with(|d| d.sealing_keys = vec![entry(&large_key())]);
    let verdict = run(&prefer(), &stranger.secure(), Some(&own), NOW);
    assert_eq!(deferred(&verdict), DeferReason::Key(KeyFailure::Unreachable));
}

#[test]
fn of_several_keys_of_one_suite_the_first_is_used() {
    // [R-rec-03]
    let outcome = policy()
        .with(|d| d.sealing_keys = vec![entry(&new_key()), entry(&old_key()), entry(&large_key())])
        .insecure();
    let verdict = run(&prefer(), &outcome, None, NOW);
    assert!(matches!(
        verdict.decision,
        Decision::Seal { ref key, .. } if *key == new_key()
    ));
    assert_eq!(verdict.alarms, []);
    let Outcome::Found(found) = outcome else { unreachable!() };
    assert_eq!(wanted_keys(&found.policy, None), []);
    // The second key of a suite does not stand in for the first.
    let two_large = policy().with(|d| {
        d.sealing_keys = vec![entry(&large_key()), entry(&key(Suite::XWing, 13))];
    });
    let found = two_large.found_with(Authenticity::Insecure, fetched(Some(KeyFailure::Mismatch)));
    let verdict = run(&prefer(), &found, None, NOW);
    assert_eq!(deferred(&verdict), DeferReason::Key(KeyFailure::Mismatch));
    assert_eq!(wanted_keys(&two_large.sign(), None).len(), 1);
}

#[test]
fn a_less_preferred_key_serves_in_place_of_clear_mail_only() {
    // [R-dec-15]
    let both = |mode| {
        policy()
            .mode(mode)
            .with(|d| d.sealing_keys = vec![entry(&large_key()), entry(&new_key())])
            .found_with(Authenticity::Insecure, fetched(Some(KeyFailure::Missing)))
    };
    let enforced = memory(Mode::Enforce);
    let seals = |local: &LocalPolicy, mode, memory: Option<&Memory>, demand| {
        let verdict = decide(local, &both(mode), memory, demand, NOW);
        let alarm = verdict.alarms.contains(&Alarm::WeakerSuite(KeyFailure::Missing));
        match verdict.decision {
            Decision::Seal { key, .. } => {
                assert!(key == new_key() && alarm);
                true
            }
            other => {
                let waits = Decision::Defer(DeferReason::PreferredKey(KeyFailure::Missing));
                assert!(other == waits && !alarm, "{other:?}");
                false
            }
        }
    };
    let require = LocalPolicy { rule: Rule::Require, ..prefer() };
    assert!(seals(&prefer(), Mode::Testing, None, Demand::Absent));
    assert!(!seals(&prefer(), Mode::Testing, None, Demand::Sealed));
    assert!(!seals(&require, Mode::Testing, None, Demand::Absent));
    assert!(!seals(&pinned(OWN), Mode::Testing, None, Demand::Absent));
    assert!(!seals(&prefer(), Mode::Testing, Some(&enforced), Demand::Absent));
    assert!(!seals(&prefer(), Mode::Enforce, None, Demand::Absent));
    // [R-dec-17], [R-dec-18]
    let weaker = Allowances { weaker_suite: true, ..Allowances::default() };
    let clear = Allowances { clear_on_failure: true, ..Allowances::default() };
    for allow in [weaker, clear] {
        let local = LocalPolicy { allow, ..require };
        assert!(seals(&local, Mode::Enforce, None, Demand::Sealed));
    }
}

#[test]
fn a_damaged_memory_that_says_enforce_holds_mail_until_then() {
    // [R-dec-11]
    let run = |local: &LocalPolicy, until: Option<u64>| {
        let outcome = no_policy(Authenticity::Insecure);
        decide_damaged(local, &outcome, until, Demand::Absent, NOW)
    };
    let clear = Decision::Clear(ClearReason::NoPolicy {
        denial: Denial::NxDomain,
        authenticity: Authenticity::Insecure,
    });
    for over in [None, Some(NOW - 1), Some(NOW)] {
        assert_eq!(run(&prefer(), over).decision, clear);
    }
    let verdict = run(&prefer(), Some(NOW + 1));
    assert_eq!(deferred(&verdict), DeferReason::MemoryDamaged);
    assert_eq!(verdict.alarms, [Alarm::MemoryDamaged]);
    // Of the key nothing is known but what DNSSEC or a pin shows, and only that takes the place of what is damaged.
    let until = Some(NOW + 400 * DAY);
    let seal = |local: &LocalPolicy, outcome: &Outcome| {
        decide_damaged(local, outcome, until, Demand::Absent, NOW)
    };
    let verdict = seal(&prefer(), &policy().insecure());
    assert_eq!(deferred(&verdict), DeferReason::MemoryDamaged);
    assert_eq!(verdict.memory, MemoryUpdate::Keep);
    for verdict in [seal(&prefer(), &policy().secure()), seal(&pinned(OWN), &policy().insecure())] {
        assert!(matches!(verdict.decision, Decision::Seal { .. }), "{verdict:?}");
        let MemoryUpdate::Store(learned) = verdict.memory else { panic!("{:?}", verdict.memory) };
        assert_eq!(learned.enforce_until, until);
    }
    // [R-dec-04]: the alarm is raised once, though the policy found says the same.
    let never = LocalPolicy { rule: Rule::Never, ..prefer() };
    let verdict = run(&never, Some(NOW + 1));
    assert_eq!(verdict.decision, Decision::Clear(ClearReason::LocalRule));
    assert_eq!(verdict.alarms, [Alarm::MemoryDamaged, Alarm::NeverOverEnforce]);
    let found = decide_damaged(&never, &policy().insecure(), Some(NOW + 1), Demand::Absent, NOW);
    assert_eq!(found.alarms, [Alarm::NeverOverEnforce, Alarm::MemoryDamaged]);
}

#[test]
fn memory_is_written_when_it_matters() {
    let outcome = policy().insecure();
    let memory = observe(&prefer(), &outcome, None, NOW);
    let second = run(&prefer(), &outcome, Some(&memory), NOW + 1).memory;
    // The level rises to `remembered`.
    let MemoryUpdate::Store(memory) = second else { panic!("not stored") };
    assert_eq!(memory.level, Level::Remembered);
    let update = |now| run(&prefer(), &outcome, Some(&memory), now).memory;
    assert_eq!(update(NOW + 2), MemoryUpdate::Keep);
    assert_eq!(update(NOW + HOUR), MemoryUpdate::Keep);
    assert!(matches!(update(NOW + 1 + HOUR), MemoryUpdate::Store(_)));
    let newer = policy().with(|d| d.serial += 1).insecure();
    let update = run(&prefer(), &newer, Some(&memory), NOW + 2).memory;
    assert!(matches!(update, MemoryUpdate::Store(_)));
    // What lifts `enforce` is written at once.
    let testing = policy().mode(Mode::Testing).insecure();
    let mut lifted = observe(&prefer(), &testing, None, NOW);
    lifted.level = Level::Remembered;
    lifted.enforce_until = Some(NOW + 2);
    let update = run(&prefer(), &testing, Some(&lifted), NOW + 2).memory;
    assert!(matches!(update, MemoryUpdate::Store(m) if m.enforce_until.is_none()));
}

#[test]
fn a_testing_domain_without_usable_key_is_told() {
    let testing = policy().mode(Mode::Testing).with(|d| d.sealing_keys = vec![entry(&large_key())]);
    let outcome =
        testing.found_with(Authenticity::Insecure, fetched(Some(KeyFailure::Unreachable)));
    let verdict = run(&prefer(), &outcome, None, NOW);
    assert_eq!(verdict.decision, Decision::Clear(ClearReason::Testing(KeyFailure::Unreachable)));
    assert_eq!(verdict.alarms, [Alarm::TestingKeyUnusable(KeyFailure::Unreachable)]);
}

#[test]
fn replies_carry_codes_and_readable_reasons() {
    let lookup = DeferReason::Lookup(LookupFailure::Timeout);
    assert_eq!(lookup.enhanced(), "4.7.0");
    assert_eq!(
        lookup.to_string(),
        "the sealing policy of the domain cannot be used: the name servers do not answer"
    );
    let changed = DeferReason::Refused(Refusal::IdentityChanged);
    assert_eq!(changed.enhanced(), "4.7.5");
    assert_eq!(RejectReason::NoPolicy.enhanced(), "5.7.10");
}

#[test]
fn a_pin_is_met_by_the_chain_and_by_nothing_else() {
    let own = memory(Mode::Enforce);
    // The remembered identity goes on, but it is not the pinned one.
    let verdict = run(&pinned(STRANGER), &policy().insecure(), Some(&own), NOW);
    assert!(matches!(verdict.alarms[..], [Alarm::PinMismatch { .. }]));
    assert_eq!(deferred(&verdict), DeferReason::MemoryNotPinned);
    // The remembered identity is the pinned one, but the policy is a stranger's.
    let stranger = policy().by(STRANGER).secure();
    let verdict = run(&pinned(OWN), &stranger, Some(&own), NOW);
    assert!(matches!(verdict.alarms[..], [Alarm::PinMismatch { .. }]));

    // The chain outlives a pin that is taken away and set again.
    let local = pinned(OWN);
    let first = observe(&local, &policy().insecure(), None, NOW);
    let second = policy().by(SUCCESSOR).with(|d| d.serial += 1).succeeding(OWN);
    let rolled = observe(&local, &second.insecure(), Some(&first), NOW);
    let newer = policy().by(SUCCESSOR).with(|d| d.serial += 2).insecure();
    let unpinned = observe(&prefer(), &newer, Some(&rolled), NOW);
    let verdict = run(&local, &newer, Some(&unpinned), NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Dns));
    // An operator who compares the new key anew is served as well.
    let verdict = run(&pinned(SUCCESSOR), &FAILED, Some(&unpinned), NOW);
    assert_eq!(level(&verdict), (Level::Pinned, Source::Memory));
}

#[test]
fn dnssec_raises_the_level_of_a_new_text() {
    let own = memory(Mode::Enforce);
    let verdict = run(&prefer(), &policy().secure(), Some(&own), NOW);
    assert_eq!(level(&verdict), (Level::Dnssec, Source::Dns));
    assert_eq!(observe(&prefer(), &policy().secure(), Some(&own), NOW).level, Level::Dnssec);
}

#[test]
fn a_published_enforce_counts_even_if_it_is_not_remembered() {
    let never = LocalPolicy { rule: Rule::Never, ..prefer() };
    let fleeting = policy().with(|d| d.max_age = 0);
    let verdict = run(&never, &fleeting.insecure(), None, NOW);
    assert_eq!(verdict.decision, Decision::Clear(ClearReason::LocalRule));
    assert_eq!(verdict.alarms, [Alarm::NeverOverEnforce]);
    let keyless = fleeting.with(|d| d.sealing_keys = vec![entry(&large_key())]);
    let verdict = run(&prefer(), &keyless.insecure(), None, NOW);
    assert_eq!(deferred(&verdict), DeferReason::Key(KeyFailure::Unreachable));
}

#[test]
fn a_key_is_remembered_beyond_a_short_max_age() {
    let policy = policy().with(|d| d.max_age = DAY);
    let memory = observe(&prefer(), &policy.secure(), None, NOW);
    assert_eq!(memory.until(), NOW + 30 * DAY);
    let verdict = run(&prefer(), &FAILED, Some(&memory), NOW + 2 * DAY);
    assert_eq!(level(&verdict).1, Source::Memory);
    let vanished = no_policy(Authenticity::Insecure);
    let verdict = run(&prefer(), &vanished, Some(&memory), NOW + 2 * DAY);
    assert_eq!(level(&verdict).1, Source::Memory);
    assert_eq!(verdict.alarms, [Alarm::PolicyVanished]);
}

#[test]
fn a_remembered_policy_ahead_of_the_clock_is_not_used() {
    let ahead = policy().with(|d| d.serial = NOW + HOUR);
    let memory = observe(&prefer(), &ahead.secure(), None, NOW);
    assert_eq!(level(&run(&prefer(), &FAILED, Some(&memory), NOW)).1, Source::Memory);
    let verdict = run(&prefer(), &FAILED, Some(&memory), NOW - 1);
    assert_eq!(deferred(&verdict), DeferReason::Lookup(LookupFailure::ServFail));
}

#[test]
fn a_remembered_key_that_its_policy_does_not_list_is_not_used() {
    let broken = Memory { key: Some(new_key()), ..memory(Mode::Enforce) };
    assert_eq!(broken.key_at(NOW), None);
    let verdict = run(&prefer(), &FAILED, Some(&broken), NOW);
    assert_eq!(deferred(&verdict), DeferReason::Lookup(LookupFailure::ServFail));
}

#[test]
fn a_replaced_memory_leaves_nothing_but_enforce() {
    let own = Memory { key: Some(large_key()), first_seen: 5, ..memory(Mode::Enforce) };
    let stranger = policy().by(STRANGER).mode(Mode::Testing).with(|d| {
        d.sealing_keys = vec![entry(&large_key())];
    });
    let after = observe(&prefer(), &stranger.secure(), Some(&own), NOW);
    assert_eq!(after.identity(), identity(STRANGER).public());
    assert_eq!((after.key.clone(), after.first_seen), (None, NOW));
    assert_eq!(after.enforce_until, own.enforce_until);
}

#[test]
fn levels_and_rules_have_the_names_of_the_configuration() {
    for (level, name) in Level::ALL.into_iter().zip(["first-use", "remembered", "dnssec", "pinned"])
    {
        assert_eq!((level.to_string().as_str(), name.parse()), (name, Ok(level)));
    }
    for (rule, name) in Rule::ALL.into_iter().zip(["require", "prefer", "never"]) {
        assert_eq!((rule.to_string().as_str(), name.parse()), (name, Ok(rule)));
    }
    assert!("Pinned".parse::<Level>().is_err() && "".parse::<Rule>().is_err());
}

/// [R-dec-09]: one forged withdrawal does not keep the domain's own policy from being believed.
#[test]
fn a_withdrawal_that_nothing_vouches_for_is_no_first_memory() {
    let none = || policy().mode(Mode::None).by(STRANGER);
    let lapsed = Memory { last_seen: NOW - 3 * DAY, enforce_until: None, ..memory(Mode::Enforce) };
    for before in [None, Some(&lapsed)] {
        let verdict = run(&prefer(), &none().insecure(), before, NOW);
        assert!(matches!(verdict.decision, Decision::Clear(_)), "{verdict:?}");
        assert_eq!(verdict.memory, MemoryUpdate::Keep);
    }
    let sender = authenticate_sender(&SenderPolicy::default(), &none().insecure(), None, NOW);
    assert_eq!(sender.memory, MemoryUpdate::Keep);
    // What DNSSEC vouches for is remembered, and what takes the place of a memory.
    let stored = |verdict: Verdict| matches!(verdict.memory, MemoryUpdate::Store(_));
    assert!(stored(run(&prefer(), &none().secure(), None, NOW)));
    let own = policy().mode(Mode::None).insecure();
    assert!(stored(run(&prefer(), &own, Some(&memory(Mode::Testing)), NOW)));
}

/// [R-dec-28]: whoever forges DNS cannot lead a sender that remembers nothing to clear mail by an older `none` of a pinned domain,
/// however often it is seen.
#[test]
fn an_older_withdrawal_of_a_pinned_domain_is_not_taken_for_its_policy() {
    let local = pinned(OWN);
    let older = policy().mode(Mode::None).with(|d| d.serial = NOW - 2000);
    let require = LocalPolicy { rule: Rule::Require, ..local };
    for local in [local, require] {
        let verdict = run(&local, &older.insecure(), None, NOW);
        assert_eq!(deferred(&verdict), DeferReason::WithdrawalUnsupported);
        assert_eq!(verdict.alarms, [Alarm::PolicyVanished]);
        assert_eq!(verdict.memory, MemoryUpdate::Keep);
    }
    // Nor does it take the place of what is remembered of another key, which promises nothing of this one's serials.
    let other = policy().mode(Mode::None).by(STRANGER);
    let firm = Memory { level: Level::Dnssec, hold: Hold::Firm, ..memory(Mode::Testing) };
    for memory in [memory(Mode::Testing), firm] {
        let verdict = run(&pinned(STRANGER), &other.insecure(), Some(&memory), NOW);
        assert_eq!(deferred(&verdict), DeferReason::WithdrawalUnsupported);
        assert_eq!(verdict.memory, MemoryUpdate::Keep);
    }
    let sender = SenderPolicy { pin: local.pin, ..SenderPolicy::default() };
    let verdict = authenticate_sender(&sender, &older.insecure(), None, NOW);
    assert_eq!(verdict.memory, MemoryUpdate::Keep);

    // What was held back by it counts at once.
    let verdict = run(&local, &policy().insecure(), None, NOW);
    assert!(matches!(verdict.decision, Decision::Seal { .. }), "{verdict:?}");
    // DNSSEC shows what the domain publishes now. The serial does not: memory may be older than the policy that is held back.
    let secure = run(&local, &older.secure(), None, NOW);
    assert_eq!(secure.decision, Decision::Clear(ClearReason::Withdrawn));
    let own = memory(Mode::Enforce);
    let newer = run(&local, &policy().mode(Mode::None).insecure(), Some(&own), NOW);
    assert_eq!(deferred(&newer), DeferReason::WithdrawalUnsupported);
    assert_eq!(newer.memory, MemoryUpdate::Keep);
    let vouched = run(&local, &policy().mode(Mode::None).secure(), Some(&own), NOW);
    assert_eq!(vouched.decision, Decision::Clear(ClearReason::Withdrawn));
    let replayed = run(&local, &older.insecure(), Some(&own), NOW);
    assert!(matches!(replayed.decision, Decision::Seal { source: Source::Memory, .. }));
    // The operator's override gets the mail out, his `never` too.
    let mut override_ = local;
    override_.allow.clear_on_failure = true;
    let verdict = run(&override_, &older.insecure(), None, NOW);
    assert_eq!(verdict.decision, Decision::Clear(ClearReason::LocalAllowance));
    let never = LocalPolicy { rule: Rule::Never, ..local };
    let verdict = run(&never, &older.insecure(), None, NOW);
    assert_eq!(verdict.decision, Decision::Clear(ClearReason::LocalRule));
}
