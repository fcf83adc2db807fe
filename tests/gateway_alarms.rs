//! What an operator hears of: alarms in the ledger and in the log, and the counters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::net::SocketAddr;

use gateway_support::*;
use mta_seal::core::IdentityKey;
use mta_seal::dns::Lookup;
use mta_seal::gateway::StartError;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::{
    AlarmRow, Ledger, MAX_ALARMS, Operator, OperatorLedger, Options, Scope,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\nsecret\r\n";

/// The alarms in the ledger once they are `done`: they are written behind the reply.
async fn alarms(gw: &Gw, done: impl Fn(&[AlarmRow]) -> bool) -> Vec<AlarmRow> {
    soon("the ledger", async {
        loop {
            let found = gw.ledger.alarms(None, MAX_ALARMS).await.unwrap();
            if done(&found) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// The policy of an organisation, signed by another identity key.
fn forged(org: &Org, seed: u8) -> String {
    org.draft().sign(&org.domain, &IdentityKey::from_bytes(&[seed; 32])).unwrap()
}

/// Asks the listener of the counters, as HTTP.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn scrape(address: SocketAddr) -> String {
    ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await
}

/// One line of the counters.
#[track_caller]
fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("{series}: {text}")).trim().parse().unwrap()
}

#[tokio::test]
async fn a_changed_identity_is_an_alarm_until_it_is_acknowledged() {
    let world = World::new().await;
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    world.company2.publish_text(&world.dns, &forged(&world.company2, 77));
    for _ in 0..3 {
        // Sealed to the remembered key.
        world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
        world.clock.advance(60);
    }
    let found = alarms(&world.gw1, |all| !all.is_empty()).await;
    let [alarm] = &found[..] else { panic!("{found:?}") };
    assert_eq!((alarm.scope, alarm.domain.as_str()), (Scope::Outgoing, "company2.example"));
    assert_eq!((alarm.kind.as_str(), alarm.open), ("identity-changed", true));
    assert!(alarm.words.contains("without rollover; not believed"), "{alarm:?}");
    assert_eq!(alarm.first_seen, NOW);

    // Repetitions are counted, and none of them is lost by an orderly stop.
    let ledger = world.gw1.directory().join("ledger.sqlite");
    let operator = OperatorLedger::open(&ledger).unwrap();
    let by = Operator { uid: 0, login: "root".to_owned() };
    operator.acknowledge(&world.company2.domain, None, NOW, "they know", &by).unwrap();
    let World { gw1, dns, company2, clock, relay: _relay, .. } = world;
    let spec = gw1.spec.clone();
    let gw1 = gw1.restart(&spec).await;
    let all = alarms(&gw1, |_| true).await;
    assert_eq!((all[0].count, all[0].last_seen, all[0].open), (3, NOW + 120, false));

    // The same again is no news; another key is.
    let send = async || deliver(gw1.outbound(), Smtp, ALICE, &[BOB], MESSAGE).await;
    send().await.expect("250");
    assert!(!alarms(&gw1, |all| all[0].count == 4).await[0].open);
    company2.publish_text(&dns, &forged(&company2, 78));
    clock.advance(60);
    send().await.expect("250");
    let again = alarms(&gw1, |all| all[0].open).await;
    assert_eq!((again[0].count, again[0].first_seen), (1, NOW + 240));
    assert_eq!(again[0].acknowledged.as_ref().unwrap().why, "they know");
}

/// A domain that shows another key with each message fills no log, and what an operator has acknowledged does not come back unseen.
#[tokio::test]
async fn whoever_changes_his_key_with_each_message_is_logged_once() {
    let log = Log::of_this_process(tracing::Level::WARN);
    let lines = || {
        let mut lines = log.lines("alarm");
        lines.retain(|line| line["domain"] == "company4.example");
        lines
    };
    let world = World::new().await;
    let company4 = Org::new("company4.example", 40);
    company4.publish(&world.dns);
    let send = async || {
        world.send(ALICE, &["<dan@company4.example>"], MESSAGE).await.expect("250");
    };
    send().await;
    let change = async |seed: u8| {
        company4.publish_text(&world.dns, &forged(&company4, seed));
        send().await;
    };
    for seed in 70..80 {
        change(seed).await;
    }
    alarms(&world.gw1, |all| all.iter().any(|alarm| alarm.count == 10)).await;
    assert_eq!(lines().len(), 1);
    assert_eq!((&lines()[0]["level"], &lines()[0]["count"]), (&"ERROR".into(), &1.into()));

    let operator = OperatorLedger::open(&world.gw1.directory().join("ledger.sqlite")).unwrap();
    let by = Operator { uid: 0, login: "root".to_owned() };
    operator.acknowledge(&company4.domain, None, NOW, "they know", &by).unwrap();
    change(80).await;
    soon("a line", async {
        while lines().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(lines()[1]["count"], 10, "nine that were not logged, and this one");
    change(81).await;
    world.clock.advance(HOUR);
    change(82).await;
    assert_eq!(lines().len(), 3);
    assert_eq!(lines()[2]["count"], 2);
}

#[tokio::test]
async fn senders_raise_alarms_of_their_own_direction() {
    let world = World::new().await;
    let carrier = world.carrier(MESSAGE).await;
    world.forward(&carrier).await.expect("250");
    world.company1.publish_text(&world.dns, &forged(&world.company1, 77));
    let again = world.carrier(MESSAGE).await;
    world.forward(&again).await.expect("250");
    let found = alarms(&world.gw2, |all| !all.is_empty()).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].scope, found[0].domain.as_str()), (Scope::Incoming, "company1.example"));
    assert_eq!(found[0].kind, "identity-changed");
}

#[tokio::test]
async fn a_full_memory_and_an_override_are_alarms_too() {
    let world = World::new().await;
    let mut spec = world.gw1.spec.clone();
    spec.ledger = Options { max_remembered: 0, ..Options::default() };
    let World { gw1, dns, company2, relay: _relay, .. } = world;
    let gw1 = gw1.restart(&spec).await;
    deliver(gw1.outbound(), Smtp, ALICE, &[BOB], MESSAGE).await.expect("250");
    let found = alarms(&gw1, |all| !all.is_empty()).await;
    assert_eq!(found[0].kind, "memory-full");

    dns.set(company2.policy_name(), Lookup::Timeout);
    let operator = OperatorLedger::open(&gw1.directory().join("ledger.sqlite")).unwrap();
    let by = Operator { uid: 0, login: "root".to_owned() };
    operator.allow(&company2.domain, NOW, NOW + HOUR, "key lost", &by).unwrap();
    deliver(gw1.outbound(), Smtp, ALICE, &[BOB], MESSAGE).await.expect("250");
    let found = alarms(&gw1, |all| all.len() == 2).await;
    assert!(found.iter().any(|alarm| alarm.kind == "clear-on-failure"), "{found:?}");
}

/// While there is still room.
#[tokio::test]
async fn that_the_memory_is_nearly_full_is_warned_of() {
    const MOST: u64 = 10;
    let log = Log::of_this_process(tracing::Level::WARN);
    let message = "memory of domains is nearly full: when it is, new ones are not remembered";
    let world = World::new().await;
    let mut spec = world.gw1.spec.clone();
    // Nobody else in this file has this limit.
    spec.ledger = Options { max_remembered: MOST, ..Options::default() };
    let World { mut gw1, dns, .. } = world;
    let warned = || {
        let mut lines = log.lines(message);
        lines.retain(|line| line["most"] == MOST);
        lines
    };
    for n in 0..MOST - 1 {
        let org = Org::new(&format!("d{n}.example"), 50);
        org.publish(&dns);
        let to = format!("<x@d{n}.example>");
        deliver(gw1.outbound(), Smtp, ALICE, &[&to], MESSAGE).await.expect("250");
        if n == 7 {
            gw1 = gw1.restart(&spec).await;
        }
    }
    assert!(warned().is_empty());
    let _gw1 = gw1.restart(&spec).await;
    soon("a line", async {
        while warned().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let line = warned().remove(0);
    assert_eq!((&line["scope"], &line["domains"]), (&"outgoing".into(), &9.into()));
}

#[tokio::test]
async fn decisions_and_alarms_are_counted_for_prometheus() {
    let metrics = "[metrics]\nlisten = \"127.0.0.1:0\"".to_owned();
    let world = World::with(WorldOptions { extra1: metrics, ..WorldOptions::default() }).await;
    assert!(world.gw2.gateway().metrics().is_empty(), "off unless asked for");
    let address = world.gw1.gateway().metrics()[0];
    let empty = scrape(address).await;
    assert!(empty.starts_with("HTTP/1.1 200 "), "{empty}");
    assert!(empty.contains("content-type: application/openmetrics-text"), "{empty}");
    assert_eq!(value(&empty, "mta_seal_alarms_open{severity=\"critical\"}"), 0);

    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    world.send(ALICE, &["<dave@plain.example>"], MESSAGE).await.expect("250");
    world.company2.publish_text(&world.dns, &forged(&world.company2, 77));
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    world.dns.set(Org::new("company3.example", 30).policy_name(), Lookup::Timeout);
    world.send(ALICE, &["<erin@company3.example>"], MESSAGE).await.expect("451");
    alarms(&world.gw1, |all| !all.is_empty()).await;
    let text = scrape(address).await;
    for (decision, reason) in
        [("seal", "dns"), ("seal", "memory"), ("clear", "no-policy"), ("defer", "lookup-timeout")]
    {
        let series =
            format!("mta_seal_decisions_total{{decision=\"{decision}\",reason=\"{reason}\"}}");
        assert_eq!(value(&text, &series), 1, "{text}");
    }
    let series = "mta_seal_alarms_total{scope=\"outgoing\",kind=\"identity-changed\"}";
    assert_eq!(value(&text, series), 1);
    assert_eq!(value(&text, "mta_seal_alarms_open{severity=\"critical\"}"), 1);
    assert!(!text.contains("company"), "no domains: {text}");

    let remembered = "mta_seal_domains_remembered{scope=\"outgoing\"}";
    assert_eq!(value(&text, remembered), 1, "{text}");
    assert_eq!(value(&text, "mta_seal_domains_remembered_limit{scope=\"outgoing\"}"), 100_000);

    // Nothing but this is answered, and whoever says nothing is not waited for.
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"),
        ("EHLO x\r\n\r\n", "400"),
    ] {
        let answer = ask(address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn counters_and_their_listener_survive_a_reload() {
    let mut world = World::with(WorldOptions {
        extra1: "[metrics]\nlisten = \"127.0.0.1:0\"".to_owned(),
        ..WorldOptions::default()
    })
    .await;
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    let address = world.gw1.gateway().metrics()[0];
    let mut spec = world.gw1.spec.clone();
    spec.extra = format!("[metrics]\nlisten = \"{address}\"\n");
    world.gw1.reload(&spec).await.unwrap();
    assert_eq!(world.gw1.gateway().metrics(), [address]);
    let series = "mta_seal_decisions_total{decision=\"seal\",reason=\"dns\"}";
    assert_eq!(value(&scrape(address).await, series), 1);

    // To another address, to one that is taken, and to none.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    spec.extra = format!("[metrics]\nlisten = \"{}\"\n", taken.local_addr().unwrap());
    assert!(matches!(world.gw1.reload(&spec).await, Err(StartError::Listen { .. })));
    assert_eq!(value(&scrape(address).await, series), 1);
    spec.extra = "[metrics]\nlisten = \"[::1]:0\"\n".to_owned();
    world.gw1.reload(&spec).await.unwrap();
    let moved = world.gw1.gateway().metrics()[0];
    assert_ne!(moved, address);
    assert_eq!(value(&scrape(moved).await, series), 1);
    spec.extra = String::new();
    world.gw1.reload(&spec).await.unwrap();
    assert!(world.gw1.gateway().metrics().is_empty());
}

/// [R-alm-02]
#[tokio::test]
async fn that_an_open_alarm_gives_way_is_counted() {
    let world = World::new().await;
    let mut spec = world.gw1.spec.clone().extra("[metrics]\nlisten = \"127.0.0.1:0\"");
    spec.ledger.max_alarms = 1;
    let gw1 = world.gw1.restart(&spec).await;
    let company3 = Org::new("company3.example", 30);
    let send = async |to: &str| deliver(gw1.outbound(), Smtp, ALICE, &[to], MESSAGE).await;
    let others = [(&world.company2, BOB), (&company3, "<carol@company3.example>")];
    for (org, to) in others {
        org.publish(&world.dns);
        send(to).await.expect("250");
        org.publish_text(&world.dns, &forged(org, 77));
        send(to).await.expect("250");
        let domain = org.domain.as_str();
        alarms(&gw1, |all| all.len() == 1 && all[0].domain == domain).await;
    }
    let text = soon("the count", async {
        loop {
            let text = scrape(gw1.gateway().metrics()[0]).await;
            if value(&text, "mta_seal_alarms_dropped_total") > 0 {
                return text;
            }
        }
    })
    .await;
    assert_eq!(value(&text, "mta_seal_alarms_dropped_total"), 1);
    assert_eq!(value(&text, "mta_seal_alarms_open{severity=\"critical\"}"), 1);
}
