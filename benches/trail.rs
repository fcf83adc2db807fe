//! What the audit trail costs: messages per second through a gateway with it and without, A B A B in one run, each round with a
//! fresh ledger. Ends with an error if a gateway with the trail keeps less than 80 % of its rate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/gateway_support/mod.rs"]
mod gateway_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_support::{Client, Gw, Message, Org, Sink, Spec, TestClock};
use mta_seal::dns::Scripted;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::Options;

/// Connections at once, and messages on each.
const CLIENTS: usize = 16;
const MESSAGES: usize = 40;
/// Pairs of rounds.
const PAIRS: usize = 7;
/// Octets of text in a message.
const TEXT: usize = 4_000;
/// Least part of the rate that must be left.
const LEAST: f64 = 0.8;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut sealing, mut unsealing) = (Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        let with = runtime.block_on(round(true));
        let without = runtime.block_on(round(false));
        // The first warms everything up.
        if pair > 0 {
            sealing.push((with.0, without.0));
            unsealing.push((with.1, without.1));
        }
    }
    let kept =
        [("sealing", sealing), ("unsealing", unsealing)].map(|(name, pairs)| show(name, pairs));
    if kept.iter().any(|kept| *kept < LEAST) {
        std::process::exit(1);
    }
}

/// The part of the rate that is left: the median over the pairs.
fn show(name: &str, pairs: Vec<(Duration, Duration)>) -> f64 {
    let rate = |took: Duration| (CLIENTS * MESSAGES) as f64 / took.as_secs_f64();
    let mut ratios: Vec<f64> =
        pairs.iter().map(|(with, without)| rate(*with) / rate(*without)).collect();
    ratios.sort_by(f64::total_cmp);
    let kept = ratios[ratios.len() / 2];
    let mean = |of: fn(&(Duration, Duration)) -> Duration| {
        pairs.iter().map(|pair| rate(of(pair))).sum::<f64>() / pairs.len() as f64
    };
    let verdict = if kept < LEAST { "FAIL" } else { "ok" };
    println!(
        "{name}: {:.0} messages/s with the trail, {:.0} without; kept {kept:.2} (from {:.2} to {:.2}), at least {LEAST} {verdict}",
        mean(|pair| pair.0),
        mean(|pair| pair.1),
        ratios[0],
        ratios[ratios.len() - 1],
    );
    kept
}

/// The times that all messages take through the sealing gateway, and their carriers through the unsealing one.
async fn round(trail: bool) -> (Duration, Duration) {
    let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
    let company1 = Org::new("company1.example", 10);
    let company2 = Org::new("company2.example", 20);
    company1.publish(&dns);
    company2.publish(&dns);
    let (relay, mta2) = (Sink::smtp().await, Sink::smtp().await);
    let ledger = Options { trail, ..Options::default() };
    let mut spec1 = Spec::new(&company1).outbound(Smtp, &relay.url);
    let mut spec2 = Spec::new(&company2).inbound(Smtp, &mta2.url);
    (spec1.ledger, spec2.ledger) = (ledger.clone(), ledger);
    let gw1 = Gw::start(&spec1, &dns, &clock).await;
    let gw2 = Gw::start(&spec2, &dns, &clock).await;

    let message = |number: usize| {
        Message {
        from: "<alice@company1.example>".to_owned(),
        to: vec!["<bob@company2.example>".to_owned()],
        // As Postfix marks it.
        data: format!(
            "Received: by mail.company1.example (Postfix)\r\n\tid 4{number:08X}; Fri, 27 Nov 2026 05:00:00 +0000\r\n\
             Message-ID: <{number}@company1.example>\r\n\r\n{}",
            format!("{}\r\n", "x".repeat(76)).repeat(TEXT / 78)
        )
        .into_bytes(),
        tls: false,
    }
    };
    let sealing = send(gw1.outbound(), (0..CLIENTS * MESSAGES).map(message).collect()).await;
    let unsealing = send(gw2.inbound(), relay.messages()).await;
    assert_eq!(mta2.messages().len(), CLIENTS * MESSAGES);
    gw1.stop().await;
    gw2.stop().await;
    (sealing, unsealing)
}

/// How long it takes until all are accepted.
async fn send(address: std::net::SocketAddr, messages: Vec<Message>) -> Duration {
    let mut clients = Vec::new();
    for share in messages.chunks(MESSAGES) {
        clients.push((Client::greeted(address, Smtp).await, share.to_vec()));
    }
    let started = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|(mut client, share)| {
            tokio::spawn(async move {
                for message in share {
                    let to: Vec<&str> = message.to.iter().map(String::as_str).collect();
                    client.transact(Smtp, &message.from, &to, &message.data).await.expect("250");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    started.elapsed()
}
