//! What several commands need: the configuration, the clock, keyrings with their policies.

use super::failure::Failure;
use super::{passphrase, terminal};
use crate::core::{Domain, SigningKey};
use crate::gateway::config::{Config, LocalDomain};
use crate::gateway::rotation::Desk;
use crate::gateway::{LEDGER_FILE, PolicyError, own_policy};
use crate::records::{Validity, VerifiedPolicy};
use crate::store::keyring::{Keyring, Passphrase};
use crate::store::ledger::{LedgerError, SqliteLedger};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a configuration is looked for without `--config` and `MTA_SEAL_CONFIG`.
const PLACES: [&str; 2] = ["mta-seal.toml", "/etc/mta-seal/mta-seal.toml"];

/// The file to read.
pub(super) fn config_path(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        if path.is_dir() {
            let file = path.join("mta-seal.toml");
            return Err(Failure::refused(format!("{} is a directory", path.display()))
                .hint(format!("name the file in it: {}", file.display())));
        }
        return Ok(path.to_owned());
    }
    PLACES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
        Failure::refused(format!("no configuration: neither {} nor {}", PLACES[0], PLACES[1]))
            .hint("make one with `mta-seal init`, or name one with --config FILE")
    })
}

/// Reads the configuration.
pub(super) fn config(given: Option<&Path>) -> Result<Config, Failure> {
    Ok(Config::load(&config_path(given)?)?)
}

/// Reads the configuration; none if none was named and there is none in the usual places.
pub(super) fn config_if_any(given: Option<&Path>) -> Result<Option<Config>, Failure> {
    if given.is_none() && !PLACES.iter().any(|place| Path::new(place).exists()) {
        return Ok(None);
    }
    config(given).map(Some)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// The operating system's generator. It does not fail once it has started; if it did, stopping is
/// the only safe answer.
pub(super) fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// A domain of ours with its keys and its signed policy.
pub(super) struct Own {
    pub(super) keyring: Keyring,
    pub(super) policy: VerifiedPolicy,
}

impl Own {
    pub(super) fn load(local: &LocalDomain) -> Result<Self, Failure> {
        let keyring = passphrase::keyring(&local.keys, local.passphrase.as_deref())?;
        let file = local.keys.join("policy.txt");
        let policy = own_policy(&keyring, &local.name).map_err(|error| match error {
            PolicyError::Missing => Failure::refused(format!("{} is missing", file.display()))
                .hint("the signed policy of the domain belongs there"),
            error => Failure::refused(format!("{}: {error}", file.display())),
        })?;
        Ok(Self { keyring, policy })
    }

    /// The key to sign with, which the published policy must list.
    pub(super) fn signing_key(&self) -> Result<&SigningKey, Failure> {
        let listed = self.policy.record().signing_keys.iter().map(|key| key.key_id());
        self.keyring.signing_key(listed).ok_or_else(|| {
            let directory = self.keyring.directory().display();
            Failure::refused(format!("no signing key in {directory} that the policy lists"))
                .hint("receivers accept only what a listed key signed")
        })
    }

    /// Warns of a policy that no receiver believes.
    pub(super) fn warn_if_expired(&self, now: u64) {
        let domain = self.policy.domain();
        match self.policy.validity(now) {
            Validity::InForce => {}
            Validity::Expired => {
                terminal::warning(&format!(
                    "the policy of {domain} has expired: receivers refuse its mail"
                ));
            }
            Validity::NotYet => {
                terminal::warning(&format!(
                    "the policy of {domain} is not valid yet: check the clock"
                ));
            }
        }
    }
}

/// The domain of ours with this name.
pub(super) fn local<'a>(config: &'a Config, domain: &Domain) -> Result<&'a LocalDomain, Failure> {
    config.local(domain).ok_or_else(|| {
        let names: Vec<&str> = config.domains.iter().map(|local| local.name.as_str()).collect();
        Failure::refused(format!("{domain} is no domain of this gateway"))
            .hint(format!("configured: {}", names.join(", ")))
    })
}

/// The domain of ours with this name, or all of them.
pub(super) fn locals<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<Vec<&'a LocalDomain>, Failure> {
    match name {
        None => Ok(config.domains.iter().collect()),
        Some(name) => Ok(vec![named(config, name)?]),
    }
}

/// The domain of ours that `--domain` names.
fn named<'a>(config: &'a Config, name: &str) -> Result<&'a LocalDomain, Failure> {
    let domain = Domain::parse(name)
        .map_err(|error| Failure::usage(format!("--domain `{name}`: {error}")))?;
    local(config, &domain)
}

/// The domain of ours with this name, or the only one.
pub(super) fn one<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a LocalDomain, Failure> {
    match (name, config.domains.as_slice()) {
        (Some(name), _) => named(config, name),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(Failure::usage("the configuration has several domains")
                .hint("name one with --domain"))
        }
    }
}

/// The keyring of a domain with the right to change it; the passphrase is asked for if it needs one.
pub(super) fn desk(local: &LocalDomain, now: u64) -> Result<Desk, Failure> {
    desk_with(local, passphrase(local)?.as_ref(), now)
}

/// The same for whoever opens it several times, and does not ask for the passphrase each time.
pub(super) fn desk_with(
    local: &LocalDomain,
    passphrase: Option<&Passphrase>,
    now: u64,
) -> Result<Desk, Failure> {
    Ok(Desk::open(&local.keys, &local.name, passphrase, now)?)
}

/// The passphrase of the keyring of a domain, asked for if it needs one that the configuration does not name.
pub(super) fn passphrase(local: &LocalDomain) -> Result<Option<Passphrase>, Failure> {
    passphrase::existing(&local.keys, local.passphrase.as_deref())
}

/// The ledger of the gateway, for reading beside it.
pub(super) fn ledger(config: &Config) -> Result<SqliteLedger, Failure> {
    SqliteLedger::open_read_only(&config.state.join(LEDGER_FILE)).map_err(ledger_failure)
}

/// The ledger of the gateway, for reading; none before its first start.
pub(super) fn ledger_if_any(config: &Config) -> Result<Option<SqliteLedger>, Failure> {
    match SqliteLedger::open_read_only(&config.state.join(LEDGER_FILE)) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(LedgerError::Open { kind: io::ErrorKind::NotFound }) => Ok(None),
        Err(error) => Err(ledger_failure(error)),
    }
}

/// Refuses a configuration whose file of partners is lost, as the ledger has it.
pub(super) fn refuse_lost_partners(config: &Config, ledger: &SqliteLedger) -> Result<(), Failure> {
    Ok(block_on(crate::gateway::refuse_lost_partners(config, ledger))??)
}

/// What to do when the ledger cannot be read or written.
pub(super) fn ledger_failure(error: LedgerError) -> Failure {
    match error {
        LedgerError::Open { kind: io::ErrorKind::NotFound } => Failure::refused(&error)
            .hint("there is none yet: the gateway makes it in `state` when it first starts"),
        LedgerError::Open { kind: io::ErrorKind::PermissionDenied } => {
            Failure::refused(&error).hint("run this as the user of the gateway, or as root")
        }
        LedgerError::OlderSchema { .. } => {
            Failure::refused(&error).hint("start the gateway of this version once")
        }
        LedgerError::Unavailable { .. } | LedgerError::Full => Failure::temporary(&error),
        _ => Failure::refused(&error),
    }
}

/// Waits for what a command asks of the network or of the ledger.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::temporary(format!("cannot start: {error}")))?;
    Ok(runtime.block_on(future))
}
