//! Keeps outcomes for as long as DNS allows, and lets concurrent callers share one look-up [R-dns-03].

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::outcome::Lookup;
use super::resolver::QueryName;

/// Longest time that an answer or denial is kept, whatever its TTL: an operator who replaces a
/// lost key waits no longer than this.
pub const MAX_TTL: Duration = Duration::from_secs(3600);

/// How long a failure is kept, so that a broken domain is not asked for each message (RFC 9520
/// section 3.2: at least one second, at most five minutes).
pub const FAILURE_TTL: Duration = Duration::from_secs(30);

/// How long after that a time-out is still the answer, while the name is looked up again: of a domain whose servers are silent only
/// the first mail waits [R-dns-03].
const STALE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most octets of TXT data that the cache keeps.
const MAX_OCTETS: usize = 16 * 1024 * 1024;

/// Most look-ups under way; further names time out at once.
const MAX_PENDING: usize = 4096;

/// Tells the time to a cache.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The cache of one resolver.
#[derive(Clone)]
pub(super) struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    max_entries: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: HashMap<QueryName, Ready>,
    pending: HashMap<QueryName, Pending>,
    octets: usize,
    next_ticket: u64,
}

struct Ready {
    outcome: Lookup,
    expires: Instant,
}

struct Pending {
    ticket: u64,
    outcome: watch::Receiver<Option<Lookup>>,
}

impl Cache {
    pub(super) fn new(max_entries: usize, clock: Clock) -> Self {
        let shared = Shared { clock, max_entries, state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The kept outcome for `name`, else that of the look-up under way, else that of `start()`.
    ///
    /// The look-up runs in a task of its own: it goes on if this caller leaves, and a panic in it
    /// is one malformed answer.
    pub(super) async fn get<F, L>(&self, name: &QueryName, start: F) -> Lookup
    where
        F: FnOnce() -> L,
        L: Future<Output = Lookup> + Send + 'static,
    {
        let mut waiting = {
            let mut state = self.shared.lock();
            let now = (self.shared.clock)();
            let stale = state.times_out(name, now);
            if let Some(kept) = state.fresh(name, now) {
                return kept;
            }
            if let Some(pending) = state.pending.get(name) {
                if stale {
                    return Lookup::Timeout;
                }
                pending.outcome.clone()
            } else if state.pending.len() >= MAX_PENDING {
                return Lookup::Timeout;
            } else {
                let (sender, outcome) = watch::channel(None);
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.pending.insert(name.clone(), Pending { ticket, outcome: outcome.clone() });
                drop(state);
                let completion = Completion {
                    shared: self.shared.clone(),
                    name: name.clone(),
                    ticket,
                    outcome: Lookup::Malformed,
                    sender,
                };
                let look_up = start();
                tokio::spawn(async move { completion.finish(look_up.await) });
                if stale {
                    return Lookup::Timeout;
                }
                outcome
            }
        };
        match waiting.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Lookup::Timeout),
            Err(_) => Lookup::Timeout,
        }
    }

    /// Drops what is kept for `name`. A look-up under way goes on, and whoever asks joins it: it began after what is dropped was
    /// known, and one name must not be asked for many times at once [R-uns-14].
    pub(super) fn forget(&self, name: &QueryName) {
        self.shared.lock().remove(name);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.shared.lock().ready.len()).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands a finished look-up to the cache and to all who wait, even if it panicked.
struct Completion {
    shared: Arc<Shared>,
    name: QueryName,
    ticket: u64,
    outcome: Lookup,
    sender: watch::Sender<Option<Lookup>>,
}

impl Completion {
    fn finish(mut self, outcome: Lookup) {
        self.outcome = outcome;
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let now = (self.shared.clock)();
        let mut state = self.shared.lock();
        if state.pending.get(&self.name).is_some_and(|p| p.ticket == self.ticket) {
            state.pending.remove(&self.name);
            state.keep(self.name.clone(), self.outcome.clone(), now, self.shared.max_entries);
        }
        drop(state);
        self.sender.send_replace(Some(self.outcome.clone()));
    }
}

impl State {
    fn fresh(&mut self, name: &QueryName, now: Instant) -> Option<Lookup> {
        let left = self.ready.get(name)?.expires.saturating_duration_since(now);
        if left.is_zero() {
            if !self.times_out(name, now) {
                self.remove(name);
            }
            return None;
        }
        self.ready.get(name).map(|ready| ready.outcome.clone().with_ttl(left))
    }

    /// Whether the last look-up timed out a short while ago.
    fn times_out(&self, name: &QueryName, now: Instant) -> bool {
        self.ready.get(name).is_some_and(|ready| {
            ready.outcome == Lookup::Timeout && now < ready.expires + STALE_TIMEOUT
        })
    }

    fn keep(&mut self, name: QueryName, outcome: Lookup, now: Instant, max_entries: usize) {
        let ttl = outcome.ttl().unwrap_or(FAILURE_TTL).min(MAX_TTL);
        if ttl.is_zero() || max_entries == 0 {
            return;
        }
        self.remove(&name);
        let octets = outcome.octets();
        if self.ready.len() >= max_entries || self.octets + octets > MAX_OCTETS {
            self.make_room(now, max_entries, MAX_OCTETS.saturating_sub(octets));
        }
        self.octets += octets;
        self.ready.insert(name, Ready { outcome, expires: now + ttl });
    }

