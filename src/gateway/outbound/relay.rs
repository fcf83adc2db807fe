//! Passing a message on to every destination while it arrives, up to but not including the final dots.

use std::sync::Arc;

use tracing::info;

use super::destination::{Destination, Sealing, Stream};
use super::spool::Spool;
use super::{Outbound, Transaction};
use crate::gateway::breaker::{Step, is_answer};
use crate::gateway::failure::Failure;
use crate::gateway::message::Start;
use crate::gateway::session::Recipient;
use crate::gateway::system_rng;
use crate::smtp::Reply;
use crate::smtp::server::{DataChunk, DataEnd, ServerConnection, SessionError};

impl Outbound {
    /// Reads the message to its end. Destinations that fail on the way have their answers.
    pub(super) async fn relay(
        &self,
        transaction: &mut Transaction,
        start: &Start,
        connection: &mut ServerConnection,
    ) -> Result<DataEnd, SessionError> {
        let received = self.shared.received(&transaction.sender, self.protocol);
        let mut streams = Vec::with_capacity(transaction.destinations.len());
        let mut out = Vec::new();
        for at in 0..transaction.destinations.len() {
            let mut stream = self.open_stream(transaction, at, &mut out).await;
            if matches!(stream, Some(Stream::Clear(..))) {
                out.extend_from_slice(received.as_bytes());
            }
            let destination = &mut transaction.destinations[at];
            push(destination, &mut stream, start.header.raw(), &mut out).await;
            if matches!(stream, Some(Stream::Clear(..))) {
                out.extend_from_slice(start.header.due_separator(!start.body.is_empty()));
            }
            push(destination, &mut stream, &start.body, &mut out).await;
            streams.push(stream);
        }
        let end = loop {
            if let Some(end) = start.end {
                break end;
            }
            match connection.read_data().await? {
                DataChunk::Content(content) => {
                    let destinations = transaction.destinations.iter_mut();
                    for (destination, stream) in destinations.zip(&mut streams) {
                        push(destination, stream, &content, &mut out).await;
                    }
                }
                DataChunk::End(end) => break end,
            }
        };
        if end == DataEnd::Clean {
            for (destination, stream) in transaction.destinations.iter_mut().zip(streams) {
                if let Some(stream) = stream {
                    self.finish_stream(destination, stream, &mut out).await;
                }
            }
        }
        Ok(end)
    }

    /// Begins the message at one destination; `None` if nothing goes there. What is to be sent first is left in `out`.
    async fn open_stream(
        &self,
        transaction: &mut Transaction,
        at: usize,
        out: &mut Vec<u8>,
    ) -> Option<Stream> {
        out.clear();
        let Transaction { sender, origin, foreign, destinations, .. } = transaction;
        let destination = &mut destinations[at];
        let settled = destination.is_settled();
        let entry = destination.entry.as_ref()?;
        // With nothing left to send the message is sealed all the same, to compare its hash with that of the first attempt.
        if destination.downstream.is_none() && !(settled && entry.message_hash().is_some()) {
            return None;
        }
        let open = destination.recipients.iter().zip(&destination.answers);
        let recipients: Vec<&Recipient> =
            open.filter(|(_, answer)| settled || answer.is_none()).map(|(r, _)| r).collect();
        let Some(local) = self.shared.domains.get(origin) else {
            destination.fail(&Failure::PolicyUnusable(origin.clone()).reply());
            return None;
        };
        let sealing = Sealing {
            sender_domain: origin,
            foreign: *foreign,
            sealed_at: self.shared.clock.now(),
            delivery_id: entry.delivery_id(),
            dkim: local.dkim_len(),
            limit: destination.downstream.as_ref().and_then(|d| d.capabilities().size_limit()),
        };
        let begun = Stream::begin(
            &destination.course,
            sender,
            &recipients,
            &sealing,
            &local.signing,
            &mut system_rng(),
            out,
        );
        let result = match begun {
            Ok(stream) => match &mut destination.downstream {
                Some(_) if matches!(stream, Stream::Sealed(_)) && !local.dkim.is_empty() => {
                    let directory = self.shared.config.state.clone();
                    destination.spool = Some(Spool::new(directory, Arc::clone(&local.dkim)));
                    Ok(stream)
                }
                Some(downstream) => {
                    let moves_on =
                        |begun: &Result<(), Reply>| begun.as_ref().err().is_none_or(is_answer);
                    let domain = destination.domain.as_ref();
                    let breaker = &self.shared.breaker;
                    let begun = breaker.wait(domain, Step::Data, downstream.data(), moves_on).await;
                    begun.unwrap_or_else(|stalled| Err(stalled.failure().reply())).map(|()| stream)
                }
                None => Ok(stream),
            },
            Err(failure) => Err(failure.reply()),
        };
        match result {
            Ok(stream) => {
                (destination.envelope, destination.token) = (stream.envelope_id(), stream.token());
                if let Some(envelope) = destination.envelope {
                    info!(%envelope, "sealing");
                }
                Some(stream)
            }
            Err(reply) => {
                // Nothing of this destination may stand before what the next one is sent.
                out.clear();
                destination.fail(&reply);
                None
            }
        }
    }

    /// Sends the rest of the message, and compares it with an earlier attempt.
    async fn finish_stream(
        &self,
        destination: &mut Destination,
        stream: Stream,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        let result = match stream.finish(out) {
            Ok(passed) => destination.send(out).await.map(|()| passed),
            Err(failure) => Err(failure.reply()),
        };
        match result {
            Ok(passed) => destination.passed = Some(passed),
            Err(reply) => return destination.fail(&reply),
        }
        let expected = destination.entry.as_ref().and_then(|entry| entry.message_hash());
        let differs = expected.is_some()
            && destination.passed.is_some()
            && expected != destination.message_hash();
        if differs && let Some(entry) = destination.entry.take() {
            // The header block is the same, the message is not: no retry [R-con-07], so another id is due.
            entry.retire(&self.shared).await;
            destination.forget(&Failure::Mixed.reply());
        }
    }
}

/// Passes content on to one destination; if that fails it has its answer.
async fn push(
    destination: &mut Destination,
    stream: &mut Option<Stream>,
    content: &[u8],
    out: &mut Vec<u8>,
) {
    let Some(open) = stream.as_mut() else {
        out.clear();
        return;
    };
    let result = match open.write(content, out) {
        Ok(()) => destination.send(out).await,
        Err(failure) => Err(failure.reply()),
    };
    out.clear();
    if let Err(reply) = result {
        destination.fail(&reply);
        *stream = None;
    }
}
