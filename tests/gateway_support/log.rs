//! What the gateways of a test log.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Level;

/// Lines of the log, each a JSON object with the fields beside `message`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What this process logs down to `level`, from the first call on. It is that of all tests of a file: a subscriber of one
    /// thread would miss lines whose place in the code another thread has reached first.
    pub fn of_this_process(level: Level) -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().json().flatten_event(true);
            subscriber.with_max_level(level).with_writer(move || writer.clone()).init();
            log
        })
        .clone()
    }

    /// Everything.
    pub fn text(&self) -> String {
        super::text(&self.0.lock().unwrap())
    }

    /// The lines of one kind.
    pub fn lines(&self, message: &str) -> Vec<serde_json::Value> {
        let text = self.text();
        // Before they are parsed: there may be many, and tests ask again and again.
        let lines = text.lines().filter(|line| line.contains(message));
        let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["message"] == message).collect()
    }
}
