//! The two companies: their keys, zones and gateways, and the hosts between them.

use super::hops::Host;
use crate::cli::failure::Failure;
use crate::cli::{context, init, zone};
use crate::core::{Domain, KeyId, SealingPublicKey, SigningKey, Suite};
use crate::dns::Resolver;
use crate::dns::authority::{Authority, Security, ZoneSpec};
use crate::gateway::config::Config;
use crate::gateway::{Gateway, Parts};
use crate::records::{DnsRecord, Mode};
use crate::store::keyring::Keyring;
use rand_core::Rng;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The sending company.
pub(super) const COMPANY1: &str = "company1.example";
/// The receiving company.
pub(super) const COMPANY2: &str = "company2.example";
/// A domain of the receiving company whose zone is not signed.
pub(super) const BRANCH: &str = "branch.example";
/// A domain that the sending gateway has never met, served by the attacker without the
/// signatures that it should have.
pub(super) const STRANGER: &str = "company3.example";
/// The name of the receiving gateway, and its authserv-id (RFC 8601).
pub(super) const GATEWAY2: &str = "mx.company2.example";

/// Everything that runs.
pub(super) struct World {
    pub(super) relay: Host,
    pub(super) mailbox: Host,
    dns: Authority,
    sealing: Gateway,
    unsealing: Gateway,
    /// The one of the sending gateway.
    resolver: Arc<dyn Resolver>,
    /// Removed last.
    directory: Directory,
}

/// The keys and records of one domain.
pub(super) struct Published {
    pub(super) keyring: Keyring,
    records: Vec<DnsRecord>,
}

impl Published {
    fn make(domain: &Domain, directory: &Path) -> Result<Self, Failure> {
        let mut keyring = Keyring::create(directory)?;
        init::fill(&mut keyring, init::sealing_keys()?, domain, Mode::Enforce, context::now())?;
        let records = zone::records(domain, &keyring)?;
        Ok(Self { keyring, records })
    }

    /// Whether mail sealed to this key can be opened with these keys.
    pub(super) fn holds(&self, id: &KeyId) -> bool {
        self.keyring.sealing_keys().iter().any(|stored| stored.key.key_id() == *id)
    }

    /// The key that senders prefer.
    pub(super) fn sealing_key(&self) -> Option<&SealingPublicKey> {
        let mut keys = self.keyring.sealing_keys().iter().map(|stored| stored.key.public());
        keys.find(|key| key.suite() == Suite::XWing)
    }

    pub(super) fn signing_key(&self) -> Option<&SigningKey> {
        self.keyring.signing_keys().first()
    }
}

impl World {
    pub(super) async fn start() -> Result<Self, Failure> {
        let directory = Directory::make()?;
        let [company1, company2, branch] = [COMPANY1, COMPANY2, BRANCH].map(domain);
        let dns = Authority::start(&[
            ZoneSpec::signed(company1?),
            ZoneSpec::signed(company2?),
            ZoneSpec::unsigned(branch?),
            ZoneSpec { security: Security::Stripped, ..ZoneSpec::signed(domain(STRANGER)?) },
        ])
        .await
        .map_err(Failure::refused)?;
        let anchors = directory.0.join("root.key");
        fs::write(&anchors, dns.anchors())
            .map_err(|error| Failure::writing(anchors.display(), &error))?;
        let loopback = |error| Failure::refused(format!("cannot listen on loopback: {error}"));
        let relay = Host::start("relay.example").await.map_err(loopback)?;
        let mailbox = Host::start("mail.company2.example").await.map_err(loopback)?;
        for name in [COMPANY1, COMPANY2, BRANCH] {
            let own = Published::make(&domain(name)?, &directory.keys(name))?;
            publish(&dns, &own.records)?;
        }
        // The attacker has keys for every domain, but not the private ones of their owners.
        for name in [COMPANY2, BRANCH, STRANGER] {
            Published::make(&domain(name)?, &directory.forged(name))?;
        }
        let forged = directory.published(&directory.forged(STRANGER), STRANGER)?;
        publish(&dns, &forged.records)?;

        let (sealing, resolver) =
            gateway(&directory, "company1.toml", &sealing_config(&dns, relay.address())).await?;
        let (unsealing, _) =
            gateway(&directory, "company2.toml", &unsealing_config(&dns, mailbox.address()))
                .await?;
        Ok(Self { relay, mailbox, dns, sealing, unsealing, resolver, directory })
    }

    /// The inside listener of the sending gateway.
    pub(super) fn inside(&self) -> Result<SocketAddr, Failure> {
        first(self.sealing.outbound())
    }

    /// The outside listener of the receiving gateway.
    pub(super) fn outside(&self) -> Result<SocketAddr, Failure> {
        first(self.unsealing.inbound())
    }

    /// What the domain itself publishes.
    pub(super) fn genuine(&self, name: &str) -> Result<Published, Failure> {
        self.directory.published(&self.directory.keys(name), name)
    }

