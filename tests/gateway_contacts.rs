//! Mailboxes that must stay reachable: postmaster, abuse, and the gateway's own [R-uns-08], [R-uns-09].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: your key is broken\r\n\r\nx\r\n";

async fn strict() -> World {
    let extra2 = "[defaults]\ninbound = \"require-sealed\"\npolicy = \"require\"\n[[partner]]\n\
                  domain = \"company1.example\"\ninbound = \"require-sealed\"\n";
    World::with(WorldOptions { extra2: extra2.to_owned(), ..WorldOptions::default() }).await
}

/// In whatever case they are written, from anyone, also from nobody.
#[tokio::test]
async fn contacts_take_clear_mail_from_anyone() {
    let contacts = [
        "<postmaster>",
        "<PostMaster>",
        "<postmaster@company2.example>",
        "<POSTMASTER@Company2.example>",
        "<Abuse@company2.example>",
        "<mta-seal@company2.example>",
    ];
    for protocol in [Smtp, Lmtp] {
        let world = World::with(WorldOptions { between: protocol, ..strict().await.options }).await;
        let gw2 = world.gw2.inbound();
        for from in [ALICE, "<x@stranger.example>", "<>"] {
            for to in contacts {
                deliver(gw2, protocol, from, &[to], MESSAGE).await.expect("250");
            }
            deliver(gw2, protocol, from, &contacts, MESSAGE).await.expect("250");
        }
        let delivered = world.mta2.messages().len();
        assert_eq!(delivered, 3 * (contacts.len() + 1));
        // Nobody else does, nor by standing beside them, nor by a name like theirs.
        let others: [&[&str]; 5] = [
            &[BOB],
            &["<postmaster>", BOB],
            &["<postmaster.x@company2.example>"],
            &["<postmaster+x@company2.example>"],
            &["<mta-seal.x@company2.example>"],
        ];
        for to in others {
            deliver(gw2, protocol, ALICE, to, MESSAGE).await.expect("550 5.7.10");
        }
        assert_eq!(world.mta2.messages().len(), delivered);
        // Nor is there a way to other domains.
        deliver(gw2, protocol, ALICE, &["<postmaster@plain.example>"], MESSAGE)
            .await
            .expect("550 5.7.1");
    }
}

/// Outgoing mail knows no exception.
#[tokio::test]
async fn contacts_of_others_are_sent_to_like_anybody() {
    let world = strict().await;
    for to in ["<postmaster>", "<postmaster@plain.example>", "<mta-seal@plain.example>"] {
        let sent = deliver(world.gw2.outbound(), Smtp, BOB, &[to], MESSAGE).await;
        assert!(sent.verdict().is("550 5.7.10"), "{to}: {sent:?}");
    }
    let to = "<mta-seal@company1.example>";
    deliver(world.gw2.outbound(), Smtp, BOB, &[to], MESSAGE).await.expect("250");
    let carrier = world.relay.only();
    assert_eq!(carrier.to, [to]);
    assert!(!contains(&carrier.data, b"your key is broken"));
}

/// What people and MTAs send to the mailbox that carriers come from reaches the postmaster.
#[tokio::test]
async fn mail_to_the_gateway_reaches_the_postmaster() {
    for behind in [Smtp, Lmtp] {
        let world = World::with(WorldOptions { behind, ..WorldOptions::default() }).await;
        let gw2 = world.gw2.inbound();
        let bounce = b"From: MAILER-DAEMON@relay.example\r\nContent-Type: multipart/report; \
                       report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nno\r\n--b--\r\n";
        for (from, message) in [("<x@stranger.example>", MESSAGE), ("<>", &bounce[..])] {
            for to in ["<mta-seal@company2.example>", "<MTA-Seal@company2.example>"] {
                let before = world.mta2.messages().len();
                deliver(gw2, Smtp, from, &[to], message).await.expect("250");
                let delivered = world.mta2.messages().split_off(before);
                assert_eq!(delivered.len(), 1);
                assert_eq!(delivered[0].to, ["<postmaster@company2.example>"]);
                assert!(delivered[0].from.starts_with(from));
                assert!(without_trace(&delivered[0].data) == message);
            }
        }
        // Sealed as well; the recipient that is signed is still compared in its own spelling.
        let forgery = || Forgery::new(&world.company1, &world.company2);
        let carrier =
            forgery().signed_for(&["mta-seal@company2.example", "bob@company2.example"]).carrier();
        let before = world.mta2.messages().len();
        deliver(gw2, Smtp, ALICE, &["<mta-seal@company2.example>", BOB], &carrier)
            .await
            .expect("250");
        let delivered = world.mta2.messages().split_off(before);
        assert_eq!(delivered[0].to, ["<postmaster@company2.example>", BOB]);
        let carrier = forgery().signed_for(&["postmaster@company2.example"]).carrier();
        deliver(gw2, Smtp, ALICE, &["<mta-seal@company2.example>"], &carrier)
            .await
            .expect("550 5.7.1");
    }
}

/// The next hop's answer about the postmaster is the answer; a notice that cannot be delivered ends there.
#[tokio::test]
async fn no_circles() {
    let world = World::new().await;
    world.mta2.rule(Step::Rcpt, "postmaster@", 1, Act::Reply("450 4.2.1 later"));
    let gw2 = world.gw2.inbound();
    deliver(gw2, Smtp, "<>", &["<mta-seal@company2.example>"], MESSAGE).await.expect("450 4.2.1");
    world.mta2.rule(Step::Dot, "postmaster@", 1, Act::Reply("554 5.3.0 no"));
    deliver(gw2, Smtp, "<>", &["<mta-seal@company2.example>"], MESSAGE).await.expect("554 5.3.0");
    let World { gw2, relay, .. } = world;
    assert!(gw2.stop().await);
    assert!(relay.messages().is_empty(), "{:?}", relay.messages());
}
