//! Recognising a carrier in a stream of octets, and giving its envelope back [R-car-04..07].
//!
//! A message that is no carrier is known to be none as soon as its header is read, unless it
//! claims to come from an `mta-seal@` mailbox; then after 64 KiB of body at the latest. Until the
//! verdict every octet is kept, so that the message can be passed on unchanged.
//!
//! Decisions where the draft leaves room:
//!
//! * The local part `mta-seal` is compared octet by octet, in lower case.
//! * "The part begins" means the first octet after the empty line of its header. The magic must
//!   then be complete within 1,024 octets.
//! * A part with our file name but another media type that does not decode to the magic is an
//!   ordinary attachment. With our media type it is an error [R-car-05].
//! * A missing last delimiter is tolerated: the end of the envelope is authenticated by what is
//!   inside it, and a part that ends early fails there.
//! * `multipart/mixed` deeper than 3 is opaque like any other part, not an error.
//! * Once an envelope was found, the rest of the message is searched for a second one, wherever it
//!   begins; other parts are counted and skipped.
//!
//! The receiver's own domain in the envelope [R-car-04] is compared by the caller, who reads the
//! envelope's header.

use super::LOCAL_PART;
use super::lines::Lines;
use super::tree::{Body, Output};
use crate::mail::address;
use crate::mail::header::{Header, HeaderCollector, HeaderTooLarge, MAX_HEADER};

/// Octets of body beyond [`Limits::body`] that are read before a message is no carrier: room for
/// the magic of a part that begins just before the limit.
const MARGIN: u64 = 4096;

/// Limits of a scan [R-car-09].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Outer header block in octets, with its empty line.
    pub header: usize,
    /// Octets of body within which the sealed part begins.
    pub body: u64,
    /// Header block of one part in octets, with its empty line.
    pub part_header: usize,
    /// Parts of a recognised carrier, those before the sealed one included.
    pub parts: u32,
}

impl Default for Limits {
    /// 256 KiB of header, 64 KiB of body, 64 KiB for the header of a part, 1,000 parts.
    fn default() -> Self {
        Self { header: MAX_HEADER, body: 65_536, part_header: 65_536, parts: 1000 }
    }
}

/// How far the verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No verdict yet.
    Undecided,
    /// Ordinary mail: take the octets seen so far with [`Scanner::take_held`]; later octets need
    /// not be pushed.
    NotCarrier,
    /// A carrier: the envelope's octets come out.
    Carrier,
}

/// Why a message is refused [R-car-05], [R-car-07]. The first error is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The outer header block is too large.
    #[error(transparent)]
    Header(#[from] HeaderTooLarge),
    /// The header block of a part in a carrier is too large.
    #[error("header of a part of a carrier too large")]
    PartHeaderTooLarge,
    /// The carrier has too many parts.
    #[error("too many parts in a carrier")]
    TooManyParts,
    /// Two sealed parts in one message.
    #[error("second sealed part in a carrier")]
    SecondPart,
    /// Our media type from a gateway's address, but no envelope.
    #[error("sealed part without the magic of an envelope")]
    BadMagic,
    /// The sealed part has an unknown transfer encoding, or several.
    #[error("unknown transfer encoding of a sealed part")]
    BadEncoding,
    /// The sealed part is no canonical base64, or is cut off inside a quantum.
    #[error("malformed base64 in a sealed part")]
    BadBase64,
    /// The sealed part is no quoted-printable.
    #[error("malformed quoted-printable in a sealed part")]
    BadQuotedPrintable,
}

/// Scans one incoming message, header first, in any division into calls.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    state: State,
    failed: Option<ScanError>,
    /// Every octet of the message while there is no verdict.
    held: Vec<u8>,
    collector: Option<HeaderCollector>,
    header: Option<Header>,
    lines: Lines,
    body: Body,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Scanner {
    /// A scanner at the beginning of a message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Undecided,
            failed: None,
            held: Vec::new(),
            collector: Some(HeaderCollector::with_limit(limits.header)),
            header: None,
            lines: Lines::new(),
            body: Body::new(limits),
        }
    }

    /// The verdict so far.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The outer header, once it is complete. Nothing in it is to be trusted.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Takes the next octets of the message and appends the octets of the envelope to `out`, as
    /// far as they are decoded: a block of up to 48 KiB may be held back until [`finish`].
    ///
    /// [`finish`]: Scanner::finish
    ///
    /// # Errors
    ///
    /// See [`ScanError`]; which one, and at which octet, does not depend on the division.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<State, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.state {
            State::NotCarrier => return Ok(self.state),
            State::Undecided => self.held.extend_from_slice(input),
            State::Carrier => {}
        }
        let result = self.advance(input, out);
        self.settle(result)
    }

    /// Ends the message: the verdict is then [`State::Carrier`], with the envelope complete in
    /// `out`, or [`State::NotCarrier`].
    ///
    /// # Errors
    ///
    /// As for [`Scanner::push`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<State, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.end(out);
        let state = self.settle(result)?;
        if state == State::Undecided {
            self.state = State::NotCarrier;
        }
        Ok(self.state)
    }

    /// Every octet pushed before and with the verdict [`State::NotCarrier`], once, unchanged.
    /// Empty for a carrier.
    #[must_use]
    pub fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn settle(&mut self, result: Result<(), ScanError>) -> Result<State, ScanError> {
        if let Err(error) = result {
            self.failed = Some(error);
            self.held = Vec::new();
            return Err(error);
        }
        if self.state == State::Undecided && self.body.found {
            self.state = State::Carrier;
            self.held = Vec::new();
        }
        Ok(self.state)
    }

    fn advance(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
        let Some(collector) = self.collector.as_mut() else { return self.feed(input, out) };
        if !collector.push(input)? {
            return Ok(());
        }
        let rest = self.end_header()?;
        self.feed(&rest, out)
    }

    /// Judges the outer header; returns the body octets collected with it.
    fn end_header(&mut self) -> Result<Vec<u8>, ScanError> {
        let Some(collector) = self.collector.take() else { return Ok(Vec::new()) };
        let (header, rest) = collector.finish()?;
        let claims =
            address::author(&header).is_some_and(|mailbox| mailbox.local == LOCAL_PART.as_bytes());
        if claims {
            self.body.open(&header, 0)?;
        }
        if !claims || self.body.is_hopeless() {
            self.state = State::NotCarrier;
        }
        self.header = Some(header);
        Ok(rest)
    }

    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
        while !input.is_empty() && self.state != State::NotCarrier {
            // Stop exactly at the limit, so that the verdict never depends on what lies beyond.
            let limit = self.limits.body.saturating_add(MARGIN);
            let room = if self.body.found {
                input.len()
            } else {
                usize::try_from(limit.saturating_sub(self.lines.offset())).unwrap_or(usize::MAX)
            };
            let (now, later) = input.split_at(room.min(input.len()));
            input = later;
            self.lines.push(now, &mut Output { body: &mut self.body, out })?;
            if !self.body.found && self.lines.offset() >= limit {
                self.state = State::NotCarrier;
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), ScanError> {
        if self.collector.is_some() {
            let rest = self.end_header()?;
            self.feed(&rest, out)?;
        }
        if self.state == State::NotCarrier {
            return Ok(());
        }
        let mut output = Output { body: &mut self.body, out };
        self.lines.finish(&mut output)?;
        output.body.end_part(output.out)
    }
}
