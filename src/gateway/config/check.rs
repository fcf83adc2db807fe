//! What must hold between the keys of a configuration file.

use super::dkim;
use super::error::{Source, nearest};
use super::file::{self, DnsMode, File};
use super::next_hop::NextHops;
use super::settings::Timeouts;
use super::{
    Config, ConfigError, DkimEntry, Inbound, ListenerTls, LocalDomain, Metrics, Network, NextHop,
    Outbound, Partner, Place, Publication, Treatment, clients, forwarders, publish, rotation,
};
use crate::core::Domain;
use crate::dns::{AnchorSource, DnsConfig, Mode, Servers};
use crate::policy::{Level, LocalPolicy};
use crate::smtp::Protocol;
use crate::smtp::next_hop::NextHop as Address;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// RFC 5321 section 4.5.3.2.3: how long a client waits for the reply to RCPT.
const PATIENCE_OF_CLIENTS: Duration = Duration::from_secs(300);

/// Bounds of `delay_notice`: a message is not late after seconds, and MTAs give up after 5 days.
const MIN_DELAY_NOTICE: Duration = Duration::from_secs(60);
const MAX_DELAY_NOTICE: Duration = Duration::from_secs(5 * 24 * 3600);

/// `more` are the partners that stand in a file of their own.
pub(super) fn check(
    file: File,
    source: &Source<'_>,
    more: (Vec<file::Partner>, &Source<'_>),
) -> Result<Config, ConfigError> {
    let base = source.file.parent().unwrap_or(Path::new(""));
    let mut warnings = Vec::new();
    let outgoing = file.outbound.is_some();
    let domains = domains(file.domain, outgoing, base, source, &mut warnings)?;
    if file.outbound.is_none() && file.inbound.is_none() {
        let hint = "[outbound] seals mail of this organisation, [inbound] unseals mail for it";
        return Err(source.error(0..0, "neither [outbound] nor [inbound]: nothing to do", hint));
    }
    let delay_notice = file
        .outbound
        .as_ref()
        .and_then(|table| table.get_ref().delay_notice.as_ref().map(Spanned::span));
    let outbound = match file.outbound {
        Some(table) => Some(outbound(table, &domains, base, source, &mut warnings)?),
        None => None,
    };
    let inbound = match file.inbound {
        Some(table) => Some(inbound(table, base, source, &mut warnings)?),
        None => None,
    };
    if let (Some(span), None) = (delay_notice, &inbound) {
        let hint = "add [inbound], or let the MTA before the gateway send the notices (Postfix: delay_warning_time)";
        let what = "`delay_notice` needs [inbound]: notices go to the senders by its next hop";
        return Err(source.error(span, what, hint));
    }
    let listeners = Listeners {
        outbound: outbound.as_ref().map_or(&[], |(table, _)| &table.listen),
        inbound: inbound.as_ref().map_or(&[], |(table, _)| &table.listen),
    };
    let timeouts = timeouts(file.timeouts, source, &mut warnings);
    for (hops, span) in [
        outbound.as_ref().map(|(table, span)| (&table.next_hop, span)),
        inbound.as_ref().map(|(table, span)| (&table.next_hop, span)),
    ]
    .into_iter()
    .flatten()
    {
        for hop in hops {
            listeners.refuse_loop(hop, span.clone(), source)?;
        }
        warnings.extend(too_slow(hops.len(), timeouts.set_up, span, source));
    }
    let (outbound, inbound) = (outbound.map(|(table, _)| table), inbound.map(|(table, _)| table));
    if let (Some(outbound), Some(inbound)) = (&outbound, &inbound)
        && let Some(twice) = outbound
            .listen
            .iter()
            .find(|address| address.port() != 0 && inbound.listen.contains(address))
    {
        let what = format!("[outbound] and [inbound] both listen on {twice}");
        return Err(source.error(find(source, "[inbound]"), what, "give each its own port"));
    }
    let mail = outbound.iter().flat_map(|table| &table.listen);
    let mut mail = mail.chain(inbound.iter().flat_map(|table| &table.listen));
    let metrics = match file.metrics {
        Some(table) => Some(metrics(table, &mut mail, source, &mut warnings)?),
        None => None,
    };
    let defaults = Treatment {
        policy: file.defaults.policy.map_or(LocalPolicy::default().rule, |text| text.0),
        minimum_level: file.defaults.minimum_level.map_or(Level::FirstUse, |text| text.0),
        inbound: file.defaults.inbound,
        require_aligned: file.defaults.require_aligned,
    };
    Ok(Config {
        file: source.file.to_owned(),
        hostname: file.hostname.0,
        state: base.join(file.state.unwrap_or_else(|| PathBuf::from("state"))),
        partners_file: more.1.file.to_owned(),
        partners_found: false,
        partners: partners([(file.partner, source), more], &domains, &defaults, &mut warnings)?,
        domains,
        outbound,
        inbound,
        dns: dns(file.dns, base, source)?,
        defaults,
        limits: file.limits,
        timeouts,
        log: file.log,
        metrics,
        warnings,
    })
}

fn find(source: &Source<'_>, needle: &str) -> Range<usize> {
    let start = source.text.find(needle).unwrap_or(0);
    start..start
}

fn domains(
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

fn listen(
    addresses: Spanned<Vec<super::value::Text<SocketAddr>>>,
    source: &Source<'_>,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let span = addresses.span();
    let addresses: Vec<SocketAddr> =
        addresses.into_inner().into_iter().map(|text| text.0).collect();
    if addresses.is_empty() {
        return Err(source.error(span, "`listen` is empty", "name at least one address and port"));
    }
    for (i, address) in addresses.iter().enumerate() {
        if address.port() != 0 && addresses.iter().take(i).any(|other| other == address) {
            return Err(source.error(
                span,
                format!("`listen` names {address} twice"),
                "keep it once",
            ));
        }
    }
    Ok(addresses)
}

fn tls(table: Option<file::ListenerTls>, base: &Path) -> Option<ListenerTls> {
    table.map(|tls| ListenerTls {
        certificate: base.join(tls.certificate),
        key: base.join(tls.key),
        required: tls.required,
    })
}

/// The ranges of `xforward` or `xclient`; none by default.
fn trusted(
    key: &str,
    ranges: Option<clients::Ranges>,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Vec<Network>, ConfigError> {
    ranges.map_or(Ok(Vec::new()), |ranges| clients::trusted(key, ranges, source, warnings))
}

/// The addresses that a next hop must not lead back to.
struct Listeners<'a> {
    outbound: &'a [SocketAddr],
    inbound: &'a [SocketAddr],
}

impl Listeners<'_> {
    /// A next hop that is a listener of this gateway would hand every message back for ever.
    fn refuse_loop(
        &self,
        hop: &NextHop,
        span: Range<usize>,
        source: &Source<'_>,
    ) -> Result<(), ConfigError> {
        let Address::Tcp { host, port, .. } = &hop.address else { return Ok(()) };
        for (table, listen) in [("[outbound]", self.outbound), ("[inbound]", self.inbound)] {
            if let Some(address) = listen.iter().find(|address| leads_to(host, *port, **address)) {
                let what = format!(
                    "`next_hop` is the listener {address} of {table}: mail would go round for ever"
                );
                return Err(source.error(span, what, "name the MTA behind the gateway"));
            }
        }
        Ok(())
    }
}

/// Whether a connection to `host` arrives at the listener; names other than localhost are not looked up.
fn leads_to(host: &str, port: u16, listener: SocketAddr) -> bool {
    if listener.port() != port {
        return false;
    }
    let own = listener.ip();
    match host.parse::<IpAddr>() {
        Ok(ip) => {
            let here = ip.is_loopback() || ip.is_unspecified();
            // A listener on [::] takes IPv4 too.
            ip == own || (own.is_unspecified() && here && (own.is_ipv6() || ip.is_ipv4()))
        }
        Err(_) => {
            host.eq_ignore_ascii_case("localhost") && (own.is_loopback() || own.is_unspecified())
        }
    }
}

/// The servers of a next hop with their paths resolved, and where they stand.
fn next_hop(
    hops: Spanned<NextHops>,
    base: &Path,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> (Vec<NextHop>, Range<usize>) {
    let span = hops.span();
    let NextHops(mut hops) = hops.into_inner();
    // What stays on this machine needs no TLS.
    let mut remote = hops.iter().filter(|hop| !hop.is_local());
    if let Some(first) = remote.next()
        && let Some(other) = remote.find(|hop| hop.tls != first.tls)
    {
        let (one, two) = ((&first.address, first.tls), (&other.address, other.tls));
        let what = format!(
            "the servers of `next_hop` have different `tls`: {} is \"{}\", {} is \"{}\"",
            one.0, one.1, two.0, two.1
        );
        let hint = "mail goes to whichever can be had: who can break the connection to one chooses the weaker";
        warnings.push(source.error(span.clone(), what, hint));
    }
    hops.iter_mut().for_each(|hop| hop.resolve(base));
    (hops, span)
}

/// A list whose last server is not reached in time if the others are silent.
fn too_slow(
    servers: usize,
    set_up: Duration,
    span: &Range<usize>,
    source: &Source<'_>,
) -> Option<ConfigError> {
    let all = set_up.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
    if servers < 2 || all <= PATIENCE_OF_CLIENTS {
        return None;
    }
    let what = format!(
        "{servers} servers of `next_hop` with {} s for each (`set_up` of [timeouts]) exceed the 5 minutes that clients \
         wait for RCPT",
        set_up.as_secs()
    );
    let hint = "lower `set_up`, or name fewer servers: if the first ones are silent the last are never reached";
    Some(source.error(span.clone(), what, hint))
}

fn outbound(
    table: Spanned<file::Outbound>,
    domains: &[LocalDomain],
    base: &Path,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<(Outbound, Range<usize>), ConfigError> {
    let table_span = table.span();
    let table = table.into_inner();
    let listen = listen(table.listen, source)?;
    let clients = clients::own(table.clients, source, warnings)?;
    let around = clients::Surroundings {
        domains,
        own: &clients,
        tls: table.tls.is_some(),
        tls_required: table.tls.as_ref().is_some_and(|tls| tls.required),
        base,
    };
    let shared = table
        .shared
        .into_iter()
        .map(|table| clients::shared(table, &around, source, warnings))
        .collect::<Result<_, _>>()?;
    let domain = match (table.domain, domains) {
        (Some(domain), _) => {
            let span = domain.span();
            let domain = domain.into_inner().0;
            if !domains.iter().any(|local| local.name == domain) {
                let names: Vec<String> =
                    domains.iter().map(|local| local.name.to_string()).collect();
                let hint = match nearest(domain.as_str(), &names) {
                    Some(name) => format!("did you mean \"{name}\"?"),
                    None => format!("one of: {}", names.join(", ")),
                };
                return Err(source.error(
                    span,
                    format!("`domain` {domain} has no [[domain]]"),
                    &hint,
                ));
            }
            domain
        }
        (None, [only]) => only.name.clone(),
        (None, _) => {
            let hint = "say which of the domains signs null and foreign reverse-paths";
            return Err(source.error(table_span, "missing key `domain`", hint));
        }
    };
    let (next_hop, next_hop_span) = next_hop(table.next_hop, base, source, warnings);
    if let Some(delay) = &table.delay_notice {
        let delay = (delay.get_ref().0, delay.span());
        if !(MIN_DELAY_NOTICE..=MAX_DELAY_NOTICE).contains(&delay.0) {
            let hint = "4h is usual; greylisting alone may take an hour, and MTAs give up after 5d";
            return Err(source.error(delay.1, "`delay_notice` is not between 1m and 5d", hint));
        }
    }
    let outbound = Outbound {
        protocol: table.protocol.map_or(Protocol::Smtp, |text| text.0),
        clients,
        shared,
        xforward: trusted("xforward", table.xforward, source, warnings)?,
        xclient: trusted("xclient", table.xclient, source, warnings)?,
        domain,
        next_hop,
        listen,
        tls: tls(table.tls, base),
        delay_notice: table.delay_notice.map(|delay| delay.into_inner().0),
    };
    Ok((outbound, next_hop_span))
}

fn inbound(
    table: Spanned<file::Inbound>,
    base: &Path,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<(Inbound, Range<usize>), ConfigError> {
    let table = table.into_inner();
    let listen = listen(table.listen, source)?;
    let (next_hop, next_hop_span) = next_hop(table.next_hop, base, source, warnings);
    let xforward = trusted("xforward", table.xforward, source, warnings)?;
    let xclient = trusted("xclient", table.xclient, source, warnings)?;
    let peers: Vec<Network> = xforward.iter().chain(&xclient).copied().collect();
    let inbound = Inbound {
        protocol: table.protocol.map_or(Protocol::Smtp, |text| text.0),
        next_hop,
        listen,
        recipients: table.recipients,
        outgoing_always: table.outgoing_always,
        forwarders: forwarders::check(table.forwarders, &peers, source, warnings),
        xforward,
        xclient,
        tls: tls(table.tls, base),
    };
    Ok((inbound, next_hop_span))
}

/// `mail`: the addresses of the other listeners.
fn metrics<'a>(
    table: file::Metrics,
    mail: &mut impl Iterator<Item = &'a SocketAddr>,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Metrics, ConfigError> {
    let span = table.listen.span();
    let listen = table.listen.into_inner().0;
    if listen.port() != 0 && mail.any(|address| *address == listen) {
        let what = format!("[metrics] listens on {listen}, where mail is taken");
        return Err(source.error(span, what, "give it a port of its own"));
    }
    if !listen.ip().is_loopback() {
        let what =
            format!("[metrics] listens on {listen}: whoever reaches it can read the counters");
        let hint = "listen on loopback, or let a firewall say who may read them";
        warnings.push(source.error(span, what, hint));
    }
    Ok(Metrics { listen })
}

fn timeouts(
    table: Option<Spanned<Timeouts>>,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Timeouts {
    let Some(table) = table else { return Timeouts::default() };
    let span = table.span();
    let timeouts = table.into_inner();
    let steps = timeouts.of_set_up().into_iter().filter(|(_, limit)| *limit > timeouts.set_up);
    let longer: Vec<String> = steps.map(|(step, _)| format!("`{step}`")).collect();
    if !longer.is_empty() {
        let what = format!("{} of [timeouts] exceed `set_up`, which ends first", longer.join(", "));
        let hint = "raise `set_up`, but two servers must fit into the 5 minutes that clients wait for RCPT; or lower the others";
        warnings.push(source.error(span, what, hint));
    }
    timeouts
}

fn dns(table: file::Dns, base: &Path, source: &Source<'_>) -> Result<DnsConfig, ConfigError> {
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

fn partners(
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
