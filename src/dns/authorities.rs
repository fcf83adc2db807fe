//! Asking every server of a zone directly.
//!
//! A recursive resolver shows what one server said, for as long as it may be kept. Whether a record is visible everywhere, and
//! is the same everywhere, only the servers themselves can tell.
//!
//! Whose servers are asked is the zone's choice, which may be a stranger's. So private addresses are asked only where the caller
//! says so, and all together few, and not for long: see [`Direct`].

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::base::iana::{OptRcode, Rcode};
use domain::base::{Message, Name, ParsedName, Rtype};
use domain::net::client::request::ComposeRequest;
use domain::rdata::Soa;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::delegation::{ZoneServers, text};
use super::message::{Asking, End, query, read, seconds};
use super::public::is_public;
use super::resolver::QueryName;
use super::transport::{Failure, Question, Transport};

/// The port of DNS.
pub const DNS_PORT: u16 = 53;

/// Most addresses that are asked with one [`Direct`], each as often as there are questions.
pub const MAX_ASKED: usize = 32;

/// How long they are asked in all.
pub const MAX_TIME: Duration = Duration::from_secs(60);

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// By UDP, and by TCP if the answer is truncated, as resolvers do.
    Udp,
    /// By TCP alone: whether large answers can be fetched.
    Tcp,
}

/// How the servers are asked, and how far: one for all that belongs together.
#[derive(Debug)]
pub struct Direct {
    port: u16,
    timeout: Duration,
    private: bool,
    until: Instant,
    asked: Mutex<HashSet<IpAddr>>,
}

impl Direct {
    /// Asks at `port`, which is [`DNS_PORT`] but in tests. Each server has the time `timeout`; those of one zone are asked at once.
    /// `private`: also at addresses that are not public, where a stranger's zone must not lead.
    #[must_use]
    pub fn new(port: u16, timeout: Duration, private: bool) -> Self {
        Self { port, timeout, private, until: Instant::now() + MAX_TIME, asked: Mutex::default() }
    }

    /// The same with this time from now on instead of [`MAX_TIME`].
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { until: Instant::now() + time, ..self }
    }

    /// The time that is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The time in which to ask there; the error is what is said of a server that is not asked.
    fn admit(&self, address: IpAddr) -> Result<Duration, Said> {
        if !self.private && !is_public(address) {
            return Err(Said::NotAsked(NotAsked::Private));
        }
        if !has_way(SocketAddr::new(address, self.port)) {
            return Err(Said::Unreachable);
        }
        if self.left().is_zero() {
            return Err(Said::NotAsked(NotAsked::TooLate));
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MAX_ASKED && !asked.contains(&address) {
            return Err(Said::NotAsked(NotAsked::TooMany));
        }
        asked.insert(address);
        Ok(self.timeout.min(self.left()))
    }
}

/// Why an address was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotAsked {
    /// It is not of the public Internet.
    Private,
    /// [`MAX_ASKED`] others were.
    TooMany,
    /// The time was over.
    TooLate,
}

/// What one server says about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAnswer {
    /// Name of the server.
    pub server: String,
    /// Where it was asked; none if it has no address.
    pub address: Option<IpAddr>,
    /// What it said.
    pub said: Said,
}

/// What a server says about the TXT records of exactly one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// There are these, the strings of each joined; sorted.
    Records {
        /// The records.
        records: Vec<Vec<u8>>,
        /// Their time to live.
        ttl: Duration,
    },
    /// The name is an alias; what the target holds is the matter of the target's own servers.
    Alias {
        /// The target, in lower case without trailing dot.
        target: String,
        /// The time to live of the alias.
        ttl: Duration,
    },
    /// There are none.
    Denied {
        /// The name itself does not exist.
        nxdomain: bool,
    },
    /// It answers, but not for this zone: without the AA bit (RFC 1035 section 4.1.1).
    Lame,
    /// It refuses to answer (REFUSED): it does not know the zone, or not this client.
    Refused,
    /// It fails, with this response code; 2 is SERVFAIL.
    Failed(u16),
    /// No answer came in time.
    Timeout,
    /// The answer breaks the protocol.
    Malformed,
    /// This host has no way to the address, as without IPv6; or the server has no address.
    Unreachable,
    /// It was not asked.
    NotAsked(NotAsked),
}

impl Said {
    /// Whether the server has answered for the zone, be it with a denial.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Records { .. } | Self::Alias { .. } | Self::Denied { .. })
    }

    /// Whether two servers say the same, times to live apart; records are compared octet by octet.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Records { records: one, .. }, Self::Records { records: two, .. }) => one == two,
            (Self::Alias { target: one, .. }, Self::Alias { target: two, .. }) => one == two,
            (Self::Denied { .. }, Self::Denied { .. }) => true,
            _ => false,
        }
    }
}

