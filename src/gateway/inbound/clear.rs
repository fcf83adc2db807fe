//! Ordinary mail: it passes, unless its domain must seal [R-uns-07].

use tracing::{info, warn};

use super::submission::{Submission, Verdict};
use super::{Inbound, Stop, Transaction};
use crate::core::address::ForwardPath;
use crate::core::{DeliveryId, Domain};
use crate::gateway::config::ClearMail;
use crate::gateway::failure::Failure;
use crate::gateway::ids::retry_key;
use crate::gateway::session::{Answer, Recipient};
use crate::gateway::settlement::settle;
use crate::gateway::smtp_envelope::mailbox_text;
use crate::gateway::system_rng;
use crate::mail::address;
use crate::mail::header::Header;
use crate::smtp::client::Outcome as Delivery;
use crate::smtp::server::{DataChunk, DataEnd, ServerConnection};
use crate::smtp::{Protocol, Reply};
use crate::store::ledger::{FinalOutcome, FinalReply, Outcome, Outgoing, Upstream};

/// What the ledger was told of a clear message with several recipients.
pub(in crate::gateway) struct ClearBooking {
    outgoing: Outgoing,
    outcomes: Vec<(String, Outcome)>,
}

impl Inbound {
    /// Passes a message on that is no carrier. `held` is what was read of it.
    pub(super) async fn pass_clear(
        &self,
        mut transaction: Transaction,
        connection: &mut ServerConnection,
        held: Vec<u8>,
        end: Option<DataEnd>,
    ) -> Result<Answer<Option<ClearBooking>>, Stop> {
        let (header, _) = Header::split(&held);
        if let Some(domain) = self.must_seal(&transaction, &header) {
            return Err(Failure::SealDemanded(domain).into());
        }
        let mut downstream = transaction.downstream.take().ok_or(Failure::NextHopLost)?;
        let mut replies: Vec<Option<Reply>> = vec![None; transaction.recipients.len()];
        let booking = self.book_clear(&transaction, &header, &mut replies).await?;
        let open: Vec<usize> = (0..replies.len()).filter(|&n| replies[n].is_none()).collect();
        if open.len() < replies.len() && !open.is_empty() {
            let again = open.iter().map(|&n| transaction.recipients[n].clone()).collect();
            let (path, parameters) = downstream.sender().clone();
            let answers =
                downstream.become_one(path, parameters, again).await.map_err(Stop::Pass)?;
            for (&n, reply) in open.iter().zip(answers) {
                if !reply.is_positive() {
                    replies[n] = Some(reply);
                }
            }
        }
        let open: Vec<usize> = (0..replies.len()).filter(|&n| replies[n].is_none()).collect();
        if open.is_empty() {
            downstream.abandon().await;
            if end.is_none()
                && let Some(failure) = Failure::of_end(connection.discard_data().await?)
            {
                return Err(failure.into());
            }
        } else {
            let mut submission =
                Submission::new(self, &transaction.sender, Verdict::None, downstream);
            submission.push(&held).await?;
            drop(held);
            let mut ended = end;
            while ended.is_none() {
                match connection.read_data().await? {
                    DataChunk::Content(content) => submission.push(&content).await?,
                    DataChunk::End(end) => ended = Some(end),
                }
            }
            if let Some(failure) = ended.and_then(Failure::of_end) {
                return Err(failure.into());
            }
            let downstream = submission.complete().await?;
            let outcomes = match tokio::spawn(downstream.finish()).await {
                Ok(outcomes) => outcomes.map_err(Stop::Pass)?,
                Err(_) => Vec::new(),
            };
            let mut outcomes = outcomes.into_iter();
            for n in open {
                replies[n] = Some(match outcomes.next() {
                    Some(Delivery::Reply(reply)) => reply,
                    Some(Delivery::Unknown) | None => Failure::NextHopLost.reply(),
                });
            }
        }
        let lost = Failure::NextHopLost.reply();
        let replies: Vec<Reply> =
            replies.into_iter().map(|reply| reply.unwrap_or_else(|| lost.clone())).collect();
        for (recipient, reply) in transaction.recipients.iter().zip(&replies) {
            info!(trace = %transaction.sender.trace, from = %transaction.sender.path, to = %recipient.path, reply = %reply, "clear message");
        }
        self.answer_clear(&transaction, booking, replies, connection.has_left().await).await
    }

