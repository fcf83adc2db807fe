//! What is due: the one function that decides it.

use crate::core::{KeyId, Suite};
use crate::records::{CLOCK_TOLERANCE, MAX_KEYS, PolicyRecord};

use super::book::{Book, Kind, Life};
use super::schedule::{LISTED_AFTER_USE, Schedule};

/// How long a record may be missing at a server before an operator is told, in seconds: 4 hours.
const MAX_LAG: u64 = 4 * 3_600;

/// What the decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Unix seconds.
    pub now: u64,
    /// What is known.
    pub book: &'a Book,
    /// The policy in the keyring.
    pub policy: &'a PolicyRecord,
    /// The lengths.
    pub schedule: &'a Schedule,
    /// Whether the identity key is here, so that policies can be signed.
    pub identity: bool,
    /// Policies that were signed elsewhere for times to come.
    pub ahead: &'a [PolicyRecord],
    /// Whether a selector is free for the record of a new key.
    pub selector: bool,
}

/// The keys that a policy lists, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists {
    /// Sealing keys.
    pub sealing: Vec<KeyId>,
    /// Signing keys; the first one signs.
    pub signing: Vec<KeyId>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a key.
    Make(Kind),
    /// Sign a policy and put it into the keyring.
    Sign {
        /// The keys that it lists.
        lists: Lists,
        /// Its serial.
        serial: u64,
        /// Its expiry.
        expiry: u64,
    },
    /// Put the policy with this serial, which was signed elsewhere, into the keyring.
    Install(u64),
    /// Destroy the private part of a key.
    Destroy(KeyId),
    /// End the rollover of the identity key, of which this is the former one, and destroy it if it is here.
    EndRollover(KeyId),
}

/// Something that an operator must hear of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Concern {
    /// A key should have been replaced at `due`, but its successor cannot be used yet; it stays in use.
    #[error(
        "the {kind} key is used beyond its time, since its successor is not published everywhere"
    )]
    Late {
        /// Which.
        kind: Kind,
        /// When it should have been replaced, Unix seconds.
        due: u64,
    },
    /// A record is not seen everywhere.
    #[error("the record {name} is not published everywhere")]
    Unpublished {
        /// Its name.
        name: String,
        /// Since when it should be, Unix seconds.
        since: u64,
    },
    /// A record still stands that should have gone.
    #[error("the record {name} has not been withdrawn everywhere")]
    NotWithdrawn {
        /// Its name.
        name: String,
        /// Since when it should be gone, Unix seconds.
        since: u64,
    },
    /// The policy ends soon, or has ended, and there is none to follow it.
    #[error("the policy ends, and none is ready to take its place")]
    PolicyEnds {
        /// Its expiry, Unix seconds.
        at: u64,
    },
    /// The clock has jumped, or the gateway was away for long.
    #[error(
        "the clock has jumped: nothing is signed or destroyed until it has been steady for an hour"
    )]
    Clock {
        /// When things go on, Unix seconds.
        until: u64,
    },
    /// Policies should carry a statement of the former identity key, but it is not here.
    #[error(
        "the former identity key is missing, so that policies say no longer whom the new one succeeds"
    )]
    FormerMissing {
        /// Its fingerprint.
        former: KeyId,
    },
    /// Somebody else signs policies with the identity key [R-life-15].
    #[error(
        "DNS has a policy of serial {serial} that the identity key has signed elsewhere: nothing is signed or published here"
    )]
    AnotherSigner {
        /// Its serial.
        serial: u64,
    },
    /// All selectors of the configured ones are in use.
    #[error("no selector is free for a new key")]
    NoSelector,
}

/// What is due, and when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// To be done in this order; after one that makes or signs something, ask again.
    pub steps: Vec<Step>,
    /// To be told.
    pub concerns: Vec<Concern>,
    /// When something is due next, Unix seconds, as far as it is known.
    pub next: u64,
}

