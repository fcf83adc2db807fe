//! A zone with several authoritative servers that take changes over one after another, and with faults.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mta_seal::core::Domain;
use mta_seal::dns::update::{UpdateError, UpdateFailure};
use mta_seal::gateway::publication::{
    Action, Change, PublishError, PublishFuture, Published, Publisher, Way,
};
use mta_seal::gateway::rotation::{Seen, Sighting, SightingFuture, Sightings};
use tokio::sync::Notify;

use super::Chance;

/// How long servers take to take a change over, in seconds.
#[derive(Debug, Clone, Copy)]
pub enum Lag {
    /// Not at all.
    None,
    /// Minutes to hours, now and then days.
    Real,
}

/// Where a process that publishes and looks ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Break {
    /// Before anything was handed over.
    BeforePublication,
    /// The changes are made, and nobody has noted it.
    AfterPublication,
    /// Before the servers were asked.
    BeforeLook,
}

/// A zone; clones are the same one.
#[derive(Clone)]
pub struct Zone {
    state: Arc<Mutex<State>>,
    broken: Arc<Notify>,
}

struct State {
    /// True time.
    now: u64,
    ttl: u64,
    negative: u64,
    lag: Lag,
    chance: Chance,
    servers: Vec<Server>,
    /// The publisher refuses until then.
    refuses_until: u64,
    /// The publisher is an operator who does nothing.
    by_hand: bool,
    /// Where the next visit ends.
    breaks: Option<Break>,
    /// Texts that all servers had at the same time, with when that began.
    shown: Vec<(String, String, u64)>,
    published: u64,
    refused: u64,
    /// The last changes of policies, for whoever wants to know how something came about.
    trail: VecDeque<String>,
}

#[derive(Default)]
struct Server {
    records: Vec<(String, String)>,
    pending: VecDeque<(u64, Vec<Change>)>,
    /// It takes nothing over until then.
    stale_until: u64,
    /// It does not answer until then.
    silent_until: u64,
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Zone")
    }
}

impl Zone {
    pub fn new(
        servers: usize,
        ttl: u64,
        negative: u64,
        lag: Lag,
        now: u64,
        chance: Chance,
    ) -> Self {
        let state = State {
            now,
            ttl,
            negative,
            lag,
            chance,
            servers: (0..servers).map(|_| Server::default()).collect(),
            refuses_until: 0,
            by_hand: false,
            breaks: None,
            shown: Vec::new(),
            published: 0,
            refused: 0,
            trail: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), broken: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Goes on to true time `now`.
    pub fn advance(&self, now: u64) {
        let mut state = self.lock();
        state.now = now;
        state.take_over();
    }

    pub fn refuse_until(&self, until: u64) {
        self.lock().refuses_until = until;
    }

    pub fn by_hand(&self, by_hand: bool) {
        self.lock().by_hand = by_hand;
    }

    pub fn stale_until(&self, server: usize, until: u64) {
        self.lock().servers[server].stale_until = until;
    }

    pub fn silence_until(&self, server: usize, until: u64) {
        self.lock().servers[server].silent_until = until;
    }

    pub fn servers(&self) -> usize {
        self.lock().servers.len()
    }

    pub fn negative(&self) -> u64 {
        self.lock().negative
    }

    /// Ends the next visit at a point, as if its process were killed there.
    pub fn break_at(&self, at: Option<Break>) {
        self.lock().breaks = at;
    }

    /// Whether a break is still to come.
    pub fn will_break(&self) -> bool {
        self.lock().breaks.is_some()
    }

    /// Ends when a visit has reached the break.
    pub async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Publishes or removes a record at all servers at once, as its operator by hand.
    pub fn set(&self, name: &str, value: &str, there: bool) {
        let change = Change {
            action: if there { Action::Add } else { Action::Remove },
            name: name.to_owned(),
            value: value.to_owned(),
            ttl: 0,
        };
        let mut state = self.lock();
        for server in &mut state.servers {
            server.apply(std::slice::from_ref(&change));
        }
        state.note();
    }

    /// What each server has at a name.
    pub fn records(&self, name: &str) -> Vec<Vec<String>> {
        self.lock().servers.iter().map(|server| server.at(name)).collect()
    }

    /// Since when every server has had this record, if that ever was so.
    pub fn shown(&self, name: &str, value: &str) -> Option<u64> {
        let state = self.lock();
        state.shown.iter().find(|(n, v, _)| n == name && v == value).map(|(.., at)| *at)
    }

    /// What a resolver hears: from the server that is furthest behind if it is `unlucky`.
    pub fn ask(&self, name: &str, unlucky: bool) -> (Vec<String>, u64) {
        let mut state = self.lock();
        let at = if unlucky {
            let behind = state.servers.iter().enumerate();
            behind.max_by_key(|(_, server)| server.pending.len()).map_or(0, |(n, _)| n)
        } else {
            let last = state.servers.len() as u64 - 1;
            usize::try_from(state.chance.between(0, last)).unwrap()
        };
        let records = state.servers[at].at(name);
        let ttl = if records.is_empty() { state.negative } else { state.ttl };
        (records, ttl)
    }

    /// The last changes of policies.
    pub fn trail(&self) -> Vec<String> {
        self.lock().trail.iter().cloned().collect()
    }

    /// How often changes were made and refused.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.published, state.refused)
    }

