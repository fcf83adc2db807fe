//! The order of the checks inside the envelope [R-uns-01]: of two faults the earlier one decides.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::forge::{Forge, Parties};
use super::*;

/// What is wrong with an envelope: with its parts, or with its octets afterwards.
struct Fault {
    what: &'static str,
    part: fn(&mut Forge<'_>),
    octets: fn(&mut [u8], &Places),
    error: UnsealError,
}

/// Offsets in the envelope.
struct Places {
    enc: usize,
    commitment: usize,
    chunks: usize,
}

const fn unauthentic(stage: Stage) -> UnsealError {
    UnsealError::Unauthentic(stage)
}

/// In the order of the checks.
fn faults() -> Vec<Fault> {
    let part = |what, part, error| Fault { what, part, octets: |_, _| (), error };
    let octets = |what, octets, error| Fault { what, part: |_| (), octets, error };
    let version = UnsealError::Unsupported { stage: Stage::Header, what: Unsupported::Version(2) };
    let end = UnsealError::Malformed { stage: Stage::Prefix, what: "extensions" };
    let block = UnsealError::Malformed { stage: Stage::Block, what: "blocks" };
    vec![
        octets("1: version", |e, _| e[8] = 2, version),
        octets("3: key", |e, _| e[11] ^= 1, UnsealError::UnknownKey(NamedKey::Sealing)),
        octets("4: HPKE", |e, at| e[at.enc] ^= 1, unauthentic(Stage::Hpke)),
        octets("5: commitment", |e, at| e[at.commitment] ^= 1, unauthentic(Stage::Commitment)),
        octets("6: ciphertext", |e, at| e[at.chunks] ^= 1, unauthentic(Stage::Chunk)),
        part("6: prefix", |f| f.prefix.truncate(f.prefix.len() - 1), end),
        part(
            "7: signing key",
            |f| f.prefix[18..50].fill(7),
            UnsealError::UnknownKey(NamedKey::Signing),
        ),
        part(
            "8: opening signature",
            |f| f.opening_signature = Some([7; 64]),
            unauthentic(Stage::OpeningSignature),
        ),
        part("14: blocks", |f| (f.end, f.blocks) = (vec![], vec![0xff, 0xff, b'a']), block),
        part("15: padding", |f| f.excess = 1, unauthentic(Stage::Padding)),
        part(
            "15: closing signature",
            |f| f.closing_signature = Some([7; 64]),
            unauthentic(Stage::ClosingSignature),
        ),
    ]
}

fn unseal_with(parties: &Parties, faults: &[&Fault]) -> Result<(), UnsealError> {
    let mut forge = Forge::new(parties, b"From: alice@company1.example\r\n\r\nx\r\n");
    faults.iter().for_each(|fault| (fault.part)(&mut forge));
    let header = forge.header.len();
    let body = header + parties.sealing.suite().enc_len() + Suite::SEALED_KEY_LEN;
    let places = Places { enc: header, commitment: body + 24, chunks: body + body::START };
    let mut envelope = forge.build();
    faults.iter().for_each(|fault| (fault.octets)(&mut envelope, &places));
    parties.unseal(&envelope).map(|_| ())
}

#[test]
fn of_two_faults_the_earlier_one_decides() {
    let parties = Parties::new(Suite::X25519);
    let faults = faults();
    assert_eq!(unseal_with(&parties, &[]), Ok(()));
    for (n, first) in faults.iter().enumerate() {
        assert_eq!(unseal_with(&parties, &[first]), Err(first.error), "{}", first.what);
        for second in &faults[n + 1..] {
            let found = unseal_with(&parties, &[first, second]);
            assert_eq!(found, Err(first.error), "{} and {}", first.what, second.what);
        }
    }
}
