//! Whether a server takes the password that the gateway has for it.
//!
//! A password that was refused is not tried again with every message: servers lock out who does that, and the log would
//! hold nothing else. As long as nobody knows whether it is right, one connection at a time tries it, and those that wait
//! meanwhile take over what comes of it. What comes of the tries of a password that is known to be right decides about
//! nobody else.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::rest::Rest;
use crate::smtp::client::{ClientError, Step};

/// First and longest time that a password is not tried which was refused: fewer tries than lock out a client anywhere, and an
/// hour at most after somebody has mended it at the other end. A reload tries at once.
const REFUSED: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3_600));

/// The same, once, for one that was taken before. Servers refuse good passwords too, as while one of several has not heard of
/// it.
const SPARED: Duration = Duration::from_secs(30);

/// The same after a try that was not answered by yes or no: a reply 4yz (RFC 4954 section 6), or none.
const UNDECIDED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// How long a password that was taken counts as right, so that many try it at a time.
const PROOF: Duration = Duration::from_secs(300);

/// What is known of the password of one server.
#[derive(Debug)]
pub(super) struct Login {
    state: Mutex<State>,
    /// Held by whoever tries a password that may be wrong.
    alone: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// When it was last taken, unless it is in doubt since.
    proven: Option<Instant>,
    /// How many tries have failed that somebody made alone.
    failed: u64,
    /// Why the last of them did.
    failure: Option<ClientError>,
    /// The reply that refused it the last time.
    refusal: Option<ClientError>,
    /// It was taken after it was last refused.
    good: bool,
    /// Until when it is spared for a first refusal.
    spared: Option<Instant>,
    refused: Rest,
    undecided: Rest,
}

impl State {
    /// Why the password is not tried now.
    fn pause(&self, now: Instant) -> Option<&ClientError> {
        let refused = self.refused.holds(now) || self.spared.is_some_and(|until| now < until);
        let refusal = self.refusal.as_ref().filter(|_| refused);
        refusal.or(self.failure.as_ref().filter(|_| self.undecided.holds(now)))
    }

    fn is_proven(&self, now: Instant) -> bool {
        self.proven.is_some_and(|taken| now.saturating_duration_since(taken) < PROOF)
    }
}

/// What a try has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The password is right.
    Taken,
    /// It is in doubt, or as it was: whoever comes next tries it.
    Open,
    /// It is not tried for a while.
    Pause,
}

/// The leave to try the password, until it is dropped. A try that is broken off leaves it to the next who waits.
pub(super) struct Turn<'a> {
    login: &'a Login,
    /// `None`: others may at the same time.
    alone: Option<tokio::sync::MutexGuard<'a, ()>>,
    /// When it was asked for.
    asked: Instant,
    waited: bool,
}

impl Turn<'_> {
    /// Whether another one's try came first.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }

    /// Notes what came of the try. Only one that nobody shared begins a pause, and only while it is the latest that is known.
    pub(super) fn tried(&self, failure: Option<&ClientError>, now: Instant) -> Verdict {
        let mut state = self.login.lock();
        let Some(failure) = failure else {
            state.proven = Some(now);
            state.good = true;
            (state.refusal, state.spared) = (None, None);
            state.refused.over();
            state.undecided.over();
            return Verdict::Taken;
        };
        // RFC 4954 section 6: 4yz is about the server, 5yz about the password or the account.
        let refused = matches!(failure, ClientError::Auth(reply) if reply.is_permanent());
        // Had it been taken before this was asked for, nobody would try alone.
        let outdated = state.proven.is_some_and(|taken| taken >= self.asked);
        if self.alone.is_none() || outdated {
            if refused {
                state.proven = None;
            }
            return Verdict::Open;
        }
        state.proven = None;
        state.failed += 1;
        state.failure = Some(failure.clone());
        if !refused {
            state.undecided.failed(now);
        } else {
            state.refusal = Some(failure.clone());
            if std::mem::take(&mut state.good) {
                state.spared = Some(now + SPARED);
            } else {
                state.refused.failed(now);
            }
        }
        Verdict::Pause
    }
}

