//! What lying, broken and misconfigured DNS servers can and cannot achieve.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Class, Rcode, SecurityAlgorithm};
use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name, Rtype, Serial, Ttl};
use domain::rdata::dnssec::Timestamp;
use domain::rdata::{Cname, Dname, Ds, Ns, Rrsig, Soa, Txt};
use mta_seal::dns::authority::{Authority, ZoneSpec};
use mta_seal::dns::{
    AnchorSource, Authenticity, ConfigError, Denial, DnsConfig, Lookup, Mode, QueryName, Resolver,
    Servers, StubResolver,
};
use tokio::net::UdpSocket;

type Query = Message<Vec<u8>>;
type Wire = Name<Vec<u8>>;
type Builder = AnswerBuilder<Vec<u8>>;

fn name(text: &str) -> QueryName {
    QueryName::parse(text).unwrap()
}

fn wire(text: &str) -> Wire {
    Wire::from_str(text).unwrap()
}

/// A server that answers what `script` says, or else what `upstream` says.
async fn liar(
    upstream: Option<SocketAddr>,
    script: impl Fn(&Query) -> Option<Vec<Vec<u8>>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { return };
            let query = Message::from_octets(buffer[..length].to_vec()).unwrap();
            let answers = match (script(&query), upstream) {
                (Some(answers), _) => answers,
                (None, None) => Vec::new(),
                (None, Some(upstream)) => {
                    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    relay.send_to(query.as_slice(), upstream).await.unwrap();
                    let length = relay.recv(&mut buffer).await.unwrap();
                    vec![buffer[..length].to_vec()]
                }
            };
            for answer in answers {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    address
}

fn asks_txt(query: &Query, at: &str) -> bool {
    let question = query.sole_question().unwrap();
    question.qtype() == Rtype::TXT && question.qname() == &wire(at)
}

/// An answer to `query`, filled by `fill`.
fn reply(query: &Query, rcode: Rcode, fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec().start_answer(query, rcode).unwrap();
    builder.header_mut().set_ra(true);
    fill(&mut builder);
    builder.into_message().into_octets()
}

fn put_txt(builder: &mut Builder, owner: &str, text: &str) {
    let txt = Txt::<Vec<u8>>::build_from_slice(text.as_bytes()).unwrap();
    builder.push((wire(owner), Class::IN, 60, txt)).unwrap();
}

fn put_cname(builder: &mut Builder, owner: &str, target: &str) {
    builder.push((wire(owner), Class::IN, 60, Cname::new(wire(target)))).unwrap();
}

/// A worthless signature over the TXT records of `owner`.
fn put_rrsig(builder: &mut Builder, owner: &str, signer: &str) {
    let labels = u8::try_from(owner.split('.').count()).unwrap();
    let rrsig = Rrsig::new(
        Rtype::TXT,
        SecurityAlgorithm::ED25519,
        labels,
        Ttl::from_secs(60),
        Timestamp::from(u32::MAX),
        Timestamp::from(0),
        4711,
        wire(signer),
        vec![7; 64],
    )
    .unwrap();
    builder.push((wire(owner), Class::IN, 60, rrsig)).unwrap();
}

/// An answer that is nothing but a SOA record in its authority section.
fn denial(query: &Query, rcode: Rcode, zone: &str, ttl: u32, minimum: u32) -> Vec<u8> {
    let builder = MessageBuilder::new_vec().start_answer(query, rcode).unwrap();
    let mut builder = builder.authority();
    let secs = Ttl::from_secs;
    let soa = Soa::new(
        wire("ns.example"),
        wire("hostmaster.example"),
        Serial(1),
        secs(1),
        secs(1),
        secs(1),
        secs(minimum),
    );
    builder.push((wire(zone), Class::IN, ttl, soa)).unwrap();
    builder.into_message().into_octets()
}

fn resolver(server: SocketAddr, mode: Mode) -> StubResolver {
    let config = DnsConfig {
        servers: Servers::Listed(vec![server]),
        mode,
        timeout: Duration::from_secs(2),
        ..DnsConfig::default()
    };
    StubResolver::new(&config).unwrap()
}

async fn plain(script: impl Fn(&Query) -> Option<Vec<Vec<u8>>> + Send + 'static) -> Lookup {
    let server = liar(None, script).await;
    resolver(server, Mode::Plain).txt(&name("_mta-seal.example.org")).await
}

const AT: &str = "_mta-seal.example.org";

#[tokio::test]
async fn an_honest_answer_is_found() {
    let outcome = plain(|q| Some(vec![reply(q, Rcode::NOERROR, |b| put_txt(b, AT, "v"))])).await;
    assert!(matches!(outcome, Lookup::Found(f) if f.records == [b"v"]));
}

#[tokio::test]
async fn answers_about_other_names_are_malformed() {
    let other = |b: &mut Builder| put_txt(b, "_mta-seal.example.net", "v");
    let outcome = plain(move |q| Some(vec![reply(q, Rcode::NOERROR, other)])).await;
    assert_eq!(outcome, Lookup::Malformed);
    // Nor does a chain count that does not begin at the query name.
    let outcome = plain(|q| {
        Some(vec![reply(q, Rcode::NOERROR, |b| {
            put_cname(b, "x.example.org", "y.example.org");
            put_txt(b, "y.example.org", "v");
        })])
    })
    .await;
    assert_eq!(outcome, Lookup::Malformed);
}

#[tokio::test]
async fn records_off_the_chain_are_not_believed() {
    let outcome = plain(|q| {
        Some(vec![reply(q, Rcode::NOERROR, |b| {
            put_txt(b, "x.example.org", "bad");
            put_txt(b, AT, "good");
            put_txt(b, "y.example.org", "bad");
        })])
    })
    .await;
    assert!(matches!(outcome, Lookup::Found(f) if f.records == [b"good"]));
}

#[tokio::test]
async fn contradictions_are_malformed() {
    let both = |q: &Query| Some(vec![reply(q, Rcode::NXDOMAIN, |b| put_txt(b, AT, "v"))]);
    assert_eq!(plain(both).await, Lookup::Malformed);
    let two_aliases = |q: &Query| {
        Some(vec![reply(q, Rcode::NOERROR, |b| {
            put_cname(b, AT, "x.example.org");
            put_cname(b, AT, "y.example.org");
        })])
    };
    assert_eq!(plain(two_aliases).await, Lookup::Malformed);
}

#[tokio::test]
async fn a_broken_message_is_malformed() {
    // Cut inside the record; the header still announces it.
    let cut = |q: &Query| {
        let mut octets = reply(q, Rcode::NOERROR, |b| put_txt(b, AT, "some text"));
        octets.truncate(octets.len() - 4);
        Some(vec![octets])
    };
    assert_eq!(plain(cut).await, Lookup::Malformed);
}

#[tokio::test]
async fn spoofed_answers_are_passed_over() {
    let outcome = plain(|q| {
        let honest = reply(q, Rcode::NOERROR, |b| put_txt(b, AT, "good"));
        let mut other_id = reply(q, Rcode::NOERROR, |b| put_txt(b, AT, "bad"));
        other_id[0] ^= 1;
        let mut question = MessageBuilder::new_vec().question();
        question.header_mut().set_id(q.header().id());
        question.push((wire("_mta-seal.example.net"), Rtype::TXT)).unwrap();
        let other_question =
            reply(&question.into_message(), Rcode::NOERROR, |b| put_txt(b, AT, "bad"));
        Some(vec![vec![7; 5], other_id, other_question, honest])
    })
    .await;
    assert!(matches!(outcome, Lookup::Found(f) if f.records == [b"good"]));
}

#[tokio::test]
async fn other_response_codes_are_failures_with_their_number() {
    for (rcode, number) in [(Rcode::REFUSED, 5), (Rcode::SERVFAIL, 2), (Rcode::NOTIMP, 4)] {
        let outcome = plain(move |q| Some(vec![reply(q, rcode, |_| {})])).await;
        assert_eq!(outcome, Lookup::ServFail { rcode: number });
    }
}

/// What a lame server says, or one that does not resolve for us: that others know.
fn referral(query: &Query, authoritative: bool, zone: &str) -> Vec<u8> {
    let builder = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR).unwrap();
    let mut builder = builder.authority();
    builder.header_mut().set_aa(authoritative);
    builder.push((wire(zone), Class::IN, 60, Ns::new(wire("ns.example.net")))).unwrap();
    builder.into_message().into_octets()
}

