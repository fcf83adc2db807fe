//! Whose signing keys a sealed message is verified with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod policy_support;

use mta_seal::core::VerifyingKey;
use mta_seal::policy::{
    Alarm, Authenticity, DeferReason, Denial, Hold, Level, LookupFailure, Memory, MemoryUpdate,
    Outcome, Promise, Refusal, RefuseReason, SenderDecision, SenderPolicy, SenderVerdict, Source,
    authenticate_sender, authenticate_sender_damaged, promise, promise_damaged,
};
use mta_seal::records::Mode;
use policy_support::draft::{Evidence, Table, failure_row};
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

/// [R-dec-11]: the memory of senders lasts as that of destinations does.
#[test]
fn a_sender_is_remembered_for_good_once_dnssec_vouches() {
    let hold = |outcome: &Outcome| match run(outcome, None).memory {
        MemoryUpdate::Store(memory) => memory.hold,
        MemoryUpdate::Keep => panic!("not remembered"),
    };
    assert_eq!(hold(&policy().secure()), Hold::Firm);
    let growing = Hold::Growing { seconds: 2 * DAY, counted_at: NOW };
    assert_eq!(hold(&policy().insecure()), growing);
}

#[test]
fn without_memory_failures_and_denials_wait() {
    for failure in LookupFailure::ALL {
        assert_eq!(
            run(&Outcome::Failed(failure), None).decision,
            SenderDecision::Defer(DeferReason::Lookup(failure))
        );
    }
    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        assert_eq!(
            run(&denial(authenticity), None).decision,
            SenderDecision::Defer(DeferReason::UnknownSender)
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
        SenderDecision::Defer(DeferReason::UnknownSender)
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
        assert_eq!(promises(&always(mode).insecure(), None), Promise::Weak);
        assert_eq!(promises(&always(mode).secure(), None), Promise::Published);
        let known = memory(Mode::Enforce);
        assert_eq!(promises(&always(mode).insecure(), Some(&known)), Promise::Published);
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
        assert_eq!(promises(outcome, Some(&own)), Promise::Weak, "{outcome:?}");
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

/// What is known of a sender, and what the draft calls it.
struct Known {
    /// N, M or X.
    letter: &'static str,
    memory: Option<Memory>,
}

fn known() -> Vec<Known> {
    let keyless = |mode| {
        let policy = remembered_policy(Mode::None).mode(mode).with(|d| d.signing_keys.clear());
        Memory { policy: policy.sign(), key: None, ..memory(mode) }
    };
    let expired = |mode| {
        let policy = remembered_policy(mode).with(|d| d.expiry = NOW);
        Memory { policy: policy.sign(), ..memory(mode) }
    };
    let mut all = vec![Known { letter: "N", memory: None }];
    for (letter, memory) in [
        ("M", memory(Mode::Enforce)),
        ("M", Memory { key: None, ..memory(Mode::Testing) }),
        ("M", memory(Mode::None)),
        ("X", keyless(Mode::None)),
        ("X", expired(Mode::Enforce)),
        ("X", expired(Mode::Testing)),
    ] {
        for (level, hold, pinned_root) in [
            (Level::FirstUse, memory.hold, None),
            (Level::Remembered, Hold::Firm, Some(fingerprint(ROOT))),
            (Level::Dnssec, Hold::Firm, None),
        ] {
            let memory = Memory { level, hold, pinned_root, ..memory.clone() };
            all.push(Known { letter, memory: Some(memory) });
        }
    }
    let lapsed = Memory { last_seen: NOW - 2 * DAY, enforce_until: None, ..memory(Mode::Testing) };
    all.push(Known { letter: "N", memory: Some(lapsed) });
    all
}

/// What is found, as the draft describes it.
struct Case {
    outcome: Outcome,
    secure: bool,
    /// Whether it is a policy in force but for its identity key.
    judged: bool,
    /// The row, if the policy is believed or none is found.
    row: &'static str,
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        let secure = authenticity == Authenticity::Secure;
        let mut add = |outcome, judged, row| all.push(Case { outcome, secure, judged, row });
        for (denial, rows) in [
            (Denial::NxDomain, ["NXDOMAIN, secure", "NXDOMAIN, insecure"]),
            (Denial::NoData, ["NODATA, secure", "NODATA, insecure"]),
        ] {
            let outcome = Outcome::NoPolicy { denial, authenticity };
            add(outcome, false, rows[usize::from(!secure)]);
        }
        for mode in [Mode::Enforce, Mode::Testing, Mode::None] {
            for identity in [OWN, SUCCESSOR, ANNOUNCED, STRANGER, ROOT] {
                let plain = policy().mode(mode).by(identity);
                let plain = if identity == SUCCESSOR { plain.succeeding(OWN) } else { plain };
                add(plain.found(authenticity), true, "signing keys");
                if mode == Mode::None {
                    let keyless = plain.with(|d| d.signing_keys.clear());
                    add(keyless.found(authenticity), true, "no signing key");
                }
            }
            // [R-dec-10]: the very text that is remembered.
            let same = remembered_policy(mode).found(authenticity);
            add(same, true, "signing keys");
            let lower = policy().mode(mode).with(|d| d.serial = NOW - 1001);
            add(lower.found(authenticity), true, "lower serial");
            let withdrawn = mode == Mode::None;
            let row = |row| if withdrawn { "none, not in its time" } else { row };
            let expired = policy().mode(mode).with(|d| d.expiry = NOW);
            add(expired.found(authenticity), false, row("expired"));
            let ahead = policy().mode(mode).with(|d| d.serial = NOW + HOUR + 1);
            add(ahead.found(authenticity), false, row("not yet valid"));
        }
    }
    for failure in LookupFailure::ALL {
        let row = failure_row(failure);
        all.push(Case { outcome: Outcome::Failed(failure), secure: false, judged: false, row });
    }
    all
}

/// The tables of the draft that bear upon a sender.
struct Tables {
    sender: Table,
    evidence: Evidence,
    minimum: Table,
}

impl Tables {
    /// What they say: what becomes of the message, and the level of the keys.
    fn expect(
        &self,
        case: &Case,
        known: &Known,
        minimum: Level,
        pin: Option<u8>,
    ) -> (&str, Option<Level>) {
        let memory = known.memory.as_ref().filter(|_| known.letter != "N");
        let found = match &case.outcome {
            Outcome::Found(found) if case.judged => Some(&found.policy),
            _ => None,
        };
        let believed = found.map(|policy| self.evidence.found(policy, case.secure, memory, pin));
        let row = match (believed, case.secure) {
            // Only with a pin; there is no row for it.
            (Some(None), _) if memory.is_none() => return ("defer", None),
            (Some(None), true) => "other identity, secure",
            (Some(None), false) => "other identity, insecure",
            // There is nothing to be lower than.
            _ if case.row == "lower serial" && memory.is_none() => "signing keys",
            _ => case.row,
        };
        let mut cell = self.sender.cell(row, known.letter);
        if let ("memory", Some(pin)) = (cell, pin) {
            cell = self.evidence.with_pin("cell memory", memory, pin);
        }
        let kept = memory.map(|memory| self.evidence.remembered(case.secure, memory, pin));
        let level = match cell {
            "memory" => kept,
            "verify" | "refuse" => believed.flatten(),
            _ => return (cell, None),
        };
        let by = format!("policy at {}", level.unwrap());
        if self.minimum.cell(&by, minimum.as_str()) != "stands" {
            return ("defer", None);
        }
        (cell, level.filter(|_| cell != "refuse"))
    }
}

#[test]
fn a_sender_is_authenticated_as_the_tables_say() {
    let tables = Tables {
        sender: Table::read("sender-table"),
        evidence: Evidence::read(),
        minimum: Table::read("minimum-table"),
    };
    let known = known();
    for case in &cases() {
        for known in &known {
            for pin in [None, Some(OWN), Some(STRANGER), Some(SUCCESSOR), Some(ROOT)] {
                for minimum_level in Level::ALL {
                    let local = SenderPolicy { minimum_level, pin: pin.map(fingerprint) };
                    let memory = known.memory.as_ref();
                    let verdict = authenticate_sender(&local, &case.outcome, memory, NOW);
                    let (cell, level) = tables.expect(case, known, minimum_level, pin);
                    let described = format!(
                        "{}, {}, pin {pin:?}, {minimum_level}: {verdict:?}, memory {memory:?}",
                        case.row, known.letter
                    );
                    let got = match &verdict.decision {
                        SenderDecision::Verify { source: Source::Dns, .. } => "verify",
                        SenderDecision::Verify { source: Source::Memory, .. } => "memory",
                        SenderDecision::Defer(_) => "defer",
                        SenderDecision::Refuse(_) => "refuse",
                    };
                    assert_eq!(got, cell, "{described}");
                    if let SenderDecision::Verify { level: verified, policy, keys, source } =
                        &verdict.decision
                    {
                        assert_eq!(Some(*verified), level, "{described}");
                        // [R-dec-23]
                        assert!(*verified >= minimum_level, "{described}");
                        let theirs: Vec<VerifyingKey> = policy.record().signing_keys.clone();
                        assert_eq!(keys, &theirs, "{described}");
                        let of = match (source, &case.outcome) {
                            (Source::Dns, Outcome::Found(found)) => &found.policy,
                            _ => &memory.unwrap().policy,
                        };
                        assert_eq!(&**policy, of, "{described}");
                    }
                    if let MemoryUpdate::Store(after) = &verdict.memory {
                        let Outcome::Found(found) = &case.outcome else { panic!("{described}") };
                        assert_eq!(after.policy, found.policy, "{described}");
                    }
                }
            }
        }
    }
    tables.sender.every_cell_was_tried();
}

/// [R-dec-19]
#[test]
fn what_nothing_vouches_for_does_not_count_where_memory_is_damaged() {
    let free = SenderPolicy::default();
    let pinned = SenderPolicy { pin: Some(fingerprint(OWN)), ..free };
    let verdict = authenticate_sender_damaged(&free, &policy().insecure(), NOW);
    assert_eq!(verdict.decision, SenderDecision::Defer(DeferReason::MemoryDamaged));
    assert_eq!((verdict.memory, verdict.alarms), (MemoryUpdate::Keep, vec![Alarm::MemoryDamaged]));
    let failed = Outcome::Failed(LookupFailure::Timeout);
    let verdict = authenticate_sender_damaged(&free, &failed, NOW);
    let waits = SenderDecision::Defer(DeferReason::Lookup(LookupFailure::Timeout));
    assert_eq!(verdict.decision, waits);
    for (local, outcome) in [(free, policy().secure()), (pinned, policy().insecure())] {
        let verdict = authenticate_sender_damaged(&local, &outcome, NOW);
        verified(&verdict);
        assert!(matches!(verdict.memory, MemoryUpdate::Store(_)));
        assert_eq!(verdict.alarms, [Alarm::MemoryDamaged]);
    }
    let promises = policy().with(|draft| draft.outgoing_always = true);
    assert_eq!(promise_damaged(&free, &promises.secure(), NOW), Promise::Published);
    assert_eq!(promise_damaged(&free, &policy().secure(), NOW), Promise::Weak);
}
