//! Whether a server takes the password that the gateway has for it.
//!
//! A password that was refused is not tried again with every message: servers lock out who does that, and the log would
//! hold nothing else. As long as nobody knows whether it is right, one connection at a time tries it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::rest::Rest;
use crate::smtp::Reply;
use crate::smtp::client::ClientError;

/// First and longest time that a refused password is not tried: fewer tries than lock out a client anywhere, and an
/// hour at most after somebody has mended it at the other end. A reload tries at once.
const PAUSE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3_600));

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
    /// The reply that refused it the last time.
    refusal: Option<Reply>,
    pause: Rest,
    /// When the last try ended, whatever came of it.
    ended: Option<Instant>,
}

/// The leave to try the password, until it is dropped.
pub(super) struct Turn<'a> {
    /// `None`: others may at the same time.
    _alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Login {
    pub(super) fn new() -> Self {
        let pause = Rest::new(PAUSE);
        let state = State { proven: false, refusal: None, pause, ended: None };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the password may be tried.
    ///
    /// # Errors
    ///
    /// It was refused lately: the reply of then.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Reply> {
        if self.lock().proven {
            return Ok(Turn { _alone: None });
        }
        let asked = Instant::now();
        let turn = self.turn.lock().await;
        let mut state = self.lock();
        if let Some(refusal) = state.refusal.clone()
            && state.pause.holds_unless_probing(Instant::now())
        {
            return Err(refusal);
        }
        // Somebody has tried in between, and whatever stood in the way was not the password: nobody need queue for it.
        let free = state.proven || state.ended.is_some_and(|ended| ended >= asked);
        Ok(Turn { _alone: (!free).then_some(turn) })
    }

    /// Notes what came of a try; `true` if the password was refused for good.
    pub(super) fn tried(&self, failure: Option<&ClientError>) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.ended = Some(now);
        match failure {
            None => {
                state.proven = true;
                state.refusal = None;
                state.pause.over();
                false
            }
            // RFC 4954 section 6: 4yz is about the server, 5yz about the password or the account.
            Some(ClientError::Auth(reply)) if reply.is_permanent() => {
                state.proven = false;
                state.refusal = Some(reply.clone());
                state.pause.failed(now);
                true
            }
            Some(_) => false,
        }
    }

    /// Whether the password is not tried now.
    pub(super) fn is_paused(&self) -> bool {
        let state = self.lock();
        state.refusal.is_some() && state.pause.holds(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn refused(code: u16) -> ClientError {
        ClientError::Auth(Reply::new(code, (5, 7, 8), "no"))
    }

    #[tokio::test]
    async fn a_refused_password_is_not_tried_again_soon() {
        let login = Login::new();
        drop(login.turn().await.unwrap());
        assert!(!login.tried(Some(&refused(454))) && !login.is_paused());
        drop(login.turn().await.unwrap());
        assert!(login.tried(Some(&refused(535))) && login.is_paused());
        assert_eq!(login.turn().await.err().unwrap().code(), 535);
        assert!(!login.tried(None) && !login.is_paused());
        drop(login.turn().await.unwrap());
    }

    #[tokio::test]
    async fn one_tries_while_it_is_not_known_to_be_right() {
        let login = Login::new();
        let first = login.turn().await.unwrap();
        let mut second = Box::pin(login.turn());
        assert!(at_once(&mut second).await.is_none());
        login.tried(Some(&refused(535)));
        drop(first);
        assert!(second.await.is_err());
        // Known to be right, nobody waits.
        login.tried(None);
        let (_one, _other) = (login.turn().await.unwrap(), login.turn().await.unwrap());
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
