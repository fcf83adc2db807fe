//! Publication by an operator's command, as for the interface of a DNS panel.
//!
//! It is run as `COMMAND add|remove NAME VALUE` once for each change, without a shell, with an environment of `PATH` and
//! `MTA_SEAL_TTL` only. Exit code 0 says that the change is made.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::Access;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{Action, Change, PublishError, PublishFuture, Published, Publisher, Way};
use crate::store::permissions::{self, PermissionError};

/// How long the command may take for one change.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Most octets that are kept of each of its outputs; it may write more, which is read and thrown away.
const MAX_OUTPUT: usize = 4096;

/// How long its output is waited for once it has ended: processes that it leaves behind may hold the pipe open for ever.
const REST_OF_OUTPUT: Duration = Duration::from_secs(1);

/// The path of commands where the gateway has none itself.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command did not make a change.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its path is not absolute.
    #[error("{}: not an absolute path", .0.display())]
    Relative(PathBuf),
    /// Others could change what it does.
    #[error(transparent)]
    Permission(PermissionError),
    /// It is no file, or cannot be executed by the gateway.
    #[error("{}: {source}", .path.display())]
    Unusable {
        /// The command.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It ended in another way than with exit code 0.
    #[error("{} {action} {name}: {status}{}", .path.display(), Said(.output))]
    Failed {
        /// The command.
        path: PathBuf,
        /// What it was to do.
        action: Action,
        /// With which name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, with control characters escaped.
        output: String,
    },
    /// It took too long, and was killed.
    #[error("{} {action} {name}: not done after {} s{}", .path.display(), TIME_LIMIT.as_secs(), Said(.output))]
    TooLong {
        /// The command.
        path: PathBuf,
        /// What it was to do.
        action: Action,
        /// With which name.
        name: String,
        /// What it said, with control characters escaped.
        output: String,
    },
}

impl HookError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Relative(_) => Some("name the command with its whole path".to_owned()),
            Self::Permission(error) => error.hint(),
            Self::Unusable { path, source } => (source.kind() == io::ErrorKind::PermissionDenied)
                .then(|| format!("chmod +x {}, if that is the command", path.display())),
            Self::Failed { path, action, name, .. } | Self::TooLong { path, action, name, .. } => {
                Some(format!("try it: {} {action} {name} VALUE", path.display()))
            }
        }
    }
}

/// What the command has said, as the end of an error.
struct Said<'a>(&'a str);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// An operator's command.
#[derive(Debug, Clone)]
pub struct Hook {
    path: PathBuf,
}

impl Hook {
    /// Checks that the command can be run, by the gateway and at nobody else's mercy.
    ///
    /// # Errors
    ///
    /// The path is not absolute; there is no such file; the gateway may not execute it; or others can change it.
    pub fn new(path: PathBuf) -> Result<Self, HookError> {
        check(&path)?;
        Ok(Self { path })
    }

    /// Runs the command for one change.
    async fn run(&self, change: &Change) -> Result<(), HookError> {
        // Its owner may have changed it since the start.
        check(&self.path)?;
        let mut command = Command::new(&self.path);
        command
            .args([change.action.as_str(), &change.name, &change.value])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH)))
            .env("MTA_SEAL_TTL", change.ttl.to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .map_err(|source| HookError::Unusable { path: self.path.clone(), source })?;
        let mut group = Group(child);
        let outputs = [group.0.stdout.take().map(collect), group.0.stderr.take().map(collect)];
        let ended = timeout(TIME_LIMIT, group.0.wait()).await;
        let status = match ended {
            Ok(Ok(status)) => Some(status),
            Ok(Err(source)) => {
                return Err(HookError::Unusable { path: self.path.clone(), source });
            }
            Err(_) => None,
        };
        // Here the whole group ends, if it has not; its output ends with it.
        drop(group);
        let output = gather(outputs).await;
        let (hook, action, name) = (self.path.display(), change.action, &change.name);
        match status {
            Some(status) if status.success() => {
                info!(%hook, %action, name, output, "record changed by the command");
                Ok(())
            }
            Some(status) => {
                warn!(%hook, %action, name, %status, output, "the command failed");
                let (path, name) = (self.path.clone(), name.clone());
                Err(HookError::Failed { path, action, name, status, output })
            }
            None => {
                warn!(%hook, %action, name, output, "the command took too long");
                let (path, name) = (self.path.clone(), name.clone());
                Err(HookError::TooLong { path, action, name, output })
            }
        }
    }
}

impl Publisher for Hook {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        Box::pin(async move {
            // First what is added: senders take two policies at one name for an error and let mail wait, but none for a domain
            // that does not take part, whose mail may go clear.
            for action in [Action::Add, Action::Remove] {
                for change in changes.iter().filter(|change| change.action == action) {
                    self.run(change).await.map_err(PublishError::Hook)?;
                }
            }
            Ok(Published::Done)
        })
    }

    fn way(&self) -> Way {
        Way::Hook
    }
}

/// A command with all that it has started; what of it still runs when this is dropped is killed.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Without an id it has ended and was waited for: the number may be another's by now.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // If there is none any more it has ended by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

fn check(path: &Path) -> Result<(), HookError> {
    if !path.is_absolute() {
        return Err(HookError::Relative(path.to_owned()));
    }
    let unusable = |source| HookError::Unusable { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(unusable)?;
    if !metadata.is_file() {
        return Err(unusable(io::Error::other("not a file")));
    }
    permissions::command(path).map_err(HookError::Permission)?;
    rustix::fs::access(path, Access::EXEC_OK).map_err(|errno| unusable(errno.into()))
}

/// Reads an output to its end, and keeps its beginning.
fn collect(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Collected {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&kept);
    let reading = tokio::spawn(async move {
        let mut block = [0; 1024];
        while let Ok(read @ 1..) = pipe.read(&mut block).await {
            let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MAX_OUTPUT.saturating_sub(kept.len()).min(read);
            kept.extend_from_slice(block.get(..room).unwrap_or_default());
        }
    });
    Collected { kept, reading: AbortOnDropHandle::new(reading) }
}

/// An output that is being read.
struct Collected {
    kept: Arc<Mutex<Vec<u8>>>,
    reading: AbortOnDropHandle<()>,
}

/// What was said on both outputs, with control characters escaped.
async fn gather(outputs: [Option<Collected>; 2]) -> String {
    let mut said = Vec::new();
    let until = Instant::now() + REST_OF_OUTPUT;
    for Collected { kept, reading } in outputs.into_iter().flatten() {
        let _ = timeout_at(until, reading).await;
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let text = text.trim();
        if !text.is_empty() {
            said.push(text.escape_debug().to_string());
        }
    }
    said.join(" / ")
}
