//! One zone of the server: what stands in it and how it is signed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_proto::dnssec::{DigestType, DnssecSigner, SigningKey};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SOA};
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordSet, RrKey};
use hickory_server::dnssec::NxProofKind;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, ZoneType};
use rustls_pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;

use super::super::txt::cut;
use super::{AuthorityError, absolute};
use crate::core::Domain;

/// How long signatures are valid; the demo and tests are over long before.
const SIGNATURE_LIFE: Duration = Duration::from_secs(14 * 86_400);

/// How long ago signatures were made that are expired on purpose.
const EXPIRED_AGE: Duration = Duration::from_secs(30 * 86_400);

/// How a zone is secured, or fails to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Signed, with a DS record in the parent.
    Signed,
    /// Not signed, without a DS record.
    Unsigned,
    /// Signed, but the DS record is that of another key.
    WrongDs,
    /// There is a DS record, but the zone is served without signatures, as after a downgrade.
    Stripped,
    /// All signatures of the zone have expired.
    Expired,
}

/// A zone to serve.
#[derive(Debug, Clone)]
pub struct ZoneSpec {
    /// The name of the zone.
    pub origin: Domain,
    /// How it is secured.
    pub security: Security,
    /// TTL of its records in seconds.
    pub ttl: u32,
    /// TTL of its denials in seconds (the MINIMUM field of its SOA record, RFC 2308).
    pub negative_ttl: u32,
}

impl ZoneSpec {
    /// A signed zone with TTLs of one minute.
    #[must_use]
    pub fn signed(origin: Domain) -> Self {
        Self { origin, security: Security::Signed, ttl: 60, negative_ttl: 60 }
    }

    /// An unsigned zone with TTLs of one minute.
    #[must_use]
    pub fn unsigned(origin: Domain) -> Self {
        Self { security: Security::Unsigned, ..Self::signed(origin) }
    }
}

/// The state of a zone.
#[derive(Clone)]
pub(super) struct Zone {
    origin: Name,
    security: Security,
    ttl: u32,
    negative_ttl: u32,
    keys: Arc<Keys>,
    /// The hosts of its NS records; none: the one name that [`Zone::server_name`] gives.
    servers: Vec<Name>,
    serial: u32,
    records: Vec<(Name, RData)>,
}

struct Keys {
    own: PrivatePkcs8KeyDer<'static>,
    /// The key that a wrong DS record names.
    other: PrivatePkcs8KeyDer<'static>,
}

impl Zone {
    pub(super) fn root() -> Result<Self, AuthorityError> {
        Self::with(Name::root(), Security::Signed, 60, 60)
    }

    pub(super) fn new(spec: &ZoneSpec) -> Result<Self, AuthorityError> {
        let origin = absolute(spec.origin.as_str())?;
        Self::with(origin, spec.security, spec.ttl, spec.negative_ttl)
    }

    fn with(
        origin: Name,
        security: Security,
        ttl: u32,
        negative_ttl: u32,
    ) -> Result<Self, AuthorityError> {
        let keys = Keys {
            own: Ed25519SigningKey::generate_pkcs8()?,
            other: Ed25519SigningKey::generate_pkcs8()?,
        };
        Ok(Self {
            origin,
            security,
            ttl,
            negative_ttl,
            keys: Arc::new(keys),
            servers: Vec::new(),
            serial: 1,
            records: Vec::new(),
        })
    }

    pub(super) fn origin(&self) -> LowerName {
        LowerName::from(&self.origin)
    }

    pub(super) fn set_security(&mut self, security: Security) {
        self.security = security;
    }

    pub(super) fn set_servers(&mut self, hosts: Vec<Name>) {
        self.servers = hosts;
    }

    pub(super) fn set_serial(&mut self, serial: u32) {
        self.serial = serial;
    }

    pub(super) fn clear(&mut self, name: &Name) {
        self.records.retain(|(owner, _)| owner != name);
    }

    pub(super) fn add(&mut self, name: Name, record: RData) {
        self.records.push((name, record));
    }

    /// The DNSKEY record as a trust anchor in zone-file format.
    pub(super) fn anchor(&self) -> Result<String, AuthorityError> {
        Ok(format!("{} {} IN DNSKEY {}\n", self.origin, self.ttl, dnskey(&self.keys.own)?))
    }

