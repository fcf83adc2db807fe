//! Two gateways that rotate their keys by signed updates of a real primary, over weeks of virtual time: mail goes both ways without
//! end, carriers are held back, name servers fail, gateways are stopped and started again.
//!
//! Time stands still while anybody works, and goes on when both gateways wait for a later one; so nothing depends on how fast the
//! machine is. Caches age by the same time. BIND lives in the real one; a mediator before it translates the time of signed updates.
//!
//! Runs when `MTA_SEAL_TEST_BIND=1`; needs `named` and `tsig-keygen` (Debian: bind9). The short form has lengths of a few days and
//! takes about a minute. With `MTA_SEAL_TEST_LIFETIMES=long` as well, the lengths are the defaults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dns_support;
mod gateway_support;
mod lifetime_bind_support;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use dns_support::is_wanted;
use gateway_support::{DAY, Forgery, HOUR, NOW, Org, forward, rng};
use lifetime_bind_support::{
    Fault, Mediator, Node, Post, Settings, Time, Watch, Zones, finds_each_spelling, first_policy,
    holders,
};
use mta_seal::core::{DeliveryId, ForwardPath, Prefix, ReversePathField, SealingPrivateKey, Suite};
use mta_seal::gateway::StartError;
use mta_seal::gateway::rotation::Disagreement;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::keyring::{Keyring, StoredKey};

/// What happens besides mail.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The name servers break, or are mended.
    Names(Option<Fault>),
    /// A gateway is stopped and started again on its disk.
    Restart(usize),
    Stop(usize),
    Start(usize),
    /// The second keyring is copied, for later.
    Copy,
    /// No new mail.
    Quiet,
}

/// In hundredths of [`Form::unit`].
const EVENTS: [(u64, Event); 16] = [
    (300, Event::Restart(0)),
    (400, Event::Copy),
    // The keys that follow at 600 are made, and cannot be published.
    (520, Event::Names(Some(Fault::Stopped))),
    (525, Event::Names(Some(Fault::Bare))),
    (620, Event::Restart(1)),
    (720, Event::Names(None)),
    (900, Event::Stop(0)),
    (925, Event::Start(0)),
    (960, Event::Names(Some(Fault::Refusing))),
    (1240, Event::Names(None)),
    (1320, Event::Names(Some(Fault::Frozen))),
    (1400, Event::Restart(1)),
    (1560, Event::Names(None)),
    (1600, Event::Restart(0)),
    (1600, Event::Restart(1)),
    (1800, Event::Quiet),
];

/// The lengths of a run.
struct Form {
    unit: u64,
    rotation: &'static str,
    policy: u64,
    window: u64,
}

impl Form {
    fn wanted() -> Self {
        let long = std::env::var_os("MTA_SEAL_TEST_LIFETIMES").is_some_and(|form| form == "long");
        if long {
            Self { unit: 7 * DAY / 2, rotation: "", policy: 30 * DAY, window: 14 * DAY }
        } else {
            let rotation = "sealing = \"2d\"\nsigning = \"6d\"\npolicy = \"5d\"\nsign = \"2d\"\n\
                            ahead = \"18h\"\nwarn = \"1d\"";
            Self { unit: DAY, rotation, policy: 5 * DAY, window: 2 * DAY }
        }
    }

    fn settings(&self) -> Settings {
        let Self { policy, window, .. } = *self;
        Settings { rotation: self.rotation.to_owned(), window, policy, ttl: HOUR }
    }
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn of<T: Copy>(&mut self, sides: &[T]) -> T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        sides[usize::try_from(self.0 % sides.len() as u64).unwrap()]
    }
}

