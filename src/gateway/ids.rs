//! Identifiers that never leave the gateway: the trace id of a message and the retry key.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use rand_core::Rng;

use crate::core::Domain;
use crate::core::address::ReversePath;
use crate::core::hex::Hex;
use crate::store::ledger::RetryKey;

/// Names one transaction in logs and in the `Received:` field that the gateway prepends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId([u8; 8]);

impl TraceId {
    /// A fresh random id.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        let mut octets = [0; 8];
        rng.fill_bytes(&mut octets);
        Self(octets)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// What makes two transactions the same message to the same domain [R-con-07]: reverse-path,
/// recipient domain and the header block as received, whose topmost `Received:` field comes from
/// the MTA that keeps the queue and makes it unique.
///
/// `domain` is `None` for recipients without a domain (address literals, the bare postmaster).
#[must_use]
pub(super) fn retry_key(
    reverse_path: &ReversePath,
    domain: Option<&Domain>,
    header: &[u8],
) -> RetryKey {
    let mut hash = Context::new(&SHA256);
    let reverse_path = reverse_path.to_string();
    for field in [b"mta-seal retry key".as_slice(), reverse_path.as_bytes()] {
        hash.update(&(field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    let domain = domain.map_or("", Domain::as_str);
    hash.update(&(domain.len() as u64).to_be_bytes());
    hash.update(domain.as_bytes());
    hash.update(header);
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    RetryKey::from_bytes(key)
}
