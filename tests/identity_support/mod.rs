//! A domain whose keys are tended in virtual time, and partners that look at what it publishes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use mta_seal::core::{Domain, IdentityKey, KeyId, SealingPrivateKey, SigningKey, Suite};
use mta_seal::gateway::Clock;
use mta_seal::gateway::publication::{Action, Change, PublishFuture, Published, Publisher, Way};
use mta_seal::gateway::rotation::{
    Desk, Event, Keeper, Made, Roll, Seen, Sighting, SightingFuture, Sightings, Tended,
};
use mta_seal::lifetime::Schedule;
use mta_seal::policy::{
    Alarm, Authenticity, Decision, Demand, FetchedKey, FoundPolicy, Hold, KeyFailure, LocalPolicy,
    Memory, MemoryUpdate, Outcome, Verdict, decide, wanted_keys,
};
use mta_seal::records::{
    DEFAULT_WINDOW, KeyRecord, Mode, PolicyDraft, SealingEntry, SignedPolicy, VerifiedPolicy,
    key_record_name, policy_name,
};
use mta_seal::store::keyring::{Keyring, StoredKey};

pub const NOW: u64 = 1_800_000_000;
pub const HOUR: u64 = 3_600;
pub const DAY: u64 = 24 * HOUR;
pub const MAX_AGE: u64 = 60 * DAY;
/// How long caches keep records.
pub const TTL: u64 = HOUR;

pub fn domain() -> Domain {
    Domain::parse("company2.example").unwrap()
}

pub fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

pub fn verified(text: &str) -> VerifiedPolicy {
    SignedPolicy::parse(text.as_bytes()).unwrap().verify(&domain()).unwrap()
}

/// What the one server of the zone has.
#[derive(Debug, Default)]
pub struct Zone(Mutex<BTreeMap<String, Vec<String>>>);

impl Zone {
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.0.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    pub fn policy(&self) -> String {
        let texts = self.texts(&policy_name(&domain()));
        assert_eq!(texts.len(), 1, "{texts:?}");
        texts[0].clone()
    }
}

impl Publisher for Zone {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        let mut zone = self.0.lock().unwrap();
        for change in changes {
            let texts = zone.entry(change.name.clone()).or_default();
            texts.retain(|text| *text != change.value);
            if change.action == Action::Add {
                texts.push(change.value.clone());
            }
        }
        Box::pin(async { Ok(Published::Done) })
    }

    fn way(&self) -> Way {
        Way::Update
    }
}

/// A visit takes no time.
struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
}

impl Sightings for Zone {
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a> {
        let records = self.texts(name.as_str()).into_iter().map(String::into_bytes).collect();
        let seen = Seen { server: "ns.example".to_owned(), records: Ok(records) };
        Box::pin(async { Sighting { servers: vec![seen], settle: TTL } })
    }
}

/// The domain that publishes.
pub struct Publishing {
    _directory: tempfile::TempDir,
    pub keys: PathBuf,
    pub zone: Arc<Zone>,
    pub keeper: Keeper,
    pub now: u64,
    pub events: Vec<(u64, Event)>,
}

