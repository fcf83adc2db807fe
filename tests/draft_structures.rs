//! Every structure of the draft is what the library hashes, signs, writes and reads.
//!
//! Each is encoded by the text of the draft ([`presentation`](draft_support::presentation)) and compared with what comes out of the
//! library. Ed25519 gives one signature for one input, so that equal signatures are equal inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod draft_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use draft_support::presentation::Value::{
    Any, Label as StatedLabel, Many, Number, Octets, One, Stated, Words,
};
use draft_support::presentation::{
    Extent, Fields, Given, Kind, Structure, Structures, Value, width,
};
use draft_support::primitives::{body_keys, open_chunks, open_content_key};
use draft_support::{DRAFT, base64, table};
use mta_seal::core::codec::{Decode, Encode};
use mta_seal::core::prefix::MAX_FORWARD_PATHS;
use mta_seal::core::{
    BLOCK, ContentType, DeliveryId, Domain, Extension, Extensions, ForwardPath, Header,
    IdentityKey, KeyId, MAX_DOMAIN, Prefix, ReversePathField, SealTo, SealingPrivateKey,
    SigningKey, Suite, body, seal, sha256, unseal,
};
use mta_seal::records::{Mode, PolicyDraft, Rollover, SignedPolicy, VerifyError};
use rand_core::UnwrapErr;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// An identity of so many octets; none if there is none.
fn domain_of(len: usize) -> Option<String> {
    let text: String = (0..len).map(|at| if at % 50 == 49 { '.' } else { 'a' }).collect();
    Domain::from_canonical(text.as_bytes()).ok()?;
    Some(text)
}

fn identity() -> IdentityKey {
    IdentityKey::from_bytes(&[1; 32])
}

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

fn sealing(suite: Suite) -> SealingPrivateKey {
    SealingPrivateKey::from_bytes(suite, &[3; 32]).unwrap()
}

#[test]
fn every_structure_is_what_the_library_makes() {
    let mut structures = Structures::read();
    let rows = table("suite-table");
    for suite in Suite::ALL {
        let row = rows.iter().find(|row| row[0] == suite.id().to_string()).expect("its row");
        structures.set("Nenc", row[7].parse().unwrap());
        sealing_key_id(&structures, suite);
        envelope(&structures, suite);
    }
    ed25519_key_ids(&structures);
    header_with_extensions(&structures);
    prefix_with_everything(&structures);
    policy(&structures);
    rollover(&structures);
    assert!(structures.unused().is_empty(), "no check for {:?}", structures.unused());
}

fn sealing_key_id(structures: &Structures, suite: Suite) {
    let key = sealing(suite);
    let input = structures.encode(
        "SealingKeyIdInput",
        &[
            ("label", Stated),
            ("suite", Number(suite.id().0.into())),
            ("public_key", Octets(key.public().as_bytes())),
        ],
    );
    assert_eq!(sha256(&input), *key.key_id().as_bytes());
}

fn ed25519_key_ids(structures: &Structures) {
    let id = |label, key: &[u8]| {
        let given = [("label", StatedLabel(label)), ("public_key", Octets(key))];
        KeyId::from_bytes(sha256(&structures.encode("Ed25519KeyIdInput", &given)))
    };
    let signing = id("mta-seal/1 signing-key-id", signing().public().as_bytes());
    assert_eq!(signing, self::signing().key_id());
    let identity = id("mta-seal/1 identity", identity().public().as_bytes());
    assert_eq!(identity, self::identity().fingerprint());
}

fn policy(structures: &Structures) {
    let domain = domain("company1.example");
    let draft = PolicyDraft {
        mode: Mode::None,
        serial: 1_800_000_000,
        expiry: 1_800_000_001,
        max_age: 0,
        window: 3600,
        signing_keys: vec![signing().public().clone()],
        sealing_keys: Vec::new(),
        outgoing_always: false,
        rollover: None,
        next_identity: None,
    };
    let text = draft.sign(&domain, &identity()).unwrap();
    let quoted = |name| structures.field("PolicyInput", name).labels()[0].to_owned();
    let query_name = quoted("query_name") + domain.as_str();
    let signed = &text[..text.rfind(&(quoted("text") + "=")).expect("the signature tag")];
    let input = structures.encode(
        "PolicyInput",
        &[
            ("label", Stated),
            ("query_name", Octets(query_name.as_bytes())),
            ("text", Octets(signed.as_bytes())),
        ],
    );
    assert_eq!(text, format!("{signed}s={}", base64(&identity().sign(&input))));
    assert!(SignedPolicy::parse(text.as_bytes()).unwrap().verify(&domain).is_ok());
}

