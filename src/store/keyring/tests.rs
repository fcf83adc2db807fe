#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::core::Suite;
use std::os::unix::fs::PermissionsExt;

fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn filled(directory: &Path) -> Keyring {
    let mut keyring = Keyring::create(directory).unwrap();
    keyring.add_identity(IdentityKey::generate(&mut rng())).unwrap();
    keyring.add_signing(SigningKey::generate(&mut rng())).unwrap();
    for suite in Suite::ALL {
        let key = SealingPrivateKey::generate(suite, &mut rng()).unwrap();
        keyring.add_sealing(StoredKey::new(key)).unwrap();
    }
    keyring.set_policy("v=MTASEAL1; first").unwrap();
    keyring.set_policy("v=MTASEAL1; second").unwrap();
    keyring
}

#[test]
fn what_is_stored_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let made = filled(&dir.path().join("keys"));
    let loaded = Keyring::load(made.directory()).unwrap();
    for stored in made.sealing_keys() {
        let Find::Found(key) = loaded.find(&stored.key.key_id()) else { panic!("not found") };
        assert_eq!(*key.to_bytes(), *stored.key.to_bytes());
    }
    let fingerprint = |keyring: &Keyring| keyring.identity().unwrap().fingerprint();
    assert_eq!(fingerprint(&loaded), fingerprint(&made));
    let id = made.signing_keys()[0].key_id();
    let other = KeyId::from_bytes([0; 32]);
    assert_eq!(loaded.signing_key([other, id]).unwrap().key_id(), id);
    assert!(loaded.signing_key([other]).is_none());
    assert_eq!(loaded.policy(), Some("v=MTASEAL1; second"));
    assert!(matches!(loaded.find(&other), Find::Unknown));
    let names = fs::read_dir(made.directory()).unwrap().map(|e| e.unwrap());
    for entry in names {
        assert!(!entry.file_name().to_string_lossy().ends_with(".tmp"));
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn destroyed_keys_open_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made = filled(&dir.path().join("keys"));
    let id = made.sealing_keys()[0].key.key_id();
    fs::write(made.directory().join(DESTROYED), format!("# list\n{id} 1790000000\n")).unwrap();
    let loaded = Keyring::load(made.directory()).unwrap();
    assert!(matches!(loaded.find(&id), Find::Destroyed));
    assert!(matches!(loaded.find(&made.sealing_keys()[1].key.key_id()), Find::Found(_)));
}

#[test]
fn open_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = filled(&dir.path().join("keys"));
    let secrets = fs::read_dir(made.directory()).unwrap().map(|e| e.unwrap().path());
    for path in secrets.filter(|path| !path.ends_with(POLICY)) {
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Keyring::load(made.directory()).unwrap_err();
            assert!(matches!(error, KeyringError::Open { .. }), "{error}");
            assert!(error.hint().unwrap().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(Keyring::load(made.directory()).is_ok());
    fs::set_permissions(made.directory(), fs::Permissions::from_mode(0o750)).unwrap();
    let error = Keyring::load(made.directory()).unwrap_err();
    assert!(error.hint().unwrap().contains("chmod 700"));
}

#[test]
fn what_a_crash_left_of_a_writing_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = filled(&dir.path().join("keys"));
    let left = made.directory().join(names::temporary(POLICY, std::process::id()));
    fs::write(&left, "half").unwrap();
    made.set_policy("v=MTASEAL1; third").unwrap();
    assert!(!left.exists());
    assert_eq!(Keyring::load(made.directory()).unwrap().policy(), Some("v=MTASEAL1; third"));
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = filled(&dir.path().join("keys"));
    let before = made.identity().unwrap().fingerprint();
    let error = made.add_identity(IdentityKey::generate(&mut rng())).unwrap_err();
    assert!(matches!(error, KeyringError::Exists(_)));
    let loaded = Keyring::load(made.directory()).unwrap();
    assert_eq!(loaded.identity().unwrap().fingerprint(), before);
    assert!(matches!(Keyring::create(made.directory()), Err(KeyringError::Exists(_))));
}

#[test]
fn secrets_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let made = filled(&dir.path().join("keys"));
    let path = fs::read_dir(made.directory())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "key"))
        .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let secret = text.lines().find_map(|l| l.strip_prefix("key: ")).unwrap();
    assert_eq!(secret.len(), 44);
    assert!(!format!("{made:#?}").contains(secret));
    fs::write(&path, text.replace("suite: 1", "suite: 7").replace("suite: 2", "suite: 7")).unwrap();
    let error = Keyring::load(made.directory()).unwrap_err();
    assert!(matches!(error, KeyringError::Malformed { .. }));
    assert!(!format!("{error} {error:?}").contains(secret));
}
