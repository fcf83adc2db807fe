//! Undoing the transfer encoding of a part, and seeing what stands in it [R-car-06].
//!
//! The sealing gateway declares its part base64. A hop that changes the transfer encoding decodes
//! the part first, so quoted-printable, 7bit or 8bit hold the envelope itself; a hop that only
//! relabels or quotes the text leaves base64 text in it. The first octet tells: an envelope begins
//! with 0xD3, which is no base64.

use super::MAGIC;
use super::base64::{self, Decoder};
use super::quoted::QuotedPrintable;

/// Octets of text within which the magic must be complete.
const PROBE: u64 = 1024;

/// Why a part is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferError {
    /// The part does not begin with an envelope's magic.
    NoMagic,
    /// The part is no canonical base64.
    Base64,
    /// The part is no quoted-printable.
    QuotedPrintable,
}

/// Transfer encoding as declared (RFC 2045 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary or none.
    Identity,
    /// Base64.
    Base64,
    /// Quoted-printable.
    QuotedPrintable,
}

/// Decodes one part to the octets of the envelope.
#[derive(Debug)]
pub(super) struct PartDecoder {
    quoted: Option<QuotedPrintable>,
    form: Form,
    /// Octets of the part taken so far.
    taken: u64,
    /// Decoded octets before the magic is complete.
    head: Vec<u8>,
    sealed: bool,
}

#[derive(Debug)]
enum Form {
    Unknown,
    Raw,
    Base64(Decoder),
}

impl PartDecoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            quoted: (encoding == Encoding::QuotedPrintable).then(QuotedPrintable::new),
            form: match encoding {
                Encoding::Base64 => Form::Base64(Decoder::new()),
                Encoding::Identity | Encoding::QuotedPrintable => Form::Unknown,
            },
            taken: 0,
            head: Vec::new(),
            sealed: false,
        }
    }

    /// Whether the magic was seen.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether what is left is base64 text without another encoding around it.
    pub(super) fn is_plain_base64(&self) -> bool {
        self.sealed && self.quoted.is_none() && matches!(self.form, Form::Base64(_))
    }

    /// Takes a piece of a line.
    pub(super) fn text(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), TransferError> {
        if self.sealed {
            return self.decode(text, out);
        }
        // Before the magic is seen, every octet counts against the limit, wherever the pieces end.
        let room = usize::try_from(PROBE - self.taken).unwrap_or(0).min(text.len());
        let (probe, rest) = text.split_at(room);
        self.taken += room as u64;
        self.decode(probe, out)?;
        if self.sealed {
            return self.decode(rest, out);
        }
        if rest.is_empty() { Ok(()) } else { Err(TransferError::NoMagic) }
    }

    fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), TransferError> {
        match self.quoted.as_mut() {
            None => self.form(text, out),
            Some(quoted) => {
                let mut plain = Vec::new();
                let read = quoted.text(text, &mut plain);
                // What stands before the error may have an error of its own, which comes first.
                self.form(&plain, out)?;
                read.map_err(|_| TransferError::QuotedPrintable)
            }
        }
    }

    /// Takes the end of a line that is followed by more content.
    pub(super) fn line_end(&mut self, out: &mut Vec<u8>) -> Result<(), TransferError> {
        match self.quoted.as_mut() {
            None => self.text(b"\r\n", out),
            Some(quoted) => {
                if !self.sealed {
                    self.taken = (self.taken + 2).min(PROBE);
                }
                let mut plain = Vec::new();
                quoted.line_end(&mut plain).map_err(|_| TransferError::QuotedPrintable)?;
                self.form(&plain, out)
            }
        }
    }

    /// Ends the part.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), TransferError> {
        if let Some(quoted) = self.quoted.as_mut() {
            let mut plain = Vec::new();
            quoted.finish(&mut plain).map_err(|_| TransferError::QuotedPrintable)?;
            self.form(&plain, out)?;
        }
        if matches!(self.form, Form::Base64(_)) {
            self.base64(None, out)?;
        }
        if self.sealed { Ok(()) } else { Err(TransferError::NoMagic) }
    }

    fn form(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> Result<(), TransferError> {
        if matches!(self.form, Form::Unknown) {
            let Some(at) = octets.iter().position(|&b| !base64::is_white_space(b)) else {
                // An envelope does not begin with white space, so only base64 is left.
                if !octets.is_empty() {
                    self.form = Form::Base64(Decoder::new());
                }
                return Ok(());
            };
            self.form = if at == 0 && octets.first() == MAGIC.first() {
                Form::Raw
            } else {
                octets = octets.get(at..).unwrap_or_default();
                Form::Base64(Decoder::new())
            };
        }
        if matches!(self.form, Form::Base64(_)) {
            self.base64(Some(octets), out)
        } else if self.sealed {
            out.extend_from_slice(octets);
            Ok(())
        } else {
            self.head.extend_from_slice(octets);
            self.judge(out)
        }
    }

    /// Decodes base64, or its end.
    fn base64(&mut self, text: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), TransferError> {
        let Form::Base64(decoder) = &mut self.form else { return Ok(()) };
        let into = if self.sealed { &mut *out } else { &mut self.head };
        match text {
            Some(text) => decoder.push(text, into),
            None => decoder.finish(into),
        }
        .map_err(|_| TransferError::Base64)?;
        if self.sealed { Ok(()) } else { self.judge(out) }
    }

    /// Compares the magic once it is complete, and passes on what came with it.
    fn judge(&mut self, out: &mut Vec<u8>) -> Result<(), TransferError> {
        if self.head.len() < MAGIC.len() {
            return Ok(());
        }
        if !self.head.starts_with(&MAGIC) {
            return Err(TransferError::NoMagic);
        }
        self.sealed = true;
        out.append(&mut self.head);
        self.head = Vec::new();
        Ok(())
    }
}
