//! Whether everything that a Postfix on this host sends goes to the gateway, its own bounces included.

mod settings;

use super::finding::Finding;
use super::maps::{self, Read};
use super::nexthop::{Destination, Gateway, addresses, service, transport};
use crate::cli::failure::words;
use crate::gateway::config::{self, Config};
use crate::smtp::Protocol;
use crate::smtp::next_hop::NextHop;
use settings::{Settings, ask};
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// Parameters by which a message finds its way; in master.cf they hold for one service only.
const ROUTES: [&str; 5] = [
    "default_transport",
    "relayhost",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "transport_maps",
];

const FILTER_HINT: &str = "use default_transport, relayhost or transport_maps instead: bounces and what `sendmail` submits do \
                           not pass a filter, and would leave in clear";

/// What the settings are compared with.
struct Site<'a> {
    gateway: Gateway<'a>,
    /// Where the gateway passes on what it has sealed.
    next_hops: &'a [Destination],
    /// Our own domains.
    domains: &'a [String],
    read: Read<'a>,
    /// Whether the gateway's listener speaks LMTP.
    lmtp: bool,
    /// Whether the gateway tells senders of delays.
    tells_delays: bool,
}

/// Asks `postconf` and judges what it says. Without `--postconf-dir` a host without Postfix is left alone.
pub(super) fn check(config: &Config, directory: Option<&Path>) -> Vec<Finding> {
    let Some(outbound) = &config.outbound else { return Vec::new() };
    let settings = match ask(directory) {
        Ok(settings) => settings,
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_none() => {
            return vec![Finding::ok("postfix", "none on this host")];
        }
        Err(error) => {
            let hint = "name its directory with --postconf-dir, or leave it out with --no-postfix";
            return vec![Finding::fail("postfix", words(&error), hint)];
        }
    };
    let tcp = |hop: &config::NextHop| match &hop.address {
        NextHop::Tcp { host, port, .. } => Some(Destination { host: host.clone(), port: *port }),
        NextHop::LmtpUnix(_) => None,
    };
    let next_hops: Vec<Destination> = outbound.next_hop.iter().filter_map(tcp).collect();
    let domains: Vec<String> =
        config.domains.iter().map(|local| local.name.as_str().to_owned()).collect();
    let site = Site {
        gateway: Gateway {
            hostname: config.hostname.as_str(),
            listen: &outbound.listen,
            resolve: &addresses,
        },
        next_hops: &next_hops,
        domains: &domains,
        read: &|path| std::fs::read_to_string(path).ok(),
        lmtp: outbound.protocol == Protocol::Lmtp,
        tells_delays: outbound.delay_notice.is_some(),
    };
    judge(&settings, &site)
}

fn judge(settings: &Settings, site: &Site<'_>) -> Vec<Finding> {
    let mut findings = vec![default_route(settings, site)];
    findings.extend(tables(settings, site));
    findings.extend(filters(settings, site));
    findings.extend(fallbacks(settings, site));
    findings.extend(way_out(settings, site));
    let main = |name: &str| settings.main(name);
    for found in settings.overrides.iter().filter(|o| ROUTES.contains(&o.parameter.as_str())) {
        findings.push(Finding::warning(
            found.subject(),
            format!("{} is set for this service alone", found.parameter),
            "see whether what the service sends still goes to the gateway: main.cf does not count for it",
        ));
    }
    if main("soft_bounce") == "yes" {
        findings.push(Finding::warning(
            "postfix soft_bounce",
            "refusals are taken for temporary: senders hear of them after days",
            "postconf -e soft_bounce=no",
        ));
    }
    if matches!(main("delay_warning_time"), "0h" | "0" | "") && !site.tells_delays {
        findings.push(Finding::warning(
            "postfix delay_warning_time",
            "nobody is told that mail waits for a partner",
            "postconf -e delay_warning_time=4h, or delay_notice = \"4h\" in [outbound]",
        ));
    }
    findings
}

