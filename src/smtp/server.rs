//! The server side of a connection.
//!
//! The session answers by itself whatever needs no say of the gateway: syntax and sequence
//! errors, limits, NOOP, RSET, VRFY, EXPN, HELP and QUIT. Replies are gathered while the client
//! has pipelined more commands, and sent when the session would wait (RFC 2920).

mod auth;
mod dispatch;
mod event;
mod options;
mod wire;

use std::sync::Arc;

use bytes::BytesMut;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::command;
use super::data::{DataDecoder, DataEvent};
use super::line::{LineDecoder, LineError};
use super::origin::Origin;
use super::stream::Stream;
use super::{Capabilities, Io, Protocol, Reply, Severity};

pub use super::command::HelloKind;
pub use super::stream::TlsInfo;
pub use auth::{Credentials, MECHANISMS};
pub use event::{Command, DataChunk, DataEnd, SessionError};
pub use options::{ServerLimits, ServerOptions, ServerTimeouts};

/// The subject of enhanced status codes about addresses (RFC 3463 section 3.2).
const ADDRESS_STATUS: u16 = 1;

/// What the session waits for its caller to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    Greeting,
    Hello,
    Mail,
    Rcpt,
    Data,
    StartTls,
    Auth,
    /// The data are being read.
    Reading,
    /// So many replies to the message are missing.
    Final(usize),
}

/// A greeting that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// HELO, EHLO or LHLO.
    pub kind: HelloKind,
    /// The client's name for itself.
    pub name: String,
    /// What was advertised to it.
    pub offered: Capabilities,
}

/// The transaction that MAIL opened.
#[derive(Debug)]
struct Transaction {
    smtputf8: bool,
    attempts: usize,
    accepted: usize,
}

/// One connection of a client.
///
/// All methods may be cancelled while they wait for the peer, except [`Self::start_tls`]: a
/// cancelled handshake closes the connection.
pub struct ServerConnection {
    stream: Stream,
    options: Arc<ServerOptions>,
    input: BytesMut,
    output: BytesMut,
    /// Replies have not left yet, be they in `output` or in the TLS session.
    unflushed: bool,
    lines: LineDecoder,
    pending: Pending,
    hello_asked: Option<(HelloKind, String)>,
    hello: Option<Hello>,
    transaction: Option<Transaction>,
    data: Option<Incoming>,
    /// The greeting's answer allowed AUTH, though perhaps only under TLS.
    auth_offered: bool,
    authenticated: bool,
    auth_failures: usize,
    /// An AUTH command that waits for more of the client.
    exchange: Option<auth::Exchange>,
    forwarded: Option<Origin>,
    replaced: Option<Origin>,
    /// It has named an address, or said that it is not known.
    addressed: bool,
    /// XCLIENT was the last thing said: the rest of what it has to say may follow in another one, without a greeting.
    replacing: bool,
    errors: usize,
    idle_commands: usize,
    deadline: Option<Instant>,
}

/// The data being read.
#[derive(Debug)]
struct Incoming {
    decoder: DataDecoder,
    limit: Option<u64>,
    octets: u64,
    swallowed: u64,
    deadline: Instant,
}

impl ServerConnection {
    /// Takes over an accepted connection; nothing is sent yet.
    pub fn new(io: impl Io + 'static, options: Arc<ServerOptions>) -> Self {
        Self {
            stream: Stream::new(io),
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            lines: LineDecoder::new(options.limits.command_line),
            options,
            pending: Pending::Greeting,
            hello_asked: None,
            hello: None,
            transaction: None,
            data: None,
            auth_offered: false,
            authenticated: false,
            auth_failures: 0,
            exchange: None,
            forwarded: None,
            replaced: None,
            addressed: false,
            replacing: false,
            errors: 0,
            idle_commands: 0,
            deadline: None,
        }
    }

    /// Sends the 220 greeting.
    pub async fn greet(&mut self) -> Result<(), SessionError> {
        self.pending = Pending::Nothing;
        self.put(&self.greeting());
        self.flush().await
    }

