//! Two gateways, BIND and a time that goes as fast as they can follow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod mediator;
mod node;
mod post;
mod search;
mod time;
mod watch;
mod zones;

pub use mediator::{Added, Mediator};
pub use node::{Node, Settings, first_policy};
pub use post::Post;
pub use search::{finds_each_spelling, holders};
pub use time::Time;
pub use watch::Watch;
pub use zones::{Fault, Zones};
