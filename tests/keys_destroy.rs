//! `mta-seal keys import --destroy`: what has ended where an export was made ends here too, and an export that somebody else has made
//! ends nothing that is needed [R-life-04].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod keyring_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use age::secrecy::ExposeSecret;
use age::x25519;
use keyring_support::{init, mta_seal, secret_file, stdout};
use mta_seal::core::{Domain, KeyId, SealingPrivateKey, SigningKey, Suite};
use mta_seal::gateway::rotation::Desk;
use mta_seal::lifetime::Listing;
use mta_seal::store::keyring::{Find, Keyring, StoredKey};
use mta_seal::store::ledger::{Ledger, Options, SqliteLedger};

const KEYS: &str = "keys/company1.example";

fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn now() -> u64 {
    u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp()).unwrap()
}

fn domain() -> Domain {
    Domain::parse("company1.example").unwrap()
}

/// A node with keys of every age.
struct Node {
    _base: tempfile::TempDir,
    gw: PathBuf,
    identity: x25519::Identity,
    /// The policy lists it, or it signs.
    used: [KeyId; 2],
    /// Nothing needs it any more.
    over: [KeyId; 2],
    /// Mail may be on its way to the one; the other is yet to be used.
    needed: [KeyId; 2],
}

impl Node {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let gw = init(base.path());
        let now = now();
        let mut desk = Desk::open(&gw.join(KEYS), &domain(), None, now).unwrap();
        let used =
            [desk.keyring.sealing_keys()[0].key.key_id(), desk.keyring.signing_keys()[0].key_id()];
        let mut sealing = || {
            let key = SealingPrivateKey::generate(Suite::XWing, &mut rng()).unwrap();
            let id = key.key_id();
            desk.keyring.add_sealing(StoredKey::new(key)).unwrap();
            id
        };
        let [past, present, future] = [sealing(), sealing(), sealing()];
        let signing = SigningKey::generate(&mut rng());
        let former = signing.key_id();
        desk.keyring.add_signing(signing).unwrap();
        drop(desk);
        // Found in the keyring, and counted as if it had been listed until now.
        let mut desk = Desk::open(&gw.join(KEYS), &domain(), None, now).unwrap();
        let opens = now - 1;
        desk.book.life_mut(&past).unwrap().listing = Some(Listing { expiry: opens, opens });
        desk.book.life_mut(&former).unwrap().to = Some(now - 7_200);
        let life = desk.book.life_mut(&future).unwrap();
        (life.listing, life.from, life.to) = (None, None, None);
        desk.save(now).unwrap();
        drop(desk);
        let identity = x25519::Identity::generate();
        secret_file(&gw.join("age.key"), identity.to_string().expose_secret());
        let (over, needed) = ([past, former], [present, future]);
        Self { _base: base, gw, identity, used, over, needed }
    }

    /// An export that lists all of them as destroyed, as anybody who knows the recipient can make it.
    fn export(&self) {
        let keys = [self.used, self.over, self.needed].concat();
        let lines: String = keys.iter().map(|id| format!("{id} 1795737600\n")).collect();
        let policy = fs::read_to_string(self.gw.join(KEYS).join("policy.txt")).unwrap();
        let json = serde_json::json!({
            "format": "mta-seal keyring",
            "version": 1,
            "domain": "company1.example",
            "exported": 1_795_737_600,
            "files": [
                { "name": "destroyed", "content": lines },
                { "name": "policy.txt", "content": policy },
            ],
        });
        let text = age::encrypt(&self.identity.to_public(), json.to_string().as_bytes()).unwrap();
        fs::write(self.gw.join("export.age"), text).unwrap();
    }

    fn import(&self, more: &[&str]) -> Output {
        let arguments = ["keys", "import", "export.age", "--identity", "age.key"];
        mta_seal(&self.gw, &[&arguments[..], more].concat())
    }

    fn keyring(&self) -> Keyring {
        Keyring::load(&self.gw.join(KEYS)).unwrap()
    }

    fn has(&self, id: &KeyId) -> bool {
        let keyring = self.keyring();
        matches!(keyring.find(id), Find::Found(_)) || keyring.signing_key([*id]).is_some()
    }

    fn destroyed(&self) -> Vec<KeyId> {
        let all = [self.used, self.over, self.needed].concat();
        all.into_iter().filter(|id| !self.has(id)).collect()
    }
}

/// The lines of `text` about a key.
fn about<'t>(text: &'t str, id: &KeyId) -> Vec<&'t str> {
    text.lines().filter(|line| line.contains(&id.to_string())).collect()
}

async fn ends(ledger: &Path) -> Vec<String> {
    let ledger = SqliteLedger::open_read_only(ledger).unwrap();
    let actions = ledger.actions(Some(&domain()), 100).await.unwrap();
    let ends = actions.into_iter().filter(|action| action.action == "key-destroyed");
    ends.map(|action| action.detail).collect()
}

#[tokio::test]
async fn keys_that_have_ended_elsewhere_end_here_if_asked_for() {
    let node = Node::new();
    let state = node.gw.join("state");
    fs::create_dir_all(&state).unwrap();
    let ledger = state.join("ledger.sqlite");
    SqliteLedger::open(&ledger, &Options::default(), now()).unwrap().close().await;
    node.export();

    // Not by itself, and not without being confirmed.
    let output = node.import(&[]);
    stdout(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("--destroy destroys it").count(), 6, "{said}");
    let output = node.import(&["--destroy"]);
    assert_eq!(output.status.code(), Some(2));
    let asked = String::from_utf8(output.stdout).unwrap();
    for id in [node.used, node.over, node.needed].concat() {
        assert_eq!(about(&asked, &id).len(), 1, "{asked}");
    }
    assert_eq!(node.import(&["--yes"]).status.code(), Some(2));
    assert_eq!(node.destroyed(), []);
    assert!(ends(&ledger).await.is_empty());

    // Without a question nothing that is needed.
    let output = node.import(&["--destroy", "--yes"]);
    let said = stdout(&output);
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    for id in &node.over {
        assert!(about(&said, id).last().unwrap().starts_with("destroyed "), "{said}");
    }
    for id in &node.used {
        assert!(about(&said, id)[0].contains("kept, since the policy uses it"), "{said}");
    }
    for id in &node.needed {
        assert!(about(&warned, id)[0].contains("without --yes you are asked"), "{warned}");
    }
    assert_eq!(node.destroyed(), node.over);
    let keyring = node.keyring();
    assert!(node.over.iter().all(|id| keyring.is_destroyed(id)));
    let ends = ends(&ledger).await;
    assert_eq!(ends.len(), 2);
    for id in &node.over {
        assert_eq!(ends.iter().filter(|end| end.contains(&format!("key {id} at "))).count(), 1);
    }
    // The gateway of this keyring has nothing to add to that.
    let desk = Desk::open(&node.gw.join(KEYS), &domain(), None, now()).unwrap();
    for id in &node.over {
        let life = desk.book.life(id).unwrap();
        assert!(life.destroyed.is_some() && life.noted, "{life:?}");
    }
    drop(desk);
    let said = stdout(&node.import(&["--destroy", "--yes"]));
    assert!(node.over.iter().all(|id| about(&said, id).is_empty()), "{said}");
    assert_eq!(ends_of(&said), 0);
}

/// How many keys were destroyed.
fn ends_of(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("destroyed ") && line.contains(" key ")).count()
}
