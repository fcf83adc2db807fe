//! `mta-seal dkim`, and what is said of keys that cannot be used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dkim_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use dkim_support::{Key, record};

fn mta_seal(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    command.env_remove("MTA_SEAL_CONFIG").current_dir(directory).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command that must refuse says.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Puts lines below the only [[domain]].
fn configure(directory: &Path, lines: &str) {
    let config = directory.join("mta-seal.toml");
    let text = fs::read_to_string(&config).unwrap();
    let keys = "keys = \"keys/company1.example\"\n";
    assert!(text.contains(keys));
    fs::write(config, text.replace(keys, &format!("{keys}{lines}\n"))).unwrap();
}

#[test]
fn a_key_from_making_to_the_zone() {
    let base = tempfile::tempdir().unwrap();
    let made = mta_seal(base.path(), &["init", "--domain", "company1.example", "--dir", "gw"]);
    stdout(&made);
    let gw = base.path().join("gw");
    let arguments = ["dkim", "--domain", "Company1.example", "--out", "dkim.pem"];
    let said = stdout(&mta_seal(&gw, &arguments));
    let (name, text) = record(&said);
    assert_eq!(name, "mta-seal._domainkey.company1.example");
    let key = gw.join("dkim.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    // A second run overwrites nothing.
    let before = fs::read(&key).unwrap();
    assert!(refusal(&mta_seal(&gw, &arguments)).contains("exists already"));
    assert_eq!(fs::read(&key).unwrap(), before);
    // The line to add is the one that works.
    let line = said.lines().find(|line| line.starts_with("dkim = ")).unwrap();
    configure(&gw, line);
    stdout(&mta_seal(&gw, &["config", "check"]));
    let zone = stdout(&mta_seal(&gw, &["zone"]));
    assert_eq!(record(&zone), (name, text.clone()));
    let values = stdout(&mta_seal(&gw, &["zone", "--format", "values"]));
    assert!(values.contains(&format!("\n{text}\n")), "{values}");
}

#[test]
fn keys_that_cannot_be_used_are_refused_before_anything_starts() {
    let base = tempfile::tempdir().unwrap();
    stdout(&mta_seal(base.path(), &["init", "--domain", "company1.example", "--dir", "gw"]));
    let gw = base.path().join("gw");
    let key = Key::make(&gw, "company1.example", "dkim", &[]);
    configure(&gw, "dkim = [{ selector = \"dkim\", key = \"dkim.pem\" }]");
    stdout(&mta_seal(&gw, &["config", "check"]));
    let pem = key.pem();
    let cases: [(&str, &dyn Fn(), &str, &str); 4] = [
        (
            "open to others",
            &|| fs::set_permissions(&key.file, fs::Permissions::from_mode(0o640)).unwrap(),
            "dkim.pem is open to other users (mode 0640)",
            "hint: chmod 600 ",
        ),
        (
            "no key",
            &|| fs::write(&key.file, "selector: x\n").unwrap(),
            "dkim.pem: no private key in PEM",
            "hint: make a key with `mta-seal dkim`",
        ),
        (
            "damaged",
            &|| fs::write(&key.file, pem.replacen("\nMII", "\nMIJ", 1)).unwrap(),
            "dkim.pem: neither an RSA key of 2048 to 8192 bits nor an Ed25519 key",
            "hint: make a key with `mta-seal dkim`",
        ),
        (
            "missing",
            &|| fs::remove_file(&key.file).unwrap(),
            "dkim.pem: no such file or directory",
            "hint: make a key with `mta-seal dkim`",
        ),
    ];
    for (name, break_it, what, hint) in cases {
        break_it();
        for command in [&["config", "check"][..], &["zone"], &["serve"]] {
            let said = refusal(&mta_seal(&gw, command)).to_lowercase();
            assert!(said.contains(&what.to_lowercase()), "{name} {command:?}: {said}");
            assert!(said.contains(&hint.to_lowercase()), "{name} {command:?}: {said}");
            assert!(!said.contains("miie"), "{said}");
        }
        if name != "missing" {
            fs::write(&key.file, &pem).unwrap();
            fs::set_permissions(&key.file, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn a_key_that_nothing_uses_is_warned_of() {
    let base = tempfile::tempdir().unwrap();
    stdout(&mta_seal(base.path(), &["init", "--domain", "company1.example", "--dir", "gw"]));
    let gw = base.path().join("gw");
    Key::make(&gw, "company1.example", "dkim", &["--ed25519"]);
    configure(&gw, "dkim = { selector = \"dkim\", key = \"dkim.pem\" }");
    let config = gw.join("mta-seal.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (start, end) = (text.find("[outbound]").unwrap(), text.find("[inbound]").unwrap());
    fs::write(&config, [&text[..start], &text[end..]].concat()).unwrap();
    let output = mta_seal(&gw, &["config", "check"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`dkim` of company1.example has no effect without [outbound]"), "{said}");
}

#[test]
fn wrong_usage() {
    let base = tempfile::tempdir().unwrap();
    let long = vec!["x".repeat(60); 4].join(".");
    for (domain, selector) in
        [("localhost", "a"), ("company1.example", "a b"), ("company1.example", &long)]
    {
        let output = mta_seal(
            base.path(),
            &["dkim", "--domain", domain, "--selector", selector, "--out", "key.pem"],
        );
        assert_eq!(output.status.code(), Some(2), "{domain} {selector}");
        assert!(!base.path().join("key.pem").exists());
    }
}
