//! Where the gateway passes messages on, with the TLS it demands and the password it has there.

use super::error::with_hint;
use super::secret_path::SecretPath;
use super::value::{FromText, Text};
use crate::smtp::client::{Credentials, CredentialsError};
use crate::smtp::next_hop::NextHop as Address;
use crate::smtp::tls::{ClientTls, Identity, Roots, TlsError, TlsLevel};
use crate::store::secret_file::{self, SecretFileError};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
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
    /// Whom the gateway authenticates as, and the file with the password.
    pub login: Option<(String, PathBuf)>,
}

/// Why the password of a next hop cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read, or others can read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// It holds no password.
    #[error("{}: {source}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with user name or password.
        source: CredentialsError,
    },
}

impl PasswordError {
    /// What would help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Unusable { .. } => Some("write the password on one line".to_owned()),
        }
    }
}

impl NextHop {
    /// Without a setting, a next hop on this very machine is spoken to without TLS, any other with
    /// TLS if it offers it.
    fn new(address: Address, tls: Option<TlsLevel>) -> Self {
        let tls =
            tls.unwrap_or(if is_local(&address) { TlsLevel::Off } else { TlsLevel::Opportunistic });
        Self { address, tls, ca: None, name: None, client_certificate: None, login: None }
    }

    /// Whether a connection to it stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        is_local(&self.address)
    }

    /// Reads the password.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is open to other users, or holds no password.
    pub fn credentials(&self) -> Result<Option<Credentials>, PasswordError> {
        let Some((user, path)) = &self.login else { return Ok(None) };
        let mut password = secret_file::read(path)?;
        // Editors end the line.
        let line = password.trim_end_matches(['\r', '\n']).len();
        password.truncate(line);
        let credentials = Credentials::new(user.clone(), password)
            .map_err(|source| PasswordError::Unusable { path: path.clone(), source })?;
        // What stays on this machine needs no TLS; the configuration has said so.
        let local = is_local(&self.address) && self.tls < TlsLevel::Required;
        Ok(Some(if local { credentials.on_this_machine() } else { credentials }))
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
        if let Some((_, file)) = &mut self.login {
            *file = base.join(&*file);
        }
    }
}

/// Whether a connection to it stays on this machine.
fn is_local(address: &Address) -> bool {
    address.host().is_none_or(|host| {
        host == "localhost" || host.parse().is_ok_and(|a: IpAddr| a.is_loopback())
    })
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
    certificate: Option<Text<SecretPath>>,
    key: Option<Text<SecretPath>>,
    user: Option<String>,
    password_file: Option<Text<SecretPath>>,
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
        f.write_str(
            "the address of a next hop, or a table with `url` and TLS settings, or a list of them",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NextHop, E> {
        let address = Address::from_text(text)
            .map_err(|what| E::custom(with_hint(what, &format!("write {}", Address::EXPECTED))))?;
        Ok(NextHop::new(address, None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NextHop, A::Error> {
        let table: Table = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        let said = table.tls.map(|level| level.0);
        let mut hop = NextHop::new(table.url.0, said);
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
            (Some(certificate), Some(key)) => Some((certificate.0.into_path(), key.0.into_path())),
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
        hop.login = match (table.user, table.password_file) {
            (Some(user), Some(file)) => Some((user, file.0.into_path())),
            (None, None) => None,
            (Some(_), None) => {
                return Err(A::Error::custom(with_hint(
                    "missing key `password_file` beside `user`",
                    "name a file of mode 0600 that holds the password",
                )));
            }
            (None, Some(_)) => {
                return Err(A::Error::custom(with_hint(
                    "missing key `user` beside `password_file`",
                    "name the user too",
                )));
            }
        };
        if hop.login.is_some() && hop.tls < TlsLevel::Verified {
            // RFC 4954 section 4: PLAIN and LOGIN show the password to the peer, whoever that is.
            if !is_local(&hop.address) {
                return Err(A::Error::custom(with_hint(
                    "`user` would show the password to whoever answers in place of this next hop",
                    "set tls = \"verified\"",
                )));
            }
            if said.is_none() {
                return Err(A::Error::custom(with_hint(
                    "`user` and no `tls`: is the password to be sent in clear on this machine?",
                    "set tls = \"off\" if so, else \"verified\" or \"required\"",
                )));
            }
        }
        Ok(hop)
    }
}

/// The servers of a next hop in the order in which they are tried: a list, or the only one.
pub(super) struct NextHops(pub(super) Vec<NextHop>);

impl<'de> serde::Deserialize<'de> for NextHops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NextHopsVisitor)
    }
}

struct NextHopsVisitor;

impl<'de> Visitor<'de> for NextHopsVisitor {
    type Value = NextHops;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NextHopVisitor.expecting(f)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NextHops, E> {
        NextHopVisitor.visit_str(text).map(|only| NextHops(vec![only]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NextHops, A::Error> {
        NextHopVisitor.visit_map(map).map(|only| NextHops(vec![only]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NextHops, A::Error> {
        let mut hops: Vec<NextHop> = Vec::new();
        while let Some(hop) = list.next_element::<NextHop>()? {
            if hops.iter().any(|other| other.address == hop.address) {
                let what = format!("next hop {} stands twice", hop.address);
                return Err(A::Error::custom(with_hint(what, "keep it once")));
            }
            if let Some(first) = hops.first()
                && first.address.protocol() != hop.address.protocol()
            {
                let what = format!(
                    "next hops {} and {} speak different protocols",
                    first.address, hop.address
                );
                // What the client before us is told depends on it.
                let hint = "list SMTP servers only, or LMTP servers only";
                return Err(A::Error::custom(with_hint(what, hint)));
            }
            hops.push(hop);
        }
        if hops.is_empty() {
            let hint = "name at least one server";
            return Err(A::Error::custom(with_hint("`next_hop` is empty", hint)));
        }
        Ok(NextHops(hops))
    }
}
