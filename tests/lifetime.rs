//! How the keys of a domain rotate, in virtual time: a real keyring, a keeper, and a zone that shows records when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lifetime_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifetime_support::party::{entry, rng};
use lifetime_support::zone::Lag;
use lifetime_support::{Chance, DAY, HOUR, Party, START, Zone, runtime};
use mta_seal::core::{Domain, KeyId, Suite};
use mta_seal::gateway::rotation::{Event, SightingFuture, Sightings, Tended};
use mta_seal::lifetime::{Concern, Jump, Kind, SETTLING, State};
use mta_seal::records::{KeyRecord, PolicyDraft, SignedPolicy, VerifiedPolicy, key_record_name};
use mta_seal::store::keyring::Find;

const XWING: Kind = Kind::Sealing(Suite::XWing);
const X25519: Kind = Kind::Sealing(Suite::X25519);
const TTL: u64 = 3_600;

fn quiet() -> (Party, Zone) {
    let zone = Zone::new(2, TTL, 900, Lag::None, START, Chance::new(1));
    (Party::new("one.example", &zone, START), zone)
}

type Visits = Vec<(u64, Tended)>;

/// When events of a kind were, in hours after the start.
fn hours(visits: &Visits, of: impl Fn(&Event) -> bool) -> Vec<u64> {
    let events = visits.iter().flat_map(|(at, t)| t.events.iter().map(move |e| (at, e)));
    events.filter(|(_, event)| of(event)).map(|(at, _)| (at - START) / HOUR).collect()
}

fn concerns(visits: &Visits) -> Vec<&Concern> {
    visits.iter().flat_map(|(_, tended)| &tended.concerns).collect()
}

fn made(kind: Kind) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Made(k, _) if *k == kind)
}

fn destroyed(kind: Kind) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Destroyed(k, _) if *k == kind)
}

fn signed(event: &Event) -> bool {
    matches!(event, Event::Signed { .. })
}

/// The name and text of a key's record.
fn record_of(party: &Party, id: &KeyId) -> (String, String) {
    let keyring = party.keyring();
    let stored = keyring.sealing_keys().iter().find(|s| s.key.key_id() == *id).unwrap();
    let name = key_record_name(&stored.selector.parse().unwrap(), &party.keeper.at);
    (name, KeyRecord::new(stored.key.public().clone()).to_string())
}

fn only_made(visits: &Visits, kind: Kind) -> KeyId {
    let mut ids = visits.iter().flat_map(|(_, t)| &t.events).filter_map(|event| match event {
        Event::Made(k, id) if *k == kind => Some(*id),
        _ => None,
    });
    let id = ids.next().expect("a key was made");
    assert_eq!(ids.next(), None);
    id
}

/// [R-life-02] [R-life-04]
#[test]
fn a_quiet_month_goes_by_the_calendar() {
    runtime().block_on(async {
        let (party, _) = quiet();
        let first = [Suite::XWing, Suite::X25519].map(|suite| party.listed(suite).unwrap());
        let visits = party.pass(START, START + 60 * DAY).await;
        // Made two days before its time, listed on the seventh.
        for kind in [XWING, X25519] {
            let made = hours(&visits, made(kind));
            assert_eq!(made[..4], [5 * 24, 12 * 24, 19 * 24, 26 * 24], "{kind}");
        }
        assert_eq!(hours(&visits, made(Kind::Signing)), [28 * 24, 58 * 24]);
        // Each week for the new sealing keys; and to list a signing key two days before it signs, and then to let it.
        assert_eq!(
            hours(&visits, signed)[..8],
            [7 * 24, 14 * 24, 21 * 24, 28 * 24, 30 * 24, 35 * 24, 42 * 24, 49 * 24]
        );
        // The first keys were listed last by the policy of the first day, which expires after 30: window and tolerance later they go.
        for (kind, id) in [(XWING, first[0]), (X25519, first[1])] {
            let ends = hours(&visits, destroyed(kind));
            assert_eq!(ends[..2], [44 * 24 + 1, 51 * 24 + 1], "{kind}");
            assert!(matches!(party.keyring().find(&id), Find::Destroyed));
        }
        // The private part of the signing key has no use once another signs.
        assert_eq!(hours(&visits, destroyed(Kind::Signing)), [30 * 24 + 1]);
        let late: Vec<_> = concerns(&visits);
        assert!(late.is_empty(), "{late:?}");
    });
}

