//! The configuration of a gateway: one TOML file, and beside it one of partners that commands change.
//!
//! Every mistake is reported as `file:line: what` with the valid values and a hint. Paths are
//! relative to the directory of the file. `examples/mta-seal.toml` shows every key with its
//! default.

mod check;
mod clients;
mod clouds;
mod dkim;
mod error;
mod file;
mod forwarders;
mod network;
mod next_hop;
mod partners;
mod permissions;
mod publish;
mod rotation;
mod secret_path;
mod settings;
mod standing;
mod value;

pub use clients::{ClientCertificate, SecretField, SharedClients};
pub use dkim::DkimEntry;
pub use error::{ConfigError, ConfigWarning, RESTORE_PARTNERS};
pub use network::Network;
pub use next_hop::{NextHop, PasswordError};
pub use partners::{EditError, NewPartner, PartnersText};
pub use publish::{Publication, PublicationWay};
pub use settings::{Audit, Limits, Log, LogFormat, LogLevel, Timeouts};
pub use standing::{Change, Standing};

use crate::core::{Domain, KeyId};
use crate::dns::DnsConfig;
use crate::lifetime::Schedule;
use crate::policy::{Allowances, Level, LocalPolicy, Rule, SenderPolicy};
use crate::smtp::Protocol;
use crate::smtp::client_certificate::{TrustedClients, asking_server_config};
use crate::smtp::tls::{Identity, TlsError};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the file of partners, beside the configuration.
const PARTNERS_FILE: &str = "partners.toml";

/// Reads a length of time as the file has it: `30s`, `5m`, `4h` or `2d`.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    <Duration as value::FromText>::from_text(text)
}

/// Reads a fingerprint as the file has it: hexadecimal digits, base64, or words [R-key-02].
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn parse_fingerprint(text: &str) -> Result<KeyId, String> {
    <KeyId as value::FromText>::from_text(text)
}

/// Where something stands in a configuration; shown as `file:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A whole, validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it stands.
    pub file: PathBuf,
    /// Name in EHLO, Received fields and, as authserv-id, in Authentication-Results.
    pub hostname: Domain,
    /// Directory of the ledger.
    pub state: PathBuf,
    /// The domains this gateway seals and unseals for; at least one.
    pub domains: Vec<LocalDomain>,
    /// The inside listener, which seals.
    pub outbound: Option<Outbound>,
    /// The outside listener, which unseals.
    pub inbound: Option<Inbound>,
    /// How names are looked up.
    pub dns: DnsConfig,
    /// What holds for destinations without an entry in [`Config::partners`].
    pub defaults: Treatment,
    /// Settings of single domains, from both files, in the order of their domains.
    pub partners: Vec<Partner>,
    /// The file of partners that commands change; it need not be there, unless the configuration names it.
    pub partners_file: PathBuf,
    /// Whether that file was there when it was read.
    pub partners_found: bool,
    /// Bounds on what peers may use.
    pub limits: Limits,
    /// Bounds on how long each step may take.
    pub timeouts: Timeouts,
    /// How long the audit trail is kept.
    pub audit: Audit,
    /// What is logged, and how.
    pub log: Log,
    /// Where the counters are read; `None`: nowhere.
    pub metrics: Option<Metrics>,
    /// What works, but is probably not meant.
    pub warnings: Vec<ConfigWarning>,
}

/// A domain this gateway acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDomain {
    /// Its name.
    pub name: Domain,
    /// Directory of its keyring.
    pub keys: PathBuf,
    /// File with the passphrase that its keyring is protected by.
    pub passphrase: Option<PathBuf>,
    /// Keys that sign its carriers; none if an MTA behind the gateway does.
    pub dkim: Vec<DkimEntry>,
    /// How its records reach DNS.
    pub publication: Publication,
    /// How long its keys and policies live; none if the operator sees to that.
    pub rotation: Option<Schedule>,
}

impl LocalDomain {
    /// The name below which its records stand: its own, unless they are published elsewhere and its names are aliases.
    #[must_use]
    pub fn records_under(&self) -> &Domain {
        self.publication.under.as_ref().unwrap_or(&self.name)
    }
}