fn rollover(structures: &Structures) {
    let (old, new) = (IdentityKey::from_bytes(&[4; 32]), identity());
    let (serial, expiry) = (0x0102_0304, 0x0506_0708);
    let domain = domain("company1.example");
    let statement = Rollover::sign(&old, &domain, new.public(), serial, expiry).unwrap();
    let input = structures.encode(
        "RolloverInput",
        &[
            ("label", Stated),
            ("domain", Octets(b"company1.example")),
            ("old_key", Octets(old.public().as_bytes())),
            ("new_key", Octets(new.public().as_bytes())),
            ("serial", Number(serial)),
            ("expiry", Number(expiry)),
        ],
    );
    let (key, signature) = (base64(old.public().as_bytes()), base64(&old.sign(&input)));
    assert_eq!(statement.to_string(), format!("{key}:{expiry}:{signature}"));
    assert!(statement.proves(&domain, old.public(), new.public(), serial, expiry - 1));
}

/// Two extensions that are unknown and not critical, and what they are given as.
fn extensions() -> (Extensions, Vec<Fields<'static>>) {
    let one = |extension_type, value: &[u8]| Extension {
        extension_type,
        critical: false,
        value: value.to_vec(),
    };
    let list = vec![one(0x0102, b"xyz"), one(0x0304, b"")];
    let given = |extension_type, value| {
        vec![
            ("extension_type", Number(extension_type)),
            ("critical", Number(0)),
            ("value", Octets(value)),
        ]
    };
    (Extensions::new(list).unwrap(), vec![given(0x0102, b"xyz"), given(0x0304, b"")])
}

fn header_with_extensions(structures: &Structures) {
    let (extensions, given) = extensions();
    let header = Header {
        suite: Suite::XWing,
        key_id: KeyId::from_bytes([7; 32]),
        recipient_domain: domain("company2.example"),
        extensions,
    };
    let octets = structures.encode(
        "Header",
        &[
            ("magic", Stated),
            ("version", Stated),
            ("suite", Number(2)),
            ("key_id", Octets(&[7; 32])),
            ("recipient_domain", Octets(b"company2.example")),
            ("extensions", Many(&given)),
        ],
    );
    assert_eq!(header.to_octets().unwrap(), octets);
    assert_eq!(Header::from_octets(&octets), Ok(header));
}

/// The paths of a prefix, and what they are given as.
fn reverse_path() -> (ReversePathField, [(&'static str, Value<'static>); 5]) {
    let path = ReversePathField::new("anna@a.example".into(), 2, true, 1, "QQ+2B1".into());
    let given = [
        ("mailbox", Octets(b"anna@a.example")),
        ("body", Words(&["8BITMIME"])),
        ("smtputf8", Number(1)),
        ("ret", Words(&["FULL"])),
        ("envid", Octets(b"QQ+2B1")),
    ];
    (path.unwrap(), given)
}

fn forward_paths() -> (Vec<ForwardPath>, Vec<Fields<'static>>) {
    let paths = [("bob@b.example", 10, "rfc822;bob@b.example"), ("carl@b.example", 1, "")];
    let given = |mailbox: &'static str, notify, orcpt: &'static str| {
        vec![
            ("mailbox", Octets(mailbox.as_bytes())),
            ("notify", Words(notify)),
            ("orcpt", Octets(orcpt.as_bytes())),
        ]
    };
    (
        paths
            .map(|(to, notify, orcpt)| ForwardPath::new(to.into(), notify, orcpt.into()).unwrap())
            .into(),
        vec![
            given("bob@b.example", &["SUCCESS", "DELAY"], "rfc822;bob@b.example"),
            given("carl@b.example", &["NEVER"], ""),
        ],
    )
}

