//! The parameters about delivery status notifications: RET, ENVID, NOTIFY and ORCPT (RFC 3461, RFC 6533).

use std::fmt;
use std::fmt::Write as _;

use super::xtext::{decode_utf8_addr, decode_xtext, write_xtext};

/// Longest ENVID in its encoded form, in octets (RFC 3461 section 4.4).
pub const MAX_ENVID: usize = 100;

/// Longest ORCPT in its encoded ASCII form, address type included, in octets (RFC 3461
/// section 4.2).
pub const MAX_ORCPT: usize = 500;

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

impl Ret {
    /// Reads `FULL` or `HDRS` in any case.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("FULL") {
            Some(Self::Full)
        } else if value.eq_ignore_ascii_case("HDRS") {
            Some(Self::Hdrs)
        } else {
            None
        }
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
    /// Reads `addr-type;address`, the address as xtext or, for type `utf-8`, in either form of
    /// RFC 6533 section 3.
    ///
    /// `None` as well if the ASCII form that [`Display`](fmt::Display) prints is longer than
    /// [`MAX_ORCPT`].
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > MAX_ORCPT {
            return None;
        }
        let (addr_type, encoded) = value.split_once(';')?;
        let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*-/?^_`{|}~".contains(&b);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn utf8_original_recipients_are_read_in_both_forms() {
        let unitext = Orcpt::parse("utf-8;döner@example.org").unwrap();
        let escaped = Orcpt::parse("UTF-8;d\\x{F6}ner@example.org").unwrap();
        assert_eq!(unitext, escaped);
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
