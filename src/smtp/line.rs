//! Framing of command lines: CRLF and nothing else ends a line.

use bytes::{Buf, Bytes, BytesMut};

/// Longest command line by default, in octets with its CRLF.
///
/// RFC 5321 section 4.5.3.1.4 has 512 plus what the extensions add: here 1,000 octets of DSN
/// parameters (RFC 3461 section 5) and long paths.
pub const COMMAND_LINE_LIMIT: usize = 2048;

/// What is wrong with a line. The line has been taken off the stream to its CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More octets than the limit.
    #[error("line too long")]
    TooLong,
    /// A LF without CR: another implementation might see two commands here.
    #[error("bare LF in a command line")]
    BareLf,
    /// A CR without LF.
    #[error("bare CR in a command line")]
    BareCr,
    /// A NUL octet.
    #[error("NUL in a command line")]
    Nul,
}

/// Takes lines off a buffer.
#[derive(Debug)]
pub struct LineDecoder {
    limit: usize,
    scanned: usize,
    discarding: Option<LineError>,
}

impl LineDecoder {
    /// A decoder for lines of at most `limit` octets with their CRLF.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(2), scanned: 0, discarding: None }
    }

    /// The next line without its CRLF; `None` asks for more octets.
    ///
    /// Never leaves more than the limit in the buffer when it asks, so the buffer is bounded by
    /// the limit plus one read.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, LineError>> {
        loop {
            let Some(at) = memchr::memchr(b'\n', &buf[self.scanned..]) else {
                self.scanned = buf.len();
                if self.discarding.is_some() || self.scanned >= self.limit {
                    self.discard(buf);
                }
                return None;
            };
            let lf = self.scanned + at;
            if lf == 0 || buf[lf - 1] != b'\r' {
                self.scanned = lf + 1;
                continue;
            }
            let mut line = buf.split_to(lf + 1);
            self.scanned = 0;
            if let Some(error) = self.discarding.take() {
                return Some(Err(error));
            }
            if line.len() > self.limit {
                return Some(Err(LineError::TooLong));
            }
            line.truncate(line.len() - 2);
            return Some(match violation(&line) {
                Some(error) => Err(error),
                None => Ok(line.freeze()),
            });
        }
    }

    /// Drops what was read of a line that is refused in any case, but a CR that may be the first
    /// half of its end.
    fn discard(&mut self, buf: &mut BytesMut) {
        self.discarding.get_or_insert(LineError::TooLong);
        let keep = usize::from(buf.last() == Some(&b'\r'));
        buf.advance(buf.len() - keep);
        self.scanned = keep;
    }
}

fn violation(line: &[u8]) -> Option<LineError> {
    let at = memchr::memchr3(b'\r', b'\n', 0, line)?;
    Some(match line[at] {
        b'\r' => LineError::BareCr,
        b'\n' => LineError::BareLf,
        _ => LineError::Nul,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(limit: usize, chunks: &[&[u8]]) -> Vec<Result<Vec<u8>, LineError>> {
        let mut decoder = LineDecoder::new(limit);
        let mut buf = BytesMut::new();
        let mut lines = Vec::new();
        for chunk in chunks {
            buf.extend_from_slice(chunk);
            while let Some(line) = decoder.decode(&mut buf) {
                lines.push(line.map(|l| l.to_vec()));
            }
            assert!(buf.len() < limit, "buffer grows");
        }
        lines
    }

    #[test]
    fn only_crlf_ends_a_line() {
        for (wire, expected) in [
            (&b"NOOP\r\nQUIT\r\n"[..], vec![Ok(b"NOOP".to_vec()), Ok(b"QUIT".to_vec())]),
            (b"\r\n", vec![Ok(vec![])]),
            (b"RSET\nMAIL FROM:<>\r\n", vec![Err(LineError::BareLf)]),
            (b"RSET\rMAIL FROM:<>\r\n", vec![Err(LineError::BareCr)]),
            (b"RSET\r\r\n", vec![Err(LineError::BareCr)]),
            (b"\nRSET\r\n", vec![Err(LineError::BareLf)]),
            (b"RS\0ET\r\n", vec![Err(LineError::Nul)]),
            (b"RSET\n", vec![]),
            (b"RSET\r", vec![]),
        ] {
            assert_eq!(decode_all(100, &[wire]), expected, "{wire:?}");
        }
    }

    #[test]
    fn the_rest_of_a_long_line_is_no_command() {
        let wire = [&b"NOOP "[..], &[b'x'; 300], b"\nQUIT\rQUIT\r\nNOOP\r\n"].concat();
        for step in [1, 7, 64, 1000] {
            let chunks: Vec<_> = wire.chunks(step).collect();
            let lines = match step {
                1000 => {
                    let mut buf = BytesMut::from(&wire[..]);
                    let mut decoder = LineDecoder::new(100);
                    let lines = std::iter::from_fn(|| decoder.decode(&mut buf));
                    lines.map(|l| l.map(|l| l.to_vec())).collect()
                }
                _ => decode_all(100, &chunks),
            };
            assert_eq!(lines, [Err(LineError::TooLong), Ok(b"NOOP".to_vec())], "{step}");
        }
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        assert_eq!(decode_all(6, &[b"NOOP\r\n"]), [Ok(b"NOOP".to_vec())]);
        assert_eq!(decode_all(6, &[b"NOO", b"P \r", b"\n"]), [Err(LineError::TooLong)]);
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(
            wire in proptest::collection::vec(proptest::sample::select(&b"aB\r\n\0 "[..]), 0..80),
            step in 1usize..9,
        ) {
            let chunks: Vec<_> = wire.chunks(step).collect();
            let bytewise: Vec<_> = wire.chunks(1).collect();
            prop_assert_eq!(decode_all(12, &chunks), decode_all(12, &bytewise));
        }
    }
}
