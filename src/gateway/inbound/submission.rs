//! Submitting a message to our MTA: its header gets our trace fields, and loses what claims to be ours [R-uns-06].

use super::{Inbound, Stop};
use crate::core::{Domain, Suite};
use crate::gateway::failure::Failure;
use crate::gateway::hop::Downstream;
use crate::gateway::session::Sender;
use crate::mail::address;
use crate::mail::header::{Header, HeaderCollector};
use crate::mail::results::{self, ReversePathOf};
use crate::policy::Level;
use crate::smtp::Reply;

/// What is reported in the Authentication-Results field.
pub(super) enum Verdict {
    /// Unsealed, and everything before the closing signature has passed.
    Pass { sender: Domain, suite: Suite, level: Level, reverse_path: ReversePathOf },
    /// Ordinary mail; whether a domain that it claims should have sealed it.
    None { expected: bool },
}

/// A message on its way to the next hop, up to but not including the final dot [R-uns-02].
pub(super) struct Submission<'a> {
    inbound: &'a Inbound,
    sender: &'a Sender,
    verdict: Verdict,
    /// Until the header block is complete.
    collector: Option<HeaderCollector>,
    downstream: Downstream,
    /// Octets that may still come.
    room: u64,
}

impl<'a> Submission<'a> {
    pub(super) fn new(
        inbound: &'a Inbound,
        sender: &'a Sender,
        verdict: Verdict,
        downstream: Downstream,
    ) -> Self {
        let limits = &inbound.shared.config.limits;
        let header = usize::try_from(limits.header_size).unwrap_or(usize::MAX);
        let next_hop = downstream.capabilities().size_limit();
        Self {
            inbound,
            sender,
            verdict,
            collector: Some(HeaderCollector::with_limit(header)),
            downstream,
            room: next_hop.map_or(limits.message_size, |limit| limit.min(limits.message_size)),
        }
    }

    /// Takes the next octets of the message. Dropped after an error, the connection is closed without a final dot.
    ///
    /// What stands within the limit is judged before the octet that is one too many, so that the fault that stands first is
    /// answered [R-uns-01].
    pub(super) async fn push(&mut self, content: &[u8]) -> Result<(), Stop> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let (within, beyond) = content.split_at(room.min(content.len()));
        self.room -= within.len() as u64;
        self.take(within).await?;
        if beyond.is_empty() { Ok(()) } else { Err(Failure::TooLarge.into()) }
    }

    async fn take(&mut self, content: &[u8]) -> Result<(), Stop> {
        let Some(collector) = &mut self.collector else {
            return self.downstream.write(content).await.map_err(stop);
        };
        if collector.push(content).map_err(|_| Failure::HeaderTooLarge)? {
            self.begin().await?;
        }
        Ok(())
    }

    /// Ends the message; what is left to do is the final dot.
    pub(super) async fn complete(mut self) -> Result<Downstream, Stop> {
        self.begin().await?;
        Ok(self.downstream)
    }

    /// Sends DATA and the header, once it is complete.
    async fn begin(&mut self) -> Result<(), Stop> {
        let Some(collector) = self.collector.take() else { return Ok(()) };
        let (header, body) = collector.finish().map_err(|_| Failure::HeaderTooLarge)?;
        self.sender.names.of_message(&header);
        if header.received_count() > self.inbound.shared.config.limits.received {
            return Err(Failure::Loop.into());
        }
        // [R-uns-11]; the reverse-path has been seen to.
        if let Verdict::Pass { sender, .. } = &self.verdict
            && self.inbound.shared.config.treatment(sender).require_aligned
            && !address::is_aligned(&header, sender)
        {
            return Err(Failure::NotAligned(sender.clone()).into());
        }
        self.downstream.data().await.map_err(Stop::Pass)?;
        let mut head = self.head(&header);
        head.extend_from_slice(header.due_separator(!body.is_empty()));
        self.downstream.write(&head).await.map_err(stop)?;
        self.downstream.write(&body).await.map_err(stop)
    }

    fn head(&self, header: &Header) -> Vec<u8> {
        let shared = &self.inbound.shared;
        let authserv_id = shared.config.hostname.as_str();
        let outcome = match &self.verdict {
            Verdict::Pass { sender, suite, level, reverse_path } => results::Outcome::Pass {
                sender,
                reverse_path: *reverse_path,
                suite: suite.id().0,
                level: level.as_str(),
                header,
            },
            Verdict::None { expected } => results::Outcome::None { expected: *expected },
        };
        let mut head = results::field(authserv_id, &outcome).into_bytes();
        head.extend_from_slice(shared.received(self.sender, self.inbound.protocol).as_bytes());
        header.write_without(|field| results::removes_forged(field, authserv_id), &mut head);
        head
    }
}

/// What is wrong with the message itself is no refusal of the next hop, after which the rest would still be verified:
/// it comes before check 15 [R-uns-01].
fn stop(reply: Reply) -> Stop {
    let ours = Failure::BareLineEnd;
    if reply == ours.reply() { ours.into() } else { Stop::Pass(reply) }
}
