//! A small authoritative DNS server on loopback, for `mta-seal demo` and tests.
//!
//! It serves a private root zone, signed with Ed25519 under a trust anchor of its own, and the
//! zones that it is given, each delegated from the nearest zone above. Records, faults and
//! disturbances change while it runs. It answers for its own zones only and listens on
//! 127.0.0.1 only; a [`StubResolver`](super::StubResolver) can use it as its one server.

mod handler;
mod zone;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::dnssec::DnsSecError;
use hickory_proto::rr::{LowerName, Name, RData};
use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};

use self::handler::{Handler, Views};
use self::zone::Zone;
use super::config::{AnchorSource, DnsConfig, Mode, Servers};
use super::resolver::QueryName;

pub use self::zone::{Security, ZoneSpec};

/// Idle time after which a TCP connection is closed.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// Answers that may wait on one TCP connection.
const TCP_ANSWERS: usize = 16;

/// What goes wrong on purpose when a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// The answer is SERVFAIL.
    ServFail,
    /// The answer is REFUSED.
    Refused,
    /// The answer is empty and not authoritative, as from a server that does not have the zone.
    Lame,
    /// The answer comes this much later.
    Delay(Duration),
    /// No answer comes.
    Drop,
}

/// Why the server could not start or change.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The loopback sockets cannot be opened.
    #[error("cannot listen on loopback: {0}")]
    Listen(#[from] std::io::Error),
    /// A name or record cannot be encoded.
    #[error("cannot encode a DNS record: {0}")]
    Encode(#[from] ProtoError),
    /// A zone cannot be signed.
    #[error("cannot sign a DNS zone: {0}")]
    Sign(#[from] DnsSecError),
    /// A zone cannot be put together, as with a CNAME beside other records.
    #[error("cannot build a DNS zone: {0}")]
    Zone(String),
    /// No zone of this server holds the name.
    #[error("no zone here holds the name {0}")]
    Elsewhere(String),
}

/// A running server; it stops when dropped.
pub struct Authority {
    state: Mutex<State>,
    shared: Arc<Shared>,
    address: SocketAddr,
    anchors: String,
    _server: Server<Handler>,
}

/// The zones, the nearest to a name found by its labels.
struct State {
    zones: BTreeMap<LowerName, Zone>,
}

/// What the handler reads for each question.
struct Shared {
    views: RwLock<Arc<Views>>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    disturbances: HashMap<LowerName, Disturbance>,
    asked: HashMap<LowerName, usize>,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority {
    /// Starts a server for a fresh private root and the given zones; parents need not come first.
    pub async fn start(specs: &[ZoneSpec]) -> Result<Self, AuthorityError> {
        Self::serve(specs, bind().await?)
    }

    /// Starts a second server at another loopback address and the same port, with zones and keys of its own: a secondary that
    /// need not say the same.
    pub async fn start_beside(
        &self,
        address: Ipv4Addr,
        specs: &[ZoneSpec],
    ) -> Result<Self, AuthorityError> {
        if !address.is_loopback() {
            return Err(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable).into());
        }
        let at = (address, self.address.port());
        Self::serve(specs, (UdpSocket::bind(at).await?, TcpListener::bind(at).await?))
    }

    fn serve(
        specs: &[ZoneSpec],
        (udp, tcp): (UdpSocket, TcpListener),
    ) -> Result<Self, AuthorityError> {
        let root = Zone::root()?;
        let anchors = root.anchor()?;
        let mut zones = BTreeMap::new();
        zones.insert(root.origin(), root);
        for spec in specs {
            let zone = Zone::new(spec)?;
            zones.insert(zone.origin(), zone);
        }
        let state = State { zones };
        let views = RwLock::new(Arc::new(Views::build(&state.zones)?));
        let shared = Arc::new(Shared { views, log: Mutex::default() });

        let address = udp.local_addr()?;
        let mut server = Server::new(Handler::new(shared.clone()));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS);
        Ok(Self { state: Mutex::new(state), shared, address, anchors, _server: server })
    }

    /// Where the server listens, on UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The trust anchor of the private root: a DNSKEY record in zone-file format.
    #[must_use]
    pub fn anchors(&self) -> &str {
        &self.anchors
    }

    /// Settings of a resolver that asks this server only and validates under its root.
    #[must_use]
    pub fn config(&self) -> DnsConfig {
        DnsConfig {
            servers: Servers::Listed(vec![self.address]),
            mode: Mode::Validate { anchors: AnchorSource::Text(self.anchors.clone()) },
            ..DnsConfig::default()
        }
    }

    /// Publishes these TXT records at `name` in place of those there; a record longer than 255
    /// octets is cut into strings.
    pub fn set_txt(&self, name: &QueryName, records: &[&[u8]]) -> Result<(), AuthorityError> {
        let records = records.iter().map(|r| zone::txt(r)).collect();
        self.replace(name.as_str(), records)
    }

    /// Publishes one more TXT record at `name`.
    pub fn add_txt(&self, name: &QueryName, record: &[u8]) -> Result<(), AuthorityError> {
        let name = absolute(name.as_str())?;
        self.change(&name, |zone| zone.add(name.clone(), zone::txt(record)))
    }

    /// Publishes these TXT records for every name below `parent` that does not exist.
    pub fn set_wildcard_txt(
        &self,
        parent: &QueryName,
        records: &[&[u8]],
    ) -> Result<(), AuthorityError> {
        let records = records.iter().map(|r| zone::txt(r)).collect();
        self.replace(&format!("*.{parent}"), records)
    }

    /// Makes `name` an alias of `target` in place of the records there.
    pub fn set_cname(&self, name: &QueryName, target: &QueryName) -> Result<(), AuthorityError> {
        let target = absolute(target.as_str())?;
        self.replace(name.as_str(), vec![zone::cname(target)])
    }

    /// Publishes these hosts as the mail exchangers of `name` in place of the records there.
    pub fn set_mx(&self, name: &QueryName, hosts: &[(u16, &str)]) -> Result<(), AuthorityError> {
        let mut records = Vec::new();
        for (preference, host) in hosts {
            records.push(zone::mx(*preference, absolute(host)?));
        }
        self.replace(name.as_str(), records)
    }

    /// Publishes these addresses of a host in place of the records there.
    pub fn set_addresses(
        &self,
        name: &QueryName,
        addresses: &[IpAddr],
    ) -> Result<(), AuthorityError> {
        self.replace(name.as_str(), addresses.iter().map(|a| zone::address(*a)).collect())
    }

    /// Names these hosts as the servers of the zone `origin`, whose own name for it is `ns.` before the zone.
    pub fn set_servers(&self, origin: &QueryName, hosts: &[&str]) -> Result<(), AuthorityError> {
        let hosts: Result<Vec<Name>, ProtoError> = hosts.iter().map(|h| absolute(h)).collect();
        let (hosts, origin) = (hosts?, absolute(origin.as_str())?);
        self.change(&origin, |zone| zone.set_servers(hosts))
    }

    /// Gives the zone another serial; signing adds one to it.
    pub fn set_serial(&self, origin: &QueryName, serial: u32) -> Result<(), AuthorityError> {
        let origin = absolute(origin.as_str())?;
        self.change(&origin, |zone| zone.set_serial(serial))
    }

    /// Takes all records of `name` that were published here away.
    pub fn remove(&self, name: &QueryName) -> Result<(), AuthorityError> {
        self.replace(name.as_str(), Vec::new())
    }

    /// Changes how a zone is signed; its keys stay.
    pub fn set_security(
        &self,
        origin: &QueryName,
        security: Security,
    ) -> Result<(), AuthorityError> {
        let origin = absolute(origin.as_str())?;
        self.change(&origin, |zone| zone.set_security(security))
    }

    /// Disturbs every answer about exactly this name, or with `None` no longer.
    pub fn disturb(
        &self,
        name: &QueryName,
        disturbance: Option<Disturbance>,
    ) -> Result<(), AuthorityError> {
        let name = LowerName::from(absolute(name.as_str())?);
        let mut log = self.shared.log();
        match disturbance {
            Some(disturbance) => log.disturbances.insert(name, disturbance),
            None => log.disturbances.remove(&name),
        };
        Ok(())
    }

    /// How many questions for TXT records of `name` have arrived, on UDP and TCP together.
    pub fn asked(&self, name: &QueryName) -> Result<usize, AuthorityError> {
        let name = LowerName::from(absolute(name.as_str())?);
        Ok(self.shared.log().asked.get(&name).copied().unwrap_or(0))
    }

    fn replace(&self, name: &str, records: Vec<RData>) -> Result<(), AuthorityError> {
        let name = absolute(name)?;
        self.change(&name, |zone| {
            zone.clear(&name);
            for record in records {
                zone.add(name.clone(), record);
            }
        })
    }

    /// Changes the zone that holds `name` and publishes all zones anew; on an error the old ones
    /// stay published.
    fn change(&self, name: &Name, change: impl FnOnce(&mut Zone)) -> Result<(), AuthorityError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = handler::enclosing(&state.zones, &LowerName::from(name), false)
            .cloned()
            .ok_or_else(|| AuthorityError::Elsewhere(name.to_string()))?;
        let mut zones = state.zones.clone();
        if let Some(zone) = zones.get_mut(&holder) {
            change(zone);
        }
        let views = Arc::new(Views::build(&zones)?);
        state.zones = zones;
        *self.shared.views.write().unwrap_or_else(PoisonError::into_inner) = views;
        Ok(())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("address", &self.address).finish_non_exhaustive()
    }
}

/// One port for both transports.
async fn bind() -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..32 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

fn absolute(name: &str) -> Result<Name, ProtoError> {
    let mut name = Name::from_ascii(name)?;
    name.set_fqdn(true);
    Ok(name)
}
