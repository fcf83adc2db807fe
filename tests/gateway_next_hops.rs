//! Next hops: passwords, several in turn, lost connections, whom the message is from, and what they can do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use gateway_support::*;
use mta_seal::dns::Scripted;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use mta_seal::smtp::tls::{Identity, server_config};
use mta_seal::store::ledger::{Deferral, Ledger};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const CAROL: &str = "<carol@company2.example>";
/// A domain without a policy: its mail goes clear.
const EVE: &str = "<eve@plain.example>";
const MESSAGE: &[u8] =
    b"From: alice@company1.example\r\nReceived: from x by mta1; id 1\r\nSubject: s\r\n\r\nbody\r\n";

/// A sealing gateway of company1 with this next hop; company2 has a policy.
async fn gateway(next_hop: &str, extra: &str) -> Gw {
    let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
    let company1 = Org::new("company1.example", 10);
    company1.publish(&dns);
    Org::new("company2.example", 20).publish(&dns);
    let spec = Spec::new(&company1).outbound(Smtp, next_hop).extra(extra);
    Gw::start(&spec, &dns, &clock).await
}

fn list(sinks: &[&Sink]) -> String {
    let urls: Vec<String> = sinks.iter().map(|sink| format!("\"{}\"", sink.url)).collect();
    format!("[{}]", urls.join(", "))
}

async fn send(gw: &Gw, to: &[&str]) -> Delivery {
    deliver(gw.outbound(), Smtp, ALICE, to, MESSAGE).await
}

fn password(directory: &Path, text: &str) -> String {
    let path = directory.join("pass");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// A server under TLS that offers AUTH, and the table to reach it with a password.
async fn smart_host(directory: &Path, offer: &str) -> (Sink, String) {
    smart_host_of(SinkOptions::new(Smtp).with(offer), directory).await
}

async fn smart_host_of(mut options: SinkOptions, directory: &Path) -> (Sink, String) {
    certificate(directory, "mx.example.org");
    let identity = Identity::load(&directory.join("cert.pem"), &directory.join("key.pem")).unwrap();
    options.tls = Some(server_config(identity).unwrap());
    let sink = options.start().await;
    let table = format!(
        "{{ url = \"{}\", tls = \"verified\", ca = \"{}\", name = \"mx.example.org\", user = \"gw\", \
         password_file = \"{}\" }}",
        sink.url,
        directory.join("cert.pem").display(),
        password(directory, "s3cret-canary\n"),
    );
    (sink, table)
}

/// A gateway that knows what this smart host can do, and has not tried the password yet: whoever greeted it was offered no
/// way to log in. Two greetings, before TLS and under it, are past.
async fn gateway_without_a_try(sink: &Sink, table: &str, extra: &str) -> Gw {
    let mut greetings = 0;
    sink.script(move |step, _| {
        greetings += usize::from(step == Step::Hello);
        (step == Step::Hello && greetings == 2).then_some(Act::Reply("250 sink.example"))
    });
    let gw = gateway(table, extra).await;
    Client::greeted(gw.outbound(), Smtp).await;
    assert!(sink.commands("AUTH").is_empty());
    gw
}

#[tokio::test]
async fn a_smart_host_gets_the_password_under_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, table) = smart_host(directory.path(), "AUTH CRAM-MD5 PLAIN").await;
    let gw = gateway(&table, "").await;
    for _ in 0..2 {
        send(&gw, &[EVE]).await.expect("250");
    }
    assert!(sink.messages().iter().all(|message| message.tls));
    // \0gw\0s3cret-canary; the connection is used again, the line end of the file is no part of it.
    assert_eq!(sink.commands("AUTH"), ["AUTH PLAIN AGd3AHMzY3JldC1jYW5hcnk="]);
}

