//! `mta-seal config check`: everything that can be known before the gateway starts.

use super::context::{self, Own};
use super::failure::Failure;
use super::fingerprint;
use super::terminal;
use super::zone;
use crate::gateway::config::{Config, LocalDomain, NextHop};
use crate::gateway::{Authorisation, SystemClock, dkim, publication};
use crate::store::keyring::{Find, KeyringError};
use std::path::Path;
use std::sync::Arc;

/// Seconds before a policy's expiry from which it is worth a warning: 14 days.
const SOON: u64 = 1_209_600;

pub(super) fn run(given: Option<&Path>) -> Result<(), Failure> {
    let path = context::config_path(given)?;
    let config = Config::load(&path)?;
    for warning in &config.warnings {
        terminal::warning(&warning.summary());
        if let Some(hint) = warning.hint() {
            terminal::hint(hint);
        }
    }
    config.check_permissions()?;
    // A ledger that cannot be read stands in the way of the start, which says so.
    if let Ok(Some(ledger)) = context::ledger_if_any(&config) {
        context::refuse_lost_partners(&config, &ledger)?;
    }
    let now = context::now();
    let mut fingerprints = String::new();
    for local in &config.domains {
        let own = Own::load(local)?;
        keys(&own, now)?;
        at_rest(local, &own)?;
        dkim::signers(local)?;
        publisher(local, &path)?;
        let fingerprint = own.policy.identity().fingerprint();
        let spoken = fingerprint::lines(&fingerprint, "  ");
        fingerprints.push_str(&format!("identity of {}: {spoken}\n", local.name));
    }
    let file = path.display();
    config.dns.check().map_err(|error| Failure::refused(format!("{file}: [dns]: {error}")))?;
    if let Some(outbound) = &config.outbound {
        let failed = |error| Failure::refused(format!("{file}: [outbound]: {error}"));
        next_hops(&outbound.next_hop, &format!("{file}: [outbound]"))?;
        outbound
            .tls
            .as_ref()
            .map_or(Ok(()), |tls| tls.server_config().map(drop))
            .map_err(failed)?;
    }
    if let Some(outbound) = &config.outbound {
        Authorisation::load(outbound).map_err(|error| {
            Failure::refused(format!("{file}: [[outbound.shared]]: {error}")).hint_if(error.hint())
        })?;
    }
    if let Some(inbound) = &config.inbound {
        let failed = |error| Failure::refused(format!("{file}: [inbound]: {error}"));
        next_hops(&inbound.next_hop, &format!("{file}: [inbound]"))?;
        inbound.tls.as_ref().map_or(Ok(()), |tls| tls.server_config().map(drop)).map_err(failed)?;
    }
    let domains = config.domains.len();
    let text = format!(
        "{fingerprints}{file}: ok ({domains} domain{}, {} partner{})\n",
        if domains == 1 { "" } else { "s" },
        config.partners.len(),
        if config.partners.len() == 1 { "" } else { "s" },
    );
    terminal::print(&text)
}

/// Whether the records can be published as the configuration says.
fn publisher(local: &LocalDomain, file: &Path) -> Result<(), Failure> {
    let publisher = publication::publisher(&local.publication, Arc::new(SystemClock));
    publisher.map(drop).map_err(|error| {
        let place = format!("{}: `publish` of {}", file.display(), local.name);
        Failure::refused(format!("{place}: {error}")).hint_if(error.hint())
    })
}

/// Whether the certificates and passwords for the next hops are there.
fn next_hops(servers: &[NextHop], place: &str) -> Result<(), Failure> {
    for server in servers {
        server.client_tls().map_err(|error| Failure::refused(format!("{place}: {error}")))?;
        server
            .credentials()
            .map_err(|error| Failure::refused(format!("{place}: {error}")).hint_if(error.hint()))?;
    }
    Ok(())
}

/// Says what of a passphrase has no effect.
fn at_rest(local: &LocalDomain, own: &Own) -> Result<(), Failure> {
    let directory = local.keys.display();
    let hint = "run `mta-seal keys protect`";
    if local.passphrase.is_some() && !own.keyring.is_protected() {
        terminal::warning(&format!(
            "`passphrase` of {}: the keys in {directory} are in clear",
            local.name
        ));
        terminal::hint(hint);
    }
    for path in own.keyring.exposed()? {
        terminal::warning(&format!("{} is in clear, in a protected keyring", path.display()));
        terminal::hint(hint);
    }
    if local.passphrase.is_none() && own.keyring.is_protected() {
        return Err(KeyringError::Protected(local.keys.clone()).into());
    }
    Ok(())
}

/// Whether the keyring can do what the policy promises.
fn keys(own: &Own, now: u64) -> Result<(), Failure> {
    own.signing_key()?;
    let record = own.policy.record();
    let domain = own.policy.domain();
    zone::check_names(domain, &record.sealing_keys)?;
    for id in record.sealing_keys.iter().filter_map(|entry| entry.key_id()) {
        if !matches!(own.keyring.find(&id), Find::Found(_)) {
            let place = own.keyring.directory().display();
            return Err(Failure::refused(format!("the policy of {domain} lists sealing key {id}, which is not in {place}"))
                .hint("mail sealed to it could not be opened: restore the key, or publish a policy without it"));
        }
    }
    own.warn_if_expired(now);
    if now < record.expiry && record.expiry - now < SOON {
        let days = (record.expiry - now) / 86_400;
        terminal::warning(&format!("the policy of {domain} expires in {days} days"));
    }
    Ok(())
}
