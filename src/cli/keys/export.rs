//! `mta-seal keys export`: a keyring in one encrypted file.

use crate::cli::context::{self, Own};
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::terminal;
use crate::cli::trail::Trail;
use crate::lifetime::Schedule;
use crate::store::keyring::{
    AgeRecipient, Export, KeyringError, Passphrase, Reader, TransferError, write_secret,
};
use crate::store::ledger::ActionKind;
use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

/// Options of `keys export`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("reader").required(true)))]
pub(in crate::cli) struct Args {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Encrypt to a public key of age; may be given several times
    #[arg(long, value_name = "age1...", group = "reader")]
    recipient: Vec<String>,
    /// Encrypt to a passphrase, which is asked for, or read as a line of standard input
    #[arg(long, group = "reader")]
    passphrase: bool,
    /// Put the identity key in too, which is better kept apart
    #[arg(long)]
    with_identity: bool,
    /// The file to make [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let recipients: Vec<AgeRecipient> =
        args.recipient.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(
            |error: TransferError| {
                Failure::usage(format!("--recipient: {error}"))
                    .hint("write age1... as `age-keygen` prints it")
            },
        )?;
    let own = Own::load(local)?;
    if args.with_identity && own.keyring.identity().is_none() {
        let directory = local.keys.display();
        return Err(Failure::refused(format!("no identity.pem in {directory}"))
            .hint("leave out --with-identity, or put the key back from where it is kept"));
    }
    if let Some(path) = args.out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(KeyringError::Exists(path.to_owned()).into());
    }
    let reader = if args.passphrase {
        Reader::Passphrase(Passphrase::new(terminal::new_secret("passphrase of the export")?)?)
    } else {
        Reader::Recipients(recipients)
    };
    let export = Export::of(&own.keyring, &local.name, context::now(), args.with_identity)?;
    let text = export.encrypt(&reader)?;
    let trail = Trail::open(&config, local)?;
    trail.change(ActionKind::KeysExported, &detail(args, &export), || match &args.out {
        Some(path) => Ok(write_secret(path, &text)?),
        None => stdout()
            .write_all(text.as_bytes())
            .map_err(|error| Failure::writing("standard output", &error)),
    })?;
    warn(&own, &export, &reader);
    Ok(())
}

/// What goes on record: how much left the keyring, where to, and who can open it.
fn detail(args: &Args, export: &Export) -> String {
    let identity = if args.with_identity { ", the identity key too," } else { "" };
    let place = args.out.as_ref().map_or("standard output".into(), |path| path.to_string_lossy());
    let reader = match args.recipient.as_slice() {
        [] => "a passphrase".to_owned(),
        recipients => recipients.join(" or "),
    };
    format!("{} private keys{identity} to {place}, opened by {reader}", export.keys())
}

/// Says how long the file matters. On standard error, for the file itself may be on standard output.
fn warn(own: &Own, export: &Export, reader: &Reader) {
    let record = own.policy.record();
    let (expiry, end) = (record.expiry, Schedule::opens_until(record.expiry, record.window));
    let keys = export.keys();
    terminal::say(&format!(
        "exported {keys} private key{} of {}",
        if keys == 1 { "" } else { "s" },
        export.domain()
    ));
    terminal::say(&format!(
        "by the present policy mail is sealed to them until {}, and the gateway opens it until {}",
        utc(expiry),
        utc(end)
    ));
    terminal::warning(
        "whoever has this file and what opens it can read that mail for ever, once it was recorded",
    );
    terminal::hint(
        "destroy the file and every copy as soon as it is imported, at the latest when its keys are destroyed",
    );
    if matches!(reader, Reader::Recipients(_)) {
        terminal::warning("a recipient age1... is X25519 alone, which a quantum computer breaks");
        terminal::hint("use --passphrase where others may get a copy of the file");
    }
    if stdout().is_terminal() {
        terminal::hint("--out FILE writes it to a file of mode 0600");
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        let failure = Self::refused(&error);
        match &error {
            TransferError::Secret(error) => failure.hint_if(error.hint()),
            _ => failure,
        }
    }
}
