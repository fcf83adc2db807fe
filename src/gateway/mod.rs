//! The gateway daemon: the only layer that knows all others.
//!
//! One connection is one `session`: the dialogue with the MTA before us, in which each transaction is decided,
//! passed on and answered by a direction. `outbound` seals, `inbound` unseals. Both pass
//! messages on through a `hop`, decide with the help of `discovery`, and answer by the table of `failure`.

mod access;
mod aftermath;
mod alarms;
mod attempts;
mod audit;
mod authorisation;
mod booking;
mod breaker;
mod clock;
pub mod config;
mod delay;
mod discovery;
pub mod dkim;
mod domains;
mod failure;
mod generation;
mod hop;
mod housekeeping;
mod ids;
mod inbound;
mod inquiry;
mod listener;
mod local;
pub mod lookup;
mod message;
mod metrics;
mod outbound;
mod outbox;
mod own_policy;
mod parts;
pub mod publication;
mod queue_id;
mod report;
pub mod rotation;
mod serve;
mod session;
mod settlement;
mod sources;
mod summary;

use std::sync::Arc;

use rand_core::UnwrapErr;
use tokio::sync::Notify;

pub use authorisation::{Authorisation, AuthorisationError};
pub use clock::{Clock, SystemClock};
pub(crate) use discovery::restore;
pub use failure::Failure;
pub use inbound::{
    Cause, Claimed, Exceptions, Genuine, Ruling, scan_failure, signing_key, unseal_failure,
};
pub use local::{LocalKeys, LocalKeysError};
pub use own_policy::{PolicyError, own_policy, verified};
pub use parts::{LEDGER_FILE, Parts, Settings, StartError, refuse_lost_partners};
pub use serve::Gateway;
pub use sources::{Considered, Sources};

use crate::mail::trace::{Protocol as TraceProtocol, Received};
use crate::smtp::Protocol;
use crate::store::ledger::SharedLedger;
use attempts::Attempts;
use booking::Underway;
use breaker::Breaker;
use config::Config;
use discovery::Discovery;
use domains::LocalDomains;
use session::Sender;

/// What every connection of a generation shares. What outlives the generation stands behind an `Arc` of its own.
pub(crate) struct Shared {
    config: Config,
    domains: LocalDomains,
    ledger: SharedLedger,
    discovery: Discovery,
    clock: Arc<dyn Clock>,
    breaker: Arc<Breaker>,
    /// Messages that are on their way right now.
    underway: Arc<Underway>,
    /// Wakes the outbox when something was put into it.
    outbox: Arc<Notify>,
    /// How recipients were answered, for the operator.
    attempts: Arc<Attempts>,
}

impl Shared {
    /// The local domains with the keys in force.
    fn domains(&self) -> &LocalDomains {
        &self.domains
    }

    /// The trace field of a message that came in this transaction.
    fn received(&self, sender: &Sender, protocol: Protocol) -> String {
        let peer = &sender.peer;
        let field = Received {
            helo: &peer.hello,
            peer: peer.address,
            by: self.config.hostname.as_str(),
            with: TraceProtocol {
                lmtp: protocol == Protocol::Lmtp,
                extended: peer.extended,
                tls: peer.tls,
                auth: peer.login.is_some(),
                utf8: sender.parameters.smtputf8,
            },
            id: &sender.trace.to_string(),
            date: self.clock.now(),
        };
        field.to_field()
    }
}

/// The operating system's random numbers. They do not fail on a running system; if they did, no message could be
/// sealed and the connection's task ends with a panic, which loses and reveals nothing.
fn system_rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}
