//! A message through both gateways comes out as it went in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod draft_support;
mod gateway_support;

use std::sync::Arc;

use draft_support::presentation::Structures;
use gateway_support::*;
use mta_seal::core::Suite;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use mta_seal::smtp::tls::{Identity, server_config};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";

fn message(body: &[u8]) -> Vec<u8> {
    let mut message = b"From: alice@company1.example\r\nSubject: canary-subject\r\n\r\n".to_vec();
    message.extend_from_slice(body);
    message
}

/// [R-con-02] The words of the SMTP envelope become the numbers that have these names in the draft.
#[tokio::test]
async fn parameters_are_sealed_by_the_numbers_of_the_draft() {
    let structures = Structures::read();
    let number = |structure, field, words: &[&str]| {
        let field = structures.field(structure, field);
        words.iter().map(|word| u8::try_from(field.named(word)).unwrap()).sum::<u8>()
    };
    let world = World::new().await;
    for (body, ret, notify) in [
        ("absent", "absent", ["absent"].as_slice()),
        ("7BIT", "FULL", &["NEVER"]),
        ("8BITMIME", "HDRS", &["SUCCESS"]),
        ("7BIT", "HDRS", &["FAILURE"]),
        ("8BITMIME", "FULL", &["DELAY"]),
        ("absent", "absent", &["SUCCESS", "FAILURE", "DELAY"]),
    ] {
        let parameter = |keyword: &str, value: &str| match value {
            "absent" => String::new(),
            value => format!(" {keyword}={value}"),
        };
        let from = format!("{ALICE}{}{}", parameter("BODY", body), parameter("RET", ret));
        let to = format!("{BOB}{}", parameter("NOTIFY", &notify.join(",")));
        world.send(&from, &[&to], &message(b"x\r\n")).await.expect("250");
        let carrier = world.relay.messages().pop().expect("a carrier");
        let (_, accepted) = open(&carrier.data, &world.company1, &world.company2);
        let (sender, recipient) =
            (&accepted.prefix.reverse_path, &accepted.prefix.forward_paths[0]);
        assert_eq!(sender.body(), number("ReversePath", "body", &[body]), "{from}");
        assert_eq!(sender.ret(), number("ReversePath", "ret", &[ret]), "{from}");
        assert_eq!(recipient.notify(), number("ForwardPath", "notify", notify), "{to}");
    }
}

#[tokio::test]
async fn messages_of_all_shapes() {
    let world = World::new().await;
    let every_octet: Vec<u8> = (1..=255).filter(|o| !b"\r\n".contains(o)).collect();
    let long = [&[b'x'; 100_000][..], b"\r\n", &[0xe4; 100_000], b"\r\n"].concat();
    let mut without_signature = message(b"");
    without_signature.truncate(without_signature.len() - 2);
    for case in [
        message(b"canary\r\n"),
        message(b""),
        without_signature,
        message(&[&every_octet[..], b"\r\n"].concat()),
        message(&long),
        message(b".\r\n..\r\n...\r\n.x\r\n\r\n.\r\n"),
        message(b"\r\n\r\n\r\n"),
        // [R-car-08]
        message(b"--mta-seal-x\r\nContent-Type: application/mta-seal\r\n\r\n00MtVA==\r\n"),
        b"\r\nno header\r\n".to_vec(),
        b"Subject: folded\r\n\tonce\r\n  twice\r\n\r\nbody\r\n".to_vec(),
        b"".to_vec(),
    ] {
        let out = world.through(&format!("{ALICE} BODY=8BITMIME"), &[BOB], &case).await;
        assert_eq!(out.len(), 1);
        let got = without_trace(&out[0].data);
        assert!(got == case, "{}\nbecame\n{}", text(&case), text(got));
        assert_eq!(out[0].from, format!("{ALICE} BODY=8BITMIME"));
        assert_eq!(out[0].to, [BOB]);
    }
    assert!(!contains(&world.relay.raw(), b"canary"));
}

