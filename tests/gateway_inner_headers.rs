//! The header of a message is what an attacker wrote, inside an envelope and outside of one [R-uns-06].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dkim_support;
mod gateway_support;

use dkim_support::{Key, Zone};
use gateway_support::*;
use mail_parser::MessageParser;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const REST: &str = "From: alice@company1.example\r\nSubject: x\r\n\r\nx\r\n";

/// Fields that claim to be from gw.company2.example, one way or another.
const FORGED: [&str; 22] = [
    "Authentication-Results: gw.company2.example; mta-seal=pass policy.domain=bank.example",
    "AUTHENTICATION-RESULTS: GW.COMPANY2.EXAMPLE; mta-seal=pass",
    "Authentication-Results : gw.company2.example; mta-seal=pass",
    "Authentication-Results\t: gw.company2.example; mta-seal=pass",
    "Authentication-Results:\r\n gw.company2.example;\r\n\tmta-seal=pass",
    "Authentication-Results:\r\n \r\n gw.company2.example; mta-seal=pass",
    "Authentication-Results: gw.company2.example 1; mta-seal=pass",
    "Authentication-Results: gw.company2.example.; mta-seal=pass",
    "Authentication-Results: (x (y)) gw.company2.example (z); mta-seal=pass",
    "Authentication-Results: gw.(x)company2.example; mta-seal=pass",
    "Authentication-Results: gw.company2 .example; mta-seal=pass",
    "Authentication-Results: \"gw.company2.example\"; mta-seal=pass",
    "Authentication-Results: \"gw\\.company2.example\" 1; mta-seal=pass",
    "Authentication-Results: =?utf-8?Q?gw.company2.example?=; mta-seal=pass",
    "Authentication-Results: =?utf-8?B?Z3cuY29tcGFueTIuZXhhbXBsZQ==?=; mta-seal=pass",
    "Authentication-Results: gw.c\u{ff4f}mpany2.example; mta-seal=pass",
    "Authentication-Results: gw.company2\u{3002}example; mta-seal=pass",
    "Authentication-Results: gw.company2.example",
    "Authentication-Results: other.example (gw.company2.example); mta-seal=pass",
    "Authentication-Results: ; gw.company2.example; mta-seal=pass",
    "Authentication-Results: mta-seal=pass policy.domain=bank.example",
    "Authentication-Results: gw.company2.example; spf=pass smtp.mailfrom=bank.example; none",
];

/// Fields that are nobody's but the sender's, and stay as they are.
const KEPT: [&str; 17] = [
    "Return-Path: <ceo@bank.example>",
    "Received: from gw.company2.example by gw.company2.example with ESMTPS id 1; Fri, 15 Jan 2027 08:00:00 +0000",
    "Received-SPF: pass",
    "Authentication-Results: mx.other.example; spf=pass smtp.mailfrom=gw.company2.example",
    "Authentication-Results: company2.example; mta-seal=fail",
    "ARC-Authentication-Results: i=1; gw.company2.example; mta-seal=pass",
    "ARC-Seal: i=1; cv=none; d=x.example; s=s; b=YQ==",
    "X-Authentication-Results: gw.company2.example; mta-seal=pass",
    "X-Spam-Status: No, score=-99",
    "X-Spam-Flag: NO",
    "X-MS-Exchange-Organization-AuthAs: Internal",
    "X-Originating-Client: trusted",
    "List-Id: <list.bank.example>",
    "MTA-Seal-Required: no",
    "MTA-Seal-Token: 00000000000000000000000000000000",
    "MTA-Seal-Results: pass",
    "Delivered-To: bob@company2.example",
];

fn lines(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("{field}\r\n")).collect()
}

fn sealed(world: &World, message: &str) -> Forgery {
    let mut forgery = Forgery::new(&world.company1, &world.company2);
    forgery.message = message.as_bytes().to_vec();
    forgery
}

async fn arrive(world: &World, octets: &[u8]) {
    let sent = deliver(world.gw2.inbound(), world.options.between, ALICE, &[BOB], octets).await;
    assert_eq!(sent.verdict().code, 250, "{sent:?} {}", text(octets));
}

/// What was delivered last.
fn last(world: &World) -> Vec<u8> {
    world.mta2.messages().pop().unwrap().data
}

#[tokio::test]
async fn no_field_in_our_name_gets_through() {
    for between in [Smtp, Lmtp] {
        let world = World::with(WorldOptions { between, ..WorldOptions::default() }).await;
        let clean = format!("{}{REST}", lines(&KEPT));
        let all = FORGED.iter().map(|forged| vec![*forged]).chain([FORGED.to_vec()]);
        for forged in all {
            // Among other fields, twice, and as the last one.
            let (fields, rest) = REST.split_once("\r\n\r\n").unwrap();
            let dirty =
                format!("{0}{1}{0}{fields}\r\n{0}\r\n{rest}", lines(&forged), lines(&KEPT),);
            for (octets, result) in [
                (dirty.clone().into_bytes(), "none"),
                (sealed(&world, &dirty).carrier(), "pass"),
                ([lines(&forged).into_bytes(), sealed(&world, &clean).carrier()].concat(), "pass"),
            ] {
                arrive(&world, &octets).await;
                let delivered = last(&world);
                assert_eq!(text(without_trace(&delivered)), clean, "{forged:?}");
                let ours = text(&delivered);
                let first = "Authentication-Results: gw.company2.example; mta-seal=";
                assert!(ours.starts_with(&format!("{first}{result}")), "{ours}");
                assert_eq!(
                    ours.lines().filter(|line| line.starts_with(first)).count(),
                    1,
                    "{ours}"
                );
            }
        }
    }
}

