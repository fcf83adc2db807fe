//! The hosts around the gateways: the relay and the mailbox, and who speaks to a gateway.

use crate::cli::failure::Failure;
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{Body, MailParameters, RcptParameters};
use crate::gateway::Failure as Refusal;
use crate::smtp::client::{Client, ClientError, ClientOptions, Outcome};
use crate::smtp::next_hop::NextHop;
use crate::smtp::server::{
    Command, DataChunk, DataEnd, ServerConnection, ServerOptions, SessionError,
};
use crate::smtp::{Capabilities, Protocol, Reply};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longest silence in a dialogue on loopback.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message as a host has received it.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrived {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) content: Vec<u8>,
}

/// A mail server that keeps everything it is given. It stops with the runtime.
pub(super) struct Host {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Host {
    pub(super) async fn start(hostname: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let options = Arc::new(ServerOptions::new(hostname, Protocol::Smtp));
        let store = Arc::clone(&arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Commands and replies alternate; delays would add up.
                let _ = stream.set_nodelay(true);
                let connection = ServerConnection::new(stream, Arc::clone(&options));
                tokio::spawn(serve(connection, Arc::clone(&store)));
            }
        });
        Ok(Self { address, arrived })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many messages it has received.
    pub(super) fn count(&self) -> usize {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The message that it received last. A host has stored a message before it answers 250, and a
    /// gateway answers after it, so there is nothing to wait for.
    pub(super) fn last(&self) -> Option<Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }
}

async fn serve(
    mut connection: ServerConnection,
    store: Arc<Mutex<Vec<Arrived>>>,
) -> Result<(), SessionError> {
    connection.greet().await?;
    let mut open = Arrived::default();
    loop {
        match connection.next_command().await? {
            Command::Hello { .. } => connection.accept_hello(&Capabilities::all()).await?,
            Command::StartTls => connection.start_tls().await?,
            Command::Mail { path, .. } => {
                open = Arrived { from: path.to_string(), ..Arrived::default() };
                connection.reply(&Reply::new(250, (2, 1, 0), "sender ok")).await?;
            }
            Command::Rcpt { path, .. } => {
                open.to.push(path.to_string());
                connection.reply(&Reply::new(250, (2, 1, 5), "recipient ok")).await?;
            }
            Command::Data => {
                connection.accept_data(None).await?;
                let end = loop {
                    match connection.read_data().await? {
                        DataChunk::Content(content) => open.content.extend_from_slice(&content),
                        DataChunk::End(end) => break end,
                    }
                };
                let reply = Refusal::of_end(end).map_or_else(
                    || Reply::new(250, (2, 0, 0), "accepted"),
                    |refusal| refusal.reply(),
                );
                if end == DataEnd::Clean {
                    let whole = std::mem::take(&mut open);
                    store.lock().unwrap_or_else(PoisonError::into_inner).push(whole);
                }
                connection.reply(&reply).await?;
            }
            Command::Auth(_) => {
                connection.reply(&Reply::new(535, (5, 7, 8), "no logins here")).await?;
            }
            Command::Rset => {}
            Command::Quit => return Ok(()),
        }
    }
}

/// How a message is handed over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Whole,
    /// The connection is closed in the middle of the data.
    Cut,
}

/// Hands a message over; the reply is the one that decided its fate.
pub(super) async fn submit(
    to: SocketAddr,
    from: &str,
    recipient: &str,
    content: &[u8],
) -> Result<Reply, Failure> {
    match dialogue(to, from, recipient, content, Course::Whole).await? {
        Ok(reply) | Err(ClientError::EarlyReply(reply)) => Ok(reply),
        Err(error) => Err(Failure::refused(format!("lost the gateway: {error}"))),
    }
}

/// Sends this much of a message and closes the connection.
pub(super) async fn hang_up(
    to: SocketAddr,
    from: &str,
    recipient: &str,
    content: &[u8],
) -> Result<(), Failure> {
    dialogue(to, from, recipient, content, Course::Cut).await?.map(drop).map_err(Failure::refused)
}

async fn dialogue(
    to: SocketAddr,
    from: &str,
    recipient: &str,
    content: &[u8],
    course: Course,
) -> Result<Result<Reply, ClientError>, Failure> {
    let path = ReversePath::parse(&format!("<{from}>")).map_err(Failure::refused)?;
    let recipient = ForwardPath::parse(&format!("<{recipient}>")).map_err(Failure::refused)?;
    let host = to.ip().to_string();
    let next_hop = NextHop::Tcp { protocol: Protocol::Smtp, host, port: to.port() };
    let options = ClientOptions::new(next_hop, "demo.example");
    let body = (!content.is_ascii()).then_some(Body::EightBitMime);
    let parameters = MailParameters { body, ..MailParameters::default() };
    let transaction = async {
        let mut client = Client::connect(&options).await?;
        let reply = client.mail(&path, &parameters).await?;
        if !reply.is_positive() {
            return Ok(reply);
        }
        let reply = client.rcpt(&recipient, &RcptParameters::default()).await?;
        if !reply.is_positive() {
            client.quit().await;
            return Ok(reply);
        }
        let reply = client.data().await?;
        if reply.code() != 354 {
            return Ok(reply);
        }
        client.write(content).await?;
        if course == Course::Cut {
            client.abort();
            return Ok(reply);
        }
        let finished = client.finish().await?;
        client.quit().await;
        match finished.outcomes.into_iter().next() {
            Some(Outcome::Reply(reply)) => Ok(reply),
            Some(Outcome::Unknown) | None => Err(finished.lost.unwrap_or(ClientError::OutOfOrder)),
        }
    };
    Ok(transaction.await)
}

/// Sends octets that no honest client would send as the data of a message, ended by CRLF dot CRLF
/// and QUIT. Returns every reply after 354, until the gateway closes the connection.
pub(super) async fn smuggle(
    to: SocketAddr,
    from: &str,
    recipient: &str,
    data: &[u8],
) -> Result<Vec<String>, Failure> {
    let talk = async {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        reply(&mut stream).await?;
        let commands = [
            "EHLO demo.example".to_owned(),
            format!("MAIL FROM:<{from}>"),
            format!("RCPT TO:<{recipient}>"),
            "DATA".to_owned(),
        ];
        for command in commands {
            stream.write_all(format!("{command}\r\n").as_bytes()).await?;
            reply(&mut stream).await?;
        }
        stream.write_all(&[data, b"\r\n.\r\nQUIT\r\n"].concat()).await?;
        let mut replies = Vec::new();
        while let Some(line) = reply(&mut stream).await? {
            replies.push(line);
        }
        Ok::<_, io::Error>(replies)
    };
    let replies = timeout(PATIENCE, talk).await.map_err(|_| io::ErrorKind::TimedOut.into());
    replies.and_then(|replies| replies).map_err(|error| {
        Failure::refused(format!("lost the gateway: {}", crate::cli::failure::words(&error)))
    })
}

/// The last line of the next reply; none at the end of the connection.
async fn reply(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(Some(line.trim_end().to_owned()));
        }
    }
}
