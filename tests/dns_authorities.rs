//! Each authoritative server is asked directly, and what it says stays its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mta_seal::dns::authorities::{Direct, MAX_ASKED, NotAsked, Said, Via, ask_all, zone_soas};
use mta_seal::dns::authority::{Authority, Disturbance, ZoneSpec};
use mta_seal::dns::{
    DnsConfig, Lookup, Mode, NoServers, QueryName, Resolver, Scripted, StubResolver, ZoneServer,
    ZoneServers,
};

const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn name(text: &str) -> QueryName {
    QueryName::parse(text).unwrap()
}

struct World {
    first: Authority,
    second: Authority,
}

impl World {
    /// `a.example` and, below it, `sub.a.example`, each with the same two servers.
    async fn new() -> Self {
        let specs = ["a.example", "sub.a.example"].map(|zone| ZoneSpec::signed(name(zone)));
        let first = Authority::start(&specs).await.unwrap();
        let second = first.start_beside(SECOND, &specs).await.unwrap();
        let world = Self { first, second };
        for server in [&world.first, &world.second] {
            for zone in ["a.example", "sub.a.example"] {
                server.set_servers(&name(zone), &["ns1.a.example", "ns2.a.example"]).unwrap();
            }
            let at = |host: &str, address| {
                server.set_addresses(&name(host), &[IpAddr::V4(address)]).unwrap();
            };
            at("ns1.a.example", Ipv4Addr::LOCALHOST);
            at("ns2.a.example", SECOND);
        }
        world
    }

    fn resolver(&self) -> StubResolver {
        let config =
            DnsConfig { mode: Mode::Plain, timeout: Duration::from_secs(2), ..self.first.config() };
        StubResolver::new(&config).unwrap()
    }

    async fn servers(&self, text: &str) -> ZoneServers {
        self.resolver().servers(&name(text)).await.unwrap()
    }

    fn direct(&self) -> Direct {
        let port = self.first.address().port();
        Direct::new(port, Duration::from_millis(600), true)
    }

    /// What the second server says.
    async fn second(&self, zone: &ZoneServers, text: &str, via: Via) -> Said {
        let mut answers = ask_all(zone, &name(text), via, &self.direct()).await;
        assert_eq!(answers[0].server, "ns1.a.example");
        assert_eq!(answers[1].address, Some(IpAddr::V4(SECOND)));
        answers.remove(1).said
    }
}

#[tokio::test]
async fn the_zone_cut_is_found() {
    let world = World::new().await;
    for (text, zone) in [
        ("_mta-seal.a.example", "a.example"),
        ("a.example", "a.example"),
        ("x._mta-seal.sub.a.example", "sub.a.example"),
    ] {
        let found = world.servers(text).await;
        assert_eq!(found.zone, zone, "{text}");
        let names: Vec<&str> = found.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["ns1.a.example", "ns2.a.example"]);
        assert_eq!(found.servers[1].addresses, [IpAddr::V4(SECOND)]);
    }
    let nowhere = world.resolver().servers(&name("b.invalid")).await;
    assert_eq!(nowhere, Err(NoServers::NoZone));
    world.first.disturb(&name("a.example"), Some(Disturbance::ServFail)).unwrap();
    let failed = world.resolver().servers(&name("_mta-seal.a.example")).await;
    assert_eq!(failed, Err(NoServers::Failed(Lookup::ServFail { rcode: 2 })));
    assert_eq!(Scripted::new().servers(&name("a.example")).await, Err(NoServers::NoZone));
}

#[tokio::test]
async fn every_answer_is_the_servers_own() {
    let world = World::new().await;
    let (zone, at) = (world.servers("a.example").await, "_mta-seal.a.example");
    let records = |texts: &[&[u8]]| Said::Records {
        records: texts.iter().map(|t| t.to_vec()).collect(),
        ttl: Duration::from_secs(60),
    };
    let set = |texts: &[&[u8]]| world.second.set_txt(&name(at), texts).unwrap();
    assert_eq!(world.second(&zone, at, Via::Udp).await, Said::Denied { nxdomain: true });
    let large = [b'x'; 2_000];
    for texts in [&[&b"v=one"[..]][..], &[b"v=b", b"v=a"], &[&large]] {
        set(texts);
        let mut sorted = texts.to_vec();
        sorted.sort_unstable();
        for via in [Via::Udp, Via::Tcp] {
            assert_eq!(world.second(&zone, at, via).await, records(&sorted), "{via:?}");
        }
    }
    world.second.set_cname(&name(at), &name("_mta-seal.b.example")).unwrap();
    let Said::Alias { target, .. } = world.second(&zone, at, Via::Udp).await else { panic!() };
    assert_eq!(target, "_mta-seal.b.example");
    for (disturbance, said) in [
        (Disturbance::Lame, Said::Lame),
        (Disturbance::Refused, Said::Refused),
        (Disturbance::ServFail, Said::Failed(2)),
        (Disturbance::Drop, Said::Timeout),
    ] {
        world.second.disturb(&name(at), Some(disturbance)).unwrap();
        assert_eq!(world.second(&zone, at, Via::Udp).await, said);
    }
    world.second.set_serial(&name("a.example"), 8).unwrap();
    let told = zone_soas(&zone, &world.direct()).await;
    let serial = |at: usize| told[at].2.clone().unwrap();
    assert_ne!(serial(0), serial(1));
}

