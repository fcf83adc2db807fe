//! An organisation: a domain, its keys and the policy that it publishes.

use std::path::Path;

use mta_seal::core::{Domain, IdentityKey, SealingPrivateKey, SigningKey, Suite};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::LocalKeys;
use mta_seal::records::{
    KeyRecord, Mode, PolicyDraft, SealingEntry, Selector, key_record_name, policy_name,
};
use mta_seal::store::keyring::{Keyring, StoredKey};

use super::{DAY, NOW};

#[derive(Clone)]
pub struct Org {
    pub domain: Domain,
    pub seed: u8,
    pub suites: Vec<Suite>,
}

impl Org {
    pub fn new(name: &str, seed: u8) -> Self {
        Self { domain: Domain::parse(name).unwrap(), seed, suites: vec![Suite::X25519] }
    }

    pub fn identity(&self) -> IdentityKey {
        IdentityKey::from_bytes(&[self.seed; 32])
    }

    pub fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&[self.seed + 1; 32])
    }

    pub fn sealing(&self, suite: Suite) -> SealingPrivateKey {
        SealingPrivateKey::from_bytes(suite, &[self.seed + 2; 32]).unwrap()
    }

    /// The key that senders prefer.
    pub fn first_key(&self) -> SealingPrivateKey {
        self.sealing(self.suites[0])
    }

    fn stored(&self) -> Vec<StoredKey> {
        self.suites.iter().map(|suite| StoredKey::new(self.sealing(*suite))).collect()
    }

    pub fn draft(&self) -> PolicyDraft {
        let entry = |stored: &StoredKey| {
            let selector: Selector = stored.selector.parse().unwrap();
            SealingEntry::of(stored.key.public(), &selector)
        };
        PolicyDraft {
            mode: Mode::Enforce,
            serial: NOW - 500,
            expiry: NOW + 30 * DAY,
            max_age: 60 * DAY,
            window: 14 * DAY,
            signing_keys: vec![self.signing().public().clone()],
            sealing_keys: self.stored().iter().map(entry).collect(),
            outgoing_always: false,
            rollover: None,
            next_identity: None,
        }
    }

    pub fn policy(&self) -> String {
        self.draft().sign(&self.domain, &self.identity()).unwrap()
    }

    pub fn policy_name(&self) -> Domain {
        Domain::from_canonical(policy_name(&self.domain).as_bytes()).unwrap()
    }

    pub fn publish(&self, dns: &Scripted) {
        self.publish_text(dns, &self.policy());
    }

    pub fn publish_text(&self, dns: &Scripted, policy: &str) {
        let insecure = Authenticity::Insecure;
        dns.set_txt(self.policy_name(), &[policy.as_bytes()], insecure);
        for (name, record) in self.key_records() {
            dns.set_txt(name, &[record.as_bytes()], insecure);
        }
    }

    /// The keys that do not fit into the policy: name and text of their records.
    pub fn key_records(&self) -> Vec<(Domain, String)> {
        let large = self.stored().into_iter().filter(|s| !s.key.suite().is_inline());
        let record = |stored: StoredKey| {
            let selector: Selector = stored.selector.parse().unwrap();
            let name = key_record_name(&selector, &self.domain);
            let name = Domain::from_canonical(name.as_bytes()).unwrap();
            (name, KeyRecord::new(stored.key.public().clone()).to_string())
        };
        large.map(record).collect()
    }

    /// The keyring of the domain in `directory`, made if it is not there.
    pub fn keys(&self, directory: &Path) -> LocalKeys {
        if !directory.exists() {
            let mut keyring = Keyring::create(directory).unwrap();
            keyring.add_signing(self.signing()).unwrap();
            for stored in self.stored() {
                keyring.add_sealing(stored).unwrap();
            }
            keyring.set_policy(&self.policy()).unwrap();
        }
        LocalKeys::load(directory, &self.domain).unwrap()
    }
}
