//! Lines of a MIME body and the delimiters among them (RFC 2046 section 5.1.1).
//!
//! A delimiter is a whole line: `--`, the boundary, optionally `--`, then white space at most.
//! `--boundaryX` and a boundary in the middle of a line are content. The CRLF before a delimiter
//! belongs to the delimiter.

use super::ScanError;
use crate::mail::mime::delimiter;

/// Longest line that is examined as a delimiter; RFC 5321 allows 998 octets without CRLF.
const MAX_DELIMITER: usize = 1000;

/// What takes the lines.
pub(super) trait Sink {
    /// Boundaries in force, outermost first.
    fn boundaries(&self) -> &[Vec<u8>];
    /// Whether a part's header is being read, whose line ends take effect at once. Those of
    /// content wait until the next line is known to be no delimiter.
    fn in_header(&self) -> bool;
    /// Whether the content is base64, so that text with its line ends, but without `-`, may be
    /// passed as one piece.
    fn in_base64(&self) -> bool;
    /// A piece of the current line.
    fn text(&mut self, text: &[u8]) -> Result<(), ScanError>;
    /// The line ended; the next begins at the offset `next` of the body.
    fn line_end(&mut self, next: u64) -> Result<(), ScanError>;
    /// A delimiter line of the boundary at `level`.
    fn delimiter(&mut self, level: usize, close: bool) -> Result<(), ScanError>;
}

/// Splits a body in any division into calls.
#[derive(Debug)]
pub(super) struct Lines {
    /// Octets of the body taken so far.
    offset: u64,
    at_start: bool,
    /// A line that may become a delimiter.
    held: Vec<u8>,
    holding: bool,
    /// The last octet was a CR that is not yet passed on.
    cr: bool,
    /// The CRLF before the current line is not yet passed on.
    owed: bool,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { offset: 0, at_start: true, held: Vec::new(), holding: false, cr: false, owed: false }
    }

    /// Octets of the body taken so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn push(&mut self, mut input: &[u8], sink: &mut impl Sink) -> Result<(), ScanError> {
        while let Some(&first) = input.first() {
            if self.at_start && first == b'-' && !sink.boundaries().is_empty() {
                self.holding = true;
            }
            if !self.holding && !self.cr && first != b'-' && sink.in_base64() {
                input = self.pass_base64(input, sink)?;
                continue;
            }
            self.at_start = false;
            input = if self.holding { self.hold(input, sink)? } else { self.pass(input, sink)? };
        }
        Ok(())
    }

    /// Passes lines on as far as none can be a delimiter: most of a carrier in a few steps. Line
    /// ends are white space there, so none need be held back.
    fn pass_base64<'a>(
        &mut self,
        input: &'a [u8],
        sink: &mut impl Sink,
    ) -> Result<&'a [u8], ScanError> {
        let (text, rest) = input.split_at(memchr::memchr(b'-', input).unwrap_or(input.len()));
        self.offset += text.len() as u64;
        self.owed = false;
        self.at_start = text.ends_with(b"\r\n");
        self.cr = text.ends_with(b"\r");
        sink.text(text)?;
        Ok(rest)
    }

    /// Passes text on to the end of the line or of the input.
    fn pass<'a>(&mut self, input: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], ScanError> {
        let (piece, rest, ended) = match memchr::memchr(b'\n', input) {
            Some(0) if self.cr => (&[][..], input.get(1..).unwrap_or_default(), true),
            Some(lf) => {
                let (line, rest) = input.split_at(lf + 1);
                match line.strip_suffix(b"\r\n") {
                    Some(text) => (text, rest, true),
                    None => (line, rest, false),
                }
            }
            None => (input, &[][..], false),
        };
        self.offset += (input.len() - rest.len()) as u64;
        if std::mem::take(&mut self.cr) && input.first() != Some(&b'\n') {
            self.text(b"\r", sink)?;
        }
        if ended {
            self.text(piece, sink)?;
            self.end_line(sink)?;
        } else if let (Some(text), true) = (piece.strip_suffix(b"\r"), rest.is_empty()) {
            self.cr = true;
            self.text(text, sink)?;
        } else {
            self.text(piece, sink)?;
        }
        Ok(rest)
    }

    /// Collects a line that begins like a delimiter until it is judged.
    fn hold<'a>(&mut self, input: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], ScanError> {
        let room = MAX_DELIMITER.saturating_sub(self.held.len());
        let reach = input.get(..room.min(input.len())).unwrap_or_default();
        let take = memchr::memchr(b'\n', reach).map_or(reach.len(), |lf| lf + 1);
        let (now, rest) = input.split_at(take);
        self.held.extend_from_slice(now);
        self.offset += take as u64;
        if let Some(line) = self.held.strip_suffix(b"\r\n") {
            if let Some((level, close)) = delimiter(line, sink.boundaries()) {
                self.found(level, close, sink)?;
            } else {
                let line = std::mem::take(&mut self.held);
                self.holding = false;
                self.text(line.strip_suffix(b"\r\n").unwrap_or_default(), sink)?;
                self.end_line(sink)?;
            }
        } else if self.held.len() >= MAX_DELIMITER {
            self.release(sink)?;
        }
        Ok(rest)
    }

    fn found(&mut self, level: usize, close: bool, sink: &mut impl Sink) -> Result<(), ScanError> {
        self.held.clear();
        self.holding = false;
        self.owed = false;
        self.at_start = true;
        sink.delimiter(level, close)
    }

    /// Passes a held line on that is no delimiter and not yet ended.
    fn release(&mut self, sink: &mut impl Sink) -> Result<(), ScanError> {
        let held = std::mem::take(&mut self.held);
        self.holding = false;
        match held.strip_suffix(b"\r") {
            Some(text) => {
                self.cr = true;
                self.text(text, sink)
            }
            None => self.text(&held, sink),
        }
    }

    fn text(&mut self, text: &[u8], sink: &mut impl Sink) -> Result<(), ScanError> {
        if text.is_empty() {
            return Ok(());
        }
        self.settle(sink)?;
        sink.text(text)
    }

    /// Passes the CRLF before this line on, which turned out to be content.
    fn settle(&mut self, sink: &mut impl Sink) -> Result<(), ScanError> {
        if std::mem::take(&mut self.owed) { sink.line_end(self.offset) } else { Ok(()) }
    }

    fn end_line(&mut self, sink: &mut impl Sink) -> Result<(), ScanError> {
        self.settle(sink)?;
        self.at_start = true;
        if sink.in_header() {
            return sink.line_end(self.offset);
        }
        self.owed = true;
        Ok(())
    }

    /// Judges the last line, which may have no CRLF. The last CRLF of a body is not content: the
    /// end of DATA forces one on every message.
    pub(super) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), ScanError> {
        if self.holding {
            if let Some((level, close)) = delimiter(&self.held, sink.boundaries()) {
                return self.found(level, close, sink);
            }
            self.release(sink)?;
        }
        if std::mem::take(&mut self.cr) { self.text(b"\r", sink) } else { Ok(()) }
    }
}
