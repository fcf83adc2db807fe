//! Accepting connections, within limits, until the gateway stops.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Time to write the refusal to a client beyond the limits.
const REFUSAL: Duration = Duration::from_secs(1);

/// Pause after an error of `accept`, such as no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How many connections a listener serves at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// In all.
    pub(super) total: usize,
    /// From one address.
    pub(super) per_client: usize,
}

/// The places that are taken, in all and by client address.
#[derive(Debug)]
pub(super) struct Places {
    total: Arc<Semaphore>,
    per_client: usize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// A place that a connection holds until it ends.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            total: Arc::new(Semaphore::new(limits.total)),
            per_client: limits.per_client,
            clients: Mutex::default(),
        })
    }

    fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = clients.entry(client).or_insert(0);
        if *taken >= self.per_client {
            return None;
        }
        *taken += 1;
        drop(clients);
        Some(Place { places: Arc::clone(self), client, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.places.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = clients.get_mut(&self.client) {
            *taken -= 1;
            if *taken == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Accepts until `stop` is cancelled; each connection becomes a task of `tasks`.
///
/// A connection beyond the limits is answered 421 and closed, so that the client's queue tries again later.
pub(super) async fn accept<F, S>(
    listener: TcpListener,
    places: Arc<Places>,
    tasks: TaskTracker,
    stop: CancellationToken,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
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
            tasks.spawn(refuse(stream));
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

async fn refuse(mut stream: TcpStream) {
    let line = b"421 4.3.2 too many connections, try again later\r\n";
    // The client may be gone or not reading; either way it is closed.
    let _ = tokio::time::timeout(REFUSAL, stream.write_all(line)).await;
}
