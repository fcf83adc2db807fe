//! Publishers that fail at some names, take their time, or are two at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lifetime_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifetime_support::zone::Lag;
use lifetime_support::{Chance, DAY, HOUR, Party, START, Zone, runtime};
use mta_seal::core::Suite;
use mta_seal::dns::update::{UpdateError, UpdateFailure};
use mta_seal::gateway::Clock;
use mta_seal::gateway::publication::{Action, Change, PublishError, PublishFuture, Publisher, Way};
use mta_seal::gateway::rotation::{DeskError, Keeper, Tended};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

fn quiet() -> (Party, Zone) {
    let zone = Zone::new(2, 3_600, 900, Lag::None, START, Chance::new(1));
    (Party::new("one.example", &zone, START), zone)
}

/// Every server has the policy in the keyring, and no other.
fn alone(party: &Party, zone: &Zone) {
    for records in zone.records(&party.policy_name()) {
        assert_eq!(records, [party.policy().text()]);
    }
}

/// Publishes in the zone what is at the name of a policy, and fails at the names of keys.
#[derive(Debug)]
struct PoliciesOnly {
    zone: Zone,
    asked: Mutex<Vec<Vec<Change>>>,
}

impl Publisher for PoliciesOnly {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        self.asked.lock().unwrap().push(changes.to_vec());
        if changes.iter().all(|change| change.name.starts_with("_mta-seal.")) {
            return self.zone.publish(changes);
        }
        let failure = UpdateFailure::Timeout(Duration::from_secs(5));
        let server = ([127, 0, 0, 1], 53).into();
        Box::pin(async move { Err(PublishError::Update(UpdateError { server, failure })) })
    }

    fn way(&self) -> Way {
        Way::Update
    }
}

/// [R-life-07]
#[test]
fn a_policy_without_a_revoked_key_is_published_though_no_key_record_can_be() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        party.pass(START, START + DAY).await;
        let now = START + DAY + HOUR;
        let bad = party.listed(Suite::XWing).unwrap();
        party.revoke(&[bad], false, now);
        let publisher = Arc::new(PoliciesOnly { zone: zone.clone(), asked: Mutex::default() });
        let keeper = Keeper { publisher: Arc::clone(&publisher) as _, ..party.keeper.clone() };
        zone.advance(now);
        let tended = keeper.tend(now).await.unwrap();
        assert_ne!(party.listed(Suite::XWing), Some(bad));
        alone(&party, &zone);
        let name = party.policy_name();
        assert!(tended.refused.is_some(), "the successor's record is not published");
        // The policy in one call, the new one for the old one, before any key record.
        let asked = publisher.asked.lock().unwrap();
        assert!(asked[0].iter().all(|change| change.name == name));
        let actions: Vec<Action> = asked[0].iter().map(|change| change.action).collect();
        assert!(actions.contains(&Action::Add) && actions.contains(&Action::Remove));
        assert!(asked[1..].iter().any(|part| part.iter().all(|change| change.name != name)));
    });
}

/// Publishes in the zone once its gate is open.
#[derive(Debug)]
struct Gated {
    zone: Zone,
    reached: Notify,
    /// Open once it is closed.
    gate: Semaphore,
}

impl Gated {
    fn new(zone: &Zone) -> Arc<Self> {
        Arc::new(Self { zone: zone.clone(), reached: Notify::new(), gate: Semaphore::new(0) })
    }

    /// A visit to `party` that has handed over what is due, and waits at the gate.
    async fn visit(self: &Arc<Self>, party: &Party) -> JoinHandle<Result<Tended, DeskError>> {
        let keeper = Keeper { publisher: Arc::clone(self) as _, ..party.keeper.clone() };
        let visit = tokio::spawn(async move { keeper.tend(START).await });
        self.reached.notified().await;
        visit
    }
}

impl Publisher for Gated {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        Box::pin(async move {
            self.reached.notify_one();
            assert!(self.gate.acquire().await.is_err(), "nobody gives a permit");
            self.zone.publish(changes).await
        })
    }

    fn way(&self) -> Way {
        Way::Hook
    }
}

#[test]
fn what_one_keeper_has_handed_over_another_does_not() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let gated = Gated::new(&zone);
        let visit = gated.visit(&party).await;
        // As `keys rotate` beside a gateway.
        let tended = party.tend(START + 1).await;
        assert_eq!(zone.counts(), (0, 0));
        assert_eq!((&tended.refused, &tended.by_hand[..]), (&None, &[][..]));
        assert!(tended.next <= START + HOUR, "it comes again soon");
        gated.gate.close();
        visit.await.unwrap().unwrap();
        let (published, _) = zone.counts();
        assert!(published > 0);
        alone(&party, &zone);
        party.tend(START + 2).await;
        assert_eq!(zone.counts(), (published, 0));
    });
}

#[test]
fn what_a_visit_that_was_broken_off_had_handed_over_the_next_one_does() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let gated = Gated::new(&zone);
        let visit = gated.visit(&party).await;
        visit.abort();
        assert!(visit.await.unwrap_err().is_cancelled());
        party.tend(START + 1).await;
        alone(&party, &zone);
    });
}

/// A command that takes three minutes for each name, and the clock that goes on meanwhile.
#[derive(Debug)]
struct Slow {
    zone: Zone,
    now: AtomicU64,
}

impl Clock for Slow {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl Publisher for Slow {
    fn publish<'a>(&'a self, changes: &'a [Change]) -> PublishFuture<'a> {
        self.zone.advance(self.now.fetch_add(180, Ordering::Relaxed) + 180);
        self.zone.publish(changes)
    }

    fn way(&self) -> Way {
        Way::Hook
    }
}

/// [R-life-02]
#[test]
fn a_record_counts_as_seen_from_the_look_on_that_found_it() {
    runtime().block_on(async {
        let (party, zone) = quiet();
        let slow = Arc::new(Slow { zone: zone.clone(), now: AtomicU64::new(START) });
        let keeper = Keeper {
            publisher: Arc::clone(&slow) as _,
            clock: Arc::clone(&slow) as _,
            ..party.keeper.clone()
        };
        keeper.tend(START).await.unwrap();
        assert!(slow.now() > START);
        let book = party.book();
        assert!(!book.stands.is_empty());
        for stand in &book.stands {
            let shown = zone.shown(&stand.name, &stand.value).unwrap();
            assert!(shown > START && stand.seen.unwrap() >= shown, "{stand:?}");
            assert!(stand.ready.unwrap() >= shown + stand.settle, "{stand:?}");
        }
    });
}
