//! The worked example of the draft opens with the library and has the values that stand there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod draft_support;

use std::collections::BTreeMap;

use draft_support::primitives::{body_keys, open_chunks, open_content_key};
use draft_support::{DRAFT, Values, base64, example, figure, zone};
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, Serializable};
use mta_seal::core::{
    ContentType, Domain, IdentityKey, KeyId, Label, SealingPrivateKey, SigningKey, Suite, body,
    padding, sha256, unseal,
};
use mta_seal::mail::carrier::{CarrierWriter, Scanner, State, Token};
use mta_seal::mail::header::Header;
use mta_seal::records::{
    KeyRecord, Mode, SealingEntry, SignedPolicy, Validity, VerifiedPolicy, key_record_name,
    policy_name,
};

/// 2027-01-15T08:00:00Z
const NOW: u64 = 1_800_000_000;

/// The private keys of a domain, each held against the identifier beside it.
struct Keys {
    domain: Domain,
    identity: IdentityKey,
    signing: SigningKey,
    sealing: Vec<SealingPrivateKey>,
}

impl Keys {
    fn read(keys: &mut Values, domain: &str, suites: &[Suite]) -> Self {
        let mut own = |name: &str| keys.array::<32>(&format!("{domain} {name}"));
        let identity = IdentityKey::from_bytes(&own("identity private key"));
        assert_eq!(identity.fingerprint().as_bytes(), &own("identity fingerprint"));
        let signing = SigningKey::from_bytes(&own("signing private key"));
        assert_eq!(signing.key_id().as_bytes(), &own("signing key id"));
        let sealing = suites.iter().map(|suite| {
            let number = suite.id();
            let private = own(&format!("sealing private key, suite {number}"));
            let key = SealingPrivateKey::from_bytes(*suite, &private).unwrap();
            let id = own(&format!("sealing key id, suite {number}"));
            assert_eq!(key.key_id().as_bytes(), &id);
            key
        });
        let sealing = sealing.collect();
        Self { domain: Domain::parse(domain).unwrap(), identity, signing, sealing }
    }

    /// Both domains of the example.
    fn both() -> (Self, Self) {
        let mut keys = Values::read("keys.txt");
        let sender = Self::read(&mut keys, "company1.example", &[Suite::XWing, Suite::X25519]);
        let recipient = Self::read(&mut keys, "company2.example", &[Suite::X25519]);
        keys.end();
        (sender, recipient)
    }

    /// The published policy, and how many key records stand beside it.
    fn policy(&self) -> (VerifiedPolicy, usize) {
        let mut records = zone(self.domain.as_str());
        let (name, text) = records.remove(0);
        assert_eq!(name, policy_name(&self.domain));
        let policy = SignedPolicy::parse(text.as_bytes()).unwrap().verify(&self.domain).unwrap();
        assert_eq!(policy.validity(NOW), Validity::InForce);
        assert_eq!(policy.record().mode, Mode::Enforce);
        assert_eq!(policy.identity().as_bytes(), self.identity.public().as_bytes());
        assert_eq!(policy.record().signing_keys, [self.signing.public().clone()]);
        assert_eq!(policy.record().sealing_keys.len(), self.sealing.len());
        let mut listed = records.iter();
        for (entry, key) in policy.record().sealing_keys.iter().zip(&self.sealing) {
            assert_eq!(entry.key_id(), Some(key.key_id()));
            if let SealingEntry::Listed { suite, selector, key_id } = entry {
                let (name, text) = listed.next().expect("a key record");
                assert_eq!(*name, key_record_name(selector, &self.domain));
                let record = KeyRecord::parse(text.as_bytes()).unwrap();
                let found = record.authenticate(*suite, key_id).expect("the listed key");
                assert_eq!(found.as_bytes(), key.public().as_bytes());
            }
        }
        assert!(listed.next().is_none());
        (policy, records.len())
    }
}

/// `opaque label<1..255>`, then fields that are encoded already.
fn labelled(label: Label, fields: &[&[u8]]) -> Vec<u8> {
    let mut input = label.begin();
    fields.iter().for_each(|field| input.extend_from_slice(field));
    input
}

/// The envelope in the carrier.
fn envelope() -> Vec<u8> {
    let (mut scanner, mut envelope) = (Scanner::default(), Vec::new());
    scanner.push(&example("carrier.eml"), &mut envelope).unwrap();
    assert_eq!(scanner.finish(&mut envelope), Ok(State::Carrier));
    envelope
}

