//! The keyring and its book on the desk of whoever has the right to change them: steps are carried out here.

mod identity;

use std::path::Path;

pub use identity::{Ask, IdentityError, MAX_WEEKS, NotTaken, Roll};

use rand_core::CryptoRng;

use super::rival::Rivals;
use super::sighting::Sighting;
use crate::core::{Domain, KeyError, KeyId, SealingPrivateKey, SigningKey, VerifyingKey};
use crate::gateway::config::LocalDomain;
use crate::gateway::own_policy::{PolicyError, own_policy, verified};
use crate::lifetime::{
    Book, BookError, Concern, Kind, Life, Lists, Plan, Schedule, Step, View, end, names, plan,
    wanted,
};
use crate::records::{
    DraftError, KeyRecord, PolicyDraft, PolicyRecord, SealingEntry, Selector, Validity, ValueError,
    VerifiedPolicy,
};
use crate::store::keyring::{Keyring, KeyringError, Passphrase, StoredKey};
use crate::store::ledger::{ActionKind, NewAction};
use crate::store::replace::Replacing;

/// Most steps of one sitting: more are due only if something goes round in circles.
const MAX_STEPS: usize = 64;

/// Why the keys of a domain cannot be tended.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The keyring cannot be read or written.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The keyring holds no policy of this domain, or another text is none.
    #[error("policy record: {0}")]
    Policy(#[from] PolicyError),
    /// What is known of the lifetimes cannot be read.
    #[error("lifetimes.json: {0}")]
    Book(#[from] BookError),
    /// A key cannot be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] KeyError),
    /// A selector is no label.
    #[error("selector: {0}")]
    Selector(#[from] ValueError),
    /// A policy cannot be signed.
    #[error("cannot sign the policy: {0}")]
    Draft(#[from] DraftError),
    /// The identity key is not here.
    #[error("the identity key is not in the keyring")]
    NoIdentity,
    /// The identity key that is here has no right to sign.
    #[error(
        "the identity key in the keyring ({here}) is neither the one that the policy names ({named}) nor its proven successor"
    )]
    OtherIdentity {
        /// Fingerprint of the key that the policy names.
        named: KeyId,
        /// Fingerprint of the key that is here.
        here: KeyId,
    },
    /// A key that is to be listed is not here.
    #[error("key {0} is not in the keyring")]
    Missing(KeyId),
    /// No configured selector is free.
    #[error("no selector is free for a new key: configure more")]
    NoSelector,
    /// The work was broken off.
    #[error("broken off: {0}")]
    Ended(String),
}

/// What a key is made as.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Where the records stand: the domain, or what it delegates to.
    pub at: &'a Domain,
    /// Selectors that are used in turn; none: each key has one of its own.
    pub selectors: &'a [Selector],
}

impl<'a> Made<'a> {
    /// As the configuration of the domain says.
    #[must_use]
    pub fn of(local: &'a LocalDomain) -> Self {
        Self { at: local.records_under(), selectors: &local.publication.selectors }
    }
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key was made.
    Made(Kind, KeyId),
    /// A policy was signed and put into the keyring.
    Signed {
        /// Its serial.
        serial: u64,
        /// Its expiry, Unix seconds.
        expiry: u64,
        /// The sealing keys that it lists.
        sealing: Vec<KeyId>,
    },
    /// A policy that was signed elsewhere was put into the keyring.
    Installed(u64),
    /// The private part of a key was destroyed.
    Destroyed(Kind, KeyId),
    /// A rollover of the identity key is over.
    RolloverEnded {
        /// Fingerprint of the former key.
        former: KeyId,
        /// Whether it was here, and was destroyed.
        destroyed: bool,
    },
    /// The private part of a key is not in the keyring, though nobody has destroyed it.
    Lost(Kind, KeyId),
    /// Files that a crash had left were erased.
    Swept(usize),
    /// A record was handed over for publication.
    Published(String),
    /// A record was withdrawn.
    Withdrawn(String),
    /// A record is seen at every server.
    Visible(String),
}

