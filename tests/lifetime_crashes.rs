//! A process that tends keys may be killed at any point: what it leaves is a keyring that the next one goes on with, and nothing is
//! destroyed too early or forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lifetime_support;

use lifetime_support::crash::{Cut, crash, note_destroyed, rehearse};
use lifetime_support::party::{files, rng};
use lifetime_support::watch::Watch;
use lifetime_support::zone::{Break, Lag};
use lifetime_support::{Chance, DAY, HOUR, Party, START, Zone, runtime};
use mta_seal::core::{KeyId, SealingPrivateKey, Suite};
use mta_seal::gateway::rotation::Event;
use mta_seal::lifetime::{Book, Kind};
use mta_seal::store::keyring::{Find, Keyring, StoredKey};

fn quiet() -> Zone {
    Zone::new(2, 3_600, 900, Lag::None, START, Chance::new(1))
}

/// A domain that was tended until `days` after its start.
async fn tended(days: u64) -> (Party, Watch, u64) {
    let party = Party::new("one.example", &quiet(), START);
    let mut watch = Watch::default();
    let end = START + days * DAY;
    let mut now = START;
    while now <= end {
        party.zone.advance(now);
        let tended = party.tend(now).await;
        watch.tended(&party, &tended, now);
        now = party.next(&tended, now, 20 * HOUR);
    }
    (party, watch, now)
}

/// Goes on after a crash, for `days`.
async fn go_on(party: &Party, watch: &mut Watch, from: u64, days: u64) -> u64 {
    let mut now = from;
    while now <= from + days * DAY {
        party.zone.advance(now);
        let tended = party.tend(now).await;
        watch.tended(party, &tended, now);
        now = party.next(&tended, now, 20 * HOUR);
    }
    watch.nothing_is_left(party);
    now
}

/// Finds the next moment at which a sitting does what `cut` is about, and cuts it there.
async fn cut_at(party: &Party, watch: &mut Watch, mut now: u64, cut: Cut) -> (Vec<Event>, u64) {
    let scratch = tempfile::tempdir().unwrap();
    let scratch = scratch.path().join("keys");
    let end = now + 30 * DAY;
    while now < end {
        party.zone.advance(now);
        let events = rehearse(party, &scratch, now);
        if crash(party, &scratch, &events, cut, now) {
            return (events, now);
        }
        let tended = party.tend(now).await;
        watch.tended(party, &tended, now);
        now = party.next(&tended, now, 20 * HOUR);
    }
    panic!("{cut:?} was never possible");
}

/// A process is killed in the middle of one sitting, and another goes on.
async fn cut_and_go_on(cut: Cut) {
    let (party, mut watch, now) = tended(50).await;
    let before = party.listed(Suite::XWing);
    let (events, now) = cut_at(&party, &mut watch, now, cut).await;
    // The keyring can be read, and the key in use is there.
    watch.observe(&party, now);
    for event in &events {
        match event {
            Event::Signed { expiry, sealing, .. } => {
                sealing.iter().for_each(|id| watch.meant(*id, *expiry));
            }
            Event::Made(_, id) => watch.meant(*id, now + 31 * DAY),
            _ => {}
        }
    }
    go_on(&party, &mut watch, now + 1, 60).await;
    assert_ne!(party.listed(Suite::XWing), before, "{cut:?}: keys rotate");
    let weeks = watch.successions[&Kind::Sealing(Suite::XWing)].len();
    assert!((14..=17).contains(&weeks), "{cut:?}: {weeks} successions in 110 days");
}

#[test]
fn every_cut_of_a_sitting_is_gone_on_from() {
    std::thread::scope(|scope| {
        for cut in Cut::ALL {
            scope.spawn(move || runtime().block_on(cut_and_go_on(cut)));
        }
    });
}

#[test]
fn every_break_between_the_steps_of_a_visit_is_gone_on_from() {
    runtime().block_on(async {
        for at in [Break::BeforePublication, Break::AfterPublication, Break::BeforeLook] {
            let (party, mut watch, mut now) = tended(3).await;
            let first = party.listed(Suite::XWing).unwrap();
            // Break every visit of a week that can be broken.
            let mut broken = 0;
            while now < START + 12 * DAY {
                party.zone.advance(now);
                party.zone.break_at((broken < 20).then_some(at));
                match party.tend_or_break(now).await {
                    None => {
                        broken += 1;
                        now += 60;
                    }
                    Some(tended) => {
                        watch.tended(&party, &tended, now);
                        now = party.next(&tended, now, 20 * HOUR);
                    }
                }
            }
            party.zone.break_at(None);
            assert!(broken > 1, "{at:?}: {broken}");
            assert_ne!(party.listed(Suite::XWing), Some(first), "{at:?}: keys rotate");
            go_on(&party, &mut watch, now, 5).await;
            let name = party.policy_name();
            let text = party.policy().text().to_owned();
            assert!(party.zone.records(&name).iter().all(|at| *at == [text.clone()]), "{at:?}");
        }
    });
}

