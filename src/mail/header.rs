//! Header blocks: found in a stream, split into raw fields, passed on byte-exactly.
//!
//! The header block ends with the first empty line (RFC 5322 section 2.1), with the end of the
//! message, or before the first line that is neither a field nor a continuation: such a line
//! cannot belong to a header block, and Postfix, Exim and sendmail, which were measured, make it
//! the first line of the body too. A message may therefore have no header at all. A line of white
//! space alone continues the field before it (RFC 5322 section 4.2, obs-FWS).

use std::ops::Range;

/// Default limit of a header block in octets, with its empty line.
pub const MAX_HEADER: usize = 256 * 1024;

/// Longest field name with its colon in octets: a line has no more (RFC 5322 section 2.1.1), and
/// judging a line again and again stays cheap.
const MAX_NAME: usize = 998;

/// Name of the field in which a message demands to be sealed.
pub const SEAL_REQUIRED: &str = "MTA-Seal-Required";

/// The header block is longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("header block longer than {limit} octets")]
pub struct HeaderTooLarge {
    /// The limit in octets.
    pub limit: usize,
}

/// Collects the octets of a message until its header block is complete.
#[derive(Debug)]
pub struct HeaderCollector {
    buffer: Vec<u8>,
    fields: Vec<Span>,
    /// Start of the first line not yet judged.
    line: usize,
    /// Octets of that line known to hold no line end.
    searched: usize,
    end: Option<End>,
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
struct End {
    /// First octet after the last field.
    fields: usize,
    /// First octet of the body.
    body: usize,
}

/// A complete header block and the octets of the body that were collected with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    raw: Vec<u8>,
    fields: Vec<Span>,
    /// Length of the fields without the empty line.
    fields_len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    name: Range<usize>,
    raw: Range<usize>,
}

/// One header field as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    name: &'a [u8],
    raw: &'a [u8],
}

impl Default for HeaderCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl HeaderCollector {
    /// A collector with the limit [`MAX_HEADER`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_HEADER)
    }

    /// A collector that accepts at most `limit` octets of header, the empty line included.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), fields: Vec::new(), line: 0, searched: 0, end: None, limit }
    }

    /// Takes the next octets of the message, all of them; true as soon as the header block is
    /// complete. Memory is the limit plus one `input`.
    ///
    /// # Errors
    ///
    /// [`HeaderTooLarge`] if the block exceeds the limit; it does so in every division of the
    /// message into calls.
    pub fn push(&mut self, input: &[u8]) -> Result<bool, HeaderTooLarge> {
        self.buffer.extend_from_slice(input);
        while self.end.is_none() {
            let line = self.buffer.get(self.line..).unwrap_or_default();
            let Some(len) = find_crlf(line, self.searched) else {
                let judged = judge(line);
                // A line that can no longer become a field ends the header at once.
                let orphan = judged == Line::Continuation && self.fields.is_empty();
                if judged == Line::Other || orphan {
                    self.end = Some(End { fields: self.line, body: self.line });
                    break;
                }
                self.searched = line.len();
                // A line not yet judged may turn out to be body, which has no limit here.
                let counted = if judged == Line::Unknown { 0 } else { line.len() };
                if self.line + counted > self.limit {
                    return Err(HeaderTooLarge { limit: self.limit });
                }
                return Ok(false);
            };
            self.take_line(len);
        }
        match self.end {
            Some(end) if end.body > self.limit => Err(HeaderTooLarge { limit: self.limit }),
            end => Ok(end.is_some()),
        }
    }

    /// Judges the line of `len` octets, its CRLF included, at `self.line`.
    fn take_line(&mut self, len: usize) {
        let start = self.line;
        let line = self.buffer.get(start..start + len).unwrap_or_default();
        match judge(line) {
            _ if line == b"\r\n" => self.end = Some(End { fields: start, body: start + len }),
            Line::Field(name) => {
                self.fields.push(Span { name: start..start + name, raw: start..start + len });
            }
            Line::Continuation if !self.fields.is_empty() => {
                if let Some(last) = self.fields.last_mut() {
                    last.raw.end = start + len;
                }
            }
            _ => self.end = Some(End { fields: start, body: start }),
        }
        if self.end.is_none() {
            self.line = start + len;
            self.searched = 0;
        }
    }

    /// Ends the header block, also that of a message which ended before an empty line, and
    /// returns it with every octet pushed after it: the beginning of the body.
    ///
    /// # Errors
    ///
    /// [`HeaderTooLarge`] as for [`HeaderCollector::push`].
    pub fn finish(mut self) -> Result<(Header, Vec<u8>), HeaderTooLarge> {
        if self.end.is_none() {
            let rest = self.buffer.len() - self.line;
            if rest > 0 {
                self.take_line(rest);
            }
        }
        let whole = self.buffer.len();
        let end = self.end.unwrap_or(End { fields: whole, body: whole });
        if end.body > self.limit {
            return Err(HeaderTooLarge { limit: self.limit });
        }
        let body = self.buffer.split_off(end.body);
        Ok((Header { raw: self.buffer, fields: self.fields, fields_len: end.fields }, body))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// A field (or the beginning of one); the length of its name.
    Field(usize),
    /// A line that begins with white space.
    Continuation,
    /// Too short to tell.
    Unknown,
    /// Neither.
    Other,
}

