//! How a listener speaks, and what one peer may use up.

use std::sync::Arc;
use std::time::Duration;

use crate::smtp::Protocol;
use crate::smtp::line::COMMAND_LINE_LIMIT;

/// How a listener speaks.
#[derive(Clone)]
pub struct ServerOptions {
    /// The name in the greeting and in the reply to EHLO.
    pub hostname: String,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Offers STARTTLS if set.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Answers MAIL with 530 until TLS is up (RFC 3207 section 4).
    pub require_tls: bool,
    /// Limits.
    pub limits: ServerLimits,
    /// Timeouts.
    pub timeouts: ServerTimeouts,
}

impl ServerOptions {
    /// A listener without TLS, with default limits and timeouts.
    pub fn new(hostname: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            hostname: hostname.into(),
            protocol,
            tls: None,
            require_tls: false,
            limits: ServerLimits::default(),
            timeouts: ServerTimeouts::default(),
        }
    }
}

/// What one peer may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Longest command line in octets with its CRLF; default 2,048.
    pub command_line: usize,
    /// Most RCPT commands of a transaction, refused ones included (452 5.5.3); default 1,000, ten
    /// times what RFC 5321 section 4.5.3.1.8 asks for.
    pub recipients: usize,
    /// Commands against the protocol since the last finished message before 421 4.7.0; default
    /// 20. Refused addresses and parameters are not counted: an honest client's queue holds what
    /// its users wrote.
    pub errors: usize,
    /// Commands without a transaction, and refused addresses, since the last MAIL before 421
    /// 4.7.0; default 100.
    pub idle_commands: usize,
    /// Failed logins before 421 4.7.0; default 3.
    pub auth_failures: usize,
    /// Octets that are read and dropped of a message that is refused already, before the
    /// connection is closed; default 256 MiB.
    pub swallow: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            command_line: COMMAND_LINE_LIMIT,
            recipients: 1000,
            errors: 20,
            idle_commands: 100,
            auth_failures: 3,
            swallow: 256 * 1024 * 1024,
        }
    }
}

/// How long the server waits for its peer (RFC 5321 section 4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeouts {
    /// For a whole command line; default 300 s (section 4.5.3.2.7).
    pub command: Duration,
    /// For the next octets of the data; default 180 s (section 4.5.3.2.5).
    pub data_block: Duration,
    /// For all the data of a message, so that a trickle does not hold a connection; default 2 h.
    pub data: Duration,
    /// For the peer to take replies; default 120 s.
    pub write: Duration,
    /// For a TLS handshake; default 60 s.
    pub handshake: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            data_block: Duration::from_secs(180),
            data: Duration::from_secs(7200),
            write: Duration::from_secs(120),
            handshake: Duration::from_secs(60),
        }
    }
}
