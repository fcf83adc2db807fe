//! Keys with which the gateway must not start: it says why, and so does `config check`, where that can know. And those of
//! systemd's credentials, with which it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod keyring_support;

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use cli_support::{Daemon, name, program};
use keyring_support::{PASSPHRASE, init, mta_seal, mta_seal_with, refusal, secret_file, stdout};
use mta_seal::dns::authority::{Authority, ZoneSpec};
use rustix::process::Signal;

const DOMAIN: &str = "company1.example";

fn keys(gw: &Path) -> PathBuf {
    gw.join("keys").join(DOMAIN)
}

/// A gateway whose one listener has a port of its own and which asks no DNS.
fn configured(base: &Path) -> PathBuf {
    let gw = init(base);
    configure(&gw, "", "127.0.0.1:1");
    gw
}

fn configure(gw: &Path, more: &str, dns: &str) {
    let text = format!(
        "hostname = 'gw.{DOMAIN}'\nstate = 'state'\n[[domain]]\nname = '{DOMAIN}'\nkeys = 'keys/{DOMAIN}'\n{more}\n\
         [outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
         [dns]\nmode = 'plain'\nservers = ['{dns}']\ntimeout = '3s'\n[log]\nformat = 'json'\n"
    );
    fs::write(gw.join("mta-seal.toml"), text).unwrap();
}

/// The one line of the log that says why the gateway has not started, and its hint.
fn not_started(gw: &Path, more: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let output = mta_seal_with(gw, &[&["serve"], more].concat(), environment, "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    let line: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(line["level"], "ERROR", "{said}");
    assert!(!said.contains("gateway ready"), "{said}");
    let word =
        |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {said}")).to_owned();
    (word("message"), word("hint"))
}

/// `serve` and `config check` refuse in the same words.
#[track_caller]
fn refused(gw: &Path, path: &Path, what: &str, hint: &str) {
    let (message, advice) = not_started(gw, &[], &[]);
    let checked = refusal(&mta_seal(gw, &["config", "check"]));
    // As the configuration names it, or whole.
    let file = path.strip_prefix(gw).unwrap().display().to_string();
    for said in [&message, &checked] {
        assert!(said.contains(&format!("{file} {what}")), "{file} {what}: {said}");
    }
    assert!(advice.contains(hint), "{advice}");
    assert!(checked.contains(&format!("\nhint: {advice}")), "{checked}");
}

fn starts(gw: &Path, environment: &[(&str, &str)]) {
    let mut command = program();
    command.current_dir(gw).arg("serve").envs(environment.iter().copied());
    let mut daemon = Daemon::start(command);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn each_file_of_a_keyring_must_be_its_owners_alone() {
    let base = tempfile::tempdir().unwrap();
    let gw = configured(base.path());
    fs::write(keys(&gw).join("destroyed"), "").unwrap();
    starts(&gw, &[]);
    let files: Vec<PathBuf> =
        fs::read_dir(keys(&gw)).unwrap().map(|entry| entry.unwrap().path()).collect();
    let secret = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        ["identity", "signing-", "sealing-"].iter().any(|kind| name.starts_with(kind))
    };
    assert_eq!(files.iter().filter(|path| secret(path)).count(), 4);
    for path in &files {
        let modes: &[u32] = if secret(path) { &[0o640, 0o604, 0o620] } else { &[0o620, 0o602] };
        let own = fs::metadata(path).unwrap().permissions();
        for &mode in modes {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            refused(&gw, path, &format!("is open to other users (mode {mode:04o})"), "chmod 600");
        }
        fs::set_permissions(path, own).unwrap();
    }
    // A link is as good as what it leads to.
    let (link, outside) = (files.iter().find(|path| secret(path)).unwrap(), gw.join("outside"));
    fs::rename(link, &outside).unwrap();
    symlink(&outside, link).unwrap();
    starts(&gw, &[]);
    fs::set_permissions(&outside, Permissions::from_mode(0o644)).unwrap();
    refused(&gw, link, "is open to other users (mode 0644)", "chmod 600");
    fs::remove_file(link).unwrap();
    fs::rename(&outside, link).unwrap();
    fs::set_permissions(link, Permissions::from_mode(0o600)).unwrap();
    starts(&gw, &[]);
}

/// Only root can give files away.
#[test]
fn the_files_of_a_keyring_must_be_of_the_gateways_user() {
    let base = tempfile::tempdir().unwrap();
    let gw = configured(base.path());
    fs::write(keys(&gw).join("destroyed"), "").unwrap();
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: wrong owners of keys: only root can give files away; run this as root");
        return;
    }
    for entry in fs::read_dir(keys(&gw)).unwrap() {
        let path = entry.unwrap().path();
        let own = fs::metadata(&path).unwrap().uid();
        chown(&path, Some(65_534), None).unwrap();
        refused(&gw, &path, &format!("belongs to user 65534, not to user {own}"), "chown");
        chown(&path, Some(own), None).unwrap();
    }
    starts(&gw, &[]);
}

