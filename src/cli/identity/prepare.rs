//! `mta-seal identity prepare`: the next identity key, announced by the present one.

use std::path::Path;

use super::print;
use crate::cli::failure::Failure;
use crate::cli::trail::Trail;
use crate::cli::{context, fingerprint, zone};
use crate::store::ledger::ActionKind;

/// Options of `identity prepare`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Announce another one than is announced already, since that one is lost or others may know it
    #[arg(long)]
    anew: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let schedule = local.rotation.unwrap_or_default();
    let now = context::now();
    let mut desk = context::desk(local, now)?;
    let detail = if args.anew { "in place of the one announced before" } else { "the next one" };
    let trail = Trail::open(&config, local)?;
    let id = trail.change(ActionKind::IdentityPrepared, detail, || {
        desk.prepare_identity(args.anew, &schedule, now, &mut context::rng())
    })?;
    let file = desk.keyring.next_identity_file();
    let mut out = format!(
        "made {}\n\n  {}\n\nTake it off this machine now, to a place where the present identity key is not, so that both are not lost or stolen together.\n",
        file.display(),
        fingerprint::lines(&id, "  ")
    );
    if desk.keyring.identity().is_some() {
        out.push_str(&format!(
            "The policy announces it. Publish it, unless the gateway does so by itself:\n\n{}",
            zone::master_file(&zone::records(local.records_under(), &desk.keyring)?)
        ));
    } else {
        out.push_str(
            "The identity key is kept elsewhere: `mta-seal policy request --anew` now, with this file still in its place; from then on policies announce it.\n",
        );
    }
    print(&out)
}
