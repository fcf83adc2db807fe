//! Sending the message, and what becomes of it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use super::{Client, ClientError, State, Step, lost};
use crate::smtp::data::DataEncoder;
use crate::smtp::stream::Stream;
use crate::smtp::{Protocol, Reply, Severity};

/// Encoded data are sent at this size, in octets.
const WRITE_SIZE: usize = 64 * 1024;

/// Content is encoded in pieces of this size, in octets, so that the buffer stays bounded
/// whatever a caller hands over.
const ENCODE_SIZE: usize = 64 * 1024;

/// What became of the message for one recipient, or for all of them (SMTP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop's answer.
    Reply(Reply),
    /// The connection was lost after the final dot: accepted or not, nobody knows.
    Unknown,
}

/// The end of a transaction whose final dot was sent.
#[derive(Debug)]
pub struct Finished {
    /// One outcome (SMTP), or one per accepted recipient in the order of RCPT (LMTP).
    pub outcomes: Vec<Outcome>,
    /// Whether the last line of the content had to be given its CRLF.
    pub crlf_added: bool,
    /// Why outcomes are unknown.
    pub lost: Option<ClientError>,
}

enum Progress {
    Written,
    Flushed,
    Heard,
}

impl Client {
    /// Sends DATA. After 354 the content is sent by [`Self::write`]; any other reply leaves the
    /// transaction as it was.
    pub async fn data(&mut self) -> Result<Reply, ClientError> {
        if self.state != State::Mail || self.accepted == 0 {
            return Err(ClientError::OutOfOrder);
        }
        let reply = self.command("DATA", Step::Data, self.timeouts.data).await?;
        match reply.severity() {
            Severity::Intermediate
                if reply.code() == 354 && self.input.is_empty() && self.replies.is_idle() =>
            {
                self.encoder = DataEncoder::new();
                self.state = State::Data;
                Ok(reply)
            }
            // These leave open what the next hop takes for content.
            Severity::Positive | Severity::Intermediate => {
                self.broken(ClientError::Unsolicited(Step::Data))
            }
            Severity::Transient | Severity::Permanent => Ok(reply),
        }
    }

    /// Sends a piece of content, dot-stuffed; it may be cut anywhere.
    ///
    /// Refuses bare CR, bare LF and NUL. A next hop that answers or leaves before the end is
    /// reported as [`ClientError::EarlyReply`] or [`ClientError::Closed`].
    pub async fn write(&mut self, content: &[u8]) -> Result<(), ClientError> {
        if self.state != State::Data {
            return Err(ClientError::OutOfOrder);
        }
        for piece in content.chunks(ENCODE_SIZE) {
            if let Err(violation) = self.encoder.encode(piece, &mut self.output) {
                return self.broken(violation.into());
            }
            if self.output.len() >= WRITE_SIZE {
                self.send_data().await?;
            }
        }
        Ok(())
    }

    /// Sends what [`Self::write`] still holds back, for content that comes slowly.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        if self.state != State::Data {
            return Err(ClientError::OutOfOrder);
        }
        self.send_data().await
    }

    /// Sends the final dot and waits for what becomes of the message.
    ///
    /// An error means that the dot was not sent. What is lost after it is in the result.
    pub async fn finish(&mut self) -> Result<Finished, ClientError> {
        if self.state != State::Data {
            return Err(ClientError::OutOfOrder);
        }
        // What went wrong so far must be seen before the dot goes out.
        self.send_data().await?;
        let crlf_added = match self.encoder.finish(&mut self.output) {
            Ok(crlf_added) => crlf_added,
            Err(violation) => return self.broken(violation.into()),
        };
        let expected = match self.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => self.accepted,
        };
        self.state = State::Closed;
        let mut outcomes = Vec::with_capacity(expected);
        let lost = self.collect_outcomes(expected, &mut outcomes).await.err();
        outcomes.resize(expected, Outcome::Unknown);
        let closing = |outcome: &Outcome| matches!(outcome, Outcome::Reply(r) if r.code() == 421);
        let in_step = self.input.is_empty() && self.replies.is_idle();
        if lost.is_none() && in_step && !outcomes.iter().any(closing) {
            self.state = State::Ready;
            self.accepted = 0;
        } else {
            self.stream = Stream::Closed;
        }
        Ok(Finished { outcomes, crlf_added, lost })
    }

    async fn collect_outcomes(
        &mut self,
        expected: usize,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + self.timeouts.dot;
        self.send(Step::Dot).await?;
        while outcomes.len() < expected {
            let reply = self.receive(Step::Dot, deadline).await?;
            if reply.severity() == Severity::Intermediate {
                return Err(ClientError::Unsolicited(Step::Dot));
            }
            outcomes.push(Outcome::Reply(reply));
        }
        Ok(())
    }

    /// Sends encoded content while watching for a reply that comes too early.
    async fn send_data(&mut self) -> Result<(), ClientError> {
        self.state = State::Closed;
        let limit = self.timeouts.write;
        let mut flushed = false;
        while !flushed {
            let progress = timeout(limit, self.data_progress()).await;
            match progress {
                Ok(Ok(Progress::Written)) => {}
                Ok(Ok(Progress::Flushed)) => flushed = true,
                Ok(Ok(Progress::Heard)) => return self.early().await,
                Ok(Err(source)) => {
                    let error = lost(Step::Write, source);
                    return match self.last_words(Step::Write).await {
                        Some(reply) => self.broken(ClientError::EarlyReply(reply)),
                        None => self.broken(error),
                    };
                }
                Err(_) => return self.broken(ClientError::Timeout(Step::Write)),
            }
        }
        self.state = State::Data;
        Ok(())
    }

    /// One step of sending; hearing anything takes precedence.
    async fn data_progress(&mut self) -> io::Result<Progress> {
        let Self { stream, input, output, .. } = self;
        poll_fn(|cx| {
            let mut chunk = [0; 512];
            let mut heard = ReadBuf::new(&mut chunk);
            if let Poll::Ready(result) = Pin::new(&mut *stream).poll_read(cx, &mut heard) {
                result?;
                input.extend_from_slice(heard.filled());
                return Poll::Ready(Ok(Progress::Heard));
            }
            if !output.has_remaining() {
                return Pin::new(&mut *stream).poll_flush(cx).map_ok(|()| Progress::Flushed);
            }
            match Pin::new(&mut *stream).poll_write(cx, output) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    output.advance(written);
                    Poll::Ready(Ok(Progress::Written))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Something was heard in the middle of the data: a reply or the end of the connection.
    async fn early<T>(&mut self) -> Result<T, ClientError> {
        if self.input.is_empty() {
            return self.broken(ClientError::Closed(Step::Write));
        }
        let deadline = Instant::now() + self.timeouts.data;
        match self.receive(Step::Write, deadline).await {
            Ok(reply) => self.broken(ClientError::EarlyReply(reply)),
            Err(error) => self.broken(error),
        }
    }
}