/// [R-life-06]
#[test]
fn a_former_signing_key_stays_listed_for_thirty_days() {
    runtime().block_on(async {
        let (party, _) = quiet();
        let first = party.signs();
        let lists = |party: &Party| {
            let policy = party.policy();
            policy.record().signing_keys.iter().any(|key| key.key_id() == first)
        };
        party.pass(START, START + 31 * DAY).await;
        assert_ne!(party.signs(), first);
        assert!(lists(&party));
        party.pass(START + 31 * DAY, START + 60 * DAY - HOUR).await;
        assert!(lists(&party));
        party.pass(START + 60 * DAY, START + 68 * DAY).await;
        assert!(!lists(&party));
    });
}

/// [R-life-02]: what was seen and has vanished before it was seen for long enough has to be seen anew.
#[test]
fn a_key_whose_record_vanishes_is_not_used() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let old = party.listed(Suite::XWing).unwrap();
        let visits = party.pass(START, START + 5 * DAY + 2 * HOUR).await;
        let new = only_made(&visits, XWING);
        let (name, value) = record_of(&party, &new);
        // Seen by all, and gone again: somebody has put an old zone back, and publication is refused.
        zone.refuse_until(START + 9 * DAY);
        zone.set(&name, &value, false);
        party.wait(START + 5 * DAY + 3 * HOUR, START + 8 * DAY).await;
        assert_eq!(party.listed(Suite::XWing), Some(old));
        party.pass(START + 8 * DAY, START + 10 * DAY).await;
        assert_eq!(party.listed(Suite::XWing), Some(new));
    });
}

/// [R-life-03]
#[test]
fn a_record_stands_until_the_last_policy_that_listed_its_key_has_expired() {
    runtime().block_on(async {
        let (party, _) = quiet();
        let first = party.listed(Suite::XWing).unwrap();
        let (name, value) = record_of(&party, &first);
        let stands = |now| party.desk(now).book.stand(&name, &value).is_some();
        party.pass(START, START + 30 * DAY - HOUR).await;
        assert_ne!(party.listed(Suite::XWing).unwrap(), first);
        assert!(stands(START + 30 * DAY - HOUR));
        party.pass(START + 30 * DAY - HOUR, START + 31 * DAY).await;
        assert!(!stands(START + 31 * DAY));
    });
}

/// [R-life-05]
#[test]
fn a_key_whose_record_one_server_lacks_waits_and_the_old_one_stays() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let old = party.listed(Suite::XWing).unwrap();
        party.pass(START, START + 4 * DAY).await;
        zone.stale_until(1, START + 9 * DAY);
        let visits = party.wait(START + 4 * DAY + HOUR, START + 9 * DAY - 60).await;
        assert_eq!(party.listed(Suite::XWing), Some(old), "still the old one");
        let due = START + 7 * DAY;
        assert!(concerns(&visits).contains(&&Concern::Late { kind: XWING, due }));
        assert!(concerns(&visits).iter().any(|c| matches!(c, Concern::Unpublished { .. })));
        // The other suite needs no record of its own, and goes its way.
        assert!(hours(&visits, signed).contains(&(7 * 24)));
        let new = only_made(&visits, XWING);
        // Seen everywhere, for as long as caches may deny it: then it is listed, and not before.
        let visits = party.pass(START + 9 * DAY, START + 10 * DAY).await;
        assert_eq!(party.listed(Suite::XWing), Some(new));
        let (name, value) = record_of(&party, &new);
        let shown = zone.shown(&name, &value).unwrap();
        let listed = visits.iter().find(|(_, t)| {
            t.events
                .iter()
                .any(|e| matches!(e, Event::Signed { sealing, .. } if sealing.contains(&new)))
        });
        assert!(listed.unwrap().0 >= shown + TTL);
        assert!(matches!(party.keyring().find(&old), Find::Found(_)));
    });
}

