//! A client that writes exactly the octets it is given.

use std::net::SocketAddr;

use mta_seal::smtp::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// The lines without code, joined by LF.
    pub text: String,
}

impl Reply {
    /// Whether the reply begins with this code and enhanced code.
    pub fn is(&self, start: &str) -> bool {
        format!("{} {}", self.code, self.text).starts_with(start)
    }
}

pub struct Client {
    io: Box<dyn Io>,
    input: Vec<u8>,
}

impl Client {
    /// Connects and reads the greeting.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::silent(address).await;
        let greeting = client.reply().await;
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// Connects and reads nothing.
    pub async fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { io: Box::new(stream), input: Vec::new() }
    }

    /// Connects and greets.
    pub async fn greeted(address: SocketAddr, protocol: Protocol) -> Self {
        let mut client = Self::connect(address).await;
        client.hello(protocol).await;
        client
    }

    pub async fn hello(&mut self, protocol: Protocol) -> Reply {
        let verb = if protocol == Protocol::Smtp { "EHLO" } else { "LHLO" };
        let reply = self.command(&format!("{verb} client.example")).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        reply
    }

    pub async fn send(&mut self, octets: &[u8]) {
        soon("a write", self.io.write_all(octets)).await.unwrap();
        soon("a flush", self.io.flush()).await.unwrap();
    }

    /// Sends what the peer may refuse to take.
    pub async fn try_send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        soon("a write", self.io.write_all(octets)).await?;
        soon("a flush", self.io.flush()).await
    }

    /// Shuts the writing half; replies can still be read.
    pub async fn half_close(&mut self) {
        soon("a shutdown", self.io.shutdown()).await.unwrap();
    }

    /// MAIL, RCPT and DATA, all of which must be accepted.
    pub async fn begin_data(&mut self, from: &str, to: &[&str]) {
        assert_eq!(self.command(&format!("MAIL FROM:{from}")).await.code, 250);
        for recipient in to {
            assert_eq!(self.command(&format!("RCPT TO:{recipient}")).await.code, 250);
        }
        assert_eq!(self.command("DATA").await.code, 354);
    }

    pub async fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    pub async fn reply(&mut self) -> Reply {
        self.try_reply().await.expect("connection closed instead of a reply")
    }

    /// The next reply; `None` if the connection is closed.
    pub async fn try_reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let code = line[..3].parse().unwrap();
            lines.push(line.get(4..).unwrap_or("").to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply { code, text: lines.join("\n") });
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|w| w == b"\r\n") {
                let rest = self.input.split_off(at + 2);
                let line = std::mem::replace(&mut self.input, rest);
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            let mut buffer = [0; 4096];
            match soon("a reply", self.io.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Whether the peer has closed; nothing else may come.
    pub async fn is_closed(&mut self) -> bool {
        self.line().await.is_none()
    }

    pub async fn start_tls(self, config: rustls::ClientConfig, name: &str) -> Self {
        assert!(self.input.is_empty());
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let io = soon("TLS", connector.connect(name, self.io)).await.unwrap();
        Self { io: Box::new(io), input: Vec::new() }
    }

    /// DATA with a whole message, and all replies to it.
    pub async fn data(&mut self, message: &[u8], replies: usize) -> Vec<Reply> {
        let go = self.command("DATA").await;
        if go.code != 354 {
            return vec![go];
        }
        self.send(&stuff(message)).await;
        let mut all = Vec::new();
        for _ in 0..replies {
            all.push(self.reply().await);
        }
        all
    }

    /// A whole transaction.
    pub async fn transact(
        &mut self,
        protocol: Protocol,
        from: &str,
        to: &[&str],
        message: &[u8],
    ) -> Delivery {
        let mail = self.command(&format!("MAIL FROM:{from}")).await;
        let mut delivery = Delivery { mail, rcpt: Vec::new(), end: Vec::new() };
        if delivery.mail.code != 250 {
            return delivery;
        }
        for recipient in to {
            delivery.rcpt.push(self.command(&format!("RCPT TO:{recipient}")).await);
        }
        let accepted = delivery.rcpt.iter().filter(|reply| reply.code == 250).count();
        if accepted > 0 {
            let replies = if protocol == Protocol::Smtp { 1 } else { accepted };
            delivery.end = self.data(message, replies).await;
        } else {
            self.command("RSET").await;
        }
        delivery
    }
}

/// The replies to a transaction.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub mail: Reply,
    pub rcpt: Vec<Reply>,
    /// To the final dot, or to DATA.
    pub end: Vec<Reply>,
}

impl Delivery {
    /// The codes of all replies in order.
    pub fn codes(&self) -> Vec<u16> {
        let all = std::iter::once(&self.mail).chain(&self.rcpt).chain(&self.end);
        all.map(|reply| reply.code).collect()
    }

    /// The first reply that is negative, or the last one.
    pub fn verdict(&self) -> &Reply {
        let mut all = std::iter::once(&self.mail).chain(&self.rcpt).chain(&self.end);
        let last = self.end.last().or(self.rcpt.last()).unwrap_or(&self.mail);
        all.find(|reply| reply.code >= 400).unwrap_or(last)
    }

    #[track_caller]
    pub fn expect(&self, start: &str) -> &Self {
        assert!(self.verdict().is(start), "expected {start}, got {self:?}");
        self
    }
}

/// Sends one message over a connection of its own. Paths are written with angle brackets and
/// parameters.
pub async fn deliver(
    address: SocketAddr,
    protocol: Protocol,
    from: &str,
    to: &[&str],
    message: &[u8],
) -> Delivery {
    let mut client = Client::greeted(address, protocol).await;
    let delivery = client.transact(protocol, from, to, message).await;
    client.command("QUIT").await;
    delivery
}

/// Message data as they go over the wire, with the final dot.
pub fn stuff(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    let mut start = true;
    for &octet in message {
        if start && octet == b'.' {
            out.push(b'.');
        }
        out.push(octet);
        start = octet == b'\n';
    }
    if !start {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
