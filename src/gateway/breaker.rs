//! Keeps a recipient domain whose mail does not move on from holding up that of others.
//!
//! The MTA before us has so many deliveries under way at once, and while DNS or the next hop does not answer for one domain, that
//! domain's mail would come to hold them all. So when several transactions wait for the same step of one domain, and
//! none has had an answer for a while, the domain is *stalled* at that step: the one that has waited longest goes on
//! waiting (at the final dot in the background, which serves as well), the others are answered 451, and further recipients are answered 451 at RCPT until an answer comes. A domain that is
//! slow and moves is not stalled, however slow. How long a while is depends on how long answers to that step take as a rule.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::failure::Failure;
use crate::core::Domain;
use crate::smtp::Reply;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// The policy of the domain in DNS.
    LookUp,
    /// The reply to RCPT.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// The reply to the final dot.
    Dot,
}

/// Who waits for which domain. Holds nothing of a domain that nobody waits for.
#[derive(Debug)]
pub(super) struct Breaker {
    /// So many must wait for a domain to be stalled.
    several: usize,
    /// So long at most must there have been no answer.
    patience: Duration,
    waits: Mutex<Waits>,
}

/// Where answers are quick, this long.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// So many times what is usual is long.
const LONG: u32 = 2;

#[derive(Debug, Default)]
struct Waits {
    queues: HashMap<Domain, HashMap<Step, Queue>>,
    /// How long answers take, of all domains: the longest of late.
    usual: HashMap<Step, Duration>,
    next: u64,
}

/// Those who wait for one step of one domain.
#[derive(Debug)]
struct Queue {
    /// Longest first.
    tickets: BTreeSet<u64>,
    /// The last answer, or when the first began to wait.
    quiet_since: Instant,
    stalled: bool,
}

impl Breaker {
    pub(super) fn new(several: usize, patience: Duration) -> Self {
        Self { several, patience, waits: Mutex::default() }
    }

    /// Refuses a domain that is stalled at any step.
    pub(super) fn admit(&self, domain: Option<&Domain>) -> Result<(), Failure> {
        let Some(domain) = domain else { return Ok(()) };
        let waits = self.lock();
        let stalled = waits.queues.get(domain).is_some_and(|q| q.values().any(|q| q.stalled));
        if stalled { Err(Failure::Stalled(domain.clone())) } else { Ok(()) }
    }

    /// Whether so many other domains are waited for that this one had better not be. One or two more may slip in at the same moment.
    pub(super) fn is_crowded(&self, domain: &Domain, most: usize) -> bool {
        let waits = self.lock();
        waits.queues.len() >= most && !waits.queues.contains_key(domain)
    }

    /// Waits for an answer about `domain`. The error is that others wait as well, and the domain is stalled; `answer` has then
    /// been left where it was.
    pub(super) async fn wait<T>(
        self: &Arc<Self>,
        domain: Option<&Domain>,
        step: Step,
        answer: impl Future<Output = T>,
        is_answer: impl FnOnce(&T) -> bool,
    ) -> Result<T, Stalled> {
        let Some(domain) = domain else { return Ok(answer.await) };
        let place = self.enter(domain, step);
        tokio::pin!(answer);
        loop {
            let result = match place.look_again() {
                None => (&mut answer).await,
                Some(at) => match timeout_at(at, &mut answer).await {
                    Ok(result) => result,
                    Err(_) if place.is_let_go() => return Err(Stalled(place)),
                    Err(_) => continue,
                },
            };
            if is_answer(&result) {
                place.answered();
            }
            return Ok(result);
        }
    }

