//! Mail flows through a gateway while everything that DNS says passes a machine in the middle.
//!
//! The gateway validates DNSSEC itself. Before its name server stands an attacker who, answer by answer, drops, delays, cuts, strips and
//! forges: another identity with keys and signatures of its own, denials, withdrawals, referrals, failures, and older policies of the
//! domains. What becomes of an answer depends on the seed, the round and the question only; `MTA_SEAL_TEST_SEED` sets another seed.
//! Domains are of all kinds, see [`lasting`] and [`fresh`]. Asserted:
//!
//! - **No clear mail**, in no message and in no octet that the next hop ever got: for all domains but those that the protocol leaves open:
//!   never seen, in an unsigned zone, not pinned, rule `prefer`, no demand ([`Kind::open`]). For these a forged denial, or a `testing` policy whose key
//!   is withheld, leads to clear mail.
//! - **Nothing sealed to the forged key**: for all domains that are remembered, pinned or in a signed zone. `require` alone does not
//!   help against a forged first answer.
//! - **Nothing lost**: what was answered 250 is with the next hop once, what was answered 4xx is delivered once the attack has ended (where
//!   a forged identity was believed at first, when its hold ends), and 550 is only said for `require` or a demand when DNS
//!   denies the policy.
//!
//! The last test takes the protection away, and the same taps find clear mail and mail sealed to the forged key.
//!
//! What attacks still achieve, and what is therefore not asserted: mail waits; `require` and demands are refused for good while a policy
//! is denied; a forged identity that a domain in an unsigned zone was first seen with keeps its own policy out until that
//! memory ends.
//!
//! Time is that of a clock of the test, for memory and for the resolver's cache: 40 minutes between two rounds, so that no answer is
//! kept from one to the next. Only the waiting for answers that were dropped is real.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dns_attacker;
mod gateway_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns_attacker::{Action, Attacker, Lies, Regime};
use gateway_support::{
    DAY, Delivery, Gw, HOUR, Message, NOW, Org, Sink, Spec, TestClock, contains, deliver, open,
    sealed_to,
};
use mta_seal::core::{Domain, Suite};
use mta_seal::dns::authority::{Authority, ZoneSpec};
use mta_seal::dns::{DnsConfig, Resolver, Scripted, StubResolver};
use mta_seal::records::{Mode, PolicyDraft};
use mta_seal::smtp::Protocol::Smtp;

const SEED: u64 = 4;
/// Of the 20 messages of a round two go to domains that are open. More than 1,000 are asserted of.
const ROUNDS: u64 = 56;
const ROUND: u64 = 2400;

/// For one look-up while answers are dropped; a quarter of it is for one question. And while none is, on a machine however slow.
const HURRIED: Duration = Duration::from_millis(400);
const PATIENT: Duration = Duration::from_secs(5);

fn seed() -> u64 {
    let seed = std::env::var("MTA_SEAL_TEST_SEED").map_or(SEED, |text| text.parse().unwrap());
    eprintln!("MTA_SEAL_TEST_SEED={seed}");
    seed
}

/// How a domain stands before the attack, and what the operator has set.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    /// A message went there before the attack.
    seen: bool,
    signed: bool,
    pinned: bool,
    require: bool,
    /// Its messages demand to be sealed.
    demand: bool,
    testing: bool,
    /// It prefers a key in a key record.
    hybrid: bool,
    /// It has no policy at all.
    nobody: bool,
}

impl Kind {
    /// Nothing protects it against a forged first answer.
    fn open(self) -> bool {
        !(self.sure() || self.require || self.demand)
    }

    /// No key but its own can be believed.
    fn sure(self) -> bool {
        self.seen || self.signed || self.pinned
    }
}

/// A domain that mail is sent to, as its owner and as the attacker would have it.
#[derive(Clone)]
struct Partner {
    group: &'static str,
    kind: Kind,
    own: Org,
    forged: Org,
}

