//! A recipient domain for which the next hop does not answer, beside one for which it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::cell::Cell;
use std::time::Duration;

use gateway_support::*;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::Ledger;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const EVE: &str = "<eve@plain.example>";

/// Two that wait for 300 ms are enough.
async fn world() -> World {
    let extra1 = "[limits]\nstalled = 2\n[timeouts]\nstalled = \"300ms\"\n".to_owned();
    World::with(WorldOptions { extra1, ..WorldOptions::default() }).await
}

fn message(number: usize) -> Vec<u8> {
    format!("Received: from a by b id {number}; Sun, 22 Nov 2026 09:00:00 +0000\r\nFrom: alice@company1.example\r\n\r\ncanary\r\n")
        .into_bytes()
}

fn sent_to(sink: &Sink, domain: &str) -> usize {
    sink.messages().iter().filter(|message| message.to[0].contains(domain)).count()
}

/// How many were put off.
fn put_off(sent: &[Delivery]) -> usize {
    sent.iter().filter(|sent| sent.verdict().is("451 4.4.5")).count()
}

#[tokio::test]
async fn nobody_waits_for_the_final_answer_of_a_stalled_domain() {
    for domain in [BOB, EVE] {
        let other = if domain == BOB { EVE } else { BOB };
        let name = domain.trim_end_matches('>').split('@').nth(1).unwrap();
        let world = world().await;
        world.relay.rule(Step::Dot, name, 3, Act::Hold);
        let messages: Vec<Vec<u8>> = (0..3).map(message).collect();
        let three = async {
            let to = [domain];
            let [a, b, c] = [0, 1, 2].map(|n| world.send(ALICE, &to, &messages[n]));
            tokio::join!(a, b, c)
        };
        let meanwhile = async {
            world.relay.wait_held(3).await;
            // Until the domain is found stalled.
            soon("a refusal", async {
                let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
                while {
                    client.command(&format!("MAIL FROM:{ALICE}")).await;
                    let reply = client.command(&format!("RCPT TO:{domain}")).await;
                    client.command("RSET").await;
                    !reply.is("451 4.4.5")
                } {}
            })
            .await;
            world.send(ALICE, &[other], &message(9)).await.expect("250");
            world.relay.let_go();
        };
        let ((a, b, c), ()) = tokio::join!(three, meanwhile);
        let sent = [a, b, c];
        assert_eq!(put_off(&sent), 3, "{sent:?}");
        // They were taken all the same, and a retry is told so.
        world.relay.wait(4).await;
        for message in &messages {
            soon("the outcome", async {
                while world.send(ALICE, &[domain], message).await.verdict().code != 250 {}
            })
            .await;
        }
        assert_eq!(sent_to(&world.relay, name), 3);
    }
}

