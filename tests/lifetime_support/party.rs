//! A domain with a real keyring in a temporary directory, made as `mta-seal init` makes it, and its keeper.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use getrandom::SysRng;
use mta_seal::core::{Domain, IdentityKey, KeyId, SealingPrivateKey, SigningKey, Suite};
use mta_seal::gateway::Clock;
use mta_seal::gateway::rotation::{Desk, Keeper, Made, Tended};
use mta_seal::lifetime::{Book, Kind, Life, Schedule, Stand, State};
use mta_seal::records::{
    DEFAULT_WINDOW, Mode, PolicyDraft, SealingEntry, SignedPolicy, VerifiedPolicy, policy_name,
};
use mta_seal::store::keyring::{Keyring, StoredKey};
use rand_core::UnwrapErr;

use super::{DAY, HOUR, Zone};

pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// In virtual time a visit takes none: it is as late as whoever begins it says.
#[derive(Debug, Clone, Copy)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
}

/// When a directory was changed last, with nanoseconds.
type Stamp = (i64, i64);

pub struct Party {
    pub domain: Domain,
    pub keeper: Keeper,
    pub zone: Zone,
    /// The keyring as it was read last, and what its directory was then.
    read: RefCell<Option<(Stamp, Rc<Keyring>)>>,
    _directory: tempfile::TempDir,
}

impl Party {
    /// A domain whose policy is signed at `now`, for 30 days; nothing is published.
    pub fn new(name: &str, zone: &Zone, now: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let domain = Domain::parse(name).unwrap();
        let keys = directory.path().join("keys");
        let mut keyring = Keyring::create(&keys).unwrap();
        let identity = IdentityKey::generate(&mut rng());
        let signing = SigningKey::generate(&mut rng());
        let sealing: Vec<StoredKey> = [Suite::XWing, Suite::X25519]
            .map(|suite| StoredKey::new(SealingPrivateKey::generate(suite, &mut rng()).unwrap()))
            .into();
        let draft = PolicyDraft {
            mode: Mode::Enforce,
            serial: now,
            expiry: now + 30 * DAY,
            max_age: 30 * DAY,
            window: DEFAULT_WINDOW,
            signing_keys: vec![signing.public().clone()],
            sealing_keys: sealing.iter().map(entry).collect(),
            outgoing_always: false,
            rollover: None,
            next_identity: None,
        };
        let policy = draft.sign(&domain, &identity).unwrap();
        keyring.add_identity(identity).unwrap();
        keyring.add_signing(signing).unwrap();
        for stored in sealing {
            keyring.add_sealing(stored).unwrap();
        }
        keyring.set_policy(&policy).unwrap();
        let keeper = Keeper {
            passphrase: None,
            domain: domain.clone(),
            at: domain.clone(),
            keys,
            schedule: Schedule::default(),
            ttl: 3_600,
            selectors: Arc::new([]),
            publisher: Arc::new(zone.clone()),
            sightings: Arc::new(zone.clone()),
            clock: Arc::new(Still),
        };
        Self { domain, keeper, zone: zone.clone(), read: RefCell::default(), _directory: directory }
    }

    /// Another gateway of the domain, with a copy of the keyring.
    pub fn second(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        copy(self.keys(), &keys);
        let keeper = Keeper { keys, ..self.keeper.clone() };
        let (domain, zone) = (self.domain.clone(), self.zone.clone());
        Self { domain, keeper, zone, read: RefCell::default(), _directory: directory }
    }

    pub fn keys(&self) -> &Path {
        &self.keeper.keys
    }

    /// The keyring as it is on the disk, read again if a file was made, replaced or unlinked.
    pub fn keyring(&self) -> Rc<Keyring> {
        let of = std::fs::metadata(self.keys()).unwrap();
        let stamp = (of.ctime(), of.ctime_nsec());
        let mut read = self.read.borrow_mut();
        if read.as_ref().is_none_or(|(before, _)| *before != stamp) {
            *read = Some((stamp, Rc::new(Keyring::load(self.keys()).unwrap())));
        }
        Rc::clone(&read.as_ref().unwrap().1)
    }

    pub fn policy(&self) -> VerifiedPolicy {
        policy_of(&self.keyring(), &self.domain)
    }

    pub fn policy_name(&self) -> String {
        policy_name(&self.domain)
    }