#[test]
fn without_publication_everything_stays_as_it_is_and_loudly() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let old = party.listed(Suite::XWing).unwrap();
        party.pass(START, START + DAY).await;
        zone.refuse_until(START + 25 * DAY);
        let visits = party.wait(START + DAY + HOUR, START + 25 * DAY - 60).await;
        assert_eq!(party.listed(Suite::XWing), Some(old));
        assert!(visits.iter().any(|(_, tended)| tended.refused.is_some()));
        assert!(concerns(&visits).iter().any(|c| matches!(c, Concern::Late { kind: XWING, .. })));
        // Policies are signed on, so that there is one as soon as publication works again.
        assert!(party.policy().record().expiry > START + 50 * DAY);
        party.pass(START + 25 * DAY, START + 26 * DAY).await;
        assert_ne!(party.listed(Suite::XWing), Some(old));
        let text = party.policy().text().to_owned();
        assert!(zone.records(&party.policy_name()).iter().all(|r| *r == [text.clone()]));
    });
}

#[test]
fn by_hand_the_operator_is_told_what_to_publish() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        zone.by_hand(true);
        zone.set(&party.policy_name(), party.policy().text(), true);
        let (name, value) = record_of(&party, &party.listed(Suite::XWing).unwrap());
        zone.set(&name, &value, true);
        let visits = party.pass(START, START + 6 * DAY).await;
        let new = only_made(&visits, XWING);
        let (name, value) = record_of(&party, &new);
        let asked = &visits.last().unwrap().1.by_hand;
        assert!(
            asked.iter().any(|change| change.name == name && change.value == value),
            "{asked:?}"
        );
        zone.set(&name, &value, true);
        party.pass(START + 6 * DAY + HOUR, START + 7 * DAY + HOUR).await;
        assert_eq!(party.listed(Suite::XWing), Some(new));
    });
}

/// [R-life-07]: also if a crash, or a clock that settles, comes between the command and the deed.
#[test]
fn a_key_that_is_to_be_destroyed_at_once_is_destroyed_whoever_comes_next() {
    runtime().block_on(async {
        let (party, _) = quiet();
        let now = START + DAY;
        party.pass(START, now).await;
        let bad = party.listed(Suite::X25519).unwrap();
        party.revoke(&[bad], true, now);
        let visits = party.pass(now + 60, now + HOUR).await;
        let events: Vec<&Event> = visits.iter().flat_map(|(_, tended)| &tended.events).collect();
        let destroyed = events.iter().position(|e| **e == Event::Destroyed(X25519, bad)).unwrap();
        // The policy does without it before.
        assert!(events.iter().position(|e| signed(e)).unwrap() < destroyed, "{events:?}");
        assert_ne!(party.listed(Suite::X25519), Some(bad));
    });
}

/// [R-life-07]
#[test]
fn a_revoked_key_leaves_the_policy_at_once() {
    runtime().block_on(async {
        for suite in Suite::ALL {
            let (party, _) = quiet();
            party.pass(START, START + DAY).await;
            let now = START + DAY + HOUR;
            let old = party.listed(suite).unwrap();
            party.revoke(&[old], false, now);
            party.tend(now).await;
            assert_ne!(party.listed(suite), Some(old), "{suite:?}");
            let policy = party.policy();
            assert!(!policy.record().sealing_keys.is_empty(), "the other suite is always there");
            // What is under way to it can still be opened.
            assert!(matches!(party.keyring().find(&old), Find::Found(_)));
            party.pass(now + 60, now + DAY).await;
            assert!(party.listed(suite).is_some_and(|id| id != old));
        }
    });
}

/// [R-life-07]: mail to what is listed bounces anyhow.
#[test]
fn where_all_sealing_keys_are_destroyed_at_once_another_is_listed_at_once() {
    runtime().block_on(async {
        let (party, _) = quiet();
        party.pass(START, START + DAY).await;
        let now = START + DAY + HOUR;
        let old = Suite::ALL.map(|suite| party.listed(suite).unwrap());
        party.revoke(&old, true, now);
        party.tend(now).await;
        assert!(party.listed(Suite::X25519).is_some_and(|id| !old.contains(&id)));
        assert!(old.iter().all(|id| matches!(party.keyring().find(id), Find::Destroyed)));
    });
}

