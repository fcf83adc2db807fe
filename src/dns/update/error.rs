//! Why a primary server has not changed its records.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why an update was not made, or is not known to be made.
#[derive(Debug, thiserror::Error)]
#[error("update at {server}: {failure}")]
pub struct UpdateError {
    /// The server.
    pub server: SocketAddr,
    /// What went wrong.
    pub failure: UpdateFailure,
}

/// What went wrong with an update.
#[derive(Debug, thiserror::Error)]
pub enum UpdateFailure {
    /// The server cannot be reached, or has closed the connection.
    #[error("{}", words(.0))]
    Connection(io::Error),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// A name is none of DNS.
    #[error("{0} is no name in DNS")]
    Name(String),
    /// The changes do not fit into one message, so they could not be made at once.
    #[error("the changes are too many for one message")]
    TooLarge,
    /// A reply breaks the protocol.
    #[error("the reply breaks the protocol")]
    Malformed,
    /// A reply has no signature, so that anybody may have written it.
    #[error("the reply ({}) is not signed", rcode_name(*.rcode))]
    Unsigned {
        /// The response code it claims.
        rcode: u16,
    },
    /// The signature of a reply is not by our key.
    #[error("the signature of the reply is wrong")]
    BadReply,
    /// A reply was signed at another time than now.
    #[error("the reply was signed {} s {}", .by.unsigned_abs(), if *.by < 0 { "ago" } else { "in the future" })]
    StaleReply {
        /// The server's time less ours, in seconds.
        by: i64,
    },
    /// The server knows no such key (BADKEY).
    #[error("the server has no key {key} for {algorithm} (BADKEY)")]
    BadKey {
        /// Name of the key.
        key: String,
        /// Name of its algorithm.
        algorithm: String,
    },
    /// The server has another secret under the key's name (BADSIG).
    #[error("the server takes the signature by key {key} for wrong (BADSIG)")]
    BadSignature {
        /// Name of the key.
        key: String,
    },
    /// The server's clock shows another time (BADTIME).
    #[error("the server's clock is {} s {} this host's (BADTIME)", .by.unsigned_abs(), if *.by < 0 { "behind" } else { "ahead of" })]
    BadTime {
        /// The server's time less ours, in seconds.
        by: i64,
    },
    /// The server refuses the signature for another reason.
    #[error("the server refuses the signature with error {0}")]
    Tsig(u16),
    /// The server did not say what stands at a name.
    #[error("the records of {name} cannot be asked for: {}", rcode_name(*.rcode))]
    Query {
        /// The name.
        name: String,
        /// The response code.
        rcode: u16,
    },
    /// The server does not serve the zone of a name.
    #[error("the server is not authoritative for {0}")]
    Lame(String),
    /// A record would stand at an alias, where none can be added (RFC 2136 section 3.4.2.2).
    #[error("{name} is an alias of {target}")]
    Alias {
        /// The name.
        name: String,
        /// What it is an alias of.
        target: String,
    },
    /// A name is not in the zone, so that it could not be changed together with the others.
    #[error("{name} is not in the zone {zone}")]
    OutsideZone {
        /// The name.
        name: String,
        /// The zone.
        zone: String,
    },
    /// The server has made no change.
    #[error("the server refuses the update of zone {zone}: {}", rcode_name(*.rcode))]
    Refused {
        /// The zone.
        zone: String,
        /// The response code.
        rcode: u16,
        /// Name of the key.
        key: String,
        /// The name that was to be changed first.
        name: String,
    },
}

impl UpdateError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match &self.failure {
            UpdateFailure::Connection(_) | UpdateFailure::Timeout(_) => {
                "updates go over TCP: `server` must name the primary, and firewalls let it through"
            }
            UpdateFailure::Malformed => "`server` must name a name server that takes updates",
            UpdateFailure::Unsigned { .. } => {
                "a primary that has the key signs its replies; somebody else may have answered"
            }
            UpdateFailure::BadReply => "somebody between may have changed the reply",
            UpdateFailure::StaleReply { .. } | UpdateFailure::BadTime { .. } => {
                "set the clocks of both hosts, as by NTP"
            }
            UpdateFailure::BadKey { .. } => {
                "name and algorithm in the `tsig` file must be those of the server's key"
            }
            UpdateFailure::BadSignature { .. } => {
                "the secret in the `tsig` file must be that of the server's key"
            }
            UpdateFailure::Query { rcode: REFUSED, .. } => {
                "`server` must name the primary of the zone, and the key be allowed to ask there (BIND: allow-query)"
            }
            UpdateFailure::Lame(_) => "`server` must name the primary of the zone",
            UpdateFailure::Alias { .. } => {
                "set `under` to the domain that the aliases lead to, or remove the alias"
            }
            UpdateFailure::OutsideZone { .. } => "leave `zone` out, or correct it",
            UpdateFailure::Refused { rcode: REFUSED, key, name, .. } => {
                let at = name.find("_mta-seal.").and_then(|at| name.get(at..)).unwrap_or(name);
                return Some(format!(
                    "BIND: update-policy {{ grant \"{key}\" subdomain {at}. TXT; }};"
                ));
            }
            UpdateFailure::Refused { rcode: SERVFAIL, .. } => {
                "its log says why; often it may not write the directory of its zone files"
            }
            UpdateFailure::Refused { rcode: NOTIMP, .. } => "the server does not take updates",
            UpdateFailure::Refused { rcode: NOTAUTH | NOTZONE, .. } => {
                "`server` must name the primary of the zone, and `zone`, if it is set, a zone of its"
            }
            UpdateFailure::Name(_)
            | UpdateFailure::TooLarge
            | UpdateFailure::Tsig(_)
            | UpdateFailure::Query { .. }
            | UpdateFailure::Refused { .. } => return None,
        };
        Some(text.to_owned())
    }
}

const SERVFAIL: u16 = 2;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const NOTAUTH: u16 = 9;
const NOTZONE: u16 = 10;

/// The name of a response code (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
fn rcode_name(rcode: u16) -> String {
    const NAMES: [&str; 11] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
        "NXRRSET", "NOTAUTH", "NOTZONE",
    ];
    NAMES
        .get(usize::from(rcode))
        .map_or_else(|| format!("RCODE {rcode}"), |name| (*name).to_owned())
}

/// The operating system's words without its error number.
fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the server has closed the connection".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