fn default_route(settings: &Settings, site: &Site<'_>) -> Finding {
    let (name, nexthop) = transport(settings.main("default_transport"));
    let relayhost = settings.main("relayhost");
    let by_relayhost = nexthop.is_empty() && settings.port(name).is_some();
    let parameter = if by_relayhost { "relayhost" } else { "default_transport" };
    let subject = format!("postfix {parameter}");
    let value = if by_relayhost { relayhost } else { settings.main("default_transport") };
    if settings.port(name).is_none() {
        return Finding::ok(subject, format!("{value}: sends nothing to other hosts"));
    }
    if site.takes_default(settings) {
        return Finding::ok(subject, format!("{value} is this gateway"));
    }
    let what = if value.is_empty() {
        "empty: mail leaves straight to the world, past the gateway".to_owned()
    } else {
        format!("{value} is not this gateway: mail leaves past it")
    };
    let place = site.gateway.listen.first().map(ToString::to_string).unwrap_or_default();
    let (host, port) = place.rsplit_once(':').unwrap_or((&place, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let hint = if site.lmtp {
        format!("postconf -e 'default_transport = lmtp:inet:[{host}]:{port}'")
    } else {
        format!("postconf -e 'relayhost = [{host}]:{port}'")
    };
    Finding::fail(subject, what, hint)
}

/// Tables that send some mail another way.
fn tables(settings: &Settings, site: &Site<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for parameter in [
        "transport_maps",
        "sender_dependent_default_transport_maps",
        "sender_dependent_relayhost_maps",
    ] {
        let value = settings.main(parameter);
        if value.is_empty() {
            continue;
        }
        let subject = format!("postfix {parameter}");
        let found = maps::read(value, site.read);
        for table in found.unread {
            findings.push(Finding::warning(
                subject.clone(),
                format!("{table} cannot be read here"),
                "see whether all that it sends to other organisations goes to the gateway",
            ));
        }
        let past: Vec<String> = found
            .entries
            .into_iter()
            .filter(|(pattern, _)| parameter != "transport_maps" || !site.is_own(pattern))
            .filter(|(_, value)| !leads_to_gateway(settings, site, parameter, value))
            .map(|(pattern, value)| format!("{pattern} -> {value}"))
            .collect();
        if past.is_empty() {
            findings.push(Finding::ok(subject, "sends nothing past the gateway"));
        } else {
            let shown = past.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let more = match past.len() {
                0..=3 => String::new(),
                all => format!(" and {} more", all - 3),
            };
            let what = format!("mail leaves past the gateway: {shown}{more}");
            findings.push(Finding::fail(subject, what, "let the entries lead to the gateway"));
        }
    }
    findings
}

impl Site<'_> {
    /// Whether mail for strangers leaves by the gateway where no table says otherwise.
    fn takes_default(&self, settings: &Settings) -> bool {
        let (name, nexthop) = transport(settings.main("default_transport"));
        match settings.port(name) {
            None => true,
            Some(port) if nexthop.is_empty() => {
                self.gateway.is_reached_by(settings.main("relayhost"), port)
            }
            Some(port) => self.gateway.is_reached_by(nexthop, port),
        }
    }

    /// Whether a pattern is about our own domains only.
    fn is_own(&self, pattern: &str) -> bool {
        let host = pattern.rsplit('@').next().unwrap_or(pattern).to_ascii_lowercase();
        let host = host.trim_start_matches('.');
        self.domains.iter().any(|own| {
            host == own || host.strip_suffix(own.as_str()).is_some_and(|left| left.ends_with('.'))
        })
    }
}

/// Whether an entry of a table leads to the gateway, or sends nothing to other hosts.
fn leads_to_gateway(settings: &Settings, site: &Site<'_>, parameter: &str, value: &str) -> bool {
    if value.eq_ignore_ascii_case("DUNNO") {
        return site.takes_default(settings);
    }
    if parameter == "sender_dependent_relayhost_maps" {
        return site.gateway.is_reached_by(value, 25);
    }
    let (name, nexthop) = transport(value);
    match (name, nexthop) {
        // transport(5): an empty part means that it stays as it would be without the table.
        ("", "") => site.takes_default(settings),
        (name, "") if settings.port(name).is_some() => {
            let (_, default) = transport(settings.main("default_transport"));
            let nexthop = if default.is_empty() { settings.main("relayhost") } else { default };
            site.gateway.is_reached_by(nexthop, settings.port(name).unwrap_or(25))
        }
        (name, nexthop) => match settings.port(name) {
            Some(port) => site.gateway.is_reached_by(nexthop, port),
            None => true,
        },
    }
}

/// Filters: wrong if they are the gateway, and if they send mail straight on.
fn filters(settings: &Settings, site: &Site<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let main = ["content_filter", "smtpd_proxy_filter"].map(|parameter| {
        (format!("postfix {parameter}"), parameter, settings.main(parameter), false)
    });
    let overrides = settings.overrides.iter().map(|o| {
        let takes_sealed = o.kind == "inet" && site.is_next_hop(&o.service);
        (o.subject(), o.parameter.as_str(), o.value.as_str(), takes_sealed)
    });
    for (subject, parameter, value, takes_sealed) in main.into_iter().chain(overrides) {
        if value.is_empty() {
            continue;
        }
        let (nexthop, port) = match parameter {
            "smtpd_proxy_filter" => (value, Some(25)),
            "content_filter" => {
                let (name, nexthop) = transport(value);
                (nexthop, settings.port(name))
            }
            _ => continue,
        };
        let Some(port) = port else { continue };
        if site.gateway.is_reached_by(nexthop, port) {
            let what = format!("{parameter} = {value} is this gateway, which bounces do not pass");
            findings.push(Finding::fail(subject, what, FILTER_HINT));
        } else if takes_sealed {
            // What comes in here has passed the gateway already, and must not go there again.
            let what = format!("what the gateway has sealed leaves by {value}");
            findings.push(Finding::ok(subject, what));
        } else if nexthop.is_empty() {
            let what = format!("{parameter} = {value} sends what comes in here past the gateway");
            findings.push(Finding::fail(
                subject,
                what,
                "only the smtpd at outbound.next_hop may do that: what comes in there is sealed already",
            ));
        } else {
            let what = format!("{parameter} = {value} is another filter");
            findings.push(Finding::ok(subject, what));
        }
    }
    findings
}

impl Site<'_> {
    /// Whether a service of master.cf is where the gateway passes on what it has sealed.
    fn is_next_hop(&self, name: &str) -> bool {
        let (host, port) = match name.rsplit_once(':') {
            Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port),
            None => ("", name),
        };
        let Some(port) = service(port) else { return false };
        self.next_hops.iter().filter(|hop| hop.port == port).any(|hop| {
            let there = (self.gateway.resolve)(&hop.host);
            let local = there.iter().any(IpAddr::is_loopback) || hop.host == self.gateway.hostname;
            match host {
                "" | "*" => local,
                host => (self.gateway.resolve)(host).iter().any(|own| there.contains(own)),
            }
        })
    }
}

