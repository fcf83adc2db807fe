//! Octets in and out of a session, under its timeouts.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Pending, ServerConnection, SessionError};
use crate::smtp::Reply;
use crate::smtp::line::LineError;
use crate::smtp::stream::Stream;

/// Least free room in the read buffer while data are read, in octets.
const DATA_READ_SIZE: usize = 32 * 1024;

/// Least free room in the read buffer while commands are read, in octets: what an idle connection
/// costs.
const COMMAND_READ_SIZE: usize = 2 * 1024;

/// Replies are sent at this size even if more commands are waiting, in octets.
const REPLY_BUFFER: usize = 16 * 1024;

impl ServerConnection {
    pub(super) fn put(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
        self.unflushed = true;
    }

    pub(super) async fn read_line(
        &mut self,
    ) -> Result<Result<bytes::Bytes, LineError>, SessionError> {
        // Kept in the session: a caller that cancels and asks again gains no time for the peer.
        let deadline =
            *self.deadline.get_or_insert_with(|| Instant::now() + self.options.timeouts.command);
        loop {
            if self.output.len() >= REPLY_BUFFER {
                self.flush().await?;
            }
            // No waiting from here on, or a cancelled caller would lose the line.
            if let Some(line) = self.lines.decode(&mut self.input) {
                self.deadline = None;
                return Ok(line);
            }
            self.flush().await?;
            self.fill(deadline).await?;
        }
    }

    /// Reads once into the input buffer.
    pub(super) async fn fill(&mut self, deadline: Instant) -> Result<(), SessionError> {
        let room = if self.data.is_some() { DATA_READ_SIZE } else { COMMAND_READ_SIZE };
        self.input.reserve(room);
        match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(SessionError::Closed),
            Ok(Ok(_)) => Ok(()),
            // Many TLS peers leave without close_notify.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(SessionError::Closed)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                let reply = Reply::new(421, (4, 4, 2), "timed out");
                self.fail(&reply, SessionError::Timeout).await
            }
        }
    }

    /// Whether the client has sent more than was asked for, without waiting for it.
    pub(super) async fn has_more_input(&mut self) -> bool {
        if self.input.is_empty() {
            self.input.reserve(COMMAND_READ_SIZE);
            let mut read = pin!(self.stream.read_buf(&mut self.input));
            // An end or an error shows again at the next read that is waited for.
            let _ = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
        }
        !self.input.is_empty()
    }

    /// Whether the client has closed its side, as far as is known without waiting: then nobody reads a reply. What it
    /// has sent meanwhile is kept. After QUIT it has only said that nothing more will come, and reads on: Exim sends
    /// QUIT with the final dot and shuts down its sending side.
    pub async fn has_left(&mut self) -> bool {
        while self.input.len() < DATA_READ_SIZE {
            self.input.reserve(COMMAND_READ_SIZE);
            let read = self.stream.read_buf(&mut self.input);
            tokio::pin!(read);
            match poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await {
                Poll::Pending => return false,
                Poll::Ready(Ok(octets)) if octets > 0 => {}
                Poll::Ready(_) => return !self.ends_with_quit(),
            }
        }
        false
    }

    /// Whether the last command that is at hand is QUIT, which ends a group of commands (RFC 2920 section 3.1).
    fn ends_with_quit(&self) -> bool {
        let Some(rest) = self.input.strip_suffix(b"\r\n") else { return false };
        let line = rest.rsplit(|&octet| octet == b'\n').next().unwrap_or_default();
        line.eq_ignore_ascii_case(b"QUIT")
    }

    /// Sends the replies unless more commands are at hand.
    pub(super) async fn flush_if_waiting(&mut self) -> Result<(), SessionError> {
        if self.input.is_empty() || self.output.len() >= REPLY_BUFFER {
            self.flush().await
        } else {
            Ok(())
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), SessionError> {
        if !self.unflushed {
            return Ok(());
        }
        let limit = self.options.timeouts.write;
        let stream = &mut self.stream;
        let output = &mut self.output;
        within(limit, async {
            while output.has_remaining() {
                if stream.write_buf(output).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
            }
            stream.flush().await
        })
        .await?;
        self.unflushed = false;
        Ok(())
    }

    pub(super) async fn fail<T>(
        &mut self,
        reply: &Reply,
        error: SessionError,
    ) -> Result<T, SessionError> {
        // The error that matters is the first one.
        let _ = self.close(reply).await;
        Err(error)
    }

    pub(super) async fn close(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.put(reply);
        self.flush().await?;
        self.pending = Pending::Nothing;
        let limit = self.options.timeouts.write;
        let result = within(limit, self.stream.shutdown()).await;
        self.stream = Stream::Closed;
        self.input.clear();
        result
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, SessionError> {
    match timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(SessionError::Timeout),
    }
}