/// Whatever is wrong with the password, mail waits and nothing is given back to its sender. The log says what to do, and
/// never the password.
#[tokio::test]
async fn without_a_way_in_mail_waits() {
    let log = Log::of_this_process(tracing::Level::TRACE);
    for (offer, refusal) in [
        ("AUTH PLAIN", Some("535 5.7.8 wrong")),
        ("AUTH PLAIN", Some("454 4.7.0 directory is down")),
        ("AUTH PLAIN", Some("534 5.7.9 too weak")),
        ("AUTH PLAIN", Some("334 more?")),
        ("AUTH PLAIN", Some("250 odd")),
        ("AUTH SCRAM-SHA-256", None),
        ("X-NOTHING", None),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (sink, table) = smart_host(directory.path(), offer).await;
        if let Some(refusal) = refusal {
            sink.rule(Step::Auth, "", 9, Act::Reply(refusal));
        }
        let gw = gateway(&table, "").await;
        let sent = send(&gw, &[EVE]).await;
        let reply = &sent.rcpt[0];
        let known = reply.is("451 4.3.5") || reply.is("451 4.4.2");
        assert!(known, "{offer} {refusal:?}: {sent:?}");
        assert!(!reply.text.contains("canary"), "{sent:?}");
        assert!(sink.messages().is_empty() && sink.commands("MAIL").is_empty());
        sink.clear_rules();
        // Refused for good or for now, it is not tried again with the next message.
        let tried = sink.commands("AUTH").len();
        send(&gw, &[EVE]).await.expect("451");
        assert_eq!((tried, sink.commands("AUTH").len()), (refusal.iter().len(), tried), "{offer}");
        // It is said once, and what to do only where it helps.
        let here = |message: &str| {
            let lines = log.lines(message).into_iter();
            lines.filter(|line| line["next_hop"] == sink.url.as_str()).count()
        };
        let said = (
            here("next hop does not take our password; mail waits"),
            here("next hop failed at AUTH"),
            here("next hop failed"),
        );
        let expected = match refusal {
            Some(reply) if reply.starts_with('5') => (1, 0, 0),
            Some(_) => (0, 1, 0),
            None => (0, 0, 0),
        };
        assert_eq!(said, expected, "{offer} {refusal:?}");
    }
    let said = log.text();
    assert!(said.contains("ERROR") && said.contains("check `user`, `password_file`"), "{said}");
    assert!(said.contains("offers neither AUTH PLAIN nor LOGIN"), "{said}");
    assert!(!said.contains("canary") && !said.contains("AGd3AHMz"), "{said}");
    // So does mail for a server that wants a password and was given none.
    let sink = Sink::smtp().await;
    let gw = gateway(&sink.url, "").await;
    for step in [Step::Mail, Step::Rcpt, Step::Data] {
        sink.rule(step, "", 9, Act::Reply("530 5.7.0 authentication required"));
        send(&gw, &[EVE]).await.expect("451 4.3.5");
        sink.clear_rules();
    }
    send(&gw, &[EVE]).await.expect("250");
}