/// Judges the beginning of a line (RFC 5322 sections 2.2 and 4.5: white space before the colon is
/// obsolete but read).
fn judge(line: &[u8]) -> Line {
    match line.first() {
        None => return Line::Unknown,
        Some(b' ' | b'\t') => return Line::Continuation,
        Some(_) => {}
    }
    let window = line.get(..MAX_NAME).unwrap_or(line);
    let name = window.iter().position(|&b| !is_ftext(b)).unwrap_or(window.len());
    let after = window.iter().skip(name).find(|&&b| b != b' ' && b != b'\t');
    match after {
        Some(b':') if name > 0 => Line::Field(name),
        Some(b'\r') if line == b"\r" => Line::Unknown,
        Some(_) => Line::Other,
        None if line.len() > MAX_NAME => Line::Other,
        None => Line::Unknown,
    }
}

/// `ftext` of RFC 5322 section 3.6.8.
fn is_ftext(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b':'
}

/// Length of the line with its CRLF; the first `searched` octets are known to hold none.
fn find_crlf(line: &[u8], searched: usize) -> Option<usize> {
    let mut from = searched.saturating_sub(1);
    while let Some(at) = memchr::memchr(b'\n', line.get(from..)?) {
        let lf = from + at;
        if lf > 0 && line.get(lf - 1) == Some(&b'\r') {
            return Some(lf + 1);
        }
        from = lf + 1;
    }
    None
}

impl Header {
    /// Splits a header block that is wholly in memory; also returns what follows it.
    #[must_use]
    pub fn split(message: &[u8]) -> (Self, Vec<u8>) {
        let mut collector = HeaderCollector::with_limit(usize::MAX);
        let empty = || (Self { raw: Vec::new(), fields: Vec::new(), fields_len: 0 }, Vec::new());
        match collector.push(message) {
            Ok(_) => collector.finish().unwrap_or_else(|_| empty()),
            Err(_) => empty(),
        }
    }

    /// The whole block as received, with the empty line if there was one.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The empty line as received: CRLF, or nothing if the message has none.
    #[must_use]
    pub fn separator(&self) -> &[u8] {
        self.raw.get(self.fields_len..).unwrap_or_default()
    }

