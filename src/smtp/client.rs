//! The client side of a connection to a next hop.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::data::{DataEncoder, Violation};
use super::next_hop::NextHop;
use super::reply::{ReplyDecoder, ReplyError};
use super::stream::{Stream, TlsInfo};
use super::tls::{ClientTls, TlsLevel};
use super::{Capabilities, Io, Protocol, Reply, Severity};
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{Body, MailParameters, RcptParameters};

/// Least free room in the read buffer, in octets.
const READ_SIZE: usize = 2 * 1024;

/// Encoded data are sent at this size, in octets.
const WRITE_SIZE: usize = 64 * 1024;

/// Content is encoded in pieces of this size, in octets, so that the buffer stays bounded
/// whatever a caller hands over.
const ENCODE_SIZE: usize = 64 * 1024;

/// How long the client waits for its next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For the TCP or unix connection; default 30 s.
    pub connect: Duration,
    /// For the 220 greeting; default 60 s (RFC 5321 section 4.5.3.2.1 has 300: an in-line proxy's
    /// own client waits meanwhile).
    pub greeting: Duration,
    /// For the reply to EHLO, HELO or LHLO; default 60 s.
    pub hello: Duration,
    /// For the reply to STARTTLS and for the handshake, each; default 60 s.
    pub tls: Duration,
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
            connect: seconds(30),
            greeting: seconds(60),
            hello: seconds(60),
            tls: seconds(60),
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
    /// Timeouts.
    pub timeouts: ClientTimeouts,
}

impl ClientOptions {
    /// A next hop without TLS, with default timeouts.
    pub fn new(next_hop: NextHop, hello_name: impl Into<String>) -> Self {
        Self {
            next_hop,
            hello_name: hello_name.into(),
            tls: ClientTls::off(),
            timeouts: ClientTimeouts::default(),
        }
    }
}

/// What the client was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Connecting.
    Connect,
    /// Waiting for the greeting.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// Sending message data.
    Write,
    /// Waiting for the replies to the message.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Something that a transaction needs and the next hop does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// SMTPUTF8 for the parameter or a non-ASCII address: 5.6.7 (RFC 6531 section 3.5).
    SmtpUtf8,
    /// 8BITMIME for BODY=8BITMIME: 5.6.3 (RFC 6152 section 3).
    EightBitMime,
}

impl Missing {
    /// The reply for the client that asked for it.
    #[must_use]
    pub fn refusal(self) -> Reply {
        match self {
            Self::SmtpUtf8 => Reply::new(553, (5, 6, 7), "next hop does not offer SMTPUTF8"),
            Self::EightBitMime => Reply::new(554, (5, 6, 3), "next hop does not offer 8BITMIME"),
        }
    }
}