/// [R-life-02] [R-life-07]: also the last one stays listed until the gateway has another.
#[test]
fn a_domain_whose_sealing_keys_are_all_revoked_has_another_a_minute_later() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        party.pass(START, START + DAY).await;
        let now = START + DAY + HOUR;
        let old = Suite::ALL.map(|suite| party.listed(suite).unwrap());
        party.revoke(&old, false, now);
        zone.advance(now);
        let tended = party.tend(now).await;
        assert!(!tended.events.iter().any(signed), "{:?}", tended.events);
        assert!(tended.next <= now + 60);
        zone.advance(now + 60);
        party.tend(now + 60).await;
        let listed = party.policy().record().sealing_keys.iter().filter_map(|e| e.key_id()).count();
        assert_eq!(listed, 1);
        assert!(party.listed(Suite::X25519).is_some_and(|id| !old.contains(&id)));
        party.pass(now + 61, now + DAY).await;
        assert!(party.listed(Suite::XWing).is_some_and(|id| !old.contains(&id)));
    });
}

#[test]
fn a_revoked_signing_key_is_succeeded_in_the_same_visit() {
    runtime().block_on(async {
        let (party, _) = quiet();
        party.pass(START, START + 35 * DAY).await;
        let now = START + 35 * DAY + HOUR;
        let old = party.signs();
        party.revoke(&[old], false, now);
        let tended = party.tend(now).await;
        let policy = party.policy();
        let listed: Vec<KeyId> = policy.record().signing_keys.iter().map(|k| k.key_id()).collect();
        assert!(!listed.contains(&old));
        // What signs is here, and no policy came in between under which nothing could.
        let keyring = party.keyring();
        assert!(keyring.signing_keys().iter().any(|key| key.key_id() == listed[0]));
        assert_eq!(tended.events.iter().filter(|event| signed(event)).count(), 1);
        assert!(tended.events.contains(&Event::Destroyed(Kind::Signing, old)));
    });
}

#[test]
fn in_a_hurry_other_keys_come_as_soon_as_they_are_seen() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let old = [Suite::XWing, Suite::X25519].map(|suite| party.listed(suite).unwrap());
        let signer = party.signs();
        party.pass(START, START + DAY).await;
        let now = START + DAY + HOUR;
        let mut desk = party.desk(now);
        desk.book.hurry = Some(now);
        desk.save(now).unwrap();
        drop(desk);
        zone.advance(now);
        let tended = party.tend(now).await;
        assert_eq!(
            party.listed(Suite::X25519),
            Some(old[1]),
            "the gateway has not got the new one"
        );
        assert!(tended.next <= now + 60);
        party.tend(now + 59).await;
        assert_eq!(party.listed(Suite::X25519), Some(old[1]));
        party.tend(now + 60).await;
        assert_ne!(party.listed(Suite::X25519), Some(old[1]), "needs no record");
        assert_eq!(party.listed(Suite::XWing), Some(old[0]), "its record is not seen yet");
        party.pass(now + 61, now + TTL + 600).await;
        assert_ne!(party.listed(Suite::XWing), Some(old[0]));
        party.pass(now + TTL + 601, now + DAY).await;
        assert_ne!(party.signs(), signer);
        // Once.
        let new = party.listed(Suite::XWing);
        party.pass(now + DAY, now + 6 * DAY).await;
        assert_eq!(party.listed(Suite::XWing), new);
    });
}

