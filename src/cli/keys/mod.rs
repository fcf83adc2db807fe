//! `mta-seal keys`: the private keys of a domain.

mod list;
mod revoke;
mod rotate;

use super::context;
use super::failure::Failure;
use crate::core::Domain;
use crate::gateway::config::{Config, LocalDomain};
use crate::gateway::rotation::{Desk, DeskError};
use clap::Subcommand;
use std::io::Write;
use std::path::Path;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Show the keys, their states, and what happens next and when
    List(list::Args),
    /// Do what is due, as the gateway does by itself where `publish` or `rotation` of a domain is configured
    Rotate(rotate::Args),
    /// Take a key out of use that others may know; says first what becomes of mail
    Revoke(revoke::Args),
}

pub(super) fn run(command: &KeysCommand, config: Option<&Path>) -> Result<(), Failure> {
    match command {
        KeysCommand::List(args) => list::run(args, config),
        KeysCommand::Rotate(args) => rotate::run(args, config),
        KeysCommand::Revoke(args) => revoke::run(args, config),
    }
}

/// The named domain of ours, or all.
fn locals<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a LocalDomain>, Failure> {
    let Some(name) = name else { return Ok(config.domains.iter().collect()) };
    let domain = Domain::parse(name)
        .map_err(|error| Failure::usage(format!("--domain `{name}`: {error}")))?;
    Ok(vec![context::local(config, &domain)?])
}

fn desk(local: &LocalDomain, now: u64) -> Result<Desk, Failure> {
    Ok(Desk::open(&local.keys, &local.name, now)?)
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::writing("standard output", &error))
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
