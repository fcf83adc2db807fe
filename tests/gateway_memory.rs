//! What a gateway remembers of a partner, from the first message to the last, through restarts and whatever DNS says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway_support::*;
use mta_seal::core::IdentityKey;
use mta_seal::dns::{Authenticity, Denial, Lookup, LookupFuture, QueryName, Resolver, Scripted};
use mta_seal::records::{Mode, PolicyDraft};
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::{Ledger, MAX_ALARMS, Operator, OperatorLedger, Scope};
use tokio::sync::watch;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\ncanary\r\n";

/// A sealing gateway, a partner, and a relay that keeps what is sent.
struct Sender {
    gw: Gw,
    dns: Arc<Scripted>,
    clock: Arc<TestClock>,
    own: Org,
    partner: Org,
    relay: Sink,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// Sealed to the partner's own key.
    Sealed,
    Clear,
    /// With this reply.
    Waits(String),
}

impl Sender {
    /// `authenticity`: of the partner's zone.
    async fn new(authenticity: Authenticity) -> Self {
        let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
        let (own, partner) = (Org::new("company1.example", 10), Org::new("company2.example", 20));
        dns.set_txt(partner.policy_name(), &[partner.policy().as_bytes()], authenticity);
        let relay = Sink::smtp().await;
        let spec = Spec::new(&own).outbound(Smtp, &relay.url);
        let gw = Gw::start(&spec, &dns, &clock).await;
        Self { gw, dns, clock, own, partner, relay }
    }

    async fn restarted(self) -> Self {
        let spec = self.gw.spec.clone();
        Self { gw: self.gw.restart(&spec).await, ..self }
    }

    async fn send(&self) -> Sent {
        let before = self.relay.messages().len();
        let delivery = deliver(self.gw.outbound(), Smtp, ALICE, &[BOB], MESSAGE).await;
        let verdict = delivery.verdict();
        if verdict.code != 250 {
            assert_eq!(self.relay.messages().len(), before);
            return Sent::Waits(format!("{} {}", verdict.code, verdict.text));
        }
        let message = self.relay.messages().remove(before);
        if contains(&message.data, b"canary") {
            return Sent::Clear;
        }
        // Whoever else it were sealed to, this would not open it.
        let (text, accepted) = open(&message.data, &self.own, &self.partner);
        assert_eq!(text, MESSAGE);
        assert_eq!(accepted.header.key_id, self.partner.first_key().key_id());
        Sent::Sealed
    }

    async fn waits(&self, reason: &str) {
        let sent = self.send().await;
        let Sent::Waits(reply) = &sent else { panic!("{sent:?}") };
        assert!(reply.starts_with("451 4.7.") && reply.contains(reason), "{reply}");
    }

    fn says(&self, lookup: Lookup) {
        self.dns.set(self.partner.policy_name(), lookup);
    }

    /// Publishes a policy with a change, signed by an identity key, in a zone without DNSSEC.
    fn publishes(&self, identity: &IdentityKey, change: impl FnOnce(&mut PolicyDraft)) {
        let mut draft = self.partner.draft();
        change(&mut draft);
        let policy = draft.sign(&self.partner.domain, identity).unwrap();
        self.partner.publish_text(&self.dns, &policy);
    }

