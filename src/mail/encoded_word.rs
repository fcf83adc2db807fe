//! Encoded words (RFC 2047), decoded as liberally as the most liberal reader might: to see what
//! hides in a field, never to show it.
//!
//! They are looked for everywhere, also where RFC 2047 section 5 forbids them: inside quoted
//! strings, comments, addresses and words. Charsets are not converted, but those that write ASCII
//! in other octets, or other characters in those of ASCII.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::mime::hex;

const LIBERAL: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(Indifferent),
);

/// An encoded word in a text.
struct Word {
    /// Where it stands.
    place: Range<usize>,
    content: Vec<u8>,
}

/// A text with encoded words.
pub(super) struct Decoded {
    /// All of it with every encoded word decoded, and without the white space between two of them.
    pub(super) text: Vec<u8>,
    /// What the encoded words hold, one after the other.
    pub(super) hidden: Vec<u8>,
}

/// Decodes every encoded word in the text; `None` if it has none.
pub(super) fn decode(text: &[u8]) -> Option<Decoded> {
    let mut hidden = Vec::new();
    let mut decoded = Vec::with_capacity(text.len());
    let mut end = 0;
    while let Some(word) = next_word(text, end) {
        let between = text.get(end..word.place.start).unwrap_or_default();
        if end == 0 || !between.iter().all(u8::is_ascii_whitespace) {
            decoded.extend_from_slice(between);
        }
        decoded.extend_from_slice(&word.content);
        hidden.extend_from_slice(&word.content);
        end = word.place.end;
    }
    if end == 0 {
        return None;
    }
    decoded.extend_from_slice(text.get(end..).unwrap_or_default());
    Some(Decoded { text: decoded, hidden })
}

/// The first encoded word at or after `from`.
fn next_word(text: &[u8], from: usize) -> Option<Word> {
    let mut from = from;
    loop {
        let start = from + memchr::memmem::find(text.get(from..)?, b"=?")?;
        if let Some(word) = word_at(text, start) {
            return Some(word);
        }
        from = start + 1;
    }
}

/// `=?charset?encoding?encoded-text?=`.
fn word_at(text: &[u8], start: usize) -> Option<Word> {
    let inside = text.get(start + 2..)?;
    let charset_len = memchr::memchr(b'?', inside)?;
    let (charset, rest) = inside.split_at(charset_len);
    let [b'?', encoding, b'?', rest @ ..] = rest else { return None };
    let len = memchr::memmem::find(rest, b"?=")?;
    let encoded = rest.get(..len)?;
    let content = match encoding {
        b'Q' | b'q' => quoted_printable(encoded),
        b'B' | b'b' => {
            let in_alphabet = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'+' || **b == b'/';
            let digits: Vec<u8> = encoded.iter().filter(in_alphabet).copied().collect();
            LIBERAL.decode(digits).ok()?
        }
        _ => return None,
    };
    let shifting = charset.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"iso-2022"));
    let content = if shifting {
        without_shifts(&content)
    } else if is_utf_7(charset) {
        from_utf_7(&content)
    } else {
        content
    };
    let end = start + 2 + charset_len + 3 + len + 2;
    Some(Word { place: start..end, content })
}

fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        rest = after;
        let digits = if let (b'=', [high, low, ..]) = (first, after) {
            hex(*high).zip(hex(*low))
        } else {
            None
        };
        match digits {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(if *first == b'_' { b' ' } else { *first }),
        }
    }
    out
}

/// The ASCII of a text in ISO-2022-JP or one of its kin, whose other characters are written in ASCII octets between
/// escape sequences (RFC 1468).
fn without_shifts(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut pieces = content.split(|&b| b == 0x1b);
    out.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        // "(B" and "(J": back to ASCII, or nearly.
        if let [b'(', b'B' | b'J', ascii @ ..] = piece {
            out.extend_from_slice(ascii);
        }
    }
    out
}

/// Whether it is one of the names of UTF-7: `utf-7`, `csUTF7`, `unicode-1-1-utf-7`, and what readers take for them.
fn is_utf_7(charset: &[u8]) -> bool {
    let name = charset.split(|&b| b == b'*').next().unwrap_or_default();
    let name: Vec<u8> = name.iter().filter(|b| b.is_ascii_alphanumeric()).copied().collect();
    name.to_ascii_lowercase().ends_with(b"utf7")
}

/// A text in UTF-7 (RFC 2152), in which every character of ASCII may be written in base64.
fn from_utf_7(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'+' {
            out.push(*first);
            continue;
        }
        let in_alphabet = |b: &u8| b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/';
        let len = after.iter().position(|b| !in_alphabet(b)).unwrap_or(after.len());
        let (digits, after) = after.split_at(len);
        if digits.is_empty() {
            out.push(b'+');
        }
        // A digit too many is left out.
        let whole = if len % 4 == 1 { len - 1 } else { len };
        let octets = LIBERAL.decode(digits.get(..whole).unwrap_or_default()).unwrap_or_default();
        let (units, _) = octets.as_chunks::<2>();
        let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
        out.extend_from_slice(text.as_bytes());
        rest = after.strip_prefix(b"-").unwrap_or(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn words_are_found_wherever_they_stand() {
        for (text, decoded) in [
            ("=?utf-8?Q?a=40b?=", "a@b"),
            ("=?UTF-8*en?b?YUBi?=", "a@b"),
            ("=?utf-8?b?YUA=?= =?utf-8?B?YmM?=", "a@bc"),
            ("=?x?q?a_b?=\t=?x?q?c?= d", "a bc d"),
            ("x=?x?q?=40?=y", "x@y"),
            ("\"=?x?q?=3Ca?=\" <b>", "\"<a\" <b>"),
            ("=?x =?x?q?a?=", "=?x a"),
            ("=?x?q?=zz=4?=", "=zz=4"),
            ("=?iso-2022-jp?B?GyRCPD4+GyhCQGI=?=", "@b"),
            ("=?utf-7?Q?a+AEA-b+ACw-+-?=", "a@b,+"),
            ("=?UNICODE-1-1-UTF-7*en?Q?+AEAALA b+AOQ?=", "@, b\u{e4}"),
            ("=?csUTF7?B?YStBRUE=?=", "a@"),
            ("=?utf-8?Q?a+AEA-b?=", "a+AEA-b"),
        ] {
            let read = decode(text.as_bytes()).map(|decoded| decoded.text);
            assert_eq!(read.as_deref(), Some(decoded.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_the_words_hold_is_told_apart() {
        let hidden = decode(b"\"a, b\" =?x?q?c?= d =?x?q?=2C?=").map(|decoded| decoded.hidden);
        assert_eq!(hidden.as_deref(), Some(&b"c,"[..]));
    }

    #[test]
    fn other_text_has_none() {
        for text in ["", "a@b", "=?", "=?x?q?", "=?x?q?a", "=?x?z?a?=", "=?x??a?=", "a?=b=?c"] {
            assert!(decode(text.as_bytes()).is_none(), "{text}");
        }
    }
}