/// A first line that is no field must not run on from our trace fields, nor what follows it count as header: who
/// writes it could otherwise have a result in our name.
#[tokio::test]
async fn text_without_header_stays_out_of_the_header() {
    let world = World::new().await;
    let forged = b"Authentication-Results: gw.company2.example; mta-seal=pass\r\n\r\nbody\r\n";
    for first in [&b" x\r\n"[..], b"\tx\r\n", b"no header field either\r\n", b"a b: c\r\n"] {
        let case = [first, forged].concat();
        let expected = [&b"\r\n"[..], &case].concat();
        let sealed = world.through(ALICE, &[BOB], &case).await;
        assert_eq!(text(without_trace(&sealed[0].data)), text(&expected));
        let before = world.mta2.messages().len();
        deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &case).await.expect("250");
        let clear = &world.mta2.messages()[before].data;
        assert_eq!(text(without_trace(clear)), text(&expected));
    }
    // The same behind a field: the header ends before the line that is none.
    let case = [&b"Subject: x\r\nno colon\r\n"[..], forged].concat();
    let expected = [&b"Subject: x\r\n\r\nno colon\r\n"[..], forged].concat();
    let sealed = world.through(ALICE, &[BOB], &case).await;
    assert_eq!(text(without_trace(&sealed[0].data)), text(&expected));
}

/// The level, the suite and the names in the trace fields.
#[tokio::test]
async fn trace_fields() {
    let world = World::new().await;
    let out = world.through(ALICE, &[BOB], &message(b"x\r\n")).await;
    let data = text(&out[0].data).replace("\r\n\t", " ").replace("\r\n ", " ");
    let mut lines = data.split("\r\n");
    let results = lines.next().unwrap();
    for word in [
        "Authentication-Results: gw.company2.example;",
        "mta-seal=pass",
        "policy.domain=company1.example",
        "policy.suite=1",
        "policy.level=first-use",
        "policy.aligned=yes",
        "header.from=company1.example",
    ] {
        assert!(results.contains(word), "{word} not in {results}");
    }
    let received = lines.next().unwrap();
    assert!(received.starts_with("Received: from client.example"), "{received}");
    assert!(received.contains("by gw.company2.example"), "{received}");
    assert!(received.contains("with ESMTP"), "{received}");
    assert!(!received.contains("bob"), "{received}");
}

#[tokio::test]
async fn unterminated_last_line_gets_its_end() {
    let world = World::new().await;
    let mut forgery = Forgery::new(&world.company1, &world.company2);
    for (inside, outside) in [
        (&b"Subject: x\r\n\r\nno end"[..], &b"Subject: x\r\n\r\nno end\r\n"[..]),
        (b"Subject: x", b"Subject: x\r\n"),
        // No header block: an empty line keeps it out of our trace fields.
        (b"x", b"\r\nx\r\n"),
    ] {
        forgery.message = inside.to_vec();
        forgery.prefix.delivery_id = mta_seal::core::DeliveryId::random(&mut rng());
        let before = world.mta2.messages().len();
        deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &forgery.carrier()).await.expect("250");
        let got = &world.mta2.messages()[before].data;
        assert_eq!(text(without_trace(got)), text(outside));
    }
}

#[tokio::test]
async fn null_sender_and_postmaster() {
    let world = World::new().await;
    let notice = b"From: MAILER-DAEMON@company1.example\r\n\r\ncanary\r\n";
    let out = world.through("<>", &[BOB, "<PostMaster@company2.example>"], notice).await;
    assert_eq!(out[0].from, "<>");
    assert_eq!(out[0].to, [BOB, "<PostMaster@company2.example>"]);
    // One carrier for both recipients, from nobody.
    let carrier = world.relay.only();
    assert_eq!((carrier.from.as_str(), carrier.to.len()), ("<>", 2));
    let (_, accepted) = open(&carrier.data, &world.company1, &world.company2);
    assert_eq!(accepted.prefix.reverse_path.mailbox(), "");
    assert!(!accepted.prefix.foreign_reverse_path);
}

