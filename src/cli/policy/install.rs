//! `mta-seal policy install`: takes policies that were signed where the identity key is kept.

use std::path::{Path, PathBuf};

use super::print;
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::trail::Trail;
use crate::gateway::rotation::{Event, Made};
use crate::store::ledger::ActionKind;

/// Options of `policy install`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// What `policy sign --request` has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// In place of policies for the same time that are here already
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let file = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::reading_file(&args.file, &error))?;
    let lines = file.lines().map(str::trim);
    let texts: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let now = context::now();
    let mut desk = context::desk(local, now)?;
    let trail = Trail::open(&config, local)?;
    let here = if args.replace { ", in place of those that are here" } else { "" };
    let detail = format!("{} signed elsewhere{here}", texts.len());
    let taken =
        trail.change(ActionKind::Policy, &detail, || desk.take(&texts, args.replace, now))?;
    let made = Made::of(local);
    let schedule = local.rotation.unwrap_or_default();
    let mut events = Vec::new();
    desk.work(&schedule, made, now, &mut context::rng(), &mut events)?;
    trail.note(&events, &mut desk, now)?;
    let in_force = |serial: u64| events.contains(&Event::Installed(serial));
    let mut out = String::new();
    for policy in &taken {
        let (from, until) = (utc(policy.serial), utc(policy.expiry));
        out.push_str(&if in_force(policy.serial) {
            format!("in force now, until {until}: publish it with `mta-seal keys rotate`, unless the gateway does so by itself\n")
        } else if policy.serial <= now {
            format!("from {from} until {until}, as soon as its keys are seen everywhere\n")
        } else {
            format!("from {from} until {until}\n")
        });
    }
    out.push_str(
        "Whoever has these policies and the keys that they list needs no identity key: keep no copies, and not in backups.\n",
    );
    print(&out)
}
