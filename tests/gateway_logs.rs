//! One message is found in the logs of both sides: by trace id on each, by envelope id across.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;

#[tokio::test]
async fn one_message_is_found_on_both_sides() {
    let log = Log::of_this_process(tracing::Level::INFO);
    let world = World::new().await;
    let message =
        b"Received: by mx.company1.example (Postfix, from userid 1)\r\n\tid 4XyZ12; today\r\n\
        From: alice@company1.example\r\nSubject: canary\r\n\r\ncanary\r\n";
    let (alice, bob) = ("<alice@company1.example>", "<bob@company2.example>");
    let delivered = world.through(alice, &[bob], message).await;

    let relayed = log.lines("message relayed");
    let verified = log.lines("prefix verified");
    assert_eq!((relayed.len(), verified.len()), (1, 1));
    let envelope = relayed[0]["envelope"].as_str().unwrap();
    assert_eq!(envelope.len(), 64);
    assert_eq!(verified[0]["envelope"], envelope);

    let trace = |line: &serde_json::Value| line["span"]["trace"].as_str().unwrap().to_owned();
    assert_ne!(trace(&relayed[0]), trace(&verified[0]));
    assert_eq!(trace(&log.lines("sealed message")[0]), trace(&verified[0]));
    // The Received field names it, so a person who has the message finds the lines.
    let head = text(&delivered[0].data);
    assert!(head.contains(&format!("id {};", trace(&verified[0]))), "{head}");

    // The queue id of the MTA before us stands on every line since it is known, and leads to the outcome.
    let ends = log.lines("message");
    let sealing = ends.iter().find(|line| line["span"]["queue"] == "4XyZ12").unwrap();
    assert_eq!(trace(sealing), trace(&relayed[0]));
    assert_eq!(relayed[0]["span"]["queue"], "4XyZ12");
    for (key, value) in [
        ("level", "INFO"),
        ("client", "127.0.0.1"),
        ("from", alice),
        ("to", "company2.example"),
        ("result", "accepted"),
    ] {
        assert_eq!(sealing[key], value, "{sealing}");
    }
    assert_eq!((ends.len(), &sealing["recipients"]), (2, &serde_json::json!(1)));
    assert!(sealing["reply"].as_str().unwrap().starts_with("250 "), "{sealing}");
    // On the other side it is whoever handed the carrier on.
    let unsealing = ends.iter().find(|line| trace(line) == trace(&verified[0])).unwrap();
    assert_eq!(unsealing["result"], "accepted");

    let forged =
        b"Received: by mx id 1\x1b[31m\" result=x; today\r\nFrom: a@company1.example\r\n\r\n";
    world.send(alice, &["<nobody@company2.example>"], forged).await.expect("250");
    let last = log.lines("message").pop().unwrap();
    assert_eq!(
        (&last["span"]["queue"], &last["result"]),
        (&serde_json::Value::Null, &serde_json::json!("accepted"))
    );

    // Who is refused at RCPT is in the log too.
    let refused = forward_to(&world, "<eve@elsewhere.example>").await;
    assert_eq!(refused, 550);
    let line = log.lines("recipient refused").pop().unwrap();
    assert_eq!(
        (&line["to"], &line["result"]),
        (&"<eve@elsewhere.example>".into(), &"refused".into())
    );

    let everything = log.text();
    assert!(!everything.contains("canary"), "{everything}");
}

/// The answer of the unsealing side to a recipient.
async fn forward_to(world: &World, recipient: &str) -> u16 {
    let smtp = mta_seal::smtp::Protocol::Smtp;
    deliver(world.gw2.inbound(), smtp, "<a@b.example>", &[recipient], b"").await.rcpt[0].code
}
