//! A gateway with its disk, which outlives it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mta_seal::core::{Domain, KeyId, SealingPrivateKey, Suite};
use mta_seal::dns::{DnsConfig, Mode, Servers, StubResolver};
use mta_seal::gateway::config::Config;
use mta_seal::gateway::{Clock as _, Gateway, LocalKeys, Parts, StartError};
use mta_seal::records::{PolicyRecord, SignedPolicy};
use mta_seal::smtp::Protocol;
use mta_seal::store::keyring::{Find, Keyring, StoredKey};
use mta_seal::store::ledger::{Ledger as _, Options, SqliteLedger};

use super::super::gateway_support::{Org, Sink, SinkOptions};
use super::mediator::Mediator;
use super::time::{NodeClock, Time};
use super::zones::Zones;

/// What the gateways of an organisation have been told.
pub struct Settings {
    /// `[domain.rotation]`.
    pub rotation: String,
    /// The window of its policies, in seconds.
    pub window: u64,
    /// How long its first policy is signed for, in seconds.
    pub policy: u64,
    /// Time to live of its records, in seconds.
    pub ttl: u64,
}

/// An organisation, its MTAs and its gateway.
pub struct Node {
    pub org: Org,
    pub settings: Settings,
    /// Takes what the gateway has sealed.
    pub relay: Sink,
    /// Takes what the gateway has unsealed.
    pub mta: Sink,
    time: Arc<Time>,
    clock: Arc<NodeClock>,
    disk: tempfile::TempDir,
    running: Option<(Gateway, SqliteLedger)>,
}

/// The first policy of an organisation.
pub fn first_policy(org: &Org, settings: &Settings, now: u64) -> String {
    let mut draft = org.draft();
    (draft.serial, draft.expiry) = (now, now + settings.policy);
    draft.window = settings.window;
    draft.sign(&org.domain, &org.identity()).unwrap()
}

impl Node {
    /// Has a keyring as `mta-seal init` makes it.
    pub async fn new(org: &Org, settings: Settings, time: &Arc<Time>) -> Self {
        let disk = tempfile::tempdir().unwrap();
        let node = Self {
            org: org.clone(),
            relay: SinkOptions::new(Protocol::Smtp).start().await,
            mta: SinkOptions::new(Protocol::Smtp).start().await,
            time: Arc::clone(time),
            clock: NodeClock::new(time),
            disk,
            settings,
            running: None,
        };
        let mut keyring = Keyring::create(&node.keys()).unwrap();
        keyring.add_identity(org.identity()).unwrap();
        keyring.add_signing(org.signing()).unwrap();
        for suite in &org.suites {
            keyring.add_sealing(StoredKey::new(org.sealing(*suite))).unwrap();
        }
        keyring.set_policy(&first_policy(org, &node.settings, time.now())).unwrap();
        node
    }

    pub fn domain(&self) -> &Domain {
        &self.org.domain
    }

    /// Everything that its gateway keeps.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// The directory of its keyring.
    pub fn keys(&self) -> PathBuf {
        self.disk.path().join("keys")
    }

    fn config(&self, zones: &Zones, mediator: &Mediator) -> Config {
        let domain = self.domain();
        let Settings { rotation, ttl, .. } = &self.settings;
        let (relay, mta) = (&self.relay.url, &self.mta.url);
        let (server, tsig) = (mediator.address, zones.key().display().to_string());
        let toml = format!(
            "hostname = \"gw.{domain}\"\nstate = \"state\"\n\
             [[domain]]\nname = \"{domain}\"\nkeys = \"keys\"\n\
             [domain.publish]\nserver = \"{server}\"\ntsig = \"{tsig}\"\nttl = \"{ttl}s\"\n\
             [domain.rotation]\n{rotation}\n\
             [outbound]\nlisten = [\"127.0.0.1:0\"]\nprotocol = \"smtp\"\nnext_hop = \"{relay}\"\n\
             [inbound]\nlisten = [\"127.0.0.1:0\"]\nprotocol = \"smtp\"\nnext_hop = \"{mta}\"\n"
        );
        Config::parse(&toml, &self.disk.path().join("mta-seal.toml"))
            .unwrap_or_else(|error| panic!("{error}\n{toml}"))
    }

