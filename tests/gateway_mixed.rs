//! Recipients with different fates: what is sent, what is sent again, and who is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::dns::Lookup;
use mta_seal::smtp::Protocol::{self, Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const CAROL: &str = "<carol@company2.example>";
const DAVE: &str = "<dave@company2.example>";
const EVE: &str = "<eve@plain.example>";
const MESSAGE: &[u8] =
    b"Received: from a by b; id 1\r\nFrom: alice@company1.example\r\n\r\ncanary\r\n";

async fn world(inside: Protocol, between: Protocol, behind: Protocol) -> World {
    let extra1 = "[[partner]]\ndomain = \"strict.example\"\npolicy = \"require\"\n".to_owned();
    World::with(WorldOptions { inside, between, behind, extra1, ..WorldOptions::default() }).await
}

/// What went to a domain so far.
fn sent_to(sink: &Sink, domain: &str) -> Vec<Message> {
    let of = |message: &Message| message.to[0].contains(domain);
    sink.messages().into_iter().filter(of).collect()
}

#[tokio::test]
async fn domains_of_every_kind() {
    for inside in [Smtp, Lmtp] {
        let world = world(inside, Smtp, Smtp).await;
        let dead = mta_seal::core::Domain::from_canonical(b"_mta-seal.dead.example").unwrap();
        world.dns.set(dead, Lookup::ServFail { rcode: 2 });
        let to = [
            BOB,
            EVE,
            "<x@strict.example>",
            "<x@dead.example>",
            "<x@[192.0.2.1]>",
            "<x@mail.company2.example>",
        ];
        let sent = world.send(ALICE, &to, MESSAGE).await;
        let rcpt: Vec<u16> = sent.rcpt.iter().map(|reply| reply.code).collect();
        assert_eq!(rcpt, [250, 250, 550, 451, 250, 250], "{sent:?}");
        assert!(sent.rcpt[2].is("550 5.7.10"), "{sent:?}");
        assert!(sent.rcpt[3].is("451 4.7.10"), "{sent:?}");
        assert!(sent.end.iter().all(|reply| reply.code == 250), "{sent:?}");
        // One transaction for each domain.
        assert_eq!(world.relay.messages().len(), 4);
        let sealed = sent_to(&world.relay, "@company2.example");
        assert_eq!(sealed.len(), 1);
        assert_eq!(open(&sealed[0].data, &world.company1, &world.company2).0, MESSAGE);
        assert!(!contains(&sealed[0].data, b"canary"));
        // Clear mail is unchanged but for one trace field. A subdomain is another identity.
        for domain in ["plain.example", "[192.0.2.1]", "@mail.company2.example"] {
            let clear = sent_to(&world.relay, domain);
            assert_eq!(clear.len(), 1);
            assert!(clear[0].data.starts_with(b"Received: from client.example"));
            assert_eq!(text(after_field(&clear[0].data)), text(MESSAGE));
        }
    }
}

/// What was accepted is not sent again when the whole message is.
#[tokio::test]
async fn temporary_failure_of_one_domain() {
    // [R-seal-06]
    let world = world(Smtp, Smtp, Smtp).await;
    world.relay.rule(Step::Dot, "plain.example", 2, Act::Reply("450 4.2.0 later"));
    for _ in 0..2 {
        world.send(ALICE, &[BOB, EVE], MESSAGE).await.expect("451 4.5.0");
    }
    world.send(ALICE, &[BOB, EVE], MESSAGE).await.expect("250");
    assert_eq!(sent_to(&world.relay, "company2").len(), 1);
    assert_eq!(sent_to(&world.relay, "plain").len(), 1);
    assert!(world.mta1.messages().is_empty(), "nobody is owed a notice");
    // The same message once more is another message.
    world.send(ALICE, &[BOB, EVE], MESSAGE).await.expect("250");
    assert_eq!(sent_to(&world.relay, "company2").len(), 2);
}

/// A partner publishes its policy between two attempts: what went clear is not sent again in an envelope.
#[tokio::test]
async fn the_course_changes_between_attempts() {
    let world = world(Smtp, Smtp, Smtp).await;
    world.relay.rule(Step::Dot, "company2.example", 1, Act::Reply("450 4.2.0 later"));
    let to = [BOB, "<x@late.example>"];
    world.send(ALICE, &to, MESSAGE).await.expect("451 4.5.0");
    Org::new("late.example", 40).publish(&world.dns);
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    assert_eq!(sent_to(&world.relay, "late.example").len(), 1);
    assert_eq!(sent_to(&world.relay, "company2.example").len(), 1);
    // What comes next takes the new course.
    world
        .send(ALICE, &["<x@late.example>"], b"From: alice@company1.example\r\n\r\nnext\r\n")
        .await
        .expect("250");
    assert!(!contains(&sent_to(&world.relay, "late.example")[1].data, b"next"));
}

/// Refused at RCPT: the real replies, and the others go on.
#[tokio::test]
async fn replies_to_recipients_are_the_next_hops() {
    let world = world(Smtp, Smtp, Smtp).await;
    world.relay.rule(Step::Rcpt, "carol@", 1, Act::Reply("450 4.2.1 greylisted"));
    world.relay.rule(Step::Rcpt, "dave@", 1, Act::Reply("550-5.1.1 no\r\n550 5.1.1 such user"));
    // Once it is taken for a server that restarts.
    world.relay.rule(Step::Rcpt, "eve@", 2, Act::ReplyAndClose("421 4.3.2 too busy"));
    let sent = world.send(ALICE, &[BOB, CAROL, DAVE, EVE], MESSAGE).await;
    assert!(sent.rcpt[1].is("450 4.2.1 greylisted"), "{sent:?}");
    assert!(sent.rcpt[2].is("550 5.1.1 no\n5.1.1 such user"), "{sent:?}");
    // A next hop's 421 is no reason to leave our own client.
    assert!(sent.rcpt[3].is("451 4.4.1"), "{sent:?}");
    assert_eq!(sent.end[0].code, 250);
    let carrier = world.relay.only();
    assert_eq!(carrier.to, [BOB]);
    // Who was not accepted is not named inside.
    let (_, accepted) = open(&carrier.data, &world.company1, &world.company2);
    let inside: Vec<&str> = accepted.prefix.forward_paths.iter().map(|f| f.mailbox()).collect();
    assert_eq!(inside, ["bob@company2.example"]);
}

/// An unknown outcome: the retry has the same delivery id, and is delivered once.
#[tokio::test]
async fn lost_reply_is_retried_under_the_same_delivery_id() {
    let world = world(Smtp, Smtp, Smtp).await;
    world.relay.rule(Step::Dot, "bob@", 1, Act::TakeAndClose);
    world.send(ALICE, &[BOB], MESSAGE).await.expect("451 4.4.2");
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    let carriers = world.relay.messages();
    let ids: Vec<_> = carriers
        .iter()
        .map(|c| open(&c.data, &world.company1, &world.company2).1)
        .map(|accepted| (accepted.prefix.delivery_id, accepted.envelope_id))
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0].0, ids[1].0);
    assert_ne!(ids[0].1, ids[1].1);
    // The third is a message of its own.
    assert_ne!(ids[0].0, ids[2].0);
    for carrier in &carriers {
        world.forward(carrier).await.expect("250");
    }
    assert_eq!(world.mta2.messages().len(), 2);
}

