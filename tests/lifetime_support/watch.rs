//! Watches the keys of a domain, from outside: what was listed until when, and that private keys end on time.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mta_seal::core::{KeyId, Suite};
use mta_seal::gateway::rotation::{Event, Tended};
use mta_seal::lifetime::{Book, Concern, Kind};
use mta_seal::records::{MAX_KEYS, SealingEntry};
use mta_seal::store::keyring::{Find, Keyring};

use super::party::{files, listed, policy_of};
use super::{DAY, HOUR, Party};

/// Expiry of the last policy that lists a key, as far as anybody can have seen it, and as far as the domain may have meant it.
#[derive(Debug, Clone, Copy, Default)]
struct Expiry {
    seen: u64,
    meant: u64,
}

#[derive(Default)]
pub struct Watch {
    expiry: HashMap<KeyId, Expiry>,
    /// The private parts as they stand in their files.
    secrets: HashMap<KeyId, Vec<u8>>,
    /// When a signing key has signed last.
    used: HashMap<KeyId, u64>,
    current: HashMap<Kind, KeyId>,
    /// When another key took its place, by kind.
    pub successions: BTreeMap<Kind, Vec<u64>>,
    /// The latest time by the domain's own clock, while that is believed.
    latest: u64,
    /// Private keys that were destroyed.
    pub destroyed: Vec<(KeyId, u64)>,
}

impl Watch {
    /// When the private part of a key may go at the earliest.
    fn may_end(&self, id: &KeyId, window: u64) -> Option<u64> {
        let expiry = self.expiry.get(id).filter(|expiry| expiry.seen > 0)?;
        Some(expiry.seen + window + HOUR)
    }

    /// A policy with these keys may have been meant, whatever has become of it.
    pub fn meant(&mut self, id: KeyId, expiry: u64) {
        let known = self.expiry.entry(id).or_default();
        known.meant = known.meant.max(expiry);
    }

    pub fn signed(&mut self, id: KeyId, now: u64) {
        self.used.insert(id, now);
    }

    /// What a visit at `now`, by the domain's own clock, has brought.
    pub fn tended(&mut self, party: &Party, tended: &Tended, now: u64) {
        let settling = tended.concerns.iter().any(|c| matches!(c, Concern::Clock { .. }));
        self.events(party, &tended.events, now, settling);
        if !settling {
            self.latest = self.latest.max(now);
        }
        let keyring = self.observe(party, now);
        let policy = policy_of(&keyring, &party.domain);
        let record = policy.record();
        assert!(settling || now < record.expiry, "the policy has run out");
        for (id, expiry) in &self.expiry {
            let end = expiry.meant.max(expiry.seen) + record.window + HOUR;
            let current = record.sealing_keys.iter().any(|e| e.key_id() == Some(*id));
            match keyring.find(id) {
                Find::Found(_) => {
                    assert!(
                        settling || current || now < end,
                        "{id} should have ended at {end}, now {now}"
                    );
                }
                Find::Destroyed => {
                    let may = self.may_end(id, record.window).unwrap_or(0);
                    assert!(self.latest >= may, "{id} has ended before {may}, now {now}");
                    assert!(!current, "{id} has ended while it is listed");
                }
                // Made by a crash that did not happen.
                Find::Unknown => assert_eq!(expiry.seen, 0, "{id} has gone without a trace"),
            }
        }
    }

    /// What was done, or would be.
    pub fn events(&mut self, party: &Party, events: &[Event], now: u64, settling: bool) {
        let window = party.policy().record().window;
        for event in events {
            match event {
                Event::Signed { expiry, sealing, .. } => {
                    assert!(!settling, "signed while the clock settles");
                    sealing.iter().for_each(|id| self.meant(*id, *expiry));
                }
                Event::Destroyed(kind, id) => {
                    assert!(!settling, "{kind} {id} destroyed while the clock settles");
                    if let Kind::Sealing(_) = kind {
                        let may = self.may_end(id, window).unwrap_or(0);
                        assert!(now >= may, "{kind} {id} destroyed at {now}, before {may}");
                    }
                    self.destroyed.push((*id, now));
                }
                _ => {}
            }
        }
    }

    /// Looks at the keyring as it is.
    pub fn observe(&mut self, party: &Party, now: u64) -> Rc<Keyring> {
        let keyring = party.keyring();
        let policy = policy_of(&keyring, &party.domain);
        let record = policy.record();
        for stored in keyring.sealing_keys() {
            if self.secrets.contains_key(&stored.key.key_id()) {
                continue;
            }
            let text = BASE64_STANDARD.encode(stored.key.to_bytes().as_slice());
            self.secrets.insert(stored.key.key_id(), text.into_bytes());
        }
        for key in keyring.signing_keys() {
            if self.secrets.contains_key(&key.key_id()) {
                continue;
            }
            let pem = key.to_pem().unwrap();
            let text = pem.lines().find(|line| !line.starts_with('-')).unwrap();
            self.secrets.insert(key.key_id(), text.as_bytes().to_vec());
        }
        for id in record.sealing_keys.iter().filter_map(SealingEntry::key_id) {
            let known = self.expiry.entry(id).or_default();
            known.seen = known.seen.max(record.expiry);
            known.meant = known.meant.max(record.expiry);
        }
        // There is always something to seal to and something to sign with.
        let usable = |suite| {
            listed(&policy, suite).is_some_and(|id| matches!(keyring.find(&id), Find::Found(_)))
        };
        assert!(usable(Suite::XWing) && usable(Suite::X25519), "a suite has no usable key");
        let first = record.signing_keys[0].key_id();
        assert!(
            keyring.signing_keys().iter().any(|key| key.key_id() == first),
            "nothing to sign with"
        );
        assert!(record.sealing_keys.len() == 2 && record.signing_keys.len() <= MAX_KEYS);
        // What is not believed counts for nothing.
        let settling = |text| Book::parse(text).unwrap().settling(now).is_some();
        let settles = keyring.book().is_some_and(settling);
        let believed = if settles { self.latest } else { self.latest.max(now) };
        for (id, last) in &self.used {
            let lists = record.signing_keys.iter().any(|key| key.key_id() == *id);
            // A clock is moved by two hours at the most.
            assert!(
                lists || believed + 3 * HOUR > last + 30 * DAY,
                "{id} is not listed for long enough: it signed at {last}, now {now}"
            );
        }
        let mut current = vec![(Kind::Signing, first)];
        for suite in [Suite::XWing, Suite::X25519] {
            current.extend(listed(&policy, suite).map(|id| (Kind::Sealing(suite), id)));
        }
        for (kind, id) in current {
            if self.current.insert(kind, id).is_some_and(|before| before != id) {
                self.successions.entry(kind).or_default().push(now);
            }
        }
        keyring
    }

    /// Whether what is on the disk opens nothing that was destroyed.
    pub fn nothing_is_left(&self, party: &Party) {
        let keyring = party.keyring();
        for (path, octets) in files(party.keys()) {
            for (id, secret) in &self.secrets {
                let gone = keyring.signing_keys().iter().all(|key| key.key_id() != *id)
                    && !matches!(keyring.find(id), Find::Found(_));
                let found = octets.windows(secret.len()).any(|part| part == secret);
                assert!(!(gone && found), "{} holds the destroyed key {id}", path.display());
            }
        }
    }
}