    /// The domain whose clear mail is refused, if this message claims to be from one. A partner whose sealing is
    /// broken must be able to say so to the postmaster.
    fn must_seal(&self, transaction: &Transaction, header: &Header) -> Option<Domain> {
        if transaction.recipients.iter().all(|recipient| is_contact(&recipient.path)) {
            return None;
        }
        let path = transaction.sender.path.domain().cloned();
        let mut claimed: Vec<Domain> = path.into_iter().collect();
        claimed.extend(address::claimed_domains(header));
        let config = &self.shared.config;
        if claimed.is_empty() && config.defaults.inbound == ClearMail::RequireSealed {
            // From nobody in particular; the name only stands in the reply.
            let hello = Domain::parse(&transaction.sender.peer.hello);
            return Some(hello.unwrap_or_else(|_| config.hostname.clone()));
        }
        claimed
            .into_iter()
            .find(|domain| config.treatment(domain).inbound == ClearMail::RequireSealed)
    }

    /// Differing outcomes can only come of LMTP behind and SMTP before us. What was accepted is then not sent again.
    async fn book_clear(
        &self,
        transaction: &Transaction,
        header: &Header,
        replies: &mut [Option<Reply>],
    ) -> Result<Option<Outgoing>, Stop> {
        let differ = self.protocol == Protocol::Smtp && self.hop.protocol() == Protocol::Lmtp;
        if !differ || transaction.recipients.len() < 2 {
            return Ok(None);
        }
        let domain = transaction.recipients.iter().find_map(|recipient| recipient.path.domain());
        let key = retry_key(&transaction.sender.path, domain, header.raw());
        let names = names(&transaction.recipients);
        let fresh = DeliveryId::random(&mut system_rng());
        let now = self.shared.clock.now();
        let outgoing = self.shared.ledger.begin_outgoing(key, &names, fresh, now).await;
        let outgoing = outgoing.map_err(|error| {
            warn!(trace = %transaction.sender.trace, %error, "ledger unavailable");
            Failure::Ledger
        })?;
        for (name, outcome) in &outgoing.already {
            let reply = match outcome {
                FinalOutcome::Accepted => Reply::new(250, (2, 0, 0), "delivered before"),
                FinalOutcome::Permanent(reply) => {
                    Reply::new(reply.code, (5, 0, 0), reply.text.replace('\n', " / "))
                }
            };
            for (at, own) in names.iter().enumerate() {
                if own == name {
                    replies[at] = Some(reply.clone());
                }
            }
        }
        Ok(Some(outgoing))
    }

    async fn answer_clear(
        &self,
        transaction: &Transaction,
        booking: Option<Outgoing>,
        replies: Vec<Reply>,
        left: bool,
    ) -> Result<Answer<Option<ClearBooking>>, Stop> {
        if self.protocol == Protocol::Lmtp {
            return Ok(Answer { replies, booking: None });
        }
        let reply = settle(&replies, false).reply;
        let Some(outgoing) = booking else {
            return Ok(Answer { replies: vec![reply], booking: None });
        };
        // A client that has left will send the message again.
        let deferred = left || reply.is_transient();
        let upstream = if deferred { Upstream::Deferred } else { Upstream::Told };
        let mut outcomes: Vec<(String, Outcome)> = Vec::new();
        for (name, reply) in names(&transaction.recipients).into_iter().zip(&replies) {
            if outgoing.send.contains(&name) && !outcomes.iter().any(|(n, _)| *n == name) {
                outcomes.push((name, outcome(reply)));
            }
        }
        let now = self.shared.clock.now();
        let ledger = &self.shared.ledger;
        if let Err(error) = ledger.finish_outgoing(&outgoing, &outcomes, None, upstream, now).await
        {
            warn!(trace = %transaction.sender.trace, %error, "outcome could not be recorded");
            return Err(Failure::Ledger.into());
        }
        Ok(Answer { replies: vec![reply], booking: Some(ClearBooking { outgoing, outcomes }) })
    }

    pub(super) async fn take_back_clear(&self, booking: ClearBooking) {
        let ClearBooking { outgoing, outcomes } = booking;
        let now = self.shared.clock.now();
        let ledger = &self.shared.ledger;
        let result =
            ledger.finish_outgoing(&outgoing, &outcomes, None, Upstream::Deferred, now).await;
        if let Err(error) = result {
            warn!(%error, "an answer that was not delivered could not be taken back");
        }
    }
}

/// Whether mail to this recipient is for those who run the mail (RFC 2142 sections 3 and 4).
fn is_contact(path: &ForwardPath) -> bool {
    path.mailbox().is_none_or(|mailbox| {
        let local = mailbox.local_part();
        ["postmaster", "abuse"].iter().any(|name| local.eq_ignore_ascii_case(name))
    })
}

fn names(recipients: &[Recipient]) -> Vec<String> {
    recipients.iter().map(|recipient| mailbox_text(&recipient.path)).collect()
}

fn outcome(reply: &Reply) -> Outcome {
    if reply.is_positive() {
        Outcome::Accepted
    } else if reply.is_permanent() {
        let text = reply.lines().collect::<Vec<_>>().join("\n");
        Outcome::Permanent(FinalReply { code: reply.code(), text })
    } else {
        Outcome::Temporary
    }
}
