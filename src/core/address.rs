//! Mailboxes and paths of the SMTP envelope (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
//!
//! Everything that comes from a peer or out of an envelope is parsed by this strict grammar and
//! printed anew from the typed value, so no octet of a command is ever copied through.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Domain;

/// Longest local part in octets, quotes and backslashes included.
///
/// RFC 5321 section 4.5.3.1.1 promises 64; real MTAs accept up to 255.
pub const MAX_LOCAL_PART: usize = 255;

/// Longest path in octets, angle brackets and source route included.
///
/// RFC 5321 section 4.5.3.1.3 promises 256; this is what [`MAX_LOCAL_PART`] needs.
pub const MAX_PATH: usize = 512;

/// Why a text is no mailbox or path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A path does not stand in angle brackets, or something is left behind the closing one.
    #[error("path is not enclosed in angle brackets")]
    Brackets,
    /// More than [`MAX_PATH`] octets.
    #[error("path longer than {MAX_PATH} octets")]
    PathTooLong,
    /// The local part has more than [`MAX_LOCAL_PART`] octets.
    #[error("local part longer than {MAX_LOCAL_PART} octets")]
    LocalPartTooLong,
    /// The local part is neither a dot-string nor a quoted string.
    #[error("malformed local part")]
    LocalPart,
    /// There is no `@` behind the local part.
    #[error("address without a domain")]
    NoDomain,
    /// What follows the `@` is no fully qualified domain name.
    #[error("malformed domain")]
    Domain,
    /// The address literal is neither IPv4 nor IPv6.
    #[error("malformed address literal")]
    Literal,
    /// The source route before the mailbox is malformed.
    #[error("malformed source route")]
    SourceRoute,
}

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

macro_rules! debug_as_display {
    ($($type:ident),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    )*};
}
debug_as_display!(Host, Mailbox, ReversePath, ForwardPath);

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

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spelling_is_kept() {
        for text in [
            "<a@example.org>",
            "<First.Last+tag@example.org>",
            "<\"a@x\"@example.org>",
            "<\"a > b\"@example.org>",
            "<\"q\\\"uote\\\\\"@example.org>",
            "<\"\"@example.org>",
            "<a@[192.0.2.1]>",
            "<a@[IPv6:2001:db8::1]>",
            "<döner@example.org>",
            "<!#$%&'*+-/=?^_`{|}~@example.org>",
        ] {
            assert_eq!(ReversePath::parse(text).unwrap().to_string(), text);
            assert_eq!(ForwardPath::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ReversePath::parse("<>").unwrap(), ReversePath::Null);
        assert_eq!(
            ForwardPath::parse("<Döner@BÜCHER.Example>").unwrap().to_string(),
            "<Döner@xn--bcher-kva.example>"
        );
    }

    #[test]
    fn postmaster_needs_no_domain_as_recipient_only() {
        assert_eq!(ForwardPath::parse("<PostMaster>").unwrap(), ForwardPath::Postmaster);
        assert_eq!(ForwardPath::parse("<PostMaster>").unwrap().to_string(), "<postmaster>");
        assert_eq!(ReversePath::parse("<postmaster>"), Err(AddressError::NoDomain));
        assert_eq!(ForwardPath::parse("<>"), Err(AddressError::LocalPart));
    }

    #[test]
    fn source_routes_are_dropped() {
        let path = ForwardPath::parse("<@a.example,@b.example:u@c.example>").unwrap();
        assert_eq!(path.to_string(), "<u@c.example>");
        for bad in ["<@a.example>", "<@a.example,b.example:u@c.example>", "<@:u@c.example>"] {
            assert_eq!(ForwardPath::parse(bad), Err(AddressError::SourceRoute), "{bad}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in [
            "",
            "a@example.org",
            "<a@example.org",
            "<a@example.org>x",
            "< a@example.org>",
            "<a@example.org >",
            "<a b@example.org>",
            "<a..b@example.org>",
            "<.a@example.org>",
            "<a.@example.org>",
            "<@example.org>",
            "<a@>",
            "<a@b>",
            "<a@example.org.>",
            "<a@b@example.org>",
            "<a@-x.example>",
            "<a@192.0.2.1>",
            "<a@[192.0.2.256]>",
            "<a@[IPv6:fe80::1%eth0]>",
            "<a@[2001:db8::1]>",
            "<a@[x-tag:y]>",
            "<a@[192.0.2.1>",
            "<a\r\n@example.org>",
            "<\"a\r\nDATA\"@example.org>",
            "<\"a\\\r\"@example.org>",
            "<\"a\0\"@example.org>",
            "<\"a\u{85}\"@example.org>",
            "<a\u{9b}31m@example.org>",
            "<\"a@example.org>",
            "<\"a\"b@example.org>",
            "<a\"b\"@example.org>",
            "<a\\b@example.org>",
            "<<a@example.org>>",
        ] {
            assert!(ReversePath::parse(bad).is_err(), "{bad:?}");
            assert!(ForwardPath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let local = |n| "a".repeat(n);
        assert!(Mailbox::parse(&format!("{}@example.org", local(255))).is_ok());
        assert_eq!(
            Mailbox::parse(&format!("{}@example.org", local(256))),
            Err(AddressError::LocalPartTooLong)
        );
        let route = format!("<@{}.example:a@example.org>", "x.".repeat(120) + "x");
        assert!(ForwardPath::parse(&route).is_ok());
        let route = format!("<{}:a@example.org>", vec!["@aaaa.example"; 50].join(","));
        assert_eq!(ForwardPath::parse(&route), Err(AddressError::PathTooLong));
    }

    #[test]
    fn local_parts_are_compared_by_octets_and_domains_are_not() {
        let a = Mailbox::parse("User@Example.ORG").unwrap();
        assert_eq!(a, Mailbox::parse("User@example.org").unwrap());
        assert_ne!(a, Mailbox::parse("user@example.org").unwrap());
        assert_ne!(a, Mailbox::parse("\"User\"@example.org").unwrap());
        assert!(Mailbox::parse("a@[192.0.2.1]").unwrap().domain().is_none());
    }

    #[test]
    fn what_follows_the_path_is_returned() {
        let (path, rest) = ReversePath::parse_prefix("<\">\"@example.org> SIZE=1").unwrap();
        assert_eq!(path.mailbox().unwrap().local_part(), "\">\"");
        assert_eq!(rest, " SIZE=1");
    }

    proptest! {
        /// Whatever is accepted prints to one line of the same meaning.
        #[test]
        fn accepted_paths_print_to_themselves(text in "<[ -~é\u{0}-\u{1f}]{0,12}@(example\\.org|\\[192\\.0\\.2\\.1\\])>") {
            if let Ok(path) = ForwardPath::parse(&text) {
                let printed = path.to_string();
                prop_assert!(!printed.chars().any(char::is_control));
                prop_assert_eq!(ForwardPath::parse(&printed).unwrap(), path);
            }
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = ForwardPath::parse(&text);
            let _ = ReversePath::parse(&format!("<{text}>"));
        }
    }
}
