//! Where the gateway passes messages on, with the TLS it demands there.

use super::error::with_hint;
use super::value::{FromText, Text};
use crate::smtp::next_hop::NextHop as Address;
use crate::smtp::tls::{ClientTls, Identity, Roots, TlsError, TlsLevel};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The MTA behind a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// Protocol and address.
    pub address: Address,
    /// How much TLS it must offer.
    pub tls: TlsLevel,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The name its certificate must bear, if not the host's.
    pub name: Option<String>,
    /// Certificate chain (PEM) and key (PEM) that this gateway presents.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

impl NextHop {
    /// Without a setting, a next hop on this very machine is spoken to without TLS, any other with
    /// TLS if it offers it.
    fn new(address: Address, tls: Option<TlsLevel>) -> Self {
        let local = match address.host() {
            None => true,
            Some(host) => {
                host == "localhost" || host.parse().is_ok_and(|a: IpAddr| a.is_loopback())
            }
        };
        let tls = tls.unwrap_or(if local { TlsLevel::Off } else { TlsLevel::Opportunistic });
        Self { address, tls, ca: None, name: None, client_certificate: None }
    }

    /// Reads the files and makes what the client needs.
    ///
    /// # Errors
    ///
    /// A certificate or key cannot be read or used.
    pub fn client_tls(&self) -> Result<ClientTls, TlsError> {
        let Some(host) = self.address.host() else { return Ok(ClientTls::off()) };
        let identity = match &self.client_certificate {
            Some((certificate, key)) => Some(Identity::load(certificate, key)?),
            None => None,
        };
        let roots = self.ca.clone().map_or(Roots::System, Roots::File);
        ClientTls::new(self.tls, self.name.as_deref().unwrap_or(host), &roots, identity)
    }

    pub(super) fn resolve(&mut self, base: &Path) {
        if let Some(ca) = &mut self.ca {
            *ca = base.join(&*ca);
        }
        if let Some((certificate, key)) = &mut self.client_certificate {
            *certificate = base.join(&*certificate);
            *key = base.join(&*key);
        }
    }
}

impl FromText for Address {
    const EXPECTED: &'static str =
        "\"smtp://HOST:PORT\", \"lmtp://HOST:PORT\" or \"lmtp+unix:/PATH\"";

    fn from_text(text: &str) -> Result<Self, String> {
        // The path is absolute anyway, so one slash is as good as three.
        let long = match text.strip_prefix("lmtp+unix:/") {
            Some(path) if !path.starts_with('/') => format!("lmtp+unix:///{path}"),
            _ => text.to_owned(),
        };
        long.parse().map_err(|error| format!("`{text}`: {error}"))
    }
}

impl FromText for TlsLevel {
    const EXPECTED: &'static str = "\"verified\", \"required\", \"opportunistic\" or \"off\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("unknown value `{text}`"))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: Text<Address>,
    tls: Option<Text<TlsLevel>>,
    ca: Option<PathBuf>,
    name: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl<'de> serde::Deserialize<'de> for NextHop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NextHopVisitor)
    }
}

struct NextHopVisitor;

impl<'de> Visitor<'de> for NextHopVisitor {
    type Value = NextHop;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address of a next hop, or a table with `url` and TLS settings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NextHop, E> {
        let address = Address::from_text(text)
            .map_err(|what| E::custom(with_hint(what, &format!("write {}", Address::EXPECTED))))?;
        Ok(NextHop::new(address, None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NextHop, A::Error> {
        let table: Table = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        let mut hop = NextHop::new(table.url.0, table.tls.map(|level| level.0));
        let certificate = table.certificate.is_some() || table.key.is_some();
        if hop.tls == TlsLevel::Off && (table.ca.is_some() || table.name.is_some() || certificate) {
            return Err(A::Error::custom(with_hint(
                "`ca`, `name`, `certificate` and `key` have no effect without TLS",
                "set tls = \"verified\", or remove them",
            )));
        }
        // Anything less does not look at the peer's certificate, so a list of trusted ones misleads.
        if hop.tls != TlsLevel::Verified && (table.ca.is_some() || table.name.is_some()) {
            return Err(A::Error::custom(with_hint(
                "`ca` and `name` have no effect unless the certificate is verified",
                "set tls = \"verified\", or remove them",
            )));
        }
        hop.ca = table.ca;
        hop.name = table.name;
        hop.client_certificate = match (table.certificate, table.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(A::Error::custom(with_hint(
                    "missing key `key` beside `certificate`",
                    "name the private key too",
                )));
            }
            (None, Some(_)) => {
                return Err(A::Error::custom(with_hint(
                    "missing key `certificate` beside `key`",
                    "name the certificate too",
                )));
            }
        };
        Ok(hop)
    }
}