#[tokio::test]
async fn a_referral_denies_nothing() {
    for zone in ["example.org", "org", "."] {
        let outcome = plain(move |q| Some(vec![referral(q, false, zone)])).await;
        assert_eq!(outcome, Lookup::ServFail { rcode: 0 }, "{zone:?}");
    }
    // A denial without SOA record by the server of the zone is one.
    let outcome = plain(|q| Some(vec![referral(q, true, "example.org")])).await;
    assert_eq!(outcome.label(), "nodata");
    // Another server may know better.
    let lame = liar(None, |q| Some(vec![referral(q, false, ".")])).await;
    let sound = |q: &Query| Some(vec![reply(q, Rcode::NOERROR, |b| put_txt(b, AT, "v"))]);
    let servers = Servers::Listed(vec![lame, liar(None, sound).await]);
    let config = DnsConfig { servers, mode: Mode::Plain, ..DnsConfig::default() };
    let outcome = StubResolver::new(&config).unwrap().txt(&name(AT)).await;
    assert_eq!(outcome.label(), "found");
}

#[tokio::test]
async fn a_truncated_answer_without_tcp_is_no_answer() {
    let outcome = plain(|q| {
        let mut octets = reply(q, Rcode::NOERROR, |b| put_txt(b, AT, "v"));
        octets[2] |= 0x02;
        Some(vec![octets])
    })
    .await;
    assert_eq!(outcome, Lookup::Timeout);
}

