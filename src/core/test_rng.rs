//! Deterministic random octets for tests.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use super::label::sha256;

/// SHA-256 of a seed and a counter, block by block.
pub(crate) struct TestRng {
    seed: [u8; 32],
    counter: u64,
}

impl TestRng {
    pub(crate) fn new(name: &str) -> Self {
        Self { seed: sha256(name.as_bytes()), counter: 0 }
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_be_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_be_bytes(octets))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for piece in out.chunks_mut(32) {
            let mut input = self.seed.to_vec();
            input.extend_from_slice(&self.counter.to_be_bytes());
            self.counter += 1;
            piece.copy_from_slice(&sha256(&input)[..piece.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}
