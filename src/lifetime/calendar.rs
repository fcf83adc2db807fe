//! What a keyring holds, in which state, and what happens next.

use crate::core::KeyId;
use crate::records::PolicyRecord;

use super::book::{Book, Kind, Life};
use super::plan::end;
use super::schedule::{LISTED_AFTER_USE, Schedule};
use super::state::State;

/// What happens next with a key. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Its record, or the policy that lists it, has to be seen everywhere.
    Seen,
    /// It may be used from then on, as soon as its turn comes.
    Ready(u64),
    /// It takes the place of the one in use.
    Use(u64),
    /// Another takes its place.
    Replace(u64),
    /// Its private part is destroyed.
    Destroy(u64),
    /// Policies list it until then.
    Delist(u64),
    /// Nothing.
    Nothing,
}

/// A line of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the key is for.
    pub kind: Kind,
    /// Its key id.
    pub id: KeyId,
    /// The selector of its record.
    pub selector: Option<String>,
    /// Its state.
    pub state: State,
    /// When it came into being, Unix seconds.
    pub made: u64,
    /// Since when it is, or was, in use.
    pub from: Option<u64>,
    /// When it was revoked.
    pub revoked: Option<u64>,
    /// When its private part was destroyed.
    pub destroyed: Option<u64>,
    /// What happens next.
    pub next: Next,
}

/// The keys of a domain, by kind and then by age.
#[must_use]
pub fn calendar(
    book: &Book,
    policy: &PolicyRecord,
    ahead: &[PolicyRecord],
    schedule: &Schedule,
    now: u64,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = book
        .keys
        .iter()
        .map(|life| Entry {
            kind: life.kind,
            id: life.id,
            selector: life.selector.clone(),
            state: life.state(policy, now),
            made: life.made,
            from: life.from,
            revoked: life.revoked,
            destroyed: life.destroyed,
            next: next(book, life, policy, ahead, schedule, now),
        })
        .collect();
    entries.sort_by_key(|entry| {
        (std::cmp::Reverse(entry.kind), entry.from.unwrap_or(u64::MAX), entry.made)
    });
    entries
}

fn next(
    book: &Book,
    life: &Life,
    policy: &PolicyRecord,
    ahead: &[PolicyRecord],
    schedule: &Schedule,
    now: u64,
) -> Next {
    let length = match life.kind {
        Kind::Sealing(_) => schedule.sealing,
        Kind::Signing => schedule.signing,
    };
    match life.state(policy, now) {
        State::Prepared => life.ready.map_or(Next::Seen, Next::Ready),
        State::Published => {
            let current = book
                .keys
                .iter()
                .find(|other| other.kind == life.kind && other.state(policy, now) == State::Active);
            let due = current
                .and_then(|current| current.from)
                .map_or(now, |from| from.saturating_add(length));
            Next::Use(due.max(now))
        }
        State::Active => Next::Replace(life.from.unwrap_or(now).saturating_add(length)),
        State::Retiring => end(life, policy, ahead, now).map_or(Next::Nothing, Next::Destroy),
        State::Destroyed => match (life.kind, life.to) {
            (Kind::Signing, Some(to))
                if now < to.saturating_add(LISTED_AFTER_USE) && life.revoked.is_none() =>
            {
                Next::Delist(to.saturating_add(LISTED_AFTER_USE))
            }
            _ => Next::Nothing,
        },
    }
}
