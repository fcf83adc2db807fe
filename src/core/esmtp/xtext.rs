//! Text in printable ASCII: xtext (RFC 3461 section 4) and addresses of type `utf-8` (RFC 6533 section 3).

use std::fmt;

/// Decodes xtext (RFC 3461 section 4): printable ASCII without `+` and `=`, or `+` and two
/// upper-case hexadecimal digits.
#[must_use]
pub fn decode_xtext(value: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let (high, low) = (hex_digit(bytes.next()?)?, hex_digit(bytes.next()?)?);
                decoded.push(high << 4 | low);
            }
            b'=' => return None,
            b'!'..=b'~' => decoded.push(byte),
            _ => return None,
        }
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 6533 section 3: `utf-8-addr-xtext` and `utf-8-addr-unitext` in one grammar.
pub(super) fn decode_utf8_addr(value: &str) -> Option<String> {
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => {
                let (point, after) = rest.strip_prefix("\\x{")?.split_once('}')?;
                let valid =
                    (2..=6).contains(&point.len()) && point.bytes().all(|b| hex_digit(b).is_some());
                let c = char::from_u32(u32::from_str_radix(point, 16).ok().filter(|_| valid)?)?;
                if c.is_control() {
                    return None;
                }
                decoded.push(c);
                rest = after;
            }
            '+' | '=' => return None,
            c if c.is_control() || c == ' ' => return None,
            c => {
                decoded.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Some(decoded)
}

/// Encodes octets as xtext (RFC 3461 section 4).
#[must_use]
pub fn encode_xtext(decoded: &[u8]) -> String {
    let mut encoded = String::with_capacity(decoded.len());
    // Writing to a string does not fail.
    let _ = write_xtext(&mut encoded, decoded);
    encoded
}

pub(super) fn write_xtext(f: &mut impl fmt::Write, decoded: &[u8]) -> fmt::Result {
    for &byte in decoded {
        match byte {
            b'+' | b'=' => write!(f, "+{byte:02X}")?,
            b'!'..=b'~' => f.write_char(char::from(byte))?,
            _ => write!(f, "+{byte:02X}")?,
        }
    }
    Ok(())
}
