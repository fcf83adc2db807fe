//! DKIM signatures of carriers: what they cover, and which keys make them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dkim_support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dkim_support::{Key, Zone};
use mta_seal::core::Domain;
use mta_seal::mail::carrier::{CarrierWriter, FIELDS, Token};
use mta_seal::mail::dkim::{CarrierSigner, DkimKey, DkimKeyError, Selector, VALIDITY};

const DOMAIN: &str = "company1.example";

fn carrier(envelope: &[u8]) -> Vec<u8> {
    let (from, to) = (Domain::parse(DOMAIN).unwrap(), Domain::parse("company2.example").unwrap());
    let mut out = Vec::new();
    let mut writer = CarrierWriter::new(&from, &to, Token::new([7; 16]), 1_800_000_000, &mut out);
    writer.write(envelope, &mut out);
    writer.finish(&mut out);
    out
}

fn signer(pem: &str, selector: &str) -> CarrierSigner {
    let selector: Selector = selector.parse().unwrap();
    let key = DkimKey::from_pem(pem).unwrap();
    CarrierSigner::new(&Domain::parse(DOMAIN).unwrap(), &selector, key).unwrap()
}

/// The field that a carrier gets which arrives in pieces of `piece` octets.
fn sign(signer: &CarrierSigner, carrier: &[u8], piece: usize) -> Vec<u8> {
    let mut signing = signer.begin();
    carrier.chunks(piece).for_each(|piece| signing.write(piece));
    signing.finish().unwrap()
}

/// The value of a tag, without folding.
fn tag(field: &[u8], name: &str) -> Option<String> {
    let text: String =
        String::from_utf8(field.to_vec()).unwrap().split_whitespace().collect::<String>();
    let list = text.strip_prefix("DKIM-Signature:").unwrap().to_owned();
    let value = list.split(';').find_map(|tag| tag.strip_prefix(&format!("{name}=")));
    value.map(str::to_owned)
}

#[tokio::test]
async fn signatures_verify_with_the_published_record() {
    let directory = tempfile::tempdir().unwrap();
    let rsa = Key::make(directory.path(), DOMAIN, "mta-seal", &[]);
    let ed25519 = Key::make(directory.path(), DOMAIN, "a.b", &["--ed25519"]);
    assert_eq!(rsa.record.0, "mta-seal._domainkey.company1.example");
    assert!(rsa.record.1.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0"), "{:?}", rsa.record);
    assert!(ed25519.record.1.starts_with("v=DKIM1; k=ed25519; p="), "{:?}", ed25519.record);
    let zone = Zone::of(&[&rsa, &ed25519]);
    for key in [&rsa, &ed25519] {
        let signer = signer(&key.pem(), &key.selector);
        for (length, piece) in [(0, 4096), (1, 1), (57 * 40, 3), (300_000, 4096), (300_000, 65_537)]
        {
            let carrier = carrier(&vec![0xa5; length]);
            let field = sign(&signer, &carrier, piece);
            assert_eq!(field.len() as u64, signer.field_len(), "{length}");
            let signed = [&field[..], &carrier].concat();
            assert_eq!(zone.verify(&signed).await, [true], "{length} {}", key.selector);
        }
    }
}

#[tokio::test]
async fn every_field_and_the_body_are_covered() {
    let directory = tempfile::tempdir().unwrap();
    let key = Key::make(directory.path(), DOMAIN, "s", &["--ed25519"]);
    let zone = Zone::of(&[&key]);
    let carrier = carrier(&[0xa5; 5000]);
    let field = sign(&signer(&key.pem(), "s"), &carrier, 999);
    let signed = String::from_utf8([&field[..], &carrier].concat()).unwrap();
    // What a carrier has is in FIELDS, or the signature would not cover it.
    let header = std::str::from_utf8(&carrier).unwrap().split("\r\n\r\n").next().unwrap();
    let names = header.lines().filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = names.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, FIELDS);
    for name in FIELDS {
        let altered = signed.replacen(&format!("\r\n{name}: "), &format!("\r\n{name}: x"), 1);
        assert_ne!(altered, signed);
        assert_eq!(zone.verify(altered.as_bytes()).await, [false], "{name}");
    }
    let altered = signed.replacen("paWl", "paWm", 1);
    assert_ne!(altered, signed);
    assert_eq!(zone.verify(altered.as_bytes()).await, [false]);
    assert_eq!(zone.verify(format!("{signed}footer\r\n").as_bytes()).await, [false]);
    // A second From, above or below, that a reader might take for the sender (RFC 6376 section 8.15).
    let second = "From: ceo@company1.example\r\n";
    let above = format!("{second}{signed}");
    let below = signed.replacen("Subject:", &format!("{second}Subject:"), 1);
    for altered in [above, below] {
        assert_ne!(altered, signed);
        assert!(!zone.verify(altered.as_bytes()).await.contains(&true));
    }
    // Trace fields of relays leave it whole.
    let relayed = format!("Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n{signed}");
    assert_eq!(zone.verify(relayed.as_bytes()).await, [true]);
}