/// Where mail goes when the gateway does not answer: nowhere else.
fn fallbacks(settings: &Settings, site: &Site<'_>) -> Vec<Finding> {
    let names = ["smtp_fallback_relay", "lmtp_fallback_relay", "fallback_relay"];
    let main = names.map(|name| (format!("postfix {name}"), name, settings.main(name)));
    let overrides = settings.overrides.iter().filter(|o| names.contains(&o.parameter.as_str()));
    let overrides = overrides.map(|o| (o.subject(), o.parameter.as_str(), o.value.as_str()));
    let finding = |(subject, name, value): (String, &str, &str)| {
        let elsewhere = !value.is_empty() && !site.gateway.is_reached_by(value, 25);
        elsewhere.then(|| {
            let what = format!(
                "{name} = {value}: mail leaves past the gateway whenever it does not answer"
            );
            Finding::fail(
                subject,
                what,
                format!("remove {name}: mail waits in the queue meanwhile"),
            )
        })
    };
    main.into_iter().chain(overrides).filter_map(finding).collect()
}

/// The smtpd that takes back what the gateway has sealed must not send it there again.
fn way_out(settings: &Settings, site: &Site<'_>) -> Option<Finding> {
    let smtpd = settings
        .services
        .iter()
        .find(|s| s.kind == "inet" && s.command == "smtpd" && site.is_next_hop(&s.name))?;
    let mut filters = settings.overrides.iter().filter(|o| {
        o.parameter == "content_filter" && o.service == smtpd.name && o.kind == smtpd.kind
    });
    if filters.any(|o| !o.value.is_empty()) || !site.takes_default(settings) {
        return None;
    }
    let (name, kind) = (&smtpd.name, &smtpd.kind);
    Some(Finding::warning(
        format!("postfix master.cf {name}/{kind}"),
        "takes what the gateway has sealed, and sends it to the gateway again",
        format!("postconf -P '{name}/{kind}/content_filter=smtp:'"),
    ))
}

#[cfg(test)]
mod tests {
    use super::settings::{read_main, read_overrides, read_services};
    use super::*;
    use crate::cli::bypass::finding::text;
    use std::net::SocketAddr;

    /// As `postconf -x`, `-M` and `-P` print it, for a Postfix set up by the guide.
    const MAIN: &str = "content_filter =\ndefault_transport = lmtp:inet:127.0.0.1:10025\n\
        delay_warning_time = 4h\nrelayhost =\nsoft_bounce = no\ntransport_maps =\n";
    const MASTER: &str = "\
smtp       inet  n       -       y       -       -       smtpd
127.0.0.1:10026 inet n   -       y       -       -       smtpd -o content_filter=smtp: -o x=y
submission inet  n       -       y       -       -       smtpd
smtp       unix  -       -       y       -       -       smtp
relay      unix  -       -       y       -       -       smtp -o syslog_name=postfix/$service_name
lmtp       unix  -       -       y       -       -       lmtp
partner    unix  -       -       y       -       -       lmtp
error      unix  -       -       y       -       -       error
";
    const OVERRIDES: &str = "127.0.0.1:10026/inet/content_filter = smtp:\n\
        127.0.0.1:10026/inet/x = y\nrelay/unix/syslog_name = postfix/$service_name\n";