/// A bare postmaster has no domain to seal to; it is the next hop's own.
#[tokio::test]
async fn bare_postmaster() {
    let world = World::new().await;
    world.send(ALICE, &["<postmaster>"], &message(b"x\r\n")).await.expect("250");
    assert_eq!(world.relay.only().to, ["<postmaster>"]);
    deliver(world.gw2.inbound(), Smtp, ALICE, &["<Postmaster>"], &message(b"y\r\n"))
        .await
        .expect("250");
    assert_eq!(world.mta2.only().to, ["<postmaster>"]);
}

#[tokio::test]
async fn several_recipients_of_one_domain() {
    let world = World::new().await;
    let to: Vec<String> = (0..40).map(|n| format!("<user{n}@company2.example>")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let out = world.through(ALICE, &to, &message(b"x\r\n")).await;
    assert_eq!(world.relay.only().to, to);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].to, to);
}

/// The same recipient named twice gets one copy, and the spelling of the local part counts.
#[tokio::test]
async fn repeated_recipients() {
    let world = World::new().await;
    let to = [BOB, BOB, "<BOB@company2.example>", "<bob@COMPANY2.example>"];
    let sent = world.send(ALICE, &to, &message(b"x\r\n")).await;
    assert_eq!(sent.codes(), [250, 250, 250, 250, 250, 250]);
    world.forward(&world.relay.only()).await.expect("250");
    let delivered = world.mta2.only().to;
    assert_eq!(delivered, [BOB, "<BOB@company2.example>"]);
}

/// ENVID and ORCPT are not on the outer path and come back inside [R-seal-04].
#[tokio::test]
async fn parameters_of_delivery_reports() {
    let world = World::new().await;
    let from = format!("{ALICE} BODY=8BITMIME RET=HDRS ENVID=canary-envid+2B");
    let bob = format!("{BOB} NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;canary-bob@company2.example");
    let carol = "<carol@company2.example> NOTIFY=NEVER";
    let out = world.through(&from, &[&bob, carol], &message(b"x\r\n")).await;
    let carrier = world.relay.only();
    assert_eq!(carrier.from, format!("{ALICE} RET=HDRS"));
    assert_eq!(carrier.to, [&format!("{BOB} NOTIFY=SUCCESS,FAILURE"), carol]);
    assert!(!contains(&world.relay.raw(), b"canary"));
    assert_eq!(out[0].from, from);
    assert_eq!(out[0].to, [&bob, carol]);
}

#[tokio::test]
async fn internationalised_addresses() {
    let world = World::new().await;
    let from = "<jürgen@company1.example> SMTPUTF8";
    let to = "<μπομπ@company2.example>";
    let inside = "From: jürgen@company1.example\r\nSubject: Größe\r\n\r\nschön\r\n".as_bytes();
    let out = world.through(from, &[to], inside).await;
    assert_eq!((out[0].from.as_str(), out[0].to.as_slice()), (from, &[to.to_owned()][..]));
    assert_eq!(without_trace(&out[0].data), inside);
    assert!(text(&out[0].data).contains("UTF8SMTP"));
}

