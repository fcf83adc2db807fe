//! The client side of a connection to a next hop.

mod auth;
mod error;
mod options;
mod origin;
mod transfer;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::data::DataEncoder;
use super::next_hop::NextHop;
use super::reply::ReplyDecoder;
use super::stream::{Stream, TlsInfo};
use super::tls::{ClientTls, TlsLevel};
use super::{Capabilities, Io, Protocol, Reply, Severity};
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{Body, MailParameters, RcptParameters};

pub use auth::{Credentials, CredentialsError, MAX_SECRET, Password};
pub use error::{ClientError, Missing, Step};
pub use options::{ClientOptions, ClientTimeouts};
pub use transfer::{Finished, Outcome};

/// Least free room in the read buffer, in octets.
const READ_SIZE: usize = 2 * 1024;

/// Most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

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
    /// Connects, greets and, as far as the level asks for it, puts the connection under TLS; then authenticates if the
    /// options say as whom. All steps together have a deadline.
    pub async fn connect(options: &ClientOptions) -> Result<Self, ClientError> {
        let deadline = Instant::now() + options.timeouts.set_up;
        let mut client = Self::greet(options, deadline).await?;
        if let Some(credentials) = &options.credentials {
            client.authenticate(credentials, deadline).await?;
        }
        Ok(client)
    }

    /// Connects, greets and, as far as the level asks for it, puts the connection under TLS, all before the deadline, and
    /// early enough for AUTH if there are credentials.
    ///
    /// All addresses of a host are tried, in the order of the system's resolver (RFC 6724), until one gives a session in which
    /// the credentials may be sent. Each gets a fair part of the time that is left, to connect and in all, so that silent
    /// ones leave some for those behind them. Authentication comes after this: a password that was sent, answered or not, is
    /// not tried at another address.
    ///
    /// At [`TlsLevel::Opportunistic`] a failed handshake leads to a second, clear connection.
    pub async fn greet(options: &ClientOptions, deadline: Instant) -> Result<Self, ClientError> {
        let deadline = options.login_by(deadline);
        let connect = options.timeouts.connect;
        let (host, port) = match &options.next_hop {
            NextHop::Tcp { host, port, .. } => (host.as_str(), *port),
            NextHop::LmtpUnix(path) => {
                let greeted = async {
                    let stream = connected(connect, UnixStream::connect(path)).await?;
                    Self::greet_over(stream, options, &ClientTls::off(), options.timeouts).await
                };
                return set_up(deadline, greeted).await;
            }
        };
        let begun = Instant::now();
        let found = set_up(deadline, connected(connect, lookup_host((host, port)))).await?;
        let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
        let left = connect.saturating_sub(begun.elapsed());
        Self::greet_first(&addresses, options, left, deadline).await
    }

    /// The first of these addresses that gives a session; `left` is the time to connect, `deadline` that of all.
    async fn greet_first(
        addresses: &[SocketAddr],
        options: &ClientOptions,
        mut left: Duration,
        deadline: Instant,
    ) -> Result<Self, ClientError> {
        let source = io::Error::new(io::ErrorKind::NotFound, "host has no address");
        let mut failure = ClientError::io(Step::Connect, source);
        for (at, &address) in addresses.iter().enumerate() {
            let untried = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
            let begun = Instant::now();
            let share =
                share(deadline.saturating_duration_since(begun), untried, options.timeouts.set_up);
            let mut timeouts = ClientTimeouts { connect: left / untried, ..options.timeouts };
            if options.tls.level() == TlsLevel::Opportunistic {
                // Leaves time for the second connection.
                timeouts.tls = timeouts.tls.min(share / 2);
            }
            let greeted = Self::greet_address(address, options, timeouts);
            match set_up(begun + share, greeted).await {
                Ok(client) => return Ok(client),
                // Only what it took to connect counts: the other steps have timeouts of their own.
                Err(error) => {
                    let unreachable = matches!(
                        error,
                        ClientError::Io { step: Step::Connect, .. }
                            | ClientError::Timeout(Step::Connect)
                    );
                    if unreachable {
                        left = left.saturating_sub(begun.elapsed());
                    }
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    async fn greet_address(
        address: SocketAddr,
        options: &ClientOptions,
        timeouts: ClientTimeouts,
    ) -> Result<Self, ClientError> {
        let level = options.tls.level();
        match Self::greet_once(address, options, &options.tls, timeouts).await {
            Err(ClientError::Tls(_) | ClientError::Timeout(Step::StartTls))
                if level == TlsLevel::Opportunistic =>
            {
                Self::greet_once(address, options, &ClientTls::off(), timeouts).await
            }
            result => result,
        }
    }

    async fn greet_once(
        address: SocketAddr,
        options: &ClientOptions,
        tls: &ClientTls,
        timeouts: ClientTimeouts,
    ) -> Result<Self, ClientError> {
        let stream = connected(timeouts.connect, TcpStream::connect(address)).await?;
        // Commands and replies alternate; delays would add up.
        stream.set_nodelay(true).map_err(|source| ClientError::io(Step::Connect, source))?;
        Self::greet_over(stream, options, tls, timeouts).await
    }

    /// Greets, and so on to the end of AUTH, over a connection that is there already.
    pub async fn handshake(
        io: impl Io + 'static,
        options: &ClientOptions,
        tls: &ClientTls,
    ) -> Result<Self, ClientError> {
        let deadline = Instant::now() + options.timeouts.set_up;
        let greeted = Self::greet_over(io, options, tls, options.timeouts);
        let mut client = set_up(options.login_by(deadline), greeted).await?;
        if let Some(credentials) = &options.credentials {
            client.authenticate(credentials, deadline).await?;
        }
        Ok(client)
    }

    async fn greet_over(
        io: impl Io + 'static,
        options: &ClientOptions,
        tls: &ClientTls,
        timeouts: ClientTimeouts,
    ) -> Result<Self, ClientError> {
        let mut client = Self {
            stream: Stream::new(io),
            protocol: options.next_hop.protocol(),
            timeouts,
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
        if let Some(credentials) = &options.credentials {
            client.may_log_in(credentials)?;
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

async fn connected<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, ClientError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(ClientError::io(Step::Connect, source)),
        Err(_) => Err(ClientError::Timeout(Step::Connect)),
    }
}

/// The time of an address, to the end of its greeting, with so many that are untried: a fair part of what is left, but never
/// so little that a host whose addresses are all slow is never reached.
fn share(left: Duration, untried: u32, set_up: Duration) -> Duration {
    (left / untried).max((set_up / 4).min(left))
}

/// A part of a set-up that has a deadline beside its own timeouts.
async fn set_up<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout_at(deadline, work).await.unwrap_or(Err(ClientError::Timeout(Step::SetUp)))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Where the credentials cannot be used nothing was sent, so the next address may have them.
    #[tokio::test]
    async fn an_address_without_a_way_to_log_in_is_passed_over() {
        let mut addresses = Vec::new();
        let mut servers = tokio::task::JoinSet::new();
        for offer in ["AUTH CRAM-MD5", "AUTH PLAIN"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            servers.spawn(async move {
                let (mut io, _) = listener.accept().await.unwrap();
                io.write_all(b"220 mx\r\n").await.unwrap();
                io.read_exact(&mut [0; 17]).await.unwrap();
                io.write_all(format!("250-mx\r\n250 {offer}\r\n").as_bytes()).await.unwrap();
                let mut rest = Vec::new();
                io.read_to_end(&mut rest).await.unwrap();
                assert!(rest.is_empty());
            });
        }
        let mut options = ClientOptions::new("smtp://mx.example".parse().unwrap(), "gw.example");
        let password = zeroize::Zeroizing::new("x".to_owned());
        options.credentials = Some(Credentials::new("gw", password).unwrap().on_this_machine());
        let deadline = Instant::now() + options.timeouts.set_up;
        let limit = options.timeouts.connect;
        let client = Client::greet_first(&addresses, &options, limit, deadline).await.unwrap();
        assert_eq!(client.capabilities().auth, ["PLAIN"]);
        drop(client);
        servers.join_all().await;
    }

    #[test]
    fn an_address_of_many_has_time_to_answer() {
        let seconds = Duration::from_secs;
        for (left, untried, expected) in
            [(120, 1, 120), (120, 2, 60), (120, 8, 30), (90, 7, 30), (20, 5, 20), (0, 4, 0)]
        {
            assert_eq!(share(seconds(left), untried, seconds(120)), seconds(expected), "{left}");
        }
    }

    /// Addresses that take connections and say nothing leave time for those behind them.
    #[tokio::test]
    async fn addresses_share_the_time_of_the_set_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [silent.local_addr().unwrap(), good.local_addr().unwrap()];
        let server = tokio::spawn(async move {
            let (mut io, _) = silent.accept().await.unwrap();
            // Until the client gives it up.
            assert_eq!(io.read(&mut [0; 1]).await.unwrap(), 0);
            let (mut io, _) = good.accept().await.unwrap();
            io.write_all(b"220 mx\r\n").await.unwrap();
            io.read_exact(&mut [0; 17]).await.unwrap();
            io.write_all(b"250 mx\r\n").await.unwrap();
        });
        let mut options = ClientOptions::new("smtp://mx.example".parse().unwrap(), "gw.example");
        options.timeouts.set_up = Duration::from_secs(4);
        let deadline = Instant::now() + options.timeouts.set_up;
        let limit = options.timeouts.connect;
        Client::greet_first(&addresses, &options, limit, deadline).await.unwrap();
        server.await.unwrap();
    }
}