/// [R-life-09]
#[test]
fn after_a_leap_nothing_is_signed_or_destroyed_for_an_hour() {
    runtime().block_on(async {
        let (party, _) = quiet();
        party.pass(START, START + 20 * DAY).await;
        let keys = party.keyring().sealing_keys().len();
        // Two months ahead: everything would be due.
        let (from, to) = (party.book().seen, START + 80 * DAY);
        let tended = party.tend(to).await;
        assert_eq!(tended.jump, Some(Jump { from, to }));
        assert!(tended.concerns.contains(&Concern::Clock { until: to + SETTLING }));
        assert!(!tended.events.iter().any(|e| signed(e) || matches!(e, Event::Destroyed(..))));
        // Put right within the hour: as if nothing had been.
        let now = START + 20 * DAY + 2 * HOUR;
        let tended = party.tend(now).await;
        assert!(tended.jump.is_some());
        assert_eq!(party.keyring().sealing_keys().len(), keys);
        let visits = party.pass(now + 60, START + 30 * DAY).await;
        // A successor of the signing key was made meanwhile, and is listed with the others; nothing else comes before its time.
        let signed = hours(&visits, signed);
        assert_eq!(signed, [20 * 24 + 3, 21 * 24, 28 * 24, 30 * 24]);
        let worried = concerns(&visits);
        assert!(worried.iter().all(|c| matches!(c, Concern::Clock { .. })), "{worried:?}");
    });
}

#[test]
fn a_clock_that_was_wrong_for_long_is_recovered_from() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        party.pass(START, START + 4 * DAY).await;
        // For days it is two months later, and keys are made and policies signed.
        let wrong = START + 64 * DAY;
        for hour in 0..72 {
            party.tend(wrong + hour * HOUR).await;
        }
        assert!(party.policy().record().serial > START + 60 * DAY);
        let now = START + 7 * DAY;
        zone.advance(now);
        assert!(party.tend(now).await.jump.is_some());
        party.pass(now + 60, now + 2 * HOUR).await;
        // What nobody believes is replaced as soon as the clock is steady.
        let serial = party.policy().record().serial;
        assert!((now..now + 2 * HOUR).contains(&serial), "{serial}");
        let visits = party.pass(now + 2 * HOUR + 60, now + 16 * DAY).await;
        assert!(hours(&visits, made(XWING)).len() >= 2, "keys rotate by the right clock");
        let listed = party.listed(Suite::XWing).unwrap();
        assert!(party.book().life(&listed).unwrap().from.unwrap() >= now);
    });
}

#[test]
fn a_month_off_ends_with_a_new_policy_after_an_hour() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        party.pass(START, START + 10 * DAY).await;
        let listed = party.listed(Suite::XWing).unwrap();
        let now = START + 45 * DAY;
        assert!(now > party.policy().record().expiry);
        zone.advance(now);
        let tended = party.tend(now).await;
        assert!(tended.jump.is_some());
        assert!(matches!(party.keyring().find(&listed), Find::Found(_)));
        let visits = party.pass(now + 1, now + SETTLING).await;
        assert!(visits.last().unwrap().1.events.iter().any(signed));
        assert!(party.policy().record().expiry > now + 29 * DAY);
        // Its successor was made on waking, and is listed as soon as it is seen.
        party.pass(now + SETTLING + 1, now + DAY).await;
        assert_ne!(party.listed(Suite::XWing), Some(listed));
    });
}

/// Policies signed elsewhere: for each week its keys, made here.
fn sign_ahead(party: &Party, now: u64, weeks: &[u64]) -> Vec<VerifiedPolicy> {
    let identity_pem = std::fs::read_to_string(party.keys().join("identity.pem")).unwrap();
    let identity = mta_seal::core::IdentityKey::from_pem(&identity_pem).unwrap();
    let mut desk = party.desk(now);
    let mut policies = Vec::new();
    for week in weeks {
        let serial = START + week * 7 * DAY;
        let mut draft = PolicyDraft::from(desk.policy().record());
        (draft.serial, draft.expiry) = (serial, serial + 21 * DAY);
        draft.sealing_keys = [Suite::XWing, Suite::X25519]
            .map(|suite| {
                let id =
                    desk.make(Kind::Sealing(suite), None, party.made(), now, &mut rng()).unwrap();
                let stored = desk.keyring.sealing_keys().iter().find(|s| s.key.key_id() == id);
                entry(stored.unwrap())
            })
            .into();
        let text = draft.sign(&party.domain, &identity).unwrap();
        policies.push(SignedPolicy::parse(text.as_bytes()).unwrap().verify(&party.domain).unwrap());
    }
    desk.set_ahead(policies.clone(), now).unwrap();
    drop(desk);
    std::fs::remove_file(party.keys().join("identity.pem")).unwrap();
    policies
}

