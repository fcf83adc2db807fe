//! The body as a tree of parts: where the scan stands in it, and what it makes of each part.

use super::MAGIC;
use super::lines::Sink;
use super::part::{Kind, kind};
use super::scan::{Limits, ScanError};
use super::transfer::{PartDecoder, TransferError};
use crate::mail::header::Header;

/// Depth of `multipart/mixed` down to which parts are looked at [R-car-04].
const MAX_DEPTH: usize = 3;

/// The body as a tree of parts, of which one path is open.
#[derive(Debug)]
pub(super) struct Body {
    limits: Limits,
    boundaries: Vec<Vec<u8>>,
    place: Place,
    parts: u32,
    /// The magic of an envelope was seen.
    pub(super) found: bool,
}

/// Where in the tree the current line is.
#[derive(Debug)]
enum Place {
    /// Preamble, epilogue or an opaque part.
    Skipped,
    /// Header of a part, and whether the current line is still empty.
    Header { raw: Vec<u8>, blank: bool },
    /// The content of a part that may be sealed.
    Content { decoder: PartDecoder, declared: bool, second: bool },
}

impl Body {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, boundaries: Vec::new(), place: Place::Skipped, parts: 0, found: false }
    }

    /// Whether no part can come any more that is looked at.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self.place, Place::Skipped) && self.boundaries.is_empty()
    }

    /// Begins the content of a part, or of the message, at an offset of the body.
    pub(super) fn open(&mut self, header: &Header, start: u64) -> Result<(), ScanError> {
        self.place = Place::Skipped;
        match kind(header) {
            Kind::Mixed(boundary) if self.boundaries.len() < MAX_DEPTH => {
                self.boundaries.push(boundary);
            }
            Kind::Candidate { declared, encoding } if self.found || start < self.limits.body => {
                match encoding {
                    Some(encoding) => {
                        let decoder = PartDecoder::new(encoding);
                        self.place = Place::Content { decoder, declared, second: self.found };
                    }
                    None if declared => return Err(ScanError::BadEncoding),
                    None => {}
                }
            }
            Kind::Mixed(_) | Kind::Candidate { .. } | Kind::Opaque => {}
        }
        Ok(())
    }

    /// Ends the header of a part whose content begins at `start`.
    fn end_part_header(&mut self, start: u64) -> Result<(), ScanError> {
        if let Place::Header { raw, .. } = std::mem::replace(&mut self.place, Place::Skipped) {
            let (header, rest) = Header::split(&raw);
            // A line that is no field makes the header of a part doubtful.
            if rest.is_empty() {
                self.open(&header, start)?;
            }
        }
        Ok(())
    }

    /// Ends the content of a part, at a delimiter or the end of the message.
    pub(super) fn end_part(&mut self, out: &mut Vec<u8>) -> Result<(), ScanError> {
        let result = match &mut self.place {
            Place::Content { decoder, second, .. } => {
                // The octets of a second envelope go nowhere.
                let mut nowhere = Vec::new();
                decoder.finish(if *second { &mut nowhere } else { out })
            }
            Place::Skipped | Place::Header { .. } => Ok(()),
        };
        self.judge(result)?;
        self.place = Place::Skipped;
        Ok(())
    }

    /// Weighs what a decoder said.
    fn judge(&mut self, result: Result<(), TransferError>) -> Result<(), ScanError> {
        let Place::Content { decoder, declared, second } = &self.place else { return Ok(()) };
        if decoder.is_sealed() {
            if *second {
                return Err(ScanError::SecondPart);
            }
            self.found = true;
        }
        match result {
            Ok(()) => Ok(()),
            Err(error) if *declared || decoder.is_sealed() => Err(error.into()),
            Err(_) => {
                self.place = Place::Skipped;
                Ok(())
            }
        }
    }
}

impl From<TransferError> for ScanError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::NoMagic => Self::BadMagic,
            TransferError::Base64 => Self::BadBase64,
            TransferError::QuotedPrintable => Self::BadQuotedPrintable,
        }
    }
}

/// The body with the place where octets of the envelope go.
pub(super) struct Output<'a> {
    pub(super) body: &'a mut Body,
    pub(super) out: &'a mut Vec<u8>,
}

impl Output<'_> {
    fn decode(
        &mut self,
        step: impl Fn(&mut PartDecoder, &mut Vec<u8>) -> Result<(), TransferError>,
    ) -> Result<(), ScanError> {
        let Place::Content { decoder, second, .. } = &mut self.body.place else { return Ok(()) };
        if *second {
            let mut nowhere = Vec::with_capacity(MAGIC.len());
            let result = step(decoder, &mut nowhere);
            return self.body.judge(result);
        }
        let known = decoder.is_sealed();
        let result = step(decoder, self.out);
        if known && result.is_ok() { Ok(()) } else { self.body.judge(result) }
    }

    fn check_header(&mut self) -> Result<(), ScanError> {
        let limit = self.body.limits.part_header;
        match &self.body.place {
            // With the empty line that is still to come [R-car-09].
            Place::Header { raw, .. } if raw.len() + 2 > limit => {
                if self.body.found {
                    return Err(ScanError::PartHeaderTooLarge);
                }
                self.body.place = Place::Skipped;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Sink for Output<'_> {
    fn boundaries(&self) -> &[Vec<u8>] {
        &self.body.boundaries
    }

    fn in_header(&self) -> bool {
        matches!(self.body.place, Place::Header { .. })
    }

    fn in_base64(&self) -> bool {
        matches!(&self.body.place, Place::Content { decoder, .. } if decoder.is_plain_base64())
    }

    fn text(&mut self, text: &[u8]) -> Result<(), ScanError> {
        match &mut self.body.place {
            Place::Skipped => Ok(()),
            Place::Content { .. } => self.decode(|decoder, out| decoder.text(text, out)),
            Place::Header { raw, blank } => {
                *blank = false;
                raw.extend_from_slice(text);
                self.check_header()
            }
        }
    }

    fn line_end(&mut self, next: u64) -> Result<(), ScanError> {
        match &mut self.body.place {
            Place::Skipped => Ok(()),
            Place::Content { .. } => self.decode(PartDecoder::line_end),
            Place::Header { blank: true, .. } => self.body.end_part_header(next),
            Place::Header { raw, blank } => {
                *blank = true;
                raw.extend_from_slice(b"\r\n");
                self.check_header()
            }
        }
    }

    fn delimiter(&mut self, level: usize, close: bool) -> Result<(), ScanError> {
        self.body.end_part(self.out)?;
        self.body.boundaries.truncate(if close { level } else { level + 1 });
        if close {
            return Ok(());
        }
        self.body.parts = self.body.parts.saturating_add(1);
        if self.body.found && self.body.parts > self.body.limits.parts {
            return Err(ScanError::TooManyParts);
        }
        self.body.place = Place::Header { raw: Vec::new(), blank: true };
        Ok(())
    }
}
