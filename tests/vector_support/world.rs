//! Keyrings on disk with the keys of a vector.

use std::fmt::Write as _;
use std::path::Path;

use mta_seal::core::{Domain, IdentityKey, SigningKey};
use mta_seal::records::{Mode, PolicyDraft, SealingEntry};
use mta_seal::store::keyring::{Keyring, StoredKey};

use super::envelopes::OwnKeys;

/// Name of the directory with the keys of a domain.
pub fn keys_of(domain: &Domain) -> String {
    format!("keys-{domain}")
}

/// Writes the keyring of a domain below `directory`. Its policy, which nobody looks up, has the window.
pub fn write_keyring(directory: &Path, own: &OwnKeys, window: u64, now: u64) {
    let directory = directory.join(keys_of(&own.domain));
    let mut keyring = Keyring::create(&directory).unwrap();
    let signing = SigningKey::from_bytes(&[1; 32]);
    let identity = IdentityKey::from_bytes(&[2; 32]);
    let draft = PolicyDraft {
        mode: Mode::None,
        serial: now.saturating_sub(1000),
        expiry: now + 10_000_000,
        max_age: 86_400,
        window,
        signing_keys: vec![signing.public().clone()],
        sealing_keys: Vec::<SealingEntry>::new(),
        outgoing_always: false,
        rollover: None,
        next_identity: None,
    };
    keyring.add_identity(identity.clone()).unwrap();
    keyring.add_signing(signing).unwrap();
    for key in &own.sealing {
        keyring.add_sealing(StoredKey::new(key.clone())).unwrap();
    }
    keyring.set_policy(&draft.sign(&own.domain, &identity).unwrap()).unwrap();
    let mut destroyed = String::new();
    for id in &own.destroyed {
        writeln!(destroyed, "{id}").unwrap();
    }
    if !destroyed.is_empty() {
        std::fs::write(directory.join("destroyed"), destroyed).unwrap();
    }
}

/// A configuration for these domains, and no more than that.
pub fn config_of<'a>(own: impl IntoIterator<Item = &'a OwnKeys>, rest: &str) -> String {
    let mut toml = "hostname = \"gw.b.example\"\nstate = \"state\"\n".to_owned();
    for own in own {
        let domain = &own.domain;
        writeln!(toml, "[[domain]]\nname = \"{domain}\"\nkeys = \"{}\"", keys_of(domain)).unwrap();
    }
    toml.push_str(rest);
    toml
}
