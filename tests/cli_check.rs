//! `check` against authoritative servers in the test: one's own domain, partners, and everything that may be wrong with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod dns_support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use cli_support::{mta_seal, name, now};
use dns_support::{Fault, Faulty};
use mta_seal::core::{IdentityKey, SealingPrivateKey, SigningKey, Suite};
use mta_seal::dns::MAX_SERVER_ADDRESSES;
use mta_seal::dns::authorities::MAX_ASKED;
use mta_seal::dns::authority::{Authority, Disturbance, Security, ZoneSpec};
use mta_seal::records::{KeyRecord, Mode, PolicyDraft, SealingEntry, Selector};
use mta_seal::store::ledger::{
    Ledger, MAX_ALLOWANCE, Operator, OperatorLedger, Options, Remembered, Scope, SqliteLedger,
};

const DAY: u64 = 86_400;
const OWN: &str = "company1.example";
const PARTNER: &str = "company2.example";
const POLICY: &str = "_mta-seal.company2.example";
const KEY: &str = "s1._mta-seal.company2.example";
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn sealing(seed: u8) -> SealingPrivateKey {
    SealingPrivateKey::from_bytes(Suite::XWing, &[seed; 32]).unwrap()
}

/// A policy of the partner: signed a day ago for another 30 days, and half an hour so that the days left are the same for a while.
fn draft() -> PolicyDraft {
    let inline = SealingPrivateKey::from_bytes(Suite::X25519, &[4; 32]).unwrap();
    let selector: Selector = "s1".parse().unwrap();
    PolicyDraft {
        mode: Mode::Enforce,
        serial: now() - DAY,
        expiry: now() + 30 * DAY + 1_800,
        max_age: 30 * DAY,
        window: 14 * DAY,
        signing_keys: vec![SigningKey::from_bytes(&[2; 32]).public().clone()],
        sealing_keys: vec![
            SealingEntry::of(sealing(3).public(), &selector),
            SealingEntry::of(inline.public(), &selector),
        ],
        outgoing_always: false,
        rollover: None,
        next_identity: None,
    }
}

fn signed_by(draft: &PolicyDraft, identity: u8) -> String {
    draft.sign(&name(PARTNER), &IdentityKey::from_bytes(&[identity; 32])).unwrap()
}

fn key_record(seed: u8) -> String {
    KeyRecord::new(sealing(seed).public().clone()).to_string()
}

