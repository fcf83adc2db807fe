//! Ordinary mail: it passes, unless its domain must seal [R-uns-07].

use tracing::info;

use super::submission::{Submission, Verdict};
use super::{Inbound, Stop, Transaction};
use crate::core::Domain;
use crate::core::address::ForwardPath;
use crate::gateway::booking::{Answered, Booked, Entry};
use crate::gateway::config::ClearMail;
use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::gateway::session::Answer;
use crate::gateway::settlement::settle;
use crate::mail::address;
use crate::mail::header::Header;
use crate::smtp::server::{DataChunk, DataEnd, ServerConnection};
use crate::smtp::{Protocol, Reply};
use crate::store::ledger::Upstream;

impl Inbound {
    /// Passes a message on that is no carrier. `held` is what was read of it.
    pub(super) async fn pass_clear(
        &self,
        mut transaction: Transaction,
        connection: &mut ServerConnection,
        held: Vec<u8>,
        end: Option<DataEnd>,
    ) -> Result<Answer<Option<Booked>>, Stop> {
        let (header, _) = Header::split(&held);
        if let Some(domain) = self.must_seal(&transaction, &header) {
            return Err(Failure::SealDemanded(domain).into());
        }
        let downstream = transaction.downstream.take().ok_or(Failure::NextHopLost)?;
        let mut answers = vec![None; transaction.recipients.len()];
        let mut entry = None;
        if self.may_differ(&transaction) {
            let Transaction { sender, recipients, .. } = &transaction;
            let domain = recipients.iter().find_map(|recipient| recipient.path.domain());
            let (begun, settled) =
                Entry::begin(&self.shared, sender, domain, header.raw(), recipients).await?;
            (entry, answers) = (Some(begun), settled);
        }
        let sender = &transaction.sender;
        let sent = self.send(&transaction, connection, downstream, held, end, &mut answers).await;
        let replies: Vec<Reply> = answers
            .iter()
            .map(|answer| {
                answer.as_ref().map_or_else(|| Failure::NextHopLost.reply(), Answered::reply)
            })
            .collect();
        let reply = settle(&replies, false).reply;
        let mut booking = None;
        if let Some(entry) = entry {
            // A client that has left will send the message again.
            let told = sent.is_ok() && !reply.is_transient() && !connection.has_left().await;
            let upstream = if told { Upstream::Told } else { Upstream::Deferred };
            if sent.is_err() {
                let unsent = || Answered::Reply(Failure::NextHopLost.reply());
                answers.iter_mut().for_each(|answer| {
                    answer.get_or_insert_with(unsent);
                });
            }
            booking = entry.finish(&self.shared, sender, &answers, None, upstream).await;
            if booking.is_none() {
                return Err(Failure::Ledger.into());
            }
        }
        sent?;
        for (recipient, reply) in transaction.recipients.iter().zip(&replies) {
            info!(trace = %sender.trace, from = %sender.path, to = %recipient.path, reply = %reply, "clear message");
        }
        let replies = if self.protocol == Protocol::Lmtp { replies } else { vec![reply] };
        Ok(Answer { replies, booking })
    }

    /// Sends the message to the recipients without an answer, and takes their answers.
    async fn send(
        &self,
        transaction: &Transaction,
        connection: &mut ServerConnection,
        mut downstream: Downstream,
        held: Vec<u8>,
        end: Option<DataEnd>,
        answers: &mut [Option<Answered>],
    ) -> Result<(), Stop> {
        let open = |answers: &[Option<Answered>]| -> Vec<usize> {
            (0..answers.len()).filter(|&n| answers[n].is_none()).collect()
        };
        let waiting = open(answers);
        if waiting.len() < answers.len() && !waiting.is_empty() {
            let again = waiting.iter().map(|&n| transaction.recipients[n].clone()).collect();
            let (path, parameters) = downstream.sender().clone();
            let replies =
                downstream.become_one(path, parameters, again).await.map_err(Stop::Pass)?;
            for (n, reply) in waiting.into_iter().zip(replies) {
                if !reply.is_positive() {
                    answers[n] = Some(Answered::Reply(reply));
                }
            }
        }
        let waiting = open(answers);
        if waiting.is_empty() {
            downstream.abandon().await;
            let end = match end {
                Some(end) => end,
                None => connection.discard_data().await?,
            };
            return Failure::of_end(end).map_or(Ok(()), |failure| Err(failure.into()));
        }
        let mut submission = Submission::new(self, &transaction.sender, Verdict::None, downstream);
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
        // Waits on its own, also if this task is ended.
        let outcomes = match tokio::spawn(downstream.finish()).await {
            Ok(outcomes) => outcomes.map_err(Stop::Pass)?,
            Err(_) => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        for n in waiting {
            answers[n] = Some(outcomes.next().map_or(Answered::Unknown, Answered::from));
        }
        Ok(())
    }

    /// Whether recipients may have different outcomes that the client cannot be told one by one: LMTP behind us and SMTP
    /// before. What was accepted is then not sent again.
    fn may_differ(&self, transaction: &Transaction) -> bool {
        self.protocol == Protocol::Smtp
            && self.hop.protocol() == Protocol::Lmtp
            && transaction.recipients.len() > 1
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
}

/// Whether mail to this recipient is for those who run the mail (RFC 2142 sections 3 and 4).
fn is_contact(path: &ForwardPath) -> bool {
    path.mailbox().is_none_or(|mailbox| {
        let local = mailbox.local_part();
        ["postmaster", "abuse"].iter().any(|name| local.eq_ignore_ascii_case(name))
    })
}