/// The prefix under each flag and type: the numbers are those that have the names in the draft.
fn prefix_with_everything(structures: &Structures) {
    let (extensions, extensions_given) = extensions();
    let (reverse_path, reverse_given) = reverse_path();
    let (forward_paths, forward_given) = forward_paths();
    for (content_type, receipt_wanted, foreign_reverse_path, word, flags) in [
        (ContentType::Mail, false, false, "mail", [].as_slice()),
        (ContentType::Mail, true, false, "mail", &["receipt wanted"]),
        (ContentType::Mail, false, true, "mail", &["foreign reverse-path"]),
        (ContentType::Receipt, true, true, "receipt", &["receipt wanted", "foreign reverse-path"]),
    ] {
        let prefix = Prefix {
            content_type,
            sender_domain: domain("a.example"),
            signing_key_id: KeyId::from_bytes([8; 32]),
            sealed_at: 0x0102_0304_0506_0708,
            receipt_wanted,
            foreign_reverse_path,
            delivery_id: DeliveryId::from_bytes([9; 16]),
            reverse_path: reverse_path.clone(),
            forward_paths: forward_paths.clone(),
            extensions: extensions.clone(),
        };
        let octets = structures.encode(
            "Prefix",
            &[
                ("type", Words(&[word])),
                ("sender_domain", Octets(b"a.example")),
                ("signing_key_id", Octets(&[8; 32])),
                ("sealed_at", Number(0x0102_0304_0506_0708)),
                ("flags", Words(flags)),
                ("delivery_id", Octets(&[9; 16])),
                ("reverse_path", One(&reverse_given)),
                ("forward_paths", Many(&forward_given)),
                ("extensions", Many(&extensions_given)),
            ],
        );
        assert_eq!(prefix.to_octets().unwrap(), octets);
        assert_eq!(Prefix::from_octets(&octets), Ok(prefix));
    }
}

/// A sealed message, taken apart and put together again with nothing but its random octets.
fn envelope(structures: &Structures, suite: Suite) {
    let (key, signing) = (sealing(suite), signing());
    let (sender, recipient) = (domain("a.example"), domain("company2.example"));
    let (reverse_path, reverse_given) = reverse_path();
    let (forward_paths, forward_given) = forward_paths();
    let delivery_id = DeliveryId::from_bytes([9; 16]);
    let prefix =
        Prefix::mail(sender, 1_800_000_000, delivery_id, reverse_path.clone(), forward_paths);
    let message = [b"Subject: x\r\n\r\n".as_slice(), &b"y\r\n".repeat(BLOCK / 3)].concat();
    let to = SealTo { recipient_domain: &recipient, key: key.public() };
    let (envelope, sealed) =
        seal(&message, to, prefix, &signing, &mut UnwrapErr(getrandom::SysRng)).unwrap();

    let key_id = key.key_id();
    let header_given = [
        ("magic", Stated),
        ("version", Stated),
        ("suite", Number(suite.id().0.into())),
        ("key_id", Octets(key_id.as_bytes())),
        ("recipient_domain", Octets(b"company2.example")),
        ("extensions", Many(&[])),
    ];
    let header = structures.encode("Header", &header_given);
    let rest = envelope.strip_prefix(&*header).expect("the header");
    let (enc, rest) = rest.split_at(suite.enc_len());
    let (sealed_key, body) = rest.split_at(Suite::SEALED_KEY_LEN);
    let whole = [
        ("header", One(&header_given)),
        ("enc", Octets(enc)),
        ("sealed_key", Octets(sealed_key)),
        ("body", Octets(body)),
    ];
    assert!(structures.encode("Envelope", &whole) == envelope, "the parts in their places");

    let header_hash = sha256(&header);
    let info = structures
        .encode("ContentKeyInfo", &[("label", Stated), ("header_hash", Octets(&header_hash))]);
    let content_key = open_content_key(suite, &key.to_bytes(), enc, &info, sealed_key)
        .expect("sealed with this info");
    let id_input = structures.encode(
        "EnvelopeIdInput",
        &[
            ("label", Stated),
            ("header", Octets(&header)),
            ("enc", Octets(enc)),
            ("sealed_key", Octets(sealed_key)),
        ],
    );
    let envelope_id = sha256(&id_input);
    assert_eq!(envelope_id, *sealed.envelope_id.as_bytes());
    let context = structures
        .encode("BodyContext", &[("label", Stated), ("envelope_id", Octets(&envelope_id))]);
    let (salt, rest) = body.split_at(body::SALT);
    let (commitment, chunks) = rest.split_at(body::COMMITMENT);
    let (chunk_key, nonce, committed) = body_keys(&content_key, salt, &context);
    assert_eq!(committed, commitment, "derived with this context");
    let content = open_chunks(&chunk_key, &nonce, chunks);

    let signing_key_id = signing.key_id();
    let prefix = structures.encode(
        "Prefix",
        &[
            ("type", Words(&["mail"])),
            ("sender_domain", Octets(b"a.example")),
            ("signing_key_id", Octets(signing_key_id.as_bytes())),
            ("sealed_at", Number(1_800_000_000)),
            ("flags", Words(&[])),
            ("delivery_id", Octets(&[9; 16])),
            ("reverse_path", One(&reverse_given)),
            ("forward_paths", Many(&forward_given)),
            ("extensions", Many(&[])),
        ],
    );
    let opening_input = structures.encode(
        "OpeningInput",
        &[
            ("label", Stated),
            ("envelope_id", Octets(&envelope_id)),
            ("body_salt", Octets(salt)),
            ("body_commitment", Octets(commitment)),
            ("prefix", Octets(&prefix)),
        ],
    );
    let opening = signing.sign(&opening_input);
    let (first, second) = message.split_at(BLOCK);
    assert!(!second.is_empty());
    let blocks = [first, second, &[]].map(|data| vec![("data", Octets(data))]);
    let mut between: Vec<u8> =
        blocks.iter().flat_map(|given| structures.encode("Block", given)).collect();
    let parts = |padding: &[u8], closing: &[u8; 64]| {
        structures.encode(
            "Content",
            &[
                ("prefix", Octets(&prefix)),
                ("opening_signature", Octets(&opening)),
                ("blocks", Many(&blocks)),
                ("padding", Octets(padding)),
                ("closing_signature", Octets(closing)),
            ],
        )
    };
    let padding = vec![0; content.len() - parts(&[], &[0; 64]).len()];
    assert!(!padding.is_empty());
    between.extend_from_slice(&padding);
    let content_hash = sha256(&between);
    assert_eq!(content_hash, sealed.content_hash);
    let closing_input = structures.encode(
        "ClosingInput",
        &[
            ("label", Stated),
            ("opening_signature", Octets(&opening)),
            ("content_hash", Octets(&content_hash)),
        ],
    );
    let closing = signing.sign(&closing_input);
    assert_eq!(closing, sealed.closing_signature);
    assert!(parts(&padding, &closing) == content, "the content");

    let read = unseal(&envelope, |_| Some(&key), |_, _| Some(signing.public()));
    let (read, accepted) = read.unwrap();
    assert!(read == message);
    assert_eq!(accepted.prefix.to_octets().unwrap(), prefix);
}

