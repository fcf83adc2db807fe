//! A resolver with a cache that holds every answer as long as it may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta_seal::core::Domain;
use mta_seal::dns::{Authenticity, Denial, Found, Lookup, LookupFuture, Resolver};

use super::{Chance, Zone};

pub struct Cache {
    state: Mutex<State>,
}

struct State {
    now: u64,
    chance: Chance,
    zones: Vec<(Domain, Zone)>,
    held: HashMap<String, (u64, Vec<String>)>,
    /// Nothing is answered until then.
    down_until: u64,
    /// How often that was so, and how often an answer came from the cache.
    failures: u64,
    hits: u64,
}

impl Cache {
    pub fn new(zones: Vec<(Domain, Zone)>, chance: Chance) -> Self {
        let state = State {
            now: 0,
            chance,
            zones,
            held: HashMap::new(),
            down_until: 0,
            failures: 0,
            hits: 0,
        };
        Self { state: Mutex::new(state) }
    }

    pub fn advance(&self, now: u64) {
        self.state.lock().unwrap().now = now;
    }

    pub fn down_until(&self, until: u64) {
        let mut state = self.state.lock().unwrap();
        state.down_until = state.down_until.max(until);
    }

    pub fn is_down(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.now < state.down_until
    }

    pub fn counts(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.failures, state.hits)
    }
}

impl State {
    fn look_up(&mut self, name: &str) -> Lookup {
        let now = self.now;
        if let Some((until, records)) = self.held.get(name)
            && now < *until
        {
            self.hits += 1;
            return answer(records, until - now);
        }
        if now < self.down_until {
            self.failures += 1;
            return if self.chance.once_in(2) {
                Lookup::Timeout
            } else {
                Lookup::ServFail { rcode: 2 }
            };
        }
        let zone = self.zones.iter().find(|(domain, _)| name.ends_with(domain.as_str()));
        let (_, zone) = zone.expect("a name of a zone");
        let unlucky = self.chance.once_in(2);
        let (records, ttl) = zone.ask(name, unlucky);
        let answer = answer(&records, ttl);
        self.held.insert(name.to_owned(), (now + ttl, records));
        answer
    }
}

fn answer(records: &[String], ttl: u64) -> Lookup {
    let (authenticity, ttl) = (Authenticity::Insecure, Duration::from_secs(ttl));
    if records.is_empty() {
        return Lookup::NxDomain(Denial { authenticity, ttl });
    }
    let records = records.iter().map(|text| text.clone().into_bytes()).collect();
    Lookup::Found(Found { records, authenticity, ttl, chain: Vec::new() })
}

impl Resolver for Cache {
    fn txt<'a>(&'a self, name: &'a Domain) -> LookupFuture<'a> {
        let answer = self.state.lock().unwrap().look_up(name.as_str());
        Box::pin(std::future::ready(answer))
    }

    fn forget(&self, name: &Domain) {
        self.state.lock().unwrap().held.remove(name.as_str());
    }
}
