//! Mailboxes: a local part, and a domain or address literal.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{AddressError, MAX_PATH};
use crate::core::Domain;

/// Longest local part in octets, quotes and backslashes included.
///
/// RFC 5321 section 4.5.3.1.1 promises 64; real MTAs accept up to 255.
pub const MAX_LOCAL_PART: usize = 255;

/// What stands right of the `@`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A domain name.
    Domain(Domain),
    /// An IPv4 or IPv6 address literal with its brackets; never an identity.
    Literal(Box<str>),
}

/// A mailbox: local part in its exact spelling, and domain or address literal.
///
/// Local parts are compared octet by octet, so `"a"@example.org` and `a@example.org` differ
/// [R-uns-03]; domains are compared as [`Domain`] does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox {
    local: Box<str>,
    host: Host,
}

impl Mailbox {
    /// Reads a mailbox without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_PATH - 2 {
            return Err(AddressError::PathTooLong);
        }
        let end = local_part_end(text)?;
        let (local, rest) = text.split_at(end);
        let host = Host::parse(rest.strip_prefix('@').ok_or(AddressError::NoDomain)?)?;
        Ok(Self { local: local.into(), host })
    }

    /// Joins a local part, spelled as in an address, and a domain.
    pub fn new(local: &str, domain: Domain) -> Result<Self, AddressError> {
        if local_part_end(local)? != local.len() {
            return Err(AddressError::LocalPart);
        }
        Ok(Self { local: local.into(), host: Host::Domain(domain) })
    }

    /// The local part in its exact spelling, quotes included.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.local
    }

    /// The domain or address literal.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The domain; `None` for an address literal, which is no identity.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match &self.host {
            Host::Domain(domain) => Some(domain),
            Host::Literal(_) => None,
        }
    }

    /// Whether the mailbox can be used without SMTPUTF8 (RFC 6531). The domain always can, as it
    /// is printed in A-labels.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii()
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(AddressError::Literal)?;
            // Other tags of RFC 5321's General-address-literal have never been registered.
            let valid = match inner.get(..5) {
                Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
                    inner.get(5..).is_some_and(|a| a.parse::<Ipv6Addr>().is_ok())
                }
                _ => inner.parse::<Ipv4Addr>().is_ok(),
            };
            return if valid { Ok(Self::Literal(text.into())) } else { Err(AddressError::Literal) };
        }
        Domain::parse(text).map(Self::Domain).map_err(|_| AddressError::Domain)
    }
}

/// Where the local part at the beginning of `text` ends.
fn local_part_end(text: &str) -> Result<usize, AddressError> {
    let end = if text.starts_with('"') { quoted_string_end(text)? } else { dot_string_end(text)? };
    if end > MAX_LOCAL_PART { Err(AddressError::LocalPartTooLong) } else { Ok(end) }
}

fn dot_string_end(text: &str) -> Result<usize, AddressError> {
    let end = text.find(|c| !is_atext(c) && c != '.').unwrap_or(text.len());
    if text[..end].split('.').any(str::is_empty) {
        return Err(AddressError::LocalPart);
    }
    Ok(end)
}

fn quoted_string_end(text: &str) -> Result<usize, AddressError> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(at + 1),
            // quoted-pairSMTP: a backslash and a printable ASCII character or space.
            '\\' => match chars.next() {
                Some((_, ' '..='~')) => {}
                _ => return Err(AddressError::LocalPart),
            },
            ' '..='~' => {}
            c if is_utf8_non_ascii(c) => {}
            _ => return Err(AddressError::LocalPart),
        }
    }
    Err(AddressError::LocalPart)
}

/// RFC 5322 `atext`, extended by RFC 6531 section 3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_non_ascii(c)
}

/// The C1 controls are left out: no address needs them and terminals obey them.
fn is_utf8_non_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_control()
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Literal(literal) => f.write_str(literal),
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.host)
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