/// Why there is no reply to pass on.
///
/// After every error but [`ClientError::Missing`] and [`ClientError::OutOfOrder`] the connection
/// is closed, and no final dot has been sent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The next hop cannot be reached, or the connection broke.
    #[error("{step:?}: {source}")]
    Io {
        /// What the client was doing.
        step: Step,
        /// What happened.
        source: io::Error,
    },
    /// The next hop kept silent, or did not take what it was sent.
    #[error("{0:?}: timed out")]
    Timeout(Step),
    /// The next hop closed the connection.
    #[error("{0:?}: closed by the next hop")]
    Closed(Step),
    /// The next hop refuses connections or greetings; the reply is its own.
    #[error("{step:?}: refused: {reply}")]
    Refused {
        /// Which step it refused.
        step: Step,
        /// Its reply.
        reply: Reply,
    },
    /// What the next hop sent is no reply, or a reply to nothing.
    #[error("{step:?}: {source}")]
    Garbage {
        /// What the client was doing.
        step: Step,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// The next hop sent something that answers no command, as behind STARTTLS (an injection).
    #[error("{0:?}: unsolicited octets")]
    Unsolicited(Step),
    /// The next hop answered while the message was still being sent.
    #[error("reply before the end of the message: {0}")]
    EarlyReply(Reply),
    /// TLS is required and not offered, or refused with the given reply.
    #[error("next hop offers no TLS")]
    NoTls(Option<Reply>),
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// The transaction needs what the next hop does not offer. The connection is still good.
    #[error("next hop does not offer {0:?}")]
    Missing(Missing),
    /// The content must not be sent.
    #[error(transparent)]
    Content(#[from] Violation),
    /// The caller called a method that the state of the connection does not allow.
    #[error("client method called out of order")]
    OutOfOrder,
}

impl ClientError {
    /// The reply for the client whose message this was. Its text names no detail of the next hop
    /// but what the next hop itself replied.
    #[must_use]
    pub fn refusal(&self) -> Reply {
        match self {
            Self::Io { step: Step::Connect, .. } | Self::Timeout(Step::Connect) => {
                Reply::new(451, (4, 4, 1), "next hop is unreachable")
            }
            Self::Io { .. } | Self::Timeout(_) | Self::Closed(_) => {
                Reply::new(451, (4, 4, 2), "connection to the next hop was lost")
            }
            // What one connection is refused says nothing about a message.
            Self::Refused { .. } => Reply::new(451, (4, 3, 2), "next hop does not accept mail now"),
            Self::Garbage { .. } | Self::Unsolicited(_) => {
                Reply::new(451, (4, 5, 0), "next hop broke the protocol")
            }
            Self::EarlyReply(reply) if reply.is_positive() => {
                Reply::new(451, (4, 5, 0), "next hop broke the protocol")
            }
            Self::EarlyReply(reply) => reply.clone().relayed(),
            Self::NoTls(_) | Self::Tls(_) => {
                Reply::new(451, (4, 7, 5), "no secure connection to the next hop")
            }
            Self::Missing(missing) => missing.refusal(),
            Self::Content(violation) => {
                Reply::new(550, (5, 6, 0), format!("message refused: {violation}"))
            }
            Self::OutOfOrder => Reply::new(451, (4, 3, 0), "internal error"),
        }
    }
}

/// What became of the message for one recipient, or for all of them (SMTP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop's answer.
    Reply(Reply),
    /// The connection was lost after the final dot: accepted or not, nobody knows.
    Unknown,
}

/// The end of a transaction whose final dot was sent.
#[derive(Debug)]
pub struct Finished {
    /// One outcome (SMTP), or one per accepted recipient in the order of RCPT (LMTP).
    pub outcomes: Vec<Outcome>,
    /// Whether the last line of the content had to be given its CRLF.
    pub crlf_added: bool,
    /// Why outcomes are unknown.
    pub lost: Option<ClientError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Mail,
    Data,
    Closed,
}

/// A connection to a next hop, greeted.
///
/// Dropping it, or [`Self::abort`], closes the connection without a final dot, upon which the
/// next hop delivers nothing (RFC 5321 section 4.1.1.10). A method that is cancelled while it
/// waits leaves the connection closed.
pub struct Client {
    stream: Stream,
    protocol: Protocol,
    timeouts: ClientTimeouts,
    capabilities: Capabilities,
    input: BytesMut,
    output: BytesMut,
    replies: ReplyDecoder,
    encoder: DataEncoder,
    state: State,
    smtputf8: bool,
    accepted: usize,
}

impl Client {
    /// Connects, greets and, as far as the level asks for it, puts the connection under TLS.
    ///
    /// At [`TlsLevel::Opportunistic`] a failed handshake leads to a second, clear connection.
    pub async fn connect(options: &ClientOptions) -> Result<Self, ClientError> {
        let level = options.tls.level();
        match Self::connect_once(options, &options.tls).await {
            Err(ClientError::Tls(_) | ClientError::Timeout(Step::StartTls))
                if level == TlsLevel::Opportunistic =>
            {
                Self::connect_once(options, &ClientTls::off()).await
            }
            result => result,
        }
    }

