//! The client side of a connection to a next hop: its commands and their replies.

mod auth;
mod connect;
mod error;
mod options;
mod origin;
mod transfer;

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::data::DataEncoder;
use super::reply::ReplyDecoder;
use super::stream::{Stream, TlsInfo};
use super::tls::TlsLevel;
use super::{Capabilities, Protocol, Reply, Severity};
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{Body, MailParameters, RcptParameters};

pub use auth::{Credentials, CredentialsError, MAX_SECRET, Password};
pub use error::{ClientError, Missing, Step};
pub use options::{ClientOptions, ClientTimeouts};
pub use transfer::{Finished, Outcome};

/// Least free room in the read buffer, in octets.
const READ_SIZE: usize = 2 * 1024;

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

    /// Closes the connection at once, and leaves a client that can do nothing.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.stream = Stream::Closed;
        self.output.clear();
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
            Ok(Err(error)) => self.broken(ClientError::Tls(error.into())),
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
        if reply.severity() == Severity::Intermediate && !matches!(step, Step::Data | Step::Auth) {
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

    /// After a failed write: the reply that the next hop sent before it closed.
    async fn last_words(&mut self, step: Step) -> Option<Reply> {
        self.receive(step, Instant::now() + LAST_WORDS).await.ok()
    }

    fn broken<T>(&mut self, error: ClientError) -> Result<T, ClientError> {
        self.close();
        Err(error)
    }
}

/// How long a reply is looked for on a connection that takes no more octets.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn lost(step: Step, source: io::Error) -> ClientError {
    match source.kind() {
        // TLS peers that leave without close_notify.
        io::ErrorKind::UnexpectedEof => ClientError::Closed(step),
        _ => ClientError::io(step, source),
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
