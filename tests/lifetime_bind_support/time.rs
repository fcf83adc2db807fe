//! Virtual time, which goes on when both gateways have done what is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mta_seal::gateway::Clock;
use tokio::sync::watch;

/// The time of the whole world, Unix seconds.
pub struct Time {
    now: watch::Sender<u64>,
    begun: (Instant, u64),
}

impl Time {
    pub fn new(now: u64) -> Arc<Self> {
        Arc::new(Self { now: watch::Sender::new(now), begun: (Instant::now(), now) })
    }

    pub fn now(&self) -> u64 {
        *self.now.borrow()
    }

    pub fn set(&self, now: u64) {
        self.now.send_replace(now);
    }

    /// The same for the cache of a resolver.
    pub fn of_caches(self: &Arc<Self>) -> mta_seal::dns::Clock {
        let time = Arc::clone(self);
        let (instant, at) = self.begun;
        Arc::new(move || instant + Duration::from_secs(time.now() - at))
    }
}

/// The clock of one gateway, which also tells when there is nothing more to do.
pub struct NodeClock {
    time: Arc<Time>,
    /// Until when the gateway waits; none: it is at work.
    rest: watch::Sender<Option<u64>>,
}

impl NodeClock {
    pub fn new(time: &Arc<Time>) -> Arc<Self> {
        Arc::new(Self { time: Arc::clone(time), rest: watch::Sender::new(None) })
    }

    /// Waits until the gateway waits for a later time than now.
    pub async fn at_rest(&self) {
        let now = self.time.now();
        let mut rest = self.rest.subscribe();
        let waits = rest.wait_for(|until| until.is_some_and(|until| until > now));
        let limit = tokio::time::timeout(Duration::from_secs(120), waits);
        limit.await.expect("the gateway does not come to rest").unwrap();
    }
}

impl Clock for NodeClock {
    fn now(&self) -> u64 {
        self.time.now()
    }

    fn until(&self, at: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let mut now = self.time.now.subscribe();
            self.rest.send_replace(Some(at));
            let _up = Up(&self.rest);
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }
}

/// Ends a rest.
struct Up<'a>(&'a watch::Sender<Option<u64>>);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}
