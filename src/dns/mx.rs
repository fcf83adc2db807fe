//! Which hosts take the mail of a domain (RFC 5321 section 5.1).

use bytes::Bytes;
use domain::base::iana::{Class, OptRcode};
use domain::base::{Message, Name, ParsedName, Rtype};
use domain::rdata::Mx;

use super::message::{Asking, query};
use super::resolver::QueryName;
use super::transport::{Failure, Transport};

/// Most hosts that are looked at in one answer.
pub const MAX_MAIL_HOSTS: usize = 64;

/// The hosts that take the mail of a domain, as far as an unauthenticated look-up says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailHosts {
    /// These, the most preferred first; in lower case, without trailing dot.
    Listed(Vec<String>),
    /// The domain itself: it has no MX record.
    Implicit,
    /// Nobody: the null MX (RFC 7505).
    Nobody,
    /// The domain does not exist.
    NoDomain,
    /// The look-up failed.
    Unknown,
}

pub(super) async fn mail_hosts(
    transport: &Transport,
    domain: &QueryName,
    asking: Asking,
) -> MailHosts {
    let Ok(name) = domain.as_str().parse::<Name<Bytes>>() else { return MailHosts::Unknown };
    let asked = async { transport.exchange(&query(&name, Rtype::MX, asking)?).await };
    match asked.await {
        Ok(reply) => read(&reply).unwrap_or(MailHosts::Unknown),
        Err(_) => MailHosts::Unknown,
    }
}

fn read(reply: &Message<Bytes>) -> Result<MailHosts, Failure> {
    let rcode = reply.opt_rcode();
    if rcode == OptRcode::NXDOMAIN {
        return Ok(MailHosts::NoDomain);
    }
    if rcode != OptRcode::NOERROR {
        return Ok(MailHosts::Unknown);
    }
    let mut hosts = Vec::new();
    for record in reply.answer()? {
        let record = record?;
        if record.class() != Class::IN || hosts.len() >= MAX_MAIL_HOSTS {
            continue;
        }
        if let Some(mx) = record.to_record::<Mx<ParsedName<_>>>()? {
            let host = mx.data().exchange().to_string();
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            hosts.push((mx.data().preference(), host));
        }
    }
    hosts.sort();
    Ok(match &hosts[..] {
        [] => MailHosts::Implicit,
        [(_, only)] if only.is_empty() => MailHosts::Nobody,
        _ => MailHosts::Listed(hosts.into_iter().map(|(_, host)| host).collect()),
    })
}
