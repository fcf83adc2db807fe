//! The log of `serve`, on standard error.

use std::io::{self, IsTerminal};

use rustix::fs::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::gateway::config::{Log, LogFormat};

/// The log that is running: its level can change, its format cannot.
pub(super) struct Running {
    level: reload::Handle<LevelFilter, Registry>,
    format: LogFormat,
}

/// Starts the log. In a JSON line `span` holds the ids of the transaction (`trace`, `queue`), everything else stands
/// beside `message`.
pub(super) fn start(settings: &Log) -> Running {
    let (filter, level) = reload::Layer::new(level(settings));
    // The journal puts its own time before each line.
    let timed = !goes_to_the_journal();
    let layer = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let layer = match (settings.format, timed) {
        (LogFormat::Text, true) => layer.boxed(),
        (LogFormat::Text, false) => layer.without_time().boxed(),
        (LogFormat::Json, true) => layer.json().flatten_event(true).with_span_list(false).boxed(),
        (LogFormat::Json, false) => {
            layer.json().flatten_event(true).with_span_list(false).without_time().boxed()
        }
    };
    // A second subscriber is only refused in tests that call this twice.
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Running { level, format: settings.format }
}

impl Running {
    /// Takes up the settings of a new configuration; `false` if they need a restart.
    pub(super) fn change(&self, settings: &Log) -> bool {
        self.level.reload(level(settings)).is_ok() && settings.format == self.format
    }

    /// Whether whoever reads standard error expects nothing but lines of JSON.
    pub(super) fn is_json(&self) -> bool {
        self.format == LogFormat::Json
    }
}

fn level(settings: &Log) -> LevelFilter {
    LevelFilter::from_level(settings.level.as_tracing())
}

/// Whether standard error is the stream that `JOURNAL_STREAM` names by device and inode (systemd.exec(5)): the variable
/// alone is inherited by programs whose output goes elsewhere.
fn goes_to_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
