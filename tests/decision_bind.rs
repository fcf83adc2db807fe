//! Every row of the draft's decision table with real name servers: straight at BIND with validation in this process (mode
//! `validate`), and through Unbound, whose AD bit is believed (mode `ad`). The cells are read from the draft.
//!
//! A row is tried with every memory of the table, each learned by an earlier look-up and decision, at `first-use` and at `dnssec`.
//! Both modes must bring the same outcome, and so the same decision, but for what a resolver does not tell: data that is bogus and a
//! server that it could not reach are both SERVFAIL to whoever asks it. Such a case says so in [`Case::through_unbound`]; its cells
//! are the same.
//!
//! Not among the cases: Unbound 1.17 takes a referral of a zone's server to the zone itself for a denial and passes it on as an empty
//! answer without SOA record. That cannot be told from the denials of sloppy servers, and counts as an insecure NODATA.
//!
//! What BIND cannot be made to do itself (answers that come too late, answers that are cut while TCP is closed) does a server before
//! it. Runs when `MTA_SEAL_TEST_BIND=1`; needs BIND with its tools, and Unbound (Debian: bind9, bind9-utils, unbound).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decision_cases;
mod dns_support;
mod gateway_support;
mod policy_support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use decision_cases::{Case, ZONES, cases, earlier, memories};
use dns_support::{Fault, Faulty, Named, ROOT, Unbound, is_wanted, make_zone, trust_anchor};
use gateway_support::{Gw, Org, Sink, Spec, TestClock, contains, deliver, sealed_to};
use mta_seal::core::SealingPublicKey;
use mta_seal::dns::{
    self, AnchorSource, DnsConfig, LookupFuture, Mode, QueryName, Resolver, Scripted, Servers,
    StubResolver,
};
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::policy::{
    Alarm, Authenticity, Decision, Demand, Level, LocalPolicy, LookupFailure, Memory, Outcome,
    Rule, Source, decide,
};
use mta_seal::smtp::Protocol::Smtp;
use policy_support::draft::{Table, cell_name};
use policy_support::{HOUR, NOW, new_key, old_key};

/// Time for one look-up. The late answers come after more than this.
const BUDGET: Duration = Duration::from_secs(3);
const LATE: Duration = Duration::from_secs(8);

/// BIND with all zones, Unbound before it, and servers that answer badly.
struct World {
    authority: Named,
    unbound: Unbound,
    faulty: Vec<(&'static str, Faulty)>,
    anchor: String,
    _dir: tempfile::TempDir,
}

impl World {
    async fn start(cases: &[Case]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let (zones, anchor) = publish(path, cases);
        let body = format!("recursion no; dnssec-validation no; }};\n{zones}");
        let ready = "ready.plain.example";
        let authority = Named::start(path, "authority", &body, ready).await;
        let bind = authority.address();
        let mut faulty = Vec::new();
        for (zone, fault) in [
            ("late.example", Fault::Late(LATE)),
            ("cut.example", Fault::CutAndRefused),
            ("stuck.example", Fault::CutAndSilent),
        ] {
            faulty.push((zone, Faulty::start(bind, fault).await));
        }
        let lame = Faulty::start(bind, Fault::Refused).await;
        // BIND refers to the server of the second zone, and that is as lame.
        let mut servers = vec![("referred.example", lame.address)];
        faulty.push(("lame.example", lame));
        servers.extend(faulty.iter().map(|(zone, server)| (*zone, server.address)));
        let elsewhere = |origin| faulty.iter().any(|(zone, _)| *zone == origin);
        let here = ZONES.iter().map(|zone| zone.origin).filter(|origin| !elsewhere(*origin));
        servers.extend(here.chain(["."]).map(|origin| (origin, bind)));
        let unbound = Unbound::start(path, &anchor, &servers, ready).await;
        Self { authority, unbound, faulty, anchor, _dir: dir }
    }

    /// The resolver of mode `validate` for this domain: its own server, if it has one.
    fn straight(&self, domain: &str) -> StubResolver {
        let own = self.faulty.iter().find(|(zone, _)| domain == *zone);
        let server = own.map_or(self.authority.address(), |(_, server)| server.address);
        let anchors = AnchorSource::Text(self.anchor.clone());
        resolver(server, Mode::Validate { anchors })
    }