/// The file of a key is there and the book does not know it: it lives as if it had been listed by today's policy.
#[test]
fn a_key_that_nobody_knows_is_kept_as_if_it_had_been_listed() {
    runtime().block_on(async {
        let (party, _, now) = tended(1).await;
        let stray = StoredKey::new(SealingPrivateKey::generate(Suite::X25519, &mut rng()).unwrap());
        let id = stray.key.key_id();
        Keyring::load(party.keys()).unwrap().add_sealing(stray).unwrap();
        let record = party.policy().record().clone();
        party.tend(now).await;
        let life = party.book().life(&id).cloned().unwrap();
        assert_eq!(life.listing.unwrap().opens, record.expiry + record.window + HOUR);
        assert!(matches!(party.keyring().find(&id), Find::Found(_)));
        // And it is not listed because it is there.
        let visits = party.pass(now + 60, record.expiry + record.window + HOUR).await;
        let ends: Vec<u64> = visits
            .iter()
            .filter(|(_, t)| t.events.contains(&Event::Destroyed(Kind::Sealing(Suite::X25519), id)))
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(ends, [record.expiry + record.window + HOUR]);
    });
}

/// The book is lost: everything begins anew, nothing is destroyed too early.
#[test]
fn a_lost_book_lengthens_lives_and_never_shortens_them() {
    runtime().block_on(async {
        let (party, mut watch, now) = tended(20).await;
        let keys: Vec<KeyId> =
            party.keyring().sealing_keys().iter().map(|stored| stored.key.key_id()).collect();
        assert!(keys.len() > 4);
        std::fs::remove_file(party.keys().join("lifetimes.json")).unwrap();
        let expiry = party.policy().record().expiry;
        for id in &keys {
            watch.meant(*id, expiry.max(now + 31 * DAY));
        }
        party.zone.advance(now);
        let tended = party.tend(now).await;
        watch.tended(&party, &tended, now);
        assert!(keys.iter().all(|id| matches!(party.keyring().find(id), Find::Found(_))));
        go_on(&party, &mut watch, tended.next, 60).await;
        assert!(keys.iter().all(|id| matches!(party.keyring().find(id), Find::Destroyed)));
    });
}

/// The end of a key is noted and its file is there: it opens nothing from that moment on, and the file goes.
#[test]
fn a_noted_end_is_finished() {
    runtime().block_on(async {
        let (party, _, now) = tended(20).await;
        let listed = [Suite::XWing, Suite::X25519].map(|suite| party.listed(suite));
        let keyring = party.keyring();
        let old = keyring
            .sealing_keys()
            .iter()
            .find(|stored| !listed.contains(&Some(stored.key.key_id())))
            .unwrap();
        let (id, suffix) = (old.key.key_id(), format!("-{}.key", old.selector));
        let holds = |party: &Party| {
            let files = files(party.keys());
            files.iter().filter(|(path, _)| path.to_str().unwrap().ends_with(&suffix)).count()
        };
        note_destroyed(party.keys(), &id, now);
        assert!(matches!(party.keyring().find(&id), Find::Destroyed));
        assert_eq!(holds(&party), 1);
        let tended = party.tend(now).await;
        assert!(tended.events.contains(&Event::Swept(1)), "{:?}", tended.events);
        assert_eq!(holds(&party), 0);
        assert!(matches!(party.keyring().find(&id), Find::Destroyed));
    });
}

/// Files that were being written hold secrets too.
#[test]
fn what_was_being_written_is_erased() {
    runtime().block_on(async {
        let (party, _, now) = tended(1).await;
        let (path, octets) = files(party.keys())
            .into_iter()
            .find(|(path, _)| path.extension().is_some_and(|e| e == "key"))
            .unwrap();
        let left = path.with_file_name(".sealing-1-kx.key.4711.tmp");
        std::fs::write(&left, octets).unwrap();
        let tended = party.tend(now).await;
        assert!(tended.events.contains(&Event::Swept(1)), "{:?}", tended.events);
        assert!(!left.exists());
    });
}

/// A crash between the two steps by which a file gets its name leaves two names of one file: the key must not be overwritten by the
/// name that is too many.
#[test]
fn a_second_name_of_a_key_is_no_copy_to_overwrite() {
    runtime().block_on(async {
        let (party, _, now) = tended(1).await;
        let before = files(party.keys());
        let keys =
            || before.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "key"));
        for (path, _) in keys() {
            let name = path.file_name().unwrap().to_str().unwrap();
            std::fs::hard_link(path, path.with_file_name(format!(".{name}.4711.tmp"))).unwrap();
        }
        let tended = party.tend(now).await;
        assert!(tended.events.contains(&Event::Swept(keys().count())), "{:?}", tended.events);
        let after = files(party.keys());
        for key in keys() {
            assert!(after.contains(key), "{} has changed", key.0.display());
        }
    });
}

/// An overwritten file that is still there is no key, and no reason not to start.
#[test]
fn an_overwritten_file_is_unlinked() {
    runtime().block_on(async {
        let (party, _, now) = tended(20).await;
        let listed = party.listed(Suite::X25519).unwrap();
        let keyring = party.keyring();
        let old = keyring
            .sealing_keys()
            .iter()
            .find(|s| s.key.suite() == Suite::X25519 && s.key.key_id() != listed)
            .unwrap();
        let (id, name) = (old.key.key_id(), format!("sealing-1-{}.key", old.selector));
        let path = party.keys().join(name);
        let length = std::fs::metadata(&path).unwrap().len();
        note_destroyed(party.keys(), &id, now);
        std::fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
        assert!(matches!(Keyring::load(party.keys()).unwrap().find(&id), Find::Destroyed));
        party.tend(now).await;
        assert!(!path.exists());
        assert!(matches!(party.keyring().find(&id), Find::Destroyed));
        assert!(Book::parse(&party.book().text()).unwrap() == party.book());
    });
}