#[tokio::test]
async fn one_waits_for_the_reply_to_rcpt_or_data_and_the_others_are_put_off() {
    for step in [Step::Rcpt, Step::Data] {
        let world = world().await;
        // DATA names nobody; nothing else is sent meanwhile.
        let about = if step == Step::Rcpt { "company2" } else { "" };
        world.relay.rule(step, about, 3, Act::Hold);
        let messages: Vec<Vec<u8>> = (0..3).map(message).collect();
        let ended = Cell::new(0);
        let one = async |n: usize| {
            let sent = world.send(ALICE, &[BOB], &messages[n]).await;
            ended.set(ended.get() + 1);
            sent
        };
        let three = async { tokio::join!(one(0), one(1), one(2)) };
        let release = async {
            soon("two to be put off", async {
                while ended.get() < 2 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            world.relay.let_go();
        };
        let ((a, b, c), ()) = tokio::join!(three, release);
        assert_eq!(put_off(&[a, b, c]), 2);
        assert_eq!(sent_to(&world.relay, "company2"), 1);
        for message in &messages {
            world.send(ALICE, &[BOB], message).await.expect("250");
        }
    }
}

/// What one domain has taken is not sent again, though the process ends while another makes it wait.
#[tokio::test]
async fn an_outcome_is_kept_though_the_process_ends_before_the_next() {
    let extra1 = "[timeouts]\nshutdown = \"100ms\"\n".to_owned();
    let world = World::with(WorldOptions { extra1, ..WorldOptions::default() }).await;
    world.relay.rule(Step::Dot, "company2", 1, Act::Hold);
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.begin_data(ALICE, &[EVE, BOB]).await;
    client.send(&stuff(&message(1))).await;
    world.relay.wait_held(1).await;
    world.relay.wait(1).await;
    let World { gw1, relay, .. } = world;
    let spec = gw1.spec.clone();
    let gw1 = gw1.restart(&spec).await;
    let again = deliver(gw1.outbound(), Smtp, ALICE, &[EVE, BOB], &message(1)).await;
    again.expect("250");
    relay.release();
    assert_eq!(sent_to(&relay, "plain.example"), 1);
}

/// A client that is gone before it has read the reply sends the message again; it is still the same message.
#[tokio::test]
async fn a_reply_that_was_not_read_was_not_told() {
    let world = World::new().await;
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.begin_data(ALICE, &[BOB]).await;
    client.send(&stuff(&message(1))).await;
    world.relay.wait(1).await;
    assert_eq!(client.reply().await.code, 250);
    drop(client);
    world.send(ALICE, &[BOB], &message(1)).await.expect("250");
    assert_eq!(sent_to(&world.relay, "company2"), 1);
    // Now it was read.
    world.send(ALICE, &[BOB], &message(1)).await.expect("250");
    assert_eq!(sent_to(&world.relay, "company2"), 2);
}

/// A client that does not wait for the final dot and sends again at once gets no second delivery.
#[tokio::test]
async fn a_retry_gives_way_to_the_attempt_that_still_waits() {
    let world = World::new().await;
    world.relay.rule(Step::Dot, "company2", 1, Act::Hold);
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.begin_data(ALICE, &[BOB]).await;
    client.send(&stuff(&message(1))).await;
    world.relay.wait_held(1).await;
    drop(client);
    world.send(ALICE, &[BOB], &message(1)).await.expect("451 4.5.0");
    world.relay.release();
    let settled = async {
        while !world.send(ALICE, &[BOB], &message(1)).await.end.iter().all(|r| r.code == 250) {}
    };
    soon("the attempt to be settled", settled).await;
    assert_eq!(sent_to(&world.relay, "company2"), 1);
}

/// Three messages that were put off, and of which the final answer is still to come.
async fn put_off_three(gw: &Gw, relay: &Sink, from: &str, answer: Act) -> [Vec<u8>; 3] {
    relay.rule(Step::Dot, "company2", 3, answer);
    let messages = [0, 1, 2].map(message);
    let [a, b, c] = [0, 1, 2].map(|n| deliver(gw.outbound(), Smtp, from, &[BOB], &messages[n]));
    let sent: [Delivery; 3] = soon("answers", async { tokio::join!(a, b, c) }).await.into();
    assert_eq!(put_off(&sent), 3, "{sent:?}");
    messages
}

/// The lines of the log about answers that came late; `from` is the sender of one test alone.
fn late(log: &Log, from: &str) -> Vec<serde_json::Value> {
    let mut lines = log.lines("message relayed");
    lines.retain(|line| line["from"] == from && line["late"] == true);
    lines
}

async fn wait_late(log: &Log, from: &str) -> Vec<serde_json::Value> {
    soon("the log", async {
        loop {
            let lines = late(log, from);
            if lines.len() == 3 {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// How often the ledger says that mail for this recipient was tried, once it knows all that was noted before this call.
async fn attempts(gw: &Gw, relay: &Sink, recipient: &str) -> Option<u64> {
    relay.rule(Step::Rcpt, "plain", 1, Act::Reply("450 4.2.1 later"));
    let last = format!("<last{}@plain.example>", relay.commands("RCPT").len());
    deliver(gw.outbound(), Smtp, ALICE, &[&last], &message(9)).await.expect("450");
    soon("the ledger", async {
        loop {
            let all = gw.ledger.deferrals(None, 9).await.unwrap();
            let of = |name: &str| all.iter().find(|one| one.recipient == name);
            if of(last.trim_matches(['<', '>'])).is_some() {
                return of(recipient).map(|one| one.attempts);
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// A client that was told to try again has its message in the log all the same, once it was taken.
#[tokio::test]
async fn an_outcome_that_came_late_is_in_the_log() {
    let log = Log::of_this_process(tracing::Level::INFO);
    let dora = "<dora@company1.example>";
    let world = world().await;
    let messages = put_off_three(&world.gw1, &world.relay, dora, Act::Hold).await;
    assert_eq!(late(&log, dora).len(), 0);
    world.relay.let_go();
    for line in wait_late(&log, dora).await {
        assert_eq!((&line["to"], &line["how"]), (&BOB.into(), &"sealed".into()), "{line}");
        assert!(line["reply"].as_str().unwrap().starts_with("250 "), "{line}");
    }
    // Whoever reads it can rely on it: no retry has to give way any more, or is sent again.
    for message in &messages {
        world.send(dora, &[BOB], message).await.expect("250");
    }
    assert_eq!(sent_to(&world.relay, "company2"), 3);
}

/// Whoever was served late waits no longer, before any retry. What is still open after a late answer goes on waiting, and counts
/// as the attempt that it was.
#[tokio::test]
async fn an_outcome_that_came_late_ends_the_waiting() {
    let log = Log::of_this_process(tracing::Level::INFO);
    for (from, answer, waits) in [
        ("<erin@company1.example>", Act::Hold, None),
        ("<frank@company1.example>", Act::HoldAndClose, Some(3)),
    ] {
        let World { gw1, relay, .. } = &world().await;
        put_off_three(gw1, relay, from, answer).await;
        assert_eq!(attempts(gw1, relay, "bob@company2.example").await, Some(3));
        relay.let_go();
        wait_late(&log, from).await;
        assert_eq!(attempts(gw1, relay, "bob@company2.example").await, waits, "{from}");
    }
}

/// The ledger comes first, also when it fails: a retry cannot come before what the log says is in force.
#[tokio::test]
async fn a_late_outcome_is_told_after_the_ledger() {
    let log = Log::of_this_process(tracing::Level::INFO);
    let grace = "<grace@company1.example>";
    let World { gw1, relay, .. } = world().await;
    let mut spec = gw1.spec.clone();
    spec.ledger.busy_timeout = Duration::from_millis(10);
    let gw1 = gw1.restart(&spec).await;
    put_off_three(&gw1, &relay, grace, Act::Hold).await;
    let somebody = rusqlite::Connection::open(gw1.directory().join("ledger.sqlite")).unwrap();
    somebody.execute_batch("BEGIN IMMEDIATE").unwrap();
    relay.let_go();
    let lines = wait_late(&log, grace).await;
    let everything = log.text();
    let first = |trace: &str, what: &str| {
        let mut of = everything.lines().filter(|line| line.contains(trace));
        of.position(|line| line.contains(what)).expect(what)
    };
    for line in lines {
        let trace = line["span"]["trace"].as_str().unwrap();
        let (failed, told) =
            (first(trace, "outcome could not be recorded"), first(trace, "\"late\":true"));
        assert!(failed < told, "told before it was booked");
    }
}