#[tokio::test]
async fn denials_live_for_the_lesser_of_ttl_and_minimum() {
    // [R-dns-03]
    for (ttl, minimum, seconds) in
        [(300, 60, 60), (60, 300, 60), (90_000, 90_000, 3600), (u32::MAX, 60, 0)]
    {
        for (rcode, label) in [(Rcode::NOERROR, "nodata"), (Rcode::NXDOMAIN, "nxdomain")] {
            let script = move |q: &Query| Some(vec![denial(q, rcode, "example.org", ttl, minimum)]);
            let outcome = plain(script).await;
            assert_eq!(outcome.label(), label);
            assert_eq!(outcome.ttl(), Some(Duration::from_secs(seconds)), "{ttl} {minimum}");
        }
    }
    // A SOA record of another domain denies nothing for longer.
    let outcome = plain(|q| Some(vec![denial(q, Rcode::NXDOMAIN, "example.net", 300, 300)])).await;
    assert_eq!(outcome.ttl(), Some(Duration::ZERO));
}

#[tokio::test]
async fn the_ad_bit_decides_in_ad_mode_over_the_whole_chain() {
    // [R-dns-01]
    let answer = |q: &Query, authentic: bool, fill: &dyn Fn(&mut Builder)| {
        let mut octets = reply(q, Rcode::NOERROR, |b| fill(b));
        if authentic {
            octets[3] |= 0x20;
        }
        octets
    };
    for (first, second, expected) in [
        (true, true, Authenticity::Secure),
        (true, false, Authenticity::Insecure),
        (false, true, Authenticity::Insecure),
        (false, false, Authenticity::Insecure),
    ] {
        let server = liar(None, move |q| {
            assert!(q.header().ad() && !q.header().cd());
            Some(vec![if asks_txt(q, AT) {
                answer(q, first, &|b| put_cname(b, AT, "x.example.net"))
            } else {
                answer(q, second, &|b| put_txt(b, "x.example.net", "v"))
            }])
        })
        .await;
        let outcome = resolver(server, Mode::AdBit).txt(&name(AT)).await;
        assert_eq!(outcome.authenticity(), Some(expected), "{first} {second} {outcome:?}");
    }
    // Without DNSSEC the bit means nothing.
    let script = move |q: &Query| Some(vec![answer(q, true, &|b| put_txt(b, AT, "v"))]);
    assert_eq!(plain(script).await.authenticity(), Some(Authenticity::Insecure));
}

#[tokio::test]
async fn bogus_data_in_ad_mode_stays_servfail() {
    let server = liar(None, |q| Some(vec![reply(q, Rcode::SERVFAIL, |_| {})])).await;
    let outcome = resolver(server, Mode::AdBit).txt(&name(AT)).await;
    assert_eq!(outcome, Lookup::ServFail { rcode: 2 });
}

/// Two zones behind a forger; `script` sees the questions first.
async fn forged(
    script: impl Fn(&Query) -> Option<Vec<Vec<u8>>> + Send + 'static,
) -> (Authority, StubResolver) {
    let signed = ZoneSpec::signed(name("signed.example"));
    let unsigned = ZoneSpec::unsigned(name("plain.example"));
    let server = Authority::start(&[signed, unsigned]).await.unwrap();
    for zone in ["signed", "plain"] {
        server.set_txt(&name(&format!("_mta-seal.{zone}.example")), &[b"genuine"]).unwrap();
    }
    let front = liar(Some(server.address()), script).await;
    let resolver = resolver(front, server.config().mode);
    (server, resolver)
}

const SIGNED: &str = "_mta-seal.signed.example";

#[tokio::test]
async fn a_forged_answer_in_a_signed_zone_is_bogus() {
    let (_server, resolver) = forged(|q| {
        assert!(q.header().cd(), "a validating upstream must not hide bogus data");
        asks_txt(q, SIGNED)
            .then(|| vec![reply(q, Rcode::NOERROR, |b| put_txt(b, SIGNED, "forged"))])
    })
    .await;
    assert_eq!(resolver.txt(&name(SIGNED)).await, Lookup::Bogus);
    let outcome = resolver.txt(&name("_mta-seal.plain.example")).await;
    assert_eq!(outcome.authenticity(), Some(Authenticity::Insecure));
}

