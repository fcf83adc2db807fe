//! The subcommands of `mta-seal`.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 75 worth trying again later. Errors go
//! to standard error as `mta-seal: what` and, where something can be done, `hint: what to do`.

mod advice;
mod alarms;
mod audit;
mod bypass;
mod check;
mod config_check;
mod context;
mod deferred;
mod demo;
mod descriptors;
mod discovery;
mod dkim;
mod explain;
mod failure;
mod fingerprint;
mod identity;
mod init;
mod inspect;
mod keys;
mod log;
mod manager;
mod moment;
mod operator;
mod partner;
mod passphrase;
mod password;
mod policy;
mod record_files;
mod seal;
mod sealed_input;
mod serve;
mod steps;
mod stream;
mod table;
mod terminal;
mod trace;
mod trail;
mod unseal;
mod verdict;
mod watch;
mod when;
mod zone;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Seals mail between organisations.
#[derive(Debug, Parser)]
#[command(name = "mta-seal", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    /// The configuration [default: ./mta-seal.toml, then /etc/mta-seal/mta-seal.toml]
    #[arg(long, global = true, value_name = "FILE", env = "MTA_SEAL_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys, records and a configuration for a domain
    Init(init::Args),
    /// Print the records to publish
    Zone(zone::Args),
    /// Make a key that signs carriers with DKIM, for a gateway with no signer behind it
    Dkim(dkim::Args),
    /// Run the gateway
    ///
    /// SIGHUP, or a change of the file of partners, makes it read configuration, keys and certificates anew without
    /// dropping a connection; what is wrong is logged, and nothing changes then. SIGTERM and SIGINT close the listeners and let open transactions finish, at most
    /// `[timeouts] shutdown`; a second one ends at once. Exit code 75: something was cut off, which its sender tries again.
    Serve(serve::Args),
    /// Seal a message from standard input to a carrier on standard output
    Seal(seal::Args),
    /// Unseal a carrier from standard input to the original octets on standard output
    Unseal(unseal::Args),
    /// Say what a carrier or an envelope shows without any key
    Inspect(inspect::Args),
    /// Print the line of a password file, for clients that log in to the inside listener
    Password(password::Args),
    /// Work with the keys of a domain
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Work with the policy of a domain
    Policy {
        #[command(subcommand)]
        command: policy::Command,
    },
    /// Work with the identity key of a domain, which others remember and pin
    Identity {
        #[command(subcommand)]
        command: identity::Command,
    },
    /// Say which mail waits, since when, why, and what to do
    Deferred(deferred::Args),
    /// Say what looks like an attack or needs a person, and what to do; exit code 1 if there is something
    Alarms(alarms::Args),
    /// Say what became of a message, step by step, on both sides of the gateway
    ///
    /// By its Message-ID, an address, a domain, a trace id, an envelope or the token of a carrier; or, with `--since`, all that
    /// was then.
    Trace(trace::Args),
    /// Work with the audit trail: whether it is whole, and what is in it
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
    /// Work with the domains that mail is exchanged with
    Partner {
        #[command(subcommand)]
        command: partner::Command,
    },
    /// Say whether a domain can be sealed to, step by step, and what this gateway would do with a message now
    ///
    /// Nothing is learned and nothing recorded. Exit codes: 0 all is well or there are warnings only, 1 something failed, 75
    /// something could not be determined now.
    Check(check::Args),
    /// Say what the gateway would do with one message, step by step, without sending it
    ///
    /// Neither its text nor its subject is shown. Exit codes as for `check`.
    Explain(explain::Args),
    /// Look whether mail leaves, or comes in, past the gateway
    Bypass(bypass::Args),
    /// Work with the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show the whole protocol on loopback, attacks included
    Demo {
        /// A message to send instead of the built-in one
        message: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read everything the gateway would read, and say what is wrong
    Check,
}

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                terminal::error(&message.text);
                if let Some(hint) = &message.hint {
                    terminal::hint(hint);
                }
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let config = cli.config.as_deref();
    match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Zone(args) => zone::run(args, config),
        Command::Dkim(args) => dkim::run(args),
        Command::Serve(args) => serve::run(args, config),
        Command::Seal(args) => seal::run(args, config),
        Command::Unseal(args) => unseal::run(args, config),
        Command::Inspect(args) => inspect::run(args),
        Command::Password(args) => password::run(args),
        Command::Policy { command } => policy::run(command, config),
        Command::Identity { command } => identity::run(command, config),
        Command::Keys { command } => keys::run(command, config),
        Command::Check(args) => check::run(args, config),
        Command::Explain(args) => explain::run(args, config),
        Command::Bypass(args) => bypass::run(args, config),
        Command::Deferred(args) => deferred::run(args, config),
        Command::Alarms(args) => alarms::run(args, config),
        Command::Trace(args) => trace::run(args, config),
        Command::Audit { command } => audit::run(command, config),
        Command::Partner { command } => partner::run(command, config),
        Command::Config { command: ConfigCommand::Check } => config_check::run(config),
        Command::Demo { message } => demo::run(message.clone()),
    }
}

/// Says in our form what the argument parser says in its own.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help or version was asked for; if nobody reads it there is nothing to report.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.render().to_string();
    let mut what: Vec<&str> = Vec::new();
    let mut hints: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip);
        } else if !line.starts_with("Usage:") && !line.starts_with("For more information") {
            what.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    terminal::error(&what.join(" "));
    if hints.is_empty() {
        hints.push("`mta-seal help` and `mta-seal COMMAND --help` explain the options");
    }
    for hint in hints {
        terminal::hint(hint);
    }
    ExitCode::from(2)
}
