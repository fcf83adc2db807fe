//! `mta-seal check`: whether a domain can be sealed to, step by step, and what this gateway would do with a message now.

mod delegation;
mod here;
mod own;
mod policy;
mod published;
mod servers;

use super::context;
use super::failure::Failure;
use super::steps::{Step, Steps};
use crate::core::Domain;
use crate::dns::authorities::{DNS_PORT, Direct, Via};
use crate::dns::{AnchorSource, Authenticity, DnsConfig, Lookup, Mode, Resolver, StubResolver};
use crate::gateway::config::Config;
use crate::records::{VerifiedPolicy, policy_name};
use serde_json::json;
use std::path::Path;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A domain of this gateway, or any other
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// JSON, with a stable name for each step
    #[arg(long)]
    json: bool,
    /// Also ask name servers at private addresses, as of a zone inside this network; those of our own domains are asked anyway
    #[arg(long)]
    private_servers: bool,
    /// The port at which authoritative servers are asked, for tests
    #[arg(long, hide = true, default_value_t = DNS_PORT)]
    authoritative_port: u16,
}

pub(super) fn run(args: &Args, given: Option<&Path>) -> Result<(), Failure> {
    let domain = Domain::parse(args.domain.trim_end_matches('.'))
        .map_err(|error| Failure::usage(format!("`{}`: {error}", args.domain)))?;
    let config = context::config_if_any(given)?;
    let dns = config.as_ref().map_or_else(DnsConfig::default, |config| config.dns.clone());
    let local = config.as_ref().and_then(|config| config.local(&domain));
    let mut steps = Steps::default();
    let found = context::block_on(async {
        let resolver = StubResolver::new(&dns).map_err(Failure::refused)?;
        let look = Look {
            resolver: &resolver,
            dns: &dns,
            direct: Direct::new(
                args.authoritative_port,
                dns.timeout,
                args.private_servers || local.is_some(),
            ),
            domain: &domain,
            own: local.is_some(),
            now: context::now(),
        };
        let found = look.at_dns(&mut steps).await;
        match (&config, local) {
            (Some(config), Some(local)) => {
                own::check(&look, config, local, found.as_ref(), &mut steps).await;
            }
            _ => here::check(&look, config.as_ref(), &mut steps).await,
        }
        Ok::<_, Failure>(found)
    })??;
    let policy = found.as_ref().map(|policy| {
        let record = policy.record();
        json!({
            "mode": record.mode.as_str(), "serial": record.serial, "expiry": record.expiry,
            "identity": policy.identity().fingerprint().to_string(),
        })
    });
    let facts = json!({
        "domain": domain.as_str(), "role": if local.is_some() { "own" } else { "partner" },
        "time": context::now(), "policy": policy,
    });
    steps.conclude(&title(&domain, config.as_ref()), facts, args.json)
}

fn title(domain: &Domain, config: Option<&Config>) -> String {
    match config {
        None => format!("{domain}, without a configuration: defaults, and nothing remembered"),
        Some(config) => {
            let what = match (config.local(domain), config.partner(domain)) {
                (Some(_), _) => "a domain of this gateway",
                (None, Some(_)) => "a configured partner",
                (None, None) => "a domain without an entry of its own",
            };
            format!("{domain}, {what} ({})", config.file.display())
        }
    }
}

/// What every part of a check needs.
struct Look<'a> {
    resolver: &'a StubResolver,
    dns: &'a DnsConfig,
    direct: Direct,
    domain: &'a Domain,
    /// The domain is one of this gateway.
    own: bool,
    now: u64,
}

impl Look<'_> {
    /// What everybody sees: the policy, if it is well-formed and signed.
    async fn at_dns(&self, steps: &mut Steps) -> Option<VerifiedPolicy> {
        let name = policy_name(self.domain);
        let Ok(name) = Domain::from_canonical(name.as_bytes()) else {
            steps.push(Step::fail("record", format!("{name} is too long for DNS")));
            return None;
        };
        let lookup = self.resolver.txt(&name).await;
        let text = published::record(self, &name, &lookup, steps).await;
        steps.push(self.dnssec(&name, &lookup).await);
        servers::ask(self, "servers", &name, &lookup, Via::Udp, steps).await;
        servers::serials(self, &name, steps).await;
        let policy = policy::check(self, text.as_deref()?, steps)?;
        published::keys(self, &policy, steps).await;
        Some(policy)
    }

    async fn dnssec(&self, name: &Domain, lookup: &Lookup) -> Step {
        if self.dns.mode == Mode::Plain {
            return Step::warn(
                "dnssec",
                "not looked at: the configuration says [dns] mode = \"plain\"",
            );
        }
        match lookup.authenticity() {
            Some(Authenticity::Secure) => {
                return Step::pass("dnssec", "secure: DNSSEC vouches for the answer");
            }
            Some(Authenticity::Insecure) => {
                return Step::warn("dnssec", "insecure: the zone, or one on the way, is not signed, so a first answer could be forged")
                    .hint("sign the zone, or let partners compare and pin the fingerprint");
            }
            None => {}
        }
        let bogus = Step::fail("dnssec", "bogus: DNSSEC says that the answer is forged, stripped or expired; nobody who validates believes it")
            .hint("if it is so for other domains too, the servers of [dns] strip DNSSEC; else the zone's signatures or its DS record are broken");
        match (lookup, &self.dns.mode) {
            (Lookup::Bogus, _) => bogus,
            // A validating resolver hides bogus data behind SERVFAIL: ask past it.
            (Lookup::ServFail { .. }, Mode::AdBit) if self.is_bogus(name).await => bogus,
            (failure, _) => Step::unknown(
                "dnssec",
                format!(
                    "not known: the look-up ended in {}, which says nothing of DNSSEC",
                    failure.label()
                ),
            ),
        }
    }

    /// Whether validation in this process calls bogus what the resolver of mode `ad` only fails at.
    async fn is_bogus(&self, name: &Domain) -> bool {
        let mode = Mode::Validate { anchors: AnchorSource::default() };
        let config = DnsConfig { mode, ..self.dns.clone() };
        match StubResolver::new(&config) {
            Ok(resolver) => resolver.txt(name).await == Lookup::Bogus,
            Err(_) => false,
        }
    }

    /// What to do about a record of the domain that is wrong or missing.
    fn publish(&self) -> String {
        if self.own {
            "publish what `mta-seal zone` prints".to_owned()
        } else {
            format!("tell the postmaster of {}", self.domain)
        }
    }
}
