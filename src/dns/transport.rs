//! Carries one question to the configured servers: UDP first, TCP when the answer is truncated.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::OptRcode;
use domain::base::message_builder::PushError;
use domain::base::wire::ParseError;
use domain::base::{Message, Rtype};
use domain::net::client::protocol::{AsyncConnect, TcpConnect, UdpConnect};
use domain::net::client::request::{
    ComposeRequest, Error, RequestMessage, RequestMessageMulti, SendRequest,
};
use domain::net::client::{dgram, stream};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// UDP answers up to this size; larger ones come truncated and are fetched over TCP (RFC 9715).
pub(super) const UDP_PAYLOAD: u16 = 1232;

/// Most UDP questions in flight per server; more wait within their own budget.
const MAX_PARALLEL: usize = 500;

/// How often a silent server is asked.
const ROUNDS: usize = 3;

/// Most records of the authority section that are looked at.
pub(super) const MAX_AUTHORITY: usize = 64;

/// A question that can be sent.
pub(super) type Question = RequestMessage<Vec<u8>>;

/// Why a question got no usable answer, the more telling reason the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// Nobody answered or could be reached.
    Timeout,
    /// An answer broke the protocol.
    Malformed,
    /// The answer was neither NOERROR nor NXDOMAIN, or a referral (0).
    Rcode(u16),
    /// The look-up has asked too much already.
    Excess,
}

impl From<ParseError> for Failure {
    fn from(_: ParseError) -> Self {
        Self::Malformed
    }
}

impl From<PushError> for Failure {
    fn from(_: PushError) -> Self {
        Self::Malformed
    }
}

/// The configured servers.
#[derive(Debug)]
pub(super) struct Transport {
    servers: Vec<Server>,
    attempt: Duration,
}

#[derive(Debug, Clone)]
struct Server {
    udp: dgram::Connection<UdpConnect>,
    tcp: TcpConnect,
}

impl Transport {
    /// Prepares sockets to `servers` for look-ups that may take `budget` in all.
    pub(super) fn new(servers: &[SocketAddr], budget: Duration) -> Self {
        // A quarter leaves room for a second server or a lost datagram within the budget.
        let attempt = (budget / 4).clamp(Duration::from_millis(20), Duration::from_secs(2));
        let mut config = dgram::Config::new();
        config.set_max_parallel(MAX_PARALLEL);
        config.set_read_timeout(attempt);
        config.set_max_retries(0);
        config.set_udp_payload_size(Some(UDP_PAYLOAD));
        let servers = servers
            .iter()
            .map(|address| Server {
                udp: dgram::Connection::with_config(UdpConnect::new(*address), config.clone()),
                tcp: TcpConnect::new(*address),
            })
            .collect();
        Self { servers, attempt }
    }

    /// Asks the servers in turn until one answers with NOERROR or NXDOMAIN.
    ///
    /// A server that failed with a definite answer is not asked again; silent ones are.
    pub(super) async fn exchange(&self, question: &Question) -> Result<Message<Bytes>, Failure> {
        let mut worst = Failure::Timeout;
        let mut open: Vec<&Server> = self.servers.iter().collect();
        for _ in 0..ROUNDS {
            let mut silent = Vec::new();
            for server in open {
                match self.ask(server, question).await {
                    Ok(reply) => return Ok(reply),
                    Err(Failure::Timeout) => silent.push(server),
                    Err(failure) => worst = worst.max(failure),
                }
            }
            if silent.is_empty() {
                break;
            }
            open = silent;
        }
        Err(worst)
    }

    async fn ask(&self, server: &Server, question: &Question) -> Result<Message<Bytes>, Failure> {
        let mut reply = {
            let mut request = server.udp.send_request(question.clone());
            within(self.attempt, request.get_response()).await?
        };
        if reply.header().tc() {
            reply = self.ask_tcp(server, question).await?;
            if reply.header().tc() {
                return Err(Failure::Malformed);
            }
        }
        judge(reply)
    }

    /// Asks the first server, by TCP alone and once.
    pub(super) async fn exchange_tcp(
        &self,
        question: &Question,
    ) -> Result<Message<Bytes>, Failure> {
        let Some(server) = self.servers.first() else { return Err(Failure::Timeout) };
        judge(self.ask_tcp(server, question).await?)
    }

    async fn ask_tcp(
        &self,
        server: &Server,
        question: &Question,
    ) -> Result<Message<Bytes>, Failure> {
        let connected = match timeout(self.attempt, server.tcp.connect()).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(_)) | Err(_) => return Err(Failure::Timeout),
        };
        let (connection, transport) =
            stream::Connection::<Question, RequestMessageMulti<Vec<u8>>>::new(connected);
        let _running = AbortOnDropHandle::new(tokio::spawn(transport.run()));
        let mut question = question.clone();
        question.header_mut().set_random_id();
        let mut request = connection.send_request(question);
        within(self.attempt, request.get_response()).await
    }
}

/// Whether the server only says whom to ask instead, as one does that neither serves the zone nor resolves for us. It
/// looks like a denial, but is none (RFC 2308 section 2.2) [R-dns-02].
fn is_referral(reply: &Message<Bytes>) -> Result<bool, ParseError> {
    if reply.header().aa() || reply.header_counts().ancount() > 0 {
        return Ok(false);
    }
    let mut elsewhere = false;
    for record in reply.authority()?.take(MAX_AUTHORITY) {
        match record?.rtype() {
            Rtype::SOA => return Ok(false),
            Rtype::NS => elsewhere = true,
            _ => {}
        }
    }
    Ok(elsewhere)
}

fn judge(reply: Message<Bytes>) -> Result<Message<Bytes>, Failure> {
    match reply.opt_rcode() {
        OptRcode::NOERROR if is_referral(&reply)? => Err(Failure::Rcode(0)),
        OptRcode::NOERROR | OptRcode::NXDOMAIN => Ok(reply),
        other => Err(Failure::Rcode(other.to_int())),
    }
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<Message<Bytes>, Error>>,
) -> Result<Message<Bytes>, Failure> {
    match timeout(limit, answer).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(match error {
            Error::WrongReplyForQuery
            | Error::ShortMessage
            | Error::MessageParseError
            | Error::FormError => Failure::Malformed,
            _ => Failure::Timeout,
        }),
        Err(_) => Err(Failure::Timeout),
    }
}
