//! Delivering what was verified: checks 11 to 17 of [R-uns-01].

use tracing::{Instrument, info, warn};

use super::envelope::EnvelopeReader;
use super::mailboxes::delivered_to;
use super::notices::notice_of;
use super::submission::{Submission, Verdict};
use super::verification::{Genuine, broken};
use super::{Inbound, Stop, Transaction};
use crate::core::smtp_envelope::mailbox_text;
use crate::core::{DeliveryId, Domain, KeyId, Verified};
use crate::gateway::audit::Story;
use crate::gateway::booking::Answered;
use crate::gateway::failure::Failure;
use crate::gateway::hop::{Downstream, Mail};
use crate::gateway::session::{Answer, Recipient, Sender};
use crate::gateway::settlement::settle;
use crate::mail::notice::Action;
use crate::policy::Level;
use crate::smtp::client::Outcome;
use crate::smtp::{Protocol, Reply};
use crate::store::ledger::{Claim, Claimed, EventKind, IncomingMessage, IncomingStatus, Scope};

/// What the audit trail is told of a verified message, whoever it is for.
struct Tale {
    domain: Domain,
    delivery: DeliveryId,
    suite: u16,
    level: Level,
    sealed_at: u64,
    signer: KeyId,
}

impl Tale {
    fn of(genuine: &Genuine) -> Self {
        let prefix = genuine.verified.prefix();
        Self {
            domain: prefix.sender_domain.clone(),
            delivery: prefix.delivery_id,
            suite: genuine.verified.header().suite.id().0,
            level: genuine.level,
            sealed_at: prefix.sealed_at,
            signer: prefix.signing_key_id,
        }
    }

    /// With what is known of the message by now.
    fn story(&self, sender: &Sender) -> Story {
        let kind = EventKind::Unsealed;
        Story::new(Scope::Incoming, sender, Some(&self.domain), kind).saying(|detail| {
            detail
                .with("delivery", self.delivery.to_string())
                .with("signer", self.signer.to_string())
                .with("suite", self.suite)
                .with("level", self.level.as_str())
                .with("sealed_at", self.sealed_at)
        })
    }
}

/// One recipient of the envelope that is delivered to, or was.
struct Slot {
    recipient: Recipient,
    name: String,
    reply: Option<Reply>,
    /// Accepted now, by a next hop that sends no notices.
    relayed: bool,
    /// Who had it before this transaction, or was told of.
    before: bool,
    /// Whether the audit trail has what became of it.
    on_record: bool,
}

