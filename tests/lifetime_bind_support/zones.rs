//! BIND with the zones of both organisations, one of them also at a secondary.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mta_seal::dns::authorities::{Direct, Said, Via, ask_all, zone_soas};
use mta_seal::dns::{ZoneServer, ZoneServers};

use super::super::dns_support::{Named, lasting_port, name};
use super::super::gateway_support::Org;

/// BIND listens at addresses of interfaces only, and all servers of a zone have one port.
const PRIMARY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECONDARY: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// How long caches may keep a denial, in seconds.
pub const NEGATIVE: u64 = 1_800;

/// What of the name servers does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The primary is stopped: nobody answers, and whoever asks waits in vain.
    Stopped,
    /// The primary runs, and has lost its zones.
    Bare,
    /// The primary runs, and lets the key change nothing.
    Refusing,
    /// The secondary answers, and gets no transfers.
    Frozen,
}

/// The name servers.
pub struct Zones {
    dir: PathBuf,
    port: u16,
    names: Vec<String>,
    primary: Option<Named>,
    secondary: Option<Named>,
    pub fault: Option<Fault>,
}

impl Zones {
    /// `transferred`: the zone that the secondary has too.
    pub async fn start(dir: &Path, orgs: &[(&Org, String)], transferred: &str) -> Self {
        let port = lasting_port(&[PRIMARY, SECONDARY]);
        let key = Command::new("tsig-keygen").arg("mta-seal").output().unwrap();
        assert!(key.status.success());
        let file = dir.join("update.key");
        fs::write(&file, key.stdout).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut names = Vec::new();
        for (org, policy) in orgs {
            let domain = org.domain.as_str();
            let second = if domain == transferred { "@ IN NS ns2\n" } else { "" };
            let mut zone = format!(
                "$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 8640000 {NEGATIVE}\n@ IN NS ns1\n{second}\
                 ns1 IN A {PRIMARY}\nns2 IN AAAA {SECONDARY}\nready IN TXT \"yes\"\n"
            );
            let own = (org.policy_name(), policy.clone());
            for (name, text) in org.key_records().into_iter().chain([own]) {
                let strings = text.as_bytes().chunks(255).map(|s| String::from_utf8_lossy(s));
                let strings: Vec<String> = strings.map(|s| format!("\"{s}\"")).collect();
                zone += &format!("{name}. 3600 IN TXT {}\n", strings.join(" "));
            }
            fs::write(dir.join(format!("{domain}.zone")), zone).unwrap();
            names.push(domain.to_owned());
        }
        names.sort_by_key(|name| name != transferred);
        let dir = dir.to_owned();
        let mut zones = Self { dir, port, names, primary: None, secondary: None, fault: None };
        zones.start_primary().await;
        zones.start_secondary().await;
        zones
    }

