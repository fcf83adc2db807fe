//! Extensions of header and prefix.

use super::codec::{Decode, Encode, Field, Reader};
use super::error::{DecodeError, EncodeError, Unsupported};

const LIST: Field = Field::new("extensions", 0, 0xffff);
const VALUE: Field = Field::new("extension value", 0, 0xffff);

/// One extension. This version defines none; a non-critical one is carried and ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Number of the extension.
    pub extension_type: u16,
    /// Whether a receiver that does not know it must refuse the whole.
    pub critical: bool,
    /// At most 65,535 octets.
    pub value: Vec<u8>,
}

/// The extensions of a header or prefix, in strictly rising order of type [R-env-03].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions(Vec<Extension>);

impl Extensions {
    /// A list of extensions, sorted by type; `None` if two are of one type.
    #[must_use]
    pub fn new(mut list: Vec<Extension>) -> Option<Self> {
        list.sort_by_key(|extension| extension.extension_type);
        let rising = list.windows(2).all(|w| w[0].extension_type < w[1].extension_type);
        rising.then_some(Self(list))
    }

    /// The extensions, in rising order of type.
    #[must_use]
    pub fn as_slice(&self) -> &[Extension] {
        &self.0
    }
}

// struct {
//     uint16 extension_type;
//     uint8 critical;                   /* 0 or 1 */
//     opaque value<0..2^16-1>;
// } Extension;
//
// Extension extensions<0..2^16-1>;
impl Encode for Extensions {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut list = Vec::new();
        for extension in &self.0 {
            list.extend_from_slice(&extension.extension_type.to_be_bytes());
            list.push(extension.critical.into());
            VALUE.put(&mut list, &extension.value)?;
        }
        LIST.put(out, &list)
    }
}

impl Decode for Extensions {
    const NAME: &'static str = "extensions";

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut octets = Reader::new(input.vector(&LIST)?);
        let mut list: Vec<Extension> = Vec::new();
        while !octets.is_empty() {
            let extension_type = octets.u16("extension type")?;
            let critical = match octets.u8("critical")? {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::Malformed("critical")),
            };
            let value = octets.vector(&VALUE)?.to_vec();
            if list.last().is_some_and(|last| last.extension_type >= extension_type) {
                return Err(DecodeError::Malformed("order of extensions"));
            }
            list.push(Extension { extension_type, critical, value });
        }
        // [R-env-03]: the list is well-formed first, so that "malformed" does not depend on which
        // extensions a receiver knows.
        match list.iter().find(|extension| extension.critical) {
            Some(unknown) => Err(DecodeError::Unsupported(Unsupported::CriticalExtension(
                unknown.extension_type,
            ))),
            None => Ok(Self(list)),
        }
    }
}
