//! The server side of a connection.
//!
//! The session answers by itself whatever needs no say of the gateway: syntax and sequence
//! errors, limits, NOOP, RSET, VRFY, EXPN, HELP and QUIT. Replies are gathered while the client
//! has pipelined more commands, and sent when the session would wait (RFC 2920).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::command::{self, Parsed};
use super::data::{DataDecoder, DataEvent, Violation};
use super::line::{COMMAND_LINE_LIMIT, LineDecoder, LineError};
use super::stream::Stream;
use super::{Capabilities, Io, Protocol, Reply, Severity};
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{MailParameters, RcptParameters};

pub use super::command::HelloKind;
pub use super::stream::TlsInfo;

/// Least free room in the read buffer while data are read, in octets.
const DATA_READ_SIZE: usize = 32 * 1024;

/// Least free room in the read buffer while commands are read, in octets: what an idle connection
/// costs.
const COMMAND_READ_SIZE: usize = 2 * 1024;

/// Replies are sent at this size even if more commands are waiting, in octets.
const REPLY_BUFFER: usize = 16 * 1024;

/// The subject of enhanced status codes about addresses (RFC 3463 section 3.2).
const ADDRESS_STATUS: u16 = 1;

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

/// What the gateway has to act on.
///
/// Every command but `Rset` and `Quit` waits for an answer through the method named with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A greeting. Answer by [`ServerConnection::accept_hello`] or a negative
    /// [`ServerConnection::reply`]. An open transaction has been reset.
    Hello {
        /// HELO, EHLO or LHLO.
        kind: HelloKind,
        /// The client's name for itself: letters, digits and `-._:[]`, at most 255 octets.
        name: String,
    },
    /// MAIL, with parameters that were advertised. Answer by [`ServerConnection::reply`].
    Mail {
        /// The sender.
        path: ReversePath,
        /// Its parameters.
        parameters: MailParameters,
    },
    /// RCPT, with parameters that were advertised. Answer by [`ServerConnection::reply`].
    Rcpt {
        /// The recipient.
        path: ForwardPath,
        /// Its parameters.
        parameters: RcptParameters,
    },
    /// DATA, with at least one accepted recipient. Answer by [`ServerConnection::accept_data`] or
    /// a negative [`ServerConnection::reply`].
    Data,
    /// RSET; 250 has been answered.
    Rset,
    /// STARTTLS, answered by [`ServerConnection::start_tls`].
    StartTls,
    /// QUIT; 221 has been answered and the connection closed.
    Quit,
}

/// The next piece of message data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataChunk {
    /// Content without stuffed dots; free of bare CR, bare LF and NUL, and never cut between CR
    /// and LF.
    Content(bytes::Bytes),
    /// The data ended. Now give one reply (SMTP) or one per accepted recipient (LMTP).
    End(DataEnd),
}

/// How message data ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEnd {
    /// Complete.
    Clean,
    /// Refuse with [`DataEnd::refusal`]; the message must not be delivered.
    Violation(Violation),
    /// More octets than the limit given to [`ServerConnection::accept_data`].
    TooLarge,
}

impl DataEnd {
    /// The reply for a message that must not be delivered.
    #[must_use]
    pub fn refusal(self) -> Option<Reply> {
        match self {
            Self::Clean => None,
            Self::Violation(violation) => {
                Some(Reply::new(550, (5, 6, 0), format!("message refused: {violation}")))
            }
            Self::TooLarge => Some(Reply::new(552, (5, 3, 4), "message exceeds the size limit")),
        }
    }
}