/// Two servers for the partner's zone, and a gateway of the other side.
struct World {
    first: Authority,
    second: Authority,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let specs = [ZoneSpec::signed(name(OWN)), ZoneSpec::signed(name(PARTNER))];
        let first = Authority::start(&specs).await.unwrap();
        let second = first.start_beside(SECOND, &specs).await.unwrap();
        let world = Self { first, second, directory: tempfile::tempdir().unwrap() };
        for zone in [OWN, PARTNER] {
            let hosts = [format!("ns1.{zone}"), format!("ns2.{zone}")];
            for server in [&world.first, &world.second] {
                server.set_servers(&name(zone), &[&hosts[0], &hosts[1]]).unwrap();
                let at = |host: &str, address: Ipv4Addr| {
                    server.set_addresses(&name(host), &[IpAddr::V4(address)]).unwrap();
                };
                at(&hosts[0], Ipv4Addr::LOCALHOST);
                at(&hosts[1], SECOND);
            }
        }
        let place = world.place();
        let made = mta_seal(&["init", "--domain", OWN, "--dir", place.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        std::fs::write(place.join("root.key"), world.first.anchors()).unwrap();
        world.configure("mode = 'validate'\ntrust_anchor = 'root.key'", "");
        world.publish(POLICY, &signed_by(&draft(), 1));
        world.publish(KEY, &key_record(3));
        world
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("gw")
    }

    fn config(&self) -> PathBuf {
        self.place().join("mta-seal.toml")
    }

    fn configure(&self, dns: &str, partner: &str) {
        self.configure_at(self.first.address(), dns, partner);
    }

    /// The same with another resolver.
    fn configure_at(&self, resolver: SocketAddr, dns: &str, partner: &str) {
        let text = format!(
            "hostname = 'gw.{OWN}'\nstate = 'state'\n\
             [[domain]]\nname = '{OWN}'\nkeys = 'keys/{OWN}'\n\
             [outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
             [inbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
             [dns]\n{dns}\nservers = ['{resolver}']\ntimeout = '3s'\n{partner}"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Puts a record on both servers.
    fn publish(&self, at: &str, text: &str) {
        for server in [&self.first, &self.second] {
            server.set_txt(&name(at), &[text.as_bytes()]).unwrap();
        }
    }

    /// Publishes what `zone` prints for our own domain.
    fn publish_own(&self) {
        let config = self.config();
        let zone = mta_seal(&["zone", "--format", "json", "--config", config.to_str().unwrap()]);
        let records: Vec<serde_json::Value> = serde_json::from_slice(&zone.stdout).unwrap();
        for record in records {
            self.publish(record["name"].as_str().unwrap(), record["value"].as_str().unwrap());
        }
    }

    fn disturb_second(&self, at: &str, disturbance: Disturbance) {
        self.second.disturb(&name(at), Some(disturbance)).unwrap();
    }

    /// The servers of the test are at loopback.
    async fn run(&self, domain: &str, more: &[&str]) -> (i32, String) {
        self.run_outside(domain, &[&["--private-servers"], more].concat()).await
    }

    async fn run_outside(&self, domain: &str, more: &[&str]) -> (i32, String) {
        let (config, port) = (self.config(), self.first.address().port().to_string());
        let mut arguments: Vec<String> = ["check", domain, "--config"].map(str::to_owned).to_vec();
        arguments.push(config.to_str().unwrap().to_owned());
        arguments.extend(["--authoritative-port".to_owned(), port]);
        arguments.extend(more.iter().map(|a| (*a).to_owned()));
        let output = tokio::task::spawn_blocking(move || {
            mta_seal(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let output = output.await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    }

    /// Exit code and text, without what no two runs have in common.
    async fn check(&self, domain: &str) -> (i32, String) {
        let (code, text) = self.run(domain, &[]).await;
        // A path stays whole, so that it can be copied.
        let fits = |line: &str| line.chars().count() <= 100 || line.contains('/');
        assert!(text.lines().all(fits), "{text}");
        (code, constant(&text, &self.place()))
    }

    /// The grade of each step, from JSON.
    async fn grades(&self, domain: &str) -> (i32, Vec<(String, String)>) {
        let (code, text) = self.run(domain, &["--json"]).await;
        let (json, _) = text.split_once("\n}\n").unwrap();
        let report: serde_json::Value = serde_json::from_str(&format!("{json}\n}}")).unwrap();
        let word = |step: &serde_json::Value, key: &str| step[key].as_str().unwrap().to_owned();
        let steps = report["steps"].as_array().unwrap();
        (code, steps.iter().map(|step| (word(step, "step"), word(step, "grade"))).collect())
    }

    /// The exit code, and what did not pass, as it is told.
    async fn trouble(&self, domain: &str) -> String {
        let (code, text) = self.check(domain).await;
        let mut shown = format!("exit {code}\n");
        let mut wanted = false;
        for line in text.lines().skip(1) {
            if !line.starts_with(' ') {
                wanted = !line.starts_with("pass ");
            }
            if wanted {
                shown.push_str(line.strip_prefix("         ").unwrap_or(line));
                shown.push('\n');
            }
        }
        shown
    }

    fn ledger(&self) -> PathBuf {
        self.place().join("state/ledger.sqlite")
    }

    async fn remember(&self, scope: Scope, policy: &PolicyDraft, identity: u8) {
        let ledger = SqliteLedger::open(&self.ledger(), &Options::default(), now()).unwrap();
        let identity_key = *IdentityKey::from_bytes(&[identity; 32]).public().as_bytes();
        let remembered = Remembered {
            identity_key,
            serial: policy.serial,
            policy: signed_by(policy, identity).into_bytes(),
            key_records: vec![key_record(3).into_bytes()],
            level: 0,
            hold: Some(2 * DAY),
            counted_at: now() - 60,
            pinned_root: None,
            first_seen: now() - 60,
            last_observed: now() - 60,
            until: now() + 20 * DAY,
            enforce_until: Some(now() + 2 * DAY),
        };
        assert!(ledger.remember(scope, &name(PARTNER), &remembered, now()).await.unwrap());
        ledger.close().await;
    }
}

/// Replaces times, fingerprints of fresh keys and paths.
fn constant(text: &str, place: &Path) -> String {
    let text = text.replace(place.to_str().unwrap(), "DIR");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let digits = from.len() - from.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let moment = from.get(..20).filter(|t| t.ends_with(" UTC") && t.as_bytes()[4] == b'-');
        let (word, taken) = match moment {
            Some(_) => ("YYYY-MM-DD HH:MM UTC", 20),
            // Not a part of a fingerprint.
            None if digits == 10
                && !before.ends_with(|c: char| c.is_ascii_hexdigit())
                && !from[10..].starts_with(|c: char| c.is_ascii_hexdigit()) =>
            {
                ("##########", 10)
            }
            None => (&from[..digits], digits),
        };
        out.push_str(word);
        rest = &from[taken..];
    }
    out.push_str(rest);
    out
}

/// The text with each step on one line, without the keys of our own, which are made anew each time.
fn without_keys(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.trim_start();
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') && !words.starts_with("hint: ") => {
                last.push(' ');
                last.push_str(words);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    let constant = |word: &str| {
        let bare = word.trim_end_matches([',', ';']);
        let hex = bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        match word.split_once("._mta-seal.") {
            _ if hex => word.replace(bare, "KEY"),
            Some((_, rest)) => format!("SELECTOR._mta-seal.{rest}"),
            None => word.to_owned(),
        }
    };
    let lines =
        lines.iter().map(|line| line.split(' ').map(constant).collect::<Vec<_>>().join(" "));
    // A policy of ours is signed for 30 days, of which a second may be over.
    lines.collect::<Vec<_>>().join("\n").replace("29d 23h left", "30d left")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_and_our_own_domain_are_fine() {
    let world = World::new().await;
    let (code, text) = world.check(PARTNER).await;
    insta::assert_snapshot!("partner_fine", text);
    assert_eq!(code, 0);

    world.publish_own();
    let (code, text) = world.check(OWN).await;
    insta::assert_snapshot!("own_fine", without_keys(&text));
    assert_eq!(code, 0);
}

/// Where a stranger's zone leads, that is not asked; our own may be inside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_of_others_are_not_asked() {
    let world = World::new().await;
    world.publish_own();
    let (code, text) = world.run_outside(PARTNER, &[]).await;
    let text = without_keys(&text);
    assert_eq!(code, 0, "{text}");
    for step in ["servers", "key-servers"] {
        let line = text.lines().find(|line| line.starts_with(&format!("warn     {step} ")));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        for at in ["ns1.company2.example (127.0.0.1)", "ns2.company2.example (127.0.0.2)"] {
            assert!(line.contains(&format!("{at} is not asked: private address")), "{line}");
        }
    }
    assert!(text.contains("--private-servers") && !text.contains("serial 2"), "{text}");
    let (code, text) = world.run_outside(OWN, &[]).await;
    assert!(code == 0 && text.contains("2 addresses of company1.example give the same"), "{text}");
}

/// The first line of a step.
fn line_of(text: &str, step: &str) -> String {
    let is = |line: &&str| line.split_whitespace().nth(1) == Some(step);
    text.lines().find(is).unwrap_or_else(|| panic!("no {step} in\n{text}")).to_owned()
}

/// What is told in each of these worlds, one after the other.
struct Told(String);

impl Told {
    async fn about(&mut self, world: &World, title: &str) {
        self.domain(world, title, PARTNER).await;
    }

    async fn domain(&mut self, world: &World, title: &str, domain: &str) {
        let told = world.trouble(domain).await;
        self.0.push_str(&format!("== {title}: {told}\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_policy_is_named() {
    let world = World::new().await;
    let mut told = Told(String::new());
    let with = |change: &dyn Fn(&mut PolicyDraft)| {
        let mut draft = draft();
        change(&mut draft);
        world.publish(POLICY, &signed_by(&draft, 1));
    };
    with(&|draft| {
        draft.serial = now() - 40 * DAY;
        draft.expiry = now() - 3 * DAY - 1_800;
    });
    told.about(&world, "expired").await;
    with(&|draft| draft.expiry = now() + 9 * DAY + 1_800);
    told.about(&world, "expires soon").await;
    with(&|draft| draft.serial = now() + 2 * DAY);
    told.about(&world, "from the future").await;
    with(&|draft| draft.mode = Mode::None);
    told.about(&world, "withdrawn").await;
    with(&|draft| draft.window = DAY);
    told.about(&world, "short window").await;
    with(&|draft| draft.sealing_keys = vec!["77:AAAA".parse().unwrap()]);
    told.about(&world, "unknown suites only").await;

    let other = draft().sign(&name("company3.example"), &IdentityKey::from_bytes(&[1; 32]));
    world.publish(POLICY, &other.unwrap());
    told.about(&world, "signed for another domain").await;
    let good = signed_by(&draft(), 1);
    world.publish(POLICY, &good.replacen("a=2592000", "a=02592000", 1));
    told.about(&world, "a tag is malformed").await;
    world.publish(POLICY, &good.replacen("; i=", "\" \"; i=", 1));
    told.about(&world, "quotation marks").await;
    world.publish(POLICY, &good.replacen("; i=", ";\x1b[2J i=", 1));
    told.about(&world, "control characters").await;
    world.publish(POLICY, &good);
    for server in [&world.first, &world.second] {
        server.add_txt(&name(POLICY), b"v=MTASEAL1; m=none").unwrap();
    }
    told.about(&world, "two records").await;
    world.publish(POLICY, "v=spf1 -all");
    told.about(&world, "another TXT record").await;
    for server in [&world.first, &world.second] {
        server.remove(&name(POLICY)).unwrap();
        server.remove(&name(KEY)).unwrap();
    }
    told.about(&world, "no record").await;
    insta::assert_snapshot!("policies", told.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_keys_and_servers_is_named() {
    let world = World::new().await;
    let mut told = Told(String::new());
    world.publish(KEY, &key_record(9));
    told.about(&world, "another key").await;
    world.publish(KEY, "v=MTASEALKEY1; k=2; p=AAAA");
    told.about(&world, "malformed key").await;
    for server in [&world.first, &world.second] {
        server.remove(&name(KEY)).unwrap();
    }
    told.about(&world, "missing key").await;
    world.publish(KEY, &key_record(3));

    let newer = PolicyDraft { mode: Mode::Testing, ..draft() };
    world.second.set_txt(&name(POLICY), &[signed_by(&newer, 1).as_bytes()]).unwrap();
    told.about(&world, "one server has another policy").await;
    world.second.remove(&name(POLICY)).unwrap();
    told.about(&world, "one server has no policy").await;
    world.second.set_cname(&name(POLICY), &name("_mta-seal.company1.example")).unwrap();
    told.about(&world, "one server has an alias").await;
    world.publish(POLICY, &signed_by(&draft(), 1));
    for (title, disturbance) in [
        ("one server is lame", Disturbance::Lame),
        ("one server refuses", Disturbance::Refused),
        ("one server fails", Disturbance::ServFail),
        ("one server is silent", Disturbance::Drop),
    ] {
        world.disturb_second(POLICY, disturbance);
        told.about(&world, title).await;
    }
    world.second.disturb(&name(POLICY), None).unwrap();
    // Of the zone itself, not of the policy.
    world.disturb_second(PARTNER, Disturbance::Drop);
    told.about(&world, "one server gives no serial").await;
    world.second.disturb(&name(PARTNER), None).unwrap();
    world.second.set_serial(&name(PARTNER), 6).unwrap();
    told.about(&world, "serials differ").await;
    world.second.set_serial(&name(PARTNER), 1).unwrap();
    let nobody = Ipv4Addr::new(127, 0, 0, 3);
    let hosts = |first: Ipv4Addr, second: Ipv4Addr| {
        for (host, address) in [("ns1", first), ("ns2", second)] {
            let host = name(&format!("{host}.{PARTNER}"));
            world.first.set_addresses(&host, &[IpAddr::V4(address)]).unwrap();
        }
    };
    hosts(nobody, nobody);
    told.about(&world, "no server can be asked from here").await;
    hosts(Ipv4Addr::LOCALHOST, SECOND);

    let (policy, key) = ("_mta-seal.company1.example", "s1._mta-seal.company1.example");
    world.publish(policy, &signed_by(&draft(), 1));
    world.publish(key, &key_record(3));
    for server in [&world.first, &world.second] {
        server.set_cname(&name(POLICY), &name(policy)).unwrap();
        server.set_cname(&name(KEY), &name(key)).unwrap();
    }
    let (code, all) = world.check(PARTNER).await;
    assert_eq!(code, 0, "{all}");
    let line = "is an alias: _mta-seal.company1.example";
    assert!(all.contains(line), "{all}");
    world.second.set_txt(&name(policy), &[b"v=other"]).unwrap();
    told.about(&world, "the target of an alias differs").await;
    insta::assert_snapshot!("servers", told.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dnssec_and_failures_are_told_apart() {
    let world = World::new().await;
    let mut told = Told(String::new());
    let secured = |security| {
        world.first.set_security(&name(PARTNER), security).unwrap();
    };
    for security in [Security::WrongDs, Security::Stripped, Security::Expired] {
        secured(security);
        told.about(&world, &format!("{security:?}")).await;
    }
    secured(Security::Unsigned);
    told.about(&world, "unsigned").await;
    secured(Security::Signed);
    world.first.disturb(&name(POLICY), Some(Disturbance::ServFail)).unwrap();
    told.about(&world, "SERVFAIL").await;
    world.first.disturb(&name(POLICY), Some(Disturbance::Drop)).unwrap();
    told.about(&world, "time-out").await;
    world.first.disturb(&name(POLICY), None).unwrap();
    world.first.disturb(&name(KEY), Some(Disturbance::ServFail)).unwrap();
    told.about(&world, "SERVFAIL for the key").await;
    world.first.disturb(&name(KEY), None).unwrap();
    world.configure("mode = 'plain'", "");
    told.about(&world, "plain").await;
    insta::assert_snapshot!("dnssec", told.0);
}

/// A validating resolver says SERVFAIL to both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_validating_resolver_bogus_is_no_failure() {
    let world = World::new().await;
    let resolver = Faulty::start(world.first.address(), Fault::Bogus).await;
    world.configure_at(resolver.address, "mode = 'ad'", "");
    world.first.set_security(&name(PARTNER), Security::Expired).unwrap();
    let (code, text) = world.check(PARTNER).await;
    assert!(line_of(&text, "dnssec").starts_with("FAIL     dnssec            bogus: "), "{text}");
    assert_eq!(code, 1, "{text}");
    // Nothing comes either of asking past the resolver.
    world.first.disturb(&name(POLICY), Some(Disturbance::ServFail)).unwrap();
    let (code, text) = world.check(PARTNER).await;
    let open = "unknown  dnssec            not known: the look-up ended in servfail";
    assert!(line_of(&text, "dnssec").starts_with(open), "{text}");
    assert_eq!(code, 75, "{text}");
}

/// What `check` does not ask for its own sake is no fault of the domain, and no proof that all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_limits_leave_out_is_unknown() {
    let world = World::new().await;
    // The two that answer, and silent ones.
    let in_all = |count: usize| {
        let silent = (1..).map(|n| Ipv4Addr::new(127, 0, 1, n));
        let all = [Ipv4Addr::LOCALHOST, SECOND].into_iter().chain(silent).take(count);
        let all: Vec<IpAddr> = all.map(IpAddr::V4).collect();
        let hosts: Vec<(String, &[IpAddr])> = all
            .chunks(MAX_SERVER_ADDRESSES)
            .enumerate()
            .map(|(n, addresses)| (format!("ns{}.{PARTNER}", n + 1), addresses))
            .collect();
        let names: Vec<&str> = hosts.iter().map(|(host, _)| host.as_str()).collect();
        for server in [&world.first, &world.second] {
            server.set_servers(&name(PARTNER), &names).unwrap();
            for (host, addresses) in &hosts {
                server.set_addresses(&name(host), addresses).unwrap();
            }
        }
    };
    in_all(MAX_ASKED);
    let (code, text) = world.check(PARTNER).await;
    assert!(code == 0 && !text.contains("others were"), "exit {code}\n{text}");
    in_all(MAX_ASKED + 3);
    let (code, text) = world.check(PARTNER).await;
    for step in ["servers", "key-servers", "serials"] {
        let line = line_of(&without_keys(&text), step);
        assert!(
            line.starts_with("unknown  ")
                && line.contains("; 3 addresses not asked: 32 others were"),
            "{text}"
        );
    }
    assert_eq!(code, 75, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_pins_and_overrides_are_considered_and_left_alone() {
    let world = World::new().await;
    let mut told = Told(String::new());
    let pinned = |identity: u8| {
        let pin = IdentityKey::from_bytes(&[identity; 32]).public().fingerprint();
        let table = format!(
            "[[partner]]\ndomain = '{PARTNER}'\npolicy = 'require'\nidentity = '{pin}'\n\
             minimum_level = 'pinned'\ninbound = 'require-sealed'\n"
        );
        world.configure("mode = 'plain'", &table);
    };
    pinned(1);
    let (code, text) = world.check(PARTNER).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("level pinned"), "{text}");
    pinned(8);
    told.about(&world, "pinned to another key").await;
    world.configure("mode = 'plain'", "");

    // An earlier policy than the published one.
    let earlier = PolicyDraft { serial: now() - 2 * DAY, ..draft() };
    world.remember(Scope::Outgoing, &earlier, 1).await;
    world.remember(Scope::Incoming, &earlier, 1).await;
    let before = std::fs::read(world.ledger()).unwrap();
    let (code, text) = world.check(PARTNER).await;
    insta::assert_snapshot!("partner_remembered", text);
    assert_eq!(code, 0);
    world.publish(POLICY, &signed_by(&draft(), 7));
    told.about(&world, "another identity key").await;
    world.publish(POLICY, &signed_by(&PolicyDraft { serial: now() - 3 * DAY, ..draft() }, 1));
    told.about(&world, "an older policy").await;
    for server in [&world.first, &world.second] {
        server.remove(&name(POLICY)).unwrap();
    }
    told.about(&world, "no policy any more").await;
    world.first.disturb(&name(POLICY), Some(Disturbance::ServFail)).unwrap();
    told.about(&world, "a failure").await;
    world.first.disturb(&name(POLICY), None).unwrap();
    assert!(before == std::fs::read(world.ledger()).unwrap(), "the ledger has changed");

    // Beside a gateway that has the ledger open, and with an override that lets the message go.
    world.publish(POLICY, "v=MTASEAL1; broken");
    let ledger = SqliteLedger::open(&world.ledger(), &Options::default(), now()).unwrap();
    assert!(ledger.forget(Scope::Outgoing, &name(PARTNER)).await.unwrap());
    let by = Operator { uid: 0, login: "alice".to_owned() };
    OperatorLedger::open(&world.ledger())
        .unwrap()
        .allow(&name(PARTNER), now(), now() + MAX_ALLOWANCE, "ticket 4711", &by)
        .unwrap();
    told.about(&world, "an override").await;
    assert!(ledger.recall(Scope::Outgoing, &name(PARTNER)).await.unwrap().is_none());
    ledger.close().await;
    insta::assert_snapshot!("memory", told.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_records_are_compared_with_our_keys() {
    // Made first, so that their policy is the oldest.
    let other = tempfile::tempdir().unwrap();
    let place = other.path().join("gw");
    let made = mta_seal(&["init", "--domain", OWN, "--dir", place.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    let world = World::new().await;
    let mut told = Told(String::new());
    told.domain(&world, "nothing is published", OWN).await;
    world.publish_own();
    let config = world.config();
    let sign = mta_seal(&["policy", "sign", "--config", config.to_str().unwrap()]);
    assert!(sign.status.success(), "{sign:?}");
    told.domain(&world, "signed anew, not published", OWN).await;
    world.publish_own();
    let file = world.place().join(format!("{OWN}.zone"));
    let lines = std::fs::read_to_string(&file).unwrap().replace("\"\n    \"", "");
    std::fs::write(&file, lines).unwrap();
    told.domain(&world, "a string is too long", OWN).await;
    std::fs::remove_file(&file).unwrap();
    for server in [&world.first, &world.second] {
        server.set_mx(&name(OWN), &[(0, ".")]).unwrap();
    }
    told.domain(&world, "a null MX", OWN).await;
    // The keys of another organisation are here, as after a wrong restore.
    let keys = world.place().join("keys");
    std::fs::rename(&keys, world.place().join("lost")).unwrap();
    std::fs::rename(other.path().join("gw/keys"), &keys).unwrap();
    told.domain(&world, "other keys are here", OWN).await;
    insta::assert_snapshot!("own", without_keys(&told.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_stable_names() {
    let world = World::new().await;
    let (code, text) = world.run(PARTNER, &["--json"]).await;
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["domain", "policy", "result", "role", "steps", "time"]);
    assert_eq!(report["result"], "pass");
    assert_eq!(report["role"], "partner");
    assert_eq!(report["policy"]["mode"], "enforce");
    let fingerprint = IdentityKey::from_bytes(&[1; 32]).public().fingerprint().to_string();
    assert_eq!(report["policy"]["identity"], fingerprint);
    let step: Vec<&String> = report["steps"][0].as_object().unwrap().keys().collect();
    assert_eq!(step, ["grade", "hint", "step", "text"]);

    // Every name is documented.
    let documented = std::fs::read_to_string("docs/steps.md").unwrap();
    world.publish_own();
    for domain in [PARTNER, OWN] {
        for (step, _) in world.grades(domain).await.1 {
            assert!(documented.contains(&format!("| `{step}` |")), "{step}");
        }
    }
    assert_eq!(world.run("not a domain", &[]).await.0, 2);
    world.first.disturb(&name(POLICY), Some(Disturbance::ServFail)).unwrap();
    assert_eq!(world.grades(PARTNER).await.0, 75);
}
