//! What an operator must hear of, on its way to log, metrics and ledger: beside the mail path and never in it [R-alm-02].
//!
//! What is new is logged and written at once, what repeats itself is counted: logged again after an hour, or when it opens again
//! what an operator has acknowledged, and written after a minute. Other words, as of another key each time, are written at once and are
//! no reason for a line: whoever raises the alarm chooses them. So a flood costs some memory, a few lines and a few commits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::clock::Clock;
use super::metrics::Metrics;
use crate::core::Domain;
use crate::policy::{Alarm, AlarmKind, Severity};
use crate::store::ledger::{Occurrence, Recorded, Scope, SharedLedger};

/// Seconds before an alarm that repeats itself is logged again.
const LOG_AGAIN: u64 = 3_600;

/// Longest time that repetitions wait for the ledger.
const WRITE_AGAIN: Duration = Duration::from_secs(60);

/// Least time between two writes.
const PAUSE: Duration = Duration::from_millis(500);

/// Most alarms known at once in each pool. A full one forgets what is written; what is still to be written stays, and more
/// is only logged.
const KNOWN: usize = 1_024;

/// The alarms of a running gateway.
pub(super) struct Alarms {
    known: Mutex<HashMap<Pool, HashMap<Key, Known>>>,
    /// Rings for what is new.
    bell: Notify,
    ledger: SharedLedger,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// Whoever sends from many domains of his own shares a pool with others like him, and with nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Pool {
    scope: Scope,
    standing: Standing,
}

/// How well a domain is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// Neither of the others.
    Stranger,
    /// Remembered as a destination of our own mail.
    Correspondent,
    /// Named by the configuration.
    Partner,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    domain: Domain,
    kind: AlarmKind,
}

/// An alarm that has occurred of late.
struct Known {
    words: String,
    logged: u64,
    /// Occurrences since then.
    unlogged: u64,
    unwritten: Option<Unwritten>,
}

/// Occurrences that the ledger does not have.
#[derive(Clone, Copy)]
struct Unwritten {
    first: u64,
    last: u64,
    count: u64,
}

impl Unwritten {
    fn with(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            count: self.count.saturating_add(other.count),
        }
    }
}

impl Alarms {
    pub(super) fn new(
        ledger: SharedLedger,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (known, bell) = (Mutex::default(), Notify::new());
        Arc::new(Self { known, bell, ledger, clock, metrics })
    }

    /// Raises an alarm about `domain`. Never waits.
    pub(super) fn raise(&self, scope: Scope, domain: &Domain, standing: Standing, alarm: &Alarm) {
        let kind = alarm.kind();
        self.metrics.alarm(scope, kind);
        let key = Key { domain: domain.clone(), kind };
        let words = alarm.to_string();
        if let Some(count) = self.occur(Pool { scope, standing }, key, &words) {
            log(scope, domain, kind, count, &words);
        }
    }

    /// Notes an occurrence; how many there were since the last line of the log, if there is to be another.
    fn occur(&self, pool: Pool, key: Key, words: &str) -> Option<u64> {
        let now = self.clock.now();
        let once = Unwritten { first: now, last: now, count: 1 };
        let mut known = self.lock();
        let pool = known.entry(pool).or_default();
        if let Some(known) = pool.get_mut(&key) {
            if known.words != words {
                words.clone_into(&mut known.words);
                self.bell.notify_one();
            }
            known.unwritten = Some(once.with(known.unwritten));
            known.unlogged = known.unlogged.saturating_add(1);
            let due = now >= known.logged.saturating_add(LOG_AGAIN);
            return due.then(|| {
                known.logged = now;
                std::mem::take(&mut known.unlogged)
            });
        }
        if pool.len() >= KNOWN {
            pool.retain(|_, known| known.unwritten.is_some());
        }
        if pool.len() < KNOWN {
            let words = words.to_owned();
            pool.insert(key, Known { words, logged: now, unlogged: 0, unwritten: Some(once) });
            self.bell.notify_one();
        } else {
            self.metrics.alarms_dropped(1);
        }
        Some(1)
    }

    /// Writes what the ledger does not have. What it does not take is tried again the next time.
    pub(super) async fn flush(&self) {
        let batch = self.unwritten();
        if batch.is_empty() {
            return;
        }
        let occurrences: Vec<Occurrence> = batch.iter().map(|(_, _, o)| o.clone()).collect();
        let recorded = self.ledger.record_alarms(&occurrences).await;
        if let Ok(Recorded { dropped, reopened }) = &recorded {
            if *dropped > 0 {
                warn!(
                    dropped,
                    "open alarms gave way to later ones: acknowledge what has been looked into"
                );
                self.metrics.alarms_dropped(*dropped);
            }
            for (pool, key, occurrence) in &batch {
                if reopened.contains(occurrence)
                    && let Some(count) = self.unlogged(*pool, key)
                {
                    log(pool.scope, &key.domain, key.kind, count, &occurrence.words);
                }
            }
        }
        if let Err(error) = recorded {
            warn!(%error, "alarms could not be recorded");
            let mut known = self.lock();
            for (pool, key, occurrence) in batch {
                if let Some(known) = known.get_mut(&pool).and_then(|pool| pool.get_mut(&key)) {
                    let Occurrence { first, last, count, .. } = occurrence;
                    let lost = Unwritten { first, last, count };
                    known.unwritten = Some(lost.with(known.unwritten));
                }
            }
        }
    }