/// Those that get a message in each round.
fn lasting() -> Vec<Partner> {
    let kind = Kind::default();
    let seen = Kind { seen: true, ..kind };
    let signed = Kind { signed: true, ..kind };
    let require = Kind { require: true, ..kind };
    [
        ("seen.plain", seen),
        ("seen-testing.plain", Kind { testing: true, ..seen }),
        ("seen-hybrid.plain", Kind { hybrid: true, ..seen }),
        ("seen-hybrid-testing.plain", Kind { hybrid: true, testing: true, ..seen }),
        ("signed-seen.signed", Kind { signed: true, ..seen }),
        ("signed-hybrid.other", Kind { hybrid: true, ..signed }),
        ("pinned-seen.plain", Kind { pinned: true, ..seen }),
        ("require-seen.plain", Kind { seen: true, ..require }),
        ("require-new.plain", require),
        ("require-nobody.plain", Kind { nobody: true, ..require }),
        ("demand-seen.plain", Kind { demand: true, ..seen }),
        ("open.plain", kind),
    ]
    .into_iter()
    .map(|(group, kind)| Partner::new(group, &format!("{group}.example"), kind))
    .collect()
}

/// Those that get a message in this round only: nothing is remembered of any of them.
fn fresh(round: u64) -> Vec<Partner> {
    let kind = Kind::default();
    let signed = Kind { signed: true, ..kind };
    let pinned = Kind { pinned: true, ..kind };
    [
        ("fresh-signed.signed", signed),
        ("fresh-signed-testing.signed", Kind { testing: true, ..signed }),
        ("fresh-signed-require.other", Kind { require: true, ..signed }),
        ("fresh-pinned.plain", pinned),
        ("fresh-pinned-hybrid.plain", Kind { hybrid: true, ..pinned }),
        ("fresh-require.plain", Kind { require: true, ..kind }),
        ("fresh-demand.plain", Kind { demand: true, ..kind }),
        ("fresh-open.plain", kind),
    ]
    .into_iter()
    .map(|(group, kind)| Partner::new(group, &format!("r{round}-{group}.example"), kind))
    .collect()
}

impl Partner {
    fn new(group: &'static str, name: &str, kind: Kind) -> Self {
        let mut own = Org::new(name, 20);
        if kind.hybrid {
            own.suites = vec![Suite::XWing, Suite::X25519];
        }
        let forged = Org { seed: 60, ..own.clone() };
        Self { group, kind, own, forged }
    }

    fn policy(&self, change: impl FnOnce(&mut PolicyDraft)) -> String {
        let mut draft = self.own.draft();
        draft.mode = if self.kind.testing { Mode::Testing } else { Mode::Enforce };
        change(&mut draft);
        draft.sign(&self.own.domain, &self.own.identity()).unwrap()
    }

    fn publish(&self, server: &Authority) {
        if self.kind.nobody {
            return;
        }
        let policy = self.policy(|_| {});
        server.set_txt(&self.own.policy_name(), &[policy.as_bytes()]).unwrap();
        for (name, key) in self.own.key_records() {
            server.set_txt(&name, &[key.as_bytes()]).unwrap();
        }
    }

    fn lies(&self) -> Lies {
        let forge = |mode| {
            let draft = PolicyDraft { mode, serial: NOW - 1, ..self.forged.draft() };
            draft.sign(&self.own.domain, &self.forged.identity()).unwrap()
        };
        // From a harmless time: testing, with a key that can no longer be had.
        let old = self.policy(|draft| {
            let gone = Org { seed: 80, suites: vec![Suite::XWing], ..self.own.clone() };
            draft.mode = Mode::Testing;
            draft.serial = NOW - 1000;
            draft.sealing_keys = gone.draft().sealing_keys;
        });
        // Without any protection nothing tells it from the current one.
        let replayed = self.kind.sure();
        let keys = self.forged.key_records();
        Lies {
            policy_name: self.own.policy_name().to_string(),
            forged: forge(Mode::Enforce),
            withdrawal: forge(Mode::None),
            old: replayed.then_some(old),
            keys: keys.into_iter().map(|(name, text)| (name.to_string(), text)).collect(),
        }
    }

