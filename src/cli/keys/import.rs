//! `mta-seal keys import`: adds the keys of an export to a keyring.

use super::{Place, destroy};
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::{context, passphrase, terminal};
use crate::core::Domain;
use crate::gateway::verified;
use crate::records::VerifiedPolicy;
use crate::store::keyring::{
    AgeIdentities, Export, Keyring, Merged, Opener, Passphrase, TransferError,
};
use crate::store::ledger::ActionKind;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most octets of an export: hundreds of keyrings.
const MAX_FILE: u64 = 4 << 20;

/// Options of `keys import`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The file that `keys export` has made; if a passphrase opens it, that is asked for, or read as a line of standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The file with the private key of age that opens it
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Destroy the keys here that the export lists as destroyed; says which, and asks
    #[arg(long)]
    destroy: bool,
    /// Do not ask, and destroy only what no mail can need any more
    #[arg(long, requires = "destroy")]
    yes: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let found = args.place.find(config)?;
    let export = open(args)?;
    let name = args.file.display();
    let domain = Domain::parse(export.domain())
        .map_err(|error| Failure::refused(format!("{name}: domain: {error}")))?;
    if let Some(other) = found.domain.as_ref().filter(|other| **other != domain) {
        return Err(Failure::refused(format!("{name} holds the keys of {domain}, not of {other}"))
            .hint("name the domain with --domain, or the directory with --dir"));
    }
    let theirs = match export.policy() {
        Some(text) => Some(policy_in(&name.to_string(), text, &domain)?),
        None => None,
    };
    let configured = found.passphrase.as_deref();
    let mut right = None;
    let mut keyring = if is_empty(&found.directory) {
        made(&found.directory, configured)?
    } else {
        right = Some(Keyring::lock(&found.directory)?);
        passphrase::keyring(&found.directory, configured)?
    };
    let right = match right {
        Some(right) => right,
        None => Keyring::lock(&found.directory)?,
    };
    let place = found.directory.display();
    let ours = match keyring.policy() {
        Some(text) => {
            let file = found.directory.join("policy.txt").display().to_string();
            Some(policy_in(&file, text, &domain)?)
        }
        None => None,
    };
    if let (Some(theirs), Some(ours)) = (&theirs, &ours)
        && !related(theirs, ours, context::now())
    {
        let what =
            format!("the policy in {name} is signed by another identity key than that in {place}");
        return Err(Failure::refused(what).hint(
            "they are different keyrings of the domain: import it into a directory of its own",
        ));
    }
    let detail = format!("{name}, an export of {}", utc(export.exported()));
    let (merged, policy) =
        found.trail.change(ActionKind::KeysImported, &detail, || -> Result<_, Failure> {
            let merged = export.merge_into(&mut keyring)?;
            let policy = match (&theirs, &ours, export.policy()) {
                (Some(theirs), ours, Some(text))
                    if ours.as_ref().is_none_or(|o| theirs.record().serial > o.record().serial) =>
                {
                    keyring.set_policy(text)?;
                    "taken from the export"
                }
                (Some(theirs), Some(ours), _) if theirs.record().serial < ours.record().serial => {
                    "kept, since that of the export is older"
                }
                (None, None, _) => "none",
                _ => "there already",
            };
            Ok((merged, policy))
        })?;
    drop((keyring, right));
    report(&export, &merged, policy, &place.to_string(), args.destroy)?;
    if args.destroy {
        destroy::run(&found, &domain, &export, args.yes)?;
    }
    terminal::hint("destroy the export and every copy of it, unless it is your backup");
    Ok(())
}

fn open(args: &Args) -> Result<Export, Failure> {
    let mut octets = Vec::new();
    let file = fs::File::open(&args.file);
    file.and_then(|file| file.take(MAX_FILE).read_to_end(&mut octets))
        .map_err(|error| Failure::reading_file(&args.file, &error))?;
    let failed = |error: TransferError| {
        let failure = Failure::refused(format!("{}: {error}", args.file.display()));
        match error {
            TransferError::Age | TransferError::Format => {
                failure.hint("`mta-seal keys export` makes such a file")
            }
            _ => failure,
        }
    };
    let opener = match (&args.identity, Export::needs_passphrase(&octets).map_err(failed)?) {
        (None, true) => {
            let text = if terminal::can_ask() {
                terminal::ask_secret("passphrase of the export: ")?
            } else {
                terminal::secret_line()?
            };
            Opener::Passphrase(Passphrase::new(text)?)
        }
        (Some(path), false) => Opener::Identities(AgeIdentities::read(path)?),
        (Some(_), true) => {
            return Err(Failure::usage("--identity: a passphrase opens this file"));
        }
        (None, false) => {
            return Err(Failure::usage("this file is encrypted to a recipient of age")
                .hint("name the file with its private key by --identity FILE"));
        }
    };
    Export::decrypt(&octets, &opener).map_err(failed)
}

/// A new keyring, protected from the beginning if its `[[domain]]` names a passphrase.
fn made(directory: &Path, configured: Option<&Path>) -> Result<Keyring, Failure> {
    let keyring = Keyring::create(directory)?;
    if configured.is_none() {
        return Ok(keyring);
    }
    let passphrase = passphrase::new(configured)?;
    Keyring::protect(directory, &passphrase, &mut context::rng())?;
    Ok(Keyring::load_with(directory, Some(&passphrase))?)
}

/// Whether there is nothing at that place yet.
fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |mut entries| entries.next().is_none(),
    )
}

fn policy_in(place: &str, text: &str, domain: &Domain) -> Result<VerifiedPolicy, Failure> {
    verified(text, domain)
        .map_err(|error| Failure::refused(format!("{place}: policy of {domain}: {error}")))
}

/// Whether two policies are of one identity key, or one of them says that its key succeeds the other's.
fn related(one: &VerifiedPolicy, other: &VerifiedPolicy, now: u64) -> bool {
    one.continues(other, now) || other.continues(one, now)
}

/// `destroying`: what becomes of keys that are still here is said later.
fn report(
    export: &Export,
    merged: &Merged,
    policy: &str,
    place: &str,
    destroying: bool,
) -> Result<(), Failure> {
    let mut text = format!(
        "{place}: {} added, {} there already, of an export of {}; policy: {policy}\n",
        merged.added.len(),
        merged.present.len(),
        utc(export.exported())
    );
    for name in &merged.added {
        text.push_str(&format!("added {name}\n"));
    }
    for name in &merged.destroyed {
        text.push_str(&format!("left out {name}: destroyed\n"));
    }
    terminal::print(&text)?;
    for name in merged.alive.iter().filter(|_| !destroying) {
        terminal::warning(&format!(
            "{name} is still here, though it was destroyed where the export was made: --destroy destroys it"
        ));
    }
    for name in &merged.unknown {
        terminal::warning(&format!("left out {name:?}: no file of a keyring in this version"));
    }
    Ok(())
}
