//! Next hops: their servers, how long these may be silent, and that none of them is the gateway itself.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::super::error::Source;
use super::super::next_hop::NextHops;
use super::super::{ConfigError, NextHop};
use crate::smtp::next_hop::NextHop as Address;

/// RFC 5321 section 4.5.3.2.3: how long a client waits for the reply to RCPT.
const PATIENCE_OF_CLIENTS: Duration = Duration::from_secs(300);

/// The addresses that a next hop must not lead back to.
pub(super) struct Listeners<'a> {
    pub(super) outbound: &'a [SocketAddr],
    pub(super) inbound: &'a [SocketAddr],
}

impl Listeners<'_> {
    /// A next hop that is a listener of this gateway would hand every message back for ever.
    pub(super) fn refuse_loop(
        &self,
        hop: &NextHop,
        span: Range<usize>,
        source: &Source<'_>,
    ) -> Result<(), ConfigError> {
        let Address::Tcp { host, port, .. } = &hop.address else { return Ok(()) };
        for (table, listen) in [("[outbound]", self.outbound), ("[inbound]", self.inbound)] {
            if let Some(address) = listen.iter().find(|address| leads_to(host, *port, **address)) {
                let what = format!(
                    "`next_hop` is the listener {address} of {table}: mail would go round for ever"
                );
                return Err(source.error(span, what, "name the MTA behind the gateway"));
            }
        }
        Ok(())
    }
}

/// Whether a connection to `host` arrives at the listener; names other than localhost are not looked up.
fn leads_to(host: &str, port: u16, listener: SocketAddr) -> bool {
    if listener.port() != port {
        return false;
    }
    let own = listener.ip();
    match host.parse::<IpAddr>() {
        Ok(ip) => {
            let here = ip.is_loopback() || ip.is_unspecified();
            // A listener on [::] takes IPv4 too.
            ip == own || (own.is_unspecified() && here && (own.is_ipv6() || ip.is_ipv4()))
        }
        Err(_) => {
            host.eq_ignore_ascii_case("localhost") && (own.is_loopback() || own.is_unspecified())
        }
    }
}

/// The servers of a next hop with their paths resolved, and where they stand.
pub(super) fn servers(
    hops: Spanned<NextHops>,
    base: &Path,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> (Vec<NextHop>, Range<usize>) {
    let span = hops.span();
    let NextHops(mut hops) = hops.into_inner();
    // What stays on this machine needs no TLS.
    let mut remote = hops.iter().filter(|hop| !hop.is_local());
    if let Some(first) = remote.next()
        && let Some(other) = remote.find(|hop| hop.tls != first.tls)
    {
        let (one, two) = ((&first.address, first.tls), (&other.address, other.tls));
        let what = format!(
            "the servers of `next_hop` have different `tls`: {} is \"{}\", {} is \"{}\"",
            one.0, one.1, two.0, two.1
        );
        let hint = "mail goes to whichever can be had: who can break the connection to one chooses the weaker";
        warnings.push(source.error(span.clone(), what, hint));
    }
    hops.iter_mut().for_each(|hop| hop.resolve(base));
    (hops, span)
}

/// A list whose last server is not reached in time if the others are silent.
pub(super) fn too_slow(
    servers: usize,
    set_up: Duration,
    span: &Range<usize>,
    source: &Source<'_>,
) -> Option<ConfigError> {
    let all = set_up.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
    if servers < 2 || all <= PATIENCE_OF_CLIENTS {
        return None;
    }
    let what = format!(
        "{servers} servers of `next_hop` with {} s for each (`set_up` of [timeouts]) exceed the 5 minutes that clients \
         wait for RCPT",
        set_up.as_secs()
    );
    let hint = "lower `set_up`, or name fewer servers: if the first ones are silent the last are never reached";
    Some(source.error(span.clone(), what, hint))
}
