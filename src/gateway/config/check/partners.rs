//! Partners, of the configuration and of the file that `mta-seal partner` writes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::super::error::Source;
use super::super::{ConfigError, LocalDomain, Partner, Place, Treatment, file};
use crate::core::Domain;
use crate::policy::Level;

/// No domain may stand twice, in one file or in both.
pub(super) fn check(
    files: [(Vec<file::Partner>, &Source<'_>); 2],
    domains: &[LocalDomain],
    defaults: &Treatment,
    warnings: &mut Vec<ConfigError>,
) -> Result<Vec<Partner>, ConfigError> {
    let mut seen = HashMap::<Domain, Place>::new();
    let mut partners = Vec::new();
    let tables = files.into_iter().flat_map(|(tables, source)| {
        let file: Arc<Path> = Arc::from(source.file);
        let mut lines = source.lines();
        tables.into_iter().map(move |table| {
            let line = lines.at(table.domain.span().start);
            (table, source, Place { file: Arc::clone(&file), line })
        })
    });
    for (table, source, place) in tables {
        let span = table.domain.span();
        let domain = table.domain.into_inner().0;
        if let Some(first) = seen.insert(domain.clone(), place.clone()) {
            let what = format!("partner {domain} stands twice, first at {first}");
            return Err(source.error(span, what, "keep one [[partner]] for each domain"));
        }
        if domains.iter().any(|local| local.name == domain) {
            let what = format!("partner {domain} is one of our own domains");
            warnings.push(source.error(
                span,
                what,
                "mail between our own domains seldom needs an entry",
            ));
        }
        if let Some(level) = &table.minimum_level
            && level.get_ref().0 == Level::Pinned
            && table.identity.is_none()
        {
            let what = format!(
                "minimum_level \"pinned\" without `identity`: nothing could ever be sent to {domain}"
            );
            let hint = "add identity = \"FINGERPRINT\", compared with the partner by telephone or on paper";
            return Err(source.error(level.span(), what, hint));
        }
        partners.push(Partner {
            domain,
            place,
            treatment: Treatment {
                policy: table.policy.map_or(defaults.policy, |text| text.0),
                minimum_level: table
                    .minimum_level
                    .map_or(defaults.minimum_level, |level| level.into_inner().0),
                inbound: table.inbound.unwrap_or(defaults.inbound),
                require_aligned: table.require_aligned.unwrap_or(defaults.require_aligned),
            },
            identity: table.identity.map(|text| text.0),
            allow_weaker_suite: table.allow_weaker_suite,
        });
    }
    partners.sort_by(|a, b| a.domain.cmp(&b.domain));
    Ok(partners)
}
