//! BIND and Unbound on loopback, zones signed for them, and servers that answer badly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod faulty;
mod zones;

pub use faulty::{Fault, Faulty};
pub use zones::{ROOT, Signing, make_zone, trust_anchor};

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
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
    fn start(program: &str, args: &[&str], config: &Path, address: SocketAddr) -> Self {
        let log = config.with_extension("log");
        let process = Command::new(program)
            .args(args)
            .arg(config)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { process, address, log }
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
        let home = dir.join(role);
        fs::create_dir(&home).unwrap();
        Self::start_at(&home, loopback(free_port()), body, until).await
    }

    /// The same at a given address, in a directory that may be there already.
    pub async fn start_at(home: &Path, address: SocketAddr, body: &str, until: &str) -> Self {
        fs::create_dir_all(home).unwrap();
        let config = home.join("named.conf");
        let (port, ip) = (address.port(), address.ip());
        let (v4, v6) = if ip.is_ipv4() { ("", "-v6") } else { ("-v6", "") };
        let text = format!(
            "options {{ directory \"{home}\"; pid-file none; session-keyfile none;\n\
             listen-on{v4} port {port} {{ {ip}; }}; listen-on{v6} {{ none; }};\n\
             allow-transfer {{ none; }}; notify no; {body}\n",
            home = home.display(),
        );
        fs::write(&config, text).unwrap();
        let mut process = Process::start("named", &["-g", "-n", "1", "-c"], &config, address);
        process.ready(until).await;
        Self(process)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Ends it in order, so that its zones are on the disk.
    pub fn end(mut self) {
        let process = &mut self.0.process;
        let told = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
        assert!(told.unwrap().success());
        process.wait().unwrap();
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
        let mut process = Process::start("unbound", &["-d", "-c"], &config, loopback(port));
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

/// A port that is free at all of these addresses, and that the system gives to nobody who does not name it, so that a server can
/// come back there.
pub fn lasting_port(addresses: &[IpAddr]) -> u16 {
    let first = u16::try_from(std::process::id() % 20_000).unwrap();
    let mut ports = (0..20_000).map(|at| 10_000 + (first + at) % 20_000);
    let free = |address: &IpAddr, port: u16| {
        UdpSocket::bind((*address, port)).is_ok() && TcpListener::bind((*address, port)).is_ok()
    };
    let port = ports.find(|port| addresses.iter().all(|address| free(address, *port)));
    port.expect("a free port")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

pub fn name(text: &str) -> QueryName {
    QueryName::parse(text).unwrap()
}
