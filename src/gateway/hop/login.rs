//! Whether a server takes the password that the gateway has for it.
//!
//! A password that was refused is not tried again with every message: servers lock out who does that, and the log would
//! hold nothing else. As long as nobody knows whether it is right, one connection at a time tries it, and those that wait
//! meanwhile take over what comes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::rest::Rest;
use crate::smtp::client::ClientError;

/// First and longest time that a password is not tried which was refused and never taken: fewer tries than lock out a client
/// anywhere, and an hour at most after somebody has mended it at the other end. A reload tries at once.
const UNPROVEN: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3_600));

/// The same for one that was taken before. Servers refuse good passwords too, as while one of several has not heard of it.
const PROVEN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));

/// The same after a try that was not answered by yes or no: a reply 4yz (RFC 4954 section 6), or none.
const UNDECIDED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// What is known of the password of one server.
#[derive(Debug)]
pub(super) struct Login {
    state: Mutex<State>,
    /// Held by whoever tries a password that may be wrong.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// It was taken the last time.
    proven: bool,
    /// How many tries have ended.
    ended: u64,
    /// Why the last one failed.
    failure: Option<ClientError>,
    /// The reply that refused it the last time.
    refusal: Option<ClientError>,
    refused: Rest,
    undecided: Rest,
}

/// The leave to try the password, until it is dropped. A try that is broken off leaves it to the next who waits.
pub(super) struct Turn<'a> {
    /// `None`: others may at the same time.
    _alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl State {
    /// Why the password is not tried now.
    fn pause(&self, now: Instant) -> Option<&ClientError> {
        let refusal = self.refusal.as_ref().filter(|_| self.refused.holds(now));
        refusal.or(self.failure.as_ref().filter(|_| self.undecided.holds(now)))
    }
}

