//! One recipient domain of an outgoing transaction: sealed or clear, with a transaction of its own at the next hop.

use aws_lc_rs::digest;
use rand_core::CryptoRng;

use super::super::booking::{Answered, Entry};
use super::super::failure::Failure;
use super::super::hop::{Downstream, Mail};
use super::super::session::{Recipient, Sender};
use super::spool::Spool;
use crate::core::esmtp::{MailParameters, RcptParameters};
use crate::core::prefix::MAX_PREFIX;
use crate::core::smtp_envelope::{forward_path_field, reverse_path_field};
use crate::core::{
    DeliveryId, Domain, EnvelopeId, Prefix, SealTo, Sealer, SealingPublicKey, SigningKey,
    SmtpEnvelope, UnfitPath, envelope_len, sha256,
};
use crate::mail::carrier::{CarrierWriter, Token, carrier_len};
use crate::policy::Level;
use crate::records::VerifiedPolicy;
use crate::smtp::client;
use crate::smtp::{Protocol, Reply};

/// How a message travels to one recipient domain: whatever it looks like inside [R-car-08].
#[derive(Debug, Clone)]
pub(super) enum Course {
    /// In an envelope.
    Seal {
        /// The recipient domain.
        domain: Domain,
        /// The key it is sealed to.
        key: Box<SealingPublicKey>,
        /// What the decision rests on.
        evidence: Box<Evidence>,
    },
    /// As it is, for this reason.
    Clear(&'static str),
}

/// What a decision to seal rests on, for the audit trail.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// How authentic the key is.
    pub(super) level: Level,
    /// Where the policy comes from, and who has validated that.
    pub(super) source: &'static str,
    /// The policy that lists the key.
    pub(super) policy: Box<VerifiedPolicy>,
}

impl Course {
    /// The sender and parameters at the next hop, for these recipients [R-seal-04].
    pub(super) fn mail<'r>(
        &self,
        sender: &Sender,
        protocol: Protocol,
        mut recipients: impl Iterator<Item = &'r Recipient>,
    ) -> Mail {
        let given = &sender.parameters;
        let parameters = match self {
            Self::Clear(_) => given.clone(),
            Self::Seal { .. } => MailParameters {
                // The carrier is ASCII; its exact size is not known before all recipients are.
                size: None,
                body: None,
                envid: None,
                // What it says of the message is inside; outside, only addresses need it.
                smtputf8: !sender.path.is_ascii() || recipients.any(|r| !r.path.is_ascii()),
                ..given.clone()
            },
        };
        Mail { path: sender.path.clone(), parameters, origin: sender.origin(protocol) }
    }

    /// The recipient and parameters at the next hop [R-seal-04].
    pub(super) fn rcpt(&self, recipient: &Recipient) -> Recipient {
        match self {
            Self::Clear(_) => recipient.clone(),
            Self::Seal { .. } => Recipient {
                path: recipient.path.clone(),
                parameters: RcptParameters { orcpt: None, ..recipient.parameters.clone() },
            },
        }
    }
}

/// A recipient domain and its recipients.
pub(super) struct Destination {
    /// `None`: recipients without a domain.
    pub(super) domain: Option<Domain>,
    pub(super) course: Course,
    /// `None` once nothing is to be sent, or the transaction has failed.
    pub(super) downstream: Option<Downstream>,
    /// Where the carrier goes instead, if it is to be signed; the next hop waits before DATA meanwhile.
    pub(super) spool: Option<Spool>,
    /// Every recipient that was accepted at RCPT, as the client named it.
    pub(super) recipients: Vec<Recipient>,
    /// What became of each recipient so far.
    pub(super) answers: Vec<Option<Answered>>,
    /// The ledger's entry, while it is open.
    pub(super) entry: Option<Entry>,
    /// The envelope that was made, if it is sealed.
    pub(super) envelope: Option<EnvelopeId>,
    /// The token of its carrier.
    pub(super) token: Option<Token>,
    /// What the message was once it had passed to its end.
    pub(super) passed: Option<Passed>,
    /// Whether what became of each recipient is in the audit trail.
    pub(super) on_record: bool,
}

/// A message that has passed to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    /// Hash that a retry must repeat.
    pub(super) hash: [u8; 32],
    /// SHA-256 of the closing signature, if it was sealed.
    pub(super) closing: Option<[u8; 32]>,
    /// Octets of the message.
    pub(super) octets: u64,
}

impl Destination {
    pub(super) fn new(domain: Option<Domain>, course: Course, downstream: Downstream) -> Self {
        Self {
            domain,
            course,
            downstream: Some(downstream),
            spool: None,
            recipients: Vec::new(),
            answers: Vec::new(),
            entry: None,
            envelope: None,
            token: None,
            passed: None,
            on_record: false,
        }
    }

