#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use proptest::prelude::*;

use super::body::{CHUNK, START, TAG};
use super::codec::{Decode, Encode};
use super::error::NamedKey;
use super::forge::{Forge, Parties, block, seal_content};
use super::prefix::{MAX_FORWARD_PATHS, MAX_PREFIX};
use super::test_rng::TestRng;
use super::*;

const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: secret\r\n\r\nHello.\r\n";

fn failure(parties: &Parties, envelope: &[u8]) -> UnsealError {
    parties.unseal(envelope).expect_err("must be refused")
}

fn unauthentic(stage: Stage) -> UnsealError {
    UnsealError::Unauthentic(stage)
}

/// Unseals by pushing pieces of the given lengths, over and over.
fn unseal_in_pieces(
    parties: &Parties,
    envelope: &[u8],
    lengths: &[usize],
) -> Result<(Vec<u8>, Accepted), UnsealError> {
    let mut rest = envelope;
    let mut lengths = lengths.iter().cycle();
    let mut pieces = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, left) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
        rest = left;
        Some(piece)
    });
    let mut received = Received::new();
    let parsed = loop {
        let Some(piece) = pieces.next() else { return Err(received.ended()) };
        match received.push(piece)? {
            Step::More(more) => received = more,
            Step::Done(parsed) => break parsed,
        }
    };
    let mut opened = parsed.open(&parties.sealing)?;
    let decrypted = loop {
        let Some(piece) = pieces.next() else { break opened.end()? };
        match opened.push(piece)? {
            Step::More(more) => opened = more,
            Step::Done(decrypted) => break decrypted,
        }
    };
    let mut verified = decrypted.verify(parties.signing.public())?;
    let mut message = Vec::new();
    for piece in pieces {
        verified.push(piece, &mut message)?;
    }
    let accepted = verified.finish(&mut message)?;
    Ok((message, accepted))
}

