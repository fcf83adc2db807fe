//! What commands change in keys and policies of our own is on record in the ledger: who, what, why, and if it failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod keyring_support;

use std::fs;
use std::path::{Path, PathBuf};

use cli_support::{name, now};
use keyring_support::{PASSPHRASE, init, mta_seal_with, secret_file, stdout};
use mta_seal::store::ledger::{Action, Ledger as _, Options, SqliteLedger};

const DOMAIN: &str = "company1.example";

/// A gateway that has been started once, so that it has a ledger.
struct Home {
    dir: tempfile::TempDir,
    gw: PathBuf,
    seen: i64,
}

impl Home {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gw = init(dir.path());
        let home = Self { dir, gw, seen: 0 };
        home.ledger().await.close().await;
        home
    }

    async fn ledger(&self) -> SqliteLedger {
        let path = self.gw.join("state/ledger.sqlite");
        SqliteLedger::open(&path, &Options::default(), now()).unwrap()
    }

    fn run(&self, arguments: &[&str], input: &str) -> std::process::Output {
        mta_seal_with(&self.gw, arguments, &[], input)
    }

    fn done(&self, arguments: &[&str], input: &str) -> String {
        stdout(&self.run(arguments, input))
    }

    /// What has come on record since the last call, as kind and detail.
    async fn news(&mut self) -> Vec<(String, String)> {
        let ledger = self.ledger().await;
        let mut actions: Vec<Action> = ledger.actions(Some(&name(DOMAIN)), 100).await.unwrap();
        ledger.close().await;
        actions.retain(|action| action.id > self.seen);
        actions.reverse();
        self.seen = actions.last().map_or(self.seen, |action| action.id);
        // Whoever runs the tests has given the commands.
        let uid = rustix::process::getuid().as_raw();
        assert!(actions.iter().all(|action| action.by.uid == uid && action.at <= now()));
        actions.into_iter().map(|action| (action.action, action.detail)).collect()
    }

    /// There is one new action, of this kind.
    async fn one(&mut self, kind: &str) -> String {
        let news = self.news().await;
        assert!(news.len() == 1 && news[0].0 == kind, "{kind}: {news:?}");
        news[0].1.clone()
    }

    fn keys(&self) -> PathBuf {
        self.gw.join("keys").join(DOMAIN)
    }
}