struct World {
    form: Form,
    time: std::sync::Arc<Time>,
    zones: Zones,
    mediator: Mediator,
    nodes: [Node; 2],
    watches: [Watch; 2],
    /// From the first to the second and back.
    posts: [Post; 2],
    dice: Dice,
    quiet: bool,
    dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let form = Form::wanted();
        let time = Time::new(NOW);
        let suites = vec![Suite::XWing, Suite::X25519];
        let [one, two] = [("company1.example", 10), ("company2.example", 20)]
            .map(|(name, seed)| Org { suites: suites.clone(), ..Org::new(name, seed) });
        let dir = tempfile::tempdir().unwrap();
        let published = [&one, &two].map(|org| (org, first_policy(org, &form.settings(), NOW)));
        let zones = Zones::start(dir.path(), &published, two.domain.as_str()).await;
        let mediator = Mediator::start(zones.primary(), &zones.key()).await;
        let mut nodes = [
            Node::new(&one, form.settings(), &time).await,
            Node::new(&two, form.settings(), &time).await,
        ];
        let watches = nodes.each_ref().map(Watch::new);
        for node in &mut nodes {
            node.start(&zones, &mediator).await;
        }
        let (posts, dice) = (Default::default(), Dice(0x9e37_79b9_7f4a_7c15));
        Self { form, time, zones, mediator, nodes, watches, posts, dice, quiet: false, dir }
    }

    /// A while goes by, but not more than until `limit`.
    async fn step(&mut self, limit: u64) {
        let now = self.time.now();
        let length = self.dice.of(&[HOUR / 3, HOUR, 3 * HOUR, 6 * HOUR]);
        self.time.set((now + length).min(limit.max(now + 1)));
        self.settle().await;
        let [one, two] = &self.nodes;
        let [there, back] = &mut self.posts;
        for (post, from, to) in [(there, one, two), (back, two, one)] {
            if !self.quiet {
                let window = self.form.window;
                let delay = self.dice.of(&[0, 0, HOUR, window / 3, window * 7 / 10]);
                post.send(from, to, delay).await;
            }
            post.arrive(to).await;
        }
    }

    /// Everybody does what is due, and it is looked at.
    async fn settle(&mut self) {
        for node in &self.nodes {
            node.at_rest().await;
        }
        self.zones.in_step().await;
        for (watch, node) in self.watches.iter_mut().zip(&self.nodes) {
            watch.look(node, &self.zones, &self.mediator).await;
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Names(fault) => self.zones.set(fault).await,
            Event::Restart(at) => {
                self.nodes[at].stop().await;
                self.nodes[at].start(&self.zones, &self.mediator).await;
            }
            Event::Stop(at) => self.nodes[at].stop().await,
            Event::Start(at) => self.nodes[at].start(&self.zones, &self.mediator).await,
            Event::Copy => copy(&self.nodes[1].keys(), &self.old()),
            Event::Quiet => self.quiet = true,
        }
        self.zones.in_step().await;
    }

    /// Where the copy of a keyring lies.
    fn old(&self) -> std::path::PathBuf {
        self.dir.path().join("old")
    }

    /// A carrier to `key` of this node, made by the other one now.
    fn carrier(&self, to: usize, key: &SealingPrivateKey, text: &str) -> gateway_support::Message {
        let (from, to) = (&self.nodes[1 - to], &self.nodes[to]);
        let (alice, bob) = (format!("alice@{}", from.domain()), format!("bob@{}", to.domain()));
        let listed = from.policy().signing_keys;
        let ids = listed.iter().map(|key| key.key_id());
        let forgery = Forgery {
            recipient_domain: to.domain().clone(),
            key: key.public().clone(),
            prefix: Prefix::mail(
                from.domain().clone(),
                from.now(),
                DeliveryId::random(&mut rng()),
                ReversePathField::new(alice.clone(), 0, false, 0, String::new()).unwrap(),
                vec![ForwardPath::new(bob.clone(), 0, String::new()).unwrap()],
            ),
            signing: from.keyring().signing_key(ids).unwrap().clone(),
            message: format!("From: {alice}\r\n\r\n<{text}>\r\n").into_bytes(),
        };
        gateway_support::Message {
            from: format!("<{alice}>"),
            to: vec![format!("<{bob}>")],
            data: forgery.carrier(),
            tls: false,
        }
    }
}