/// Why a connection is over. The peer has been told, where that makes sense.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer closed the connection.
    #[error("connection closed by the peer")]
    Closed,
    /// The peer kept silent, or did not take what it was sent.
    #[error("peer timed out")]
    Timeout,
    /// Too many bad commands, or too many without a transaction.
    #[error("too many commands refused")]
    TooManyErrors,
    /// The peer sent data before DATA was answered, so commands and content cannot be told apart.
    #[error("data sent before DATA was answered")]
    EarlyData,
    /// The peer went on sending a message that was refused already.
    #[error("refused message does not end")]
    Endless,
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The caller called a method that the state of the session does not allow.
    #[error("session method called out of order")]
    OutOfOrder,
}

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
    lines: LineDecoder,
    pending: Pending,
    hello_asked: Option<(HelloKind, String)>,
    hello: Option<Hello>,
    transaction: Option<Transaction>,
    data: Option<Incoming>,
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
            lines: LineDecoder::new(options.limits.command_line),
            options,
            pending: Pending::Greeting,
            hello_asked: None,
            hello: None,
            transaction: None,
            data: None,
            errors: 0,
            idle_commands: 0,
            deadline: None,
        }
    }

    /// Sends the 220 greeting.
    pub async fn greet(&mut self) -> Result<(), SessionError> {
        let protocol = match self.options.protocol {
            Protocol::Smtp => "ESMTP",
            Protocol::Lmtp => "LMTP",
        };
        self.pending = Pending::Nothing;
        self.put(&Reply::plain(220, format!("{} {protocol}", self.options.hostname)));
        self.flush().await
    }

    /// Refuses the connection with a reply such as 421 or 554, and closes it. Also for shutting
    /// down between commands.
    pub async fn close_with(mut self, reply: &Reply) -> Result<(), SessionError> {
        self.close(reply).await
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

    /// The `with` keyword of a Received field (RFC 3848, RFC 6531 section 4.3).
    #[must_use]
    pub fn trace_protocol(&self) -> &'static str {
        let utf8 = self.transaction.as_ref().is_some_and(|t| t.smtputf8);
        let tls = matches!(self.stream, Stream::Tls(_));
        let extended = self.hello.as_ref().is_some_and(|h| h.kind != HelloKind::Helo);
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
    /// always offered, the last one if it is configured and TLS is not up yet.
    pub async fn accept_hello(&mut self, offered: &Capabilities) -> Result<(), SessionError> {
        let Some((kind, name)) = self.hello_asked.take() else {
            return Err(SessionError::OutOfOrder);
        };
        self.pending = Pending::Nothing;
        let mut reply = Reply::plain(250, self.options.hostname.clone());
        let mut in_force = Capabilities::default();
        if kind != HelloKind::Helo {
            in_force = Capabilities {
                pipelining: true,
                enhanced_status_codes: true,
                starttls: self.options.tls.is_some() && !matches!(self.stream, Stream::Tls(_)),
                auth: Vec::new(),
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
                    self.errors = 0;
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

    /// Applies the rules of sequence; `None` if the session has answered by itself.
    async fn dispatch(&mut self, parsed: Parsed) -> Result<Option<Command>, SessionError> {
        if self.transaction.is_none() && !matches!(parsed, Parsed::Mail { .. } | Parsed::Quit) {
            self.count_idle().await?;
        }
        let done = match parsed {
            Parsed::Hello { kind, name } => {
                // RFC 5321 section 4.1.4: a greeting resets like RSET.
                self.transaction = None;
                self.hello = None;
                self.hello_asked = Some((kind, name.clone()));
                self.pending = Pending::Hello;
                return Ok(Some(Command::Hello { kind, name }));
            }
            Parsed::Mail { path, parameters } => return self.mail(path, parameters).await,
            Parsed::Rcpt { path, parameters } => return self.rcpt(path, parameters).await,
            Parsed::Data => return self.data_command().await,
            Parsed::StartTls => {
                return if self.options.tls.is_none() {
                    self.refused(&Reply::new(502, (5, 5, 1), "command not implemented")).await
                } else if matches!(self.stream, Stream::Tls(_)) {
                    self.refused(&Reply::new(503, (5, 5, 1), "TLS is up already")).await
                } else {
                    self.pending = Pending::StartTls;
                    Ok(Some(Command::StartTls))
                };
            }
            Parsed::Quit => {
                self.close(&Reply::new(221, (2, 0, 0), "goodbye")).await?;
                return Ok(Some(Command::Quit));
            }
            Parsed::Rset => {
                self.transaction = None;
                self.put(&Reply::new(250, (2, 0, 0), "reset"));
                return Ok(Some(Command::Rset));
            }
            Parsed::Noop => Reply::new(250, (2, 0, 0), "ok"),
            Parsed::Vrfy => Reply::new(252, (2, 5, 0), "send a message to find out"),
            Parsed::Expn => Reply::new(502, (5, 5, 1), "command not implemented"),
            Parsed::Help => Reply::new(214, (2, 0, 0), "see RFC 5321"),
        };
        self.put(&done);
        Ok(None)
    }

    async fn mail(
        &mut self,
        path: ReversePath,
        parameters: MailParameters,
    ) -> Result<Option<Command>, SessionError> {
        let Some(hello) = &self.hello else {
            return self.refused(&Reply::new(503, (5, 5, 1), "greet first")).await;
        };
        if self.options.require_tls && !matches!(self.stream, Stream::Tls(_)) {
            return self.refused(&Reply::new(530, (5, 7, 0), "STARTTLS first")).await;
        }
        if self.transaction.is_some() {
            return self.refused(&Reply::new(503, (5, 5, 1), "nested MAIL")).await;
        }
        let offered = &hello.offered;
        let unknown = (parameters.size.is_some() && offered.size.is_none())
            || (parameters.body.is_some() && !offered.eight_bit_mime)
            || (parameters.smtputf8 && !offered.smtputf8)
            || ((parameters.ret.is_some() || parameters.envid.is_some()) && !offered.dsn);
        if unknown {
            return self.declined(&Reply::new(555, (5, 5, 4), "parameter not offered")).await;
        }
        if !path.is_ascii() && !parameters.smtputf8 {
            // RFC 6531 section 3.5.
            return self.declined(&Reply::new(553, (5, 6, 7), "address needs SMTPUTF8")).await;
        }
        if let (Some(size), Some(limit)) = (parameters.size, offered.size_limit())
            && size > limit
        {
            let reply = Reply::new(552, (5, 3, 4), "message exceeds the size limit");
            return self.declined(&reply).await;
        }
        self.idle_commands = 0;
        self.transaction =
            Some(Transaction { smtputf8: parameters.smtputf8, attempts: 0, accepted: 0 });
        self.pending = Pending::Mail;
        Ok(Some(Command::Mail { path, parameters }))
    }

    async fn rcpt(
        &mut self,
        path: ForwardPath,
        parameters: RcptParameters,
    ) -> Result<Option<Command>, SessionError> {
        let dsn = self.hello.as_ref().is_some_and(|hello| hello.offered.dsn);
        let Some(transaction) = &mut self.transaction else {
            return self.refused(&Reply::new(503, (5, 5, 1), "MAIL first")).await;
        };
        transaction.attempts += 1;
        if transaction.attempts > self.options.limits.recipients {
            self.put(&Reply::new(452, (4, 5, 3), "too many recipients"));
            return Ok(None);
        }
        if (parameters.notify.is_some() || parameters.orcpt.is_some()) && !dsn {
            return self.declined(&Reply::new(555, (5, 5, 4), "parameter not offered")).await;
        }
        if !path.is_ascii() && !transaction.smtputf8 {
            return self.declined(&Reply::new(553, (5, 6, 7), "address needs SMTPUTF8")).await;
        }
        self.pending = Pending::Rcpt;
        Ok(Some(Command::Rcpt { path, parameters }))
    }

    async fn data_command(&mut self) -> Result<Option<Command>, SessionError> {
        // RFC 2920 section 3.1 forbids sending behind DATA. If DATA were refused, content would
        // be taken for commands.
        if !self.input.is_empty() {
            let reply = Reply::new(421, (4, 5, 0), "data sent before the reply to DATA");
            return self.fail(&reply, SessionError::EarlyData).await;
        }
        match &self.transaction {
            None => self.refused(&Reply::new(503, (5, 5, 1), "MAIL first")).await,
            // RFC 2033 section 4.2 requires 503, RFC 2920 section 3.1 permits it.
            Some(transaction) if transaction.accepted == 0 => {
                self.put(&Reply::new(503, (5, 5, 1), "no valid recipients"));
                Ok(None)
            }
            Some(_) => {
                self.pending = Pending::Data;
                Ok(Some(Command::Data))
            }
        }
    }

    /// Answers a command that is well formed but cannot be served.
    async fn decline(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.count_idle().await?;
        self.put(reply);
        Ok(())
    }

    async fn declined(&mut self, reply: &Reply) -> Result<Option<Command>, SessionError> {
        self.decline(reply).await.map(|()| None)
    }

    async fn count_idle(&mut self) -> Result<(), SessionError> {
        self.idle_commands += 1;
        if self.idle_commands > self.options.limits.idle_commands {
            let reply = Reply::new(421, (4, 7, 0), "too many commands without a message");
            return self.fail(&reply, SessionError::TooManyErrors).await;
        }
        Ok(())
    }

    async fn refused(&mut self, reply: &Reply) -> Result<Option<Command>, SessionError> {
        self.refuse(reply).await.map(|()| None)
    }

    /// Answers a bad command and counts it.
    async fn refuse(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.errors += 1;
        if self.errors > self.options.limits.errors {
            let reply = Reply::new(421, (4, 7, 0), "too many errors");
            return self.fail(&reply, SessionError::TooManyErrors).await;
        }
        self.put(reply);
        Ok(())
    }

    fn put(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }

    async fn read_line(&mut self) -> Result<Result<bytes::Bytes, LineError>, SessionError> {
        // Kept in the session: a caller that cancels and asks again gains no time for the peer.
        let deadline =
            *self.deadline.get_or_insert_with(|| Instant::now() + self.options.timeouts.command);
        loop {
            if let Some(line) = self.lines.decode(&mut self.input) {
                self.deadline = None;
                if self.output.len() >= REPLY_BUFFER {
                    self.flush().await?;
                }
                return Ok(line);
            }
            self.flush().await?;
            self.fill(deadline).await?;
        }
    }

    /// Reads once into the input buffer.
    async fn fill(&mut self, deadline: Instant) -> Result<(), SessionError> {
        let room = if self.data.is_some() { DATA_READ_SIZE } else { COMMAND_READ_SIZE };
        self.input.reserve(room);
        match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(SessionError::Closed),
            Ok(Ok(_)) => Ok(()),
            // Many TLS peers leave without close_notify.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(SessionError::Closed)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                let reply = Reply::new(421, (4, 4, 2), "timed out");
                self.fail(&reply, SessionError::Timeout).await
            }
        }
    }

    /// Sends the replies unless more commands are at hand.
    async fn flush_if_waiting(&mut self) -> Result<(), SessionError> {
        if self.input.is_empty() || self.output.len() >= REPLY_BUFFER {
            self.flush().await
        } else {
            Ok(())
        }
    }

    async fn flush(&mut self) -> Result<(), SessionError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let limit = self.options.timeouts.write;
        let stream = &mut self.stream;
        let output = &mut self.output;
        within(limit, async {
            while output.has_remaining() {
                if stream.write_buf(output).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
            }
            stream.flush().await
        })
        .await
    }

    async fn fail<T>(&mut self, reply: &Reply, error: SessionError) -> Result<T, SessionError> {
        // The error that matters is the first one.
        let _ = self.close(reply).await;
        Err(error)
    }

    async fn close(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.put(reply);
        self.flush().await?;
        self.pending = Pending::Nothing;
        let limit = self.options.timeouts.write;
        let result = within(limit, self.stream.shutdown()).await;
        self.stream = Stream::Closed;
        self.input.clear();
        result
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, SessionError> {
    match timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(SessionError::Timeout),
    }
}