    /// The resolver of mode `ad`.
    fn through_unbound(&self) -> StubResolver {
        resolver(self.unbound.address(), Mode::AdBit)
    }
}

fn resolver(server: SocketAddr, mode: Mode) -> StubResolver {
    let servers = Servers::Listed(vec![server]);
    StubResolver::new(&DnsConfig { servers, mode, timeout: BUDGET, ..DnsConfig::default() })
        .unwrap()
}

/// Makes the zone files; returns their part of BIND's configuration, and the trust anchor.
fn publish(dir: &Path, cases: &[Case]) -> (String, String) {
    let mut root = format!("{ROOT}lame.example. IN NS ns.\nreferred.example. IN NS ns.\n");
    let mut config = String::new();
    let files = std::thread::scope(|scope| {
        let made: Vec<_> = ZONES.iter().map(|zone| scope.spawn(|| zone.make(dir, cases))).collect();
        made.into_iter().map(|file| file.join().unwrap()).collect::<Vec<_>>()
    });
    for (zone, file) in ZONES.iter().zip(files) {
        root += &format!("{}. IN NS ns.\n", zone.origin);
        config += &format!("zone \"{}\" {{ type primary; file \"{}\"; }};\n", zone.origin, file);
    }
    let (file, key) = make_zone(dir, ".", &root, Some(("ECDSAP256SHA256", &[])));
    config += &format!("zone \".\" {{ type primary; file \"{}\"; }};\n", file.display());
    (config, trust_anchor(dir, &key.unwrap()))
}

/// The outcome by the name of the table's rows, as far as it shows without memory.
fn label(outcome: &Outcome) -> String {
    let vouched = |authenticity: &Authenticity| match authenticity {
        Authenticity::Secure => "secure",
        Authenticity::Insecure => "insecure",
    };
    match outcome {
        Outcome::Found(found) => format!("found, {}", vouched(&found.authenticity)),
        Outcome::NoPolicy { denial, authenticity } => {
            format!("{denial:?}, {}", vouched(authenticity))
                .replace("NxDomain", "NXDOMAIN")
                .replace("NoData", "NODATA")
        }
        Outcome::Failed(failure) => format!("{failure:?}"),
    }
}

/// The look-ups of a case in both modes, with their caches.
struct Asked {
    resolvers: [StubResolver; 2],
}

impl Asked {
    async fn look_up(&self, case: &Case, memory: Option<&Memory>) -> [Outcome; 2] {
        let [straight, through] = &self.resolvers;
        let keys = Keys::Wanted { remembered: memory };
        let ask = |resolver| look_up(resolver, &case.domain, keys, 2 * BUDGET);
        let (straight, through) = tokio::join!(ask(straight), ask(through));
        [straight, through]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_table_with_bind_and_unbound() {
    if !is_wanted("decision_bind") {
        return;
    }
    let cases = cases();
    let table = Table::read("decision-table");
    let world = World::start(&cases).await;
    let through = world.through_unbound();
    let straight = world.straight("signed.example");
    // All side by side first, so that those that wait for an answer wait together; then from the caches.
    let mut waiting = Vec::new();
    for case in cases {
        let own = world.faulty.iter().any(|(zone, _)| case.domain.as_str() == *zone);
        let straight = if own { world.straight(case.domain.as_str()) } else { straight.clone() };
        let asked = Asked { resolvers: [straight, through.clone()] };
        waiting.push(tokio::spawn(async move {
            let outcomes = asked.look_up(&case, None).await;
            (case, asked, outcomes)
        }));
    }
    let mut wrong = Vec::new();
    for asked in waiting {
        let (case, asked, outcomes) = asked.await.unwrap();
        let [straight, through] = &outcomes;
        let labels = [label(straight), label(through)];
        let expected = [case.outcome, case.through_unbound.unwrap_or(case.outcome)];
        if labels != expected {
            wrong.push(format!("{}: {labels:?}, not {expected:?}", case.domain));
            continue;
        }
        if case.through_unbound.is_none() {
            assert_eq!(straight, through, "{}", case.domain);
        }
        for (letters, memory) in memories(&case.domain).await {
            let outcomes = asked.look_up(&case, memory.as_ref()).await;
            for (row, applies) in &case.rows {
                if applies(memory.as_ref()) {
                    let about = Cells { case: &case, row, letters, memory: memory.as_ref() };
                    about.check(&table, &outcomes);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "outcomes: {wrong:#?}");
    table.every_cell_was_tried();
}

/// The two cells of one row and memory.
struct Cells<'a> {
    case: &'a Case,
    row: &'a str,
    letters: &'static str,
    memory: Option<&'a Memory>,
}

impl Cells<'_> {
    fn check(&self, table: &Table, outcomes: &[Outcome; 2]) {
        let Self { case, row, letters, memory } = *self;
        for (rule, demand, sign) in [
            (Rule::Prefer, Demand::Absent, "-"),
            (Rule::Require, Demand::Absent, "+"),
            (Rule::Prefer, Demand::Sealed, "+"),
            (Rule::Require, Demand::Sealed, "+"),
        ] {
            let column = format!("{letters}{sign}");
            let local = LocalPolicy { rule, ..LocalPolicy::default() };
            let [straight, through] =
                outcomes.each_ref().map(|outcome| decide(&local, outcome, memory, demand, NOW));
            let what = format!("{}: {row}, {column}, {rule}, {demand:?}", case.domain);
            for verdict in [&straight, &through] {
                let what = format!("{what}: {verdict:?} with {memory:?}");
                assert_eq!(cell_name(&verdict.decision), table.cell(row, &column), "{what}");
                match &verdict.decision {
                    Decision::Seal { key, source: Source::Dns, level, .. } => {
                        assert_eq!(Some(key), case.key.as_ref(), "{what}");
                        let secure = case.outcome == "found, secure";
                        assert_eq!(*level == Level::Dnssec, secure, "{what}");
                    }
                    Decision::Seal { key, source: Source::Memory, .. } => {
                        assert_eq!(Some(key), memory.and_then(|m| m.key.as_ref()), "{what}");
                    }
                    Decision::Clear(_) | Decision::Defer(_) | Decision::Reject(_) => {}
                }
            }
            // Nothing but the words about a failure may differ between the modes.
            if straight.decision != through.decision {
                assert!(case.through_unbound.is_some(), "{what}: {straight:?}, {through:?}");
                assert_eq!(cell_name(&straight.decision), cell_name(&through.decision), "{what}");
            }
            assert_eq!(straight.memory, through.memory, "{what}");
            // That an answer is bogus, Unbound keeps to itself, and nobody hears of it.
            let told = |alarm: &&Alarm| {
                case.through_unbound.is_none()
                    || **alarm != Alarm::PolicyNotAuthentic(LookupFailure::Bogus)
            };
            let straight: Vec<_> = straight.alarms.iter().filter(told).collect();
            assert_eq!(straight, through.alarms.iter().collect::<Vec<_>>(), "{what}");
        }
    }
}

/// Answers from a script at first, and by real look-ups once it has been switched over.
struct Later {
    script: Arc<Scripted>,
    real: StubResolver,
    switched: AtomicBool,
}

impl Resolver for Later {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        if self.switched.load(Ordering::SeqCst) {
            self.real.txt(name)
        } else {
            self.script.txt(name)
        }
    }
}

/// What a gateway does with a message.
enum Fate {
    SealedTo(SealingPublicKey),
    Clear,
    Refused(&'static str),
}

/// What is remembered of a domain, a row, its zone, whether the message demands to be sealed, and what must become of it.
fn fates() -> Vec<(&'static str, &'static str, &'static str, bool, Fate)> {
    use Fate::{Clear, Refused, SealedTo};
    let (signed, plain) = ("signed.example", "plain.example");
    vec![
        ("N", "enforce", signed, false, SealedTo(new_key())),
        ("N", "enforce", plain, true, SealedTo(new_key())),
        ("N", "testing, no key", signed, false, Clear),
        ("N", "testing, no key", signed, true, Refused("451 4.7.5")),
        ("N", "enforce, other key", plain, false, Refused("451 4.7.5")),
        ("N", "NXDOMAIN, secure", signed, false, Clear),
        ("N", "NXDOMAIN, secure", signed, true, Refused("550 5.7.10")),
        ("N", "NODATA, insecure", plain, false, Clear),
        ("N", "two records", plain, false, Refused("451 4.7.10")),
        ("N", "expired", signed, false, Refused("451 4.7.5")),
        ("N", "bad signature", signed, false, Refused("451 4.7.10")),
        ("N", "SERVFAIL", "lame.example", false, Refused("451 4.7.10")),
        ("N", "SERVFAIL", "referred.example", false, Refused("451 4.7.10")),
        ("N", "timeout", "late.example", false, Refused("451 4.7.10")),
        ("N", "bogus", "tampered.example", false, Refused("451 4.7.10")),
        ("K", "NXDOMAIN, insecure", plain, false, SealedTo(old_key())),
        ("K", "none", plain, false, Clear),
        ("KE", "other identity, insecure", plain, false, SealedTo(old_key())),
        ("KE", "lower serial", plain, true, SealedTo(old_key())),
        ("KE", "bogus", "old.example", false, SealedTo(old_key())),
        ("KE", "timeout", "stuck.example", false, SealedTo(old_key())),
        ("KE", "enforce, by rollover", plain, false, SealedTo(new_key())),
        ("KE", "none, stronger evidence", signed, false, Refused("451 4.7.5")),
        ("E", "NXDOMAIN, insecure", plain, false, Refused("451 4.7.5")),
        ("E", "SERVFAIL", "unloadable.example", false, Refused("451 4.7.10")),
    ]
}

/// A whole gateway with its ledger, for some of the rows: what the next hop gets, and what the client hears.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_does_what_the_table_says() {
    if !is_wanted("decision_bind") {
        return;
    }
    let cases = cases();
    let world = World::start(&cases).await;
    let validate = |domain: &str| world.straight(domain);
    let ad = |_: &str| world.through_unbound();
    tokio::join!(gateway(&cases, &validate, "validate"), gateway(&cases, &ad, "ad"),);
}

async fn gateway(cases: &[Case], real: &dyn Fn(&str) -> StubResolver, mode: &str) {
    let company = Org::new("company1.example", 10);
    for (at, (letters, row, zone, demand, fate)) in fates().into_iter().enumerate() {
        let case = cases.iter().find(|c| c.zone == zone && c.rows.iter().any(|(r, _)| r == row));
        let case = case.unwrap_or_else(|| panic!("{row} in {zone}"));
        let what = format!("{mode}, {letters}, {row}, {}, {demand}", case.domain);
        let (relay, clock) = (Sink::smtp().await, TestClock::new());
        let script = Arc::new(Scripted::new());
        let real = real(case.domain.as_str());
        let resolver =
            Arc::new(Later { script: Arc::clone(&script), real, switched: AtomicBool::new(false) });
        let spec = Spec::new(&company).outbound(Smtp, &relay.url);
        let gw = Gw::start_with(&spec, &script, Arc::clone(&resolver) as _, &clock).await;
        let to = format!("<bob@{}>", case.domain);
        let canary = format!("canary-{at}");
        let send = |field: &str| {
            let message = format!("From: alice@company1.example\r\n{field}\r\n{canary}\r\n");
            let (address, to) = (gw.outbound(), to.clone());
            async move {
                deliver(address, Smtp, "<alice@company1.example>", &[&to], message.as_bytes()).await
            }
        };
        // An earlier message fills the memory.
        clock.set(NOW - HOUR);
        if let Some((name, policy)) = earlier(&case.domain, letters) {
            script.set_txt(name, &[policy.as_bytes()], dns::Authenticity::Insecure);
            send("").await;
        }
        let before = relay.messages().len();
        clock.set(NOW);
        // Where memory seals, a gateway does not wait long: what DNS says is in the cache, or the machine's load would decide.
        look_up(&resolver.real, &case.domain, Keys::NotNeeded, 2 * BUDGET).await;
        resolver.switched.store(true, Ordering::SeqCst);
        let sent = send(if demand { "MTA-Seal-Required: yes\r\n" } else { "" }).await;
        let new = relay.messages().split_off(before);
        match fate {
            Fate::SealedTo(key) => {
                assert!(sent.verdict().is("250"), "{what}: {sent:?}");
                assert!(!contains(&new[0].data, canary.as_bytes()), "{what}: clear");
                assert_eq!(sealed_to(&new[0].data), key.key_id(), "{what}");
            }
            Fate::Clear => {
                assert!(sent.verdict().is("250"), "{what}: {sent:?}");
                assert!(contains(&new[0].data, canary.as_bytes()), "{what}");
                continue;
            }
            Fate::Refused(start) => {
                assert!(sent.verdict().is(start), "{what}: {sent:?}");
                assert!(new.is_empty(), "{what}: {new:?}");
            }
        }
        assert!(!contains(&relay.raw(), canary.as_bytes()), "{what}");
    }
}
