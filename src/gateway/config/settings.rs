//! Limits, timeouts and logging: settings that all have defaults.

use super::value::{count, duration, octets};
use crate::smtp::client::ClientTimeouts;
use crate::smtp::server::{ServerLimits, ServerTimeouts};
use serde::Deserialize;
use std::time::Duration;

/// Bounds on what peers may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once on each listener. Default 1,000.
    #[serde(deserialize_with = "count")]
    pub connections: usize,
    /// Connections open at once from one address that is in none of `clients`, `xforward` and `xclient`. Default 50.
    #[serde(deserialize_with = "count")]
    pub connections_per_client: usize,
    /// Recipients of one transaction. Default 1,000 (RFC 5321 section 4.5.3.1.8 asks for 100).
    #[serde(deserialize_with = "count")]
    pub recipients: usize,
    /// Domains among the recipients of one outgoing transaction, each with a connection to the
    /// next hop. Default 16.
    #[serde(deserialize_with = "count")]
    pub recipient_domains: usize,
    /// Transactions that wait at the same step for the same recipient domain: with so many the domain counts as stalled when no
    /// answer has come for `timeouts.stalled`. Default 4.
    #[serde(deserialize_with = "count")]
    pub stalled: usize,
    /// Octets of a message, when the next hop names no smaller SIZE. Default 50M.
    #[serde(deserialize_with = "octets")]
    pub message_size: u64,
    /// Octets of a header block. Default 256K.
    #[serde(deserialize_with = "octets")]
    pub header_size: u64,
    /// Received fields in a message, against loops (RFC 5321 section 6.3). Default 50.
    #[serde(deserialize_with = "count")]
    pub received: usize,
    /// Commands against the protocol before a connection is closed. Default 20.
    #[serde(deserialize_with = "count")]
    pub errors: usize,
}

impl Limits {
    /// Those of one connection to a listener.
    #[must_use]
    pub fn server(&self) -> ServerLimits {
        let defaults = ServerLimits::default();
        ServerLimits {
            recipients: self.recipients,
            errors: self.errors,
            // A whole carrier of the largest message: a client whose message is refused for the sake of the next hop must not be cut off.
            swallow: defaults.swallow.max(self.message_size.saturating_mul(2)),
            ..defaults
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            connections_per_client: 50,
            recipients: 1_000,
            recipient_domains: 16,
            stalled: 4,
            message_size: 50 << 20,
            header_size: 256 << 10,
            received: 50,
            errors: 20,
        }
    }
}

