//! Every ending of a look-up stays distinct [R-dns-02], against an in-process authoritative server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mta_seal::dns::authority::{Authority, Disturbance, Security, ZoneSpec};
use mta_seal::dns::{
    AnchorSource, Authenticity, DnsConfig, FAILURE_TTL, Lookup, Mode, QueryName, Resolver, Servers,
    StubResolver,
};

use Authenticity::{Insecure, Secure};

fn name(text: &str) -> QueryName {
    QueryName::parse(text).unwrap()
}

async fn two_zones() -> Authority {
    let signed = ZoneSpec::signed(name("signed.example"));
    let unsigned = ZoneSpec::unsigned(name("plain.example"));
    let server = Authority::start(&[signed, unsigned]).await.unwrap();
    server.set_txt(&name("_mta-seal.signed.example"), &[b"v=one"]).unwrap();
    server.set_txt(&name("_mta-seal.plain.example"), &[b"v=two"]).unwrap();
    server
}

fn validating(server: &Authority) -> StubResolver {
    StubResolver::new(&server.config()).unwrap()
}

fn quick(server: &Authority) -> DnsConfig {
    DnsConfig { timeout: Duration::from_millis(400), ..server.config() }
}

async fn ask(resolver: &StubResolver, text: &str) -> Lookup {
    resolver.txt(&name(text)).await
}

#[track_caller]
fn assert_found(outcome: &Lookup, records: &[&[u8]], authenticity: Authenticity) {
    let Lookup::Found(found) = outcome else { panic!("not found: {outcome:?}") };
    assert_eq!(found.records, records);
    assert_eq!(found.authenticity, authenticity);
}

#[tokio::test]
async fn records_are_found_with_the_status_of_their_zone() {
    let server = two_zones().await;
    let resolver = validating(&server);
    assert_found(&ask(&resolver, "_mta-seal.signed.example").await, &[b"v=one"], Secure);
    assert_found(&ask(&resolver, "_mta-seal.plain.example").await, &[b"v=two"], Insecure);
}