    /// How many occurrences of what has been opened again the log does not have, for a line about them; none if it has them all.
    fn unlogged(&self, pool: Pool, key: &Key) -> Option<u64> {
        let mut known = self.lock();
        let known = known.get_mut(&pool)?.get_mut(key)?;
        known.logged = self.clock.now();
        Some(std::mem::take(&mut known.unlogged)).filter(|count| *count > 0)
    }

    fn unwritten(&self) -> Vec<(Pool, Key, Occurrence)> {
        let mut batch = Vec::new();
        for (pool, alarms) in self.lock().iter_mut() {
            for (key, known) in alarms {
                let Some(Unwritten { first, last, count }) = known.unwritten.take() else {
                    continue;
                };
                let occurrence = Occurrence {
                    scope: pool.scope,
                    domain: key.domain.to_string(),
                    kind: key.kind.as_str().to_owned(),
                    words: known.words.clone(),
                    partner: pool.standing == Standing::Partner,
                    asks: key.kind.severity() > Severity::Notice,
                    first,
                    last,
                    count,
                };
                batch.push((*pool, key.clone(), occurrence));
            }
        }
        batch
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pool, HashMap<Key, Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(scope: Scope, domain: &Domain, kind: AlarmKind, count: u64, alarm: &str) {
    let (severity, kind, scope) = (kind.severity(), kind.as_str(), scope.as_str());
    match severity {
        Severity::Critical => error!(%domain, scope, kind, count, %alarm, "alarm"),
        Severity::Warning => warn!(%domain, scope, kind, count, %alarm, "alarm"),
        Severity::Notice => info!(%domain, scope, kind, count, %alarm, "alarm"),
    }
}

/// Writes alarms until `stop` is cancelled.
pub(super) async fn run(alarms: Arc<Alarms>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = alarms.bell.notified() => {}
            () = tokio::time::sleep(WRITE_AGAIN) => {}
        }
        alarms.flush().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::ledger::{Ledger, MAX_ALARMS, Options, SqliteLedger};

    #[derive(Default)]
    struct TestClock(AtomicU64);

    impl Clock for TestClock {
        fn now(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    const STRANGERS: Pool = Pool { scope: Scope::Incoming, standing: Standing::Stranger };
    const CORRESPONDENTS: Pool = Pool { scope: Scope::Incoming, standing: Standing::Correspondent };
    const PARTNERS: Pool = Pool { scope: Scope::Incoming, standing: Standing::Partner };

    fn key(name: &str) -> Key {
        Key { domain: Domain::parse(name).unwrap(), kind: AlarmKind::SerialBack }
    }

    fn alarms(directory: &std::path::Path) -> (Arc<Alarms>, SqliteLedger, Arc<TestClock>) {
        let path = directory.join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &Options::default(), 1).unwrap();
        let clock: Arc<TestClock> = Arc::default();
        let alarms = Alarms::new(Arc::new(ledger.clone()), Arc::clone(&clock) as _, Metrics::new());
        (alarms, ledger, clock)
    }

    #[tokio::test]
    async fn what_repeats_itself_is_logged_once_an_hour_and_written_together() {
        let directory = tempfile::tempdir().unwrap();
        let (alarms, ledger, clock) = alarms(directory.path());
        let occur = |words: &str| alarms.occur(STRANGERS, key("b.example"), words);
        assert_eq!(occur("from 7 to 5"), Some(1));
        assert_eq!([occur("from 7 to 5"), occur("from 7 to 5")], [None, None]);
        assert_eq!(occur("from 7 to 4"), None, "whoever raises it chooses the words");
        clock.0.store(LOG_AGAIN - 1, Ordering::Relaxed);
        assert_eq!(occur("from 7 to 4"), None);
        clock.0.store(LOG_AGAIN, Ordering::Relaxed);
        assert_eq!(occur("from 7 to 4"), Some(5));
        let before = ledger.commits().0;
        alarms.flush().await;
        alarms.flush().await;
        assert_eq!(ledger.commits().0, before + 1);
        let rows = ledger.alarms(None, MAX_ALARMS).await.unwrap();
        assert_eq!((rows[0].count, rows[0].first_seen, rows[0].last_seen), (6, 0, LOG_AGAIN));
    }

    #[tokio::test]
    async fn a_flood_of_strangers_is_bounded_and_hides_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let (alarms, ledger, _) = alarms(directory.path());
        for n in 0..2 * KNOWN {
            assert_eq!(alarms.occur(STRANGERS, key(&format!("{n}.example")), "x"), Some(1));
        }
        assert_eq!(alarms.occur(PARTNERS, key("partner.example"), "x"), Some(1));
        assert_eq!(alarms.occur(CORRESPONDENTS, key("customer.example"), "x"), Some(1));
        assert_eq!(alarms.unwritten().len(), KNOWN + 2);
        // What is written makes room.
        assert_eq!(alarms.occur(STRANGERS, key("late.example"), "x"), Some(1));
        alarms.flush().await;
        let rows = ledger.alarms(None, MAX_ALARMS).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].domain, "late.example");
    }

    #[tokio::test]
    async fn what_the_ledger_does_not_take_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let (alarms, ledger, _) = alarms(directory.path());
        alarms.occur(PARTNERS, key("b.example"), "x");
        ledger.close().await;
        alarms.flush().await;
        alarms.occur(PARTNERS, key("b.example"), "x");
        let unwritten = alarms.unwritten();
        assert_eq!(unwritten[0].2.count, 2);
    }
}
