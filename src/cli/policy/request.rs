//! `mta-seal policy request`: what an identity key that is kept elsewhere has to sign.

use std::path::{Path, PathBuf};

use super::change::Changes;
use super::print;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::trail::Trail;
use crate::cli::{context, terminal, zone};
use crate::gateway::rotation::{Ask, MAX_WEEKS, Made};
use crate::records::PolicyDraft;
use crate::store::ledger::ActionKind;

/// Options of `policy request`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Weeks for which policies are wanted, those for which some are here included
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u64).range(1..=MAX_WEEKS))]
    weeks: u64,
    /// From now on, in place of those that are signed already: after a key was revoked, or to change what a policy asks at once
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    changes: Changes,
    /// Where it goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let now = context::now();
    let made = Made::of(local);
    let ask = Ask { weeks: args.weeks, anew: args.anew };
    let schedule = local.rotation.unwrap_or_default();
    let mut desk = context::desk(local, now)?;
    let again = if args.anew { ", in place of those that are signed" } else { "" };
    let detail = format!("for {} weeks{again}", args.weeks);
    let change = |draft: &mut PolicyDraft| args.changes.apply(draft);
    let request =
        Trail::open(&config, local)?.change(ActionKind::PolicyRequested, &detail, || {
            desk.request(ask, change, &schedule, made, now, &mut context::rng())
        })?;
    for draft in &request.drafts {
        zone::check_names(&local.name, &draft.sealing_keys)?;
    }
    let (Some(first), Some(last)) = (request.drafts.first(), request.drafts.last()) else {
        return Err(Failure::refused(format!(
            "policies are here for the coming {} weeks",
            args.weeks
        ))
        .hint("ask for more weeks, or with --anew for others in their place"));
    };
    let text = request.to_string();
    match &args.out {
        None => print(&text)?,
        Some(out) => {
            std::fs::write(out, text).map_err(|error| Failure::writing(out.display(), &error))?;
        }
    }
    terminal::say(&format!(
        "{} for weeks that begin {} to {}. Where the identity key is kept:\n  \
         mta-seal policy sign --request FILE --identity identity.pem --out SIGNED\nand then here:\n  mta-seal policy install SIGNED",
        match request.drafts.len() {
            1 => "1 policy".to_owned(),
            n => format!("{n} policies"),
        },
        utc(first.serial),
        utc(last.serial)
    ));
    Ok(())
}
