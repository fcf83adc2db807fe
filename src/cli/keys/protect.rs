//! `mta-seal keys protect` and `unprotect`: whether private keys rest encrypted.

use super::{Found, Place};
use crate::cli::failure::Failure;
use crate::cli::{context, passphrase};
use crate::store::keyring::{Converted, Keyring};
use crate::store::ledger::ActionKind;
use std::path::Path;

/// Options of `keys protect` and `keys unprotect`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    place: Place,
}

pub(super) fn protect(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let found = args.place.find(config)?;
    let configured = found.passphrase.as_deref();
    let passphrase = match passphrase::existing(&found.directory, configured)? {
        Some(passphrase) => passphrase,
        None => {
            // Before anybody is asked for a passphrase.
            Keyring::load(&found.directory)?;
            passphrase::new(configured)?
        }
    };
    let directory = &found.directory;
    let detail = directory.display().to_string();
    let converted = found.trail.change(ActionKind::KeysProtected, &detail, || {
        Keyring::protect(directory, &passphrase, &mut context::rng())
    })?;
    say(
        &found,
        converted,
        "encrypted",
        "the clear files were overwritten and removed: backups and snapshots may still have them",
    )?;
    if configured.is_none() && found.domain.is_some() {
        crate::cli::terminal::warning("the gateway cannot read these keys yet");
        crate::cli::terminal::hint(
            "set `passphrase` in the [[domain]] before it starts or reloads",
        );
    }
    Ok(())
}

pub(super) fn unprotect(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let found = args.place.find(config)?;
    let passphrase = passphrase::existing(&found.directory, found.passphrase.as_deref())?;
    let directory = &found.directory;
    let detail = directory.display().to_string();
    let converted = found.trail.change(ActionKind::KeysUnprotected, &detail, || {
        Keyring::unprotect(directory, passphrase.as_ref())
    })?;
    say(
        &found,
        converted,
        "in clear",
        "only the permissions of the files keep others from them now",
    )
}

fn say(found: &Found, converted: Converted, now: &str, meaning: &str) -> Result<(), Failure> {
    let Converted { changed, keys } = converted;
    let directory = found.directory.display();
    let s = if keys == 1 { "" } else { "s" };
    let text = if changed {
        format!("{directory}: {keys} private key{s} {now}; {meaning}\n")
    } else {
        format!("{directory}: {keys} private key{s} {now} already\n")
    };
    super::print(&text)
}
