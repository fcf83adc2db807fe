//! The clear header of an envelope.

use super::codec::{Decode, Encode, Field, Reader};
use super::domain::{Domain, MAX_DOMAIN};
use super::error::{DecodeError, EncodeError, Unsupported};
use super::extension::Extensions;
use super::ids::KeyId;
use super::suite::{Suite, SuiteId};

/// The first octets of every envelope: 0xD3 "MTASEAL".
pub const MAGIC: [u8; 8] = *b"\xd3MTASEAL";
/// The version of the protocol.
pub const VERSION: u8 = 1;
/// Most octets of a header [R-env-02].
pub const MAX_HEADER: usize = 4096;

pub(super) const DOMAIN: Field = Field::new("recipient_domain", 1, MAX_DOMAIN);

/// Octets up to and including `key_id`.
const FIXED: usize = MAGIC.len() + 1 + 2 + 32;

/// The clear header of an envelope [R-env-01].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The suite of the sealing key.
    pub suite: Suite,
    /// The sealing key that opens the envelope.
    pub key_id: KeyId,
    /// The domain that the envelope is sealed to.
    pub recipient_domain: Domain,
    /// Extensions, all of them unknown to this version and not critical.
    pub extensions: Extensions,
}

impl Header {
    /// Length of the header at the front of `octets`; `None` if they are too few to tell. Says
    /// what is wrong as soon as the octets show it, but does not look at domain and extensions.
    pub(super) fn length(octets: &[u8]) -> Result<Option<usize>, DecodeError> {
        let known = octets.len().min(MAGIC.len());
        if octets[..known] != MAGIC[..known] {
            return Err(DecodeError::Malformed("magic"));
        }
        let mut input = Reader::new(octets);
        if octets.len() > MAGIC.len() {
            input.take("magic", MAGIC.len())?;
            check_version(&mut input)?;
            if octets.len() >= FIXED {
                check_suite(&mut input)?;
            }
        }
        let Some(domain) = octets.get(FIXED).copied().map(usize::from) else { return Ok(None) };
        DOMAIN.check(domain)?;
        let at = FIXED + 1 + domain;
        let Some([high, low]) = octets.get(at..at + 2) else { return Ok(None) };
        let length = at + 2 + usize::from(u16::from_be_bytes([*high, *low]));
        // [R-env-02]
        if length > MAX_HEADER {
            return Err(DecodeError::TooLarge { what: "header", limit: MAX_HEADER });
        }
        Ok(Some(length))
    }
}

fn check_version(input: &mut Reader<'_>) -> Result<(), DecodeError> {
    // [R-env-03]
    match input.u8("version")? {
        VERSION => Ok(()),
        other => Err(DecodeError::Unsupported(Unsupported::Version(other))),
    }
}

fn check_suite(input: &mut Reader<'_>) -> Result<Suite, DecodeError> {
    // [R-env-03]
    Suite::try_from(SuiteId(input.u16("suite")?))
        .map_err(|id| DecodeError::Unsupported(Unsupported::Suite(id)))
}

// struct {
//     opaque magic[8];                  /* D3 4D 54 41 53 45 41 4C:
//                                          0xD3 "MTASEAL" */
//     uint8 version;                    /* 1 */
//     uint16 suite;
//     opaque key_id[32];
//     opaque recipient_domain<1..253>;
//     Extension extensions<0..2^16-1>;
// } Header;
impl Encode for Header {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.suite.id().0.to_be_bytes());
        out.extend_from_slice(self.key_id.as_bytes());
        DOMAIN.put(out, self.recipient_domain.as_str().as_bytes())?;
        self.extensions.encode(out)?;
        if out.len() - start > MAX_HEADER {
            return Err(EncodeError { what: "header", limit: MAX_HEADER });
        }
        Ok(())
    }
}

impl Decode for Header {
    const NAME: &'static str = "header";

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let before = input.rest().len();
        if input.array("magic")? != MAGIC {
            return Err(DecodeError::Malformed("magic"));
        }
        check_version(input)?;
        let suite = check_suite(input)?;
        let key_id = KeyId::from_bytes(input.array("key_id")?);
        // [R-env-04]
        let recipient_domain = Domain::from_canonical(input.vector(&DOMAIN)?)
            .map_err(|_| DecodeError::Malformed(DOMAIN.name))?;
        let extensions = Extensions::decode(input)?;
        if before - input.rest().len() > MAX_HEADER {
            return Err(DecodeError::TooLarge { what: "header", limit: MAX_HEADER });
        }
        Ok(Self { suite, key_id, recipient_domain, extensions })
    }
}
