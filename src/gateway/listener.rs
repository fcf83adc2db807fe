//! Accepting connections, within limits, until the gateway stops.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::config::Network;
use super::parts::StartError;

/// Time to write the refusal to a client beyond the limits.
const REFUSAL: Duration = Duration::from_secs(1);

/// Pause after an error of `accept`, such as no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How many connections a listener serves at once.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    /// In all.
    pub(super) total: usize,
    /// From addresses that are not our own.
    pub(super) strangers: usize,
    /// From one such address.
    pub(super) per_stranger: usize,
    /// Our own addresses.
    pub(super) own: Vec<Network>,
}

/// The places that are taken, in all and by client address. They stay counted when the limits change.
#[derive(Debug)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug)]
struct Taken {
    limits: ConnectionLimits,
    total: usize,
    strangers: usize,
    clients: HashMap<IpAddr, usize>,
}

/// A place that a connection holds until it ends.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    client: IpAddr,
    stranger: bool,
}

impl Places {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Taken {
            limits,
            total: 0,
            strangers: 0,
            clients: HashMap::new(),
        })))
    }

    /// Sets other limits; connections beyond them stay, and no more come.
    pub(super) fn limit(&self, limits: ConnectionLimits) {
        self.lock().limits = limits;
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        let limits = &taken.limits;
        let stranger = !limits.own.iter().any(|range| range.contains(client));
        let of_client = taken.clients.get(&client).copied().unwrap_or(0);
        let crowded = taken.strangers >= limits.strangers || of_client >= limits.per_stranger;
        if taken.total >= limits.total || (stranger && crowded) {
            return None;
        }
        taken.total += 1;
        taken.strangers += usize::from(stranger);
        taken.clients.insert(client, of_client + 1);
        drop(taken);
        Some(Place { places: Arc::clone(self), client, stranger })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total = taken.total.saturating_sub(1);
        taken.strangers = taken.strangers.saturating_sub(usize::from(self.stranger));
        if let Some(of_client) = taken.clients.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                taken.clients.remove(&self.client);
            }
        }
    }
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Outbound,
    Inbound,
    /// Whoever reads the counters.
    Metrics,
}

impl Which {
    /// What a client beyond the limits is told.
    const fn refusal(self) -> &'static [u8] {
        match self {
            Self::Outbound | Self::Inbound => {
                b"421 4.3.2 too many connections, try again later\r\n"
            }
            Self::Metrics => b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n",
        }
    }
}

/// A listener that is served.
struct Open {
    which: Which,
    /// The address in the configuration, whose port may be 0.
    configured: SocketAddr,
    socket: Arc<TcpListener>,
    local: SocketAddr,
    halt: CancellationToken,
    task: JoinHandle<()>,
}

impl Open {
    /// Whether `address` of a configuration is this listener. Port 0 stays whatever port it has become.
    fn serves(&self, address: SocketAddr) -> bool {
        self.configured == address || self.local == address
    }
}

/// The listeners that are served.
#[derive(Default)]
pub(super) struct Listeners(Vec<Open>);

/// The listeners that are to be served, all of them bound.
pub(super) struct Plan(Vec<Planned>);

struct Planned {
    which: Which,
    configured: SocketAddr,
    source: Source,
}

enum Source {
    /// Stays as it is: its place among those that are served.
    Kept(usize),
    /// The socket changes sides.
    Moved(usize),
    /// Bound anew.
    New { socket: Arc<TcpListener>, local: SocketAddr },
}

impl Listeners {
    /// Binds what is not bound yet. Nothing that is served changes.
    pub(super) async fn plan(&self, wanted: &[(Which, SocketAddr)]) -> Result<Plan, StartError> {
        let mut free: Vec<bool> = vec![true; self.0.len()];
        let mut take = |fits: &dyn Fn(&Open) -> bool| {
            let at = (0..self.0.len()).find(|&at| free[at] && fits(&self.0[at]))?;
            free[at] = false;
            Some(at)
        };
        let same: Vec<Option<usize>> = wanted
            .iter()
            .map(|(which, address)| take(&|open| open.which == *which && open.serves(*address)))
            .collect();
        let mut plan = Vec::with_capacity(wanted.len());
        for (&(which, configured), kept) in wanted.iter().zip(same) {
            let moved = |open: &Open| configured.port() != 0 && open.serves(configured);
            let source = if let Some(at) = kept {
                Source::Kept(at)
            } else if let Some(at) = take(&moved) {
                Source::Moved(at)
            } else {
                let failed = |error| StartError::Listen { address: configured, error };
                let socket = TcpListener::bind(configured).await.map_err(failed)?;
                let local = socket.local_addr().map_err(failed)?;
                Source::New { socket: Arc::new(socket), local }
            };
            plan.push(Planned { which, configured, source });
        }
        Ok(Plan(plan))
    }

    /// Waits until nobody accepts any more at a socket that changes sides: a connection must not get the wrong one.
    pub(super) async fn halt_moved(&mut self, plan: &Plan) {
        for planned in &plan.0 {
            if let Source::Moved(at) = planned.source
                && let Some(open) = self.0.get_mut(at)
            {
                open.halt.cancel();
                // A task that has panicked does not accept either.
                let _ = (&mut open.task).await;
            }
        }
    }

    /// Starts what is new by `start`, and closes what the plan does not name.
    pub(super) fn carry_out(
        &mut self,
        plan: Plan,
        start: impl Fn(Which, Arc<TcpListener>, CancellationToken) -> JoinHandle<()>,
    ) {
        let mut before: Vec<Option<Open>> =
            std::mem::take(&mut self.0).into_iter().map(Some).collect();
        let mut open = |Planned { which, configured, source }: Planned| {
            let (socket, local) = match source {
                Source::Kept(at) => {
                    let open = before.get_mut(at)?.take()?;
                    return Some(Open { configured, ..open });
                }
                Source::Moved(at) => {
                    let open = before.get_mut(at)?.take()?;
                    (open.socket, open.local)
                }
                Source::New { socket, local } => (socket, local),
            };
            let halt = CancellationToken::new();
            let task = start(which, Arc::clone(&socket), halt.clone());
            Some(Open { which, configured, socket, local, halt, task })
        };
        self.0 = plan.0.into_iter().filter_map(&mut open).collect();
        for gone in before.into_iter().flatten() {
            info!(address = %gone.local, "listener closed");
            gone.halt.cancel();
        }
    }

    /// The addresses of one side, with their real ports.
    pub(super) fn addresses(&self, which: Which) -> Vec<SocketAddr> {
        self.0.iter().filter(|open| open.which == which).map(|open| open.local).collect()
    }
}

/// Accepts until `halt` or `stop` is cancelled; each connection becomes a task of `tasks`.
///
/// A connection beyond the limits is refused and closed, so that the client's queue tries again later.
pub(super) async fn accept<F, S>(
    which: Which,
    listener: Arc<TcpListener>,
    places: Arc<Places>,
    tasks: TaskTracker,
    halt: CancellationToken,
    stop: CancellationToken,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = halt.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client is gone already: neither ends the listener.
                warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take(address.ip()) else {
            debug!(client = %address.ip(), "connection limit reached");
            tasks.spawn(refuse(stream, which.refusal()));
            continue;
        };
        // Replies are small and each is waited for.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "no TCP_NODELAY");
        }
        let session = serve(stream, address);
        tasks.spawn(async move {
            session.await;
            drop(place);
        });
    }
}

async fn refuse(mut stream: TcpStream, line: &'static [u8]) {
    // The client may be gone or not reading; either way it is closed.
    let _ = tokio::time::timeout(REFUSAL, stream.write_all(line)).await;
}
