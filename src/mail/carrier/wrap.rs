//! Writing a carrier in one pass [R-car-01].

use std::fmt;

use super::base64;
use super::{LOCAL_PART, MEDIA_TYPE, TOKEN_FIELD};
use crate::core::Domain;
use crate::core::hex::{self, Hex};
use crate::mail::date::{DATE_LEN, rfc5322};

/// Characters of one base64 line (RFC 2045 section 6.8), and the octets they stand for.
const LINE: usize = 76;
const LINE_OCTETS: usize = 57;
const WIRE_LINE: usize = LINE + 2;

/// Lines encoded at once: about 29 KiB of octets, so that both buffers stay in the fast cache.
const BLOCK_LINES: usize = 512;

/// What a person reads who is handed a carrier instead of the message.
const HUMAN_TEXT: &str = "\
This message was sealed on its way between two organisations, so that\r\n\
nobody in between could read it. The attachment holds the message.\r\n\
\r\n\
The mail system of your organisation should have opened it for you. If\r\n\
you see this text, it did not. There is nothing you need to open or\r\n\
install: please show this to the people who run your mail, or to your\r\n\
postmaster, and ask the sender to send the message again later.\r\n";

/// The random token of one carrier: names its boundary and Message-ID, and matches bounces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// A token of 16 random octets, new for each carrier.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the 32 lower-case hexadecimal digits of [`Token`]'s `Display`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let upper = text.iter().any(u8::is_ascii_uppercase);
        hex::parse(text).filter(|_| !upper).map(Self)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// Writes one carrier: the head at once, the envelope as it comes, the end at [`finish`]. Its head is made of the two domains,
/// the time and the token, and of nothing else [R-car-02].
///
/// Memory is constant: about 40 KiB.
///
/// [`finish`]: CarrierWriter::finish
#[derive(Debug)]
pub struct CarrierWriter {
    token: Token,
    /// Octets of a line not yet full.
    partial: Vec<u8>,
    text: Vec<u8>,
}

impl CarrierWriter {
    /// Appends everything before the envelope to `out`. `date` is in seconds since 1970.
    #[must_use]
    pub fn new(
        sender: &Domain,
        recipient: &Domain,
        token: Token,
        date: u64,
        out: &mut Vec<u8>,
    ) -> Self {
        out.extend_from_slice(head(sender.as_str(), recipient.as_str(), token, date).as_bytes());
        Self { token, partial: Vec::with_capacity(LINE_OCTETS), text: vec![0; BLOCK_LINES * LINE] }
    }

    /// Appends the text of the next octets of the envelope to `out`, as far as they fill lines.
    pub fn write(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            let room = LINE_OCTETS - self.partial.len();
            let (now, later) = octets.split_at(room.min(octets.len()));
            self.partial.extend_from_slice(now);
            octets = later;
            if self.partial.len() < LINE_OCTETS {
                return;
            }
            let line = std::mem::take(&mut self.partial);
            self.lines(&line, out);
            self.partial = line;
            self.partial.clear();
        }
        let whole = octets.len() - octets.len() % LINE_OCTETS;
        let (lines, rest) = octets.split_at(whole);
        out.reserve(whole / LINE_OCTETS * WIRE_LINE);
        for block in lines.chunks(BLOCK_LINES * LINE_OCTETS) {
            self.lines(block, out);
        }
        self.partial.extend_from_slice(rest);
    }

    /// Encodes at most a block of whole lines.
    fn lines(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let len = base64::encode(octets, &mut self.text);
        let (lines, _) = self.text.get(..len).unwrap_or_default().as_chunks::<LINE>();
        let start = out.len();
        out.resize(start + lines.len() * WIRE_LINE, b'\n');
        let (wire, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<WIRE_LINE>();
        for (wire, line) in wire.iter_mut().zip(lines) {
            if let Some((text, end)) = wire.split_first_chunk_mut::<LINE>() {
                *text = *line;
                if let Some(cr) = end.first_mut() {
                    *cr = b'\r';
                }
            }
        }
    }

    /// Appends the last line of the envelope and the end of the message to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            let len = base64::encode(&self.partial, &mut self.text);
            out.extend_from_slice(self.text.get(..len).unwrap_or_default());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(tail(self.token).as_bytes());
    }
}

/// The exact length in octets of the carrier of an envelope of `envelope` octets [R-car-03].
#[must_use]
pub fn carrier_len(sender: &Domain, recipient: &Domain, envelope: u64) -> u64 {
    let token = Token([0; 16]);
    let fixed = head(sender.as_str(), recipient.as_str(), token, 0).len() + tail(token).len();
    let text = envelope.div_ceil(3).saturating_mul(4);
    let lines = text.div_ceil(LINE as u64);
    (fixed as u64).saturating_add(text).saturating_add(lines.saturating_mul(2))
}

// Every date has the same length, so [`carrier_len`] may take any.
const _: () = assert!(DATE_LEN == 31);

/// The boundary stands on a line of its own because the field would else exceed 78 characters.
fn head(sender: &str, recipient: &str, token: Token, date: u64) -> String {
    let date = rfc5322(date);
    format!(
        "Date: {date}\r\n\
         From: {LOCAL_PART}@{sender}\r\n\
         To: {LOCAL_PART}@{recipient}\r\n\
         Subject: Sealed message\r\n\
         Message-ID: <{token}@{sender}>\r\n\
         {TOKEN_FIELD}: {token}\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed;\r\n boundary=\"mta-seal-{token}\"\r\n\
         \r\n\
         --mta-seal-{token}\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n\
         {HUMAN_TEXT}\
         --mta-seal-{token}\r\n\
         Content-Type: {MEDIA_TYPE}; name=\"message.mtaseal\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"message.mtaseal\"\r\n\
         \r\n"
    )
}

fn tail(token: Token) -> String {
    format!("--mta-seal-{token}--\r\n")
}
