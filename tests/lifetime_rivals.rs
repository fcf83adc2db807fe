//! Two gateways with the same keys that both sign and publish: one of them gives way, DNS always has one policy, and mail goes on
//! [R-life-15].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lifetime_support;

use std::time::Duration;

use lifetime_support::zone::Lag;
use lifetime_support::{Cache, Chance, DAY, HOUR, Party, START, Zone, runtime};
use mta_seal::core::IdentityKey;
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::gateway::rotation::{Event, Tended};
use mta_seal::lifetime::Concern;
use mta_seal::policy::{Decision, Demand, LocalPolicy, Memory, MemoryUpdate, decide};
use mta_seal::records::PolicyDraft;
use mta_seal::store::keyring::{Export, Find};

/// Two nodes with one keyring on one zone, and somebody who writes to the domain.
struct Pair {
    zone: Zone,
    nodes: [Party; 2],
    partner: Cache,
    memory: Option<Memory>,
}

impl Pair {
    /// The policy of both is published, and everybody has seen it.
    async fn new(lag: Lag) -> Self {
        let zone = Zone::new(2, 3_600, 900, lag, START, Chance::new(1));
        let first = Party::new("one.example", &zone, START);
        for now in [START, START + HOUR, START + 3 * DAY, START + 4 * DAY] {
            zone.advance(now);
            first.tend(now).await;
        }
        let nodes = [first.second(), first];
        let known = vec![(nodes[0].domain.clone(), zone.clone())];
        Self { zone, nodes, partner: Cache::new(known, Chance::new(2)), memory: None }
    }

    /// Visits of a node from `now` on, until a week after the start and an hour more, when keys are replaced.
    async fn beyond_a_week(&self, node: &Party, now: u64) -> Vec<Tended> {
        let mut visits = Vec::new();
        for now in [now, now + HOUR, START + 7 * DAY, START + 7 * DAY + HOUR] {
            self.zone.advance(now);
            visits.push(node.tend(now).await);
        }
        visits
    }

    fn policies(&self) -> Vec<Vec<String>> {
        self.zone.records(&self.nodes[0].policy_name())
    }

    /// Every server has one policy, and mail is sealed to a key that one of the nodes has.
    async fn is_sound(&mut self, now: u64) {
        for records in self.policies() {
            assert_eq!(records.len(), 1, "at {now}: {:#?}", self.zone.trail());
        }
        self.partner.advance(now);
        let keys = Keys::Wanted { remembered: self.memory.as_ref() };
        let domain = &self.nodes[0].domain;
        let outcome = look_up(&self.partner, domain, keys, Duration::from_secs(5)).await;
        let (local, memory) = (LocalPolicy::default(), self.memory.as_ref());
        let verdict = decide(&local, &outcome, memory, Demand::Absent, now);
        let Decision::Seal { key, .. } = verdict.decision else {
            panic!("at {now}: {:?}", verdict.decision);
        };
        let has = |node: &Party| matches!(node.keyring().find(&key.key_id()), Find::Found(_));
        assert!(self.nodes.iter().any(has), "sealed to a key that nobody has at {now}");
        if let MemoryUpdate::Store(memory) = verdict.memory {
            self.memory = Some(*memory);
        }
    }

    /// Both come every few hours, the first one first.
    async fn pass(&mut self, from: u64, to: u64) -> [Vec<Tended>; 2] {
        let mut visits = [Vec::new(), Vec::new()];
        for now in (from..to).step_by(usize::try_from(8 * HOUR).unwrap()) {
            self.zone.advance(now);
            for (node, visits) in self.nodes.iter().zip(&mut visits) {
                visits.push(node.tend(now).await);
            }
            self.is_sound(now).await;
        }
        visits
    }
}

fn signed(visits: &[Tended]) -> usize {
    let events = visits.iter().flat_map(|tended| &tended.events);
    events.filter(|event| matches!(event, Event::Signed { .. })).count()
}

fn gives_way(tended: &Tended) -> bool {
    tended.concerns.iter().any(|concern| matches!(concern, Concern::AnotherSigner { .. }))
}

#[test]
fn the_second_to_sign_gives_way_and_mail_goes_on() {
    for lag in [Lag::None, Lag::Real] {
        runtime().block_on(async {
            let mut pair = Pair::new(lag).await;
            let before = pair.nodes[1].policy().text().to_owned();
            let [first, second] = pair.pass(START + 5 * DAY, START + 23 * DAY).await;
            assert!(signed(&first) >= 2);
            assert!(!first.iter().any(gives_way), "the first one goes on as ever");
            assert_eq!(signed(&second), 0);
            assert_eq!(pair.nodes[1].policy().text(), before);
            // From the first policy that it has not signed on, it says so and hands nothing over.
            let since = second.iter().position(gives_way).expect("it is told");
            for tended in &second[since..] {
                assert!(matches!(tended.concerns[..], [Concern::AnotherSigner { .. }]));
                let published = |event: &Event| matches!(event, Event::Published(_));
                assert!(!tended.events.iter().any(published), "{:?}", tended.events);
                assert!(tended.by_hand.is_empty());
            }
            let told = &second.last().unwrap().concerns;
            let serial = pair.nodes[0].policy().record().serial;
            assert_eq!(*told, [Concern::AnotherSigner { serial }]);
        });
    }
}

