//! Replies of a server (RFC 5321 section 4.2) with enhanced status codes (RFC 2034, RFC 3463).

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

/// Most lines of one reply that a peer may send.
pub const MAX_REPLY_LINES: usize = 64;

/// Longest line of a reply that a peer may send, in octets without its line end.
pub const MAX_REPLY_LINE: usize = 2048;

/// Longest line that is printed, in octets with its CRLF (RFC 5321 section 4.5.3.1.5).
pub const MAX_PRINTED_LINE: usize = 512;

/// What the first digit of a reply code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 2yz: done.
    Positive,
    /// 3yz: go on.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: not so.
    Permanent,
}

/// An enhanced status code `class.subject.detail` (RFC 3463).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// Makes a status; a class other than 2, 4 or 5 becomes 5, numbers above 999 become 0.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        let class = if matches!(class, 2 | 4 | 5) { class } else { 5 };
        let subject = if subject > 999 { 0 } else { subject };
        let detail = if detail > 999 { 0 } else { detail };
        Self { class, subject, detail }
    }

    /// 2, 4 or 5.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.class
    }

    /// The second number, at most 999.
    #[must_use]
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The third number, at most 999.
    #[must_use]
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// Reads `c.sss.ddd` exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |part: &str| -> Option<u16> {
            let valid = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            if valid { part.parse().ok() } else { None }
        };
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") {
            return None;
        }
        Some(Self {
            class: class.parse().ok()?,
            subject: number(subject)?,
            detail: number(detail)?,
        })
    }

    /// What a bare reply code says, for servers without ENHANCEDSTATUSCODES.
    fn derived(code: u16) -> Self {
        let (subject, detail) = match code {
            421 => (3, 2),
            450 => (2, 0),
            451 => (3, 0),
            452 => (3, 1),
            454 | 530 | 538 => (7, 0),
            455 | 501 | 504 | 555 => (5, 4),
            500 => (5, 2),
            502 | 503 => (5, 1),
            534 => (7, 9),
            535 => (7, 8),
            551 => (1, 6),
            552 => (2, 2),
            553 => (1, 3),
            _ => (0, 0),
        };
        let class = match Severity::of(code) {
            Severity::Positive | Severity::Intermediate => 2,
            Severity::Transient => 4,
            Severity::Permanent => 5,
        };
        Self { class, subject, detail }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Severity {
    const fn of(code: u16) -> Self {
        match code / 100 {
            2 => Self::Positive,
            3 => Self::Intermediate,
            4 => Self::Transient,
            _ => Self::Permanent,
        }
    }
}

/// A reply: code, enhanced status, and one or more lines of text.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    status: Option<EnhancedStatus>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply of one line. A code outside 200–599 becomes 451, as a fault of our own.
    pub fn new(
        code: u16,
        (class, subject, detail): (u8, u16, u16),
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        let status = Some(EnhancedStatus::new(class, subject, detail));
        Self { code: valid_code(code), status, lines: vec![text.into()] }
    }

    /// A reply without enhanced status: greetings, HELO and EHLO, 354 (RFC 2034 section 4).
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: valid_code(code), status: None, lines: vec![text.into()] }
    }

    /// Adds a line of text.
    #[must_use]
    pub fn with_line(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.lines.push(text.into());
        self
    }

    /// The three-digit code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// What the first digit says.
    #[must_use]
    pub fn severity(&self) -> Severity {
        Severity::of(self.code)
    }

    /// Whether the code is 2yz.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.severity() == Severity::Positive
    }

    /// Whether the code is 4yz.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.severity() == Severity::Transient
    }

    /// Whether the code is 5yz.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.severity() == Severity::Permanent
    }

    /// The enhanced status that the reply carries.
    #[must_use]
    pub fn enhanced(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// The enhanced status, derived from the code if the reply carries none.
    #[must_use]
    pub fn status(&self) -> EnhancedStatus {
        self.status.unwrap_or_else(|| EnhancedStatus::derived(self.code))
    }

    /// The next hop's reply as it is passed on to a client: with its status written out.
    ///
    /// A 421 becomes 451: it was about the next hop's connection, and would make the client drop
    /// its own and throttle mail for everyone else. So does a 3yz, which has no place there.
    #[must_use]
    pub fn relayed(mut self) -> Self {
        match self.severity() {
            Severity::Intermediate => return Self::new(451, (4, 5, 0), "unexpected reply"),
            _ => self.status = Some(self.status()),
        }
        if self.code == 421 {
            self.code = 451;
        }
        self
    }

    /// The lines of text, without code and enhanced status.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(AsRef::as_ref)
    }

    /// Writes the reply as it goes over the wire.
    ///
    /// Texts may come from another server: every character but printable ASCII is written as `?`,
    /// and lines are cut to [`MAX_PRINTED_LINE`], so a text cannot begin a line of its own.
    pub fn write_to(&self, out: &mut BytesMut) {
        let status = self.status.map(|status| format!("{status} ")).unwrap_or_default();
        let room = MAX_PRINTED_LINE - "250-\r\n".len() - status.len();
        for (at, line) in self.lines.iter().enumerate() {
            out.put_slice(self.code.to_string().as_bytes());
            out.put_u8(if at + 1 == self.lines.len() { b' ' } else { b'-' });
            out.put_slice(status.as_bytes());
            out.extend(line.chars().take(room).map(printable));
            out.put_slice(b"\r\n");
        }
    }
}

