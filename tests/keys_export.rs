//! `mta-seal keys export` and `keys import`: what goes from one keyring to another, and what never comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod keyring_support;

use std::fs;
use std::io::Read;
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use age::armor::ArmoredReader;
use age::secrecy::ExposeSecret;
use age::x25519;
use keyring_support::{
    PASSPHRASE, configure, decrypt, encrypt, files, init, mta_seal, mta_seal_with, refusal,
    secret_file, stdout,
};
use mta_seal::core::{SealingPrivateKey, Suite};
use mta_seal::store::keyring::{Keyring, StoredKey};

const KEYS: &str = "keys/company1.example";

/// Encrypted to a recipient, which takes no time.
struct Age {
    identity: x25519::Identity,
}

impl Age {
    fn new(gw: &Path) -> Self {
        let identity = x25519::Identity::generate();
        let text = format!("# a comment\n{}\n", identity.to_string().expose_secret());
        secret_file(&gw.join("age.key"), &text);
        Self { identity }
    }

    fn export(&self, gw: &Path, out: &str, more: &[&str]) -> String {
        let recipient = self.identity.to_public().to_string();
        let arguments = ["keys", "export", "--recipient", &recipient, "--out", out];
        let output = mta_seal(gw, &[&arguments[..], more].concat());
        assert_eq!(stdout(&output), "");
        String::from_utf8(output.stderr).unwrap()
    }

    fn import(gw: &Path, file: &str, more: &[&str]) -> std::process::Output {
        mta_seal(gw, &[&["keys", "import", file, "--identity", "age.key"][..], more].concat())
    }

    /// Makes an export of what somebody else has written.
    fn forge(&self, gw: &Path, file: &str, export: &serde_json::Value) {
        let recipient = self.identity.to_public();
        let text = age::encrypt(&recipient, export.to_string().as_bytes()).unwrap();
        fs::write(gw.join(file), text).unwrap();
    }

    fn open(&self, gw: &Path, file: &str) -> serde_json::Value {
        let text = fs::read(gw.join(file)).unwrap();
        let decryptor = age::Decryptor::new(ArmoredReader::new(&text[..])).unwrap();
        let mut json = String::new();
        let identities = iter::once(&self.identity as &dyn age::Identity);
        decryptor.decrypt(identities).unwrap().read_to_string(&mut json).unwrap();
        serde_json::from_str(&json).unwrap()
    }
}

