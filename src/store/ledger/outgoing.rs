//! Retry memory of the sealing side: which delivery id a transaction uses, and who is not to be
//! sent to again.
//!
//! # The accounts
//!
//! SMTP gives no message identity, only a *retry key*: reverse-path, recipient domain and header
//! block. A transaction with a known retry key is either a retry of an earlier one or another,
//! identical message. The ledger tells them apart by what the client was *told*, and keeps one
//! rule: **each 250 told to the client for a recipient is backed by a delivery of its own.** A
//! retry then costs no second delivery and two identical messages are two deliveries; it does
//! not matter which of two identical messages a delivery is booked to.
//!
//! # States
//!
//! An *entry* is one delivery id under one retry key. It is *open* while a transaction of a
//! living process uses it. Each of its recipients is in one state:
//!
//! | state | meaning | when submitted again |
//! |---|---|---|
//! | pending | being sent by the open transaction; after a crash, waiting in doubt | |
//! | waiting | last outcome temporary or unknown; *in doubt* once any was unknown | sent again under the same delivery id |
//! | final | accepted or refused for good, but the client heard 451, or left | not sent again; the outcome is the answer |
//! | told | the client was told the final outcome | another message |
//! | moved | the final outcome stands in another entry | not sent again under this delivery id |
//!
//! ```text
//!            begin           finish                    begin, same recipients
//!  (none) ---------> pending --------> waiting --------------------------> pending
//!                       |  \---------> final, not told --(begin)--> already done
//!                       |                    |   finish, told
//!                       \--------------------+-----------------> told
//! ```
//!
//! # Rules of `begin`
//!
//! 1. An entry is a *candidate* if it is not open, not expired, has a recipient of this
//!    transaction that is waiting or final, and none that is told: a told one that comes again
//!    is another message, and its delivery id would make the far side drop it (a loss).
//! 2. Without a candidate the transaction gets the fresh delivery id. So do concurrent
//!    transactions with the same retry key: they are different messages, or parts of one with
//!    different recipients.
//! 3. Of several candidates (the client grouped recipients anew) the one with most recipients in
//!    doubt gives its delivery id, since only the same id lets the far side recognise what it
//!    may already have; then the one with most recipients; then the latest. A final outcome
//!    that it lacks is taken from another candidate with the same message hash, where the
//!    recipient becomes moved: an outcome is used once. A candidate with a moved recipient that
//!    would have to be sent does not give its delivery id.
//! 4. Recipients with a final outcome are returned as `already`, all others are to be sent. While the transaction is
//!    open its outcomes are *lent*: no other transaction gets them.
//! 5. An open entry gives no delivery id, but the outcomes that its transaction has not asked for: the client may retry
//!    parts of one group over several connections at once. They move as in rule 3, to a fresh entry if need be.
//!
//! Entries with disjoint recipients keep different delivery ids: the far side remembers delivery
//! id *and* recipient, and two groups retried at the same time must not wait for each other.
//!
//! An entry whose recipients are all told or moved is deleted. An open transaction whose process died
//! leaves waiting recipients in doubt.
//!
//! # What remains
//!
//! If the process dies after `finish` (told) became durable and before the client read the
//! reply, the client's retry is a second message: a duplicate is preferred to a loss
//! (RFC 1047). When the gateway itself notices that the reply could not be written it reports
//! again with [`Upstream::Deferred`], which takes the telling back.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::core::DeliveryId;
use crate::core::hex::Hex;

/// Hash of reverse-path, recipient domain and header block: what an SMTP retry repeats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetryKey([u8; 32]);

impl RetryKey {
    /// Takes the hash as the gateway computed it.
    #[must_use]
    pub const fn from_bytes(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RetryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, _) = self.0.split_at(8);
        write!(f, "RetryKey({}..)", Hex(first))
    }
}

/// A permanent refusal as the next hop gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalReply {
    /// The reply code, 500 to 599.
    pub code: u16,
    /// The text of the reply with its enhanced status code, lines separated by LF; at most
    /// [`super::MAX_REPLY`] octets of it are kept.
    pub text: String,
}

/// What became of one recipient in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop took responsibility (2xx).
    Accepted,
    /// The next hop refused for good (5xx).
    Permanent(FinalReply),
    /// The next hop refused for now (4xx), or the message never reached the final dot.
    Temporary,
    /// The final dot was sent and no reply was read.
    Unknown,
}

/// An outcome that a retry does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinalOutcome {
    /// The next hop took responsibility (2xx).
    Accepted,
    /// The next hop refused for good (5xx).
    Permanent(FinalReply),
}

/// What the client of the gateway is about to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// Each recipient with a final outcome gets it: LMTP, or SMTP without temporary failures.
    Told,
    /// Nobody gets a final answer: 451 for the whole transaction, or the client has left.
    Deferred,
}