/// The header block is the same, the body is not: no retry.
#[tokio::test]
async fn another_body_under_the_same_header_is_another_message() {
    let world = world(Smtp, Smtp, Smtp).await;
    world.relay.rule(Step::Dot, "bob@", 1, Act::TakeAndClose);
    world.send(ALICE, &[BOB], MESSAGE).await.expect("451 4.4.2");
    let other = [MESSAGE, b"more\r\n"].concat();
    world.send(ALICE, &[BOB], &other).await.expect("451 4.5.0");
    assert_eq!(world.relay.messages().len(), 1, "no final dot under a delivery id in doubt");
    world.send(ALICE, &[BOB], &other).await.expect("250");
    for carrier in &world.relay.messages() {
        world.forward(carrier).await.expect("250");
    }
    let bodies: Vec<_> =
        world.mta2.messages().iter().map(|m| without_trace(&m.data).to_vec()).collect();
    assert_eq!(bodies, [MESSAGE.to_vec(), other]);
}

#[tokio::test]
async fn permanent_failure_of_one_domain_is_reported_inside() {
    let world = world(Smtp, Smtp, Smtp).await;
    world.relay.rule(Step::Dot, "plain.example", 1, Act::Reply("554 5.7.1 not liked"));
    let from = format!("{ALICE} ENVID=id+2B1");
    let eve = format!("{EVE} ORCPT=rfc822;eva@plain.example");
    world.send(&from, &[BOB, &eve], MESSAGE).await.expect("250");
    let notice = world.mta1.wait(1).await.remove(0);
    assert!(notice.from.starts_with("<> SIZE="), "{notice:?}");
    assert_eq!(notice.to, [ALICE]);
    let report = text(&notice.data);
    for part in [
        "multipart/report",
        "Final-Recipient: rfc822; eve@plain.example",
        "Original-Recipient: rfc822; eva@plain.example",
        "Original-Envelope-Id: id+1",
        "Status: 5.7.1",
        "Action: failed",
    ] {
        assert!(report.contains(part), "{part} not in {report}");
    }
    assert!(!report.contains("canary") && !report.contains("bob@"), "{report}");
    assert_eq!(sent_to(&world.relay, "company2").len(), 1);
}

