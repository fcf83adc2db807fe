//! TXT records as they stand in a message: cut into strings.

use hickory_proto::rr::rdata::TXT;

/// Longest string within a TXT record (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;

/// The record with these octets; without any it has one empty string.
pub(super) fn cut(octets: &[u8]) -> TXT {
    let whole = octets.is_empty();
    TXT::from_bytes(if whole { vec![octets] } else { octets.chunks(MAX_STRING).collect() })
}