    /// Hash that a retry must repeat, once the message has passed to its end.
    pub(super) fn message_hash(&self) -> Option<[u8; 32]> {
        self.passed.map(|passed| passed.hash)
    }

    /// Places of the recipients whose outcome is open.
    pub(super) fn open(&self) -> Vec<usize> {
        (0..self.recipients.len()).filter(|&at| self.answers[at].is_none()).collect()
    }

    /// Whether every recipient has its outcome.
    pub(super) fn is_settled(&self) -> bool {
        self.answers.iter().all(Option::is_some)
    }

    /// Ends the transaction at the next hop before DATA.
    pub(super) async fn release(&mut self) {
        if let Some(downstream) = self.downstream.take() {
            downstream.abandon().await;
        }
    }

    /// Passes on octets of what is sent, if anything is.
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Reply> {
        match (&mut self.spool, &mut self.downstream) {
            (Some(spool), _) => spool.write(octets).await,
            (None, Some(downstream)) => downstream.write(octets).await,
            (None, None) => Ok(()),
        }
    }

    /// Gives every recipient this outcome, also those that an earlier attempt seemed to have settled.
    pub(super) fn forget(&mut self, reply: &Reply) {
        self.answers.fill(None);
        self.fail(reply);
    }

    /// Gives every recipient without an outcome this one. The connection to the next hop is closed without a final
    /// dot.
    pub(super) fn fail(&mut self, reply: &Reply) {
        self.downstream = None;
        self.spool = None;
        for answer in &mut self.answers {
            answer.get_or_insert_with(|| Answered::Reply(reply.clone()));
        }
    }

    /// Takes the next hop's outcomes for the recipients that are open, in their order.
    pub(super) fn settle(&mut self, outcomes: Vec<client::Outcome>) {
        let mut outcomes = outcomes.into_iter();
        for answer in &mut self.answers {
            answer.get_or_insert_with(|| outcomes.next().map_or(Answered::Unknown, Answered::from));
        }
    }
}

/// Who seals.
pub(super) struct Sealing<'a> {
    pub(super) sender_domain: &'a Domain,
    pub(super) foreign: bool,
    pub(super) sealed_at: u64,
    pub(super) delivery_id: DeliveryId,
    /// The next hop's limit on the size of a message.
    pub(super) limit: Option<u64>,
    /// Octets that DKIM puts before a carrier.
    pub(super) dkim: u64,
}

impl Sealing<'_> {
    /// The next hop's limit, less what DKIM puts before the carrier.
    fn carrier_limit(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.dkim))
    }
}

/// The stream of one message to one destination.
pub(super) enum Stream {
    /// As it is; hashed, for the comparison with a retry, and counted.
    Clear(digest::Context, u64),
    Sealed(Box<SealedStream>),
}

/// A message being sealed into a carrier.
pub(super) struct SealedStream {
    sealer: Sealer,
    carrier: CarrierWriter,
    token: Token,
    envelope: Vec<u8>,
    /// For the exact size of the carrier [R-car-03].
    size: SealedSize,
    taken: u64,
    /// As for a clear message: a retry may take the other course.
    hash: digest::Context,
}

/// The size of a carrier as a function of the length of the message.
#[derive(Debug, Clone)]
pub(super) struct SealedSize {
    suite: crate::core::Suite,
    sender: Domain,
    recipient: Domain,
    prefix: usize,
    /// The next hop's limit, without what DKIM puts before the carrier.
    limit: Option<u64>,
}

impl SealedSize {
    fn new(
        prefix: &Prefix,
        recipient: &Domain,
        key: &SealingPublicKey,
        sealing: &Sealing<'_>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            suite: key.suite(),
            sender: prefix.sender_domain.clone(),
            recipient: recipient.clone(),
            prefix: prefix.encoded_len().map_err(|_| Failure::TooManyRecipients)?,
            limit: sealing.carrier_limit(),
        })
    }

    /// Whether a message of so many octets is within the next hop's limit once sealed [R-seal-05].
    pub(super) fn fits(&self, message: u64) -> bool {
        self.limit.is_none_or(|limit| {
            let envelope = envelope_len(self.suite, &self.recipient, self.prefix, message);
            carrier_len(&self.sender, &self.recipient, envelope) <= limit
        })
    }
}

/// Whether the message, if it is as long as its sender declared, can be sent to these recipients within the next hop's limit
/// once it is sealed [R-seal-05].
pub(super) fn declared_size_fits(
    course: &Course,
    sender: &Sender,
    recipients: &[&Recipient],
    sealing: &Sealing<'_>,
) -> Result<(), Failure> {
    let (Course::Seal { domain, key, .. }, Some(declared), Some(_)) =
        (course, sender.parameters.size, sealing.limit)
    else {
        return Ok(());
    };
    let mut size = SealedSize {
        suite: key.suite(),
        sender: sealing.sender_domain.clone(),
        recipient: domain.clone(),
        prefix: MAX_PREFIX,
        limit: sealing.carrier_limit(),
    };
    // The exact length is only worth its work near the limit.
    if !size.fits(declared) {
        let prefix = prefix(sender, recipients, domain, sealing).map_err(|_| Failure::PathUnfit)?;
        size = SealedSize::new(&prefix, domain, key, sealing)?;
    }
    if size.fits(declared) { Ok(()) } else { Err(Failure::SealedTooLarge) }
}