/// [R-lab-01]
#[test]
fn every_label_of_the_table_begins_one_structure() {
    let structures = Structures::read();
    let mut stated: Vec<&str> = Vec::new();
    for structure in structures.iter() {
        for (at, field) in structure.fields.iter().enumerate() {
            let label = Kind::Opaque(Extent::Vector { min: 1, max: 255 });
            assert_eq!(field.name == "label", field.kind == label && at == 0, "{field:?}");
            if field.name == "label" {
                stated.extend(field.labels());
            }
        }
    }
    stated.sort_unstable();
    let mut labels: Vec<String> = table("label-table").iter().map(|row| row[0].clone()).collect();
    labels.sort_unstable();
    assert_eq!(stated, labels);
}

/// The sentence about the lengths of vectors.
#[test]
fn vectors_have_the_lengths_that_the_draft_says() {
    let sentence = DRAFT.lines().find(|line| line.starts_with("Vectors have the length"));
    let (_, widest) = sentence.unwrap().split_once("three above (").expect("the third");
    let widest: BTreeSet<&str> = widest.split('`').skip(1).step_by(2).collect();
    let structures = Structures::read();
    let fields = structures.iter().flat_map(|structure| &structure.fields);
    let vectors = fields.filter_map(|field| match field.kind {
        Kind::Opaque(Extent::Vector { max, .. })
        | Kind::Structure(_, Some(Extent::Vector { max, .. })) => Some((field.name, width(max))),
        _ => None,
    });
    let vectors: Vec<(&str, usize)> = vectors.collect();
    assert!(vectors.iter().all(|(_, width)| (1..=3).contains(width)), "{vectors:?}");
    let three = vectors.iter().filter(|(_, width)| *width == 3).map(|(name, _)| *name);
    assert_eq!(three.collect::<BTreeSet<_>>(), widest);
}

