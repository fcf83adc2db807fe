//! The file of a TSIG key, as `tsig-keygen` of BIND writes it:
//!
//! ```text
//! key "NAME" {
//!         algorithm hmac-sha256;
//!         secret "BASE64";
//! };
//! ```

use std::iter::Peekable;
use std::str::CharIndices;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use zeroize::Zeroizing;

use super::tsig::Key;

/// Fewest octets of a secret: 128 bits.
const MIN_SECRET: usize = 16;

/// Why a text is no usable key. It never has anything of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct KeyError {
    line: usize,
    what: &'static str,
}

impl KeyError {
    /// The line of the mistake, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What would be right.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "let BIND's `tsig-keygen NAME` write the file; the server needs the same text"
    }
}

/// A word of the file, or one of `{`, `}` and `;`.
struct Token<'a> {
    line: usize,
    text: &'a str,
    quoted: bool,
}

impl Token<'_> {
    fn is(&self, what: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(what)
    }

    fn error(&self, what: &'static str) -> KeyError {
        KeyError { line: self.line, what }
    }
}

/// Cuts the text into tokens.
struct Tokens<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    line: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, rest: text.char_indices().peekable(), line: 1 }
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, KeyError> {
        self.skip()?;
        let line = self.line;
        let Some((start, first)) = self.rest.next() else { return Ok(None) };
        let token = |text| Token { line, text, quoted: false };
        if matches!(first, '{' | '}' | ';') {
            return Ok(Some(token(self.text.get(start..=start).unwrap_or_default())));
        }
        if first == '"' {
            for (end, c) in self.rest.by_ref() {
                match c {
                    '"' => {
                        let text = self.text.get(start + 1..end).unwrap_or_default();
                        return Ok(Some(Token { line, text, quoted: true }));
                    }
                    '\n' => break,
                    _ => {}
                }
            }
            return Err(KeyError { line, what: "a quote is not closed" });
        }
        let mut end = self.text.len();
        while let Some((at, c)) = self.rest.peek() {
            if c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"') {
                end = *at;
                break;
            }
            self.rest.next();
        }
        Ok(Some(token(self.text.get(start..end).unwrap_or_default())))
    }

    /// White space and comments.
    fn skip(&mut self) -> Result<(), KeyError> {
        while let Some(&(at, c)) = self.rest.peek() {
            let from = self.text.get(at..).unwrap_or_default();
            if from.starts_with("/*") {
                let Some(length) = from.find("*/") else {
                    return Err(KeyError { line: self.line, what: "a comment is not closed" });
                };
                self.skip_to(at + length + 2);
            } else if from.starts_with("//") || c == '#' {
                let length = from.find('\n').unwrap_or(from.len());
                self.skip_to(at + length);
            } else if c.is_whitespace() {
                self.line += usize::from(c == '\n');
                self.rest.next();
            } else {
                break;
            }
        }
        Ok(())
    }

    fn skip_to(&mut self, end: usize) {
        while let Some((_, c)) = self.rest.next_if(|(at, _)| *at < end) {
            self.line += usize::from(c == '\n');
        }
    }

    /// The next token; `what` says what is missing if there is none.
    fn word(&mut self, what: &'static str) -> Result<Token<'a>, KeyError> {
        let token = self.next()?;
        token.ok_or(KeyError { line: self.line, what })
    }

    /// The next token must be this one.
    fn expect(&mut self, sign: &str, what: &'static str) -> Result<(), KeyError> {
        let token = self.word(what)?;
        if token.is(sign) { Ok(()) } else { Err(token.error(what)) }
    }
}

/// Reads the one key of a file.
pub(super) fn parse(text: &str) -> Result<Key, KeyError> {
    let mut tokens = Tokens::new(text);
    tokens.expect("key", "`key` is missing")?;
    let name = tokens.word("the name of the key is missing")?;
    let name = key_name(name.text).ok_or(name.error("the name of the key is no name in DNS"))?;
    tokens.expect("{", "`{` is missing")?;
    let (mut algorithm, mut secret) = (None, None);
    let end = loop {
        let word = tokens.word("`}` is missing")?;
        if word.is("}") {
            break word;
        }
        let value = tokens.word("a value is missing")?;
        if word.is("algorithm") && algorithm.is_none() {
            algorithm = Some(self::algorithm(&value)?);
        } else if word.is("secret") && secret.is_none() {
            secret = Some(self::secret(&value)?);
        } else {
            return Err(word.error("neither one `algorithm` nor one `secret`"));
        }
        tokens.expect(";", "`;` is missing")?;
    };
    tokens.expect(";", "`;` is missing")?;
    if let Some(more) = tokens.next()? {
        return Err(more.error("there is more than one key"));
    }
    let algorithm = algorithm.ok_or(end.error("`algorithm` is missing"))?;
    let secret = secret.ok_or(end.error("`secret` is missing"))?;
    Key::new(name, algorithm, &secret).ok_or(end.error("the key cannot be used"))
}

