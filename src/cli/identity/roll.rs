//! `mta-seal identity roll`: the next identity key in the place of the present one.

use std::path::{Path, PathBuf};

use super::{print, show};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::trail::Trail;
use crate::cli::zone;
use crate::core::IdentityKey;
use crate::gateway::rotation::Roll;
use crate::lifetime::Proof;
use crate::store::ledger::ActionKind;
use crate::store::secret_file;

/// Options of `identity roll`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The next identity key, if it is not in the keyring
    #[arg(long, value_name = "FILE")]
    next: Option<PathBuf>,
    /// To another key than the one that is announced, since that one is lost or others may know it
    #[arg(long, conflicts_with = "next")]
    anew: bool,
    /// The present key is lost: without its statement. Unless the next key was announced, partners do not believe it before their
    /// memory ends, DNSSEC vouches for it, or they compare its fingerprint; their mail waits
    #[arg(long)]
    lost: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let next = args.next.as_deref().map(read).transpose()?;
    let schedule = local.rotation.unwrap_or_default();
    let now = context::now();
    let mut desk = context::desk(local, now)?;
    let roll = Roll { anew: args.anew, lost: args.lost };
    let lost = if args.lost { ", which is lost" } else { "" };
    let detail = format!("from {}{lost}", desk.policy().identity().fingerprint());
    Trail::open(&config, local)?.change(ActionKind::IdentityRolled, &detail, || {
        desk.roll_identity(next, roll, &schedule, now, &mut context::rng())
    })?;
    let mut out = show::text(&local.name, &desk);
    let proof = desk.book.rollover().map(|succession| succession.proof);
    out.push_str(match proof {
        Some(Proof::Statement) => {
            "Partners that remember or have pinned the former key follow by themselves, if they look before the rollover ends. The former key is destroyed then.\n"
        }
        Some(Proof::Announced) => {
            "Partners that have seen it announced follow by themselves. Others hold to the former key: see below what they can do.\n"
        }
        Some(Proof::Nothing) | None => "Nothing shows partners that this key is yours.\n",
    });
    if proof != Some(Proof::Statement) {
        out.push_str(
            "Where the former key is remembered, mail waits (identity-changed) until that memory ends, or DNSSEC vouches for the new key; where it is pinned \
             (pin-mismatch), until `mta-seal partner pin`. Tell partners the words above by telephone.\n",
        );
    }
    out.push_str(&format!(
        "Publish this, unless the gateway does so by itself:\n\n{}",
        zone::master_file(&zone::records(local.records_under(), &desk.keyring)?)
    ));
    print(&out)
}

fn read(path: &Path) -> Result<IdentityKey, Failure> {
    let pem = secret_file::read(path)?;
    IdentityKey::from_pem(&pem)
        .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
}
