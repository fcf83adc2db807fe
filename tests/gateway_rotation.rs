//! The daemon tends each domain by itself, takes up no keys that are not those of DNS, and gives way to another gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway_support::*;
use mta_seal::core::Domain;
use mta_seal::dns::authority::{Authority, ZoneSpec};
use mta_seal::dns::{
    LookupFuture, NoServers, QueryName, Resolver, Scripted, ServersFuture, ZoneServer, ZoneServers,
};
use mta_seal::gateway::StartError;
use mta_seal::gateway::rotation::Disagreement;
use mta_seal::lifetime::Book;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::{Ledger, MAX_ALARMS};
use rustix::process::{Pid, test_kill_process};
use tokio::sync::Semaphore;

const ALICE: &str = "<alice@company1.example>";
const CAROL: &str = "<carol@company3.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\nHello\r\n";
const STRICT: &str = "[[partner]]\ndomain = \"company3.example\"\npolicy = \"require\"\n";

/// Looks again and again until there is something.
async fn seen<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Waits until an alarm of this kind says this.
async fn alarmed(gw: &Gw, kind: &str, words: &str) {
    soon(kind, async {
        loop {
            let rows = gw.ledger.alarms(None, MAX_ALARMS).await.unwrap();
            if rows.iter().any(|row| row.kind == kind && row.words.contains(words)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Commands that publish, in a directory where they leave what a test looks at.
struct Hooks(tempfile::TempDir);

impl Hooks {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn left(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.at(name)).ok().filter(|text| text.ends_with('\n'))
    }

    /// A command for each domain of `spec`; `$dir` in its script is the directory. It ends by writing `NAME ACTION` to `done`.
    fn of(&self, spec: &mut Spec, name: &str, script: &str) {
        let (source, command) = (self.at(&format!("{name}.sh")), self.at(&format!("{name}.hook")));
        let dir = self.0.path().display();
        fs::write(
            &source,
            format!("#!/bin/sh\ndir={dir}\n{script}\necho \"$1\" >>\"$dir/{name}\"\n"),
        )
        .unwrap();
        // By another process: a file that this one has open for writing, be it in a child, cannot be executed.
        let made = Command::new("install").args(["-m", "700"]).arg(&source).arg(&command).status();
        assert!(made.unwrap().success());
        let lines = format!("[domain.publish]\nhook = \"{}\"\n", command.display());
        spec.of_domain.insert(Domain::parse(name).unwrap(), lines);
    }

    /// One that hangs until its gate is opened.
    fn hanging(&self, spec: &mut Spec, name: &str) {
        let made = Command::new("mkfifo").arg(self.at("gate")).status();
        assert!(made.unwrap().success());
        self.of(spec, name, "echo $$ >>\"$dir/hangs\"\nread -r _ <\"$dir/gate\"");
    }

    fn open_gate(&self) {
        let mut gate = fs::File::options().write(true).open(self.at("gate")).unwrap();
        gate.write_all(b"go\n").unwrap();
    }

    /// The process that hangs, as the only one that has begun.
    fn hangs(&self) -> Option<Pid> {
        let text = self.left("hangs")?;
        assert_eq!(text.lines().count(), 1, "it was begun again");
        Pid::from_raw(text.trim().parse().unwrap())
    }
}

/// A resolver that knows no servers, but those of `silent.example`, which never answer until a gate is opened.
struct Silent {
    gate: Semaphore,
    asked: AtomicUsize,
}

impl Silent {
    fn new() -> Arc<Self> {
        Arc::new(Self { gate: Semaphore::new(0), asked: AtomicUsize::new(0) })
    }
}

impl Resolver for Silent {
    fn txt<'a>(&'a self, _name: &'a QueryName) -> LookupFuture<'a> {
        unreachable!("no mail is sent")
    }

    fn servers<'a>(&'a self, name: &'a QueryName) -> ServersFuture<'a> {
        Box::pin(async {
            // The first question is that before the start.
            let silent = name.as_str().ends_with("silent.example");
            if silent && self.asked.fetch_add(1, Ordering::SeqCst) > 0 {
                self.gate.acquire().await.unwrap().forget();
            }
            Err(NoServers::NoZone)
        })
    }
}

fn of_three(hooks: &Hooks) -> Spec {
    let names = ["hangs.example", "silent.example", "well.example"];
    let mut spec = Spec::new(&Org::new(names[0], 10));
    spec.orgs = (1..).map(|n| n * 10).zip(names).map(|(seed, name)| Org::new(name, seed)).collect();
    hooks.hanging(&mut spec, names[0]);
    hooks.of(&mut spec, names[1], "");
    hooks.of(&mut spec, names[2], "");
    spec.inbound(Smtp, "smtp://127.0.0.1:1")
}

async fn start(spec: &Spec, resolver: &Arc<Silent>) -> Gw {
    let resolver: Arc<dyn Resolver> = Arc::clone(resolver) as _;
    Gw::start_with(spec, &Arc::new(Scripted::new()), resolver, &TestClock::new()).await
}

#[tokio::test]
async fn a_domain_whose_command_hangs_or_whose_servers_are_silent_holds_up_no_other() {
    let (hooks, resolver) = (Hooks::new(), Silent::new());
    let gw = start(&of_three(&hooks), &resolver).await;
    seen("the command that hangs", || hooks.hangs()).await;
    seen("the silent servers", || (resolver.asked.load(Ordering::SeqCst) > 1).then_some(())).await;
    assert_eq!(seen("the third", || hooks.left("well.example")).await, "add\n");
    // None of the others has gone on meanwhile.
    assert!(hooks.hangs().is_some());
    assert_eq!(hooks.left("hangs.example"), None);
    assert_eq!(hooks.left("silent.example"), None);

    hooks.open_gate();
    resolver.gate.add_permits(1_000);
    assert_eq!(seen("the first", || hooks.left("hangs.example")).await, "add\n");
    assert_eq!(seen("the second", || hooks.left("silent.example")).await, "add\n");
    assert!(gw.stop().await);
}

#[tokio::test]
async fn a_reload_adds_and_removes_domains_and_leaves_the_visits_of_others_alone() {
    let (hooks, resolver) = (Hooks::new(), Silent::new());
    let all = of_three(&hooks);
    let mut gw = start(&all, &resolver).await;
    let process = seen("the command that hangs", || hooks.hangs()).await;
    seen("the third", || hooks.left("well.example")).await;

    let mut more = all.clone();
    more.orgs.push(Org::new("new.example", 50));
    hooks.of(&mut more, "new.example", "");
    gw.reload(&more).await.unwrap();
    assert_eq!(seen("the new one", || hooks.left("new.example")).await, "add\n");
    // The visit that was under way goes on, and no second one is beside it.
    assert_eq!(hooks.hangs(), Some(process));
    test_kill_process(process).unwrap();

    let mut fewer = more.clone();
    fewer.orgs.remove(0);
    gw.reload(&fewer).await.unwrap();
    seen("the end of the command", || test_kill_process(process).err()).await;
    assert_eq!(hooks.left("hangs.example"), None);
    assert!(gw.stop().await);
}

#[tokio::test]
async fn a_stop_ends_what_hangs() {
    let (hooks, resolver) = (Hooks::new(), Silent::new());
    let gw = start(&of_three(&hooks), &resolver).await;
    let process = seen("the command that hangs", || hooks.hangs()).await;
    assert!(gw.stop().await);
    seen("the end of the command", || test_kill_process(process).err()).await;
}

/// A zone of company1.example on loopback, and a resolver that knows where.
struct Zone {
    authority: Authority,
    org: Org,
}

impl Zone {
    async fn new() -> Self {
        let org = Org::new("company1.example", 10);
        let authority = Authority::start(&[ZoneSpec::unsigned(org.domain.clone())]).await.unwrap();
        let zone = Self { authority, org };
        zone.publish(&zone.org.policy());
        zone
    }

    fn publish(&self, policy: &str) {
        self.authority.set_txt(&self.org.policy_name(), &[policy.as_bytes()]).unwrap();
    }

    async fn gateway(&self, spec: &mut Spec) -> Gw {
        spec.authority_port = self.authority.address().port();
        let dns = Arc::new(Scripted::new());
        let resolver = Arc::new(Loopback(Arc::clone(&dns)));
        Gw::start_with(spec, &dns, resolver, &TestClock::new()).await
    }
}

/// Answers from a script, and has all zones on loopback.
struct Loopback(Arc<Scripted>);

impl Resolver for Loopback {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        self.0.txt(name)
    }

    fn servers<'a>(&'a self, name: &'a QueryName) -> ServersFuture<'a> {
        let zone = name.as_str().trim_start_matches("_mta-seal.").to_owned();
        let addresses = vec![Ipv4Addr::LOCALHOST.into()];
        let servers = vec![ZoneServer { name: format!("ns.{zone}"), addresses }];
        Box::pin(async { Ok(ZoneServers { zone, servers }) })
    }
}

/// Puts other keys of the domain into a keyring.
fn renew(directory: &Path, seed: u8) -> Org {
    fs::remove_dir_all(directory).unwrap();
    let org = Org::new("company1.example", seed);
    org.keys(directory);
    org
}

/// [R-life-08]
#[tokio::test]
async fn a_reload_with_keys_that_are_not_those_of_dns_is_refused_as_a_whole() {
    let zone = Zone::new().await;
    let sink = Sink::smtp().await;
    let mut spec = Spec::new(&zone.org).outbound(Smtp, &sink.url);
    let mut gw = zone.gateway(&mut spec).await;
    // The keys are those of before: whatever DNS says now is no matter of a reload.
    let later = Org::new("company1.example", 30);
    zone.publish(&later.policy());
    gw.reload(&spec).await.unwrap();
    zone.publish(&zone.org.policy());

    let keys = gw.directory().join("keys-company1.example");
    renew(&keys, 60);
    let strict = spec.clone().extra(STRICT);
    match gw.reload(&strict).await {
        Err(StartError::Published { domain, error: Disagreement::Identity { published, own } }) => {
            assert_eq!(domain, zone.org.domain);
            assert_eq!(published, zone.org.identity().public().fingerprint());
            assert_eq!(own, Org::new("company1.example", 60).identity().public().fingerprint());
        }
        other => panic!("{other:?}"),
    }
    // The partner that the new configuration requires to be sealed to is not in force.
    deliver(gw.outbound(), Smtp, ALICE, &[CAROL], MESSAGE).await.expect("250");
    // Nor are the keys: whoever looks after the keyring has compared them too.
    alarmed(&gw, "rotation-failed", "a policy signed by the identity key").await;

    zone.publish(&Org::new("company1.example", 60).policy());
    gw.reload(&strict).await.unwrap();
    deliver(gw.outbound(), Smtp, ALICE, &[CAROL], MESSAGE).await.expect("550 5.7.10");
}

/// [R-life-08]: a domain that was not there before.
#[tokio::test]
async fn a_domain_that_a_reload_adds_is_compared() {
    let zone = Zone::new().await;
    let sink = Sink::smtp().await;
    let mut other = Spec::new(&Org::new("company4.example", 40)).outbound(Smtp, &sink.url);
    let mut gw = zone.gateway(&mut other).await;
    let mut both = other.clone();
    both.orgs.push(Org::new("company1.example", 60));
    let refused = gw.reload(&both).await.unwrap_err();
    assert!(
        matches!(&refused, StartError::Published { domain, error: Disagreement::Identity { .. } } if *domain == zone.org.domain),
        "{refused}"
    );
    zone.publish(&both.orgs[1].policy());
    gw.reload(&both).await.unwrap();
}

/// [R-life-15]
#[tokio::test]
async fn a_policy_that_was_signed_elsewhere_is_an_alarm_and_nothing_is_published_over_it() {
    let (hooks, zone) = (Hooks::new(), Zone::new().await);
    let sink = Sink::smtp().await;
    let mut spec = Spec::new(&zone.org).outbound(Smtp, &sink.url);
    hooks.of(&mut spec, "company1.example", "");
    // Before the start there is none, so that this gateway would publish its own.
    zone.authority.remove(&zone.org.policy_name()).unwrap();
    let mut draft = zone.org.draft();
    draft.serial += 100;
    let later = draft.sign(&zone.org.domain, &zone.org.identity()).unwrap();
    spec.of_domain.clear();
    let mut gw = zone.gateway(&mut spec).await;
    zone.publish(&later);
    hooks.of(&mut spec, "company1.example", "");
    gw.reload(&spec).await.unwrap();
    alarmed(&gw, "another-signer", &format!("serial {}", draft.serial)).await;
    assert_eq!(hooks.left("company1.example"), None);
    deliver(gw.outbound(), Smtp, ALICE, &[CAROL], MESSAGE).await.expect("250");
    assert!(gw.stop().await);
}

/// [R-life-09]: what a wrong clock has put off does not wait until that time comes.
#[tokio::test]
async fn a_clock_that_is_put_right_is_seen_at_once() {
    let zone = Zone::new().await;
    let sink = Sink::smtp().await;
    let mut spec = Spec::new(&zone.org).inbound(Smtp, &sink.url);
    let lines = "[domain.rotation]\n".to_owned();
    spec.of_domain.insert(zone.org.domain.clone(), lines);
    let mut gw = zone.gateway(&mut spec).await;
    let book = gw.directory().join("keys-company1.example/lifetimes.json");
    let visited = |at: u64| {
        let book = Book::parse(&fs::read_to_string(&book).ok()?).ok()?;
        (book.seen == at).then_some(())
    };
    seen("the first visit", || visited(NOW)).await;
    gw.clock.set(NOW + 20 * DAY);
    // It may have been set in the middle of that visit, which has noted its beginning: a reload makes another one certain.
    gw.reload(&spec).await.unwrap();
    seen("a visit under a wrong clock", || visited(NOW + 20 * DAY)).await;
    gw.clock.set(NOW + 60);
    seen("a visit under the right clock", || visited(NOW + 60)).await;
    assert!(gw.stop().await);
}

/// Whoever signs by hand is told in time, and still when it is too late.
#[tokio::test]
async fn the_end_of_a_policy_that_is_signed_by_hand_is_an_alarm() {
    let zone = Zone::new().await;
    let sink = Sink::smtp().await;
    let mut spec = Spec::new(&zone.org).inbound(Smtp, &sink.url);
    let gw = zone.gateway(&mut spec).await;
    let expiry = zone.org.draft().expiry;
    let told = async |at: u64| {
        soon("policy-ends", async {
            loop {
                let rows = gw.ledger.alarms(None, MAX_ALARMS).await.unwrap();
                if let Some(row) = rows.iter().find(|row| row.kind == "policy-ends") {
                    // Not at an earlier time of this clock.
                    assert!(row.first_seen >= expiry - 13 * DAY, "{row:?}");
                    if row.last_seen >= at {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    gw.clock.set(expiry - 20 * DAY);
    // Another keyring is refused by a visit, which is seen: so there was one at this time.
    renew(&gw.directory().join("keys-company1.example"), 60);
    alarmed(&gw, "rotation-failed", "a policy signed by the identity key").await;
    gw.clock.set(expiry - 13 * DAY);
    told(expiry - 13 * DAY).await;
    assert!(gw.stop().await);
}
