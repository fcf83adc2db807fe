//! Tends the keys of one domain.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::warn;

use super::desk::{Desk, DeskError, Event, Made};
use super::sighting::{Authoritative, Sighting, Sightings};
use crate::core::{Domain, KeyId};
use crate::dns::Resolver;
use crate::gateway::clock::Clock;
use crate::gateway::config::LocalDomain;
use crate::gateway::publication::{
    Action, Change, Published, Publisher, PublisherError, Turn, publisher,
};
use crate::gateway::system_rng;
use crate::lifetime::{Concern, Jump, Plan, Schedule, names};
use crate::records::Selector;
use crate::store::keyring::{KeyringError, Passphrase};
use crate::store::ledger::NewAction;

/// How often what is seen everywhere is looked at again, in seconds.
const AGAIN: u64 = 3_600;

/// Longest time between two looks at what is not yet seen everywhere, in seconds.
const SOON: u64 = 300;

/// Turns of one visit: a record that is ready may let a policy be signed, which is published in turn.
const TURNS: usize = 4;

/// The keys of one domain, where they are published and by whom.
#[derive(Clone)]
pub struct Keeper {
    /// The domain.
    pub domain: Domain,
    /// Where its records stand: the domain itself, or the name to which it delegates them.
    pub at: Domain,
    /// The directory of its keyring.
    pub keys: PathBuf,
    /// Its passphrase, if it is protected.
    pub passphrase: Option<Passphrase>,
    /// The lengths.
    pub schedule: Schedule,
    /// Time to live of its records in seconds.
    pub ttl: u32,
    /// Selectors that are used in turn; none: each key has one of its own.
    pub selectors: Arc<[Selector]>,
    /// Publishes its records.
    pub publisher: Arc<dyn Publisher>,
    /// Tells what the servers of its zone have.
    pub sightings: Arc<dyn Sightings>,
    /// Tells how long a visit has taken so far.
    pub clock: Arc<dyn Clock>,
}

/// What a visit has brought.
#[derive(Debug, Default)]
pub struct Tended {
    /// What was done, in its order.
    pub events: Vec<Event>,
    /// What an operator must hear of.
    pub concerns: Vec<Concern>,
    /// Keys whose end is not yet in the audit trail, and what is to be recorded of each.
    pub ended: Vec<(KeyId, NewAction)>,
    /// The clock has jumped since the visit before.
    pub jump: Option<Jump>,
    /// Why records could not be published.
    pub refused: Option<String>,
    /// What can be done about that.
    pub remedy: Option<String>,
    /// Records that the operator has to publish or to withdraw.
    pub by_hand: Vec<Change>,
    /// When it is worth to come again, Unix seconds.
    pub next: u64,
}

/// What a sitting at the desk has brought.
struct Sitting {
    events: Vec<Event>,
    jump: Option<Jump>,
    plan: Plan,
    changes: Vec<Change>,
    /// The right to have them made.
    turn: Option<Turn>,
    looks: Vec<Look>,
}

/// What has come of a look at the records.
struct Entered {
    /// Records that are seen everywhere since.
    visible: Vec<Event>,
    /// When it is worth to look again, Unix seconds.
    next: u64,
    ended: Vec<(KeyId, NewAction)>,
}

/// A record that is to be looked at.
struct Look {
    name: String,
    value: String,
    withdrawn: bool,
}

impl Keeper {
    /// Tends the keys of `local` as its configuration says; with the default lengths if nothing is to be done by itself. Name servers are
    /// found by `resolver` and asked at `port`. Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// Its records cannot be published as the configuration says.
    pub fn of(
        local: &LocalDomain,
        passphrase: Option<Passphrase>,
        resolver: Arc<dyn Resolver>,
        port: u16,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PublisherError> {
        let publication = &local.publication;
        Ok(Self {
            domain: local.name.clone(),
            at: local.records_under().clone(),
            keys: local.keys.clone(),
            passphrase,
            schedule: local.rotation.unwrap_or_default(),
            ttl: publication.ttl,
            selectors: publication.selectors.clone().into(),
            publisher: publisher(publication, Arc::clone(&clock))?,
            sightings: Arc::new(Authoritative::new(resolver, port)),
            clock,
        })
    }

    fn desk(&self, now: u64) -> Result<Desk, DeskError> {
        Desk::open(&self.keys, &self.domain, self.passphrase.as_ref(), now)
    }

    fn made(&self) -> Made<'_> {
        Made { at: &self.at, selectors: &self.selectors }
    }

