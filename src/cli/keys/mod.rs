//! `mta-seal keys`: the private keys of a domain.

mod concern;
mod destroy;
mod export;
mod import;
mod list;
mod protect;
mod revoke;
mod rotate;

use super::failure::Failure;
use super::terminal::print;
use super::trail::Trail;
use super::{context, terminal};
use crate::core::{Domain, KeyId};
use crate::gateway::rotation::DeskError;
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Show the keys, their states, and what happens next and when
    List(list::Args),
    /// Do what is due, as the gateway does by itself where `publish` or `rotation` of a domain is configured
    Rotate(rotate::Args),
    /// Take a key out of use that others may know; says first what becomes of mail
    Revoke(revoke::Args),
    /// Encrypt the private keys of a keyring under a passphrase; may be repeated, above all after a crash
    ///
    /// The passphrase is in the file that `passphrase` of its [[domain]] or MTA_SEAL_PASSPHRASE_FILE names, or is asked for.
    Protect(protect::Args),
    /// Write the private keys of a keyring in clear again
    Unprotect(protect::Args),
    /// Put a keyring into one encrypted file, for a second node or for backup
    ///
    /// The file opens recorded mail as long as it exists: destroy it too.
    Export(export::Args),
    /// Add the keys of such a file to a keyring
    ///
    /// Nothing is overwritten, and no key comes back that is listed as destroyed. What the export lists as destroyed and is here
    /// stays, but with --destroy.
    Import(import::Args),
}

pub(super) fn run(command: &KeysCommand, config: Option<&Path>) -> Result<(), Failure> {
    match command {
        KeysCommand::List(args) => list::run(args, config),
        KeysCommand::Rotate(args) => rotate::run(args, config),
        KeysCommand::Revoke(args) => revoke::run(args, config),
        KeysCommand::Protect(args) => protect::protect(args, config),
        KeysCommand::Unprotect(args) => protect::unprotect(args, config),
        KeysCommand::Export(args) => export::run(args, config),
        KeysCommand::Import(args) => import::run(args, config),
    }
}

/// Columns of a line of text.
const WIDTH: usize = 80;

/// A key id, short as in `keys list`.
fn digits(id: &KeyId) -> String {
    id.to_string().get(..16).unwrap_or_default().to_owned()
}

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Keyring(error) => error.into(),
            DeskError::NoIdentity => Self::refused(&error)
                .hint("put identity.pem back for the signing, or sign elsewhere: `mta-seal policy request`"),
            DeskError::NoSelector => {
                Self::refused(&error).hint("add to `selectors` in [domain.publish], and a CNAME for each")
            }
            other => Self::refused(&other),
        }
    }
}

/// Which keyring a command is about.
#[derive(Debug, clap::Args)]
struct Place {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The directory of a keyring, without a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "domain")]
    dir: Option<PathBuf>,
}

/// Where it is.
struct Found {
    directory: PathBuf,
    /// The file that its `[[domain]]` names.
    passphrase: Option<PathBuf>,
    /// The domain in the configuration.
    domain: Option<Domain>,
    /// Where changes go on record; a directory without a configuration has no such place.
    trail: Trail,
}

impl Place {
    fn find(&self, config: Option<&Path>) -> Result<Found, Failure> {
        if let Some(directory) = &self.dir {
            return Ok(Found {
                directory: directory.clone(),
                passphrase: None,
                domain: None,
                trail: Trail::none(),
            });
        }
        let config = context::config(config)?;
        let local = context::one(&config, self.domain.as_deref())?;
        Ok(Found {
            directory: local.keys.clone(),
            passphrase: local.passphrase.clone(),
            domain: Some(local.name.clone()),
            trail: Trail::open(&config, local)?,
        })
    }
}

/// Asks `question`, unless `yes` is given; `not_done` says what follows from no.
fn confirm(yes: bool, question: &str, not_done: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let not_done = format!("not confirmed: {not_done}");
    if !terminal::can_ask() {
        return Err(Failure::usage(not_done)
            .hint("read the above, and add --yes to go on without a question"));
    }
    let failed = |error| Failure::reading("the terminal", &error);
    if terminal::ask(question).map_err(failed)? { Ok(()) } else { Err(Failure::refused(not_done)) }
}
