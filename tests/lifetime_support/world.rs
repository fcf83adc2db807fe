//! Two domains that write to each other for a long time, in virtual time, while things go wrong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use mta_seal::core::{
    DeliveryId, Domain, ForwardPath, Parsed, Prefix, Received, ReversePathField, SealTo,
    SealingPublicKey, Step, Suite, seal,
};
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::gateway::{Failure, signing_key};
use mta_seal::lifetime::Kind;
use mta_seal::policy::{
    Decision, DeferReason, Demand, LocalPolicy, Memory, MemoryUpdate, SenderPolicy, Source,
    authenticate_sender, decide,
};
use mta_seal::records::{
    CLOCK_TOLERANCE, KeyRecord, SealingEntry, SignedPolicy, VerifiedPolicy, key_record_name,
};
use mta_seal::store::keyring::{Find, Keyring};

use super::crash::{Cut, crash, rehearse};
use super::party::{Party, policy_of, rng};
use super::trouble::{Counts, Trouble};
use super::watch::Watch;
use super::zone::Lag;
use super::{Cache, Chance, DAY, HOUR, MINUTE, START, Zone};

/// How long an MTA tries.
const PATIENCE: u64 = 5 * DAY;

/// Longest time between two attempts of an MTA.
const RETRY: u64 = 4_000;

/// How long after a month off everything is as usual again: an hour until a policy is signed, days until every server has it.
const RECOVERY: u64 = 4 * DAY;

/// Time for the look-ups of one message; nothing takes time here.
const BUDGET: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The keeper of a side comes, if this is the visit it was to come for.
    Tend(usize, u64),
    /// The keeper of a side comes at a moment that nobody asked for.
    Stray(usize),
    /// Somebody of a side writes.
    Write(usize),
    /// The MTA tries to send a message.
    Send(usize),
    /// A hop tries to deliver a carrier.
    Arrive(usize),
    /// Something goes wrong at a side.
    Trouble(usize, Trouble),
    /// Somebody looks at both zones.
    Look,
}

struct Side {
    party: Party,
    watch: Watch,
    cache: Cache,
    outgoing: Option<Memory>,
    incoming: Option<Memory>,
    /// How far its clock is wrong, in seconds.
    skew: i64,
    /// How far it is wrong for a short while, and until when.
    leap: Option<(i64, u64)>,
    asleep_until: u64,
    recovers_until: u64,
    /// Times by true time at which it was off.
    off: u64,
    /// The keys that the daemon has in memory, and until when it does not look for others.
    loaded: Option<(u64, Rc<Keyring>)>,
    visit: u64,
    cut: Option<Cut>,
    scratch: PathBuf,
}

struct Message {
    from: usize,
    body: Vec<u8>,
    written: u64,
    attempts: u64,
    envelope: Vec<u8>,
    sealed_at: u64,
    arrivals: u64,
}

pub struct World {
    sides: Vec<Side>,
    now: u64,
    end: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    messages: Vec<Message>,
    open: u64,
    chance: Chance,
    gap: u64,
    /// When keepers without anything to do come again.
    pause: u64,
    pub counts: Counts,
    _scratch: tempfile::TempDir,
}

impl World {
    /// A world for `length` seconds in which each side writes about every `gap` seconds, and keepers that have
    /// nothing to do come again after `pause`, or as they want to if it is 0.
    pub fn new(seed: u64, length: u64, gap: u64, pause: u64) -> Self {
        let mut chance = Chance::new(seed);
        let part = |chance: &mut Chance| Chance::new(chance.between(0, u64::MAX - 1));
        let scratch = tempfile::tempdir().unwrap();
        let zones = [
            Zone::new(3, 3_600, 900, Lag::Real, START, part(&mut chance)),
            Zone::new(4, 300, 3_600, Lag::Real, START, part(&mut chance)),
        ];
        let parties: Vec<Party> = ["one.example", "two.example"]
            .into_iter()
            .zip(&zones)
            .map(|(name, zone)| Party::new(name, zone, START))
            .collect();
        let known: Vec<(Domain, Zone)> =
            parties.iter().map(|party| (party.domain.clone(), party.zone.clone())).collect();
        let sides = parties.into_iter().enumerate().map(|(n, party)| Side {
            party,
            watch: Watch::default(),
            cache: Cache::new(known.clone(), part(&mut chance)),
            outgoing: None,
            incoming: None,
            skew: 0,
            leap: None,
            asleep_until: 0,
            recovers_until: 0,
            off: 0,
            loaded: None,
            visit: 0,
            cut: None,
            scratch: scratch.path().join(n.to_string()),
        });
        let sides = sides.collect();
        let mut world = Self {
            sides,
            now: START,
            end: START + length,
            order: 0,
            queue: BinaryHeap::new(),
            messages: Vec::new(),
            open: 0,
            chance,
            gap,
            pause,
            counts: Counts::default(),
            _scratch: scratch,
        };
        for side in 0..2 {
            world.at(START, Event::Tend(side, 0));
            world.at(START + DAY, Event::Stray(side));
            // The first policies take their time to every server.
            world.at(START + 6 * DAY, Event::Write(side));
            for trouble in Trouble::all() {
                world.plan_trouble(side, trouble);
            }
        }
        world.at(START + 6 * DAY, Event::Look);
        world
    }

    fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, event)));
    }

    fn plan_trouble(&mut self, side: usize, trouble: Trouble) {
        let gap = trouble.gap();
        let after = match trouble {
            // One side after the other, and soon enough for a short run.
            Trouble::Asleep => {
                let turn = if self.now == START { [15, 100][side] * DAY } else { 2 * gap };
                turn + self.chance.between(0, 5 * DAY)
            }
            _ => self.chance.between(gap / 2, gap * 3 / 2),
        };
        let at = self.now.max(START + 4 * DAY) + after;
        self.at(at, Event::Trouble(side, trouble));
    }

    /// Goes through everything that happens, and on until no message is under way.
    pub async fn run(&mut self) {
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            self.now = at;
            for side in &self.sides {
                side.party.zone.advance(at);
                side.cache.advance(at);
            }
            let over = at >= self.end;
            if over && self.open == 0 {
                break;
            }
            match event {
                Event::Tend(side, visit) if visit == self.sides[side].visit => {
                    self.tend(side).await
                }
                Event::Tend(..) => {}
                Event::Stray(side) => {
                    let after = self.chance.between(HOUR, 3 * DAY);
                    self.at(at + after, Event::Stray(side));
                    self.tend(side).await;
                }
                Event::Write(side) if !over => self.write(side),
                Event::Write(_) => {}
                Event::Send(message) => self.send(message).await,
                Event::Arrive(message) => self.arrive(message).await,
                Event::Trouble(side, trouble) if !over => self.trouble(side, trouble),
                Event::Trouble(..) => {}
                Event::Look => self.look(),
            }
        }
        for side in &self.sides {
            side.watch.nothing_is_left(&side.party);
            let (published, refused) = side.party.zone.counts();
            let (failed, held) = side.cache.counts();
            self.counts.add("publications", published);
            self.counts.add("publications refused", refused);
            self.counts.add("look-ups failed", failed);
            self.counts.add("answers from a cache", held);
            self.counts.add("private keys destroyed", side.watch.destroyed.len() as u64);
        }
    }

    /// When keys of a kind were succeeded, by side.
    pub fn successions(&self) -> Vec<BTreeMap<Kind, Vec<u64>>> {
        self.sides.iter().map(|side| side.watch.successions.clone()).collect()
    }

    /// How many seconds each side was off.
    pub fn off(&self) -> Vec<u64> {
        self.sides.iter().map(|side| side.off).collect()
    }

    fn clock(&self, side: usize) -> u64 {
        let side = &self.sides[side];
        let leap = side.leap.filter(|(_, until)| self.now < *until).map_or(0, |(by, _)| by);
        self.now.checked_add_signed(side.skew + leap).unwrap()
    }

    fn leaps(&self, side: usize) -> bool {
        self.sides[side].leap.is_some_and(|(_, until)| self.now < until)
    }

    fn sleeps(&self, side: usize) -> bool {
        self.now < self.sides[side].asleep_until
    }

    async fn tend(&mut self, side: usize) {
        self.sides[side].visit += 1;
        if self.sleeps(side) {
            let wakes = self.sides[side].asleep_until;
            return self.visit_at(side, wakes);
        }
        let clock = self.clock(side);
        if let Some(cut) = self.sides[side].cut
            && !self.leaps(side)
            && self.cut(side, cut, clock)
        {
            self.sides[side].cut = None;
            self.counts.add(Trouble::Cut(cut), 1);
            let restart = self.now + self.chance.between(1, 10 * MINUTE);
            return self.visit_at(side, restart);
        }
        let Side { party, watch, loaded, .. } = &mut self.sides[side];
        let Some(tended) = party.tend_or_break(clock).await else {
            watch.observe(party, clock);
            *loaded = None;
            self.counts.add("keepers killed", 1);
            let restart = self.now + self.chance.between(1, 10 * MINUTE);
            return self.visit_at(side, restart);
        };
        watch.tended(party, &tended, clock);
        if tended
            .events
            .iter()
            .any(|e| matches!(e, mta_seal::gateway::rotation::Event::Destroyed(..)))
        {
            watch.nothing_is_left(party);
        }
        if let Some((until, _)) = loaded {
            // The daemon sees that the keyring has changed, in a while.
            *until = (*until).min(self.now + 10 * MINUTE);
        }
        self.counts.add("visits", 1);
        for concern in &tended.concerns {
            let name = format!("{concern:?}");
            let name = name.split([' ', '{']).next().unwrap_or_default();
            self.counts.add(format!("visits with concern {name}"), 1);
        }
        // By its own clock.
        let next = match self.pause {
            0 => tended.next,
            _ if self.leaps(side) => tended.next,
            pause => self.sides[side].party.next(&tended, clock, pause),
        };
        let wait = next.saturating_sub(clock).clamp(self.pause / 8 + 1, DAY);
        self.visit_at(side, self.now + wait);
    }

    fn visit_at(&mut self, side: usize, at: u64) {
        let visit = self.sides[side].visit;
        self.at(at, Event::Tend(side, visit));
    }

    /// Kills the keeper in the middle of a sitting, if that does what is to be cut.
    fn cut(&mut self, side: usize, cut: Cut, clock: u64) -> bool {
        let Side { party, watch, scratch, loaded, .. } = &mut self.sides[side];
        let mut desk = party.desk(clock);
        if desk.book.look(clock).is_some() || desk.book.settling(clock).is_some() {
            return false;
        }
        desk.settle(party.made(), clock);
        if desk.plan(&party.keeper.schedule, party.made(), clock).steps.is_empty() {
            return false;
        }
        drop(desk);
        let events = rehearse(party, scratch, clock);
        if !crash(party, scratch, &events, cut, clock) {
            return false;
        }
        watch.observe(party, clock);
        for event in &events {
            match event {
                mta_seal::gateway::rotation::Event::Signed { expiry, sealing, .. } => {
                    sealing.iter().for_each(|id| watch.meant(*id, *expiry));
                }
                // What nobody knows lives as if the policy of that day had listed it.
                mta_seal::gateway::rotation::Event::Made(Kind::Sealing(_), id) => {
                    watch.meant(*id, clock + 31 * DAY);
                }
                _ => {}
            }
        }
        *loaded = None;
        true
    }

    fn trouble(&mut self, side: usize, trouble: Trouble) {
        self.plan_trouble(side, trouble);
        let length = trouble.length(&mut self.chance);
        let until = self.now + length;
        // Two clocks and two gateways are not out of order at the same time, nor is one in two ways.
        let other = 1 - side;
        let alone = !self.sleeps(side)
            && !self.sleeps(other)
            && self.now >= self.sides[side].recovers_until
            && self.now >= self.sides[other].recovers_until
            && !self.leaps(side)
            && !self.leaps(other);
        let servers = self.sides[side].party.zone.servers() as u64;
        let server = usize::try_from(self.chance.between(0, servers - 1)).unwrap();
        let it = &mut self.sides[side];
        match trouble {
            Trouble::Refused => it.party.zone.refuse_until(until),
            Trouble::Stale => it.party.zone.stale_until(server, until),
            Trouble::Silent => it.party.zone.silence_until(server, until),
            Trouble::NoDns => it.cache.down_until(until),
            Trouble::Restart => it.loaded = None,
            Trouble::Killed(at) => it.party.zone.break_at(Some(at)),
            // Counted when it has happened.
            Trouble::Cut(cut) => return it.cut = Some(it.cut.unwrap_or(cut)),
            Trouble::Skew => {
                let seconds = i64::try_from(self.chance.between(0, 7_000)).unwrap() - 3_500;
                it.skew = seconds;
                self.sides[other].skew = 0;
            }
            Trouble::LeapAhead | Trouble::LeapBack if !alone => return,
            Trouble::LeapAhead | Trouble::LeapBack => {
                let by = i64::try_from(self.chance.between(2 * DAY, 60 * DAY)).unwrap();
                it.leap = Some((if trouble == Trouble::LeapBack { -by } else { by }, until));
                for at in [self.now, self.now + length / 2, until + 1] {
                    self.at(at, Event::Stray(side));
                }
            }
            Trouble::Asleep if !alone => return,
            Trouble::Asleep => {
                it.asleep_until = until;
                it.recovers_until = until + RECOVERY;
                it.off += length + RECOVERY;
                it.loaded = None;
            }
            Trouble::Hurry => {
                let clock = self.clock(side);
                if !self.leaps(side) && !self.sleeps(side) {
                    let mut desk = self.sides[side].party.desk(clock);
                    desk.book.hurry = Some(clock);
                    desk.save(clock).unwrap();
                }
            }
        }
        self.counts.add(trouble, 1);
    }

    fn write(&mut self, side: usize) {
        let after = self.chance.between(1, 2 * self.gap);
        self.at(self.now + after, Event::Write(side));
        let n = self.messages.len();
        let body = format!("Subject: {n}\r\n\r\nMessage {n} of side {side}.\r\n").into_bytes();
        self.messages.push(Message {
            from: side,
            body,
            written: self.now,
            attempts: 0,
            envelope: Vec::new(),
            sealed_at: 0,
            arrivals: 0,
        });
        self.open += 1;
        self.counts.add("messages written", 1);
        self.at(self.now, Event::Send(n));
    }

    /// Whether mail between these may wait now for what was made to go wrong.
    fn is_explained(&self, asks: usize, asked: usize, lookup_failed: bool) -> bool {
        if lookup_failed {
            return self.sides[asks].cache.is_down();
        }
        self.sides[asks].cache.is_down()
            || self.now < self.sides[asked].recovers_until
            || self.leaps(asked)
    }

    async fn send(&mut self, n: usize) {
        let from = self.messages[n].from;
        let to = 1 - from;
        if self.sleeps(from) || self.leaps(from) {
            // The MTA before it finds nobody there, which is no matter of keys.
            let back = self.sides[from].asleep_until.max(self.now) + HOUR;
            self.messages[n].written = back.max(self.messages[n].written);
            return self.at(back, Event::Send(n));
        }
        let clock = self.clock(from);
        let domain = self.sides[to].party.domain.clone();
        let it = &mut self.sides[from];
        let keys = Keys::Wanted { remembered: it.outgoing.as_ref() };
        let outcome = look_up(&it.cache, &domain, keys, BUDGET).await;
        let local = LocalPolicy::default();
        let verdict = decide(&local, &outcome, it.outgoing.as_ref(), Demand::Absent, clock);
        if let MemoryUpdate::Store(memory) = verdict.memory {
            it.outgoing = Some(*memory);
        }
        match verdict.decision {
            Decision::Seal { key, policy, source, .. } => {
                if source == Source::Memory {
                    self.counts.add("sealed by memory", 1);
                }
                // Some have a gateway that knows suite 1 only and skips the other key [R-suite-02].
                let key = if self.chance.once_in(3) { suite_1_of(&policy) } else { key };
                self.check_published(to, &policy, &key, clock);
                self.seal(n, &key, clock);
                let delay = self.delay();
                self.at(self.now + delay, Event::Arrive(n));
            }
            Decision::Defer(reason) => {
                self.counts.add(format!("sending deferred: {}", reason.code()), 1);
                let failed = matches!(reason, DeferReason::Lookup(_));
                assert!(
                    self.is_explained(from, to, failed),
                    "message {n} of {from} waits at {}: {reason}",
                    self.now
                );
                let message = &mut self.messages[n];
                message.attempts += 1;
                if self.now > message.written + PATIENCE {
                    self.counts.add("returned after five days", 1);
                    self.open -= 1;
                } else {
                    let wait = (300 << message.attempts.min(4)).min(RETRY);
                    self.at(self.now + wait, Event::Send(n));
                }
            }
            other => panic!("message {n} of {from} at {}: {other:?}", self.now),
        }
    }

    /// What mail is sealed to was published, and still is what the domain says.
    fn check_published(
        &self,
        to: usize,
        policy: &VerifiedPolicy,
        key: &SealingPublicKey,
        clock: u64,
    ) {
        let party = &self.sides[to].party;
        let id = key.key_id();
        assert!(clock < policy.record().expiry, "sealed under an expired policy");
        let keyring = party.keyring();
        let own = policy_of(&keyring, &party.domain);
        assert_eq!(policy.identity(), own.identity());
        assert!(policy.record().sealing_keys.iter().any(|entry| entry.key_id() == Some(id)));
        assert!(matches!(keyring.find(&id), Find::Found(_)), "sealed to a key that has gone");
        let stored =
            keyring.sealing_keys().iter().find(|stored| stored.key.key_id() == id).unwrap();
        if !key.suite().is_inline() {
            let name = key_record_name(&stored.selector.parse().unwrap(), &party.domain);
            let value = KeyRecord::new(key.clone()).to_string();
            assert!(party.zone.shown(&name, &value).is_some(), "sealed to an unpublished key");
        }
    }

    fn seal(&mut self, n: usize, key: &SealingPublicKey, clock: u64) {
        let (now, from) = (self.now, self.messages[n].from);
        let lag = self.chance.between(0, HOUR);
        let to = self.sides[1 - from].party.domain.clone();
        let Side { party, watch, loaded, .. } = &mut self.sides[from];
        if loaded.as_ref().is_none_or(|(until, _)| now >= *until) {
            *loaded = Some((now + lag, party.keyring()));
        }
        let (_, keyring) = loaded.as_ref().unwrap();
        let policy = policy_of(keyring, &party.domain);
        let listed = policy.record().signing_keys.iter().map(|key| key.key_id());
        let signing = keyring.signing_key(listed).expect("a key to sign with");
        watch.signed(signing.key_id(), clock);
        let message = &mut self.messages[n];
        let reverse =
            ReversePathField::new(format!("a@{}", party.domain), 0, false, 0, String::new());
        let forward = ForwardPath::new(format!("b@{to}"), 0, String::new()).unwrap();
        let prefix = Prefix::mail(
            party.domain.clone(),
            clock,
            DeliveryId::random(&mut rng()),
            reverse.unwrap(),
            vec![forward],
        );
        let target = SealTo { recipient_domain: &to, key };
        let (envelope, _) = seal(&message.body, target, prefix, signing, &mut rng()).unwrap();
        (message.envelope, message.sealed_at) = (envelope, clock);
        self.counts.add("sealed", 1);
        self.counts.add(format!("sealed with suite {}", key.suite().id()), 1);
    }

    /// How long hops keep a carrier: seconds, anything, or nearly the whole window.
    fn delay(&mut self) -> u64 {
        const WINDOW: u64 = 14 * DAY;
        match self.chance.between(0, 3) {
            0 | 1 => self.chance.between(1, 5 * MINUTE),
            2 => self.chance.between(5 * MINUTE, WINDOW),
            _ => self.chance.between(WINDOW - 2 * HOUR, WINDOW - 1),
        }
    }

    async fn arrive(&mut self, n: usize) {
        let from = self.messages[n].from;
        let to = 1 - from;
        if self.sleeps(to) || self.leaps(to) {
            let back = self.sides[to].asleep_until.max(self.now) + HOUR;
            self.counts.add("hops that found nobody", 1);
            return self.at(back, Event::Arrive(n));
        }
        let clock = self.clock(to);
        let sealed_at = self.messages[n].sealed_at;
        let keyring = self.sides[to].party.keyring();
        let window = policy_of(&keyring, &self.sides[to].party.domain).record().window;
        if clock > sealed_at + window {
            // Beyond the window nothing is promised, but there must be a reason why it took so long.
            let off = self.sides[to].off > 0 || self.messages[n].arrivals > 0;
            assert!(off || clock - sealed_at - window <= 2 * HOUR, "message {n} came too late");
            self.counts.add("too old on arrival", 1);
            // What the sender is told: its key has ended, or it is only too old.
            let envelope = parsed(&self.messages[n].envelope);
            match keyring.find(&envelope.header().key_id) {
                Find::Found(_) => self.counts.add("answered too-old", 1),
                Find::Destroyed => self.counts.add("answered destroyed-key", 1),
                Find::Unknown => panic!("the key of message {n} has gone without a trace"),
            }
            self.open -= 1;
            return;
        }
        if sealed_at > clock + CLOCK_TOLERANCE {
            self.counts.add("not sealed yet on arrival", 1);
            return self.at(self.now + RETRY, Event::Arrive(n));
        }
        match self.unseal(n, to, clock, &keyring).await {
            Ok(()) => {
                self.counts.add("delivered", 1);
                if clock + DAY > sealed_at + window {
                    self.counts.add("delivered on the last day of the window", 1);
                }
                self.open -= 1;
            }
            Err(Failure::SenderUnknown) => {
                self.counts.add("arrival deferred", 1);
                assert!(
                    self.is_explained(to, from, false),
                    "message {n} from {from} cannot be verified at {}",
                    self.now
                );
                self.messages[n].arrivals += 1;
                // A hop waits longer and longer, at most for five hours.
                let wait = 300 << self.messages[n].arrivals.min(6);
                self.at(self.now + wait, Event::Arrive(n));
            }
            Err(other) => panic!("message {n} from {from} is lost at {}: {other:?}", self.now),
        }
    }

    /// Opens and verifies as the gateway does.
    async fn unseal(
        &mut self,
        n: usize,
        to: usize,
        clock: u64,
        keyring: &Keyring,
    ) -> Result<(), Failure> {
        let sender = self.sides[1 - to].party.domain.clone();
        let message = &self.messages[n];
        let parsed = parsed(&message.envelope);
        let key = key_of(&parsed, keyring, n, self.now);
        let opened = parsed.open(key).unwrap();
        let decrypted = match opened.push(&[]).unwrap() {
            Step::Done(decrypted) => decrypted,
            Step::More(opened) => opened.end().unwrap(),
        };
        let it = &mut self.sides[to];
        let outcome = look_up(&it.cache, &sender, Keys::NotNeeded, BUDGET).await;
        let local = SenderPolicy::default();
        let verdict = authenticate_sender(&local, &outcome, it.incoming.as_ref(), clock);
        if let MemoryUpdate::Store(memory) = verdict.memory {
            it.incoming = Some(*memory);
        }
        let (signing, _) = signing_key(&decrypted, verdict.decision)?;
        let mut verified = decrypted.verify(&signing).unwrap();
        let mut body = Vec::new();
        verified.push(&[], &mut body).unwrap();
        verified.finish(&mut body).unwrap();
        assert_eq!(body, message.body);
        Ok(())
    }

    /// Looks at what every server has: one policy, which is in force unless the gateway was off.
    fn look(&mut self) {
        self.at(self.now + HOUR, Event::Look);
        for side in &self.sides {
            let party = &side.party;
            for records in party.zone.records(&party.policy_name()) {
                assert_eq!(
                    records.len(),
                    1,
                    "{} has not one policy at {}: {:#?}",
                    party.domain,
                    self.now,
                    party.zone.trail()
                );
                let policy = SignedPolicy::parse(records[0].as_bytes()).unwrap();
                let policy = policy.verify(&party.domain).unwrap();
                let expired = self.now >= policy.record().expiry;
                assert!(
                    !expired || self.now < side.recovers_until,
                    "the policy of {} has run out in DNS",
                    party.domain
                );
                self.counts.add("looks at expired policies", u64::from(expired));
            }
        }
    }
}

fn parsed(envelope: &[u8]) -> Parsed {
    let Ok(Step::Done(parsed)) = Received::new().push(envelope) else {
        panic!("an envelope that is no envelope");
    };
    parsed
}

/// The key of suite 1 that a policy lists.
fn suite_1_of(policy: &VerifiedPolicy) -> SealingPublicKey {
    let inline = |entry: &SealingEntry| match entry {
        SealingEntry::Inline(key) if key.suite() == Suite::X25519 => Some(key.clone()),
        _ => None,
    };
    policy.record().sealing_keys.iter().find_map(inline).expect("a key of suite 1")
}

fn key_of<'k>(
    parsed: &Parsed,
    keyring: &'k Keyring,
    n: usize,
    now: u64,
) -> &'k mta_seal::core::SealingPrivateKey {
    match keyring.find(&parsed.header().key_id) {
        Find::Found(key) => key,
        other => panic!("message {n} is lost at {now}: its key is {other:?}"),
    }
}