#[test]
fn tags_are_those_that_were_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let key = Key::make(directory.path(), DOMAIN, "mta-seal", &[]);
    let field = sign(&signer(&key.pem(), "MTA-Seal"), &carrier(b"x"), 64);
    assert_eq!(tag(&field, "a").unwrap(), "rsa-sha256");
    assert_eq!(tag(&field, "d").unwrap(), DOMAIN);
    assert_eq!(tag(&field, "s").unwrap(), "mta-seal");
    assert_eq!(tag(&field, "c").unwrap(), "relaxed/relaxed");
    assert_eq!(tag(&field, "l"), None);
    let time = |name| tag(&field, name).unwrap().parse::<u64>().unwrap();
    assert_eq!(time("x"), time("t") + VALIDITY);
    let mut covered: Vec<String> =
        tag(&field, "h").unwrap().split(':').map(str::to_owned).collect();
    covered.sort();
    let mut expected = [&FIELDS[..], &["From"]].concat();
    expected.sort_unstable();
    assert_eq!(covered, expected);
}

/// The content of a PEM text.
fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    BASE64_STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn key_files_of_common_tools_are_read_and_others_refused() {
    let directory = tempfile::tempdir().unwrap();
    let rsa = Key::make(directory.path(), DOMAIN, "rsa", &[]);
    let pkcs8 = der(&rsa.pem());
    // RFC 5208: version, algorithm, and an octet string with what PKCS#1 has.
    let pkcs1 = &pkcs8[26..];
    assert_eq!(pkcs1[..2], [0x30, 0x82]);
    let read = DkimKey::from_pem(&pem("RSA PRIVATE KEY", pkcs1)).unwrap();
    assert_eq!(read.record(), rsa.record.1);
    assert!(!format!("{read:?}").contains(&BASE64_STANDARD.encode(&pkcs1[300..330])));
    let (not_pem, not_usable) = (DkimKeyError::NotPem, DkimKeyError::NotUsable);
    for (text, error) in [
        (String::new(), not_pem),
        ("key: AAAA".to_owned(), not_pem),
        (pem("CERTIFICATE", &pkcs8), not_pem),
        (pem("PUBLIC KEY", &pkcs8), not_pem),
        (pem("EC PRIVATE KEY", pkcs1), not_usable),
        (pem("PRIVATE KEY", pkcs1), not_usable),
        (pem("RSA PRIVATE KEY", &pkcs8), not_usable),
        (pem("PRIVATE KEY", &pkcs8[..pkcs8.len() - 1]), not_usable),
        (SHORT.to_owned(), not_usable),
    ] {
        assert_eq!(DkimKey::from_pem(&text).err(), Some(error), "{text}");
    }
}

#[test]
fn selectors_are_labels() {
    for good in ["mta-seal", "a.b", "2026", "MTA-Seal"] {
        assert_eq!(good.parse::<Selector>().unwrap().to_string(), good.to_ascii_lowercase());
    }
    for bad in ["", ".", "a.", ".a", "a b", "a;b", "-a", "\u{e9}", "a\r\nb", &"x".repeat(64)] {
        assert!(bad.parse::<Selector>().is_err(), "{bad:?}");
    }
    let domain = Domain::parse(DOMAIN).unwrap();
    let long: Selector = vec!["x".repeat(60); 4].join(".").parse().unwrap();
    assert_eq!(long.record_name(&domain), None);
}

/// An RSA key of 1,024 bits, which guards nothing.
const SHORT: &str = "\
-----BEGIN RSA PRIVATE KEY-----\n\
MIICXQIBAAKBgQDEwtU9BGH9DFzNGJ9rjSClEZh8/43XLrC5YhqlelN+J2xkqY13\n\
HfOWSKOJEVmlkB8Bkyp2pLoIggicgJED3O5liKWHlMRBsP7/ew84Gvo6djCsoAVs\n\
O4nB0L2kQhauo5cX4IBirM8pZ/IOXon8XfyM3dbT2rIu5iP/MdeCIbpN2wIDAQAB\n\
AoGAIOGOUQwSc/9E4uFigs6qzesK2Ji8U2FyFwjV+yFeIo7kBk5vXaCbvFmXOqiz\n\
mn9jLxgw2HLew903IzA5C7Q4AmRIFGk2B0Ycbv3SeSu+GjsrO3uEBprGWiHBXcb+\n\
js6eja58PLds5c2N2BHo/Pdqo+XpAUtKT+/F4v15TGPo4EECQQD6DO17SZVFNhYB\n\
/LOZ11BlfHeuzoZ9mBLQ2vHNKJRUoGx/fxyb0iOlC52fiRBtkH6JpRxmFtXXyN3x\n\
YSHWPCyNAkEAyXFQ9AXJ3rOpd4rH3YfA5WE2F+86SwL1rqWPSvD1iS57M+TGcsAg\n\
QfkyG4rzyJnK/y6+RiWmnIZy5CwYLdLuBwJBAJnwuYesPmyUpqnkhEGS8Bj6rsf8\n\
t4m8xOC12iVe9SrAdOttOxSnI3CpnQmpnWaGjZB6COjE6DPnotPG48j71MUCQEcL\n\
yitmZz4+S0S4E6mUGXpNANEMNJkEIDZKefFKbq7FT/qLc1pBXJ8oDn4cUcKsSyYZ\n\
DE6dNNf7q0XCL3zp6b0CQQDpNzKoO8SlFSyAPGShvk+XomJS2H/4iMR5SieXgpEi\n\
2lfIoZfyqn2EU+VclhRx2VUYH3AV5tno7HrKmzk+8CSR\n\
-----END RSA PRIVATE KEY-----\n";
