//! Command lines, typed (RFC 5321 section 4.1.1, RFC 2033 section 4).

use std::fmt;

use zeroize::Zeroizing;

use super::origin::Extension;
use super::{Protocol, Reply};
use crate::core::address::{AddressError, ForwardPath, ReversePath};
use crate::core::esmtp::{MailParameters, ParameterError, RcptParameters};

/// A command as it was written, before the session looks at the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    Hello { kind: HelloKind, name: String },
    Mail { path: ReversePath, parameters: MailParameters },
    Rcpt { path: ForwardPath, parameters: RcptParameters },
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth { mechanism: String, initial: Option<Response> },
    Origin { extension: Extension, arguments: String },
}

/// An initial response of AUTH in base64; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Response(Zeroizing<String>);

impl Response {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Response(redacted)")
    }
}

/// Which greeting the client chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HelloKind {
    /// `HELO`: no extensions.
    Helo,
    /// `EHLO`.
    Ehlo,
    /// `LHLO` (RFC 2033).
    Lhlo,
}

/// Longest name in HELO, EHLO and LHLO, in octets.
const MAX_HELLO_NAME: usize = 255;

/// Reads one framed line; the error is the reply to give.
pub(super) fn parse(line: &[u8], protocol: Protocol) -> Result<Parsed, Reply> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(Reply::new(500, (5, 5, 2), "command line is not UTF-8"));
    };
    if line.chars().any(char::is_control) {
        return Err(Reply::new(500, (5, 5, 2), "control character in command line"));
    }
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let verb = verb.to_ascii_uppercase();
    match verb.as_str() {
        "HELO" | "EHLO" | "LHLO" => hello(&verb, argument, protocol),
        "MAIL" => {
            let rest = after_keyword(argument, "FROM:")?;
            let (path, rest) = ReversePath::parse_prefix(rest)
                .map_err(|error| bad_path(error, (5, 1, 7), "sender"))?;
            let parameters =
                MailParameters::parse(parameter_text(rest)?).map_err(|e| bad_parameter(&e))?;
            Ok(Parsed::Mail { path, parameters })
        }
        "RCPT" => {
            let rest = after_keyword(argument, "TO:")?;
            let (path, rest) = ForwardPath::parse_prefix(rest)
                .map_err(|error| bad_path(error, (5, 1, 3), "recipient"))?;
            let parameters =
                RcptParameters::parse(parameter_text(rest)?).map_err(|e| bad_parameter(&e))?;
            Ok(Parsed::Rcpt { path, parameters })
        }
        "NOOP" => Ok(Parsed::Noop),
        "VRFY" => Ok(Parsed::Vrfy),
        "EXPN" => Ok(Parsed::Expn),
        "HELP" => Ok(Parsed::Help),
        "DATA" => without_argument(Parsed::Data, argument),
        "RSET" => without_argument(Parsed::Rset, argument),
        "QUIT" => without_argument(Parsed::Quit, argument),
        "STARTTLS" => without_argument(Parsed::StartTls, argument),
        "AUTH" => auth(argument),
        "XFORWARD" => Ok(origin(Extension::XForward, argument)),
        "XCLIENT" => Ok(origin(Extension::XClient, argument)),
        // Known to RFC 5321 and its extensions, not offered here.
        "BDAT" | "ETRN" | "TURN" | "ATRN" | "BURL" | "SEND" | "SOML" | "SAML" => {
            Err(Reply::new(502, (5, 5, 1), "command not implemented"))
        }
        _ => Err(Reply::new(500, (5, 5, 2), "command not recognised")),
    }
}

fn hello(verb: &str, argument: &str, protocol: Protocol) -> Result<Parsed, Reply> {
    let kind = match (verb, protocol) {
        ("HELO", Protocol::Smtp) => HelloKind::Helo,
        ("EHLO", Protocol::Smtp) => HelloKind::Ehlo,
        ("LHLO", Protocol::Lmtp) => HelloKind::Lhlo,
        // RFC 2033 section 4.1: neither greeting belongs to the other protocol.
        (_, Protocol::Smtp) => return Err(Reply::new(500, (5, 5, 1), "this is SMTP")),
        (_, Protocol::Lmtp) => return Err(Reply::new(500, (5, 5, 1), "this is LMTP")),
    };
    let name = argument.trim_matches(' ');
    let valid = !name.is_empty()
        && name.len() <= MAX_HELLO_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    if !valid {
        return Err(Reply::new(501, (5, 5, 4), "greeting without a usable host name"));
    }
    Ok(Parsed::Hello { kind, name: name.to_owned() })
}

fn origin(extension: Extension, argument: &str) -> Parsed {
    Parsed::Origin { extension, arguments: argument.to_owned() }
}

