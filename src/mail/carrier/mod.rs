//! The carrier: the RFC 5322 message that transports one envelope [R-car-01..09].
//!
//! [`CarrierWriter`] writes it, [`carrier_len`] knows its length beforehand, [`Scanner`]
//! recognises one in a stream of octets and gives the envelope back.

mod base64;
mod lines;
mod part;
mod quoted;
mod scan;
mod transfer;
mod tree;
mod wrap;

pub use scan::{Limits, ScanError, Scanner, State};
pub use wrap::{CarrierWriter, Token, carrier_len};

/// Local part of the mailbox between which carriers go, in lower case only: gateways write it,
/// and no hop that was measured changes the case of a local part.
pub const LOCAL_PART: &str = "mta-seal";

/// Media type of the sealed part.
pub const MEDIA_TYPE: &str = "application/mta-seal";

/// End of the file name of the sealed part; case is ignored.
pub const FILE_SUFFIX: &str = ".mtaseal";

/// Field of the outer header that holds the token.
pub const TOKEN_FIELD: &str = "MTA-Seal-Token";

/// The fields of a carrier's own header, all that a signature can cover.
pub const FIELDS: [&str; 8] =
    ["Date", "From", "To", "Subject", "Message-ID", TOKEN_FIELD, "MIME-Version", "Content-Type"];

/// First octets of every envelope [R-env-01].
const MAGIC: [u8; 8] = *b"\xd3MTASEAL";