    /// What the attacker would have the sender believe.
    pub(super) fn forged(&self, name: &str) -> Result<Published, Failure> {
        self.directory.published(&self.directory.forged(name), name)
    }

    /// From now on DNS gives these records, and nothing else, about a domain.
    pub(super) fn replace(&self, name: &str, records: &Published) -> Result<(), Failure> {
        self.strip(name)?;
        publish(&self.dns, &records.records)
    }

    /// From now on DNS denies that the domain has a policy: NXDOMAIN.
    pub(super) fn strip(&self, name: &str) -> Result<(), Failure> {
        for known in [self.genuine(name)?, self.forged(name)?] {
            for record in &known.records {
                let owner = domain(record.name())?;
                self.dns.remove(&owner).map_err(Failure::refused)?;
                // As if the time to live were over.
                self.resolver.forget(&owner);
            }
        }
        Ok(())
    }

    /// From now on DNS denies that the domain has a policy, but not that its key records exist:
    /// NODATA.
    pub(super) fn strip_policy(&self, name: &str) -> Result<(), Failure> {
        self.replace(name, &self.genuine(name)?)?;
        let policy = domain(&crate::records::policy_name(&domain(name)?))?;
        self.dns.remove(&policy).map_err(Failure::refused)
    }

    /// The attacker answers in place of the zone, which has signatures it cannot make.
    pub(super) fn strip_signatures(&self, name: &str) -> Result<(), Failure> {
        self.dns.set_security(&domain(name)?, Security::Stripped).map_err(Failure::refused)
    }

    /// Ends the gateways; false if one of them had to be cut off.
    pub(super) async fn stop(self) -> bool {
        let (sealing, unsealing) = tokio::join!(self.sealing.stop(), self.unsealing.stop());
        sealing && unsealing
    }
}

pub(super) fn domain(name: &str) -> Result<Domain, Failure> {
    Domain::parse(name).map_err(|error| Failure::refused(format!("{name}: {error}")))
}

fn first(addresses: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    addresses.first().copied().ok_or_else(|| Failure::refused("a gateway does not listen"))
}

fn publish(dns: &Authority, records: &[DnsRecord]) -> Result<(), Failure> {
    for record in records {
        dns.set_txt(&domain(record.name())?, &[record.value().as_bytes()])
            .map_err(Failure::refused)?;
    }
    Ok(())
}

/// Starts a gateway as `mta-seal serve` would: from the text of a configuration.
async fn gateway(
    directory: &Directory,
    name: &str,
    text: &str,
) -> Result<(Gateway, Arc<dyn Resolver>), Failure> {
    let config = Config::parse(text, &directory.0.join(name))?;
    let parts = tokio::task::spawn_blocking(move || Parts::from_config(config))
        .await
        .map_err(Failure::refused)?
        .map_err(Failure::refused)?;
    let resolver = Arc::clone(&parts.resolver);
    Ok((Gateway::start(parts).await.map_err(Failure::refused)?, resolver))
}

fn sealing_config(dns: &Authority, relay: SocketAddr) -> String {
    format!(
        r#"
hostname = "mx.company1.example"
state = "state-company1"
[[domain]]
name = "{COMPANY1}"
keys = "keys/{COMPANY1}"
[outbound]
listen = ["127.0.0.1:0"]
clients = ["127.0.0.0/8"]
next_hop = "smtp://{relay}"
[dns]
servers = ["{}"]
trust_anchor = "root.key"
[timeouts]
shutdown = "2s"
"#,
        dns.address()
    )
}

fn unsealing_config(dns: &Authority, mailbox: SocketAddr) -> String {
    format!(
        r#"
hostname = "{GATEWAY2}"
state = "state-company2"
[[domain]]
name = "{COMPANY2}"
keys = "keys/{COMPANY2}"
[[domain]]
name = "{BRANCH}"
keys = "keys/{BRANCH}"
[inbound]
listen = ["127.0.0.1:0"]
next_hop = "smtp://{mailbox}"
[dns]
servers = ["{}"]
trust_anchor = "root.key"
[[partner]]
domain = "{COMPANY1}"
inbound = "require-sealed"
[timeouts]
shutdown = "2s"
"#,
        dns.address()
    )
}

/// A directory of its own for one run, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self, Failure> {
        let random = context::rng().next_u64();
        let path = std::env::temp_dir().join(format!("mta-seal-demo-{random:016x}"));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::writing(path.display(), &error))?;
        Ok(Self(path))
    }

    fn keys(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(name)
    }

    fn forged(&self, name: &str) -> PathBuf {
        self.0.join("forged").join(name)
    }

    fn published(&self, keys: &Path, name: &str) -> Result<Published, Failure> {
        let keyring = Keyring::load(keys)?;
        let records = zone::records(&domain(name)?, &keyring)?;
        Ok(Published { keyring, records })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Whatever is left is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
