//! What the end-to-end tests of the gateway are made of: organisations with keys, gateways on
//! loopback, a raw client before them and a recording MTA behind them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod client;
mod craft;
mod gateway;
mod log;
mod org;
pub mod plan;
mod sink;
mod world;

pub use client::{Client, Delivery, Reply, deliver, stuff};
pub use craft::{Forgery, carrier, open, rng, sealed_part, sealed_to};
pub use gateway::{Gw, Spec, TestClock, certificate};
pub use log::Log;
pub use org::Org;
pub use sink::{Act, Listen, Message, Sink, SinkOptions, Step};
pub use world::{World, WorldOptions, forward};

use std::time::Duration;

/// The time of all tests, unless they move it.
pub const NOW: u64 = 1_800_000_000;
pub const HOUR: u64 = 3600;
pub const DAY: u64 = 24 * HOUR;

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, which must end.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

pub fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The message behind the fields that the gateway has prepended.
pub fn without_trace(octets: &[u8]) -> &[u8] {
    let mut rest = octets;
    for name in [&b"Authentication-Results:"[..], b"Received:"] {
        assert!(
            rest.starts_with(name),
            "no {} in {}",
            text(name),
            text(&octets[..400.min(octets.len())])
        );
        rest = after_field(rest);
    }
    rest
}

/// What follows the first header field.
pub fn after_field(octets: &[u8]) -> &[u8] {
    let mut at = 0;
    loop {
        at += octets[at..].windows(2).position(|w| w == b"\r\n").expect("field without end") + 2;
        if !matches!(octets.get(at), Some(b' ' | b'\t')) {
            return &octets[at..];
        }
    }
}
