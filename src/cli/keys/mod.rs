//! `mta-seal keys`: the private keys of a domain.

mod destroy;
mod export;
mod import;
mod list;
mod protect;
mod revoke;
mod rotate;

use super::failure::Failure;
use super::terminal::print;
use super::{context, operator};
use crate::core::Domain;
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::LocalDomain;
use crate::gateway::rotation::DeskError;
use crate::store::ledger::{LedgerError, NewAction, OperatorLedger};
use clap::Subcommand;
use std::io::{IsTerminal, Write};
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

/// The domain in the configuration, which may be left out if there is only one.
fn local(domain: Option<&str>, config: Option<&Path>) -> Result<LocalDomain, Failure> {
    context::one(&context::config(config)?, domain).cloned()
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
    /// The ledger of its gateway.
    ledger: Option<PathBuf>,
}

impl Place {
    fn find(&self, config: Option<&Path>) -> Result<Found, Failure> {
        if let Some(directory) = &self.dir {
            let directory = directory.clone();
            return Ok(Found { directory, passphrase: None, domain: None, ledger: None });
        }
        let config = context::config(config)?;
        let local = context::one(&config, self.domain.as_deref())?.clone();
        Ok(Found {
            directory: local.keys,
            passphrase: local.passphrase,
            domain: Some(local.name),
            ledger: Some(config.state.join(LEDGER_FILE)),
        })
    }
}

/// Asks whether to go on; `not_done` says what follows from no.
fn confirm(yes: bool, not_done: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("not confirmed: {not_done}")).hint("add --yes"));
    }
    let failed = |error| Failure::writing("standard output", &error);
    print("Go on? (yes/no) ")?;
    std::io::stdout().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::refused(not_done)) }
}

/// Puts what is about to be done on record; `false` if there is no ledger yet.
fn on_record(ledger: &Path, actions: &[NewAction], now: u64) -> Result<bool, Failure> {
    let ledger = match OperatorLedger::open(ledger) {
        Ok(ledger) => ledger,
        Err(LedgerError::Open { kind: std::io::ErrorKind::NotFound }) => return Ok(false),
        Err(error) => return Err(context::ledger_failure(error)),
    };
    ledger.record(actions, now, &operator::current()).map_err(context::ledger_failure)?;
    Ok(true)
}
