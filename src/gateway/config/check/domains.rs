//! The domains that the gateway acts for.

use std::path::Path;

use toml::Spanned;

use super::super::error::Source;
use super::super::{
    ConfigError, DkimEntry, LocalDomain, Publication, dkim, file, publish, rotation,
};
use crate::core::Domain;

/// `outgoing`: whether the gateway seals at all.
pub(super) fn check(
    tables: Vec<Spanned<file::LocalDomain>>,
    outgoing: bool,
    base: &Path,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Vec<LocalDomain>, ConfigError> {
    let mut domains: Vec<LocalDomain> = Vec::new();
    for table in tables {
        let table = table.into_inner();
        let span = table.name.span();
        let name = table.name.into_inner().0;
        if domains.iter().any(|other| other.name == name) {
            return Err(source.error(
                span,
                format!("domain {name} stands twice"),
                "keep one [[domain]] for each name",
            ));
        }
        let keys_span = table.keys.span();
        let keys = base.join(table.keys.into_inner());
        if let Some(other) = domains.iter().find(|other| other.keys == keys) {
            let what = format!("domains {} and {name} share one keyring", other.name);
            return Err(source.error(keys_span, what, "give each domain a directory of its own"));
        }
        let mut entries = Vec::new();
        if let Some(tables) = table.dkim {
            if !outgoing {
                let what = format!("`dkim` of {name} has no effect without [outbound]");
                warnings.push(source.error(tables.span(), what, "add [outbound], or remove it"));
            }
            entries = dkim_entries(&name, tables, base, source)?;
        }
        let publish_span = table.publish.as_ref().map_or(span, Spanned::span);
        let publication = match table.publish {
            Some(table) => publish::check(&name, table, base, source)?,
            None => Publication::default(),
        };
        let rotation = rotation::check(&name, table.rotation, &publication, source)?;
        let local = LocalDomain { name, keys, dkim: entries, publication, rotation };
        let under = local.records_under();
        if let Some(other) = domains.iter().find(|other| other.records_under() == under) {
            let what = format!(
                "domains {} and {} both have their records below {under}",
                other.name, local.name
            );
            let hint = "each has a policy of its own: give each a name of its own in `under`";
            return Err(source.error(publish_span, what, hint));
        }
        domains.push(local);
    }
    if domains.is_empty() {
        let hint = "add [[domain]] with `name` and `keys`; `mta-seal init` makes both";
        return Err(source.error(0..0, "no [[domain]]: whom should the gateway act for?", hint));
    }
    Ok(domains)
}

/// The keys that sign a domain's carriers.
fn dkim_entries(
    domain: &Domain,
    tables: Spanned<dkim::Tables>,
    base: &Path,
    source: &Source<'_>,
) -> Result<Vec<DkimEntry>, ConfigError> {
    let span = tables.span();
    let mut entries: Vec<DkimEntry> = Vec::new();
    for dkim::Table { selector, key } in tables.into_inner().0 {
        let span = selector.span();
        let selector = selector.into_inner().0;
        if selector.record_name(domain).is_none() {
            let what = format!("no name in DNS is as long as {selector}._domainkey.{domain}");
            return Err(source.error(span, what, "choose a shorter selector"));
        }
        if entries.iter().any(|other| other.selector == selector) {
            let what = format!("`dkim` of {domain} has selector {selector} twice");
            return Err(source.error(span, what, "give each key a selector of its own"));
        }
        entries.push(DkimEntry { selector, key: base.join(key) });
    }
    if entries.is_empty() {
        let hint = "name a key, or remove `dkim` if an MTA behind the gateway signs";
        return Err(source.error(span, "`dkim` is empty", hint));
    }
    Ok(entries)
}
