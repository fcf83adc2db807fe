//! Envelopes and carriers made by hand, with a fault where a test wants one.

use mta_seal::core::{
    Accepted, DeliveryId, Domain, ForwardPath, KeyId, Prefix, Received, ReversePathField, SealTo,
    SealingPublicKey, SigningKey, Step, Suite, seal, unseal,
};
use mta_seal::mail::carrier::{CarrierWriter, Token};
use rand_core::{Rng, UnwrapErr};

use super::{NOW, Org};

/// An envelope in the making; right until a field is changed.
pub struct Forgery {
    pub recipient_domain: Domain,
    pub key: SealingPublicKey,
    pub prefix: Prefix,
    pub signing: SigningKey,
    pub message: Vec<u8>,
}

impl Forgery {
    /// From alice to bob.
    pub fn new(from: &Org, to: &Org) -> Self {
        let reverse_path = format!("alice@{}", from.domain);
        let forward_path = format!("bob@{}", to.domain);
        let prefix = Prefix::mail(
            from.domain.clone(),
            NOW,
            DeliveryId::random(&mut rng()),
            ReversePathField::new(reverse_path, 0, false, 0, String::new()).unwrap(),
            vec![ForwardPath::new(forward_path, 0, String::new()).unwrap()],
        );
        Self {
            recipient_domain: to.domain.clone(),
            key: to.sealing(Suite::X25519).public().clone(),
            prefix,
            signing: from.signing(),
            message: b"From: alice@company1.example\r\nSubject: x\r\n\r\nsecret\r\n".to_vec(),
        }
    }

    pub fn signed_for(mut self, mailboxes: &[&str]) -> Self {
        self.prefix.forward_paths = mailboxes
            .iter()
            .map(|m| ForwardPath::new((*m).to_owned(), 0, String::new()).unwrap())
            .collect();
        self
    }

    pub fn envelope(&self) -> Vec<u8> {
        let to = SealTo { recipient_domain: &self.recipient_domain, key: &self.key };
        seal(&self.message, to, self.prefix.clone(), &self.signing, &mut rng()).unwrap().0
    }

    pub fn carrier(&self) -> Vec<u8> {
        carrier(&self.prefix.sender_domain, &self.recipient_domain, &self.envelope())
    }
}

pub fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// The carrier of these octets.
pub fn carrier(from: &Domain, to: &Domain, envelope: &[u8]) -> Vec<u8> {
    let mut token = [0; 16];
    rng().fill_bytes(&mut token);
    let mut out = Vec::new();
    let mut writer = CarrierWriter::new(from, to, Token::new(token), NOW, &mut out);
    writer.write(envelope, &mut out);
    writer.finish(&mut out);
    out
}

/// The octets of the envelope in a carrier as the gateway writes it.
pub fn sealed_part(carrier: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = std::str::from_utf8(carrier).unwrap();
    let part = text.split("filename=\"message.mtaseal\"\r\n\r\n").nth(1).unwrap();
    let base64: String = part.split("\r\n--").next().unwrap().split("\r\n").collect();
    base64::prelude::BASE64_STANDARD.decode(base64).unwrap()
}

/// The key that a carrier is sealed to, whoever holds it.
pub fn sealed_to(carrier: &[u8]) -> KeyId {
    match Received::new().push(&sealed_part(carrier)).unwrap() {
        Step::Done(parsed) => parsed.header().key_id,
        Step::More(_) => panic!("the envelope ends early"),
    }
}

/// The message in a carrier, and what its envelope says.
pub fn open(carrier: &[u8], from: &Org, to: &Org) -> (Vec<u8>, Accepted) {
    let keys: Vec<_> = to.suites.iter().map(|suite| to.sealing(*suite)).collect();
    let signing = from.signing();
    unseal(
        &sealed_part(carrier),
        |header| keys.iter().find(|key| key.key_id() == header.key_id),
        |domain, _| (*domain == from.domain).then_some(signing.public()),
    )
    .unwrap()
}
