//! ESMTP parameters of MAIL and RCPT that travel inside the envelope.
//!
//! SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT
//! (RFC 3461, RFC 6533). They are parsed strictly and printed anew from their typed values.

use std::fmt;
use std::fmt::Write as _;

/// Longest ENVID in its encoded form, in octets (RFC 3461 section 4.4).
pub const MAX_ENVID: usize = 100;

/// Longest ORCPT in its encoded ASCII form, address type included, in octets (RFC 3461
/// section 4.2).
pub const MAX_ORCPT: usize = 500;

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

/// How much of the message a failure notification returns (RFC 3461 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header fields only.
    Hdrs,
}

/// The sender's transaction id (RFC 3461 section 4.4), decoded: printable ASCII and spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Envid(Box<str>);

/// When the sender wants notifications about a recipient (RFC 3461 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notify {
    /// `NEVER`.
    Never,
    /// At least one of the three; [`Notify::on`] keeps it so.
    On {
        /// Notify of success.
        success: bool,
        /// Notify of failure.
        failure: bool,
        /// Notify of delay.
        delay: bool,
    },
}

/// The original recipient (RFC 3461 section 4.2, RFC 6533 section 3), decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Orcpt {
    /// In lower case: `rfc822`, `utf-8` or another atom.
    addr_type: Box<str>,
    /// No ASCII controls. For type `utf-8` it is UTF-8.
    address: Box<[u8]>,
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
                set(&mut parameters.ret, "RET", value.and_then(parse_ret))?;
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

impl Envid {
    /// Reads the encoded form (xtext), at most [`MAX_ENVID`] octets.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > MAX_ENVID {
            return None;
        }
        let decoded = decode_xtext(value)?;
        // RFC 3461 section 4.4: printable US-ASCII, spaces included, once decoded.
        if !decoded.iter().all(|b| matches!(b, b' '..=b'~')) {
            return None;
        }
        String::from_utf8(decoded).ok().map(|text| Self(text.into()))
    }

    /// Takes a decoded id; `None` if it is empty, not printable ASCII or too long when encoded.
    #[must_use]
    pub fn from_decoded(text: &str) -> Option<Self> {
        let id = Self(text.into());
        Self::parse(&id.to_string()).filter(|parsed| *parsed == id)
    }

    /// The decoded id, as `Original-Envelope-Id:` shows it.
    #[must_use]
    pub fn decoded(&self) -> &str {
        &self.0
    }
}

impl Notify {
    /// A set of conditions; `None` if it is empty.
    #[must_use]
    pub fn on(success: bool, failure: bool, delay: bool) -> Option<Self> {
        (success || failure || delay).then_some(Self::On { success, failure, delay })
    }

    /// Reads `NEVER` or a comma-separated list; each condition at most once.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for condition in value.split(',') {
            let flag = if condition.eq_ignore_ascii_case("SUCCESS") {
                &mut success
            } else if condition.eq_ignore_ascii_case("FAILURE") {
                &mut failure
            } else if condition.eq_ignore_ascii_case("DELAY") {
                &mut delay
            } else {
                return None;
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        Self::on(success, failure, delay)
    }

    /// Whether a notification of success is wanted.
    #[must_use]
    pub fn success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }

    /// Whether a notification of failure is wanted.
    #[must_use]
    pub fn failure(self) -> bool {
        matches!(self, Self::On { failure: true, .. })
    }

    /// Whether a notification of delay is wanted.
    #[must_use]
    pub fn delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }
}

impl Orcpt {
    /// Reads `addr-type;address` [R-con-02], the address as xtext or, for type `utf-8`, in either
    /// form of RFC 6533 section 3.
    ///
    /// `None` as well if the ASCII form that [`Display`](fmt::Display) prints is longer than
    /// [`MAX_ORCPT`].
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > MAX_ORCPT {
            return None;
        }
        let (addr_type, encoded) = value.split_once(';')?;
        // An atom, but for the `=` that no value has.
        let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~".contains(&b);
        if addr_type.is_empty() || !addr_type.bytes().all(is_atom) {
            return None;
        }
        let addr_type = addr_type.to_ascii_lowercase();
        let address = if addr_type == "utf-8" {
            decode_utf8_addr(encoded)?.into_bytes()
        } else {
            decode_xtext(encoded)?
        };
        if address.is_empty() || address.iter().any(u8::is_ascii_control) {
            return None;
        }
        let orcpt = Self { addr_type: addr_type.into(), address: address.into() };
        (orcpt.to_string().len() <= MAX_ORCPT).then_some(orcpt)
    }

    /// Makes the original recipient of an address as it stands in a command, without brackets.
    #[must_use]
    pub fn from_address(address: &str) -> Option<Self> {
        let addr_type = if address.is_ascii() { "rfc822" } else { "utf-8" };
        let orcpt = Self { addr_type: addr_type.into(), address: address.as_bytes().into() };
        Self::parse(&orcpt.to_string()).filter(|parsed| *parsed == orcpt)
    }

    /// The address type in lower case.
    #[must_use]
    pub fn addr_type(&self) -> &str {
        &self.addr_type
    }

    /// The decoded address; UTF-8 if the type is `utf-8`.
    #[must_use]
    pub fn address(&self) -> &[u8] {
        &self.address
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
        let value_ok =
            value.is_none_or(|v| !v.is_empty() && !v.chars().any(|c| c == '=' || c.is_control()));
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

fn parse_ret(value: &str) -> Option<Ret> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(Ret::Hdrs)
    } else {
        None
    }
}