fn message(len: usize) -> impl Strategy<Value = Vec<u8>> {
    // Lengths around the boundaries of blocks and chunks matter more than others.
    let near = |at: usize| (at.saturating_sub(80)..at + 3).boxed();
    prop_oneof![0..200usize, near(4096), near(BLOCK), near(2 * BLOCK), near(CHUNK), 0..len]
        .prop_flat_map(|len| {
            any::<u8>().prop_map(move |seed| {
                (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn round_trip_under_any_chunking(
        message in message(70_000),
        suite in prop::sample::select(&Suite::ALL[..]),
        paths in 0..400usize,
        writes in prop::collection::vec(1..40_000usize, 1..5),
        pushes in prop::collection::vec(1..40_000usize, 1..5),
    ) {
        let parties = Parties::new(suite);
        let mut prefix = parties.prefix();
        prefix.receipt_wanted = message.len() % 2 == 1;
        prefix.foreign_reverse_path = paths % 2 == 1;
        prefix.forward_paths = (0..paths)
            .map(|i| ForwardPath::new(format!("r{i}@company2.example"), 8, format!("rfc822;{i}")))
            .collect::<Result<_, _>>()
            .unwrap();
        let prefix_len = prefix.encoded_len().unwrap();
        let (whole, sealed) =
            seal(&message, parties.to(), prefix.clone(), &parties.signing, &mut TestRng::new("s"))
                .unwrap();

        // However the message is handed over, the envelope is the same.
        let mut envelope = Vec::new();
        let mut sealer = Sealer::new(
            parties.to(), prefix.clone(), &parties.signing, &mut TestRng::new("s"), &mut envelope,
        ).unwrap();
        let mut rest = message.as_slice();
        for len in writes.iter().cycle() {
            let (now, left) = rest.split_at(rest.len().min(*len));
            sealer.write(now, &mut envelope).unwrap();
            rest = left;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(sealer.envelope_id(), sealed.envelope_id);
        prop_assert_eq!(&sealer.finish(&mut envelope).unwrap(), &sealed);
        prop_assert!(envelope == whole);

        // [R-car-03]
        let len = envelope_len(suite, &parties.recipient, prefix_len, message.len() as u64);
        prop_assert_eq!(len, envelope.len() as u64);

        let (opened, accepted) = unseal_in_pieces(&parties, &envelope, &pushes).unwrap();
        prop_assert!(opened == message);
        prop_assert_eq!(&accepted.prefix, &prefix);
        prop_assert_eq!(accepted.envelope_id, sealed.envelope_id);
        prop_assert_eq!(accepted.closing_signature, sealed.closing_signature);
        prop_assert_eq!(accepted.content_hash, sealed.content_hash);
        prop_assert_eq!(&accepted.header, &parties.header());
        let (again, same) = parties.unseal(&envelope).unwrap();
        prop_assert!(again == message);
        prop_assert_eq!(same, accepted);
    }

    #[test]
    fn blocks_hash_tells_messages_apart_whatever_the_prefix(
        a in message(40_000), b in message(40_000),
    ) {
        let parties = Parties::new(Suite::X25519);
        let mut longer = parties.prefix();
        longer.forward_paths =
            vec![ForwardPath::new("x".repeat(500), 0, "y".repeat(500)).unwrap(); 40];
        let hash = |message: &[u8], prefix| {
            seal(message, parties.to(), prefix, &parties.signing, &mut TestRng::new("h"))
                .unwrap().1.blocks_hash
        };
        let of_a = hash(&a, parties.prefix());
        prop_assert_eq!(of_a, hash(&a, longer.clone()));
        prop_assert_eq!(a == b, of_a == hash(&b, longer));
    }

    #[test]
    fn failures_do_not_depend_on_chunking(
        at in 0.0..1.0f64,
        early in any::<bool>(),
        mask in 1..=255u8,
        kind in 0..3,
        pushes in prop::collection::vec(prop_oneof![1..60usize, 1..40_000usize], 1..5),
    ) {
        let parties = Parties::new(Suite::X25519);
        let (mut envelope, _) = parties.seal(&[b'c'; 50_000], "chunking");
        let range = if early { 400.0 } else { envelope.len() as f64 };
        let at = (at * range) as usize;
        match kind {
            0 => envelope[at] ^= mask,
            1 => envelope.truncate(at),
            _ => envelope.resize(envelope.len() + at + 1, mask),
        }
        let whole = parties.unseal(&envelope).expect_err("altered");
        let pieces = unseal_in_pieces(&parties, &envelope, &pushes).expect_err("altered");
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn any_octets_are_refused_without_panic(
        mut octets in prop::collection::vec(any::<u8>(), 0..400),
        from in 0..120usize,
    ) {
        let parties = Parties::new(Suite::X25519);
        prop_assert!(parties.unseal(&octets).is_err());
        let _ = Prefix::from_octets(&octets);
        // Behind a right beginning as well.
        let mut begun = parties.seal(b"", "octets").0;
        begun.truncate(from);
        begun.append(&mut octets);
        prop_assert!(parties.unseal(&begun).is_err());
    }
}

/// Offsets at which the parts of an envelope to company2.example begin.
struct Layout {
    version: usize,
    suite: usize,
    key_id: usize,
    domain_len: usize,
    domain: usize,
    extensions: usize,
    enc: usize,
    body: usize,
    chunks: usize,
}

fn layout(suite: Suite) -> Layout {
    let domain = 44;
    let extensions = domain + "company2.example".len();
    let enc = extensions + 2;
    let body = enc + suite.enc_len() + 48;
    Layout {
        version: 8,
        suite: 9,
        key_id: 11,
        domain_len: 43,
        domain,
        extensions,
        enc,
        body,
        chunks: body + START,
    }
}

#[test]
fn every_flipped_octet_is_found_at_its_stage() {
    for (suite, step) in [(Suite::X25519, 1), (Suite::XWing, 13)] {
        let parties = Parties::new(suite);
        let (envelope, _) = parties.seal(MESSAGE, "flip");
        let at = layout(suite);
        // One chunk only: the floor of the padding [R-con-05].
        assert_eq!(envelope.len(), at.chunks + 4096 + TAG);
        for offset in (0..envelope.len()).step_by(step) {
            for mask in [0x01, 0x80] {
                let mut altered = envelope.clone();
                altered[offset] ^= mask;
                let error = failure(&parties, &altered);
                let malformed = matches!(
                    error,
                    UnsealError::Malformed { stage: Stage::Header, .. }
                        | UnsealError::TooLarge { stage: Stage::Header, .. }
                );
                let right = if offset < at.version {
                    malformed
                } else if offset < at.suite {
                    matches!(error, UnsealError::Unsupported { what: Unsupported::Version(_), .. })
                } else if offset < at.key_id {
                    matches!(error, UnsealError::Unsupported { what: Unsupported::Suite(_), .. })
                } else if offset < at.domain_len {
                    error == UnsealError::UnknownKey(NamedKey::Sealing)
                } else if offset < at.domain {
                    malformed || error == unauthentic(Stage::Hpke)
                } else if offset < at.extensions {
                    // Another letter makes another domain, which HPKE binds.
                    malformed || (mask == 1 && error == unauthentic(Stage::Hpke))
                } else if offset < at.enc {
                    malformed
                } else if offset < at.body {
                    error == unauthentic(Stage::Hpke)
                } else if offset < at.chunks {
                    error == unauthentic(Stage::Commitment)
                } else {
                    error == unauthentic(Stage::Chunk)
                };
                assert!(right, "{suite} offset {offset} mask {mask}: {error}");
            }
        }
    }
}

#[test]
fn every_truncation_is_found() {
    for (suite, step) in [(Suite::X25519, 1), (Suite::XWing, 13)] {
        let parties = Parties::new(suite);
        let (envelope, _) = parties.seal(MESSAGE, "truncate");
        let chunks = layout(suite).chunks;
        for len in (0..envelope.len()).step_by(step) {
            let expected = if len < chunks + TAG { Stage::Truncated } else { Stage::Chunk };
            assert_eq!(failure(&parties, &envelope[..len]), unauthentic(expected), "{len}");
        }
    }
}

#[test]
fn truncation_at_chunk_boundaries_is_found() {
    let parties = Parties::new(Suite::X25519);
    let (envelope, _) = parties.seal(&[b'x'; 5 * CHUNK], "boundaries");
    let chunks = layout(Suite::X25519).chunks;
    for boundary in (chunks..envelope.len()).step_by(CHUNK + TAG) {
        for (len, stage) in [
            (boundary, Stage::Truncated),
            (boundary + TAG - 1, Stage::Truncated),
            (boundary + TAG, Stage::Chunk),
        ] {
            assert_eq!(failure(&parties, &envelope[..len]), unauthentic(stage), "{len}");
        }
    }
}

#[test]
fn appended_octets_are_found() {
    let parties = Parties::new(Suite::X25519);
    for len in [MESSAGE.len(), 2 * CHUNK] {
        let (envelope, _) = parties.seal(&vec![b'y'; len], "append");
        for added in [1, TAG, CHUNK + TAG, 100_000] {
            let mut longer = envelope.clone();
            longer.resize(envelope.len() + added, 0);
            assert_eq!(failure(&parties, &longer), unauthentic(Stage::Chunk), "{len} {added}");
        }
    }
}

#[test]
fn spliced_envelopes_are_found() {
    let parties = Parties::new(Suite::X25519);
    let long = [b'z'; 3 * CHUNK];
    let (a, _) = parties.seal(&long, "a");
    let (b, _) = parties.seal(&long, "b");
    let Layout { enc, body, chunks, .. } = layout(Suite::X25519);
    let second = chunks + CHUNK + TAG;
    for (cut, stage) in [
        (enc + 32, Stage::Hpke),
        (body, Stage::Commitment),
        (body + 24, Stage::Commitment),
        (chunks, Stage::Chunk),
        (second, Stage::Chunk),
    ] {
        let spliced = [&a[..cut], &b[cut..]].concat();
        assert_eq!(failure(&parties, &spliced), unauthentic(stage), "{cut}");
    }
    // Chunks in another order.
    let third = second + CHUNK + TAG;
    let swapped = [&a[..chunks], &a[second..third], &a[chunks..second], &a[third..]].concat();
    assert_eq!(failure(&parties, &swapped), unauthentic(Stage::Chunk));
}

#[test]
fn the_forge_makes_what_the_sealer_makes() {
    for suite in Suite::ALL {
        let parties = Parties::new(suite);
        for message in [MESSAGE, &[], &[b'm'; 3 * BLOCK]] {
            let (opened, accepted) =
                parties.unseal(&Forge::new(&parties, message).build()).unwrap();
            assert!(opened == message);
            let (_, sealed) = parties.seal(message, "twin");
            assert_eq!(accepted.content_hash, sealed.content_hash);
        }
    }
}

#[test]
fn only_the_named_keys_are_used() {
    let parties = Parties::new(Suite::X25519);
    let mut rng = TestRng::new("others");
    let other = SealingPrivateKey::generate(Suite::X25519, &mut rng).unwrap();
    let (envelope, _) = parties.seal(MESSAGE, "keys");
    // [R-env-05]: no key but the one named is tried.
    let error = unseal(&envelope, |_| Some(&other), |_, _| None).unwrap_err();
    assert_eq!(error, UnsealError::UnknownKey(NamedKey::Sealing));
    let error = unseal(&envelope, |_| None, |_, _| None).unwrap_err();
    assert_eq!(error, UnsealError::UnknownKey(NamedKey::Sealing));
    let error = unseal(&envelope, |_| Some(&parties.sealing), |_, _| None).unwrap_err();
    assert_eq!(error, UnsealError::UnknownKey(NamedKey::Signing));
    let signer = SigningKey::generate(&mut rng);
    let error = unseal(&envelope, |_| Some(&parties.sealing), |_, _| Some(signer.public()));
    assert_eq!(error.unwrap_err(), UnsealError::UnknownKey(NamedKey::Signing));
    // Sealed to another key than the header names.
    for suite in Suite::ALL {
        let parties = Parties::new(suite);
        let other = SealingPrivateKey::generate(suite, &mut rng).unwrap();
        let mut forge = Forge::new(&parties, MESSAGE);
        forge.sealed_to = other.public();
        assert_eq!(failure(&parties, &forge.build()), unauthentic(Stage::Hpke));
    }
}

#[test]
fn signatures_by_another_key_are_refused() {
    let parties = Parties::new(Suite::X25519);
    let thief = SigningKey::generate(&mut TestRng::new("thief"));
    let mut forge = Forge::new(&parties, MESSAGE);
    forge.opened_by = &thief;
    assert_eq!(failure(&parties, &forge.build()), unauthentic(Stage::OpeningSignature));
    let mut forge = Forge::new(&parties, MESSAGE);
    forge.closed_by = &thief;
    assert_eq!(failure(&parties, &forge.build()), unauthentic(Stage::ClosingSignature));
    // Signing all anew under one's own name is another claim, not a forgery.
    let mut forge = Forge::new(&parties, MESSAGE);
    let mut prefix = parties.prefix();
    prefix.signing_key_id = thief.key_id();
    forge.prefix = prefix.to_octets().unwrap();
    (forge.opened_by, forge.closed_by) = (&thief, &thief);
    assert_eq!(failure(&parties, &forge.build()), UnsealError::UnknownKey(NamedKey::Signing));
}

#[test]
fn a_signed_content_cannot_be_sealed_again_to_another_domain() {
    // The first recipient knows the content and reseals it as if it were for the second.
    let first = Parties::new(Suite::X25519);
    let mut second = Parties::new(Suite::X25519);
    second.recipient = Domain::parse("company3.example").unwrap();
    let genuine = Forge::new(&first, MESSAGE);
    let mut signature = None;
    let envelope = genuine.build_with_opening(|(id, start, prefix)| {
        let input = content::opening_input(id, start, prefix).unwrap();
        signature = Some(first.signing.sign(&input));
        signature
    });
    assert!(first.unseal(&envelope).is_ok());
    let mut forge = Forge::new(&second, MESSAGE);
    forge.opening_signature = signature;
    assert_eq!(failure(&second, &forge.build()), unauthentic(Stage::OpeningSignature));
}

#[test]
fn a_closing_signature_holds_for_one_opening_only() {
    let parties = Parties::new(Suite::X25519);
    let (_, sealed) = parties.seal(MESSAGE, "another");
    let mut forge = Forge::new(&parties, MESSAGE);
    forge.closing_signature = Some(sealed.closing_signature);
    assert_eq!(failure(&parties, &forge.build()), unauthentic(Stage::ClosingSignature));
}

#[test]
fn blocks_and_padding_are_exact() {
    let parties = Parties::new(Suite::X25519);
    type Fault = fn(&mut Forge<'_>);
    let faults: [(&str, Fault, UnsealError); 10] = [
        ("one octet more", |f| f.excess = 1, unauthentic(Stage::Padding)),
        ("one octet less", |f| f.excess = -1, unauthentic(Stage::Padding)),
        ("next bucket", |f| f.excess = 256, unauthentic(Stage::Padding)),
        ("last octet not zero", |f| f.stain = Some(0), unauthentic(Stage::Padding)),
        ("an octet not zero", |f| f.stain = Some(3000), unauthentic(Stage::Padding)),
        ("octets behind", |f| f.tail = vec![0], unauthentic(Stage::Padding)),
        (
            "empty block in the middle",
            |f| f.blocks = [block(b"a"), block(b""), block(b"b")].concat(),
            unauthentic(Stage::Padding),
        ),
        (
            "block beyond the end",
            |f| (f.end, f.blocks) = (vec![], vec![0xff, 0xff, b'a']),
            UnsealError::Malformed { stage: Stage::Block, what: "blocks" },
        ),
        ("content without padding", |f| f.excess = -3000, unauthentic(Stage::Padding)),
        ("half of an end", |f| (f.end, f.excess) = (vec![0], 255), unauthentic(Stage::Padding)),
    ];
    for (name, fault, expected) in faults {
        let mut forge = Forge::new(&parties, MESSAGE);
        assert!(parties.unseal(&forge.build()).is_ok());
        fault(&mut forge);
        let result = parties.unseal(&forge.build()).map(|(message, _)| message);
        assert_eq!(result, Err(expected), "{name}");
    }
    // Blocks of any lengths are the same message [R-con-04].
    let mut forge = Forge::new(&parties, b"");
    forge.blocks = [block(b"a"), block(&[b'b'; 65_535]), block(b"c")].concat();
    let (message, _) = parties.unseal(&forge.build()).unwrap();
    assert_eq!(message.len(), 65_537);
}

#[test]
fn contents_that_end_early_are_malformed() {
    let parties = Parties::new(Suite::X25519);
    let (stage, what) = (Stage::Prefix, "end of the content");
    let prefix = parties.prefix().to_octets().unwrap();
    let len = (prefix.len() as u32).to_be_bytes();
    let whole = [&len[1..], &prefix, &[0; 64]].concat();
    for len in [0, 2, 3, whole.len() - 65, whole.len() - 1] {
        let content = whole[..len].to_vec();
        let header = parties.header().to_octets().unwrap();
        let envelope = seal_content(&header, parties.sealing.public(), |_, _| content);
        assert_eq!(failure(&parties, &envelope), UnsealError::Malformed { stage, what }, "{len}");
    }
}

fn extension(extension_type: u16, critical: bool) -> Extension {
    Extension { extension_type, critical, value: b"value".to_vec() }
}

#[test]
fn extensions_of_the_header() {
    let parties = Parties::new(Suite::X25519);
    let with = |octets: &[u8]| {
        let mut forge = Forge::new(&parties, MESSAGE);
        forge.header.truncate(forge.header.len() - 2);
        forge.header.extend_from_slice(&(octets.len() as u16).to_be_bytes());
        forge.header.extend_from_slice(octets);
        parties.unseal(&forge.build())
    };
    // [R-env-03]
    let ignored = with(b"\0\x07\0\0\x01x\0\x09\0\0\0").unwrap().1.header.extensions;
    assert_eq!(ignored.as_slice()[0].value, b"x");
    assert_eq!(ignored.as_slice()[1].extension_type, 9);
    let stage = Stage::Header;
    let what = Unsupported::CriticalExtension(7);
    assert_eq!(with(b"\0\x07\x01\0\x01x"), Err(UnsealError::Unsupported { stage, what }));
    for (octets, what) in [
        (&b"\0\x07\x02\0\x01x"[..], "critical"),
        (b"\0\x07\0\0\0\0\x07\0\0\0", "order of extensions"),
        (b"\0\x07\0\0\0\0\x06\0\0\0", "order of extensions"),
        (b"\0\x07\0\0\x02x", "extension value"),
        (b"\0\x07\0\0", "extension value"),
        (b"\0", "extension type"),
        // Malformed whatever is known of the critical one before.
        (b"\0\x07\x01\0\0\0\x06\0\0\0", "order of extensions"),
    ] {
        assert_eq!(with(octets), Err(UnsealError::Malformed { stage, what }), "{octets:?}");
    }
    // [R-env-02]
    let fixed = Forge::new(&parties, MESSAGE).header.len() + 5;
    let fill = |len: usize| {
        let mut octets = b"\0\x07\0".to_vec();
        octets.extend_from_slice(&((len - fixed) as u16).to_be_bytes());
        octets.resize(octets.len() + len - fixed, 0);
        with(&octets)
    };
    assert!(fill(4096).is_ok());
    let limit = 4096;
    assert_eq!(fill(4097), Err(UnsealError::TooLarge { stage, what: "header", limit }));
}

#[test]
fn recipient_domains_are_canonical() {
    // [R-env-04]
    let parties = Parties::new(Suite::X25519);
    for domain in
        ["Company2.example", "company2.example.", "example", "", "[192.0.2.1]", "192.0.2.1"]
    {
        let mut forge = Forge::new(&parties, MESSAGE);
        forge.header.truncate(43);
        forge.header.push(domain.len() as u8);
        forge.header.extend_from_slice(domain.as_bytes());
        forge.header.extend_from_slice(&[0, 0]);
        let expected = UnsealError::Malformed { stage: Stage::Header, what: "recipient_domain" };
        assert_eq!(failure(&parties, &forge.build()), expected, "{domain}");
    }
}

#[test]
fn prefixes_that_are_refused() {
    let parties = Parties::new(Suite::X25519);
    let good = parties.prefix().to_octets().unwrap();
    let with = |prefix: Vec<u8>| {
        let mut forge = Forge::new(&parties, MESSAGE);
        forge.prefix = prefix;
        parties.unseal(&forge.build()).map(|(_, accepted)| accepted.prefix)
    };
    let stage = Stage::Prefix;
    let malformed = |what| Err(UnsealError::Malformed { stage, what });
    assert_eq!(with(good.clone()), Ok(parties.prefix()));
    // [R-con-01]
    for content_type in [0, 3] {
        let mut prefix = good.clone();
        prefix[0] = content_type;
        let what = Unsupported::ContentType(content_type);
        assert_eq!(with(prefix), Err(UnsealError::Unsupported { stage, what }));
    }
    assert_eq!(with([&good[..], &[0]].concat()), malformed("prefix"));
    assert_eq!(with(good[..good.len() - 1].to_vec()), malformed("extensions"));
    let with_extension = |extension_octets: &[u8]| {
        let mut prefix = good[..good.len() - 2].to_vec();
        prefix.extend_from_slice(&(extension_octets.len() as u16).to_be_bytes());
        prefix.extend_from_slice(extension_octets);
        with(prefix)
    };
    assert!(with_extension(b"\0\x07\0\0\0").is_ok());
    let what = Unsupported::CriticalExtension(7);
    assert_eq!(with_extension(b"\0\x07\x01\0\0"), Err(UnsealError::Unsupported { stage, what }));
    // Unknown flags are ignored.
    let flags = 1 + 1 + "company1.example".len() + 32 + 8;
    let mut prefix = good.clone();
    prefix[flags] = 0xff;
    prefix[flags + 1] = 0xfd;
    let read = with(prefix).unwrap();
    assert!(read.receipt_wanted && !read.foreign_reverse_path);
    assert_eq!(read.to_octets().unwrap()[flags..flags + 2], [0, 1]);
    // Fields with values that are not defined.
    let reverse = flags + 2 + 16;
    let parameters = reverse + 2 + "alice@company1.example".len();
    for (offset, what) in [(0, "body"), (1, "smtputf8"), (2, "ret")] {
        let mut prefix = good.clone();
        prefix[parameters + offset] = 3;
        assert_eq!(with(prefix), malformed(what));
    }
    let mut prefix = good.clone();
    prefix[reverse + 2] = b'\n';
    assert_eq!(with(prefix), malformed("reverse-path mailbox"));
    let mut prefix = good.clone();
    prefix[reverse + 2] = 0xff;
    assert_eq!(with(prefix), malformed("reverse-path mailbox"));
    // Nothing at all.
    assert_eq!(with(Vec::new()), malformed("prefix"));
}

#[test]
fn paths_hold_no_control_characters_and_keep_to_their_limits() {
    let path = |mailbox: &str, notify, orcpt: &str| {
        ForwardPath::new(mailbox.into(), notify, orcpt.into()).map(|_| ()).map_err(|e| e.0)
    };
    assert_eq!(path("bob@company2.example", 14, "rfc822;bob"), Ok(()));
    assert_eq!(path("böb@company2.example", 1, ""), Ok(()));
    assert_eq!(path(&"b".repeat(512), 0, &"o".repeat(500)), Ok(()));
    for mailbox in ["", "a\r\n@b.example", "a\0@b.example", "a\u{85}@b.example", &"b".repeat(513)] {
        assert_eq!(path(mailbox, 0, ""), Err("forward-path mailbox"), "{mailbox:?}");
    }
    // RFC 3461 section 4.1: NEVER stands alone.
    for notify in [3, 5, 9, 15, 16, 255] {
        assert_eq!(path("bob@company2.example", notify, ""), Err("notify"), "{notify}");
    }
    assert_eq!(path("bob@company2.example", 0, &"o".repeat(501)), Err("orcpt"));
    let reverse = |mailbox: &str, body, ret, envid: &str| {
        ReversePathField::new(mailbox.into(), body, true, ret, envid.into())
            .map(|_| ())
            .map_err(|e| e.0)
    };
    assert_eq!(reverse("", 0, 0, ""), Ok(()));
    assert_eq!(reverse("a\t@b.example", 0, 0, ""), Err("reverse-path mailbox"));
    assert_eq!(reverse("", 3, 0, ""), Err("body"));
    assert_eq!(reverse("", 0, 3, ""), Err("ret"));
    assert_eq!(reverse("", 0, 0, &"e".repeat(101)), Err("envid"));
}

#[test]
fn prefix_limits() {
    let parties = Parties::new(Suite::X25519);
    let rng = || TestRng::new("limits");
    // [R-con-01]: 1,000 of the largest forward-paths.
    let path = ForwardPath::new("b".repeat(512), 0, "o".repeat(500)).unwrap();
    let mut prefix = parties.prefix();
    prefix.forward_paths = vec![path.clone(); MAX_FORWARD_PATHS];
    // Filled up to 2^20 octets exactly.
    let fill = MAX_PREFIX - prefix.encoded_len().unwrap() - 5;
    let mut filled = extension(1, false);
    filled.value = vec![0; fill];
    prefix.extensions = Extensions::new(vec![filled.clone()]).unwrap();
    assert_eq!(prefix.encoded_len(), Ok(MAX_PREFIX));
    let (envelope, _) =
        seal(MESSAGE, parties.to(), prefix.clone(), &parties.signing, &mut rng()).unwrap();
    assert_eq!(
        envelope.len() as u64,
        envelope_len(Suite::X25519, &parties.recipient, MAX_PREFIX, MESSAGE.len() as u64)
    );
    let (message, accepted) = parties.unseal(&envelope).unwrap();
    assert_eq!(message, MESSAGE);
    assert_eq!(accepted.prefix, prefix);

    // One octet more is refused before it is sealed, and as soon as its length is read.
    filled.value.push(0);
    prefix.extensions = Extensions::new(vec![filled]).unwrap();
    let refused = seal(MESSAGE, parties.to(), prefix.clone(), &parties.signing, &mut rng());
    assert_eq!(
        refused.unwrap_err(),
        SealError::TooLarge(EncodeError { what: "prefix", limit: MAX_PREFIX })
    );
    let mut forge = Forge::new(&parties, MESSAGE);
    forge.prefix = vec![0; MAX_PREFIX + 1];
    forge.opening_signature = Some([0; 64]);
    let envelope = forge.build();
    let first_chunk = layout(Suite::X25519).chunks + CHUNK + TAG;
    let received = Received::new().push(&envelope[..first_chunk]).unwrap();
    let Step::Done(parsed) = received else { panic!("clear part is complete") };
    let error = parsed.open(&parties.sealing).unwrap().push(&[]).unwrap_err();
    let stage = Stage::Prefix;
    assert_eq!(error, UnsealError::TooLarge { stage, what: "prefix", limit: MAX_PREFIX });

    // One path more.
    prefix.extensions = Extensions::default();
    prefix.forward_paths =
        vec![ForwardPath::new("b@company2.example".into(), 0, String::new()).unwrap(); 1001];
    let what = "forward_paths";
    assert_eq!(prefix.encoded_len(), Err(EncodeError { what, limit: MAX_FORWARD_PATHS }));
    prefix.forward_paths.pop();
    let mut octets = prefix.to_octets().unwrap();
    let list = octets.len() - 2 - 1000 * 23;
    let len = (1001u32 * 23).to_be_bytes();
    octets[list - 3..list].copy_from_slice(&len[1..]);
    let one: Vec<u8> = octets[list..list + 23].to_vec();
    octets.splice(list..list, one);
    let mut forge = Forge::new(&parties, MESSAGE);
    forge.prefix = octets;
    let error = failure(&parties, &forge.build());
    assert_eq!(error, UnsealError::TooLarge { stage, what, limit: MAX_FORWARD_PATHS });
}

#[test]
fn two_extensions_of_one_type_cannot_be_made() {
    assert!(Extensions::new(vec![extension(2, false), extension(1, true)]).is_some());
    assert!(Extensions::new(vec![extension(2, false), extension(2, true)]).is_none());
}

#[test]
fn octets_after_the_announced_end_are_refused() {
    let parties = Parties::new(Suite::X25519);
    let (envelope, _) = parties.seal(MESSAGE, "end");
    let Step::Done(parsed) = Received::new().push(&envelope).unwrap() else { panic!("complete") };
    let decrypted = parsed.open(&parties.sealing).unwrap().end().unwrap();
    assert_eq!(decrypted.sender_domain(), &parties.sender);
    assert_eq!(decrypted.sealed_at(), 1_800_000_000);
    let mut verified = decrypted.verify(parties.signing.public()).unwrap();
    let mut message = Vec::new();
    verified.push(&[], &mut message).unwrap();
    assert_eq!(message, MESSAGE);
    assert_eq!(verified.push(&[0], &mut message), Err(unauthentic(Stage::Chunk)));
    // A failure that a caller overlooks is not forgotten.
    assert_eq!(verified.finish(&mut message), Err(unauthentic(Stage::Chunk)));
}

/// The octets on the wire, pinned: a change of this hash is a change of the protocol.
#[test]
fn envelopes_do_not_change() {
    let known = [
        (Suite::X25519, "8be9dcffa2807f5ff977c4b1f515d02d5b1e301abffd737e8d22fd6660f59388"),
        (Suite::XWing, "111401c9a19fddfddd256e82163ca24e7d07c258f73eabb153856dee01084e36"),
    ];
    for (suite, expected) in known {
        let (envelope, _) = Parties::new(suite).seal(MESSAGE, "known answer");
        let hash = EnvelopeId::from_bytes(sha256(&envelope));
        assert_eq!(hash.to_string(), expected, "{suite}");
    }
}