#[tokio::test]
async fn servers_without_an_address_are_named() {
    let world = World::new().await;
    world.first.remove(&name("ns2.a.example")).unwrap();
    let zone = world.servers("a.example").await;
    let answers = ask_all(&zone, &name("_mta-seal.a.example"), Via::Udp, &world.direct()).await;
    assert_eq!(answers.len(), 2);
    assert_eq!((answers[1].address, &answers[1].said), (None, &Said::Unreachable));
    assert!(answers[0].said.is_answer());
}

/// A zone of somebody who wants them asked.
fn zone_at(addresses: impl IntoIterator<Item = IpAddr>) -> ZoneServers {
    let addresses = addresses.into_iter().collect();
    let server = ZoneServer { name: "ns1.a.example".to_owned(), addresses };
    ZoneServers { zone: "a.example".to_owned(), servers: vec![server] }
}

/// A server that would answer is not asked, nor told to the world as one that did not.
#[tokio::test]
async fn private_addresses_are_asked_on_demand_only() {
    let world = World::new().await;
    let at = name("_mta-seal.a.example");
    let port = world.first.address().port();
    let zone = zone_at(
        ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00::1", "::1"]
            .map(|text| text.parse().unwrap()),
    );
    let direct = Direct::new(port, Duration::from_millis(600), false);
    for answer in ask_all(&zone, &at, Via::Udp, &direct).await {
        assert_eq!(answer.said, Said::NotAsked(NotAsked::Private), "{:?}", answer.address);
    }
    for (_, address, serial) in zone_soas(&zone, &direct).await {
        assert_eq!(serial, Err(Said::NotAsked(NotAsked::Private)), "{address:?}");
    }
    let direct = Direct::new(port, Duration::from_millis(600), true);
    assert!(ask_all(&zone, &at, Via::Udp, &direct).await[0].said.is_answer());
}

#[tokio::test]
async fn few_addresses_are_asked_and_not_for_long() {
    let world = World::new().await;
    let at = name("_mta-seal.a.example");
    let port = world.first.address().port();
    let direct = Direct::new(port, Duration::from_millis(100), true);
    let address = |n: u8| IpAddr::V4(Ipv4Addr::new(127, 0, 1, n));
    let count = u8::try_from(MAX_ASKED).unwrap();
    let answers = ask_all(&zone_at((0..count + 3).map(address)), &at, Via::Udp, &direct).await;
    let too_many = Said::NotAsked(NotAsked::TooMany);
    assert_eq!(answers.iter().filter(|a| a.said == too_many).count(), 3);
    // The same ones may be asked more, and no others.
    let more = ask_all(&zone_at([address(0), address(99)]), &at, Via::Udp, &direct).await;
    assert_eq!((&more[0].said, &more[1].said), (&Said::Timeout, &too_many));
    let over = Direct::new(port, Duration::from_secs(5), true).within(Duration::ZERO);
    let late = ask_all(&zone_at([Ipv4Addr::LOCALHOST.into()]), &at, Via::Udp, &over).await;
    assert_eq!(late[0].said, Said::NotAsked(NotAsked::TooLate));
}

#[test]
fn times_to_live_do_not_matter_to_agreement() {
    let with = |ttl| Said::Records { records: vec![b"x".to_vec()], ttl: Duration::from_secs(ttl) };
    assert!(with(1).agrees_with(&with(2)));
    assert!(!with(1).agrees_with(&Said::Denied { nxdomain: true }));
    assert!(!Said::Lame.agrees_with(&Said::Lame));
}