/// Says what is due. Whatever cannot be done leaves the keys that are in use where they are [R-life-05].
#[must_use]
pub fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan { steps: Vec::new(), concerns: Vec::new(), next: u64::MAX };
    let View { now, policy, schedule, .. } = *view;
    let settling = view.book.settling(now);
    if let Some(until) = settling {
        plan.concerns.push(Concern::Clock { until });
        plan.wake(until);
    }
    if view.identity {
        view.rotate(&mut plan, settling.is_some());
    } else {
        view.follow(&mut plan, settling.is_some());
    }
    if settling.is_none() {
        view.destroy(&mut plan);
    }
    view.end_rollover(&mut plan, settling.is_some());
    view.lagging(&mut plan);
    let warn = policy.expiry.saturating_sub(schedule.warn);
    let replaced = plan.steps.iter().any(|s| matches!(s, Step::Sign { .. } | Step::Install(_)));
    if now >= warn && !replaced {
        plan.concerns.push(Concern::PolicyEnds { at: policy.expiry });
    } else {
        plan.wake(warn);
    }
    plan
}

impl Plan {
    fn wake(&mut self, at: u64) {
        self.next = self.next.min(at);
    }
}

/// The key in use and the one to follow it.
struct Succession<'a> {
    current: Option<&'a Life>,
    next: Option<&'a Life>,
    due: u64,
}

impl<'a> View<'a> {
    fn of(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &'a Life> {
        self.book.keys.iter().filter(move |life| life.kind == kind && life.is_usable())
    }

