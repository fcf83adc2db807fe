//! A reload puts a configuration into force as a whole, or leaves everything as it was; nobody who is connected is cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_support::*;
use mta_seal::dns::Scripted;
use mta_seal::gateway::StartError;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";
const CAROL: &str = "<carol@company3.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: one\r\n\r\nHello\r\n";
const STRICT: &str = "[[partner]]\ndomain = \"company3.example\"\npolicy = \"require\"\n";

/// A gateway of company1 with an MTA behind each side. company3 publishes nothing.
struct Site {
    gw: Gw,
    outside: Sink,
    inside: Sink,
}

impl Site {
    async fn new() -> Self {
        let (outside, inside) = (Sink::smtp().await, Sink::smtp().await);
        let spec = Spec::new(&org()).outbound(Smtp, &outside.url).inbound(Smtp, &inside.url);
        let gw = Gw::start(&spec, &Arc::new(Scripted::new()), &TestClock::new()).await;
        Self { gw, outside, inside }
    }

    fn spec(&self) -> Spec {
        self.gw.spec.clone()
    }

    async fn send(&self) -> Delivery {
        deliver(self.gw.outbound(), Smtp, ALICE, &[CAROL], MESSAGE).await
    }
}

fn org() -> Org {
    Org::new("company1.example", 10)
}

async fn is_open(address: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}

#[tokio::test]
async fn an_open_transaction_ends_as_it_began_and_the_next_one_is_new() {
    let mut site = Site::new().await;
    let mut client = Client::greeted(site.gw.outbound(), Smtp).await;
    assert_eq!(client.command(&format!("MAIL FROM:{ALICE}")).await.code, 250);
    let strict = site.spec().extra(STRICT);
    site.gw.reload(&strict).await.unwrap();
    // MAIL came before the reload, RCPT and DATA after it.
    assert_eq!(client.command(&format!("RCPT TO:{CAROL}")).await.code, 250);
    assert_eq!(client.data(MESSAGE, 1).await[0].code, 250);
    assert_eq!(site.outside.messages().len(), 1);
    // The same connection, without another greeting.
    client.transact(Smtp, ALICE, &[CAROL], MESSAGE).await.expect("550 5.7.10");
    site.send().await.expect("550 5.7.10");
    assert_eq!(site.outside.messages().len(), 1);
}

/// The final dot goes to the next hop of the generation that the transaction began with.
#[tokio::test]
async fn a_message_in_the_middle_of_its_data_survives() {
    let mut site = Site::new().await;
    let other = Sink::smtp().await;
    let mut client = Client::greeted(site.gw.outbound(), Smtp).await;
    client.begin_data(ALICE, &[CAROL]).await;
    client.send(b"From: alice@company1.example\r\n").await;
    let elsewhere = site.spec().outbound(Smtp, &other.url);
    site.gw.reload(&elsewhere).await.unwrap();
    client.send(b"Subject: two\r\n\r\nHello\r\n.\r\n").await;
    assert_eq!(client.reply().await.code, 250);
    assert_eq!((site.outside.messages().len(), other.messages().len()), (1, 0));
    client.transact(Smtp, ALICE, &[CAROL], MESSAGE).await.expect("250");
    assert_eq!((site.outside.messages().len(), other.messages().len()), (1, 1));
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    let mut site = Site::new().await;
    let before = (site.gw.outbound(), site.gw.inbound());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    // Each of them comes with a policy that would refuse the message.
    let strict = site.spec().extra(STRICT);
    let mut no_certificate = strict.clone();
    no_certificate.inbound_extra = "tls = { certificate = \"no.pem\", key = \"no.pem\" }".into();
    let mut no_address = strict.clone();
    no_address.inbound_listen = format!("\"127.0.0.1:0\", \"{}\"", taken.1);
    let mut moved = strict.clone();
    moved.state = "elsewhere".into();

    let refused = site.gw.reload(&no_certificate).await.unwrap_err();
    assert!(matches!(refused, StartError::Tls { place: "inbound.tls", .. }), "{refused}");
    let refused = site.gw.reload(&no_address).await.unwrap_err();
    assert!(matches!(refused, StartError::Listen { address, .. } if address == taken.1));
    let refused = site.gw.reload(&moved).await.unwrap_err();
    assert!(matches!(refused, StartError::StateMoved { .. }), "{refused}");
    assert!(refused.to_string().contains("elsewhere"), "{refused}");

    assert_eq!(before, (site.gw.outbound(), site.gw.inbound()));
    assert_eq!(site.gw.gateway().inbound().len(), 1);
    site.send().await.expect("250");
    site.gw.reload(&strict).await.unwrap();
    site.send().await.expect("550 5.7.10");
}

