//! A message through the public API, in the pieces in which a gateway would read it.

use mta_seal::core::{
    DeliveryId, Domain, ForwardPath, Prefix, Received, ReversePathField, SealTo, Sealer,
    SealingPrivateKey, SigningKey, Step, Suite,
};
use mta_seal::mail::carrier::{CarrierWriter, Limits, Scanner, State, Token};
use rand_core::{Rng, UnwrapErr};

/// Octets handed over at once.
const PIECE: usize = 32 * 1024;

const NOW: u64 = 1_800_000_000;

/// A sender and a recipient domain with their keys.
pub(super) struct Pair {
    sender: Domain,
    recipient: Domain,
    signing: SigningKey,
    sealing: SealingPrivateKey,
}

impl Pair {
    pub(super) fn new(suite: Suite) -> Self {
        let mut rng = UnwrapErr(getrandom::SysRng);
        Self {
            sender: Domain::parse("company1.example").expect("domain"),
            recipient: Domain::parse("company2.example").expect("domain"),
            signing: SigningKey::generate(&mut rng),
            sealing: SealingPrivateKey::generate(suite, &mut rng).expect("key"),
        }
    }

    /// Makes the carrier of a message.
    pub(super) fn seal(&self, message: &[u8], carrier: &mut Vec<u8>) {
        carrier.clear();
        let mut rng = UnwrapErr(getrandom::SysRng);
        let path = ForwardPath::new("bob@company2.example".into(), 0, String::new()).expect("path");
        let reverse =
            ReversePathField::new("anna@company1.example".into(), 0, false, 0, String::new())
                .expect("path");
        let delivery = DeliveryId::random(&mut rng);
        let prefix = Prefix::mail(self.sender.clone(), NOW, delivery, reverse, vec![path]);
        let to = SealTo { recipient_domain: &self.recipient, key: self.sealing.public() };
        let mut token = [0; 16];
        rng.fill_bytes(&mut token);

        let mut writer =
            CarrierWriter::new(&self.sender, &self.recipient, Token::new(token), NOW, carrier);
        let mut envelope = Vec::new();
        let mut sealer =
            Sealer::new(to, prefix, &self.signing, &mut rng, &mut envelope).expect("sealer");
        for piece in message.chunks(PIECE) {
            sealer.write(piece, &mut envelope).expect("seal");
            writer.write(&envelope, carrier);
            envelope.clear();
        }
        sealer.finish(&mut envelope).expect("seal");
        writer.write(&envelope, carrier);
        writer.finish(carrier);
    }

    /// Recognises a carrier, opens and verifies it, and gives the message back.
    pub(super) fn unseal(&self, carrier: &[u8], message: &mut Vec<u8>) {
        message.clear();
        let mut scanner = Scanner::new(Limits::default());
        let mut octets = Vec::new();
        let mut stage = Stage::Received(Received::new());
        for piece in carrier.chunks(PIECE) {
            octets.clear();
            scanner.push(piece, &mut octets).expect("carrier");
            stage = self.advance(stage, &octets, message);
        }
        octets.clear();
        assert_eq!(scanner.finish(&mut octets), Ok(State::Carrier));
        let verified = match self.advance(stage, &octets, message) {
            Stage::Received(_) => unreachable!("the envelope ended in its header"),
            // A short message is all in one chunk, the last one.
            Stage::Opened(opened) => {
                let decrypted = opened.end().expect("prefix");
                decrypted.verify(self.signing.public()).expect("signature")
            }
            Stage::Verified(verified) => *verified,
        };
        verified.finish(message).expect("accepted");
    }

    fn advance(&self, stage: Stage, octets: &[u8], message: &mut Vec<u8>) -> Stage {
        match stage {
            Stage::Received(received) => match received.push(octets).expect("header") {
                Step::More(more) => Stage::Received(more),
                Step::Done(parsed) => {
                    let opened = parsed.open(&self.sealing).expect("key");
                    self.advance(Stage::Opened(opened), &[], message)
                }
            },
            Stage::Opened(opened) => match opened.push(octets).expect("prefix") {
                Step::More(more) => Stage::Opened(more),
                Step::Done(decrypted) => {
                    let verified = decrypted.verify(self.signing.public()).expect("signature");
                    self.advance(Stage::Verified(Box::new(verified)), &[], message)
                }
            },
            Stage::Verified(mut verified) => {
                verified.push(octets, message).expect("chunk");
                Stage::Verified(verified)
            }
        }
    }
}

/// How far an envelope is opened.
// One at a time exists, so its size does not matter.
#[allow(clippy::large_enum_variant)]
enum Stage {
    Received(Received),
    Opened(mta_seal::core::Opened),
    Verified(Box<mta_seal::core::Verified>),
}