/// What the envelope says about the message, less the id of the key that signs it.
fn prefix(
    sender: &Sender,
    recipients: &[&Recipient],
    recipient_domain: &Domain,
    sealing: &Sealing<'_>,
) -> Result<Prefix, UnfitPath> {
    let reverse = reverse_path_field(&sender.path, &sender.parameters)?;
    let forward: Vec<_> = recipients
        .iter()
        .map(|recipient| forward_path_field(recipient))
        .collect::<Result<_, _>>()?;
    SmtpEnvelope::to_seal(&reverse, &forward, recipient_domain)?;
    let (domain, id) = (sealing.sender_domain.clone(), sealing.delivery_id);
    let mut prefix = Prefix::mail(domain, sealing.sealed_at, id, reverse, forward);
    prefix.foreign_reverse_path = sealing.foreign;
    Ok(prefix)
}

impl Stream {
    /// Begins a message; what is to be sent first is appended to `out`.
    pub(super) fn begin(
        course: &Course,
        sender: &Sender,
        recipients: &[&Recipient],
        sealing: &Sealing<'_>,
        signing: &SigningKey,
        rng: &mut impl CryptoRng,
        out: &mut Vec<u8>,
    ) -> Result<Self, Failure> {
        let Course::Seal { domain, key, .. } = course else {
            return Ok(Self::Clear(digest::Context::new(&digest::SHA256), 0));
        };
        let prefix = prefix(sender, recipients, domain, sealing).map_err(|_| Failure::PathUnfit)?;
        let size = SealedSize::new(&prefix, domain, key, sealing)?;
        if !size.fits(sender.parameters.size.unwrap_or(0)) {
            return Err(Failure::SealedTooLarge);
        }
        let mut token = [0; 16];
        rng.fill_bytes(&mut token);
        let token = Token::new(token);
        let mut envelope = Vec::new();
        let to = SealTo { recipient_domain: domain, key };
        let sealer = Sealer::new(to, prefix, signing, rng, &mut envelope)
            .map_err(|_| Failure::PolicyUnusable(domain.clone()))?;
        let mut carrier =
            CarrierWriter::new(sealing.sender_domain, domain, token, sealing.sealed_at, out);
        carrier.write(&envelope, out);
        envelope.clear();
        let hash = digest::Context::new(&digest::SHA256);
        let sealed = SealedStream { sealer, carrier, token, envelope, size, taken: 0, hash };
        Ok(Self::Sealed(Box::new(sealed)))
    }

    /// The envelope's id, if there is one.
    pub(super) fn envelope_id(&self) -> Option<EnvelopeId> {
        match self {
            Self::Clear(..) => None,
            Self::Sealed(sealed) => Some(sealed.sealer.envelope_id()),
        }
    }

    /// The token of the carrier, if there is one.
    pub(super) fn token(&self) -> Option<Token> {
        match self {
            Self::Clear(..) => None,
            Self::Sealed(sealed) => Some(sealed.token),
        }
    }

    /// Takes the next octets of the message.
    pub(super) fn write(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let sealed = match self {
            Self::Clear(hash, taken) => {
                hash.update(content);
                *taken += content.len() as u64;
                out.extend_from_slice(content);
                return Ok(());
            }
            Self::Sealed(sealed) => sealed,
        };
        sealed.hash.update(content);
        sealed.taken += content.len() as u64;
        if !sealed.size.fits(sealed.taken) {
            return Err(Failure::SealedTooLarge);
        }
        sealed.sealer.write(content, &mut sealed.envelope).map_err(|_| Failure::TooLarge)?;
        sealed.carrier.write(&sealed.envelope, out);
        sealed.envelope.clear();
        Ok(())
    }

    /// Ends the message.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<Passed, Failure> {
        let (context, octets, closing) = match self {
            Self::Clear(hash, taken) => (hash, taken, None),
            Self::Sealed(mut sealed) => {
                let closed =
                    sealed.sealer.finish(&mut sealed.envelope).map_err(|_| Failure::TooLarge)?;
                sealed.carrier.write(&sealed.envelope, out);
                sealed.carrier.finish(out);
                (sealed.hash, sealed.taken, Some(sha256(&closed.closing_signature)))
            }
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Ok(Passed { hash, closing, octets })
    }
}
