//! Outcomes that differ, come early or come twice: nothing is mixed up, lost, doubled or told to
//! the wrong one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::time::Duration;

use gateway_support::*;
use mta_seal::core::Suite;
use mta_seal::dns::{Authenticity, Denial, Lookup};
use mta_seal::records::Mode;
use mta_seal::smtp::Protocol::{self, Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const CAROL: &str = "<carol@company2.example>";
const MALLORY: &str = "<mallory@company2.example>";
const XENA: &str = "<xena@company3.example>";
const EVE: &str = "<eve@plain.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\ncanary\r\n";

async fn world(between: Protocol, behind: Protocol) -> World {
    World::with(WorldOptions { between, behind, ..WorldOptions::default() }).await
}

fn company3(world: &World) -> Org {
    let company3 = Org::new("company3.example", 70);
    company3.publish(&world.dns);
    company3
}

/// More than fits into any buffer on the way.
fn large() -> Vec<u8> {
    let lines = (0..6000).map(|n| format!("{n:05} canary canary canary canary canary canary\r\n"));
    [MESSAGE, lines.collect::<String>().as_bytes()].concat()
}

/// What went to one recipient so far.
fn sent_to(sink: &Sink, recipient: &str) -> Vec<Message> {
    let of = |message: &Message| message.to.iter().any(|to| to == recipient);
    sink.messages().into_iter().filter(of).collect()
}

fn recipients(sink: &Sink) -> Vec<Vec<String>> {
    sink.messages().into_iter().map(|message| message.to).collect()
}

/// The final dot goes out when all but the end of the message has been passed on.
async fn send_in_pieces(client: &mut Client, message: &[u8]) -> Reply {
    for piece in stuff(message).chunks(20_000) {
        client.send(piece).await;
    }
    client.reply().await
}

/// Two destinations, one of which refuses DATA: the other gets its own octets and no others.
#[tokio::test]
async fn refused_data_leaves_nothing_for_the_other_destination() {
    let message = large();
    for to in [[BOB, XENA], [XENA, BOB], [EVE, BOB], [BOB, EVE]] {
        for refused in [0, 1] {
            let world = World::new().await;
            let company3 = company3(&world);
            if refused == 1 {
                world.relay.rule(Step::Data, "", 1, Act::Reply("354 go on"));
            }
            world.relay.rule(Step::Data, "", 1, Act::Reply("452 4.3.1 disk full"));
            for attempt in ["451 4.5.0", "250"] {
                let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
                client.begin_data(ALICE, &to).await;
                let reply = send_in_pieces(&mut client, &message).await;
                assert!(reply.is(attempt), "{to:?} {refused}: {reply:?}");
                if attempt != "250" {
                    assert_eq!(recipients(&world.relay), [[to[1 - refused]]]);
                }
            }
            // The retry went to the other one alone.
            assert_eq!(recipients(&world.relay), [[to[1 - refused]], [to[refused]]]);
            for sent in world.relay.messages() {
                let org = match sent.to[0].as_str() {
                    BOB => &world.company2,
                    XENA => &company3,
                    _ => {
                        assert!(after_field(&sent.data) == message, "clear message is altered");
                        continue;
                    }
                };
                let carrier = text(&sent.data);
                assert_eq!(carrier.matches("filename=\"message.mtaseal\"").count(), 1);
                assert!(!carrier.contains("canary"));
                let (inside, accepted) = open(&sent.data, &world.company1, org);
                assert!(inside == message, "sealed message is altered");
                assert_eq!(accepted.prefix.forward_paths.len(), 1);
                let signed = format!("<{}>", accepted.prefix.forward_paths[0].mailbox());
                assert_eq!(signed, sent.to[0]);
                // Also a gateway takes it.
                if sent.to[0] == BOB {
                    world.forward(&sent).await.expect("250");
                    assert!(without_trace(&world.mta2.only().data) == message);
                }
            }
            assert!(world.mta1.messages().is_empty(), "nobody is owed a notice");
        }
    }
}

/// How the next hop refuses carol: at RCPT, or with LMTP at the final dot.
fn refuse_carol(world: &World, reply: &'static str) {
    let step = if world.options.behind == Smtp { Step::Rcpt } else { Step::Dot };
    world.mta2.rule(step, "carol@", 1, Act::Reply(reply));
}

fn for_bob_and_carol(world: &World) -> Vec<u8> {
    Forgery::new(&world.company1, &world.company2)
        .signed_for(&["bob@company2.example", "carol@company2.example"])
        .carrier()
}

const WAYS: [(Protocol, Protocol); 4] = [(Smtp, Smtp), (Smtp, Lmtp), (Lmtp, Smtp), (Lmtp, Lmtp)];

async fn world_of_aliases(between: Protocol, behind: Protocol) -> World {
    let inbound2 = "recipients = \"signed\"".to_owned();
    World::with(WorldOptions { between, behind, inbound2, ..WorldOptions::default() }).await
}

/// Where the whole signed list is delivered to, the answer is about the whole of it, whoever the
/// outer recipients are.
#[tokio::test]
async fn signed_list_is_retried_for_whom_it_failed() {
    for (between, behind) in WAYS {
        for to in [&["<sales@company2.example>"][..], &["<sales@company2.example>", BOB]] {
            let world = world_of_aliases(between, behind).await;
            let carrier = for_bob_and_carol(&world);
            refuse_carol(&world, "450 4.2.0 later");
            let gw2 = world.gw2.inbound();
            let what = format!("{between:?} {behind:?} {to:?}");
            for (attempt, code) in [451, 250, 250].into_iter().enumerate() {
                let sent = deliver(gw2, between, ALICE, to, &carrier).await;
                let replies = if between == Smtp { 1 } else { to.len() };
                assert_eq!(sent.end.len(), replies, "{what}");
                assert!(sent.end.iter().all(|r| r.code == code), "{what} {attempt}: {sent:?}");
            }
            assert_eq!(recipients(&world.mta2), [[BOB], [CAROL]], "{what}");
            assert!(world.relay.messages().is_empty(), "nobody is owed a notice");
        }
    }
}

#[tokio::test]
async fn signed_list_is_reported_for_whom_it_failed() {
    for (between, behind) in WAYS {
        let world = world_of_aliases(between, behind).await;
        let carrier = for_bob_and_carol(&world);
        refuse_carol(&world, "550 5.1.1 gone");
        let gw2 = world.gw2.inbound();
        let alias = "<sales@company2.example>";
        let sent = deliver(gw2, between, "<x@evil.example>", &[alias], &carrier).await;
        sent.expect("250");
        assert_eq!(recipients(&world.mta2), [[BOB]]);
        let notice = world.relay.wait(1).await.remove(0);
        assert_eq!(notice.to, [ALICE]);
        let raw = text(&world.relay.raw());
        assert!(!raw.contains("multipart/report") && !raw.contains("carol@"), "{raw}");
        let (report, _) = open(&notice.data, &world.company2, &world.company1);
        let report = text(&report);
        assert!(report.contains("Final-Recipient: rfc822; carol@company2.example"), "{report}");
        assert!(!report.contains("bob@") && !report.contains("sales@"), "{report}");
        // Once more: it is delivered nowhere again, nor reported again.
        refuse_carol(&world, "550 5.1.1 gone");
        deliver(gw2, between, ALICE, &[alias], &carrier).await.expect("250");
        assert_eq!(recipients(&world.mta2), [[BOB]]);
        next_notice(&world, 2).await;
    }
}

/// Causes another notice about sealed mail, to company3, and waits for it: it is the `count`th that
/// left, so none came in between.
async fn next_notice(world: &World, count: usize) {
    let other = Forgery::new(&company3(world), &world.company2)
        .signed_for(&["bob@company2.example", "last@company2.example"]);
    // Where the whole signed list is delivered to, the next hop refuses the last of it; elsewhere
    // mallory is not signed.
    let step = if world.options.behind == Smtp { Step::Rcpt } else { Step::Dot };
    world.mta2.rule(step, "last@", 1, Act::Reply("550 5.1.1 gone"));
    let (gw2, between) = (world.gw2.inbound(), world.options.between);
    let strict = world.options.inbound2.is_empty();
    let outer: &[&str] = if strict { &[BOB, MALLORY] } else { &[BOB] };
    deliver(gw2, between, "<>", outer, &other.carrier()).await.expect("250");
    let notices = world.relay.wait(count).await;
    assert_eq!(notices.len(), count);
    assert_eq!(notices[count - 1].to, ["<alice@company3.example>"]);
}

/// A domain that only tries sealing, whose preferred key cannot be had: the next best will do, but
/// not where the message itself demands sealing.
#[tokio::test]
async fn demand_is_not_met_with_a_weaker_key() {
    let world = World::new().await;
    let mut org = Org::new("company3.example", 70);
    org.suites = vec![Suite::XWing, Suite::X25519];
    let mut draft = org.draft();
    draft.mode = Mode::Testing;
    let policy = draft.sign(&org.domain, &org.identity()).unwrap();
    world.dns.set_txt(org.policy_name(), &[policy.as_bytes()], Authenticity::Insecure);
    let demand = [b"MTA-Seal-Required: yes\r\n", MESSAGE].concat();
    for _ in 0..2 {
        world.send(ALICE, &[XENA], &demand).await.expect("451 4.7.5");
        assert!(world.relay.messages().is_empty() && world.relay.commands("DATA").is_empty());
    }
    world.send(ALICE, &[XENA], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    assert_eq!(open(&carrier.data, &world.company1, &org).0, MESSAGE);
    // That it has been sealed to does not change what the demand says.
    world.send(ALICE, &[XENA], &demand).await.expect("451 4.7.5");
    assert_eq!(world.relay.messages().len(), 1);
    // Of several destinations only this one must wait.
    world.send(ALICE, &[BOB, XENA], &demand).await.expect("451");
    assert_eq!(recipients(&world.relay), [[XENA], [BOB]]);
    // With the key published it is met.
    org.publish(&world.dns);
    world.dns.set_txt(org.policy_name(), &[policy.as_bytes()], Authenticity::Insecure);
    world.send(ALICE, &[BOB, XENA], &demand).await.expect("250");
    assert_eq!(recipients(&world.relay), [[XENA], [BOB], [XENA]]);
    assert!(!contains(&world.relay.raw(), b"canary"));
}

/// A next hop that says yes before it has heard the message has not taken it.
#[tokio::test]
async fn early_acceptance_is_none() {
    let message = large();
    let (half, rest) = message.split_at(message.len() / 2);
    for to in [BOB, EVE] {
        let world = World::new().await;
        world.relay.rule(Step::Middle, "", 1, Act::Reply("250 2.0.0 taken already"));
        let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
        client.begin_data(ALICE, &[to]).await;
        client.send(half).await;
        world.relay.wait_early(1).await;
        client.try_send(&stuff(rest)).await.unwrap();
        let reply = client.reply().await;
        assert!(reply.is("451"), "{to}: {reply:?}");
        assert!(world.relay.messages().is_empty());
        for _ in 0..2 {
            client.transact(Smtp, ALICE, &[to], &message).await.expect("250");
        }
        assert_eq!(recipients(&world.relay), [[to], [to]]);
    }
}

/// The same towards our own MTA: clear and sealed, with either protocol behind.
#[tokio::test]
async fn early_acceptance_inside_is_none() {
    let message = large();
    for behind in [Smtp, Lmtp] {
        for sealed in [false, true] {
            let world = world(Smtp, behind).await;
            let mut forgery = Forgery::new(&world.company1, &world.company2);
            forgery.message = message.clone();
            let octets = if sealed { forgery.carrier() } else { message.clone() };
            let (half, rest) = octets.split_at(octets.len() / 2);
            world.mta2.rule(Step::Middle, "", 1, Act::Reply("250 2.0.0 taken already"));
            let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
            client.begin_data(ALICE, &[BOB]).await;
            client.send(half).await;
            world.mta2.wait_early(1).await;
            client.send(&stuff(rest)).await;
            let reply = client.reply().await;
            assert!(reply.is("451"), "{behind:?} {sealed}: {reply:?}");
            assert!(world.mta2.messages().is_empty());
            client.transact(Smtp, ALICE, &[BOB], &octets).await.expect("250");
            assert!(without_trace(&world.mta2.only().data) == message);
        }
    }
}

/// 354 and 250 in one segment: the second is no answer to the message.
const BOTH: Act = Act::Raw(b"354 go on\r\n250 2.0.0 ok\r\n");

#[tokio::test]
async fn acceptance_along_with_354_is_none() {
    for to in [BOB, EVE] {
        let world = World::new().await;
        world.relay.rule(Step::Data, "", 1, BOTH);
        world.send(ALICE, &[to], MESSAGE).await.expect("451");
        assert!(!contains(&world.relay.raw(), b"canary"));
        assert!(world.relay.messages().is_empty());
        world.send(ALICE, &[to], MESSAGE).await.expect("250");
        assert_eq!(recipients(&world.relay), [[to]]);
    }
}

#[tokio::test]
async fn acceptance_inside_along_with_354_is_none() {
    for behind in [Smtp, Lmtp] {
        for sealed in [false, true] {
            let world = world(Smtp, behind).await;
            let forgery = Forgery::new(&world.company1, &world.company2);
            let octets = if sealed { forgery.carrier() } else { forgery.message.clone() };
            world.mta2.rule(Step::Data, "", 1, BOTH);
            let gw2 = world.gw2.inbound();
            deliver(gw2, Smtp, ALICE, &[BOB], &octets).await.expect("451");
            assert!(!contains(&world.mta2.raw(), b"secret"));
            assert!(world.mta2.messages().is_empty());
            deliver(gw2, Smtp, ALICE, &[BOB], &octets).await.expect("250");
            assert!(without_trace(&world.mta2.only().data) == forgery.message);
        }
    }
}

/// Whoever has a carrier can replay it with recipients of his own; its sender hears of it once.
#[tokio::test]
async fn replays_are_reported_once() {
    let world = World::new().await;
    let octets = Forgery::new(&world.company1, &world.company2).carrier();
    let gw2 = world.gw2.inbound();
    for _ in 0..3 {
        deliver(gw2, Smtp, "<x@evil.example>", &[BOB, MALLORY], &octets).await.expect("250");
    }
    assert_eq!(recipients(&world.mta2), [[BOB]]);
    next_notice(&world, 2).await;
    let notices = recipients(&world.relay);
    assert_eq!(notices[0], [ALICE]);
}

/// Sends a sealed message to bob and an unsigned recipient, and puts `lookup` in the place of the
/// sender's policy before bob's answer, and so before the notice is due.
async fn lose_policy_before_notice(world: &World, lookup: Lookup) {
    let octets = Forgery::new(&world.company1, &world.company2).carrier();
    world.mta2.rule(Step::Dot, "", 1, Act::Hold);
    let change = async {
        world.mta2.wait_held(1).await;
        world.dns.set(world.company1.policy_name(), lookup);
        world.mta2.let_go();
    };
    let gw2 = world.gw2.inbound();
    let (sent, ()) = tokio::join!(deliver(gw2, Smtp, ALICE, &[BOB, MALLORY], &octets), change);
    sent.expect("250");
}

#[tokio::test]
async fn report_about_sealed_mail_never_leaves_in_clear() {
    // Without a policy it is given up.
    let denial = Denial { authenticity: Authenticity::Secure, ttl: Duration::from_secs(60) };
    let world = World::new().await;
    lose_policy_before_notice(&world, Lookup::NxDomain(denial)).await;
    next_notice(&world, 1).await;
    let raw = text(&world.relay.raw());
    assert!(!raw.contains("multipart/report") && !raw.contains("mallory@"), "{raw}");
    // Also if the policy comes back: it was given up.
    world.company1.publish(&world.dns);
    world.clock.advance(HOUR);
    next_notice(&world, 2).await;
}

/// If the policy cannot be looked up the notice waits, and goes sealed.
#[tokio::test]
async fn report_about_sealed_mail_waits_for_the_policy() {
    let world = World::new().await;
    lose_policy_before_notice(&world, Lookup::ServFail { rcode: 2 }).await;
    next_notice(&world, 1).await;
    world.company1.publish(&world.dns);
    world.clock.advance(HOUR);
    let twin = Forgery::new(&company3(&world), &world.company2);
    let gw2 = world.gw2.inbound();
    deliver(gw2, Smtp, "<>", &[BOB, MALLORY], &twin.carrier()).await.expect("250");
    let notices = world.relay.wait(3).await;
    let to_alice: Vec<_> = notices.iter().filter(|notice| notice.to == [ALICE]).collect();
    assert_eq!(to_alice.len(), 1);
    let (report, _) = open(&to_alice[0].data, &world.company2, &world.company1);
    assert!(contains(&report, b"mallory@company2.example"), "{}", text(&report));
    let raw = text(&world.relay.raw());
    assert!(!raw.contains("multipart/report") && !raw.contains("mallory@"), "{raw}");
}

/// Writes a message, shuts the writing half while the next hop thinks about the dot, and reads the
/// reply.
async fn half_closed(client: &mut Client, next_hop: &Sink, to: &[&str], message: &[u8]) -> Reply {
    next_hop.rule(Step::Dot, "bob@", 1, Act::Hold);
    client.begin_data(ALICE, to).await;
    client.send(&stuff(message)).await;
    next_hop.wait_held(1).await;
    client.half_close().await;
    next_hop.let_go();
    client.reply().await
}

/// A client that may have left will come again, so it is told so, and only then is anyone
/// notified.
#[tokio::test]
async fn half_closed_clients_are_told_to_come_again() {
    let world = World::new().await;
    world.relay.rule(Step::Dot, "plain.example", 1, Act::Reply("554 5.7.1 not liked"));
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    let reply = half_closed(&mut client, &world.relay, &[BOB, EVE], MESSAGE).await;
    assert!(reply.is("451"), "{reply:?}");
    world.send(ALICE, &[BOB, EVE], MESSAGE).await.expect("250");
    assert_eq!(recipients(&world.relay), [[BOB]]);
    // One notice: the next one is about something else.
    world.relay.rule(Step::Dot, "plain.example", 1, Act::Reply("554 5.7.1 not liked"));
    let other = [MESSAGE, b"more\r\n"].concat();
    let other = [b"X: y\r\n", &other[..]].concat();
    world.send(ALICE, &[BOB, "<last@plain.example>"], &other).await.expect("250");
    let notices = world.mta1.wait(2).await;
    assert_eq!(notices.len(), 2);
    assert!(contains(&notices[0].data, b"eve@plain.example"));
    assert!(contains(&notices[1].data, b"last@plain.example"));
}

#[tokio::test]
async fn half_closed_clients_with_carriers_are_told_to_come_again() {
    let world = World::new().await;
    let octets = Forgery::new(&world.company1, &world.company2).carrier();
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    let reply = half_closed(&mut client, &world.mta2, &[BOB, MALLORY], &octets).await;
    assert!(reply.is("451"), "{reply:?}");
    let gw2 = world.gw2.inbound();
    deliver(gw2, Smtp, ALICE, &[BOB, MALLORY], &octets).await.expect("250");
    assert_eq!(recipients(&world.mta2), [[BOB]]);
    next_notice(&world, 2).await;
    assert_eq!(world.relay.messages()[0].to, [ALICE]);
}

/// Clear mail over SMTP with LMTP behind: what was delivered is not delivered again, however the
/// retries end.
#[tokio::test]
async fn clear_retry_that_fails_doubles_nothing() {
    for step in [Step::Rcpt, Step::Rset, Step::Data, Step::Middle, Step::Dot] {
        let world = world(Smtp, Lmtp).await;
        let gw2 = world.gw2.inbound();
        let both = [BOB, CAROL];
        world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
        deliver(gw2, Smtp, ALICE, &both, MESSAGE).await.expect("451 4.5.0");
        // Before DATA a lost connection is replaced once, and RSET is of no use on the new one.
        let times = if matches!(step, Step::Rcpt | Step::Data) { 2 } else { 1 };
        world.mta2.rule(step, "", times, Act::Close);
        let dropped = deliver(gw2, Smtp, ALICE, &both, MESSAGE).await;
        world.mta2.clear_rules();
        if step != Step::Rset {
            assert!(dropped.verdict().is("451"), "{step:?}: {dropped:?}");
            deliver(gw2, Smtp, ALICE, &both, MESSAGE).await.expect("250");
        }
        assert_eq!(recipients(&world.mta2), [[BOB], [CAROL]], "{step:?}");
    }
}

/// The same header block and another body: another message, which nobody must miss.
#[tokio::test]
async fn clear_message_with_a_known_header_is_not_swallowed() {
    let other = [MESSAGE, b"more\r\n"].concat();
    for to in [&[BOB, CAROL][..], &[BOB, "<dave@company2.example>"]] {
        for drop in [false, true] {
            let world = world(Smtp, Lmtp).await;
            let gw2 = world.gw2.inbound();
            let both = [BOB, CAROL];
            world.mta2.rule(Step::Dot, "carol@", 1, Act::Reply("450 4.2.0 later"));
            deliver(gw2, Smtp, ALICE, &both, MESSAGE).await.expect("451 4.5.0");
            if drop {
                world.mta2.rule(Step::Middle, "", 1, Act::Close);
                deliver(gw2, Smtp, ALICE, &both, MESSAGE).await.expect("451");
            }
            let before = world.mta2.messages().len();
            let mut sent = deliver(gw2, Smtp, ALICE, to, &other).await;
            if sent.verdict().code == 451 {
                assert_eq!(world.mta2.messages().len(), before, "{to:?}");
                sent = deliver(gw2, Smtp, ALICE, to, &other).await;
            }
            sent.expect("250");
            let bobs = sent_to(&world.mta2, BOB);
            assert_eq!(bobs.len(), 2, "{to:?} {drop}");
            assert!(without_trace(&bobs[1].data) == other);
            assert_eq!(sent_to(&world.mta2, to[1]).len(), 1);
        }
    }
}

/// A header block that ends without an empty line: our trace fields must not turn what follows
/// into header.
#[tokio::test]
async fn body_without_separator_stays_body() {
    let cases: [(&[u8], &[u8]); 2] = [
        (b"", b"no field at all\r\nFrom: ceo@company2.example\r\n\r\nx\r\n"),
        (b"Subject: x\r\n", b"no field\r\nFrom: ceo@company2.example\r\n\r\nx\r\n"),
    ];
    for (fields, body) in cases {
        let message = [fields, body].concat();
        let parted = [fields, b"\r\n", body].concat();
        let world = World::new().await;
        world.send(ALICE, &[EVE], &message).await.expect("250");
        assert_eq!(text(after_field(&world.relay.only().data)), text(&parted));
        let gw2 = world.gw2.inbound();
        deliver(gw2, Smtp, ALICE, &[BOB], &message).await.expect("250");
        let mut forgery = Forgery::new(&world.company1, &world.company2);
        forgery.message = message;
        deliver(gw2, Smtp, ALICE, &[BOB], &forgery.carrier()).await.expect("250");
        let delivered = world.mta2.messages();
        assert_eq!(delivered.len(), 2);
        for one in delivered {
            assert_eq!(text(without_trace(&one.data)), text(&parted));
        }
    }
}
