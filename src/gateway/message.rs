//! The beginning of a message: its header block, collected before anything is passed on.

use super::config::Limits;
use super::failure::Failure;
use crate::mail::header::{self, Header, HeaderCollector, SEAL_REQUIRED};
use crate::policy::Demand;
use crate::smtp::Reply;
use crate::smtp::server::{DataChunk, DataEnd, ServerConnection, SessionError};

/// A message whose header block is complete.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) header: Header,
    /// The octets of the body that came along.
    pub(super) body: Vec<u8>,
    /// Set if the message has ended already.
    pub(super) end: Option<DataEnd>,
}

impl Start {
    /// What the message demands for itself [R-seal-03].
    pub(super) fn demand(&self) -> Result<Demand, Failure> {
        match header::demand(&self.header, SEAL_REQUIRED) {
            Ok(header::Demand::None) => Ok(Demand::Absent),
            Ok(header::Demand::Sealed) => Ok(Demand::Sealed),
            Err(_) => Err(Failure::DemandMalformed),
        }
    }
}

/// Reads up to the end of the header block; the inner error is the refusal of the message.
pub(super) async fn start(
    connection: &mut ServerConnection,
    limits: &Limits,
) -> Result<Result<Start, Reply>, SessionError> {
    let limit = usize::try_from(limits.header_size).unwrap_or(usize::MAX);
    let mut collector = HeaderCollector::with_limit(limit);
    let mut end = None;
    while end.is_none() {
        match connection.read_data().await? {
            DataChunk::Content(content) => match collector.push(&content) {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => return Ok(Err(Failure::HeaderTooLarge.reply())),
            },
            DataChunk::End(how) => end = Some(how),
        }
    }
    if let Some(failure) = end.and_then(Failure::of_end) {
        return Ok(Err(failure.reply()));
    }
    let Ok((header, body)) = collector.finish() else {
        return Ok(Err(Failure::HeaderTooLarge.reply()));
    };
    // [R-seal-08]
    if header.received_count() > limits.received {
        return Ok(Err(Failure::Loop.reply()));
    }
    Ok(Ok(Start { header, body, end }))
}

/// The same reply for the message (SMTP) or for each of its recipients (LMTP). What is left of the message is read
/// and dropped first.
pub(super) async fn refuse_all(
    connection: &mut ServerConnection,
    reply: &Reply,
) -> Result<Vec<Reply>, SessionError> {
    match connection.discard_data().await {
        // The message had ended already.
        Ok(_) | Err(SessionError::OutOfOrder) => {}
        Err(error) => return Err(error),
    }
    Ok(vec![reply.clone(); connection.pending_replies()])
}