    async fn connect_once(options: &ClientOptions, tls: &ClientTls) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Io { step: Step::Connect, source };
        let limit = options.timeouts.connect;
        match &options.next_hop {
            NextHop::Tcp { host, port, .. } => {
                let stream = timeout(limit, TcpStream::connect((host.as_str(), *port)))
                    .await
                    .map_err(|_| ClientError::Timeout(Step::Connect))?
                    .map_err(failed)?;
                // Commands and replies alternate; delays would add up.
                stream.set_nodelay(true).map_err(failed)?;
                Self::handshake(stream, options, tls).await
            }
            NextHop::LmtpUnix(path) => {
                let stream = timeout(limit, UnixStream::connect(path))
                    .await
                    .map_err(|_| ClientError::Timeout(Step::Connect))?
                    .map_err(failed)?;
                Self::handshake(stream, options, &ClientTls::off()).await
            }
        }
    }

    /// Greets over a connection that is there already.
    pub async fn handshake(
        io: impl Io + 'static,
        options: &ClientOptions,
        tls: &ClientTls,
    ) -> Result<Self, ClientError> {
        let mut client = Self {
            stream: Stream::new(io),
            protocol: options.next_hop.protocol(),
            timeouts: options.timeouts,
            capabilities: Capabilities::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            replies: ReplyDecoder::default(),
            encoder: DataEncoder::new(),
            state: State::Ready,
            smtputf8: false,
            accepted: 0,
        };
        let greeting = client.read_reply(Step::Greeting, client.timeouts.greeting).await?;
        if !greeting.is_positive() {
            return Err(ClientError::Refused { step: Step::Greeting, reply: greeting });
        }
        client.hello(&options.hello_name).await?;
        if let Some(session) = tls.session()
            && client.start_tls(tls.level(), session).await?
        {
            client.hello(&options.hello_name).await?;
        }
        Ok(client)
    }

    /// What the next hop offers, after TLS.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What is spoken.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The TLS session, if there is one.
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        self.stream.tls()
    }

    /// Whether another command can be sent; false after errors and after a 421.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Recipients of this transaction that the next hop accepted.
    #[must_use]
    pub fn accepted_recipients(&self) -> usize {
        self.accepted
    }

    /// Sends MAIL.
    ///
    /// SIZE, RET and ENVID are left out where they are not offered, as RFC 3461 section 5.2.2
    /// allows; needed SMTPUTF8 and 8BITMIME that are not offered are an error before anything is
    /// sent.
    pub async fn mail(
        &mut self,
        path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<Reply, ClientError> {
        if self.state != State::Ready {
            return Err(ClientError::OutOfOrder);
        }
        let offered = &self.capabilities;
        if (parameters.smtputf8 || !path.is_ascii()) && !offered.smtputf8 {
            return Err(ClientError::Missing(Missing::SmtpUtf8));
        }
        if parameters.body == Some(Body::EightBitMime) && !offered.eight_bit_mime {
            return Err(ClientError::Missing(Missing::EightBitMime));
        }
        let sent = MailParameters {
            size: parameters.size.filter(|_| offered.size.is_some()),
            body: parameters.body.filter(|_| offered.eight_bit_mime),
            smtputf8: parameters.smtputf8 || !path.is_ascii(),
            ret: parameters.ret.filter(|_| offered.dsn),
            envid: parameters.envid.clone().filter(|_| offered.dsn),
        };
        let line = format!("MAIL FROM:{path} {sent}");
        let reply = self.command(line.trim_end(), Step::Mail, self.timeouts.mail).await?;
        if reply.is_positive() && self.is_open() {
            self.state = State::Mail;
            self.smtputf8 = sent.smtputf8;
            self.accepted = 0;
        }
        Ok(reply)
    }

    /// Sends RCPT. NOTIFY and ORCPT are left out where DSN is not offered.
    pub async fn rcpt(
        &mut self,
        path: &ForwardPath,
        parameters: &RcptParameters,
    ) -> Result<Reply, ClientError> {
        if self.state != State::Mail {
            return Err(ClientError::OutOfOrder);
        }
        if !path.is_ascii() && !self.smtputf8 {
            return Err(ClientError::Missing(Missing::SmtpUtf8));
        }
        let line = if self.capabilities.dsn {
            format!("RCPT TO:{path} {parameters}")
        } else {
            format!("RCPT TO:{path}")
        };
        let reply = self.command(line.trim_end(), Step::Rcpt, self.timeouts.rcpt).await?;
        if reply.is_positive() {
            self.accepted += 1;
        }
        Ok(reply)
    }

    /// Sends DATA. After 354 the content is sent by [`Self::write`]; any other reply leaves the
    /// transaction as it was.
    pub async fn data(&mut self) -> Result<Reply, ClientError> {
        if self.state != State::Mail || self.accepted == 0 {
            return Err(ClientError::OutOfOrder);
        }
        let reply = self.command("DATA", Step::Data, self.timeouts.data).await?;
        match reply.severity() {
            Severity::Intermediate if reply.code() == 354 => {
                self.encoder = DataEncoder::new();
                self.state = State::Data;
                Ok(reply)
            }
            // These leave open what the next hop takes for content.
            Severity::Positive | Severity::Intermediate => {
                self.broken(ClientError::Unsolicited(Step::Data))
            }
            Severity::Transient | Severity::Permanent => Ok(reply),
        }
    }

    /// Sends a piece of content, dot-stuffed; it may be cut anywhere.
    ///
    /// Refuses bare CR, bare LF and NUL. A next hop that answers or leaves before the end is
    /// reported as [`ClientError::EarlyReply`] or [`ClientError::Closed`].
    pub async fn write(&mut self, content: &[u8]) -> Result<(), ClientError> {
        if self.state != State::Data {
            return Err(ClientError::OutOfOrder);
        }
        for piece in content.chunks(ENCODE_SIZE) {
            if let Err(violation) = self.encoder.encode(piece, &mut self.output) {
                return self.broken(violation.into());
            }
            if self.output.len() >= WRITE_SIZE {
                self.send_data().await?;
            }
        }
        Ok(())
    }

    /// Sends what [`Self::write`] still holds back, for content that comes slowly.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        if self.state != State::Data {
            return Err(ClientError::OutOfOrder);
        }
        self.send_data().await
    }

    /// Sends the final dot and waits for what becomes of the message.
    ///
    /// An error means that the dot was not sent. What is lost after it is in the result.
    pub async fn finish(&mut self) -> Result<Finished, ClientError> {
        if self.state != State::Data {
            return Err(ClientError::OutOfOrder);
        }
        // What went wrong so far must be seen before the dot goes out.
        self.send_data().await?;
        let crlf_added = match self.encoder.finish(&mut self.output) {
            Ok(crlf_added) => crlf_added,
            Err(violation) => return self.broken(violation.into()),
        };
        let expected = match self.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => self.accepted,
        };
        self.state = State::Closed;
        let mut outcomes = Vec::with_capacity(expected);
        let lost = self.collect_outcomes(expected, &mut outcomes).await.err();
        outcomes.resize(expected, Outcome::Unknown);
        let closing = |outcome: &Outcome| matches!(outcome, Outcome::Reply(r) if r.code() == 421);
        let in_step = self.input.is_empty() && self.replies.is_idle();
        if lost.is_none() && in_step && !outcomes.iter().any(closing) {
            self.state = State::Ready;
            self.accepted = 0;
        } else {
            self.stream = Stream::Closed;
        }
        Ok(Finished { outcomes, crlf_added, lost })
    }

    async fn collect_outcomes(
        &mut self,
        expected: usize,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + self.timeouts.dot;
        self.send(Step::Dot).await?;
        while outcomes.len() < expected {
            let reply = self.receive(Step::Dot, deadline).await?;
            if reply.severity() == Severity::Intermediate {
                return Err(ClientError::Unsolicited(Step::Dot));
            }
            outcomes.push(Outcome::Reply(reply));
        }
        Ok(())
    }

    /// Sends RSET.
    pub async fn rset(&mut self) -> Result<Reply, ClientError> {
        if !matches!(self.state, State::Ready | State::Mail) {
            return Err(ClientError::OutOfOrder);
        }
        let reply = self.command("RSET", Step::Rset, self.timeouts.rset).await?;
        if !reply.is_positive() {
            // The next hop's state is unknown now.
            return self.broken(ClientError::Refused { step: Step::Rset, reply });
        }
        self.state = State::Ready;
        self.accepted = 0;
        Ok(reply)
    }

    /// Sends QUIT and closes the connection; errors matter to nobody any more. In the middle of
    /// the data it only closes.
    pub async fn quit(mut self) {
        if matches!(self.state, State::Ready | State::Mail) {
            let limit = self.timeouts.quit;
            let farewell = async {
                if self.command("QUIT", Step::Quit, limit).await.is_ok() {
                    let _ = self.stream.shutdown().await;
                }
            };
            let _ = timeout(limit, farewell).await;
        }
    }

    /// Closes the connection at once, without a final dot (RFC 5321 section 4.1.1.10).
    pub fn abort(self) {
        drop(self);
    }

    async fn hello(&mut self, name: &str) -> Result<(), ClientError> {
        let verb = match self.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let limit = self.timeouts.hello;
        let mut reply = self.command(&format!("{verb} {name}"), Step::Hello, limit).await?;
        if reply.is_permanent() && self.protocol == Protocol::Smtp {
            // RFC 5321 section 3.2: a server without extensions.
            reply = self.command(&format!("HELO {name}"), Step::Hello, limit).await?;
            self.capabilities = Capabilities::default();
        } else {
            self.capabilities = Capabilities::from_ehlo(&reply);
        }
        if reply.is_positive() {
            Ok(())
        } else {
            self.broken(ClientError::Refused { step: Step::Hello, reply })
        }
    }

    /// Whether TLS is up now.
    async fn start_tls(
        &mut self,
        level: TlsLevel,
        (config, name): (
            std::sync::Arc<rustls::ClientConfig>,
            rustls::pki_types::ServerName<'static>,
        ),
    ) -> Result<bool, ClientError> {
        let mandatory = level > TlsLevel::Opportunistic;
        if !self.capabilities.starttls {
            return if mandatory { self.broken(ClientError::NoTls(None)) } else { Ok(false) };
        }
        let limit = self.timeouts.tls;
        let reply = self.command("STARTTLS", Step::StartTls, limit).await?;
        if reply.code() != 220 {
            return if mandatory || !self.is_open() {
                self.broken(ClientError::NoTls(Some(reply)))
            } else {
                Ok(false)
            };
        }
        // RFC 3207 section 4.2; what stands here was written into the clear stream.
        if !self.input.is_empty() || !self.replies.is_idle() {
            return self.broken(ClientError::Unsolicited(Step::StartTls));
        }
        let Some(io) = self.stream.take_plain() else {
            return Err(ClientError::OutOfOrder);
        };
        self.capabilities = Capabilities::default();
        match timeout(limit, TlsConnector::from(config).connect(name, io)).await {
            Ok(Ok(tls)) => {
                self.stream = Stream::Tls(Box::new(tls.into()));
                Ok(true)
            }
            Ok(Err(error)) => self.broken(ClientError::Tls(error)),
            Err(_) => self.broken(ClientError::Timeout(Step::StartTls)),
        }
    }

    /// Sends a command and waits for its reply.
    async fn command(
        &mut self,
        line: &str,
        step: Step,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        // What is here before the command was sent answers nothing, unless it is the 421 of a
        // server that closes an idle connection.
        if !self.input.is_empty() || !self.replies.is_idle() {
            let reply = self.read_reply(step, limit).await?;
            if reply.code() == 421 {
                return Ok(reply);
            }
            return self.broken(ClientError::Unsolicited(step));
        }
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        let resume = std::mem::replace(&mut self.state, State::Closed);
        let sent = self.send(step).await;
        if let Err(error) = sent {
            // A server that closes an idle connection has said so by 421.
            return match self.last_words(step).await {
                Some(reply) if reply.code() == 421 => {
                    self.stream = Stream::Closed;
                    Ok(reply)
                }
                _ => self.broken(error),
            };
        }
        self.state = resume;
        let reply = self.read_reply(step, limit).await?;
        if reply.severity() == Severity::Intermediate && step != Step::Data {
            return self.broken(ClientError::Unsolicited(step));
        }
        Ok(reply)
    }

    async fn read_reply(&mut self, step: Step, limit: Duration) -> Result<Reply, ClientError> {
        let resume = std::mem::replace(&mut self.state, State::Closed);
        match self.receive(step, Instant::now() + limit).await {
            Ok(reply) if reply.code() == 421 => {
                // RFC 5321 section 3.8: the server closes the connection after this.
                self.stream = Stream::Closed;
                Ok(reply)
            }
            Ok(reply) => {
                self.state = resume;
                Ok(reply)
            }
            Err(error) => self.broken(error),
        }
    }

    async fn receive(&mut self, step: Step, deadline: Instant) -> Result<Reply, ClientError> {
        loop {
            match self.replies.decode(&mut self.input) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(source) => return Err(ClientError::Garbage { step, source }),
            }
            self.input.reserve(READ_SIZE);
            match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
                Ok(Ok(0)) => return Err(ClientError::Closed(step)),
                Ok(Ok(_)) => {}
                Ok(Err(source)) => return Err(lost(step, source)),
                Err(_) => return Err(ClientError::Timeout(step)),
            }
        }
    }

    /// Sends the output buffer.
    async fn send(&mut self, step: Step) -> Result<(), ClientError> {
        let limit = self.timeouts.write;
        while self.output.has_remaining() {
            let written = within(limit, step, self.stream.write_buf(&mut self.output)).await?;
            if written == 0 {
                return Err(ClientError::Closed(step));
            }
        }
        within(limit, step, self.stream.flush()).await
    }

    /// Sends encoded content while watching for a reply that comes too early.
    async fn send_data(&mut self) -> Result<(), ClientError> {
        self.state = State::Closed;
        let limit = self.timeouts.write;
        let mut flushed = false;
        while !flushed {
            let progress = timeout(limit, self.data_progress()).await;
            match progress {
                Ok(Ok(Progress::Written)) => {}
                Ok(Ok(Progress::Flushed)) => flushed = true,
                Ok(Ok(Progress::Heard)) => return self.early().await,
                Ok(Err(source)) => {
                    let error = lost(Step::Write, source);
                    return match self.last_words(Step::Write).await {
                        Some(reply) => self.broken(ClientError::EarlyReply(reply)),
                        None => self.broken(error),
                    };
                }
                Err(_) => return self.broken(ClientError::Timeout(Step::Write)),
            }
        }
        self.state = State::Data;
        Ok(())
    }

    /// One step of sending; hearing anything takes precedence.
    async fn data_progress(&mut self) -> io::Result<Progress> {
        let Self { stream, input, output, .. } = self;
        poll_fn(|cx| {
            let mut chunk = [0; 512];
            let mut heard = ReadBuf::new(&mut chunk);
            if let Poll::Ready(result) = Pin::new(&mut *stream).poll_read(cx, &mut heard) {
                result?;
                input.extend_from_slice(heard.filled());
                return Poll::Ready(Ok(Progress::Heard));
            }
            if !output.has_remaining() {
                return Pin::new(&mut *stream).poll_flush(cx).map_ok(|()| Progress::Flushed);
            }
            match Pin::new(&mut *stream).poll_write(cx, output) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    output.advance(written);
                    Poll::Ready(Ok(Progress::Written))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Something was heard in the middle of the data: a reply or the end of the connection.
    async fn early<T>(&mut self) -> Result<T, ClientError> {
        if self.input.is_empty() {
            return self.broken(ClientError::Closed(Step::Write));
        }
        let deadline = Instant::now() + self.timeouts.data;
        match self.receive(Step::Write, deadline).await {
            Ok(reply) => self.broken(ClientError::EarlyReply(reply)),
            Err(error) => self.broken(error),
        }
    }

    /// After a failed write: the reply that the next hop sent before it closed.
    async fn last_words(&mut self, step: Step) -> Option<Reply> {
        self.receive(step, Instant::now() + LAST_WORDS).await.ok()
    }

    fn broken<T>(&mut self, error: ClientError) -> Result<T, ClientError> {
        self.state = State::Closed;
        self.stream = Stream::Closed;
        self.output.clear();
        Err(error)
    }
}

/// How long a reply is looked for on a connection that takes no more octets.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Progress {
    Written,
    Flushed,
    Heard,
}

fn lost(step: Step, source: io::Error) -> ClientError {
    match source.kind() {
        // TLS peers that leave without close_notify.
        io::ErrorKind::UnexpectedEof => ClientError::Closed(step),
        _ => ClientError::Io { step, source },
    }
}

async fn within<T>(
    limit: Duration,
    step: Step,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, ClientError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(lost(step, source)),
        Err(_) => Err(ClientError::Timeout(step)),
    }
}