/// A next hop without an extension is not given what needs it.
#[tokio::test]
async fn missing_extensions_of_the_next_hop() {
    let relay = SinkOptions::new(Smtp).without("SMTPUTF8").without("8BITMIME").start().await;
    let world = World::new().await;
    let spec = Spec::new(&world.company1).outbound(Smtp, &relay.url);
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    let mut client = Client::connect(gw1.outbound()).await;
    let offered = client.hello(Smtp).await.text;
    assert!(!offered.contains("SMTPUTF8") && !offered.contains("8BITMIME"), "{offered}");
    let reply = client.command("MAIL FROM:<jürgen@company1.example> SMTPUTF8").await;
    assert!(reply.is("555 5.5.4"), "{reply:?}");
    // The next hop offers less than when it was asked last.
    let mta2 = SinkOptions::new(Smtp).without("SMTPUTF8").start().await;
    let spec = Spec::new(&world.company2).inbound(Smtp, &mta2.url);
    let gw2 = Gw::start(&spec, &world.dns, &world.clock).await;
    let mut forgery = Forgery::new(&world.company1, &world.company2);
    let field = mta_seal::core::ReversePathField::new;
    forgery.prefix.reverse_path =
        field("alice@company1.example".to_owned(), 2, true, 0, String::new()).unwrap();
    let refused = deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &forgery.carrier()).await;
    refused.expect("550 5.6.7");
    assert!(mta2.messages().is_empty() && relay.messages().is_empty());
}

#[tokio::test]
async fn ten_megabytes() {
    let world = World::new().await;
    let line = [&[b'a'; 77][..], b"\r\n"].concat();
    let body = line.repeat(10_000_000 / line.len());
    let case = message(&body);
    let from = format!("{ALICE} SIZE={}", case.len());
    let out = world.through(&from, &[BOB], &case).await;
    assert!(without_trace(&out[0].data) == case);
    assert!(world.relay.only().data.len() > case.len() * 4 / 3);
}

#[tokio::test]
async fn both_suites() {
    for (suites, number) in [
        (vec![Suite::XWing], "2"),
        (vec![Suite::XWing, Suite::X25519], "2"),
        (vec![Suite::X25519, Suite::XWing], "1"),
    ] {
        let world = World::with(WorldOptions { suites, ..WorldOptions::default() }).await;
        let out = world.through(ALICE, &[BOB], &message(b"canary\r\n")).await;
        let data = text(&out[0].data);
        assert!(data.contains(&format!("policy.suite={number}")), "{data}");
        assert_eq!(without_trace(&out[0].data), message(b"canary\r\n"));
    }
}

#[tokio::test]
async fn all_combinations_of_protocols() {
    for inside in [Smtp, Lmtp] {
        for between in [Smtp, Lmtp] {
            for behind in [Smtp, Lmtp] {
                let options = WorldOptions { inside, between, behind, ..WorldOptions::default() };
                let world = World::with(options).await;
                let carol = "<carol@company2.example>";
                let sent = world.send(ALICE, &[BOB, carol], &message(b"x\r\n")).await;
                sent.expect("250");
                assert_eq!(sent.end.len(), if inside == Lmtp { 2 } else { 1 });
                let mut to = Vec::new();
                for carrier in world.relay.messages() {
                    world.forward(&carrier).await.expect("250");
                }
                for delivered in world.mta2.messages() {
                    assert_eq!(without_trace(&delivered.data), message(b"x\r\n"));
                    to.extend(delivered.to);
                }
                assert_eq!(to, [BOB, carol], "{inside:?} {between:?} {behind:?}");
            }
        }
    }
}

/// Without a relay between them: the replies are those of the MTA at the far end.
#[tokio::test]
async fn gateway_to_gateway() {
    let world = World::new().await;
    let url = format!("smtp://{}", world.gw2.inbound());
    let spec = Spec::new(&world.company1).outbound(Smtp, &url);
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    let case = message(b"canary\r\n");
    world.mta2.rule(Step::Rcpt, "nobody@", 1, Act::Reply("550 5.1.1 no such user"));
    world.mta2.rule(Step::Dot, "bob@", 1, Act::Reply("452 4.3.1 disk full"));
    let to = ["<nobody@company2.example>", BOB];
    let first = deliver(gw1.outbound(), Smtp, ALICE, &to, &case).await;
    assert!(first.rcpt[0].is("550 5.1.1"), "{first:?}");
    assert!(first.end[0].is("452 4.3.1"), "{first:?}");
    deliver(gw1.outbound(), Smtp, ALICE, &[BOB], &case).await.expect("250 2.0.0 taken");
    assert_eq!(without_trace(&world.mta2.only().data), case);
}

