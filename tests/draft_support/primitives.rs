//! The cryptography below the structures of the draft, from other libraries than the one under test where there are two.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR};
use mta_seal::core::{Suite, body};

/// HPKE in base mode with a private key [R-env-05], [R-suite-03]; none if it was sealed with another `info`.
pub fn open_content_key(
    suite: Suite,
    private: &[u8],
    enc: &[u8],
    info: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    match suite {
        Suite::X25519 => open_with::<X25519HkdfSha256>(private, enc, info, sealed),
        Suite::XWing => open_with::<XWing>(private, enc, info, sealed),
    }
}

fn open_with<K: Kem>(private: &[u8], enc: &[u8], info: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    hpke::single_shot_open::<hpke::aead::AesGcm256, hpke::kdf::HkdfSha256, K>(
        &OpModeR::Base,
        &K::PrivateKey::from_bytes(private).unwrap(),
        &Deserializable::from_bytes(enc).unwrap(),
        info,
        sealed,
        &[],
    )
    .ok()
}

/// Key, base nonce and commitment of the chunked encryption [R-env-07].
pub fn body_keys(
    content_key: &[u8],
    salt: &[u8],
    context: &[u8],
) -> ([u8; 32], [u8; 12], [u8; 32]) {
    let scheme = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0".as_slice();
    let info = [scheme, salt, context].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA512, content_key);
    let first = hmac::sign(&key, &[&info, [1].as_slice()].concat());
    let second = hmac::sign(&key, &[first.as_ref(), &info, &[2]].concat());
    let output = [first.as_ref(), second.as_ref()].concat();
    let part = |from: usize, to: usize| output[from..to].to_vec();
    (
        part(0, 32).try_into().unwrap(),
        part(32, 44).try_into().unwrap(),
        part(44, 76).try_into().unwrap(),
    )
}

/// Decrypts what follows the commitment of a body.
pub fn open_chunks(key: &[u8; 32], base_nonce: &[u8; 12], chunks: &[u8]) -> Vec<u8> {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut content = Vec::new();
    for (number, chunk) in (0u64..).zip(chunks.chunks(body::CHUNK + body::TAG)) {
        let mut nonce = *base_nonce;
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(octet, n)| *octet ^= n);
        let (nonce, mut chunk) = (Nonce::assume_unique_for_key(nonce), chunk.to_vec());
        content.extend_from_slice(cipher.open_in_place(nonce, Aad::empty(), &mut chunk).unwrap());
    }
    content
}
