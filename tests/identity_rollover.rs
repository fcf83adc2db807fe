//! The identity key and its successors over virtual time: partners that remember or pin follow, nobody else is believed, and
//! nothing is left of a key that nobody remembers [R-life-10] to [R-life-14].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod identity_support;

use std::fs;

use identity_support::*;
use mta_seal::core::{IdentityKey, KeyId};
use mta_seal::gateway::PolicyError;
use mta_seal::gateway::rotation::{
    Ask, DeskError, Event, IdentityError, MAX_WEEKS, NotTaken, Roll,
};
use mta_seal::lifetime::{Concern, Proof, Step};
use mta_seal::policy::{
    Alarm, Authenticity, Decision, DeferReason, Level, LocalPolicy, Refusal, Source,
};
use mta_seal::records::{CLOCK_TOLERANCE, PolicyDraft, PolicyRequest, Rollover};
use mta_seal::store::keyring::Keyring;

fn refused(decision: &Decision) -> Refusal {
    match decision {
        Decision::Defer(DeferReason::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

fn rolled(alarms: &[Alarm]) -> bool {
    matches!(alarms, [Alarm::IdentityRolledOver { .. }])
}

/// [R-life-10], [R-life-11]
#[tokio::test]
async fn partners_follow_through_the_whole_rollover_and_then_the_former_key_dies() {
    let mut own = Publishing::new().await;
    own.pass(DAY).await;
    let old = own.identity();
    let pem = fs::read_to_string(own.file("identity.pem")).unwrap();
    let acquainted = Partner::acquainted(&own);
    let pinned = Partner::pinned(&own);
    // Those whose next message comes so many days after the rollover.
    let mut away: Vec<(u64, Partner)> = [0, 6, 8, 20, 31, 45, 58]
        .into_iter()
        .flat_map(|days| [(days, acquainted.clone()), (days, pinned.clone())])
        .collect();
    let start = own.now;
    let new = own.roll().await;
    assert_ne!(new, old);

    let mut texts = std::collections::BTreeSet::new();
    own.until(start + MAX_AGE, |own| {
        let policy = own.policy();
        texts.insert(policy.text().to_owned());
        // Each policy carries a statement of its own: one that names its serial, and does not end before it does.
        let former = acquainted.memory.as_ref().unwrap().identity();
        for now in [policy.record().serial, policy.record().expiry - 1] {
            assert!(policy.succeeds(former, None, now), "on day {}", own.day());
        }
        let due = away.extract_if(.., |(days, _)| own.now >= start + *days * DAY);
        for (_, mut partner) in due {
            let expected =
                if partner.local.pin.is_some() { Level::Pinned } else { Level::Remembered };
            let (level, alarms) = partner.follows(own);
            assert_eq!(level, expected);
            assert!(rolled(&alarms), "{alarms:?}");
            // From then on the new key is the remembered one.
            assert_eq!(partner.follows(own), (expected, Vec::new()));
        }
    })
    .await;
    assert!(away.is_empty());
    assert!(texts.len() >= 8, "signed anew each week: {}", texts.len());
    assert!(own.file("identity-former.pem").exists());

    // The first policy was seen everywhere one TTL after it was published; whoever saw the one before just then remembers it for so
    // long, and its clock may differ.
    let end = start + TTL + MAX_AGE + CLOCK_TOLERANCE;
    own.until(end - 1, |_| {}).await;
    assert!(own.policy().record().rollover.is_some());
    assert!(own.file("identity-former.pem").exists());
    own.until(end, |_| {}).await;
    assert!(!own.file("identity-former.pem").exists());
    assert_eq!(own.policy().record().rollover, None);
    assert_eq!(own.identity(), new);
    assert!(
        own.events.contains(&(end, Event::RolloverEnded { former: old, destroyed: true })),
        "{:?}",
        own.events.last()
    );
    let destroyed = fs::read_to_string(own.file("destroyed")).unwrap();
    assert!(destroyed.contains(&format!("{old} {end}")), "{destroyed}");
    let ended = own.desk().book.identity.succession.clone().unwrap();
    assert_eq!((ended.former, ended.proof, ended.ended), (old, Proof::Statement, Some(end)));
    // For the audit trail, once.
    let to_note = own.keeper.tend(own.now).await.unwrap().ended;
    let detail = format!("identity key {old} at {end}");
    assert!(to_note.iter().any(|(_, action)| action.detail == detail), "{to_note:?}");
    own.keeper.noted(to_note.into_iter().map(|(id, _)| id).collect(), own.now).await.unwrap();
    assert_eq!(own.keeper.tend(own.now).await.unwrap().ended, []);
    // Nothing of the key is left anywhere in the keyring.
    let secret = pem.lines().nth(1).unwrap();
    for entry in fs::read_dir(&own.keys).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn whoever_was_away_for_longer_learns_anew_or_waits_for_a_new_pin() {
    let mut own = Publishing::new().await;
    let mut acquainted = Partner::acquainted(&own);
    let mut pinned = Partner::pinned(&own);
    let old = own.identity();
    let new = own.roll().await;
    own.pass(MAX_AGE + 2 * DAY).await;
    assert_eq!(own.policy().record().rollover, None);
    // Its memory has ended: it is as with somebody new.
    let (level, alarms) = acquainted.follows(&own);
    assert_eq!((level, alarms), (Level::FirstUse, Vec::new()));
    // A pin has no end, but nothing shows any more that this key descends from the pinned one.
    let verdict = pinned.look(&own);
    assert_eq!(refused(&verdict.decision), Refusal::PinMismatch);
    assert_eq!(verdict.alarms, [Alarm::PinMismatch { pinned: old, seen: new }]);
    let why = DeferReason::Refused(Refusal::PinMismatch).to_string();
    assert!(why.contains("is not the pinned one"), "{why}");
    pinned.local.pin = Some(new);
    assert_eq!(pinned.follows(&own).0, Level::Pinned);
    // One that is pinned to the former key without any memory cannot follow even while the rollover lasts: there is no
    // succession without memory.
    let mut own = Publishing::new().await;
    let old = own.identity();
    own.roll().await;
    let local = LocalPolicy { pin: Some(old), ..LocalPolicy::default() };
    let mut stranger = Partner { local, memory: None };
    assert_eq!(refused(&stranger.look(&own).decision), Refusal::PinMismatch);
}

/// [R-rec-08]
#[tokio::test]
async fn a_statement_serves_one_policy_and_for_its_time() {
    let mut own = Publishing::new().await;
    let acquainted = Partner::acquainted(&own);
    let old = IdentityKey::from_pem(&fs::read_to_string(own.file("identity.pem")).unwrap());
    let old = old.unwrap();
    own.roll().await;
    own.pass(8 * DAY).await;
    let new = IdentityKey::from_pem(&fs::read_to_string(own.file("identity.pem")).unwrap());
    let new = new.unwrap();
    let first = own.policy();
    let sign = |change: &dyn Fn(&mut PolicyDraft)| {
        let mut draft = PolicyDraft::from(first.record());
        change(&mut draft);
        // `PolicyDraft::sign` refuses statements that prove nothing, so the record is put together by hand.
        let rollover = draft.rollover.take().unwrap();
        by_hand(&draft, &rollover, &new)
    };
    let look = |text: &str| {
        let mut partner = acquainted.clone();
        partner.look_at(text, &own, Authenticity::Insecure)
    };
    // As it was signed it is believed.
    let as_it_was = sign(&|_| {});
    assert!(rolled(&look(&as_it_was).alarms));
    // The statement under another serial, in a policy that is signed by the new key.
    let replayed = sign(&|draft| draft.serial += 1);
    // One that has expired, though the policy has not.
    let expired = sign(&|draft| {
        let (serial, expiry) = (draft.serial, own.now);
        draft.rollover = Rollover::sign(&old, &domain(), new.public(), serial, expiry);
    });
    // One of somebody else, and one about somebody else.
    let other = IdentityKey::generate(&mut rng());
    let by_other = sign(&|draft| {
        draft.rollover =
            Rollover::sign(&other, &domain(), new.public(), draft.serial, draft.expiry);
    });
    let about_other = sign(&|draft| {
        draft.rollover =
            Rollover::sign(&old, &domain(), other.public(), draft.serial, draft.expiry);
    });
    for text in [replayed, expired, by_other, about_other] {
        let verdict = look(&text);
        assert!(
            matches!(verdict.alarms[..], [Alarm::IdentityChanged { .. }]),
            "{:?}",
            verdict.alarms
        );
        // What is remembered seals meanwhile.
        assert!(matches!(verdict.decision, Decision::Seal { source: Source::Memory, .. }));
    }
}

/// A policy with any statement in it.
fn by_hand(draft: &PolicyDraft, rollover: &Rollover, identity: &IdentityKey) -> String {
    // A sound one in the same place, which another of the same length then replaces, and the signature after it.
    use base64::Engine;
    let plain = draft.sign(&domain(), identity).unwrap();
    let (text, _) = plain.rsplit_once("s=").unwrap();
    let text = format!("{text}r={rollover}; ");
    let mut input = Vec::new();
    let label = b"mta-seal/1 policy";
    input.push(u8::try_from(label.len()).unwrap());
    input.extend_from_slice(label);
    let name = mta_seal::records::policy_name(&domain());
    input.push(u8::try_from(name.len()).unwrap());
    input.extend_from_slice(name.as_bytes());
    input.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    input.extend_from_slice(text.as_bytes());
    let signature = base64::prelude::BASE64_STANDARD.encode(identity.sign(&input));
    format!("{text}s={signature}")
}

/// [R-life-10]
#[tokio::test]
async fn a_second_rollover_waits_and_a_missing_link_is_not_believed() {
    let mut own = Publishing::new().await;
    let saw_a = Partner::acquainted(&own);
    let mut saw_b = Partner::pinned(&own);
    let a = own.identity();
    let b = own.roll().await;
    saw_b.follows(&own);
    own.pass(30 * DAY).await;
    saw_b.follows(&own);

    let schedule = own.keeper.schedule;
    let again = |own: &Publishing| {
        own.desk().roll_identity(None, Roll::default(), &schedule, own.now, &mut rng())
    };
    let end = own.desk().book.rollover().unwrap().end().unwrap();
    let error = again(&own).unwrap_err();
    assert!(
        matches!(error, IdentityError::Rolling { until, known: true } if until == end),
        "{error}"
    );
    assert_eq!(own.identity(), b);
    own.until(end, |_| {}).await;
    let c = own.roll().await;
    assert!(c != a && c != b);

    // The pin follows through both.
    let (level, alarms) = saw_b.follows(&own);
    assert_eq!(level, Level::Pinned);
    assert!(rolled(&alarms));
    // Somebody to whom nothing but A was ever shown, and A just an hour ago, by whoever stands between.
    let mut saw_a = saw_a;
    let memory = saw_a.memory.as_mut().unwrap();
    memory.last_seen = own.now - HOUR;
    memory.enforce_until = Some(own.now + MAX_AGE);
    let verdict = saw_a.look(&own);
    assert_eq!(refused(&verdict.decision), Refusal::IdentityChanged);
    assert_eq!(verdict.alarms, [Alarm::IdentityChanged { remembered: a, seen: c }]);
}

#[tokio::test]
async fn a_rollover_that_nobody_has_seen_does_not_end() {
    let mut own = Publishing::new().await;
    let schedule = own.keeper.schedule;
    own.desk().roll_identity(None, Roll::default(), &schedule, own.now, &mut rng()).unwrap();
    // Nothing is published: the keeper is not asked. A year later both keys are still here, and no other may follow.
    own.now += 365 * DAY;
    let mut desk = own.desk();
    let error = desk.roll_identity(None, Roll::default(), &schedule, own.now, &mut rng());
    assert!(matches!(error.unwrap_err(), IdentityError::Rolling { known: false, .. }));
    let steps = desk.plan(&schedule, own.made(), own.now).steps;
    assert!(!steps.iter().any(|step| matches!(step, Step::EndRollover(_))), "{steps:?}");
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_rollover_is_mended_by_the_next_call() {
    for point in 0..3 {
        let mut own = Publishing::new().await;
        let mut partner = Partner::acquainted(&own);
        let old = own.identity();
        // As far as the crash has let it come.
        let mut keyring = Keyring::load(&own.keys).unwrap();
        let next = IdentityKey::generate(&mut rng());
        let id = next.fingerprint();
        keyring.add_next_identity(next).unwrap();
        if point == 1 {
            fs::rename(own.file("identity.pem"), own.file("identity-former.pem")).unwrap();
        }
        if point == 2 {
            keyring.roll_identity(own.now).unwrap();
        }
        drop(keyring);
        assert_eq!(own.roll().await, id, "point {point}");
        assert!(rolled(&partner.follows(&own).1));
        let keyring = Keyring::load(&own.keys).unwrap();
        assert_eq!(keyring.identity().unwrap().fingerprint(), id);
        assert_eq!(keyring.former_identity().unwrap().fingerprint(), old);
        assert!(keyring.next_identity().is_none());
        // And if nobody calls, what is signed anew by itself mends it.
        if point == 2 {
            let mut own = Publishing::new().await;
            let mut partner = Partner::acquainted(&own);
            let mut keyring = Keyring::load(&own.keys).unwrap();
            keyring.add_next_identity(IdentityKey::generate(&mut rng())).unwrap();
            keyring.roll_identity(own.now).unwrap();
            own.pass(8 * DAY).await;
            assert!(rolled(&partner.follows(&own).1));
        }
    }
}

#[tokio::test]
async fn a_crash_in_the_succession_of_an_announced_key_is_mended_too() {
    let mut own = Publishing::new().await;
    let schedule = own.keeper.schedule;
    let next = own.desk().prepare_identity(false, &schedule, own.now, &mut rng()).unwrap();
    own.tend().await;
    let mut partner = Partner::acquainted(&own);
    own.take_away("identity.pem");
    Keyring::load(&own.keys).unwrap().roll_identity(own.now).unwrap();
    assert_eq!(own.roll().await, next);
    assert!(rolled(&partner.follows(&own).1));
}

#[tokio::test]
async fn a_foreign_key_in_the_keyring_signs_nothing() {
    let mut own = Publishing::new().await;
    let (before, policy) = (own.identity(), own.zone.policy());
    let other = IdentityKey::generate(&mut rng());
    fs::write(own.file("identity.pem"), other.to_pem().unwrap().as_bytes()).unwrap();
    own.now += 8 * DAY;
    // Away for a week, then steady for an hour.
    own.tend().await;
    own.now += 2 * HOUR;
    let error = own.keeper.tend(own.now).await.unwrap_err();
    assert!(
        matches!(error, DeskError::OtherIdentity { named, here } if named == before && here == other.fingerprint()),
        "{error}"
    );
    assert_eq!(own.zone.policy(), policy);
}

#[tokio::test]
async fn a_lost_former_key_is_told_and_policies_go_on() {
    let mut own = Publishing::new().await;
    let old = own.identity();
    own.roll().await;
    own.take_away("identity-former.pem");
    own.now += 20 * HOUR;
    let concerns = own.tend().await.concerns;
    assert_eq!(concerns, [Concern::FormerMissing { former: old }]);
    for _ in 0..10 {
        own.now += 20 * HOUR;
        own.tend().await;
    }
    assert_eq!(own.policy().record().rollover, None);
}

/// The four ways back when the identity key is lost [R-life-12].
#[tokio::test]
async fn a_lost_identity_is_followed_by_the_announced_key() {
    let mut own = Publishing::new().await;
    let schedule = own.keeper.schedule;
    let mut early = Partner::acquainted(&own);
    let old = own.identity();
    let next = own.desk().prepare_identity(false, &schedule, own.now, &mut rng()).unwrap();
    own.tend().await;
    assert_eq!(own.policy().record().next_identity, Some(next));
    // It is taken away at once, and announced all the same by every policy that follows.
    let kept = own.take_away("identity-next.pem");
    own.pass(8 * DAY).await;
    assert_eq!(own.policy().record().next_identity, Some(next));
    let error = own.desk().prepare_identity(false, &schedule, own.now, &mut rng()).unwrap_err();
    assert!(matches!(error, IdentityError::Announced(id) if id == next));
    let (mut partner, mut pinned) = (Partner::acquainted(&own), Partner::pinned(&own));

    own.take_away("identity.pem");
    let roll = |own: &Publishing, key: Option<IdentityKey>, roll| {
        own.desk().roll_identity(key, roll, &schedule, own.now, &mut rng())
    };
    // Not to another by mistake.
    let stranger = || Some(IdentityKey::generate(&mut rng()));
    assert!(matches!(
        roll(&own, None, Roll::default()).unwrap_err(),
        IdentityError::OtherAnnounced(id) if id == next
    ));
    assert!(matches!(
        roll(&own, stranger(), Roll::default()).unwrap_err(),
        IdentityError::OtherAnnounced(_)
    ));
    let key = IdentityKey::from_pem(&kept).unwrap();
    assert_eq!(roll(&own, Some(key), Roll::default()).unwrap(), next);
    own.tend().await;
    assert_eq!(own.identity(), next);
    assert_eq!(own.policy().record().rollover, None);
    assert_eq!(own.policy().record().next_identity, None);
    assert!(rolled(&partner.follows(&own).1));
    let (level, alarms) = pinned.follows(&own);
    assert_eq!(level, Level::Pinned);
    assert!(rolled(&alarms));
    // Whoever has not looked since it was announced does not follow: mail is sealed to what is remembered, as long as there is
    // something, and then waits.
    let verdict = early.look(&own);
    assert!(matches!(verdict.decision, Decision::Seal { source: Source::Memory, .. }));
    assert_eq!(verdict.alarms, [Alarm::IdentityChanged { remembered: old, seen: next }]);
    own.pass(31 * DAY).await;
    let verdict = early.look(&own);
    assert_eq!(refused(&verdict.decision), Refusal::IdentityChanged);
    assert_eq!(own.desk().book.rollover().unwrap().proof, Proof::Announced);
}

/// A domain that has lost its identity key and announced none, a month later, when nothing to seal to is remembered any more.
async fn lost() -> (Publishing, Partner, KeyId, KeyId) {
    let mut own = Publishing::new().await;
    let schedule = own.keeper.schedule;
    let old = own.identity();
    let partner = Partner::acquainted(&own);
    own.take_away("identity.pem");
    let error = own.desk().roll_identity(None, Roll::default(), &schedule, own.now, &mut rng());
    assert!(matches!(error.unwrap_err(), IdentityError::NoStatement));
    let lost = Roll { lost: true, ..Roll::default() };
    let new = own.desk().roll_identity(None, lost, &schedule, own.now, &mut rng()).unwrap();
    own.tend().await;
    assert_eq!(own.desk().book.rollover().unwrap().proof, Proof::Nothing);
    own.pass(31 * DAY).await;
    (own, partner, old, new)
}

#[tokio::test]
async fn a_lost_identity_is_replaced_where_dnssec_vouches_for_another() {
    let (own, mut partner, old, new) = lost().await;
    let verdict = partner.look(&own);
    assert_eq!(refused(&verdict.decision), Refusal::IdentityChanged);
    assert_eq!(verdict.alarms, [Alarm::IdentityChanged { remembered: old, seen: new }]);
    let mut at_dnssec = partner.clone();
    let text = own.zone.policy();
    let verdict = partner.look_at(&text, &own, Authenticity::Secure);
    assert!(matches!(verdict.decision, Decision::Seal { level: Level::Dnssec, .. }));
    let level = Level::Dnssec;
    assert_eq!(verdict.alarms, [Alarm::IdentityReplaced { remembered: old, seen: new, level }]);
    // But not where the former key was itself learned by DNSSEC: then only time or a pin helps.
    at_dnssec.memory.as_mut().unwrap().level = Level::Dnssec;
    let verdict = at_dnssec.look_at(&text, &own, Authenticity::Secure);
    assert_eq!(refused(&verdict.decision), Refusal::IdentityChanged);
}

#[tokio::test]
async fn a_lost_identity_is_replaced_by_a_new_pin() {
    let (own, mut partner, old, new) = lost().await;
    assert_eq!(refused(&partner.look(&own).decision), Refusal::IdentityChanged);
    partner.local.pin = Some(new);
    let (level, alarms) = partner.follows(&own);
    assert_eq!(level, Level::Pinned);
    let replaced = Alarm::IdentityReplaced { remembered: old, seen: new, level };
    assert_eq!(alarms, [replaced]);
}

#[tokio::test]
async fn a_lost_identity_is_forgotten_in_the_end() {
    let (mut own, mut partner, ..) = lost().await;
    assert_eq!(refused(&partner.look(&own).decision), Refusal::IdentityChanged);
    // The memory of the former key is not prolonged by seeing another.
    own.until(NOW + MAX_AGE - HOUR, |_| {}).await;
    assert_eq!(refused(&partner.look(&own).decision), Refusal::IdentityChanged);
    own.until(NOW + MAX_AGE, |_| {}).await;
    assert_eq!(partner.follows(&own), (Level::FirstUse, Vec::new()));
}

/// What is asked of the identity key that is kept elsewhere, as it comes there.
fn request(own: &Publishing, weeks: u64, anew: bool) -> PolicyRequest {
    let schedule = own.keeper.schedule;
    let ask = Ask { weeks, anew };
    let request =
        own.desk().request(ask, |_| {}, &schedule, own.made(), own.now, &mut rng()).unwrap();
    if !request.drafts.is_empty() {
        assert_eq!(request.to_string().parse::<PolicyRequest>().unwrap(), request);
    }
    request
}

fn take(own: &Publishing, texts: &[String], replace: bool) -> Result<usize, IdentityError> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    own.desk().take(&texts, replace, own.now).map(|taken| taken.len())
}

/// [R-life-13]
#[tokio::test]
async fn keys_take_turns_under_policies_that_were_signed_ahead() {
    let mut own = Publishing::new().await;
    let mut partner = Partner::acquainted(&own);
    let key = IdentityKey::from_pem(&own.take_away("identity.pem")).unwrap();
    let mut listed = std::collections::BTreeSet::new();
    let mut signers = std::collections::BTreeSet::new();
    let mut before: Option<Vec<KeyId>> = None;
    // A request every six weeks.
    for _ in 0..3 {
        let asked = request(&own, MAX_WEEKS, false);
        assert!(!asked.drafts.is_empty());
        assert!(asked.drafts.iter().all(|draft| {
            draft.serial <= own.now + MAX_WEEKS * 7 * DAY && draft.expiry == draft.serial + 30 * DAY
        }));
        let signed = asked.sign(&key, None).unwrap();
        assert_eq!(take(&own, &signed, false).unwrap(), signed.len());
        // A second request wants nothing more.
        assert!(request(&own, MAX_WEEKS, false).drafts.is_empty());
        own.until(own.now + 42 * DAY, |own| {
            let policy = own.policy();
            let record = policy.record();
            // The present one is never old.
            assert!(own.now < record.serial + 8 * DAY, "on day {}", own.day());
            let (level, alarms) = partner.follows(own);
            assert_eq!((level, alarms), (Level::Remembered, Vec::new()));
            listed.extend(record.sealing_keys.iter().filter_map(|entry| entry.key_id()));
            let signing: Vec<KeyId> = record.signing_keys.iter().map(|key| key.key_id()).collect();
            // Whoever signs was listed in the policy before.
            if let Some(before) = &before {
                assert!(before.contains(&signing[0]), "on day {}", own.day());
            }
            signers.insert(signing[0]);
            before = Some(signing);
        })
        .await;
    }
    // Two suites, a week each; a month each.
    assert!((36..=38).contains(&listed.len()), "{}", listed.len());
    assert!((4..=5).contains(&signers.len()), "{}", signers.len());
    let gone = own.events.iter().filter(|(_, e)| matches!(e, Event::Destroyed(..))).count();
    assert!(gone > 20, "{gone}");
    // All that is left is what may be needed: those in use, made ahead, or with mail on its way.
    let keyring = Keyring::load(&own.keys).unwrap();
    assert!(keyring.sealing_keys().len() <= 2 * (8 + 8), "{}", keyring.sealing_keys().len());
    let open = keyring.sealing_keys().iter().map(|stored| stored.key.key_id());
    let open: Vec<KeyId> = open.collect();
    for life in &own.desk().book.keys {
        let over = life.listing.is_some_and(|listing| own.now > listing.opens + 8 * HOUR);
        assert!(!over || life.destroyed.is_some() || !open.contains(&life.id), "{life:?}");
    }
}

/// [R-life-14]
#[tokio::test]
async fn a_gateway_that_slept_takes_the_latest_policy_whose_keys_are_known() {
    let mut own = Publishing::new().await;
    let mut partner = Partner::acquainted(&own);
    let key = IdentityKey::from_pem(&own.take_away("identity.pem")).unwrap();
    let asked = request(&own, MAX_WEEKS, false);
    take(&own, &asked.sign(&key, None).unwrap(), false).unwrap();
    own.pass(DAY).await;
    let before = own.zone.policy();
    let signer = |draft: &PolicyDraft| draft.signing_keys[0].key_id();
    // In the fourth week another key signs, which the policy of the third lists for the first time.
    assert_ne!(signer(&asked.drafts[3]), signer(&asked.drafts[2]));
    assert_eq!(asked.drafts[2].signing_keys[1].key_id(), signer(&asked.drafts[3]));
    own.now = NOW + 29 * DAY;
    let tended = own.tend().await;
    assert!(tended.jump.is_some());
    assert_eq!(own.zone.policy(), before, "the clock may be wrong");
    own.now += HOUR;
    own.tend().await;
    assert_eq!(own.policy().record().serial, asked.drafts[2].serial);
    partner.follows(&own);
    own.now += HOUR;
    own.tend().await;
    assert_eq!(own.policy().record().serial, asked.drafts[3].serial);
    partner.follows(&own);
}

/// [R-life-14]
#[tokio::test]
async fn what_was_signed_elsewhere_is_verified_before_it_is_taken() {
    let own = Publishing::new().await;
    let asked = request_here(&own);
    assert!(matches!(asked, Err(IdentityError::SignsHere)));
    let key = IdentityKey::from_pem(&own.take_away("identity.pem")).unwrap();
    let asked = request(&own, 3, false);
    let signed = asked.sign(&key, None).unwrap();
    let why = |texts: &[String]| match take(&own, texts, false) {
        Err(IdentityError::NotTaken { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let other = IdentityKey::generate(&mut rng());
    assert_eq!(why(&asked.sign(&other, None).unwrap()), NotTaken::Identity);
    assert_eq!(why(&[signed[1].clone(), signed[0].clone()]), NotTaken::Serial);
    let change = |change: &dyn Fn(&mut PolicyDraft)| {
        let mut asked = asked.clone();
        asked.drafts.iter_mut().for_each(change);
        asked.sign(&key, None).unwrap()
    };
    assert_eq!(why(&change(&|draft| draft.serial = NOW - DAY)), NotTaken::Serial);
    let foreign = mta_seal::core::SigningKey::generate(&mut rng());
    let foreign = change(&|draft| draft.signing_keys = vec![foreign.public().clone()]);
    assert_eq!(why(&foreign), NotTaken::Signing);
    let sealing =
        mta_seal::core::SealingPrivateKey::generate(mta_seal::core::Suite::X25519, &mut rng())
            .unwrap();
    let entry = mta_seal::records::SealingEntry::of(sealing.public(), &"k1".parse().unwrap());
    let unknown = change(&|draft| draft.sealing_keys.push(entry.clone()));
    assert_eq!(why(&unknown), NotTaken::Sealing(sealing.key_id()));
    assert!(matches!(take(&own, &[], false), Err(IdentityError::Empty)));
    let broken = vec![signed[0].replace("m=enforce", "m=testing")];
    assert!(matches!(
        take(&own, &broken, false),
        Err(IdentityError::Desk(DeskError::Policy(PolicyError::NotVerified(_))))
    ));
    assert!(own.desk().ahead().is_empty(), "nothing of all that was taken");

    assert_eq!(take(&own, &signed, false).unwrap(), 3);
    // The same again is no mistake; others for the same time are.
    assert_eq!(take(&own, &signed, false).unwrap(), 3);
    let testing = change(&|draft| draft.outgoing_always = true);
    assert_eq!(why(&testing), NotTaken::Conflict);
    assert_eq!(take(&own, &testing, true).unwrap(), 3);
    assert!(own.desk().ahead().iter().all(|policy| policy.outgoing_always));
}

fn request_here(own: &Publishing) -> Result<PolicyRequest, IdentityError> {
    let (schedule, ask) = (own.keeper.schedule, Ask { weeks: 1, anew: false });
    own.desk().request(ask, |_| {}, &schedule, own.made(), own.now, &mut rng())
}

/// A rollover of an identity key that never comes near the gateway.
#[tokio::test]
async fn an_identity_key_that_is_kept_elsewhere_rolls_over_there() {
    let mut own = Publishing::new().await;
    let old_id = own.identity();
    let (mut partner, mut pinned) = (Partner::acquainted(&own), Partner::pinned(&own));
    let old = IdentityKey::from_pem(&own.take_away("identity.pem")).unwrap();
    let signed = request(&own, 4, false).sign(&old, None).unwrap();
    take(&own, &signed, false).unwrap();
    own.pass(10 * DAY).await;
    partner.follows(&own);
    pinned.follows(&own);

    let new = IdentityKey::generate(&mut rng());
    let asked = request(&own, 8, true);
    assert_eq!(asked.former, None);
    // The successor cannot sign for itself.
    let unproven = asked.sign(&new, None).unwrap();
    let error = take(&own, &unproven, true).unwrap_err();
    assert!(matches!(error, IdentityError::NotTaken { why: NotTaken::Identity, .. }), "{error}");
    let signed = asked.sign(&new, Some(&old)).unwrap();
    take(&own, &signed, true).unwrap();
    own.tend().await;
    own.pass(3 * DAY).await;
    assert_eq!(own.identity(), new.fingerprint());
    assert!(rolled(&partner.follows(&own).1));
    own.pass(30 * DAY).await;
    // The next request says that statements are still due.
    let asked = request(&own, 8, false);
    assert_eq!(asked.former, Some(old_id));
    take(&own, &asked.sign(&new, Some(&old)).unwrap(), false).unwrap();
    own.pass(20 * DAY).await;
    let (level, alarms) = pinned.follows(&own);
    assert_eq!(level, Level::Pinned);
    assert!(rolled(&alarms));
    // What was asked for with the former key may have been signed by it, so that it is needed until that would have expired.
    let end = own.desk().book.rollover().unwrap().end().unwrap();
    assert!(end >= own.now + 12 * DAY);
    own.until(end, |_| {}).await;
    let over = own.events.iter().any(|(_, event)| {
        matches!(event, Event::RolloverEnded { former, destroyed: false } if *former == old_id)
    });
    assert!(over, "{:?}", own.desk().book.identity);
    assert_eq!(request(&own, 8, false).former, None);
}
