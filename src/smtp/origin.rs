//! Where a message comes from, as one MTA tells the next: the XFORWARD and XCLIENT commands.
//!
//! The two are extensions of Postfix (`XFORWARD_README` and `XCLIENT_README` of its
//! documentation). They share their attributes: XFORWARD is about the next transaction and only
//! for logs, XCLIENT is about the whole session, replaces the client there, and brings the
//! session back to its greeting. Attributes that one of them does not have are refused or left
//! out. Who may use them is decided by whoever reads them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::core::esmtp::{decode_xtext, encode_xtext};

/// Longest value, encoded, in octets (`XFORWARD_README`, note 1).
pub const MAX_VALUE: usize = 255;

/// Longest name of a protocol in octets.
pub const MAX_PROTOCOL: usize = 64;

/// Longest command line in octets with its CRLF (note 2): more attributes take another command.
pub const MAX_COMMAND: usize = 512;

const UNAVAILABLE: &str = "[UNAVAILABLE]";
const TEMPORARY: &str = "[TEMPUNAVAIL]";

/// Which of the two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// XFORWARD: NAME ADDR PORT PROTO HELO IDENT SOURCE.
    XForward,
    /// XCLIENT: NAME ADDR PORT PROTO HELO LOGIN.
    XClient,
}

impl Extension {
    /// The verb of the command, which is also the keyword in the reply to EHLO.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::XForward => "XFORWARD",
            Self::XClient => "XCLIENT",
        }
    }

    /// The attributes that the command has, in the order in which they are advertised.
    #[must_use]
    pub const fn attributes(self) -> &'static [Attribute] {
        use Attribute::{Addr, Helo, Ident, Login, Name, Port, Proto, Source};
        match self {
            Self::XForward => &[Name, Addr, Port, Proto, Helo, Ident, Source],
            Self::XClient => &[Name, Addr, Port, Proto, Helo, Login],
        }
    }
}

/// An attribute of either command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// The client's name in the DNS.
    Name,
    /// Its address.
    Addr,
    /// Its TCP port.
    Port,
    /// The protocol it spoke.
    Proto,
    /// What it called itself.
    Helo,
    /// The message's queue id there.
    Ident,
    /// Whether the message began on that host.
    Source,
    /// Whom the client authenticated as.
    Login,
}

impl Attribute {
    const ALL: [Self; 8] = [
        Self::Name,
        Self::Addr,
        Self::Port,
        Self::Proto,
        Self::Helo,
        Self::Ident,
        Self::Source,
        Self::Login,
    ];

    /// Its name in commands and in the reply to EHLO.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Addr => "ADDR",
            Self::Port => "PORT",
            Self::Proto => "PROTO",
            Self::Helo => "HELO",
            Self::Ident => "IDENT",
            Self::Source => "SOURCE",
            Self::Login => "LOGIN",
        }
    }

    /// Whether servers commonly grant a client rights by it.
    const fn grants_rights(self) -> bool {
        matches!(self, Self::Name | Self::Addr)
    }

    /// The attribute of this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name().eq_ignore_ascii_case(name))
    }
}

/// The client's name in the DNS, or why there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum ClientName {
    /// `[UNAVAILABLE]`: it has none, or nobody looked.
    #[default]
    Unavailable,
    /// `[TEMPUNAVAIL]`: the look-up failed for now.
    Temporary,
    /// The name.
    Known(String),
}

/// Whether a message began on the host that passed it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `LOCAL`.
    Local,
    /// `REMOTE`.
    Remote,
}

/// Where a message comes from. `None` is `[UNAVAILABLE]`.
///
/// Texts are printable ASCII without spaces, as they stand in logs and trace fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The client's name in the DNS.
    pub name: ClientName,
    /// Its address. Without one, XFORWARD means that the message began on the forwarding host.
    pub address: Option<IpAddr>,
    /// Its TCP port.
    pub port: Option<u16>,
    /// What it spoke: `SMTP`, `ESMTP`, `LMTP` or another word of at most [`MAX_PROTOCOL`] octets.
    pub protocol: Option<String>,
    /// What it called itself.
    pub hello: Option<String>,
    /// The message's queue id on the forwarding host.
    pub ident: Option<String>,
    /// Whether it began there.
    pub source: Option<Source>,
    /// Whom the client authenticated as.
    pub login: Option<String>,
}