impl Login {
    pub(super) fn new() -> Self {
        let state = State {
            proven: None,
            failed: 0,
            failure: None,
            refusal: None,
            good: false,
            spared: None,
            refused: Rest::new(REFUSED),
            undecided: Rest::new(UNDECIDED),
        };
        Self { state: Mutex::new(state), alone: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the password is not tried now: what came of an earlier try.
    pub(super) fn pause(&self, now: Instant) -> Option<ClientError> {
        self.lock().pause(now).cloned()
    }

    /// Waits until the password may be tried.
    ///
    /// # Errors
    ///
    /// [`ClientError::Login`] if it failed lately, or while this one waited: what came of that try. A time-out of
    /// [`Step::SetUp`] if the other's try has not ended by the deadline.
    pub(super) async fn turn(
        &self,
        asked: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<Turn<'_>, ClientError> {
        let failed = {
            let state = self.lock();
            if let Some(failure) = state.pause(asked) {
                return Err(ClientError::Login(failure.clone().into()));
            }
            if state.is_proven(asked) {
                return Ok(Turn { login: self, alone: None, asked, waited: false });
            }
            state.failed
        };
        let (alone, waited) = match self.alone.try_lock() {
            Ok(alone) => (alone, false),
            Err(_) => {
                let alone = timeout_at(deadline, self.alone.lock()).await;
                (alone.map_err(|_| ClientError::Timeout(Step::SetUp))?, true)
            }
        };
        let state = self.lock();
        // Taken by anybody meanwhile, it is right, whatever else came of it.
        if state.is_proven(asked) {
            return Ok(Turn { login: self, alone: None, asked, waited });
        }
        match &state.failure {
            Some(failure) if state.failed != failed => {
                Err(ClientError::Login(failure.clone().into()))
            }
            _ => Ok(Turn { login: self, alone: Some(alone), asked, waited }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::smtp::Reply;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(code: u16) -> ClientError {
        ClientError::Auth(Reply::new(code, (5, 7, 8), "no"))
    }

    fn far() -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_secs(1_000_000)
    }

    async fn turn(login: &Login, now: Instant) -> Result<Turn<'_>, ClientError> {
        login.turn(now, far()).await
    }

    async fn take(login: &Login, now: Instant) {
        assert_eq!(turn(login, now).await.unwrap().tried(None, now), Verdict::Taken);
    }

    /// Fails again and again as soon as it may; the pauses in seconds that follow. Returns when the last one ends.
    async fn pauses(
        login: &Login,
        mut now: Instant,
        failure: &ClientError,
        expected: &[u64],
    ) -> Instant {
        for &seconds in expected {
            let verdict = turn(login, now).await.unwrap().tried(Some(failure), now);
            assert_eq!(verdict, Verdict::Pause, "{seconds}");
            now += Duration::from_secs(seconds) - SECOND;
            let told = turn(login, now).await.err().unwrap();
            assert!(matches!(&told, ClientError::Login(_)), "{told:?}");
            assert_eq!(told.to_string(), failure.to_string(), "{seconds}");
            assert_eq!(login.pause(now).unwrap().to_string(), failure.to_string(), "{seconds}");
            now += SECOND;
            assert!(login.pause(now).is_none(), "no end after {seconds}");
        }
        now
    }

    /// Servers lock out at 3 to 10 failures in 10 to 30 minutes.
    #[tokio::test]
    async fn the_pause_ends_and_grows_and_is_short_once_after_a_success() {
        let login = Login::new();
        let now = Instant::now();
        let mut now = pauses(&login, now, &refused(535), &[300, 600, 1200, 2400, 3600, 3600]).await;
        for _ in 0..2 {
            take(&login, now).await;
            assert!(login.pause(now).is_none());
            // In doubt by a try that others may share, it is tried alone at once.
            let shared = turn(&login, now).await.unwrap();
            assert_eq!(shared.tried(Some(&refused(535)), now), Verdict::Open);
            now = pauses(&login, now, &refused(535), &[30, 300, 600, 1200]).await;
        }
    }

    #[tokio::test]
    async fn a_try_without_yes_or_no_is_repeated_after_a_breath() {
        for failure in
            [refused(454), ClientError::Timeout(Step::Auth), ClientError::Closed(Step::Auth)]
        {
            let login = Login::new();
            let now = pauses(&login, Instant::now(), &failure, &[5, 10, 20, 40, 60, 60]).await;
            take(&login, now).await;
            pauses(&login, now + PROOF, &failure, &[5, 10]).await;
        }
    }

    /// One connection that gets no yes or no is no reason to stop all mail, nor one that was hanging when others were let in.
    #[tokio::test]
    async fn a_good_password_stays_good_without_an_answer() {
        for failure in
            [refused(454), ClientError::Timeout(Step::Auth), ClientError::Closed(Step::Auth)]
        {
            let login = Login::new();
            let now = Instant::now();
            take(&login, now).await;
            let shared = turn(&login, now).await.unwrap();
            assert_eq!(shared.tried(Some(&failure), now), Verdict::Open);
            let _both = (turn(&login, now).await.unwrap(), turn(&login, now).await.unwrap());
            // The proof has aged, one tries alone, and hangs longer than another one that was under way.
            let old = now + PROOF;
            let alone = turn(&login, old).await.unwrap();
            shared.tried(None, old + SECOND);
            assert_eq!(alone.tried(Some(&failure), old + 2 * SECOND), Verdict::Open);
            let later = old + 2 * SECOND;
            let _both = (turn(&login, later).await.unwrap(), turn(&login, later).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_proof_ages_and_is_renewed() {
        let login = Login::new();
        let start = Instant::now();
        take(&login, start).await;
        let now = start + PROOF - SECOND;
        let busy = turn(&login, now).await.unwrap();
        let _both = (turn(&login, now).await.unwrap(), turn(&login, now).await.unwrap());
        busy.tried(None, now);
        let later = start + PROOF;
        let _both = (turn(&login, later).await.unwrap(), turn(&login, later).await.unwrap());
        let old = now + PROOF;
        let _alone = turn(&login, old).await.unwrap();
        assert!(at_once(&mut Box::pin(turn(&login, old))).await.is_none());
    }

    /// A server that cannot be asked has refused nothing.
    #[tokio::test]
    async fn a_probe_without_an_answer_costs_no_further_pause() {
        let login = Login::new();
        let mut now = Instant::now();
        turn(&login, now).await.unwrap().tried(Some(&refused(535)), now);
        now += REFUSED.0;
        // Whoever has the turn may fail before AUTH, or be broken off.
        drop(turn(&login, now).await.unwrap());
        drop(turn(&login, now).await.unwrap());
        turn(&login, now).await.unwrap().tried(Some(&ClientError::Timeout(Step::Auth)), now);
        assert!(turn(&login, now).await.is_err());
        drop(turn(&login, now + UNDECIDED.0).await.unwrap());
    }

    #[tokio::test]
    async fn those_who_wait_take_over_what_comes_of_the_try() {
        for failure in [refused(535), refused(454), ClientError::Closed(Step::Auth)] {
            let login = Login::new();
            let now = Instant::now();
            let first = turn(&login, now).await.unwrap();
            assert!(!first.has_waited());
            let mut waiting = [Box::pin(turn(&login, now)), Box::pin(turn(&login, now))];
            for one in &mut waiting {
                assert!(at_once(one).await.is_none());
            }
            first.tried(Some(&failure), now);
            drop(first);
            for one in waiting {
                assert_eq!(one.await.err().unwrap().to_string(), failure.to_string());
            }
            // Who comes later tries alone.
            let later = turn(&login, now + 2 * REFUSED.0).await.unwrap();
            assert!(at_once(&mut Box::pin(turn(&login, now + 2 * REFUSED.0))).await.is_none());
            drop(later);
        }
    }

    #[tokio::test]
    async fn a_password_that_was_taken_frees_all() {
        let login = Login::new();
        let now = Instant::now();
        let first = turn(&login, now).await.unwrap();
        let mut waiting =
            [Box::pin(turn(&login, now)), Box::pin(turn(&login, now)), Box::pin(turn(&login, now))];
        for one in &mut waiting {
            assert!(at_once(one).await.is_none());
        }
        first.tried(None, now);
        drop(first);
        let [one, other, last] = waiting;
        let (one, _free) = (one.await.unwrap(), other.await.unwrap());
        assert!(one.has_waited());
        // Its connection was closed while it waited: nothing that those behind it take over.
        one.tried(Some(&ClientError::Closed(Step::Auth)), now);
        let _free = (last.await.unwrap(), turn(&login, now).await.unwrap());
        // Refused once, it is in doubt again.
        one.tried(Some(&refused(535)), now);
        let _alone = turn(&login, now).await.unwrap();
        assert!(at_once(&mut Box::pin(turn(&login, now))).await.is_none());
    }

    #[tokio::test]
    async fn a_try_that_is_broken_off_leaves_the_turn_to_the_next() {
        let login = Login::new();
        let now = Instant::now();
        let first = turn(&login, now).await.unwrap();
        let mut waiting = [Box::pin(turn(&login, now)), Box::pin(turn(&login, now))];
        for one in &mut waiting {
            assert!(at_once(one).await.is_none());
        }
        drop(first);
        let [mut one, mut other] = waiting;
        let _second = at_once(&mut one).await.unwrap().unwrap();
        assert!(at_once(&mut other).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gives_up_at_the_deadline() {
        let login = Login::new();
        let now = Instant::now();
        let _hangs = turn(&login, now).await.unwrap();
        let deadline = tokio::time::Instant::now() + SECOND;
        let late = login.turn(now, deadline).await.err().unwrap();
        assert!(matches!(late, ClientError::Timeout(Step::SetUp)), "{late:?}");
        assert!(tokio::time::Instant::now() < deadline + SECOND);
        // Nobody has learned anything of the password by that.
        assert!(login.pause(now).is_none());
    }

    /// What a future has come to without waiting.
    async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
