//! The policy record: grammar, signature, time, succession.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mta_seal::core::{
    Domain, IdentityKey, KeyId, SealingPrivateKey, SealingPublicKey, SigningKey, Suite,
    VerifyingKey,
};
use mta_seal::records::{
    DraftError, MAX_POLICY, Mode, PolicyDraft, PolicyRecord, RecordError, Rollover, SealingEntry,
    Selector, SignedPolicy, Validity, ValueError, VerifiedPolicy, VerifyError, policy_name,
};
use proptest::prelude::*;

const SERIAL: u64 = 1_800_000_000;

fn domain() -> Domain {
    Domain::parse("company2.example").unwrap()
}

fn identity(seed: u8) -> IdentityKey {
    IdentityKey::from_bytes(&[seed; 32])
}

fn signing(seed: u8) -> VerifyingKey {
    SigningKey::from_bytes(&[seed; 32]).public().clone()
}

fn sealing(suite: Suite, seed: u8) -> SealingPublicKey {
    let key = SealingPrivateKey::from_bytes(suite, &[seed; 32]).unwrap();
    key.public().clone()
}

fn selector(text: &str) -> Selector {
    text.parse().unwrap()
}

fn draft() -> PolicyDraft {
    PolicyDraft {
        mode: Mode::Enforce,
        serial: SERIAL,
        expiry: SERIAL + 2_592_000,
        max_age: 604_800,
        window: 1_209_600,
        signing_keys: vec![signing(2)],
        sealing_keys: vec![
            SealingEntry::of(&sealing(Suite::XWing, 3), &selector("k1")),
            SealingEntry::of(&sealing(Suite::X25519, 4), &selector("k2")),
        ],
        outgoing_always: false,
        rollover: None,
        next_identity: None,
    }
}

fn verify(text: &str) -> VerifiedPolicy {
    let policy = SignedPolicy::parse(text.as_bytes()).unwrap();
    policy.verify(&domain()).unwrap()
}

/// Signs a text as the draft's [R-rec-05] says, independently of the code under test.
fn sign(name: &str, body: &str, key: &IdentityKey) -> String {
    let label = b"mta-seal/1 policy";
    let mut input = vec![u8::try_from(label.len()).unwrap()];
    input.extend_from_slice(label);
    input.push(u8::try_from(name.len()).unwrap());
    input.extend_from_slice(name.as_bytes());
    input.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    input.extend_from_slice(body.as_bytes());
    format!("{body}s={}", STANDARD.encode(key.sign(&input)))
}

/// The tags of a good record without `v` and `s`.
fn tags() -> Vec<(&'static str, String)> {
    let b64 = |octets: &[u8]| STANDARD.encode(octets);
    vec![
        ("m", "enforce".into()),
        ("n", SERIAL.to_string()),
        ("x", (SERIAL + 1000).to_string()),
        ("a", "604800".into()),
        ("i", b64(identity(1).public().as_bytes())),
        ("g", b64(signing(2).as_bytes())),
        ("k", format!("1:{}", b64(sealing(Suite::X25519, 4).as_bytes()))),
    ]
}

