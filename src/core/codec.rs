//! The presentation language of RFC 8446 section 3: big-endian integers, and vectors with a
//! length in front.

use super::error::{DecodeError, EncodeError};

/// A structure that can be read from its encoding.
pub trait Decode: Sized {
    /// Name of the structure for errors.
    const NAME: &'static str;

    /// Reads the structure from the front of `input`.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads the structure from all of `octets`; anything after it is an error.
    fn from_octets(octets: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(octets);
        let value = Self::decode(&mut input)?;
        if input.is_empty() { Ok(value) } else { Err(DecodeError::Leftover(Self::NAME)) }
    }
}

/// A structure that can be written.
pub trait Encode {
    /// Appends the encoding to `out`. On an error `out` has an unspecified tail.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// The encoding alone.
    fn to_octets(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode(&mut out)?;
        Ok(out)
    }
}

/// Width of the length in front of a vector: as many octets as the vector's ceiling needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One octet: ceilings up to 255.
    U8 = 1,
    /// Two octets: ceilings up to 65,535.
    U16 = 2,
    /// Three octets: ceilings above.
    U24 = 3,
}

/// Limits of one vector field, `opaque name<min..max>`, in octets.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name of the field for errors.
    pub name: &'static str,
    /// Fewest octets.
    pub min: usize,
    /// Most octets.
    pub max: usize,
}

impl Field {
    /// `opaque name<min..max>`.
    #[must_use]
    pub const fn new(name: &'static str, min: usize, max: usize) -> Self {
        Self { name, min, max }
    }

    /// The width of this field's length.
    #[must_use]
    pub const fn width(&self) -> Width {
        if self.max <= 0xff {
            Width::U8
        } else if self.max <= 0xffff {
            Width::U16
        } else {
            Width::U24
        }
    }

    /// Refuses lengths outside the field's limits.
    pub const fn check(&self, len: usize) -> Result<(), DecodeError> {
        if len < self.min {
            Err(DecodeError::Malformed(self.name))
        } else if len > self.max {
            Err(DecodeError::TooLarge { what: self.name, limit: self.max })
        } else {
            Ok(())
        }
    }

    /// Appends `octets` with their length in front.
    pub fn put(&self, out: &mut Vec<u8>, octets: &[u8]) -> Result<(), EncodeError> {
        let error = EncodeError { what: self.name, limit: self.max };
        if octets.len() < self.min || octets.len() > self.max {
            return Err(error);
        }
        let len = u32::try_from(octets.len()).map_err(|_| error)?.to_be_bytes();
        out.extend_from_slice(&len[4 - self.width() as usize..]);
        out.extend_from_slice(octets);
        Ok(())
    }
}

/// Reads integers, arrays and vectors from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `octets`.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The octets not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` octets.
    pub fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` octets.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A `uint8`.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[octet]| octet)
    }

    /// A `uint16`.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// A `uint64`.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// The octets of a vector, within the limits of its field.
    pub fn vector(&mut self, field: &Field) -> Result<&'a [u8], DecodeError> {
        let len = self.take(field.name, field.width() as usize)?;
        let len = len.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
        field.check(len)?;
        self.take(field.name, len)
    }
}
