//! The seam between the gateway and DNS, and a scripted stand-in behind it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::delegation::{NoServers, ZoneServers};
use super::outcome::{Authenticity, Denial, Found, Lookup};
use crate::core::Domain;

/// A name to look up: labels may hold underscores, as in `sel._mta-seal.example.com`.
pub type QueryName = Domain;

/// A boxed look-up in progress.
pub type LookupFuture<'a> = Pin<Box<dyn Future<Output = Lookup> + Send + 'a>>;

/// A boxed look-up of the servers of a zone.
pub type ServersFuture<'a> =
    Pin<Box<dyn Future<Output = Result<ZoneServers, NoServers>> + Send + 'a>>;

/// Looks up TXT records.
///
/// An implementation ends within its own time budget and never panics. Dropping the future gives the answer up; the look-up
/// may go on, for whoever asks the same next. Whoever needs an answer that he could not wait for asks again.
pub trait Resolver: Send + Sync {
    /// Looks up the TXT records of `name`, following CNAME records.
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a>;

    /// Forgets what a cache holds for `name`, so that the next look-up asks again; for
    /// `mta-seal` commands that have just published a record.
    fn forget(&self, name: &QueryName) {
        let _ = name;
    }

    /// Looks up which servers are authoritative for the zone that holds `name`, so that
    /// [`authorities`](super::authorities) can ask them. A resolver that knows none has no zones.
    fn servers<'a>(&'a self, name: &'a QueryName) -> ServersFuture<'a> {
        let _ = name;
        Box::pin(std::future::ready(Err(NoServers::NoZone)))
    }
}

/// A resolver that answers from a script; names outside it do not exist, insecurely.
#[derive(Debug, Default)]
pub struct Scripted {
    state: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    answers: HashMap<QueryName, Lookup>,
    asked: Vec<QueryName>,
}

impl Scripted {
    /// An empty script.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `name` with `outcome` from now on.
    pub fn set(&self, name: QueryName, outcome: Lookup) {
        self.lock().answers.insert(name, outcome);
    }

    /// Answers `name` with these TXT records and a time to live of one hour.
    pub fn set_txt(&self, name: QueryName, records: &[&[u8]], authenticity: Authenticity) {
        let found = Found {
            records: records.iter().map(|r| r.to_vec()).collect(),
            authenticity,
            ttl: Duration::from_secs(3600),
            chain: Vec::new(),
        };
        self.set(name, Lookup::Found(found));
    }

    /// Takes `name` out of the script.
    pub fn remove(&self, name: &QueryName) {
        self.lock().answers.remove(name);
    }

    /// The names asked for so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<QueryName> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Scripted {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        let mut script = self.lock();
        script.asked.push(name.clone());
        let outcome = script.answers.get(name).cloned().unwrap_or(Lookup::NxDomain(Denial {
            authenticity: Authenticity::Insecure,
            ttl: Duration::from_secs(60),
        }));
        Box::pin(std::future::ready(outcome))
    }
}
