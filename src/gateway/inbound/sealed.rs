//! Unsealing, check by check in the order of [R-uns-01].

use tracing::{Instrument, info, warn};

use super::envelope::{EnvelopeReader, unseal_failure};
use super::submission::{Submission, Verdict};
use super::{Inbound, Stop, Transaction};
use crate::core::address::ReversePath;
use crate::core::esmtp::MailParameters;
use crate::core::{
    ContentType, Decrypted, Opened, Parsed, Received, Step, UnsealError, Verified, VerifyingKey,
};
use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::gateway::session::{Answer, Recipient, Sender};
use crate::gateway::settlement::settle;
use crate::gateway::smtp_envelope::{mailbox_text, read_forward_path, read_reverse_path};
use crate::mail::notice::Action;
use crate::policy::{Level, SenderDecision, Source};
use crate::records::CLOCK_TOLERANCE;
use crate::smtp::client::Outcome;
use crate::smtp::{Protocol, Reply};
use crate::store::keyring::Find;
use crate::store::ledger::{Claim, Claimed, IncomingMessage, IncomingStatus};

/// How long a delivery is remembered after its envelope is too old anyway, in seconds.
const KEEP_MARGIN: u64 = 2 * CLOCK_TOLERANCE;

/// A verified envelope with everything its prefix says.
struct Genuine {
    verified: Verified,
    level: Level,
    sender: (ReversePath, MailParameters),
    signed: Vec<Recipient>,
    message: IncomingMessage,
    /// Until when the delivery must be remembered.
    keep_until: u64,
}

/// One recipient of the envelope that is delivered to, or was.
struct Slot {
    recipient: Recipient,
    name: String,
    reply: Option<Reply>,
    /// Accepted now, by a next hop that sends no notices.
    relayed: bool,
}

