//! A gateway in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// `mta-seal serve`, and its log of JSON lines; the process ends with this.
pub struct Daemon {
    child: Child,
    log: Receiver<Value>,
    /// The inside listener.
    pub outbound: SocketAddr,
    /// The outside listener, if it has one.
    pub inbound: Option<SocketAddr>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Waits until it is ready.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = channel();
        // Read to the end, so that the daemon can go on writing.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let parsed =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                let _ = lines.send(parsed);
            }
        });
        let nowhere = "0.0.0.0:0".parse().unwrap();
        let mut daemon = Self { child, log, outbound: nowhere, inbound: None };
        let ready = daemon.logged("gateway ready");
        let first = |side: &str| {
            let addresses = ready[side].as_str().unwrap().trim_matches(['[', ']']);
            addresses.split(',').next().unwrap().parse().ok()
        };
        daemon.outbound = first("outbound").unwrap();
        daemon.inbound = first("inbound");
        daemon
    }

    /// The next line.
    pub fn next_line(&self) -> Value {
        self.log.recv_timeout(PATIENCE).unwrap()
    }

    /// The next line with this message.
    pub fn logged(&self, message: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                self.log.recv_timeout(left).unwrap_or_else(|_| panic!("waited for {message}"));
            if line["message"].as_str().unwrap().starts_with(message) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

/// Waits for the end of a process.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}
