//! Which servers are authoritative for a name, as the recursive resolvers say.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use domain::base::iana::Class;
use domain::base::{Message, Name, ParsedName, Rtype, ToName};
use domain::rdata::{A, Aaaa, Ns};
use tokio::task::JoinSet;

use super::message::{Asking, query};
use super::outcome::Lookup;
use super::resolver::QueryName;
use super::transport::{Failure, Transport};

/// Most servers of a zone that are looked at: as many as the root has.
pub const MAX_ZONE_SERVERS: usize = 13;

/// Most addresses of one server, of each family.
pub const MAX_SERVER_ADDRESSES: usize = 4;

/// Most names that are tried on the way up to the zone cut.
const MAX_STEPS: usize = 16;

/// The servers of the zone that holds a name, without regard to DNSSEC: for advice and monitoring, never for a decision about
/// mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneServers {
    /// The zone, in lower case without trailing dot.
    pub zone: String,
    /// Its servers in the order of their names, at most [`MAX_ZONE_SERVERS`].
    pub servers: Vec<ZoneServer>,
}

/// A server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneServer {
    /// Its name, in lower case without trailing dot.
    pub name: String,
    /// Its addresses, at most [`MAX_SERVER_ADDRESSES`] of each family; none if it has none, or they could not be looked up.
    pub addresses: Vec<IpAddr>,
}

/// Why the servers of a name are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoServers {
    /// Neither the name nor one above it has servers.
    #[error("no zone holds the name")]
    NoZone,
    /// A look-up on the way ended so.
    #[error("the look-up of the name servers failed ({})", .0.label())]
    Failed(Lookup),
}

impl From<Failure> for NoServers {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into())
    }
}

/// Finds the zone cut at or above `name` and the servers there.
pub(super) async fn zone_servers(
    transport: &Arc<Transport>,
    name: &QueryName,
    asking: Asking,
) -> Result<ZoneServers, NoServers> {
    let mut at: Name<Bytes> =
        name.as_str().parse().map_err(|_| NoServers::Failed(Lookup::Malformed))?;
    for _ in 0..MAX_STEPS {
        let reply = transport.exchange(&query(&at, Rtype::NS, asking)?).await?;
        let names = names(&reply, &at)?;
        if !names.is_empty() {
            let servers = servers(transport, names, asking).await;
            return Ok(ZoneServers { zone: text(&at), servers });
        }
        match at.parent() {
            Some(parent) if !parent.is_root() => at = parent,
            _ => break,
        }
    }
    Err(NoServers::NoZone)
}

/// The NS records that stand at `zone` itself, not at the target of an alias.
fn names(reply: &Message<Bytes>, zone: &Name<Bytes>) -> Result<Vec<Name<Bytes>>, Failure> {
    let mut names = Vec::new();
    for record in reply.answer()? {
        let record = record?;
        let owner: Name<Bytes> = record.owner().to_name();
        if record.class() != Class::IN || owner != *zone || names.len() >= MAX_ZONE_SERVERS {
            continue;
        }
        if let Some(ns) = record.to_record::<Ns<ParsedName<_>>>()? {
            names.push(ns.data().nsdname().to_name());
        }
    }
    Ok(names)
}

async fn servers(
    transport: &Arc<Transport>,
    names: Vec<Name<Bytes>>,
    asking: Asking,
) -> Vec<ZoneServer> {
    let mut found: Vec<ZoneServer> =
        names.iter().map(|name| ZoneServer { name: text(name), addresses: Vec::new() }).collect();
    let mut asked = JoinSet::new();
    for (at, name) in names.into_iter().enumerate() {
        for rtype in [Rtype::A, Rtype::AAAA] {
            let (transport, name) = (Arc::clone(transport), name.clone());
            asked.spawn(async move { (at, addresses(&transport, &name, rtype, asking).await) });
        }
    }
    while let Some(done) = asked.join_next().await {
        // Without an address the server is reported as such.
        let Ok((at, Ok(more))) = done else { continue };
        if let Some(server) = found.get_mut(at) {
            server.addresses.extend(more);
        }
    }
    for server in &mut found {
        server.addresses.sort();
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

async fn addresses(
    transport: &Transport,
    name: &Name<Bytes>,
    rtype: Rtype,
    asking: Asking,
) -> Result<Vec<IpAddr>, Failure> {
    let reply = transport.exchange(&query(name, rtype, asking)?).await?;
    let mut found = Vec::new();
    for record in reply.answer()? {
        let record = record?;
        let address: IpAddr = if let Some(a) = record.to_record::<A>()? {
            a.data().addr().into()
        } else if let Some(aaaa) = record.to_record::<Aaaa>()? {
            aaaa.data().addr().into()
        } else {
            continue;
        };
        // Nobody answers there, or everybody does.
        let one = !address.is_unspecified() && !address.is_multicast();
        if one && !found.contains(&address) && found.len() < MAX_SERVER_ADDRESSES {
            found.push(address);
        }
    }
    Ok(found)
}

pub(super) fn text(name: &Name<Bytes>) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}