    /// The kinds of alarms, once there are `n`.
    async fn alarms(&self, n: usize) -> Vec<String> {
        soon("alarms", async {
            loop {
                let rows = self.gw.ledger.alarms(None, MAX_ALARMS).await.unwrap();
                if rows.len() >= n {
                    let mut kinds: Vec<String> = rows.into_iter().map(|row| row.kind).collect();
                    kinds.sort();
                    return kinds;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// A resolver that answers once its gate is opened, with what DNS says then.
struct Gated {
    dns: Arc<Scripted>,
    open: watch::Receiver<bool>,
}

impl Resolver for Gated {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        let mut open = self.open.clone();
        Box::pin(async move {
            let _ = open.wait_for(|open| *open).await;
            self.dns.txt(name).await
        })
    }
}

impl Sender {
    /// The same gateway with its resolver behind a gate, which is shut.
    async fn gated(mut self) -> (Self, watch::Sender<bool>) {
        let (gate, open) = watch::channel(false);
        let resolver = Arc::new(Gated { dns: Arc::clone(&self.dns), open });
        let spec = self.gw.spec.clone();
        self.gw = self.gw.restart_with(&spec, resolver).await;
        (self, gate)
    }

    /// When the partner's policy was last seen.
    async fn last_seen(&self) -> u64 {
        let known = self.gw.ledger.recall(Scope::Outgoing, &self.partner.domain).await;
        known.unwrap().unwrap().last_observed
    }
}

fn denied(authenticity: Authenticity) -> Lookup {
    Lookup::NxDomain(Denial { authenticity, ttl: Duration::ZERO })
}

#[tokio::test]
async fn memory_goes_down_by_the_partners_own_word_only() {
    let sender = Sender::new(Authenticity::Insecure).await;
    let attacker = IdentityKey::from_bytes(&[99; 32]);
    assert_eq!(sender.send().await, Sent::Sealed);

    // Through a restart, while DNS fails, denies and lies.
    sender.says(Lookup::ServFail { rcode: 2 });
    let sender = sender.restarted().await;
    assert_eq!(sender.send().await, Sent::Sealed);
    assert_eq!(sender.alarms(0).await, [""; 0]);
    sender.publishes(&attacker, |draft| draft.serial = NOW);
    assert_eq!(sender.send().await, Sent::Sealed);
    assert_eq!(sender.alarms(1).await, ["identity-changed"]);
    sender.publishes(&attacker, |draft| {
        draft.serial = NOW;
        draft.mode = Mode::None;
    });
    assert_eq!(sender.send().await, Sent::Sealed);
    for authenticity in [Authenticity::Insecure, Authenticity::Secure] {
        sender.says(denied(authenticity));
        assert_eq!(sender.send().await, Sent::Sealed);
    }
    assert_eq!(sender.alarms(2).await, ["identity-changed", "policy-vanished"]);
    // Their own word, but of the past.
    let own = sender.partner.identity();
    sender.publishes(&own, |draft| {
        draft.serial -= 1;
        draft.mode = Mode::None;
    });
    assert_eq!(sender.send().await, Sent::Sealed);
    let three = ["identity-changed", "policy-vanished", "serial-back"];
    assert_eq!(sender.alarms(3).await, three);
    let sender = sender.restarted().await;
    assert_eq!(sender.send().await, Sent::Sealed);

    // Their own word.
    sender.publishes(&own, |draft| {
        draft.serial = NOW;
        draft.mode = Mode::None;
    });
    assert_eq!(sender.send().await, Sent::Clear);
    // It is remembered as well: the policy before it is not believed again, nor the attacker's.
    sender.publishes(&own, |_| ());
    sender.waits("serial-back").await;
    sender.publishes(&attacker, |draft| draft.serial = NOW + 1);
    sender.waits("identity-changed").await;
    assert_eq!(sender.alarms(3).await, three);
}

#[tokio::test]
async fn a_first_use_that_is_not_seen_again_ends_after_two_days() {
    let sender = Sender::new(Authenticity::Insecure).await;
    assert_eq!(sender.send().await, Sent::Sealed);
    sender.says(denied(Authenticity::Insecure));
    sender.clock.set(NOW + 2 * DAY - 1);
    let sender = sender.restarted().await;
    assert_eq!(sender.send().await, Sent::Sealed);
    sender.clock.set(NOW + 2 * DAY);
    assert_eq!(sender.send().await, Sent::Clear);
}

#[tokio::test]
async fn what_dnssec_has_shown_lasts_as_long_as_the_partner_asked() {
    let sender = Sender::new(Authenticity::Secure).await;
    assert_eq!(sender.send().await, Sent::Sealed);
    sender.says(denied(Authenticity::Insecure));
    // The policy expires, then the memory of `enforce`.
    sender.clock.set(NOW + 30 * DAY - 1);
    assert_eq!(sender.send().await, Sent::Sealed);
    sender.clock.set(NOW + 30 * DAY);
    let sender = sender.restarted().await;
    sender.waits("enforce-remembered").await;
    sender.clock.set(NOW + 60 * DAY - 1);
    sender.waits("enforce-remembered").await;
    sender.clock.set(NOW + 60 * DAY);
    assert_eq!(sender.send().await, Sent::Clear);
}

/// A resolver that falls silent.
struct Mute {
    dns: Arc<Scripted>,
    silent: AtomicBool,
}

impl Resolver for Mute {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        if self.silent.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        self.dns.txt(name)
    }
}

/// Mail that memory can seal does not wait for the whole time that DNS has [R-dec-06].
#[tokio::test]
async fn silent_dns_holds_up_nothing_that_memory_can_seal() {
    let sender = Sender::new(Authenticity::Insecure).await;
    let mute = Arc::new(Mute { dns: Arc::clone(&sender.dns), silent: AtomicBool::new(false) });
    let spec = sender.gw.spec.clone().extra("[dns]\ntimeout = \"60s\"");
    let resolver: Arc<dyn Resolver> = Arc::clone(&mute) as _;
    let gw = Gw::start_with(&spec, &sender.dns, resolver, &sender.clock).await;
    let sender = Sender { gw, ..sender };
    assert_eq!(sender.send().await, Sent::Sealed);
    mute.silent.store(true, Ordering::SeqCst);
    // The client's own patience is shorter than the 60 seconds.
    assert_eq!(sender.send().await, Sent::Sealed);
}

#[tokio::test]
async fn mail_that_comes_in_makes_no_memory_for_mail_that_goes_out() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    world.forward(&carrier).await.expect("250");
    assert!(world.gw2.ledger_knows(Scope::Incoming, &world.company1).await);
    assert!(!world.gw2.ledger_knows(Scope::Outgoing, &world.company1).await);
    assert!(world.gw1.ledger_knows(Scope::Outgoing, &world.company2).await);
    assert!(!world.gw1.ledger_knows(Scope::Incoming, &world.company2).await);
}

/// [R-dec-06]: DNS that is always slow neither ages memory nor hides an attack.
#[tokio::test]
async fn what_dns_says_too_late_for_a_message_is_learned_all_the_same() {
    let sender = Sender::new(Authenticity::Insecure).await;
    assert_eq!(sender.send().await, Sent::Sealed);
    sender.clock.advance(30 * HOUR);
    let (sender, gate) = sender.gated().await;
    // While the gate is shut; one look-up serves both.
    assert_eq!(sender.send().await, Sent::Sealed);
    assert_eq!(sender.send().await, Sent::Sealed);
    assert_eq!(sender.last_seen().await, NOW);
    gate.send_replace(true);
    soon("the memory", async {
        while sender.last_seen().await != NOW + 30 * HOUR {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The first hold of 48 hours would have ended.
    sender.clock.advance(30 * HOUR);
    gate.send_replace(false);
    sender.publishes(&IdentityKey::from_bytes(&[99; 32]), |draft| draft.serial = NOW + HOUR);
    assert_eq!(sender.send().await, Sent::Sealed);
    assert_eq!(sender.alarms(0).await, [""; 0]);
    gate.send_replace(true);
    assert_eq!(sender.alarms(1).await, ["identity-changed"]);
}

/// [R-dec-18]: a slow look-up does not make an override of what could be sealed.
#[tokio::test]
async fn with_an_override_dns_is_waited_for_where_memory_does_not_seal() {
    let sender = Sender::new(Authenticity::Insecure).await;
    assert_eq!(sender.send().await, Sent::Sealed);
    // What is remembered is not enough for the operator now; what DNS says is.
    let minimum = "[[partner]]\ndomain = \"company2.example\"\nminimum_level = \"dnssec\"";
    let spec = sender.gw.spec.clone().extra(minimum);
    let gw = sender.gw.restart(&spec).await;
    let operator = OperatorLedger::open(&gw.directory().join("ledger.sqlite")).unwrap();
    let by = Operator { uid: 0, login: "root".to_owned() };
    operator.allow(&sender.partner.domain, NOW, NOW + HOUR, "they mend it", &by).unwrap();
    let (sender, gate) = Sender { gw, ..sender }.gated().await;
    let policy = sender.partner.policy();
    sender.dns.set_txt(sender.partner.policy_name(), &[policy.as_bytes()], Authenticity::Secure);
    let opens = async {
        // Longer than memory alone would be given.
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.send_replace(true);
    };
    let (sent, ()) = tokio::join!(sender.send(), opens);
    assert_eq!(sent, Sent::Sealed);
}

/// [R-dec-11]: what is left of a damaged memory still forbids clear mail.
#[tokio::test]
async fn a_damaged_memory_forgets_no_enforce() {
    let sender = Sender::new(Authenticity::Insecure).await;
    assert_eq!(sender.send().await, Sent::Sealed);
    let (ledger, domain) = (sender.gw.ledger.clone(), sender.partner.domain.clone());
    let mut row = ledger.recall(Scope::Outgoing, &domain).await.unwrap().unwrap();
    row.policy.truncate(20);
    assert!(row.enforce_until.is_some());
    ledger.remember(Scope::Outgoing, &domain, &row, NOW).await.unwrap();
    sender.says(denied(Authenticity::Secure));
    sender.waits("(memory-damaged)").await;
    assert!(sender.alarms(1).await.contains(&"memory-damaged".to_owned()));
    // Nor is mail sealed by what nothing vouches for, which does not take the place of what may be repaired.
    sender.publishes(&sender.partner.identity(), |draft| draft.mode = Mode::Testing);
    sender.waits("(memory-damaged)").await;
    let kept = ledger.recall(Scope::Outgoing, &domain).await.unwrap().unwrap();
    assert_eq!(kept.policy, row.policy);
    // Without it, and once it has passed, the domain is unknown.
    row.enforce_until = Some(NOW);
    ledger.remember(Scope::Outgoing, &domain, &row, NOW).await.unwrap();
    sender.says(denied(Authenticity::Secure));
    assert_eq!(sender.send().await, Sent::Clear);
}
