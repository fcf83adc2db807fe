//! Which records must stand, and what is known of how they do.

use serde::{Deserialize, Serialize};

use crate::core::{Domain, KeyId};
use crate::records::{PolicyRecord, Selector, key_record_name, policy_name};

use super::book::{Book, Kind, Life};

/// Attempts after which an operator is told that a record is not published.
pub const TRIES: u32 = 3;

/// Longest time between two attempts, in seconds.
const MAX_GAP: u64 = 3_600;

/// A record that must stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, without trailing dot.
    pub name: String,
    /// The whole text.
    pub value: String,
}

/// A record that must stand, or no longer must, and what is known of it. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Its name, without trailing dot.
    pub name: String,
    /// The whole text.
    pub value: String,
    /// Since when it must stand, or must not.
    pub since: u64,
    /// It is to be withdrawn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// When it was handed over for publication with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// How often that was tried in vain.
    #[serde(default)]
    pub tries: u32,
    /// When that is tried again.
    #[serde(default)]
    pub again: u64,
    /// Since when every server of the zone has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// How long caches keep what stood, or did not stand, at its name before it, in seconds: the longest that was seen and that a
    /// cache can still go by.
    #[serde(default)]
    pub settle: u64,
    /// When it was seen that long.
    #[serde(default)]
    pub heard: u64,
    /// When every cache has it, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
}

impl Stand {
    /// One that must stand from `now` on, and has not been handed over yet.
    fn new(name: String, value: String, now: u64) -> Self {
        Self {
            name,
            value,
            since: now,
            withdrawn: false,
            done: None,
            tries: 0,
            again: 0,
            seen: None,
            settle: 0,
            heard: 0,
            ready: None,
        }
    }

    /// Whether it has to be handed over for publication.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.done.is_none() && self.seen.is_none()
    }

    /// Whether it has to be handed over now.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        self.is_pending() && now >= self.again
    }

    /// Notes that it was handed over.
    pub fn published(&mut self, now: u64) {
        self.done = Some(now);
        self.tries = 0;
    }

    /// Notes that this has failed: it is tried again after 30 seconds, a minute, two, up to an hour.
    pub fn refused(&mut self, now: u64) {
        let gap = 30_u64.checked_shl(self.tries).unwrap_or(MAX_GAP).min(MAX_GAP);
        self.tries = self.tries.saturating_add(1);
        self.again = now.saturating_add(gap);
    }

    /// Notes that every server has it, and that caches may deny it, or have another, for `settle` seconds more.
    pub fn everywhere(&mut self, now: u64, settle: u64) {
        let since = *self.seen.get_or_insert(now);
        self.hear(now, settle);
        self.ready = Some(since.saturating_add(self.settle));
    }

    /// Notes how long caches keep what they get at `now`. A longer time counts until what was got then has gone, and no longer: it may
    /// have been a mistake, or forged.
    fn hear(&mut self, now: u64, settle: u64) {
        if settle >= self.settle || now.abs_diff(self.heard) >= self.settle {
            (self.settle, self.heard) = (settle, now);
        }
    }

    /// Notes that a server does not have it: it is published again if it was seen before, or has been handed over this long ago.
    pub fn missing(&mut self, now: u64, settle: u64, patience: u64) {
        self.hear(now, settle);
        let vanished = self.seen.take().is_some();
        self.ready = None;
        if vanished {
            self.since = now;
        }
        if vanished || self.done.is_some_and(|at| now > at.saturating_add(patience)) {
            self.done = None;
            self.refused(now);
        }
    }
}

/// The names of a domain's records: its own, or those to which it has delegated them by CNAME.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    at: &'a Domain,
}

/// The names below `at`, which is the domain itself if nothing is delegated.
#[must_use]
pub fn names(at: &Domain) -> Names<'_> {
    Names { at }
}

impl Names<'_> {
    /// Of the policy record.
    #[must_use]
    pub fn policy(&self) -> String {
        policy_name(self.at)
    }

    /// Of a key record; none if the selector is no label.
    #[must_use]
    pub fn key(&self, life: &Life) -> Option<String> {
        let selector: Selector = life.selector.as_deref()?.parse().ok()?;
        Some(key_record_name(&selector, self.at))
    }
}

