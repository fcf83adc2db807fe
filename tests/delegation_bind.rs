//! A provider that seals for three customers, each of whom has made aliases once: BIND has the zones, the gateway publishes by signed
//! updates in the provider's own and nowhere else, a partner finds policies and keys through the aliases, and keys are replaced
//! without any change at the customers.
//!
//! Runs when `MTA_SEAL_TEST_BIND=1`; needs `named` and `tsig-keygen` (Debian: bind9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod dns_support;
mod gateway_support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cli_support::{Daemon, mta_seal, program};
use dns_support::{Named, is_wanted, name};
use gateway_support::{Message, Sink, contains, deliver, forward, sealed_to, text};
use mta_seal::core::{KeyId, Suite};
use mta_seal::dns::{DnsConfig, Lookup, Mode, Resolver, Servers, StubResolver};
use mta_seal::records::{PolicyRecord, SealingEntry, SignedPolicy};
use mta_seal::smtp::Protocol::Smtp;
use rustix::process::Signal;

const CUSTOMERS: [&str; 3] = ["company1", "company2", "company3"];
const PARTNER: &str = "partner.example";
const SELECTORS: [&str; 8] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];

/// How long a test waits for what must happen: caches forget after a second, and the gateway looks again each second.
const PATIENCE: Duration = Duration::from_secs(60);

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The head of a zone whose denials are kept for a second.
const HEAD: &str =
    "$TTL 1\n@ IN SOA ns hostmaster 1 3600 600 86400 1\n@ IN NS ns\nns IN A 127.0.0.1\n";

/// What `docs/publishing.md` grants the provider's key for one customer.
fn grant(customer: &str) -> String {
    let document = include_str!("../docs/publishing.md");
    let (_, rest) = document.split_once("<!-- provider -->\n```\n").unwrap();
    rest.split_once("```").unwrap().0.replace("company1", customer)
}