#[tokio::test]
async fn unix_socket_behind() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lmtp");
    let mta = SinkOptions { listen: Listen::Unix(path), ..SinkOptions::new(Lmtp) }.start().await;
    let spec = Spec::new(&world.company2).inbound(Smtp, &mta.url);
    let gw2 = Gw::start(&spec, &world.dns, &world.clock).await;
    let carrier = world.carrier(&message(b"x\r\n")).await;
    forward(gw2.inbound(), Smtp, &carrier).await.expect("250");
    assert_eq!(without_trace(&mta.only().data), message(b"x\r\n"));
}

fn trusting(certificate: &rustls::pki_types::CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn tls_on_listeners_and_to_the_next_hop() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let made = certificate(dir.path(), "mx.example.org");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let tls = server_config(Identity::load(&cert, &key).unwrap()).unwrap();
    let start =
        |protocol| SinkOptions { tls: Some(tls.clone()), ..SinkOptions::new(protocol) }.start();
    let (relay, mta2) = (start(Smtp).await, start(Lmtp).await);
    let hop = |sink: &Sink| {
        format!(
            "{{ url = \"{}\", tls = \"verified\", ca = \"{}\", name = \"mx.example.org\" }}",
            sink.url,
            cert.display()
        )
    };
    let listener =
        format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let mut spec = Spec::new(&world.company1).outbound(Smtp, &hop(&relay));
    spec.outbound_extra = listener.clone();
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    let mut spec = Spec::new(&world.company2).inbound(Smtp, &hop(&mta2));
    spec.inbound_extra = listener;
    let gw2 = Gw::start(&spec, &world.dns, &world.clock).await;

    let case = message(b"x\r\n");
    let mut carrier = None;
    for address in [gw1.outbound(), gw2.inbound()] {
        let mut client = Client::connect(address).await;
        assert!(client.hello(Smtp).await.text.contains("STARTTLS"));
        assert!(client.command("STARTTLS").await.is("220"));
        let mut client = client.start_tls(trusting(made.cert.der()), "mx.example.org").await;
        assert!(!client.hello(Smtp).await.text.contains("STARTTLS"));
        let octets = carrier.take().unwrap_or_else(|| case.clone());
        client.transact(Smtp, ALICE, &[BOB], &octets).await.expect("250");
        carrier = relay.messages().first().map(|message| message.data.clone());
    }
    assert!(relay.only().tls && mta2.only().tls);
    let delivered = mta2.only().data;
    assert_eq!(without_trace(&delivered), case);
    assert!(text(&delivered).contains("with ESMTPS"), "{}", text(&delivered));

    // A next hop without TLS, or with another certificate, is given nothing.
    let bare = Sink::smtp().await;
    let other = tempfile::tempdir().unwrap();
    certificate(other.path(), "mx.example.org");
    let wrong = hop(&relay)
        .replace(&cert.display().to_string(), &other.path().join("cert.pem").display().to_string());
    for next_hop in [hop(&bare), wrong] {
        let spec = Spec::new(&world.company1).outbound(Smtp, &next_hop);
        let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
        deliver(gw1.outbound(), Smtp, ALICE, &[BOB], &case).await.expect("451 4.4.1");
    }
    assert!(bare.messages().is_empty());
    assert_eq!(relay.messages().len(), 1);
}