/// The structures in the comments of a source file.
fn structures_in(source: &str) -> Vec<Structure> {
    let mut found = Vec::new();
    let mut text = String::new();
    for line in source.lines() {
        let comment = line.trim_start().strip_prefix("//").unwrap_or_default();
        let comment = comment.trim_start_matches(['/', '!']).trim();
        if comment == "struct {" || !text.is_empty() {
            text += &format!("{comment}\n");
        }
        if comment.starts_with('}') {
            found.extend(Structure::parse_all(std::mem::take(&mut text).leak()));
        }
    }
    assert!(text.is_empty(), "{text} has no end");
    found
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each stands once above the code that writes it. What the ledger signs and hashes is nobody else's: docs/audit.md has it.
#[test]
fn the_comments_of_the_code_quote_the_draft() {
    let mut files = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src, &mut files);
    files.retain(|file| !file.starts_with(src.join("store/ledger")));
    let mut quoted = BTreeMap::new();
    for file in files {
        for structure in structures_in(&fs::read_to_string(&file).unwrap()) {
            let name = structure.name;
            assert!(quoted.insert(name, structure).is_none(), "{name} again in {file:?}");
        }
    }
    for structure in Structures::read().iter() {
        assert_eq!(quoted.remove(structure.name).as_ref(), Some(structure), "{}", structure.name);
    }
    assert!(quoted.is_empty(), "not in the draft: {:?}", quoted.keys());
}

/// A structure in which one field is given another value.
fn changed<'a>(given: &Given<'a>, field: &str, value: Value<'a>) -> Fields<'a> {
    let mut given = given.to_vec();
    given.iter_mut().find(|(name, _)| *name == field).expect("the field").1 = value;
    given
}

/// Encodes a right header, reverse-path, forward-path or prefix but for one field, and says whether the library reads it.
fn is_read(structures: &Structures, structure: &str, field: &str, value: Value<'_>) -> bool {
    let (_, reverse_path) = reverse_path();
    let (_, forward_paths) = forward_paths();
    let (_, extensions) = extensions();
    match structure {
        "Extension" => {
            let list = [changed(&extensions[0], field, value)];
            let octets = header(structures, &[("extensions", Many(&list))]);
            Header::from_octets(&octets).is_ok()
        }
        "Header" => Header::from_octets(&header(structures, &[(field, value)])).is_ok(),
        "ReversePath" => {
            let octets = structures.encode(structure, &changed(&reverse_path, field, value));
            ReversePathField::from_octets(&octets).is_ok()
        }
        "ForwardPath" => {
            let octets = structures.encode(structure, &changed(&forward_paths[0], field, value));
            ForwardPath::from_octets(&octets).is_ok()
        }
        "Prefix" => {
            let given = [
                ("type", Number(1)),
                ("sender_domain", Octets(b"a.example")),
                ("signing_key_id", Octets(&[8; 32])),
                ("sealed_at", Number(1)),
                ("flags", Number(0)),
                ("delivery_id", Octets(&[9; 16])),
                ("reverse_path", One(&reverse_path)),
                ("forward_paths", Many(&forward_paths)),
                ("extensions", Many(&[])),
            ];
            let octets = structures.encode(structure, &changed(&given, field, value));
            Prefix::from_octets(&octets).is_ok()
        }
        other => panic!("nothing reads {other}"),
    }
}

fn header(structures: &Structures, fields: &Given<'_>) -> Vec<u8> {
    let given = [
        ("magic", Stated),
        ("version", Stated),
        ("suite", Number(1)),
        ("key_id", Octets(&[7; 32])),
        ("recipient_domain", Octets(b"company2.example")),
        ("extensions", Many(&[])),
    ];
    let mut given = given.to_vec();
    for (name, value) in fields {
        given = changed(&given, name, value.clone());
    }
    structures.encode("Header", &given)
}

/// All that is one octet has its values listed.
#[test]
fn a_number_is_read_if_it_is_listed() {
    let structures = Structures::read();
    let mut fields = 0;
    for structure in structures.iter() {
        for field in structure.fields.iter().filter(|field| field.kind == Kind::Uint(1)) {
            let mut allowed = field.allowed();
            if (structure.name, field.name) == ("Extension", "critical") {
                // An extension is well-formed with 1, and unsupported [R-env-03].
                assert!(allowed.remove(&1));
            }
            let read = (0..=255)
                .filter(|n| is_read(&structures, structure.name, field.name, Number(*n)))
                .collect::<BTreeSet<u64>>();
            assert_eq!(read, allowed, "{}.{}", structure.name, field.name);
            fields += 1;
        }
    }
    assert!(fields > 5, "{fields}");
}

