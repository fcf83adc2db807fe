//! Sealing.

use crate::answer::{Answer, No, refused, unsupported};
use crate::json::{Exactly, Id, Name, Octets, b64};
use crate::records::{Record, refusal, required};
use mta_seal::core::address::Mailbox;
use mta_seal::core::esmtp::{Envid, Orcpt};
use mta_seal::core::{
    BLOCK, DeliveryId, Domain, ForwardPath, Prefix, ReversePathField, SealTo, SigningKey,
    seal as sealed,
};
use mta_seal::gateway::Failure;
use mta_seal::mail::carrier::{CarrierWriter, Token};
use mta_seal::policy::Decision;
use mta_seal::smtp::data::DataEncoder;
use rand_core::{Rng, TryCryptoRng, TryRng, UnwrapErr};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
pub(crate) struct Reverse {
    mailbox: String,
    body: u8,
    smtputf8: u8,
    ret: u8,
    envid: String,
}

impl Reverse {
    pub(crate) fn of(path: &ReversePathField) -> Self {
        Self {
            mailbox: path.mailbox().to_owned(),
            body: path.body(),
            smtputf8: path.smtputf8().into(),
            ret: path.ret(),
            envid: path.envid().to_owned(),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Forward {
    mailbox: String,
    notify: u8,
    orcpt: String,
}

impl Forward {
    pub(crate) fn of(path: &ForwardPath) -> Self {
        Self {
            mailbox: path.mailbox().to_owned(),
            notify: path.notify(),
            orcpt: path.orcpt().to_owned(),
        }
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

/// The octets that a vector gives, in the order in which the library asks for them; then there are no more.
struct Given(Vec<u8>);

#[derive(Debug, thiserror::Error)]
#[error("more randomness is asked for than the vector has")]
struct Exhausted;

impl TryRng for Given {
    type Error = Exhausted;

    fn try_next_u32(&mut self) -> Result<u32, Exhausted> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets).map(|()| u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Exhausted> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets).map(|()| u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Exhausted> {
        if to.len() > self.0.len() {
            return Err(Exhausted);
        }
        to.copy_from_slice(&self.0[..to.len()]);
        self.0.drain(..to.len());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

/// [R-seal-07], as a message that is sent by SMTP is checked. `ended`: no LF can follow its last octet any more [R-uns-01].
pub(crate) fn check_octets(message: &[u8], ended: bool) -> Result<(), No> {
    let (mut encoder, mut out) = (DataEncoder::new(), bytes::BytesMut::new());
    let encoded = encoder.encode(message, &mut out);
    let fit = encoded.is_ok() && (!ended || encoder.finish(&mut out).is_ok());
    if fit {
        Ok(())
    } else {
        Err(refused("bytes", &Failure::BareLineEnd, "bare CR, bare LF or NUL"))
    }
}

/// The prefix of a message: its paths are of their grammar, and of one domain [R-con-01], [R-con-02].
fn prefix(mail: &Mail, delivery: DeliveryId) -> Result<Prefix, No> {
    let unfit = |what: String| refused("path", &Failure::PathUnfit, what);
    let mailbox =
        |text: &str| Mailbox::parse(text).map_err(|error| unfit(format!("{text}: {error}")));
    let (sender, recipient) = (&mail.sender.domain.0, &mail.recipient_domain.0);
    let from = &mail.reverse_path;
    let foreign = !from.mailbox.is_empty() && mailbox(&from.mailbox)?.domain() != Some(sender);
    if !from.envid.is_empty() && Envid::parse(&from.envid).is_none() {
        return Err(unfit("ENVID".to_owned()));
    }
    let reverse = ReversePathField::new(
        from.mailbox.clone(),
        from.body,
        from.smtputf8 == 1,
        from.ret,
        from.envid.clone(),
    );
    let mut forward = Vec::new();
    for path in &mail.forward_paths {
        if mailbox(&path.mailbox)?.domain() != Some(recipient) {
            return Err(unfit(format!("{} is not of {recipient}", path.mailbox)));
        }
        if !path.orcpt.is_empty() && Orcpt::parse(&path.orcpt).is_none() {
            return Err(unfit("ORCPT".to_owned()));
        }
        let path = ForwardPath::new(path.mailbox.clone(), path.notify, path.orcpt.clone());
        forward.push(path.map_err(|field| unfit(field.to_string()))?);
    }
    if forward.is_empty() {
        return Err(unfit("no forward-path".to_owned()));
    }
    let reverse = reverse.map_err(|field| unfit(field.to_string()))?;
    let mut prefix = Prefix::mail(sender.clone(), mail.now, delivery, reverse, forward);
    prefix.foreign_reverse_path = foreign;
    if prefix.lacks_smtputf8() {
        return Err(unfit("a path is not ASCII, without SMTPUTF8".to_owned()));
    }
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
    let key = match required(&mail.records, recipient, mail.now)?.decision {
        Decision::Seal { key, .. } => key,
        other => return Err(refusal(&other, recipient)),
    };
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
