//! What must be true of the keys of an organisation, looked at each time that its gateway is at rest.

use std::collections::{HashMap, HashSet};

use mta_seal::core::{KeyId, SealingPrivateKey, SigningKey, Suite};
use mta_seal::records::{SealingEntry, key_record_name, policy_name};

use super::mediator::Mediator;
use super::node::{Node, policy};
use super::zones::Zones;

/// By how much clocks may differ, in seconds: part of the end of each key.
const TOLERANCE: u64 = 3_600;

/// How long nothing is destroyed after a gateway was away, in seconds.
const SETTLING: u64 = 3_600;

/// The keys of one organisation.
pub struct Watch {
    /// How many of the primary's updates were looked at.
    read: usize,
    /// Since when all servers have a key record, by its name.
    visible: HashMap<String, u64>,
    /// Names and texts of key records that were added and are not seen everywhere.
    pending: Vec<(String, String)>,
    /// Every sealing key that a published policy has listed, by suite, in the order of the first listing.
    pub published: HashMap<Suite, Vec<KeyId>>,
    /// When a sealing key that a policy in the keyring has listed ends.
    pub ends: HashMap<KeyId, u64>,
    /// The signing keys in their order, and since when each one signs.
    pub signers: Vec<(KeyId, u64)>,
    /// Keys whose private part is gone.
    pub gone: HashSet<KeyId>,
}

impl Watch {
    pub fn new(node: &Node) -> Self {
        let policy = node.policy();
        let mut watch = Self {
            read: 0,
            visible: HashMap::new(),
            pending: Vec::new(),
            published: HashMap::new(),
            ends: HashMap::new(),
            signers: Vec::new(),
            gone: HashSet::new(),
        };
        for entry in &policy.sealing_keys {
            watch.list(entry);
        }
        watch
    }

    /// Whether no published policy has listed it before.
    fn list(&mut self, entry: &SealingEntry) -> bool {
        let id = entry.key_id().unwrap();
        let suite = entry.suite().unwrap();
        let listed = self.published.entry(suite).or_default();
        let new = !listed.contains(&id);
        if new {
            listed.push(id);
        }
        new
    }

    pub async fn look(&mut self, node: &Node, zones: &Zones, mediator: &Mediator) {
        self.look_at_updates(node, mediator);
        let now = node.now();
        for (name, text) in std::mem::take(&mut self.pending) {
            if zones.all_have(&name, &text).await {
                self.visible.insert(name, now);
            } else {
                self.pending.push((name, text));
            }
        }
        if node.is_running() {
            self.look_at_keys(node);
        }
    }

    /// No key is listed before every server has had its record for a TTL [R-life-02].
    fn look_at_updates(&mut self, node: &Node, mediator: &Mediator) {
        let domain = node.domain();
        let updates = mediator.seen.lock().unwrap()[self.read..].to_vec();
        self.read += updates.len();
        for (added, done) in updates {
            if !done || !added.name.ends_with(domain.as_str()) {
                continue;
            }
            if added.name != policy_name(domain) {
                self.pending.push((added.name, added.text));
                continue;
            }
            for entry in &policy(&added.text, domain).sealing_keys {
                let new = self.list(entry);
                let SealingEntry::Listed { selector, .. } = entry else { continue };
                let name = key_record_name(selector, domain);
                if new {
                    let seen = self.visible.get(&name);
                    let since = seen.unwrap_or_else(|| panic!("{name} is listed and not visible"));
                    assert!(
                        added.at >= since + node.settings.ttl,
                        "{name} is listed {} s after it was visible",
                        added.at - since
                    );
                }
            }
        }
    }

    /// Private keys are there as long as they may be needed, and not longer [R-life-04].
    fn look_at_keys(&mut self, node: &Node) {
        let (now, keyring, policy) = (node.now(), node.keyring(), node.policy());
        let listed: Vec<KeyId> = policy.sealing_keys.iter().filter_map(|e| e.key_id()).collect();
        // Whatever fails, there is a key of each suite [R-life-05].
        assert_eq!(listed.len(), Suite::ALL.len(), "{} lists {listed:?}", node.domain());
        let opens = policy.expiry + policy.window + TOLERANCE;
        for id in &listed {
            let end = self.ends.entry(*id).or_default();
            *end = opens.max(*end);
        }
        let sealing = keyring.sealing_keys().iter().map(|stored| stored.key.key_id());
        let here: HashSet<KeyId> =
            sealing.chain(keyring.signing_keys().iter().map(SigningKey::key_id)).collect();
        for (id, end) in &self.ends {
            if listed.contains(id) || now < *end {
                assert!(here.contains(id), "{} has lost {id} before its end", node.domain());
            } else if now >= end + SETTLING {
                assert!(
                    !here.contains(id),
                    "{} still has {id} at {now}, after {end}",
                    node.domain()
                );
            }
        }
        let signer = policy.signing_keys[0].key_id();
        if self.signers.last().is_none_or(|(last, _)| *last != signer) {
            self.signers.push((signer, now));
        }
        assert!(here.contains(&signer), "{} cannot sign", node.domain());
        for pair in self.signers.windows(2) {
            let [(former, _), (_, replaced)] = pair else { unreachable!() };
            let over = now >= replaced + TOLERANCE + SETTLING;
            assert!(!over || !here.contains(former), "{} still has {former}", node.domain());
        }
        let known = self.ends.keys().chain(self.signers.iter().map(|(id, _)| id));
        self.gone.extend(known.filter(|id| !here.contains(id)));
    }

    /// How often keys of a suite have succeeded each other in DNS.
    pub fn successions(&self, suite: Suite) -> usize {
        self.published[&suite].len() - 1
    }

    /// When the last policy that listed a key has expired, or will.
    pub fn expiry(&self, key: &SealingPrivateKey, window: u64) -> u64 {
        self.ends[&key.key_id()] - TOLERANCE - window
    }
}
