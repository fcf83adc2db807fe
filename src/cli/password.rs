//! `mta-seal password`: the line of a password file.

use rand_core::UnwrapErr;

use super::failure::Failure;
use super::terminal;
use crate::store::passwords::{self, PasswordsError};

/// Options of `password`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name to log in with
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let password = terminal::new_secret("password")?;
    let mut rng = UnwrapErr(getrandom::SysRng);
    let line = passwords::line(&args.name, &password, &mut rng).map_err(|error| match error {
        PasswordsError::Name => Failure::usage(error),
        other => Failure::refused(other),
    })?;
    terminal::print(&format!("{line}\n"))
}
