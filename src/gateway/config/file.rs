//! The file as it is written, before anything is checked across keys.

use super::next_hop::NextHop;
use super::settings::{Limits, Log, Timeouts};
use super::value::{FromText, Text};
use super::{ClearMail, DnsMode, Level, Network, Protocol, Recipients, SealPolicy};
use crate::core::Domain;
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
    #[serde(default)]
    pub(super) partner: Vec<Partner>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    #[serde(default)]
    pub(super) log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalDomain {
    pub(super) name: Spanned<Text<Domain>>,
    pub(super) keys: Spanned<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outbound {
    pub(super) listen: Spanned<Vec<Text<SocketAddr>>>,
    #[serde(default = "smtp")]
    pub(super) protocol: Protocol,
    pub(super) clients: Option<Spanned<Vec<Spanned<Text<Network>>>>>,
    pub(super) domain: Option<Spanned<Text<Domain>>>,
    pub(super) next_hop: Spanned<NextHop>,
    pub(super) tls: Option<ListenerTls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inbound {
    pub(super) listen: Spanned<Vec<Text<SocketAddr>>>,
    #[serde(default = "smtp")]
    pub(super) protocol: Protocol,
    pub(super) next_hop: Spanned<NextHop>,
    #[serde(default)]
    pub(super) recipients: Recipients,
    pub(super) tls: Option<ListenerTls>,
}

fn smtp() -> Protocol {
    Protocol::Smtp
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerTls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dns {
    pub(super) mode: Option<Spanned<DnsMode>>,
    pub(super) servers: Vec<Spanned<Text<DnsServer>>>,
    pub(super) trust_anchor: Option<Spanned<PathBuf>>,
    pub(super) timeout: Option<Text<Duration>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Defaults {
    pub(super) policy: SealPolicy,
    pub(super) minimum_level: Level,
    pub(super) inbound: ClearMail,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Partner {
    pub(super) domain: Spanned<Text<Domain>>,
    pub(super) policy: Option<SealPolicy>,
    pub(super) minimum_level: Option<Spanned<Level>>,
    pub(super) identity: Option<Text<Fingerprint>>,
    pub(super) inbound: Option<ClearMail>,
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

/// SHA-256 fingerprint of an identity key.
pub(super) struct Fingerprint(pub(super) [u8; 32]);

impl FromText for Fingerprint {
    const EXPECTED: &'static str = "the SHA-256 fingerprint of the identity key in hexadecimal (64 digits) or base64 (44 characters)";

    fn from_text(text: &str) -> Result<Self, String> {
        let hex: String = text.chars().filter(|c| *c != ':').collect();
        let octets = if hex.len() == 64 {
            (0..64)
                .step_by(2)
                .map(|i| hex.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
                .collect()
        } else {
            base64::prelude::BASE64_STANDARD.decode(text).ok()
        };
        octets
            .and_then(|octets: Vec<u8>| <[u8; 32]>::try_from(octets).ok())
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no fingerprint"))
    }
}
