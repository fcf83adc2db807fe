//! What a MIME part is, by its header [R-car-04].

use super::transfer::Encoding;
use super::{FILE_SUFFIX, MEDIA_TYPE};
use crate::mail::header::Header;
use crate::mail::mime::Structured;

/// Longest boundary that is used. RFC 2046 section 5.1.1 allows 70 octets; some software writes
/// more.
const MAX_BOUNDARY: usize = 200;

/// Kind of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `multipart/mixed` with this boundary: its parts are looked into.
    Mixed(Vec<u8>),
    /// It may hold an envelope.
    Candidate {
        /// By its media type, not by its file name alone.
        declared: bool,
        /// `None` if the encoding is unknown or given twice.
        encoding: Option<Encoding>,
    },
    /// Anything else, `message/*` and other multiparts included: nothing in it is looked at.
    Opaque,
}

/// Judges a part by its header, or a message by the outer header. A field that stands twice is
/// believed in neither form.
pub(super) fn kind(header: &Header) -> Kind {
    let media = match header.count("Content-Type") {
        0 => None,
        1 => match header.only("Content-Type").and_then(|f| Structured::parse(f.body())) {
            Some(media) => Some(media),
            None => return Kind::Opaque,
        },
        _ => return Kind::Opaque,
    };
    let value = media.as_ref().map_or("text/plain", Structured::value);
    if value == "multipart/mixed" {
        let boundary = media.as_ref().and_then(|m| m.parameter("boundary")).unwrap_or_default();
        return match encoding(header) {
            Some(Encoding::Identity) if is_boundary(&boundary) => Kind::Mixed(boundary),
            _ => Kind::Opaque,
        };
    }
    if value.starts_with("multipart/") || value.starts_with("message/") {
        return Kind::Opaque;
    }
    let declared = value == MEDIA_TYPE;
    let disposition = header.only("Content-Disposition").and_then(|f| Structured::parse(f.body()));
    let named = |field: Option<&Structured>, parameter| {
        field.and_then(|f| f.parameter(parameter)).is_some_and(|name| has_suffix(&name))
    };
    if declared || named(media.as_ref(), "name") || named(disposition.as_ref(), "filename") {
        Kind::Candidate { declared, encoding: encoding(header) }
    } else {
        Kind::Opaque
    }
}

fn encoding(header: &Header) -> Option<Encoding> {
    let Some(field) = header.only("Content-Transfer-Encoding") else {
        return (header.count("Content-Transfer-Encoding") == 0).then_some(Encoding::Identity);
    };
    let read = Structured::parse(field.body())?;
    match read.value() {
        "base64" => Some(Encoding::Base64),
        "quoted-printable" => Some(Encoding::QuotedPrintable),
        "7bit" | "8bit" | "binary" => Some(Encoding::Identity),
        _ => None,
    }
}

fn is_boundary(boundary: &[u8]) -> bool {
    boundary.len() <= MAX_BOUNDARY
        && boundary.last().is_some_and(|&b| b != b' ')
        && boundary.iter().all(|b| matches!(b, b' '..=b'~'))
}

fn has_suffix(name: &[u8]) -> bool {
    name.len() > FILE_SUFFIX.len()
        && name
            .last_chunk::<{ FILE_SUFFIX.len() }>()
            .is_some_and(|end| end.eq_ignore_ascii_case(FILE_SUFFIX.as_bytes()))
}
