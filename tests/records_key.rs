//! The key record and how records are handed to DNS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mta_seal::core::{Domain, SealingPrivateKey, SealingPublicKey, Suite};
use mta_seal::records::{DnsRecord, KeyRecord, MAX_KEY_RECORD, RecordError, ValueError};

fn key(suite: Suite, seed: u8) -> SealingPublicKey {
    let key = SealingPrivateKey::from_bytes(suite, &[seed; 32]).unwrap();
    key.public().clone()
}

#[test]
fn a_printed_key_record_reads_back() {
    for suite in Suite::ALL {
        let record = KeyRecord::new(key(suite, 3));
        let text = record.to_string();
        assert_eq!(KeyRecord::parse(text.as_bytes()), Ok(record));
        // Large DNS hosts allow 2,048 characters.
        assert!(text.len() <= 2048);
    }
}

#[test]
fn only_the_listed_key_is_authentic() {
    let (good, other) = (key(Suite::XWing, 3), key(Suite::XWing, 4));
    let record = || KeyRecord::new(good.clone());
    let id = good.key_id();
    assert_eq!(record().authenticate(Suite::XWing, &id), Some(good.clone()));
    assert_eq!(record().authenticate(Suite::X25519, &id), None);
    assert_eq!(record().authenticate(Suite::XWing, &other.key_id()), None);
}

#[test]
fn key_records_are_strict() {
    let key = key(Suite::XWing, 3);
    let p = STANDARD.encode(key.as_bytes());
    let parse = |text: &str| KeyRecord::parse(text.as_bytes()).map(|r| r.unverified().clone());
    let value = |tag, what| Err(RecordError::Value { tag, what });

    for text in [
        format!("v=MTASEALKEY1; k=2; p={p}"),
        format!("v=MTASEALKEY1;p={p};k=2;"),
        format!("v=MTASEALKEY1 ; x-=; k=2; p={p}").replace("x-", "x1"),
        format!("v=MTASEALKEY1; k=2; p={p}; s=unsigned"),
    ] {
        assert_eq!(parse(&text), Ok(key.clone()));
    }
    assert_eq!(parse(&format!("v=MTASEAL1; k=2; p={p}")), Err(RecordError::Version));
    assert_eq!(parse(&format!("v=MTASEALKEY1; p={p}")), Err(RecordError::Missing { tag: "k" }));
    assert_eq!(parse("v=MTASEALKEY1; k=2"), Err(RecordError::Missing { tag: "p" }));
    assert_eq!(
        parse(&format!("v=MTASEALKEY1; k=2; k=2; p={p}")),
        Err(RecordError::Duplicate { tag: "k".into() })
    );
    assert_eq!(parse(&format!("v=MTASEALKEY1; k=02; p={p}")), value("k", ValueError::LeadingZero));
    assert_eq!(
        parse(&format!("v=MTASEALKEY1; k=77; p={p}")),
        value("k", ValueError::UnknownSuite { suite: 77 })
    );
    assert_eq!(
        parse(&format!("v=MTASEALKEY1; k=1; p={p}")),
        value("p", ValueError::BadSealingKey { suite: 1 })
    );
    assert_eq!(
        parse(&format!("v=MTASEALKEY1; k=2; p={}", &p[1..])),
        value("p", ValueError::NotBase64)
    );
    // [R-suite-04] The X25519 part of a hybrid key, its last 32 octets, is of small order.
    let mut weak = key.as_bytes().to_vec();
    weak[1184..].fill(0);
    assert_eq!(
        parse(&format!("v=MTASEALKEY1; k=2; p={}", STANDARD.encode(&weak))),
        value("p", ValueError::BadSealingKey { suite: 2 })
    );

    let text = format!("v=MTASEALKEY1; k=2; p={p}; z=");
    let longest = text.clone() + &"z".repeat(MAX_KEY_RECORD - text.len());
    assert_eq!(parse(&longest), Ok(key));
    assert!(matches!(parse(&(longest + "z")), Err(RecordError::TooLong { limit: 4096, .. })));
}

/// Reads a TXT entry of a master file: RFC 1035 section 5.1.
fn read_master_file(entry: &str) -> (String, Vec<Vec<u8>>) {
    let mut strings = Vec::new();
    let name = entry.split(' ').next().unwrap().to_owned();
    let mut octets = entry.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'"' {
            continue;
        }
        let mut string = Vec::new();
        loop {
            match octets.next().unwrap() {
                b'"' => break,
                b'\\' => match octets.next().unwrap() {
                    digit @ b'0'..=b'9' => {
                        let digits = [digit, octets.next().unwrap(), octets.next().unwrap()];
                        let text = std::str::from_utf8(&digits).unwrap();
                        string.push(text.parse().unwrap());
                    }
                    octet => string.push(octet),
                },
                octet => string.push(octet),
            }
        }
        strings.push(string);
    }
    (name, strings)
}

#[test]
fn a_large_key_is_published_in_strings_of_255() {
    let domain = Domain::parse("company2.example").unwrap();
    let record = KeyRecord::new(key(Suite::XWing, 3));
    let published = DnsRecord::key(&"k1".parse().unwrap(), &domain, 3600, &record);
    assert_eq!(published.name(), "k1._mta-seal.company2.example");

    let entry = published.master_file();
    assert!(entry.ends_with(" )\n"));
    assert!(entry.lines().all(|line| line.len() < 300));
    let (name, strings) = read_master_file(&entry);
    assert_eq!(name, "k1._mta-seal.company2.example.");
    assert!(strings.len() > 1 && strings.iter().all(|s| s.len() <= 255));
    assert_eq!(KeyRecord::parse(&strings.concat()), Ok(record));
}

proptest::proptest! {
    #[test]
    fn any_text_survives_the_master_file(text in ".{0,300}") {
        let record = DnsRecord::txt("a.example", 60, text.clone());
        let (_, strings) = read_master_file(&record.master_file());
        proptest::prop_assert_eq!(strings.concat(), text.into_bytes());
    }
}
