//! Getting to a greeted connection: the addresses of a next hop, and how much of the time each of them gets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Client, ClientError, ClientOptions, ClientTimeouts, State, Step};
use crate::smtp::data::DataEncoder;
use crate::smtp::next_hop::NextHop;
use crate::smtp::reply::ReplyDecoder;
use crate::smtp::stream::Stream;
use crate::smtp::tls::{ClientTls, TlsLevel};
use crate::smtp::{Capabilities, Io};

/// Most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Credentials;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