fn valid_code(code: u16) -> u16 {
    if (200..600).contains(&code) { code } else { 451 }
}

fn printable(c: char) -> u8 {
    u8::try_from(c).ok().filter(|byte| (b' '..=b'~').contains(byte)).unwrap_or(b'?')
}

impl fmt::Display for Reply {
    /// One line for logs: code, status and the texts joined by ` / `, printable ASCII only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        for (at, line) in self.lines.iter().enumerate() {
            f.write_str(if at == 0 { " " } else { " / " })?;
            for c in line.chars().take(MAX_PRINTED_LINE) {
                write!(f, "{}", char::from(printable(c)))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

/// Why what a server sent is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with a code between 200 and 599 and a separator.
    #[error("not an SMTP reply")]
    Syntax,
    /// The lines of one reply have different codes.
    #[error("reply with differing codes")]
    CodeChanged,
    /// A line has more than [`MAX_REPLY_LINE`] octets.
    #[error("reply line longer than {MAX_REPLY_LINE} octets")]
    LineTooLong,
    /// More than [`MAX_REPLY_LINES`] lines.
    #[error("reply of more than {MAX_REPLY_LINES} lines")]
    TooManyLines,
}

/// Collects the lines of one reply after another.
///
/// Tolerant where servers differ: a bare LF ends a line, `250` may stand alone, texts need not be
/// UTF-8. After an error the stream is not usable any more.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    code: u16,
    status: Option<EnhancedStatus>,
    lines: Vec<Cow<'static, str>>,
    scanned: usize,
}

impl ReplyDecoder {
    /// Takes octets from the buffer until a reply is complete; `None` asks for more octets.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Reply>, ReplyError> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &buf[self.scanned..]) else {
                self.scanned = buf.len();
                if self.scanned > MAX_REPLY_LINE + 1 {
                    return Err(ReplyError::LineTooLong);
                }
                return Ok(None);
            };
            let line = buf.split_to(self.scanned + end + 1);
            self.scanned = 0;
            let line = &line[..line.len() - 1];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > MAX_REPLY_LINE {
                return Err(ReplyError::LineTooLong);
            }
            if let Some(reply) = self.line(line)? {
                return Ok(Some(reply));
            }
        }
    }

    /// Whether the decoder is between two replies.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.scanned == 0
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Syntax)?;
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(ReplyError::Syntax),
        };
        if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits[0], b'2'..=b'5') {
            return Err(ReplyError::Syntax);
        }
        let code = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        let text = String::from_utf8_lossy(text);
        let (status, text) = split_status(code, &text);
        if self.lines.is_empty() {
            self.code = code;
            self.status = status;
        } else if code != self.code {
            return Err(ReplyError::CodeChanged);
        }
        if self.lines.len() == MAX_REPLY_LINES {
            return Err(ReplyError::TooManyLines);
        }
        self.lines.push(Cow::Owned(text.to_owned()));
        if !last {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        Ok(Some(Reply { code, status: self.status, lines }))
    }
}

