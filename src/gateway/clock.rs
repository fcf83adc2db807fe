//! The time, as an argument.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64;

    /// Waits until it is `at` (Unix seconds), or for an hour: a clock may be set meanwhile, so that whoever waits looks again.
    fn until(&self, at: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let seconds = at.saturating_sub(self.now()).min(3_600);
        Box::pin(tokio::time::sleep(Duration::from_secs(seconds)))
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        // Before 1970 every policy is "not valid yet", which is the right answer for such a clock.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
