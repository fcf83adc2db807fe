//! How the resolver is set up, and which set-ups are refused.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::anchor::{AnchorError, Anchors};

/// Which servers are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Servers {
    /// Those of the operating system (`/etc/resolv.conf`), read once at the start.
    #[default]
    System,
    /// These recursive resolvers, in this order.
    Listed(Vec<SocketAddr>),
}

/// Where the trust anchors of [`Mode::Validate`] come from; each stands alone, so a text for a
/// private root names the public root too if that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AnchorSource {
    /// The public root's anchors, built in.
    #[default]
    Root,
    /// DS or DNSKEY records in a file in zone-file format.
    File(PathBuf),
    /// The same as text.
    Text(String),
}

/// Who decides whether an answer is authentic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// This process validates DNSSEC itself; the servers need not be trusted, only support
    /// DNSSEC (EDNS, RRSIG records, the CD bit).
    Validate {
        /// Where validation starts.
        anchors: AnchorSource,
    },
    /// The AD bit of a validating resolver on the loopback interface is believed (RFC 6840
    /// section 5.8), so [`Servers::Listed`] must name it.
    ///
    /// Such a resolver answers bogus data with SERVFAIL, as it does in an outage: both stay
    /// [`Lookup::ServFail`](super::Lookup::ServFail) and [`Lookup::Bogus`](super::Lookup::Bogus)
    /// never occurs.
    AdBit,
    /// No DNSSEC: everything is [`Insecure`](super::Authenticity::Insecure).
    Plain,
}

/// Settings of [`StubResolver`](super::StubResolver).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// Which servers are asked.
    pub servers: Servers,
    /// Who decides about authenticity.
    pub mode: Mode,
    /// The budget of one look-up: all servers, retries, CNAMEs and DNSSEC chains together.
    pub timeout: Duration,
    /// Most outcomes that the cache keeps.
    pub cache_entries: usize,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Servers::System,
            mode: Mode::Validate { anchors: AnchorSource::Root },
            timeout: Duration::from_secs(5),
            cache_entries: 10_000,
        }
    }
}

/// Why a [`DnsConfig`] is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system's resolver configuration cannot be read or names no server.
    #[error("the system's resolver configuration names no DNS server")]
    NoSystemServers,
    /// The list of servers is empty.
    #[error("no DNS server is listed")]
    NoServers,
    /// The AD bit is only believed from a resolver that is named in the configuration.
    #[error("mode `ad` needs the validating resolver listed by address, not the system's")]
    AdNeedsListedServer,
    /// The AD bit of a server off this host could be forged on the way.
    #[error("mode `ad` believes a resolver on loopback only, and {0} is not")]
    AdNotLoopback(SocketAddr),
    /// The trust anchors cannot be used.
    #[error(transparent)]
    Anchors(#[from] AnchorError),
    /// The time budget of a look-up is zero or above one minute.
    #[error("the DNS timeout must be between 1 ms and 60 s")]
    BadTimeout,
}

/// What the resolver runs with after the checks.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) trust: Trust,
}

/// A [`Mode`] with its anchors read.
#[derive(Debug)]
pub(super) enum Trust {
    Validate(Anchors),
    AdBit,
    Plain,
}

impl DnsConfig {
    /// Checks the settings without asking anyone anything, as `config check` does.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.settle().map(drop)
    }

    pub(super) fn settle(&self) -> Result<Settled, ConfigError> {
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(60) {
            return Err(ConfigError::BadTimeout);
        }
        let servers = match (&self.servers, &self.mode) {
            (Servers::System, Mode::AdBit) => return Err(ConfigError::AdNeedsListedServer),
            (Servers::System, _) => system_servers()?,
            (Servers::Listed(listed), _) => listed.clone(),
        };
        if servers.is_empty() {
            return Err(ConfigError::NoServers);
        }
        let trust = match &self.mode {
            Mode::Validate { anchors } => Trust::Validate(match anchors {
                AnchorSource::Root => Anchors::root()?,
                AnchorSource::File(path) => Anchors::from_file(path)?,
                AnchorSource::Text(text) => Anchors::from_text(text)?,
            }),
            Mode::AdBit => {
                if let Some(outside) = servers.iter().find(|s| !s.ip().is_loopback()) {
                    return Err(ConfigError::AdNotLoopback(*outside));
                }
                Trust::AdBit
            }
            Mode::Plain => Trust::Plain,
        };
        Ok(Settled { servers, trust })
    }
}

fn system_servers() -> Result<Vec<SocketAddr>, ConfigError> {
    let (config, _) = hickory_resolver::system_conf::read_system_conf()
        .map_err(|_| ConfigError::NoSystemServers)?;
    let mut servers: Vec<SocketAddr> = Vec::new();
    for server in config.name_servers() {
        let port = server.connections.first().map_or(53, |c| c.port);
        let address = SocketAddr::new(server.ip, port);
        if !servers.contains(&address) {
            servers.push(address);
        }
    }
    if servers.is_empty() { Err(ConfigError::NoSystemServers) } else { Ok(servers) }
}
