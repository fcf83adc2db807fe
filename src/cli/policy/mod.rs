//! `mta-seal policy`: the policy of a domain, signed here or where the identity key is kept.

mod change;
mod install;
mod request;
mod sign;

use std::path::Path;

use super::failure::Failure;
use super::terminal::print;
use crate::gateway::rotation::{IdentityError, NotTaken};

/// What is done with policies.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Sign the policy anew, for another 30 days, and print the records to publish; or sign what `policy request` asks for
    Sign(sign::Args),
    /// Make the keys of the coming weeks, and write down what an identity key that is kept elsewhere has to sign
    ///
    /// What it writes holds no secret. Take it to the identity key, run `policy sign --request` there, bring the result back, and
    /// run `policy install` here.
    Request(request::Args),
    /// Take the policies that `policy sign --request` has signed
    ///
    /// All are verified first. Each takes its turn when its time has come and its keys are seen everywhere.
    Install(install::Args),
}

pub(super) fn run(command: &Command, config: Option<&Path>) -> Result<(), Failure> {
    match command {
        Command::Sign(args) => sign::run(args, config),
        Command::Request(args) => request::run(args, config),
        Command::Install(args) => install::run(args, config),
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        use super::moment::utc;
        match error {
            IdentityError::Desk(error) => error.into(),
            IdentityError::Rolling { until, known } => {
                let (when, hint) = if known {
                    (format!("before {}", utc(until)), "")
                } else {
                    let hint = "; the time runs from when its first policy is seen at every name server: see `mta-seal keys rotate`";
                    (format!("before {} at the earliest", utc(until)), hint)
                };
                Self::refused(format!("{error}: not {when}")).hint(format!(
                    "whoever has not seen the present key would not believe the next{hint}; if the present key is lost, --lost"
                ))
            }
            IdentityError::NoStatement => Self::refused(&error).hint(
                "bring identity.pem back for this; or name the announced key with --next FILE; if both are lost, \
                 `mta-seal identity roll --lost` says what follows",
            ),
            IdentityError::OtherAnnounced(_) => Self::refused(&error).hint(
                "bring that key with --next FILE; or, if it is lost, make another with --anew",
            ),
            IdentityError::Announced(_) => {
                Self::refused(&error).hint("if it is lost, or others may know it, make another with --anew")
            }
            IdentityError::SignsHere => Self::refused(&error)
                .hint("move identity.pem off this machine first, and keep it where the policies are signed"),
            IdentityError::Empty => Self::refused(&error).hint("name what `policy sign --request` has written"),
            IdentityError::NotTaken { why: NotTaken::Conflict, .. } => Self::refused(&error)
                .hint("--replace puts the new ones in their place; copies of the old ones stay valid until they expire"),
            IdentityError::NotTaken { why: NotTaken::Identity, .. } => Self::refused(&error).hint(
                "sign with the present identity key, or name that one with --former when signing with its successor",
            ),
            IdentityError::NotTaken { .. } => {
                Self::refused(&error).hint("make a new request with `mta-seal policy request --anew`")
            }
            IdentityError::Present => Self::refused(&error).hint("without --next a new one is made"),
        }
    }
}