/// A transaction that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The delivery id to seal with.
    pub delivery_id: DeliveryId,
    /// Recipients to send to, distinct, in the order given.
    pub send: Vec<String>,
    /// Recipients that an earlier attempt settled: answer with this, do not send.
    pub already: Vec<(String, FinalOutcome)>,
    /// Hash of the message that was first sent under this delivery id, if it was recorded. If
    /// the message at hand has another one, do not send the final dot but retire the entry.
    pub message_hash: Option<[u8; 32]>,
    /// Whether the delivery id is that of an earlier attempt.
    pub retry: bool,
    pub(super) retry_key: RetryKey,
    pub(super) token: i64,
}

/// What an entry says about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The transaction that has the entry open is at it.
    Busy,
    /// Neither accepted nor refused for good; `doubt` once an outcome was unknown.
    Waiting { doubt: bool },
    /// Settled, and the client does not know it.
    Final(FinalOutcome),
    /// Settled, and the client knows it.
    Told,
    /// Settled, as another entry says.
    Moved,
}

/// An entry as `begin` sees it: not expired, only the recipients of the transaction.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) delivery_id: DeliveryId,
    pub(super) open: bool,
    pub(super) message_hash: Option<[u8; 32]>,
    pub(super) recipients: HashMap<String, Standing>,
}

/// Which entry a retry continues.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// The entry, as an index; `None`: a fresh one, to which outcomes move.
    pub(super) entry: Option<usize>,
    /// The hash that the message must have, if any is known.
    pub(super) message_hash: Option<[u8; 32]>,
    /// Settled recipients with the entry that says so.
    pub(super) already: Vec<(String, FinalOutcome, usize)>,
}

/// Applies rules 1 to 5 of the module; `entries` begin with the latest. `None`: a fresh entry.
pub(super) fn decide(entries: &[Entry], recipients: &[String]) -> Option<Retry> {
    let candidates: Vec<usize> = (0..entries.len())
        .filter(|&at| {
            let known = &entries[at].recipients;
            let here = || recipients.iter().filter_map(|path| known.get(path));
            let useful = |standing: &Standing| match standing {
                Standing::Moved | Standing::Busy => false,
                _ => !entries[at].open || matches!(standing, Standing::Final(_)),
            };
            here().all(|standing| *standing != Standing::Told) && here().any(useful)
        })
        .collect();
    let weight = |at: usize| {
        let known = &entries[at].recipients;
        let here = || recipients.iter().filter_map(|path| known.get(path));
        let doubtful = here().filter(|s| **s == Standing::Waiting { doubt: true }).count();
        (doubtful, here().filter(|s| **s != Standing::Moved).count())
    };
    let mut donors: Vec<usize> =
        candidates.iter().copied().filter(|&at| !entries[at].open).collect();
    // The sort is stable: of equals the latest stays first.
    donors.sort_by_key(|&at| std::cmp::Reverse(weight(at)));
    let resumed =
        donors.into_iter().find_map(|at| resume(entries, &candidates, Some(at), recipients));
    resumed.or_else(|| {
        let retry = resume(entries, &candidates, None, recipients)?;
        (!retry.already.is_empty()).then_some(retry)
    })
}

/// What a retry under the id of `entry`, or a fresh one, looks like; `None` if its id must not be used.
fn resume(
    entries: &[Entry],
    candidates: &[usize],
    entry: Option<usize>,
    recipients: &[String],
) -> Option<Retry> {
    let outcome = |at: usize, path: &String| match entries[at].recipients.get(path) {
        Some(Standing::Final(outcome)) => Some(outcome.clone()),
        _ => None,
    };
    // An attempt that never read the message to its end recorded no hash; the hash that the
    // message at hand must have is then that of the outcomes it relies on.
    let message_hash = entry.and_then(|at| entries[at].message_hash).or_else(|| {
        let settled = |at: &usize| recipients.iter().any(|path| outcome(*at, path).is_some());
        candidates.iter().copied().filter(settled).find_map(|at| entries[at].message_hash)
    });
    let same = |at: &usize| Some(*at) != entry && entries[*at].message_hash == message_hash;
    let mut already = Vec::new();
    for path in recipients {
        let others = candidates.iter().copied().filter(same);
        let found = entry.into_iter().chain(others).find_map(|at| Some((outcome(at, path)?, at)));
        let moved =
            entry.is_some_and(|at| entries[at].recipients.get(path) == Some(&Standing::Moved));
        match found {
            Some((outcome, at)) => already.push((path.clone(), outcome, at)),
            None if moved => return None,
            None => {}
        }
    }
    Some(Retry { entry, message_hash, already })
}

/// The recipients without repetitions, in order.
pub(super) fn distinct(recipients: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    recipients.iter().filter(|path| seen.insert(path.as_str())).cloned().collect()
}