/// An open keyring with its book. Others wait until it is dropped.
pub struct Desk {
    domain: Domain,
    /// The keys.
    pub keyring: Keyring,
    /// What is known of them.
    pub book: Book,
    policy: VerifiedPolicy,
    ahead: Vec<VerifiedPolicy>,
    /// A policy in DNS over which nothing is signed or published.
    rival: Option<VerifiedPolicy>,
    /// As it is on the disk.
    stored: Option<Book>,
    _right: Replacing,
}

impl Desk {
    /// Waits for the right to change the keyring and opens it. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be read, or somebody else keeps the right.
    pub fn open(
        directory: &Path,
        domain: &Domain,
        passphrase: Option<&Passphrase>,
        now: u64,
    ) -> Result<Self, DeskError> {
        let right = Keyring::lock(directory)?;
        let keyring = Keyring::load_with(directory, passphrase)?;
        let policy = own_policy(&keyring, domain)?;
        let ahead = keyring
            .ahead()
            .map(|text| verified(text, domain))
            .collect::<Result<_, PolicyError>>()?;
        let stored = keyring.book().map(Book::parse).transpose()?;
        let mut book = stored.clone().unwrap_or_default();
        let sealing = keyring.sealing_keys().iter().map(|stored| {
            let key = &stored.key;
            let selector = (!key.suite().is_inline()).then(|| stored.selector.clone());
            (Kind::Sealing(key.suite()), key.key_id(), selector)
        });
        let signing = keyring.signing_keys().iter().map(|key| (Kind::Signing, key.key_id(), None));
        book.adopt(sealing.chain(signing).collect::<Vec<_>>(), &policy, now);
        let domain = domain.clone();
        Ok(Self { domain, keyring, book, policy, ahead, rival: None, stored, _right: right })
    }

    /// Heeds what the servers have at the name of the policy: from then on nothing is signed or published over a later policy that was
    /// signed elsewhere with the identity key, and earlier ones are withdrawn [R-life-15].
    pub fn heed(&mut self, sighting: &Sighting, made: Made<'_>, now: u64) {
        let name = names(made.at).policy();
        let known = |text: &str| {
            self.policy.text() == text
                || self.ahead.iter().any(|ahead| ahead.text() == text)
                || self.book.stands.iter().any(|stand| stand.name == name && stand.value == text)
        };
        let rivals = Rivals::of(sighting, &self.domain, &self.policy, known, now);
        for policy in rivals.later.iter().chain(&rivals.earlier) {
            // Somebody may seal to the keys that it lists [R-life-04].
            self.book.heed(policy.record());
        }
        let counts = self.policy.validity(now) == Validity::InForce;
        if counts && rivals.later.is_none() && self.book.settling(now).is_none() {
            for policy in &rivals.earlier {
                self.book.strike(&name, policy.text(), now);
            }
        }
        self.rival = rivals.later;
    }

    /// Whether somebody else signs and publishes for the domain.
    #[must_use]
    pub fn has_rival(&self) -> bool {
        self.rival.is_some()
    }

    /// The policy in the keyring.
    #[must_use]
    pub fn policy(&self) -> &VerifiedPolicy {
        &self.policy
    }

    /// Policies for times to come.
    #[must_use]
    pub fn ahead(&self) -> Vec<PolicyRecord> {
        self.ahead.iter().map(|policy| policy.record().clone()).collect()
    }

    /// When the private part of a key is destroyed, Unix seconds; none while it is in use or to be used.
    #[must_use]
    pub fn end_of(&self, life: &Life, now: u64) -> Option<u64> {
        end(life, self.policy.record(), &self.ahead(), now)
    }

