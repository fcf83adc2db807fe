//! Quoted-printable, read line by line (RFC 2045 section 6.7).

use crate::mail::mime::hex;

/// Longest run of white space kept until it is known whether the line ends after it.
const MAX_RUN: usize = 998;

/// The part is no quoted-printable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadQuotedPrintable;

/// Decodes one part. Hexadecimal digits of either case are read; white space at the end of a line
/// was added on the way and is dropped (rule 3).
#[derive(Debug)]
pub(super) struct QuotedPrintable {
    escape: Escape,
    white_space: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// After `=`.
    Begun,
    /// After `=` and one digit.
    Half(u8),
    /// After `=` and white space: only the end of the line may follow.
    Soft,
}

impl QuotedPrintable {
    pub(super) fn new() -> Self {
        Self { escape: Escape::None, white_space: Vec::new() }
    }

    pub(super) fn text(
        &mut self,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BadQuotedPrintable> {
        for &octet in text {
            self.escape = match (self.escape, octet) {
                (Escape::Begun | Escape::Soft, b' ' | b'\t') => Escape::Soft,
                (Escape::Soft, _) => return Err(BadQuotedPrintable),
                (Escape::Begun, digit) => Escape::Half(hex(digit).ok_or(BadQuotedPrintable)?),
                (Escape::Half(high), digit) => {
                    out.push(high << 4 | hex(digit).ok_or(BadQuotedPrintable)?);
                    Escape::None
                }
                (Escape::None, b' ' | b'\t') => {
                    if self.white_space.len() == MAX_RUN {
                        return Err(BadQuotedPrintable);
                    }
                    self.white_space.push(octet);
                    Escape::None
                }
                (Escape::None, _) => {
                    out.append(&mut self.white_space);
                    if octet == b'=' {
                        Escape::Begun
                    } else {
                        out.push(octet);
                        Escape::None
                    }
                }
            };
        }
        Ok(())
    }

    pub(super) fn line_end(&mut self, out: &mut Vec<u8>) -> Result<(), BadQuotedPrintable> {
        self.white_space.clear();
        match std::mem::replace(&mut self.escape, Escape::None) {
            Escape::None => out.extend_from_slice(b"\r\n"),
            Escape::Begun | Escape::Soft => {}
            Escape::Half(_) => return Err(BadQuotedPrintable),
        }
        Ok(())
    }

    /// The last line of a part has no line end of its own.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BadQuotedPrintable> {
        self.line_end(out)?;
        if out.ends_with(b"\r\n") {
            out.truncate(out.len() - 2);
        }
        Ok(())
    }
}
