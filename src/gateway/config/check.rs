//! What must hold between the keys of a configuration file.

mod dns;
mod domains;
mod next_hop;
mod partners;

use super::error::{Source, nearest};
use super::file::{self, File};
use super::settings::Timeouts;
use super::{
    Config, ConfigError, Inbound, ListenerTls, LocalDomain, Metrics, Network, Outbound, Treatment,
    clients, forwarders,
};
use crate::policy::{Level, LocalPolicy};
use crate::smtp::Protocol;
use next_hop::{Listeners, too_slow};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

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
    let domains = domains::check(file.domain, outgoing, base, source, &mut warnings)?;
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
        partners: partners::check(
            [(file.partner, source), more],
            &domains,
            &defaults,
            &mut warnings,
        )?,
        domains,
        outbound,
        inbound,
        dns: dns::check(file.dns, base, source)?,
        defaults,
        limits: file.limits,
        timeouts,
        log: file.log,
        metrics,
        audit: file.audit,
        warnings,
    })
}

fn find(source: &Source<'_>, needle: &str) -> Range<usize> {
    let start = source.text.find(needle).unwrap_or(0);
    start..start
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
        certificate: tls.certificate.0.at(base),
        key: tls.key.0.at(base),
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
    let (next_hop, next_hop_span) = next_hop::servers(table.next_hop, base, source, warnings);
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
    let (next_hop, next_hop_span) = next_hop::servers(table.next_hop, base, source, warnings);
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
