//! Whose signing keys a sealed message is verified with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod policy_support;

use mta_seal::policy::{
    Alarm, Authenticity, DeferReason, Denial, Hold, Level, LookupFailure, Memory, MemoryUpdate,
    Outcome, Promise, Refusal, RefuseReason, SenderDecision, SenderPolicy, SenderVerdict, Source,
    authenticate_sender, promise,
};
use mta_seal::records::Mode;
use policy_support::*;

fn run(outcome: &Outcome, memory: Option<&Memory>) -> SenderVerdict {
    authenticate_sender(&SenderPolicy::default(), outcome, memory, NOW)
}

fn verified(verdict: &SenderVerdict) -> (Level, Source) {
    match &verdict.decision {
        SenderDecision::Verify { keys, level, source, policy } => {
            assert_eq!(keys, &policy.record().signing_keys);
            assert!(!keys.is_empty());
            (*level, *source)
        }
        other => panic!("{other:?}"),
    }
}

fn denial(authenticity: Authenticity) -> Outcome {
    Outcome::NoPolicy { denial: Denial::NoData, authenticity }
}

#[test]
fn a_policy_in_force_gives_the_keys() {
    let verdict = run(&policy().insecure(), None);
    assert_eq!(verified(&verdict), (Level::FirstUse, Source::Dns));
    assert!(matches!(verdict.memory, MemoryUpdate::Store(_)));
    assert_eq!(verified(&run(&policy().secure(), None)), (Level::Dnssec, Source::Dns));
    let own = memory(Mode::Enforce);
    assert_eq!(verified(&run(&policy().insecure(), Some(&own))), (Level::Remembered, Source::Dns));
    // Mail sealed before the withdrawal is still on its way.
    assert_eq!(
        verified(&run(&policy().mode(Mode::None).insecure(), None)),
        (Level::FirstUse, Source::Dns)
    );
    let keyless = policy().mode(Mode::None).with(|d| d.signing_keys.clear()).insecure();
    assert_eq!(run(&keyless, None).decision, SenderDecision::Refuse(RefuseReason::NoSigningKey));
    // Sealing keys that cannot be had do not matter here.
    let unlisted = policy().with(|d| d.sealing_keys = vec![entry(&large_key())]);
    assert_eq!(verified(&run(&unlisted.insecure(), None)), (Level::FirstUse, Source::Dns));
}

#[test]
fn without_memory_failures_wait_and_denials_refuse() {
    for failure in LookupFailure::ALL {
        assert_eq!(
            run(&Outcome::Failed(failure), None).decision,
            SenderDecision::Defer(DeferReason::Lookup(failure))
        );
    }
    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        assert_eq!(
            run(&denial(authenticity), None).decision,
            SenderDecision::Refuse(RefuseReason::UnknownSender)
        );
    }
    let expired = policy().with(|d| d.expiry = NOW);
    assert_eq!(
        run(&expired.secure(), None).decision,
        SenderDecision::Defer(DeferReason::Refused(Refusal::Expired))
    );
    let ahead = policy().with(|d| d.serial = NOW + HOUR + 1);
    assert_eq!(
        run(&ahead.secure(), None).decision,
        SenderDecision::Defer(DeferReason::Refused(Refusal::NotYetValid))
    );
}

#[test]
fn memory_stands_in_for_dns_and_against_strangers() {
    // A sender needs no sealing key to be remembered.
    let own = Memory { key: None, ..memory(Mode::Testing) };
    let mut outcomes: Vec<_> = LookupFailure::ALL.map(Outcome::Failed).to_vec();
    outcomes.extend([
        denial(Authenticity::Secure),
        denial(Authenticity::Insecure),
        policy().by(STRANGER).insecure(),
        policy().with(|d| d.serial = NOW - 1001).secure(),
        policy().with(|d| d.expiry = NOW).secure(),
    ]);
    for outcome in &outcomes {
        let verdict = run(outcome, Some(&own));
        assert_eq!(verified(&verdict), (Level::Remembered, Source::Memory), "{outcome:?}");
        assert_eq!(verdict.memory, MemoryUpdate::Keep);
        // Once the remembered policy is spent, everything waits.
        let spent =
            Memory { last_seen: NOW - 2 * DAY, enforce_until: Some(NOW + 1), ..own.clone() };
        let verdict = run(outcome, Some(&spent));
        assert!(matches!(verdict.decision, SenderDecision::Defer(_)), "{outcome:?}");
    }
    let verdict = run(&policy().by(STRANGER).insecure(), Some(&own));
    assert!(matches!(verdict.alarms[..], [Alarm::IdentityChanged { .. }]));
    let rolled = policy().by(SUCCESSOR).succeeding(OWN).insecure();
    assert_eq!(verified(&run(&rolled, Some(&own))), (Level::Remembered, Source::Dns));
}

