//! The answers to bad configurations, word for word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;
use std::fs;
use std::path::Path;

fn mta_seal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    command.env_remove("MTA_SEAL_CONFIG");
    command
}

/// Every file in `tests/configs/bad` has its snapshot; none is listed by hand.
#[test]
fn bad_configurations_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/bad");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 15);
    let mut answers = String::new();
    for name in names {
        let output = mta_seal()
            .current_dir(&folder)
            .args(["config", "check", "--config", &name])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let place = format!("mta-seal: {name}:");
        assert!(stderr.starts_with(&place), "{name}: {stderr}");
        answers.push_str(&stderr);
        answers.push('\n');
    }
    insta::assert_snapshot!("bad_configurations", answers);
}

#[test]
fn missing_configuration_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let output = mta_seal()
        .current_dir(dir.path())
        .args(["config", "check", "--config", "none.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @r"
    mta-seal: none.toml: cannot read the configuration: no such file or directory
    hint: make one with `mta-seal init`, or name one with --config FILE
    ");
}

#[test]
fn shared_ranges_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    mta_seal()
        .args(["init", "--domain", "company1.example", "--dir"])
        .arg(at("gw"))
        .assert()
        .success();
    let config = at("gw").join("mta-seal.toml");
    let text = fs::read_to_string(&config).unwrap();
    mta_seal().args(["config", "check", "--config"]).arg(&config).assert().success().stderr("");
    fs::write(&config, text.replace("\"127.0.0.0/8\"", "\"203.0.113.0/24\"")).unwrap();
    let output = mta_seal()
        .current_dir(at("gw"))
        .args(["config", "check"])
        .assert()
        .success()
        .get_output()
        .clone();
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}