#[test]
fn the_message_comes_out() {
    let (sender, recipient) = Keys::both();
    let (policy, _) = sender.policy();
    let key = &recipient.sealing[0];
    let (message, accepted) = unseal(
        &envelope(),
        |header| (header.key_id == key.key_id()).then_some(key),
        |domain, id| {
            let mut listed = policy.record().signing_keys.iter();
            listed.find(|key| *domain == sender.domain && key.key_id() == id)
        },
    )
    .unwrap();
    assert_eq!(message, example("message.eml"));
    assert_eq!(accepted.header.recipient_domain, recipient.domain);
    let prefix = &accepted.prefix;
    assert_eq!(prefix.content_type, ContentType::Mail);
    assert_eq!(prefix.sender_domain, sender.domain);
    assert_eq!(prefix.sealed_at, NOW);
    assert!(!prefix.receipt_wanted && !prefix.foreign_reverse_path);
    assert_eq!(prefix.reverse_path.mailbox(), "anna@company1.example");
    assert_eq!((prefix.reverse_path.body(), prefix.reverse_path.ret()), (1, 0));
    let recipients: Vec<&str> = prefix.forward_paths.iter().map(|path| path.mailbox()).collect();
    assert_eq!(recipients, ["bob@company2.example"]);
}

#[test]
fn one_changed_octet_is_noticed() {
    let (sender, recipient) = Keys::both();
    let whole = envelope();
    // The last octet of the header's domain, `enc`, the sealed key, salt, commitment, ciphertext, tag.
    for at in [59, 62, 94, 142, 166, 198, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let key = &recipient.sealing[0];
        let opened = unseal(&changed, |_| Some(key), |_, _| Some(sender.signing.public()));
        assert!(opened.is_err(), "octet {at}");
    }
}

#[test]
fn every_value_on_the_way_is_as_stated() {
    let (sender, recipient) = Keys::both();
    let mut values = Values::read("values.txt");
    let envelope = envelope();
    let mut rest = envelope.as_slice();
    let mut next = |octets: &[u8]| {
        rest = rest.strip_prefix(octets).expect("the value in its place");
        octets.to_vec()
    };

    // [R-env-01], [R-env-05]
    let header = next(&values.octets("header"));
    let enc = next(&values.octets("enc"));
    let sealed_key = next(&values.array::<48>("sealed_key"));
    let info = labelled(Label::ContentKey, &[&sha256(&header)]);
    assert_eq!(values.octets("ContentKeyInfo"), info);
    let ephemeral = values.octets("ephemeral private key of HPKE");
    let ephemeral = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&ephemeral).unwrap();
    assert_eq!(X25519HkdfSha256::sk_to_pk(&ephemeral).to_bytes().as_slice(), enc);
    let private = recipient.sealing[0].to_bytes();
    let content_key = values.octets("content key");
    let opened = open_content_key(Suite::X25519, &private, &enc, &info, &sealed_key);
    assert_eq!(opened.as_ref(), Some(&content_key));

    // [R-env-06]
    let vector = |octets: &[u8]| {
        let length = u16::try_from(octets.len()).unwrap();
        [&length.to_be_bytes(), octets].concat()
    };
    let id_input = labelled(Label::EnvelopeId, &[&vector(&header), &vector(&enc), &sealed_key]);
    let envelope_id = values.array::<32>("envelope id");
    assert_eq!(sha256(&id_input), envelope_id);

    // [R-env-07], the derivation of the chunked encryption, and its one chunk.
    let context = labelled(Label::Body, &[&envelope_id]);
    assert_eq!(values.octets("BodyContext"), context);
    let salt = next(&values.array::<{ body::SALT }>("salt"));
    let commitment = values.array::<{ body::COMMITMENT }>("commitment");
    next(&commitment);
    let key = values.array("key of the chunks");
    let nonce = values.array("base nonce of the chunks");
    assert_eq!(body_keys(&content_key, &salt, &context), (key, nonce, commitment));
    let content = open_chunks(&key, &nonce, rest);

    // [R-con-01], [R-con-03]
    let mut rest = &*content;
    let mut next = |octets: &[u8]| {
        rest = rest.strip_prefix(octets).expect("the value in its place");
        octets.to_vec()
    };
    let prefix = values.octets("prefix");
    let prefix = next(&[&[0], vector(&prefix).as_slice()].concat());
    let opening_input = labelled(Label::Opening, &[&envelope_id, &salt, &commitment, &prefix]);
    assert_eq!(values.octets("OpeningInput"), opening_input);
    let opening = values.array::<64>("opening signature");
    next(&opening);
    assert!(sender.signing.public().verify(&opening_input, &opening));
    let delivery_id = values.array::<16>("delivery id");
    assert!(prefix.windows(16).any(|octets| octets == delivery_id));

    // [R-con-04], [R-con-05]
    let message = example("message.eml");
    let blocks = next(&values.octets("blocks"));
    assert_eq!(blocks, [vector(&message).as_slice(), &[0, 0]].concat());
    let padding_len: usize = values.text("octets of padding").parse().unwrap();
    let zeros = next(&vec![0; padding_len]);
    let content_len: usize = values.text("octets of content").parse().unwrap();
    assert_eq!(content.len(), content_len);
    assert_eq!(padding::padded((content_len - padding_len) as u64), content_len as u64);

    // [R-con-06]
    let content_hash = values.array::<32>("content hash");
    assert_eq!(sha256(&[blocks, zeros].concat()), content_hash);
    let closing_input = labelled(Label::Closing, &[&opening, &content_hash]);
    assert_eq!(values.octets("ClosingInput"), closing_input);
    let closing = values.array::<64>("closing signature");
    next(&closing);
    assert!(rest.is_empty());
    assert!(sender.signing.public().verify(&closing_input, &closing));

    // [R-car-01]: the library writes this carrier, but for the words that a person reads.
    let mut written = Vec::new();
    let token = Token::new(values.array("token"));
    let mut writer =
        CarrierWriter::new(&sender.domain, &recipient.domain, token, NOW, &mut written);
    writer.write(&envelope, &mut written);
    writer.finish(&mut written);
    assert_eq!(without_text(&written), without_text(&example("carrier.eml")));
    values.end();
}

