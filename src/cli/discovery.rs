//! A domain's policy for `seal` and `unseal`: from DNS, or from files.

use super::failure::Failure;
use super::record_files::Records;
use crate::core::Domain;
use crate::dns::{DnsConfig, Scripted, StubResolver};
use crate::gateway::lookup::{Keys, look_up};
use crate::policy::Outcome;

/// Looks up the policy of `domain`, and key records as asked.
pub(super) fn discover(
    domain: &Domain,
    keys: Keys<'_>,
    files: Option<&Records>,
    dns: &DnsConfig,
) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::temporary(format!("cannot start looking up names: {error}")))?;
    runtime.block_on(async {
        match files {
            Some(files) => {
                let script = Scripted::new();
                files.publish(domain, &script)?;
                Ok(look_up(&script, domain, keys, dns.timeout).await)
            }
            None => {
                let resolver = StubResolver::new(dns).map_err(Failure::refused)?;
                Ok(look_up(&resolver, domain, keys, dns.timeout).await)
            }
        }
    })
}
