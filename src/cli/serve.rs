//! `serve`: runs the gateway until it is told to stop.
//!
//! SIGHUP reads configuration, keys and certificates again. A change of the file of partners is taken up by itself, and puts
//! nothing else into force. SIGTERM and SIGINT close the listeners and let open transactions finish; a second one does not
//! wait for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::failure::{Failure, Message, words};
use super::log::{self, Running};
use super::watch::{Look, Watch};
use super::{context, descriptors, manager};
use crate::dns::authorities::DNS_PORT;
use crate::gateway::config::{Config, RESTORE_PARTNERS};
use crate::gateway::{Gateway, Parts, Settings, StartError};
use crate::store::ledger::LedgerError;

/// How often the file of partners is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Most partners of which the log says one by one that less is demanded of them than before.
const MAX_WEAKENED: usize = 20;

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The port at which authoritative servers are asked, for tests
    #[arg(long, hide = true, default_value_t = DNS_PORT)]
    authoritative_port: u16,
}

/// Runs in the foreground; the service manager restarts it if it fails.
pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let path = context::config_path(config)?;
    let text = Config::read(&path)?;
    let (config, files) = load(&path, text)?;
    let log = log::start(&config.log);
    let result = served(config, files, &log, args.authoritative_port);
    match result {
        Err(failure) if log.is_json() => Err(logged(&failure)),
        result => result,
    }
}

/// The files of the configuration as they are in force.
#[derive(Debug)]
struct Files {
    path: PathBuf,
    /// The text of the configuration itself: a change of the partners puts nothing else into force.
    text: String,
    partners: Watch,
}

/// Makes a configuration of `text` and of the file of partners, which is watched from before it is read.
fn load(path: &Path, text: String) -> Result<(Config, Files), Failure> {
    // Only to know where the partners are.
    let partners = Watch::begin(&Config::load_text(&text, path)?.partners_file);
    let config = Config::load_text(&text, path)?;
    Ok((config, Files { path: path.to_owned(), text, partners }))
}

fn served(config: Config, files: Files, log: &Running, port: u16) -> Result<(), Failure> {
    take_note(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::temporary(format!("cannot start: {error}")))?;
    let result = runtime.block_on(serve(config, files, log, port));
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

async fn serve(config: Config, mut files: Files, log: &Running, port: u16) -> Result<(), Failure> {
    // Before the listeners open, so that no signal falls between.
    let mut ends = Ends {
        terminate: listen_for(SignalKind::terminate())?,
        interrupt: listen_for(SignalKind::interrupt())?,
    };
    let mut hangup = listen_for(SignalKind::hangup())?;
    let parts = Parts { authority_port: port, ..Parts::from_config(config)? };
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
            _ = hangup.recv() => take_up(Cause::Signal, &mut gateway, &mut files, log).await,
            _ = clock.tick() => match files.partners.look(Instant::now()) {
                Look::Same => {}
                Look::Changed => take_up(Cause::Partners, &mut gateway, &mut files, log).await,
                // A slip must not let mail go clear.
                Look::Gone => {
                    let gone = "the file of partners has gone: the old configuration stays in force";
                    error!(file = %files.partners.path().display(), hint = RESTORE_PARTNERS, "{gone}");
                    manager::ready(gone);
                }
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

/// Why the files are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// SIGHUP: everything is.
    Signal,
    /// The file of partners has changed: nothing else is put into force.
    Partners,
}

/// Takes up what the files say now, or stays with what they said before; the service manager and the log are told.
async fn take_up(cause: Cause, gateway: &mut Gateway, files: &mut Files, log: &Running) {
    manager::reloading();
    let told = match reload(cause, gateway, files, log).await {
        Ok(read) => {
            *files = read;
            status(gateway)
        }
        // It stays to be done, and is said once.
        Err(failure) if cause == Cause::Partners => {
            refused(&failure, files.partners.refused(Instant::now()))
        }
        Err(failure) => refused(&failure, true),
    };
    // Also when nothing has changed: the manager waits for it.
    manager::ready(&told);
}

/// Reads again what the cause is about; whatever is wrong with it, nothing has changed then.
async fn reload(
    cause: Cause,
    gateway: &mut Gateway,
    files: &Files,
    log: &Running,
) -> Result<Files, Failure> {
    let (path, text) = (files.path.clone(), files.text.clone());
    let read = tokio::task::spawn_blocking(move || -> Result<(Settings, Files), Failure> {
        Ok(match cause {
            Cause::Signal => {
                let (config, files) = load(&path, Config::read(&path)?)?;
                (Settings::from_config(config)?, files)
            }
            Cause::Partners => {
                let (config, files) = load(&path, text)?;
                (Settings::of_partners(config)?, files)
            }
        })
    });
    let (settings, files) =
        read.await.map_err(|error| Failure::temporary(format!("cannot read: {error}")))??;
    let (before, config) = (gateway.config(), settings.config.clone());
    gateway.reload(settings).await?;
    if !log.change(&config.log) {
        warn!("log.format changes with the next start");
    }
    take_note(&config);
    let weakened = before.weakened(&config);
    for (partner, change) in weakened.iter().take(MAX_WEAKENED) {
        warn!(%partner, change = change.record(), "{}", change.meaning(partner));
    }
    if let Some(more @ 1..) = weakened.len().checked_sub(MAX_WEAKENED) {
        warn!(more, "less is demanded of more partners");
    }
    info!(
        outbound = ?gateway.outbound(),
        inbound = ?gateway.inbound(),
        domains = config.domains.len(),
        partners = config.partners.len(),
        "reloaded"
    );
    Ok(files)
}

/// Says why a reload was refused in a line for the service manager, and to the log if that has not heard it yet.
fn refused(failure: &Failure, news: bool) -> String {
    let nothing = Message { text: String::new(), hint: None };
    let Message { text, hint } = failure.message().unwrap_or(&nothing);
    if news {
        error!(reason = text, hint, "reload refused: the old configuration stays in force");
    }
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
                Self::refused(&error).hint_if(keys.hint())
            }
            StartError::Published { error: ref differs, .. } => {
                Self::refused(&error).hint(differs.hint())
            }
            StartError::Publisher { error: ref publisher, .. } => {
                Self::refused(&error).hint_if(publisher.hint())
            }
            StartError::Authorisation(ref proofs) => {
                Self::refused(&error).hint_if(proofs.hint())
            }
            StartError::Password { error: ref password, .. } => {
                Self::refused(&error).hint_if(password.hint())
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
