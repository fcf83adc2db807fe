//! Gateways in this process.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mta_seal::core::Domain;
use mta_seal::dns::authorities::DNS_PORT;
use mta_seal::dns::{Resolver, Scripted};
use mta_seal::gateway::config::Config;
use mta_seal::gateway::{Clock, Gateway, LocalKeys, Parts, Settings, StartError, dkim};
use mta_seal::smtp::Protocol;
use mta_seal::store::ledger::{Ledger, Options, Scope, SqliteLedger};
use tempfile::TempDir;

use super::{NOW, Org};

/// A clock that stands still until it is set.
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW)))
    }

    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }

    pub fn now_seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a gateway is to be like.
#[derive(Clone)]
pub struct Spec {
    pub orgs: Vec<Org>,
    /// Protocol of the listener, and next hop: a URL, or TOML: a table or a list.
    pub outbound: Option<(Protocol, String)>,
    pub inbound: Option<(Protocol, String)>,
    pub outbound_extra: String,
    pub inbound_extra: String,
    /// `dkim` of the first domain: a TOML value.
    pub dkim: String,
    /// More tables of the configuration.
    pub extra: String,
    pub ledger: Options,
    /// Addresses of the listeners, as TOML strings.
    pub outbound_listen: String,
    pub inbound_listen: String,
    /// State directory, beside the keys.
    pub state: String,
    /// More lines of the tables of domains, by their names.
    pub of_domain: BTreeMap<Domain, String>,
    /// Where the authoritative servers listen.
    pub authority_port: u16,
}

impl Spec {
    pub fn new(org: &Org) -> Self {
        Self {
            orgs: vec![org.clone()],
            outbound: None,
            inbound: None,
            outbound_extra: String::new(),
            inbound_extra: String::new(),
            dkim: String::new(),
            extra: String::new(),
            ledger: Options::default(),
            outbound_listen: "\"127.0.0.1:0\"".to_owned(),
            inbound_listen: "\"127.0.0.1:0\"".to_owned(),
            state: "state".to_owned(),
            of_domain: BTreeMap::new(),
            authority_port: DNS_PORT,
        }
    }

    pub fn outbound(mut self, protocol: Protocol, next_hop: &str) -> Self {
        self.outbound = Some((protocol, next_hop.to_owned()));
        self
    }

    pub fn inbound(mut self, protocol: Protocol, next_hop: &str) -> Self {
        self.inbound = Some((protocol, next_hop.to_owned()));
        self
    }

    pub fn extra(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self.extra.push('\n');
        self
    }

    pub fn hostname(&self) -> String {
        format!("gw.{}", self.orgs[0].domain)
    }

    /// The keys of each domain, with the signers that the configuration names.
    fn domains(&self, config: &Config, directory: &Path) -> HashMap<Domain, LocalKeys> {
        let of = |org: &Org| {
            let keys = org.keys(&directory.join(format!("keys-{}", org.domain)));
            let signers = dkim::signers(config.local(&org.domain).unwrap()).unwrap();
            (org.domain.clone(), keys.with_dkim(signers))
        };
        self.orgs.iter().map(of).collect()
    }

    fn config(&self, directory: &Path) -> Config {
        let mut toml = format!("hostname = \"{}\"\nstate = \"{}\"\n", self.hostname(), self.state);
        for org in &self.orgs {
            let domain = &org.domain;
            writeln!(toml, "[[domain]]\nname = \"{domain}\"\nkeys = \"keys-{domain}\"").unwrap();
            if !self.dkim.is_empty() && domain == &self.orgs[0].domain {
                writeln!(toml, "dkim = {}", self.dkim).unwrap();
            }
            if let Some(lines) = self.of_domain.get(domain) {
                writeln!(toml, "{lines}").unwrap();
            }
        }
        let sides = [
            ("outbound", &self.outbound, &self.outbound_extra, &self.outbound_listen),
            ("inbound", &self.inbound, &self.inbound_extra, &self.inbound_listen),
        ];
        for (name, side, extra, listen) in sides {
            let Some((protocol, next_hop)) = side else { continue };
            let protocol = if *protocol == Protocol::Smtp { "smtp" } else { "lmtp" };
            let next_hop = if next_hop.starts_with(['{', '[']) {
                next_hop.clone()
            } else {
                format!("\"{next_hop}\"")
            };
            writeln!(
                toml,
                "[{name}]\nlisten = [{listen}]\nprotocol = \"{protocol}\"\n\
                 next_hop = {next_hop}\n{extra}"
            )
            .unwrap();
            if name == "outbound" && self.orgs.len() > 1 {
                writeln!(toml, "domain = \"{}\"", self.orgs[0].domain).unwrap();
            }
        }
        toml.push_str(&self.extra);
        Config::parse(&toml, &directory.join("mta-seal.toml"))
            .unwrap_or_else(|error| panic!("{error}\n{toml}"))
    }
}