    fn enter(self: &Arc<Self>, domain: &Domain, step: Step) -> Place {
        let mut waits = self.lock();
        let ticket = waits.next;
        waits.next += 1;
        let queues = waits.queues.entry(domain.clone()).or_default();
        let queue = queues.entry(step).or_insert_with(|| Queue {
            tickets: BTreeSet::new(),
            quiet_since: Instant::now(),
            stalled: false,
        });
        queue.tickets.insert(ticket);
        let (breaker, domain) = (Arc::clone(self), domain.clone());
        Place { breaker, domain, step, ticket, since: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a reply is the next hop's own, and not ours about a connection that broke: a domain does not move on by failing.
pub(super) fn is_answer(reply: &Reply) -> bool {
    *reply != Failure::NextHopLost.reply() && *reply != Failure::NextHop.reply()
}

/// The domain is stalled. Whoever goes on waiting all the same keeps this meanwhile.
pub(super) struct Stalled(Place);

impl Stalled {
    pub(super) fn failure(&self) -> Failure {
        Failure::Stalled(self.0.domain.clone())
    }

    /// The answer has come after all.
    pub(super) fn answered(self) {
        self.0.answered();
    }
}

/// A place among those who wait; dropping it gives it up.
struct Place {
    breaker: Arc<Breaker>,
    domain: Domain,
    step: Step,
    ticket: u64,
    since: Instant,
}

impl Place {
    /// Acts on the queue, and the patience that there is with it.
    fn with<T>(&self, act: impl FnOnce(&mut Queue, Duration) -> T) -> Option<T> {
        let mut waits = self.breaker.lock();
        let most = self.breaker.patience;
        let usual = waits.usual.get(&self.step);
        let patience = usual.map_or(most, |usual| (*usual * LONG).max(LEAST_PATIENCE).min(most));
        let queue = waits.queues.get_mut(&self.domain)?.get_mut(&self.step)?;
        Some(act(queue, patience))
    }

    /// Whether it goes on waiting. Nobody need for a final dot, whose answer can be recorded in the background.
    fn stays(&self, queue: &Queue) -> bool {
        self.step != Step::Dot && queue.tickets.first() == Some(&self.ticket)
    }

    /// When to see whether the domain has stalled; `None`: there is nothing more to see.
    fn look_again(&self) -> Option<Instant> {
        self.with(|queue, patience| {
            if queue.stalled && self.stays(queue) {
                return None;
            }
            let due = queue.quiet_since + patience;
            let now = Instant::now();
            let pointless = due <= now && queue.tickets.len() < self.breaker.several;
            Some(if pointless && !queue.stalled { now + patience } else { due })
        })
        .flatten()
    }

    fn is_let_go(&self) -> bool {
        self.with(|queue, patience| {
            let quiet = queue.quiet_since.elapsed() >= patience;
            if quiet && queue.tickets.len() >= self.breaker.several && !queue.stalled {
                let (domain, waiting) = (&self.domain, queue.tickets.len());
                warn!(%domain, step = ?self.step, waiting, "no answer for this domain: its mail is put off");
                queue.stalled = true;
            }
            queue.stalled && !self.stays(queue)
        })
        .unwrap_or(false)
    }

    fn answered(&self) {
        let took = self.since.elapsed();
        {
            let mut waits = self.breaker.lock();
            // One that was long is forgotten after some that were not.
            let usual = waits.usual.entry(self.step).or_insert(self.breaker.patience);
            *usual = took.min(self.breaker.patience).max(*usual * 9 / 10);
        }
        self.with(|queue, _| {
            if queue.stalled {
                info!(domain = %self.domain, "answers come again for this domain");
            }
            queue.stalled = false;
            queue.quiet_since = Instant::now();
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waits = self.breaker.lock();
        let Some(queues) = waits.queues.get_mut(&self.domain) else { return };
        if let Some(queue) = queues.get_mut(&self.step) {
            queue.tickets.remove(&self.ticket);
            if queue.tickets.is_empty() {
                queues.remove(&self.step);
            }
        }
        if queues.is_empty() {
            waits.queues.remove(&self.domain);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::future::pending;
    use tokio::task::JoinHandle;
    use tokio::time::{advance, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new(3, PATIENCE))
    }

    /// Waits for an answer that comes after so many seconds, or never.
    fn waiting(
        breaker: &Arc<Breaker>,
        name: &str,
        step: Step,
        seconds: Option<u64>,
        answer: bool,
    ) -> JoinHandle<Result<(), Failure>> {
        let (breaker, domain) = (Arc::clone(breaker), domain(name));
        tokio::spawn(async move {
            let answer_comes = async {
                match seconds {
                    Some(seconds) => sleep(Duration::from_secs(seconds)).await,
                    None => pending().await,
                }
            };
            let waited = breaker.wait(Some(&domain), step, answer_comes, |()| answer).await;
            waited.map_err(|stalled| stalled.failure())
        })
    }

    async fn seconds(seconds: u64) {
        for _ in 0..seconds * 10 {
            advance(Duration::from_millis(100)).await;
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_that_wait_in_vain_the_first_goes_on_waiting() {
        let breaker = breaker();
        let stalled = Err(Failure::Stalled(domain("a.example")));
        let first = waiting(&breaker, "a.example", Step::Rcpt, Some(100), true);
        seconds(1).await;
        let second = waiting(&breaker, "a.example", Step::Rcpt, None, true);
        let third = waiting(&breaker, "a.example", Step::Rcpt, None, true);
        seconds(3).await;
        assert!(!second.is_finished() && breaker.admit(Some(&domain("a.example"))).is_ok());
        seconds(2).await;
        assert_eq!(
            (second.await.unwrap(), third.await.unwrap()),
            (stalled.clone(), stalled.clone())
        );
        assert!(!first.is_finished());
        assert_eq!(breaker.admit(Some(&domain("a.example"))), stalled);
        // Others do not notice.
        assert!(breaker.admit(Some(&domain("b.example"))).is_ok());
        assert!(breaker.admit(None).is_ok());
        // Whoever was let in before is let go at once.
        let late = waiting(&breaker, "a.example", Step::Rcpt, None, true);
        seconds(1).await;
        assert_eq!(late.await.unwrap(), stalled);
        seconds(95).await;
        assert_eq!(first.await.unwrap(), Ok(()));
        assert!(breaker.admit(Some(&domain("a.example"))).is_ok());
        assert!(breaker.lock().queues.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn for_the_final_dot_nobody_need_wait() {
        let breaker = breaker();
        let a = domain("a.example");
        let mut held = Vec::new();
        for wait in [0; 3].map(|_| breaker.wait(Some(&a), Step::Dot, pending::<()>(), |()| true)) {
            held.push(Box::pin(wait));
        }
        let [one, two, three] = &mut held[..] else { panic!() };
        let (one, two, three) = tokio::join!(one, two, three);
        let stalled = [one, two, three].map(|waited| waited.err().unwrap());
        // It lasts as long as somebody waits in the background.
        assert!(breaker.admit(Some(&a)).is_err());
        let [one, two, three] = stalled;
        drop(one);
        assert!(breaker.admit(Some(&a)).is_err());
        two.answered();
        assert!(breaker.admit(Some(&a)).is_ok());
        drop(three);
        assert!(breaker.lock().queues.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_may_wait_as_long_as_it_takes() {
        let breaker = breaker();
        let all = [100, 200].map(|s| waiting(&breaker, "a.example", Step::Rcpt, Some(s), true));
        // At other steps, and for other domains, others wait.
        let more = [
            waiting(&breaker, "a.example", Step::Dot, Some(300), true),
            waiting(&breaker, "b.example", Step::Rcpt, Some(300), true),
        ];
        seconds(99).await;
        assert!(breaker.admit(Some(&domain("a.example"))).is_ok());
        seconds(202).await;
        for wait in all.into_iter().chain(more) {
            assert_eq!(wait.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_is_not_stalled_while_answers_come() {
        let breaker = breaker();
        let all: Vec<_> =
            (1..10).map(|n| waiting(&breaker, "a.example", Step::Dot, Some(4 * n), true)).collect();
        seconds(40).await;
        for wait in all {
            assert_eq!(wait.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_answers_are_quick_patience_is_short() {
        let breaker = breaker();
        for _ in 0..50 {
            let quick = waiting(&breaker, "b.example", Step::Rcpt, Some(0), true);
            seconds(1).await;
            assert_eq!(quick.await.unwrap(), Ok(()));
        }
        let at = |step| [0; 3].map(|_| waiting(&breaker, "a.example", step, None, true));
        let (_rcpt, _data) = (at(Step::Rcpt), at(Step::Data));
        let stalled = |step| {
            let waits = breaker.lock();
            waits.queues[&domain("a.example")][&step].stalled
        };
        seconds(2).await;
        // At another step nothing is known yet.
        assert!(stalled(Step::Rcpt) && !stalled(Step::Data));
        seconds(4).await;
        assert!(stalled(Step::Data));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_no_answers() {
        let breaker = breaker();
        let all: Vec<_> = (1..10)
            .map(|n| waiting(&breaker, "a.example", Step::Rcpt, Some(4 * n), false))
            .collect();
        seconds(6).await;
        assert!(breaker.admit(Some(&domain("a.example"))).is_err());
        drop(all);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_brings_the_domain_back() {
        let breaker = breaker();
        let _held = [Some(8), None].map(|s| waiting(&breaker, "a.example", Step::Rcpt, s, true));
        let _late = waiting(&breaker, "a.example", Step::Rcpt, None, true);
        seconds(6).await;
        assert!(breaker.admit(Some(&domain("a.example"))).is_err());
        let at_another_step = waiting(&breaker, "a.example", Step::Dot, Some(60), true);
        seconds(3).await;
        assert!(breaker.admit(Some(&domain("a.example"))).is_ok());
        seconds(60).await;
        assert_eq!(at_another_step.await.unwrap(), Ok(()));
        assert!(breaker.lock().queues.is_empty());
    }
}