impl Login {
    pub(super) fn new() -> Self {
        let state = State {
            proven: false,
            ended: 0,
            failure: None,
            refusal: None,
            refused: Rest::new(UNPROVEN),
            undecided: Rest::new(UNDECIDED),
        };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::default() }
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
    /// It failed lately, or while this one waited: what came of that try.
    pub(super) async fn turn(&self, now: Instant) -> Result<Turn<'_>, ClientError> {
        let ended = {
            let state = self.lock();
            if let Some(failure) = state.pause(now) {
                return Err(failure.clone());
            }
            if state.proven {
                return Ok(Turn { _alone: None });
            }
            state.ended
        };
        let alone = self.turn.lock().await;
        let state = self.lock();
        if state.ended == ended {
            return Ok(Turn { _alone: Some(alone) });
        }
        // Only a password that was taken frees those who have waited.
        match &state.failure {
            None => Ok(Turn { _alone: None }),
            Some(failure) => Err(failure.clone()),
        }
    }

    /// Notes what came of a try; `true` if it begins a pause.
    pub(super) fn tried(&self, failure: Option<&ClientError>, now: Instant) -> bool {
        let mut state = self.lock();
        state.ended += 1;
        state.failure = failure.cloned();
        match failure {
            None => {
                state.proven = true;
                state.refusal = None;
                state.refused = Rest::new(PROVEN);
                state.undecided.over();
                false
            }
            // Nothing was sent.
            Some(ClientError::NoTls(_) | ClientError::NoMechanism { .. }) => false,
            // RFC 4954 section 6: 4yz is about the server, 5yz about the password or the account.
            Some(ClientError::Auth(reply)) if reply.is_permanent() => {
                state.proven = false;
                state.refusal = failure.cloned();
                state.refused.failed(now)
            }
            Some(_) => {
                state.proven = false;
                state.undecided.failed(now)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::smtp::Reply;
    use crate::smtp::client::Step;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(code: u16) -> ClientError {
        ClientError::Auth(Reply::new(code, (5, 7, 8), "no"))
    }

    fn code(failure: &ClientError) -> u16 {
        match failure {
            ClientError::Auth(reply) => reply.code(),
            _ => 0,
        }
    }

    /// Fails again and again as soon as it may; the pauses in seconds that follow.
    async fn pauses(login: &Login, failure: &ClientError, expected: &[u64]) {
        let mut now = Instant::now();
        for &seconds in expected {
            drop(login.turn(now).await.unwrap());
            assert!(login.tried(Some(failure), now), "{seconds}");
            // Those that were sent at the same time.
            assert!(!login.tried(Some(failure), now), "{seconds}");
            now += Duration::from_secs(seconds) - SECOND;
            assert_eq!(code(&login.turn(now).await.err().unwrap()), code(failure), "{seconds}");
            assert_eq!(login.pause(now).as_ref().map(code), Some(code(failure)), "{seconds}");
            now += SECOND;
            assert!(login.pause(now).is_none(), "no end after {seconds}");
        }
    }

    #[tokio::test]
    async fn the_pause_ends_and_grows_and_is_short_after_a_success() {
        let login = Login::new();
        pauses(&login, &refused(535), &[300, 600, 1200, 2400, 3600, 3600]).await;
        login.tried(None, Instant::now());
        assert!(login.pause(Instant::now()).is_none());
        pauses(&login, &refused(535), &[30, 60, 120, 240]).await;
        login.tried(None, Instant::now());
        pauses(&login, &refused(535), &[30, 60]).await;
    }

    #[tokio::test]
    async fn a_try_without_yes_or_no_is_repeated_after_a_breath() {
        for failure in
            [refused(454), ClientError::Timeout(Step::Auth), ClientError::Closed(Step::Auth)]
        {
            let login = Login::new();
            pauses(&login, &failure, &[5, 10, 20, 40, 60, 60]).await;
            login.tried(None, Instant::now());
            pauses(&login, &failure, &[5, 10]).await;
        }
    }

    /// A server that cannot be asked has refused nothing.
    #[tokio::test]
    async fn a_probe_without_an_answer_costs_no_further_pause() {
        let login = Login::new();
        let mut now = Instant::now();
        login.tried(Some(&refused(535)), now);
        now += UNPROVEN.0;
        // Whoever has the turn may fail before AUTH, or be broken off.
        drop(login.turn(now).await.unwrap());
        drop(login.turn(now).await.unwrap());
        login.tried(Some(&ClientError::NoTls(None)), now);
        drop(login.turn(now).await.unwrap());
        login.tried(Some(&ClientError::Timeout(Step::Auth)), now);
        assert!(login.turn(now).await.is_err());
        drop(login.turn(now + UNDECIDED.0).await.unwrap());
    }

    #[tokio::test]
    async fn those_who_wait_take_over_what_comes_of_the_try() {
        for failure in
            [refused(535), refused(454), ClientError::Closed(Step::Auth), ClientError::NoTls(None)]
        {
            let login = Login::new();
            let now = Instant::now();
            let first = login.turn(now).await.unwrap();
            let mut waiting = [Box::pin(login.turn(now)), Box::pin(login.turn(now))];
            for one in &mut waiting {
                assert!(at_once(one).await.is_none());
            }
            login.tried(Some(&failure), now);
            drop(first);
            for one in waiting {
                assert_eq!(one.await.err().unwrap().to_string(), failure.to_string());
            }
            // Who comes later tries alone.
            let later = login.turn(now + 2 * UNPROVEN.0).await.unwrap();
            assert!(at_once(&mut Box::pin(login.turn(now + 2 * UNPROVEN.0))).await.is_none());
            drop(later);
        }
    }

    #[tokio::test]
    async fn a_password_that_was_taken_frees_all() {
        let login = Login::new();
        let now = Instant::now();
        let first = login.turn(now).await.unwrap();
        let mut waiting = [Box::pin(login.turn(now)), Box::pin(login.turn(now))];
        for one in &mut waiting {
            assert!(at_once(one).await.is_none());
        }
        login.tried(None, now);
        drop(first);
        let [one, other] = waiting;
        let _free = (one.await.unwrap(), other.await.unwrap());
        let _free = (login.turn(now).await.unwrap(), login.turn(now).await.unwrap());
        // Refused once, it is in doubt again.
        login.tried(Some(&refused(535)), now);
        let _alone = login.turn(now + PROVEN.0).await.unwrap();
        assert!(at_once(&mut Box::pin(login.turn(now + PROVEN.0))).await.is_none());
    }

    #[tokio::test]
    async fn a_try_that_is_broken_off_leaves_the_turn_to_the_next() {
        let login = Login::new();
        let now = Instant::now();
        let first = login.turn(now).await.unwrap();
        let mut waiting = [Box::pin(login.turn(now)), Box::pin(login.turn(now))];
        for one in &mut waiting {
            assert!(at_once(one).await.is_none());
        }
        drop(first);
        let [mut one, mut other] = waiting;
        let _second = at_once(&mut one).await.unwrap().unwrap();
        assert!(at_once(&mut other).await.is_none());
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