/// The inside listener: takes mail of this organisation and seals it.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Addresses it listens on; at least one.
    pub listen: Vec<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Who may use it on account of the address alone; at least one range.
    pub clients: Vec<Network>,
    /// Who may use it with a proof. An address that is in [`Outbound::clients`] too needs none.
    pub shared: Vec<SharedClients>,
    /// Peers that may tell where a message comes from, for the logs and the next hop.
    pub xforward: Vec<Network>,
    /// Peers that may speak for another client, with all its rights: they can be anybody.
    pub xclient: Vec<Network>,
    /// The local domain that signs null and foreign reverse-paths.
    pub domain: Domain,
    /// Where carriers and clear mail go: servers of one protocol, the first that can be had; at least one.
    pub next_hop: Vec<NextHop>,
    /// Certificate and key to offer STARTTLS with.
    pub tls: Option<ListenerTls>,
    /// After how long a sender is told that a message is still waiting; `None`: the MTA before us does that. Needs
    /// [`Config::inbound`], by whose next hop the notice goes.
    pub delay_notice: Option<Duration>,
}

/// The outside listener: takes mail from the world, unseals it, and passes it to our MTA.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Addresses it listens on; at least one.
    pub listen: Vec<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where unsealed and clear mail goes: servers of one protocol, the first that can be had; at least one.
    pub next_hop: Vec<NextHop>,
    /// Which recipients an unsealed message is delivered to.
    pub recipients: Recipients,
    /// What happens to clear mail of a domain that says it always seals.
    pub outgoing_always: OutgoingAlways,
    /// Clients that pass on mail of others: `From:` alone refuses nothing that they bring.
    pub forwarders: Vec<Network>,
    /// Peers that may tell where a message comes from, for the logs and the next hop.
    pub xforward: Vec<Network>,
    /// Peers that may speak for another client: they can be anybody.
    pub xclient: Vec<Network>,
    /// Certificate and key to offer STARTTLS with.
    pub tls: Option<ListenerTls>,
}

/// Where the counters are read, in the text format of Prometheus at `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Address of the HTTP listener.
    pub listen: SocketAddr,
}

/// What a listener offers STARTTLS with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Certificate chain (PEM), its own first.
    pub certificate: PathBuf,
    /// Private key (PEM).
    pub key: PathBuf,
    /// Whether mail is taken under TLS only.
    pub required: bool,
}

impl ListenerTls {
    /// Reads the files and makes what the listener needs.
    ///
    /// # Errors
    ///
    /// The certificate or key cannot be read or used.
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        crate::smtp::tls::server_config(self.identity()?)
    }

    /// The same for a listener that asks for certificates of these clients.
    ///
    /// # Errors
    ///
    /// The certificate or key cannot be read or used.
    pub fn asking_server_config<'a>(
        &self,
        clients: impl IntoIterator<Item = &'a TrustedClients>,
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        asking_server_config(self.identity()?, clients)
    }

    fn identity(&self) -> Result<Identity, TlsError> {
        Identity::load(&self.certificate, &self.key)
    }
}

/// Which recipients an unsealed message is delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipients {
    /// Those both signed and in the outer SMTP envelope.
    #[default]
    Intersection,
    /// All that are signed, for edges that rewrite aliases.
    Signed,
}

/// What happens to clear mail in the name of a domain whose policy says that it always seals (tag `o`) [R-uns-12].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutgoingAlways {
    /// Delivered with the result `none` and `policy.expected=sealed`.
    #[default]
    Mark,
    /// Refused, if the policy was found just now.
    Refuse,
    /// Nothing: the policy is not looked up.
    Ignore,
}

/// How mail to and from a domain is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Treatment {
    /// Whether mail to it is sealed.
    pub policy: Rule,
    /// The lowest authenticity of its policy that counts: for sealing to it and for believing what it has sealed. One
    /// for both, since it is the same policy that is trusted or not.
    pub minimum_level: Level,
    /// What happens to clear mail from it.
    pub inbound: ClearMail,
    /// Whether sealed mail from it must have one author, of exactly this domain, and no foreign reverse-path [R-uns-11].
    pub require_aligned: bool,
}

/// What happens to clear mail from a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClearMail {
    /// Delivered with the result `none`.
    #[default]
    Mark,
    /// Refused.
    RequireSealed,
}

impl ClearMail {
    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::RequireSealed => "require-sealed",
        }
    }
}

