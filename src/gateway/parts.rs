//! What a gateway is made of, and why it does not start.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::authorisation::AuthorisationError;
use super::clock::{Clock, SystemClock};
use super::config::{Config, PasswordError};
use super::local::{LocalKeys, LocalKeysError};
use super::publication::{PublisherError, publisher};
use super::rotation::Disagreement;
use crate::core::Domain;
use crate::dns::authorities::DNS_PORT;
use crate::dns::{ConfigError as DnsError, Resolver, StubResolver};
use crate::smtp::tls::TlsError;
use crate::store::ledger::{self, Ledger, LedgerError, SharedLedger, SqliteLedger};
use crate::store::permissions::PermissionError;

/// Name of the ledger in the state directory.
pub const LEDGER_FILE: &str = "ledger.sqlite";

/// Why a gateway does not start, or does not take up another configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be made.
    #[error("state directory {path}: {error}")]
    State {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The ledger cannot be opened.
    #[error("ledger {path}: {error}")]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why.
        error: LedgerError,
    },
    /// The keys of a domain cannot be used.
    #[error("keys of {domain}: {error}")]
    Keys {
        /// The domain.
        domain: Domain,
        /// Why.
        error: LocalKeysError,
    },
    /// The keys of a domain are not those that it publishes.
    #[error("keys of {domain}: {error}")]
    Published {
        /// The domain.
        domain: Domain,
        /// What differs.
        error: Disagreement,
    },
    /// The records of a domain cannot be published as the configuration says.
    #[error("publish of {domain}: {error}")]
    Publisher {
        /// The domain.
        domain: Domain,
        /// Why.
        error: PublisherError,
    },
    /// DNS cannot be set up.
    #[error("dns: {0}")]
    Dns(#[from] DnsError),
    /// TLS of a listener or next hop cannot be set up.
    #[error("tls of {place}: {error}")]
    Tls {
        /// The table of the configuration.
        place: &'static str,
        /// Why.
        error: TlsError,
    },
    /// The proofs of who may send cannot be checked.
    #[error("[[outbound.shared]]: {0}")]
    Authorisation(#[from] AuthorisationError),
    /// The password of a next hop cannot be used.
    #[error("{place}: {error}")]
    Password {
        /// The key of the configuration.
        place: &'static str,
        /// Why.
        error: PasswordError,
    },
    /// A listener cannot be opened.
    #[error("listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file is open to other users or belongs to them.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// The file of partners is not there, though commands have made partners.
    #[error(
        "the file of partners, {file}, is missing, though {domain} was made a partner by command"
    )]
    PartnersGone {
        /// Where it is looked for.
        file: PathBuf,
        /// One of these partners.
        domain: String,
    },
    /// The ledger cannot be asked.
    #[error("ledger: {0}")]
    AskLedger(#[from] LedgerError),
    /// A reload names another state directory.
    #[error("state directory {to} cannot take the place of {from} while the gateway runs")]
    StateMoved {
        /// The directory in use.
        from: PathBuf,
        /// The directory of the new configuration.
        to: PathBuf,
    },
}

/// What a gateway is made of. [`Parts::from_config`] makes the real ones; tests and the demo bring their own.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The keys of each local domain.
    pub domains: HashMap<Domain, LocalKeys>,
    /// The ledger.
    pub ledger: SharedLedger,
    /// The resolver.
    pub resolver: Arc<dyn Resolver>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Port of the name servers that are asked whether a record of ours is visible; [`DNS_PORT`] but in tests.
    pub authority_port: u16,
}

impl Parts {
    /// Opens ledger, keyrings and resolver as the configuration says. Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// Something that the configuration names cannot be used.
    pub fn from_config(config: Config) -> Result<Self, StartError> {
        let clock = SystemClock;
        let domains = own_keys(&config)?;
        let resolver = Arc::new(StubResolver::new(&config.dns)?);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.state)
            .map_err(|error| StartError::State { path: config.state.clone(), error })?;
        let path = config.state.join(LEDGER_FILE);
        let ledger = SqliteLedger::open(&path, &ledger::Options::default(), clock.now())
            .map_err(|error| StartError::Ledger { path, error })?;
        Ok(Self {
            config,
            domains,
            ledger: Arc::new(ledger),
            resolver,
            clock: Arc::new(clock),
            authority_port: DNS_PORT,
        })
    }
}

/// The part of [`Parts`] that a reload replaces.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// The keys of each local domain.
    pub domains: HashMap<Domain, LocalKeys>,
    /// The resolver; `None` leaves the one in use, with its cache.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Leaves the next hops in use, with their connections and with the pause after a refused password: for a change that
    /// is not about them.
    pub same_next_hops: bool,
}

impl Settings {
    /// Opens keyrings and resolver as the configuration says. Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// Something that the configuration names cannot be used.
    pub fn from_config(config: Config) -> Result<Self, StartError> {
        let domains = own_keys(&config)?;
        let resolver = Arc::new(StubResolver::new(&config.dns)?);
        Ok(Self { config, domains, resolver: Some(resolver), same_next_hops: false })
    }

    /// The same for a configuration of which only the partners have changed: resolver and next hops stay.
    ///
    /// # Errors
    ///
    /// Something that the configuration names cannot be used.
    pub fn of_partners(config: Config) -> Result<Self, StartError> {
        let domains = own_keys(&config)?;
        Ok(Self { config, domains, resolver: None, same_next_hops: true })
    }
}

/// Refuses a configuration whose file of partners was not there when it was read, if the ledger knows of a command that has
/// made a partner: it is lost, and without it their mail would go clear. Nobody need know that it was there from anything but
/// the ledger, which outlives the process.
///
/// # Errors
///
/// [`StartError::PartnersGone`], or the ledger cannot be asked.
pub async fn refuse_lost_partners(config: &Config, ledger: &dyn Ledger) -> Result<(), StartError> {
    if config.partners_found {
        return Ok(());
    }
    match ledger.partner_on_record().await? {
        None => Ok(()),
        Some(domain) => {
            Err(StartError::PartnersGone { file: config.partners_file.clone(), domain })
        }
    }
}

/// Refuses a configuration by which records cannot be published.
fn refuse_publishers(config: &Config) -> Result<(), StartError> {
    for local in &config.domains {
        publisher(&local.publication, Arc::new(SystemClock))
            .map_err(|error| StartError::Publisher { domain: local.name.clone(), error })?;
    }
    Ok(())
}

/// The keys of our domains, once it is known that nobody else can read or change them, and that their records can be published.
fn own_keys(config: &Config) -> Result<HashMap<Domain, LocalKeys>, StartError> {
    config.check_permissions()?;
    refuse_publishers(config)?;
    let mut domains = HashMap::new();
    for local in &config.domains {
        let domain = local.name.clone();
        let keys = LocalKeys::of(local)
            .map_err(|error| StartError::Keys { domain: domain.clone(), error })?;
        domains.insert(domain, keys);
    }
    Ok(domains)
}
