//! `serve`: runs the gateway until it is told to stop.
//!
//! SIGHUP reads configuration, keys and certificates again, and so does a change of the file of partners. SIGTERM and SIGINT
//! close the listeners and let open transactions finish; a second one does not wait for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::failure::{Failure, Message, words};
use super::log::{self, Running};
use super::watch::{Look, Watch};
use super::{context, descriptors, manager};
use crate::gateway::config::{Config, RESTORE_PARTNERS};
use crate::gateway::{Gateway, Parts, Settings, StartError};
use crate::store::ledger::LedgerError;

/// How often the file of partners is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Runs in the foreground; the service manager restarts it if it fails.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let path = context::config_path(config)?;
    let (config, watch) = load(&path)?;
    let log = log::start(&config.log);
    let result = served(&path, config, watch, &log);
    match result {
        Err(failure) if log.is_json() => Err(logged(&failure)),
        result => result,
    }
}

/// Reads the configuration, and watches the file of partners from before it is read.
fn load(path: &Path) -> Result<(Config, Watch), Failure> {
    let mut config = Config::load(path)?;
    loop {
        let watch = Watch::begin(&config.partners_file);
        config = Config::load(path)?;
        if watch.is_of(&config.partners_file) {
            return Ok((config, watch));
        }
    }
}

fn served(path: &Path, config: Config, watch: Watch, log: &Running) -> Result<(), Failure> {
    take_note(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::temporary(format!("cannot start: {error}")))?;
    let result = runtime.block_on(serve(path, config, watch, log));
    // What has not ended by now was given up.
    runtime.shutdown_background();
    result
}

/// What is said of a configuration that is about to be used.
fn take_note(config: &Config) {
    descriptors::raise_limit(config);
    for warning in &config.warnings {
        warn!(hint = warning.hint(), "{}", warning.summary());
    }
}

/// The signals that end the process.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// Waits for one of them.
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::temporary(format!("cannot listen for signals: {error}")))
}

async fn serve(
    path: &Path,
    config: Config,
    mut watch: Watch,
    log: &Running,
) -> Result<(), Failure> {
    // Before the listeners open, so that no signal falls between.
    let mut ends = Ends {
        terminate: listen_for(SignalKind::terminate())?,
        interrupt: listen_for(SignalKind::interrupt())?,
    };
    let mut hangup = listen_for(SignalKind::hangup())?;
    let parts = Parts::from_config(config)?;
    let ledger = Arc::clone(&parts.ledger);
    let mut gateway = Gateway::start(parts).await?;
    info!(outbound = ?gateway.outbound(), inbound = ?gateway.inbound(), "gateway ready");
    manager::ready(&status(&gateway));
    tokio::spawn(manager::watch(ledger));
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ends.recv() => break,
            _ = hangup.recv() => take_up(path, &mut gateway, &mut watch, log).await,
            _ = clock.tick() => match watch.look() {
                Look::Same => {}
                Look::Changed => take_up(path, &mut gateway, &mut watch, log).await,
                // A slip must not let mail go clear.
                Look::Gone => error!(
                    file = %watch.path().display(),
                    hint = RESTORE_PARTNERS,
                    "the file of partners has gone: the old configuration stays in force"
                ),
            },
        }
    }
    info!("stopping: open transactions may finish");
    manager::stopping();
    tokio::select! {
        orderly = gateway.stop() => {
            if orderly {
                info!("stopped: nothing was cut off");
                return Ok(());
            }
            let what = "stopped after timeouts.shutdown: some transactions were cut off";
            Err(Failure::temporary(what).hint("their senders will try again"))
        }
        () = ends.recv() => {
            let what = "stopped at once by a second signal: open transactions were cut off";
            Err(Failure::temporary(what).hint("their senders will try again"))
        }
        () = manager::extend() => Ok(()),
    }
}

/// Takes up what the files say now, or stays with what they said before; the service manager and the log are told.
async fn take_up(path: &Path, gateway: &mut Gateway, watch: &mut Watch, log: &Running) {
    manager::reloading();
    let told = match reload(path, gateway, log).await {
        Ok(read) => {
            *watch = read;
            status(gateway)
        }
        Err(failure) => refused(&failure),
    };
    // Also when nothing has changed: the manager waits for it.
    manager::ready(&told);
}

/// Reads everything again; whatever is wrong with it, nothing has changed then.
async fn reload(path: &Path, gateway: &mut Gateway, log: &Running) -> Result<Watch, Failure> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || -> Result<(Settings, Watch), Failure> {
        let (config, watch) = load(&file)?;
        Ok((Settings::from_config(config)?, watch))
    });
    let (settings, watch) =
        read.await.map_err(|error| Failure::temporary(format!("cannot read: {error}")))??;
    let config = settings.config.clone();
    gateway.reload(settings).await?;
    if !log.change(&config.log) {
        warn!("log.format changes with the next start");
    }
    take_note(&config);
    info!(
        outbound = ?gateway.outbound(),
        inbound = ?gateway.inbound(),
        domains = config.domains.len(),
        partners = config.partners.len(),
        "reloaded"
    );
    Ok(watch)
}

/// Logs why a reload was refused, and says it in a line for the service manager.
fn refused(failure: &Failure) -> String {
    let nothing = Message { text: String::new(), hint: None };
    let Message { text, hint } = failure.message().unwrap_or(&nothing);
    error!(reason = text, hint, "reload refused: the old configuration stays in force");
    format!("reload refused, the old configuration stays in force: {text}")
}

/// Writes a failure to the log instead of beside it.
fn logged(failure: &Failure) -> Failure {
    if let Some(Message { text, hint }) = failure.message() {
        error!(hint, "{text}");
    }
    Failure::Logged(failure.exit_code())
}

/// For `systemctl status`.
fn status(gateway: &Gateway) -> String {
    let list = |addresses: &[std::net::SocketAddr]| match addresses {
        [] => "nowhere".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("sealing on {}; unsealing on {}", list(gateway.outbound()), list(gateway.inbound()))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Ledger { error: LedgerError::Locked, .. } => {
                Self::temporary(&error).hint("another gateway uses this state directory")
            }
            StartError::Listen { .. } => Self::temporary(&error).hint(
                "see `ss -ltnp` for what listens there already; to change between an address and a wildcard, restart",
            ),
            StartError::State { path, error } => {
                let text = format!("state directory {}: {}", path.display(), words(&error));
                Self::temporary(text).hint("`state` must be a directory that this user can write")
            }
            StartError::Ledger { .. } => Self::temporary(&error),
            StartError::Keys { error: ref keys, .. } => {
                let failure = Self::refused(&error);
                match keys.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            StartError::Authorisation(ref proofs) => {
                let failure = Self::refused(&error);
                match proofs.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            StartError::Password { error: ref password, .. } => {
                let failure = Self::refused(&error);
                match password.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            StartError::StateMoved { .. } => {
                Self::refused(&error).hint("restart the gateway to change `state`")
            }
            StartError::PartnersGone { .. } => Self::refused(&error).hint(RESTORE_PARTNERS),
            StartError::AskLedger(error) => context::ledger_failure(error),
            StartError::Permission(error) => error.into(),
            StartError::Dns(_) | StartError::Tls { .. } => Self::refused(&error),
        }
    }
}