impl Inbound {
    pub(super) async fn unseal<B: Default>(
        &self,
        mut transaction: Transaction,
        reader: &mut EnvelopeReader<'_>,
    ) -> Result<Answer<B>, Stop> {
        let genuine = self.verify(reader, &transaction.sender.names).await?;
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
        let tale = Tale::of(&genuine);
        if slots.iter().any(|slot| slot.reply.is_none()) {
            let downstream = transaction.downstream.take().ok_or(Failure::NextHopLost)?;
            self.deliver(&sender, downstream, genuine, &tale, &mut slots, reader).await?;
        } else {
            info!("replay or retry: nothing left to deliver");
            // The message is still read to its end, and refused if it does not hold.
            self.read_out(genuine.verified, reader).await?;
        }
        // If the next hop has refused them all, before anybody is told.
        reader.judge_carrier().await?;
        let fates = self.fates(&slots, &outer, &transaction.recipients);
        self.put_on_record(&tale.story(&sender), &slots, &outer, &transaction.recipients);
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
                    before: false,
                    on_record: false,
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

    /// Check 11: who has it already, and who was reported to the sender as refused, which stays true [R-uns-10].
    async fn recall_deliveries(&self, genuine: &Genuine, slots: &mut [Slot]) -> Result<(), Stop> {
        let names: Vec<String> = slots.iter().map(|slot| slot.name.clone()).collect();
        let now = self.shared.clock.now();
        let known = self.shared.ledger.incoming_status(&genuine.message, &names, now).await;
        let known = known.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        let notices: Vec<String> =
            slots.iter().map(|slot| notice_of(&slot.recipient, Action::Failed)).collect();
        let told = self.shared.ledger.incoming_status(&genuine.message, &notices, now).await;
        let told = told.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        for ((slot, status), told) in slots.iter_mut().zip(known).zip(told) {
            slot.reply = match status {
                IncomingStatus::New if told == IncomingStatus::Delivered => {
                    Some(Reply::new(250, (2, 0, 0), "refused and reported before"))
                }
                IncomingStatus::New => None,
                IncomingStatus::Delivered => Some(Reply::new(250, (2, 0, 0), "delivered before")),
                IncomingStatus::InProgress => Some(Failure::InProgress.reply()),
            };
            slot.before = slot.reply.as_ref().is_some_and(Reply::is_positive);
        }
        Ok(())
    }

    /// Checks 13 to 17 for the recipients that are open.
    async fn deliver(
        &self,
        sender: &Sender,
        mut downstream: Downstream,
        genuine: Genuine,
        tale: &Tale,
        slots: &mut [Slot],
        reader: &mut EnvelopeReader<'_>,
    ) -> Result<(), Stop> {
        let reverse_path = genuine.reverse_path_of();
        let Genuine { verified, level, sender: (path, parameters), message, keep_until, .. } =
            genuine;
        let mut open: Vec<usize> = (0..slots.len()).filter(|&n| slots[n].reply.is_none()).collect();
        let recipients = open.iter().map(|&n| delivered_to(&slots[n].recipient)).collect();
        let mail = Mail { path, parameters, origin: downstream.mail().origin.clone() };
        let replies = match downstream.become_one(mail, recipients).await {
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
            reverse_path,
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
        let story = tale.story(sender);
        self.settle_claims(&open, slots, (claims, outcomes), keep_until, &story).await;
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
        let mut read = verified.push(&[], &mut plain);
        loop {
            // Octets come out with an error too, and are judged before it [R-uns-01].
            let pushed = refusal(submission.push(&plain).await)?;
            read.map_err(|error| broken(&error))?;
            if let Some(reply) = pushed {
                drop(submission);
                self.read_out(verified, reader).await?;
                return Ok(Err(reply));
            }
            plain.clear();
            if !reader.next(&mut piece).await? {
                break;
            }
            read = verified.push(&piece, &mut plain);
        }
        let finished = verified.finish(&mut plain);
        let pushed = refusal(submission.push(&plain).await)?;
        finished.map_err(|error| broken(&error))?;
        if let Some(reply) = pushed {
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
        (claims, outcomes): (Vec<Claim>, Vec<Outcome>),
        keep_until: u64,
        story: &Story,
    ) {
        let now = self.shared.clock.now();
        let mut events = Vec::new();
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
                events.push(story.told(&slots[n].name, &Answered::Reply(reply.clone()), now));
                delivered.push(claim);
                accepted.push(n);
            } else {
                free.push(claim);
            }
            slots[n].reply = Some(reply);
        }
        let recorded = self.shared.ledger.delivered(&delivered, keep_until, &events).await;
        self.release(&free).await;
        if let Err(error) = &recorded {
            warn!(%error, "delivery could not be recorded");
        }
        for n in accepted {
            match recorded {
                Ok(()) => slots[n].on_record = true,
                Err(_) => slots[n].reply = Some(Failure::Ledger.reply()),
            }
        }
    }

    /// Tells the audit trail of those to whom nothing was delivered now.
    fn put_on_record(
        &self,
        story: &Story,
        slots: &[Slot],
        outer: &[Option<usize>],
        recipients: &[Recipient],
    ) {
        let (attempts, now) = (&self.shared.attempts, self.shared.clock.now());
        for slot in slots.iter().filter(|slot| !slot.on_record) {
            let reply = slot.reply.clone().unwrap_or_else(|| Failure::NextHopLost.reply());
            attempts.record(if slot.before {
                story.before(&slot.name, now)
            } else {
                story.told(&slot.name, &Answered::Reply(reply), now)
            });
        }
        for (_, recipient) in outer.iter().zip(recipients).filter(|(at, _)| at.is_none()) {
            let reply = Answered::Reply(Failure::NotSignedRecipient.reply());
            attempts.record(story.told(&mailbox_text(&recipient.path), &reply, now));
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

/// The next hop's refusal, if it is one.
fn refusal(result: Result<(), Stop>) -> Result<Option<Reply>, Stop> {
    match result {
        Ok(()) => Ok(None),
        Err(Stop::Pass(reply)) => Ok(Some(reply)),
        Err(stop) => Err(stop),
    }
}