#[test]
fn a_fresh_export_brings_the_second_back() {
    runtime().block_on(async {
        let mut pair = Pair::new(Lag::None).await;
        let [_, second] = pair.pass(START + 4 * DAY, START + 15 * DAY).await;
        assert!(gives_way(second.last().unwrap()));
        let [one, two] = &pair.nodes;
        let now = START + 15 * DAY;
        let export = Export::of(&one.keyring(), &one.domain, now, false).unwrap();
        {
            let mut desk = two.desk(now);
            export.merge_into(&mut desk.keyring).unwrap();
            desk.keyring.set_policy(export.policy().unwrap()).unwrap();
        }
        let tended = two.tend(now).await;
        assert!(!gives_way(&tended), "{:?}", tended.concerns);
        assert_eq!(two.policy().text(), one.policy().text());
        for key in one.keyring().sealing_keys() {
            assert!(matches!(two.keyring().find(&key.key.key_id()), Find::Found(_)));
        }
        pair.is_sound(now).await;
        // The first is off for good: the second rotates.
        let before = pair.nodes[1].policy().record().serial;
        let visits = pair.nodes[1].pass(now, now + 15 * DAY).await;
        assert!(!visits.iter().any(|(_, tended)| gives_way(tended)));
        assert!(pair.nodes[1].policy().record().serial > before);
        pair.is_sound(now + 15 * DAY).await;
    });
}

/// Both sign before either can see what the other has done: the later policy stays, whoever comes first then.
#[test]
fn two_policies_at_once_become_one() {
    for order in [[0, 1], [1, 0]] {
        for apart in [0, 1] {
            runtime().block_on(async {
                let mut pair = Pair::new(Lag::None).await;
                let due = START + 7 * DAY + HOUR;
                pair.pass(START + 4 * DAY, START + 7 * DAY).await;
                for server in 0..pair.zone.servers() {
                    pair.zone.silence_until(server, due + 2);
                }
                for (n, at) in order.into_iter().zip([due, due + apart]) {
                    pair.zone.advance(at);
                    assert_eq!(signed(&[pair.nodes[n].tend(at).await]), 1);
                }
                let texts = pair.nodes.each_ref().map(|node| node.policy().text().to_owned());
                let serials = pair.nodes.each_ref().map(|node| node.policy().record().serial);
                assert!(pair.policies().iter().all(|records| records.len() == 2));
                let later = if (serials[0], &texts[0]) > (serials[1], &texts[1]) { 0 } else { 1 };

                // The one that gives way leaves everything as it is; the other withdraws what is not its own.
                for now in [due + 60, due + 120, due + 2 * HOUR] {
                    pair.zone.advance(now);
                    for n in order {
                        let tended = pair.nodes[n].tend(now).await;
                        assert_eq!(gives_way(&tended), n != later, "{n} at {now}");
                    }
                }
                assert!(pair.policies().iter().all(|records| *records == [texts[later].clone()]));
                let visits = pair.pass(due + 3 * HOUR, START + 16 * DAY).await;
                assert!(signed(&visits[later]) >= 1);
                assert_eq!(signed(&visits[1 - later]), 0);
            });
        }
    }
}

/// What another identity key has signed is no rival: whoever can forge DNS could hold up a rotation with it. Nor is it withdrawn.
#[test]
fn a_stranger_holds_nothing_up() {
    runtime().block_on(async {
        let pair = Pair::new(Lag::None).await;
        let node = &pair.nodes[0];
        let now = START + 4 * DAY;
        let draft = PolicyDraft {
            serial: now,
            expiry: now + 30 * DAY,
            rollover: None,
            next_identity: None,
            ..PolicyDraft::from(node.policy().record())
        };
        let stranger = draft.sign(&node.domain, &IdentityKey::from_bytes(&[9; 32])).unwrap();
        pair.zone.set(&node.policy_name(), &stranger, true);
        let visits = pair.beyond_a_week(node, now).await;
        assert!(!visits.iter().any(gives_way));
        assert!(signed(&visits) > 0);
        assert!(pair.policies().iter().all(|records| records.contains(&stranger)));
    });
}

/// [R-rec-06]: what a wrong clock has signed nobody has believed.
#[test]
fn a_policy_of_a_time_to_come_holds_nothing_up() {
    runtime().block_on(async {
        let pair = Pair::new(Lag::None).await;
        let node = &pair.nodes[0];
        let now = START + 4 * DAY;
        let draft = PolicyDraft {
            serial: now + 300 * DAY,
            expiry: now + 330 * DAY,
            ..PolicyDraft::from(node.policy().record())
        };
        let pem = std::fs::read_to_string(node.keys().join("identity.pem")).unwrap();
        let premature = draft.sign(&node.domain, &IdentityKey::from_pem(&pem).unwrap()).unwrap();
        pair.zone.set(&node.policy_name(), &premature, true);
        let visits = pair.beyond_a_week(node, now).await;
        assert!(!visits.iter().any(gives_way));
        assert!(signed(&visits) > 0);
    });
}
