//! Structured field bodies of MIME: a value with parameters (RFC 2045 section 5.1, RFC 2183,
//! RFC 2231), read strictly but for what is widely written and unambiguous.

use super::header::unfold;

/// Most sections of one RFC 2231 parameter that are joined.
const MAX_SECTIONS: usize = 100;

/// A value such as `multipart/mixed` or `attachment`, and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structured {
    value: String,
    parameters: Vec<(String, Vec<u8>)>,
}

impl Structured {
    /// Reads a field body, folded or not. Comments and folding are read anywhere between tokens;
    /// a parameter value may be a quoted string or, beyond RFC 2045, any text without white
    /// space, quotes, comments and semicolons (unquoted boundaries with `=` are common). `None` if
    /// the body has any other form.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = unfold(body);
        let mut input = Cursor::new(&text);
        input.skip_cfws()?;
        let mut value = input.token()?;
        input.skip_cfws()?;
        if input.eat(b'/') {
            input.skip_cfws()?;
            value.push('/');
            value.push_str(&input.token()?);
            input.skip_cfws()?;
        }
        let mut parameters = Vec::new();
        while !input.is_empty() {
            if !input.eat(b';') {
                return None;
            }
            input.skip_cfws()?;
            if input.is_empty() || input.peek() == Some(b';') {
                continue;
            }
            let name = input.token()?;
            input.skip_cfws()?;
            if !input.eat(b'=') {
                return None;
            }
            input.skip_cfws()?;
            let content = if input.peek() == Some(b'"') {
                input.quoted_string()?
            } else {
                input.plain_value()?
            };
            input.skip_cfws()?;
            parameters.push((name, content));
        }
        Some(Self { value, parameters })
    }

    /// The value in lower case, without comments or white space.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The parameter of a name (in lower case): its extended form `name*`, its sections `name*0`,
    /// `name*1*`..., or its plain form, in this order. `None` if it is missing, given twice or
    /// badly encoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Vec<u8>> {
        let extended = format!("{name}*");
        if self.has(&extended) {
            return decode_extended(self.exactly(&extended)?, true);
        }
        let mut joined = Vec::new();
        for section in 0..MAX_SECTIONS {
            let plain = format!("{name}*{section}");
            let encoded = format!("{name}*{section}*");
            match (self.has(&plain), self.has(&encoded)) {
                (false, false) if section == 0 => break,
                (false, false) => return Some(joined),
                (true, false) => joined.extend_from_slice(self.exactly(&plain)?),
                (false, true) => {
                    let text = self.exactly(&encoded)?;
                    joined.extend(decode_extended(text, section == 0)?);
                }
                (true, true) => return None,
            }
        }
        self.exactly(name).map(<[u8]>::to_vec)
    }

    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(known, _)| known == name)
    }

    fn exactly(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.parameters.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (Some((_, content)), None) => Some(content),
            _ => None,
        }
    }
}

/// The delimiter a line is, without its CRLF (RFC 2046 section 5.1.1): the level of its boundary, of which the outermost wins, and whether it closes.
pub(super) fn delimiter(line: &[u8], boundaries: &[Vec<u8>]) -> Option<(usize, bool)> {
    let line = line.strip_prefix(b"--")?;
    boundaries.iter().enumerate().find_map(|(level, boundary)| {
        let rest = line.strip_prefix(boundary.as_slice())?;
        let (close, padding) = match rest.strip_prefix(b"--") {
            Some(padding) => (true, padding),
            None => (false, rest),
        };
        padding.iter().all(|b| matches!(b, b' ' | b'\t')).then_some((level, close))
    })
}

/// Decodes `charset'language'%41...`; the octets are returned in their charset (RFC 2231
/// section 4). Later sections have no charset.
fn decode_extended(text: &[u8], with_charset: bool) -> Option<Vec<u8>> {
    let encoded = if with_charset { text.splitn(3, |&b| b == b'\'').nth(2)? } else { text };
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(&octet) = rest.next() {
        if octet == b'%' {
            let high = hex(*rest.next()?)?;
            let low = hex(*rest.next()?)?;
            octets.push(high << 4 | low);
        } else {
            octets.push(octet);
        }
    }
    Some(octets)
}

/// Value of one hexadecimal digit of either case.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A reader over the unfolded body of a structured field.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Octets not yet read.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.next();
        }
        found
    }

    /// The longest run of octets that satisfy a condition.
    pub(crate) fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|&b| !accept(b)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(len);
        self.rest = rest;
        run
    }

    /// Skips white space and nested comments (RFC 5322 section 3.2.2); `None` if a comment does
    /// not end.
    pub(crate) fn skip_cfws(&mut self) -> Option<()> {
        loop {
            self.run(|b| b == b' ' || b == b'\t');
            if !self.eat(b'(') {
                return Some(());
            }
            let mut depth = 1usize;
            while depth > 0 {
                match self.next()? {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    b'\\' => {
                        self.next()?;
                    }
                    _ => {}
                }
            }
        }
    }

    /// A token of RFC 2045 in lower case.
    pub(crate) fn token(&mut self) -> Option<String> {
        let token = self.run(is_token);
        let text = std::str::from_utf8(token).ok()?;
        (!text.is_empty()).then(|| text.to_ascii_lowercase())
    }

    /// The content of a quoted string, at whose opening quote the reader stands.
    pub(crate) fn quoted_string(&mut self) -> Option<Vec<u8>> {
        if !self.eat(b'"') {
            return None;
        }
        let mut content = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(content),
                b'\\' => content.push(self.next()?),
                octet => content.push(octet),
            }
        }
    }

    fn plain_value(&mut self) -> Option<Vec<u8>> {
        let value = self.run(|b| b > b' ' && b != 0x7f && !b";\"()".contains(&b));
        (!value.is_empty()).then(|| value.to_vec())
    }
}

/// Token characters of RFC 2045 section 5.1.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Structured;

    #[test]
    fn reads_what_hops_write() {
        for body in [
            &b" multipart/mixed; boundary=\"a b\""[..],
            b" Multipart/Mixed ;\r\n\tBOUNDARY = \"a b\" ;",
            b" multipart (x) / (y \\) z) mixed; charset=utf-8;\r\n boundary=\"a\\ b\" (end)",
            b" multipart/mixed; boundary*=us-ascii'en'a%20b",
            b" multipart/mixed; boundary*1=b; boundary*0=\"a \"",
        ] {
            let read = Structured::parse(body).unwrap();
            assert_eq!(read.value(), "multipart/mixed");
            assert_eq!(read.parameter("boundary").unwrap(), b"a b");
        }
        let read = Structured::parse(b"multipart/mixed; boundary=--=_x/y").unwrap();
        assert_eq!(read.parameter("boundary").unwrap(), b"--=_x/y");
    }

    #[test]
    fn doubtful_bodies_are_not_read() {
        for body in [
            &b""[..],
            b"/mixed",
            b"multipart/",
            b"multipart/mixed boundary=a",
            b"multipart/mixed; boundary=\"a",
            b"multipart/mixed; (open",
            b"multipart/mixed; boundary",
            b"multipart/mixed; boundary=",
        ] {
            assert_eq!(Structured::parse(body), None, "{}", body.escape_ascii());
        }
        let twice = Structured::parse(b"multipart/mixed; boundary=a; Boundary=b").unwrap();
        assert_eq!(twice.parameter("boundary"), None);
        let bad = Structured::parse(b"a/b; name*=utf-8''%4").unwrap();
        assert_eq!(bad.parameter("name"), None);
    }
}
