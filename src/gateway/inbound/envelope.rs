//! The octets of an envelope, as they come out of a carrier that is still arriving.

use super::{REWRAP_MARGIN, Stop};
use crate::core::prefix::MAX_PREFIX;
use crate::core::{Domain, Stage, Suite, UnsealError, envelope_len};
use crate::gateway::failure::Failure;
use crate::mail::carrier::{ScanError, Scanner, carrier_len};
use crate::smtp::server::{DataChunk, ServerConnection};

/// Reads the envelope of a recognised carrier.
pub(super) struct EnvelopeReader<'c> {
    pub(super) connection: &'c mut ServerConnection,
    scanner: Scanner,
    octets: Vec<u8>,
    ended: bool,
}

impl<'c> EnvelopeReader<'c> {
    /// Goes on after the octets that came with the verdict.
    pub(super) fn new(
        connection: &'c mut ServerConnection,
        scanner: Scanner,
        octets: Vec<u8>,
        ended: bool,
    ) -> Self {
        Self { connection, scanner, octets, ended }
    }

    /// The next octets of the envelope; none at its end, when the whole message has arrived and is well-formed.
    pub(super) async fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool, Stop> {
        piece.clear();
        std::mem::swap(piece, &mut self.octets);
        while piece.is_empty() && !self.ended {
            match self.connection.read_data().await? {
                DataChunk::Content(content) => {
                    let scanned = self.scanner.push(&content, piece);
                    // There is nothing more to be found.
                    self.ended = scanned.is_err();
                    scanned.map_err(scan_failure)?;
                }
                DataChunk::End(end) => {
                    self.ended = true;
                    if let Some(failure) = Failure::of_end(end) {
                        return Err(failure.into());
                    }
                    self.scanner.finish(piece).map_err(scan_failure)?;
                }
            }
        }
        Ok(!piece.is_empty())
    }

    /// Reads the carrier to its end, whatever becomes of the envelope in it: a fault anywhere in a carrier fails check 1, and
    /// so decides over later checks, also those that have failed meanwhile [R-uns-01].
    pub(super) async fn judge_carrier(&mut self) -> Result<(), Stop> {
        let mut piece = Vec::new();
        while self.next(&mut piece).await? {}
        Ok(())
    }
}

/// What is answered when the carrier itself is wrong [R-car-05], [R-car-07].
#[must_use]
pub fn scan_failure(error: ScanError) -> Failure {
    match error {
        ScanError::Header(_) => Failure::HeaderTooLarge,
        ScanError::SecondPart => Failure::TwoParts,
        _ => Failure::CarrierMalformed,
    }
}

/// What is answered when the envelope is wrong: all failures of cryptography look alike [R-smtp-01].
#[must_use]
pub fn unseal_failure(error: &UnsealError) -> Failure {
    match error {
        UnsealError::Malformed { stage: Stage::Header | Stage::Prefix, .. }
        | UnsealError::TooLarge { .. } => Failure::CarrierMalformed,
        UnsealError::Unsupported { .. } => Failure::CarrierUnsupported,
        UnsealError::UnknownKey(_) => Failure::UnknownKey,
        _ => Failure::Unauthentic,
    }
}

/// The largest carrier that can hold a message of so many octets to `domain`, whoever sealed it.
pub(super) fn carrier_limit(domain: &Domain, message: u64) -> u64 {
    /// Room for other domain names, which stand in the carrier a few times.
    const NAMES: u64 = 4096;
    let envelope = envelope_len(Suite::XWing, domain, MAX_PREFIX, message);
    let carrier = carrier_len(domain, domain, envelope).saturating_add(NAMES);
    carrier.saturating_add(carrier / 100 * REWRAP_MARGIN)
}