fn names(export: &serde_json::Value) -> Vec<&str> {
    export["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect()
}

fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

#[test]
fn a_second_node_by_passphrase() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let before = files(&gw.join(KEYS));
    let typed = format!("{PASSPHRASE}\n");
    let arguments = ["keys", "export", "--passphrase"];
    let output = mta_seal_with(&gw, &arguments, &[], &typed);
    let export = stdout(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("exported 3 private keys of company1.example"), "{said}");
    // The policy of `init` is signed for 30 days, and its window has 14.
    let day = |days: i64| (time::OffsetDateTime::now_utc() + time::Duration::days(days)).date();
    for date in [day(30), day(44)] {
        assert!(said.contains(&date.to_string()), "{said} lacks {date}");
    }
    assert!(said.contains("destroy the file and every copy"), "{said}");
    fs::write(base.path().join("export.age"), &export).unwrap();

    // What anybody with the format of age finds in it.
    let json: serde_json::Value = serde_json::from_str(&decrypt(PASSPHRASE, &export)).unwrap();
    assert_eq!(json["format"], "mta-seal keyring");
    assert_eq!(json["version"], 1);
    assert_eq!(json["domain"], "company1.example");
    assert_eq!(json["files"].as_array().unwrap().len(), 4);
    assert!(!names(&json).contains(&"identity.pem"));
    for file in json["files"].as_array().unwrap() {
        assert_eq!(before[file["name"].as_str().unwrap()], file["content"].as_str().unwrap());
    }

    let arguments = ["keys", "import", "export.age", "--dir", "second"];
    let said = refusal(&mta_seal_with(base.path(), &arguments, &[], "wrong\n"));
    assert!(said.contains("another passphrase"), "{said}");
    assert!(!base.path().join("second").exists());
    let said = stdout(&mta_seal_with(base.path(), &arguments, &[], &typed));
    assert!(said.contains("3 added, 0 there already"), "{said}");
    let mut expected = before.clone();
    expected.remove("identity.pem");
    assert_eq!(files(&base.path().join("second")), expected);
    let mode = fs::metadata(base.path().join("second")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    // Once more: nothing is overwritten.
    let said = stdout(&mta_seal_with(base.path(), &arguments, &[], &typed));
    assert!(said.contains("0 added, 3 there already"), "{said}");
    assert_eq!(files(&base.path().join("second")), expected);
}

#[test]
fn from_and_to_protected_keyrings() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let age = Age::new(&gw);
    secret_file(&gw.join("pass"), PASSPHRASE);
    configure(&gw, "passphrase = \"pass\"");
    let before = files(&gw.join(KEYS));
    stdout(&mta_seal(&gw, &["keys", "protect"]));
    let said = age.export(&gw, "export.age", &["--with-identity"]);
    assert!(said.contains("quantum computer"), "{said}");
    let mode = fs::metadata(gw.join("export.age")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let json = age.open(&gw, "export.age");
    let inside: Vec<&str> = names(&json);
    assert_eq!(inside, before.keys().map(String::as_str).collect::<Vec<_>>());
    // Neither the secret of this keyring nor what it opens.
    assert!(!inside.iter().any(|name| name.ends_with(".age")));
    let said = refusal(&mta_seal(
        &gw,
        &[
            "keys",
            "export",
            "--recipient",
            &age.identity.to_public().to_string(),
            "--out",
            "export.age",
        ],
    ));
    assert!(said.contains("exists already"), "{said}");

    // The other node has the same configuration and no keyring yet: no key is written in clear.
    fs::rename(gw.join(KEYS), gw.join("old")).unwrap();
    let said = stdout(&Age::import(&gw, "export.age", &["--domain", "company1.example"]));
    assert!(said.contains("4 added"), "{said}");
    let now = files(&gw.join(KEYS));
    assert!(now.contains_key("passphrase.age") && now.contains_key("identity.pem.age"));
    assert!(!now.keys().any(|name| name.ends_with(".pem") || name.ends_with(".key")));
    assert!(stdout(&mta_seal(&gw, &["config", "check"])).contains("ok (1 domain"));
}

#[test]
fn what_is_destroyed_stays_destroyed() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let age = Age::new(&gw);
    let keys = gw.join(KEYS);
    let keyring = Keyring::load(&keys).unwrap();
    let dead = keyring.sealing_keys()[0].clone();
    let name = format!("sealing-{}-{}.key", dead.key.suite().id(), dead.selector);
    let id = dead.key.key_id();
    age.export(&gw, "backup.age", &[]);

    // Destroyed here since the backup.
    fs::remove_file(keys.join(&name)).unwrap();
    secret_file(&keys.join("destroyed"), &format!("{id} 1795737600\n"));
    let said = stdout(&Age::import(&gw, "backup.age", &[]));
    assert!(said.contains(&format!("left out {name}: destroyed")), "{said}");
    assert!(!keys.join(&name).exists());

    // The same of a key that signs.
    let signer = keyring.signing_keys()[0].key_id();
    let signing = files(&keys).into_keys().find(|name| name.starts_with("signing-")).unwrap();
    fs::remove_file(keys.join(&signing)).unwrap();
    secret_file(&keys.join("destroyed"), &format!("{id} 1795737600\n{signer} 1795737600\n"));
    let said = stdout(&Age::import(&gw, "backup.age", &[]));
    assert!(said.contains(&format!("left out {signing}: destroyed")), "{said}");
    assert!(!keys.join(&signing).exists());
    secret_file(&keys.join("destroyed"), &format!("{id} 1795737600\n"));
    stdout(&Age::import(&gw, "backup.age", &[]));

    // Destroyed where the export was made; the list comes along.
    age.export(&gw, "later.age", &[]);
    let mut json = age.open(&gw, "later.age");
    let backup = age.open(&gw, "backup.age");
    let copy = backup["files"].as_array().unwrap().iter().find(|file| file["name"] == name);
    json["files"].as_array_mut().unwrap().push(copy.unwrap().clone());
    age.forge(&gw, "copy.age", &json);
    let said = stdout(&Age::import(&gw, "copy.age", &["--dir", "third"]));
    assert!(said.contains(&format!("left out {name}: destroyed")), "{said}");
    assert!(!gw.join("third").join(&name).exists());
    let list = fs::read_to_string(gw.join("third/destroyed")).unwrap();
    assert_eq!(list, format!("{id} 1795737600\n"));
    assert!(stdout(&Age::import(&gw, "backup.age", &["--dir", "third"])).contains("left out"));

    // Whoever knows the recipient can make an export: it takes no key from a keyring.
    fs::create_dir(gw.join("fourth")).unwrap();
    fs::set_permissions(gw.join("fourth"), fs::Permissions::from_mode(0o700)).unwrap();
    stdout(&Age::import(&gw, "backup.age", &["--dir", "fourth"]));
    let output = Age::import(&gw, "copy.age", &["--dir", "fourth"]);
    stdout(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("{name} is still here")), "{said}");
    let fourth = Keyring::load(&gw.join("fourth")).unwrap();
    assert!(matches!(fourth.find(&id), mta_seal::store::keyring::Find::Found(_)));
}

