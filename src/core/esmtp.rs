//! ESMTP parameters of MAIL and RCPT that travel inside the envelope.
//!
//! SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT
//! (RFC 3461, RFC 6533). They are parsed strictly and printed anew from their typed values.

mod dsn;
mod xtext;

use std::fmt;
use std::fmt::Write as _;

pub use dsn::{Envid, MAX_ENVID, MAX_ORCPT, Notify, Orcpt, Ret};
pub use xtext::{decode_xtext, encode_xtext};

/// Longest parameter text of one command, in octets.
pub const MAX_PARAMETERS: usize = 2048;

/// Why a parameter list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The keyword is not known for this command: reply 555 5.5.4.
    #[error("parameter not recognised")]
    Unknown,
    /// The keyword is known, the value is not implemented (as BODY=BINARYMIME): 555 5.5.4.
    #[error("{0} value not implemented")]
    NotImplemented(&'static str),
    /// The keyword is given twice: 501 5.5.4.
    #[error("{0} given twice")]
    Duplicate(&'static str),
    /// The value breaks its grammar or length limit: 501 5.5.4.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The list itself breaks the grammar or [`MAX_PARAMETERS`]: 501 5.5.4.
    #[error("malformed parameter list")]
    List,
}

/// What the message claims about its octets (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Body {
    /// `7BIT`.
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
}

/// The parameters of MAIL.
///
/// AUTH= (RFC 4954) is accepted and dropped, as a server that trusts no claimed submitter does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MailParameters {
    /// Declared message size in octets, saturated to the type.
    pub size: Option<u64>,
    /// Declared body type.
    pub body: Option<Body>,
    /// Whether the message needs SMTPUTF8.
    pub smtputf8: bool,
    /// What notifications return.
    pub ret: Option<Ret>,
    /// The sender's transaction id.
    pub envid: Option<Envid>,
}

/// The parameters of RCPT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RcptParameters {
    /// Which notifications are wanted.
    pub notify: Option<Notify>,
    /// The original recipient.
    pub orcpt: Option<Orcpt>,
}

impl MailParameters {
    /// Reads the parameters that follow the path of MAIL; leading and trailing spaces are allowed.
    pub fn parse(text: &str) -> Result<Self, ParameterError> {
        let mut parameters = Self::default();
        let mut auth = None;
        for parameter in split(text)? {
            let (keyword, value) = parameter?;
            if keyword.eq_ignore_ascii_case("SIZE") {
                set(&mut parameters.size, "SIZE", value.and_then(parse_size))?;
            } else if keyword.eq_ignore_ascii_case("BODY") {
                set(&mut parameters.body, "BODY", parse_body(value)?)?;
            } else if keyword.eq_ignore_ascii_case("SMTPUTF8") {
                if parameters.smtputf8 {
                    return Err(ParameterError::Duplicate("SMTPUTF8"));
                }
                if value.is_some() {
                    return Err(ParameterError::Malformed("SMTPUTF8"));
                }
                parameters.smtputf8 = true;
            } else if keyword.eq_ignore_ascii_case("RET") {
                set(&mut parameters.ret, "RET", value.and_then(Ret::parse))?;
            } else if keyword.eq_ignore_ascii_case("ENVID") {
                set(&mut parameters.envid, "ENVID", value.and_then(Envid::parse))?;
            } else if keyword.eq_ignore_ascii_case("AUTH") {
                let valid = value.filter(|v| *v == "<>" || decode_xtext(v).is_some());
                set(&mut auth, "AUTH", valid.map(|_| ()))?;
            } else {
                return Err(ParameterError::Unknown);
            }
        }
        Ok(parameters)
    }
}

impl RcptParameters {
    /// Reads the parameters that follow the path of RCPT; leading and trailing spaces are allowed.
    pub fn parse(text: &str) -> Result<Self, ParameterError> {
        let mut parameters = Self::default();
        for parameter in split(text)? {
            let (keyword, value) = parameter?;
            if keyword.eq_ignore_ascii_case("NOTIFY") {
                set(&mut parameters.notify, "NOTIFY", value.and_then(Notify::parse))?;
            } else if keyword.eq_ignore_ascii_case("ORCPT") {
                set(&mut parameters.orcpt, "ORCPT", value.and_then(Orcpt::parse))?;
            } else {
                return Err(ParameterError::Unknown);
            }
        }
        Ok(parameters)
    }
}

type Parameter<'a> = Result<(&'a str, Option<&'a str>), ParameterError>;

/// Splits a parameter list into keywords and values (RFC 5321 section 4.1.2, `esmtp-param`).
fn split(text: &str) -> Result<impl Iterator<Item = Parameter<'_>>, ParameterError> {
    if text.len() > MAX_PARAMETERS {
        return Err(ParameterError::List);
    }
    Ok(text.split(' ').filter(|p| !p.is_empty()).map(|parameter| {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (parameter, None),
        };
        let keyword_ok = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let value_ok = value.is_none_or(|v| {
            !v.is_empty() && !v.chars().any(|c| c == '=' || c.is_control() || c.is_whitespace())
        });
        if keyword_ok && value_ok { Ok((keyword, value)) } else { Err(ParameterError::List) }
    }))
}

fn set<T>(
    field: &mut Option<T>,
    keyword: &'static str,
    value: Option<T>,
) -> Result<(), ParameterError> {
    if field.is_some() {
        return Err(ParameterError::Duplicate(keyword));
    }
    *field = Some(value.ok_or(ParameterError::Malformed(keyword))?);
    Ok(())
}

/// RFC 1870: one to twenty digits, more than a `u64` holds; every limit is below its maximum.
fn parse_size(value: &str) -> Option<u64> {
    if value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}