    /// The empty line that is due where fields are put before a message whose header block ended without one,
    /// because a line of it is no field: otherwise what follows would be read as header again.
    #[must_use]
    pub fn due_separator(&self, body_follows: bool) -> &'static [u8] {
        if self.separator().is_empty() && body_follows { b"\r\n" } else { b"" }
    }

    /// The fields in their order; their raw octets joined, and [`Header::separator`], are
    /// [`Header::raw`].
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'_>> {
        self.fields.iter().map(|span| Field {
            name: self.raw.get(span.name.clone()).unwrap_or_default(),
            raw: self.raw.get(span.raw.clone()).unwrap_or_default(),
        })
    }

    /// The fields of a name, in their order.
    pub fn find<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name))
    }

    /// The field of a name if there is exactly one.
    #[must_use]
    pub fn only<'a>(&'a self, name: &'a str) -> Option<Field<'a>> {
        let mut found = self.find(name);
        match (found.next(), found.next()) {
            (Some(field), None) => Some(field),
            _ => None,
        }
    }

    /// How many fields of a name there are.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.find(name).count()
    }

    /// How many `Received:` fields there are, for the loop limit (RFC 5321 section 6.3).
    #[must_use]
    pub fn received_count(&self) -> usize {
        self.count("Received")
    }

    /// The block without the fields that `remove` names; every other octet is unchanged.
    #[must_use]
    pub fn without(&self, remove: impl FnMut(&Field<'_>) -> bool) -> Self {
        let mut kept = Vec::with_capacity(self.raw.len());
        self.write_without(remove, &mut kept);
        Self::split(&kept).0
    }

    /// Appends the block to `out` without the fields that `remove` names; every other octet is
    /// unchanged. Returns how many fields were left out.
    pub fn write_without(
        &self,
        mut remove: impl FnMut(&Field<'_>) -> bool,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut removed = 0;
        for field in self.fields() {
            if remove(&field) {
                removed += 1;
            } else {
                out.extend_from_slice(field.raw());
            }
        }
        out.extend_from_slice(self.separator());
        removed
    }
}

impl<'a> Field<'a> {
    /// The name as it stands in the message, without white space before the colon.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Whether the field has this name; names ignore case (RFC 5322 section 1.2.2).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The whole field with its folding and last CRLF.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The field body after the colon, with its folding and without the last CRLF.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        let raw = self.raw.strip_suffix(b"\r\n").unwrap_or(self.raw);
        let after = raw.get(self.name.len()..).unwrap_or_default();
        let colon = after.iter().position(|&b| b == b':').map_or(after.len(), |at| at + 1);
        after.get(colon..).unwrap_or_default()
    }

    /// The body unfolded: each CRLF before white space removed (RFC 5322 section 2.2.3), and white
    /// space at both ends.
    #[must_use]
    pub fn unfolded(&self) -> Vec<u8> {
        unfold(self.body()).trim_ascii().to_vec()
    }
}

/// Removes every CRLF; in a field body each one stands before white space.
pub(crate) fn unfold(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        text.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    text
}

/// What a message demands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// No demand, or `no`: local policy alone decides.
    None,
    /// The message must be sealed to every recipient domain.
    Sealed,
}

/// The demand field has another value than `yes` or `no`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed demand to be sealed")]
pub struct MalformedDemand;

/// Reads the demand in the fields of the given name, by default [`SEAL_REQUIRED`]: `yes` or `no`
/// in any case, with white space around. Of several fields, one `yes` suffices: a demand can only
/// tighten.
///
/// # Errors
///
/// [`MalformedDemand`] if any of the fields has another value.
pub fn demand(header: &Header, name: &str) -> Result<Demand, MalformedDemand> {
    let mut demand = Demand::None;
    for field in header.find(name) {
        let value = field.unfolded();
        if value.eq_ignore_ascii_case(b"yes") {
            demand = Demand::Sealed;
        } else if !value.eq_ignore_ascii_case(b"no") {
            return Err(MalformedDemand);
        }
    }
    Ok(demand)
}

/// Whether the message says of itself that a program sent it (RFC 3834 section 5, RFC 6522): an
/// `Auto-Submitted:` other than `no`, or the type `multipart/report`. Not every MTA says so in
/// its bounces (OpenSMTPD does not), so a null reverse-path counts as well; that is the caller's.
#[must_use]
pub fn is_automatic(header: &Header) -> bool {
    let submitted = header.find("Auto-Submitted").any(|field| {
        let value = field.unfolded();
        let word = value.split(|&b| matches!(b, b';' | b'(' | b' ' | b'\t')).next();
        !word.unwrap_or_default().eq_ignore_ascii_case(b"no")
    });
    let report = header.find("Content-Type").any(|field| {
        super::mime::Structured::parse(field.body())
            .is_some_and(|media| media.value() == "multipart/report")
    });
    submitted || report
}