/// Servers lock out whoever tries a wrong password again and again, and nobody reads a log full of it.
#[tokio::test]
async fn a_refused_password_is_tried_once() {
    let log = Log::of_this_process(tracing::Level::TRACE);
    let directory = tempfile::tempdir().unwrap();
    let (sink, table) = smart_host(directory.path(), "AUTH PLAIN").await;
    sink.rule(Step::Auth, "", 99, Act::Reply("535 5.7.8 wrong"));
    let mut gw = gateway(&table, "").await;
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..8 {
        sending.spawn(deliver(gw.outbound(), Smtp, ALICE, &[EVE, BOB], MESSAGE));
    }
    for sent in sending.join_all().await {
        assert!(sent.rcpt.iter().all(|reply| reply.is("451 4.3.5")), "{sent:?}");
    }
    assert_eq!(sink.commands("AUTH").len(), 1);
    let here = |message: &str| {
        let lines = log.lines(message).into_iter();
        lines.filter(|line| line["next_hop"] == sink.url.as_str()).count()
    };
    assert_eq!(here("next hop does not take our password; mail waits"), 1);
    assert_eq!(here("next hop does not let us in; mail waits"), 0);
    soon("the reason in the ledger", async {
        let told = |all: &[Deferral]| {
            all.len() == 2 && all.iter().all(|waits| waits.cause.reason == "next-hop-login")
        };
        while !told(&gw.ledger.deferrals(None, 9).await.unwrap()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Whoever mends it has it tried at once.
    sink.clear_rules();
    send(&gw, &[EVE]).await.expect("451 4.3.5");
    let spec = gw.spec.clone();
    // A change of partners is none of it.
    gw.reload_partners(&spec).await.unwrap();
    send(&gw, &[EVE]).await.expect("451 4.3.5");
    gw.reload(&spec).await.unwrap();
    send(&gw, &[EVE]).await.expect("250");
    assert_eq!(sink.commands("AUTH").len(), 2);
}

/// While one tries a password that may be wrong, the others wait for what comes of it: for the server, each by itself and all
/// at once; for the password, all together.
#[tokio::test]
async fn a_password_is_tried_by_one_while_all_wait_for_the_server() {
    const CLIENTS: usize = 6;
    for (act, expected) in [(Act::HoldAndClose, "451 4.4.1"), (Act::Hold, "250")] {
        let directory = tempfile::tempdir().unwrap();
        let (sink, table) = smart_host(directory.path(), "AUTH PLAIN").await;
        let gw = gateway_without_a_try(&sink, &table, "").await;
        sink.rule(Step::Greeting, "", 99, Act::Hold);
        sink.rule(Step::Auth, "", 1, act);
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            sending.spawn(deliver(gw.outbound(), Smtp, ALICE, &[EVE], MESSAGE));
        }
        // None waits for another one's connection.
        sink.wait_held(CLIENTS).await;
        sink.let_go();
        // Before TLS, and under it.
        sink.wait_commands("EHLO", 2 + 2 * CLIENTS).await;
        sink.wait_held(CLIENTS + 1).await;
        assert_eq!(sink.commands("AUTH").len(), 1, "not alone");
        sink.let_go();
        for sent in sending.join_all().await {
            sent.expect(expected);
        }
        let tried = if expected == "250" { CLIENTS } else { 1 };
        assert_eq!(sink.commands("AUTH").len(), tried, "{expected}");
    }
}

/// A list: mail goes where the password is taken, and what the other server cannot do is not promised.
#[tokio::test]
async fn the_next_server_is_used_where_the_first_refuses_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let poor = || SinkOptions::new(Smtp).without("8BITMIME").with("AUTH PLAIN");
    for refusal in ["535 5.7.8 wrong", "454 4.7.0 directory is down"] {
        let (first, table) = smart_host_of(poor(), directory.path()).await;
        let second = Sink::smtp().await;
        first.rule(Step::Auth, "", 99, Act::Reply(refusal));
        let gw = gateway(&format!("[{table}, \"{}\"]", second.url), "").await;
        for _ in 0..3 {
            send(&gw, &[BOB, CAROL]).await.expect("250");
        }
        assert_eq!(second.messages().len(), 3);
        assert_eq!((first.connections(), first.commands("AUTH").len()), (1, 1), "{refusal}");
        let offered = Client::connect(gw.outbound()).await.hello(Smtp).await.text;
        assert!(offered.contains("SMTPUTF8") && !offered.contains("8BITMIME"), "{offered}");
    }
}

/// A password that was just taken is not in doubt because one connection gets no yes or no.
#[tokio::test]
async fn a_try_without_an_answer_keeps_nobody_else_from_a_good_password() {
    for act in [
        Act::Reply("454 4.7.0 directory is down"),
        Act::ReplyAndClose("421 4.3.2 restarting"),
        Act::Close,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (sink, table) = smart_host(directory.path(), "AUTH PLAIN").await;
        let gw = gateway(&table, "").await;
        send(&gw, &[EVE]).await.expect("250");
        // A new connection is needed.
        sink.rule(Step::Mail, "", 1, Act::ReplyAndClose("421 4.3.2 restarting"));
        sink.rule(Step::Auth, "", 1, act.clone());
        let unlucky = send(&gw, &[EVE]).await;
        assert_eq!(unlucky.rcpt[0].code, 451, "{act:?}: {unlucky:?}");
        send(&gw, &[EVE]).await.expect("250");
        assert_eq!(sink.commands("AUTH").len(), 3, "{act:?}");
    }
}

/// A server may give up a connection that waits for another one's try: that says nothing about the password.
#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_replaced() {
    for act in [Act::ReplyAndClose("421 4.4.2 too slow"), Act::Close] {
        let directory = tempfile::tempdir().unwrap();
        let (sink, table) = smart_host(directory.path(), "AUTH PLAIN").await;
        let gw = gateway_without_a_try(&sink, &table, "").await;
        sink.rule(Step::Auth, "", 1, Act::Hold);
        sink.rule(Step::Auth, "", 1, act.clone());
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..2 {
            sending.spawn(deliver(gw.outbound(), Smtp, ALICE, &[EVE], MESSAGE));
        }
        sink.wait_commands("EHLO", 6).await;
        sink.wait_held(1).await;
        // The other one begins to wait when it has read the reply to its EHLO, of which the sink sees nothing: gateway and sink run on
        // this thread, so whatever is ready has its turn here.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        sink.let_go();
        for sent in sending.join_all().await {
            sent.expect("250");
        }
        assert_eq!(sink.commands("AUTH").len(), 3, "{act:?}");
    }
}

