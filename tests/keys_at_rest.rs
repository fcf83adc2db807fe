//! Private keys under a passphrase: by the commands, and at every instant at which a crash can come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod keyring_support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::LazyLock;

use keyring_support::{
    PASSPHRASE, configure, decrypt, encrypt, files, init, mta_seal, mta_seal_with, passphrase,
    refusal, secret_file, stdout,
};
use mta_seal::core::{SealingPrivateKey, Suite};
use mta_seal::store::keyring::{Find, Keyring, KeyringError, StoredKey};

fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn is_key(name: &str) -> bool {
    name == "identity.pem" || name.ends_with(".key") || name.starts_with("signing-")
}

/// The files of a keyring in clear, and of the same protected; the slow derivation made quick. Made once.
fn both() -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    static BOTH: LazyLock<(BTreeMap<String, String>, BTreeMap<String, String>)> =
        LazyLock::new(|| {
            let base = tempfile::tempdir().unwrap();
            let directory = init(base.path()).join("keys/company1.example");
            let clear = files(&directory);
            let done = Keyring::protect(&directory, &passphrase(), &mut rng()).unwrap();
            assert!(done.changed);
            let mut protected = files(&directory);
            let slow = protected.get_mut("passphrase.age").unwrap();
            *slow = encrypt(PASSPHRASE, &decrypt(PASSPHRASE, slow));
            (clear, protected)
        });
    BOTH.clone()
}

fn write(directory: &Path, files: &BTreeMap<String, String>) {
    fs::create_dir(directory).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, text) in files {
        secret_file(&directory.join(name), text);
    }
}

/// Whether every private key of `clear` is in the keyring, once.
fn assert_whole(keyring: &Keyring, clear: &BTreeMap<String, String>) {
    assert!(keyring.identity().is_some());
    assert_eq!(keyring.signing_keys().len(), 1);
    assert_eq!(keyring.sealing_keys().len(), 2);
    assert_eq!(clear.keys().filter(|name| is_key(name)).count(), 4);
    for stored in keyring.sealing_keys() {
        assert!(matches!(keyring.find(&stored.key.key_id()), Find::Found(_)));
    }
}

#[test]
fn protected_by_the_commands_and_opened_by_age() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let directory = gw.join("keys/company1.example");
    let clear = files(&directory);
    secret_file(&gw.join("pass"), &format!("{PASSPHRASE}\n"));
    configure(&gw, "passphrase = \"pass\"");
    // A passphrase for a keyring in clear is a slip worth a word, and no more.
    let checked = mta_seal(&gw, &["config", "check"]);
    assert!(checked.status.success());
    assert!(String::from_utf8_lossy(&checked.stderr).contains("mta-seal keys protect"));

    let said = stdout(&mta_seal(&gw, &["keys", "protect"]));
    assert!(said.contains("4 private keys encrypted"), "{said}");
    let protected = files(&directory);
    let secret = decrypt(PASSPHRASE, &protected["passphrase.age"]);
    assert!(secret.trim_end().len() >= 43 && secret.ends_with('\n'), "256 bits in base64");
    for (name, text) in &clear {
        if is_key(name) {
            assert!(!protected.contains_key(name), "{name} is still in clear");
            let encrypted = &protected[&format!("{name}.age")];
            assert_eq!(decrypt(secret.trim_end(), encrypted), *text);
        } else {
            assert_eq!(protected[name], *text);
        }
    }
    assert_eq!(protected.len(), clear.len() + 1);
    // What the gateway and the commands do with it.
    assert!(stdout(&mta_seal(&gw, &["config", "check"])).contains("ok (1 domain"));
    assert!(stdout(&mta_seal(&gw, &["policy", "sign"])).contains("_mta-seal.company1.example"));
    assert!(stdout(&mta_seal(&gw, &["keys", "protect"])).contains("encrypted already"));

    // Without the passphrase, and with another.
    configure(&gw, "");
    for command in [&["config", "check"][..], &["zone"], &["serve"]] {
        let said = refusal(&mta_seal(&gw, command));
        assert!(said.contains("protected by a passphrase, and none was given"), "{said}");
        assert!(said.contains("hint: set `passphrase"), "{said}");
    }
    secret_file(&gw.join("other"), "another passphrase\n");
    configure(&gw, "passphrase = \"other\"");
    for command in ["zone", "serve"] {
        let said = refusal(&mta_seal(&gw, &[command]));
        assert!(said.contains("wrong passphrase") && said.contains("hint: correct"), "{said}");
        assert!(!said.contains("another passphrase"), "{said}");
    }
    // The environment comes before the configuration.
    let file = [("MTA_SEAL_PASSPHRASE_FILE", "pass")];
    assert!(stdout(&mta_seal_with(&gw, &["zone"], &file, "")).contains("TXT"));

    let said = stdout(&mta_seal_with(&gw, &["keys", "unprotect"], &file, ""));
    assert!(said.contains("4 private keys in clear"), "{said}");
    let now = files(&directory);
    assert!(clear.iter().filter(|(name, _)| is_key(name)).all(|(name, text)| now[name] == *text));
    // `policy sign` has written down how long keys live.
    assert_eq!(now.len(), clear.len() + 1);
    assert!(now.contains_key("lifetimes.json"));
    assert!(stdout(&mta_seal(&gw, &["keys", "unprotect"])).contains("in clear already"));
}

