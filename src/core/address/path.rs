//! The paths of MAIL and RCPT, in angle brackets.

use std::fmt;
use std::str::FromStr;

use super::{AddressError, Mailbox};
use crate::core::Domain;

/// Longest path in octets, angle brackets and source route included.
///
/// RFC 5321 section 4.5.3.1.3 promises 256; this is what [`MAX_LOCAL_PART`](super::MAX_LOCAL_PART) needs.
pub const MAX_PATH: usize = 512;

/// The argument of `MAIL FROM:`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReversePath {
    /// `<>`: notifications (RFC 5321 section 4.5.5).
    Null,
    /// The sender's mailbox.
    Mailbox(Mailbox),
}

/// The argument of `RCPT TO:`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardPath {
    /// A recipient's mailbox.
    Mailbox(Mailbox),
    /// The bare `<Postmaster>` in any case (RFC 5321 section 4.1.1.3).
    Postmaster,
}

impl ReversePath {
    /// Reads a path in angle brackets that fills the whole text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        whole(Self::parse_prefix(text)?)
    }

    /// Reads a path in angle brackets at the beginning of the text; returns what follows it.
    pub fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        let (inner, rest) = split_path(text)?;
        if inner.is_empty() {
            return Ok((Self::Null, rest));
        }
        Ok((Self::Mailbox(Mailbox::parse(drop_source_route(inner)?)?), rest))
    }

    /// The mailbox; `None` for the null path.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The sender's domain; `None` for the null path and for address literals.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.mailbox()?.domain()
    }

    /// Whether this is `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the path can be used without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

impl ForwardPath {
    /// Reads a path in angle brackets that fills the whole text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        whole(Self::parse_prefix(text)?)
    }

    /// Reads a path in angle brackets at the beginning of the text; returns what follows it.
    pub fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        let (inner, rest) = split_path(text)?;
        if inner.eq_ignore_ascii_case("postmaster") {
            return Ok((Self::Postmaster, rest));
        }
        Ok((Self::Mailbox(Mailbox::parse(drop_source_route(inner)?)?), rest))
    }

    /// The mailbox; `None` for the bare postmaster.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::Postmaster => None,
        }
    }

    /// The recipient domain; `None` for the bare postmaster and for address literals.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.mailbox()?.domain()
    }

    /// Whether the path can be used without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// The octets between the angle brackets at the beginning of `text`, and what follows them. A `>`
/// inside a quoted local part does not close the path.
fn split_path(text: &str) -> Result<(&str, &str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::Brackets)?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inner.bytes().enumerate() {
        if at + 2 > MAX_PATH {
            return Err(AddressError::PathTooLong);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                return Ok((&inner[..at], &inner[at + 1..]));
            }
            _ => {}
        }
    }
    Err(AddressError::Brackets)
}

fn whole<T>((path, rest): (T, &str)) -> Result<T, AddressError> {
    if rest.is_empty() { Ok(path) } else { Err(AddressError::Brackets) }
}

/// Source routes must be accepted and should be ignored (RFC 5321 section 4.1.1.3, appendix C).
fn drop_source_route(inner: &str) -> Result<&str, AddressError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, mailbox) = inner.split_once(':').ok_or(AddressError::SourceRoute)?;
    for hop in route.split(',') {
        let host = hop.strip_prefix('@').ok_or(AddressError::SourceRoute)?;
        Domain::parse(host).map_err(|_| AddressError::SourceRoute)?;
    }
    Ok(mailbox)
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
            Self::Postmaster => f.write_str("<postmaster>"),
        }
    }
}

impl From<Mailbox> for ReversePath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

impl From<Mailbox> for ForwardPath {
    fn from(mailbox: Mailbox) -> Self {
        Self::Mailbox(mailbox)
    }
}

impl FromStr for ReversePath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl FromStr for ForwardPath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
