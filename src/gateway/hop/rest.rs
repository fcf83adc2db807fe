//! How long a server that failed is left in peace.

use std::time::{Duration, Instant};

/// First and longest time that a server which failed is tried last.
const REST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));

/// The failures of one server in a row.
#[derive(Debug)]
pub(super) struct Rest {
    /// The first and the longest rest.
    bounds: (Duration, Duration),
    failures: u32,
    /// The last failure that counted, and the end of the rest.
    times: Option<(Instant, Instant)>,
}

impl Default for Rest {
    fn default() -> Self {
        Self::new(REST)
    }
}

impl Rest {
    /// Without failures; the rests grow from the first to the longest.
    pub(super) const fn new(bounds: (Duration, Duration)) -> Self {
        Self { bounds, failures: 0, times: None }
    }

    /// Whether the server is left in peace.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.times.is_some_and(|(_, until)| now < until)
    }

    /// The same; when the rest is over, whoever asks first tries the server, and the others wait for what comes of it.
    pub(super) fn holds_unless_probing(&mut self, now: Instant) -> bool {
        let holds = self.holds(now);
        if !holds && let Some((_, until)) = &mut self.times {
            *until = now + self.bounds.0;
        }
        holds
    }

    /// The server could not be had. Transactions that fail at the same time count once: `true` for the first.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let (first, longest) = self.bounds;
        let counted = self.times.map(|(counted, _)| counted);
        let counts = counted.is_none_or(|counted| now.saturating_duration_since(counted) >= first);
        if counts {
            self.failures = self.failures.saturating_add(1);
            let rest = first.saturating_mul(1 << (self.failures - 1).min(10)).min(longest);
            self.times = Some((now, now + rest));
        }
        counts
    }

    /// The server was had.
    pub(super) fn over(&mut self) {
        *self = Self::new(self.bounds);
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
            assert!(rest.failed(now), "{seconds}");
            for _ in 0..10 {
                assert!(!rest.failed(now), "{seconds}");
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
