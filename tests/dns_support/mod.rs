//! BIND and Unbound on loopback, zones signed for them, and servers that answer badly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod faulty;
mod zones;

pub use faulty::{Fault, Faulty};
pub use zones::{ROOT, Signing, make_zone, trust_anchor};

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mta_seal::dns::{DnsConfig, Lookup, Mode, QueryName, Resolver, Servers, StubResolver};

/// Whether the tests that need installed name servers are to run; says so if not.
pub fn is_wanted(test: &str) -> bool {
    let wanted = std::env::var_os("MTA_SEAL_TEST_BIND").is_some_and(|value| value == "1");
    if !wanted {
        // Not by `eprintln`, which the test harness swallows when a test passes.
        let notice = "needs MTA_SEAL_TEST_BIND=1 and the name servers installed";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test} {notice}");
    }
    wanted
}

/// A running name server; killed by its handle when dropped.
struct Process {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Process {
    fn start(program: &str, args: &[&str], config: &Path, port: u16) -> Self {
        let log = config.with_extension("log");
        let process = Command::new(program)
            .args(args)
            .arg(config)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)), log }
    }

    /// Waits until the server has TXT records for `text`.
    async fn ready(&mut self, text: &str) {
        let begun = Instant::now();
        let config = DnsConfig {
            servers: Servers::Listed(vec![self.address]),
            mode: Mode::Plain,
            timeout: Duration::from_millis(500),
            cache_entries: 0,
        };
        let resolver = StubResolver::new(&config).unwrap();
        while !matches!(resolver.txt(&name(text)).await, Lookup::Found(_)) {
            let runs = self.process.try_wait().unwrap().is_none();
            if !runs || begun.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("the name server does not answer, running: {runs}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A `named` process.
pub struct Named(Process);

impl Named {
    /// `body` is the rest of the options, their end, and what follows them.
    pub async fn start(dir: &Path, role: &str, body: &str, until: &str) -> Self {
        let port = free_port();
        let home = dir.join(role);
        fs::create_dir(&home).unwrap();
        let config = home.join("named.conf");
        let text = format!(
            "options {{ directory \"{home}\"; pid-file none; session-keyfile none;\n\
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             allow-transfer {{ none; }}; notify no; {body}\n",
            home = home.display(),
        );
        fs::write(&config, text).unwrap();
        let mut process = Process::start("named", &["-g", "-n", "1", "-c"], &config, port);
        process.ready(until).await;
        Self(process)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// An `unbound` process that validates under `anchor`.
pub struct Unbound(Process);

impl Unbound {
    /// `servers`: where each zone is served, the root among them.
    pub async fn start(
        dir: &Path,
        anchor: &str,
        servers: &[(&str, SocketAddr)],
        until: &str,
    ) -> Self {
        let port = free_port();
        let home = dir.join("unbound");
        fs::create_dir(&home).unwrap();
        let config = home.join("unbound.conf");
        let mut text = format!(
            "server:\n directory: \"{home}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n\
             use-syslog: no\n logfile: \"\"\n do-ip6: no\n num-threads: 1\n\
             interface: 127.0.0.1\n port: {port}\n access-control: 127.0.0.0/8 allow\n\
             do-not-query-localhost: no\n qname-minimisation: no\n edns-buffer-size: 1232\n\
             module-config: \"validator iterator\"\n trust-anchor: \"{anchor}\"\n\
             remote-control:\n control-enable: no\n",
            home = home.display(),
        );
        for (zone, server) in servers {
            let (ip, port) = (server.ip(), server.port());
            text += &format!("stub-zone:\n name: \"{zone}\"\n stub-addr: {ip}@{port}\n");
        }
        fs::write(&config, text).unwrap();
        let mut process = Process::start("unbound", &["-d", "-c"], &config, port);
        process.ready(until).await;
        Self(process)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

fn free_port() -> u16 {
    for _ in 0..32 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP");
}

pub fn name(text: &str) -> QueryName {
    QueryName::parse(text).unwrap()
}