fn auth(argument: &str) -> Result<Parsed, Reply> {
    let mut words = argument.trim_end_matches(' ').splitn(2, ' ');
    let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
    if mechanism.is_empty() {
        return Err(Reply::new(501, (5, 5, 4), "AUTH without a mechanism"));
    }
    let initial = words.next().map(|text| Response(Zeroizing::new(text.to_owned())));
    Ok(Parsed::Auth { mechanism, initial })
}

/// Spaces after the colon are against RFC 5321 section 3.3 but common, and harmless where the
/// path is printed anew.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, Reply> {
    match argument.split_at_checked(keyword.len()) {
        Some((found, rest)) if found.eq_ignore_ascii_case(keyword) => {
            Ok(rest.trim_start_matches(' '))
        }
        _ => Err(Reply::new(501, (5, 5, 4), format!("{keyword}<address> expected"))),
    }
}

fn parameter_text(rest: &str) -> Result<&str, Reply> {
    if rest.is_empty() || rest.starts_with(' ') {
        Ok(rest)
    } else {
        Err(Reply::new(501, (5, 5, 4), "unexpected text after the path"))
    }
}

fn without_argument(command: Parsed, argument: &str) -> Result<Parsed, Reply> {
    // RFC 5321 section 4.1.1: trailing white space should be tolerated.
    if argument.bytes().all(|b| b == b' ') {
        Ok(command)
    } else {
        Err(Reply::new(501, (5, 5, 4), "command takes no argument"))
    }
}

fn bad_path(error: AddressError, status: (u8, u16, u16), whose: &str) -> Reply {
    Reply::new(501, status, format!("bad {whose} address: {error}"))
}

fn bad_parameter(error: &ParameterError) -> Reply {
    let code = match error {
        ParameterError::Unknown | ParameterError::NotImplemented(_) => 555,
        ParameterError::Duplicate(_) | ParameterError::Malformed(_) | ParameterError::List => 501,
    };
    Reply::new(code, (5, 5, 4), error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn smtp(line: &str) -> Result<Parsed, u16> {
        parse(line.as_bytes(), Protocol::Smtp).map_err(|reply| reply.code())
    }

    #[test]
    fn commands_are_typed() {
        assert_eq!(
            smtp("ehlo [192.0.2.1] "),
            Ok(Parsed::Hello { kind: HelloKind::Ehlo, name: "[192.0.2.1]".into() })
        );
        assert_eq!(
            smtp("Mail From:<> SIZE=10"),
            Ok(Parsed::Mail {
                path: ReversePath::Null,
                parameters: MailParameters { size: Some(10), ..Default::default() }
            })
        );
        assert_eq!(
            smtp("RCPT TO: <\"a b\"@example.org> NOTIFY=NEVER"),
            Ok(Parsed::Rcpt {
                path: ForwardPath::parse("<\"a b\"@example.org>").unwrap(),
                parameters: RcptParameters::parse("NOTIFY=NEVER").unwrap(),
            })
        );
        for (line, command) in [
            ("DATA ", Parsed::Data),
            ("rset", Parsed::Rset),
            ("NOOP anything", Parsed::Noop),
            ("QUIT", Parsed::Quit),
            ("VRFY a", Parsed::Vrfy),
            ("STARTTLS", Parsed::StartTls),
        ] {
            assert_eq!(smtp(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn malformed_commands_get_their_codes() {
        for (line, code) in [
            ("", 500),
            (" NOOP", 500),
            ("FOO", 500),
            ("GET / HTTP/1.1", 500),
            ("XCLIENTNAME=a", 500),
            ("NOOP\tx", 500),
            ("NOOP \u{9b}31m", 500),
            ("BDAT 10 LAST", 502),
            ("AUTH", 501),
            ("LHLO x", 500),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("EHLO <script>", 501),
            ("MAIL", 501),
            ("MAIL FROM", 501),
            ("MAIL TO:<a@example.org>", 501),
            ("MAIL FROM:a@example.org", 501),
            ("MAIL FROM:<a@example.org>SIZE=1", 501),
            ("MAIL FROM:<a@example.org> SIZE=1 SIZE=1", 501),
            ("MAIL FROM:<a@example.org> FOO=1", 555),
            ("MAIL FROM:<a@example.org> BODY=BINARYMIME", 555),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@example.org> SIZE=1", 555),
            ("DATA x", 501),
            ("STARTTLS x", 501),
        ] {
            assert_eq!(smtp(line), Err(code), "{line:?}");
        }
        assert_eq!(parse(b"NOOP \xff", Protocol::Smtp).unwrap_err().code(), 500);
        assert_eq!(parse(b"EHLO x", Protocol::Lmtp).unwrap_err().code(), 500);
        assert!(parse(b"LHLO x", Protocol::Lmtp).is_ok());
    }
}
