//! Reads what an answer says about the name that was asked for, and nothing else in it.

use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::{Class, OptRcode};
use domain::base::{Message, MessageBuilder, Name, ParsedName, ParsedRecord, Rtype, ToName, Ttl};
use domain::rdata::{AllRecordData, Cname, Rrsig, Soa, Txt};

use super::outcome::{Lookup, MAX_CHAIN, MAX_TXT_OCTETS, MAX_TXT_RECORDS};
use super::transport::{Failure, Question, UDP_PAYLOAD};
use domain::net::client::request::{ComposeRequest, RequestMessage};

/// Most records of the authority section that are looked at.
const MAX_AUTHORITY: usize = 64;

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
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    builder.header_mut().set_cd(asking.checking_disabled);
    builder.header_mut().set_ad(asking.authentic_data);
    let mut builder = builder.question();
    builder.push((name, Rtype::TXT)).map_err(|_| Failure::Malformed)?;
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
    let sections = Sections::parse(reply).map_err(|Broken| Lookup::Malformed)?;
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
    if !aliased && !(sections.texts.is_empty() && sections.aliases.is_empty()) {
        return Err(Lookup::Malformed);
    }
    let end = match soa {
        None if aliased => End::Open,
        _ => End::Denied { nxdomain, soa },
    };
    Ok(Reading { names, end, ttl })
}

struct Broken;

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
    fn parse(reply: &Message<Bytes>) -> Result<Self, Broken> {
        let mut sections = Self::default();
        let answer = reply.answer().map_err(|_| Broken)?;
        for record in answer {
            let record = record.map_err(|_| Broken)?;
            if record.class() != Class::IN {
                continue;
            }
            if let Some(txt) = record.to_record::<Txt<_>>().map_err(|_| Broken)? {
                let mut value = Vec::new();
                for string in txt.data().iter_charstrs() {
                    value.extend_from_slice(string.as_ref());
                }
                sections.texts.push(owned(&record, value));
            } else if let Some(cname) = record.to_any_record_cname()? {
                sections.aliases.push(owned(&record, cname));
            }
        }
        let authority = reply.authority().map_err(|_| Broken)?;
        for record in authority.take(MAX_AUTHORITY) {
            let record = record.map_err(|_| Broken)?;
            if record.class() != Class::IN {
                continue;
            }
            if let Some(soa) = record.to_record::<Soa<ParsedName<_>>>().map_err(|_| Broken)? {
                let mut denial = owned(&record, ());
                denial.ttl = denial.ttl.min(seconds(soa.data().minimum()));
                sections.soas.push(denial);
            }
        }
        Ok(sections)
    }
}

trait CnameOf {
    fn to_any_record_cname(&self) -> Result<Option<Name<Bytes>>, Broken>;
}

impl CnameOf for ParsedRecord<'_, Bytes> {
    fn to_any_record_cname(&self) -> Result<Option<Name<Bytes>>, Broken> {
        let record = self.to_record::<Cname<ParsedName<_>>>().map_err(|_| Broken)?;
        Ok(record.map(|r| r.data().cname().to_name()))
    }
}

fn owned<T>(record: &ParsedRecord<'_, Bytes>, value: T) -> Owned<T> {
    Owned { owner: record.owner().to_name(), ttl: seconds(record.ttl()), value }
}

fn seconds(ttl: Ttl) -> Duration {
    // RFC 2181 section 8: a TTL with the top bit set is zero.
    let secs = ttl.as_secs();
    Duration::from_secs(if secs > 0x7fff_ffff { 0 } else { u64::from(secs) })
}

/// Copies from an answer what proves one step, under the question `(name, rtype)`.
///
/// The validator judges every record that it is given, and each strange owner costs look-ups, so
/// it sees only the records of `owners` and the SOA, NSEC and NSEC3 records of the authority
/// section. A signature is kept only if `plausible(owner, signer)`.
pub(super) fn excerpt(
    reply: &Message<Bytes>,
    (name, rtype): (&Name<Bytes>, Rtype),
    owners: &[Name<Bytes>],
    plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Message<Vec<u8>>, Failure> {
    build(reply, (name, rtype), owners, plausible).map_err(|Broken| Failure::Malformed)
}

fn build(
    reply: &Message<Bytes>,
    question: (&Name<Bytes>, Rtype),
    owners: &[Name<Bytes>],
    plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Message<Vec<u8>>, Broken> {
    let mut builder = MessageBuilder::new_vec();
    *builder.header_mut() = reply.header();
    let mut builder = builder.question();
    builder.push(question).map_err(|_| Broken)?;
    let mut builder = builder.answer();
    for record in reply.answer().map_err(|_| Broken)? {
        let record = record.map_err(|_| Broken)?;
        let owner: Name<Bytes> = record.owner().to_name();
        let wanted = match covered(&record, &owner, &plausible)? {
            Some(Rtype::TXT | Rtype::CNAME) => owners.contains(&owner),
            // A DNAME record synthesises CNAME records below its owner (RFC 6672).
            Some(Rtype::DNAME) => owners.iter().any(|o| *o != owner && o.ends_with(&owner)),
            _ => false,
        };
        if wanted {
            builder.push(whole(&record)?).map_err(|_| Broken)?;
        }
    }
    let mut builder = builder.authority();
    for record in reply.authority().map_err(|_| Broken)?.take(MAX_AUTHORITY) {
        let record = record.map_err(|_| Broken)?;
        let owner: Name<Bytes> = record.owner().to_name();
        if let Some(Rtype::SOA | Rtype::NSEC | Rtype::NSEC3) = covered(&record, &owner, &plausible)?
        {
            builder.push(whole(&record)?).map_err(|_| Broken)?;
        }
    }
    Ok(builder.into_message())
}

/// The type of a record, for a plausible signature the type it covers.
fn covered(
    record: &ParsedRecord<'_, Bytes>,
    owner: &Name<Bytes>,
    plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Option<Rtype>, Broken> {
    if record.class() != Class::IN {
        return Ok(None);
    }
    let signature = record.to_record::<Rrsig<_, ParsedName<_>>>().map_err(|_| Broken)?;
    let Some(signature) = signature else { return Ok(Some(record.rtype())) };
    let signer: Name<Bytes> = signature.data().signer_name().to_name();
    Ok(plausible(owner, &signer).then(|| signature.data().type_covered()))
}

type Whole<'a> = domain::base::Record<ParsedName<Bytes>, AllRecordData<Bytes, ParsedName<Bytes>>>;

fn whole<'a>(record: &ParsedRecord<'a, Bytes>) -> Result<Whole<'a>, Broken> {
    record.to_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(|_| Broken)
}

/// An unsigned TXT record at `name`: valid exactly if `name` is provably in an unsigned zone.
pub(super) fn probe(name: &Name<Bytes>) -> Result<Message<Vec<u8>>, Failure> {
    let text = Txt::<Vec<u8>>::build_from_slice(b"").map_err(|_| Failure::Malformed)?;
    let mut builder = MessageBuilder::new_vec().question();
    builder.push((name, Rtype::TXT)).map_err(|_| Failure::Malformed)?;
    let mut builder = builder.answer();
    builder.push((name, Class::IN, 0, text)).map_err(|_| Failure::Malformed)?;
    Ok(builder.into_message())
}