/// One deadline is over the connection, the wait for another one's try, and AUTH.
#[tokio::test]
async fn who_waits_for_a_try_that_hangs_gives_up_in_time() {
    let log = Log::of_this_process(tracing::Level::TRACE);
    let directory = tempfile::tempdir().unwrap();
    let (sink, table) = smart_host(directory.path(), "AUTH PLAIN").await;
    let gw = gateway_without_a_try(&sink, &table, "[timeouts]\nset_up = \"4s\"").await;
    sink.rule(Step::Auth, "", 9, Act::Stall);
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..3 {
        sending.spawn(deliver(gw.outbound(), Smtp, ALICE, &[EVE], MESSAGE));
    }
    for sent in sending.join_all().await {
        sent.expect("451 4.4.1");
    }
    assert_eq!(sink.commands("AUTH").len(), 1);
    let lines = log.lines("next hop failed").into_iter();
    let here = lines.filter(|line| line["next_hop"] == sink.url.as_str());
    let late: Vec<_> = here.map(|line| line["error"].as_str().unwrap().to_owned()).collect();
    assert_eq!(late, ["SetUp: timed out"; 2]);
}

/// It was taken before, and then no more: one try that others may share brings it in doubt, and one alone decides.
#[tokio::test]
async fn a_password_that_was_changed_is_tried_once_alone_and_then_left() {
    let directory = tempfile::tempdir().unwrap();
    let (first, table) = smart_host(directory.path(), "AUTH PLAIN").await;
    let second = Sink::smtp().await;
    for listed in [false, true] {
        let before = first.commands("AUTH").len();
        let servers = if listed { format!("[{table}, \"{}\"]", second.url) } else { table.clone() };
        let gw = gateway(&servers, "").await;
        send(&gw, &[EVE]).await.expect("250");
        first.rule(Step::Mail, "", 1, Act::ReplyAndClose("421 4.3.2 restarting"));
        first.rule(Step::Auth, "", 99, Act::Reply("535 5.7.8 changed"));
        for _ in 0..3 {
            send(&gw, &[EVE]).await.expect(if listed { "250" } else { "451 4.3.5" });
        }
        // In a list the server rests after the first refusal.
        let tried = if listed { 2 } else { 3 };
        assert_eq!(first.commands("AUTH").len() - before, tried);
        first.clear_rules();
    }
    assert_eq!((first.messages().len(), second.messages().len()), (2, 3));
}

