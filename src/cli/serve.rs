//! `serve`: runs the gateway until it is told to stop.

use std::io::IsTerminal;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::context;
use super::descriptors;
use super::failure::{Failure, words};
use crate::gateway::config::{Config, LogFormat};
use crate::gateway::{Gateway, Parts, StartError};
use crate::store::ledger::LedgerError;

/// Runs in the foreground; the service manager restarts it if it fails.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    start_log(&config);
    descriptors::raise_limit(&config);
    for warning in &config.warnings {
        warn!("{}", warning.summary());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::temporary(format!("cannot start: {error}")))?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    // Before the listeners open, so that no signal falls between.
    let failed = |error| Failure::temporary(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let parts = Parts::from_config(config)?;
    let gateway = Gateway::start(parts).await?;
    info!(outbound = ?gateway.outbound(), inbound = ?gateway.inbound(), "gateway ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping: open transactions may finish");
    if !gateway.stop().await {
        warn!("some transactions were cut off; their senders will try again");
    }
    Ok(())
}

fn start_log(config: &Config) {
    let level = config.log.level.as_tracing();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second subscriber is only refused in tests that call this twice.
    let _ = match config.log.format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Text => subscriber.try_init(),
    };
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match &error {
            StartError::Ledger { error: LedgerError::Locked, .. } => {
                Self::temporary(&error).hint("another gateway uses this state directory")
            }
            StartError::Listen { .. } => {
                Self::temporary(&error).hint("see `ss -ltnp` for what listens there already")
            }
            StartError::State { path, error } => {
                let text = format!("state directory {}: {}", path.display(), words(error));
                Self::temporary(text).hint("`state` must be a directory that this user can write")
            }
            StartError::Ledger { .. } => Self::temporary(&error),
            StartError::Keys { error: keys, .. } => {
                let failure = Self::refused(&error);
                match keys.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            StartError::StateMoved { .. } => {
                Self::refused(&error).hint("restart the gateway to change `state`")
            }
            StartError::Dns(_) | StartError::Tls { .. } => Self::refused(&error),
        }
    }
}