fn parse_body(value: Option<&str>) -> Result<Option<Body>, ParameterError> {
    match value {
        Some(v) if v.eq_ignore_ascii_case("7BIT") => Ok(Some(Body::SevenBit)),
        Some(v) if v.eq_ignore_ascii_case("8BITMIME") => Ok(Some(Body::EightBitMime)),
        Some(_) => Err(ParameterError::NotImplemented("BODY")),
        None => Ok(None),
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
        })
    }
}

impl fmt::Display for MailParameters {
    /// Prints what [`MailParameters::parse`] reads, separated by single spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Separated::new(f);
        if let Some(size) = self.size {
            out.item(format_args!("SIZE={size}"))?;
        }
        if let Some(body) = self.body {
            out.item(format_args!("BODY={body}"))?;
        }
        if self.smtputf8 {
            out.item(format_args!("SMTPUTF8"))?;
        }
        if let Some(ret) = self.ret {
            out.item(format_args!("RET={ret}"))?;
        }
        if let Some(envid) = &self.envid {
            out.item(format_args!("ENVID={envid}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for RcptParameters {
    /// Prints what [`RcptParameters::parse`] reads, separated by single spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Separated::new(f);
        if let Some(notify) = self.notify {
            out.item(format_args!("NOTIFY={notify}"))?;
        }
        if let Some(orcpt) = &self.orcpt {
            out.item(format_args!("ORCPT={orcpt}"))?;
        }
        Ok(())
    }
}

struct Separated<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    first: bool,
}

impl<'a, 'f> Separated<'a, 'f> {
    fn new(f: &'a mut fmt::Formatter<'f>) -> Self {
        Self { f, first: true }
    }

    fn item(&mut self, item: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.f.write_char(' ')?;
        }
        self.f.write_fmt(item)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mail_parameters_print_in_one_order() {
        let parsed =
            MailParameters::parse(" envid=a+2Bb ret=hdrs SmtpUtf8 BODY=8bitmime SIZE=0012 AUTH=<>")
                .unwrap();
        assert_eq!(parsed.to_string(), "SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb");
        assert_eq!(parsed.envid.unwrap().decoded(), "a+b");
        assert_eq!(MailParameters::parse("").unwrap().to_string(), "");
    }

    #[test]
    fn rcpt_parameters_print_in_one_order() {
        let parsed =
            RcptParameters::parse(" ORCPT=RFC822;Bob+2Bx@example.org NOTIFY=delay,SUCCESS")
                .unwrap();
        assert_eq!(parsed.to_string(), "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@example.org");
        assert_eq!(parsed.orcpt.unwrap().address(), b"Bob+x@example.org");
    }

    #[test]
    fn mail_parameters_refuse() {
        use ParameterError::*;
        for (text, error) in [
            ("FOO=1", Unknown),
            ("NOTIFY=NEVER", Unknown),
            ("BODY=BINARYMIME", NotImplemented("BODY")),
            ("BODY", Malformed("BODY")),
            ("SIZE=1 SIZE=1", Duplicate("SIZE")),
            ("SMTPUTF8 SMTPUTF8", Duplicate("SMTPUTF8")),
            ("AUTH=<> AUTH=<>", Duplicate("AUTH")),
            ("SMTPUTF8=1", Malformed("SMTPUTF8")),
            ("SIZE=-1", Malformed("SIZE")),
            ("SIZE=+1", Malformed("SIZE")),
            ("SIZE", Malformed("SIZE")),
            ("SIZE=", List),
            ("SIZE=000000000000000000001", Malformed("SIZE")),
            ("RET=ALL", Malformed("RET")),
            ("ENVID=+2", Malformed("ENVID")),
            ("ENVID=+2b", Malformed("ENVID")),
            ("ENVID=+0D+0A", Malformed("ENVID")),
            ("ENVID=+C3+A4", Malformed("ENVID")),
            ("ENVID=a=b", List),
            ("=x", List),
            ("-X=1", List),
            ("SIZE=1\t", List),
            ("SIZE=1\rX", List),
        ] {
            assert_eq!(MailParameters::parse(text), Err(error), "{text}");
        }
        assert_eq!(
            MailParameters::parse("SIZE=99999999999999999999").unwrap().size,
            Some(u64::MAX)
        );
    }

    #[test]
    fn rcpt_parameters_refuse() {
        use ParameterError::*;
        for (text, error) in [
            ("SIZE=1", Unknown),
            ("NOTIFY=NEVER,SUCCESS", Malformed("NOTIFY")),
            ("NOTIFY=SUCCESS,SUCCESS", Malformed("NOTIFY")),
            ("NOTIFY=SUCCESS,", Malformed("NOTIFY")),
            ("NOTIFY=NEVER NOTIFY=NEVER", Duplicate("NOTIFY")),
            ("ORCPT=a@example.org", Malformed("ORCPT")),
            ("ORCPT=;a@example.org", Malformed("ORCPT")),
            ("ORCPT=rfc822;", Malformed("ORCPT")),
            ("ORCPT=rfc822;a+0Ab", Malformed("ORCPT")),
            ("ORCPT=rfc822;döner@example.org", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\x{0A}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\x{D800}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\x{110000}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\y", Malformed("ORCPT")),
            ("ORCPT=utf-8;a+41", Malformed("ORCPT")),
        ] {
            assert_eq!(RcptParameters::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn accepted_parameters_print_to_themselves(
            text in "( ?(SIZE=[0-9]{1,21}|BODY=[78]BIT(MIME)?|SMTPUTF8|RET=(FULL|HDRS)|ENVID=[!-~+]{1,20})){0,5}"
        ) {
            if let Ok(parsed) = MailParameters::parse(&text) {
                prop_assert_eq!(MailParameters::parse(&parsed.to_string()).unwrap(), parsed);
            }
        }
    }
}
