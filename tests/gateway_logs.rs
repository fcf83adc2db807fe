//! One message is found in the logs of both sides: by trace id on each, by envelope id across.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use gateway_support::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines of one kind, as JSON.
    fn lines(&self, message: &str) -> Vec<serde_json::Value> {
        let log = self.0.lock().unwrap();
        let lines = log.split(|&octet| octet == b'\n').filter(|line| !line.is_empty());
        let parsed = lines.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap());
        parsed.filter(|line| line["message"] == message).collect()
    }
}

#[tokio::test]
async fn one_message_is_found_on_both_sides() {
    let log = Log::default();
    let writer = log.clone();
    // As `serve` sets it up; this file holds one test, since a subscriber is for the whole process.
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).init();
    let world = World::new().await;
    let message = b"From: alice@company1.example\r\nSubject: canary\r\n\r\ncanary\r\n";
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
    let everything = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!everything.contains("canary"), "{everything}");
}