#[test]
fn minimum_level_and_pin_hold() {
    let at =
        |minimum_level, pin: Option<u8>| SenderPolicy { minimum_level, pin: pin.map(fingerprint) };
    let run = |local, outcome: &Outcome, memory: Option<&Memory>| {
        authenticate_sender(&local, outcome, memory, NOW)
    };
    let verdict = run(at(Level::Dnssec, None), &policy().insecure(), None);
    assert_eq!(
        verdict.decision,
        SenderDecision::Defer(DeferReason::BelowMinimum {
            level: Level::FirstUse,
            minimum: Level::Dnssec
        })
    );
    let verdict = run(at(Level::Dnssec, None), &policy().secure(), None);
    assert_eq!(verified(&verdict).0, Level::Dnssec);
    let verdict = run(at(Level::Pinned, Some(OWN)), &policy().insecure(), None);
    assert_eq!(verified(&verdict).0, Level::Pinned);

    let own = Memory { level: Level::Dnssec, hold: Hold::Firm, ..memory(Mode::Enforce) };
    let failed = Outcome::Failed(LookupFailure::Bogus);
    let verdict = run(at(Level::Dnssec, None), &failed, Some(&own));
    assert_eq!(verified(&verdict), (Level::Dnssec, Source::Memory));
    let verdict = run(at(Level::Pinned, None), &failed, Some(&own));
    assert!(matches!(verdict.decision, SenderDecision::Defer(DeferReason::BelowMinimum { .. })));
    let verdict = run(at(Level::FirstUse, Some(STRANGER)), &failed, Some(&own));
    assert_eq!(verdict.decision, SenderDecision::Defer(DeferReason::MemoryNotPinned));
    let verdict = run(at(Level::FirstUse, Some(STRANGER)), &policy().secure(), None);
    assert_eq!(verdict.decision, SenderDecision::Defer(DeferReason::Refused(Refusal::PinMismatch)));

    let gone = denial(Authenticity::Secure);
    let verdict = run(at(Level::FirstUse, Some(OWN)), &gone, None);
    assert_eq!(verdict.decision, SenderDecision::Defer(DeferReason::PinnedWithoutPolicy));
    let insecure = denial(Authenticity::Insecure);
    let verdict = run(at(Level::Dnssec, None), &insecure, None);
    assert!(matches!(
        verdict.decision,
        SenderDecision::Defer(DeferReason::DenialBelowMinimum { .. })
    ));
}

#[test]
fn memory_without_keys_or_time_is_no_memory() {
    let withdrawn = policy().mode(Mode::None).with(|d| {
        d.serial = NOW - 1000;
        d.signing_keys.clear();
    });
    let withdrawn = Memory { policy: withdrawn.sign(), ..memory(Mode::None) };
    let failed = Outcome::Failed(LookupFailure::Timeout);
    assert_eq!(
        run(&failed, Some(&withdrawn)).decision,
        SenderDecision::Defer(DeferReason::Lookup(LookupFailure::Timeout))
    );
    let own = memory(Mode::Testing);
    let lapsed = Memory { last_seen: NOW - 2 * DAY, ..own };
    assert_eq!(
        run(&denial(Authenticity::Insecure), Some(&lapsed)).decision,
        SenderDecision::Refuse(RefuseReason::UnknownSender)
    );
    let lasting = Memory { last_seen: NOW - 2 * DAY + 1, ..lapsed };
    assert_eq!(
        verified(&run(&denial(Authenticity::Insecure), Some(&lasting))),
        (Level::Remembered, Source::Memory)
    );
}

/// [R-uns-12]
#[test]
fn a_promise_is_believed_like_a_key() {
    let promises = |outcome: &Outcome, memory: Option<&Memory>| {
        promise(&SenderPolicy::default(), outcome, memory, NOW)
    };
    let always = |mode| policy().mode(mode).with(|d| d.outgoing_always = true);
    for mode in [Mode::Enforce, Mode::Testing] {
        assert_eq!(promises(&always(mode).insecure(), None), Promise::Published);
        assert_eq!(promises(&policy().mode(mode).insecure(), None), Promise::None);
    }
    assert_eq!(promises(&always(Mode::None).insecure(), None), Promise::None);
    let own = Memory { policy: always(Mode::Enforce).sign(), ..memory(Mode::Enforce) };
    let mut outcomes: Vec<_> = LookupFailure::ALL.map(Outcome::Failed).to_vec();
    outcomes.extend([
        denial(Authenticity::Secure),
        denial(Authenticity::Insecure),
        // Of another identity, expired, or not to be taken for its serial: with or without the tag.
        always(Mode::Enforce).by(STRANGER).insecure(),
        policy().by(STRANGER).insecure(),
        always(Mode::Enforce).with(|d| d.expiry = NOW).secure(),
        policy().with(|d| d.serial = NOW - 1001).secure(),
    ]);
    let silent = memory(Mode::Enforce);
    let spent = Memory { last_seen: NOW - 2 * DAY, ..own.clone() };
    for outcome in &outcomes {
        assert_eq!(promises(outcome, Some(&own)), Promise::Remembered, "{outcome:?}");
        assert_eq!(promises(outcome, Some(&silent)), Promise::None, "{outcome:?}");
        assert_eq!(promises(outcome, Some(&spent)), Promise::None, "{outcome:?}");
    }
    assert_eq!(promises(&Outcome::Failed(LookupFailure::Timeout), None), Promise::None);
    // A policy in force says what holds now.
    assert_eq!(promises(&policy().insecure(), Some(&own)), Promise::None);
    // The minimum level and the pin hold here too.
    let strict = SenderPolicy { minimum_level: Level::Dnssec, pin: None };
    assert_eq!(promise(&strict, &always(Mode::Enforce).insecure(), None, NOW), Promise::None);
    let strict = SenderPolicy { pin: Some(fingerprint(STRANGER)), ..SenderPolicy::default() };
    assert_eq!(promise(&strict, &always(Mode::Enforce).secure(), None, NOW), Promise::None);
}
