//! `mta-seal identity show`: the identity key, its successor and its predecessor.

use std::path::Path;

use super::print;
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::{context, fingerprint};
use crate::core::{Domain, IdentityKey};
use crate::gateway::rotation::Desk;
use crate::lifetime::Proof;

/// Options of `identity show`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let desk = context::desk(local, context::now())?;
    print(&text(&local.name, &desk))
}

/// What is known of the identity keys.
pub(super) fn text(domain: &Domain, desk: &Desk) -> String {
    let policy = desk.policy();
    let own = policy.identity().fingerprint();
    let here = desk.keyring.identity().map(IdentityKey::fingerprint);
    let place = match here {
        Some(here) if here == own => "in the keyring".to_owned(),
        Some(here) => format!("elsewhere; the one in the keyring is {here}"),
        None => "kept elsewhere".to_owned(),
    };
    let mut out =
        format!("{domain}\n  identity key, {place}\n    {}\n", fingerprint::lines(&own, "    "));
    let next = desk.keyring.next_identity().map(IdentityKey::fingerprint);
    let announced = policy.record().next_identity;
    out.push_str(&match (next, announced) {
        (None, None) => "  next: none is announced\n".to_owned(),
        (Some(next), Some(announced)) if next == announced => {
            format!("  next, announced, in the keyring: take it off this machine\n    {next}\n")
        }
        (Some(next), _) => {
            format!("  next, in the keyring, announced from the next policy on\n    {next}\n")
        }
        (None, Some(announced)) => format!("  next, announced, kept elsewhere\n    {announced}\n"),
    });
    if let Some(succession) = &desk.book.identity.succession {
        let proof = match succession.proof {
            Proof::Statement => "by its statement",
            Proof::Announced => "which had announced it",
            Proof::Nothing => "without proof",
        };
        let state = match (succession.ended, succession.end()) {
            (Some(at), _) => format!("over since {}", utc(at)),
            (None, Some(end)) => format!("until {}", utc(end)),
            (None, None) => "its first policy is not yet seen everywhere".to_owned(),
        };
        out.push_str(&format!(
            "  rollover since {}, {state}: it has succeeded, {proof}\n    {}\n",
            utc(succession.since),
            succession.former
        ));
    }
    out
}
