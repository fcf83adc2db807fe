//! The registries, figures and examples of the draft say what the library does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod draft_support;

use std::collections::BTreeSet;

use draft_support::{Values, base64, figure, table};
use mta_seal::core::{Domain, IdentityKey, Label, SealingPrivateKey, SigningKey, Suite};
use mta_seal::mail::carrier::{CarrierWriter, FIELDS, TOKEN_FIELD, Token};
use mta_seal::mail::header::{Header, SEAL_REQUIRED};
use mta_seal::mail::results::{self, Outcome, ReversePathOf};
use mta_seal::records::{
    DEFAULT_WINDOW, KeyRecord, Mode, PolicyDraft, RecordError, Rollover, SealingEntry, SignedPolicy,
};

#[test]
fn suites_are_the_table() {
    // [R-suite-01]
    let own: Vec<Vec<String>> = Suite::ALL
        .iter()
        .map(|suite| {
            let kem = match suite {
                Suite::X25519 => "DHKEM(X25519, HKDF-SHA256)",
                Suite::XWing => "X-Wing",
            };
            vec![
                suite.id().to_string(),
                format!("{kem} 0x{:04x}", suite.kem_id()),
                "HKDF-SHA256 0x0001".to_owned(),
                "AES-256-GCM 0x0002".to_owned(),
                "SHA-256; chunked AES-256-GCM with SHA-512".to_owned(),
                suite.public_key_len().to_string(),
                suite.private_key_len().to_string(),
                suite.enc_len().to_string(),
            ]
        })
        .collect();
    assert_eq!(table("suite-table"), own);
}

#[test]
fn labels_are_the_table() {
    // [R-lab-01]
    let draft: Vec<String> = table("label-table").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(draft, Label::ALL.map(Label::as_str));
}

