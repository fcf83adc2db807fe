//! `init`, `seal`, `unseal`, `inspect` and `zone` through the program itself, without DNS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

fn mta_seal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    command.env_remove("MTA_SEAL_CONFIG");
    command
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// Two organisations in one directory.
struct Pair(tempfile::TempDir);

impl Pair {
    fn new() -> Self {
        let pair = Self(tempfile::tempdir().unwrap());
        for domain in ["company1.example", "company2.example"] {
            let output = mta_seal()
                .args(["init", "--domain", domain, "--dir"])
                .arg(pair.at(domain))
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        pair
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, domain: &str, verb: &str) -> Command {
        let mut command = mta_seal();
        command.arg("--config").arg(self.at(domain).join("mta-seal.toml")).arg(verb);
        command
    }

    fn zone(&self, domain: &str) -> PathBuf {
        self.at(domain).join(format!("{domain}.zone"))
    }

    fn seal(&self, message: &[u8]) -> Vec<u8> {
        let output = self
            .command("company1.example", "seal")
            .args(["--mail-from", "anna@company1.example", "--rcpt-to", "bob@company2.example"])
            .arg("--policy")
            .arg(self.zone("company2.example"))
            .write_stdin(message)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    }

    fn unseal(&self, carrier: &[u8], more: &[&str]) -> Output {
        self.command("company2.example", "unseal")
            .arg("--sender-policy")
            .arg(self.zone("company1.example"))
            .args(more)
            .write_stdin(carrier)
            .output()
            .unwrap()
    }
}

#[test]
fn any_octets_come_back_bit_for_bit() {
    let pair = Pair::new();
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    long.resize(100_000, b'x');
    let noise: Vec<u8> =
        (0..700_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let messages: [&[u8]; 9] = [
        b"",
        b"Subject: hello\r\n\r\nhello\r\n",
        b"Subject: header only\r\n",
        b"Subject: no final line end\r\n\r\nend",
        b"a\0b\0\r\n",
        b"bare\rcr and bare\nlf\n\r\r\n.\r\n..\r\n",
        "Subject: 8bit\r\n\r\ngr\u{fc}\u{df}e\r\n".as_bytes(),
        &long,
        &noise,
    ];
    for message in messages {
        let carrier = pair.seal(message);
        let output = pair.unseal(&carrier, &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(output.stdout == message, "a message of {} octets changed", message.len());
    }
}

#[test]
fn result_is_reported() {
    let pair = Pair::new();
    let carrier = pair.seal(b"Subject: x\r\n\r\nx\r\n");
    let output = pair.unseal(&carrier, &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["result"], "pass");
    assert_eq!(report["sender_domain"], "company1.example");
    assert_eq!(report["mail_from"], "anna@company1.example");
    assert_eq!(report["rcpt_to"], serde_json::json!(["bob@company2.example"]));
    assert_eq!(report["suite"], 2);

    let file = pair.at("carrier.eml");
    fs::write(&file, &carrier).unwrap();
    let output = mta_seal().args(["inspect", "--json"]).arg(&file).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["envelope_id"], report["envelope_id"]);
    assert_eq!(shown["key_id"], report["key_id"]);
    assert_eq!(shown["recipient_domain"], "company2.example");
    assert_eq!(shown["octets"], carrier.len());
    // [R-con-05]
    assert_eq!(shown["content_octets"], 4096);
}

#[test]
fn damaged_carriers_leave_nothing_behind() {
    let pair = Pair::new();
    let message = vec![b'm'; 300_000];
    let carrier = pair.seal(&message);
    let dir = pair.at("out");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("message.eml");
    let option = file.to_str().unwrap();
    let unseal = |carrier: &[u8]| {
        let output = pair.unseal(carrier, &["--output", option]);
        (output.status.code(), fs::read_dir(&dir).unwrap().count(), text(&output.stderr))
    };

    let start = 1_500;
    for cut in [0, 100, start, 20_000, carrier.len() / 2, carrier.len() - 60] {
        let (code, files, stderr) = unseal(&carrier[..cut]);
        assert_eq!((code, files), (Some(1), 0), "cut at {cut}: {stderr}");
    }
    for at in (start..carrier.len() - 200).step_by(carrier.len() / 12) {
        let at = (at..).find(|i| carrier[*i].is_ascii_alphanumeric()).unwrap();
        let mut flipped = carrier.clone();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let (code, files, stderr) = unseal(&flipped);
        assert_eq!((code, files), (Some(1), 0), "flipped at {at}: {stderr}");
        assert!(stderr.starts_with("mta-seal: "), "{stderr}");
    }
    let (code, files, stderr) = unseal(&carrier);
    assert_eq!((code, files), (Some(0), 1), "{stderr}");
    assert!(fs::read(&file).unwrap() == message);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn late_failure_warns_of_what_is_out_already() {
    let pair = Pair::new();
    let carrier = pair.seal(&vec![b'm'; 2_000_000]);
    let output = pair.unseal(&carrier[..carrier.len() / 2], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty(), "nothing was streamed");
    assert!(text(&output.stderr).contains("must not be trusted"), "{}", text(&output.stderr));
}

#[test]
fn ordinary_mail_is_no_carrier() {
    let pair = Pair::new();
    let output = pair.unseal(b"From: anna@company1.example\r\n\r\nhello\r\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn a_foreign_carrier_is_refused() {
    let pair = Pair::new();
    let carrier = pair.seal(b"x\r\n");
    let output = pair
        .command("company1.example", "unseal")
        .arg("--sender-policy")
        .arg(pair.zone("company1.example"))
        .write_stdin(carrier)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn wrong_sender_policy_is_refused() {
    let pair = Pair::new();
    let carrier = pair.seal(b"x\r\n");
    let other = pair.at("other");
    mta_seal()
        .args(["init", "--domain", "company1.example", "--dir"])
        .arg(&other)
        .assert()
        .success();
    let output = pair
        .command("company2.example", "unseal")
        .arg("--sender-policy")
        .arg(other.join("company1.example.zone"))
        .write_stdin(carrier)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn nothing_is_overwritten() {
    let pair = Pair::new();
    let before = snapshot(&pair.at("company1.example"));
    let output = mta_seal()
        .current_dir(pair.at("."))
        .args(["init", "--domain", "company1.example", "--dir", "company1.example"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stderr));
    assert_eq!(snapshot(&pair.at("company1.example")), before);
}

fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let pair = Pair::new();
    let keys = pair.at("company1.example").join("keys/company1.example");
    let key = fs::read_dir(&keys)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("signing-"))
        .unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = pair.command("company1.example", "zone").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("is open to other users (mode 0644)"), "{stderr}");
    assert!(stderr.contains(&format!("hint: chmod 600 {}", key.display())), "{stderr}");
}

#[test]
fn zone_prints_what_init_wrote() {
    let pair = Pair::new();
    let written = fs::read(pair.zone("company1.example")).unwrap();
    let output = pair.command("company1.example", "zone").output().unwrap();
    assert_eq!(output.stdout, written);
    let output =
        pair.command("company1.example", "zone").args(["--format", "json"]).output().unwrap();
    let records: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(records[0]["name"], "_mta-seal.company1.example");
    let policy = records[0]["value"].as_str().unwrap();
    let output =
        pair.command("company1.example", "zone").args(["--format", "values"]).output().unwrap();
    assert!(text(&output.stdout).contains(policy));

    // A plain policy record alone will do, if the key it prefers stands in a file of its own.
    let (policy_file, key_file) = (pair.at("policy.txt"), pair.at("key.txt"));
    fs::write(&policy_file, policy).unwrap();
    fs::write(&key_file, records[1]["value"].as_str().unwrap()).unwrap();
    let seal = |key: bool| {
        let mut command = pair.command("company2.example", "seal");
        command
            .args(["--mail-from", "", "--rcpt-to", "anna@company1.example", "--policy"])
            .arg(&policy_file);
        if key {
            command.arg("--key-record").arg(&key_file);
        }
        command.write_stdin("x\r\n").output().unwrap()
    };
    assert!(seal(true).status.success());
    let output = seal(false);
    assert_eq!(output.status.code(), Some(75));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn wrong_usage_is_2() {
    let cases: [&[&str]; 9] = [
        &[],
        &["sael"],
        &["seal"],
        &["seal", "--mail-from", "a@b.example", "--rcpt-to", "x"],
        &[
            "seal",
            "--mail-from",
            "a@b.example",
            "--rcpt-to",
            "c@d.example",
            "--rcpt-to",
            "e@f.example",
        ],
        &["seal", "--mail-from", "a b@c.example", "--rcpt-to", "c@d.example"],
        &["init", "--domain", "localhost", "--dir", "/nonexistent"],
        &["init", "--domain", "a.example", "--dir", "x", "--mode", "none"],
        &["zone", "--format", "xml"],
    ];
    let mut answers = String::new();
    for case in cases {
        let output = mta_seal().args(case).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case:?}");
        assert!(output.stdout.is_empty(), "{case:?}");
        if !case.is_empty() {
            answers.push_str(&format!("$ mta-seal {}\n{}\n", case.join(" "), text(&output.stderr)));
        }
    }
    insta::assert_snapshot!("wrong_usage", answers);
}

#[test]
fn a_reader_who_leaves_is_no_scandal() {
    use std::process::{Command, Stdio};
    let pair = Pair::new();
    let carrier = pair.seal(&vec![b'm'; 3_000_000]);
    let file = pair.at("carrier.eml");
    fs::write(&file, carrier).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mta-seal"))
        .arg("--config")
        .arg(pair.at("company2.example").join("mta-seal.toml"))
        .args(["unseal", "--sender-policy"])
        .arg(pair.zone("company1.example"))
        .stdin(fs::File::open(&file).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
}
