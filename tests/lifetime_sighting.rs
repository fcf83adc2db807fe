//! What a gateway sees at the servers of its zone: a name server of our own on loopback answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;

use mta_seal::core::Domain;
use mta_seal::dns::{
    LookupFuture, QueryName, Resolver, Scripted, ServersFuture, ZoneServer, ZoneServers,
};
use mta_seal::gateway::rotation::{Authoritative, Sighting, Sightings};
use tokio::net::UdpSocket;

const TEXT: &str = "v=MTASEALKEY1; it stands";
const SOA: [u8; 2] = [0, 6];
const LOOPBACK: &str = "127.0.0.1";
/// No datagram socket has a way there without asking for it.
const NO_WAY: &str = "255.255.255.255";

/// Knows where the servers are.
struct Zone(ZoneServers, Scripted);

impl Resolver for Zone {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        self.1.txt(name)
    }

    fn servers<'a>(&'a self, _name: &'a QueryName) -> ServersFuture<'a> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

/// The answer to a question for [`TEXT`] or the SOA record, with this time to live and SOA minimum.
fn answer(query: &[u8], ttl: u32) -> Vec<u8> {
    let name = query[12..].iter().position(|octet| *octet == 0).unwrap();
    let question = &query[12..12 + name + 5];
    let mut data = Vec::new();
    if question[name + 1..name + 3] == SOA {
        // Both names are the root; then serial, refresh, retry, expire, minimum.
        data.extend([0, 0]);
        for number in [1, 3_600, 600, 86_400, ttl] {
            data.extend(number.to_be_bytes());
        }
    } else {
        data.push(u8::try_from(TEXT.len()).unwrap());
        data.extend(TEXT.as_bytes());
    }
    let mut reply = query[..2].to_vec();
    // An authoritative answer: one question, one record.
    reply.extend([0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    reply.extend(question);
    reply.extend([0xc0, 12]);
    reply.extend(&question[name + 1..]);
    reply.extend(ttl.to_be_bytes());
    reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    reply.extend(data);
    reply
}

/// What is seen if the servers have these addresses; the one on loopback answers with this time to live.
async fn look(servers: &[&[&str]], ttl: u32) -> Sighting {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let serve = async move {
        let mut buffer = [0; 1_500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&answer(&buffer[..length], ttl), from).await.unwrap();
        }
    };
    let parse = |address: &&str| address.parse::<IpAddr>().unwrap();
    let servers = servers.iter().enumerate().map(|(n, addresses)| ZoneServer {
        name: format!("ns{n}.one.example"),
        addresses: addresses.iter().map(parse).collect(),
    });
    let zone = ZoneServers { zone: "one.example".to_owned(), servers: servers.collect() };
    let sightings = Authoritative::new(Arc::new(Zone(zone, Scripted::default())), port);
    let name = Domain::parse("_mta-seal.one.example").unwrap();
    tokio::select! {
        sighting = sightings.look(&name) => sighting,
        () = serve => unreachable!(),
    }
}

/// [R-life-02]
#[tokio::test]
async fn no_time_to_live_counts_for_more_than_a_week() {
    for (ttl, settle) in [(300, 300), (604_800, 604_800), (0x7fff_ffff, 604_800)] {
        let sighting = look(&[&[LOOPBACK]], ttl).await;
        assert!(sighting.shows(TEXT), "{sighting:?}");
        assert_eq!(sighting.settle, settle);
    }
}

/// [R-life-02]: another address of the same server is enough, as without IPv6; another server is not.
#[tokio::test]
async fn a_server_that_cannot_be_reached_is_not_left_out() {
    assert!(look(&[&[NO_WAY, LOOPBACK]], 300).await.shows(TEXT));
    let sighting = look(&[&[LOOPBACK], &[NO_WAY]], 300).await;
    assert!(!sighting.shows(TEXT) && !sighting.lacks("v=MTASEALKEY1; another"), "{sighting:?}");
    assert!(!sighting.contradicts(TEXT), "nothing is known of the other");
    assert!(!look(&[&[NO_WAY]], 300).await.shows(TEXT));
}