    /// Does what is due at `now` (Unix seconds), publishes, looks whether it is seen, and says when to come again. Nothing that was
    /// done is lost if it is broken off.
    ///
    /// # Errors
    ///
    /// The keyring cannot be read or changed. The keys that are in use stay in use.
    pub async fn tend(&self, mut now: u64) -> Result<Tended, DeskError> {
        let mut tended = Tended::default();
        let policy = names(&self.at).policy();
        // What others have published counts before anything is signed [R-life-15].
        let mut sighted = match Domain::parse(&policy) {
            Ok(name) => Some(Arc::new(self.sightings.look(&name).await)),
            Err(_) => None,
        };
        for _ in 0..TURNS {
            let sitting = self.at_desk(move |keeper| keeper.sit(sighted.as_deref(), now)).await?;
            let mut moved = !sitting.events.is_empty();
            tended.events.extend(sitting.events);
            tended.jump = tended.jump.or(sitting.jump);
            tended.concerns = sitting.plan.concerns;
            let published = self.publish(sitting.changes, now, &mut tended).await?;
            drop(sitting.turn);
            moved |= published;
            // A command may have taken minutes: nothing is seen before it stood [R-life-02].
            now = self.clock.now().max(now);
            let seen = self.look(sitting.looks).await;
            let at_policy = seen.iter().find(|(look, _)| look.name == policy);
            sighted = at_policy.map(|(_, sighting)| Arc::clone(sighting));
            let entered = self.at_desk(move |keeper| keeper.enter(&seen, now)).await?;
            moved |= !entered.visible.is_empty();
            tended.events.extend(entered.visible);
            tended.ended = entered.ended;
            tended.next = sitting.plan.next.min(entered.next).max(now.saturating_add(1));
            if !moved {
                break;
            }
        }
        Ok(tended)
    }

    /// Notes that the end of these keys is in the audit trail.
    ///
    /// # Errors
    ///
    /// The keyring cannot be changed.
    pub async fn noted(&self, ids: Vec<KeyId>, now: u64) -> Result<(), DeskError> {
        self.at_desk(move |keeper| keeper.desk(now)?.noted(&ids, now)).await
    }

