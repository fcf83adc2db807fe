//! The file as it is written, before anything is checked across keys.

use super::clients::{self, Ranges};
use super::dkim;
use super::next_hop::NextHops;
use super::publish;
use super::rotation;
use super::secret_path::SecretPath;
use super::settings::{Audit, Limits, Log, Timeouts};
use super::value::{FromText, Text};
use super::{ClearMail, OutgoingAlways, Recipients};
use crate::core::{Domain, KeyId, words};
use crate::policy::{Level, Rule};
use crate::smtp::Protocol;
use base64::Engine;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) hostname: Text<Domain>,
    pub(super) state: Option<PathBuf>,
    #[serde(default)]
    pub(super) domain: Vec<Spanned<LocalDomain>>,
    pub(super) outbound: Option<Spanned<Outbound>>,
    pub(super) inbound: Option<Spanned<Inbound>>,
    #[serde(default)]
    pub(super) dns: Dns,
    #[serde(default)]
    pub(super) defaults: Defaults,
    pub(super) partners: Option<PathBuf>,
    #[serde(default)]
    pub(super) partner: Vec<Partner>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) timeouts: Option<Spanned<Timeouts>>,
    #[serde(default)]
    pub(super) audit: Audit,
    #[serde(default)]
    pub(super) log: Log,
    pub(super) metrics: Option<Metrics>,
}

/// The file of partners that commands change.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PartnersFile {
    #[serde(default)]
    pub(super) partner: Vec<Partner>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalDomain {
    pub(super) name: Spanned<Text<Domain>>,
    pub(super) keys: Spanned<PathBuf>,
    pub(super) passphrase: Option<Text<SecretPath>>,
    pub(super) dkim: Option<Spanned<dkim::Tables>>,
    pub(super) publish: Option<Spanned<publish::Table>>,
    pub(super) rotation: Option<Spanned<rotation::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outbound {
    pub(super) listen: Spanned<Vec<Text<SocketAddr>>>,
    pub(super) protocol: Option<Text<Protocol>>,
    pub(super) clients: Option<Ranges>,
    #[serde(default)]
    pub(super) shared: Vec<Spanned<clients::Table>>,
    pub(super) xforward: Option<Ranges>,
    pub(super) xclient: Option<Ranges>,
    pub(super) domain: Option<Spanned<Text<Domain>>>,
    pub(super) next_hop: Spanned<NextHops>,
    pub(super) tls: Option<ListenerTls>,
    pub(super) delay_notice: Option<Spanned<Text<Duration>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inbound {
    pub(super) listen: Spanned<Vec<Text<SocketAddr>>>,
    pub(super) protocol: Option<Text<Protocol>>,
    pub(super) next_hop: Spanned<NextHops>,
    #[serde(default)]
    pub(super) recipients: Recipients,
    #[serde(default)]
    pub(super) outgoing_always: OutgoingAlways,
    pub(super) forwarders: Option<Ranges>,
    pub(super) xforward: Option<Ranges>,
    pub(super) xclient: Option<Ranges>,
    pub(super) tls: Option<ListenerTls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerTls {
    pub(super) certificate: Text<SecretPath>,
    pub(super) key: Text<SecretPath>,
    #[serde(default)]
    pub(super) required: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dns {
    pub(super) mode: Option<Spanned<DnsMode>>,
    pub(super) servers: Vec<Spanned<Text<DnsServer>>>,
    pub(super) trust_anchor: Option<Spanned<PathBuf>>,
    pub(super) timeout: Option<Spanned<Text<Duration>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) listen: Spanned<Text<SocketAddr>>,
}

/// Who validates DNSSEC.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DnsMode {
    #[default]
    Validate,
    Ad,
    Plain,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Defaults {
    pub(super) policy: Option<Text<Rule>>,
    pub(super) minimum_level: Option<Text<Level>>,
    pub(super) inbound: ClearMail,
    pub(super) require_aligned: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Partner {
    pub(super) domain: Spanned<Text<Domain>>,
    pub(super) policy: Option<Text<Rule>>,
    pub(super) minimum_level: Option<Spanned<Text<Level>>>,
    pub(super) identity: Option<Text<KeyId>>,
    pub(super) inbound: Option<ClearMail>,
    pub(super) require_aligned: Option<bool>,
    #[serde(default)]
    pub(super) allow_weaker_suite: bool,
}

/// A DNS server, port 53 unless it says otherwise.
pub(super) struct DnsServer(pub(super) SocketAddr);

impl FromText for DnsServer {
    const EXPECTED: &'static str =
        "an address such as \"127.0.0.1\", \"127.0.0.1:53\" or \"[::1]:53\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse::<SocketAddr>()
            .or_else(|_| text.parse().map(|address: std::net::IpAddr| (address, 53).into()))
            .map(Self)
            .map_err(|_| format!("`{text}` is no address of a server"))
    }
}

impl FromText for Protocol {
    const EXPECTED: &'static str = "\"smtp\" or \"lmtp\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "smtp" => Ok(Self::Smtp),
            "lmtp" => Ok(Self::Lmtp),
            _ => Err(format!("unknown value `{text}`")),
        }
    }
}

impl FromText for Rule {
    const EXPECTED: &'static str = "\"require\", \"prefer\" or \"never\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("unknown value `{text}`"))
    }
}

impl FromText for Level {
    const EXPECTED: &'static str = "\"first-use\", \"remembered\", \"dnssec\" or \"pinned\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("unknown value `{text}`"))
    }
}

/// A pin: SHA-256 fingerprint of an identity key.
impl FromText for KeyId {
    const EXPECTED: &'static str = "the fingerprint of the identity key as 64 hexadecimal digits, 44 characters of base64 or \
         32 words";

    fn from_text(text: &str) -> Result<Self, String> {
        let hex: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        if let Ok(id) = hex.parse() {
            return Ok(id);
        }
        if text.trim().contains(char::is_whitespace) {
            let octets = words::read(text).map_err(|error| error.to_string())?;
            let count = octets.len();
            let octets = octets.try_into();
            return octets.map(Self::from_bytes).map_err(|_| format!("{count} words, not 32"));
        }
        let octets = base64::prelude::BASE64_STANDARD.decode(text).ok();
        octets
            .and_then(|octets| octets.try_into().ok())
            .map(Self::from_bytes)
            .ok_or_else(|| format!("`{text}` is no fingerprint"))
    }
}
