//! Peers that smuggle, stall, flood, die at any point, or come too often.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};

use gateway_support::*;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const MESSAGE: &[u8] =
    b"Received: from a by b; id 1\r\nFrom: alice@company1.example\r\n\r\ncanary\r\n";

async fn world(extra: &str) -> World {
    let (extra1, extra2) = (extra.to_owned(), extra.to_owned());
    World::with(WorldOptions { extra1, extra2, ..WorldOptions::default() }).await
}

/// Ends of data that some server takes for one, and others do not.
const SMUGGLED: [&[u8]; 12] = [
    b"a\r\n\n.\r\nMAIL FROM:<x@y.example>\r\n",
    b"a\n.\n",
    b"a\n.\r\n",
    b"a\r.\r",
    b"a\r\n.\n",
    b"a\r\n.\r",
    b"a\r\n.\r\r\n",
    b"a\r\r\n.\r\r\n",
    b"a\r\n\0.\r\n",
    b"a\r\n.\0\r\n",
    b"a\0\r\nb",
    b"a\n\n.\r\n\r\nQUIT\r\n",
];

#[tokio::test]
async fn smuggling_is_refused_on_both_listeners() {
    let world = world("").await;
    for address in [world.gw1.outbound(), world.gw2.inbound()] {
        for smuggled in SMUGGLED {
            let mut client = Client::greeted(address, Smtp).await;
            client.command(&format!("MAIL FROM:{ALICE}")).await;
            client.command(&format!("RCPT TO:{BOB}")).await;
            client.command("DATA").await;
            client.send(b"From: alice@company1.example\r\n\r\n").await;
            client.send(smuggled).await;
            client.send(b"\r\n.\r\n").await;
            let reply = client.reply().await;
            assert!(reply.is("550 5.6.0"), "{:?}: {reply:?}", text(smuggled));
            // Nothing of it was taken for a command.
            assert!(client.command("NOOP").await.is("250"), "{:?}", text(smuggled));
        }
    }
    assert!(world.relay.messages().is_empty() && world.mta2.messages().is_empty());
}

/// The same inside an envelope, from an authentic but hostile domain.
#[tokio::test]
async fn smuggling_inside_an_envelope() {
    let world = world("").await;
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    // Around the border of two blocks as well.
    for fill in [0, 16_300, 16_382 - 30, 16_382 - 31, 40_000] {
        for smuggled in SMUGGLED {
            let mut forgery = Forgery::new(&world.company1, &world.company2);
            forgery.message = b"From: alice@company1.example\r\n\r\n".to_vec();
            forgery.message.extend(vec![b'x'; fill]);
            forgery.message.extend_from_slice(smuggled);
            forgery.message.extend_from_slice(b"\r\nend\r\n");
            let sent = client.transact(Smtp, ALICE, &[BOB], &forgery.carrier()).await;
            sent.expect("550 5.6.0");
        }
    }
    assert!(world.mta2.messages().is_empty());
    // A dot that is content is content.
    let mut forgery = Forgery::new(&world.company1, &world.company2);
    forgery.message = b"Subject: x\r\n\r\n.\r\nMAIL FROM:<>\r\n.\r\n".to_vec();
    client.transact(Smtp, ALICE, &[BOB], &forgery.carrier()).await.expect("250");
    assert_eq!(without_trace(&world.mta2.only().data), forgery.message);
}

#[tokio::test]
async fn commands_with_bare_ends_are_refused() {
    let world = world("").await;
    for address in [world.gw1.outbound(), world.gw2.inbound()] {
        for line in [&b"MAIL FROM:<a@b.example>\n"[..], b"NOOP\0\r\n", b"NO\rOP\r\n"] {
            let mut client = Client::greeted(address, Smtp).await;
            client.send(line).await;
            client.send(b"\r\n").await;
            let reply = client.reply().await;
            assert_eq!(reply.code, 500, "{reply:?}");
        }
    }
    // Pipelining behind DATA would make content of commands.
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    client.command(&format!("MAIL FROM:{ALICE}")).await;
    client.command(&format!("RCPT TO:{BOB}")).await;
    client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\n").await;
    assert!(client.reply().await.is("421"));
    assert!(client.is_closed().await);
    assert!(world.mta2.messages().is_empty());
}