    /// Its entry in the configuration.
    fn entry(&self) -> String {
        let mut entry = format!("[[partner]]\ndomain = \"{}\"\n", self.own.domain);
        if self.kind.require {
            entry += "policy = \"require\"\n";
        }
        if self.kind.require && self.kind.signed {
            entry += "minimum_level = \"dnssec\"\n";
        }
        if self.kind.pinned {
            let pin = self.own.identity().fingerprint();
            entry += &format!("identity = \"{pin}\"\n");
        }
        entry
    }

    fn is_forged(&self, carrier: &[u8]) -> bool {
        let key = sealed_to(carrier);
        self.forged.suites.iter().any(|suite| self.forged.sealing(*suite).key_id() == key)
    }
}

/// One message, with the last answer to it.
#[derive(Debug)]
struct Sent {
    number: usize,
    partner: usize,
    answer: Delivery,
}

struct World {
    partners: Vec<Partner>,
    company: Org,
    clock: Arc<TestClock>,
    server: Authority,
    attacker: Attacker,
    relay: Sink,
    spec: Spec,
    gw: Gw,
}

impl World {
    async fn new(partners: Vec<Partner>, seed: u64) -> Self {
        let name = |text| Domain::parse(text).unwrap();
        let zones = [
            ZoneSpec::unsigned(name("plain.example")),
            ZoneSpec::signed(name("signed.example")),
            ZoneSpec::signed(name("other.example")),
        ];
        let server = Authority::start(&zones).await.unwrap();
        let attacker = Attacker::start(server.address(), seed).await;
        for partner in &partners {
            partner.publish(&server);
            attacker.lie_about(partner.lies());
        }
        let company = Org::new("company1.example", 10);
        let (clock, relay) = (TestClock::new(), Sink::smtp().await);
        let entries: String = partners.iter().map(Partner::entry).collect();
        let spec = Spec::new(&company).outbound(Smtp, &relay.url).extra(&entries);
        let resolver = resolver(&server, &attacker, &clock, PATIENT);
        let gw = Gw::start_with(&spec, &Arc::new(Scripted::new()), resolver, &clock).await;
        Self { partners, company, clock, server, attacker, relay, spec, gw }
    }

    /// Stops the gateway and starts it with an empty cache and so much time for look-ups.
    async fn restart(self, patience: Duration) -> Self {
        let resolver = resolver(&self.server, &self.attacker, &self.clock, patience);
        let gw = self.gw.restart_with(&self.spec, resolver).await;
        Self { gw, ..self }
    }

    fn message(&self, number: usize, partner: usize) -> Vec<u8> {
        let demand = self.partners[partner].kind.demand;
        let field = if demand { "MTA-Seal-Required: yes\r\n" } else { "" };
        let from = "From: alice@company1.example\r\n";
        format!("{from}{field}Subject: {number}\r\n\r\ncanary-{number}.\r\n").into_bytes()
    }

    /// Sends these messages at once, each over a connection of its own.
    async fn send(&self, which: impl IntoIterator<Item = (usize, usize)>) -> Vec<Sent> {
        let mut running = Vec::new();
        for (number, partner) in which {
            let message = self.message(number, partner);
            let to = format!("<m{number}@{}>", self.partners[partner].own.domain);
            let address = self.gw.outbound();
            running.push(tokio::spawn(async move {
                let from = "<alice@company1.example>";
                let answer = deliver(address, Smtp, from, &[&to], &message).await;
                Sent { number, partner, answer }
            }));
        }
        let mut sent = Vec::new();
        for one in running {
            sent.push(one.await.unwrap());
        }
        sent
    }

    /// Sends again what was put off.
    async fn send_again(&self, all: &mut [Sent]) {
        let which = waiting(all).into_iter().map(|sent| (sent.number, sent.partner));
        for some in which.collect::<Vec<_>>().chunks(50) {
            for sent in self.send(some.iter().copied()).await {
                let number = sent.number;
                all[number] = sent;
            }
        }
    }

    /// Sends to one domain only, and returns what the next hop got, with the answer.
    async fn one(&self, partner: usize) -> (Option<Message>, Delivery) {
        let before = self.relay.messages().len();
        let sent = self.send([(before, partner)]).await.remove(0);
        (self.relay.messages().get(before).cloned(), sent.answer)
    }

