//! What is learned of a domain after its mail was sealed from memory, because DNS took long [R-dec-06].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::core::Domain;

/// Most domains that are heard out at once. More learn with a later message.
const MOST: usize = 256;

/// The domains that are being heard out, each by one task. It outlives configurations and ends with the gateway.
pub(super) struct Aftermath {
    underway: Mutex<HashSet<Domain>>,
    /// What a stop of the gateway waits for.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Aftermath {
    /// With the tasks that a stop of the gateway waits for, which `stop` ends.
    pub(super) fn new(tasks: TaskTracker, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { underway: Mutex::default(), tasks, stop })
    }

    /// Does `work` about `domain` beside the mail path, unless such work is under way or there is too much of it.
    pub(super) fn spawn<W>(self: &Arc<Self>, domain: &Domain, work: W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let Some(place) = self.place(domain) else { return };
        let stop = self.stop.clone();
        let work = async move {
            let _place = place;
            stop.run_until_cancelled(work).await;
        };
        self.tasks.spawn(work.in_current_span());
    }

    fn place(self: &Arc<Self>, domain: &Domain) -> Option<Place> {
        let mut underway = self.lock();
        let free = underway.len() < MOST && underway.insert(domain.clone());
        free.then(|| Place { of: Arc::clone(self), domain: domain.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Domain>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a domain is heard out.
struct Place {
    of: Arc<Aftermath>,
    domain: Domain,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.lock().remove(&self.domain);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn one_task_for_a_domain_no_more_than_the_bound_and_none_after_a_stop() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let aftermath = Aftermath::new(tasks.clone(), stop.clone());
        for n in 0..2 * MOST {
            let domain = Domain::parse(&format!("{n}.example")).unwrap();
            aftermath.spawn(&domain, std::future::pending());
            aftermath.spawn(&domain, std::future::pending());
            assert_eq!(tasks.len(), (n + 1).min(MOST));
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        assert!(aftermath.lock().is_empty());
    }
}