#[tokio::test]
async fn denials_are_found_with_the_status_of_their_zone() {
    let server = two_zones().await;
    // A record below makes the name an empty non-terminal: it exists without data.
    server.set_txt(&name("a.empty.signed.example"), &[b"x"]).unwrap();
    server.set_txt(&name("a.empty.plain.example"), &[b"x"]).unwrap();
    let resolver = validating(&server);
    for (text, no_data, authenticity) in [
        ("signed.example", true, Secure),
        ("empty.signed.example", true, Secure),
        ("nothing.signed.example", false, Secure),
        ("plain.example", true, Insecure),
        ("empty.plain.example", true, Insecure),
        ("nothing.plain.example", false, Insecure),
        ("nothing.example", false, Secure),
    ] {
        let outcome = ask(&resolver, text).await;
        let denial = match outcome {
            Lookup::NoData(denial) if no_data => denial,
            Lookup::NxDomain(denial) if !no_data => denial,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(denial.authenticity, authenticity, "{text}");
        assert_eq!(denial.ttl, Duration::from_secs(60), "{text}");
    }
}

#[tokio::test]
async fn broken_dnssec_is_bogus_and_never_an_answer() {
    let server = two_zones().await;
    for security in [Security::WrongDs, Security::Stripped, Security::Expired] {
        server.set_security(&name("signed.example"), security).unwrap();
        let resolver = validating(&server);
        for text in ["_mta-seal.signed.example", "signed.example", "nothing.signed.example"] {
            assert_eq!(ask(&resolver, text).await, Lookup::Bogus, "{security:?} {text}");
        }
        assert_found(&ask(&resolver, "_mta-seal.plain.example").await, &[b"v=two"], Insecure);
    }
    server.set_security(&name("signed.example"), Security::Signed).unwrap();
    let resolver = validating(&server);
    assert_found(&ask(&resolver, "_mta-seal.signed.example").await, &[b"v=one"], Secure);
}

#[tokio::test]
async fn another_root_is_bogus_and_an_uncovered_name_insecure() {
    let server = two_zones().await;
    let stranger = Authority::start(&[]).await.unwrap();
    let with = |text: String| {
        let anchors = AnchorSource::Text(text);
        let config = DnsConfig { mode: Mode::Validate { anchors }, ..server.config() };
        StubResolver::new(&config).unwrap()
    };
    let wrong = with(stranger.anchors().to_owned());
    assert_eq!(ask(&wrong, "_mta-seal.signed.example").await, Lookup::Bogus);
    assert_eq!(ask(&wrong, "_mta-seal.plain.example").await, Lookup::Bogus);

    let digest = "07".repeat(32);
    let island = with(format!("island.example. IN DS 1 8 2 {digest}"));
    assert_found(&ask(&island, "_mta-seal.signed.example").await, &[b"v=one"], Insecure);
}

#[tokio::test]
async fn an_alias_is_as_strong_as_its_weakest_link() {
    let server = two_zones().await;
    let alias = |from: &str, to: &str| server.set_cname(&name(from), &name(to)).unwrap();
    alias("secure-to-secure.signed.example", "_mta-seal.signed.example");
    alias("secure-to-plain.signed.example", "_mta-seal.plain.example");
    alias("plain-to-secure.plain.example", "_mta-seal.signed.example");
    alias("there.signed.example", "and-back.plain.example");
    alias("and-back.plain.example", "_mta-seal.signed.example");
    alias("to-nothing.signed.example", "nothing.signed.example");
    alias("to-nothing.plain.example", "nothing.signed.example");
    let resolver = validating(&server);
    // Both orders, since a cache must not let the alias vanish behind a cached target.
    assert_found(&ask(&resolver, "_mta-seal.signed.example").await, &[b"v=one"], Secure);
    for (text, record, authenticity) in [
        ("secure-to-secure.signed.example", b"v=one", Secure),
        ("secure-to-plain.signed.example", b"v=two", Insecure),
        ("plain-to-secure.plain.example", b"v=one", Insecure),
        ("there.signed.example", b"v=one", Insecure),
    ] {
        let outcome = ask(&resolver, text).await;
        assert_found(&outcome, &[record], authenticity);
    }
    assert_found(&ask(&resolver, "_mta-seal.signed.example").await, &[b"v=one"], Secure);
    let Lookup::Found(found) = ask(&resolver, "there.signed.example").await else { panic!() };
    assert_eq!(found.chain, ["and-back.plain.example", "_mta-seal.signed.example"]);

    for (text, authenticity) in
        [("to-nothing.signed.example", Secure), ("to-nothing.plain.example", Insecure)]
    {
        let Lookup::NxDomain(denial) = ask(&resolver, text).await else { panic!("{text}") };
        assert_eq!(denial.authenticity, authenticity, "{text}");
    }
}

#[tokio::test]
async fn an_alias_into_a_broken_zone_is_bogus() {
    let server = two_zones().await;
    server.set_cname(&name("alias.plain.example"), &name("_mta-seal.signed.example")).unwrap();
    server.set_security(&name("signed.example"), Security::Stripped).unwrap();
    assert_eq!(ask(&validating(&server), "alias.plain.example").await, Lookup::Bogus);
}

#[tokio::test]
async fn endless_and_long_chains_end() {
    let server = two_zones().await;
    for zone in ["signed.example", "plain.example"] {
        let alias = |from: &str, to: &str| {
            server.set_cname(&name(&format!("{from}.{zone}")), &name(to)).unwrap();
        };
        alias("a", &format!("b.{zone}"));
        alias("b", &format!("a.{zone}"));
        alias("self", &format!("self.{zone}"));
        for hop in 0..9 {
            alias(&format!("hop{hop}"), &format!("hop{}.{zone}", hop + 1));
        }
        server.set_txt(&name(&format!("hop9.{zone}")), &[b"far"]).unwrap();
    }
    // The same across zones, where each answer holds one step only.
    server.set_cname(&name("c.signed.example"), &name("c.plain.example")).unwrap();
    server.set_cname(&name("c.plain.example"), &name("c.signed.example")).unwrap();
    let resolver = validating(&server);
    assert_eq!(ask(&resolver, "c.signed.example").await, Lookup::CnameLoop);
    for zone in ["signed.example", "plain.example"] {
        for text in ["a", "self", "hop0"] {
            let outcome = ask(&resolver, &format!("{text}.{zone}")).await;
            assert_eq!(outcome, Lookup::CnameLoop, "{text}.{zone}");
        }
        let outcome = ask(&resolver, &format!("hop1.{zone}")).await;
        let Lookup::Found(found) = &outcome else { panic!("{zone}: {outcome:?}") };
        assert_eq!(found.chain.len(), 8);
    }
}

#[tokio::test]
async fn several_records_and_wildcards_are_all_given() {
    let server = two_zones().await;
    for (zone, authenticity) in [("signed.example", Secure), ("plain.example", Insecure)] {
        let at = name(&format!("two.{zone}"));
        server.set_txt(&at, &[b"v=spf1 -all"]).unwrap();
        server.add_txt(&at, b"v=one").unwrap();
        let outcome = validating(&server).txt(&at).await;
        let Lookup::Found(mut found) = outcome else { panic!("{outcome:?}") };
        found.records.sort();
        assert_eq!(found.records, [b"v=one".to_vec(), b"v=spf1 -all".to_vec()]);
        assert_eq!(found.authenticity, authenticity);

        server.set_wildcard_txt(&name(zone), &[b"v=spf1 -all"]).unwrap();
        let outcome = ask(&validating(&server), &format!("_other.{zone}")).await;
        assert_found(&outcome, &[b"v=spf1 -all"], authenticity);
    }
}

#[tokio::test]
async fn a_change_that_does_not_fit_leaves_the_zones_alone() {
    let server = two_zones().await;
    let alias = name("alias.signed.example");
    server.set_cname(&alias, &name("_mta-seal.signed.example")).unwrap();
    assert!(server.add_txt(&alias, b"beside a CNAME").is_err());
    let outcome = validating(&server).txt(&alias).await;
    assert_found(&outcome, &[b"v=one"], Secure);
    server.remove(&alias).unwrap();
    assert_eq!(validating(&server).txt(&alias).await.label(), "nxdomain");
}

#[tokio::test]
async fn large_answers_come_over_tcp_with_strings_joined() {
    let server = two_zones().await;
    let large: Vec<u8> = (0..1640u32).map(|i| b'a' + (i % 26) as u8).collect();
    for zone in ["signed.example", "plain.example"] {
        let at = name(&format!("sel._mta-seal.{zone}"));
        server.set_txt(&at, &[&large]).unwrap();
        let outcome = validating(&server).txt(&at).await;
        let Lookup::Found(found) = outcome else { panic!("{outcome:?}") };
        assert_eq!(found.records, [large.as_slice()]);
        // The truncated answer over UDP, the whole one over TCP.
        assert_eq!(server.asked(&at).unwrap(), 2);
    }
}

#[tokio::test]
async fn more_than_the_bounds_is_oversize() {
    let server = two_zones().await;
    let at = name("many.plain.example");
    let texts: Vec<String> = (0..257).map(|i| i.to_string()).collect();
    let records: Vec<&[u8]> = texts.iter().map(|t| t.as_bytes()).collect();
    server.set_txt(&at, &records).unwrap();
    let wide = name("wide.signed.example");
    server.set_txt(&wide, &[&[b'x'; 33_000]]).unwrap();
    let resolver = validating(&server);
    assert_eq!(resolver.txt(&at).await, Lookup::Oversize);
    assert_eq!(resolver.txt(&wide).await, Lookup::Oversize);

    server.set_txt(&at, &records[..256]).unwrap();
    server.set_txt(&wide, &[&[b'x'; 32_768]]).unwrap();
    let resolver = validating(&server);
    assert!(matches!(resolver.txt(&at).await, Lookup::Found(f) if f.records.len() == 256));
    assert!(matches!(resolver.txt(&wide).await, Lookup::Found(_)));
}

#[tokio::test]
async fn a_proof_through_endless_labels_is_oversize() {
    // Each zone is 50 labels below the root, and each label costs one question.
    let zones: Vec<_> =
        (0..3).map(|i| name(&format!("{}zone{i}.example", "a.".repeat(50)))).collect();
    let specs: Vec<_> = zones.iter().cloned().map(ZoneSpec::unsigned).collect();
    let server = Authority::start(&specs).await.unwrap();
    let at = |i: usize| name(&format!("x.{}", zones[i]));
    server.set_cname(&at(0), &at(1)).unwrap();
    server.set_cname(&at(1), &at(2)).unwrap();
    server.set_txt(&at(2), &[b"deep"]).unwrap();
    let resolver = validating(&server);
    assert_eq!(resolver.txt(&at(0)).await, Lookup::Oversize);
    assert_found(&resolver.txt(&at(1)).await, &[b"deep"], Insecure);
}

#[tokio::test]
async fn failing_servers_are_told_apart_from_forgers() {
    let server = two_zones().await;
    let at = name("_mta-seal.signed.example");
    server.disturb(&at, Some(Disturbance::ServFail)).unwrap();
    let servfail = Lookup::ServFail { rcode: 2 };
    assert_eq!(validating(&server).txt(&at).await, servfail);
    server.disturb(&at, None).unwrap();

    // The same when the records fail that would prove the zone.
    let zone = name("signed.example");
    server.disturb(&zone, Some(Disturbance::ServFail)).unwrap();
    assert_eq!(validating(&server).txt(&at).await, servfail);
    server.disturb(&zone, Some(Disturbance::Drop)).unwrap();
    let resolver = StubResolver::new(&quick(&server)).unwrap();
    assert_eq!(resolver.txt(&at).await, Lookup::Timeout);
    server.disturb(&zone, None).unwrap();
    assert_found(&validating(&server).txt(&at).await, &[b"v=one"], Secure);
}

#[tokio::test]
async fn the_budget_holds_over_everything() {
    let server = two_zones().await;
    // Each answer is within the time of one attempt; the chain of them is not within the budget.
    for hop in 0..8 {
        let from = name(&format!("hop{hop}.{}.example", ["signed", "plain"][hop % 2]));
        let to = name(&format!("hop{}.{}.example", hop + 1, ["signed", "plain"][(hop + 1) % 2]));
        server.set_cname(&from, &to).unwrap();
        server.disturb(&from, Some(Disturbance::Delay(Duration::from_millis(75)))).unwrap();
    }
    let resolver = StubResolver::new(&quick(&server)).unwrap();
    let begun = Instant::now();
    assert_eq!(ask(&resolver, "hop0.signed.example").await, Lookup::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_unreachable_server_is_a_timeout() {
    // A socket that talks to one other port refuses everyone else, and nobody can take its port.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let config = DnsConfig {
        servers: Servers::Listed(vec![socket.local_addr().unwrap()]),
        timeout: Duration::from_millis(400),
        ..DnsConfig::default()
    };
    let resolver = StubResolver::new(&config).unwrap();
    assert_eq!(ask(&resolver, "_mta-seal.signed.example").await, Lookup::Timeout);
}

#[tokio::test]
async fn a_second_server_stands_in_for_a_failing_first() {
    let (failing, server) = (two_zones().await, two_zones().await);
    let at = name("_mta-seal.plain.example");
    let config = |first: &Authority| DnsConfig {
        servers: Servers::Listed(vec![first.address(), server.address()]),
        mode: Mode::Plain,
        ..server.config()
    };
    for disturbance in [Disturbance::ServFail, Disturbance::Drop] {
        failing.disturb(&at, Some(disturbance)).unwrap();
        let resolver = StubResolver::new(&config(&failing)).unwrap();
        assert_found(&resolver.txt(&at).await, &[b"v=two"], Insecure);
    }
}

#[tokio::test]
async fn without_dnssec_everything_is_insecure() {
    let server = two_zones().await;
    let resolver = StubResolver::new(&DnsConfig { mode: Mode::Plain, ..server.config() }).unwrap();
    assert_found(&ask(&resolver, "_mta-seal.signed.example").await, &[b"v=one"], Insecure);
    let outcome = ask(&resolver, "nothing.signed.example").await;
    assert_eq!(outcome.authenticity(), Some(Insecure), "{outcome:?}");
}

#[tokio::test]
async fn names_are_compared_without_case() {
    let server = two_zones().await;
    let at = QueryName::parse("_MTA-Seal.Signed.Example").unwrap();
    assert_found(&validating(&server).txt(&at).await, &[b"v=one"], Secure);
}

/// A clock that moves when told to.
#[derive(Clone)]
struct Hand(Arc<Mutex<Instant>>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn resolver(&self, config: &DnsConfig) -> StubResolver {
        let hand = self.clone();
        StubResolver::with_clock(config, Arc::new(move || *hand.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn answers_denials_and_failures_are_kept_for_their_time() {
    let mut long = ZoneSpec::signed(name("long.example"));
    (long.ttl, long.negative_ttl) = (7200, 90);
    let server = Authority::start(&[long]).await.unwrap();
    let (found, denied, failed) =
        (name("_mta-seal.long.example"), name("no.long.example"), name("bad.long.example"));
    server.set_txt(&found, &[b"v=one"]).unwrap();
    server.disturb(&failed, Some(Disturbance::ServFail)).unwrap();
    let hand = Hand::new();
    let resolver = hand.resolver(&server.config());
    let asked = |name| server.asked(name).unwrap();

    for (name, lifetime) in [(&found, 3600), (&denied, 90), (&failed, FAILURE_TTL.as_secs())] {
        let first = resolver.txt(name).await;
        hand.advance(lifetime - 1);
        let kept = resolver.txt(name).await;
        assert_eq!(first.label(), kept.label());
        assert_eq!(asked(name), 1, "{name}");
        if let Some(ttl) = kept.ttl() {
            assert_eq!(ttl, Duration::from_secs(1), "{name}");
        }
        hand.advance(1);
        resolver.txt(name).await;
        assert_eq!(asked(name), 2, "{name}");
    }

    resolver.forget(&found);
    resolver.txt(&found).await;
    assert_eq!(asked(&found), 3);
}

#[tokio::test]
async fn an_answer_without_lifetime_is_not_kept() {
    let mut brief = ZoneSpec::unsigned(name("brief.example"));
    (brief.ttl, brief.negative_ttl) = (0, 0);
    let server = Authority::start(&[brief]).await.unwrap();
    let at = name("_mta-seal.brief.example");
    server.set_txt(&at, &[b"v=one"]).unwrap();
    let resolver = validating(&server);
    resolver.txt(&at).await;
    server.set_txt(&at, &[b"v=two"]).unwrap();
    assert_found(&resolver.txt(&at).await, &[b"v=two"], Insecure);
}

#[tokio::test]
async fn concurrent_callers_share_one_question() {
    let server = two_zones().await;
    let at = name("_mta-seal.plain.example");
    server.disturb(&at, Some(Disturbance::Delay(Duration::from_millis(100)))).unwrap();
    let resolver = validating(&server);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (resolver, at) = (resolver.clone(), at.clone());
            tokio::spawn(async move { resolver.txt(&at).await })
        })
        .collect();
    // One caller leaves at once; the others still get the answer of the look-up it began.
    callers[0].abort();
    for caller in callers.into_iter().skip(1) {
        assert_found(&caller.await.unwrap(), &[b"v=two"], Insecure);
    }
    assert_eq!(server.asked(&at).unwrap(), 1);
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let server = two_zones().await;
    let hand = Hand::new();
    let resolver =
        hand.resolver(&DnsConfig { mode: Mode::Plain, cache_entries: 8, ..server.config() });
    let names: Vec<_> = (0..20).map(|i| name(&format!("n{i}.plain.example"))).collect();
    for at in &names {
        resolver.txt(at).await;
    }
    let shown = format!("{resolver:?}");
    let kept: usize = shown
        .split("entries: ")
        .nth(1)
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=8).contains(&kept), "{kept}");
    // The newest is among those kept.
    resolver.txt(&names[19]).await;
    assert_eq!(server.asked(&names[19]).unwrap(), 1);
}