    /// Hangs for good if the visit is to end here.
    async fn pause(&self, at: Break) {
        if self.lock().breaks.take_if(|b| *b == at).is_some() {
            self.broken.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Server {
    fn at(&self, name: &str) -> Vec<String> {
        self.records.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
    }

    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.records.retain(|(n, v)| *n != change.name || *v != change.value);
            if change.action == Action::Add {
                self.records.push((change.name.clone(), change.value.clone()));
            }
        }
    }
}

impl State {
    fn change(&mut self, changes: &[Change]) {
        let policies = changes.iter().filter(|change| change.name.starts_with("_mta-seal."));
        let policies: Vec<String> = policies
            .map(|c| format!("{} {}", c.action, &c.value[..40.min(c.value.len())]))
            .collect();
        self.trail.push_back(format!("{}: {}", self.now, policies.join(", ")));
        if self.trail.len() > 30 {
            self.trail.pop_front();
        }
        for n in 0..self.servers.len() {
            let lag = match self.lag {
                Lag::None => 0,
                // The primary has it at once.
                Lag::Real if n == 0 => 0,
                Lag::Real if self.chance.once_in(25) => self.chance.between(1, 3) * 86_400,
                Lag::Real if self.chance.once_in(3) => self.chance.between(600, 4 * 3_600),
                Lag::Real => self.chance.between(5, 900),
            };
            let server = &mut self.servers[n];
            // A transfer that is under way brings the zone as it is then.
            let at = server.pending.back().map_or(self.now + lag, |(at, _)| *at);
            server.pending.push_back((at, changes.to_vec()));
        }
        self.take_over();
    }

    fn take_over(&mut self) {
        let now = self.now;
        for server in &mut self.servers {
            while now >= server.stale_until
                && server.pending.front().is_some_and(|(at, _)| *at <= now)
            {
                let (_, changes) = server.pending.pop_front().unwrap();
                server.apply(&changes);
            }
        }
        self.note();
    }

    fn note(&mut self) {
        let first = &self.servers[0].records;
        for (name, value) in first {
            let known = self.shown.iter().any(|(n, v, _)| n == name && v == value);
            let everywhere =
                self.servers.iter().all(|s| s.records.iter().any(|(n, v)| n == name && v == value));
            if everywhere && !known {
                self.shown.push((name.clone(), value.clone(), self.now));
            }
        }
    }
}

impl Publisher for Zone {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        Box::pin(async move {
            self.pause(Break::BeforePublication).await;
            {
                let mut state = self.lock();
                if state.by_hand {
                    return Ok(Published::ByHand);
                }
                if state.now < state.refuses_until {
                    state.refused += 1;
                    return Err(PublishError::Update(UpdateError {
                        server: ([127, 0, 0, 1], 53).into(),
                        failure: UpdateFailure::Timeout(Duration::from_secs(5)),
                    }));
                }
                state.published += 1;
                state.change(changes);
            }
            self.pause(Break::AfterPublication).await;
            Ok(Published::Done)
        })
    }

    fn way(&self) -> Way {
        Way::Update
    }
}

impl Sightings for Zone {
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a> {
        Box::pin(async move {
            self.pause(Break::BeforeLook).await;
            let state = self.lock();
            let (mut servers, mut settle) = (Vec::new(), state.negative);
            for (n, server) in state.servers.iter().enumerate() {
                let records: Vec<Vec<u8>> =
                    server.at(name.as_str()).into_iter().map(String::into_bytes).collect();
                if !records.is_empty() {
                    settle = settle.max(state.ttl);
                }
                let silent = state.now < server.silent_until;
                let records = if silent { Err("does not answer".to_owned()) } else { Ok(records) };
                servers.push(Seen { server: format!("ns{n}"), records });
            }
            Sighting { servers, settle }
        })
    }
}
