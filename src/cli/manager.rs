//! What the service manager is told (sd_notify(3)); without one nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use crate::store::ledger::{LedgerError, SharedLedger};

/// How often the manager is asked for more time while the gateway stops, and for how much.
const EXTENSION: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// Everything is open.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// The configuration is read anew; [`ready`] says when that has ended, whatever came of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

/// The end has begun.
pub(super) fn stopping() {
    let status = "stopping: open transactions may finish";
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Asks for more time, again and again, so that `[timeouts] shutdown` holds and not the manager's own patience.
pub(super) async fn extend() {
    let (every, by) = EXTENSION;
    let octets = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::ExtendTimeoutUsec(octets)]);
    }
}

/// Tells the manager at half of its patience that the gateway lives, if it wants to know: that a task was run and the
/// ledger's writer has answered. If not, the manager ends the process and starts another one.
pub(super) async fn watch(ledger: SharedLedger) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let probe = move || {
        let ledger = std::sync::Arc::clone(&ledger);
        // Deletes nothing, but takes its turn in the writer's queue and commits.
        async move { lives(ledger.expire(0, 0).await) }
    };
    pulse(patience / 2, probe, || tell(&[NotifyState::Watchdog])).await;
}

/// Whether the writer works. One that answers that it cannot write, as on a full disk, does: another process could do no
/// better, and mail is answered 451 meanwhile.
fn lives(answer: Result<usize, LedgerError>) -> bool {
    !matches!(answer, Err(LedgerError::Closed))
}

/// Beats whenever the probe has succeeded in time.
async fn pulse<F>(every: Duration, probe: impl Fn() -> F, beat: impl Fn())
where
    F: Future<Output = bool> + Send + 'static,
{
    let every = every.max(Duration::from_millis(1));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A task of its own, so that the scheduler has a part in the answer.
        match timeout(every, tokio::spawn(probe())).await {
            Ok(Ok(true)) => beat(),
            _ => error!(
                "no sign of life from the ledger: the service manager is not told that all is well"
            ),
        }
    }
}

/// A status is one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "service manager not told");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};

    #[tokio::test(start_paused = true)]
    async fn the_heart_stops_with_the_ledger() {
        const WORKS: u8 = 0;
        const FAILS: u8 = 1;
        let state = Arc::new(AtomicU8::new(WORKS));
        let beats = Arc::new(AtomicUsize::new(0));
        let (seen, counted) = (Arc::clone(&state), Arc::clone(&beats));
        let probe = move || {
            let state = seen.load(SeqCst);
            async move {
                match state {
                    WORKS => true,
                    FAILS => false,
                    _ => std::future::pending().await,
                }
            }
        };
        let task = tokio::spawn(pulse(Duration::from_secs(10), probe, move || {
            counted.fetch_add(1, SeqCst);
        }));
        tokio::time::sleep(Duration::from_secs(95)).await;
        assert_eq!(beats.load(SeqCst), 10);
        for broken in [FAILS, 2] {
            state.store(broken, SeqCst);
            // A beat that was due may still come.
            tokio::time::sleep(Duration::from_secs(11)).await;
            let before = beats.load(SeqCst);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(beats.load(SeqCst), before);
        }
        state.store(WORKS, SeqCst);
        let before = beats.load(SeqCst);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(beats.load(SeqCst) > before);
        task.abort();
    }

    #[test]
    fn a_full_disk_is_life_and_a_dead_writer_is_not() {
        assert!(lives(Ok(0)));
        assert!(lives(Err(LedgerError::ReadOnly)));
        assert!(!lives(Err(LedgerError::Closed)));
    }
}
