//! How DNS is asked, and whose word on DNSSEC counts.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::super::ConfigError;
use super::super::error::Source;
use super::super::file::{self, DnsMode};
use crate::dns::{AnchorSource, DnsConfig, Mode, Servers};

pub(super) fn check(
    table: file::Dns,
    base: &Path,
    source: &Source<'_>,
) -> Result<DnsConfig, ConfigError> {
    let mode_span = table.mode.as_ref().map_or(0..0, Spanned::span);
    let mode = table.mode.map(Spanned::into_inner).unwrap_or_default();
    if mode == DnsMode::Ad {
        // The AD bit is a claim of the resolver; on any path but loopback it is anybody's claim.
        let hint = "name a validating resolver on loopback, or set mode = \"validate\"";
        if table.servers.is_empty() {
            return Err(source.error(mode_span, "mode \"ad\" needs `servers`", hint));
        }
        if let Some(remote) =
            table.servers.iter().find(|server| !server.get_ref().0.0.ip().is_loopback())
        {
            let what =
                format!("mode \"ad\" believes {}, which is not on loopback", remote.get_ref().0.0);
            return Err(source.error(remote.span(), what, hint));
        }
    }
    if let (Some(anchor), false) = (&table.trust_anchor, mode == DnsMode::Validate) {
        let hint = "remove it, or set mode = \"validate\"";
        return Err(source.error(anchor.span(), "`trust_anchor` has no effect in this mode", hint));
    }
    let mut settings = DnsConfig::default();
    if let Some(timeout) = table.timeout {
        if timeout.get_ref().0 > Duration::from_secs(60) {
            let hint = "the client before us waits 5 minutes for RCPT; 5s is the default";
            return Err(source.error(timeout.span(), "`timeout` is above 60s", hint));
        }
        settings.timeout = timeout.into_inner().0;
    }
    if !table.servers.is_empty() {
        let servers = table.servers.into_iter().map(|server| server.into_inner().0.0);
        settings.servers = Servers::Listed(servers.collect());
    }
    settings.mode = match (mode, table.trust_anchor) {
        (DnsMode::Validate, None) => Mode::Validate { anchors: AnchorSource::Root },
        (DnsMode::Validate, Some(path)) => {
            Mode::Validate { anchors: AnchorSource::File(base.join(path.into_inner())) }
        }
        (DnsMode::Ad, _) => Mode::AdBit,
        (DnsMode::Plain, _) => Mode::Plain,
    };
    Ok(settings)
}
