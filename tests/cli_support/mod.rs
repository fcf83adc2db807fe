//! What the tests of the program share: starting it, once or as a gateway that goes on running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod daemon;

pub use daemon::{Daemon, wait};

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

pub fn name(text: &str) -> Domain {
    Domain::from_canonical(text.as_bytes()).unwrap()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
