//! The ledger kept in order, beside the mail path: what has expired goes, and that the memory of domains is filling up is said while
//! there is time to act. The alarm `memory-full` comes when a domain has not been remembered already [R-alm-01].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::clock::Clock;
use super::config::Audit;
use super::generation::Current;
use crate::store::ledger::{MemoryUse, Scope, SharedLedger};

/// How often it is seen to.
const PERIOD: Duration = Duration::from_secs(300);

/// Most rows of each kind deleted in one go.
const EXPIRE_ROWS: usize = 500;

/// Seconds between two looks at the age of the audit trail: 6 hours.
const PRUNE_PERIOD: u64 = 6 * 3_600;

/// Rows of it deleted in one go, so that mail does not wait for it.
const PRUNE_ROWS: usize = 2_000;

const DAY: u64 = 24 * 3_600;

/// Keeps the ledger until `stop` is cancelled.
pub(super) async fn run(
    current: Current,
    ledger: SharedLedger,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut fullness = Fullness::default();
    let mut pruned = 0;
    loop {
        fullness.look(&ledger).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let now = clock.now();
        expire(&ledger, now).await;
        if now.saturating_sub(pruned) >= PRUNE_PERIOD {
            pruned = now;
            let audit = current.load().config().audit.clone();
            prune(&ledger, &audit, now).await;
        }
    }
}

/// Deletes what has expired.
async fn expire(ledger: &SharedLedger, now: u64) {
    loop {
        match ledger.expire(now, EXPIRE_ROWS).await {
            Ok(0) => return,
            Ok(gone) => info!(gone, "expired rows deleted from the ledger"),
            Err(error) => {
                warn!(%error, "ledger could not be tidied");
                return;
            }
        }
    }
}

/// Deletes rows of the audit trail whose time is over, up to a checkpoint.
async fn prune(ledger: &SharedLedger, audit: &Audit, now: u64) {
    let (days, most) = (audit.keep_days as u64, audit.rows as u64);
    let before = now.saturating_sub(days.saturating_mul(DAY));
    let mut all = 0;
    loop {
        match ledger.prune(before, most, PRUNE_ROWS, now).await {
            Ok(0) => break,
            Ok(gone) => all += gone,
            Err(error) => {
                warn!(%error, "the audit trail could not be pruned");
                break;
            }
        }
    }
    if all > 0 {
        info!(rows = all, "rows of the audit trail deleted whose time was over");
    }
}

/// The memories of which it has been said that they are nearly full.
#[derive(Debug, Default)]
struct Fullness(HashSet<Scope>);

impl Fullness {
    async fn look(&mut self, ledger: &SharedLedger) {
        for scope in Scope::ALL {
            match ledger.memory_use(scope).await {
                Ok(used) if self.is_news(scope, used) => {
                    let (scope, MemoryUse { domains, most }) = (scope.as_str(), used);
                    warn!(
                        scope,
                        domains,
                        most,
                        "memory of domains is nearly full: when it is, new ones are not remembered"
                    );
                }
                Ok(_) => {}
                Err(error) => warn!(%error, "ledger unavailable"),
            }
        }
    }

    /// Whether the memory has become nearly full since it was last looked at.
    fn is_news(&mut self, scope: Scope, used: MemoryUse) -> bool {
        if used.is_nearly_full() {
            return self.0.insert(scope);
        }
        self.0.remove(&scope);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crossing_is_news_once() {
        let mut fullness = Fullness::default();
        let mut outgoing =
            |domains| fullness.is_news(Scope::Outgoing, MemoryUse { domains, most: 100 });
        let seen = [0, 89, 90, 91, 100, 89, 90].map(&mut outgoing);
        assert_eq!(seen, [false, false, true, false, false, false, true]);
        assert!(fullness.is_news(Scope::Incoming, MemoryUse { domains: 90, most: 100 }));
    }
}