    /// What the next hop got, by number.
    fn arrived(&self) -> BTreeMap<usize, Message> {
        let mut arrived = BTreeMap::new();
        for message in self.relay.messages() {
            assert_eq!(message.to.len(), 1, "{:?}", message.to);
            let digits: String =
                message.to[0][2..].chars().take_while(char::is_ascii_digit).collect();
            let twice = arrived.insert(digits.parse().unwrap(), message);
            assert!(twice.is_none(), "message {digits} came twice");
        }
        arrived
    }

    /// The numbers of all messages of which the next hop ever got a clear octet.
    fn in_clear(&self) -> BTreeSet<usize> {
        let raw = self.relay.raw();
        let number = |at: usize| {
            let digits = raw[at + 7..].iter().take_while(|octet| octet.is_ascii_digit());
            digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
        };
        memchr::memmem::find_iter(&raw, b"canary-").map(number).collect()
    }
}

/// A resolver behind the attacker, whose cache ages by the test's clock.
fn resolver(
    server: &Authority,
    attacker: &Attacker,
    clock: &Arc<TestClock>,
    timeout: Duration,
) -> Arc<dyn Resolver> {
    let servers = mta_seal::dns::Servers::Listed(vec![attacker.address()]);
    let config = DnsConfig { servers, timeout, ..server.config() };
    let (base, clock) = (Instant::now(), Arc::clone(clock));
    let now = move || base + Duration::from_secs(clock.now_seconds() - NOW);
    Arc::new(StubResolver::with_clock(&config, Arc::new(now)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_messages_under_attack() {
    let seed = seed();
    let mut partners = lasting();
    let lasting = partners.len();
    partners.extend((0..ROUNDS).flat_map(fresh));
    let each = (partners.len() - lasting) / usize::try_from(ROUNDS).unwrap();
    let mut world = World::new(partners, seed).await;
    let seen = (0..lasting).filter(|at| world.partners[*at].kind.seen);
    for sent in world.send(seen.map(|at| (1_000_000 + at, at))).await {
        assert!(sent.answer.verdict().is("250"), "{:?}", sent.answer);
    }

    world = world.restart(HURRIED).await;
    let mut all: Vec<Sent> = Vec::new();
    let mut next = lasting;
    for round in 0..ROUNDS {
        world.clock.advance(ROUND);
        world.attacker.behave(Regime::Random { round });
        let first = all.len();
        let partners = (0..lasting).chain(next..next + each);
        all.extend(world.send((first..).zip(partners)).await);
        next += each;
        if round == ROUNDS / 2 {
            world = world.restart(HURRIED).await;
        }
    }
    let asserted = all.iter().filter(|sent| !world.partners[sent.partner].kind.open()).count();
    assert_eq!((all.len(), asserted), (1120, 1008));
    // The hold of a first use has not ended, or memory would not protect.
    assert!(world.clock.now_seconds() < NOW + 2 * DAY);
    attack_was_felt(&world);

    // The attack is over. What was put off comes again.
    world.attacker.behave(Regime::Quiet);
    world = world.restart(PATIENT).await;
    let put_off = waiting(&all).len();
    eprintln!("{put_off} of {} put off", all.len());
    assert!(put_off > 100, "{put_off}");
    for _ in 0..3 {
        world.clock.advance(HOUR);
        world.send_again(&mut all).await;
    }
    let unsure = |sent: &Sent| !world.partners[sent.partner].kind.sure();
    assert!(waiting(&all).into_iter().all(unsure), "still put off: {:?}", waiting(&all));
    // Where a forged identity was believed at first, its memory ends with its hold, which may have doubled once in this time.
    world.clock.advance(4 * DAY);
    world.send_again(&mut all).await;
    judge(&world, &all);
}

fn waiting(all: &[Sent]) -> Vec<&Sent> {
    all.iter().filter(|sent| sent.answer.verdict().code / 100 == 4).collect()
}

/// Every kind of attack took place, and for every domain, or its group: no answer came from the cache.
fn attack_was_felt(world: &World) {
    let counts = world.attacker.counts();
    eprintln!("attacks: {counts:?}");
    for action in dns_attacker::ACTIONS {
        assert!(counts.get(&action).copied().unwrap_or(0) >= 10, "{action:?}: {counts:?}");
    }
    let mut groups: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for partner in &world.partners {
        let of = world.attacker.counts_of(partner.own.policy_name().as_str());
        let count = |action| of.get(&action).copied().unwrap_or(0);
        let all: usize = of.values().sum();
        let [policies, attacked, forged, denied] = groups.entry(partner.group).or_default();
        *policies += all;
        *attacked += all - count(Action::Pass);
        *forged += count(Action::Forge);
        *denied += count(Action::NxDomain);
    }
    let rounds = usize::try_from(ROUNDS).unwrap();
    for (group, [policies, attacked, forged, denied]) in groups {
        let what = format!("{group}: {policies} policies, {attacked} attacked, {forged}, {denied}");
        assert!(policies >= rounds && attacked > rounds / 2, "{what}");
        assert!(forged > 0 && denied > 0, "{what}");
    }
}

/// No clear mail, none for the attacker, none lost.
fn judge(world: &World, all: &[Sent]) {
    let arrived = world.arrived();
    let clear = world.in_clear();
    let mut tally: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for sent in all {
        let partner = &world.partners[sent.partner];
        let (kind, domain) = (partner.kind, &partner.own.domain);
        let what = format!("message {} to {domain}: {:?}", sent.number, sent.answer);
        let [sealed, forged, cleared, refused] = tally.entry(partner.group).or_default();
        assert!(kind.open() || !clear.contains(&sent.number), "clear: {what}");
        let message = arrived.get(&sent.number);
        match sent.answer.verdict().code {
            250 => {
                let data = &message.unwrap_or_else(|| panic!("lost: {what}")).data;
                if clear.contains(&sent.number) {
                    *cleared += 1;
                } else if partner.is_forged(data) {
                    assert!(!kind.sure(), "forged: {what}");
                    *forged += 1;
                } else {
                    let message = open(data, &world.company, &partner.own).0;
                    assert_eq!(message, world.message(sent.number, sent.partner), "{what}");
                    *sealed += 1;
                }
            }
            550 => {
                assert!(message.is_none(), "{what}");
                assert!(sent.answer.verdict().is("550 5.7.10"), "{what}");
                assert!(kind.require || kind.demand, "{what}");
                *refused += 1;
            }
            _ => panic!("not delivered: {what}"),
        }
    }
    for (group, [sealed, forged, clear, refused]) in &tally {
        eprintln!("{group}: {sealed} sealed, {forged} forged, {clear} clear, {refused} refused");
    }
    assert!(tally.values().map(|[sealed, ..]| sealed).sum::<usize>() > 600, "{tally:?}");
}

/// Nothing of an answer is genuine any more, and time goes on to the ends of memory [R-dec-11].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_protects_to_its_end_and_stronger_evidence_beyond() {
    let kind = Kind { seen: true, ..Kind::default() };
    let partners = vec![
        Partner::new("kept", "kept.plain.example", kind),
        Partner::new("grown", "grown.plain.example", kind),
        Partner::new("require", "require.plain.example", Kind { require: true, ..kind }),
        Partner::new("pinned", "pinned.plain.example", Kind { pinned: true, ..kind }),
        Partner::new("signed", "signed.signed.example", Kind { signed: true, ..kind }),
    ];
    let (kept, grown, require, pinned, signed) = (0, 1, 2, 3, 4);
    let mut world = World::new(partners, 0).await;
    let shorter = world.partners[grown].policy(|draft| draft.max_age = 3 * DAY);
    let name = world.partners[grown].own.policy_name();
    world.server.set_txt(&name, &[shorter.as_bytes()]).unwrap();
    let all = [kept, grown, require, pinned, signed];
    for at in all {
        own_key(&world, at).await;
    }
    // Seen again a day later: its hold doubles, up to its `max_age`.
    world.clock.set(NOW + 25 * HOUR);
    own_key(&world, grown).await;

    // All that follows is under attack, with forgeries and denials in turn, and over a restart.
    for at in [kept, require, grown] {
        world.clock.set(if at == grown { NOW + 25 * HOUR + 3 * DAY } else { NOW + 2 * DAY } - 1);
        for action in [Action::Forge, Action::NxDomain, Action::Withdraw, Action::Drop] {
            world.attacker.behave(Regime::Always(action));
            world = world.restart(if action == Action::Drop { HURRIED } else { PATIENT }).await;
            own_key(&world, at).await;
            own_key(&world, pinned).await;
            own_key(&world, signed).await;
        }
        world.clock.advance(1);
        world.attacker.behave(Regime::Always(Action::Drop));
        world = world.restart(HURRIED).await;
        refused(&world, at, "451 4.7.10").await;
        world.attacker.behave(Regime::Always(Action::NxDomain));
        world = world.restart(PATIENT).await;
        if at == require {
            refused(&world, at, "550 5.7.10").await;
        } else {
            // Never seen, as far as anybody remembers: the protocol leaves this open.
            let (message, _) = world.one(at).await;
            assert!(contains(&message.unwrap().data, b"canary-"), "{at}");
        }
        world.clock.advance(HOUR);
        world.attacker.behave(Regime::Always(Action::Forge));
        let (message, _) = world.one(at).await;
        assert!(world.partners[at].is_forged(&message.unwrap().data), "{at}");
    }

    // What was pinned or in a signed zone is sealed to its own key until its policy expires, and is never clear afterwards: not while
    // `enforce` is remembered, and not when that too is forgotten.
    let expiry = NOW + 30 * DAY;
    let forgotten = NOW + 60 * DAY;
    for now in [expiry - 1, expiry, forgotten - 1, forgotten, forgotten + DAY] {
        for action in [Action::Forge, Action::NxDomain, Action::Withdraw] {
            world.clock.set(now);
            world.attacker.behave(Regime::Always(action));
            world = world.restart(PATIENT).await;
            for at in [pinned, signed] {
                if now < expiry {
                    own_key(&world, at).await;
                } else {
                    refused(&world, at, "451 4.7.").await;
                }
            }
        }
    }
}

/// Sends a message, which must be sealed to the domain's own key.
async fn own_key(world: &World, partner: usize) {
    let own = &world.partners[partner].own;
    let (message, answer) = world.one(partner).await;
    assert!(answer.verdict().is("250"), "{}: {answer:?}", own.domain);
    let data = message.unwrap().data;
    assert!(!contains(&data, b"canary-"), "{}: clear", own.domain);
    assert!(!world.partners[partner].is_forged(&data), "{}: to the forged key", own.domain);
    open(&data, &world.company, own);
}

async fn refused(world: &World, partner: usize, start: &str) {
    let (message, answer) = world.one(partner).await;
    let domain = &world.partners[partner].own.domain;
    assert!(answer.verdict().is(start), "{domain}: {answer:?}");
    assert!(message.is_none(), "{domain}: {message:?}");
}

/// The control: never seen, unsigned, `prefer`. The attacker gets what he is after, and the taps see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_protection_the_taps_find_clear_and_forged_mail() {
    let partners: Vec<_> = (0..80)
        .map(|at| Partner::new("open", &format!("open-{at}.plain.example"), Kind::default()))
        .collect();
    let world = World::new(partners, seed()).await.restart(HURRIED).await;
    let mut sent = Vec::new();
    for round in 0..16 {
        world.attacker.behave(Regime::Random { round });
        let first = 5 * usize::try_from(round).unwrap();
        sent.extend(world.send((first..first + 5).map(|at| (at, at))).await);
    }
    let (arrived, clear) = (world.arrived(), world.in_clear());
    let mut forged = 0;
    for sent in sent {
        let Some(message) = arrived.get(&sent.number) else { continue };
        let partner = &world.partners[sent.partner];
        if !clear.contains(&sent.number) && partner.is_forged(&message.data) {
            // He reads it, too.
            let read = open(&message.data, &world.company, &partner.forged).0;
            assert_eq!(read, world.message(sent.number, sent.partner));
            forged += 1;
        }
    }
    eprintln!("of 80: {} clear, {forged} forged", clear.len());
    assert!(!clear.is_empty());
    assert!(forged > 0);
}