    pub fn key(&self) -> PathBuf {
        self.dir.join("update.key")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn primary(&self) -> SocketAddr {
        SocketAddr::from((PRIMARY, self.port))
    }

    pub fn secondary(&self) -> SocketAddr {
        SocketAddr::from((SECONDARY, self.port))
    }

    /// `granted`: the key that may change the records of this protocol, and nothing else.
    async fn start_primary(&mut self) {
        let granted = if self.fault == Some(Fault::Refusing) { "other" } else { "mta-seal" };
        let key = self.key();
        let mut body = format!(
            "recursion no; dnssec-validation no; notify-delay 0; notify-rate 1000; startup-notify-rate 1000; }};\n\
             include \"{}\";\nkey \"other\" {{ algorithm hmac-sha256; secret \"MDEyMzQ1Njc4OWFiY2RlZg==\"; }};\n",
            key.display()
        );
        let names = self.names.iter().filter(|_| self.fault != Some(Fault::Bare));
        for (at, zone) in names.enumerate() {
            let file = self.dir.join(format!("{zone}.zone"));
            let transfer = if at == 0 {
                let port = self.port;
                format!(
                    "notify explicit; also-notify {{ {SECONDARY} port {port}; }}; allow-transfer {{ any; }};"
                )
            } else {
                String::new()
            };
            body += &format!(
                "zone \"{zone}\" {{ type primary; file \"{}\"; {transfer}\n\
                 update-policy {{ grant \"{granted}\" subdomain _mta-seal.{zone}. TXT; }}; }};\n",
                file.display()
            );
        }
        let alive = self.dir.join("alive.zone");
        let head = "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns.\n";
        fs::write(&alive, format!("{head}ready IN TXT \"yes\"\n")).unwrap();
        body +=
            &format!("zone \"alive.example\" {{ type primary; file \"{}\"; }};\n", alive.display());
        let bare = self.fault == Some(Fault::Bare);
        let zone = if bare { "alive.example" } else { &self.names[0] };
        let ready = format!("ready.{zone}");
        let home = self.dir.join("primary");
        self.primary = Some(Named::start_at(&home, self.primary(), &body, &ready).await);
    }

    async fn start_secondary(&mut self) {
        // Nothing of DNS is at the other one.
        let from = if self.fault == Some(Fault::Frozen) { 1 } else { self.port };
        let zone = &self.names[0];
        let body = format!(
            "recursion no; dnssec-validation no; serial-query-rate 1000; }};\n\
             zone \"{zone}\" {{ type secondary; file \"{}\"; primaries {{ {PRIMARY} port {from}; }}; allow-notify {{ any; }};\n\
             min-refresh-time 1; max-refresh-time 1; min-retry-time 1; max-retry-time 1; }};\n",
            self.dir.join("secondary.zone").display()
        );
        let home = self.dir.join("secondary");
        let ready = format!("ready.{zone}");
        self.secondary = Some(Named::start_at(&home, self.secondary(), &body, &ready).await);
    }

    /// Breaks something, or mends what was broken.
    pub async fn set(&mut self, fault: Option<Fault>) {
        let former = std::mem::replace(&mut self.fault, fault);
        if former == Some(Fault::Frozen) || fault == Some(Fault::Frozen) {
            self.secondary.take().unwrap().end();
            self.start_secondary().await;
        }
        if let Some(primary) = self.primary.take() {
            primary.end();
        }
        if fault != Some(Fault::Stopped) {
            self.start_primary().await;
        }
    }

    fn servers(&self, zone: &str) -> ZoneServers {
        let server = |name: &str, address: IpAddr| ZoneServer {
            name: format!("{name}.{zone}"),
            addresses: vec![address],
        };
        let mut servers = vec![server("ns1", PRIMARY)];
        if zone == self.names[0] {
            servers.push(server("ns2", SECONDARY));
        }
        ZoneServers { zone: zone.to_owned(), servers }
    }

    fn direct(&self) -> Direct {
        Direct::new(self.port, Duration::from_secs(5), true)
    }

    /// Waits until the secondary has what the primary has, if it can.
    pub async fn in_step(&self) {
        if matches!(self.fault, Some(Fault::Stopped | Fault::Bare | Fault::Frozen)) {
            return;
        }
        let begun = Instant::now();
        loop {
            let soas = zone_soas(&self.servers(&self.names[0]), &self.direct()).await;
            let serials: Vec<_> =
                soas.into_iter().map(|(_, _, soa)| soa.map(|s| s.serial)).collect();
            if serials[0].is_ok() && serials[0] == serials[1] {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no transfer: {serials:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether every server of the zone has exactly this record.
    pub async fn all_have(&self, at: &str, text: &str) -> bool {
        let zone = self.names.iter().find(|zone| at.ends_with(zone.as_str())).unwrap();
        let answers = ask_all(&self.servers(zone), &name(at), Via::Udp, &self.direct()).await;
        answers.iter().all(|answer| match &answer.said {
            Said::Records { records, .. } => *records == [text.as_bytes()],
            _ => false,
        })
    }
}
