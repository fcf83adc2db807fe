//! Values of tags: canonical numbers, canonical base64, lists [R-rec-04].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ValueError;

/// Reads a decimal number without sign and leading zeros, of at most `digits` digits (at most 19).
pub(super) fn number(text: &str, digits: usize) -> Result<u64, ValueError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ValueError::NotANumber);
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(ValueError::LeadingZero);
    }
    if text.len() > digits {
        return Err(ValueError::OutOfRange);
    }
    text.parse().map_err(|_| ValueError::OutOfRange)
}

/// Reads a number that must lie in `range`.
pub(super) fn number_in(
    text: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, ValueError> {
    let value = number(text, 12)?;
    if range.contains(&value) { Ok(value) } else { Err(ValueError::OutOfRange) }
}

/// Reads canonical, padded base64 of any number of octets.
pub(super) fn octets(text: &str) -> Result<Vec<u8>, ValueError> {
    STANDARD.decode(text).map_err(|_| ValueError::NotBase64)
}

/// Reads canonical, padded base64 of exactly `N` octets.
pub(super) fn array<const N: usize>(text: &str) -> Result<[u8; N], ValueError> {
    exactly(octets(text)?)
}

/// The octets as an array of exactly `N`.
pub(super) fn exactly<const N: usize>(octets: Vec<u8>) -> Result<[u8; N], ValueError> {
    let length = octets.len();
    octets.try_into().map_err(|_| ValueError::WrongLength { length, expected: N })
}

/// Writes canonical, padded base64.
pub(super) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Splits a list at its commas; an empty value is one empty element, as the grammar has it.
pub(super) fn list(text: &str, most: usize) -> Result<Vec<&str>, ValueError> {
    let parts: Vec<&str> = text.split(',').take(most + 1).collect();
    if parts.len() > most {
        return Err(ValueError::TooMany { most });
    }
    Ok(parts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_canonical() {
        assert_eq!(number("0", 12), Ok(0));
        assert_eq!(number("999999999999", 12), Ok(999_999_999_999));
        assert_eq!(number("1000000000000", 12), Err(ValueError::OutOfRange));
        assert_eq!(number("01", 12), Err(ValueError::LeadingZero));
        assert_eq!(number("00", 12), Err(ValueError::LeadingZero));
        for text in ["", "+1", "-1", " 1", "1 ", "0x1", "1.0", "١"] {
            assert_eq!(number(text, 12), Err(ValueError::NotANumber), "{text:?}");
        }
        assert_eq!(number_in("5", 6..=7), Err(ValueError::OutOfRange));
        assert_eq!(number_in("7", 6..=7), Ok(7));
    }

    #[test]
    fn base64_is_canonical() {
        assert_eq!(octets("AA=="), Ok(vec![0]));
        // Trailing bits, missing and excess padding, the URL alphabet, white space.
        for text in ["AB==", "AA=", "AA", "AA===", "A===", "_-==", "A A="] {
            assert_eq!(octets(text), Err(ValueError::NotBase64), "{text:?}");
        }
        assert_eq!(array::<2>("AA=="), Err(ValueError::WrongLength { length: 1, expected: 2 }));
    }
}
