//! Reads what an answer says about the name that was asked for, and nothing else in it.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::{Class, DigestAlgorithm, OptRcode, Rcode, SecurityAlgorithm};
use domain::base::name::ToLabelIter;
use domain::base::{Message, MessageBuilder, Name, ParsedName, ParsedRecord, Rtype, ToName, Ttl};
use domain::rdata::{AllRecordData, Cname, Dname, Ds, Rrsig, Soa, Txt};

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

/// Copies from an answer what proves one link of the chain, under the question `(name, rtype)`:
/// the RRset itself with its signatures and the proofs of the zone that signed it, or, if it is
/// not there, the SOA record with the proofs of its zone.
///
/// The validator judges every record that it is given, each strange owner costs look-ups, and its
/// cache confuses neighbouring zones below an empty non-terminal, so a part holds one zone only.
/// A signature counts only if `plausible(owner, signer)`.
pub(super) fn excerpt(
    reply: &Message<Bytes>,
    (name, rtype): (&Name<Bytes>, Rtype),
    plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Message<Vec<u8>>, Failure> {
    build(reply, (name, rtype), &plausible).map_err(|Broken| Failure::Malformed)
}

fn build(
    reply: &Message<Bytes>,
    (name, rtype): (&Name<Bytes>, Rtype),
    plausible: &impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Message<Vec<u8>>, Broken> {
    let mut answers = Vec::new();
    let mut zone: Option<Name<Bytes>> = None;
    for record in reply.answer().map_err(|_| Broken)? {
        let record = Filed::from(record.map_err(|_| Broken)?)?;
        if record.owner == *name && record.rtype == rtype && record.is_plausible(plausible) {
            zone = zone.or_else(|| record.signer.clone());
            answers.push(record);
        }
    }
    let mut proofs = Vec::new();
    for record in reply.authority().map_err(|_| Broken)?.take(MAX_AUTHORITY) {
        let record = Filed::from(record.map_err(|_| Broken)?)?;
        if record.is_plausible(plausible) {
            proofs.push(record);
        }
    }
    let denied = answers.iter().all(|record| record.signer.is_some());
    if denied {
        answers.clear();
        zone = proofs
            .iter()
            .filter(|p| p.rtype == Rtype::SOA && name.ends_with(&p.owner))
            .map(|p| p.owner.clone())
            .max_by_key(|owner| owner.label_count());
    }

    let mut builder = MessageBuilder::new_vec();
    *builder.header_mut() = reply.header();
    if !denied {
        builder.header_mut().set_rcode(Rcode::NOERROR);
    }
    let mut builder = builder.question();
    builder.push((name, rtype)).map_err(|_| Broken)?;
    let mut builder = builder.answer();
    for record in &answers {
        builder.push(whole(&record.record)?).map_err(|_| Broken)?;
    }
    let mut builder = builder.authority();
    for proof in &proofs {
        let signed_by_zone = |p: &Filed<'_>| p.signer.is_some() && p.signer == zone;
        let wanted = match proof.rtype {
            Rtype::SOA => denied && Some(&proof.owner) == zone.as_ref(),
            Rtype::NSEC | Rtype::NSEC3 => proofs.iter().any(|p| p.covers(proof, signed_by_zone)),
            _ => false,
        };
        if wanted && (proof.signer.is_none() || signed_by_zone(proof)) {
            builder.push(whole(&proof.record)?).map_err(|_| Broken)?;
        }
    }
    Ok(builder.into_message())
}

/// A record filed under the type that it is or, as a signature, covers.
struct Filed<'a> {
    record: ParsedRecord<'a, Bytes>,
    owner: Name<Bytes>,
    rtype: Rtype,
    signer: Option<Name<Bytes>>,
}

impl<'a> Filed<'a> {
    fn from(record: ParsedRecord<'a, Bytes>) -> Result<Self, Broken> {
        let owner = record.owner().to_name();
        let signature = record.to_record::<Rrsig<_, ParsedName<_>>>().map_err(|_| Broken)?;
        let (rtype, signer) = match signature {
            Some(rrsig) => {
                (rrsig.data().type_covered(), Some(rrsig.data().signer_name().to_name()))
            }
            None => (record.rtype(), None),
        };
        Ok(Self { record, owner, rtype, signer })
    }

    fn is_plausible(&self, plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool) -> bool {
        self.record.class() == Class::IN
            && self.signer.as_ref().is_none_or(|signer| plausible(&self.owner, signer))
    }

    fn covers(&self, other: &Self, by: impl Fn(&Self) -> bool) -> bool {
        by(self) && self.rtype == other.rtype && self.owner == other.owner
    }
}

type Whole = domain::base::Record<ParsedName<Bytes>, AllRecordData<Bytes, ParsedName<Bytes>>>;

fn whole(record: &ParsedRecord<'_, Bytes>) -> Result<Whole, Broken> {
    record.to_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(|_| Broken)
}

/// How the CNAME record at a name came about.
pub(super) enum Link {
    /// It stands in the zone.
    Cname,
    /// The server made it from the DNAME record at this name (RFC 6672 section 3.1).
    Dname(Name<Bytes>),
}

/// Tells how the alias from `owner` to `target` came about.
pub(super) fn link(
    reply: &Message<Bytes>,
    owner: &Name<Bytes>,
    target: &Name<Bytes>,
) -> Result<Link, Failure> {
    origin(reply, owner, target).map_err(|Broken| Failure::Malformed)
}

fn origin(
    reply: &Message<Bytes>,
    owner: &Name<Bytes>,
    target: &Name<Bytes>,
) -> Result<Link, Broken> {
    let mut link = Link::Cname;
    for record in reply.answer().map_err(|_| Broken)? {
        let record = record.map_err(|_| Broken)?;
        let filed = Filed::from(record.clone())?;
        if filed.rtype == Rtype::CNAME && filed.owner == *owner && filed.signer.is_some() {
            return Ok(Link::Cname);
        }
        let dname = record.to_record::<Dname<ParsedName<_>>>().map_err(|_| Broken)?;
        let Some(dname) = dname else { continue };
        if filed.owner == *owner || !owner.ends_with(&filed.owner) {
            continue;
        }
        let kept = owner.label_count() - filed.owner.label_count();
        let made = owner
            .iter_labels()
            .take(kept)
            .chain(dname.data().dname().iter_labels())
            .map(|label| label.to_owned());
        if made.eq(target.iter_labels().map(|label| label.to_owned())) {
            link = Link::Dname(filed.owner);
        }
    }
    Ok(link)
}

/// The least TTL in a judged part, a SOA record counted by its MINIMUM field too.
pub(super) fn least_ttl(part: &Message<Vec<u8>>) -> Duration {
    let mut least = Duration::MAX;
    let (Ok(answer), Ok(authority)) = (part.answer(), part.authority()) else {
        return Duration::ZERO;
    };
    for record in answer.chain(authority).flatten() {
        least = least.min(seconds(record.ttl()));
        if let Ok(Some(soa)) = record.to_record::<Soa<ParsedName<_>>>() {
            least = least.min(seconds(soa.data().minimum()));
        }
    }
    least
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

/// Those DS records of `zone`, in zone-file format, whose algorithm the validator can verify
/// although it does not count it as supported.
pub(super) fn ds_text(reply: &Message<Bytes>, zone: &Name<Bytes>) -> Option<String> {
    // The name goes through the zone-file parser, so nothing special may stand in it.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !zone.iter_labels().all(|label| label.as_slice().iter().all(|b| plain(*b))) {
        return None;
    }
    let mut text = String::new();
    for record in reply.answer().ok()? {
        let Some(ds) = record.ok()?.to_record::<Ds<_>>().ok()? else { continue };
        let owner: Name<Bytes> = ds.owner().to_name();
        if owner != *zone {
            continue;
        }
        let ds = ds.data();
        let digest_known =
            matches!(ds.digest_type(), DigestAlgorithm::SHA256 | DigestAlgorithm::SHA384);
        match ds.algorithm() {
            SecurityAlgorithm::ECDSAP384SHA384 | SecurityAlgorithm::ED25519 if digest_known => {
                let (tag, algorithm) = (ds.key_tag(), ds.algorithm().to_int());
                let digest_type = ds.digest_type().to_int();
                let _ = write!(text, "{zone}. 3600 IN DS {tag} {algorithm} {digest_type} ");
                for octet in ds.digest() {
                    let _ = write!(text, "{octet:02x}");
                }
                text.push('\n');
            }
            _ => {}
        }
    }
    (!text.is_empty()).then_some(text)
}
