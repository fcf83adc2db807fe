//! `mta-seal identity`: the key that others remember and pin, and its successor.

mod prepare;
mod roll;
mod show;

use std::path::Path;

use super::failure::Failure;
use super::terminal::print;

/// What is done with identity keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the identity key, its announced successor, and how far a rollover is
    Show(show::Args),
    /// Make the next identity key, and announce it, so that it can follow even if the present one is lost
    Prepare(prepare::Args),
    /// Put the next identity key in the place of the present one, which states in every policy who succeeds it
    ///
    /// Partners that remember or have pinned the present key follow by themselves. It takes until the last of them has had the time
    /// to look, which is `max_age` at least; then the former key is destroyed. Only then can there be another rollover.
    Roll(roll::Args),
}

pub(super) fn run(command: &Command, config: Option<&Path>) -> Result<(), Failure> {
    match command {
        Command::Show(args) => show::run(args, config),
        Command::Prepare(args) => prepare::run(args, config),
        Command::Roll(args) => roll::run(args, config),
    }
}
