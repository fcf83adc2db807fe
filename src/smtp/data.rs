//! The transparency procedure of DATA (RFC 5321 section 4.5.2), both ways.
//!
//! Content ends at CRLF `.` CRLF and nowhere else, where the start of the data counts as after a
//! CRLF. Octets that another implementation might take for a line end or an end of data, which
//! are bare CR, bare LF and NUL, are violations in both directions, so nothing can be smuggled
//! into or out of a message [R-seal-07].

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// An octet sequence that message data must not contain (RFC 5321 section 2.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// CR not followed by LF.
    #[error("bare CR in message data")]
    BareCr,
    /// LF not preceded by CR.
    #[error("bare LF in message data")]
    BareLf,
    /// A NUL octet.
    #[error("NUL in message data")]
    Nul,
}

/// What [`DataDecoder::decode`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// A part of the content, without stuffed dots; it never holds a violation and never ends
    /// between CR and LF.
    Content(Bytes),
    /// More octets are needed.
    NeedMore,
    /// The data ended; what follows in the buffer are commands.
    End(Result<(), Violation>),
}

/// Decodes incoming DATA.
///
/// After a violation no more content comes out, but the decoder goes on to the true end, so the
/// connection stays in step.
#[derive(Debug)]
pub struct DataDecoder {
    at_line_start: bool,
    violation: Option<Violation>,
}

/// What stands at a position of the data.
enum Mark {
    /// The octets so far end here; the rest waits for more.
    Wait,
    /// A stuffed dot.
    Dot,
    /// `.` CRLF at the start of a line.
    End,
    /// A violation.
    Violation(Violation),
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// A decoder at the start of the data.
    #[must_use]
    pub fn new() -> Self {
        Self { at_line_start: true, violation: None }
    }

    /// The violation found so far, before the end of the data is reached.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Takes octets off the buffer up to the next event. When it asks for more octets, at most
    /// two are left in the buffer.
    pub fn decode(&mut self, buf: &mut BytesMut) -> DataEvent {
        loop {
            let (clean, at_line_start, mark) = scan(buf, self.at_line_start);
            self.at_line_start = at_line_start;
            if clean > 0 {
                if self.violation.is_none() {
                    return DataEvent::Content(buf.split_to(clean).freeze());
                }
                buf.advance(clean);
            }
            match mark {
                Mark::Wait => return DataEvent::NeedMore,
                Mark::Dot => {
                    buf.advance(1);
                    self.at_line_start = false;
                }
                Mark::End => {
                    buf.advance(3);
                    return DataEvent::End(self.violation.map_or(Ok(()), Err));
                }
                Mark::Violation(violation) => {
                    buf.advance(1);
                    // A bare CR or LF begins no line, or the next dot would end the data.
                    self.at_line_start = false;
                    self.violation.get_or_insert(violation);
                }
            }
        }
    }
}

/// How many octets are plain content, whether a line starts behind them, and what stands there.
fn scan(data: &[u8], mut at_line_start: bool) -> (usize, bool, Mark) {
    let mut at = 0;
    loop {
        let rest = &data[at..];
        if at_line_start {
            match rest {
                [b'.', b'\r', b'\n', ..] => return (at, true, Mark::End),
                [b'.'] | [b'.', b'\r'] | [] => return (at, true, Mark::Wait),
                [b'.', ..] => return (at, true, Mark::Dot),
                _ => {}
            }
        }
        let Some(next) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
            return (data.len(), at_line_start && rest.is_empty(), Mark::Wait);
        };
        let found = at + next;
        let at_start = at_line_start && next == 0;
        match (rest[next], rest.get(next + 1)) {
            (b'\r', Some(b'\n')) => {
                at = found + 2;
                at_line_start = true;
            }
            (b'\r', None) => return (found, at_start, Mark::Wait),
            (b'\r', Some(_)) => return (found, at_start, Mark::Violation(Violation::BareCr)),
            (b'\n', _) => return (found, at_start, Mark::Violation(Violation::BareLf)),
            _ => return (found, at_start, Mark::Violation(Violation::Nul)),
        }
    }
}

/// Encodes outgoing DATA.
///
/// After an error the encoder stays in error; the connection must be closed without a final dot
/// (RFC 5321 section 4.1.1.10).
#[derive(Debug)]
pub struct DataEncoder {
    at_line_start: bool,
    pending_cr: bool,
    violation: Option<Violation>,
}

impl Default for DataEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataEncoder {
    /// An encoder at the start of the data.
    #[must_use]
    pub fn new() -> Self {
        Self { at_line_start: true, pending_cr: false, violation: None }
    }

    /// Appends the encoded form of the next chunk of content to `out`.
    ///
    /// A CR at the end of a chunk is held back until its LF comes. On an error, `out` has gained
    /// clean octets at most.
    pub fn encode(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        let mut rest = chunk;
        if self.pending_cr && !rest.is_empty() {
            let Some(after) = rest.strip_prefix(b"\n") else {
                return self.fail(Violation::BareCr);
            };
            out.put_slice(b"\r\n");
            self.pending_cr = false;
            self.at_line_start = true;
            rest = after;
        }
        // Octets are copied in runs that reach over lines; only a dot or the end cuts them.
        let mut at = 0;
        let mut copied = 0;
        while at < rest.len() {
            if self.at_line_start && rest[at] == b'.' {
                out.put_slice(&rest[copied..at]);
                out.put_u8(b'.');
                copied = at;
            }
            let Some(next) = memchr::memchr3(b'\r', b'\n', 0, &rest[at..]) else {
                self.at_line_start = false;
                break;
            };
            let found = at + next;
            match (rest[found], rest.get(found + 1)) {
                (b'\r', Some(b'\n')) => {
                    at = found + 2;
                    self.at_line_start = true;
                }
                (b'\r', None) => {
                    out.put_slice(&rest[copied..found]);
                    self.pending_cr = true;
                    return Ok(());
                }
                (b'\r', Some(_)) => return self.fail(Violation::BareCr),
                (b'\n', _) => return self.fail(Violation::BareLf),
                _ => return self.fail(Violation::Nul),
            }
        }
        out.put_slice(&rest[copied..]);
        Ok(())
    }

    /// Appends the end of the data; returns whether the last line had to be given its CRLF.
    ///
    /// An empty message is `.` CRLF alone, and gains nothing.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<bool, Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        if self.pending_cr {
            return self.fail(Violation::BareCr);
        }
        let unterminated = !self.at_line_start;
        if unterminated {
            out.put_slice(b"\r\n");
        }
        out.put_slice(b".\r\n");
        Ok(unterminated)
    }

    fn fail<T>(&mut self, violation: Violation) -> Result<T, Violation> {
        self.violation = Some(violation);
        Err(violation)
    }
}