struct World {
    dir: tempfile::TempDir,
    named: Named,
    provider: Daemon,
    partner: Daemon,
    /// Takes what the partner's gateway has sealed.
    relay: Sink,
    /// Takes what the provider's gateway has unsealed.
    mta: Sink,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path();
        for customer in CUSTOMERS {
            init(made, customer, &["--mode", "enforce", "--selector", SELECTORS[0]]);
        }
        init(made, "partner", &[]);
        let key = Command::new("tsig-keygen").arg("mta-seal").output().unwrap();
        assert!(key.status.success());
        fs::write(made.join("update.key"), key.stdout).unwrap();
        fs::set_permissions(made.join("update.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let named = zones(made).await;
        let (relay, mta) = (Sink::smtp().await, Sink::smtp().await);
        let dns = named.address();
        provide(made, dns, &mta.url);
        let own = format!(
            "hostname = 'gw.{PARTNER}'\nstate = 'state'\n[[domain]]\nname = '{PARTNER}'\nkeys = 'keys/{PARTNER}'\n\
             [outbound]\nlisten = ['127.0.0.1:0']\nprotocol = 'smtp'\nnext_hop = '{}'\n{}",
            relay.url,
            tail(dns)
        );
        fs::write(made.join("partner/mta-seal.toml"), own).unwrap();
        let (provider, partner) = (serve(made, "provider", dns), serve(made, "partner", dns));
        Self { dir, named, provider, partner, relay, mta }
    }

    /// Without a cache.
    fn resolver(&self) -> StubResolver {
        let servers = Servers::Listed(vec![self.named.address()]);
        let config =
            DnsConfig { servers, mode: Mode::Plain, cache_entries: 0, ..DnsConfig::default() };
        StubResolver::new(&config).unwrap()
    }

    /// The policy of a customer as everybody finds it, through the alias.
    async fn policy(&self, customer: &str) -> Option<PolicyRecord> {
        let domain = format!("{customer}.example");
        match self.resolver().txt(&name(&format!("_mta-seal.{domain}"))).await {
            Lookup::Found(found) => {
                let target = format!("_mta-seal.{customer}.hosted.example");
                assert_eq!(found.chain, [target], "by the alias alone");
                assert_eq!(found.records.len(), 1, "never two");
                let signed = SignedPolicy::parse(&found.records[0]).unwrap();
                // Signed for the customer's name, not for the provider's.
                Some(signed.verify(&name(&domain)).unwrap().record().clone())
            }
            Lookup::NxDomain(_) | Lookup::NoData(_) => None,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the policy of a customer is as wanted.
    async fn policy_with(
        &self,
        customer: &str,
        wanted: impl Fn(&PolicyRecord) -> bool,
    ) -> PolicyRecord {
        let begun = Instant::now();
        loop {
            match self.policy(customer).await {
                Some(policy) if wanted(&policy) => return policy,
                other => assert!(begun.elapsed() < PATIENCE, "{customer}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Seals a message to a customer at the partner's gateway; its carrier.
    async fn seal(&self, customer: &str, canary: &str) -> Message {
        let before = self.relay.messages().len();
        let message = format!("From: alice@{PARTNER}\r\n\r\n<{canary}>\r\n");
        let (from, to) = (format!("<alice@{PARTNER}>"), format!("<bob@{customer}.example>"));
        let sent = deliver(self.partner.outbound, Smtp, &from, &[&to], message.as_bytes()).await;
        assert_eq!(sent.verdict().code, 250, "{canary}: {sent:?}");
        let carrier = self.relay.messages().split_off(before).remove(0);
        assert!(!contains(&carrier.data, canary.as_bytes()), "{canary} left in clear");
        carrier
    }

    /// Hands a carrier to the provider's gateway; what is delivered must hold the canary.
    async fn unseal(&self, carrier: &Message, canary: &str) {
        let before = self.mta.messages().len();
        let delivered = forward(self.provider.inbound.unwrap(), Smtp, carrier).await;
        assert_eq!(delivered.verdict().code, 250, "{canary}: {delivered:?}");
        let come = self.mta.messages().split_off(before);
        assert!(text(&come[0].data).contains(&format!("<{canary}>")));
    }

    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let config = self.dir.path().join("provider/mta-seal.toml");
        let port = self.named.address().port().to_string();
        let mut all: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        all.extend(["--authoritative-port".to_owned(), port]);
        all.extend(["--config".to_owned(), config.display().to_string()]);
        let output = tokio::task::spawn_blocking(move || {
            mta_seal(&all.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let output = output.await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    }

    /// `check` finds nothing wrong with a customer.
    async fn is_green(&self, customer: &str) {
        let (code, text) = self.run(&["check", &format!("{customer}.example")]).await;
        assert_eq!(code, Some(0), "{text}");
        let line = text.lines().find(|line| line.starts_with("pass     delegation ")).unwrap();
        assert!(line.contains("9 names are aliases of those below"), "{text}");
        for step in
            ["record", "servers", "key-record", "key-servers", "local-policy", "local-sealing"]
        {
            let line = format!("pass     {step} ");
            assert!(text.lines().any(|at| at.starts_with(&line)), "{step}: {text}");
        }
    }

    /// Everything that the zones of customers have.
    fn customers(&self) -> Vec<Vec<u8>> {
        let file = |customer| self.dir.path().join(format!("{customer}.example.zone"));
        CUSTOMERS.map(|customer| fs::read(file(customer)).unwrap()).into()
    }
}

fn init(dir: &Path, who: &str, more: &[&str]) {
    let (domain, place) = (format!("{who}.example"), dir.join(who));
    let made = ["init", "--domain", &domain, "--dir", place.to_str().unwrap()];
    let made = mta_seal(&[&made[..], more].concat());
    assert!(made.status.success(), "{made:?}");
}

/// The zones of the customers and of the partner, which nobody changes, and that of the provider.
async fn zones(dir: &Path) -> Named {
    let mut body = format!(
        "recursion no; dnssec-validation no; }};\ninclude \"{}\";\n",
        dir.join("update.key").display()
    );
    let mut zone = |origin: &str, records: &str, more: &str| {
        let file = dir.join(format!("{origin}.zone"));
        fs::write(&file, format!("{HEAD}{records}")).unwrap();
        body += &format!(
            "zone \"{origin}\" {{ type primary; file \"{}\"; {more} }};\n",
            file.display()
        );
    };
    for customer in CUSTOMERS {
        let mut aliases = format!("_mta-seal IN CNAME _mta-seal.{customer}.hosted.example.\n");
        for selector in SELECTORS {
            aliases += &format!(
                "{selector}._mta-seal IN CNAME {selector}._mta-seal.{customer}.hosted.example.\n"
            );
        }
        zone(&format!("{customer}.example"), &aliases, "");
    }
    let own = fs::read_to_string(dir.join("partner").join(format!("{PARTNER}.zone"))).unwrap();
    zone(PARTNER, &own, "");
    let grants: String = CUSTOMERS.map(grant).concat();
    zone("hosted.example", "ready IN TXT \"yes\"\n", &format!("update-policy {{ {grants} }};"));
    Named::start(dir, "primary", &body, "ready.hosted.example").await
}

/// One gateway for all customers.
fn provide(dir: &Path, dns: SocketAddr, mta: &str) {
    let home = dir.join("provider");
    fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
    let selectors = SELECTORS.map(|selector| format!("'{selector}'")).join(", ");
    let mut text = "hostname = 'gw.hosted.example'\nstate = 'state'\n".to_owned();
    for customer in CUSTOMERS {
        let keys = dir.join(customer).join(format!("keys/{customer}.example"));
        text += &format!(
            "[[domain]]\nname = '{customer}.example'\nkeys = '{}'\n\
             [domain.publish]\nserver = '{dns}'\ntsig = '{}'\nttl = '1s'\n\
             under = '{customer}.hosted.example'\nselectors = [{selectors}]\n",
            keys.display(),
            dir.join("update.key").display()
        );
    }
    text += &format!(
        "[outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = '{mta}'\ndomain = 'company1.example'\n\
         [inbound]\nlisten = ['127.0.0.1:0']\nprotocol = 'smtp'\nnext_hop = '{mta}'\n{}",
        tail(dns)
    );
    fs::write(home.join("mta-seal.toml"), text).unwrap();
}

fn tail(dns: SocketAddr) -> String {
    format!("[dns]\nmode = 'plain'\nservers = ['{dns}']\n[log]\nformat = 'json'\n")
}

fn serve(dir: &Path, who: &str, dns: SocketAddr) -> Daemon {
    let config: PathBuf = dir.join(who).join("mta-seal.toml");
    let state = dir.join(who).join("state");
    if !state.exists() {
        fs::DirBuilder::new().mode(0o700).create(state).unwrap();
    }
    let mut command = program();
    command.args(["serve", "--authoritative-port", &dns.port().to_string(), "--config"]);
    Daemon::start({
        command.arg(config);
        command
    })
}

/// The selector and the key that senders prefer.
fn preferred(policy: &PolicyRecord) -> (String, KeyId) {
    match &policy.sealing_keys[0] {
        SealingEntry::Listed { suite: Suite::XWing, selector, key_id } => {
            (selector.to_string(), *key_id)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_publishes_for_customers_in_its_own_zone() {
    if !is_wanted("delegation_bind") {
        return;
    }
    let world = World::start().await;
    let untouched = world.customers();
    let mut held = Vec::new();
    let mut keys: Vec<KeyId> = Vec::new();
    for customer in CUSTOMERS {
        let policy = world.policy_with(customer, |_| true).await;
        let (selector, key) = preferred(&policy);
        assert_eq!(selector, SELECTORS[0]);
        assert!(!keys.contains(&key), "each has keys of its own");
        keys.push(key);
        // The record of the key is seen a moment later than the policy, at the latest.
        let at = name(&format!("{selector}._mta-seal.{customer}.example"));
        let begun = Instant::now();
        while !matches!(world.resolver().txt(&at).await, Lookup::Found(_)) {
            assert!(begun.elapsed() < PATIENCE, "{at}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let canary = format!("to {customer}");
        let carrier = world.seal(customer, &canary).await;
        assert_eq!(sealed_to(&carrier.data), key, "{customer}");
        world.unseal(&carrier, &canary).await;
        held.push(world.seal(customer, &format!("held for {customer}")).await);
        world.is_green(customer).await;
    }

    // One customer's keys are replaced; nothing changes at the others, nor in any zone of theirs.
    let (replaced, at) = (CUSTOMERS[1], "company2.example");
    let before = [world.policy(CUSTOMERS[0]).await, world.policy(CUSTOMERS[2]).await];
    // Only keys that were in use before are replaced, and times have seconds.
    let second = unix_now();
    while unix_now() == second {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (code, told) = world.run(&["keys", "rotate", "--now", "--domain", at]).await;
    assert_eq!(code, Some(0), "{told}");
    // Whether it is the command that makes the keys, or the daemon beside it.
    let policy = world.policy_with(replaced, |policy| preferred(policy).1 != keys[1]).await;
    let (selector, key) = preferred(&policy);
    assert_eq!(selector, SELECTORS[1], "the next in turn");
    world.is_green(replaced).await;
    // As soon as the partner's cache has forgotten, it seals to the new key; every message arrives.
    let begun = Instant::now();
    for number in 0.. {
        let canary = format!("after the rotation {number}");
        let carrier = world.seal(replaced, &canary).await;
        world.unseal(&carrier, &canary).await;
        if sealed_to(&carrier.data) == key {
            break;
        }
        assert_eq!(sealed_to(&carrier.data), keys[1]);
        assert!(begun.elapsed() < PATIENCE, "sealed to the former key");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What was on its way arrives too, to whatever key it was sealed.
    for (customer, carrier) in CUSTOMERS.iter().zip(&held) {
        world.unseal(carrier, &format!("held for {customer}")).await;
    }
    assert_eq!([world.policy(CUSTOMERS[0]).await, world.policy(CUSTOMERS[2]).await], before);
    let World { dir, named, mut provider, mut partner, .. } = world;
    for daemon in [&mut provider, &mut partner] {
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended().code(), Some(0));
    }
    // Orderly, so that what was changed is in the files.
    named.end();
    let file = |zone: &str| fs::read(dir.path().join(format!("{zone}.zone"))).unwrap();
    let after: Vec<Vec<u8>> = CUSTOMERS.map(|c| file(&format!("{c}.example"))).into();
    assert_eq!(after, untouched);
    for customer in CUSTOMERS {
        assert!(!dir.path().join(format!("{customer}.example.zone.jnl")).exists());
    }
}
