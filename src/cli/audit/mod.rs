//! `mta-seal audit`: whether the trail is whole, and what is in it, from the ledger of the running gateway.

mod export;
mod papers;
mod verify;

use super::context;
use super::failure::Failure;
use super::table;
use super::terminal;
use crate::core::hex::Hex;
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::Config;
use crate::store::ledger::{AuditRow, Trail};
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Look whether every row is as it was written, none is missing, and the checkpoints are signed by this gateway
    ///
    /// Exit code 1 if something is wrong. Rows after the last checkpoint can be cut off unnoticed by whoever can write the
    /// file: keep a checkpoint elsewhere now and then (`audit checkpoint`), and compare with it.
    Verify(verify::Args),
    /// Print the rows, for other programs
    Export(export::Args),
    /// Print the last signed checkpoint, to be kept where nobody can change it
    Checkpoint,
}

pub(super) fn run(command: &Command, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    match command {
        Command::Verify(args) => verify::run(args, &config),
        Command::Export(args) => export::run(args, &config),
        Command::Checkpoint => checkpoint(&config),
    }
}

/// The trail of the gateway, for reading beside it.
pub(super) fn trail(config: &Config) -> Result<Trail, Failure> {
    Trail::open(&config.state.join(LEDGER_FILE)).map_err(context::ledger_failure)
}

fn checkpoint(config: &Config) -> Result<(), Failure> {
    match trail(config)?.last_checkpoint().map_err(context::ledger_failure)? {
        Some(checkpoint) => terminal::print(&table::json(&checkpoint.to_json())?),
        None => Err(Failure::refused("no checkpoint was signed yet").hint(
            "a running gateway signs one when it starts, and every ten minutes with new rows",
        )),
    }
}

/// A row as JSON; details that cannot be read stay text.
pub(super) fn json_row(row: &AuditRow) -> Value {
    let detail: Value =
        serde_json::from_str(&row.detail).unwrap_or_else(|_| Value::String(row.detail.clone()));
    json!({
        "seq": row.seq,
        "at": row.at,
        "kind": row.kind,
        "direction": row.scope().map(|scope| scope.as_str()),
        "trace": row.trace,
        "message_id": row.message_id,
        "envelope": row.envelope.as_deref().map(digits),
        "token": row.token.as_deref().map(digits),
        "sender": row.sender,
        "recipient": row.recipient,
        "domain": row.domain,
        "reason": row.reason,
        "detail": detail,
        "digest": digits(&row.digest),
        "chain": digits(&row.chain),
    })
}

fn digits(octets: &[u8]) -> String {
    Hex(octets).to_string()
}