#[tokio::test]
async fn commands_behind_starttls_are_dropped() {
    let world = world("").await;
    let dir = tempfile::tempdir().unwrap();
    let made = certificate(dir.path(), "mx.example.org");
    let mut spec = Spec::new(&world.company2).inbound(Smtp, &world.mta2.url);
    spec.inbound_extra = format!(
        "tls = {{ certificate = \"{0}/cert.pem\", key = \"{0}/key.pem\" }}",
        dir.path().display()
    );
    let gw2 = Gw::start(&spec, &world.dns, &world.clock).await;
    let mut client = Client::greeted(gw2.inbound(), Smtp).await;
    client.send(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\n").await;
    assert!(client.reply().await.is("220"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = client.start_tls(config, "mx.example.org").await;
    // Greetings from before do not count either.
    let reply = client.command(&format!("MAIL FROM:{ALICE}")).await;
    assert!(reply.is("503"), "{reply:?}");
    client.hello(Smtp).await;
    assert!(client.command(&format!("RCPT TO:{BOB}")).await.is("503"));
    assert!(world.mta2.commands("MAIL").is_empty());
}

#[tokio::test]
async fn silent_and_slow_clients_are_left() {
    let world =
        world("[timeouts]\ncommand = \"600ms\"\ndata_block = \"600ms\"\nmessage = \"1500ms\"\n")
            .await;
    for address in [world.gw1.outbound(), world.gw2.inbound()] {
        // Silent from the start, in the middle of a line, in a transaction.
        for start in [&b""[..], b"NOO", b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\n"] {
            let mut client = Client::connect(address).await;
            client.send(start).await;
            let mut last = client.reply().await;
            while let Some(reply) = client.try_reply().await {
                last = reply;
            }
            assert!(last.is("421 4.4.2"), "{last:?}");
        }
        // Silent in the middle of the message; nothing is delivered.
        let mut client = Client::greeted(address, Smtp).await;
        client.command(&format!("MAIL FROM:{ALICE}")).await;
        client.command(&format!("RCPT TO:{BOB}")).await;
        client.command("DATA").await;
        client.send(b"From: alice@company1.example\r\n\r\nx\r\n").await;
        assert!(client.reply().await.is("421 4.4.2"));
        assert!(client.is_closed().await);
        // One octet at a time, for ever.
        let mut client = Client::greeted(address, Smtp).await;
        client.command(&format!("MAIL FROM:{ALICE}")).await;
        client.command(&format!("RCPT TO:{BOB}")).await;
        client.command("DATA").await;
        let started = Instant::now();
        while client.try_send(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(started.elapsed() < Duration::from_secs(10), "trickle is not ended");
        }
    }
    world.relay.wait_broken(1).await;
    assert!(world.relay.messages().is_empty() && world.mta2.messages().is_empty());
}

/// A client that leaves in the middle of anything costs nothing.
#[tokio::test]
async fn clients_that_leave() {
    let world = world("").await;
    let carrier = Forgery::new(&world.company1, &world.company2).carrier();
    for (address, message) in [(world.gw1.outbound(), MESSAGE), (world.gw2.inbound(), &carrier)] {
        let whole = stuff(message);
        let dialogue: Vec<Vec<u8>> = vec![
            b"EHLO client.example\r\n".to_vec(),
            format!("MAIL FROM:{ALICE}\r\n").into_bytes(),
            format!("RCPT TO:{BOB}\r\n").into_bytes(),
            b"DATA\r\n".to_vec(),
            whole[..whole.len() / 2].to_vec(),
        ];
        for steps in 0..=dialogue.len() {
            let mut client = Client::connect(address).await;
            for (n, step) in dialogue[..steps].iter().enumerate() {
                client.send(step).await;
                if n < 4 {
                    client.reply().await;
                }
            }
            drop(client);
        }
        deliver(address, Smtp, ALICE, &[BOB], message).await.expect("250");
    }
    assert_eq!((world.relay.messages().len(), world.mta2.messages().len()), (1, 1));
}

#[tokio::test]
async fn floods_of_errors_end_the_connection() {
    let world = world("[limits]\nerrors = 3\n").await;
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    for _ in 0..3 {
        assert_eq!(client.command("NONSENSE").await.code, 500);
    }
    assert!(client.command("NONSENSE").await.is("421 4.7.0"));
    assert!(client.is_closed().await);
    // A line without end.
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    client.send(&vec![b'x'; 100_000]).await;
    client.send(b"\r\n").await;
    assert_eq!(client.reply().await.code, 500);
}

/// Idle connections up to the limit; beyond it 421, and all is well again when they go.
#[tokio::test]
async fn connection_limits() {
    const LIMIT: usize = 1_000;
    // Both ends of every connection are in this process.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let world =
        world(&format!("[limits]\nconnections = {LIMIT}\nconnections_per_client = {LIMIT}\n"))
            .await;
    for address in [world.gw1.outbound(), world.gw2.inbound()] {
        let before = resident();
        let mut idle = Vec::with_capacity(LIMIT);
        for _ in 0..LIMIT {
            idle.push(Client::connect(address).await);
        }
        let each = resident().saturating_sub(before) / LIMIT;
        assert!(each < 64 * 1024, "{each} octets for an idle connection");
        for _ in 0..20 {
            let mut refused = Client::silent(address).await;
            assert!(refused.reply().await.is("421 4.3.2"));
            assert!(refused.is_closed().await);
        }
        // Those inside are served.
        let last = idle.last_mut().unwrap();
        last.hello(Smtp).await;
        last.transact(Smtp, ALICE, &["<postmaster>"], MESSAGE).await.expect("250");
        // A place that becomes free is given away.
        idle.pop();
        soon("a free place", async {
            loop {
                let mut client = Client::silent(address).await;
                if client.reply().await.code == 220 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Resident memory of this process in octets; both ends of every connection are in it.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn connection_limit_of_one_client() {
    let world = world("[limits]\nconnections_per_client = 2\n").await;
    let address = world.gw2.inbound();
    let first = Client::connect(address).await;
    let _second = Client::connect(address).await;
    let mut third = Client::silent(address).await;
    assert!(third.reply().await.is("421 4.3.2"));
    drop(first);
    // Our own MTA is not limited so.
    let mut ours = Vec::new();
    for _ in 0..5 {
        ours.push(Client::connect(world.gw1.outbound()).await);
    }
}

/// A proxy or an edge that may say whom it speaks for has the mail of many clients.
#[tokio::test]
async fn connections_of_those_who_speak_for_others_are_not_limited_so() {
    for key in ["xforward", "xclient"] {
        let world = World::with(WorldOptions {
            extra2: "[limits]\nconnections_per_client = 2\n".to_owned(),
            inbound2: format!("{key} = [\"127.0.0.1\"]\n"),
            ..WorldOptions::default()
        })
        .await;
        let mut edge = Vec::new();
        for _ in 0..5 {
            edge.push(Client::connect(world.gw2.inbound()).await);
        }
    }
}

/// What a next hop can do to us at each step, and what our client is told.
fn deaths() -> Vec<(Step, Act)> {
    let mut deaths = Vec::new();
    for step in [Step::Greeting, Step::Hello, Step::Mail, Step::Rcpt, Step::Data, Step::Dot] {
        deaths.push((step, Act::Close));
        deaths.push((step, Act::Stall));
        deaths.push((step, Act::Raw(b"\xff\xfe garbage\r\n")));
        deaths.push((step, Act::Raw(b"\r\n\r\n")));
        deaths.push((step, Act::ReplyAndClose("421 4.3.2 going down")));
    }
    deaths.push((Step::Middle, Act::Close));
    deaths.push((Step::Middle, Act::ReplyAndClose("421 4.3.2 going down")));
    deaths.push((Step::Middle, Act::Reply("451 4.3.0 disk full")));
    deaths.push((Step::Data, Act::Reply("250 2.0.0 strange")));
    deaths.push((Step::Dot, Act::TakeAndClose));
    deaths
}

/// How often a step must fail for our client to hear of it.
fn times(step: Step) -> usize {
    if matches!(step, Step::Mail | Step::Rcpt | Step::Data) { 2 } else { 1 }
}

const SHORT: &str = "[timeouts]\ngreeting = \"700ms\"\nhello = \"700ms\"\nmail = \"700ms\"\n\
                     rcpt = \"700ms\"\ndata_start = \"700ms\"\ndot = \"700ms\"\nwrite = \"1500ms\"\n";

/// Whatever happens behind us, our client keeps its connection, hears 451 and is delivered once
/// when it tries again.
#[tokio::test]
async fn next_hop_dies_outbound() {
    for (step, act) in deaths() {
        let world = world(SHORT).await;
        let what = format!("{step:?} {act:?}");
        // A message that does not fit into the buffers in between.
        let message = [MESSAGE, &[&[b'y'; 998][..], b"\r\n"].concat().repeat(100)].concat();
        // The client greets before the next hop turns bad.
        let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
        world.relay.rule(Step::Mail, "", 1, Act::ReplyAndClose("421 4.3.2 idle"));
        let greeting = matches!(step, Step::Greeting | Step::Hello);
        if !greeting {
            world.relay.clear_rules();
        }
        // A connection that is lost before DATA is replaced once.
        world.relay.rule(step, "", times(step), act);
        let first = client.transact(Smtp, ALICE, &[BOB], &message).await;
        assert_eq!(first.verdict().code, 451, "{what}: {first:?}");
        world.relay.clear_rules();
        let second = client.transact(Smtp, ALICE, &[BOB], &message).await;
        assert_eq!(second.verdict().code, 250, "{what}: {second:?}");
        for carrier in world.relay.messages() {
            world.forward(&carrier).await.expect("250");
        }
        assert_eq!(world.mta2.messages().len(), 1, "{what}");
        assert_eq!(without_trace(&world.mta2.only().data), message, "{what}");
        assert!(!contains(&world.relay.raw(), b"canary"), "{what}");
    }
}

#[tokio::test]
async fn next_hop_dies_inbound() {
    for (step, act) in deaths() {
        let world = world(SHORT).await;
        let what = format!("{step:?} {act:?}");
        let lost = matches!(act, Act::TakeAndClose);
        let mut forgery = Forgery::new(&world.company1, &world.company2);
        forgery.message = [MESSAGE, &[&[b'y'; 998][..], b"\r\n"].concat().repeat(100)].concat();
        let carrier = forgery.carrier();
        let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
        world.mta2.rule(Step::Mail, "", 1, Act::ReplyAndClose("421 4.3.2 idle"));
        if !matches!(step, Step::Greeting | Step::Hello) {
            world.mta2.clear_rules();
        }
        world.mta2.rule(step, "", times(step), act);
        let first = client.transact(Smtp, ALICE, &[BOB], &carrier).await;
        assert_eq!(first.verdict().code, 451, "{what}: {first:?}");
        world.mta2.clear_rules();
        let second = client.transact(Smtp, ALICE, &[BOB], &carrier).await;
        assert_eq!(second.verdict().code, 250, "{what}: {second:?}");
        client.transact(Smtp, ALICE, &[BOB], &carrier).await.expect("250");
        // Only where the next hop took it and did not say so, a duplicate is preferred to a loss.
        assert_eq!(world.mta2.messages().len(), if lost { 2 } else { 1 }, "{what}");
        for delivered in world.mta2.messages() {
            assert_eq!(without_trace(&delivered.data), forgery.message, "{what}");
        }
    }
}

/// The next hop is not there at all.
#[tokio::test]
async fn next_hop_is_away() {
    let mut world = world("").await;
    let mut client1 = Client::connect(world.gw1.outbound()).await;
    let mut client2 = Client::connect(world.gw2.inbound()).await;
    world.relay.stop();
    world.mta2.stop();
    for client in [&mut client1, &mut client2] {
        client.hello(Smtp).await;
        let sent = client.transact(Smtp, ALICE, &[BOB], MESSAGE).await;
        assert!(sent.rcpt[0].is("451 4.4.1"), "{sent:?}");
        assert!(client.command("NOOP").await.is("250"));
    }
}

/// Of two destinations one dies: the other is served, and not again on the retry.
#[tokio::test]
async fn one_of_two_destinations_dies() {
    for step in [Step::Middle, Step::Dot] {
        let world = world(SHORT).await;
        let to = [BOB, "<eve@plain.example>"];
        world.relay.rule(step, if step == Step::Dot { "plain" } else { "" }, 1, Act::Close);
        world.send(ALICE, &to, MESSAGE).await.expect("451 4.5.0");
        assert_eq!(world.relay.messages().len(), 1);
        world.send(ALICE, &to, MESSAGE).await.expect("250");
        let mut sent: Vec<_> = world.relay.messages().into_iter().map(|m| m.to).collect();
        sent.sort();
        assert_eq!(sent, [vec![BOB.to_owned()], vec![to[1].to_owned()]], "{step:?}");
    }
}

/// The connection breaks after one of two recipients was accepted.
#[tokio::test]
async fn next_hop_dies_between_recipients() {
    let world = world("").await;
    let to = [BOB, "<carol@company2.example>"];
    let carrier = Forgery::new(&world.company1, &world.company2)
        .signed_for(&["bob@company2.example", "carol@company2.example"])
        .carrier();
    for (sink, address, message) in [
        (&world.relay, world.gw1.outbound(), MESSAGE),
        (&world.mta2, world.gw2.inbound(), &carrier),
    ] {
        sink.rule(Step::Rcpt, "carol@", 2, Act::Close);
        let sent = deliver(address, Smtp, ALICE, &to, message).await;
        assert_eq!(sent.codes(), [250, 250, 451, 451], "{sent:?}");
        assert!(sink.messages().is_empty());
        deliver(address, Smtp, ALICE, &to, message).await.expect("250");
        assert_eq!(sink.only().to, to);
    }
}

/// LMTP: the replies to some recipients come, then the connection breaks.
#[tokio::test]
async fn lmtp_breaks_between_replies() {
    let world = World::with(WorldOptions {
        behind: Lmtp,
        extra2: SHORT.to_owned(),
        ..WorldOptions::default()
    })
    .await;
    let carol = "<carol@company2.example>";
    world.send(ALICE, &[BOB, carol], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    world.mta2.rule(Step::Dot, "carol@", 1, Act::Close);
    world.forward(&carrier).await.expect("451 4.5.0");
    world.forward(&carrier).await.expect("250");
    let to: Vec<_> = world.mta2.messages().into_iter().map(|m| m.to).collect();
    assert_eq!(to, [vec![BOB.to_owned()], vec![carol.to_owned()]]);
}

/// The client is gone when the next hop answers at last: the retry finds the outcome.
#[tokio::test]
async fn client_leaves_before_the_answer() {
    let world = world("").await;
    world.relay.rule(Step::Dot, "", 1, Act::Hold);
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.command(&format!("MAIL FROM:{ALICE}")).await;
    client.command(&format!("RCPT TO:{BOB}")).await;
    client.command("DATA").await;
    client.send(&stuff(MESSAGE)).await;
    world.relay.wait_held(1).await;
    drop(client);
    let (_, before) = world.gw1.ledger.commits();
    world.relay.release();
    soon("the record of the outcome", async {
        while world.gw1.ledger.commits().1 == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    for carrier in world.relay.messages() {
        world.forward(&carrier).await.expect("250");
    }
    assert_eq!(world.mta2.messages().len(), 1);
}

/// Exim sends QUIT with the final dot and shuts down its sending side: it has not left, and is told the truth.
#[tokio::test]
async fn quit_with_the_final_dot() {
    let world = world("").await;
    world.relay.rule(Step::Dot, "", 1, Act::Hold);
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.begin_data(ALICE, &[BOB]).await;
    client.send(&[stuff(MESSAGE), b"quit\r\n".to_vec()].concat()).await;
    client.half_close().await;
    world.relay.wait_held(1).await;
    world.relay.release();
    assert_eq!(client.reply().await.code, 250);
    assert_eq!(client.reply().await.code, 221);
    assert_eq!(world.relay.messages().len(), 1);
}

/// An idle connection that the next hop has closed meanwhile is replaced silently.
#[tokio::test]
async fn stale_connections_are_replaced() {
    let world = world("").await;
    for act in [Act::ReplyAndClose("421 4.4.2 idle too long"), Act::Close] {
        world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
        world.relay.rule(Step::Mail, "", 1, act);
        world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    }
    assert_eq!(world.relay.messages().len(), 4);
}

/// Stopping lets an open transaction end, and tells the idle.
#[tokio::test]
async fn stopping_in_the_middle() {
    let world = world("").await;
    let mut idle = Client::greeted(world.gw1.outbound(), Smtp).await;
    let mut busy = Client::greeted(world.gw1.outbound(), Smtp).await;
    busy.command(&format!("MAIL FROM:{ALICE}")).await;
    busy.command(&format!("RCPT TO:{BOB}")).await;
    let World { gw1, relay, .. } = world;
    let address = gw1.outbound();
    let stopped = tokio::spawn(gw1.stop());
    assert!(idle.reply().await.is("421 4.3.2"));
    assert_eq!(busy.data(MESSAGE, 1).await[0].code, 250);
    assert!(busy.reply().await.is("421 4.3.2"));
    assert!(soon("the end", stopped).await.unwrap(), "something was cut off");
    assert_eq!(relay.messages().len(), 1);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