    fn succession(&self, kind: Kind) -> Succession<'a> {
        let current = self.of(kind).find(|life| life.is_used_by(self.policy));
        let length = match kind {
            Kind::Sealing(_) => self.schedule.sealing,
            Kind::Signing => self.schedule.signing,
        };
        let from = current.and_then(|life| life.from).unwrap_or(0);
        let hurried = self.book.hurry.is_some_and(|at| at > from);
        let due = if hurried || current.is_none() { 0 } else { from.saturating_add(length) };
        let next = self.of(kind).find(|life| life.from.is_none());
        Succession { current, next, due }
    }

    /// The identity key is here: keys are made and policies signed as their time comes.
    fn rotate(&self, plan: &mut Plan, settling: bool) {
        let now = self.now;
        let mut lists = Lists { sealing: Vec::new(), signing: Vec::new() };
        // The order is the order of preference [R-rec-02].
        for suite in [Suite::XWing, Suite::X25519] {
            lists.sealing.extend(self.turn(Kind::Sealing(suite), plan));
        }
        if lists.sealing.is_empty() && self.is_over() {
            let inline = self.of(Kind::Sealing(Suite::X25519)).find(|life| life.from.is_none());
            lists.sealing.extend(inline.map(|life| life.id));
        }
        let signer = self.turn(Kind::Signing, plan);
        lists.signing.extend(signer);
        // The one to follow has to be known to all before it signs, and the former ones as long as what they signed may arrive.
        let follows = self.of(Kind::Signing).filter(|life| life.from.is_none());
        let mut used: Vec<&Life> = Vec::from_iter(self.book.keys.iter().filter(|life| {
            let until = life.to.map(|to| to.saturating_add(LISTED_AFTER_USE));
            let needed = until.is_none_or(|until| now < until);
            life.kind == Kind::Signing
                && life.revoked.is_none()
                && life.from.is_some()
                && life.is_listed_by(self.policy)
                && needed
        }));
        // If there is no room for all, the mail of the latest is the most that is still on the way.
        used.sort_by_key(|life| std::cmp::Reverse(life.to.unwrap_or(u64::MAX)));
        for life in follows.chain(used) {
            if !lists.signing.contains(&life.id) && lists.signing.len() < MAX_KEYS {
                lists.signing.push(life.id);
            }
        }
        let making = plan.steps.iter().any(|step| matches!(step, Step::Make(_)));
        if making || lists.sealing.is_empty() || lists.signing.is_empty() {
            // Not before the keys are there.
            return;
        }
        // A serial that lies ahead was signed by a wrong clock, and nobody has believed it [R-rec-06].
        let premature = self.policy.serial > now.saturating_add(CLOCK_TOLERANCE);
        let resign = self.book.installed.saturating_add(self.schedule.sign);
        // Nobody needs the statement any more once the rollover is over [R-life-10].
        let stale = self.policy.rollover.is_some() && self.book.rollover().is_none();
        if settling || (now < resign && !premature && !stale && lists == self.listed()) {
            // While the clock settles it may have passed.
            if now < resign {
                plan.wake(resign);
            }
            return;
        }
        let serial = next_serial(self.policy.serial, now);
        let expiry = now.saturating_add(self.schedule.policy);
        plan.steps.push(Step::Sign { lists, serial, expiry });
    }

    /// Whether mail to whatever the policy lists bounces anyhow [R-life-07], so that nothing is lost by not waiting.
    fn is_over(&self) -> bool {
        let mut listed = self.policy.sealing_keys.iter().filter_map(|entry| entry.key_id());
        let goes =
            |life: &Life| life.destroyed.is_some() || (life.revoked.is_some() && life.at_once);
        listed.all(|id| self.book.life(&id).is_none_or(goes))
    }

    /// The key of this kind that is to be listed: the one in use, or its successor if the time has come and it is ready.
    fn turn(&self, kind: Kind, plan: &mut Plan) -> Option<KeyId> {
        let now = self.now;
        let Succession { current, next, due } = self.succession(kind);
        let make = due.saturating_sub(self.schedule.ahead);
        match next {
            None if now >= make && kind.has_record() && !self.selector => {
                plan.concerns.push(Concern::NoSelector);
            }
            None if now >= make => plan.steps.push(Step::Make(kind)),
            None => plan.wake(make),
            Some(next) if now >= due && next.is_ready(now) => return Some(next.id),
            Some(next) if now >= due => {
                plan.wake(next.ready.unwrap_or(u64::MAX));
                // With the time that publication takes anyway nothing is late.
                let late = due.max(next.made).saturating_add(self.schedule.ahead / 2);
                if now >= late {
                    plan.concerns.push(Concern::Late { kind, due });
                } else {
                    plan.wake(late);
                }
            }
            Some(_) => plan.wake(due),
        }
        // It stays beyond its time rather than that there is none [R-life-05]; a revoked one does not.
        current.map(|life| life.id)
    }

    /// Records that are not seen everywhere though they have been published, or have not gone, for a while.
    fn lagging(&self, plan: &mut Plan) {
        let patience = (self.schedule.ahead / 2).min(MAX_LAG);
        for stand in self.book.stands.iter().filter(|stand| stand.withdrawn || stand.seen.is_none())
        {
            let late = stand.since.saturating_add(patience);
            if self.now >= late {
                let name = stand.name.clone();
                plan.concerns.push(if stand.withdrawn {
                    Concern::NotWithdrawn { name, since: stand.since }
                } else {
                    Concern::Unpublished { name, since: stand.since }
                });
            } else {
                plan.wake(late);
            }
        }
    }

    fn listed(&self) -> Lists {
        Lists {
            sealing: self.policy.sealing_keys.iter().filter_map(|entry| entry.key_id()).collect(),
            signing: self.policy.signing_keys.iter().map(|key| key.key_id()).collect(),
        }
    }

    /// The identity key is elsewhere: policies that were signed there take their turn, each when its keys can be used.
    fn follow(&self, plan: &mut Plan, settling: bool) {
        let now = self.now;
        let mut later: Vec<&PolicyRecord> = self
            .ahead
            .iter()
            .filter(|ahead| ahead.serial > self.policy.serial && now < ahead.expiry)
            .collect();
        later.sort_by_key(|ahead| std::cmp::Reverse(ahead.serial));
        let due = later.iter().filter(|ahead| ahead.serial <= now);
        let mut waits = None;
        for ahead in due {
            if self.can_use(ahead) {
                if settling {
                    return;
                }
                plan.steps.push(Step::Install(ahead.serial));
                break;
            }
            waits.get_or_insert(ahead.serial);
        }
        if let Some(due) = waits {
            let grace = due.saturating_add(self.schedule.ahead / 2);
            if now >= grace {
                let kind = Kind::Sealing(Suite::XWing);
                plan.concerns.push(Concern::Late { kind, due });
            } else {
                plan.wake(grace);
            }
        }
        if let Some(next) = later.iter().map(|ahead| ahead.serial).filter(|at| *at > now).min() {
            plan.wake(next);
        }
    }

    /// Whether all sealing keys of a policy are here and seen everywhere, and the one that signs is here.
    fn can_use(&self, policy: &PolicyRecord) -> bool {
        let ready = |id: KeyId| {
            self.book.life(&id).is_some_and(|life| life.is_usable() && life.is_ready(self.now))
        };
        let sealing = policy.sealing_keys.iter().filter_map(|entry| entry.key_id()).all(ready);
        // The one that signs must have been seen in a policy before, unless there is none in force any more.
        let over = self.now >= self.policy.expiry;
        let signing = policy.signer().is_some_and(|id| {
            let life = self.book.life(&id).filter(|life| life.is_usable());
            life.is_some_and(|life| over || life.is_ready(self.now))
        });
        sealing && signing
    }

    /// A rollover that nobody needs any more [R-life-10].
    fn end_rollover(&self, plan: &mut Plan, settling: bool) {
        let Some(rollover) = self.book.rollover() else { return };
        match rollover.end() {
            Some(end) if self.now >= end && !settling => {
                plan.steps.push(Step::EndRollover(rollover.former));
            }
            Some(end) if self.now < end => plan.wake(end),
            // The clock settles: that wakes.
            Some(_) => {}
            None => {}
        }
    }

    /// Keys whose time is over [R-life-04].
    fn destroy(&self, plan: &mut Plan) {
        for life in self.book.keys.iter().filter(|life| life.destroyed.is_none()) {
            let Some(end) = self.end(life) else { continue };
            if self.now >= end {
                plan.steps.push(Step::Destroy(life.id));
            } else {
                plan.wake(end);
            }
        }
    }

    /// When the private part of a key is destroyed; none while it is in use or to be used.
    fn end(&self, life: &Life) -> Option<u64> {
        end(life, self.policy, self.ahead, self.now)
    }
}

