//! Ordinary mail: it passes, unless its domain must seal [R-uns-07].

use aws_lc_rs::digest;
use bytes::Bytes;
use tracing::{Instrument, info};

use super::mailboxes::delivered_to;
use super::submission::{Submission, Verdict};
use super::{Inbound, Stop, Transaction};
use crate::core::smtp_envelope::mailbox_text;
use crate::gateway::audit::Story;
use crate::gateway::booking::{Answered, Booked, Entry};
use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::gateway::session::{Answer, Recipient};
use crate::gateway::settlement::settle;
use crate::mail::bounce::{Bounce, MAX_BOUNCE};
use crate::mail::header::Header;
use crate::smtp::server::{DataChunk, DataEnd, ServerConnection};
use crate::smtp::{Protocol, Reply};
use crate::store::ledger::{Event, EventKind, Scope, Upstream};

/// The octets of the message: what was held until it was known to be ordinary, then what is still arriving.
struct Body<'c> {
    connection: &'c mut ServerConnection,
    held: Bytes,
    end: Option<DataEnd>,
    hash: digest::Context,
}

impl Body<'_> {
    /// The next octets; `None` at the end, which was a clean one.
    async fn next(&mut self) -> Result<Option<Bytes>, Stop> {
        let mut content = std::mem::take(&mut self.held);
        if content.is_empty() && self.end.is_none() {
            match self.connection.read_data().await? {
                DataChunk::Content(more) => content = more,
                DataChunk::End(end) => self.end = Some(end),
            }
        }
        if !content.is_empty() {
            self.hash.update(&content);
            return Ok(Some(content));
        }
        match self.end.and_then(Failure::of_end) {
            Some(failure) => Err(failure.into()),
            None => Ok(None),
        }
    }

    /// Hash of the whole message, once it has ended.
    fn hash(&self) -> [u8; 32] {
        let mut octets = [0; 32];
        octets.copy_from_slice(self.hash.clone().finish().as_ref());
        octets
    }
}

/// Reads on until the beginning of a message that may be a bounce tells what it is about.
async fn hold(
    connection: &mut ServerConnection,
    held: &mut Vec<u8>,
    end: &mut Option<DataEnd>,
) -> Result<(), Stop> {
    while held.len() < MAX_BOUNCE && end.is_none() {
        match connection.read_data().await? {
            DataChunk::Content(content) => held.extend_from_slice(&content),
            DataChunk::End(how) => *end = Some(how),
        }
    }
    Ok(())
}

/// What is sent of a message.
struct Message {
    verdict: Verdict,
    /// Hash that it must have if this is a retry.
    expected: Option<[u8; 32]>,
    /// What is sent in its place.
    notice: Option<Vec<u8>>,
}

/// How a message with an entry in the ledger ended.
enum Sent {
    /// Every recipient has its answer.
    Answered,
    /// The message is another one than that of the earlier attempt.
    Differs,
}

impl Inbound {
    /// Passes a message on that is no carrier. `held` is what was read of it.
    pub(super) async fn pass_clear(
        &self,
        mut transaction: Transaction,
        connection: &mut ServerConnection,
        mut held: Vec<u8>,
        mut end: Option<DataEnd>,
    ) -> Result<Answer<Option<Booked>>, Stop> {
        let (header, _) = Header::split(&held);
        transaction.sender.names.of_message(&header);
        if transaction.sender.path.is_null() && Bounce::may_be(&header) {
            hold(connection, &mut held, &mut end).await?;
        }
        let bounced = self.bounced(&transaction, &held, end.is_some()).await?;
        let expected = match self.expects_sealed(&transaction, &header).await {
            // What is delivered is in our own name [R-bnc-03].
            Err(Failure::SealDemanded(_)) if bounced.is_some() => true,
            expected => expected?,
        };
        let verdict = Verdict::None { expected };
        let notice = bounced.as_ref().map(|bounced| self.translate(bounced));
        let downstream = transaction.downstream.take().ok_or(Failure::NextHopLost)?;
        let Transaction { sender, recipients, .. } = &transaction;
        let mut answers = vec![None; recipients.len()];
        let mut entry = None;
        if self.may_differ() {
            // Recipients of all our domains share an entry, whichever of them a retry names first.
            let all = Some(&self.shared.config.hostname);
            let (begun, settled) =
                Entry::begin(&self.shared, sender, all, &header, recipients).await?;
            (entry, answers) = (Some(begun), settled);
        }
        let expected = entry.as_ref().and_then(Entry::message_hash);
        let hash = digest::Context::new(&digest::SHA256);
        let mut body = Body { connection, held: held.into(), end, hash };
        let message = Message { verdict, expected, notice };
        let sent = self.send(&transaction, message, downstream, &mut body, &mut answers).await;
        let hash = body.hash();
        if matches!(sent, Ok(Sent::Differs))
            && let Some(entry) = entry.take()
        {
            entry.retire(&self.shared).await;
            return Err(Failure::Mixed.into());
        }
        let lost = Answered::Reply(Failure::NextHopLost.reply());
        let answers: Vec<Option<Answered>> =
            answers.into_iter().map(|answer| answer.or_else(|| Some(lost.clone()))).collect();
        let replies: Vec<Reply> = answers.iter().flatten().map(Answered::reply).collect();
        let reply = settle(&replies, false).reply;
        if entry.is_some() && reply.is_transient() && !replies.iter().any(Reply::is_transient) {
            // Accepted for some and refused for good for others: it is told one by one.
            self.one_by_one.insert(&sender.path, self.shared.clock.now());
        }
        let domain = sender.path.domain();
        let story = Story::new(Scope::Incoming, sender, domain, EventKind::Clear);
        let mut booking = None;
        if let Some(entry) = entry {
            // A client that has left will send the message again.
            let told = sent.is_ok() && !reply.is_transient() && !connection.has_left().await;
            let (upstream, hash) = if told {
                (Upstream::Told, Some(hash))
            } else {
                (Upstream::Deferred, sent.is_ok().then_some(hash))
            };
            let story = Some(&story);
            booking = entry.finish(&self.shared, &answers, hash, upstream, story).await;
            if booking.is_none() {
                return Err(Failure::Ledger.into());
            }
        } else if sent.is_ok() {
            self.put_clear_on_record(&story, recipients, &answers).await;
        }
        sent?;
        if let Some(bounced) = bounced.filter(|_| reply.is_positive()) {
            self.put_bounce_on_record(sender, &bounced).await;
        }
        for (recipient, reply) in recipients.iter().zip(&replies) {
            info!(from = %sender.path, to = %recipient.path, reply = %reply, "clear message");
        }
        let replies = if self.protocol == Protocol::Lmtp { replies } else { vec![reply] };
        Ok(Answer { replies, booking })
    }

