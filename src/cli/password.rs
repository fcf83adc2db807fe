//! `mta-seal password`: the line of a password file.

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};

use rand_core::UnwrapErr;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::store::passwords::{self, PasswordsError};

/// Most octets read as a password, with its line end: more than can be one.
const MAX_INPUT: u64 = 1_024;

/// Options of `password`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name to log in with
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let password = if stdin().is_terminal() {
        let first = ask("password: ")?;
        if *first != *ask("once more: ")? {
            return Err(Failure::refused("the two differ"));
        }
        first
    } else {
        line()?
    };
    let mut rng = UnwrapErr(getrandom::SysRng);
    let line = passwords::line(&args.name, &password, &mut rng).map_err(|error| match error {
        PasswordsError::Name => Failure::usage(error),
        other => Failure::refused(other),
    })?;
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .map_err(|error| Failure::writing("standard output", &error))
}

/// Reads a line from the terminal without showing it.
fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: std::io::Error| Failure::reading("the terminal", &error);
    let before = tcgetattr(stdin()).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // If nobody sees the prompt, the password is awaited all the same.
    let _ = write!(stderr(), "{prompt}");
    let _ = stderr().flush();
    tcsetattr(stdin(), OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let read = line();
    let restored = tcsetattr(stdin(), OptionalActions::Flush, &before);
    let _ = writeln!(stderr());
    restored.map_err(|error| failed(error.into()))?;
    read
}

/// Reads one line from standard input; its end does not belong to it.
fn line() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(1_024));
    let mut input = stdin().lock().take(MAX_INPUT);
    input.read_line(&mut text).map_err(|error| Failure::reading("standard input", &error))?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}