/// What name servers publish is not what is here [R-life-08].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_do_not_match_dns_stop_the_start() {
    let base = tempfile::tempdir().unwrap();
    // Made first, so that its policy is the oldest.
    fs::create_dir(base.path().join("other")).unwrap();
    let other = configured(&base.path().join("other"));
    let gw = configured(base.path());
    let authority = Authority::start(&[ZoneSpec::unsigned(name(DOMAIN))]).await.unwrap();
    authority.set_servers(&name(DOMAIN), &["ns.company1.example"]).unwrap();
    authority
        .set_addresses(&name("ns.company1.example"), &[IpAddr::V4(Ipv4Addr::LOCALHOST)])
        .unwrap();
    let (dns, port) = (authority.address().to_string(), authority.address().port().to_string());
    configure(&gw, "", &dns);
    configure(&other, "", &dns);
    let publish = |gw: &Path| {
        let records = stdout(&mta_seal(gw, &["zone", "--format", "json"]));
        let records: Vec<serde_json::Value> = serde_json::from_str(&records).unwrap();
        for record in records {
            let word = |key: &str| record[key].as_str().unwrap().to_owned();
            authority.set_txt(&name(&word("name")), &[word("value").as_bytes()]).unwrap();
        }
    };
    let port = ["--authoritative-port", &port];
    let refused = |what: &str, advice: &str| {
        let (gw, what, advice) = (gw.clone(), what.to_owned(), advice.to_owned());
        let port: Vec<String> = port.map(str::to_owned).to_vec();
        tokio::task::spawn_blocking(move || {
            let port: Vec<&str> = port.iter().map(String::as_str).collect();
            let (message, hint) = not_started(&gw, &port, &[]);
            assert!(message.contains(&what) && message.contains(DOMAIN), "{message}");
            assert!(hint.contains(&advice), "{hint}");
        })
    };
    let started = || {
        let (gw, port) = (gw.clone(), port.map(str::to_owned));
        tokio::task::spawn_blocking(move || {
            let mut command = program();
            command.current_dir(&gw).arg("serve").args(port);
            let mut daemon = Daemon::start(command);
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.ended().code(), Some(0));
        })
    };
    // Nothing is published, and then what is here.
    started().await.unwrap();
    publish(&gw);
    started().await.unwrap();

    publish(&other);
    refused("signed by the identity key", "put the right keyring in its place").await.unwrap();

    // A later policy, and an earlier keyring brought back.
    let old = fs::read(keys(&gw).join("policy.txt")).unwrap();
    stdout(&mta_seal(&gw, &["policy", "sign"]));
    publish(&gw);
    started().await.unwrap();
    let new = fs::read(keys(&gw).join("policy.txt")).unwrap();
    fs::write(keys(&gw).join("policy.txt"), old).unwrap();
    refused("and the one in the keyring has", "keys import").await.unwrap();
    fs::write(keys(&gw).join("policy.txt"), new).unwrap();

    // A sealing key that is published is gone. The policy here lists it too.
    let sealing = fs::read_dir(keys(&gw)).unwrap().map(|entry| entry.unwrap().path());
    let sealing: Vec<PathBuf> =
        sealing.filter(|path| path.to_string_lossy().contains("/sealing-1-")).collect();
    fs::rename(&sealing[0], gw.join("lost.key")).unwrap();
    refused("the sealing key", "keyring").await.unwrap();
    fs::rename(gw.join("lost.key"), &sealing[0]).unwrap();
    started().await.unwrap();
}

/// The daemon and a command take the passphrase from a credential; without it, or with a wrong one, nothing starts.
#[test]
fn the_passphrase_comes_from_a_credential_of_systemd() {
    let base = tempfile::tempdir().unwrap();
    let gw = configured(base.path());
    configure(&gw, "passphrase = 'credential:pass'", "127.0.0.1:1");
    let credentials = base.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let hand = |text: &str| {
        let path = credentials.join("pass");
        let _ = fs::remove_file(&path);
        secret_file(&path, text);
        // As systemd hands them.
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    };
    hand(&format!("{PASSPHRASE}\n"));
    let handed = [("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    stdout(&mta_seal_with(&gw, &["keys", "protect"], &handed, ""));
    let clear = |name: &str| name.starts_with("signing-") && name.ends_with(".pem");
    let names = fs::read_dir(keys(&gw)).unwrap().map(|e| e.unwrap().file_name());
    assert!(!names.into_iter().any(|name| clear(name.to_str().unwrap())), "all are encrypted");
    starts(&gw, &handed);
    let listed = stdout(&mta_seal_with(&gw, &["keys", "list"], &handed, ""));
    assert_eq!(listed.matches(" active ").count(), 3, "{listed}");
    stdout(&mta_seal_with(&gw, &["policy", "sign"], &handed, ""));

    let fails = |environment: &[(&str, &str)], what: &str, advice: &str| {
        let (message, hint) = not_started(&gw, &[], environment);
        assert!(message.contains(what), "{message}");
        assert!(hint.contains(advice), "{hint}");
        for command in [&["keys", "list"][..], &["policy", "sign"], &["keys", "rotate"]] {
            let said = refusal(&mta_seal_with(&gw, command, environment, ""));
            assert!(said.contains(what) && said.contains("\nhint: "), "{said}");
        }
        for said in [message, hint] {
            assert!(!said.contains(PASSPHRASE) && !said.contains("wrong horse"), "{said}");
        }
    };
    let before = fs::read(keys(&gw).join("policy.txt")).unwrap();
    // No credentials at all, a directory without this one, one that is empty, and a wrong one.
    fails(&[], "credential pass: this process was handed none", "LoadCredential");
    let empty = base.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let none = [("CREDENTIALS_DIRECTORY", empty.to_str().unwrap())];
    fails(&none, "pass", "LoadCredential");
    hand("\n");
    fails(&handed, "pass", "");
    hand("wrong horse battery staple\n");
    fails(&handed, "passphrase", "");
    assert_eq!(fs::read(keys(&gw).join("policy.txt")).unwrap(), before);
    hand(&format!("{PASSPHRASE}\n"));
    starts(&gw, &handed);
}
