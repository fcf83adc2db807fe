//! File descriptors: each connection takes one, and each transaction one more towards the next hop.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::gateway::config::Config;

/// Descriptors beside those of connections: listeners, ledger, logs, DNS.
const OTHERS: u64 = 128;

/// Raises the soft limit to the hard one, and says so if even that is not enough for the connections that are configured.
pub(super) fn raise_limit(config: &Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "limit on open files not raised");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = needed(config);
    if limit < needed {
        warn!(limit, needed, "limit on open files is below what limits.connections may take");
    }
}

/// Every connection of both listeners, each with one to the next hop.
fn needed(config: &Config) -> u64 {
    let listeners = u64::from(config.outbound.is_some()) + u64::from(config.inbound.is_some());
    let connections = u64::try_from(config.limits.connections).unwrap_or(u64::MAX);
    connections.saturating_mul(2 * listeners).saturating_add(OTHERS)
}
