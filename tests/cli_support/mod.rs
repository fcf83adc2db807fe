//! What the tests of the program share: starting it, once or as a gateway that goes on running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod daemon;

pub use daemon::{Daemon, wait};

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use mta_seal::core::Domain;

/// What the program takes from its environment.
const ENVIRONMENT: [&str; 7] = [
    "MTA_SEAL_CONFIG",
    "MTA_SEAL_PASSPHRASE_FILE",
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "JOURNAL_STREAM",
];

/// The program, which takes nothing from the environment of the test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    for name in ENVIRONMENT {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub fn mta_seal(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the program to its end, with this configuration.
pub fn mta_seal_with(config: &Path, arguments: &[&str]) -> Said {
    program().env("MTA_SEAL_CONFIG", config).args(arguments).output().unwrap().into()
}

/// A configuration of company1.example as `init` makes it, with its state directory inside `dir`.
pub fn configured(dir: &Path) -> PathBuf {
    let gateway = dir.join("gw");
    let made =
        mta_seal(&["init", "--domain", "company1.example", "--dir", gateway.to_str().unwrap()]);
    assert!(made.status.success());
    let config = gateway.join("mta-seal.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("state"));
    let text: Vec<&str> = std::iter::once("state = \"state\"").chain(lines).collect();
    std::fs::write(&config, text.join("\n")).unwrap();
    std::fs::create_dir_all(gateway.join("state")).unwrap();
    config
}

pub fn name(text: &str) -> Domain {
    Domain::from_canonical(text.as_bytes()).unwrap()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
