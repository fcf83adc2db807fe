//! AES-256-GCM, SHA-256 and base64 alone, by the libraries that the product uses.

use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::PAD;

/// Characters of a line (RFC 2045 section 6.8), and the octets they stand for.
const LINE: usize = 76;
const LINE_OCTETS: usize = 57;
/// Octets encoded or decoded at once when lines are wrapped, so that the pieces stay in the cache.
const PIECE_LINES: usize = 512;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Fast = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Fast = base64::engine::GeneralPurpose;

static ENGINE: LazyLock<Fast> = LazyLock::new(|| {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let engine = Fast::standard(PAD);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let engine = Fast::new(&base64::alphabet::STANDARD, PAD);
    engine
});

/// AES-256-GCM over a whole message at once, always under the same key and nonce.
pub(super) struct Aes(LessSafeKey);

impl Aes {
    pub(super) fn new() -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("key")))
    }

    fn nonce() -> Nonce {
        Nonce::assume_unique_for_key([0; 12])
    }

    /// Encrypts in place; the tag.
    pub(super) fn encrypt(&self, octets: &mut [u8]) -> Tag {
        self.0.seal_in_place_separate_tag(Self::nonce(), Aad::empty(), octets).expect("encrypt")
    }

    /// Decrypts into `octets`, which is as long as the ciphertext.
    pub(super) fn decrypt(&self, ciphertext: &[u8], tag: &Tag, octets: &mut [u8]) {
        self.0
            .open_separate_gather(Self::nonce(), Aad::empty(), ciphertext, tag.as_ref(), octets)
            .expect("decrypt");
    }
}

pub(super) fn sha256(message: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, message)
}

pub(super) fn encode(octets: &[u8], text: &mut Vec<u8>) {
    text.resize(octets.len().div_ceil(3) * 4, 0);
    ENGINE.encode_slice(octets, text).expect("encode");
}

pub(super) fn decode(text: &[u8], octets: &mut Vec<u8>) {
    octets.resize(text.len() / 4 * 3, 0);
    let len = ENGINE.decode_slice(text, octets).expect("decode");
    octets.truncate(len);
}

/// Base64 with CRLF after every 76 characters.
pub(super) fn encode_wrapped(octets: &[u8], text: &mut Vec<u8>) {
    text.clear();
    let mut piece = Vec::new();
    for octets in octets.chunks(PIECE_LINES * LINE_OCTETS) {
        encode(octets, &mut piece);
        for line in piece.chunks(LINE) {
            text.extend_from_slice(line);
            text.extend_from_slice(b"\r\n");
        }
    }
}

/// The opposite of [`encode_wrapped`].
pub(super) fn decode_wrapped(text: &[u8], octets: &mut Vec<u8>) {
    octets.clear();
    let (mut joined, mut piece) = (Vec::new(), Vec::new());
    for text in text.chunks(PIECE_LINES * (LINE + 2)) {
        joined.clear();
        for line in text.chunks(LINE + 2) {
            joined.extend_from_slice(line.strip_suffix(b"\r\n").expect("CRLF"));
        }
        decode(&joined, &mut piece);
        octets.extend_from_slice(&piece);
    }
}
