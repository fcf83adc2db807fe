//! What servers may say about a keyring, and when it proves that it is the wrong one [R-life-08].
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::agreement::{AT_ONCE, Agreement, Asked, Disagreement, Strangers, agree};
use super::sighting::{Seen, Sighting, SightingFuture, Sightings};
use crate::core::{Domain, IdentityKey, SealingPrivateKey, SigningKey, Suite};
use crate::gateway::local::LocalKeys;
use crate::records::{
    CLOCK_TOLERANCE, DEFAULT_WINDOW, Mode, PolicyDraft, Rollover, SealingEntry, policy_name,
};
use crate::store::keyring::{Keyring, StoredKey};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3_600;
/// Serial of the policy in the keyring.
const SERIAL: u64 = NOW - 2 * DAY;

const OWN: u8 = 1;
const FORMER: u8 = 2;
const STRANGER: u8 = 3;

fn domain() -> Domain {
    Domain::parse("company2.example").unwrap()
}

/// Its records stand under another name than its own.
fn at() -> Domain {
    Domain::parse("records.example").unwrap()
}

fn identity(n: u8) -> IdentityKey {
    IdentityKey::from_bytes(&[n; 32])
}

fn sealing(n: u8) -> SealingPrivateKey {
    SealingPrivateKey::from_bytes(Suite::X25519, &[n; 32]).unwrap()
}

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[20; 32])
}

/// The sealing key in the keyring, one that it has destroyed, and one that it never had.
const HERE: u8 = 10;
const DESTROYED: u8 = 11;
const ELSEWHERE: u8 = 12;

fn draft(serial: u64, key: u8) -> PolicyDraft {
    PolicyDraft {
        mode: Mode::Enforce,
        serial,
        expiry: NOW + DAY,
        max_age: DAY,
        window: DEFAULT_WINDOW,
        signing_keys: vec![signing().public().clone()],
        sealing_keys: vec![SealingEntry::of(sealing(key).public(), &"s1".parse().unwrap())],
        outgoing_always: false,
        rollover: None,
        next_identity: None,
    }
}

fn signed(draft: &PolicyDraft, by: u8) -> String {
    draft.sign(&domain(), &identity(by)).unwrap()
}

/// What is published: by this identity key, of this serial, with the sealing key that is here.
fn published(by: u8, serial: u64) -> String {
    signed(&draft(serial, HERE), by)
}

/// The keyring, with a statement of this identity key before it.
fn keys(former: Option<u8>) -> (TempDir, LocalKeys) {
    let directory = tempfile::tempdir().unwrap();
    let mut keyring = Keyring::create(&directory.path().join("keys")).unwrap();
    let mut own = draft(SERIAL, HERE);
    own.rollover = former.and_then(|former| {
        Rollover::sign(&identity(former), &domain(), identity(OWN).public(), SERIAL, NOW + DAY)
    });
    keyring.set_policy(&signed(&own, OWN)).unwrap();
    keyring.add_signing(signing()).unwrap();
    for n in [HERE, DESTROYED] {
        keyring.add_sealing(StoredKey::new(sealing(n))).unwrap();
    }
    keyring.destroy(&sealing(DESTROYED).public().key_id(), NOW).unwrap();
    let keys = LocalKeys::new(keyring, &domain()).unwrap();
    (directory, keys)
}