/// The serial of a policy signed at `now` in place of one with the serial `before`. A serial that lies ahead was signed by a wrong
/// clock, and nobody has believed it [R-rec-06]: nothing is built upon it.
#[must_use]
pub fn next_serial(before: u64, now: u64) -> u64 {
    if before > now.saturating_add(CLOCK_TOLERANCE) { now } else { now.max(before + 1) }
}

/// When the private part of a key is destroyed, Unix seconds; none while it is in use or to be used.
#[must_use]
pub fn end(life: &Life, policy: &PolicyRecord, ahead: &[PolicyRecord], now: u64) -> Option<u64> {
    // One that has expired takes no turn any more.
    let mut ahead = ahead.iter().filter(|policy| now < policy.expiry);
    match life.kind {
        Kind::Sealing(_) => {
            let mut listed = std::iter::once(policy).chain(ahead);
            match (life.revoked, life.listing) {
                (Some(revoked), _) if life.at_once => Some(revoked),
                (None, _) if listed.any(|policy| life.is_listed_by(policy)) => None,
                (_, Some(listing)) => Some(listing.opens),
                // Never listed by anything: nobody can have sealed to it.
                (revoked, None) => revoked,
            }
        }
        // Without it nothing could be signed, and no gateway would start: another has to be first before.
        Kind::Signing if life.is_used_by(policy) => None,
        Kind::Signing => {
            let to_be_used = ahead.any(|policy| life.is_used_by(policy));
            if to_be_used && life.revoked.is_none() {
                return None;
            }
            life.revoked.or(life.to.map(|to| to.saturating_add(CLOCK_TOLERANCE)))
        }
    }
}
