//! Makes envelopes by hand, so that a test can put one fault into an otherwise right one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::body::Encryptor;
use super::codec::{Encode, Field};
use super::content::{self, ContentHash};
use super::ids::EnvelopeId;
use super::keys::ContentKey;
use super::test_rng::TestRng;
use super::*;

/// The parties of all tests.
pub(super) struct Parties {
    pub(super) sealing: SealingPrivateKey,
    pub(super) signing: SigningKey,
    pub(super) recipient: Domain,
    pub(super) sender: Domain,
}

impl Parties {
    pub(super) fn new(suite: Suite) -> Self {
        let mut rng = TestRng::new("parties");
        Self {
            sealing: SealingPrivateKey::generate(suite, &mut rng).unwrap(),
            signing: SigningKey::generate(&mut rng),
            recipient: Domain::parse("company2.example").unwrap(),
            sender: Domain::parse("company1.example").unwrap(),
        }
    }

    pub(super) fn prefix(&self) -> Prefix {
        let path = |local: &str, notify| {
            ForwardPath::new(format!("{local}@company2.example"), notify, String::new()).unwrap()
        };
        let mut prefix = Prefix::mail(
            self.sender.clone(),
            1_800_000_000,
            DeliveryId::from_bytes([5; 16]),
            ReversePathField::new("alice@company1.example".into(), 2, false, 1, "QQ314159".into())
                .unwrap(),
            vec![path("bob", 0), path("carol", 6)],
        );
        prefix.signing_key_id = self.signing.key_id();
        prefix
    }

    pub(super) fn to(&self) -> SealTo<'_> {
        SealTo { recipient_domain: &self.recipient, key: self.sealing.public() }
    }

    pub(super) fn seal(&self, message: &[u8], seed: &str) -> (Vec<u8>, Sealed) {
        seal(message, self.to(), self.prefix(), &self.signing, &mut TestRng::new(seed)).unwrap()
    }

    pub(super) fn unseal(&self, envelope: &[u8]) -> Result<(Vec<u8>, Accepted), UnsealError> {
        unseal(
            envelope,
            |header| (header.key_id == self.sealing.key_id()).then_some(&self.sealing),
            |domain, id| {
                let known = *domain == self.sender && id == self.signing.key_id();
                known.then_some(self.signing.public())
            },
        )
    }

    pub(super) fn header(&self) -> Header {
        Header {
            suite: self.sealing.suite(),
            key_id: self.sealing.key_id(),
            recipient_domain: self.recipient.clone(),
            extensions: Extensions::default(),
        }
    }
}

/// What an opening signature is over.
type Opening = (EnvelopeId, [u8; body::START], Vec<u8>);

/// The parts of an envelope; all right until a test changes one. What depends on a part that is
/// changed is computed from the changed one.
pub(super) struct Forge<'a> {
    pub(super) header: Vec<u8>,
    pub(super) sealed_to: &'a SealingPublicKey,
    pub(super) prefix: Vec<u8>,
    /// Blocks with their lengths, without the empty one.
    pub(super) blocks: Vec<u8>,
    /// The end of the blocks.
    pub(super) end: Vec<u8>,
    /// Octets of padding more or less than right.
    pub(super) excess: isize,
    /// Set in the padding, counted from its end.
    pub(super) stain: Option<usize>,
    pub(super) opened_by: &'a SigningKey,
    pub(super) closed_by: &'a SigningKey,
    /// Takes this signature instead of making one.
    pub(super) opening_signature: Option<[u8; 64]>,
    pub(super) closing_signature: Option<[u8; 64]>,
    /// Octets after the closing signature.
    pub(super) tail: Vec<u8>,
}

/// A block with its length.
pub(super) fn block(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Field::new("data", 0, 0xffff).put(&mut out, data).unwrap();
    out
}

impl<'a> Forge<'a> {
    pub(super) fn new(parties: &'a Parties, message: &[u8]) -> Self {
        Self {
            header: parties.header().to_octets().unwrap(),
            sealed_to: parties.sealing.public(),
            prefix: parties.prefix().to_octets().unwrap(),
            blocks: message.chunks(BLOCK).flat_map(block).collect(),
            end: vec![0, 0],
            excess: 0,
            stain: None,
            opened_by: &parties.signing,
            closed_by: &parties.signing,
            opening_signature: None,
            closing_signature: None,
            tail: Vec::new(),
        }
    }

    pub(super) fn build(&self) -> Vec<u8> {
        self.build_with_opening(|_| None)
    }

    /// Builds with the opening signature that `opening` makes, if any.
    pub(super) fn build_with_opening(
        &self,
        opening: impl FnOnce(&Opening) -> Option<[u8; 64]>,
    ) -> Vec<u8> {
        seal_content(&self.header, self.sealed_to, |id, start| {
            self.content(&(id, start, self.prefix.clone()), opening)
        })
    }

    fn content(
        &self,
        signed: &Opening,
        opening: impl FnOnce(&Opening) -> Option<[u8; 64]>,
    ) -> Vec<u8> {
        let opening_signature = opening(signed).or(self.opening_signature).unwrap_or_else(|| {
            let input = content::opening_input(&signed.0, &signed.1, &self.prefix);
            self.opened_by.sign(&input.unwrap_or_default())
        });
        let mut content = Vec::new();
        let len = u32::try_from(self.prefix.len()).unwrap().to_be_bytes();
        content.extend_from_slice(&len[1..]);
        content.extend_from_slice(&self.prefix);
        content.extend_from_slice(&opening_signature);
        let signed_from = content.len();
        content.extend_from_slice(&self.blocks);
        content.extend_from_slice(&self.end);
        let padded = usize::try_from(padding::padded(content.len() as u64 + 64)).unwrap();
        content.resize(padded.checked_add_signed(self.excess).unwrap() - 64, 0);
        if let Some(from_end) = self.stain {
            let at = content.len() - 1 - from_end;
            content[at] = 1;
        }
        let mut hash = ContentHash::new();
        hash.update(&content[signed_from..]);
        let input = content::closing_input(&opening_signature, &hash.finish());
        let closing_signature =
            self.closing_signature.unwrap_or_else(|| self.closed_by.sign(&input));
        content.extend_from_slice(&closing_signature);
        content.extend_from_slice(&self.tail);
        content
    }
}

/// An envelope with any header and content.
pub(super) fn seal_content(
    header: &[u8],
    sealed_to: &SealingPublicKey,
    content: impl FnOnce(EnvelopeId, [u8; body::START]) -> Vec<u8>,
) -> Vec<u8> {
    let mut rng = TestRng::new("forge");
    let mut out = header.to_vec();
    let content_key = ContentKey::new([0x5a; 32]);
    let info = envelope::content_key_info(header);
    let mut enc = Vec::new();
    let sealed_key = sealed_to.seal(&info, &content_key, &mut rng, &mut enc).unwrap();
    out.extend_from_slice(&enc);
    out.extend_from_slice(&sealed_key);
    let id = envelope::envelope_id(header, &enc, &sealed_key).unwrap();
    let context = envelope::body_context(&id);
    let (encryptor, start) = Encryptor::start(&content_key, &context, &mut rng, &mut out).unwrap();
    encryptor.finish(&content(id, start), &mut out).unwrap();
    out
}
