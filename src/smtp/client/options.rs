//! How a next hop is reached.

use std::time::Duration;

use tokio::time::Instant;

use super::Credentials;
use crate::smtp::next_hop::NextHop;
use crate::smtp::tls::ClientTls;

/// How long the client waits for its next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a new connection, from the look-up of the host to the end of AUTH, all addresses and steps together; default 120 s,
    /// for an upstream client waits 300 for its reply, and another server may have to be tried. Up to AUTH each address has
    /// what is left divided by the number of those that are not yet tried, but a quarter of the whole if there is so much.
    pub set_up: Duration,
    /// For the look-up of the host and the TCP or unix connection, all addresses together; default 30 s.
    pub connect: Duration,
    /// For the 220 greeting; default 60 s (RFC 5321 section 4.5.3.2.1 has 300: an in-line proxy's
    /// own client waits meanwhile).
    pub greeting: Duration,
    /// For the reply to EHLO, HELO, LHLO, XCLIENT or XFORWARD; default 60 s.
    pub hello: Duration,
    /// For the reply to STARTTLS and for the handshake, each; default 60 s.
    pub tls: Duration,
    /// For each reply of AUTH; default 60 s.
    pub auth: Duration,
    /// For the reply to MAIL; default 300 s.
    pub mail: Duration,
    /// For the reply to RCPT; default 300 s.
    pub rcpt: Duration,
    /// For the reply to DATA; default 120 s.
    pub data: Duration,
    /// For the peer to take a block of data or a command; default 180 s.
    pub write: Duration,
    /// For all replies after the final dot; default 540 s: an upstream client waits 600.
    pub dot: Duration,
    /// For the reply to RSET; default 60 s.
    pub rset: Duration,
    /// For the reply to QUIT; default 5 s.
    pub quit: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            set_up: seconds(120),
            connect: seconds(30),
            greeting: seconds(60),
            hello: seconds(60),
            tls: seconds(60),
            auth: seconds(60),
            mail: seconds(300),
            rcpt: seconds(300),
            data: seconds(120),
            write: seconds(180),
            dot: seconds(540),
            rset: seconds(60),
            quit: seconds(5),
        }
    }
}

/// How to reach a next hop.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Where.
    pub next_hop: NextHop,
    /// The name in EHLO, HELO or LHLO: a host name or an address literal.
    pub hello_name: String,
    /// TLS; ignored for unix sockets.
    pub tls: ClientTls,
    /// Whom to authenticate as.
    pub credentials: Option<Credentials>,
    /// Timeouts.
    pub timeouts: ClientTimeouts,
}

impl ClientOptions {
    /// A next hop without TLS and authentication, with default timeouts.
    pub fn new(next_hop: NextHop, hello_name: impl Into<String>) -> Self {
        Self {
            next_hop,
            hello_name: hello_name.into(),
            tls: ClientTls::off(),
            credentials: None,
            timeouts: ClientTimeouts::default(),
        }
    }

    /// When all before AUTH must have come to its end, in a set-up with this deadline: a password that is sent too late for an
    /// answer is a try for nothing.
    pub(crate) fn login_by(&self, deadline: Instant) -> Instant {
        let ClientTimeouts { set_up, auth, .. } = self.timeouts;
        let kept = self.credentials.as_ref().map_or(Duration::ZERO, |_| auth.min(set_up / 4));
        deadline.checked_sub(kept).unwrap_or(deadline)
    }
}