    pub fn book(&self) -> Book {
        Book::parse(self.keyring().book().unwrap()).unwrap()
    }

    pub fn made(&self) -> Made<'_> {
        Made { at: &self.keeper.at, selectors: &self.keeper.selectors }
    }

    pub fn desk(&self, now: u64) -> Desk {
        Desk::open(self.keys(), &self.domain, None, now).unwrap()
    }

    /// What `keys revoke` does before the next visit; `at_once` with --destroy.
    pub fn revoke(&self, ids: &[KeyId], at_once: bool, now: u64) {
        let mut desk = self.desk(now);
        for id in ids {
            assert!(desk.book.life(id).is_some(), "{id} is not in the book");
            desk.book.revoke(id, at_once, now);
        }
        desk.save(now).unwrap();
    }

    /// One visit of the keeper.
    pub async fn tend(&self, now: u64) -> Tended {
        self.keeper.tend(now).await.unwrap()
    }

    /// A visit that may be broken off at the point that the zone was told: `None` if it was.
    pub async fn tend_or_break(&self, now: u64) -> Option<Tended> {
        tokio::select! {
            biased;
            tended = self.keeper.tend(now) => Some(tended.unwrap()),
            () = self.zone.broken() => None,
        }
    }

    /// Visits whenever the keeper wants, and the zone goes on meanwhile; what was done with the times.
    pub async fn pass(&self, from: u64, to: u64) -> Vec<(u64, Tended)> {
        self.visits(from, to, 1).await
    }

    /// The same while something is amiss for days, and the keeper would come every five minutes: it comes every hour.
    pub async fn wait(&self, from: u64, to: u64) -> Vec<(u64, Tended)> {
        self.visits(from, to, HOUR).await
    }

    async fn visits(&self, from: u64, to: u64, least: u64) -> Vec<(u64, Tended)> {
        let (mut now, mut visits) = (from, Vec::new());
        while now <= to {
            self.zone.advance(now);
            let tended = self.tend(now).await;
            let next = self.next(&tended, now, 20 * HOUR);
            visits.push((now, tended));
            now = next.max(now + least);
        }
        visits
    }

    /// When something is due next, at the latest after `longest`: a keeper comes each hour to see whether all is as it was.
    pub fn next(&self, tended: &Tended, now: u64, longest: u64) -> u64 {
        let desk = self.desk(now);
        let settled = |s: &Stand| !s.withdrawn && s.ready.is_some_and(|at| at <= now);
        if !desk.book.stands.iter().all(settled) {
            return tended.next;
        }
        let due = desk.plan(&self.keeper.schedule, self.made(), now).next;
        due.clamp(tended.next.min(due).max(now + 1), now + longest)
    }

    /// The keys of a kind in a state.
    pub fn keys_in(&self, kind: Kind, state: State, now: u64) -> Vec<Life> {
        let (book, policy) = (self.book(), self.policy());
        let lives = book.keys.into_iter();
        lives
            .filter(|life| life.kind == kind && life.state(policy.record(), now) == state)
            .collect()
    }

    /// The sealing key that the policy lists for a suite.
    pub fn listed(&self, suite: Suite) -> Option<KeyId> {
        listed(&self.policy(), suite)
    }

    /// The signing key that the policy lists first.
    pub fn signs(&self) -> KeyId {
        self.policy().record().signing_keys[0].key_id()
    }
}

pub fn entry(stored: &StoredKey) -> SealingEntry {
    SealingEntry::of(stored.key.public(), &stored.selector.parse().unwrap())
}

pub fn listed(policy: &VerifiedPolicy, suite: Suite) -> Option<KeyId> {
    let entries = &policy.record().sealing_keys;
    entries.iter().find(|entry| entry.suite() == Some(suite)).and_then(SealingEntry::key_id)
}

pub fn policy_of(keyring: &Keyring, domain: &Domain) -> VerifiedPolicy {
    SignedPolicy::parse(keyring.policy().unwrap().as_bytes()).unwrap().verify(domain).unwrap()
}

/// Copies a keyring to a directory that is emptied before.
pub fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    let _ = std::fs::remove_dir_all(to);
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// All files of a directory with their names.
pub fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = std::fs::read_dir(directory).unwrap();
    read.map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}
