//! The content after the prefix: blocks, padding and the inputs of the two signatures.
//!
//! ~~~ text
//! struct {
//!     opaque data<0..2^16-1>;
//! } Block;
//!
//! struct {
//!     opaque prefix<1..2^20>;       /* one Prefix */
//!     opaque opening_signature[64];
//!     Block blocks[];               /* each of at least one octet, then
//!                                      one of zero octets */
//!     opaque padding[];
//!     opaque closing_signature[64];
//! } Content;
//! ~~~

use aws_lc_rs::digest;

use super::body::START;
use super::ed25519::SIGNATURE_LEN;
use super::error::{EncodeError, Stage, UnsealError};
use super::ids::EnvelopeId;
use super::label::Label;
use super::padding;
use super::prefix::PREFIX;

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 opening" */
//     opaque envelope_id[32];
//     opaque body_salt[24];
//     opaque body_commitment[32];
//     opaque prefix<1..2^20>;
// } OpeningInput;
/// What the opening signature is over [R-con-03].
pub(super) fn opening_input(
    envelope_id: &EnvelopeId,
    body_start: &[u8; START],
    prefix: &[u8],
) -> Result<Vec<u8>, EncodeError> {
    let mut input = Label::Opening.begin();
    input.extend_from_slice(envelope_id.as_bytes());
    input.extend_from_slice(body_start);
    PREFIX.put(&mut input, prefix)?;
    Ok(input)
}

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 closing" */
//     opaque opening_signature[64];
//     opaque content_hash[32];          /* SHA-256 of all octets between
//                                          the two signatures */
// } ClosingInput;
/// What the closing signature is over [R-con-06].
pub(super) fn closing_input(
    opening_signature: &[u8; SIGNATURE_LEN],
    content_hash: &[u8; 32],
) -> Vec<u8> {
    let mut input = Label::Closing.begin();
    input.extend_from_slice(opening_signature);
    input.extend_from_slice(content_hash);
    input
}

/// SHA-256 of all octets between the two signatures, while they pass by.
#[derive(Clone)]
pub(super) struct ContentHash(digest::Context);

impl ContentHash {
    pub(super) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(super) fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

/// Reads blocks, padding and closing signature in one pass, holding at most the signature.
pub(super) struct BlockReader {
    state: State,
    hash: ContentHash,
    /// Length of the content so far.
    len: u64,
}

enum State {
    /// Before a block's length.
    Length,
    /// Between the two octets of a block's length.
    LengthLow(u8),
    /// Inside a block, so many octets before its end.
    Data(usize),
    /// Inside the padding, so many octets before its end.
    Padding(u64),
    /// Inside the closing signature.
    Signature(Vec<u8>),
}

/// What stands at the end of a content.
pub(super) struct End {
    pub(super) closing_signature: [u8; SIGNATURE_LEN],
    pub(super) content_hash: [u8; 32],
}

impl BlockReader {
    /// Reads on after `before` octets of content: prefix with its length, and opening signature.
    pub(super) fn new(before: u64) -> Self {
        Self { state: State::Length, hash: ContentHash::new(), len: before }
    }

    /// Takes the next octets of the content; appends the message's octets among them to `out`.
    pub(super) fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), UnsealError> {
        const PADDING: UnsealError = UnsealError::Unauthentic(Stage::Padding);
        while let Some(first) = input.first() {
            let taken;
            match &mut self.state {
                State::Length => {
                    taken = 1;
                    self.state = State::LengthLow(*first);
                }
                State::LengthLow(high) => {
                    taken = 1;
                    self.state = match usize::from(u16::from_be_bytes([*high, *first])) {
                        0 => State::Padding(self.padding_len()),
                        len => State::Data(len),
                    };
                }
                State::Data(left) => {
                    taken = input.len().min(*left);
                    out.extend_from_slice(&input[..taken]);
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Length;
                    }
                }
                State::Padding(0) => {
                    self.state = State::Signature(Vec::with_capacity(SIGNATURE_LEN));
                    continue;
                }
                State::Padding(left) => {
                    taken =
                        usize::try_from(*left).map_or(input.len(), |left| input.len().min(left));
                    // [R-con-05]
                    if input[..taken].iter().any(|octet| *octet != 0) {
                        return Err(PADDING);
                    }
                    *left -= taken as u64;
                }
                State::Signature(signature) => {
                    // [R-con-05]: the length is exact.
                    if signature.len() + input.len() > SIGNATURE_LEN {
                        return Err(PADDING);
                    }
                    signature.extend_from_slice(input);
                    return Ok(());
                }
            }
            let (now, rest) = input.split_at(taken);
            self.hash.update(now);
            self.len += taken as u64;
            input = rest;
        }
        Ok(())
    }

    /// Octets of padding behind the end of the blocks, whose last octet is being read.
    fn padding_len(&self) -> u64 {
        let len = self.len + 1 + SIGNATURE_LEN as u64;
        padding::padded(len) - len
    }

    /// The end of the content.
    pub(super) fn finish(self) -> Result<End, UnsealError> {
        match self.state {
            State::Length | State::LengthLow(_) | State::Data(_) => {
                Err(UnsealError::Malformed { stage: Stage::Block, what: "blocks" })
            }
            State::Padding(_) => Err(UnsealError::Unauthentic(Stage::Padding)),
            State::Signature(signature) => Ok(End {
                closing_signature: signature
                    .try_into()
                    .map_err(|_| UnsealError::Unauthentic(Stage::Padding))?,
                content_hash: self.hash.finish(),
            }),
        }
    }
}
