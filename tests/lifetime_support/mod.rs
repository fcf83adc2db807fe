//! What the tests of key lifetimes are made of: domains with real keyrings in a zone of virtual servers, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

pub mod chance;
pub mod crash;
pub mod party;
pub mod resolver;
pub mod trouble;
pub mod watch;
pub mod world;
pub mod zone;

pub use chance::Chance;
pub use party::{Party, rng};
pub use resolver::Cache;
pub use zone::{Break, Zone};

pub const MINUTE: u64 = 60;
pub const HOUR: u64 = 3_600;
pub const DAY: u64 = 86_400;

/// When all tests begin.
pub const START: u64 = 1_800_000_000;

/// A runtime for one test: one thread, so that nothing happens at the same time but what blocks.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