fn key_name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok().filter(|name| !name.is_root())?;
    name.set_fqdn(true);
    Some(name)
}

fn algorithm(value: &Token<'_>) -> Result<TsigAlgorithm, KeyError> {
    match value.text.to_ascii_lowercase().as_str() {
        "hmac-sha256" => Ok(TsigAlgorithm::HmacSha256),
        "hmac-sha384" => Ok(TsigAlgorithm::HmacSha384),
        "hmac-sha512" => Ok(TsigAlgorithm::HmacSha512),
        _ => Err(value.error("the algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512")),
    }
}

fn secret(value: &Token<'_>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let octets = STANDARD.decode(value.text).map(Zeroizing::new);
    let octets = octets.map_err(|_| value.error("the secret is no base64"))?;
    if octets.len() < MIN_SECRET {
        return Err(value.error("the secret has fewer than 16 octets"));
    }
    Ok(octets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &str = "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5";

    fn file(body: &str) -> String {
        body.replace("SECRET", SECRET)
    }

    #[test]
    fn what_tsig_keygen_writes_is_read() {
        for body in [
            "key \"mta-seal\" {\n\talgorithm hmac-sha256;\n\tsecret \"SECRET\";\n};\n",
            "key mta-seal{algorithm HMAC-SHA256;secret SECRET;};",
            "# one\n// two\n/* three\n */ key \"MTA-Seal.\" { secret \"SECRET\"; algorithm \"hmac-sha256\"; } ;",
        ] {
            let key = parse(&file(body)).unwrap();
            assert_eq!(key.to_string(), "mta-seal (hmac-sha256)", "{body}");
            assert!(!format!("{key:?}").contains("c2Vj"), "{key:?}");
        }
        for algorithm in ["hmac-sha384", "hmac-sha512"] {
            let body = format!("key k.example {{ algorithm {algorithm}; secret SECRET; }};");
            assert_eq!(
                parse(&file(&body)).unwrap().to_string(),
                format!("k.example ({algorithm})")
            );
        }
    }

    #[test]
    fn mistakes_are_told_by_line_and_without_the_secret() {
        for (body, said) in [
            ("", "line 1: `key` is missing"),
            ("\n\nzone x {};", "line 3: `key` is missing"),
            ("key", "line 1: the name of the key is missing"),
            ("key \"a..b\" {", "line 1: the name of the key is no name in DNS"),
            ("key k algorithm", "line 1: `{` is missing"),
            ("key k {\nsecret SECRET;\n};", "line 3: `algorithm` is missing"),
            ("key k {\nalgorithm hmac-sha256;\n};", "line 3: `secret` is missing"),
            ("key k {\nalgorithm hmac-sha256;\n", "line 3: `}` is missing"),
            (
                "key k {\nsecret SECRET; secret SECRET;",
                "line 2: neither one `algorithm` nor one `secret`",
            ),
            ("key k { secret SECRET }", "line 1: `;` is missing"),
            ("key k { secret \"SECRET; };", "line 1: a quote is not closed"),
            ("/* key k", "line 1: a comment is not closed"),
            ("key k { secret \"!SECRET\"; };", "line 1: the secret is no base64"),
            ("key k { secret \"c2VjcmV0\"; };", "line 1: the secret has fewer than 16 octets"),
            (
                "key k { algorithm hmac-md5; secret SECRET; };",
                "line 1: the algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512",
            ),
            (
                "key k { algorithm hmac-sha256; secret SECRET; };\nkey l {};",
                "line 2: there is more than one key",
            ),
        ] {
            assert_eq!(parse(&file(body)).unwrap_err().to_string(), said, "{body}");
        }
    }
}
