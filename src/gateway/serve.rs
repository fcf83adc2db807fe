//! The life of a gateway: from its parts to open listeners, through changes of its configuration, until it is stopped.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::aftermath::Aftermath;
use super::alarms::{self, Alarms};
use super::attempts::Attempts;
use super::audit::{self, Signing};
use super::booking::Underway;
use super::config::Config;
use super::delay;
use super::failure::Failure;
use super::generation::{Current, Foundation, Generation, Hops, Side};
use super::listener::{ConnectionLimits, Listeners, Places, Which, accept};
use super::local::LocalKeys;
use super::metrics::{self, Metrics};
use super::parts::{Parts, Settings, StartError, refuse_lost_partners};
use super::rotation::{Agreement, Asked, Authoritative, MAX_VISITS, Means, Rotation};
use super::session::{self, Direction};
use super::{housekeeping, outbox};
use crate::core::Domain;
use crate::dns::Resolver;
use crate::smtp::server::{ServerConnection, SessionError};
use crate::store::ledger::EventKind;

/// How long a stop waits for the ledger to take the last alarms.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Readers of metrics at once.
const METRICS_LIMITS: ConnectionLimits =
    ConnectionLimits { total: 16, strangers: 16, per_stranger: 16, own: Vec::new() };

/// A running gateway.
pub struct Gateway {
    foundation: Foundation,
    current: Current,
    listeners: Listeners,
    outbound: Vec<SocketAddr>,
    inbound: Vec<SocketAddr>,
    metrics: Vec<SocketAddr>,
    outbound_places: Arc<Places>,
    inbound_places: Arc<Places>,
    metrics_places: Arc<Places>,
    /// Has the keys looked at anew.
    rotation: Arc<Notify>,
    agreement: Agreement,
    authority_port: u16,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Gateway {
    /// Opens the listeners and serves them in the background.
    ///
    /// # Errors
    ///
    /// The file of partners is lost, a certificate cannot be used or a listener cannot be opened.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { config, domains, ledger, resolver, clock, authority_port } = parts;
        refuse_lost_partners(&config, &*ledger).await?;
        let agreement = Agreement::default();
        let agreement =
            agreed(&agreement, &config, &domains, &resolver, authority_port, clock.now()).await?;
        let outbox = Arc::default();
        let waiting = Arc::default();
        let attempts = Arc::new(Attempts::start(
            Arc::clone(&ledger),
            Arc::clone(&clock),
            Arc::clone(&waiting),
        ));
        let tasks = TaskTracker::new();
        let underway = Underway::new(tasks.clone());
        let metrics = Metrics::new();
        let alarms = Alarms::new(Arc::clone(&ledger), Arc::clone(&clock), Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let aftermath = Aftermath::new(tasks.clone(), stop.clone());
        let foundation =
            Foundation { ledger, clock, underway, outbox, attempts, alarms, aftermath, metrics };
        let generation = Generation::new(&foundation, config, domains, resolver, Hops::default())?;
        let mut listeners = Listeners::default();
        let plan = listeners.plan(&wanted(generation.config())).await?;
        let config = generation.config();
        let outbound_places = Places::new(outbound_limits(config));
        let inbound_places = Places::new(inbound_limits(config));
        let current = Arc::new(ArcSwap::from_pointee(generation));
        listeners.halt_moved(&plan).await;
        let mut gateway = Self {
            foundation,
            current,
            listeners,
            outbound: Vec::new(),
            inbound: Vec::new(),
            metrics: Vec::new(),
            outbound_places,
            inbound_places,
            metrics_places: Places::new(METRICS_LIMITS),
            rotation: Arc::default(),
            agreement,
            authority_port,
            stop,
            tasks,
        };
        gateway.listen(plan);
        let (stop, tasks) = (gateway.stop.clone(), &gateway.tasks);
        let bell = Arc::clone(&gateway.foundation.outbox);
        tasks.spawn(outbox::run(Arc::clone(&gateway.current), bell, stop.clone()));
        tasks.spawn(delay::run(Arc::clone(&gateway.current), waiting, stop.clone()));
        let Foundation { ledger, clock, alarms, .. } = &gateway.foundation;
        let means = Means {
            current: Arc::clone(&gateway.current),
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            alarms: Arc::clone(alarms),
            port: authority_port,
            places: Semaphore::new(MAX_VISITS),
        };
        let rotation = Rotation { means, bell: Arc::clone(&gateway.rotation) };
        tasks.spawn(rotation.run(stop.clone()));
        tasks.spawn(alarms::run(Arc::clone(alarms), stop.clone()));
        let signing = Signing {
            current: Arc::clone(&gateway.current),
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
        };
        // Its first signature is over the start.
        let started = audit::life(EventKind::Started, clock.now());
        if let Err(error) = ledger.record_events(&[started]).await {
            warn!(%error, "the start could not be put into the audit trail");
        }
        tasks.spawn(signing.run(stop.clone()));
        let current = Arc::clone(&gateway.current);
        tasks.spawn(housekeeping::run(current, Arc::clone(ledger), Arc::clone(clock), stop));
        Ok(gateway)
    }

    /// Puts another configuration into force, as a whole. Open transactions end under the one they began with; ledger,
    /// connections and listeners whose address stays are kept.
    ///
    /// # Errors
    ///
    /// Something in the new configuration cannot be used: then nothing has changed.
    pub async fn reload(&mut self, settings: Settings) -> Result<(), StartError> {
        let Settings { config, domains, resolver, same_next_hops } = settings;
        let old = self.current.load_full();
        if config.state != old.config().state {
            let (from, to) = (old.config().state.clone(), config.state);
            return Err(StartError::StateMoved { from, to });
        }
        refuse_lost_partners(&config, &*self.foundation.ledger).await?;
        let resolver = resolver.unwrap_or_else(|| Arc::clone(&old.resolver));
        let (port, now) = (self.authority_port, self.foundation.clock.now());
        let agreement = agreed(&self.agreement, &config, &domains, &resolver, port, now).await?;
        let hops = if same_next_hops { old.hops() } else { Hops::default() };
        let generation = Generation::new(&self.foundation, config, domains, resolver, hops)?;
        let plan = self.listeners.plan(&wanted(generation.config())).await?;
        // From here on nothing can fail.
        self.agreement = agreement;
        self.listeners.halt_moved(&plan).await;
        let config = generation.config();
        self.outbound_places.limit(outbound_limits(config));
        self.inbound_places.limit(inbound_limits(config));
        self.current.store(Arc::new(generation));
        self.listen(plan);
        // What lies in the outbox may have a way now.
        self.foundation.outbox.notify_one();
        self.rotation.notify_one();
        Ok(())
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.current.load().config().clone()
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

    /// Addresses where the counters are read.
    #[must_use]
    pub fn metrics(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// Closes the listeners, lets open transactions finish for a while, and returns when everything has ended or the
    /// configured time is over. `false`: something was cut off, which its sender will try again.
    pub async fn stop(self) -> bool {
        let patience = self.current.load().config().timeouts.shutdown;
        self.stop.cancel();
        self.tasks.close();
        let orderly = tokio::time::timeout(patience, self.tasks.wait()).await.is_ok();
        let Foundation { ledger, clock, alarms, attempts, .. } = &self.foundation;
        let last = async {
            alarms.flush().await;
            attempts.flush().await;
            let stopped = audit::life(EventKind::Stopped, clock.now());
            if let Err(error) = ledger.record_events(&[stopped]).await {
                warn!(%error, "the stop could not be put into the audit trail");
            }
            audit::sign_last(&self.current, ledger, clock.now()).await;
        };
        if tokio::time::timeout(LAST_WRITE, last).await.is_err() {
            warn!("the ledger did not take the last alarms and events");
        }
        orderly
    }

    /// Serves the listeners of `plan` and closes all others.
    fn listen(&mut self, plan: super::listener::Plan) {
        let sealing = Side { current: Arc::clone(&self.current), of: |g| g.outbound.as_ref() };
        let unsealing = Side { current: Arc::clone(&self.current), of: |g| g.inbound.as_ref() };
        let (tasks, stop) = (&self.tasks, &self.stop);
        self.listeners.carry_out(plan, |which, socket, halt| match which {
            Which::Outbound => {
                let serve = serve(sealing.clone(), stop.clone());
                let places = Arc::clone(&self.outbound_places);
                tasks.spawn(accept(which, socket, places, tasks.clone(), halt, stop.clone(), serve))
            }
            Which::Inbound => {
                let serve = serve(unsealing.clone(), stop.clone());
                let places = Arc::clone(&self.inbound_places);
                tasks.spawn(accept(which, socket, places, tasks.clone(), halt, stop.clone(), serve))
            }
            Which::Metrics => {
                let Foundation { ledger, metrics, .. } = &self.foundation;
                let (ledger, metrics) = (Arc::clone(ledger), Arc::clone(metrics));
                let serve = move |stream, _| {
                    metrics::serve(Arc::clone(&metrics), Arc::clone(&ledger), stream)
                };
                let places = Arc::clone(&self.metrics_places);
                tasks.spawn(accept(which, socket, places, tasks.clone(), halt, stop.clone(), serve))
            }
        });
        self.outbound = self.listeners.addresses(Which::Outbound);
        self.inbound = self.listeners.addresses(Which::Inbound);
        self.metrics = self.listeners.addresses(Which::Metrics);
    }
}

/// Refuses keys that are others than those `before` and not those of a published policy, as far as its name servers say in time which
/// that is.
async fn agreed(
    before: &Agreement,
    config: &Config,
    domains: &HashMap<Domain, LocalKeys>,
    resolver: &Arc<dyn Resolver>,
    port: u16,
    now: u64,
) -> Result<Agreement, StartError> {
    let all: Vec<Asked<'_>> = config
        .domains
        .iter()
        .filter_map(|local| {
            let (domain, at) = (&local.name, local.records_under());
            Some(Asked { domain, at, keys: domains.get(domain)? })
        })
        .collect();
    let servers = Arc::new(Authoritative::new(Arc::clone(resolver), port));
    let agreed = before.with(&all, now, servers).await;
    agreed.map_err(|(domain, error)| StartError::Published { domain, error })
}

fn wanted(config: &Config) -> Vec<(Which, SocketAddr)> {
    let outbound = config.outbound.iter().flat_map(|table| &table.listen);
    let inbound = config.inbound.iter().flat_map(|table| &table.listen);
    let outbound = outbound.map(|address| (Which::Outbound, *address));
    let metrics = config.metrics.iter().map(|table| (Which::Metrics, table.listen));
    outbound.chain(inbound.map(|address| (Which::Inbound, *address))).chain(metrics).collect()
}

/// Our own few MTAs may use all there is; those in ranges that strangers share leave half of it to them. A proxy of ours
/// brings the mail of many clients from one address.
fn outbound_limits(config: &Config) -> ConnectionLimits {
    let total = config.limits.connections;
    let table = config.outbound.iter();
    let own = table.flat_map(|table| [&table.clients, &table.xforward, &table.xclient]).flatten();
    ConnectionLimits {
        total,
        strangers: (total / 2).max(1),
        per_stranger: config.limits.connections_per_client,
        own: own.copied().collect(),
    }
}

/// The edge that may say whom it speaks for brings the mail of the whole world.
fn inbound_limits(config: &Config) -> ConnectionLimits {
    let total = config.limits.connections;
    let per_stranger = config.limits.connections_per_client;
    let table = config.inbound.iter();
    let own = table.flat_map(|table| [&table.xforward, &table.xclient]).flatten().copied();
    ConnectionLimits { total, strangers: total, per_stranger, own: own.collect() }
}

/// What is done with each connection of a listener.
fn serve<D: Direction>(
    side: Side<D>,
    stop: CancellationToken,
) -> impl Fn(TcpStream, SocketAddr) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    move |stream, peer| Box::pin(connection(side.clone(), stop.clone(), stream, peer))
}

async fn connection<D: Direction>(
    side: Side<D>,
    stop: CancellationToken,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // Without a service the listener is about to close.
    let Some(service) = side.service() else { return };
    let connection = ServerConnection::new(stream, Arc::clone(service.options_for(peer.ip())));
    let (address, protocol) = (peer.ip(), service.options.protocol);
    let result = if service.direction.admits(address) {
        let next = || side.next(address, protocol);
        session::serve(service, next, connection, address, &stop).await
    } else {
        warn!(client = %address, "client is neither in outbound.clients nor in a shared range");
        connection.close_with(&Failure::SenderNotAllowed.reply()).await
    };
    match result {
        Ok(()) | Err(SessionError::Closed) => {}
        Err(error) => debug!(client = %address, %error, "connection ended"),
    }
}
