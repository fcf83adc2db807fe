//! `bypass` beside a running gateway, with a DNS server and an MTA that the test plays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod gateway_support;

use std::path::{Path, PathBuf};

use cli_support::{Daemon, mta_seal, name, program};
use gateway_support::*;
use mta_seal::dns::authority::{Authority, ZoneSpec};
use mta_seal::smtp::Protocol::Smtp;

const DSN: &[u8] = b"From: MAILER-DAEMON@company1.example\r\nSubject: Undelivered\r\n\r\nx\r\n";

/// Makes keys and a policy in `dir` and publishes them.
fn organisation(dns: &Authority, dir: &Path, domain: &str) -> PathBuf {
    let place = dir.join(domain);
    let made = mta_seal(&["init", "--domain", domain, "--dir", place.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    let config = place.join("mta-seal.toml");
    let zone = mta_seal(&["zone", "--format", "json", "--config", config.to_str().unwrap()]);
    let records: Vec<serde_json::Value> = serde_json::from_slice(&zone.stdout).unwrap();
    assert!(!records.is_empty());
    for record in records {
        let value = record["value"].as_str().unwrap().as_bytes();
        dns.set_txt(&name(record["name"].as_str().unwrap()), &[value]).unwrap();
    }
    place
}

/// The exit code and what was printed, times left out.
async fn bypass(config: &Path, arguments: &[&str]) -> (i32, String) {
    let config = config.to_str().unwrap().to_owned();
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let run = tokio::task::spawn_blocking(move || {
        let mut all = vec!["bypass", "--no-postfix", "--config", &config];
        all.extend(arguments.iter().map(String::as_str));
        mta_seal(&all)
    });
    let output = soon("bypass", run).await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let mut lines = Vec::new();
    for line in text.lines() {
        // The selector of a fresh key is that of no other.
        let line = match line.split_once("._mta-seal.") {
            Some((_, rest)) => format!("ok       dns SELECTOR._mta-seal.{rest}"),
            None => line.to_owned(),
        };
        let line = match line.split_once("serial") {
            Some((before, _)) => format!("{before}serial ..."),
            None => line.split(", after ").next().unwrap().to_owned(),
        };
        lines.push(line);
    }
    (output.status.code().unwrap(), lines.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_world_and_the_way_of_a_bounce_are_looked_at() {
    let zones = ["company1.example", "company2.example", "plain.example"];
    let specs: Vec<ZoneSpec> = zones.iter().map(|zone| ZoneSpec::unsigned(name(zone))).collect();
    let dns = Authority::start(&specs).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let place = organisation(&dns, directory.path(), "company1.example");
    organisation(&dns, directory.path(), "company2.example");
    let (relay, inside, front) = (Sink::smtp().await, Sink::smtp().await, Sink::smtp().await);
    let config = place.join("test.toml");
    let text = format!(
        "hostname = 'gw.company1.example'\nstate = 'state'\n\
         [[domain]]\nname = 'company1.example'\nkeys = 'keys/company1.example'\n\
         [outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = '{}'\n\
         [inbound]\nlisten = ['127.0.0.1:0']\nnext_hop = '{}'\n\
         [dns]\nmode = 'plain'\nservers = ['{}']\ntimeout = '2s'\n[log]\nformat = 'json'\n",
        relay.url,
        inside.url,
        dns.address()
    );
    std::fs::write(&config, text).unwrap();
    let mx = |hosts: &[(u16, &str)]| dns.set_mx(&name("company1.example"), hosts).unwrap();
    mx(&[(10, "gw.company1.example")]);
    let mut serve = program();
    serve.args(["serve", "--config"]).arg(&config);
    let daemon = Daemon::start(serve);

    // All is well.
    let probe = |bounce_to: &'static str, patience: &'static str| {
        let url = front.url.clone();
        let config = config.clone();
        async move {
            let arguments = ["--probe", &url, "--bounce-to", bounce_to, "--patience", patience];
            bypass(&config, &arguments).await
        }
    };
    let bounces = |sent: usize| {
        let (front, daemon) = (&front, &daemon);
        async move {
            let message = front.wait(sent).await.remove(sent - 1);
            assert!(message.to[0].starts_with("<mta-seal-probe-"), "{message:?}");
            assert!(message.to[0].ends_with("@company1.example>"), "{message:?}");
            let to = message.from.split(' ').next().unwrap().to_owned();
            deliver(daemon.outbound, Smtp, "<>", &[&to], DSN).await.expect("250");
        }
    };
    let ((code, good), ()) = tokio::join!(probe("bob@company2.example", "15s"), bounces(1));
    insta::assert_snapshot!("bypass_all_is_well", good);
    assert_eq!(code, 0);
    assert!(!contains(&relay.wait(1).await[0].data, b"Undelivered"));

    // In clear: the partner does not seal. Another host takes mail, and is told of unless it is named.
    mx(&[(10, "gw.company1.example"), (20, "backup.company1.example")]);
    let ((code, clear), ()) = tokio::join!(probe("bob@plain.example", "15s"), bounces(2));
    insta::assert_snapshot!("bypass_in_clear", clear);
    assert_eq!(code, 1);
    let edge = bypass(&config, &["--edge", "backup.company1.example"]).await;
    assert_eq!(edge.0, 0);
    assert!(!edge.1.contains("warning"), "{edge:?}");

    // Nothing comes, as when it went past; and an MTA that refuses at once makes no bounce.
    let (code, never) = probe("bob@company2.example", "1s").await;
    assert!(never.contains("FAIL     probe: no bounce for bob@company2.example"), "{never}");
    assert_eq!(code, 1);
    front.rule(Step::Rcpt, "", 1, Act::Reply("550 5.1.1 no such user"));
    let (code, refused) = probe("bob@company2.example", "15s").await;
    assert!(refused.contains("--recipient"), "{refused}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn wrong_usage_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("gw");
    mta_seal(&["init", "--domain", "company1.example", "--dir", place.to_str().unwrap()]);
    let config = place.join("mta-seal.toml");
    for arguments in [
        &["--probe", "smtp://127.0.0.1:25"][..],
        &["--bounce-to", "bob@company2.example"],
        &["--probe", "127.0.0.1", "--bounce-to", "bob@company2.example"],
        &["--probe", "smtp://127.0.0.1", "--bounce-to", "bob"],
        &["--probe", "smtp://127.0.0.1", "--bounce-to", "bob@company1.example"],
        &["--probe", "smtp://127.0.0.1", "--bounce-to", "b@c.example", "--patience", "2h"],
    ] {
        assert_eq!(bypass(&config, arguments).await.0, 2, "{arguments:?}");
    }
}