/// The announced SIZE is the next hop's, and what is too large once sealed is refused with it.
#[tokio::test]
async fn sizes() {
    let relay = SinkOptions::new(Smtp).without("SIZE").with("SIZE 100000").start().await;
    let world = World::new().await;
    let spec = Spec::new(&world.company1).outbound(Smtp, &relay.url);
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    let mut client = Client::connect(gw1.outbound()).await;
    assert!(client.hello(Smtp).await.text.contains("SIZE 100000"));
    let reply = client.command(&format!("MAIL FROM:{ALICE} SIZE=100001")).await;
    assert!(reply.is("552 5.3.4"), "{reply:?}");
    // Fits clear and not sealed: refused, by the declared size or by the octets that come.
    let large = message(&[&[b'x'; 900][..], b"\r\n"].concat().repeat(90));
    for from in [format!("{ALICE} SIZE={}", large.len()), ALICE.to_owned()] {
        let sent = client.transact(Smtp, &from, &[BOB], &large).await;
        sent.expect("552 5.3.4");
        assert!(sent.verdict().text.contains("once sealed"), "{sent:?}");
    }
    assert!(relay.messages().is_empty());
    // The largest that fits does fit: the computed size is exact.
    let fits = |octets: usize| message(&[b'x'; 70_000][..octets]);
    let (mut low, mut high) = (0, 70_000);
    while high - low > 1 {
        let middle = (low + high) / 2;
        let case = fits(middle);
        let before = relay.messages().len();
        let sent = client.transact(Smtp, ALICE, &[BOB], &case).await;
        if sent.verdict().code == 250 {
            assert!(relay.messages()[before].data.len() <= 100_000);
            low = middle;
        } else {
            sent.expect("552 5.3.4");
            high = middle;
        }
        if middle < 60_000 && high - low < 64 {
            break;
        }
    }
    let largest = relay.messages().iter().map(|m| m.data.len()).max().unwrap();
    assert!(largest <= 100_000 && largest > 90_000, "{largest}");
}

/// Many at once: none is lost, none comes twice, none is mixed up with another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once() {
    const COUNT: usize = 40;
    let world = Arc::new(World::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..COUNT {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let case = message(format!("number {n}\r\n").repeat(n * 20).as_bytes());
            let to = format!("<user{n}@company2.example>");
            world.send(ALICE, &[&to], &case).await.expect("250");
            let carriers = world.relay.messages();
            let carrier = carriers.iter().find(|carrier| carrier.to == [to.clone()]).unwrap();
            world.forward(carrier).await.expect("250");
            let delivered = world.mta2.messages();
            let delivered: Vec<_> = delivered.iter().filter(|m| m.to == [to.clone()]).collect();
            assert_eq!(delivered.len(), 1);
            assert!(without_trace(&delivered[0].data) == case);
        });
    }
    while let Some(result) = soon("all messages", tasks.join_next()).await {
        result.unwrap();
    }
    assert_eq!(world.mta2.messages().len(), COUNT);
}

/// Commands in one piece, transactions one after another and broken off, over one connection.
#[tokio::test]
async fn pipelining_and_reuse() {
    let world = World::new().await;
    for (sink, address) in
        [(&world.relay, world.gw1.outbound()), (&world.mta2, world.gw2.inbound())]
    {
        let mut client = Client::greeted(address, Smtp).await;
        let carol = "<carol@company2.example>";
        let open = format!("MAIL FROM:{ALICE}\r\nRCPT TO:{BOB}\r\nRCPT TO:{carol}\r\n");
        for end in ["RSET", "EHLO again.example"] {
            client.send(format!("{open}{end}\r\n").as_bytes()).await;
            for _ in 0..4 {
                assert_eq!(client.reply().await.code, 250);
            }
        }
        for n in 1..=3 {
            client.send(format!("{open}DATA\r\n").as_bytes()).await;
            for code in [250, 250, 250, 354] {
                assert_eq!(client.reply().await.code, code);
            }
            // The next commands come with the final dot.
            let data = stuff(&message(format!("{n}\r\n").as_bytes()));
            client.send(&[&data, &b"NOOP\r\n"[..]].concat()).await;
            assert_eq!(client.reply().await.code, 250);
            assert_eq!(client.reply().await.code, 250);
            assert_eq!(sink.messages().len(), n);
            assert_eq!(sink.messages()[n - 1].to, [BOB, carol]);
        }
        client.send(b"QUIT\r\n").await;
        assert_eq!(client.reply().await.code, 221);
        assert!(client.is_closed().await);
    }
}