    fn remove(&mut self, name: &QueryName) {
        if let Some(gone) = self.ready.remove(name) {
            self.octets -= gone.outcome.octets();
        }
    }

    /// Drops what has expired; if that is not enough, an eighth of the rest, soonest first.
    fn make_room(&mut self, now: Instant, max_entries: usize, max_octets: usize) {
        let mut by_expiry: Vec<_> =
            self.ready.iter().map(|(name, ready)| (ready.expires, name.clone())).collect();
        by_expiry.sort_unstable_by_key(|(expires, _)| *expires);
        let target = max_entries - max_entries.div_ceil(8);
        for (expires, name) in by_expiry {
            let fits = self.ready.len() <= target && self.octets <= max_octets;
            if expires > now && fits {
                break;
            }
            self.remove(&name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::dns::{Authenticity, Found};

    fn name(text: &str) -> QueryName {
        QueryName::parse(text).unwrap()
    }

    fn found(octets: usize, seconds: u64) -> Lookup {
        Lookup::Found(Found {
            records: vec![vec![b'x'; octets]],
            authenticity: Authenticity::Insecure,
            ttl: Duration::from_secs(seconds),
            chain: Vec::new(),
        })
    }

    #[tokio::test]
    async fn a_panic_in_a_look_up_is_one_malformed_answer() {
        let cache = Cache::new(10, Arc::new(Instant::now));
        let at = name("a.example");
        let panicking = || async { panic!("on purpose") };
        assert_eq!(cache.get(&at, panicking).await, Lookup::Malformed);
        // It is kept like any failure and nobody waits for it any more.
        assert_eq!(cache.get(&at, || async { found(1, 60) }).await, Lookup::Malformed);
        cache.forget(&at);
        assert_eq!(cache.get(&at, || async { found(1, 60) }).await.label(), "found");
    }

    #[tokio::test]
    async fn of_a_silent_domain_only_the_first_look_up_is_waited_for() {
        let now = Arc::new(Mutex::new(Instant::now()));
        let clock = Arc::clone(&now);
        let cache = Cache::new(10, Arc::new(move || *clock.lock().unwrap()));
        let advance = |seconds| *now.lock().unwrap() += Duration::from_secs(seconds);
        let at = name("a.example");
        assert_eq!(cache.get(&at, || async { Lookup::Timeout }).await, Lookup::Timeout);
        advance(FAILURE_TTL.as_secs());
        // Looked up again, and nobody waits for it.
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let slow = || async move {
            let _ = released.await;
            found(1, 60)
        };
        assert_eq!(cache.get(&at, slow).await, Lookup::Timeout);
        assert_eq!(cache.get(&at, || async { Lookup::Bogus }).await, Lookup::Timeout);
        release.send(()).unwrap();
        while !cache.shared.lock().pending.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(cache.get(&at, || async { Lookup::Bogus }).await.label(), "found");
        // What is older is no answer.
        cache.forget(&at);
        assert_eq!(cache.get(&at, || async { Lookup::Timeout }).await, Lookup::Timeout);
        advance(2 * FAILURE_TTL.as_secs());
        assert_eq!(cache.get(&at, || async { found(1, 60) }).await.label(), "found");
    }

    #[tokio::test]
    async fn forgetting_joins_a_look_up_under_way() {
        let cache = Cache::new(10, Arc::new(Instant::now));
        let at = name("a.example");
        assert!(matches!(cache.get(&at, || async { Lookup::Bogus }).await, Lookup::Bogus));
        cache.forget(&at);
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let first = {
            let (cache, at) = (cache.clone(), at.clone());
            tokio::spawn(async move {
                let slow = || async move {
                    let _ = released.await;
                    found(1, 60)
                };
                cache.get(&at, slow).await
            })
        };
        while cache.shared.lock().pending.is_empty() {
            tokio::task::yield_now().await;
        }
        // However many have seen the old answer and forget it: there is one question.
        let others: Vec<_> = (0..100)
            .map(|_| {
                let (cache, at) = (cache.clone(), at.clone());
                tokio::spawn(async move {
                    cache.forget(&at);
                    cache.get(&at, || async { panic!("asked twice") }).await
                })
            })
            .collect();
        release.send(()).unwrap();
        for answer in others.into_iter().chain([first]) {
            assert_eq!(answer.await.unwrap().octets(), 25);
        }
    }

    #[test]
    fn the_octets_kept_are_bounded_and_counted() {
        let mut state = State::default();
        let now = Instant::now();
        for at in 0..600 {
            state.keep(name(&format!("n{at}.example")), found(32_000, 60 + at), now, 10_000);
            let sum: usize = state.ready.values().map(|r| r.outcome.octets()).sum();
            assert_eq!(state.octets, sum);
            assert!(sum <= MAX_OCTETS);
        }
        assert!(state.octets > MAX_OCTETS / 2);
        // What expires last is still there, what expires first is not.
        assert!(state.ready.contains_key(&name("n599.example")));
        assert!(!state.ready.contains_key(&name("n0.example")));
    }
}
