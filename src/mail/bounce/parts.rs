//! The parts of a bounce: those of one multipart, none deeper.

use crate::mail::header::Header;
use crate::mail::mime::{Structured, delimiter};

/// Most parts that are looked at; a bounce has three.
const MAX_PARTS: usize = 20;

/// One part, its header taken off.
#[derive(Debug)]
pub(super) struct Part<'a> {
    media: String,
    /// Up to the delimiter behind it, or to the end of what is known of the message.
    pub(super) content: &'a [u8],
    /// It is known to its end.
    pub(super) ended: bool,
}

impl Part<'_> {
    /// The fields of a delivery status (RFC 3464 section 2.1, RFC 6533 section 4).
    pub(super) fn is_status(&self) -> bool {
        matches!(self.media.as_str(), "message/delivery-status" | "message/global-delivery-status")
    }

    /// The message that was returned, or its header (RFC 6522 section 3, RFC 6533 section 5).
    pub(super) fn is_returned(&self) -> bool {
        matches!(
            self.media.as_str(),
            "message/rfc822" | "text/rfc822-headers" | "message/global" | "message/global-headers"
        )
    }

    /// What people are to read.
    pub(super) fn is_text(&self) -> bool {
        self.media == "text/plain"
    }
}

/// The boundary of a `multipart/report` or `multipart/mixed`.
pub(super) fn boundary(header: &Header) -> Option<Vec<u8>> {
    let media = Structured::parse(header.only("Content-Type")?.body())?;
    let multipart = matches!(media.value(), "multipart/report" | "multipart/mixed");
    media.parameter("boundary").filter(|boundary| multipart && !boundary.is_empty())
}

/// The parts of a `multipart/report` or `multipart/mixed`; `None` if the message is neither. `whole` says that it ends here.
pub(super) fn parts(message: &[u8], whole: bool) -> Option<Vec<Part<'_>>> {
    let (header, rest) = Header::split(message);
    let boundary = [boundary(&header)?];
    let body = message.get(message.len() - rest.len()..)?;

    let mut parts = Vec::new();
    // Where the current part begins.
    let mut begin: Option<usize> = None;
    let mut at = 0;
    while let Some(line) = body.get(at..).filter(|rest| !rest.is_empty()) {
        let len = memchr::memmem::find(line, b"\r\n").map_or(line.len(), |cr| cr + 2);
        let line = line.get(..len).unwrap_or_default();
        // More may follow on the last line.
        let text = line.strip_suffix(b"\r\n").or(whole.then_some(line));
        if let Some((_, closes)) = text.and_then(|text| delimiter(text, &boundary)) {
            // The CRLF before a delimiter belongs to it.
            let end = at.saturating_sub(2);
            parts.extend(begin.and_then(|begin| part(body.get(begin..end.max(begin))?, true)));
            begin = (!closes).then_some(at + len);
            if parts.len() >= MAX_PARTS {
                return Some(parts);
            }
        }
        at += len;
    }
    parts.extend(begin.and_then(|begin| part(body.get(begin..)?, whole)));
    Some(parts)
}

/// Takes the header off. A part without Content-Type is text (RFC 2045 section 5.2); one whose Content-Type or encoding is not plain
/// is not looked at.
fn part(octets: &[u8], ended: bool) -> Option<Part<'_>> {
    let (header, rest) = Header::split(octets);
    let media = match header.count("Content-Type") {
        0 => "text/plain".to_owned(),
        _ => Structured::parse(header.only("Content-Type")?.body())?.value().to_owned(),
    };
    let encoding = match header.count("Content-Transfer-Encoding") {
        0 => None,
        _ => Some(Structured::parse(header.only("Content-Transfer-Encoding")?.body())?),
    };
    // Quoted-printable leaves the lines that are looked for as they are; their length is folded by header fields.
    let plain = encoding.is_none_or(|encoding| {
        matches!(encoding.value(), "7bit" | "8bit" | "binary" | "quoted-printable")
    });
    let content = octets.get(octets.len() - rest.len()..)?;
    plain.then_some(Part { media, content, ended })
}
