//! The life of a gateway: from its parts to open listeners, until it is stopped.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::Shared;
use super::attempts::Attempts;
use super::clock::{Clock, SystemClock};
use super::config::{self, Config, Network, NextHop, Recipients};
use super::delay;
use super::discovery::Discovery;
use super::failure::Failure;
use super::hop::Hop;
use super::inbound::Inbound;
use super::listener::{ConnectionLimits, Places, accept};
use super::local::{LocalKeys, LocalKeysError};
use super::outbound::Outbound;
use super::outbox;
use super::session::{self, Direction};
use crate::core::Domain;
use crate::dns::{ConfigError as DnsError, Resolver, StubResolver};
use crate::smtp::Protocol;
use crate::smtp::client::ClientOptions;
use crate::smtp::server::{ServerConnection, ServerOptions, SessionError};
use crate::smtp::tls::TlsError;
use crate::store::ledger::{self, LedgerError, SharedLedger, SqliteLedger};

/// Name of the ledger in the state directory.
pub const LEDGER_FILE: &str = "ledger.sqlite";

/// How often what has expired is deleted from the ledger.
const EXPIRE: Duration = Duration::from_secs(300);

/// Most rows of each kind deleted in one go.
const EXPIRE_ROWS: usize = 500;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be made.
    #[error("state directory {path}: {error}")]
    State {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The ledger cannot be opened.
    #[error("ledger {path}: {error}")]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why.
        error: LedgerError,
    },
    /// The keys of a domain cannot be used.
    #[error("keys of {domain}: {error}")]
    Keys {
        /// The domain.
        domain: Domain,
        /// Why.
        error: LocalKeysError,
    },
    /// DNS cannot be set up.
    #[error("dns: {0}")]
    Dns(#[from] DnsError),
    /// TLS of a listener or next hop cannot be set up.
    #[error("tls of {place}: {error}")]
    Tls {
        /// The table of the configuration.
        place: &'static str,
        /// Why.
        error: TlsError,
    },
    /// A listener cannot be opened.
    #[error("listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
}

/// What a gateway is made of. [`Parts::from_config`] makes the real ones; tests and the demo bring their own.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The keys of each local domain.
    pub domains: HashMap<Domain, LocalKeys>,
    /// The ledger.
    pub ledger: SharedLedger,
    /// The resolver.
    pub resolver: Arc<dyn Resolver>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Parts {
    /// Opens ledger, keyrings and resolver as the configuration says. Blocks while it reads files.
    pub fn from_config(config: Config) -> Result<Self, StartError> {
        let clock = SystemClock;
        let mut domains = HashMap::new();
        for local in &config.domains {
            let domain = local.name.clone();
            let keys = LocalKeys::load(&local.keys, &domain)
                .map_err(|error| StartError::Keys { domain: domain.clone(), error })?;
            domains.insert(domain, keys);
        }
        let resolver = Arc::new(StubResolver::new(&config.dns)?);
        std::fs::create_dir_all(&config.state)
            .map_err(|error| StartError::State { path: config.state.clone(), error })?;
        let path = config.state.join(LEDGER_FILE);
        let ledger = SqliteLedger::open(&path, &ledger::Options::default(), clock.now())
            .map_err(|error| StartError::Ledger { path, error })?;
        Ok(Self { config, domains, ledger: Arc::new(ledger), resolver, clock: Arc::new(clock) })
    }
}

/// A running gateway.
pub struct Gateway {
    outbound: Vec<SocketAddr>,
    inbound: Vec<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
    patience: Duration,
}