#[tokio::test]
async fn the_next_server_is_used_and_the_first_left_in_peace() {
    for protocol in [Smtp, Lmtp] {
        for (step, act) in [
            (Step::Greeting, Act::ReplyAndClose("421 4.3.2 busy")),
            (Step::Greeting, Act::ReplyAndClose("554 5.3.2 no")),
            (Step::Greeting, Act::Close),
            (Step::Hello, Act::Reply("451 4.3.0 no")),
            (Step::Mail, Act::ReplyAndClose("421 4.3.2 going down")),
            (Step::Mail, Act::Close),
            (Step::Mail, Act::Reply("530 5.7.0 authentication required")),
            (Step::Rcpt, Act::Close),
        ] {
            let (first, second) = (Sink::speaking(protocol).await, Sink::speaking(protocol).await);
            let what = format!("{protocol:?} {step:?} {act:?}");
            first.rule(step, "", 99, act);
            let gw = gateway(&list(&[&first, &second]), "").await;
            send(&gw, &[BOB, CAROL]).await.expect("250");
            assert_eq!(second.only().to.len(), 2, "{what}");
            let tried = first.connections();
            send(&gw, &[EVE]).await.expect("250");
            assert_eq!(second.messages().len(), 2, "{what}");
            assert_eq!(first.connections(), tried, "{what}: no peace");
            assert!(first.messages().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_has_no_tls_is_passed_over() {
    let (mut away, plain, last) = (Sink::smtp().await, Sink::smtp().await, Sink::smtp().await);
    away.stop();
    let servers = format!(
        "[\"{}\", {{ url = \"{}\", tls = \"required\" }}, \"{}\"]",
        away.url, plain.url, last.url
    );
    let gw = gateway(&servers, "").await;
    send(&gw, &[EVE]).await.expect("250");
    last.only();
    assert!(plain.commands("MAIL").is_empty());
}

/// A refusal of the message or its recipients is an answer, not a failure.
#[tokio::test]
async fn answers_are_not_asked_for_twice() {
    for (step, reply) in [
        (Step::Mail, "452 4.3.1 full"),
        (Step::Mail, "550 5.7.1 no"),
        (Step::Rcpt, "450 4.2.0 greylisted"),
        (Step::Rcpt, "550 5.1.1 no such user"),
        (Step::Data, "451 4.3.0 no"),
        (Step::Dot, "554 5.6.0 spam"),
    ] {
        let (first, second) = (Sink::smtp().await, Sink::smtp().await);
        first.rule(step, "", 1, Act::Reply(reply));
        let gw = gateway(&list(&[&first, &second]), "").await;
        send(&gw, &[EVE]).await.expect(reply);
        assert!(second.commands("MAIL").is_empty(), "{step:?} {reply}");
    }
}

/// A connection that is lost before DATA is replaced once, without a word; after that never.
#[tokio::test]
async fn lost_connections_are_replaced_before_data_only() {
    for act in [Act::Close, Act::ReplyAndClose("421 4.3.2 going down")] {
        for (step, about, saved) in [
            (Step::Rcpt, "bob@", true),
            (Step::Rcpt, "carol@", true),
            (Step::Data, "", true),
            (Step::Middle, "", false),
            (Step::Dot, "", false),
        ] {
            for times in [1, 2] {
                let (first, second) = (Sink::smtp().await, Sink::smtp().await);
                let gw = gateway(&list(&[&first, &second]), "").await;
                first.rule(step, about, times, act.clone());
                let sent = send(&gw, &[BOB, CAROL]).await;
                let what = format!("{step:?} {about} {times} {act:?}: {sent:?}");
                // Where nobody was accepted yet, the other server is as good.
                let elsewhere = about == "bob@";
                let expected = saved && (times == 1 || elsewhere);
                assert_eq!(sent.verdict().code, if expected { 250 } else { 451 }, "{what}");
                let both = [BOB.to_owned(), CAROL.to_owned()];
                let got: Vec<Message> = [first.messages(), second.messages()].concat();
                assert_eq!(got.len(), usize::from(expected), "{what}");
                assert!(got.iter().all(|message| message.to == both), "{what}");
                if !elsewhere {
                    assert!(second.commands("MAIL").is_empty(), "{what}");
                }
            }
        }
    }
}

/// Accepted before, refused on the new connection: nobody is left out silently.
#[tokio::test]
async fn a_recipient_that_is_refused_the_second_time_stops_the_message() {
    let sink = Sink::smtp().await;
    let gw = gateway(&sink.url, "").await;
    let mut client = Client::greeted(gw.outbound(), Smtp).await;
    assert_eq!(client.command(&format!("MAIL FROM:{ALICE}")).await.code, 250);
    assert_eq!(client.command(&format!("RCPT TO:{BOB}")).await.code, 250);
    sink.rule(Step::Rcpt, "carol@", 1, Act::Close);
    sink.rule(Step::Rcpt, "bob@", 1, Act::Reply("450 4.2.0 later"));
    assert!(client.command(&format!("RCPT TO:{CAROL}")).await.is("451"));
    assert!(client.command("RCPT TO:<dave@company2.example>").await.is("451"));
    let end = client.data(MESSAGE, 1).await;
    assert!(end[0].is("451"), "{end:?}");
    assert!(sink.messages().is_empty());
    send(&gw, &[BOB, CAROL]).await.expect("250");
}

/// No more is promised than every server can do; what one cannot after all waits for the other.
#[tokio::test]
async fn what_is_offered_holds_for_every_server() {
    let full = Sink::smtp().await;
    let mut poor = SinkOptions::new(Smtp).without("SMTPUTF8").without("SIZE").with("SIZE 4000");
    poor = poor.without("8BITMIME");
    let poor = poor.start().await;
    let gw = gateway(&list(&[&full, &poor]), "").await;
    let offered = Client::connect(gw.outbound()).await.hello(Smtp).await.text;
    assert!(offered.lines().any(|line| line == "SIZE 4000"), "{offered}");
    assert!(!offered.contains("SMTPUTF8") && !offered.contains("8BITMIME"), "{offered}");

    // The client greeted while the poorer server was away.
    let full = Sink::smtp().await;
    let poor = SinkOptions::new(Smtp).without("8BITMIME").start().await;
    poor.rule(Step::Greeting, "", 1, Act::Close);
    let gw = gateway(&list(&[&full, &poor]), "").await;
    let mut client = Client::greeted(gw.outbound(), Smtp).await;
    full.rule(Step::Mail, "", 99, Act::Close);
    let eight = "<alice@company1.example> BODY=8BITMIME";
    client.transact(Smtp, eight, &[EVE], MESSAGE).await.expect("451 4.4.1");
    full.clear_rules();
    client.transact(Smtp, eight, &[EVE], MESSAGE).await.expect("250");
    full.only();
}

#[tokio::test]
async fn xforward_comes_before_each_mail() {
    let sink = SinkOptions::new(Smtp).with("XFORWARD NAME ADDR PROTO HELO IDENT SOURCE").start();
    let sink = sink.await;
    let gw = gateway(&sink.url, "").await;
    // The second transaction is begun anew: a recipient that was refused at first.
    send(&gw, &[BOB]).await.expect("250");
    send(&gw, &[EVE]).await.expect("250");
    let log = sink.log();
    let mails: Vec<usize> = (0..log.len()).filter(|&at| log[at].starts_with("MAIL")).collect();
    assert_eq!(mails.len(), 2);
    for at in mails {
        let told = &log[at - 1];
        let start =
            "XFORWARD NAME=[UNAVAILABLE] ADDR=127.0.0.1 PROTO=ESMTP HELO=client.example IDENT=";
        assert!(told.starts_with(start) && told.ends_with(" SOURCE=[UNAVAILABLE]"), "{told}");
    }
    // The id is the one in the trace field of the message.
    let clear = text(&sink.messages()[1].data);
    let told = &sink.commands("XFORWARD")[1];
    let ident = told.split("IDENT=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(clear.contains(&format!("id {ident};")), "{ident}: {clear}");
}

/// What XCLIENT said of one client is never in force for another one's message.
#[tokio::test]
async fn xclient_connections_are_for_one_client() {
    let sink = SinkOptions::new(Smtp).with("XCLIENT NAME ADDR HELO").start().await;
    let gw = gateway(&sink.url, "").await;
    let mut other = Client::connect(gw.outbound()).await;
    other.command("EHLO other.example").await;
    for _ in 0..2 {
        send(&gw, &[EVE]).await.expect("250");
        other.transact(Smtp, ALICE, &[EVE], MESSAGE).await.expect("250");
    }
    let told = sink.commands("XCLIENT");
    let expected = |hello: &str| format!("XCLIENT NAME=[UNAVAILABLE] ADDR=127.0.0.1 HELO={hello}");
    assert_eq!(told, [expected("client.example"), expected("other.example")]);
    // Each greets anew after it, and both are used again.
    assert_eq!(sink.commands("EHLO").len(), sink.connections() + told.len());
    assert_eq!(sink.messages().len(), 4);
}

/// Were the message sent all the same, the server would take it for our own.
#[tokio::test]
async fn refused_xclient_lets_the_message_wait() {
    let sink = SinkOptions::new(Smtp).with("XCLIENT ADDR").start().await;
    sink.rule(Step::XClient, "", 9, Act::Reply("550 5.7.0 insufficient authorization"));
    let gw = gateway(&sink.url, "").await;
    send(&gw, &[EVE]).await.expect("451 4.4.1");
    assert!(sink.commands("MAIL").is_empty());
}

/// A message that is too large once sealed is refused at RCPT where its size was declared; the others go on.
#[tokio::test]
async fn declared_sizes_are_checked_at_rcpt() {
    const LIMIT: usize = 200_000;
    let sink = SinkOptions::new(Smtp).without("SIZE").with("SIZE 200000").start().await;
    let gw = gateway(&sink.url, "").await;
    let message = |size: usize| {
        let mut message = MESSAGE.to_vec();
        message.resize(size - 2, b'x');
        // Lines of a length that every server takes.
        for at in (400..size - 4).step_by(500) {
            message[at..at + 2].copy_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        message
    };
    let fits = async |size: usize| {
        let from = format!("{ALICE} SIZE={size}");
        let to = [BOB, EVE];
        let sent = deliver(gw.outbound(), Smtp, &from, &to, &message(size)).await;
        assert_eq!((sent.rcpt[1].code, sent.end[0].code), (250, 250), "{size}: {sent:?}");
        if sent.rcpt[0].code == 250 {
            return true;
        }
        assert!(sent.rcpt[0].is("552 5.3.4 message too large once sealed"), "{sent:?}");
        false
    };
    // The border is exact: the largest that passes fills the limit to less than one block of padding and lines.
    let (mut low, mut high) = (LIMIT / 2, LIMIT);
    assert!(fits(low).await && !fits(high).await);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if fits(middle).await { low = middle } else { high = middle }
    }
    let carriers: Vec<usize> = sink
        .messages()
        .iter()
        .filter(|message| message.to == [BOB])
        .map(|message| message.data.len())
        .collect();
    let largest = *carriers.iter().max().unwrap();
    assert!(largest <= LIMIT, "{largest}");
    assert!(low > 100_000, "{low}");
    assert!(carriers.len() > 2);
}

/// What SMTPUTF8 says about a sealed message is inside; outside only addresses need it.
#[tokio::test]
async fn sealed_mail_needs_smtputf8_for_addresses_only() {
    let world = World::new().await;
    let message = "From: jürgen@company1.example\r\nSubject: größe\r\n\r\nx\r\n".as_bytes();
    let from = format!("{ALICE} SMTPUTF8");
    world.send(&from, &[BOB, EVE], message).await.expect("250");
    let outer = world.relay.messages();
    let sealed = outer.iter().find(|message| message.to == [BOB]).unwrap();
    let clear = outer.iter().find(|message| message.to == [EVE]).unwrap();
    assert!(!sealed.from.contains("SMTPUTF8") && sealed.data.is_ascii(), "{}", sealed.from);
    assert!(clear.from.contains("SMTPUTF8"), "{}", clear.from);
    world.forward(sealed).await.expect("250");
    let inner = world.mta2.only();
    assert!(inner.from.contains("SMTPUTF8"), "{}", inner.from);
    assert_eq!(without_trace(&inner.data), message);

    // A later recipient may need it, and those before stay.
    let before = world.relay.messages().len();
    let umlaut = "<jürgen@company2.example>";
    world.send(&from, &[CAROL, umlaut], message).await.expect("250");
    let outer = world.relay.messages().split_off(before).remove(0);
    assert!(outer.from.contains("SMTPUTF8"), "{}", outer.from);
    assert_eq!(outer.to, [CAROL, umlaut]);
}

/// NOTIFY=NEVER leads to no notice, whichever way recipients end.
#[tokio::test]
async fn notify_never_is_heeded() {
    let world = World::new().await;
    let to = [
        "<bob@company2.example> NOTIFY=NEVER".to_owned(),
        "<eve@plain.example> NOTIFY=NEVER".to_owned(),
    ];
    world.relay.rule(Step::Dot, "plain", 1, Act::Reply("550 5.7.1 no"));
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    // One who wants to know comes after it, and is the only one told.
    world.relay.rule(Step::Dot, "plain", 1, Act::Reply("550 5.7.1 no"));
    world.send(ALICE, &[CAROL, EVE], MESSAGE).await.expect("250");
    let notices = world.mta1.wait(1).await;
    assert_eq!(notices.len(), 1);
    assert!(contains(&notices[0].data, b"eve@plain.example"));
}

/// A connection is used for many messages, but not for ever.
#[tokio::test]
async fn connections_are_given_up_after_a_while() {
    let sink = Sink::smtp().await;
    let gw = gateway(&sink.url, "").await;
    let mut client = Client::greeted(gw.outbound(), Smtp).await;
    for _ in 0..105 {
        client.transact(Smtp, ALICE, &[EVE], MESSAGE).await.expect("250");
    }
    assert_eq!(sink.connections(), 2);
    assert_eq!(sink.commands("QUIT").len(), 1);
}
