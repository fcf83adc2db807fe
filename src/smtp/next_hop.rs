//! Where the gateway hands messages on to, as it stands in the configuration.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Protocol;

/// Port of an SMTP server when none is named.
pub const SMTP_PORT: u16 = 25;

/// Port of an LMTP server when none is named (RFC 2033 section 5 forbids 25).
pub const LMTP_PORT: u16 = 24;

/// A next hop: `smtp://host[:port]`, `lmtp://host[:port]` or `lmtp+unix:///path/of/socket`.
///
/// IPv6 addresses stand in brackets. There is no path, query, user or password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// A TCP server.
    Tcp {
        /// What is spoken there.
        protocol: Protocol,
        /// Host name or IP address, an IPv6 address without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// An LMTP server on a unix socket.
    LmtpUnix(PathBuf),
}

/// Why a text is no [`NextHop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NextHopError {
    /// Another scheme, or none.
    #[error("next hop must begin with smtp://, lmtp:// or lmtp+unix://")]
    Scheme,
    /// The host is missing or has characters that no host name or address has.
    #[error("next hop has a malformed host")]
    Host,
    /// The port is no number from 1 to 65535, or 25 for LMTP (RFC 2033 section 5).
    #[error("next hop has an unusable port")]
    Port,
    /// The socket's path is not absolute.
    #[error("socket of the next hop must be an absolute path, as in lmtp+unix:///run/lmtp")]
    Socket,
}

impl NextHop {
    /// What is spoken there.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp { protocol, .. } => *protocol,
            Self::LmtpUnix(_) => Protocol::Lmtp,
        }
    }

    /// Host name or address; `None` for a unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::LmtpUnix(_) => None,
        }
    }
}

impl FromStr for NextHop {
    type Err = NextHopError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(NextHopError::Scheme)?;
        let (protocol, default_port) = match scheme {
            "smtp" => (Protocol::Smtp, SMTP_PORT),
            "lmtp" => (Protocol::Lmtp, LMTP_PORT),
            "lmtp+unix" => {
                let path = Path::new(rest);
                let usable = path.is_absolute() && rest.len() > 1 && !rest.contains('\0');
                return if usable {
                    Ok(Self::LmtpUnix(path.into()))
                } else {
                    Err(NextHopError::Socket)
                };
            }
            _ => return Err(NextHopError::Scheme),
        };
        let (host, port) = split_host(rest)?;
        let port = match port {
            None => default_port,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| NextHopError::Port)?
            }
            Some(_) => return Err(NextHopError::Port),
        };
        if port == 0 || (protocol == Protocol::Lmtp && port == SMTP_PORT) {
            return Err(NextHopError::Port);
        }
        Ok(Self::Tcp { protocol, host: host.to_owned(), port })
    }
}

fn split_host(text: &str) -> Result<(&str, Option<&str>), NextHopError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(NextHopError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| NextHopError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(NextHopError::Host),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let valid = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if valid { Ok((host, port)) } else { Err(NextHopError::Host) }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { protocol, host, port } => {
                let scheme = match protocol {
                    Protocol::Smtp => "smtp",
                    Protocol::Lmtp => "lmtp",
                };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
            Self::LmtpUnix(path) => write!(f, "lmtp+unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_are_read_and_printed() {
        for (text, printed) in [
            ("smtp://mx.example.org", "smtp://mx.example.org:25"),
            ("smtp://mx.example.org:2525", "smtp://mx.example.org:2525"),
            ("lmtp://127.0.0.1", "lmtp://127.0.0.1:24"),
            ("smtp://[::1]:2525", "smtp://[::1]:2525"),
            ("smtp://[2001:db8::1]", "smtp://[2001:db8::1]:25"),
            ("lmtp+unix:///run/dovecot/lmtp", "lmtp+unix:///run/dovecot/lmtp"),
        ] {
            assert_eq!(text.parse::<NextHop>().unwrap().to_string(), printed);
        }
        assert_eq!("lmtp+unix:///run/lmtp".parse::<NextHop>().unwrap().protocol(), Protocol::Lmtp);
    }

    #[test]
    fn malformed_next_hops_are_refused() {
        for (text, error) in [
            ("mx.example.org:25", NextHopError::Scheme),
            ("SMTP://mx.example.org", NextHopError::Scheme),
            ("http://mx.example.org", NextHopError::Scheme),
            ("smtp://", NextHopError::Host),
            ("smtp://:25", NextHopError::Host),
            ("smtp://user@mx.example.org", NextHopError::Host),
            ("smtp://mx.example.org/", NextHopError::Host),
            ("smtp://::1", NextHopError::Host),
            ("smtp://[::1", NextHopError::Host),
            ("smtp://[::1]x", NextHopError::Host),
            ("smtp://[mx]:25", NextHopError::Host),
            ("smtp://mx:0", NextHopError::Port),
            ("smtp://mx:65536", NextHopError::Port),
            ("smtp://mx:+25", NextHopError::Port),
            ("smtp://mx:", NextHopError::Port),
            ("lmtp://mx:25", NextHopError::Port),
            ("lmtp+unix://run/lmtp", NextHopError::Socket),
            ("lmtp+unix:///", NextHopError::Socket),
        ] {
            assert_eq!(text.parse::<NextHop>(), Err(error), "{text}");
        }
    }
}