#[tokio::test]
async fn a_signature_that_names_an_unsigned_zone_does_not_downgrade() {
    for signer in ["plain.example", "signed.example", "_mta-seal.signed.example", "example", "."] {
        let (_server, resolver) = forged(move |q| {
            let sign = |b: &mut Builder| {
                put_txt(b, SIGNED, "forged");
                put_rrsig(b, SIGNED, signer);
            };
            asks_txt(q, SIGNED).then(|| vec![reply(q, Rcode::NOERROR, sign)])
        })
        .await;
        assert_eq!(resolver.txt(&name(SIGNED)).await, Lookup::Bogus, "{signer}");
    }
}

#[tokio::test]
async fn a_forged_denial_in_a_signed_zone_is_bogus() {
    for (rcode, zone) in [
        (Rcode::NXDOMAIN, "signed.example"),
        (Rcode::NOERROR, "signed.example"),
        (Rcode::NXDOMAIN, "example"),
        (Rcode::NXDOMAIN, SIGNED),
        (Rcode::NXDOMAIN, "plain.example"),
    ] {
        let (_server, resolver) =
            forged(move |q| asks_txt(q, SIGNED).then(|| vec![denial(q, rcode, zone, 300, 300)]))
                .await;
        assert_eq!(resolver.txt(&name(SIGNED)).await, Lookup::Bogus, "{zone}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_a_denial_only_in_an_unsigned_zone() {
    let (_server, resolver) = forged(|q| {
        let question = q.sole_question().unwrap();
        (question.qtype() == Rtype::TXT).then(|| vec![reply(q, Rcode::NOERROR, |_| {})])
    })
    .await;
    assert_eq!(resolver.txt(&name(SIGNED)).await, Lookup::Bogus);
    let denied = Denial { authenticity: Authenticity::Insecure, ttl: Duration::ZERO };
    let outcome = resolver.txt(&name("_mta-seal.plain.example")).await;
    assert_eq!(outcome, Lookup::NoData(denied));
}

#[tokio::test]
async fn a_genuine_proof_for_another_name_is_bogus() {
    // The signed denial for one name, replayed under the question for another.
    let (server, _) = forged(|_| None).await;
    let address = server.address();
    let genuine = fetch(address, "zzz.signed.example", Rtype::TXT).await;
    assert_eq!(genuine.header().rcode(), Rcode::NXDOMAIN);

    let front = liar(Some(address), move |q| {
        asks_txt(q, SIGNED).then(|| {
            let builder = MessageBuilder::new_vec().start_answer(q, Rcode::NXDOMAIN).unwrap();
            let mut builder = builder.authority();
            for record in genuine.authority().unwrap() {
                let record = record.unwrap();
                let record = record
                    .to_any_record::<domain::rdata::AllRecordData<_, domain::base::ParsedName<_>>>()
                    .unwrap();
                builder.push(record).unwrap();
            }
            vec![builder.into_message().into_octets()]
        })
    })
    .await;
    let outcome = resolver(front, server.config().mode).txt(&name(SIGNED)).await;
    assert_eq!(outcome, Lookup::Bogus);
}

/// The genuine answer of `server` to a question with the DO and CD bits set.
async fn fetch(server: SocketAddr, at: &str, rtype: Rtype) -> Query {
    let mut question = MessageBuilder::new_vec();
    question.header_mut().set_cd(true);
    let mut question = question.question();
    question.push((wire(at), rtype)).unwrap();
    let mut question = question.additional();
    question
        .opt(|opt| {
            opt.set_dnssec_ok(true);
            opt.set_udp_payload_size(1232);
            Ok(())
        })
        .unwrap();
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    relay.send_to(question.as_slice(), server).await.unwrap();
    let mut buffer = vec![0; 4096];
    let length = relay.recv(&mut buffer).await.unwrap();
    Message::from_octets(buffer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn nothing_above_a_private_anchor_downgrades_what_is_below() {
    type Forgery = fn(&Query) -> Vec<u8>;
    let dname: Forgery = |q| {
        reply(q, Rcode::NOERROR, |b| {
            let dname = Dname::new(wire("plain.example"));
            b.push((wire("example"), Class::IN, 60, dname)).unwrap();
            put_cname(b, SIGNED, "_mta-seal.signed.plain.example");
            put_txt(b, "_mta-seal.signed.plain.example", "forged");
        })
    };
    let soa: Forgery = |q| denial(q, Rcode::NXDOMAIN, "example", 300, 300);
    let signer: Forgery = |q| {
        reply(q, Rcode::NOERROR, |b| {
            put_txt(b, SIGNED, "forged");
            put_rrsig(b, SIGNED, "example");
        })
    };
    for forgery in [None, Some(dname), Some(soa), Some(signer)] {
        let (server, _) = forged(|_| None).await;
        let ds = fetch(server.address(), "signed.example", Rtype::DS).await;
        let ds = ds.answer().unwrap().limit_to::<Ds<_>>().next().unwrap().unwrap();
        let anchors = AnchorSource::Text(format!("signed.example. 60 IN DS {}", ds.data()));
        let front = liar(Some(server.address()), move |q| {
            forgery.filter(|_| asks_txt(q, SIGNED)).map(|forgery| vec![forgery(q)])
        })
        .await;
        let outcome = resolver(front, Mode::Validate { anchors }).txt(&name(SIGNED)).await;
        match forgery {
            None => assert_eq!(outcome.authenticity(), Some(Authenticity::Secure)),
            Some(_) => assert_eq!(outcome, Lookup::Bogus),
        }
    }
}

#[tokio::test]
async fn a_second_answer_is_not_hurt_by_a_forged_first() {
    // One stripped DS answer must not condemn the zone beyond the look-up that it hit.
    let forge = std::sync::atomic::AtomicBool::new(true);
    let (_server, resolver) = forged(move |q| {
        let question = q.sole_question().unwrap();
        let hit =
            question.qtype() == Rtype::DS && forge.swap(false, std::sync::atomic::Ordering::SeqCst);
        hit.then(|| vec![reply(q, Rcode::NOERROR, |_| {})])
    })
    .await;
    assert_eq!(resolver.txt(&name(SIGNED)).await, Lookup::Bogus);
    resolver.forget(&name(SIGNED));
    let outcome = resolver.txt(&name(SIGNED)).await;
    assert_eq!(outcome.authenticity(), Some(Authenticity::Secure));
}

#[test]
fn unsafe_settings_are_refused() {
    let far: SocketAddr = "192.0.2.53:53".parse().unwrap();
    let near: SocketAddr = "127.0.0.1:53".parse().unwrap();
    let with =
        |servers: Servers, mode: Mode| DnsConfig { servers, mode, ..DnsConfig::default() }.check();
    let listed = |list: &[SocketAddr]| Servers::Listed(list.to_vec());

    assert!(with(listed(&[near]), Mode::AdBit).is_ok());
    assert!(with(listed(&["[::1]:53".parse().unwrap()]), Mode::AdBit).is_ok());
    assert!(with(listed(&[far]), Mode::Plain).is_ok());
    let anchors = |anchors| Mode::Validate { anchors };
    assert!(with(listed(&[far]), anchors(AnchorSource::Root)).is_ok());

    let refused = with(listed(&[near, far]), Mode::AdBit).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "mode `ad` believes a resolver on loopback only, and 192.0.2.53:53 is not"
    );
    assert!(matches!(with(Servers::System, Mode::AdBit), Err(ConfigError::AdNeedsListedServer)));
    assert!(matches!(with(listed(&[]), Mode::Plain), Err(ConfigError::NoServers)));
    for text in ["", "; nothing\n", "example. 1 IN TXT \"x\"", "nonsense", "$INCLUDE /etc/passwd"] {
        let text = AnchorSource::Text(text.to_owned());
        assert!(matches!(with(listed(&[far]), anchors(text)), Err(ConfigError::Anchors(_))));
    }
    let missing = AnchorSource::File("/nonexistent/anchors".into());
    assert!(matches!(with(listed(&[far]), anchors(missing)), Err(ConfigError::Anchors(_))));
    let timeless = DnsConfig { timeout: Duration::ZERO, ..DnsConfig::default() };
    assert!(matches!(timeless.check(), Err(ConfigError::BadTimeout)));
}

#[test]
fn anchors_are_read_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = "FvTx7Z7MZ7Ejd5cEjJgvIHaYK6QlmzSlcYT3PxOfLhI=";
    std::fs::write(file.path(), format!("; private root\n. 60 IN DNSKEY 257 3 15 {key}\n"))
        .unwrap();
    let config = DnsConfig {
        servers: Servers::Listed(vec!["192.0.2.53:53".parse().unwrap()]),
        mode: Mode::Validate { anchors: AnchorSource::File(file.path().to_owned()) },
        ..DnsConfig::default()
    };
    config.check().unwrap();
}
