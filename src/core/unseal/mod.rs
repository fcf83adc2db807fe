//! Unsealing an envelope in one pass and constant memory.
//!
//! Each state consumes the last, so no check can be left out:
//! [`Received`] → [`Parsed`] → [`Opened`] → [`Decrypted`] → [`Verified`] → [`Accepted`].

mod opened;
mod received;
mod verified;

pub use opened::Opened;
pub use received::{Parsed, Received};
pub use verified::{Accepted, Decrypted, Verified};

use super::domain::Domain;
use super::error::{NamedKey, UnsealError};
use super::header::Header;
use super::ids::KeyId;
use super::keys::SealingPrivateKey;
use super::signing::VerifyingKey;

/// The outcome of handing octets to a state.
#[derive(Debug)]
pub enum Step<S, D> {
    /// More octets are needed.
    More(S),
    /// The state is complete. Octets beyond it are kept for the next ones.
    Done(D),
}

/// Unseals a whole envelope. `sealing_key` finds the private key that a header names,
/// `signing_key` the verifying key that a sender domain claims; `None` is
/// [`UnsealError::UnknownKey`].
///
/// # Errors
///
/// As the states of this module.
pub fn unseal<'k>(
    envelope: &[u8],
    sealing_key: impl FnOnce(&Header) -> Option<&'k SealingPrivateKey>,
    signing_key: impl FnOnce(&Domain, KeyId) -> Option<&'k VerifyingKey>,
) -> Result<(Vec<u8>, Accepted), UnsealError> {
    /// Octets handed over at a time, so that what is carried along stays small.
    const PIECE: usize = 65_536;

    let mut pieces = envelope.chunks(PIECE);
    let mut received = Received::new();
    let parsed = loop {
        let Some(piece) = pieces.next() else { return Err(received.ended()) };
        match received.push(piece)? {
            Step::More(more) => received = more,
            Step::Done(parsed) => break parsed,
        }
    };
    let key = sealing_key(parsed.header()).ok_or(UnsealError::UnknownKey(NamedKey::Sealing))?;
    let mut opened = parsed.open(key)?;
    let decrypted = loop {
        let Some(piece) = pieces.next() else { break opened.end()? };
        match opened.push(piece)? {
            Step::More(more) => opened = more,
            Step::Done(decrypted) => break decrypted,
        }
    };
    let key = signing_key(decrypted.sender_domain(), decrypted.signing_key_id())
        .ok_or(UnsealError::UnknownKey(NamedKey::Signing))?;
    let mut verified = decrypted.verify(key)?;
    let mut message = Vec::new();
    for piece in pieces {
        verified.push(piece, &mut message)?;
    }
    let accepted = verified.finish(&mut message)?;
    Ok((message, accepted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::core::Suite;
    use crate::core::body::{CHUNK, TAG};
    use crate::core::forge::Parties;

    /// What is held is bounded by chunks and by what was pushed last, not by the message.
    #[test]
    fn memory_is_bounded() {
        const PIECE: usize = 10_000;
        let parties = Parties::new(Suite::XWing);
        let (envelope, _) = parties.seal(&vec![b'm'; 2_000_000], "memory");
        let mut pieces = envelope.chunks(PIECE);
        let Step::Done(parsed) = Received::new().push(pieces.next().unwrap()).unwrap() else {
            panic!("the clear part is shorter than a piece");
        };
        assert!(parsed.rest.capacity() <= PIECE);
        let mut opened = parsed.open(&parties.sealing).unwrap();
        let decrypted = loop {
            match opened.push(pieces.next().unwrap()).unwrap() {
                Step::More(more) => opened = more,
                Step::Done(decrypted) => break decrypted,
            }
            assert!(opened.rest.capacity() == 0 && opened.front.capacity() <= 2 * CHUNK);
        };
        let mut verified = decrypted.verify(parties.signing.public()).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            verified.push(piece, &mut out).unwrap();
            assert!(out.len() <= PIECE + 2 * CHUNK);
            out.clear();
            let tail = &verified.tail;
            assert_eq!(tail.front_rest.capacity() + tail.rest.capacity(), 0);
            assert!(tail.decryptor.as_ref().unwrap().held() <= 2 * (CHUNK + TAG) + CHUNK);
        }
        verified.finish(&mut out).unwrap();
    }
}
