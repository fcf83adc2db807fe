//! How long a server that failed is left in peace.

use std::time::{Duration, Instant};

/// First and longest time that a server which failed is tried last.
const REST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));

/// The failures of one server in a row.
#[derive(Debug, Default)]
pub(super) struct Rest {
    failures: u32,
    /// The last failure that counted, and the end of the rest.
    times: Option<(Instant, Instant)>,
}

impl Rest {
    /// Whether the server is left in peace.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.times.is_some_and(|(_, until)| now < until)
    }

    /// The same; when the rest is over, whoever asks first tries the server, and the others wait for what comes of it.
    pub(super) fn holds_unless_probing(&mut self, now: Instant) -> bool {
        let holds = self.holds(now);
        if !holds && let Some((_, until)) = &mut self.times {
            *until = now + REST.0;
        }
        holds
    }

    /// The server could not be had. Transactions that fail at the same time count once.
    pub(super) fn failed(&mut self, now: Instant) {
        let counted = self.times.map(|(counted, _)| counted);
        if counted.is_none_or(|counted| now.saturating_duration_since(counted) >= REST.0) {
            self.failures = self.failures.saturating_add(1);
            let rest = REST.0.saturating_mul(1 << (self.failures - 1).min(10)).min(REST.1);
            self.times = Some((now, now + rest));
        }
    }

    /// The server was had.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_grows_with_each_failure_in_a_row_and_one_probes() {
        let mut now = Instant::now();
        let mut rest = Rest::default();
        assert!(!rest.holds_unless_probing(now) && !rest.holds_unless_probing(now));
        for seconds in [30, 60, 120, 240, 300, 300] {
            for _ in 0..10 {
                rest.failed(now);
            }
            now += Duration::from_secs(seconds - 1);
            assert!(rest.holds_unless_probing(now), "{seconds}");
            now += Duration::from_secs(1);
            assert!(!rest.holds(now), "{seconds}");
            assert!(!rest.holds_unless_probing(now), "nobody probes after {seconds}");
            assert!(rest.holds_unless_probing(now), "two probe after {seconds}");
        }
        rest.over();
        assert!(!rest.holds(now));
        rest.failed(now);
        assert!(!rest.holds(now + REST.0));
    }
}