#[test]
fn a_crash_while_protecting_leaves_a_keyring_that_can_be_loaded() {
    let base = tempfile::tempdir().unwrap();
    let (clear, protected) = both();
    let keys: Vec<&String> = clear.keys().filter(|name| is_key(name)).collect();
    let passphrase = passphrase();
    let mut states = Vec::new();
    // Encrypted one after the other.
    let mut state = clear.clone();
    state.insert("passphrase.age".to_owned(), protected["passphrase.age"].clone());
    states.push(state.clone());
    for name in &keys {
        let name = format!("{name}.age");
        state.insert(name.clone(), protected[&name].clone());
        states.push(state.clone());
    }
    // Overwritten and removed one after the other.
    for name in &keys {
        let len = state[*name].len();
        let half = format!("{}{}", "\0".repeat(len / 2), &state[*name][len / 2..]);
        state.insert((*name).clone(), half);
        states.push(state.clone());
        state.insert((*name).clone(), "\0".repeat(len));
        states.push(state.clone());
        state.remove(*name);
        states.push(state.clone());
    }
    assert_eq!(state, protected);
    // While a file was being written.
    let mut state = clear.clone();
    state.insert(".identity.pem.4711.tmp".to_owned(), clear["identity.pem"].clone());
    states.push(state);
    for (number, state) in states.iter().enumerate() {
        let directory = base.path().join(format!("state-{number}"));
        write(&directory, state);
        assert_whole(&Keyring::load_with(&directory, Some(&passphrase)).unwrap(), &clear);
        Keyring::protect(&directory, &passphrase, &mut rng()).unwrap();
        let names: Vec<String> = files(&directory).into_keys().collect();
        let expected: Vec<String> = protected.keys().cloned().collect();
        assert_eq!(names, expected, "state {number}");
        assert_whole(&Keyring::load_with(&directory, Some(&passphrase)).unwrap(), &clear);
    }
}

