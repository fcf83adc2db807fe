//! Strict base64 at the speed of the machine (RFC 4648 section 4).

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::PAD;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Fast = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Fast = base64::engine::GeneralPurpose;

/// `PAD` demands canonical padding and zero trailing bits [R-car-07].
static ENGINE: LazyLock<Fast> = LazyLock::new(|| {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let engine = Fast::standard(PAD);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let engine = Fast::new(&base64::alphabet::STANDARD, PAD);
    engine
});

/// Encodes into the beginning of `text`, which has room for it; the number of characters.
pub(super) fn encode(octets: &[u8], text: &mut [u8]) -> usize {
    ENGINE.encode_slice(octets, text).unwrap_or(0)
}

/// The part is no canonical base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadBase64;

/// Characters decoded at once. The division into blocks depends on the text alone, never on the
/// division of the input into calls.
const BLOCK: usize = 64 * 1024;

/// The first block: nine octets, enough to see the magic.
const FIRST: usize = 12;

/// Decodes one part. White space may stand anywhere, nothing may follow the padding.
#[derive(Debug)]
pub(super) struct Decoder {
    text: Vec<u8>,
    target: usize,
    padded: bool,
    /// White space was met, so it is sifted out before decoding from then on: retrying block by
    /// block would let a run of spaces cost a block each.
    spaced: bool,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), target: FIRST, padded: false, spaced: false }
    }

    /// Takes text and appends octets to `out` block by block.
    pub(super) fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), BadBase64> {
        while !input.is_empty() {
            let (mut line, rest) = split_line(input);
            input = rest;
            while !line.is_empty() {
                let room = self.target - self.text.len();
                let (now, later) = line.split_at(room.min(line.len()));
                line = later;
                if self.spaced {
                    self.text.extend(now.iter().filter(|b| !is_white_space(**b)));
                } else {
                    self.text.extend_from_slice(now);
                }
                if self.text.len() == self.target {
                    self.block(out)?;
                }
            }
        }
        Ok(())
    }

    /// Decodes a full block, unless it shrinks when its white space is removed.
    fn block(&mut self, out: &mut Vec<u8>) -> Result<(), BadBase64> {
        if self.decode(out).is_err() {
            let full = self.text.len();
            self.text.retain(|b| !is_white_space(*b));
            self.spaced = true;
            return if self.text.len() < full { Ok(()) } else { Err(BadBase64) };
        }
        self.target = BLOCK;
        Ok(())
    }

    fn decode(&mut self, out: &mut Vec<u8>) -> Result<(), BadBase64> {
        if self.padded && !self.text.is_empty() {
            return Err(BadBase64);
        }
        let start = out.len();
        out.resize(start + self.text.len() / 4 * 3 + 3, 0);
        let decoded = ENGINE.decode_slice(&self.text, out.get_mut(start..).unwrap_or_default());
        out.truncate(start + decoded.as_ref().copied().unwrap_or(0));
        decoded.map_err(|_| BadBase64)?;
        self.padded |= self.text.last() == Some(&b'=');
        self.text.clear();
        Ok(())
    }

    /// Decodes what is left at the end of the part.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BadBase64> {
        self.text.retain(|b| !is_white_space(*b));
        self.decode(out)
    }
}

/// The text up to the next line end, and what follows that. A guess at lines of 76 characters
/// saves the search; if there are line ends inside, they are sifted out later.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    if let Some((line, rest)) = text.split_first_chunk::<78>()
        && let Some(line) = line.strip_suffix(b"\r\n")
    {
        return (line, rest);
    }
    let (line, rest) = match memchr::memchr(b'\n', text) {
        Some(lf) => (text.get(..lf).unwrap_or_default(), text.get(lf + 1..).unwrap_or_default()),
        None => (text, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// White space in base64 text [R-car-07].
pub(super) fn is_white_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}