#[test]
fn what_is_known_of_lifetimes_is_taken_along_and_never_overwritten() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let age = Age::new(&gw);
    stdout(&mta_seal(&gw, &["policy", "sign"]));
    let book = fs::read_to_string(gw.join(KEYS).join("lifetimes.json")).unwrap();
    age.export(&gw, "export.age", &[]);
    stdout(&Age::import(&gw, "export.age", &["--dir", "second"]));
    let copy = gw.join("second/lifetimes.json");
    assert_eq!(fs::read_to_string(&copy).unwrap(), book);
    // What is known here stays as it is.
    secret_file(&copy, &book.replace("\"installed\": 1", "\"installed\": 2"));
    let own = fs::read_to_string(&copy).unwrap();
    assert_ne!(own, book);
    stdout(&Age::import(&gw, "export.age", &["--dir", "second"]));
    assert_eq!(fs::read_to_string(&copy).unwrap(), own);
}

#[test]
fn policies_do_not_go_back() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let age = Age::new(&gw);
    let policy = gw.join(KEYS).join("policy.txt");
    let older = fs::read_to_string(&policy).unwrap();
    age.export(&gw, "older.age", &[]);
    stdout(&mta_seal(&gw, &["policy", "sign"]));
    let newer = fs::read_to_string(&policy).unwrap();
    assert_ne!(older, newer);
    let mut keyring = Keyring::load(&gw.join(KEYS)).unwrap();
    let key = StoredKey::new(SealingPrivateKey::generate(Suite::XWing, &mut rng()).unwrap());
    let name = format!("sealing-2-{}.key", key.selector);
    keyring.add_sealing(key).unwrap();
    age.export(&gw, "newer.age", &[]);

    let said = stdout(&Age::import(&gw, "older.age", &[]));
    assert!(said.contains("policy: kept, since that of the export is older"), "{said}");
    assert_eq!(fs::read_to_string(&policy).unwrap(), newer);
    // The other node takes the key and the policy over.
    stdout(&Age::import(&gw, "older.age", &["--dir", "second"]));
    assert_eq!(fs::read_to_string(gw.join("second/policy.txt")).unwrap(), older);
    let said = stdout(&Age::import(&gw, "newer.age", &["--dir", "second"]));
    assert!(said.contains("policy: taken from the export"), "{said}");
    assert!(said.contains(&format!("added {name}")) && said.contains("1 added"), "{said}");
    assert_eq!(fs::read_to_string(gw.join("second/policy.txt")).unwrap(), newer);
}