/// Bounds on how long each step may take (RFC 5321 section 4.5.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Listener: waiting for a whole command. Default 5m.
    #[serde(deserialize_with = "duration")]
    pub command: Duration,
    /// Listener: waiting for more of a message. Default 3m.
    #[serde(deserialize_with = "duration")]
    pub data_block: Duration,
    /// Listener: one whole message, however slowly it trickles. Default 2h.
    #[serde(deserialize_with = "duration")]
    pub message: Duration,
    /// Both sides: a TLS handshake. Default 60s.
    #[serde(deserialize_with = "duration")]
    pub handshake: Duration,
    /// Both sides: the peer takes a block of data, a command or a reply. Default 3m.
    #[serde(deserialize_with = "duration")]
    pub write: Duration,
    /// Next hop: a new connection up to the end of AUTH, all steps together, with the wait for others that try the same
    /// password. The addresses of a host share it: each has what is left divided by those not yet tried, but a quarter of the
    /// whole if there is so much. Default 2m.
    #[serde(deserialize_with = "duration")]
    pub set_up: Duration,
    /// Next hop: opening the connection. Default 30s.
    #[serde(deserialize_with = "duration")]
    pub connect: Duration,
    /// Next hop: its greeting. RFC 5321 has 5 minutes, but our own client waits meanwhile. Default 60s.
    #[serde(deserialize_with = "duration")]
    pub greeting: Duration,
    /// Next hop: the replies to EHLO, XCLIENT and XFORWARD. Default 60s.
    #[serde(deserialize_with = "duration")]
    pub hello: Duration,
    /// Next hop: each reply of AUTH. Default 60s.
    #[serde(deserialize_with = "duration")]
    pub auth: Duration,
    /// Next hop: the reply to MAIL. Default 5m.
    #[serde(deserialize_with = "duration")]
    pub mail: Duration,
    /// Next hop: the reply to RCPT. Default 5m.
    #[serde(deserialize_with = "duration")]
    pub rcpt: Duration,
    /// Next hop: the reply to DATA. Default 2m.
    #[serde(deserialize_with = "duration")]
    pub data_start: Duration,
    /// Next hop: the reply to the final dot: the 600 seconds that our client waits, less 60. Default 540s.
    #[serde(deserialize_with = "duration")]
    pub dot: Duration,
    /// DNS and next hop: no answer for a recipient domain for which `limits.stalled` transactions wait. All but one are then
    /// answered 451, and so is further mail for it, until an answer comes. Where answers are quick, twice what they take is
    /// enough, but not less than a second. Default 30s.
    #[serde(deserialize_with = "duration")]
    pub stalled: Duration,
    /// Next hop: the reply to RSET. Default 60s.
    #[serde(deserialize_with = "duration")]
    pub rset: Duration,
    /// Next hop: the reply to QUIT. Default 5s.
    #[serde(deserialize_with = "duration")]
    pub quit: Duration,
    /// End of the process: for open transactions to finish. Default 30s.
    #[serde(deserialize_with = "duration")]
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            command: seconds(300),
            data_block: seconds(180),
            message: seconds(7_200),
            handshake: seconds(60),
            write: seconds(180),
            set_up: seconds(120),
            connect: seconds(30),
            greeting: seconds(60),
            hello: seconds(60),
            auth: seconds(60),
            mail: seconds(300),
            rcpt: seconds(300),
            data_start: seconds(120),
            dot: seconds(540),
            stalled: seconds(30),
            rset: seconds(60),
            quit: seconds(5),
            shutdown: seconds(30),
        }
    }
}

impl Timeouts {
    /// Those of a listener.
    #[must_use]
    pub fn server(&self) -> ServerTimeouts {
        ServerTimeouts {
            command: self.command,
            data_block: self.data_block,
            data: self.message,
            write: self.write,
            handshake: self.handshake,
        }
    }

    /// Those that `set_up` bounds together, with their keys.
    pub(super) fn of_set_up(&self) -> [(&'static str, Duration); 5] {
        [
            ("connect", self.connect),
            ("greeting", self.greeting),
            ("hello", self.hello),
            ("handshake", self.handshake),
            ("auth", self.auth),
        ]
    }

    /// Those of a next hop.
    #[must_use]
    pub fn client(&self) -> ClientTimeouts {
        ClientTimeouts {
            set_up: self.set_up,
            connect: self.connect,
            greeting: self.greeting,
            hello: self.hello,
            tls: self.handshake,
            auth: self.auth,
            mail: self.mail,
            rcpt: self.rcpt,
            data: self.data_start,
            write: self.write,
            dot: self.dot,
            rset: self.rset,
            quit: self.quit,
        }
    }
}

/// How long the audit trail is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Days for which a row is kept. Default 400: a year, and time to look at it.
    #[serde(deserialize_with = "count")]
    pub keep_days: usize,
    /// Most rows; the oldest go first. Default 20,000,000, which is about 25 GB.
    #[serde(deserialize_with = "count")]
    pub rows: usize,
}

impl Default for Audit {
    fn default() -> Self {
        Self { keep_days: 400, rows: 20_000_000 }
    }
}

/// What is logged, and how. The log goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Form of a line. Default `text`.
    pub format: LogFormat,
    /// Least important level that is logged. Default `info`.
    pub level: LogLevel,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Least important level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What needs attention.
    Error,
    /// What may need attention.
    Warn,
    /// One line for each message and each decision.
    #[default]
    Info,
    /// Each step.
    Debug,
    /// Everything but message content and secrets.
    Trace,
}

impl LogLevel {
    /// The level as `tracing` names it.
    #[must_use]
    pub fn as_tracing(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
            Self::Debug => tracing::Level::DEBUG,
            Self::Trace => tracing::Level::TRACE,
        }
    }
}