/// The records that must stand at `now`: the policy, and the records of keys that it lists, that will be listed, or that an
/// unexpired policy has listed, since a sender may know that one [R-life-03].
pub fn wanted(
    book: &Book,
    policy: &str,
    names: Names<'_>,
    text: impl Fn(&KeyId) -> Option<String>,
    now: u64,
) -> Vec<Wanted> {
    let stands = |life: &&Life| {
        let unexpired = || life.listing.is_some_and(|listing| now < listing.expiry);
        life.has_record() && life.is_usable() && (life.from.is_none() || unexpired())
    };
    let keys = book.keys.iter().filter(stands);
    let keys =
        keys.filter_map(|life| Some(Wanted { name: names.key(life)?, value: text(&life.id)? }));
    let policy = Wanted { name: names.policy(), value: policy.to_owned() };
    keys.chain(std::iter::once(policy)).collect()
}

impl Book {
    /// Brings the stands to what is wanted: new ones are to be published, those no longer wanted to be withdrawn, but for a while after
    /// the clock has jumped.
    pub fn want(&mut self, wanted: Vec<Wanted>, now: u64) {
        let settling = self.settling(now).is_some();
        for stand in &mut self.stands {
            let still = wanted.iter().any(|w| w.name == stand.name && w.value == stand.value);
            // Two of a name are worse than none [R-rec-01], so that the one gives way to the other in any case.
            let replaced = wanted.iter().any(|w| w.name == stand.name);
            if still == stand.withdrawn && (still || replaced || !settling) {
                stand.withdrawn = !still;
                (stand.since, stand.done, stand.tries, stand.again) = (now, None, 0, 0);
                (stand.seen, stand.ready) = (None, None);
            }
        }
        for Wanted { name, value } in wanted {
            if !self.stands.iter().any(|s| s.name == name && s.value == value) {
                // Caches may have what it replaces.
                let at_name = self.stands.iter().filter(|stand| stand.name == name);
                let longest = at_name.map(|stand| (stand.settle, stand.heard)).max();
                let (settle, heard) = longest.unwrap_or_default();
                self.stands.push(Stand { settle, heard, ..Stand::new(name, value, now) });
            }
        }
    }

    /// Has a record withdrawn that was not published from here, or of which nothing is known any more.
    pub fn strike(&mut self, name: &str, value: &str, now: u64) {
        if !self.stands.iter().any(|s| s.name == name && s.value == value) {
            let stand = Stand::new(name.to_owned(), value.to_owned(), now);
            self.stands.push(Stand { withdrawn: true, ..stand });
        }
    }

    /// The stand of a record that must stand.
    #[must_use]
    pub fn stand(&self, name: &str, value: &str) -> Option<&Stand> {
        self.stands.iter().find(|s| !s.withdrawn && s.name == name && s.value == value)
    }

    /// Passes what is known of the records on to the keys that wait for it [R-life-02].
    pub fn settle(
        &mut self,
        policy: &PolicyRecord,
        policy_text: &str,
        names: Names<'_>,
        text: impl Fn(&KeyId) -> Option<String>,
        now: u64,
    ) {
        self.policy_ready = self.stand(&names.policy(), policy_text).and_then(|stand| stand.ready);
        // What vanishes before it has been seen for long enough has to be seen anew.
        let settled = |at: Option<u64>| at.is_some_and(|at| now >= at);
        if let Some(succession) = &mut self.identity.succession
            && !settled(succession.ready)
        {
            succession.ready = self.policy_ready;
        }
        let mut ready: Vec<(KeyId, Option<u64>)> = Vec::new();
        let waits = |life: &&Life| match life.kind {
            Kind::Sealing(suite) => !suite.is_inline() && life.from.is_none(),
            Kind::Signing => !settled(life.ready),
        };
        for life in self.keys.iter().filter(waits) {
            let at = match life.kind {
                Kind::Sealing(_) => {
                    names.key(life).zip(text(&life.id)).and_then(|(name, value)| {
                        self.stand(&name, &value).and_then(|stand| stand.ready)
                    })
                }
                Kind::Signing => self.policy_ready.filter(|_| life.is_listed_by(policy)),
            };
            ready.push((life.id, at));
        }
        for (id, at) in ready {
            if let Some(life) = self.life_mut(&id) {
                life.ready = at;
            }
        }
    }

    /// Whether nobody uses this selector any more, so that another key may have it. Who acts upon an unexpired policy that lists a
    /// revoked key would find the record of another at its name.
    #[must_use]
    pub fn is_free(&self, selector: &str, names: Names<'_>, now: u64) -> bool {
        let taken = |life: &Life| {
            let stands =
                || names.key(life).is_some_and(|name| self.stands.iter().any(|s| s.name == name));
            let to_be_used = life.from.is_none() && life.is_usable();
            to_be_used || life.listing.is_some_and(|listing| now < listing.expiry) || stands()
        };
        !self.keys.iter().any(|life| life.selector.as_deref() == Some(selector) && taken(life))
    }
}
