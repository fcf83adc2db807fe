//! Cuts an answer into parts that the DNSSEC validator can judge one by one.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::{Class, DigestAlgorithm, Rcode, SecurityAlgorithm};
use domain::base::name::ToLabelIter;
use domain::base::{
    Message, MessageBuilder, Name, ParsedName, ParsedRecord, Record, Rtype, ToName,
};
use domain::rdata::{AllRecordData, Dname, Ds, Rrsig, Soa, Txt};

use crate::core::hex::Hex;

use super::message::seconds;
use super::transport::{Failure, MAX_AUTHORITY};

/// Copies from an answer what proves one link of the chain, under the question `(name, rtype)`:
/// the RRset itself with its signatures and the proofs of the zone that signed it, or, if it is
/// not there, the SOA record with the proofs of its zone.
///
/// The validator judges every record that it is given, each strange owner costs look-ups, and its
/// cache confuses neighbouring zones below an empty non-terminal, so a part holds one zone only.
/// A signature counts only if `plausible(owner, signer)`, a SOA record only if its owner could
/// sign for `name`.
pub(super) fn part(
    reply: &Message<Bytes>,
    (name, rtype): (&Name<Bytes>, Rtype),
    plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Message<Vec<u8>>, Failure> {
    let mut answers = Vec::new();
    let mut zone: Option<Name<Bytes>> = None;
    for record in reply.answer()? {
        let record = Filed::from(record?)?;
        if record.owner == *name && record.rtype == rtype && record.is_plausible(&plausible) {
            zone = zone.or_else(|| record.signer.clone());
            answers.push(record);
        }
    }
    let mut proofs = Vec::new();
    for record in reply.authority()?.take(MAX_AUTHORITY) {
        let record = Filed::from(record?)?;
        if record.is_plausible(&plausible) {
            proofs.push(record);
        }
    }
    let denied = answers.iter().all(|record| record.signer.is_some());
    if denied {
        answers.clear();
        zone = proofs
            .iter()
            .filter(|p| p.rtype == Rtype::SOA && plausible(name, &p.owner))
            .map(|p| p.owner.clone())
            .max_by_key(|owner| owner.label_count());
    }

    let mut builder = MessageBuilder::new_vec();
    *builder.header_mut() = reply.header();
    if !denied {
        builder.header_mut().set_rcode(Rcode::NOERROR);
    }
    let mut builder = builder.question();
    builder.push((name, rtype))?;
    let mut builder = builder.answer();
    for record in &answers {
        builder.push(whole(&record.record)?)?;
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
            builder.push(whole(&proof.record)?)?;
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
    fn from(record: ParsedRecord<'a, Bytes>) -> Result<Self, Failure> {
        let owner = record.owner().to_name();
        let signature = record.to_record::<Rrsig<_, ParsedName<_>>>()?;
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

type Whole = Record<ParsedName<Bytes>, AllRecordData<Bytes, ParsedName<Bytes>>>;

fn whole(record: &ParsedRecord<'_, Bytes>) -> Result<Whole, Failure> {
    Ok(record.to_any_record::<AllRecordData<_, ParsedName<_>>>()?)
}

/// How the CNAME record at a name came about.
pub(super) enum Link {
    /// It stands in the zone.
    Cname,
    /// The server made it from the DNAME record at this name (RFC 6672 section 3.1).
    Dname(Name<Bytes>),
}

/// Tells how the alias from `owner` to `target` came about; a DNAME record counts only if
/// `plausible(owner, its owner)`.
pub(super) fn link(
    reply: &Message<Bytes>,
    (owner, target): (&Name<Bytes>, &Name<Bytes>),
    plausible: impl Fn(&Name<Bytes>, &Name<Bytes>) -> bool,
) -> Result<Link, Failure> {
    let mut link = Link::Cname;
    for record in reply.answer()? {
        let record = record?;
        let filed = Filed::from(record.clone())?;
        if filed.rtype == Rtype::CNAME && filed.owner == *owner && filed.signer.is_some() {
            return Ok(Link::Cname);
        }
        let dname = record.to_record::<Dname<ParsedName<_>>>()?;
        let Some(dname) = dname else { continue };
        if filed.owner == *owner || !plausible(owner, &filed.owner) {
            continue;
        }
        let kept = owner.label_count().saturating_sub(filed.owner.label_count());
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
    builder.push((name, Rtype::TXT))?;
    let mut builder = builder.answer();
    builder.push((name, Class::IN, 0, text))?;
    Ok(builder.into_message())
}

/// Those DS records of `zone`, in zone-file format, whose algorithm the validator can verify
/// although it does not count it as supported; nothing if it counts that of another one.
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
        if !matches!(ds.digest_type(), DigestAlgorithm::SHA256 | DigestAlgorithm::SHA384) {
            continue;
        }
        match ds.algorithm() {
            SecurityAlgorithm::RSASHA1
            | SecurityAlgorithm::RSASHA1_NSEC3_SHA1
            | SecurityAlgorithm::RSASHA256
            | SecurityAlgorithm::RSASHA512
            | SecurityAlgorithm::ECDSAP256SHA256 => return None,
            SecurityAlgorithm::ECDSAP384SHA384 | SecurityAlgorithm::ED25519 => {
                let (tag, algorithm) = (ds.key_tag(), ds.algorithm().to_int());
                let digest_type = ds.digest_type().to_int();
                let digest = Hex(ds.digest());
                let _ =
                    writeln!(text, "{zone}. 3600 IN DS {tag} {algorithm} {digest_type} {digest}");
            }
            _ => {}
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use domain::base::iana::Class;
    use proptest::prelude::*;

    use super::*;
    use crate::dns::message::read;

    fn name(text: &str) -> Name<Bytes> {
        text.parse().unwrap()
    }

    /// Everything that reads a foreign message, for its panics only.
    fn read_all(octets: Vec<u8>) {
        let Ok(reply) = Message::from_octets(Bytes::from(octets)) else { return };
        let (at, zone) = (name("_mta-seal.example.org"), name("example.org"));
        let _ = read(&reply, &at);
        let _ = link(&reply, (&at, &zone), |_, _| true);
        let _ = ds_text(&reply, &zone);
        for rtype in [Rtype::TXT, Rtype::CNAME, Rtype::DNAME, Rtype::DS] {
            if let Ok(part) = part(&reply, (&at, rtype), |_, _| true) {
                let _ = least_ttl(&part);
            }
        }
    }

    fn answer() -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec().question();
        builder.push((name("_mta-seal.example.org"), Rtype::TXT)).unwrap();
        let mut builder = builder.answer();
        let dname = Dname::new(name("example.net"));
        builder.push((name("example.org"), Class::IN, 60, dname)).unwrap();
        let cname = domain::rdata::Cname::new(name("_mta-seal.example.net"));
        builder.push((name("_mta-seal.example.org"), Class::IN, 60, cname)).unwrap();
        let txt = Txt::<Vec<u8>>::build_from_slice(b"v=MTASEAL1").unwrap();
        builder.push((name("_mta-seal.example.net"), Class::IN, 60, txt)).unwrap();
        builder.into_message().into_octets()
    }

    proptest! {
        #[test]
        fn no_message_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            read_all(octets);
        }

        #[test]
        fn no_damaged_message_panics(
            changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        ) {
            let mut octets = answer();
            for (at, value) in changes {
                let at = at % octets.len();
                octets[at] = value;
            }
            read_all(octets);
        }
    }

    #[test]
    fn a_synthesised_alias_is_traced_to_its_dname() {
        let reply = Message::from_octets(Bytes::from(answer())).unwrap();
        let owner = name("_mta-seal.example.org");
        let below = |owner: &Name<Bytes>, above: &Name<Bytes>| owner.ends_with(above);
        let honest = link(&reply, (&owner, &name("_MTA-seal.example.net")), below).unwrap();
        assert!(matches!(honest, Link::Dname(above) if above == name("example.org")));
        // Another target does not follow from the DNAME record.
        let forged = link(&reply, (&owner, &name("_mta-seal.example.com")), below).unwrap();
        assert!(matches!(forged, Link::Cname));
    }

    #[test]
    fn only_overlooked_algorithms_at_plain_names_give_an_anchor() {
        let mut builder = MessageBuilder::new_vec().question();
        let zone: Name<Bytes> = "a\\;b.example".parse().unwrap();
        builder.push((zone.clone(), Rtype::DS)).unwrap();
        let mut builder = builder.answer();
        let ds = |algorithm| Ds::new(1, algorithm, DigestAlgorithm::SHA256, vec![7; 32]).unwrap();
        builder.push((zone.clone(), Class::IN, 60, ds(SecurityAlgorithm::ED25519))).unwrap();
        let plain = name("b.example");
        builder.push((plain.clone(), Class::IN, 60, ds(SecurityAlgorithm::ED25519))).unwrap();
        let both = name("both.example");
        builder.push((both.clone(), Class::IN, 60, ds(SecurityAlgorithm::ED25519))).unwrap();
        builder.push((both.clone(), Class::IN, 60, ds(SecurityAlgorithm::RSASHA256))).unwrap();
        let octets = Bytes::from(builder.into_message().into_octets());
        let reply = Message::from_octets(octets).unwrap();
        assert_eq!(ds_text(&reply, &zone), None);
        let digest = "07".repeat(32);
        let expected = format!("b.example. 3600 IN DS 1 15 2 {digest}\n");
        assert_eq!(ds_text(&reply, &plain), Some(expected));
        // The validator follows the RSA key by itself; the other may not be in use yet.
        assert_eq!(ds_text(&reply, &both), None);
    }
}
