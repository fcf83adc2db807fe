//! Notices that a message was relayed to a next hop that sends none (RFC 3461 section 5.2.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::sync::Arc;

use gateway_support::*;
use mta_seal::dns::Scripted;
use mta_seal::smtp::Protocol;

const ALICE: &str = "<alice@company1.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\nsecret\r\n";

/// Sealed and clear mail over a hop without DSN: a notice to the inside for those that asked, and no other.
#[tokio::test]
async fn outgoing_success_is_reported_as_relayed() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
        let (one, two) = (Org::new("company1.example", 10), Org::new("company2.example", 20));
        one.publish(&dns);
        two.publish(&dns);
        let relay = SinkOptions::new(protocol).without("DSN").start().await;
        let inside = Sink::smtp().await;
        let spec = Spec::new(&one)
            .outbound(Protocol::Smtp, &relay.url)
            .inbound(Protocol::Smtp, &inside.url);
        let gw = Gw::start(&spec, &dns, &clock).await;
        let to = [
            "<bob@company2.example> NOTIFY=SUCCESS ORCPT=rfc822;bob@company2.example",
            "<carol@company2.example> NOTIFY=FAILURE",
            "<dave@plain.example> NOTIFY=SUCCESS,FAILURE",
            "<eve@plain.example>",
        ];
        deliver(gw.outbound(), Protocol::Smtp, ALICE, &to, MESSAGE).await.expect("250");
        let notice = inside.wait(1).await.remove(0);
        assert_eq!(notice.to, [ALICE]);
        let report = text(&notice.data);
        assert_eq!(report.matches("Action: relayed").count(), 2, "{report}");
        assert!(report.contains("bob@") && report.contains("dave@"), "{report}");
        assert!(!report.contains("carol@") && !report.contains("eve@"), "{report}");
        assert!(!report.contains("secret"), "{report}");
    }
}

/// A sealed message that is delivered to an MTA without DSN: once, sealed to its sender; clear mail gets nothing.
#[tokio::test]
async fn incoming_success_is_reported_once_to_an_authentic_sender() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let world = World::new().await;
        let mta = SinkOptions::new(protocol).without("DSN").start().await;
        let spec = Spec::new(&world.company2)
            .outbound(Protocol::Smtp, &world.relay.url)
            .inbound(Protocol::Smtp, &mta.url);
        // The gateway's own notice needs no client's address.
        let outbound_extra = "clients = [\"10.0.0.0/8\"]\n".to_owned();
        let spec = Spec { outbound_extra, ..spec };
        let gw = Gw::start(&spec, &world.dns, &world.clock).await;
        let mut client = Client::connect(gw.inbound()).await;
        let offered = client.hello(Protocol::Smtp).await;
        assert!(!offered.text.contains("DSN"), "{offered:?}");
        let bob = "<bob@company2.example> NOTIFY=SUCCESS";
        let plain = "<bob@company2.example>";
        deliver(gw.inbound(), Protocol::Smtp, ALICE, &[plain], MESSAGE).await.expect("250");
        world.send(ALICE, &[bob], MESSAGE).await.expect("250");
        // The hop before was not offered DSN; what was signed still asks for the notice.
        let mut carrier = world.relay.wait(1).await.remove(0);
        carrier.to = vec![plain.to_owned()];
        for _ in 0..2 {
            forward(gw.inbound(), Protocol::Smtp, &carrier).await.expect("250");
        }
        let notice = world.relay.wait(2).await.remove(1);
        let (report, _) = open(&notice.data, &world.company2, &world.company1);
        assert!(text(&report).contains("Action: relayed"), "{}", text(&report));
        assert!(gw.stop().await);
        assert_eq!((world.relay.messages().len(), mta.messages().len()), (2, 2));
    }
}
