//! The daemon's part: each of its domains has a [`Tender`] of its own, from one reload to another.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::tender::{Means, Tender};
use crate::core::Domain;
use crate::gateway::config::LocalDomain;

/// The rotation of the keys of all local domains.
pub(in crate::gateway) struct Rotation {
    pub(in crate::gateway) means: Means,
    /// Rings when another generation is in force.
    pub(in crate::gateway) bell: Arc<Notify>,
}

/// A tender at work.
struct AtWork {
    local: LocalDomain,
    bell: Arc<Notify>,
    task: AbortOnDropHandle<()>,
}

impl AtWork {
    fn begin(means: &Arc<Means>, local: LocalDomain) -> Self {
        let bell = Arc::new(Notify::new());
        let tender = Tender::new(Arc::clone(means), local.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(tender.run(Arc::clone(&bell))));
        Self { local, bell, task }
    }
}

impl Rotation {
    /// Tends all domains until `stop` is cancelled. None waits for another, and each is visited by one at a time.
    pub(in crate::gateway) async fn run(self, stop: CancellationToken) {
        let means = Arc::new(self.means);
        let mut at_work: HashMap<Domain, AtWork> = HashMap::new();
        loop {
            let locals = means.current.load().config().domains.clone();
            // What the configuration says otherwise now is begun anew, once the former one has ended.
            let other = |at: &AtWork| !locals.contains(&at.local);
            end(at_work.extract_if(|_, at| other(at)).map(|(_, at)| at).collect()).await;
            for local in locals {
                match at_work.get(&local.name) {
                    Some(at) => at.bell.notify_one(),
                    None => {
                        at_work.insert(local.name.clone(), AtWork::begin(&means, local));
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.bell.notified() => {}
            }
        }
        end(at_work.into_values().collect()).await;
    }
}

/// Breaks tenders off, and waits until they have ended; commands that they run are killed. A step on the disk that has begun goes on to its
/// end in its own thread; nothing that was done is lost.
async fn end(tenders: Vec<AtWork>) {
    for tender in &tenders {
        tender.task.abort();
    }
    for tender in tenders {
        // It was cut off or had ended: both are its end.
        let _ = tender.task.await;
    }
}