impl Publishing {
    /// A domain with all its keys, whose policy is published.
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        let mut keyring = Keyring::create(&keys).unwrap();
        let identity = IdentityKey::generate(&mut rng());
        let signing = SigningKey::generate(&mut rng());
        let sealing = [Suite::XWing, Suite::X25519]
            .map(|suite| StoredKey::new(SealingPrivateKey::generate(suite, &mut rng()).unwrap()));
        let draft = PolicyDraft {
            mode: Mode::Enforce,
            serial: NOW,
            expiry: NOW + 30 * DAY,
            max_age: MAX_AGE,
            window: DEFAULT_WINDOW,
            signing_keys: vec![signing.public().clone()],
            sealing_keys: sealing
                .iter()
                .map(|s| SealingEntry::of(s.key.public(), &s.selector.parse().unwrap()))
                .collect(),
            outgoing_always: false,
            rollover: None,
            next_identity: None,
        };
        keyring.set_policy(&draft.sign(&domain(), &identity).unwrap()).unwrap();
        keyring.add_identity(identity).unwrap();
        keyring.add_signing(signing).unwrap();
        for stored in sealing {
            keyring.add_sealing(stored).unwrap();
        }
        let zone = Arc::new(Zone::default());
        let publisher: Arc<dyn Publisher> = Arc::<Zone>::clone(&zone);
        let sightings: Arc<dyn Sightings> = Arc::<Zone>::clone(&zone);
        let keeper = Keeper {
            passphrase: None,
            domain: domain(),
            at: domain(),
            keys: keys.clone(),
            schedule: Schedule::default(),
            ttl: 3_600,
            selectors: Arc::new([]),
            publisher,
            sightings,
            clock: Arc::new(Still),
        };
        let mut made =
            Self { _directory: directory, keys, zone, keeper, now: NOW, events: Vec::new() };
        made.tend().await;
        made
    }

    pub fn desk(&self) -> Desk {
        Desk::open(&self.keys, &domain(), None, self.now).unwrap()
    }

    pub fn made(&self) -> Made<'_> {
        Made { at: &self.keeper.at, selectors: &[] }
    }

    pub async fn tend(&mut self) -> Tended {
        let tended = self.keeper.tend(self.now).await.unwrap();
        self.events.extend(tended.events.iter().map(|event| (self.now, event.clone())));
        tended
    }

    /// Lets time pass, with a visit every twelve hours; `seen` looks on after each.
    pub async fn until(&mut self, then: u64, mut seen: impl FnMut(&Self)) {
        while self.now < then {
            self.now = (self.now + 12 * HOUR).min(then);
            let tended = self.tend().await;
            assert_eq!(tended.concerns, [], "on day {}", self.day());
            seen(self);
        }
    }

    pub async fn pass(&mut self, seconds: u64) {
        self.until(self.now + seconds, |_| {}).await;
    }

    /// Days since the beginning.
    pub fn day(&self) -> u64 {
        (self.now - NOW) / DAY
    }

    pub fn policy(&self) -> VerifiedPolicy {
        verified(&self.zone.policy())
    }

    pub fn identity(&self) -> KeyId {
        self.policy().identity().fingerprint()
    }

    pub async fn roll(&mut self) -> KeyId {
        let schedule = self.keeper.schedule;
        let id = self.desk().roll_identity(None, Roll::default(), &schedule, self.now, &mut rng());
        let id = id.unwrap();
        self.tend().await;
        assert_eq!(self.identity(), id);
        id
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.keys.join(name)
    }

    /// Takes a file of the keyring to another place: its text.
    pub fn take_away(&self, name: &str) -> String {
        let text = fs::read_to_string(self.file(name)).unwrap();
        fs::remove_file(self.file(name)).unwrap();
        text
    }
}

/// Somebody who sends to the domain.
#[derive(Clone)]
pub struct Partner {
    pub local: LocalPolicy,
    pub memory: Option<Memory>,
}

impl Partner {
    pub fn new() -> Self {
        Self { local: LocalPolicy::default(), memory: None }
    }

    /// One that has known the domain for long: nothing but the domain's own wish bounds its memory.
    pub fn acquainted(of: &Publishing) -> Self {
        let mut partner = Self::new();
        partner.look(of);
        let memory = partner.memory.as_mut().unwrap();
        memory.hold = Hold::Firm;
        memory.enforce_until = Some(of.now + MAX_AGE);
        partner
    }

    pub fn pinned(of: &Publishing) -> Self {
        let mut partner = Self::new();
        partner.local.pin = Some(of.identity());
        partner.look(of);
        partner
    }

    /// Sends mail now, in a world without DNSSEC.
    pub fn look(&mut self, of: &Publishing) -> Verdict {
        self.look_at(&of.zone.policy(), of, Authenticity::Insecure)
    }

    pub fn look_at(&mut self, text: &str, of: &Publishing, authenticity: Authenticity) -> Verdict {
        let policy = verified(text);
        let remembered = self.memory.as_ref().and_then(|memory| memory.key.as_ref());
        let keys = wanted_keys(&policy, remembered)
            .into_iter()
            .map(|wanted| {
                let texts = of.zone.texts(&key_record_name(&wanted.selector, &domain()));
                let record = match texts.as_slice() {
                    [text] => KeyRecord::parse(text.as_bytes()).map_err(|_| KeyFailure::Malformed),
                    _ => Err(KeyFailure::Missing),
                };
                FetchedKey { selector: wanted.selector, record }
            })
            .collect();
        let outcome = Outcome::Found(Box::new(FoundPolicy { policy, authenticity, keys }));
        let memory = self.memory.as_ref();
        let verdict = decide(&self.local, &outcome, memory, Demand::Absent, of.now);
        if let MemoryUpdate::Store(memory) = &verdict.memory {
            self.memory = Some((**memory).clone());
        }
        verdict
    }

    /// Sends mail, which is sealed to the key just published, at this level.
    pub fn follows(&mut self, of: &Publishing) -> (mta_seal::policy::Level, Vec<Alarm>) {
        let verdict = self.look(of);
        let Decision::Seal { level, source, policy, .. } = verdict.decision else {
            panic!("on day {}: {:?}", of.day(), verdict.decision)
        };
        assert_eq!(source, mta_seal::policy::Source::Dns, "on day {}", of.day());
        assert_eq!(policy.text(), of.zone.policy());
        (level, verdict.alarms)
    }
}