/// Asks every address of the servers for the TXT records of `name`, as far as `direct` goes. The answers are in the order of the
/// servers and their addresses; a server without an address has one too.
pub async fn ask_all(
    zone: &ZoneServers,
    name: &QueryName,
    via: Via,
    direct: &Direct,
) -> Vec<ServerAnswer> {
    let Ok(name) = name.as_str().parse::<Name<Bytes>>() else { return Vec::new() };
    each(zone, direct, move |address, time| {
        let name = name.clone();
        async move { Ok(said(ask(address, &name, Rtype::TXT, via, time).await, &name)) }
    })
    .await
    .into_iter()
    .map(|(server, address, said)| {
        let said = said.unwrap_or_else(|said| said);
        ServerAnswer { server, address, said }
    })
    .collect()
}

/// What the SOA record of a zone says (RFC 1035 section 3.3.13, RFC 2308 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneSoa {
    /// The version of the zone.
    pub serial: u32,
    /// How long caches may keep a denial.
    pub negative: Duration,
}

/// Asks every server for the SOA record of the zone: server, address, and the record or what it said instead of one.
pub async fn zone_soas(
    zone: &ZoneServers,
    direct: &Direct,
) -> Vec<(String, Option<IpAddr>, Result<ZoneSoa, Said>)> {
    let Ok(apex) = zone.zone.parse::<Name<Bytes>>() else { return Vec::new() };
    each(zone, direct, move |address, time| {
        let apex = apex.clone();
        async move {
            let reply = ask(address, &apex, Rtype::SOA, Via::Udp, time).await.map_err(failed)?;
            soa(&reply).map_err(failed)?.ok_or(Said::Lame)
        }
    })
    .await
}

/// Does the same with every address at once. The error is that there is none, or that it is not asked.
async fn each<T, F>(
    zone: &ZoneServers,
    direct: &Direct,
    work: impl Fn(SocketAddr, Duration) -> F,
) -> Vec<(String, Option<IpAddr>, Result<T, Said>)>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Said>> + Send + 'static,
{
    let mut answers = Vec::new();
    let mut asked = JoinSet::new();
    for server in &zone.servers {
        if server.addresses.is_empty() {
            answers.push((server.name.clone(), None, Err(Said::Unreachable)));
        }
        for address in &server.addresses {
            let at = answers.len();
            let time = match direct.admit(*address) {
                Ok(time) => time,
                Err(said) => {
                    answers.push((server.name.clone(), Some(*address), Err(said)));
                    continue;
                }
            };
            answers.push((server.name.clone(), Some(*address), Err(Said::Timeout)));
            let work = work(SocketAddr::new(*address, direct.port), time);
            asked.spawn(async move { (at, work.await) });
        }
    }
    while let Some(done) = asked.join_next().await {
        if let Ok((at, said)) = done
            && let Some(answer) = answers.get_mut(at)
        {
            answer.2 = said;
        }
    }
    answers
}

/// Whether this host knows a way to the address; nothing is sent.
fn has_way(address: SocketAddr) -> bool {
    let from: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((from, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

async fn ask(
    address: SocketAddr,
    name: &Name<Bytes>,
    rtype: Rtype,
    via: Via,
    time: Duration,
) -> Result<Message<Bytes>, Failure> {
    // The server's own records are wanted, as they are: no recursion, no DNSSEC.
    let asking = Asking { dnssec_ok: false, checking_disabled: false, authentic_data: false };
    let mut question: Question = query(name, rtype, asking)?;
    question.header_mut().set_rd(false);
    let server = Transport::new(&[address], time);
    let answered = async {
        match via {
            Via::Udp => server.exchange(&question).await,
            Via::Tcp => server.exchange_tcp(&question).await,
        }
    };
    timeout(time, answered).await.unwrap_or(Err(Failure::Timeout))
}

fn failed(failure: Failure) -> Said {
    match failure {
        Failure::Timeout => Said::Timeout,
        Failure::Rcode(rcode) if rcode == OptRcode::from(Rcode::REFUSED).to_int() => Said::Refused,
        Failure::Rcode(rcode) => Said::Failed(rcode),
        Failure::Malformed | Failure::Excess => Said::Malformed,
    }
}

fn said(reply: Result<Message<Bytes>, Failure>, name: &Name<Bytes>) -> Said {
    let reply = match reply {
        Ok(reply) => reply,
        Err(failure) => return failed(failure),
    };
    if !reply.header().aa() {
        return Said::Lame;
    }
    let Ok(reading) = read(&reply, name) else { return Said::Malformed };
    if let Some(target) = reading.names.get(1) {
        return Said::Alias { target: text(target), ttl: reading.ttl };
    }
    match reading.end {
        End::Txt(mut records) => {
            records.sort();
            Said::Records { records, ttl: reading.ttl }
        }
        End::Denied { nxdomain, .. } => Said::Denied { nxdomain },
        End::Open => Said::Malformed,
    }
}

fn soa(reply: &Message<Bytes>) -> Result<Option<ZoneSoa>, Failure> {
    if !reply.header().aa() {
        return Ok(None);
    }
    for record in reply.answer()? {
        if let Some(record) = record?.to_record::<Soa<ParsedName<_>>>()? {
            let soa = record.data();
            let negative = seconds(record.ttl()).min(seconds(soa.minimum()));
            return Ok(Some(ZoneSoa { serial: soa.serial().into_int(), negative }));
        }
    }
    Ok(None)
}
