//! `mta-seal policy sign`: the policy of a domain, signed anew before it expires.

use super::context::{self, Own};
use super::failure::Failure;
use super::zone;
use crate::core::Domain;
use crate::records::{Mode, PolicyDraft};
use std::io::Write;
use std::path::Path;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Options of `policy sign`.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// From now on ask senders to seal if they can (testing), to send nothing else (enforce), or to stop sealing (none)
    /// [default: as before]
    #[arg(long, value_name = "MODE", value_parser = ["testing", "enforce", "none"])]
    mode: Option<String>,
    /// Say that all mail to domains that can unseal is sealed (o=always), or no longer: others may then refuse clear
    /// mail of this domain [default: as before]
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    outgoing_always: Option<String>,
    /// Days for which the policy is signed
    #[arg(long, value_name = "DAYS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
}

/// Signs with the identity key of the keyring, stores the record, and prints what is to be published. The keys stay as they are.
pub(super) fn sign(args: &SignArgs, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = match (&args.domain, config.domains.as_slice()) {
        (Some(name), _) => {
            let domain = Domain::parse(name)
                .map_err(|error| Failure::usage(format!("--domain `{name}`: {error}")))?;
            context::local(&config, &domain)?
        }
        (None, [only]) => only,
        (None, _) => {
            return Err(Failure::usage("the configuration has several domains")
                .hint("name one with --domain"));
        }
    };
    let mut own = Own::load(local)?;
    let record = own.policy.record();
    let identity = own.keyring.identity().ok_or_else(|| {
        Failure::refused(format!("no identity.pem in {}", local.keys.display()))
            .hint("put it back for the signing, from where it is kept")
    })?;
    if record.rollover.is_some() {
        // The statement names the serial of the policy that carries it [R-rec-08].
        return Err(Failure::refused(
            "the policy carries a rollover statement, which ends with its serial",
        ));
    }
    let now = context::now();
    let mut draft = PolicyDraft::from(record);
    draft.serial = now.max(record.serial.saturating_add(1));
    draft.expiry = now.saturating_add(args.days * DAY);
    if let Some(mode) = &args.mode {
        draft.mode = match mode.as_str() {
            "enforce" => Mode::Enforce,
            "none" => Mode::None,
            _ => Mode::Testing,
        };
    }
    if let Some(answer) = &args.outgoing_always {
        draft.outgoing_always = answer == "yes";
    }
    zone::check_names(&local.name, &draft.sealing_keys)?;
    let text = draft.sign(&local.name, identity).map_err(Failure::refused)?;
    own.keyring.set_policy(&text)?;
    let records = zone::records(&local.name, &own.keyring)?;
    std::io::stdout()
        .write_all(zone::master_file(&records).as_bytes())
        .map_err(|error| Failure::writing("standard output", &error))
}