/// Splits an enhanced status off a text; one whose class contradicts the code is only text
/// (RFC 2034 section 4).
fn split_status(code: u16, text: &str) -> (Option<EnhancedStatus>, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match EnhancedStatus::parse(first) {
        Some(status) if u16::from(status.class) == code / 100 => (Some(status), rest),
        _ => (None, text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn decode(wire: &[u8]) -> Result<Option<Reply>, ReplyError> {
        ReplyDecoder::default().decode(&mut BytesMut::from(wire))
    }

    fn wire(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.write_to(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn replies_print_and_parse() {
        let reply = Reply::new(550, (5, 1, 1), "no such user").with_line("really");
        assert_eq!(wire(&reply), "550-5.1.1 no such user\r\n550 5.1.1 really\r\n");
        assert_eq!(decode(wire(&reply).as_bytes()).unwrap().unwrap(), reply);
        assert_eq!(reply.to_string(), "550 5.1.1 no such user / really");
        assert_eq!(wire(&Reply::plain(354, "go on")), "354 go on\r\n");
    }

    #[test]
    fn foreign_text_cannot_break_the_line() {
        let reply = Reply::new(550, (5, 0, 0), "a\r\n250 ok\0\u{85}\u{2028}é");
        assert_eq!(wire(&reply), "550 5.0.0 a??250 ok????\r\n");
        assert!(wire(&Reply::new(250, (2, 0, 0), "é".repeat(5000))).len() <= MAX_PRINTED_LINE);
        assert!(!Reply::plain(250, "a\u{1b}[2J").to_string().contains('\u{1b}'));
    }

    #[test]
    fn every_split_gives_the_same_reply() {
        let text = b"250-2.1.5 one\r\n250-two\n250 2.1.5 three\r\n";
        let whole = decode(text).unwrap().unwrap();
        assert_eq!(whole.lines().collect::<Vec<_>>(), ["one", "two", "three"]);
        assert_eq!(whole.enhanced(), Some(EnhancedStatus::new(2, 1, 5)));
        for cut in 0..text.len() {
            let mut decoder = ReplyDecoder::default();
            let mut buf = BytesMut::from(&text[..cut]);
            assert_eq!(decoder.decode(&mut buf), Ok(None));
            buf.extend_from_slice(&text[cut..]);
            assert_eq!(decoder.decode(&mut buf).unwrap().unwrap(), whole);
            assert!(decoder.is_idle() && buf.is_empty());
        }
    }

    #[test]
    fn garbage_is_refused() {
        for (text, error) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], ReplyError::Syntax),
            (b"\r\n", ReplyError::Syntax),
            (b"25\r\n", ReplyError::Syntax),
            (b"2500 ok\r\n", ReplyError::Syntax),
            (b"150 ok\r\n", ReplyError::Syntax),
            (b"650 ok\r\n", ReplyError::Syntax),
            (b"250-a\r\n550 b\r\n", ReplyError::CodeChanged),
        ] {
            assert_eq!(decode(text), Err(error), "{text:?}");
        }
        assert_eq!(decode(&b"250-x\r\n".repeat(65)), Err(ReplyError::TooManyLines));
        assert_eq!(decode(&b"2".repeat(2050)), Err(ReplyError::LineTooLong));
        assert!(decode(&[b"250 ".to_vec(), vec![b'x'; 2044], b"\r\n".to_vec()].concat()).is_ok());
        assert!(decode(b"250\r\n").unwrap().unwrap().is_positive());
    }

    #[test]
    fn missing_status_is_derived_and_contradictions_are_text() {
        let status = |text: &[u8]| decode(text).unwrap().unwrap().status().to_string();
        assert_eq!(status(b"552 full\r\n"), "5.2.2");
        assert_eq!(status(b"421 bye\r\n"), "4.3.2");
        assert_eq!(status(b"250 ok\r\n"), "2.0.0");
        assert_eq!(status(b"599 what\r\n"), "5.0.0");
        assert_eq!(status(b"450 5.1.1 what\r\n"), "4.2.0");
        let odd = decode(b"250 127.0.0.1 knows you\r\n").unwrap().unwrap();
        assert_eq!(odd.lines().next(), Some("127.0.0.1 knows you"));
        assert_eq!(wire(&odd.relayed()), "250 2.0.0 127.0.0.1 knows you\r\n");
    }

    #[test]
    fn relayed_replies_never_close_the_upstream_connection() {
        let relayed = |reply: Reply| wire(&reply.relayed());
        assert_eq!(relayed(Reply::plain(421, "bye")), "451 4.3.2 bye\r\n");
        assert_eq!(relayed(Reply::new(421, (4, 7, 0), "slow")), "451 4.7.0 slow\r\n");
        assert!(relayed(Reply::plain(354, "go on")).starts_with("451 4.5.0 "));
        assert_eq!(relayed(Reply::plain(550, "no")), "550 5.0.0 no\r\n");
    }
}