#[test]
fn policies_signed_elsewhere_take_their_turn() {
    runtime().block_on(async {
        let (party, _) = quiet();
        party.pass(START, START + HOUR).await;
        let policies = sign_ahead(&party, START + HOUR + 60, &[1, 2, 3]);
        let visits = party.pass(START + 2 * HOUR, START + 22 * DAY).await;
        let installed = hours(&visits, |event| matches!(event, Event::Installed(_)));
        assert_eq!(installed, [7 * 24, 14 * 24, 21 * 24]);
        assert_eq!(party.policy().text(), policies[2].text());
        assert_eq!(party.keyring().ahead().count(), 0);
        assert!(hours(&visits, |event| matches!(event, Event::Made(..))).is_empty());
        assert!(concerns(&visits).is_empty(), "{:?}", concerns(&visits));
        // Nothing follows: that is told in time, and what is in use is not destroyed even if it has run out.
        let visits = party.pass(START + 22 * DAY + 60, START + 90 * DAY).await;
        let at = policies[2].record().expiry;
        assert!(visits[0].1.concerns.is_empty());
        assert!(concerns(&visits).contains(&&Concern::PolicyEnds { at }));
        for id in policies[2].record().sealing_keys.iter().filter_map(|e| e.key_id()) {
            assert!(matches!(party.keyring().find(&id), Find::Found(_)));
        }
        for id in policies[1].record().sealing_keys.iter().filter_map(|e| e.key_id()) {
            assert!(matches!(party.keyring().find(&id), Find::Destroyed));
        }
        assert!(!party.keyring().signing_keys().is_empty());
    });
}

#[test]
fn a_policy_signed_elsewhere_waits_for_the_record_of_its_key() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        party.pass(START, START + HOUR).await;
        zone.refuse_until(START + 9 * DAY);
        let policies = sign_ahead(&party, START + HOUR + 60, &[1]);
        let visits = party.wait(START + 2 * HOUR, START + 9 * DAY - 60).await;
        assert_ne!(party.policy().text(), policies[0].text());
        let late = |c: &&&Concern| matches!(c, Concern::Late { kind: XWING, .. });
        assert!(concerns(&visits).iter().any(|c| late(&c)));
        party.pass(START + 9 * DAY, START + 10 * DAY).await;
        assert_eq!(party.policy().text(), policies[0].text());
    });
}

#[test]
fn selectors_are_used_in_turn() {
    runtime().block_on(async {
        let (mut party, _) = quiet();
        let ring: Vec<mta_seal::records::Selector> =
            (0..9).map(|n| format!("s{n}").parse().unwrap()).collect();
        party.keeper.selectors = ring.into();
        party.pass(START, START + 120 * DAY).await;
        let book = party.book();
        let used = book.keys.iter().filter(|life| life.kind == XWING && life.made > START);
        let used: Vec<&str> = used.filter_map(|life| life.selector.as_deref()).collect();
        assert!(used.len() > 12 && used.iter().all(|s| s.starts_with('s')), "{used:?}");
        assert!(used.iter().filter(|s| **s == "s0").count() > 1, "used again: {used:?}");
    });
}

/// Who acts upon an unexpired policy would find another key at the name of the revoked one.
#[test]
fn the_selector_of_a_revoked_key_is_not_used_while_a_policy_lists_that() {
    runtime().block_on(async {
        let (mut party, _) = quiet();
        let ring: Vec<mta_seal::records::Selector> =
            (0..9).map(|n| format!("s{n}").parse().unwrap()).collect();
        party.keeper.selectors = ring.into();
        let now = START + 9 * DAY;
        party.pass(START, now).await;
        let bad = party.listed(Suite::XWing).unwrap();
        party.revoke(&[bad], false, now);
        party.pass(now + 60, now + 60 * DAY).await;
        let book = party.book();
        let revoked = book.life(&bad).unwrap();
        let others = book.keys.iter().filter(|life| life.id != bad);
        let again: Vec<u64> =
            others.filter(|life| life.selector == revoked.selector).map(|life| life.made).collect();
        let expiry = revoked.listing.unwrap().expiry;
        assert!(!again.is_empty() && again.iter().all(|made| *made >= expiry), "{again:?}");
    });
}