/// A carrier's header, and its lines from the sealed part on.
fn without_text(carrier: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, body) = Header::split(carrier);
    let start = b"Content-Type: application/mta-seal;";
    let at = body.windows(start.len()).position(|octets| octets == start).unwrap();
    (header.raw().to_vec(), body[at..].to_vec())
}

#[test]
fn what_the_policies_say() {
    let (sender, recipient) = Keys::both();
    let (of_sender, key_records) = sender.policy();
    assert!(of_sender.record().outgoing_always);
    assert_eq!(key_records, 1);
    let (of_recipient, key_records) = recipient.policy();
    assert!(!of_recipient.record().outgoing_always);
    assert_eq!(key_records, 0);
    assert!(of_recipient.text().contains(&base64(recipient.sealing[0].public().as_bytes())));
}

#[test]
fn the_fingerprint_is_read_as_the_words_of_the_draft() {
    // [R-key-02]
    let (sender, _) = Keys::both();
    let words = figure("as words [R-key-02]").join(" ");
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let fingerprint: KeyId = sender.identity.fingerprint();
    assert_eq!(words.join(" "), fingerprint.words());
}

#[test]
fn the_word_list_is_that_of_the_draft() {
    // [R-key-02]
    let figure = figure("its word of two syllables and its word of three.").join(" ");
    let cells: Vec<&str> = figure.split_ascii_whitespace().collect();
    let rows: BTreeMap<u8, [&str; 2]> = cells
        .chunks(3)
        .map(|row| (u8::from_str_radix(row[0], 16).unwrap(), [row[1], row[2]]))
        .collect();
    assert_eq!(cells.len(), 3 * 256);
    for octet in 0..=255 {
        let words = KeyId::from_bytes([octet; 32]).words();
        assert!(words.split(' ').eq(rows[&octet].into_iter().cycle().take(32)), "{octet:02x}");
    }
}

#[test]
fn the_draft_shows_every_file() {
    let made = std::fs::read_dir(draft_support::example_path("")).unwrap();
    let mut shown = 0;
    for entry in made {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "generate" {
            continue;
        }
        assert!(DRAFT.contains(&format!(" example/{name}}}")), "{name} is not in the draft");
        shown += 1;
    }
    assert!(shown > 5);
}