#[test]
fn a_crash_while_unprotecting_leaves_a_keyring_that_can_be_loaded() {
    let base = tempfile::tempdir().unwrap();
    let (clear, protected) = both();
    let passphrase = passphrase();
    let mut states = Vec::new();
    let mut state = protected.clone();
    for (name, text) in clear.iter().filter(|(name, _)| is_key(name)) {
        state.insert(name.clone(), text.clone());
        states.push(state.clone());
    }
    // Removals may reach the disk in any order.
    let mut early = state.clone();
    early.remove("passphrase.age");
    states.push(early);
    for name in clear.keys().filter(|name| is_key(name)) {
        state.remove(&format!("{name}.age"));
        states.push(state.clone());
    }
    state.remove("passphrase.age");
    assert_eq!(state, clear);
    for (number, state) in states.iter().enumerate() {
        let directory = base.path().join(format!("state-{number}"));
        write(&directory, state);
        assert_whole(&Keyring::load_with(&directory, Some(&passphrase)).unwrap(), &clear);
        Keyring::unprotect(&directory, Some(&passphrase)).unwrap();
        assert_eq!(files(&directory), clear, "state {number}");
    }
}

#[test]
fn another_key_in_clear_is_not_overwritten() {
    let base = tempfile::tempdir().unwrap();
    let (clear, mut state) = both();
    let other = mta_seal::core::IdentityKey::generate(&mut rng()).to_pem().unwrap();
    state.insert("identity.pem".to_owned(), (*other).clone());
    let directory = base.path().join("state");
    write(&directory, &state);
    let error = Keyring::protect(&directory, &passphrase(), &mut rng()).unwrap_err();
    assert!(matches!(error, KeyringError::Malformed { .. }), "{error}");
    assert_eq!(files(&directory), state);
    assert_ne!(state["identity.pem"], clear["identity.pem"]);
}

#[test]
fn new_keys_are_written_protected() {
    let base = tempfile::tempdir().unwrap();
    let (clear, protected) = both();
    let new = || StoredKey::new(SealingPrivateKey::generate(Suite::X25519, &mut rng()).unwrap());
    let directory = base.path().join("state");
    write(&directory, &protected);
    let mut keyring = Keyring::load_with(&directory, Some(&passphrase())).unwrap();
    let key = new();
    let name = format!("sealing-1-{}.key", key.selector);
    keyring.add_sealing(key.clone()).unwrap();
    assert!(!directory.join(&name).exists() && directory.join(format!("{name}.age")).exists());
    let again = Keyring::load_with(&directory, Some(&passphrase())).unwrap();
    assert!(matches!(again.find(&key.key.key_id()), Find::Found(_)));
    assert!(matches!(keyring.add_sealing(key), Err(KeyringError::Exists(_))));

    // A process that loaded it before it was protected writes nothing in clear.
    let directory = base.path().join("late");
    write(&directory, &clear);
    let mut late = Keyring::load(&directory).unwrap();
    secret_file(&directory.join("passphrase.age"), &protected["passphrase.age"]);
    assert!(matches!(late.add_sealing(new()), Err(KeyringError::Protected(_))));
    assert_eq!(files(&directory).len(), clear.len() + 1);
}

#[test]
fn every_file_is_its_owners_alone() {
    let base = tempfile::tempdir().unwrap();
    let (_, mut protected) = both();
    protected.insert("destroyed".to_owned(), String::new());
    let directory = base.path().join("state");
    write(&directory, &protected);
    let passphrase = passphrase();
    let load = || Keyring::load_with(&directory, Some(&passphrase));
    load().unwrap();
    let outside = base.path().join("outside");
    for (name, text) in &protected {
        let path = directory.join(name);
        let public = !name.ends_with(".age");
        for mode in [0o620, 0o602, 0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            if public && mode & 0o022 == 0 {
                load().unwrap();
                continue;
            }
            let error = load().unwrap_err();
            assert!(
                matches!(&error, KeyringError::Open { path: open, .. } if *open == path),
                "{error}"
            );
            assert!(error.hint().unwrap().contains("chmod 600"), "{error}");
        }
        // A link is as good as what it leads to.
        fs::remove_file(&path).unwrap();
        secret_file(&outside, text);
        symlink(&outside, &path).unwrap();
        load().unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o622)).unwrap();
        let error = load().unwrap_err();
        assert!(matches!(error, KeyringError::Open { .. }), "{name}: {error}");
        fs::remove_file(&outside).unwrap();
        // One that leads nowhere is no reason to go on without the file.
        assert!(matches!(load().unwrap_err(), KeyringError::Io { .. }), "{name}");
        fs::remove_file(&path).unwrap();
        secret_file(&path, text);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            let error = load().unwrap_err();
            assert!(matches!(error, KeyringError::Owner { owner: 65_534, .. }), "{name}: {error}");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
    }
    load().unwrap();
}

