//! `mta-seal zone`: the records to publish.

use super::context::{self, Own};
use super::dkim;
use super::failure::Failure;
use super::table;
use super::terminal;
use crate::core::{Domain, KeyId, MAX_DOMAIN};
use crate::gateway::config::{LocalDomain, Publication};
use crate::records::{
    DnsRecord, KeyRecord, PolicyRecord, SealingEntry, Selector, SignedPolicy, key_record_name,
    policy_name,
};
use crate::store::keyring::Keyring;
use std::path::Path;

/// Time to live of the records in seconds.
pub(super) const TTL: u32 = 3_600;

/// Options of `zone`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this domain of the configuration
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Lines of a master file, plain values for a DNS panel, or JSON
    #[arg(long, value_enum, default_value = "zone")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Zone,
    Values,
    Json,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let mut published = Vec::new();
    for local in context::locals(&config, args.domain.as_deref())? {
        let own = Own::load(local)?;
        own.warn_if_expired(context::now());
        published.extend(records(local.records_under(), &own.keyring)?);
        let names = delegated(local, Some(own.policy.record())).into_iter();
        published.extend(names.map(|(name, target)| DnsRecord::alias(name, TTL, target)));
        published.extend(dkim::records(local)?);
    }
    let text = match args.format {
        Format::Zone => master_file(&published),
        Format::Values => published
            .iter()
            .map(|record| {
                let kind = if record.is_alias() { " CNAME" } else { "" };
                format!("{}{kind}\n{}\n", record.name(), record.value())
            })
            .collect::<Vec<_>>()
            .join("\n"),
        Format::Json => table::json(&published)?,
    };
    terminal::print(&text)
}

pub(super) fn master_file(records: &[DnsRecord]) -> String {
    records.iter().map(DnsRecord::master_file).collect()
}

/// The names of a domain that are to be aliases of those below another, if its records stand there, with what they stand for: that
/// of the policy, and those of keys, be they configured or already in use.
pub(super) fn delegated(
    local: &LocalDomain,
    policy: Option<&PolicyRecord>,
) -> Vec<(String, String)> {
    let Publication { under: Some(under), selectors, .. } = &local.publication else {
        return Vec::new();
    };
    let entries = policy.into_iter().flat_map(|policy| &policy.sealing_keys);
    let listed = entries.filter_map(|entry| match entry {
        SealingEntry::Listed { selector, .. } => Some(selector),
        _ => None,
    });
    let mut names = vec![(policy_name(&local.name), policy_name(under))];
    for selector in selectors.iter().chain(listed) {
        let name = key_record_name(selector, &local.name);
        if names.iter().all(|(other, _)| *other != name) {
            names.push((name, key_record_name(selector, under)));
        }
    }
    names
}

/// The fingerprint of the identity key that has signed the policy.
pub(super) fn identity(keyring: &Keyring) -> Result<KeyId, Failure> {
    let text = keyring.policy().unwrap_or_default();
    let policy = SignedPolicy::parse(text.as_bytes()).map_err(Failure::refused)?;
    Ok(policy.unverified().identity.fingerprint())
}

/// Refuses a domain that is too long for the names of its records: its policy, and the keys among `entries` that have
/// records of their own.
pub(super) fn check_names(domain: &Domain, entries: &[SealingEntry]) -> Result<(), Failure> {
    let keys = entries.iter().filter_map(|entry| match entry {
        SealingEntry::Listed { selector, .. } => Some(key_record_name(selector, domain)),
        _ => None,
    });
    let names = std::iter::once(policy_name(domain)).chain(keys);
    let Some(length) = names.map(|name| name.len()).max().filter(|&length| length > MAX_DOMAIN)
    else {
        return Ok(());
    };
    let most = MAX_DOMAIN + domain.as_str().len() - length;
    Err(Failure::refused(format!(
        "{domain} is too long: it has {} octets, and the names of its records have room for one of {most}",
        domain.as_str().len()
    ))
    .hint("a policy is for one exact domain: it can be published only for mailboxes of a shorter one"))
}

/// The policy record of a domain, and the key records that it lists, below `domain` or what it delegates to.
pub(super) fn records(domain: &Domain, keyring: &Keyring) -> Result<Vec<DnsRecord>, Failure> {
    let place = keyring.directory().display();
    let text =
        keyring.policy().ok_or_else(|| Failure::refused(format!("no policy.txt in {place}")))?;
    let policy = SignedPolicy::parse(text.as_bytes()).map_err(Failure::refused)?;
    check_names(domain, &policy.unverified().sealing_keys)?;
    let mut records = vec![DnsRecord::policy(domain, TTL, text)];
    for entry in &policy.unverified().sealing_keys {
        let SealingEntry::Listed { selector, key_id, .. } = entry else { continue };
        let stored = keyring.sealing_keys().iter().find(|stored| stored.key.key_id() == *key_id);
        let stored = stored.ok_or_else(|| {
            Failure::refused(format!("the policy lists key {selector}, which is not in {place}"))
        })?;
        let record = KeyRecord::new(stored.key.public().clone());
        let selector: &Selector = selector;
        records.push(DnsRecord::key(selector, domain, TTL, &record));
    }
    Ok(records)
}
