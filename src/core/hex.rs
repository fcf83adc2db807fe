//! Octets as hexadecimal digits, as identifiers and logs have them.

use std::fmt;

/// Octets that are written as two lower-case digits each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Exactly two digits for each octet, in either case.
pub(crate) fn parse<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
        *octet = u8::try_from(digit(pair.first())? << 4 | digit(pair.last())?).ok()?;
    }
    Some(octets)
}