#[tokio::test]
async fn no_report_to_nobody_or_against_the_will() {
    let world = world(Smtp, Smtp, Smtp).await;
    let reject = || Act::Reply("554 5.7.1 not liked");
    let cases = [
        ("<>", EVE),
        (ALICE, "<eve@plain.example> NOTIFY=NEVER"),
        (ALICE, "<eve@plain.example> NOTIFY=SUCCESS,DELAY"),
    ];
    for (from, eve) in cases {
        world.relay.rule(Step::Dot, "plain.example", 1, reject());
        world.send(from, &[BOB, eve], MESSAGE).await.expect("250");
    }
    // Alone, the refusal is the reply and there is nothing to report.
    world.relay.rule(Step::Dot, "plain.example", 1, reject());
    world.send(ALICE, &[EVE], MESSAGE).await.expect("554 5.7.1 not liked");
    // A notice that is owed comes, and is the first.
    world.relay.rule(Step::Dot, "plain.example", 1, reject());
    world.send(ALICE, &[BOB, "<last@plain.example>"], MESSAGE).await.expect("250");
    let notices = world.mta1.wait(1).await;
    assert_eq!(notices.len(), 1);
    assert!(contains(&notices[0].data, b"last@plain.example"));
}

/// The notice waits until the MTA inside takes it.
#[tokio::test]
async fn report_waits_in_the_outbox() {
    let world = world(Smtp, Smtp, Smtp).await;
    world.mta1.rule(Step::Mail, "", 1, Act::Reply("451 4.3.0 not now"));
    world.relay.rule(Step::Dot, "plain.example", 1, Act::Reply("554 5.7.1 not liked"));
    world.send(ALICE, &[BOB, EVE], MESSAGE).await.expect("250");
    // Also over a restart.
    let World { gw1, mta1, clock, .. } = &world;
    soon("the first attempt", async {
        while mta1.commands("MAIL").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(mta1.messages().is_empty());
    let spec = gw1.spec.clone();
    clock.advance(HOUR);
    let World { gw1, mta1, .. } = world;
    let _gw1 = gw1.restart(&spec).await;
    assert!(contains(&mta1.wait(1).await[0].data, b"eve@plain.example"));
}

/// LMTP inside: a reply for each recipient, nothing to remember and nobody to notify.
#[tokio::test]
async fn lmtp_inside_has_a_reply_for_each() {
    let world = world(Lmtp, Lmtp, Smtp).await;
    world.relay.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
    world.relay.rule(Step::Dot, "dave@", 1, Act::Reply("550 5.1.1 gone"));
    let sent = world.send(ALICE, &[EVE, BOB, CAROL, DAVE], MESSAGE).await;
    let end: Vec<u16> = sent.end.iter().map(|reply| reply.code).collect();
    assert_eq!(end, [250, 250, 450, 550], "{sent:?}");
    assert!(sent.end[3].is("550 5.1.1 gone"));
    world.send(ALICE, &[CAROL], MESSAGE).await.expect("250");
    let carriers = sent_to(&world.relay, "company2");
    let to: Vec<_> = carriers.iter().map(|c| c.to.clone()).collect();
    assert_eq!(to, [vec![BOB.to_owned()], vec![CAROL.to_owned()]]);
    assert!(world.mta1.messages().is_empty());
}

/// SMTP inside, LMTP behind: one reply for recipients that fared differently.
#[tokio::test]
async fn smtp_inside_lmtp_behind() {
    let world = world(Smtp, Lmtp, Smtp).await;
    world.relay.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
    world.relay.rule(Step::Dot, "dave@", 1, Act::Reply("550 5.1.1 gone"));
    world.send(ALICE, &[BOB, CAROL, DAVE], MESSAGE).await.expect("451 4.5.0");
    world.send(ALICE, &[BOB, CAROL, DAVE], MESSAGE).await.expect("250");
    let to: Vec<_> = world.relay.messages().into_iter().map(|c| c.to).collect();
    assert_eq!(to, [vec![BOB.to_owned()], vec![CAROL.to_owned()]]);
    let notice = text(&world.mta1.wait(1).await[0].data);
    assert!(notice.contains("dave@company2.example"), "{notice}");
    // Also of an answer that came at the first attempt.
    assert!(
        notice.contains("Status: 5.1.1") && notice.contains("smtp; 550 5.1.1 gone"),
        "{notice}"
    );
    assert!(notice.contains("There is no such mailbox"), "{notice}");
    assert!(!notice.contains("carol@") && !notice.contains("bob@"), "{notice}");
}

/// Two genuine identical messages, also at the same time, are two messages.
#[tokio::test]
async fn identical_messages_are_all_delivered() {
    let world = world(Smtp, Smtp, Smtp).await;
    for _ in 0..3 {
        world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    }
    world.relay.rule(Step::Dot, "", 2, Act::Hold);
    let both = async {
        tokio::join!(world.send(ALICE, &[BOB], MESSAGE), world.send(ALICE, &[BOB], MESSAGE))
    };
    let release = async {
        world.relay.wait_held(2).await;
        world.relay.release();
    };
    let ((one, two), ()) = tokio::join!(both, release);
    one.expect("250");
    two.expect("250");
    for carrier in world.relay.messages() {
        world.forward(&carrier).await.expect("250");
    }
    assert_eq!(world.mta2.messages().len(), 5);
}

/// Unsealing with SMTP before and LMTP behind: claims keep what was delivered from coming twice.
#[tokio::test]
async fn unsealed_recipients_fare_differently() {
    let world = world(Smtp, Smtp, Lmtp).await;
    world.send(ALICE, &[BOB, CAROL, DAVE], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
    world.forward(&carrier).await.expect("451 4.5.0");
    world.forward(&carrier).await.expect("250");
    world.forward(&carrier).await.expect("250");
    let to: Vec<_> = world.mta2.messages().into_iter().map(|m| m.to).collect();
    assert_eq!(to, [vec![BOB.to_owned(), DAVE.to_owned()], vec![CAROL.to_owned()]]);
}

/// A recipient that the far MTA refuses for good: the signed sender hears of it, over a sealed
/// path and without a word of the message.
#[tokio::test]
async fn report_about_sealed_mail_travels_sealed() {
    // [R-uns-10]
    let world = world(Smtp, Smtp, Lmtp).await;
    let bob = format!("{BOB} ORCPT=rfc822;bobby@company2.example");
    let from = format!("{ALICE} ENVID=abc");
    let carol = format!("{CAROL} NOTIFY=NEVER");
    world.send(&from, &[&bob, &carol, DAVE], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    world.mta2.rule(Step::Dot, "bob@", 1, Act::Reply("550 5.2.1 disabled"));
    world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("550 5.2.1 disabled"));
    world.forward(&carrier).await.expect("250");
    let report = world.relay.wait(2).await.remove(1);
    assert_eq!((report.from.as_str(), report.to.as_slice()), ("<>", &[ALICE.to_owned()][..]));
    assert!(!contains(&report.data, b"multipart/report"), "{}", text(&report.data));
    forward(world.gw1.inbound(), Smtp, &report).await.expect("250");
    let inside = world.mta1.only();
    assert_eq!((inside.from.as_str(), inside.to.as_slice()), ("<>", &[ALICE.to_owned()][..]));
    let report = text(&inside.data);
    assert!(report.contains("mta-seal=pass"), "{report}");
    assert!(report.contains("Final-Recipient: rfc822; bob@company2.example"), "{report}");
    assert!(report.contains("Original-Recipient: rfc822; bobby@company2.example"), "{report}");
    assert!(report.contains("Original-Envelope-Id: abc"), "{report}");
    assert!(!report.contains("canary") && !report.contains("carol@"), "{report}");
}

/// Clear mail from anyone towards LMTP behind: no notice to a forged sender, so one at a time.
#[tokio::test]
async fn clear_mail_towards_lmtp_comes_one_by_one() {
    let world = world(Smtp, Smtp, Lmtp).await;
    let gw2 = world.gw2.inbound();
    let stranger = "<x@stranger.example>";
    let sent = deliver(gw2, Smtp, stranger, &[BOB, CAROL], MESSAGE).await;
    assert_eq!(sent.codes(), [250, 250, 452, 250], "{sent:?}");
    assert!(sent.rcpt[1].is("452 4.5.3"), "{sent:?}");
    // From a domain that seals, several are taken, since they are likely to be sealed to. If the
    // message is clear all the same, what was accepted is not sent again.
    world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
    deliver(gw2, Smtp, ALICE, &[BOB, CAROL], MESSAGE).await.expect("451 4.5.0");
    deliver(gw2, Smtp, ALICE, &[BOB, CAROL], MESSAGE).await.expect("250");
    let to: Vec<_> = world.mta2.messages().into_iter().map(|m| m.to).collect();
    assert_eq!(to, [vec![BOB.to_owned()], vec![BOB.to_owned()], vec![CAROL.to_owned()]]);
}

/// Accepted for one, refused for good for another, and no notice may be sent: the retries are told one by one.
#[tokio::test]
async fn clear_mail_with_lasting_differences_is_told_one_by_one() {
    let world = world(Smtp, Smtp, Lmtp).await;
    let gw2 = world.gw2.inbound();
    world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("550 5.1.1 gone"));
    deliver(gw2, Smtp, ALICE, &[BOB, CAROL], MESSAGE).await.expect("451 4.5.0");
    let sent = deliver(gw2, Smtp, ALICE, &[BOB, CAROL], MESSAGE).await;
    assert_eq!(sent.codes(), [250, 250, 452, 250], "{sent:?}");
    deliver(gw2, Smtp, ALICE, &[CAROL], MESSAGE).await.expect("550 5.1.1 gone");
    let to: Vec<_> = world.mta2.messages().into_iter().map(|m| m.to).collect();
    assert_eq!(to, [[BOB]]);
    // Another sender of the same domain is not concerned.
    let other = "<other@company1.example>";
    deliver(gw2, Smtp, other, &[BOB, CAROL], MESSAGE).await.expect("250");
}

/// What the sender was told in a notice is not undone by a retry of a hop that did not hear our answer.
#[tokio::test]
async fn reported_refusal_is_final() {
    let world = world(Smtp, Smtp, Lmtp).await;
    world.send(ALICE, &[BOB, CAROL], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("550 5.2.2 full"));
    world.forward(&carrier).await.expect("250");
    world.relay.wait(2).await;
    world.forward(&carrier).await.expect("250");
    deliver(world.gw2.inbound(), Smtp, ALICE, &[CAROL], &carrier.data).await.expect("250");
    let to: Vec<_> = world.mta2.messages().into_iter().map(|m| m.to).collect();
    assert_eq!(to, [[BOB]]);
}

/// Sixteen domains have a connection each; the next one comes in another transaction.
#[tokio::test]
async fn too_many_domains_and_recipients() {
    let world = World::with(WorldOptions {
        extra1: "[limits]\nrecipient_domains = 3\nrecipients = 6\n".to_owned(),
        ..WorldOptions::default()
    })
    .await;
    let to: Vec<String> = (0..4).map(|n| format!("<x@plain{n}.example>")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).chain(["<y@plain0.example>"; 3]).collect();
    let sent = world.send(ALICE, &to, MESSAGE).await;
    let rcpt: Vec<u16> = sent.rcpt.iter().map(|reply| reply.code).collect();
    assert_eq!(rcpt, [250, 250, 250, 452, 250, 250, 452], "{sent:?}");
    assert_eq!(sent.end[0].code, 250);
    assert_eq!(world.relay.messages().len(), 3);
}

/// What was delivered stays delivered when the next hop refuses the rest for good.
#[tokio::test]
async fn refusal_of_the_rest_is_not_about_what_was_delivered() {
    let world = world(Smtp, Lmtp, Lmtp).await;
    world.send(ALICE, &[BOB, CAROL], MESSAGE).await.expect("250");
    for carrier in world.relay.messages() {
        let gw2 = world.gw2.inbound();
        world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
        let to = [BOB, CAROL];
        let first = deliver(gw2, Lmtp, ALICE, &to, &carrier.data).await;
        assert_eq!(first.end.iter().map(|r| r.code).collect::<Vec<_>>(), [250, 450]);
        world.mta2.rule(Step::Data, "", 1, Act::Reply("554 5.3.0 no more"));
        let second = deliver(gw2, Lmtp, ALICE, &to, &carrier.data).await;
        assert_eq!(second.end.iter().map(|r| r.code).collect::<Vec<_>>(), [250, 554]);
    }
}

/// A gateway that dies while it waits for the dot: the outcome is in doubt, so the retry has the
/// same delivery id.
#[tokio::test]
async fn restart_keeps_delivery_ids() {
    let world = World::with(WorldOptions {
        extra1: "[timeouts]\nshutdown = \"50ms\"\n".to_owned(),
        ..WorldOptions::default()
    })
    .await;
    let World { gw1, gw2, relay, mta2, company1, company2, .. } = world;
    relay.rule(Step::Dot, "", 1, Act::Hold);
    let mut client = Client::greeted(gw1.outbound(), Smtp).await;
    client.command(&format!("MAIL FROM:{ALICE}")).await;
    client.command(&format!("RCPT TO:{BOB}")).await;
    client.command("DATA").await;
    client.send(&stuff(MESSAGE)).await;
    relay.wait_held(1).await;
    let spec = gw1.spec.clone();
    let gw1 = gw1.restart(&spec).await;
    drop(client);
    deliver(gw1.outbound(), Smtp, ALICE, &[BOB], MESSAGE).await.expect("250");
    relay.release();
    let carriers = relay.wait(2).await;
    let ids: Vec<_> =
        carriers.iter().map(|c| open(&c.data, &company1, &company2).1.prefix.delivery_id).collect();
    assert_eq!(ids[0], ids[1]);
    for carrier in &carriers {
        forward(gw2.inbound(), Smtp, carrier).await.expect("250");
    }
    assert_eq!(mta2.messages().len(), 1);
}