/// A running gateway with everything it keeps.
pub struct Gw {
    pub spec: Spec,
    pub dns: Arc<Scripted>,
    pub clock: Arc<TestClock>,
    pub ledger: SqliteLedger,
    directory: TempDir,
    gateway: Gateway,
}

impl Gw {
    pub async fn start(spec: &Spec, dns: &Arc<Scripted>, clock: &Arc<TestClock>) -> Self {
        let resolver: Arc<dyn Resolver> = Arc::clone(dns) as _;
        Self::start_with(spec, dns, resolver, clock).await
    }

    /// With a resolver of its own.
    pub async fn start_with(
        spec: &Spec,
        dns: &Arc<Scripted>,
        resolver: Arc<dyn Resolver>,
        clock: &Arc<TestClock>,
    ) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), spec, dns, resolver, clock).await
    }

    async fn start_in(
        directory: TempDir,
        spec: &Spec,
        dns: &Arc<Scripted>,
        resolver: Arc<dyn Resolver>,
        clock: &Arc<TestClock>,
    ) -> Self {
        log_if_asked();
        let config = spec.config(directory.path());
        let domains = spec.domains(&config, directory.path());
        let path = directory.path().join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &spec.ledger, clock.now()).unwrap();
        let parts = Parts {
            config,
            domains,
            ledger: Arc::new(ledger.clone()),
            resolver,
            clock: Arc::clone(clock) as _,
            authority_port: spec.authority_port,
        };
        let gateway = Gateway::start(parts).await.unwrap();
        let (dns, clock) = (Arc::clone(dns), Arc::clone(clock));
        Self { spec: spec.clone(), dns, clock, ledger, directory, gateway }
    }

    /// Stops the gateway and starts another one on the same ledger and keys.
    pub async fn restart(self, spec: &Spec) -> Self {
        let resolver: Arc<dyn Resolver> = Arc::clone(&self.dns) as _;
        self.restart_with(spec, resolver).await
    }

    /// The same with a resolver of its own.
    pub async fn restart_with(self, spec: &Spec, resolver: Arc<dyn Resolver>) -> Self {
        let Self { dns, clock, ledger, directory, gateway, .. } = self;
        gateway.stop().await;
        ledger.close().await;
        Self::start_in(directory, spec, &dns, resolver, &clock).await
    }

    /// Puts another configuration into force; keys are read again from their directories.
    pub async fn reload(&mut self, spec: &Spec) -> Result<(), StartError> {
        self.take_up(spec, false).await
    }

    /// Puts a configuration into force of which only the partners have changed.
    pub async fn reload_partners(&mut self, spec: &Spec) -> Result<(), StartError> {
        self.take_up(spec, true).await
    }

    async fn take_up(&mut self, spec: &Spec, same_next_hops: bool) -> Result<(), StartError> {
        let config = spec.config(self.directory.path());
        let domains = spec.domains(&config, self.directory.path());
        let settings = Settings { config, domains, resolver: None, same_next_hops };
        self.gateway.reload(settings).await?;
        self.spec = spec.clone();
        Ok(())
    }

    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub async fn stop(self) -> bool {
        self.gateway.stop().await
    }

    pub fn outbound(&self) -> SocketAddr {
        self.gateway.outbound()[0]
    }

    pub fn inbound(&self) -> SocketAddr {
        self.gateway.inbound()[0]
    }

    pub fn hostname(&self) -> String {
        self.spec.hostname()
    }

    /// Whether the ledger remembers the policy of a domain.
    pub async fn ledger_knows(&self, scope: Scope, org: &Org) -> bool {
        self.ledger.recall(scope, &org.domain).await.unwrap().is_some()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Shows the log of the gateways if RUST_LOG is set.
fn log_if_asked() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    }
}

/// A self-signed certificate for `name`: PEM files `cert.pem` and `key.pem` in `directory`.
pub fn certificate(directory: &Path, name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), certified.cert.pem()).unwrap();
    let key = directory.join("key.pem");
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    certified
}