impl Inbound {
    pub(super) async fn unseal<B: Default>(
        &self,
        mut transaction: Transaction,
        mut reader: EnvelopeReader<'_>,
    ) -> Result<Answer<B>, Stop> {
        let genuine = self.verify(&mut reader).await?;
        let (mut slots, outer) = self.recipients(&genuine, &transaction.recipients);
        if slots.is_empty() {
            return Err(Failure::NotSignedRecipient.into());
        }
        self.recall_deliveries(&genuine, &mut slots).await?;
        let sender = Sender {
            path: genuine.sender.0.clone(),
            parameters: genuine.sender.1.clone(),
            ..transaction.sender.clone()
        };
        let (message, keep_until) = (genuine.message.clone(), genuine.keep_until);
        if slots.iter().any(|slot| slot.reply.is_none()) {
            let downstream = transaction.downstream.take().ok_or(Failure::NextHopLost)?;
            self.deliver(&sender, downstream, genuine, &mut slots, &mut reader).await?;
        } else {
            info!("replay or retry: nothing left to deliver");
            // The message is still read to its end, and refused if it does not hold.
            self.read_out(genuine.verified, &mut reader).await?;
        }
        let fates = self.fates(&slots, &outer, &transaction.recipients);
        for (recipient, reply) in &fates {
            info!(to = %recipient.path, reply = %reply, "sealed message");
        }
        let replies: Vec<Reply> = fates.iter().map(|(_, reply)| reply.clone()).collect();
        let relayed: Vec<(&Recipient, &Reply)> = slots
            .iter()
            .filter(|slot| slot.relayed)
            .filter_map(|slot| Some((&slot.recipient, slot.reply.as_ref()?)))
            .collect();
        // Delivered all the same if there is no room for the notice.
        self.notify(&sender, &message, keep_until, Action::Relayed, &relayed).await;
        if self.protocol == Protocol::Lmtp && !self.deliver_signed {
            return Ok(Answer { replies, booking: B::default() });
        }
        let settlement = settle(&replies, true);
        let mut reply = settlement.reply;
        let failed: Vec<(&Recipient, &Reply)> =
            settlement.failed.iter().map(|&n| (fates[n].0, &fates[n].1)).collect();
        if !failed.is_empty() && reader.connection.has_left().await {
            // It will send the message again, and the notice is due then.
            reply = Failure::Mixed.reply();
        } else if !failed.is_empty()
            && !self.notify(&sender, &message, keep_until, Action::Failed, &failed).await
        {
            reply = Failure::Ledger.reply();
        }
        let answers = match self.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => outer.len(),
        };
        Ok(Answer { replies: vec![reply; answers], booking: B::default() })
    }

    /// What the client is told about, and how it ended: the outer recipients, or all that are signed if they are delivered to
    /// whoever the outer ones are. With the signed parameters: hops have seen no ORCPT, and may have changed NOTIFY.
    fn fates<'a>(
        &self,
        slots: &'a [Slot],
        outer: &[Option<usize>],
        recipients: &'a [Recipient],
    ) -> Vec<(&'a Recipient, Reply)> {
        let fate = |slot: &'a Slot| {
            let reply = slot.reply.clone().unwrap_or_else(|| Failure::NextHopLost.reply());
            (&slot.recipient, reply)
        };
        if self.deliver_signed {
            return slots.iter().map(fate).collect();
        }
        let outer = outer.iter().zip(recipients);
        outer
            .map(|(at, recipient)| match at {
                Some(at) => fate(&slots[*at]),
                None => (recipient, Failure::NotSignedRecipient.reply()),
            })
            .collect()
    }

    /// Checks 2 to 10: everything up to the verified prefix, its reverse-path and its time.
    async fn verify(&self, reader: &mut EnvelopeReader<'_>) -> Result<Genuine, Stop> {
        let refuse = |error| {
            warn!(%error, "envelope refused");
            unseal_failure(&error)
        };
        let mut piece = Vec::new();
        let parsed = read_clear_part(reader, &mut piece).await?.map_err(refuse)?;
        let header = parsed.header();
        let envelope_id = parsed.envelope_id();
        info!(envelope = %envelope_id, domain = %header.recipient_domain, suite = header.suite.id().0, "carrier recognised");
        let local =
            self.shared.domains.get(&header.recipient_domain).ok_or(Failure::CarrierForeign)?;
        let key = match local.keyring.find(&header.key_id) {
            Find::Found(key) => key,
            Find::Destroyed => return Err(Failure::DestroyedKey.into()),
            Find::Unknown => return Err(Failure::UnknownKey.into()),
        };
        let window = local.policy.record().window;
        let opened = parsed.open(key).map_err(refuse)?;
        let decrypted = read_prefix(opened, reader, &mut piece).await?.map_err(refuse)?;
        let (signing, level) = self.signing_key(&decrypted).await?;
        let verified = decrypted.verify(&signing).map_err(refuse)?;
        let prefix = verified.prefix();
        if prefix.content_type != ContentType::Mail {
            return Err(Failure::CarrierUnsupported.into());
        }
        let malformed = |error| {
            warn!(%error, "signed prefix refused");
            Failure::CarrierMalformed
        };
        let sender = read_reverse_path(&prefix.reverse_path).map_err(malformed)?;
        let own = sender.0.is_null() || sender.0.domain() == Some(&prefix.sender_domain);
        if !own && !prefix.foreign_reverse_path {
            return Err(Failure::SenderPath.into());
        }
        let now = self.shared.clock.now();
        if prefix.sealed_at > now.saturating_add(CLOCK_TOLERANCE) {
            return Err(Failure::InFuture.into());
        }
        if now > prefix.sealed_at.saturating_add(window) {
            return Err(Failure::TooOld.into());
        }
        let signed: Result<Vec<Recipient>, _> =
            prefix.forward_paths.iter().map(read_forward_path).collect();
        let signed = signed.map_err(malformed)?;
        let recipient_domain = &verified.header().recipient_domain;
        if signed.iter().any(|recipient| recipient.path.domain() != Some(recipient_domain)) {
            // [R-con-02]
            return Err(Failure::CarrierMalformed.into());
        }
        let message = IncomingMessage {
            envelope_id,
            sender_domain: prefix.sender_domain.clone(),
            delivery_id: prefix.delivery_id,
        };
        let keep_until = prefix.sealed_at.saturating_add(window).saturating_add(KEEP_MARGIN);
        info!(envelope = %envelope_id, sender = %prefix.sender_domain, level = level.as_str(), "prefix verified");
        Ok(Genuine { verified, level, sender, signed, message, keep_until })
    }

    /// Check 7: the policy of the sender domain lists the signing key that the prefix names.
    async fn signing_key(&self, decrypted: &Decrypted) -> Result<(VerifyingKey, Level), Stop> {
        let domain = decrypted.sender_domain();
        let local = self.shared.config.sender(domain);
        let verdict = self.shared.discovery.sender(domain, &local).await.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        match verdict.decision {
            SenderDecision::Verify { keys, level, source, .. } => {
                let wanted = decrypted.signing_key_id();
                match (keys.into_iter().find(|key| key.key_id() == wanted), source) {
                    (Some(key), _) => Ok((key, level)),
                    (None, Source::Dns) => {
                        warn!(%domain, "signing key is not in the sender's policy");
                        Err(Failure::Unauthentic.into())
                    }
                    // The key may be newer than what is remembered.
                    (None, Source::Memory) => Err(Failure::SenderUnknown.into()),
                }
            }
            SenderDecision::Defer(why) => {
                warn!(%domain, why = %why, "sender cannot be verified now");
                Err(Failure::SenderUnknown.into())
            }
            SenderDecision::Refuse(why) => {
                warn!(%domain, why = %why, "sender cannot be verified");
                Err(Failure::Unauthentic.into())
            }
        }
    }

    /// The recipients to deliver to in the signed spelling, and for each outer recipient its place among them
    /// [R-uns-03].
    fn recipients(
        &self,
        genuine: &Genuine,
        outer: &[Recipient],
    ) -> (Vec<Slot>, Vec<Option<usize>>) {
        let mut slots: Vec<Slot> = Vec::new();
        let mut slot_of = |recipient: &Recipient| {
            let name = mailbox_text(&recipient.path);
            slots.iter().position(|slot| slot.name == name).unwrap_or_else(|| {
                slots.push(Slot {
                    recipient: recipient.clone(),
                    name,
                    reply: None,
                    relayed: false,
                });
                slots.len() - 1
            })
        };
        if self.deliver_signed {
            let first = genuine.signed.iter().map(&mut slot_of).next();
            genuine.signed.iter().for_each(|recipient| {
                slot_of(recipient);
            });
            let outer = outer
                .iter()
                .map(|o| {
                    let same = genuine.signed.iter().find(|s| s.path == o.path);
                    same.map(&mut slot_of).or(first)
                })
                .collect();
            return (slots, outer);
        }
        let outer = outer
            .iter()
            .map(|o| genuine.signed.iter().find(|s| s.path == o.path).map(&mut slot_of))
            .collect();
        (slots, outer)
    }

    /// Check 11: who has it already.
    async fn recall_deliveries(&self, genuine: &Genuine, slots: &mut [Slot]) -> Result<(), Stop> {
        let names: Vec<String> = slots.iter().map(|slot| slot.name.clone()).collect();
        let now = self.shared.clock.now();
        let known = self.shared.ledger.incoming_status(&genuine.message, &names, now).await;
        let known = known.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        for (slot, status) in slots.iter_mut().zip(known) {
            slot.reply = match status {
                IncomingStatus::New => None,
                IncomingStatus::Delivered => Some(Reply::new(250, (2, 0, 0), "delivered before")),
                IncomingStatus::InProgress => Some(Failure::InProgress.reply()),
            };
        }
        Ok(())
    }

    /// Checks 13 to 17 for the recipients that are open.
    async fn deliver(
        &self,
        sender: &Sender,
        mut downstream: Downstream,
        genuine: Genuine,
        slots: &mut [Slot],
        reader: &mut EnvelopeReader<'_>,
    ) -> Result<(), Stop> {
        let Genuine { verified, level, sender: (path, parameters), message, keep_until, .. } =
            genuine;
        let mut open: Vec<usize> = (0..slots.len()).filter(|&n| slots[n].reply.is_none()).collect();
        let recipients = open.iter().map(|&n| slots[n].recipient.clone()).collect();
        let replies = match downstream.become_one(path, parameters, recipients).await {
            Ok(replies) => replies,
            Err(reply) => {
                open.iter().for_each(|&n| slots[n].reply = Some(reply.clone()));
                return Ok(());
            }
        };
        for (&n, reply) in open.iter().zip(replies) {
            if !reply.is_positive() {
                slots[n].reply = Some(reply);
            }
        }
        open.retain(|&n| slots[n].reply.is_none());
        if open.is_empty() {
            downstream.abandon().await;
            return Ok(());
        }
        let verdict = Verdict::Pass {
            sender: message.sender_domain.clone(),
            suite: verified.header().suite,
            level,
            // Nor does a null reverse-path say that the sender domain wrote the message.
            foreign: verified.prefix().foreign_reverse_path || sender.path.is_null(),
        };
        let submission = Submission::new(self, sender, verdict, downstream);
        let downstream = match self.pass_on(submission, verified, reader).await? {
            Ok(downstream) => downstream,
            Err(reply) => {
                open.iter().for_each(|&n| slots[n].reply = Some(reply.clone()));
                return Ok(());
            }
        };
        let claims = self.claim(&message, &open, slots).await?;
        let silent = !downstream.reports();
        // Waits on its own, also if this task is ended.
        let outcomes = match tokio::spawn(downstream.finish().in_current_span()).await {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(reply)) => vec![Outcome::Reply(reply); open.len()],
            Err(_) => vec![Outcome::Unknown; open.len()],
        };
        self.settle_claims(&open, slots, claims, outcomes, keep_until).await;
        for n in open {
            slots[n].relayed = silent && slots[n].reply.as_ref().is_some_and(Reply::is_positive);
        }
        Ok(())
    }

    /// Checks 14 and 15. The inner error is the next hop's refusal, which is for the recipients that are open and for no
    /// others; the message is then verified all the same.
    async fn pass_on(
        &self,
        mut submission: Submission<'_>,
        mut verified: Verified,
        reader: &mut EnvelopeReader<'_>,
    ) -> Result<Result<Downstream, Reply>, Stop> {
        let (mut piece, mut plain) = (Vec::new(), Vec::new());
        // What came along with the prefix.
        verified.push(&[], &mut plain).map_err(|error| broken(&error))?;
        loop {
            if let Some(reply) = refusal(submission.push(&plain).await)? {
                drop(submission);
                self.read_out(verified, reader).await?;
                return Ok(Err(reply));
            }
            plain.clear();
            if !reader.next(&mut piece).await? {
                break;
            }
            verified.push(&piece, &mut plain).map_err(|error| broken(&error))?;
        }
        verified.finish(&mut plain).map_err(|error| broken(&error))?;
        if let Some(reply) = refusal(submission.push(&plain).await)? {
            return Ok(Err(reply));
        }
        match submission.complete().await {
            Ok(downstream) => Ok(Ok(downstream)),
            Err(Stop::Pass(reply)) => Ok(Err(reply)),
            Err(stop) => Err(stop),
        }
    }

    /// Check 16: all open recipients, or none [R-uns-04]. If another transaction was faster, this one gives way before its final dot.
    async fn claim(
        &self,
        message: &IncomingMessage,
        open: &[usize],
        slots: &[Slot],
    ) -> Result<Vec<Claim>, Stop> {
        let names: Vec<String> = open.iter().map(|&n| slots[n].name.clone()).collect();
        let now = self.shared.clock.now();
        let answers = self.shared.ledger.claim(message, &names, now).await.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        let claims: Vec<Claim> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                Claimed::Claimed(claim) => Some(claim),
                Claimed::Delivered | Claimed::InProgress => None,
            })
            .collect();
        if claims.len() == open.len() {
            return Ok(claims);
        }
        self.release(&claims).await;
        Err(Failure::InProgress.into())
    }

    /// Check 17: what the next hop answered, made durable before the client hears of it.
    async fn settle_claims(
        &self,
        open: &[usize],
        slots: &mut [Slot],
        claims: Vec<Claim>,
        outcomes: Vec<Outcome>,
        keep_until: u64,
    ) {
        let mut outcomes = outcomes.into_iter();
        let (mut delivered, mut free) = (Vec::new(), Vec::new());
        let mut accepted = Vec::new();
        for (&n, claim) in open.iter().zip(claims) {
            let outcome = outcomes.next().unwrap_or(Outcome::Unknown);
            let reply = match outcome {
                Outcome::Reply(reply) => reply,
                Outcome::Unknown => Failure::NextHopLost.reply(),
            };
            if reply.is_positive() {
                delivered.push(claim);
                accepted.push(n);
            } else {
                free.push(claim);
            }
            slots[n].reply = Some(reply);
        }
        let recorded = self.shared.ledger.delivered(&delivered, keep_until).await;
        self.release(&free).await;
        if let Err(error) = recorded {
            warn!(%error, "delivery could not be recorded");
            for n in accepted {
                slots[n].reply = Some(Failure::Ledger.reply());
            }
        }
    }

    pub(super) async fn release(&self, claims: &[Claim]) {
        if !claims.is_empty()
            && let Err(error) = self.shared.ledger.release(claims).await
        {
            warn!(%error, "claims could not be released");
        }
    }

    /// Reads and verifies a message that is not delivered again.
    async fn read_out(
        &self,
        mut verified: Verified,
        reader: &mut EnvelopeReader<'_>,
    ) -> Result<(), Stop> {
        let (mut piece, mut plain) = (Vec::new(), Vec::new());
        while reader.next(&mut piece).await? {
            plain.clear();
            verified.push(&piece, &mut plain).map_err(|error| broken(&error))?;
        }
        verified.finish(&mut plain).map_err(|error| broken(&error))?;
        Ok(())
    }
}