    /// Starts a gateway on the disk.
    pub async fn start(&mut self, zones: &Zones, mediator: &Mediator) {
        self.try_start(zones, mediator).await.unwrap();
        self.clock.at_rest().await;
    }

    pub async fn try_start(
        &mut self,
        zones: &Zones,
        mediator: &Mediator,
    ) -> Result<(), StartError> {
        let config = self.config(zones, mediator);
        let dns = DnsConfig {
            servers: Servers::Listed(vec![zones.primary(), zones.secondary()]),
            mode: Mode::Plain,
            timeout: Duration::from_secs(5),
            ..DnsConfig::default()
        };
        let resolver = StubResolver::with_clock(&dns, self.time.of_caches()).unwrap();
        let keys = LocalKeys::load(&self.keys(), self.domain()).unwrap();
        let path = self.disk.path().join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &Options::default(), self.time.now()).unwrap();
        let parts = Parts {
            config,
            domains: HashMap::from([(self.domain().clone(), keys)]),
            ledger: Arc::new(ledger.clone()),
            resolver: Arc::new(resolver),
            clock: Arc::clone(&self.clock) as _,
            authority_port: zones.port(),
        };
        match Gateway::start(parts).await {
            Ok(gateway) => {
                self.running = Some((gateway, ledger));
                Ok(())
            }
            Err(error) => {
                ledger.close().await;
                Err(error)
            }
        }
    }

    pub async fn stop(&mut self) {
        if let Some((gateway, ledger)) = self.running.take() {
            assert!(gateway.stop().await, "the gateway did not end in time");
            ledger.close().await;
        }
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Waits until all that is due has been done.
    pub async fn at_rest(&self) {
        if self.is_running() {
            self.clock.at_rest().await;
        }
    }

    fn gateway(&self) -> &Gateway {
        &self.running.as_ref().expect("a running gateway").0
    }

    pub fn outbound(&self) -> SocketAddr {
        self.gateway().outbound()[0]
    }

    pub fn inbound(&self) -> SocketAddr {
        self.gateway().inbound()[0]
    }

    pub fn ledger(&self) -> &SqliteLedger {
        &self.running.as_ref().expect("a running gateway").1
    }

    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    pub fn keyring(&self) -> Keyring {
        Keyring::load(&self.keys()).unwrap()
    }

    /// The policy in the keyring.
    pub fn policy(&self) -> PolicyRecord {
        policy(self.keyring().policy().unwrap(), self.domain())
    }

    /// The private key that its policy lists for a suite.
    pub fn listed(&self, suite: Suite) -> SealingPrivateKey {
        let keyring = self.keyring();
        let listed: Vec<KeyId> =
            self.policy().sealing_keys.iter().filter_map(|entry| entry.key_id()).collect();
        let stored = keyring.sealing_keys().iter();
        let mut keys = stored.map(|stored| &stored.key).filter(|key| key.suite() == suite);
        keys.find(|key| listed.contains(&key.key_id())).unwrap().clone()
    }

    /// Whether the private part of a sealing key is on the disk.
    pub fn holds(&self, id: &KeyId) -> bool {
        matches!(self.keyring().find(id), Find::Found(_))
    }

    /// What the audit trail says about the end of keys, the latest first.
    pub async fn ends(&self) -> Vec<String> {
        let actions = self.ledger().actions(Some(self.domain()), 10_000).await.unwrap();
        let ends = actions.into_iter().filter(|action| action.action == "key-destroyed");
        ends.map(|action| action.detail).collect()
    }

    /// The kinds of alarms about its own domain.
    pub async fn alarms(&self) -> Vec<(String, u64, u64)> {
        let rows = self.ledger().alarms(Some(self.domain()), 1_000).await.unwrap();
        rows.into_iter().map(|row| (row.kind, row.first_seen, row.last_seen)).collect()
    }
}

/// A policy of this domain, signed as it must be.
pub fn policy(text: &str, domain: &Domain) -> PolicyRecord {
    let signed = SignedPolicy::parse(text.as_bytes()).unwrap();
    signed.verify(domain).unwrap().record().clone()
}