/// Decodes xtext (RFC 3461 section 4): printable ASCII without `+` and `=`, or `+` and two
/// upper-case hexadecimal digits.
#[must_use]
pub fn decode_xtext(value: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let (high, low) = (hex_digit(bytes.next()?)?, hex_digit(bytes.next()?)?);
                decoded.push(high << 4 | low);
            }
            b'=' => return None,
            b'!'..=b'~' => decoded.push(byte),
            _ => return None,
        }
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 6533 section 3: `utf-8-addr-xtext` and `utf-8-addr-unitext` in one grammar, without its
/// control characters [R-con-02].
fn decode_utf8_addr(value: &str) -> Option<String> {
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => {
                let (point, after) = rest.strip_prefix("\\x{")?.split_once('}')?;
                decoded.push(escaped_char(point)?);
                rest = after;
            }
            '+' | '=' => return None,
            c if c.is_control() || c == ' ' => return None,
            c => {
                decoded.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Some(decoded)
}

/// `hexpoint`: what cannot stand for itself, in hexadecimal digits of either case without leading zeros.
fn escaped_char(point: &str) -> Option<char> {
    let is_number = point.len() <= 6
        && !point.starts_with('0')
        && point.bytes().all(|digit| digit.is_ascii_hexdigit());
    let c = char::from_u32(u32::from_str_radix(point, 16).ok().filter(|_| is_number)?)?;
    (matches!(c, ' ' | '+' | '=' | '\\') || c >= '\u{A0}').then_some(c)
}

/// Encodes octets as xtext (RFC 3461 section 4).
#[must_use]
pub fn encode_xtext(decoded: &[u8]) -> String {
    let mut encoded = String::with_capacity(decoded.len());
    // Writing to a string does not fail.
    let _ = write_xtext(&mut encoded, decoded);
    encoded
}

fn write_xtext(f: &mut impl fmt::Write, decoded: &[u8]) -> fmt::Result {
    for &byte in decoded {
        match byte {
            b'+' | b'=' => write!(f, "+{byte:02X}")?,
            b'!'..=b'~' => f.write_char(char::from(byte))?,
            _ => write!(f, "+{byte:02X}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
        })
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Hdrs => "HDRS",
        })
    }
}

impl fmt::Display for Envid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_xtext(f, self.0.as_bytes())
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On { success, failure, delay } = *self else {
            return f.write_str("NEVER");
        };
        let mut separator = "";
        for (wanted, condition) in [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")] {
            if wanted {
                write!(f, "{separator}{condition}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Orcpt {
    /// Prints ASCII only, which is valid with and without SMTPUTF8 (RFC 6533 section 3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.addr_type)?;
        if &*self.addr_type != "utf-8" {
            return write_xtext(f, &self.address);
        }
        for c in String::from_utf8_lossy(&self.address).chars() {
            match c {
                '+' | '=' | '\\' => write!(f, "\\x{{{:02X}}}", u32::from(c))?,
                '!'..='~' => f.write_char(c)?,
                c => write!(f, "\\x{{{:02X}}}", u32::from(c))?,
            }
        }
        Ok(())
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
            ("ORCPT=utf-8;a\\x{41}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\x{0F6}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\x{+F6}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\X{F6}", Malformed("ORCPT")),
            ("ORCPT=utf-8;a\\x{9F}", Malformed("ORCPT")),
        ] {
            assert_eq!(RcptParameters::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn utf8_original_recipients_are_read_in_both_forms() {
        let unitext = Orcpt::parse("utf-8;döner@example.org").unwrap();
        let escaped = Orcpt::parse("UTF-8;d\\x{F6}ner@example.org").unwrap();
        assert_eq!(unitext, escaped);
        assert_eq!(unitext, Orcpt::parse("utf-8;d\\x{f6}ner@example.org").unwrap());
        assert_eq!(
            RcptParameters::parse("ORCPT=utf-8;a\u{3000}b").unwrap().to_string(),
            "ORCPT=utf-8;a\\x{3000}b"
        );
        assert_eq!(unitext.to_string(), "utf-8;d\\x{F6}ner@example.org");
        assert_eq!(Orcpt::from_address("döner@example.org").unwrap(), unitext);
        assert_eq!(
            Orcpt::from_address("a+b@example.org").unwrap().to_string(),
            "rfc822;a+2Bb@example.org"
        );
        assert_eq!(Orcpt::from_address("a\r\nb@example.org"), None);
    }

    #[test]
    fn dsn_values_are_bounded() {
        assert!(Envid::parse(&"x".repeat(100)).is_some());
        assert!(Envid::parse(&"x".repeat(101)).is_none());
        assert!(Envid::from_decoded(&"+".repeat(33)).is_some());
        assert!(Envid::from_decoded(&"+".repeat(34)).is_none());
        assert!(Orcpt::parse(&format!("rfc822;{}", "x".repeat(493))).is_some());
        assert!(Orcpt::parse(&format!("rfc822;{}", "x".repeat(494))).is_none());
        assert!(Orcpt::parse(&format!("utf-8;{}", "ö".repeat(100))).is_none());
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

        #[test]
        fn accepted_orcpt_prints_to_itself(value in "(rfc822|utf-8|x);[ -~éö\u{1}+\\\\]{0,30}") {
            if let Some(parsed) = Orcpt::parse(&value) {
                let printed = parsed.to_string();
                prop_assert!(printed.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(Orcpt::parse(&printed).unwrap(), parsed);
            }
        }

        #[test]
        fn any_envid_survives(decoded in "[ -~]{1,30}") {
            let id = Envid::from_decoded(&decoded).unwrap();
            let parsed = Envid::parse(&id.to_string()).unwrap();
            prop_assert_eq!(parsed.decoded(), decoded);
        }
    }
}