/// What each server answers, or why it does not.
struct Servers(Vec<Result<Vec<String>, &'static str>>);

impl Sightings for Servers {
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a> {
        assert_eq!(name.as_str(), policy_name(&at()));
        let seen = |answer: &Result<Vec<String>, &str>| Seen {
            server: "ns.example".to_owned(),
            records: match answer {
                Ok(texts) => Ok(texts.iter().map(|text| text.clone().into_bytes()).collect()),
                Err(why) => Err((*why).to_owned()),
            },
        };
        let servers = self.0.iter().map(seen).collect();
        Box::pin(async { Sighting { servers, settle: 0 } })
    }
}

async fn judged(keys: &LocalKeys, servers: Servers) -> Result<(), Disagreement> {
    let asked = [Asked { domain: &domain(), at: &at(), keys }];
    agree(&asked, NOW, Arc::new(servers), Strangers::Count).await.map_err(|(of, error)| {
        assert_eq!(of, domain());
        error
    })
}

/// The same with one server that has one record.
async fn judged_by(keys: &LocalKeys, text: String) -> Result<(), Disagreement> {
    judged(keys, Servers(vec![Ok(vec![text])])).await
}

fn another_identity(published: u8) -> Result<(), Disagreement> {
    let fingerprint = |n| identity(n).public().fingerprint();
    Err(Disagreement::Identity { published: fingerprint(published), own: fingerprint(OWN) })
}

#[tokio::test]
async fn what_the_keyring_has_published_agrees() {
    let (_directory, keys) = keys(None);
    for serial in [SERIAL - 1, SERIAL] {
        assert_eq!(judged_by(&keys, published(OWN, serial)).await, Ok(()));
    }
}

#[tokio::test]
async fn a_listed_key_that_was_never_here_is_missing() {
    let (_directory, keys) = keys(None);
    for serial in [SERIAL - 1, SERIAL] {
        let missing = Disagreement::MissingKey(sealing(ELSEWHERE).public().key_id());
        let answer = judged_by(&keys, signed(&draft(serial, ELSEWHERE), OWN)).await;
        assert_eq!(answer, Err(missing));
    }
    // What is listed behind a key that is here counts too.
    let mut both = draft(SERIAL, HERE);
    both.sealing_keys.extend(draft(SERIAL, ELSEWHERE).sealing_keys);
    assert!(matches!(judged_by(&keys, signed(&both, OWN)).await, Err(Disagreement::MissingKey(_))));
}

#[tokio::test]
async fn a_listed_key_that_was_destroyed_here_is_not_missing() {
    let (_directory, keys) = keys(None);
    assert_eq!(judged_by(&keys, signed(&draft(SERIAL, DESTROYED), OWN)).await, Ok(()));
}

#[tokio::test]
async fn a_higher_serial_is_newer() {
    let (_directory, keys) = keys(None);
    for key in [HERE, ELSEWHERE] {
        let answer = judged_by(&keys, signed(&draft(SERIAL + 1, key), OWN)).await;
        assert_eq!(answer, Err(Disagreement::Newer { published: SERIAL + 1, own: SERIAL }));
    }
}

#[tokio::test]
async fn another_identity_key_is_another_whatever_the_serial() {
    for former in [None, Some(FORMER)] {
        let (_directory, keys) = keys(former);
        for serial in [SERIAL - 1, SERIAL, SERIAL + 1] {
            let answer = judged_by(&keys, published(STRANGER, serial)).await;
            assert_eq!(answer, another_identity(STRANGER), "{former:?} {serial}");
        }
    }
}

/// After a rollover by statement the last policy of the former key may still stand: it is older.
#[tokio::test]
async fn the_former_identity_key_may_still_stand_with_a_lower_serial() {
    let (_directory, keys) = keys(Some(FORMER));
    assert_eq!(judged_by(&keys, published(FORMER, SERIAL - 1)).await, Ok(()));
    for serial in [SERIAL, SERIAL + 1] {
        let answer = judged_by(&keys, published(FORMER, serial)).await;
        assert_eq!(answer, another_identity(FORMER), "{serial}");
    }
}

/// The same where the former key has announced the one here, and left no statement.
#[tokio::test]
async fn the_key_that_announced_this_one_may_still_stand_with_a_lower_serial() {
    let (_directory, keys) = keys(None);
    let announcing = |serial, next: u8| {
        let mut draft = draft(serial, HERE);
        draft.next_identity = Some(identity(next).public().fingerprint());
        signed(&draft, FORMER)
    };
    assert_eq!(judged_by(&keys, announcing(SERIAL - 1, OWN)).await, Ok(()));
    for (serial, next) in [(SERIAL, OWN), (SERIAL + 1, OWN), (SERIAL - 1, STRANGER)] {
        let answer = judged_by(&keys, announcing(serial, next)).await;
        assert_eq!(answer, another_identity(FORMER), "{serial} {next}");
    }
}

#[tokio::test]
async fn servers_that_do_not_answer_prove_nothing() {
    let (_directory, keys) = keys(None);
    for servers in [vec![], vec![Err("does not answer")], vec![Ok(vec![])]] {
        assert_eq!(judged(&keys, Servers(servers)).await, Ok(()));
    }
}

/// One of several is enough, wherever it stands.
#[tokio::test]
async fn every_server_is_heard() {
    let (_directory, keys) = keys(None);
    let other = || Ok(vec![published(STRANGER, SERIAL)]);
    let own = || Ok(vec![published(OWN, SERIAL)]);
    for before in [own(), Err("does not answer"), Ok(vec![]), Ok(vec!["v=MTASEAL1".to_owned()])] {
        let answer = judged(&keys, Servers(vec![before.clone(), other(), own()])).await;
        assert_eq!(answer, another_identity(STRANGER), "{before:?}");
    }
}

#[tokio::test]
async fn an_expired_policy_proves_nothing() {
    let (_directory, keys) = keys(None);
    // Each would disagree in another way.
    for (by, serial, key) in
        [(STRANGER, SERIAL, HERE), (OWN, SERIAL + 1, HERE), (OWN, SERIAL, ELSEWHERE)]
    {
        let until = |expiry| signed(&PolicyDraft { expiry, ..draft(serial, key) }, by);
        assert_eq!(judged_by(&keys, until(NOW)).await, Ok(()), "{by} {serial} {key}");
        assert!(judged_by(&keys, until(NOW + 1)).await.is_err(), "{by} {serial} {key}");
    }
}

#[tokio::test]
async fn a_policy_that_nobody_would_believe_proves_nothing() {
    let (_directory, keys) = keys(None);
    let good = published(STRANGER, SERIAL);
    assert_eq!(judged_by(&keys, good.clone()).await, another_identity(STRANGER));
    // Its serial is another than the signed one.
    let changed = good.replace(&format!("n={SERIAL}"), &format!("n={}", SERIAL + 1));
    assert_ne!(changed, good);
    let elsewhere = Domain::parse("company1.example").unwrap();
    let foreign = draft(SERIAL, HERE).sign(&elsewhere, &identity(STRANGER)).unwrap();
    for text in [changed, foreign, good.replace("; m=", "; m=un"), "v=spf1 -all".to_owned()] {
        assert_eq!(judged_by(&keys, text.clone()).await, Ok(()), "{text}");
    }
    // Two of them are none [R-rec-01].
    let two = Servers(vec![Ok(vec![good.clone(), published(STRANGER, SERIAL + 1)])]);
    assert_eq!(judged(&keys, two).await, Ok(()));
    // Another text beside it is no second one.
    let beside = Servers(vec![Ok(vec!["v=spf1 -all".to_owned(), good])]);
    assert_eq!(judged(&keys, beside).await, another_identity(STRANGER));
}

/// A policy whose serial lies ahead of the tolerance was signed by a wrong clock: nobody acts upon it [R-rec-06].
#[tokio::test]
async fn a_policy_of_the_future_proves_nothing() {
    let (_directory, keys) = keys(None);
    let ahead = |serial| {
        let expiry = serial + DAY;
        signed(&PolicyDraft { expiry, ..draft(serial, HERE) }, OWN)
    };
    let tolerated = NOW + CLOCK_TOLERANCE;
    let newer = Disagreement::Newer { published: tolerated, own: SERIAL };
    assert_eq!(judged_by(&keys, ahead(tolerated)).await, Err(newer));
    assert_eq!(judged_by(&keys, ahead(tolerated + 1)).await, Ok(()));
}

/// Many places with the same keys, of which each answers when it is let, and what was asked.
struct Many {
    answers: Semaphore,
    begun: Mutex<Vec<Domain>>,
    ring: Semaphore,
    at_once: AtomicUsize,
    most: AtomicUsize,
    text: String,
}

impl Many {
    fn new(text: String) -> Arc<Self> {
        Arc::new(Self {
            answers: Semaphore::new(0),
            begun: Mutex::default(),
            ring: Semaphore::new(0),
            at_once: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            text,
        })
    }

    fn place(n: usize) -> Domain {
        Domain::parse(&format!("n{n}.example")).unwrap()
    }

    /// Waits until so many more have been asked.
    async fn asked(&self, more: usize) {
        self.ring.acquire_many(u32::try_from(more).unwrap()).await.unwrap().forget();
    }
}

impl Sightings for Many {
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a> {
        Box::pin(async move {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(at_once, Ordering::SeqCst);
            self.begun.lock().unwrap().push(name.clone());
            self.ring.add_permits(1);
            // The first one never answers.
            if name.as_str() == policy_name(&Self::place(0)) {
                std::future::pending::<()>().await;
            }
            self.answers.acquire().await.unwrap().forget();
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            let records = Ok(vec![self.text.clone().into_bytes()]);
            let servers = vec![Seen { server: "ns.example".to_owned(), records }];
            Sighting { servers, settle: 0 }
        })
    }
}

/// Servers of one domain that are silent keep nobody waiting, and not too many are asked at once.
#[tokio::test]
async fn domains_are_asked_beside_each_other() {
    let (_directory, keys) = keys(None);
    let many = Many::new(published(STRANGER, SERIAL));
    let places: Vec<Domain> = (0..AT_ONCE + 8).map(Many::place).collect();
    let domain = domain();
    let asked: Vec<Asked<'_>> =
        places.iter().map(|at| Asked { domain: &domain, at, keys: &keys }).collect();
    let gate = async {
        // All but the silent one wait for the gate.
        many.asked(AT_ONCE).await;
        assert_eq!(many.begun.lock().unwrap().len(), AT_ONCE);
        many.answers.add_permits(1);
    };
    let (answer, ()) =
        tokio::join!(agree(&asked, NOW, Arc::clone(&many) as _, Strangers::Count), gate);
    assert_eq!(answer, Err((domain.clone(), another_identity(STRANGER).unwrap_err())));
    assert_eq!(many.most.load(Ordering::SeqCst), AT_ONCE);
}

/// At a reload those are compared that are new, or have other keys, or stand elsewhere.
#[tokio::test]
async fn what_was_compared_is_not_asked_again() {
    let (_directory, mut first) = keys(None);
    let (_other, second) = keys(None);
    let many = Many::new(published(OWN, SERIAL));
    many.answers.add_permits(100);
    let names = [1, 2, 3].map(Many::place);
    let [one, two, three] = &names;
    let asked_of = |many: &Many| std::mem::take(&mut *many.begun.lock().unwrap());
    let policy_at = |at: &Domain| Domain::parse(&policy_name(at)).unwrap();
    let servers = || Arc::clone(&many) as Arc<dyn Sightings>;

    let none = Agreement::default();
    let all = [Asked { domain: one, at: one, keys: &first }];
    let known = none.with(&all, NOW, servers()).await.ok().unwrap();
    assert_eq!(asked_of(&many), [policy_at(one)]);
    let known = known.with(&all, NOW, servers()).await.ok().unwrap();
    assert_eq!(asked_of(&many), []);
    // A new domain.
    let all = [
        Asked { domain: one, at: one, keys: &first },
        Asked { domain: two, at: two, keys: &second },
    ];
    let known = known.with(&all, NOW, servers()).await.ok().unwrap();
    assert_eq!(asked_of(&many), [policy_at(two)]);
    // Another place.
    let all = [
        Asked { domain: one, at: one, keys: &first },
        Asked { domain: two, at: three, keys: &second },
    ];
    let known = known.with(&all, NOW, servers()).await.ok().unwrap();
    assert_eq!(asked_of(&many), [policy_at(three)]);
    // Other keys.
    let more = StoredKey::new(sealing(ELSEWHERE));
    first.keyring.add_sealing(more).unwrap();
    let all = [
        Asked { domain: one, at: one, keys: &first },
        Asked { domain: two, at: three, keys: &second },
    ];
    known.with(&all, NOW, servers()).await.ok().unwrap();
    assert_eq!(asked_of(&many), [policy_at(one)]);
}