fn serial(keys: &Path) -> String {
    let text = fs::read_to_string(keys.join("policy.txt")).unwrap();
    text.split("; n=").nth(1).unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn policies_and_identity_keys() {
    let mut home = Home::new().await;
    home.done(&["policy", "sign", "--mode", "enforce"], "");
    let detail = home.one("policy").await;
    assert!(
        detail.starts_with(&format!("serial {} signed, until ", serial(&home.keys()))),
        "{detail}"
    );
    assert!(detail.ends_with(", enforce"), "{detail}");

    home.done(&["identity", "prepare"], "");
    assert_eq!(home.one("identity-prepared").await, "the next one");
    // What was refused is on record too, behind what was wanted.
    assert_eq!(home.run(&["identity", "prepare"], "").status.code(), Some(1));
    let news = home.news().await;
    assert_eq!(news.len(), 2, "{news:?}");
    assert_eq!(news[0].0, "identity-prepared");
    assert_eq!(news[1].0, "failed");
    assert!(news[1].1.starts_with("identity-prepared: the policy announces"), "{news:?}");

    let identity = fs::read_to_string(home.keys().join("policy.txt")).unwrap();
    home.done(&["identity", "roll"], "");
    let detail = home.one("identity-rolled").await;
    assert!(detail.starts_with("from ") && detail.len() == 5 + 64, "{detail}");
    assert_ne!(fs::read_to_string(home.keys().join("policy.txt")).unwrap(), identity);

    // With the identity keys elsewhere.
    let away = home.dir.path().join("away");
    fs::create_dir(&away).unwrap();
    for file in ["identity.pem", "identity-former.pem"] {
        fs::rename(home.keys().join(file), away.join(file)).unwrap();
    }
    assert_eq!(home.run(&["policy", "sign"], "").status.code(), Some(1));
    assert_eq!(home.news().await, [], "nothing was begun");
    home.done(&["policy", "request", "--weeks", "2", "--anew", "--out", "request"], "");
    assert_eq!(
        home.one("policy-requested").await,
        "for 2 weeks, in place of those that are signed"
    );
    let (identity, former) = (away.join("identity.pem"), away.join("identity-former.pem"));
    let keys = ["--identity", identity.to_str().unwrap(), "--former", former.to_str().unwrap()];
    let sign = ["policy", "sign", "--request", "request", "--out", "signed"];
    home.done(&[&sign[..], &keys].concat(), "");
    assert_eq!(home.news().await, [], "that is not our ledger's matter");
    home.done(&["policy", "install", "signed"], "");
    let news = home.news().await;
    assert_eq!(news[0], ("policy".to_owned(), "2 signed elsewhere".to_owned()));
    assert!(
        news[1..].iter().all(|(kind, _)| kind == "policy" || kind == "key-destroyed"),
        "{news:?}"
    );
    // What is no policy is refused.
    fs::write(home.gw.join("signed"), "v=MTASEAL1; m=enforce\n").unwrap();
    assert_eq!(home.run(&["policy", "install", "signed"], "").status.code(), Some(1));
    let news = home.news().await;
    assert_eq!(
        news.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(),
        ["policy", "failed"]
    );
}

#[tokio::test]
async fn keys_that_leave_come_and_are_wrapped() {
    let mut home = Home::new().await;
    let line = format!("{PASSPHRASE}\n");
    home.done(&["keys", "export", "--passphrase", "--out", "export.age"], &line);
    let detail = home.one("keys-exported").await;
    assert_eq!(detail, "3 private keys to export.age, opened by a passphrase");
    home.done(&["keys", "export", "--passphrase", "--with-identity"], &line);
    let detail = home.one("keys-exported").await;
    assert_eq!(
        detail,
        "4 private keys, the identity key too, to standard output, opened by a passphrase"
    );
    // There already: nothing was begun.
    let again = home.run(&["keys", "export", "--passphrase", "--out", "export.age"], &line);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(home.news().await, []);
    // No such directory: begun, and failed.
    let again = home.run(&["keys", "export", "--passphrase", "--out", "none/export.age"], &line);
    assert_eq!(again.status.code(), Some(1));
    let news = home.news().await;
    assert_eq!(
        news.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>(),
        ["keys-exported", "failed"]
    );

    home.done(&["keys", "import", "export.age"], &line);
    let detail = home.one("keys-imported").await;
    assert!(detail.starts_with("export.age, an export of "), "{detail}");

    let secret = home.gw.join("passphrase");
    secret_file(&secret, &line);
    let file = [("MTA_SEAL_PASSPHRASE_FILE", secret.to_str().unwrap())];
    for (command, kind) in [("protect", "keys-protected"), ("unprotect", "keys-unprotected")] {
        stdout(&mta_seal_with(&home.gw, &["keys", command], &file, ""));
        assert!(home.one(kind).await.ends_with(DOMAIN));
    }
    // A directory without a configuration has no ledger.
    let keys = home.keys();
    let keys = keys.to_str().unwrap();
    stdout(&mta_seal_with(&home.gw, &["keys", "protect", "--dir", keys], &file, ""));
    assert_eq!(home.news().await, []);
}

/// Nothing is changed that cannot go on record.
#[tokio::test]
async fn a_ledger_that_cannot_be_written_stops_the_change() {
    let mut home = Home::new().await;
    let before = fs::read_to_string(home.keys().join("policy.txt")).unwrap();
    let ledger = home.gw.join("state/ledger.sqlite");
    let kept = fs::read(&ledger).unwrap();
    fs::write(&ledger, b"no database, but long enough to be looked at as one").unwrap();
    for command in [
        &["policy", "sign"][..],
        &["identity", "prepare"],
        &["identity", "roll"],
        &["keys", "rotate", "--now"],
        &["keys", "export", "--passphrase", "--out", "export.age"],
    ] {
        let output = home.run(command, &format!("{PASSPHRASE}\n"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
    }
    assert_eq!(fs::read_to_string(home.keys().join("policy.txt")).unwrap(), before);
    assert!(!home.gw.join("export.age").exists());
    assert!(!home.keys().join("identity-next.pem").exists());
    fs::write(&ledger, kept).unwrap();
    assert_eq!(home.news().await, []);
}
