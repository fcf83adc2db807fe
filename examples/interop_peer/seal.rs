//! Sealing.

use crate::answer::{Answer, No, refused, unsupported};
use crate::asking::{Given, is_text, loops};
use crate::json::{Exactly, Id, Name, Octets};
use crate::records::{Record, refusal, required};
use crate::results::b64;
use mta_seal::core::{
    BLOCK, DeliveryId, Domain, ForwardPath, InvalidField, Prefix, ReversePathField, SealTo,
    SigningKey, SmtpEnvelope, UnfitPath, seal as sealed,
};
use mta_seal::gateway::Failure;
use mta_seal::mail::carrier::{CarrierWriter, Token};
use mta_seal::mail::header::Header;
use mta_seal::policy::Decision;
use rand_core::{Rng, UnwrapErr};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
pub(crate) struct Reverse {
    mailbox: String,
    body: u8,
    smtputf8: u8,
    ret: u8,
    envid: String,
}

impl Reverse {
    fn field(&self) -> Result<ReversePathField, InvalidField> {
        let smtputf8 = self.smtputf8 == 1;
        let Self { mailbox, envid, .. } = self;
        ReversePathField::new(mailbox.clone(), self.body, smtputf8, self.ret, envid.clone())
    }
}

#[derive(Deserialize)]
pub(crate) struct Forward {
    mailbox: String,
    notify: u8,
    orcpt: String,
}

impl Forward {
    fn field(&self) -> Result<ForwardPath, InvalidField> {
        ForwardPath::new(self.mailbox.clone(), self.notify, self.orcpt.clone())
    }
}

#[derive(Deserialize)]
struct Sender {
    domain: Name,
    signing_key: Id,
}

#[derive(Deserialize)]
struct Randomness {
    content_key: Id,
    encapsulation: Octets,
    salt: Exactly<24>,
    delivery_id: Exactly<16>,
}

#[derive(Deserialize)]
pub(crate) struct Mail {
    sender: Sender,
    recipient_domain: Name,
    records: Vec<Record>,
    now: u64,
    reverse_path: Reverse,
    forward_paths: Vec<Forward>,
    message: Octets,
    block_size: Option<usize>,
    randomness: Option<Randomness>,
}

/// [R-seal-07], as a message that is sent by SMTP is checked. `ended`: as of [`is_text`].
pub(crate) fn check_octets(message: &[u8], ended: bool) -> Result<(), No> {
    if is_text(message, ended) {
        Ok(())
    } else {
        Err(refused("bytes", &Failure::BareLineEnd, "bare CR, bare LF or NUL"))
    }
}

/// The prefix of a message whose paths are fit to be sealed [R-con-02].
fn prefix(mail: &Mail, delivery: DeliveryId) -> Result<Prefix, No> {
    let unfit = |error: UnfitPath| refused("path", &Failure::PathUnfit, error);
    let (sender, recipient) = (&mail.sender.domain.0, &mail.recipient_domain.0);
    let reverse = mail.reverse_path.field().map_err(|field| unfit(field.into()))?;
    let forward: Result<Vec<_>, _> = mail.forward_paths.iter().map(Forward::field).collect();
    let forward = forward.map_err(|field| unfit(field.into()))?;
    let smtp_envelope = SmtpEnvelope::to_seal(&reverse, &forward, recipient).map_err(unfit)?;
    let mut prefix = Prefix::mail(sender.clone(), mail.now, delivery, reverse, forward);
    prefix.foreign_reverse_path = smtp_envelope.is_foreign_to(sender);
    Ok(prefix)
}

fn carrier(sender: &Domain, recipient: &Domain, now: u64, envelope: &[u8]) -> Vec<u8> {
    let (mut token, mut out) = ([0; 16], Vec::new());
    UnwrapErr(getrandom::SysRng).fill_bytes(&mut token);
    let mut writer = CarrierWriter::new(sender, recipient, Token::new(token), now, &mut out);
    writer.write(envelope, &mut out);
    writer.finish(&mut out);
    out
}

pub(crate) fn seal(mail: &Mail) -> Answer {
    let mut system = UnwrapErr(getrandom::SysRng);
    let delivery = match &mail.randomness {
        Some(given) => DeliveryId::from_bytes(given.delivery_id.0),
        None => DeliveryId::random(&mut system),
    };
    if mail.block_size.is_some_and(|size| size != BLOCK) {
        return Err(unsupported(format!("blocks that are not of {BLOCK} octets")));
    }
    let prefix = prefix(mail, delivery)?;
    let (sender, recipient) = (&mail.sender.domain.0, &mail.recipient_domain.0);
    let key = match required(&mail.records, recipient, mail.now)? {
        Decision::Seal { key, .. } => key,
        other => return Err(refusal(&other, recipient)),
    };
    if loops(&Header::split(&mail.message.0).0) {
        return Err(refused("bytes", &Failure::Loop, "too many Received fields"));
    }
    check_octets(&mail.message.0, true)?;
    let to = SealTo { recipient_domain: recipient, key: &key };
    let signing = SigningKey::from_bytes(&mail.sender.signing_key.0);
    let made = match &mail.randomness {
        None => sealed(&mail.message.0, to, prefix, &signing, &mut system),
        Some(given) => {
            let given = [&given.content_key.0[..], &given.encapsulation.0, &given.salt.0].concat();
            sealed(&mail.message.0, to, prefix, &signing, &mut UnwrapErr(Given(given)))
        }
    };
    let (envelope, done) = made.map_err(|error| refused("path", &Failure::PathUnfit, error))?;
    Ok(json!({
        "carrier": b64(carrier(sender, recipient, mail.now, &envelope)),
        "envelope": b64(&envelope),
        "envelope_id": b64(done.envelope_id.as_bytes()),
    }))
}