#[test]
fn what_does_not_belong_is_refused_and_changes_nothing() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let age = Age::new(&gw);
    age.export(&gw, "export.age", &[]);
    let before = files(&gw.join(KEYS));
    let good = age.open(&gw, "export.age");
    let try_import = |what: &str, export: &serde_json::Value| {
        age.forge(&gw, "forged.age", export);
        let said = refusal(&Age::import(&gw, "forged.age", &[]));
        assert!(said.contains(what), "{said} lacks {what}");
        assert_eq!(files(&gw.join(KEYS)), before);
    };
    let change = |pointer: &str, value: &str| {
        let mut export = good.clone();
        *export.pointer_mut(pointer).unwrap() = value.into();
        export
    };
    let at = |name: &str| {
        let place = names(&good).iter().position(|other| other.starts_with(name)).unwrap();
        format!("/files/{place}/content")
    };
    try_import("holds the keys of company2.example", &change("/domain", "company2.example"));
    try_import("holds no keyring", &change("/format", "something else"));
    try_import("holds no keyring", &serde_json::json!({ "format": "mta-seal keyring" }));
    try_import("policy of company1.example", &change(&at("policy"), "v=MTASEAL1"));
    try_import("a line without `:`", &change(&at("sealing-1"), "no key"));
    // Another keyring of the domain.
    let other = init(&{
        let other = base.path().join("other");
        fs::create_dir(&other).unwrap();
        other
    });
    fs::copy(gw.join("age.key"), other.join("age.key")).unwrap();
    age.export(&other, "export.age", &[]);
    try_import("signed by another identity key", &age.open(&other, "export.age"));
    let mut both = good.clone();
    let pem = fs::read_to_string(other.join(KEYS).join("identity.pem")).unwrap();
    let identity = serde_json::json!({ "name": "identity.pem", "content": pem });
    both["files"].as_array_mut().unwrap().push(identity);
    try_import("identity.pem exists already", &both);
    // A name leads nowhere but into the keyring.
    let mut unknown = good.clone();
    let file = serde_json::json!({ "name": "../../mta-seal.toml", "content": "" });
    unknown["files"].as_array_mut().unwrap().push(file);
    age.forge(&gw, "forged.age", &unknown);
    let output = Age::import(&gw, "forged.age", &[]);
    stdout(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("left out \"../../mta-seal.toml\""));
    assert!(!fs::read_to_string(gw.join("mta-seal.toml")).unwrap().is_empty());
    // No export, one that was cut off, and the wrong means to open one.
    fs::write(gw.join("junk.age"), "junk").unwrap();
    assert!(refusal(&Age::import(&gw, "junk.age", &[])).contains("no whole file"));
    let whole = fs::read(gw.join("export.age")).unwrap();
    fs::write(gw.join("cut.age"), &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(&Age::import(&gw, "cut.age", &[])).contains("no whole file"));
    let stranger = x25519::Identity::generate().to_string();
    secret_file(&gw.join("age.key"), stranger.expose_secret());
    assert!(
        refusal(&Age::import(&gw, "export.age", &[])).contains("another passphrase or recipient")
    );
    fs::set_permissions(gw.join("age.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&Age::import(&gw, "export.age", &[])).contains("open to other users"));
    fs::write(gw.join("typed.age"), encrypt(PASSPHRASE, "{}")).unwrap();
    let output = Age::import(&gw, "typed.age", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(files(&gw.join(KEYS)), before);
}