impl Gateway {
    /// Opens the listeners and serves them in the background.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { config, domains, ledger, resolver, clock } = parts;
        let discovery =
            Discovery::new(resolver, Arc::clone(&ledger), Arc::clone(&clock), config.dns.timeout);
        let waiting = Arc::new(tokio::sync::Notify::new());
        let attempts =
            Attempts::start(Arc::clone(&ledger), Arc::clone(&clock), Arc::clone(&waiting));
        let shared = Arc::new(Shared {
            attempts,
            waiting,
            config,
            domains,
            ledger,
            discovery,
            clock,
            outbox: tokio::sync::Notify::new(),
        });
        let config = &shared.config;
        let mut gateway = Self {
            outbound: Vec::new(),
            inbound: Vec::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            patience: config.timeouts.shutdown,
        };
        let mut sealing = None;
        let mut inside_hop = None;
        if let Some(settings) = &config.outbound {
            let hop = next_hop(config, &settings.next_hop, "outbound.next_hop")?;
            let options =
                server_options(config, settings.protocol, settings.tls.as_ref(), "outbound.tls")?;
            let direction = Arc::new(Outbound {
                shared: Arc::clone(&shared),
                hop,
                protocol: settings.protocol,
                domain: settings.domain.clone(),
            });
            let clients = Arc::new(settings.clients.clone());
            gateway.outbound = gateway
                .listen(&shared, &settings.listen, &direction, &options, Some(clients), false)
                .await?;
            sealing = Some(direction);
        }
        if let Some(settings) = &config.inbound {
            let hop = next_hop(config, &settings.next_hop, "inbound.next_hop")?;
            let options =
                server_options(config, settings.protocol, settings.tls.as_ref(), "inbound.tls")?;
            let direction = Arc::new(Inbound {
                shared: Arc::clone(&shared),
                hop: Arc::clone(&hop),
                protocol: settings.protocol,
                deliver_signed: settings.recipients == Recipients::Signed,
            });
            gateway.inbound =
                gateway.listen(&shared, &settings.listen, &direction, &options, None, true).await?;
            inside_hop = Some(hop);
        }
        let stop = gateway.stop.clone();
        let work = outbox::run(Arc::clone(&shared), inside_hop, sealing, stop.clone());
        gateway.tasks.spawn(work);
        if let Some(delay) = shared.config.outbound.as_ref().and_then(|table| table.delay_notice) {
            gateway.tasks.spawn(delay::run(Arc::clone(&shared), delay, stop.clone()));
        }
        gateway.tasks.spawn(expire(Arc::clone(&shared), stop));
        Ok(gateway)
    }

    /// Addresses of the sealing listener.
    #[must_use]
    pub fn outbound(&self) -> &[SocketAddr] {
        &self.outbound
    }

    /// Addresses of the unsealing listener.
    #[must_use]
    pub fn inbound(&self) -> &[SocketAddr] {
        &self.inbound
    }

    /// Closes the listeners, lets open transactions finish for a while, and returns when everything has ended or the
    /// configured time is over. `false`: something was cut off, which its sender will try again.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(self.patience, self.tasks.wait()).await.is_ok()
    }

    async fn listen<D: Direction>(
        &self,
        shared: &Arc<Shared>,
        addresses: &[SocketAddr],
        direction: &Arc<D>,
        options: &Arc<ServerOptions>,
        clients: Option<Arc<Vec<Network>>>,
        bound_clients: bool,
    ) -> Result<Vec<SocketAddr>, StartError> {
        let limits = &shared.config.limits;
        let places = Places::new(ConnectionLimits {
            total: limits.connections,
            per_client: if bound_clients {
                limits.connections_per_client
            } else {
                limits.connections
            },
        });
        let mut bound = Vec::new();
        for &address in addresses {
            let failed = |error| StartError::Listen { address, error };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            bound.push(listener.local_addr().map_err(failed)?);
            let (direction, options, clients) =
                (Arc::clone(direction), Arc::clone(options), clients.clone());
            let stop = self.stop.clone();
            let serve = move |stream, peer| {
                let (direction, options) = (Arc::clone(&direction), Arc::clone(&options));
                connection(direction, options, clients.clone(), stop.clone(), stream, peer)
            };
            let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
            self.tasks.spawn(accept(listener, Arc::clone(&places), tasks, stop, serve));
        }
        Ok(bound)
    }
}

async fn connection<D: Direction>(
    direction: Arc<D>,
    options: Arc<ServerOptions>,
    clients: Option<Arc<Vec<Network>>>,
    stop: CancellationToken,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let connection = ServerConnection::new(stream, options);
    let address = peer.ip();
    let admitted = clients.is_none_or(|list| list.iter().any(|range| range.contains(address)));
    let result = if admitted {
        session::serve(&*direction, connection, address, &stop).await
    } else {
        warn!(client = %address, "client is not among outbound.clients");
        connection.close_with(&Failure::SenderNotAllowed.reply()).await
    };
    match result {
        Ok(()) | Err(SessionError::Closed) => {}
        Err(error) => debug!(client = %address, %error, "connection ended"),
    }
}

fn next_hop(
    config: &Config,
    next_hop: &NextHop,
    place: &'static str,
) -> Result<Arc<Hop>, StartError> {
    let tls = next_hop.client_tls().map_err(|error| StartError::Tls { place, error })?;
    let mut options = ClientOptions::new(next_hop.address.clone(), config.hostname.as_str());
    options.tls = tls;
    options.timeouts = config.timeouts.client();
    Ok(Arc::new(Hop::new(options)))
}

fn server_options(
    config: &Config,
    protocol: Protocol,
    tls: Option<&config::ListenerTls>,
    place: &'static str,
) -> Result<Arc<ServerOptions>, StartError> {
    let mut options = ServerOptions::new(config.hostname.as_str(), protocol);
    options.limits = config.limits.server();
    options.timeouts = config.timeouts.server();
    if let Some(tls) = tls {
        let tls = tls.server_config().map_err(|error| StartError::Tls { place, error })?;
        options.tls = Some(tls);
    }
    Ok(Arc::new(options))
}

/// Deletes what has expired, every few minutes.
async fn expire(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EXPIRE) => {}
        }
        loop {
            match shared.ledger.expire(shared.clock.now(), EXPIRE_ROWS).await {
                Ok(0) => break,
                Ok(gone) => info!(gone, "expired rows deleted from the ledger"),
                Err(error) => {
                    warn!(%error, "ledger could not be tidied");
                    break;
                }
            }
        }
    }
}