    /// What is due.
    #[must_use]
    pub fn plan(&self, schedule: &Schedule, made: Made<'_>, now: u64) -> Plan {
        let mut plan = plan(&View {
            now,
            book: &self.book,
            policy: self.policy.record(),
            schedule,
            identity: self.keyring.identity().is_some(),
            ahead: &self.ahead(),
            selector: made.selectors.is_empty() || self.free(made, now).is_some(),
        });
        let lacking = self.lacks_former();
        plan.concerns.extend(lacking.map(|former| Concern::FormerMissing { former }));
        if let Some(rival) = &self.rival {
            // Whatever the records lack is that one's matter; keys are destroyed as ever.
            plan.steps.retain(|step| matches!(step, Step::Destroy(_)));
            plan.concerns.retain(|concern| matches!(concern, Concern::Clock { .. }));
            plan.concerns.push(Concern::AnotherSigner { serial: rival.record().serial });
        }
        plan
    }

    /// Does everything that is due, and returns what is left to be told. After an error what was done before it stands.
    ///
    /// # Errors
    ///
    /// A step cannot be done; the keys that are in use stay in use.
    pub fn work(
        &mut self,
        schedule: &Schedule,
        made: Made<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
        events: &mut Vec<Event>,
    ) -> Result<Plan, DeskError> {
        // Whoever sits down: nothing is signed or destroyed by a clock that has just jumped [R-life-09].
        self.book.look(now);
        self.miss(now, events);
        let swept = self.keyring.sweep()?;
        if swept > 0 {
            events.push(Event::Swept(swept));
        }
        let mut left = MAX_STEPS;
        loop {
            let mut plan = self.plan(schedule, made, now);
            if plan.steps.is_empty() || left == 0 {
                self.book.prune(now);
                self.want(made, now);
                self.save(now)?;
                return Ok(plan);
            }
            // A key is not destroyed before the policy that does without it is signed, and that waits for new keys.
            if plan.steps.iter().any(|step| matches!(step, Step::Make(_))) {
                plan.steps.retain(|step| matches!(step, Step::Make(_)));
            }
            left = left.saturating_sub(plan.steps.len());
            for step in std::mem::take(&mut plan.steps) {
                events.push(self.step(step, schedule, made, now, rng)?);
            }
        }
    }

    /// Gives up keys of which only the book knows: what was never listed is forgotten, anything else counts as destroyed.
    fn miss(&mut self, now: u64, events: &mut Vec<Event>) {
        let sealing = self.keyring.sealing_keys().iter().map(|stored| stored.key.key_id());
        let here: Vec<KeyId> =
            sealing.chain(self.keyring.signing_keys().iter().map(SigningKey::key_id)).collect();
        self.book.keys.retain(|life| {
            life.destroyed.is_some() || life.listing.is_some() || here.contains(&life.id)
        });
        for life in &mut self.book.keys {
            let ended = self.keyring.is_destroyed(&life.id);
            if life.destroyed.is_none() && !here.contains(&life.id) {
                life.destroyed = Some(now);
                if ended {
                    // A crash came before that was written down.
                    events.push(Event::Destroyed(life.kind, life.id));
                } else {
                    life.noted = true;
                    events.push(Event::Lost(life.kind, life.id));
                }
            } else if life.destroyed.is_some() && !ended && here.contains(&life.id) {
                // Somebody has put it back.
                (life.destroyed, life.noted) = (None, false);
            }
        }
    }