    /// Does what blocks away from the tasks that carry mail.
    async fn at_desk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        let keeper = self.clone();
        match tokio::task::spawn_blocking(move || work(&keeper)).await {
            Ok(result) => result,
            Err(error) => Err(DeskError::Ended(error.to_string())),
        }
    }

    /// What is due is done, with regard to what stands at the name of the policy; then what is to be published and what is to be looked
    /// at.
    fn sit(&self, sighted: Option<&Sighting>, now: u64) -> Result<Sitting, DeskError> {
        let mut desk = self.desk(now)?;
        let jump = desk.book.look(now);
        if let Some(sighting) = sighted {
            desk.heed(sighting, self.made(), now);
        }
        desk.settle(self.made(), now);
        let mut events = Vec::new();
        let plan = desk.work(&self.schedule, self.made(), now, &mut system_rng(), &mut events)?;
        // All that waits at a name goes with what is due there: a policy that is added without the old one being removed would be one
        // of two, and none of them would count.
        let stands = &desk.book.stands;
        let due = |name: &str| stands.iter().any(|stand| stand.name == name && stand.is_due(now));
        let free = !desk.has_rival();
        let pending = stands.iter().filter(|stand| free && stand.is_pending() && due(&stand.name));
        let changes = pending.map(|stand| Change {
            action: if stand.withdrawn { Action::Remove } else { Action::Add },
            name: stand.name.clone(),
            value: stand.value.clone(),
            ttl: self.ttl,
        });
        let mut changes: Vec<Change> = changes.collect();
        let turn = if changes.is_empty() { None } else { self.turn()? };
        if turn.is_none() {
            // Somebody else is at it.
            changes.clear();
        }
        let looks = desk.book.stands.iter().map(|stand| Look {
            name: stand.name.clone(),
            value: stand.value.clone(),
            withdrawn: stand.withdrawn,
        });
        let looks = looks.collect();
        Ok(Sitting { events, jump, plan, changes, turn, looks })
    }

    /// The right to have changes made, unless somebody else has it.
    fn turn(&self) -> Result<Option<Turn>, DeskError> {
        let failed = |source| KeyringError::Io { path: self.keys.clone(), source };
        Ok(Turn::take(&self.keys).map_err(failed)?)
    }

    /// Hands changes over for publication, name by name; whether any was made. What fails at one name holds up no other.
    async fn publish(
        &self,
        changes: Vec<Change>,
        now: u64,
        tended: &mut Tended,
    ) -> Result<bool, DeskError> {
        let mut moved = false;
        let mut by_hand = Vec::new();
        for changes in self.by_name(changes) {
            let result = self.publisher.publish(&changes).await;
            let now = self.clock.now().max(now);
            if let Err(error) = &result {
                let (name, hint) = (changes.first().map(|change| &change.name), error.hint());
                warn!(domain = %self.domain, name, hint, "records could not be published: {error}");
                // The first one is the policy's, if that is among them.
                if tended.refused.is_none() {
                    (tended.refused, tended.remedy) = (Some(error.to_string()), hint);
                }
            }
            let result = result.ok();
            if result == Some(Published::ByHand) {
                by_hand.extend_from_slice(&changes);
            }
            let events =
                self.at_desk(move |keeper| keeper.published(&changes, result, now)).await?;
            moved |= !events.is_empty();
            tended.events.extend(events);
        }
        if !by_hand.is_empty() {
            tended.by_hand = by_hand;
        }
        Ok(moved)
    }

    /// The changes of each name, which belong together; first those of a policy that replaces another, since a revoked key is used for
    /// as long as the former stands, and last those of a first policy, so that the records of the keys that it lists are there.
    fn by_name(&self, changes: Vec<Change>) -> Vec<Vec<Change>> {
        let policy = names(&self.at).policy();
        let mut parts: Vec<Vec<Change>> = Vec::new();
        for change in changes {
            let of = |part: &&mut Vec<Change>| part.iter().any(|other| other.name == change.name);
            match parts.iter_mut().find(of) {
                Some(part) => part.push(change),
                None => parts.push(vec![change]),
            }
        }
        parts.sort_by_key(|part| match part.first() {
            Some(change) if change.name != policy => 1,
            _ if part.iter().any(|change| change.action == Action::Remove) => 0,
            _ => 2,
        });
        parts
    }

    /// Enters what has become of changes; `None`: they were refused.
    fn published(
        &self,
        changes: &[Change],
        result: Option<Published>,
        now: u64,
    ) -> Result<Vec<Event>, DeskError> {
        let mut desk = self.desk(now)?;
        let mut events = Vec::new();
        for stand in &mut desk.book.stands {
            let action = if stand.withdrawn { Action::Remove } else { Action::Add };
            let of =
                |c: &Change| c.name == stand.name && c.value == stand.value && c.action == action;
            if !changes.iter().any(of) {
                continue;
            }
            match result {
                Some(Published::Done) => {
                    stand.published(now);
                    let name = stand.name.clone();
                    events.push(match action {
                        Action::Remove => Event::Withdrawn(name),
                        Action::Add => Event::Published(name),
                    });
                }
                Some(Published::ByHand) => {}
                None => stand.refused(now),
            }
        }
        desk.save(now)?;
        Ok(events)
    }

    /// Looks at each name once, at all of them together: a server that is silent takes its time once, and not for each.
    async fn look(&self, looks: Vec<Look>) -> Vec<(Look, Arc<Sighting>)> {
        let names: HashSet<&String> = looks.iter().map(|look| &look.name).collect();
        let mut asked = JoinSet::new();
        for name in names {
            let Ok(domain) = Domain::parse(name) else { continue };
            let (sightings, name) = (Arc::clone(&self.sightings), name.clone());
            asked.spawn(async move { (name, Arc::new(sightings.look(&domain).await)) });
        }
        let mut seen = HashMap::new();
        while let Some(done) = asked.join_next().await {
            seen.extend(done.ok());
        }
        let known = |look: Look| Some((Arc::clone(seen.get(&look.name)?), look));
        looks.into_iter().filter_map(known).map(|(sighting, look)| (look, sighting)).collect()
    }

    /// Enters what was seen.
    fn enter(&self, seen: &[(Look, Arc<Sighting>)], now: u64) -> Result<Entered, DeskError> {
        let mut desk = self.desk(now)?;
        let mut next = now.saturating_add(AGAIN);
        let (mut gone, mut visible) = (Vec::new(), Vec::new());
        for (look, sighting) in seen {
            let of = |s: &crate::lifetime::Stand| {
                s.name == look.name && s.value == look.value && s.withdrawn == look.withdrawn
            };
            let Some(stand) = desk.book.stands.iter_mut().find(|stand| of(stand)) else { continue };
            let patience = sighting.settle.max(SOON);
            if look.withdrawn {
                if sighting.lacks(&look.value) {
                    gone.push((look.name.clone(), look.value.clone()));
                    continue;
                }
                stand.missing(now, sighting.settle, patience);
            } else if sighting.shows(&look.value) {
                if stand.seen.is_none() {
                    visible.push(Event::Visible(stand.name.clone()));
                }
                stand.everywhere(now, sighting.settle);
            } else if stand.seen.is_some() && !sighting.contradicts(&look.value) {
                // A server that does not answer says nothing.
            } else {
                stand.missing(now, sighting.settle, patience);
            }
            next = next.min(match stand.ready {
                Some(at) if at <= now => now.saturating_add(AGAIN),
                Some(at) => at,
                None => now
                    .saturating_add((sighting.settle / 4).clamp(1, SOON))
                    .max(stand.again.min(now + SOON)),
            });
        }
        desk.book.stands.retain(|stand| {
            !(stand.withdrawn && gone.iter().any(|(n, v)| *n == stand.name && *v == stand.value))
        });
        desk.settle(self.made(), now);
        desk.save(now)?;
        Ok(Entered { visible, next, ended: desk.to_note() })
    }
}