#[test]
fn without_a_free_selector_the_old_key_stays_and_policies_go_on() {
    runtime().block_on(async {
        let (mut party, _) = quiet();
        party.keeper.selectors = Arc::new(["only".parse().unwrap()]);
        let visits = party.pass(START, START + 16 * DAY).await;
        assert!(concerns(&visits).contains(&&Concern::NoSelector));
        // The first successor took the only one.
        let listed = party.listed(Suite::XWing).unwrap();
        assert_eq!(party.book().life(&listed).unwrap().selector.as_deref(), Some("only"));
        let before = party.policy().record().expiry;
        assert!(before >= START + 44 * DAY);
        party.pass(START + 16 * DAY + 60, START + 24 * DAY).await;
        assert_eq!(party.listed(Suite::XWing), Some(listed));
        assert!(party.policy().record().expiry > before, "signed on all the same");
    });
}

/// [R-life-01]
#[test]
fn a_key_is_in_one_state_after_the_other() {
    runtime().block_on(async {
        let (party, _) = quiet();
        let first = party.listed(Suite::XWing).unwrap();
        let state = |party: &Party, now| {
            let policy = party.policy();
            party.book().life(&first).unwrap().state(policy.record(), now)
        };
        party.pass(START, START + 5 * DAY).await;
        assert_eq!(state(&party, START + 5 * DAY), State::Active);
        assert_eq!(party.keys_in(XWING, State::Prepared, START + 5 * DAY).len(), 1);
        party.pass(START + 5 * DAY + 60, START + 6 * DAY).await;
        assert_eq!(party.keys_in(XWING, State::Published, START + 6 * DAY).len(), 1);
        party.pass(START + 6 * DAY + 60, START + 8 * DAY).await;
        assert_eq!(state(&party, START + 8 * DAY), State::Retiring);
        party.pass(START + 8 * DAY + 60, START + 45 * DAY).await;
        assert_eq!(state(&party, START + 45 * DAY), State::Destroyed);
    });
}

/// Servers of which one says at times that caches keep what they get for this long.
struct Misled(Arc<dyn Sightings>, AtomicU64);

impl Sightings for Misled {
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a> {
        Box::pin(async move {
            let mut sighting = self.0.look(name).await;
            sighting.settle = sighting.settle.max(self.1.load(Ordering::Relaxed));
            sighting
        })
    }
}

/// [R-life-02]
#[test]
fn a_time_to_live_that_was_wrong_once_is_forgotten_when_caches_have_forgotten_it() {
    runtime().block_on(async {
        let (mut party, _) = quiet();
        let first = party.signs();
        let misled = Arc::new(Misled(Arc::clone(&party.keeper.sightings), AtomicU64::new(0)));
        party.keeper.sightings = Arc::clone(&misled) as Arc<dyn Sightings>;
        party.pass(START, START + HOUR).await;
        let stand = |now| {
            let desk = party.desk(now);
            desk.book.stand(&party.policy_name(), desk.policy().text()).unwrap().clone()
        };
        let now = START + 3 * HOUR;
        misled.1.store(7 * DAY, Ordering::Relaxed);
        party.tend(now).await;
        misled.1.store(0, Ordering::Relaxed);
        party.pass(now + HOUR, now + 7 * DAY - HOUR).await;
        assert_eq!(stand(now + 7 * DAY - HOUR).settle, 7 * DAY, "a cache may still have it");
        party.pass(now + 7 * DAY, now + 8 * DAY).await;
        assert_eq!(stand(now + 8 * DAY).settle, TTL);
        // So that the next signing key comes into use in its time.
        party.pass(now + 8 * DAY + HOUR, START + 31 * DAY).await;
        assert_ne!(party.signs(), first);
    });
}