#[test]
fn an_encrypted_key_without_what_opens_it_stops_the_start() {
    let base = tempfile::tempdir().unwrap();
    let (_, protected) = both();
    let passphrase = passphrase();
    let mut state = protected.clone();
    state.remove("passphrase.age");
    let directory = base.path().join("alone");
    write(&directory, &state);
    let error = Keyring::load_with(&directory, Some(&passphrase)).unwrap_err();
    assert!(error.to_string().contains("no passphrase.age beside it"), "{error}");
    // One of another keyring, one that was cut off, and one that is none.
    for (number, other) in [
        encrypt("another secret", "text"),
        protected["identity.pem.age"][..200].to_owned(),
        "text".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let mut state = protected.clone();
        state.insert("identity.pem.age".to_owned(), other);
        let directory = base.path().join(format!("state-{number}"));
        write(&directory, &state);
        let error = Keyring::load_with(&directory, Some(&passphrase)).unwrap_err();
        assert!(matches!(error, KeyringError::Malformed { .. }), "{error}");
    }
}

#[test]
fn credentials_of_systemd() {
    let base = tempfile::tempdir().unwrap();
    let gw = init(base.path());
    let credentials = base.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let hand = |name: &str, text: &str| {
        secret_file(&credentials.join(name), text);
        let mode = fs::Permissions::from_mode(0o400);
        fs::set_permissions(credentials.join(name), mode).unwrap();
    };
    hand("pass", &format!("{PASSPHRASE}\n"));
    stdout(&mta_seal(&gw, &["dkim", "--domain", "company1.example", "--out", "dkim.pem"]));
    hand("dkim", &fs::read_to_string(gw.join("dkim.pem")).unwrap());
    let given = credentials.to_str().unwrap();
    let handed = [("CREDENTIALS_DIRECTORY", given)];
    configure(
        &gw,
        "passphrase = \"credential:pass\"\ndkim = { selector = \"a\", key = \"credential:dkim\" }",
    );
    stdout(&mta_seal_with(&gw, &["keys", "protect"], &handed, ""));
    assert!(gw.join("keys/company1.example/passphrase.age").exists());
    let checked = mta_seal_with(&gw, &["config", "check"], &handed, "");
    assert!(stdout(&checked).contains("ok (1 domain"));
    // Outside of the service, and with one that is open to others.
    for command in [&["config", "check"][..], &["serve"], &["zone"]] {
        let said = refusal(&mta_seal(&gw, command));
        assert!(said.contains("credential pass: this process was handed none"), "{said}");
        assert!(said.contains("LoadCredential=pass:"), "{said}");
    }
    let open = fs::Permissions::from_mode(0o444);
    fs::set_permissions(credentials.join("pass"), open).unwrap();
    let said = refusal(&mta_seal_with(&gw, &["serve"], &handed, ""));
    assert!(said.contains("open to other users"), "{said}");
    // Names that are none, and a keyring as a credential.
    for bad in ["", "../pass", "a:b"] {
        configure(&gw, &format!("passphrase = \"credential:{bad}\""));
        let said = refusal(&mta_seal_with(&gw, &["config", "check"], &handed, ""));
        assert!(said.contains("is no name of a credential"), "{said}");
    }
    configure(&gw, "");
    let config = gw.join("mta-seal.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("keys/company1.example", "credential:keys")).unwrap();
    let said = refusal(&mta_seal_with(&gw, &["config", "check"], &handed, ""));
    assert!(said.contains("not a credential") && said.contains("keys protect"), "{said}");
}