/// Settings of one domain we exchange mail with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// The domain.
    pub domain: Domain,
    /// Where it is defined.
    pub place: Place,
    /// How its mail is treated.
    pub treatment: Treatment,
    /// Fingerprint (SHA-256) of its identity key [R-key-01], compared out of band.
    pub identity: Option<KeyId>,
    /// Seal to a less preferred suite if the key of the preferred one cannot be had [R-dec-17].
    pub allow_weaker_suite: bool,
}

impl Config {
    /// Reads and validates a file, and that of the partners if there is one. Paths inside become relative to its directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_text(&Self::read(path)?, path)
    }

    /// The same, with `text` in place of what is in the file itself.
    ///
    /// # Errors
    ///
    /// As those of [`Config::load`].
    pub fn load_text(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::assemble(text, path, |partners, named| match read(partners) {
            Ok(text) if text.trim().is_empty() => Err(ConfigError::empty_partners(partners)),
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => Ok(None),
            Err(error) => Err(ConfigError::unreadable_partners(partners, &error)),
        })
    }

    /// Reads the text of the file itself, for [`Config::load_text`].
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not UTF-8.
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        read(path).map_err(|error| ConfigError::unreadable(path, &error))
    }

    /// The same, with `partners` in place of what is in the file of partners.
    pub fn load_with(path: &Path, partners: &str) -> Result<Self, ConfigError> {
        Self::assemble(&Self::read(path)?, path, |_, _| Ok(Some(partners.to_owned())))
    }

    /// Validates the text of a file that is, or would be, at `path`, without a file of partners.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::assemble(text, path, |_, _| Ok(None))
    }

    /// `partners` is given the place of the file of partners and whether the configuration names it, and returns its text.
    fn assemble(
        text: &str,
        path: &Path,
        partners: impl FnOnce(&Path, bool) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let source = error::Source { file: path, text };
        let file: file::File = toml::from_str(text).map_err(|error| source.toml(&error))?;
        let name = file.partners.as_deref().unwrap_or(Path::new(PARTNERS_FILE));
        let place = path.parent().unwrap_or(Path::new("")).join(name);
        let found = partners(&place, file.partners.is_some())?;
        let partners_found = found.is_some();
        let text = found.unwrap_or_default();
        let more_source = error::Source { file: &place, text: &text };
        let more: file::PartnersFile =
            toml::from_str(&text).map_err(|error| more_source.toml(&error))?;
        let config = check::check(file, &source, (more.partner, &more_source))?;
        Ok(Self { partners_found, ..config })
    }

    /// The local domain of this name.
    #[must_use]
    pub fn local(&self, domain: &Domain) -> Option<&LocalDomain> {
        self.domains.iter().find(|local| local.name == *domain)
    }

    /// The partner of this name.
    #[must_use]
    pub fn partner(&self, domain: &Domain) -> Option<&Partner> {
        // There may be thousands, and this is asked for each recipient.
        let found = self.partners.binary_search_by(|partner| partner.domain.cmp(domain));
        found.ok().and_then(|at| self.partners.get(at))
    }

    /// The pinned fingerprint of a domain's identity key.
    #[must_use]
    pub fn pin(&self, domain: &Domain) -> Option<KeyId> {
        self.partner(domain).and_then(|partner| partner.identity)
    }

    /// What the decision about mail to `domain` takes from the configuration.
    #[must_use]
    pub fn destination(&self, domain: &Domain) -> LocalPolicy {
        let treatment = self.treatment(domain);
        LocalPolicy {
            rule: treatment.policy,
            minimum_level: treatment.minimum_level,
            pin: self.pin(domain),
            allow: Allowances {
                weaker_suite: self.partner(domain).is_some_and(|p| p.allow_weaker_suite),
                // For the operator's command only, which ends by itself and leaves a trace [R-dec-18].
                clear_on_failure: false,
            },
        }
    }

    /// What the judgement of mail from `domain` takes from the configuration.
    #[must_use]
    pub fn sender(&self, domain: &Domain) -> SenderPolicy {
        let minimum_level = self.treatment(domain).minimum_level;
        SenderPolicy { minimum_level, pin: self.pin(domain) }
    }

    /// How mail to and from `domain` is treated: as its partner entry says, else the defaults.
    #[must_use]
    pub fn treatment(&self, domain: &Domain) -> &Treatment {
        self.partner(domain).map_or(&self.defaults, |partner| &partner.treatment)
    }
}

fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(std::fs::read(path)?).map_err(|_| io::Error::other("not UTF-8 text"))
}

#[cfg(test)]
mod tests;