#[tokio::test]
async fn listeners_come_and_go() {
    let mut site = Site::new().await;
    let first = site.gw.outbound();
    let mut more = site.spec();
    more.outbound_listen = "\"127.0.0.1:0\", \"127.0.0.2:0\"".into();
    site.gw.reload(&more).await.unwrap();
    let both = site.gw.gateway().outbound().to_vec();
    assert_eq!((both.len(), both[0]), (2, first), "port 0 keeps its socket");
    let second = both[1];
    deliver(second, Smtp, ALICE, &[CAROL], MESSAGE).await.expect("250");

    let mut client = Client::greeted(first, Smtp).await;
    let mut fewer = site.spec();
    fewer.outbound_listen = "\"127.0.0.2:0\"".into();
    site.gw.reload(&fewer).await.unwrap();
    assert_eq!(site.gw.gateway().outbound(), [second]);
    soon("the listener to close", async {
        while is_open(first).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Who came in by the listener that is gone is still served.
    client.transact(Smtp, ALICE, &[CAROL], MESSAGE).await.expect("250");
    assert!(is_open(site.gw.inbound()).await);
}

/// Two sides exchange their addresses without ever closing them.
#[tokio::test]
async fn a_socket_can_change_sides() {
    let mut site = Site::new().await;
    let (outbound, inbound) = (site.gw.outbound(), site.gw.inbound());
    let mut swapped = site.spec();
    swapped.outbound_listen = format!("\"{inbound}\"");
    swapped.inbound_listen = format!("\"{outbound}\"");
    site.gw.reload(&swapped).await.unwrap();
    assert_eq!((site.gw.outbound(), site.gw.inbound()), (inbound, outbound));
    // Only the sealing side relays to others.
    deliver(inbound, Smtp, ALICE, &[CAROL], MESSAGE).await.expect("250");
    deliver(outbound, Smtp, CAROL, &[CAROL], MESSAGE).await.expect("550 5.7.1");
    deliver(outbound, Smtp, CAROL, &[ALICE], MESSAGE).await.expect("250");
    assert_eq!((site.outside.messages().len(), site.inside.messages().len()), (1, 1));
}

/// A connection that the new configuration has no place for is told to come again; its open transaction ends first.
#[tokio::test]
async fn outdated_connections_are_told_to_come_again() {
    let base = Site::new().await.spec();
    let mut no_clients = base.clone();
    no_clients.outbound_extra = "clients = [\"192.168.7.7\"]".into();
    let mut no_outbound = base.clone();
    no_outbound.outbound = None;
    let mut lmtp = base.clone();
    lmtp.outbound = lmtp.outbound.map(|(_, hop)| (Lmtp, hop));
    for outdated in [no_clients, no_outbound, lmtp] {
        let mut site = Site::new().await;
        let mut outdated = outdated.clone();
        if let Some((_, hop)) = &mut outdated.outbound {
            *hop = site.outside.url.clone();
        }
        if let Some((_, hop)) = &mut outdated.inbound {
            *hop = site.inside.url.clone();
        }
        let mut client = Client::greeted(site.gw.outbound(), Smtp).await;
        client.command(&format!("MAIL FROM:{ALICE}")).await;
        site.gw.reload(&outdated).await.unwrap();
        assert_eq!(client.command(&format!("RCPT TO:{CAROL}")).await.code, 250);
        assert_eq!(client.data(MESSAGE, 1).await[0].code, 250);
        assert!(client.command(&format!("MAIL FROM:{ALICE}")).await.is("421 4.3.2"));
        assert!(client.is_closed().await);
    }
}

/// Places that are taken stay taken under other limits.
#[tokio::test]
async fn connections_stay_counted() {
    let mut site = Site::new().await;
    let first = Client::greeted(site.gw.inbound(), Smtp).await;
    let narrow = site.spec().extra("[limits]\nconnections = 1\n");
    site.gw.reload(&narrow).await.unwrap();
    let mut second = Client::silent(site.gw.inbound()).await;
    assert!(second.reply().await.is("421 4.3.2"));
    drop(first);
    soon("the place to be free", async {
        while Client::silent(site.gw.inbound()).await.reply().await.code != 220 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A new certificate is shown to new connections, and to one that greets again.
#[tokio::test]
async fn a_new_certificate_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let old = certificate(dir.path(), "mx.company1.example");
    let mut site = Site::new().await;
    let mut tls = site.spec();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    tls.inbound_extra =
        format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    site.gw.reload(&tls).await.unwrap();
    let mut waiting = Client::greeted(site.gw.inbound(), Smtp).await;
    assert!(trusted(site.gw.inbound(), &old).await);

    let new = certificate(dir.path(), "mx.company1.example");
    // Without a reload nothing is read.
    assert!(trusted(site.gw.inbound(), &old).await);
    site.gw.reload(&tls).await.unwrap();
    assert!(trusted(site.gw.inbound(), &new).await);
    assert!(!trusted(site.gw.inbound(), &old).await);
    assert!(waiting.hello(Smtp).await.text.contains("STARTTLS"));
    assert_eq!(waiting.command("STARTTLS").await.code, 220);
    waiting.start_tls(trusting(&new), "mx.company1.example").await.hello(Smtp).await;
}

type Certificate = rcgen::CertifiedKey<rcgen::KeyPair>;

fn trusting(certificate: &Certificate) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Whether the listener shows this certificate.
async fn trusted(address: SocketAddr, certificate: &Certificate) -> bool {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let config = Arc::new(trusting(certificate));
    let handshake = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for (line, end) in
            [("", "\r\n"), ("EHLO client.example\r\n", "250 "), ("STARTTLS\r\n", "220 ")]
        {
            stream.write_all(line.as_bytes()).unwrap();
            let mut heard = Vec::new();
            while !(heard.ends_with(b"\r\n") && text(&heard).contains(end)) {
                let mut octet = [0];
                stream.read_exact(&mut octet).unwrap();
                heard.push(octet[0]);
            }
        }
        let name = rustls::pki_types::ServerName::try_from("mx.company1.example").unwrap();
        let mut tls = rustls::ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            if tls.complete_io(&mut stream).is_err() {
                return false;
            }
        }
        true
    });
    handshake.await.unwrap()
}

/// New keys of our own are read: mail is signed with them, and verified by the partner.
#[tokio::test]
async fn new_keys_are_used() {
    let mut world = World::new().await;
    let (alice, bob) = (ALICE, "<bob@company2.example>");
    let keys = world.gw1.directory().join("keys-company1.example");
    std::fs::remove_dir_all(&keys).unwrap();
    let renewed = Org::new("company1.example", 60);
    renewed.keys(&keys);
    renewed.publish(&world.dns);
    let mut spec = world.gw1.spec.clone();
    spec.orgs = vec![renewed];
    world.gw1.reload(&spec).await.unwrap();
    let delivered = world.through(alice, &[bob], MESSAGE).await;
    assert_eq!(delivered.len(), 1);
}