    /// Tells the audit trail what became of each recipient; durable when this returns. If it cannot be, the answer stays as it
    /// is: nothing here remembers who has the message, so that another attempt would be another delivery.
    async fn put_clear_on_record(
        &self,
        story: &Story,
        recipients: &[Recipient],
        answers: &[Option<Answered>],
    ) {
        let now = self.shared.clock.now();
        let told = |(recipient, answer): (&Recipient, &Option<Answered>)| {
            story.told(
                &mailbox_text(&recipient.path),
                answer.as_ref().unwrap_or(&Answered::Unknown),
                now,
            )
        };
        let events: Vec<Event> = recipients.iter().zip(answers).map(told).collect();
        self.record(&events, "clear mail").await;
    }

    /// Sends the message to the recipients without an answer, and takes their answers.
    async fn send(
        &self,
        transaction: &Transaction,
        message: Message,
        mut downstream: Downstream,
        body: &mut Body<'_>,
        answers: &mut [Option<Answered>],
    ) -> Result<Sent, Stop> {
        let Message { verdict, expected, notice } = message;
        let waiting = open(answers);
        if waiting.len() < answers.len() && !waiting.is_empty() {
            let again = waiting.iter().map(|&n| delivered_to(&transaction.recipients[n])).collect();
            let mail = downstream.mail().clone();
            let replies = downstream.become_one(mail, again).await.map_err(Stop::Pass)?;
            for (n, reply) in waiting.into_iter().zip(replies) {
                if !reply.is_positive() {
                    answers[n] = Some(Answered::Reply(reply));
                }
            }
        }
        let waiting = open(answers);
        let mut submission = None;
        if waiting.is_empty() {
            downstream.abandon().await;
        } else {
            submission = Some(Submission::new(self, &transaction.sender, verdict, downstream));
        }
        while let Some(content) = body.next().await? {
            if let (Some(submission), None) = (&mut submission, &notice) {
                submission.push(&content).await?;
            }
        }
        if expected.is_some_and(|expected| expected != body.hash()) {
            return Ok(Sent::Differs);
        }
        let Some(mut submission) = submission else { return Ok(Sent::Answered) };
        if let Some(notice) = notice {
            submission.push(&notice).await?;
        }
        let downstream = submission.complete().await?;
        // Waits on its own, also if this task is ended.
        let outcomes = match tokio::spawn(downstream.finish().in_current_span()).await {
            Ok(outcomes) => outcomes.map_err(Stop::Pass)?,
            Err(_) => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        for n in waiting {
            answers[n] = Some(outcomes.next().map_or(Answered::Unknown, Answered::from));
        }
        Ok(Sent::Answered)
    }

    /// Whether recipients may have different outcomes that the client cannot be told one by one: LMTP behind us and SMTP
    /// before. What was accepted is then not sent again. This is about one recipient too: it may be all that is left of
    /// more.
    fn may_differ(&self) -> bool {
        self.protocol == Protocol::Smtp && self.hop.protocol() == Protocol::Lmtp
    }
}

/// Places of the recipients without an answer.
fn open(answers: &[Option<Answered>]) -> Vec<usize> {
    (0..answers.len()).filter(|&n| answers[n].is_none()).collect()
}
