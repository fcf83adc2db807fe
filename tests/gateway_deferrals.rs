//! Mail that waits: what the operator is shown, what senders are told, and what an override does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::sync::Arc;

use gateway_support::*;
use mta_seal::core::Domain;
use mta_seal::dns::{Lookup, Scripted};
use mta_seal::records::Mode;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use mta_seal::store::ledger::{
    Allowance, Deferral, Ledger, MAX_DEFERRALS, Operator, OperatorLedger, Scope, Sighting,
};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const CAROL: &str = "<carol@company2.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\nsecret\r\n";
const DEMANDED: &[u8] = b"From: alice@company1.example\r\nMTA-Seal-Required: yes\r\n\r\nsecret\r\n";

/// The deferrals in the ledger once they are `done`: they are written behind the reply.
async fn deferrals(gw: &Gw, done: impl Fn(&[Deferral]) -> bool) -> Vec<Deferral> {
    soon("the ledger", async {
        loop {
            let found = gw.ledger.deferrals(None, MAX_DEFERRALS).await.unwrap();
            if done(&found) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn break_dns(world: &World) {
    world.dns.set(world.company2.policy_name(), Lookup::Timeout);
}

fn operator(gw: &Gw) -> OperatorLedger {
    OperatorLedger::open(&gw.directory().join("ledger.sqlite")).unwrap()
}

fn root() -> Operator {
    Operator { uid: 0, login: "root".to_owned() }
}

fn allow(gw: &Gw, domain: &Domain, seconds: u64) -> Allowance {
    let now = gw.clock.now_seconds();
    operator(gw).allow(domain, now, now + seconds, "their key expired", &root()).unwrap()
}

#[tokio::test]
async fn a_recipient_waits_in_the_ledger_until_it_is_settled() {
    let world = World::new().await;
    break_dns(&world);
    for attempt in 1..=2 {
        world.send(ALICE, &[BOB], MESSAGE).await.expect("451 4.7.10");
        let found =
            deferrals(&world.gw1, |all| all.first().is_some_and(|d| d.attempts == attempt)).await;
        let [waits] = &found[..] else { panic!("{found:?}") };
        assert_eq!((waits.scope, waits.domain.as_str()), (Scope::Outgoing, "company2.example"));
        assert_eq!(waits.sender, "alice@company1.example");
        assert_eq!(waits.recipient, "bob@company2.example");
        assert_eq!(waits.cause.reason, "policy-unknown");
        assert!(waits.cause.words.ends_with("do not answer (lookup-timeout)"), "{waits:?}");
        assert!(waits.cause.reply.starts_with("451 4.7.10 "), "{waits:?}");
        assert!(!waits.cause.trace.is_empty());
        assert_eq!(waits.first_seen, NOW);
        assert_eq!(waits.last_seen, NOW + (attempt - 1) * 600);
        world.clock.advance(600);
    }
    // The next hop's own reply, at RCPT and at the final dot.
    world.company2.publish(&world.dns);
    for (step, reply) in [(Step::Rcpt, "450 4.2.0 greylisted"), (Step::Dot, "452 4.3.1 disk full")]
    {
        world.relay.rule(step, "", 1, Act::Reply(reply));
        world.send(ALICE, &[BOB], MESSAGE).await.expect(&reply[..9]);
        let found = deferrals(&world.gw1, |all| all.iter().any(|d| d.cause.reply == reply)).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].cause.reason, "next-hop-reply");
        assert!(found[0].cause.words.ends_with(&reply[10..]), "{found:?}");
        assert_eq!(found[0].first_seen, NOW);
    }
    world.send(ALICE, &[BOB], MESSAGE).await.expect("250");
    deferrals(&world.gw1, <[Deferral]>::is_empty).await;
    // Refused for good is settled as well.
    break_dns(&world);
    world.relay.rule(Step::Rcpt, "", 1, Act::Reply("450 4.2.0 greylisted"));
    world.send(ALICE, &["<dave@plain.example>"], MESSAGE).await.expect("450");
    deferrals(&world.gw1, |all| all.len() == 1).await;
    world.relay.rule(Step::Rcpt, "", 1, Act::Reply("550 5.1.1 no such user"));
    world.send(ALICE, &["<dave@plain.example>"], MESSAGE).await.expect("550");
    deferrals(&world.gw1, <[Deferral]>::is_empty).await;
}

#[tokio::test]
async fn mail_that_comes_in_and_waits_is_seen_too() {
    let inbound2 = "xforward = [\"127.0.0.1\"]".to_owned();
    let world =
        World::with(WorldOptions { behind: Lmtp, inbound2, ..WorldOptions::default() }).await;
    let carrier = world.carrier(MESSAGE).await;
    world.mta2.rule(Step::Dot, "", 1, Act::Reply("452 4.2.2 over quota"));
    world.forward(&carrier).await.expect("452 4.2.2");
    let found = deferrals(&world.gw2, |all| !all.is_empty()).await;
    let [waits] = &found[..] else { panic!("{found:?}") };
    assert_eq!((waits.scope, waits.domain.as_str()), (Scope::Incoming, "company1.example"));
    assert_eq!(waits.recipient, "bob@company2.example");
    // The MTA of ours that handed it on has written it into the topmost field.
    let trace = b"Received: from gw by relay.example with ESMTP id 4Relay9; x\r\n";
    let relayed = Message { data: [&trace[..], &carrier.data].concat(), ..carrier.clone() };
    world.mta2.rule(Step::Dot, "", 1, Act::Reply("452 4.2.2 over quota"));
    world.forward(&relayed).await.expect("452 4.2.2");
    let named = |all: &[Deferral]| all.iter().any(|d| d.cause.queue.as_deref() == Some("4Relay9"));
    deferrals(&world.gw2, named).await;
    world.forward(&carrier).await.expect("250");
    deferrals(&world.gw2, <[Deferral]>::is_empty).await;
    // A stranger who is turned away at the door is no news.
    let to = ["<x@elsewhere.example>"];
    deliver(world.gw2.inbound(), Smtp, ALICE, &to, MESSAGE).await.expect("550 5.7.1");
    assert_eq!(world.gw2.ledger.deferrals(None, 9).await, Ok(Vec::new()));
}

struct Delayed {
    dns: Arc<Scripted>,
    inside: Sink,
    _relay: Sink,
    gw: Gw,
}

/// A gateway that tells of delays, and a partner whose policy cannot be had.
async fn delayed() -> Delayed {
    let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
    let one = Org::new("company1.example", 10);
    one.publish(&dns);
    for name in ["company2.example", "company3.example"] {
        dns.set(Org::new(name, 20).policy_name(), Lookup::Timeout);
    }
    let (relay, inside) = (Sink::smtp().await, Sink::smtp().await);
    let mut spec = Spec::new(&one).outbound(Smtp, &relay.url).inbound(Smtp, &inside.url);
    spec.outbound_extra = "delay_notice = \"4h\"\n".to_owned();
    let gw = Gw::start(&spec, &dns, &clock).await;
    Delayed { dns, inside, _relay: relay, gw }
}

impl Delayed {
    async fn send(&self, from: &str, to: &[&str]) {
        deliver(self.gw.outbound(), Smtp, from, to, MESSAGE).await.expect("451 4.7.10");
    }
}

/// A stranger can write any queue id into a Received field, and a proxy that speaks for one by XCLIENT writes none.
#[tokio::test]
async fn strangers_name_no_queue_id() {
    let listed = "xforward = [\"127.0.0.1\"]\nxclient = [\"127.0.0.1\"]";
    let field = b"Received: from a by b with ESMTP id 4Forged9; x\r\n";
    for (inbound2, said, named) in [
        ("", "", None),
        ("xclient = [\"127.0.0.1\"]", "", None),
        (listed, "XCLIENT ADDR=192.0.2.7", None),
        (listed, "XFORWARD IDENT=4Told1", Some("4Told1")),
        (listed, "XFORWARD ADDR=192.0.2.7", Some("4Forged9")),
        (listed, "", Some("4Forged9")),
    ] {
        let inbound2 = inbound2.to_owned();
        let world =
            World::with(WorldOptions { behind: Lmtp, inbound2, ..WorldOptions::default() }).await;
        let sealed = world.carrier(MESSAGE).await.data;
        for message in [&sealed[..], MESSAGE] {
            let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
            if !said.is_empty() {
                client.command(said).await;
            }
            if said.starts_with("XCLIENT") {
                client.hello(Smtp).await;
            }
            world.mta2.rule(Step::Dot, "", 1, Act::Reply("452 4.2.2 over quota"));
            let message = [&field[..], message].concat();
            client.transact(Smtp, ALICE, &[BOB], &message).await.expect("452 4.2.2");
            let found = deferrals(&world.gw2, |all| !all.is_empty()).await;
            assert_eq!(
                found[0].cause.queue.as_deref(),
                named,
                "{inbound2} {said}",
                inbound2 = world.options.inbound2
            );
            client.transact(Smtp, ALICE, &[BOB], &message).await.expect("250");
            deferrals(&world.gw2, <[Deferral]>::is_empty).await;
        }
    }
}

#[tokio::test]
async fn a_sender_is_told_of_a_delay_once_for_a_domain_and_day() {
    let world = delayed().await;
    let bob = "<bob@company2.example> ORCPT=rfc822;robert@company2.example";
    let to = [bob, CAROL];
    world.send(ALICE, &to).await;
    for _ in 0..3 {
        world.gw.clock.advance(HOUR);
        world.send(ALICE, &to).await;
    }
    assert!(world.inside.messages().is_empty());
    world.gw.clock.advance(HOUR);
    // Another domain begins to wait only now.
    world.send(ALICE, &["<dave@company3.example>"]).await;
    world.send(ALICE, &to).await;
    let notice = world.inside.wait(1).await.remove(0);
    assert_eq!(
        (notice.from.split(' ').next(), &notice.to[..]),
        (Some("<>"), &[ALICE.to_owned()][..])
    );
    // Quoted-printable and folded lines put together again.
    let report = text(&notice.data).replace("=\r\n", "").replace("\r\n\t", " ");
    for part in [
        "Action: delayed",
        "Original-Recipient: rfc822; robert@company2.example",
        "Final-Recipient: rfc822; bob@company2.example",
        "Final-Recipient: rfc822; carol@company2.example",
        "policy of the domain cannot be used: the name servers do not answer (lookup-timeout). The server keeps trying.",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(!report.contains("secret") && !report.contains("dave@"), "{report}");

    // The other domain has its own notice; this one has none before a day has gone.
    for hours in [4, 15] {
        world.gw.clock.advance(hours * HOUR);
        world.send(ALICE, &to).await;
        world.send(ALICE, &["<dave@company3.example>"]).await;
    }
    let notices = world.inside.wait(2).await;
    assert!(text(&notices[1].data).contains("dave@company3.example"));
    assert_eq!(notices.len(), 2);
    world.gw.clock.advance(6 * HOUR);
    world.send(ALICE, &to).await;
    let again = world.inside.wait(3).await.remove(2);
    assert!(text(&again.data).contains("bob@company2.example"));
    assert!(world.gw.stop().await);
    assert_eq!(world.inside.messages().len(), 3);
    drop(world.dns);
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask_is_foreign_or_null() {
    let world = delayed().await;
    for hours in [0, 5] {
        world.gw.clock.advance(hours * HOUR);
        world.send("<>", &[BOB]).await;
        world.send("<mallory@elsewhere.example>", &[BOB]).await;
        world.send("<carol@company1.example>", &["<bob@company2.example> NOTIFY=NEVER"]).await;
        world.send("<dave@company1.example>", &["<bob@company2.example> NOTIFY=FAILURE"]).await;
        world.send(ALICE, &["<bob@company2.example> NOTIFY=FAILURE,DELAY"]).await;
    }
    world.inside.wait(1).await;
    deferrals(&world.gw, |all| all.len() == 5 && all.iter().all(|d| d.attempts == 2)).await;
    assert!(world.gw.stop().await);
    let notices = world.inside.messages();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].to, [ALICE]);
}

#[tokio::test]
async fn an_override_lets_mail_go_clear_while_it_lasts_and_each_message_alarms() {
    const ALARM: &str = "mail goes clear by an operator's override";
    let log = Log::of_this_process(tracing::Level::INFO);
    // A name of its own, since the log is that of all tests of this process.
    let world = World::new().await;
    let partner = Org::new("overridden.example", 60);
    let partner = &partner;
    let to = ["<erin@overridden.example>"];
    let alarms = || {
        let lines = log.lines(ALARM);
        lines.into_iter().filter(|line| line["domain"] == "overridden.example").collect::<Vec<_>>()
    };
    partner.publish(&world.dns);
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    let clear = |n: usize| contains(&world.relay.messages()[n].data, b"secret");
    assert!(!clear(0));
    // Their policy breaks; it is remembered that they enforce.
    let mut draft = partner.draft();
    draft.mode = Mode::Enforce;
    draft.serial += 1;
    let enforcing = draft.sign(&partner.domain, &partner.identity()).unwrap();
    partner.publish_text(&world.dns, &enforcing);
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    partner.publish_text(&world.dns, "v=MTASEAL1; broken");
    world.clock.advance(400 * DAY);

    let mut sent = 2;
    world.send(ALICE, &to, MESSAGE).await.expect("451");
    let given = allow(&world.gw1, &partner.domain, 4 * HOUR);
    for n in 0..2 {
        world.send(ALICE, &to, MESSAGE).await.expect("250");
        assert!(clear(sent));
        sent += 1;
        assert_eq!(alarms().len(), n + 1);
    }
    let line = &alarms()[0];
    assert_eq!(
        (line["level"].as_str(), line["allowance"].as_i64()),
        (Some("WARN"), Some(given.id))
    );
    assert!(line["span"]["trace"].is_string(), "{line}");
    // Not for a message that demands to be sealed, nor for anybody else.
    world.send(ALICE, &to, DEMANDED).await.expect("451");
    break_dns(&world);
    world.send(ALICE, &[BOB], MESSAGE).await.expect("451");
    // What can be sealed is sealed.
    partner.publish_text(&world.dns, &{
        let mut draft = partner.draft();
        draft.serial += 2;
        draft.expiry = world.clock.now_seconds() + 30 * DAY;
        draft.sign(&partner.domain, &partner.identity()).unwrap()
    });
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    assert!(!clear(sent));
    sent += 1;
    assert_eq!(alarms().len(), 3, "two messages, and the one that was held back after RCPT");

    // It ends by itself, and by hand; nothing restarts in between.
    partner.publish_text(&world.dns, "v=MTASEAL1; broken");
    world.clock.advance(400 * DAY);
    world.send(ALICE, &to, MESSAGE).await.expect("451");
    allow(&world.gw1, &partner.domain, HOUR);
    world.send(ALICE, &to, MESSAGE).await.expect("250");
    assert!(clear(sent));
    let ended = operator(&world.gw1);
    let ended = ended.disallow(&partner.domain, world.clock.now_seconds(), &root()).unwrap();
    assert_eq!(ended.len(), 1);
    world.send(ALICE, &to, MESSAGE).await.expect("451");
    let all = world.gw1.ledger.allowances(10).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all[0].ended.is_some() && all[1].ended.is_none());
}

#[tokio::test]
async fn a_probe_sees_how_a_notice_left() {
    let world = World::new().await;
    let watch = |to: &str| operator(&world.gw1).watch(to, NOW, 60).unwrap();
    let sealed = watch("bob@company2.example");
    let clear = watch("dave@plain.example");
    let never = watch("erin@plain.example");
    let subject = b"Subject: Undelivered Mail\r\n\r\nx\r\n";
    // Mail with a reverse-path is no notice.
    world.send(ALICE, &["<erin@plain.example>"], MESSAGE).await.expect("250");
    world.send("<>", &[BOB], subject).await.expect("250");
    world.send("<>", &["<dave@plain.example>"], subject).await.expect("250");
    let seen = |probe| {
        let ledger = &world.gw1.ledger;
        soon("a sighting", async move {
            loop {
                if let Some(seen) = ledger.sighting(probe).await.unwrap() {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let how = |sighting: Sighting| (sighting.seen, sighting.how);
    assert_eq!(how(seen(sealed).await), (NOW, "sealed".to_owned()));
    assert_eq!(how(seen(clear).await), (NOW, "clear".to_owned()));
    assert_eq!(world.gw1.ledger.sighting(never).await, Ok(None));
}