fn broken(error: &UnsealError) -> Failure {
    warn!(%error, "envelope refused");
    unseal_failure(error)
}

/// The next hop's refusal, if it is one.
fn refusal(result: Result<(), Stop>) -> Result<Option<Reply>, Stop> {
    match result {
        Ok(()) => Ok(None),
        Err(Stop::Pass(reply)) => Ok(Some(reply)),
        Err(stop) => Err(stop),
    }
}

/// Reads until the clear part of the envelope is complete.
async fn read_clear_part(
    reader: &mut EnvelopeReader<'_>,
    piece: &mut Vec<u8>,
) -> Result<Result<Parsed, UnsealError>, Stop> {
    let mut received = Received::new();
    while reader.next(piece).await? {
        match received.push(piece) {
            Ok(Step::More(more)) => received = more,
            Ok(Step::Done(parsed)) => return Ok(Ok(parsed)),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Err(received.ended()))
}

/// Reads until prefix and opening signature are decrypted.
async fn read_prefix(
    mut opened: Opened,
    reader: &mut EnvelopeReader<'_>,
    piece: &mut Vec<u8>,
) -> Result<Result<Decrypted, UnsealError>, Stop> {
    // First what came along with the clear part.
    piece.clear();
    loop {
        match opened.push(piece) {
            Ok(Step::More(more)) => opened = more,
            Ok(Step::Done(decrypted)) => return Ok(Ok(decrypted)),
            Err(error) => return Ok(Err(error)),
        }
        if !reader.next(piece).await? {
            return Ok(opened.end());
        }
    }
}
