//! Reads what an answer says about the name that was asked for, and nothing else in it.

use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::{Class, OptRcode};
use domain::base::{Message, MessageBuilder, Name, ParsedName, ParsedRecord, Rtype, ToName, Ttl};
use domain::net::client::request::{ComposeRequest, RequestMessage};
use domain::rdata::{Cname, Soa, Txt};

use super::outcome::{Lookup, MAX_CHAIN, MAX_TXT_OCTETS, MAX_TXT_RECORDS};
use super::transport::{Failure, MAX_AUTHORITY, Question, UDP_PAYLOAD};

/// Header bits of a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    /// Ask for DNSSEC records (RFC 4035 section 3.2.1).
    pub(super) dnssec_ok: bool,
    /// Let bogus data through instead of SERVFAIL (RFC 4035 section 3.2.2).
    pub(super) checking_disabled: bool,
    /// Ask for the AD bit in the answer (RFC 6840 section 5.7).
    pub(super) authentic_data: bool,
}

/// A question for the TXT records of `name`.
pub(super) fn question(name: &Name<Bytes>, asking: Asking) -> Result<Question, Failure> {
    query(name, Rtype::TXT, asking)
}

/// A question for the records of one type of `name`.
pub(super) fn query(name: &Name<Bytes>, rtype: Rtype, asking: Asking) -> Result<Question, Failure> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    builder.header_mut().set_cd(asking.checking_disabled);
    builder.header_mut().set_ad(asking.authentic_data);
    let mut builder = builder.question();
    builder.push((name, rtype))?;
    let mut request = RequestMessage::new(builder).map_err(|_| Failure::Malformed)?;
    request.set_udp_payload_size(UDP_PAYLOAD);
    request.set_dnssec_ok(asking.dnssec_ok);
    Ok(request)
}

/// Where the chain from the query name ends within one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// At TXT records.
    Txt(Vec<Vec<u8>>),
    /// At a name without TXT records, or without anything if `nxdomain`.
    Denied {
        /// The name does not exist.
        nxdomain: bool,
        /// Negative TTL if a SOA record came along (RFC 2308 section 5).
        soa: Option<Duration>,
    },
    /// At a CNAME whose target the server said nothing about.
    Open,
}

/// What one answer says about the name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The names on the chain; the first is the query name.
    pub(super) names: Vec<Name<Bytes>>,
    /// Where the chain ends.
    pub(super) end: End,
    /// The least TTL of the records used.
    pub(super) ttl: Duration,
}

/// Follows the CNAME records of an answer from `start`; records off that chain are not believed.
pub(super) fn read(reply: &Message<Bytes>, start: &Name<Bytes>) -> Result<Reading, Lookup> {
    let sections = Sections::parse(reply)?;
    let nxdomain = reply.opt_rcode() == OptRcode::NXDOMAIN;
    let mut names = vec![start.clone()];
    let mut ttl = Duration::MAX;
    let mut name = start;
    loop {
        let texts: Vec<_> = sections.texts.iter().filter(|t| t.owner == *name).collect();
        if !texts.is_empty() {
            // RFC 8020: NXDOMAIN denies the last name of the chain altogether.
            if nxdomain {
                return Err(Lookup::Malformed);
            }
            let octets: usize = texts.iter().map(|t| t.value.len()).sum();
            if texts.len() > MAX_TXT_RECORDS || octets > MAX_TXT_OCTETS {
                return Err(Lookup::Oversize);
            }
            ttl = texts.iter().map(|t| t.ttl).fold(ttl, Duration::min);
            let records = texts.into_iter().map(|t| t.value.clone()).collect();
            return Ok(Reading { names, end: End::Txt(records), ttl });
        }
        let mut aliases = sections.aliases.iter().filter(|a| a.owner == *name);
        let Some(alias) = aliases.next() else { break };
        // RFC 2181 section 10.1: one CNAME per name.
        if aliases.any(|other| other.value != alias.value) {
            return Err(Lookup::Malformed);
        }
        if names.contains(&alias.value) || names.len() > MAX_CHAIN {
            return Err(Lookup::CnameLoop);
        }
        ttl = ttl.min(alias.ttl);
        names.push(alias.value.clone());
        name = &alias.value;
    }
    let soa = sections.soas.iter().filter(|s| name.ends_with(&s.owner)).map(|s| s.ttl).min();
    let aliased = names.len() > 1;
    let about_others = !sections.texts.is_empty() || !sections.aliases.is_empty();
    if about_others && !aliased {
        return Err(Lookup::Malformed);
    }
    let end = match soa {
        None if aliased => End::Open,
        _ => End::Denied { nxdomain, soa },
    };
    Ok(Reading { names, end, ttl })
}

struct Owned<T> {
    owner: Name<Bytes>,
    ttl: Duration,
    value: T,
}

#[derive(Default)]
struct Sections {
    texts: Vec<Owned<Vec<u8>>>,
    aliases: Vec<Owned<Name<Bytes>>>,
    soas: Vec<Owned<()>>,
}

impl Sections {
    fn parse(reply: &Message<Bytes>) -> Result<Self, Failure> {
        let mut sections = Self::default();
        let answer = reply.answer()?;
        for record in answer {
            let record = record?;
            if record.class() != Class::IN {
                continue;
            }
            if let Some(txt) = record.to_record::<Txt<_>>()? {
                let mut value = Vec::new();
                for string in txt.data().iter_charstrs() {
                    value.extend_from_slice(string.as_ref());
                }
                sections.texts.push(owned(&record, value));
            } else if let Some(cname) = record.to_record::<Cname<ParsedName<_>>>()? {
                sections.aliases.push(owned(&record, cname.data().cname().to_name()));
            }
        }
        let authority = reply.authority()?;
        for record in authority.take(MAX_AUTHORITY) {
            let record = record?;
            if record.class() != Class::IN {
                continue;
            }
            if let Some(soa) = record.to_record::<Soa<ParsedName<_>>>()? {
                let mut denial = owned(&record, ());
                denial.ttl = denial.ttl.min(seconds(soa.data().minimum()));
                sections.soas.push(denial);
            }
        }
        Ok(sections)
    }
}

fn owned<T>(record: &ParsedRecord<'_, Bytes>, value: T) -> Owned<T> {
    Owned { owner: record.owner().to_name(), ttl: seconds(record.ttl()), value }
}

pub(super) fn seconds(ttl: Ttl) -> Duration {
    // RFC 2181 section 8: a TTL with the top bit set is zero.
    let secs = ttl.as_secs();
    Duration::from_secs(if secs > 0x7fff_ffff { 0 } else { u64::from(secs) })
}