    /// The records that delegate this zone, for the zone above.
    fn delegation(&self) -> Result<Vec<(Name, RData)>, AuthorityError> {
        let mut records = self.name_servers()?;
        let key = match self.security {
            Security::Unsigned => return Ok(records),
            Security::WrongDs => &self.keys.other,
            Security::Signed | Security::Stripped | Security::Expired => &self.keys.own,
        };
        let public = Ed25519SigningKey::from_pkcs8(key)?.to_public_key()?;
        let ds = DS::from_key(&public, &self.origin, DigestType::SHA256)?;
        records.push((self.origin.clone(), RData::DNSSEC(DNSSECRData::DS(ds))));
        Ok(records)
    }

    fn name_servers(&self) -> Result<Vec<(Name, RData)>, AuthorityError> {
        let hosts = match &self.servers[..] {
            [] => vec![self.server_name()?],
            hosts => hosts.to_vec(),
        };
        Ok(hosts.into_iter().map(|host| (self.origin.clone(), RData::NS(NS(host)))).collect())
    }

    fn server_name(&self) -> Result<Name, AuthorityError> {
        Ok(Name::from_ascii("ns")?.append_domain(&self.origin)?)
    }

    /// The zone as the server serves it, with the delegations of `children`.
    pub(super) fn serve<'a>(
        &self,
        children: impl Iterator<Item = &'a Zone>,
    ) -> Result<InMemoryZoneHandler, AuthorityError> {
        let mut sets: BTreeMap<RrKey, RecordSet> = BTreeMap::new();
        let server = self.server_name()?;
        let contact = Name::from_ascii("hostmaster")?.append_domain(&self.origin)?;
        let soa = SOA::new(server, contact, self.serial, 3600, 600, 86_400, self.negative_ttl);
        let mut records = vec![(self.origin.clone(), RData::SOA(soa))];
        records.extend(self.name_servers()?);
        for child in children {
            records.extend(child.delegation()?);
        }
        records.extend(self.records.iter().cloned());
        for (name, data) in records {
            let key = RrKey::new(LowerName::from(&name), data.record_type());
            let set = sets
                .entry(key)
                .or_insert_with(|| RecordSet::with_ttl(name.clone(), data.record_type(), self.ttl));
            set.add_rdata(data);
        }
        let signed = !matches!(self.security, Security::Unsigned | Security::Stripped);
        let proof = signed.then_some(NxProofKind::Nsec);
        let mut handler = InMemoryZoneHandler::new(
            self.origin.clone(),
            sets,
            ZoneType::Primary,
            AxfrPolicy::Deny,
            proof,
        )
        .map_err(AuthorityError::Zone)?;
        if signed {
            handler.add_zone_signing_key_mut(self.signer()?)?;
            handler.secure_zone_mut()?;
        }
        if self.security == Security::Expired {
            self.age(&mut handler)?;
        }
        Ok(handler)
    }

    fn signer(&self) -> Result<DnssecSigner, AuthorityError> {
        let key = Ed25519SigningKey::from_pkcs8(&self.keys.own)?;
        let dnskey = dnskey(&self.keys.own)?;
        Ok(DnssecSigner::new(dnskey, Box::new(key), self.origin.clone(), SIGNATURE_LIFE))
    }

    /// Makes every signature of the zone again as of a month ago.
    fn age(&self, handler: &mut InMemoryZoneHandler) -> Result<(), AuthorityError> {
        let signer = self.signer()?;
        let inception = OffsetDateTime::now_utc() - EXPIRED_AGE;
        for set in handler.records_get_mut().values_mut() {
            let set = Arc::make_mut(set);
            let signature = RRSIG::from_rrset(set, DNSClass::IN, inception, &signer)?;
            let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
            let record = Record::from_rdata(set.name().clone(), set.ttl(), data);
            set.clear_rrsigs();
            set.insert_rrsig(record);
        }
        Ok(())
    }
}

fn dnskey(key: &PrivatePkcs8KeyDer<'static>) -> Result<DNSKEY, AuthorityError> {
    Ok(DNSKEY::from_key(&Ed25519SigningKey::from_pkcs8(key)?.to_public_key()?))
}

pub(super) fn txt(octets: &[u8]) -> RData {
    RData::TXT(cut(octets))
}

pub(super) fn mx(preference: u16, exchange: Name) -> RData {
    RData::MX(MX::new(preference, exchange))
}

pub(super) fn address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

pub(super) fn cname(target: Name) -> RData {
    RData::CNAME(CNAME(target))
}