/// A well-signed record of the good tags with some of them changed, added, or, by `None`, removed.
fn with(changes: &[(&'static str, Option<&str>)]) -> String {
    let mut tags = tags();
    for (name, value) in changes {
        let at = tags.iter().position(|(n, _)| n == name);
        match (at, value) {
            (Some(at), Some(value)) => tags[at].1 = (*value).into(),
            (Some(at), None) => drop(tags.remove(at)),
            (None, Some(value)) => tags.push((name, (*value).into())),
            (None, None) => panic!("no tag {name} to remove"),
        }
    }
    let mut body = String::from("v=MTASEAL1;");
    for (name, value) in tags {
        body.push_str(&format!(" {name}={value};"));
    }
    sign(&policy_name(&domain()), &body, &identity(1))
}

fn parse(text: &str) -> Result<PolicyRecord, RecordError> {
    SignedPolicy::parse(text.as_bytes()).map(|p| p.unverified().clone())
}

fn value_error(tag: &'static str, what: ValueError) -> Result<PolicyRecord, RecordError> {
    Err(RecordError::Value { tag, what })
}

#[test]
fn a_signed_record_reads_back_as_it_was_drafted() {
    let text = draft().sign(&domain(), &identity(1)).unwrap();
    let policy = verify(&text);
    assert_eq!(PolicyDraft::from(policy.record()), draft());
    assert_eq!(policy.identity(), identity(1).public());
    assert_eq!(policy.text(), text);
    assert_eq!(policy.domain(), &domain());
    // The promise of one UDP answer: two keys of both suites, one signing key.
    assert!(text.len() < 450, "{} octets", text.len());
}

#[test]
fn the_text_form_is_fixed() {
    let mut draft = draft();
    draft.mode = Mode::None;
    draft.signing_keys.clear();
    draft.sealing_keys.clear();
    draft.outgoing_always = true;
    draft.window = 3600;
    draft.next_identity = Some(KeyId::from_bytes([0; 32]));
    let text = draft.sign(&domain(), &identity(1)).unwrap();
    let body = "v=MTASEAL1; m=none; n=1800000000; x=1802592000; a=604800; w=3600; \
                i=iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=; o=always; \
                p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; ";
    let expected = sign("_mta-seal.company2.example", body, &identity(1));
    assert_eq!(text, expected);
}

#[test]
fn an_independent_signature_is_accepted_and_bound_to_name_and_key() {
    let text = with(&[]);
    verify(&text);
    let parsed = || SignedPolicy::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed().text(), text);
    for other in ["company1.example", "sub.company2.example", "company2.example.net"] {
        let other = Domain::parse(other).unwrap();
        assert_eq!(parsed().verify(&other), Err(VerifyError::Signature));
    }
    let body = &text[..text.rfind("s=").unwrap()];
    let name = policy_name(&domain());
    let forged = sign(&name, body, &identity(9));
    let forged = SignedPolicy::parse(forged.as_bytes()).unwrap();
    assert_eq!(forged.verify(&domain()), Err(VerifyError::Signature));

    let label = "a".repeat(61);
    let long = format!("{label}.{label}.{label}.{label}.ab");
    let long = Domain::parse(&long).unwrap();
    assert_eq!(parsed().verify(&long), Err(VerifyError::NameTooLong));
    let too_long = draft().sign(&long, &identity(1));
    assert_eq!(too_long, Err(DraftError::Verify(VerifyError::NameTooLong)));
}

#[test]
fn values_are_strict() {
    use ValueError::*;
    let key = STANDARD.encode(sealing(Suite::X25519, 4).as_bytes());
    let id = STANDARD.encode([7; 32]);
    let good_keys = STANDARD.encode(signing(2).as_bytes());
    let x25519 = format!("1:{key}");
    let wrong_length = |length| WrongLength { length, expected: 32 };

    // Each line differs from an accepted record in one value.
    let cases: Vec<(&'static str, String, ValueError)> = vec![
        ("m", "Enforce".into(), UnknownWord),
        ("m", "".into(), UnknownWord),
        ("n", "01800000000".into(), LeadingZero),
        ("n", "+1800000000".into(), NotANumber),
        ("n", "".into(), NotANumber),
        ("n", "1000000000000".into(), OutOfRange),
        ("x", SERIAL.to_string(), OutOfRange),
        ("x", "1000000000000".into(), OutOfRange),
        ("a", "31557601".into(), OutOfRange),
        ("a", "-1".into(), NotANumber),
        ("a", "00".into(), LeadingZero),
        ("w", "3599".into(), OutOfRange),
        ("w", "2592001".into(), OutOfRange),
        ("i", STANDARD.encode([0; 31]), wrong_length(31)),
        ("i", STANDARD.encode([0; 33]), wrong_length(33)),
        ("i", good_keys.trim_end_matches('=').into(), NotBase64),
        ("g", "".into(), wrong_length(0)),
        ("g", format!("{good_keys},"), wrong_length(0)),
        ("g", STANDARD.encode([0xff; 32]), BadVerifyingKey),
        ("g", [good_keys.as_str(); 9].join(","), TooMany { most: 8 }),
        ("k", "".into(), BadSealingEntry),
        ("k", format!("{x25519},"), BadSealingEntry),
        ("k", [x25519.as_str(); 9].join(","), TooMany { most: 8 }),
        ("k", format!("01:{key}"), LeadingZero),
        ("k", format!("0:{key}"), OutOfRange),
        ("k", format!("65536:{key}"), OutOfRange),
        ("k", format!("1:sel:{id}"), WrongForm { suite: 1 }),
        ("k", format!("2:{key}"), WrongForm { suite: 2 }),
        ("k", format!("2:Sel:{id}"), BadSelector),
        ("k", format!("2:sel-:{id}"), BadSelector),
        ("k", format!("2:a.b:{id}"), BadSelector),
        ("k", format!("2::{id}"), BadSelector),
        ("k", format!("2:{}:{id}", "a".repeat(64)), BadSelector),
        ("k", "2:sel:AA==".into(), wrong_length(1)),
        ("k", format!("2:sel:{id}:"), NotBase64),
        ("k", "1:AA==".into(), BadSealingKey { suite: 1 }),
        ("k", format!("1:{}", STANDARD.encode([0; 32])), BadSealingKey { suite: 1 }),
        ("k", format!("{x25519},9:"), BadSealingEntry),
        ("k", format!("{x25519},9:A"), NotBase64),
        ("k", format!("{x25519},9:UP:{id}"), BadSelector),
        ("k", format!("{x25519},9"), BadSealingEntry),
        ("o", "yes".into(), UnknownWord),
        ("r", "".into(), BadRollover),
        ("r", format!("{id}:5:{}:", STANDARD.encode([0; 64])), BadRollover),
        ("r", format!("{id}:05:{}", STANDARD.encode([0; 64])), LeadingZero),
        ("r", format!("{id}:5:{id}"), WrongLength { length: 32, expected: 64 }),
        ("p", STANDARD.encode([0; 20]), wrong_length(20)),
    ];
    for (tag, value, what) in cases {
        let got = parse(&with(&[(tag, Some(&value))]));
        assert_eq!(got, value_error(tag, what), "{tag}={value}");
    }
    // And the limits themselves are accepted.
    for (tag, value) in [
        ("n", "0".to_owned()),
        ("x", (SERIAL + 1).to_string()),
        ("x", "999999999999".into()),
        ("a", "0".into()),
        ("a", "31557600".into()),
        ("w", "3600".into()),
        ("w", "2592000".into()),
        ("g", [good_keys.as_str(); 8].join(",")),
        ("k", [x25519.as_str(); 8].join(",")),
        ("k", format!("2:a-1:{id}")),
        ("k", format!("2:{}:{id}", "a".repeat(63))),
        ("k", format!("65535:{key},3:sel:AA==")),
        ("o", "always".into()),
        ("r", format!("{id}:5:{}", STANDARD.encode([0; 64]))),
        ("p", id.clone()),
        ("h", String::new()),
        ("zz9", "?".into()),
    ] {
        verify(&with(&[(tag, Some(&value))]));
    }
}

#[test]
fn required_tags_and_their_order() {
    for tag in ["m", "n", "x", "a", "i", "g", "k"] {
        assert_eq!(parse(&with(&[(tag, None)])), Err(RecordError::Missing { tag }));
    }
    // Without keys only in mode none.
    let none = [("m", Some("none")), ("g", None), ("k", None)];
    assert!(verify(&with(&none)).record().sealing_keys.is_empty());

    let text = with(&[]);
    let at = text.rfind("s=").unwrap();
    let (body, signature) = text.split_at(at);
    assert_eq!(parse(body), Err(RecordError::Missing { tag: "s" }));
    assert_eq!(parse(&format!("{text};o=always")), Err(RecordError::SignatureNotLast));
    assert_eq!(
        parse(&format!("{body}{signature};{signature}")),
        Err(RecordError::Duplicate { tag: "s".into() })
    );
    assert_eq!(
        parse(&text.replacen("; m=", "; v=MTASEAL1; m=", 1)),
        Err(RecordError::Duplicate { tag: "v".into() })
    );
    // Duplicates of unknown tags are duplicates too.
    assert_eq!(
        parse(&text.replacen("; m=", "; z=; z=; m=", 1)),
        Err(RecordError::Duplicate { tag: "z".into() })
    );
}

#[test]
fn the_length_is_limited() {
    let spare = MAX_POLICY - with(&[("z", Some(""))]).len();
    let longest = with(&[("z", Some(&"z".repeat(spare)))]);
    assert_eq!(longest.len(), MAX_POLICY);
    verify(&longest);
    assert_eq!(
        parse(&with(&[("z", Some(&"z".repeat(spare + 1)))])),
        Err(RecordError::TooLong { length: MAX_POLICY + 1, limit: MAX_POLICY })
    );
}

#[test]
fn degenerate_identity_keys_are_refused() {
    // [R-sig-01] All encodings of points of small order, canonical or not.
    let small = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // Not canonical, though of large order: y = 3 written as p + 3.
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for hex in small {
        let id: KeyId = hex.parse().unwrap();
        let key = STANDARD.encode(id.as_bytes());
        assert_eq!(
            parse(&with(&[("i", Some(&key))])),
            value_error("i", ValueError::BadVerifyingKey),
            "{hex}"
        );
        assert_eq!(
            parse(&with(&[("g", Some(&key))])),
            value_error("g", ValueError::BadVerifyingKey),
            "{hex}"
        );
    }
}

#[test]
fn unknown_tags_are_ignored_but_signed() {
    let text = with(&[("q", Some("1")), ("h", Some("x=y"))]);
    let policy = verify(&text);
    assert_eq!(policy.record(), verify(&with(&[])).record());
    let changed = text.replacen("q=1", "q=2", 1);
    let changed = SignedPolicy::parse(changed.as_bytes()).unwrap();
    assert_eq!(changed.verify(&domain()), Err(VerifyError::Signature));
}

#[test]
fn unknown_suites_are_skipped() {
    let key = STANDARD.encode(sealing(Suite::X25519, 4).as_bytes());
    let text = with(&[("k", Some(&format!("7:sel:AAAA,9:AA==,1:{key}")))]);
    let entries = verify(&text).record().sealing_keys.clone();
    let suites: Vec<_> = entries.iter().map(SealingEntry::suite).collect();
    assert_eq!(suites, [None, None, Some(Suite::X25519)]);
    // A record of nothing else is still a record.
    let only = verify(&with(&[("k", Some("7:AAAA"))]));
    assert_eq!(only.record().sealing_keys.len(), 1);
}

#[test]
fn white_space_may_stand_where_the_grammar_has_it() {
    let body: String =
        tags().into_iter().map(|(name, value)| format!("\t {name} \t=\t {value} ;")).collect();
    let name = policy_name(&domain());
    let text = sign(&name, &format!("v=MTASEAL1\t ;{body}  "), &identity(1));
    verify(&text);
    // Around the value of the signature nothing is signed.
    let (body, signature) = text.split_at(text.rfind("s=").unwrap());
    let loose = format!("{body}s\t =  {} \t; ", &signature[2..]);
    verify(&loose);
    // White space before it is.
    let earlier = format!("{body} {signature}");
    let earlier = SignedPolicy::parse(earlier.as_bytes()).unwrap();
    assert_eq!(earlier.verify(&domain()), Err(VerifyError::Signature));
}

#[test]
fn time_in_force() {
    let policy = verify(&draft().sign(&domain(), &identity(1)).unwrap());
    let expiry = policy.record().expiry;
    for (now, expected) in [
        (0, Validity::NotYet),
        (SERIAL - 3601, Validity::NotYet),
        (SERIAL - 3600, Validity::InForce),
        (expiry - 1, Validity::InForce),
        (expiry, Validity::Expired),
        (u64::MAX, Validity::Expired),
    ] {
        assert_eq!(policy.validity(now), expected, "{now}");
    }
}

#[test]
fn succession_needs_proof() {
    let (old, new, other) = (identity(1), identity(5), identity(6));
    let statement = |domain: &Domain, former: &IdentityKey, to: &IdentityKey, serial, expiry| {
        Rollover::sign(former, domain, to.public(), serial, expiry).unwrap()
    };
    let elsewhere = Domain::parse("company1.example").unwrap();
    let end = SERIAL + 1000;
    let succeeds = |rollover: Rollover, now| {
        // Signed by hand: PolicyDraft::sign refuses a statement that proves nothing.
        let r = rollover.to_string();
        let i = STANDARD.encode(new.public().as_bytes());
        let text = with(&[("i", Some(&i)), ("r", Some(&r))]);
        let body = &text[..text.rfind("s=").unwrap()];
        let policy = verify(&sign(&policy_name(&domain()), body, &new));
        policy.succeeds(old.public(), None, now)
    };
    let good = statement(&domain(), &old, &new, SERIAL, end);
    assert!(succeeds(good.clone(), end - 1));
    assert!(!succeeds(good.clone(), end), "expired");
    assert!(!succeeds(statement(&elsewhere, &old, &new, SERIAL, end), SERIAL), "domain");
    assert!(!succeeds(statement(&domain(), &other, &new, SERIAL, end), SERIAL), "former key");
    assert!(!succeeds(statement(&domain(), &old, &other, SERIAL, end), SERIAL), "new key");
    assert!(!succeeds(statement(&domain(), &old, &new, SERIAL - 1, end), SERIAL), "serial");
    let stretched: Rollover =
        good.to_string().replace(&end.to_string(), &(end + 1).to_string()).parse().unwrap();
    assert!(!succeeds(stretched, SERIAL), "expiry");

    // A fingerprint announced by the former policy needs no statement.
    let plain = verify(&draft().sign(&domain(), &new).unwrap());
    let fingerprint = new.fingerprint();
    assert!(plain.succeeds(old.public(), Some(&fingerprint), SERIAL));
    assert!(!plain.succeeds(old.public(), Some(&other.fingerprint()), SERIAL));
    assert!(!plain.succeeds(old.public(), None, SERIAL));

    // A statement by octets that are no key at all leaves the record usable.
    let r = format!("{}:5:{}", STANDARD.encode([0; 32]), STANDARD.encode([0; 64]));
    assert!(!verify(&with(&[("r", Some(&r))])).succeeds(old.public(), None, 0));
}

#[test]
fn what_is_not_valid_is_not_signed() {
    let refused = |change: fn(&mut PolicyDraft)| {
        let mut draft = draft();
        change(&mut draft);
        draft.sign(&domain(), &identity(1)).unwrap_err()
    };
    let record = |tag, what| DraftError::Record(RecordError::Value { tag, what });
    assert_eq!(refused(|d| d.expiry = d.serial), record("x", ValueError::OutOfRange));
    assert_eq!(refused(|d| d.max_age = 31_557_601), record("a", ValueError::OutOfRange));
    assert_eq!(
        refused(|d| d.signing_keys = vec![signing(2); 9]),
        record("g", ValueError::TooMany { most: 8 })
    );
    assert_eq!(
        refused(|d| d.sealing_keys.clear()),
        DraftError::Record(RecordError::Missing { tag: "k" })
    );
    assert_eq!(
        refused(|d| {
            let new = identity(1);
            d.rollover = Rollover::sign(&identity(8), &domain(), new.public(), 5, SERIAL * 2);
        }),
        DraftError::Rollover
    );
    let mut good = draft();
    good.rollover =
        Rollover::sign(&identity(8), &domain(), identity(1).public(), good.serial, good.expiry);
    let text = good.sign(&domain(), &identity(1)).unwrap();
    let statement = verify(&text).record().rollover.clone().unwrap();
    assert_eq!(statement.expiry(), good.expiry);
    assert!(verify(&text).succeeds(identity(8).public(), None, SERIAL));
}

#[test]
fn errors_name_the_tag_and_the_fault() {
    let message = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(message(&with(&[("n", Some("007"))])), "tag \"n\": the number has leading zeros");
    assert_eq!(message(&with(&[("i", Some("AA=="))])), "tag \"i\": 1 octets where 32 are expected");
    assert_eq!(message("v=MTASEAL1; m"), "at octet 12 of the record: expected name=value");
}

/// What remains of a record when the white space and the semicolon after its signed part, which
/// nothing depends on, are taken away.
fn canonical(text: &[u8], signed: usize) -> Vec<u8> {
    let (body, tail) = text.split_at(signed.min(text.len()));
    let tail = tail.iter().filter(|b| !b" \t;".contains(b));
    body.iter().chain(tail).copied().collect()
}

#[test]
fn every_small_change_of_a_signed_record_is_refused() {
    let text = draft().sign(&domain(), &identity(1)).unwrap();
    let signed = text.rfind("s=").unwrap();
    let original = text.as_bytes();
    let check = |changed: Vec<u8>| {
        let accepted =
            SignedPolicy::parse(&changed).is_ok_and(|policy| policy.verify(&domain()).is_ok());
        if accepted {
            let same = canonical(&changed, signed) == canonical(original, signed);
            assert!(same, "{}", String::from_utf8_lossy(&changed));
        }
        accepted
    };
    assert!(check(original.to_vec()));
    let mut insignificant = 0;
    for at in 0..original.len() {
        let replacements = (0..8).map(|bit| original[at] ^ (1 << bit)).chain(*b" \t;=,:A\0");
        for octet in replacements.filter(|&octet| octet != original[at]) {
            let mut changed = original.to_vec();
            changed[at] = octet;
            assert!(!check(changed), "replaced at {at}");
        }
        let mut changed = original.to_vec();
        changed.remove(at);
        assert!(!check(changed), "deleted at {at}");
        assert!(!check(original[..at].to_vec()), "cut at {at}");
    }
    for at in 0..=original.len() {
        for octet in *b" \t;=,:As0" {
            let mut changed = original.to_vec();
            changed.insert(at, octet);
            insignificant += u32::from(check(changed));
        }
    }
    // White space on either side of "=" and at the end, and the final semicolon.
    assert_eq!(insignificant, 7);
}

fn any_draft() -> impl Strategy<Value = PolicyDraft> {
    let entry = prop_oneof![
        (1_u8..)
            .prop_map(|seed| SealingEntry::of(&sealing(Suite::X25519, seed), &selector("unused"))),
        (any::<[u8; 32]>(), "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?").prop_map(|(id, label)| {
            SealingEntry::Listed {
                suite: Suite::XWing,
                selector: selector(&label),
                key_id: KeyId::from_bytes(id),
            }
        }),
    ];
    (
        prop_oneof![Just(Mode::Enforce), Just(Mode::Testing), Just(Mode::None)],
        0..900_000_000_000_u64,
        1..1_000_000_000_u64,
        0..=31_557_600_u64,
        3600..=2_592_000_u64,
        prop::collection::vec((1_u8..).prop_map(signing), 1..=8),
        prop::collection::vec(entry, 1..=8),
        any::<bool>(),
        prop::option::of(any::<[u8; 32]>()),
        any::<bool>(),
    )
        .prop_map(
            |(mode, serial, length, max_age, window, signing_keys, sealing_keys, o, p, r)| {
                PolicyDraft {
                    mode,
                    serial,
                    expiry: serial + length,
                    max_age,
                    window,
                    signing_keys,
                    sealing_keys,
                    outgoing_always: o,
                    rollover: r
                        .then(|| {
                            let new = identity(1);
                            let end = serial + length;
                            Rollover::sign(&identity(7), &domain(), new.public(), serial, end)
                        })
                        .flatten(),
                    next_identity: p.map(KeyId::from_bytes),
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn print_and_parse_are_inverse(draft in any_draft()) {
        let text = draft.sign(&domain(), &identity(1)).unwrap();
        let policy = verify(&text);
        prop_assert_eq!(&PolicyDraft::from(policy.record()), &draft);
        let again = PolicyDraft::from(policy.record()).sign(&domain(), &identity(1)).unwrap();
        prop_assert_eq!(again, text);
    }

    #[test]
    fn rubbish_is_an_error_and_no_panic(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut text = b"v=MTASEAL1;".to_vec();
        text.extend(tail);
        prop_assert!(SignedPolicy::parse(&text).is_err());
    }

    #[test]
    fn likely_rubbish_is_an_error_and_no_panic(
        tail in "([ \t]?(m|n|x|a|w|i|g|k|o|r|p|s)[ ]?=[ ]?[a-z0-9:,+/=]{0,44};?){0,12}"
    ) {
        let text = format!("v=MTASEAL1;{tail}");
        let verified = SignedPolicy::parse(text.as_bytes()).is_ok_and(|p| p.verify(&domain()).is_ok());
        prop_assert!(!verified);
    }
}
