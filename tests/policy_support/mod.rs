//! Domains, keys, policies and memories for the tests of the decision.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    dead_code,
    unreachable_pub
)]

pub mod draft;

use std::sync::LazyLock;

use mta_seal::core::{
    Domain, IdentityKey, KeyId, SealingPrivateKey, SealingPublicKey, SigningKey, Suite,
    VerifyingKey,
};
use mta_seal::policy::{
    Authenticity, FetchedKey, FoundPolicy, Hold, KeyFailure, Level, Memory, Outcome,
};
use mta_seal::records::{
    KeyRecord, Mode, PolicyDraft, Rollover, SealingEntry, Selector, SignedPolicy, VerifiedPolicy,
};

pub const NOW: u64 = 1_800_000_000;
pub const HOUR: u64 = 3600;
pub const DAY: u64 = 24 * HOUR;

pub fn domain() -> Domain {
    Domain::parse("company2.example").unwrap()
}

pub fn identity(seed: u8) -> IdentityKey {
    IdentityKey::from_bytes(&[seed; 32])
}

/// The identity that memories hold.
pub const OWN: u8 = 1;
/// The one that its policies announce.
pub const ANNOUNCED: u8 = 2;
/// One that has nothing to do with it.
pub const STRANGER: u8 = 3;
/// One that rollover statements name.
pub const SUCCESSOR: u8 = 4;
/// One that [`OWN`] may have succeeded.
pub const ROOT: u8 = 5;

pub fn fingerprint(seed: u8) -> KeyId {
    // Deriving keys is slow, and some tests ask a million times.
    static OF: LazyLock<[KeyId; 6]> =
        LazyLock::new(|| std::array::from_fn(|seed| identity(seed as u8).fingerprint()));
    OF[usize::from(seed)]
}

pub fn signing_key(seed: u8) -> VerifyingKey {
    SigningKey::from_bytes(&[seed; 32]).public().clone()
}

pub fn key(suite: Suite, seed: u8) -> SealingPublicKey {
    let key = SealingPrivateKey::from_bytes(suite, &[seed; 32]).unwrap();
    key.public().clone()
}

/// The key that memories hold.
pub fn old_key() -> SealingPublicKey {
    static KEY: LazyLock<SealingPublicKey> = LazyLock::new(|| key(Suite::X25519, 10));
    KEY.clone()
}

/// The key that new policies carry.
pub fn new_key() -> SealingPublicKey {
    static KEY: LazyLock<SealingPublicKey> = LazyLock::new(|| key(Suite::X25519, 11));
    KEY.clone()
}

/// The key that new policies list and prefer.
pub fn large_key() -> SealingPublicKey {
    static KEY: LazyLock<SealingPublicKey> = LazyLock::new(|| key(Suite::XWing, 12));
    KEY.clone()
}

pub fn selector() -> Selector {
    "k1".parse().unwrap()
}

pub fn entry(key: &SealingPublicKey) -> SealingEntry {
    SealingEntry::of(key, &selector())
}

/// A policy in the making; by default in force at [`NOW`], of mode `enforce`, by [`OWN`].
#[derive(Clone)]
pub struct Policy {
    pub domain: Domain,
    pub identity: u8,
    pub draft: PolicyDraft,
}

pub fn policy() -> Policy {
    Policy {
        domain: domain(),
        identity: OWN,
        draft: PolicyDraft {
            mode: Mode::Enforce,
            serial: NOW - 500,
            expiry: NOW + 30 * DAY,
            max_age: 60 * DAY,
            window: 14 * DAY,
            signing_keys: vec![signing_key(20)],
            sealing_keys: vec![entry(&new_key())],
            outgoing_always: false,
            rollover: None,
            next_identity: None,
        },
    }
}

impl Policy {
    pub fn with(mut self, change: impl FnOnce(&mut PolicyDraft)) -> Self {
        change(&mut self.draft);
        self
    }

    pub fn mode(self, mode: Mode) -> Self {
        self.with(|d| d.mode = mode)
    }

    pub fn of(mut self, domain: Domain) -> Self {
        self.domain = domain;
        self
    }

    pub fn by(mut self, identity: u8) -> Self {
        self.identity = identity;
        self
    }

    /// Adds a statement by `former` that this policy's identity succeeds it.
    pub fn succeeding(self, former: u8) -> Self {
        let new = identity(self.identity);
        let old = identity(former);
        let domain = self.domain.clone();
        self.with(|d| {
            d.rollover = Rollover::sign(&old, &domain, new.public(), d.serial, d.expiry);
        })
    }

    pub fn sign(&self) -> VerifiedPolicy {
        let text = self.draft.sign(&self.domain, &identity(self.identity)).unwrap();
        let policy = SignedPolicy::parse(text.as_bytes()).unwrap();
        policy.verify(&self.domain).unwrap()
    }

    pub fn found(&self, authenticity: Authenticity) -> Outcome {
        self.found_with(authenticity, Vec::new())
    }

    pub fn found_with(&self, authenticity: Authenticity, keys: Vec<FetchedKey>) -> Outcome {
        Outcome::Found(Box::new(FoundPolicy { policy: self.sign(), authenticity, keys }))
    }

    pub fn secure(&self) -> Outcome {
        self.found(Authenticity::Secure)
    }

    pub fn insecure(&self) -> Outcome {
        self.found(Authenticity::Insecure)
    }
}

/// The result of looking up [`large_key`].
pub fn fetched(failure: Option<KeyFailure>) -> Vec<FetchedKey> {
    let record = match failure {
        None => Ok(KeyRecord::new(large_key())),
        // A well-formed record of another key: the decision itself must see that.
        Some(KeyFailure::Mismatch) => Ok(KeyRecord::new(key(Suite::XWing, 13))),
        Some(failure) => Err(failure),
    };
    vec![FetchedKey { selector: selector(), record }]
}

/// The policy that memories hold: by [`OWN`], with [`old_key`].
pub fn remembered_policy(mode: Mode) -> Policy {
    policy().mode(mode).with(|d| {
        d.serial = NOW - 1000;
        d.sealing_keys = vec![entry(&old_key())];
        d.next_identity = Some(fingerprint(ANNOUNCED));
    })
}

/// A memory of that policy, seen an hour ago.
pub fn memory(mode: Mode) -> Memory {
    let last_seen = NOW - HOUR;
    Memory {
        policy: remembered_policy(mode).sign(),
        key: (mode != Mode::None).then(old_key),
        level: Level::FirstUse,
        hold: Hold::Growing { seconds: 2 * DAY, counted_at: last_seen },
        pinned_root: None,
        first_seen: last_seen,
        last_seen,
        enforce_until: (mode == Mode::Enforce).then_some(last_seen + 2 * DAY),
    }
}