    fn step(
        &mut self,
        step: Step,
        schedule: &Schedule,
        made: Made<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Event, DeskError> {
        match step {
            Step::Make(kind) => {
                let inline = matches!(kind, Kind::Sealing(suite) if suite.is_inline());
                let ready = inline.then(|| schedule.takes_up(now));
                Ok(Event::Made(kind, self.make(kind, ready, made, now, rng)?))
            }
            Step::Sign { lists, serial, expiry } => {
                self.sign(&lists, serial, expiry, now)?;
                Ok(Event::Signed { serial, expiry, sealing: lists.sealing })
            }
            Step::Install(serial) => {
                self.install(serial, now)?;
                Ok(Event::Installed(serial))
            }
            Step::Destroy(id) => {
                let kind = self.destroy(&id, now)?;
                Ok(Event::Destroyed(kind, id))
            }
            Step::EndRollover(former) => self.end_rollover(former, now),
        }
    }

    /// Makes a key and enters it; `ready` if it is known already from when on it can be used, Unix seconds.
    ///
    /// # Errors
    ///
    /// The file system refuses, or no selector is free.
    pub fn make(
        &mut self,
        kind: Kind,
        ready: Option<u64>,
        made: Made<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyId, DeskError> {
        let (id, selector) = match kind {
            Kind::Signing => {
                let key = SigningKey::generate(rng);
                let id = key.key_id();
                self.keyring.add_signing(key)?;
                (id, None)
            }
            Kind::Sealing(suite) => {
                let mut stored = StoredKey::new(SealingPrivateKey::generate(suite, rng)?);
                if !suite.is_inline() && !made.selectors.is_empty() {
                    self.free(made, now)
                        .ok_or(DeskError::NoSelector)?
                        .as_str()
                        .clone_into(&mut stored.selector);
                }
                let id = stored.key.key_id();
                let selector = (!suite.is_inline()).then(|| stored.selector.clone());
                self.keyring.add_sealing(stored)?;
                (id, selector)
            }
        };
        self.book.keys.push(Life { ready, ..Life::new(kind, id, selector, now) });
        self.save(now)?;
        Ok(id)
    }

    /// Signs a policy that differs from the one in the keyring in its time and its keys, and puts it in its place.
    fn sign(&mut self, lists: &Lists, serial: u64, expiry: u64, now: u64) -> Result<(), DeskError> {
        let draft = self.listing(lists, serial, expiry)?;
        self.put(&draft, now)
    }

    /// Signs `draft` with the identity key and puts it into the keyring. While a rollover of that key lasts, the policy carries a fresh
    /// statement of the former one, whatever the draft says.
    ///
    /// # Errors
    ///
    /// The identity key is elsewhere or another one, the draft makes no valid policy, or the file system refuses.
    pub fn put(&mut self, draft: &PolicyDraft, now: u64) -> Result<(), DeskError> {
        let text = self.signed(draft)?;
        self.replace_policy(&text, now)
    }

    /// Puts the policy with this serial, which was signed elsewhere, into the keyring.
    fn install(&mut self, serial: u64, now: u64) -> Result<(), DeskError> {
        let Some(next) = self.ahead.iter().find(|policy| policy.record().serial == serial) else {
            return Ok(());
        };
        let text = next.text().to_owned();
        self.replace_policy(&text, now)?;
        self.ahead.retain(|policy| policy.record().serial > serial);
        self.keyring.set_ahead(self.ahead.iter().map(VerifiedPolicy::text))?;
        Ok(())
    }

    /// Puts another policy into the keyring. How long its keys live is written down before anybody can see it [R-life-04].
    ///
    /// # Errors
    ///
    /// It is no policy of this domain, or the file system refuses.
    pub fn replace_policy(&mut self, text: &str, now: u64) -> Result<(), DeskError> {
        let policy = verified(text, &self.domain)?;
        self.book.announce(policy.record());
        self.save(now)?;
        self.keyring.set_policy(text)?;
        self.policy = policy;
        self.book.identify(&self.policy, now);
        for ahead in &self.ahead {
            // If the identity key is another now, it has signed those too.
            self.book.announce(ahead.record());
        }
        self.book.enter(self.policy.record(), now);
        self.book.installed = now;
        self.book.policy_ready = None;
        self.save(now)
    }

    /// Stores policies that were signed elsewhere; how long their keys live is written down first.
    ///
    /// # Errors
    ///
    /// One is no policy of this domain, or the file system refuses.
    pub fn set_ahead(&mut self, policies: Vec<VerifiedPolicy>, now: u64) -> Result<(), DeskError> {
        for policy in &policies {
            self.book.announce(policy.record());
        }
        self.save(now)?;
        self.keyring.set_ahead(policies.iter().map(VerifiedPolicy::text))?;
        self.ahead = policies;
        Ok(())
    }

    /// The keys that were destroyed and are not yet in the audit trail, and what is to be recorded of each.
    #[must_use]
    pub fn to_note(&self) -> Vec<(KeyId, NewAction)> {
        let ended = self.book.keys.iter().filter(|life| !life.noted);
        let ended =
            ended.filter_map(|life| Some((life.kind.to_string(), life.id, life.destroyed?)));
        let rolled = self.book.identity.succession.as_ref().filter(|rolled| !rolled.noted);
        let former = rolled
            .and_then(|rolled| Some(("identity".to_owned(), rolled.former, rolled.destroyed?)));
        let action = |kind: &str, id: KeyId, at: u64| NewAction {
            kind: ActionKind::KeyDestroyed,
            domain: self.domain.clone(),
            detail: format!("{kind} key {id} at {at}"),
        };
        ended.chain(former).map(|(kind, id, at)| (id, action(&kind, id, at))).collect()
    }

    /// Notes that the end of these keys is in the audit trail.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn noted(&mut self, ids: &[KeyId], now: u64) -> Result<(), DeskError> {
        for life in self.book.keys.iter_mut().filter(|life| ids.contains(&life.id)) {
            life.noted = true;
        }
        if let Some(rolled) = &mut self.book.identity.succession {
            rolled.noted |= ids.contains(&rolled.former);
        }
        self.save(now)
    }

    /// Destroys the private part of a key.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn destroy(&mut self, id: &KeyId, now: u64) -> Result<Kind, DeskError> {
        self.keyring.destroy(id, now)?;
        let life = self.book.life_mut(id).ok_or(DeskError::Missing(*id))?;
        life.destroyed = Some(now);
        let kind = life.kind;
        self.save(now)?;
        Ok(kind)
    }