    fn said(main: &[&str], overrides: &str) -> String {
        let mut settings = Settings {
            main: read_main(MAIN),
            services: read_services(MASTER),
            overrides: read_overrides(overrides),
        };
        settings.main.extend(read_main(&main.join("\n")));
        let listen: [SocketAddr; 1] = [([127, 0, 0, 1], 10_025).into()];
        let resolve = |host: &str| match host {
            "localhost" | "127.0.0.1" | "b.gw.internal" => vec![[127, 0, 0, 1].into()],
            _ => Vec::new(),
        };
        let read = |path: &Path| match path.to_str() {
            Some("/maps/good") => Some(
                "b.example partner:[b.gw.internal]:10025\ncompany1.example smtp:[inside]\n\
                 .company1.example smtp:[inside]\nbob@company1.example smtp:[inside]\n\
                 gone.example error:5.1.2 gone\nsame.example :\nplain.example smtp:\n"
                    .to_owned(),
            ),
            Some("/maps/bad") => Some("b.example smtp:[mx.b.example]\n* :\n".to_owned()),
            Some("/maps/relay") => Some("@a.example [localhost]:10025\n".to_owned()),
            _ => None,
        };
        let site = Site {
            gateway: Gateway {
                hostname: "gw.company1.example",
                listen: &listen,
                resolve: &resolve,
            },
            next_hops: &[Destination { host: "127.0.0.1".to_owned(), port: 10_026 }],
            domains: &["company1.example".to_owned()],
            read: &read,
            lmtp: true,
            tells_delays: false,
        };
        text(&judge(&settings, &site))
    }

    #[test]
    fn the_set_up_of_the_guide_passes() {
        insta::assert_snapshot!(said(&[], OVERRIDES), @r"
        ok       postfix default_transport: lmtp:inet:127.0.0.1:10025 is this gateway
        ok       postfix master.cf 127.0.0.1:10026/inet: what the gateway has sealed leaves by smtp:
        ");
        // A relay behind the gateway is right as well.
        let relay = OVERRIDES.replace("smtp:", "smtp:[relay.example]:587");
        assert!(!said(&[], &relay).contains("FAIL"));
    }

    #[test]
    fn every_way_past_the_gateway_is_found() {
        let relayed = ["default_transport = smtp", "relayhost = [127.0.0.1]:10025"];
        let cases: [(&str, Vec<&str>, &str); 15] = [
            ("by relayhost", relayed.to_vec(), OVERRIDES),
            ("nothing set", vec!["default_transport = smtp"], OVERRIDES),
            ("relay", vec!["default_transport = smtp", "relayhost = [relay.example]"], OVERRIDES),
            ("other transport", vec!["default_transport = lmtp:inet:127.0.0.1:10026"], OVERRIDES),
            ("nothing leaves", vec!["default_transport = error:no mail leaves"], OVERRIDES),
            ("table", vec!["transport_maps = hash:/maps/good"], OVERRIDES),
            ("table past", vec!["transport_maps = hash:/maps/bad, ldap:/x"], OVERRIDES),
            ("senders", vec!["sender_dependent_relayhost_maps = hash:/maps/relay"], OVERRIDES),
            (
                "senders past",
                vec!["sender_dependent_default_transport_maps = inline:{ @a.example=smtp:[x] }"],
                OVERRIDES,
            ),
            ("filter", vec!["content_filter = smtp:[127.0.0.1]:10025"], OVERRIDES),
            ("proxy", vec!["smtpd_proxy_filter = 127.0.0.1:10025"], OVERRIDES),
            ("other filter", vec!["content_filter = amavis:[127.0.0.1]:10024"], OVERRIDES),
            (
                "filters of services",
                vec![],
                "127.0.0.1:10026/inet/content_filter = smtp:\n\
                 submission/inet/content_filter = smtp:[127.0.0.1]:10025\n\
                 smtp/inet/content_filter = smtp:\n",
            ),
            (
                "fallback",
                vec!["smtp_fallback_relay = [backup.example]"],
                "127.0.0.1:10026/inet/content_filter = smtp:\nsmtp/unix/smtp_fallback_relay = x\n",
            ),
            (
                "loop",
                vec!["soft_bounce = yes", "delay_warning_time = 0h"],
                "rewrite/unix/relayhost = x\n",
            ),
        ];
        let said =
            cases.map(|(name, main, overrides)| format!("# {name}\n{}", said(&main, overrides)));
        insta::assert_snapshot!(said.join("\n"));
    }
}