    fn greeting(&self) -> Reply {
        let protocol = match self.options.protocol {
            Protocol::Smtp => "ESMTP",
            Protocol::Lmtp => "LMTP",
        };
        Reply::plain(220, format!("{} {protocol}", self.options.hostname))
    }

    /// Refuses the connection with a reply such as 421 or 554, and closes it. Also for shutting
    /// down between commands.
    pub async fn close_with(mut self, reply: &Reply) -> Result<(), SessionError> {
        self.close(reply).await
    }

    /// Speaks by other options from now on, as they were taken from a newer configuration. Their protocol must be the
    /// same; a greeting that was answered, and the time of a wait that has begun, stay as they were.
    pub fn set_options(&mut self, options: Arc<ServerOptions>) {
        self.options = options;
    }

    /// The greeting that is in force.
    #[must_use]
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// The TLS session, if there is one.
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        self.stream.tls()
    }

    /// Whether the client has authenticated.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// What XFORWARD has said about the transaction that is open, or comes next.
    #[must_use]
    pub fn forwarded(&self) -> Option<&Origin> {
        self.forwarded.as_ref()
    }

    /// What XCLIENT has said of the client that the peer speaks for; the first one after a greeting is about another client.
    #[must_use]
    pub fn replaced(&self) -> Option<&Origin> {
        self.replaced.as_ref()
    }

    /// Whether XCLIENT has changed the client without a word about its address.
    #[must_use]
    pub fn lacks_address(&self) -> bool {
        self.replaced.is_some() && !self.addressed
    }

    /// The certificate chain that the client has shown under TLS, its own first. That it holds the key is certain;
    /// whether the chain is to be trusted is not.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&[rustls_pki_types::CertificateDer<'static>]> {
        self.stream.peer_certificates()
    }

    /// The `with` keyword of a Received field (RFC 3848, RFC 6531 section 4.3).
    #[must_use]
    pub fn trace_protocol(&self) -> &'static str {
        let utf8 = self.transaction.as_ref().is_some_and(|t| t.smtputf8);
        let tls = matches!(self.stream, Stream::Tls(_));
        let extended = self.hello.as_ref().is_some_and(|h| h.kind != HelloKind::Helo);
        if self.authenticated {
            // Under TLS only.
            return match (self.options.protocol, utf8) {
                (Protocol::Smtp, false) => "ESMTPSA",
                (Protocol::Smtp, true) => "UTF8SMTPSA",
                (Protocol::Lmtp, false) => "LMTPSA",
                (Protocol::Lmtp, true) => "UTF8LMTPSA",
            };
        }
        match (self.options.protocol, utf8, tls) {
            (Protocol::Smtp, false, false) if !extended => "SMTP",
            (Protocol::Smtp, false, false) => "ESMTP",
            (Protocol::Smtp, false, true) => "ESMTPS",
            (Protocol::Smtp, true, false) => "UTF8SMTP",
            (Protocol::Smtp, true, true) => "UTF8SMTPS",
            (Protocol::Lmtp, false, false) => "LMTP",
            (Protocol::Lmtp, false, true) => "LMTPS",
            (Protocol::Lmtp, true, false) => "UTF8LMTP",
            (Protocol::Lmtp, true, true) => "UTF8LMTPS",
        }
    }

    /// How many replies are missing: one after most commands, one per accepted recipient after
    /// the data of LMTP.
    #[must_use]
    pub fn pending_replies(&self) -> usize {
        match self.pending {
            Pending::Nothing => 0,
            Pending::Final(missing) => missing,
            _ => 1,
        }
    }

    /// Waits for the next command that the gateway has to act on.
    ///
    /// An error ends the connection.
    pub async fn next_command(&mut self) -> Result<Command, SessionError> {
        if self.pending != Pending::Nothing {
            return Err(SessionError::OutOfOrder);
        }
        loop {
            let line = self.read_line().await?;
            if let Some(exchange) = self.exchange.take() {
                if let Some(command) = self.auth_response(exchange, line).await? {
                    return Ok(command);
                }
                continue;
            }
            match line {
                Ok(line) => match command::parse(&line, self.options.protocol) {
                    Ok(parsed) => {
                        if let Some(command) = self.dispatch(parsed).await? {
                            return Ok(command);
                        }
                    }
                    Err(reply) if reply.status().subject() == ADDRESS_STATUS => {
                        self.decline(&reply).await?;
                    }
                    Err(reply) => self.refuse(&reply).await?,
                },
                Err(error) => {
                    let (code, text) = match error {
                        LineError::TooLong => (500, "line too long"),
                        LineError::BareLf | LineError::BareCr | LineError::Nul => {
                            (500, "bare CR, bare LF or NUL in command line")
                        }
                    };
                    self.refuse(&Reply::new(code, (5, 5, 2), text)).await?;
                }
            }
        }
    }

    /// Accepts the greeting and advertises `offered`.
    ///
    /// PIPELINING, ENHANCEDSTATUSCODES and STARTTLS are the session's own: the first two are
    /// always offered, the last one if it is configured and TLS is not up yet. AUTH is advertised
    /// under TLS only, and until the client has authenticated. XFORWARD and XCLIENT are accepted
    /// if they are offered here.
    pub async fn accept_hello(&mut self, offered: &Capabilities) -> Result<(), SessionError> {
        let Some((kind, name)) = self.hello_asked.take() else {
            return Err(SessionError::OutOfOrder);
        };
        self.pending = Pending::Nothing;
        let mut reply = Reply::plain(250, self.options.hostname.clone());
        let mut in_force = Capabilities::default();
        self.auth_offered = kind != HelloKind::Helo && !offered.auth.is_empty();
        if kind != HelloKind::Helo {
            let tls = matches!(self.stream, Stream::Tls(_));
            let auth = if tls && !self.authenticated { offered.auth.clone() } else { Vec::new() };
            in_force = Capabilities {
                pipelining: true,
                enhanced_status_codes: true,
                starttls: self.options.tls.is_some() && !tls,
                auth,
                ..offered.clone()
            };
            reply = in_force.ehlo_lines().into_iter().fold(reply, Reply::with_line);
        }
        self.hello = Some(Hello { kind, name, offered: in_force });
        self.put(&reply);
        self.flush_if_waiting().await
    }

    /// Answers the command that waits, or one recipient after the data of LMTP.
    ///
    /// If data are still being read, the rest is read and dropped first. A 3yz reply is out of
    /// order, as is a positive one to commands whose acceptance has a method of its own.
    pub async fn reply(&mut self, reply: &Reply) -> Result<(), SessionError> {
        if reply.severity() == Severity::Intermediate {
            return Err(SessionError::OutOfOrder);
        }
        if self.pending == Pending::Reading {
            self.discard_data().await?;
        }
        let positive = reply.is_positive();
        match self.pending {
            Pending::Nothing | Pending::Greeting | Pending::Reading => {
                return Err(SessionError::OutOfOrder);
            }
            Pending::Hello | Pending::Data | Pending::StartTls => {
                if positive {
                    return Err(SessionError::OutOfOrder);
                }
                self.hello_asked = None;
                self.pending = Pending::Nothing;
            }
            Pending::Auth => {
                if positive {
                    return Err(SessionError::OutOfOrder);
                }
                return self.auth_failed(reply).await;
            }
            Pending::Mail => {
                if !positive {
                    self.transaction = None;
                }
                self.pending = Pending::Nothing;
            }
            Pending::Rcpt => {
                if let Some(transaction) = &mut self.transaction
                    && positive
                {
                    transaction.accepted += 1;
                }
                self.pending = Pending::Nothing;
            }
            Pending::Final(missing) => {
                if missing > 1 {
                    self.pending = Pending::Final(missing - 1);
                } else {
                    self.pending = Pending::Nothing;
                    self.transaction = None;
                    self.forwarded = None;
                    self.errors = 0;
                    // The client must learn at once what became of its message, whatever it
                    // pipelined behind it, or it will send the message again.
                    self.put(reply);
                    return self.flush().await;
                }
            }
        }
        self.put(reply);
        self.flush_if_waiting().await
    }

    /// Answers DATA with 354. At most `limit` octets of content are read.
    pub async fn accept_data(&mut self, limit: Option<u64>) -> Result<(), SessionError> {
        if self.pending != Pending::Data {
            return Err(SessionError::OutOfOrder);
        }
        self.put(&Reply::plain(354, "end data with <CRLF>.<CRLF>"));
        self.pending = Pending::Reading;
        self.data = Some(Incoming {
            decoder: DataDecoder::new(),
            limit,
            octets: 0,
            swallowed: 0,
            deadline: Instant::now() + self.options.timeouts.data,
        });
        self.flush().await
    }

    /// Waits for the next piece of message data.
    ///
    /// After a violation, or more octets than allowed, nothing comes but the end.
    pub async fn read_data(&mut self) -> Result<DataChunk, SessionError> {
        loop {
            let Some(incoming) = &mut self.data else {
                return Err(SessionError::OutOfOrder);
            };
            let before = self.input.len();
            match incoming.decoder.decode(&mut self.input) {
                DataEvent::Content(content) => {
                    incoming.octets += content.len() as u64;
                    if incoming.limit.is_none_or(|limit| incoming.octets <= limit) {
                        return Ok(DataChunk::Content(content));
                    }
                    incoming.swallowed += content.len() as u64;
                }
                DataEvent::NeedMore => {
                    incoming.swallowed += (before - self.input.len()) as u64;
                    if incoming.swallowed > self.options.limits.swallow {
                        let reply = Reply::new(421, (4, 7, 0), "refused message does not end");
                        return self.fail(&reply, SessionError::Endless).await;
                    }
                    let block = Instant::now() + self.options.timeouts.data_block;
                    let deadline = block.min(incoming.deadline);
                    self.fill(deadline).await?;
                }
                DataEvent::End(result) => {
                    let too_large = incoming.limit.is_some_and(|limit| incoming.octets > limit);
                    self.data = None;
                    // Gives the large buffer back.
                    self.input = BytesMut::from(&self.input[..]);
                    let accepted = self.transaction.as_ref().map_or(1, |t| t.accepted);
                    self.pending = Pending::Final(match self.options.protocol {
                        Protocol::Smtp => 1,
                        Protocol::Lmtp => accepted,
                    });
                    return Ok(DataChunk::End(match result {
                        Err(violation) => DataEnd::Violation(violation),
                        Ok(()) if too_large => DataEnd::TooLarge,
                        Ok(()) => DataEnd::Clean,
                    }));
                }
            }
        }
    }

    /// Reads and drops the rest of the data, at most [`ServerLimits::swallow`] octets.
    pub async fn discard_data(&mut self) -> Result<DataEnd, SessionError> {
        loop {
            match self.read_data().await? {
                DataChunk::End(end) => return Ok(end),
                DataChunk::Content(content) => {
                    if let Some(incoming) = &mut self.data {
                        incoming.swallowed += content.len() as u64;
                    }
                }
            }
        }
    }

    /// Answers STARTTLS with 220 and puts the connection under TLS.
    ///
    /// Whatever the client sent behind STARTTLS is dropped, and the session starts anew
    /// (RFC 3207 section 4.2).
    pub async fn start_tls(&mut self) -> Result<(), SessionError> {
        let config = match (&self.options.tls, self.pending) {
            (Some(config), Pending::StartTls) => Arc::clone(config),
            _ => return Err(SessionError::OutOfOrder),
        };
        self.input.clear();
        self.lines = LineDecoder::new(self.options.limits.command_line);
        self.pending = Pending::Nothing;
        self.hello = None;
        self.transaction = None;
        // RFC 3207 section 4.2: what was said in clear counts for nothing.
        self.forwarded = None;
        self.replaced = None;
        self.replacing = false;
        self.auth_offered = false;
        self.put(&Reply::new(220, (2, 0, 0), "ready for TLS"));
        self.flush().await?;
        let Some(io) = self.stream.take_plain() else {
            return Err(SessionError::OutOfOrder);
        };
        let handshake = TlsAcceptor::from(config).accept(io);
        match timeout(self.options.timeouts.handshake, handshake).await {
            Ok(Ok(tls)) => {
                self.stream = Stream::Tls(Box::new(tls.into()));
                Ok(())
            }
            Ok(Err(error)) => Err(SessionError::Tls(error)),
            Err(_) => Err(SessionError::Timeout),
        }
    }
}