    /// A selector that no key uses.
    fn free<'a>(&self, made: Made<'a>, now: u64) -> Option<&'a Selector> {
        let free = |selector: &&Selector| self.book.is_free(selector.as_str(), names(made.at), now);
        made.selectors.iter().find(free)
    }

    fn entry(&self, id: &KeyId) -> Result<SealingEntry, DeskError> {
        let stored = self.keyring.sealing_keys().iter().find(|stored| stored.key.key_id() == *id);
        let stored = stored.ok_or(DeskError::Missing(*id))?;
        Ok(SealingEntry::of(stored.key.public(), &stored.selector.parse()?))
    }

    fn verifying(&self, id: &KeyId) -> Result<VerifyingKey, DeskError> {
        let own = self.keyring.signing_keys().iter().map(SigningKey::public);
        let listed = self.policy.record().signing_keys.iter();
        own.chain(listed).find(|key| key.key_id() == *id).cloned().ok_or(DeskError::Missing(*id))
    }

    /// The text of a key's record.
    #[must_use]
    pub fn key_record(&self, id: &KeyId) -> Option<String> {
        let stored =
            self.keyring.sealing_keys().iter().find(|stored| stored.key.key_id() == *id)?;
        Some(KeyRecord::new(stored.key.public().clone()).to_string())
    }

    /// Brings what stands to what must stand.
    fn want(&mut self, made: Made<'_>, now: u64) {
        let names = names(made.at);
        let wanted = wanted(&self.book, self.policy.text(), names, |id| self.key_record(id), now);
        self.book.want(wanted, now);
    }

    /// Passes what is known of the records on to the keys that wait for it.
    pub fn settle(&mut self, made: Made<'_>, now: u64) {
        let mut book = std::mem::take(&mut self.book);
        let policy = &self.policy;
        let key_record = |id: &KeyId| self.key_record(id);
        book.settle(policy.record(), policy.text(), names(made.at), key_record, now);
        self.book = book;
    }

    /// Writes the book to the disk, if it says something else than there, be it only that an hour has passed.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn save(&mut self, now: u64) -> Result<(), DeskError> {
        const HOUR: u64 = 3_600;
        let same = self.stored.as_ref().is_some_and(|stored| {
            now.abs_diff(stored.seen) < HOUR
                && Book { seen: stored.seen, ..self.book.clone() } == *stored
        });
        if !same {
            self.keyring.set_book(&self.book.text())?;
            self.stored = Some(self.book.clone());
        }
        Ok(())
    }
}