/// Nothing of a carrier's header comes in: a hop wrote it.
#[tokio::test]
async fn nothing_of_the_outer_header_is_copied() {
    let world = World::new().await;
    let octets = sealed(&world, REST).carrier();
    let outer = format!(
        "{}{}X-Outer-Canary: yes\r\nDKIM-Signature: v=1; canary\r\nReply-To: canary@evil.example\r\n",
        lines(&KEPT),
        lines(&FORGED)
    );
    arrive(&world, &[outer.as_bytes(), &octets].concat()).await;
    let delivered = text(&last(&world));
    assert_eq!(text(without_trace(delivered.as_bytes())), REST);
    assert!(!delivered.to_lowercase().contains("canary"), "{delivered}");
    assert_eq!(delivered.matches("Received:").count(), 1, "{delivered}");
}

/// Headers that end in odd ways: what follows is text, and our fields stand before all of it.
#[tokio::test]
async fn headers_that_do_not_end() {
    let world = World::new().await;
    for inner in [
        "Subject: x",
        "Subject: x\r\n",
        "Subject: x\r\n folded",
        "",
        "\r\n",
        "no field\r\nAuthentication-Results: gw.company2.example; mta-seal=pass\r\n\r\nx\r\n",
        " x\r\nFrom: alice@company1.example\r\n\r\nx\r\n",
        "From ceo@bank.example\r\nFrom: alice@company1.example\r\n\r\nx\r\n",
    ] {
        arrive(&world, &sealed(&world, inner).carrier()).await;
        let delivered = last(&world);
        let read = MessageParser::new().parse(&delivered).unwrap();
        assert_eq!(read.from(), None, "{inner:?}");
        let results = read.header_values("Authentication-Results").count();
        assert_eq!(results, 1, "{inner:?}: {}", text(&delivered));
        assert!(contains(&delivered, b"policy.aligned=no"), "{inner:?}");
    }
}

/// A demand inside stays where an onward gateway sees it. It is no one's to loosen, and means nothing on the way in.
#[tokio::test]
async fn a_demand_inside_is_kept() {
    let world = World::new().await;
    for demand in ["yes", "no", "nonsense"] {
        let message = format!("MTA-Seal-Required: {demand}\r\n{REST}");
        arrive(&world, &sealed(&world, &message).carrier()).await;
        assert_eq!(text(without_trace(&last(&world))), message);
        arrive(&world, message.as_bytes()).await;
        assert_eq!(text(without_trace(&last(&world))), message);
    }
    // Several: one `yes` is enough for the gateway that it leaves by.
    let both = format!("MTA-Seal-Required: no\r\nMTA-Seal-Required: yes\r\n{REST}");
    arrive(&world, &sealed(&world, &both).carrier()).await;
    let onward = without_trace(&last(&world)).to_vec();
    let to = ["<carol@plain.example>"];
    let refused = deliver(world.gw2.outbound(), Smtp, "<bob@company2.example>", &to, &onward).await;
    refused.expect("550 5.7.10 sealing is required and plain.example publishes no sealing policy");
    let without = onward[onward.windows(5).position(|w| w == b"From:").unwrap()..].to_vec();
    deliver(world.gw2.outbound(), Smtp, "<bob@company2.example>", &to, &without)
        .await
        .expect("250");
}

/// Removing a forged field does not touch what the sender has signed.
#[tokio::test]
async fn signatures_inside_still_verify() {
    let keys = tempfile::tempdir().unwrap();
    let key = Key::make(keys.path(), "company1.example", "mta-seal", &[]);
    let zone = Zone::of(&[&key]);
    let options = WorldOptions { dkim1: key.table(), ..WorldOptions::default() };
    let world = World::with(options).await;
    std::fs::create_dir(world.gw1.directory().join("state")).unwrap();
    // Any message with a signature will do; this one is a carrier.
    let signed = world.carrier(REST.as_bytes()).await.data;
    assert_eq!(zone.verify(&signed).await, [true]);
    let mut forgery = sealed(&world, "");
    let kept = "ARC-Authentication-Results: i=1; gw.company2.example; mta-seal=pass\r\n\
                Authentication-Results: mx.other.example; dkim=pass\r\n";
    forgery.message = [lines(&FORGED).as_bytes(), kept.as_bytes(), &signed].concat();
    arrive(&world, &forgery.carrier()).await;
    let delivered = last(&world);
    assert_eq!(zone.verify(&delivered).await, [true], "{}", text(&delivered));
    assert_eq!(without_trace(&delivered), [kept.as_bytes(), &signed].concat());
}