/// A vector is read, or signed, if it is as long as the draft allows.
#[test]
fn vectors_have_the_limits_that_the_draft_says() {
    let structures = Structures::read();
    for structure in structures.iter() {
        for field in &structure.fields {
            let (Kind::Opaque(Extent::Vector { min, max })
            | Kind::Structure(_, Some(Extent::Vector { min, max }))) = field.kind
            else {
                continue;
            };
            let what = format!("{}.{}", structure.name, field.name);
            // None if there is no such value.
            let fits = |len: usize| match (structure.name, field.name) {
                ("ForwardPath" | "ReversePath", _) => {
                    let text = "a".repeat(len);
                    let value = Any(text.as_bytes());
                    Some(is_read(&structures, structure.name, field.name, value))
                }
                ("Header" | "Prefix", "recipient_domain" | "sender_domain") => {
                    let text = if len == 0 { Some(String::new()) } else { domain_of(len) };
                    let text = text.or((len > 253).then(|| "a".repeat(len)))?;
                    let value = Any(text.as_bytes());
                    Some(is_read(&structures, structure.name, field.name, value))
                }
                ("RolloverInput", "domain") => {
                    assert_eq!(max, MAX_DOMAIN, "{what}");
                    let text = domain_of(len)?;
                    let (old, new) = (identity(), IdentityKey::from_bytes(&[4; 32]));
                    Some(Rollover::sign(&old, &domain(&text), new.public(), 1, 2).is_some())
                }
                ("PolicyInput", "query_name") => {
                    let text = domain_of(len.checked_sub("_mta-seal.".len())?)?;
                    let record = "v=MTASEAL1; m=none; n=1; x=2; a=0; i=I; s=S"
                        .replace("I", &base64(identity().public().as_bytes()));
                    let record = record.replace("s=S", &format!("s={}", base64(&[0; 64])));
                    let policy = SignedPolicy::parse(record.as_bytes()).unwrap();
                    let verified = policy.verify(&domain(&text));
                    Some(!matches!(verified, Err(VerifyError::NameTooLong)))
                }
                ("Content" | "OpeningInput", "prefix") => prefix_of(len).map(seals),
                // More than 1,000 paths can have, and none is well-formed [R-con-01].
                ("Prefix", "forward_paths") => {
                    assert!(MAX_FORWARD_PATHS * (2 + 512 + 1 + 2 + 500) < max);
                    let none = || is_read(&structures, "Prefix", "forward_paths", Many(&[]));
                    (len == 0).then(none)
                }
                // The limit is that of the length in front.
                _ => {
                    assert!(min <= 1 && [0xff, 0xffff].contains(&max), "{what} has no check");
                    None
                }
            };
            assert_ne!(fits(max), Some(false), "{what}");
            assert_ne!(fits(max + 1), Some(true), "{what}");
            assert_ne!(fits(min), Some(false), "{what}");
            assert_ne!(min.checked_sub(1).and_then(fits), Some(true), "{what}");
        }
    }
}

/// A prefix of so many octets; none if it would have to be short.
fn prefix_of(len: usize) -> Option<Prefix> {
    let path = ForwardPath::new("a".repeat(512), 0, "o".repeat(500)).unwrap();
    let mut prefix = Prefix::mail(
        domain("a.example"),
        1,
        DeliveryId::from_bytes([9; 16]),
        ReversePathField::default(),
        vec![path; MAX_FORWARD_PATHS],
    );
    let extension = |len| Extension { extension_type: 1, critical: false, value: vec![0; len] };
    prefix.extensions = Extensions::new(vec![extension(0)]).unwrap();
    let value = len.checked_sub(prefix.encoded_len().unwrap())?;
    prefix.extensions = Extensions::new(vec![extension(value)]).unwrap();
    Some(prefix)
}

fn seals(prefix: Prefix) -> bool {
    let (key, signing) = (sealing(Suite::X25519), signing());
    let recipient = domain("company2.example");
    let to = SealTo { recipient_domain: &recipient, key: key.public() };
    let sealed = seal(b"x", to, prefix, &signing, &mut UnwrapErr(getrandom::SysRng));
    let Ok((envelope, _)) = sealed else { return false };
    unseal(&envelope, |_| Some(&key), |_, _| Some(signing.public())).is_ok()
}
