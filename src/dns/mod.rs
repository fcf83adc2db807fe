//! TXT look-ups that keep their authenticity and never mistake a failure for an absence.
//!
//! [`Resolver`] is the seam that the gateway and its tests plug into; [`StubResolver`] is the
//! real one. It asks recursive resolvers, follows CNAME records from the query name itself and
//! reports the weakest link. In [`Mode::Validate`] it validates DNSSEC in this process, with the
//! CD bit set so that a validating upstream hands bogus data over instead of hiding it behind
//! SERVFAIL; [`Mode::AdBit`] leaves validation to a resolver on loopback.
//!
//! All modes send through one transport and judge raw messages. hickory-resolver only reads the
//! system's configuration: its look-ups give negative answers without the message, join a chain
//! over several answers under the last one's AD bit, and take wildcard answers in NSEC zones for
//! bogus.
//!
//! A cache stands in front: answers and denials for their TTL up to [`MAX_TTL`] (RFC 2308),
//! failures for [`FAILURE_TTL`] (RFC 9520), one look-up per name however many ask.
//!
//! [`Resolver::servers`] names the servers of a zone, and [`authorities`] asks each of them, for the operator's commands.
//!
//! [`update`] changes the records of a zone at its primary server.
//!
//! [`Scripted`] answers from a list and [`authority`] is a whole server on loopback, for tests and
//! `mta-seal demo`.

mod anchor;
pub mod authorities;
pub mod authority;
mod cache;
mod chain;
mod config;
mod delegation;
mod excerpt;
mod message;
mod mx;
mod outcome;
mod public;
mod resolver;
mod stub;
mod transport;
mod txt;
pub mod update;
mod validate;

pub use anchor::{AnchorError, Anchors};
pub use cache::{Clock, FAILURE_TTL, MAX_TTL};
pub use config::{AnchorSource, ConfigError, DnsConfig, Mode, Servers};
pub use delegation::{MAX_SERVER_ADDRESSES, MAX_ZONE_SERVERS, NoServers, ZoneServer, ZoneServers};
pub use mx::{MAX_MAIL_HOSTS, MailHosts};
pub use outcome::{
    Authenticity, Denial, Found, Lookup, MAX_CHAIN, MAX_TXT_OCTETS, MAX_TXT_RECORDS,
};
pub use resolver::{LookupFuture, QueryName, Resolver, Scripted, ServersFuture};
pub use stub::StubResolver;
