//! Where the gateway passes messages on.

use super::error::with_hint;
use super::value::FromText;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::path::{Path, PathBuf};

/// The MTA behind a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// Which protocol it speaks.
    pub protocol: super::Protocol,
    /// Where it listens.
    pub address: NextHopAddress,
    /// How much TLS it must offer.
    pub tls: TlsMode,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The name its certificate must bear, if not the host's.
    pub name: Option<String>,
    /// Certificate (PEM) and key this gateway presents.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// Address of a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHopAddress {
    /// A host name or address literal without brackets, and a port.
    Tcp(String, u16),
    /// A local stream socket.
    Unix(PathBuf),
}

/// How much TLS a next hop must offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// TLS with a certificate that verifies, else a temporary failure.
    Verified,
    /// TLS with any certificate, else a temporary failure.
    Required,
    /// TLS if it is offered.
    Opportunistic,
    /// Never TLS.
    Off,
}

/// Protocol and address out of a next hop's URL.
#[derive(Debug)]
struct Url {
    protocol: super::Protocol,
    address: NextHopAddress,
}

impl FromText for Url {
    const EXPECTED: &'static str =
        "\"smtp://HOST:PORT\", \"lmtp://HOST:PORT\" or \"lmtp+unix:/PATH\"";

    fn from_text(text: &str) -> Result<Self, String> {
        use super::Protocol::{Lmtp, Smtp};
        let tcp = |protocol, rest: &str, default| {
            let bad = || format!("`{text}`: `{rest}` is no host and port");
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
                    (host, port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?)
                }
                Some(_) => return Err(format!("`{text}`: an IPv6 address stands in brackets")),
                None => (rest, default),
            };
            let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            let ok = match bracketed {
                Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    !host.is_empty()
                        && host
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
                }
            };
            if !ok {
                return Err(bad());
            }
            Ok(Self {
                protocol,
                address: NextHopAddress::Tcp(bracketed.unwrap_or(host).to_owned(), port),
            })
        };
        let unix = |protocol, path: &str| {
            if path.is_empty() || path.contains('\0') {
                return Err(format!("`{text}` names no socket"));
            }
            Ok(Self { protocol, address: NextHopAddress::Unix(PathBuf::from(path)) })
        };
        match text.split_once(':') {
            Some(("smtp", rest)) if rest.starts_with("//") => tcp(Smtp, &rest[2..], 25),
            Some(("lmtp", rest)) if rest.starts_with("//") => tcp(Lmtp, &rest[2..], 24),
            Some(("smtp+unix", path)) => unix(Smtp, path),
            Some(("lmtp+unix", path)) => unix(Lmtp, path),
            _ => Err(format!("`{text}` is no address of a next hop")),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: super::value::Text<Url>,
    tls: Option<TlsMode>,
    ca: Option<PathBuf>,
    name: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl<'de> serde::Deserialize<'de> for NextHop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NextHopVisitor;
        impl<'de> Visitor<'de> for NextHopVisitor {
            type Value = NextHop;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the address of a next hop, or a table with `url` and TLS settings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<NextHop, E> {
                let url = Url::from_text(text).map_err(|what| {
                    E::custom(with_hint(what, &format!("write {}", Url::EXPECTED)))
                })?;
                Ok(NextHop::new(url, None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NextHop, A::Error> {
                let table: Table =
                    serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                let mut hop = NextHop::new(table.url.0, table.tls);
                if hop.tls == TlsMode::Off
                    && (table.ca.is_some() || table.name.is_some() || table.certificate.is_some())
                {
                    return Err(A::Error::custom(with_hint(
                        "`ca`, `name` and `certificate` have no effect without TLS",
                        "set tls = \"verified\", or remove them",
                    )));
                }
                hop.ca = table.ca;
                hop.name = table.name;
                hop.client_certificate = match (table.certificate, table.key) {
                    (Some(certificate), Some(key)) => Some((certificate, key)),
                    (None, None) => None,
                    (Some(_), None) => {
                        return Err(A::Error::custom("missing key `key` beside `certificate`"));
                    }
                    (None, Some(_)) => {
                        return Err(A::Error::custom("missing key `certificate` beside `key`"));
                    }
                };
                Ok(hop)
            }
        }
        deserializer.deserialize_any(NextHopVisitor)
    }
}

impl NextHop {
    /// Without a setting, a next hop on this very machine is spoken to without TLS, any other with
    /// TLS if it offers it.
    fn new(url: Url, tls: Option<TlsMode>) -> Self {
        let local = match &url.address {
            NextHopAddress::Unix(_) => true,
            NextHopAddress::Tcp(host, _) => {
                host == "localhost" || host.parse().is_ok_and(|a: std::net::IpAddr| a.is_loopback())
            }
        };
        let tls = tls.unwrap_or(if local { TlsMode::Off } else { TlsMode::Opportunistic });
        Self {
            protocol: url.protocol,
            address: url.address,
            tls,
            ca: None,
            name: None,
            client_certificate: None,
        }
    }

    pub(super) fn resolve(&mut self, base: &Path) {
        if let NextHopAddress::Unix(path) = &mut self.address {
            *path = base.join(&*path);
        }
        if let Some(ca) = &mut self.ca {
            *ca = base.join(&*ca);
        }
        if let Some((certificate, key)) = &mut self.client_certificate {
            *certificate = base.join(&*certificate);
            *key = base.join(&*key);
        }
    }
}