/// A policy with every tag that the library writes, in order and without white space.
fn policy_tags() -> Vec<(String, String)> {
    let domain = Domain::parse("company2.example").unwrap();
    let (former, identity) = (IdentityKey::from_bytes(&[1; 32]), IdentityKey::from_bytes(&[2; 32]));
    let (serial, expiry) = (1_800_000_000, 1_800_086_400);
    let sealing = SealingPrivateKey::from_bytes(Suite::X25519, &[4; 32]).unwrap();
    let draft = PolicyDraft {
        mode: Mode::Enforce,
        serial,
        expiry,
        max_age: 86_400,
        window: DEFAULT_WINDOW + 1,
        signing_keys: vec![SigningKey::from_bytes(&[3; 32]).public().clone()],
        sealing_keys: vec![SealingEntry::of(sealing.public(), &"k1".parse().unwrap())],
        outgoing_always: true,
        rollover: Rollover::sign(&former, &domain, identity.public(), serial, expiry),
        next_identity: Some(former.public().fingerprint()),
    };
    let text = draft.sign(&domain, &identity).unwrap();
    let tags = text.split(';').map(|tag| tag.trim().split_once('=').unwrap());
    tags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Reads a policy of these tags, which nobody has signed so.
fn read_policy(tags: &[(String, String)]) -> Result<SignedPolicy, RecordError> {
    let tags: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    SignedPolicy::parse(tags.join(";").as_bytes())
}

/// A table of `(name, required)`.
fn tag_table() -> Vec<(String, String)> {
    let rows = table("tag-table").into_iter();
    rows.map(|row| (row[0].clone(), row[3].clone())).collect()
}

#[test]
fn the_tags_of_a_policy_are_those_of_the_table() {
    // [R-rec-02]
    let full = policy_tags();
    let names = |tags: &[(String, String)]| -> BTreeSet<String> {
        tags.iter().map(|(name, _)| name.clone()).collect()
    };
    let reserved = BTreeSet::from(["h".to_owned()]);
    let known = names(&tag_table());
    assert_eq!(known.len(), tag_table().len(), "one stands twice");
    assert_eq!(names(&full), known.difference(&reserved).cloned().collect());
    // Any other name is ignored, whatever its value; so is the reserved one.
    let sound = read_policy(&full).unwrap();
    for name in ('A'..='Z').chain('a'..='z').map(String::from) {
        let mut tags: Vec<_> = full.iter().filter(|(own, _)| *own != name).cloned().collect();
        // The first and the last one stand where they do.
        let at = match name.as_str() {
            "v" => 0,
            "s" => tags.len(),
            _ => 1,
        };
        tags.insert(at, (name.clone(), "!".to_owned()));
        let read = read_policy(&tags);
        if known.contains(&name) && !reserved.contains(&name) {
            assert!(read.is_err(), "{name}");
        } else {
            assert_eq!(read.unwrap().unverified(), sound.unverified(), "{name}");
        }
    }
}

#[test]
fn the_tags_of_a_policy_are_required_as_in_the_table() {
    // [R-rec-02]
    let full = policy_tags();
    for (tag, required) in tag_table() {
        let without = |mode: &str| {
            let mut tags = full.clone();
            tags.retain(|(name, _)| *name != tag);
            let of_mode = tags.iter_mut().filter(|(name, _)| name == "m");
            of_mode.for_each(|(_, value)| mode.clone_into(value));
            read_policy(&tags)
        };
        let is_missing = |read: &Result<SignedPolicy, RecordError>| match read {
            Err(RecordError::Missing { tag: missing }) => *missing == tag,
            Err(RecordError::Version) => tag == "v",
            _ => false,
        };
        for mode in ["enforce", "testing", "none"] {
            let read = without(mode);
            let must = match required.as_str() {
                "yes" => true,
                "unless m=none" => mode != "none",
                "no" | "no, 1209600" => false,
                other => panic!("{other}"),
            };
            assert_eq!(is_missing(&read), must, "{tag} {mode}");
            assert_eq!(read.is_err(), must, "{tag} {mode}");
            if let Some(default) = required.strip_prefix("no, ") {
                assert_eq!(read.unwrap().unverified().window.to_string(), default);
            }
        }
    }
}

#[test]
fn header_fields_are_registered() {
    let names: BTreeSet<String> =
        table("header-table").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(names, BTreeSet::from([SEAL_REQUIRED.to_owned(), TOKEN_FIELD.to_owned()]));
}

#[test]
fn the_figure_of_the_carrier_is_what_is_written() {
    // [R-car-01], [R-car-02]
    let figure = figure("[R-car-01] The carrier is the message").join("\r\n");
    let (sender, recipient) =
        (Domain::parse("a.example").unwrap(), Domain::parse("b.example").unwrap());
    let token = Token::new([0x5a; 16]);
    let mut written = Vec::new();
    let writer = CarrierWriter::new(&sender, &recipient, token, 0, &mut written);
    writer.finish(&mut written);
    let written = String::from_utf8(written).unwrap();
    let (before, after) = figure
        .replace("<now>", "Thu, 01 Jan 1970 00:00:00 +0000")
        .replace("<sender domain>", sender.as_str())
        .replace("<recipient domain>", recipient.as_str())
        .replace("TOKEN", &token.to_string())
        .split_once("<text a person can understand>")
        .map(|(before, after)| (before.to_owned(), after.to_owned()))
        .unwrap();
    let after = after.replace("<base64 in lines of 76>\r\n", "");
    let text = written.strip_prefix(&before).expect("the head of the figure");
    let text = text.strip_suffix(&format!("{after}\r\n")).expect("the end of the figure");
    assert!(!text.contains(&token.to_string()), "{text}");
    let (header, _) = Header::split(written.as_bytes());
    let names: Vec<&[u8]> = header.fields().map(|field| field.name()).collect();
    assert_eq!(names, FIELDS.map(str::as_bytes));
}

/// The property names of a field that the library writes, in order.
fn properties(field: &str) -> Vec<String> {
    let words = field.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    words.map(|(name, _)| name.to_owned()).filter(|name| name != results::METHOD).collect()
}

fn pass(reverse_path: ReversePathOf, header: &Header) -> String {
    let sender = Domain::parse("company1.example").unwrap();
    let outcome =
        Outcome::Pass { sender: &sender, suite: 1, level: "dnssec", reverse_path, header };
    results::field("gw.company2.example", &outcome)
}

#[test]
fn results_have_the_registered_properties() {
    // [R-res-01]
    let registered: Vec<String> = table("method-table")
        .into_iter()
        .map(|row| {
            assert_eq!(row[0], results::METHOD);
            format!("{}.{}", row[1], row[2])
        })
        .collect();
    let (header, _) = Header::split(b"From: a@company1.example\r\n\r\n");
    let expected = "policy.expected".to_owned();
    let without: Vec<String> = registered.iter().filter(|p| **p != expected).cloned().collect();
    assert_eq!(without.len() + 1, registered.len());
    assert_eq!(properties(&pass(ReversePathOf::Foreign, &header)), without);
    let none = |expected| results::field("gw.company2.example", &Outcome::None { expected });
    assert_eq!(properties(&none(true)), [expected]);
    assert!(properties(&none(false)).is_empty());
}

#[test]
fn the_figure_of_a_result_is_what_is_written() {
    // [R-res-01]
    let (header, _) = Header::split(&draft_support::example("message.eml"));
    let unfold = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        unfold(&figure("[R-res-01]").join("\n")),
        unfold(&pass(ReversePathOf::Sender, &header))
    );
}