/// Copies a keyring.
fn copy(from: &Path, to: &Path) {
    Keyring::create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A key of the second organisation or the first, and what was recorded on its way to it.
struct Target {
    node: usize,
    key: SealingPrivateKey,
    recorded: gateway_support::Message,
}

/// Keys of the second generation, of both organisations and suites; before their end a thief of the disk would have them.
fn targets(world: &World) -> Vec<Target> {
    let all = [0, 1].into_iter().flat_map(|node| Suite::ALL.map(|suite| (node, suite)));
    all.map(|(node, suite)| {
        let key = world.nodes[node].listed(suite);
        let found = holders(world.nodes[node].disk(), &key);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(world.nodes[node].keys()));
        finds_each_spelling(&key);
        let recorded = world.carrier(node, &key, "recorded");
        Target { node, key, recorded }
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_of_rotation_with_bind() {
    if !is_wanted("lifetime_bind") {
        return;
    }
    let mut world = World::start().await;
    let (unit, window) = (world.form.unit, world.form.window);
    let at = |hundredths: u64| NOW + hundredths * unit / 100;
    let mut events = VecDeque::from(EVENTS);
    let mut found: Vec<Target> = Vec::new();
    let mut border = Border::default();
    let end = at(1800) + 2 * window + 10 * DAY;
    loop {
        let now = world.time.now();
        while events.front().is_some_and(|(when, _)| at(*when) <= now) {
            let (_, event) = events.pop_front().unwrap();
            world.happen(event).await;
        }
        if found.is_empty()
            && world.watches.iter().all(|w| Suite::ALL.iter().all(|s| w.successions(*s) > 0))
        {
            found = targets(&world);
        }
        if let Some(target) = found.iter().find(|t| t.node == 1 && t.key.suite() == Suite::XWing) {
            border.tend(&world, target).await;
        }
        let over = events.is_empty() && world.posts.iter().all(Post::is_empty) && border.is_over();
        let gone = |t: &Target| world.watches[t.node].gone.contains(&t.key.key_id());
        if over && !found.is_empty() && found.iter().all(gone) {
            break;
        }
        assert!(now < end, "the keys do not come to their end");
        let next = events.front().map_or(u64::MAX, |(when, _)| at(*when));
        world.step(next.min(border.next(now))).await;
    }

    // Nothing is lost and nothing was clear.
    let [one, two] = &world.nodes;
    world.posts[0].nothing_is_lost(one, two);
    world.posts[1].nothing_is_lost(two, one);

    for (node, watch) in world.nodes.iter().zip(&world.watches) {
        // Keys have followed each other.
        for suite in Suite::ALL {
            assert!(watch.successions(suite) >= 5, "{}", node.domain());
        }
        assert!(watch.signers.len() >= 2, "{}", node.domain());
        // The end of each is on record.
        let ends = node.ends().await;
        assert!(watch.gone.len() >= 5);
        for id in &watch.gone {
            let words = format!("key {id} at ");
            assert_eq!(
                ends.iter().filter(|end| end.contains(&words)).count(),
                1,
                "{words}: {ends:?}"
            );
        }
        assert_eq!(ends.len(), watch.gone.len());
        // Failures were told while they lasted, and nothing else was wrong.
        let alarms = node.alarms().await;
        let has = |kind: &str, from: u64, to: u64| {
            alarms.iter().any(|(k, first, last)| k == kind && *first < at(to) && *last > at(from))
        };
        for (from, to) in [(520, 720), (960, 1240)] {
            assert!(has("record-missing", from, to), "{}: {alarms:?}", node.domain());
            assert!(has("rotation-late", from, to), "{}: {alarms:?}", node.domain());
        }
        let other = alarms.iter().find(|(kind, _, _)| {
            !["record-missing", "rotation-late", "clock-jumped"].contains(&kind.as_str())
        });
        assert_eq!(other, None);
    }
    let alarms = world.nodes[1].alarms().await;
    let late = alarms.iter().find(|(kind, _, _)| kind == "rotation-late").unwrap();
    // Until the record has been everywhere for a TTL.
    assert!((at(1320)..at(1600)).contains(&late.2), "{alarms:?}");

    // What was recorded stays sealed, whoever gets the disks.
    for target in &found {
        for node in &world.nodes {
            assert_eq!(holders(node.disk(), &target.key), [] as [std::path::PathBuf; 0]);
        }
        let late = forward(world.nodes[target.node].inbound(), Smtp, &target.recorded).await;
        late.expect("550 5.7.5 sealed to a key that no longer exists");
    }
    starts_with_the_right_keys_only(&mut world).await;
}

/// Mail at the very end of a key: sealed when the last policy that lists it expires, on its way for the whole window.
#[derive(Default)]
struct Border {
    /// The last moment of the policy, once another has taken its place.
    expiry: Option<u64>,
    carrier: Option<gateway_support::Message>,
    delivered: bool,
    window: u64,
}

impl Border {
    async fn tend(&mut self, world: &World, target: &Target) {
        let (node, now) = (&world.nodes[target.node], world.time.now());
        self.window = world.form.window;
        let listed = node.listed(target.key.suite()).key_id() == target.key.key_id();
        if !listed && self.expiry.is_none() {
            let watch = &world.watches[target.node];
            self.expiry = Some(watch.expiry(&target.key, self.window));
        }
        let Some(expiry) = self.expiry else { return };
        if now == expiry - 1 {
            self.carrier = Some(world.carrier(target.node, &target.key, "at the border"));
        }
        if now == expiry - 1 + self.window {
            let carrier = self.carrier.as_ref().unwrap();
            forward(node.inbound(), Smtp, carrier).await.expect("250");
            self.delivered = true;
        }
    }

    fn next(&self, now: u64) -> u64 {
        let Some(expiry) = self.expiry else { return u64::MAX };
        let times = [expiry - 1, expiry - 1 + self.window];
        times.into_iter().filter(|at| *at > now).min().unwrap_or(u64::MAX)
    }

    fn is_over(&self) -> bool {
        self.delivered
    }
}

/// A gateway does not start with keys that are not those of DNS [R-life-08].
async fn starts_with_the_right_keys_only(world: &mut World) {
    let old = world.old();
    let World { zones, mediator, nodes: [_, node], form, time, dir, .. } = world;
    node.stop().await;
    let (keys, right) = (node.keys(), dir.path().join("right"));
    copy(&keys, &right);
    let refused = |error: Result<(), StartError>| match error {
        Err(StartError::Published { error, .. }) => error,
        other => panic!("{other:?}"),
    };
    let put = |from: &Path| {
        fs::remove_dir_all(&keys).unwrap();
        copy(from, &keys);
    };

    put(&old);
    let error = refused(node.try_start(zones, mediator).await);
    assert!(matches!(error, Disagreement::Newer { .. }), "{error}");

    // The same domain, and another identity.
    let other = Org { seed: 30, ..node.org.clone() };
    let made = dir.path().join("other");
    let mut keyring = Keyring::create(&made).unwrap();
    keyring.add_identity(other.identity()).unwrap();
    keyring.add_signing(other.signing()).unwrap();
    for suite in Suite::ALL {
        keyring.add_sealing(StoredKey::new(other.sealing(suite))).unwrap();
    }
    let policy = first_policy(&other, &form.settings(), time.now());
    keyring.set_policy(&policy).unwrap();
    put(&made);
    let error = refused(node.try_start(zones, mediator).await);
    assert!(matches!(error, Disagreement::Identity { .. }), "{error}");

    put(&right);
    node.start(zones, mediator).await;
}