/// Why a command is refused: 501 5.5.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// No attribute at all, or one without a value.
    #[error("attribute=value expected")]
    Syntax,
    /// The command has no such attribute.
    #[error("unknown attribute")]
    Unknown,
    /// An attribute is given twice.
    #[error("{0} given twice")]
    Duplicate(&'static str),
    /// The value is no xtext, too long, or breaks the grammar of the attribute.
    #[error("malformed {0}")]
    Malformed(&'static str),
}

impl Origin {
    /// Takes over what a command says. `arguments` is the text after the verb. Attributes that are not named keep their
    /// values; after an error nothing has changed.
    pub fn apply(&mut self, command: Extension, arguments: &str) -> Result<(), OriginError> {
        let mut told = self.clone();
        let mut seen = Vec::new();
        for word in arguments.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or(OriginError::Syntax)?;
            let attribute = Attribute::named(name)
                .filter(|attribute| command.attributes().contains(attribute))
                .ok_or(OriginError::Unknown)?;
            if seen.contains(&attribute) {
                return Err(OriginError::Duplicate(attribute.name()));
            }
            seen.push(attribute);
            let value = decoded(value).ok_or(OriginError::Malformed(attribute.name()))?;
            told.set(attribute, value).ok_or(OriginError::Malformed(attribute.name()))?;
        }
        if seen.is_empty() {
            return Err(OriginError::Syntax);
        }
        *self = told;
        Ok(())
    }

    fn set(&mut self, attribute: Attribute, value: Value) -> Option<()> {
        let text = match value {
            Value::Text(text) => Some(text),
            Value::Unavailable => None,
            // Only names are looked up.
            Value::Temporary if attribute == Attribute::Name => {
                self.name = ClientName::Temporary;
                return Some(());
            }
            Value::Temporary => None,
        };
        match attribute {
            Attribute::Name => {
                self.name = text.map_or(ClientName::Unavailable, ClientName::Known);
            }
            Attribute::Addr => {
                self.address = match text {
                    Some(text) => Some(parse_address(&text)?),
                    None => None,
                }
            }
            Attribute::Port => {
                self.port = match text {
                    Some(text) => Some(parse_port(&text)?),
                    None => None,
                }
            }
            Attribute::Proto => {
                if text.as_ref().is_some_and(|text| text.len() > MAX_PROTOCOL) {
                    return None;
                }
                self.protocol = text;
            }
            Attribute::Helo => self.hello = text,
            Attribute::Ident => self.ident = text,
            Attribute::Source => {
                self.source = match text {
                    Some(text) if text.eq_ignore_ascii_case("LOCAL") => Some(Source::Local),
                    Some(text) if text.eq_ignore_ascii_case("REMOTE") => Some(Source::Remote),
                    Some(_) => return None,
                    None => None,
                }
            }
            Attribute::Login => self.login = text,
        }
        Some(())
    }

    /// The command lines, without CRLF, that tell a server all of this that it takes. None is longer than [`MAX_COMMAND`];
    /// several are sent one after the other.
    ///
    /// Of the attributes that it `offered` and the command has, XFORWARD sends all, unknown ones as `[UNAVAILABLE]`, lest the
    /// server take those of an earlier command for them. XCLIENT is said once in a session and sends what is known; but name
    /// and address always, for by them rights are granted, and the server would go on with those of the forwarding host.
    /// None is sent if it offered none.
    #[must_use]
    pub fn commands(&self, command: Extension, offered: &[Attribute]) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for &attribute in command.attributes().iter().filter(|known| offered.contains(known)) {
            let value = match self.value(command, attribute) {
                Some(value) => value,
                None if command == Extension::XClient && !attribute.grants_rights() => continue,
                None => UNAVAILABLE.to_owned(),
            };
            let said = format!(" {}={value}", attribute.name());
            match lines.last_mut() {
                Some(line) if line.len() + said.len() + "\r\n".len() <= MAX_COMMAND => {
                    line.push_str(&said);
                }
                _ => lines.push(format!("{}{said}", command.verb())),
            }
        }
        lines
    }

    /// The encoded value; `None` if it is not known, or cannot be said.
    fn value(&self, command: Extension, attribute: Attribute) -> Option<String> {
        let text = match attribute {
            Attribute::Name => match &self.name {
                ClientName::Known(name) => Some(name.clone()),
                ClientName::Temporary => return Some(TEMPORARY.to_owned()),
                ClientName::Unavailable => None,
            },
            Attribute::Addr => self.address.map(|address| match address.to_canonical() {
                IpAddr::V4(v4) => v4.to_string(),
                IpAddr::V6(v6) => format!("IPV6:{v6}"),
            }),
            Attribute::Port => self.port.map(|port| port.to_string()),
            // XCLIENT knows two protocols, and LMTP is the extended one more nearly.
            Attribute::Proto if command == Extension::XClient => {
                self.protocol.as_deref().map(|protocol| {
                    let plain = protocol.eq_ignore_ascii_case("SMTP");
                    if plain { "SMTP".to_owned() } else { "ESMTP".to_owned() }
                })
            }
            Attribute::Proto => self.protocol.clone(),
            Attribute::Helo => self.hello.clone(),
            Attribute::Ident => self.ident.clone(),
            Attribute::Source => self.source.map(|source| source.to_string()),
            Attribute::Login => self.login.clone(),
        };
        text.filter(|text| is_text(text))
            .map(|text| encode_xtext(text.as_bytes()))
            .filter(|encoded| encoded.len() <= MAX_VALUE)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "LOCAL",
            Self::Remote => "REMOTE",
        })
    }
}

enum Value {
    Unavailable,
    Temporary,
    Text(String),
}

fn decoded(value: &str) -> Option<Value> {
    if value.eq_ignore_ascii_case(UNAVAILABLE) {
        return Some(Value::Unavailable);
    }
    if value.eq_ignore_ascii_case(TEMPORARY) {
        return Some(Value::Temporary);
    }
    if value.len() > MAX_VALUE {
        return None;
    }
    let text = String::from_utf8(decode_xtext(value)?).ok()?;
    is_text(&text).then_some(Value::Text(text))
}

/// What may stand in logs and trace fields, and is not taken for one of the words for nothing.
fn is_text(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.eq_ignore_ascii_case(UNAVAILABLE)
        && !text.eq_ignore_ascii_case(TEMPORARY)
}

/// An IPv4 address, or an IPv6 address behind `IPV6:`.
fn parse_address(text: &str) -> Option<IpAddr> {
    const PREFIX: &str = "IPV6:";
    match text.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => {
            Some(IpAddr::V6(rest.parse::<Ipv6Addr>().ok()?).to_canonical())
        }
        _ => Some(IpAddr::V4(text.parse::<Ipv4Addr>().ok()?)),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}