/// The lines of a figure of records, with real keys.
fn records(mark: &str) -> Vec<String> {
    let mut keys = Values::read("keys.txt");
    let mut private = |name: &str| keys.array::<32>(name);
    let identity = IdentityKey::from_bytes(&private("company2.example identity private key"));
    let signing = SigningKey::from_bytes(&private("company2.example signing private key"));
    let mut sealing = |suite: Suite, domain: &str| {
        let name = format!("{domain} sealing private key, suite {}", suite.id());
        let key = SealingPrivateKey::from_bytes(suite, &private(&name)).unwrap();
        base64(key.public().as_bytes())
    };
    let short = sealing(Suite::X25519, "company2.example");
    let long = sealing(Suite::XWing, "company1.example");
    let lines = figure(&format!("#{mark} "));
    lines
        .iter()
        .map(|line| {
            line.replace("<I>", &base64(identity.public().as_bytes()))
                .replace("<G>", &base64(signing.public().as_bytes()))
                .replace("<K>", &short)
                .replace("<X>", &long)
                .replace("<F>", &base64(&[0xf5; 32]))
                .replace("<S>", &base64(&[0x5f; 64]))
        })
        .collect()
}

/// Reads the accepted, the ungrammatical and the invalid lines of a kind.
fn accepted_and_rejected_as_listed(kind: &str, is_read: impl Fn(&str) -> bool) {
    for (list, wanted) in [("accepted", true), ("ungrammatical", false), ("invalid", false)] {
        for line in records(&format!("{kind}-{list}")) {
            assert_eq!(is_read(&line), wanted, "{kind}-{list}: {line}");
        }
    }
}

#[test]
fn records_are_accepted_and_rejected_as_listed() {
    // [R-rec-01] to [R-rec-04]
    accepted_and_rejected_as_listed("records", |record| {
        SignedPolicy::parse(record.as_bytes()).is_ok()
    });
}

#[test]
fn rollovers_are_accepted_and_rejected_as_listed() {
    // [R-rec-08]
    let [around] = &records("records-accepted")
        .into_iter()
        .filter(|record| record.contains("; r="))
        .collect::<Vec<_>>()[..]
    else {
        panic!("not one record with the tag");
    };
    let (before, rest) = around.split_once("r=").unwrap();
    let (_, after) = rest.split_once(';').unwrap();
    accepted_and_rejected_as_listed("rollovers", |tag| {
        let value = tag.strip_prefix("r=").expect("the tag");
        let record = format!("{before}{tag};{after}");
        let policy = SignedPolicy::parse(record.as_bytes());
        assert_eq!(policy.is_ok(), value.parse::<Rollover>().is_ok(), "{record}");
        if let Ok(policy) = &policy {
            let rollover = policy.unverified().rollover.as_ref().expect("the statement");
            assert_eq!(rollover.to_string(), value);
        }
        policy.is_ok()
    });
}

#[test]
fn key_records_are_accepted_and_rejected_as_listed() {
    // [R-rec-07]
    accepted_and_rejected_as_listed("key-records", |record| {
        KeyRecord::parse(record.as_bytes()).is_ok()
    });
}
