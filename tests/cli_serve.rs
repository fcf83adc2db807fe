//! The life of the process: readiness, reload, watchdog, stop, log, and what it refuses to start with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cli_support::{Daemon, mta_seal, program, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory with keys and a configuration of company1.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gateway = dir.path().join("gw");
        let made =
            mta_seal(&["init", "--domain", "company1.example", "--dir", gateway.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        let home = Self { dir };
        home.configure("");
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("gw").join(name)
    }

    fn config(&self) -> PathBuf {
        self.at("mta-seal.toml")
    }

    /// Writes the configuration, with more tables at its end.
    fn configure(&self, more: &str) {
        let text = format!(
            "hostname = \"gw.company1.example\"\nstate = \"state\"\n\
             [[domain]]\nname = \"company1.example\"\nkeys = \"keys/company1.example\"\n\
             [outbound]\nlisten = [\"127.0.0.1:0\"]\nnext_hop = \"smtp://127.0.0.1:1\"\n\
             [dns]\nmode = \"plain\"\nservers = [\"127.0.0.1:1\"]\n{more}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = program().args(arguments).arg("--config").arg(self.config()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// A gateway with a log of JSON lines.
fn serve(home: &Home, set_up: impl FnOnce(&mut Command)) -> Daemon {
    let mut command = program();
    command.arg("serve").arg("--config").arg(home.config());
    set_up(&mut command);
    Daemon::start(command)
}

/// The service manager's end of NOTIFY_SOCKET.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(home: &Home) -> Self {
        let path = home.dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    /// The next message that contains `line`, as lines.
    fn heard(&self, line: &str) -> Vec<String> {
        let mut buffer = [0; 4096];
        loop {
            let octets =
                self.socket.recv(&mut buffer).unwrap_or_else(|_| panic!("waited for {line}"));
            let text = std::str::from_utf8(&buffer[..octets]).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.iter().any(|heard| heard.starts_with(line)) {
                return lines;
            }
        }
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self(BufReader::new(stream));
        assert!(client.reply().starts_with("220 "));
        client
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    fn command(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// With a transaction that is open.
    fn busy(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert!(client.command("EHLO client.example").starts_with("250 "));
        assert!(client.command("MAIL FROM:<alice@company1.example>").starts_with("250 "));
        client
    }
}

const JSON: &str = "[log]\nformat = \"json\"\n";

#[test]
fn the_service_manager_is_told() {
    let home = Home::new();
    home.configure(JSON);
    let manager = Manager::new(&home);
    let mut daemon = serve(&home, |command| {
        command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "200000");
    });
    let ready = manager.heard("READY=1");
    assert!(ready[1].starts_with(&format!("STATUS=sealing on {}", daemon.outbound)), "{ready:?}");
    manager.heard("WATCHDOG=1");
    let mut idle = Client::connect(daemon.outbound);

    home.configure(&format!("{JSON}[[partner]]\ndomain = \"company2.example\"\n"));
    daemon.signal(Signal::HUP);
    let reloading = manager.heard("RELOADING=1");
    let since: i128 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(since > 0);
    let ready = manager.heard("READY=1");
    assert!(ready[1].starts_with("STATUS=sealing on "), "{ready:?}");
    assert_eq!(daemon.logged("reloaded")["partners"], 1);

    // Refused, and said so; what is in force stays.
    home.configure(&format!("{JSON}[timeouts]\nshutdow = \"1s\"\n"));
    daemon.signal(Signal::HUP);
    manager.heard("RELOADING=1");
    let ready = manager.heard("READY=1");
    assert!(ready[1].starts_with("STATUS=reload refused"), "{ready:?}");
    let refused = daemon.logged("reload refused");
    assert_eq!(refused["level"], "ERROR");
    assert!(
        refused["reason"].as_str().unwrap().contains("mta-seal.toml:15: unknown key `shutdow`"),
        "{refused}"
    );
    assert_eq!(refused["hint"], "did you mean `shutdown`?");
    assert!(idle.command("EHLO client.example").starts_with("250 "));

    // Watched on.
    manager.heard("WATCHDOG=1");
    daemon.signal(Signal::TERM);
    let stopping = manager.heard("STOPPING=1");
    assert!(stopping.iter().any(|line| line == "EXTEND_TIMEOUT_USEC=15000000"), "{stopping:?}");
    assert!(idle.reply().starts_with("421 4.3.2 "));
    daemon.logged("stopped: nothing was cut off");
    assert_eq!(daemon.ended().code(), Some(0));
}

/// A change of the partners that was refused is tried until it is taken up, and said once; it brings nothing else with it.
#[test]
fn partners_are_taken_up_once_nothing_stands_in_the_way() {
    let home = Home::new();
    home.configure(JSON);
    let manager = Manager::new(&home);
    let mut daemon = serve(&home, |command| {
        command.env("NOTIFY_SOCKET", &manager.path);
    });
    manager.heard("READY=1");
    let keys = home.at("keys/company1.example");
    fs::set_permissions(&keys, Permissions::from_mode(0o750)).unwrap();
    // Half done, and nobody has asked for it.
    home.configure(&format!("{JSON}[defaults]\npolicy = \"require\"\n[timeouts"));
    let partners = "[[partner]]\ndomain = \"company2.example\"\npolicy = \"require\"\n";
    fs::write(home.at("partners.toml"), partners).unwrap();
    let refused = daemon.logged("reload refused");
    assert!(refused["reason"].as_str().unwrap().contains("open to other users"), "{refused}");
    for _ in 0..2 {
        manager.heard("RELOADING=1");
        let ready = manager.heard("READY=1");
        assert!(ready[1].starts_with("STATUS=reload refused"), "{ready:?}");
    }
    fs::set_permissions(&keys, Permissions::from_mode(0o700)).unwrap();
    // Nothing was said in between but that the keyring cannot be read, which is looked at by itself.
    let mut next = daemon.next_line();
    while next["message"].as_str().is_some_and(|said| said.starts_with("keys cannot be taken up"))
        || next["kind"] == "rotation-failed"
    {
        next = daemon.next_line();
    }
    assert_eq!((&next["message"], &next["partners"]), (&"reloaded".into(), &1.into()), "{next}");

    // What is lost is said.
    fs::write(home.at("partners.toml"), "# nobody\n").unwrap();
    let lost = daemon.logged("mail to company2.example leaves in clear from now on");
    assert_eq!(
        (&lost["level"], &lost["change"]),
        (&"WARN".into(), &"policy require -> prefer".into())
    );
    daemon.logged("reloaded");
    // SIGHUP reads the configuration itself.
    daemon.signal(Signal::HUP);
    daemon.logged("reload refused");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0));
}

/// What is wrong with a file is said at a reload as at the start, and the keys in use stay.
#[test]
fn a_reload_looks_at_permissions() {
    let home = Home::new();
    home.configure(JSON);
    let mut daemon = serve(&home, |_| {});
    let policy = home.at("keys/company1.example/policy.txt");
    let signing = fs::read_dir(policy.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("signing-"))
        .unwrap();
    fs::set_permissions(&signing, Permissions::from_mode(0o644)).unwrap();
    daemon.signal(Signal::HUP);
    let refused = daemon.logged("reload refused");
    assert!(refused["reason"].as_str().unwrap().contains("open to other users"), "{refused}");
    assert!(refused["hint"].as_str().unwrap().starts_with("chmod 600 "), "{refused}");
    fs::set_permissions(&signing, Permissions::from_mode(0o600)).unwrap();
    daemon.signal(Signal::HUP);
    daemon.logged("reloaded");
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn what_is_cut_off_is_said() {
    let home = Home::new();
    home.configure(&format!("{JSON}[timeouts]\nshutdown = \"200ms\"\n"));
    let mut daemon = serve(&home, |_| {});
    let _busy = Client::busy(daemon.outbound);
    daemon.signal(Signal::TERM);
    daemon.logged("stopped after timeouts.shutdown: some transactions were cut off");
    assert_eq!(daemon.ended().code(), Some(75));
}

#[test]
fn an_open_transaction_is_waited_for_until_a_second_signal() {
    let home = Home::new();
    home.configure(&format!("{JSON}[timeouts]\nshutdown = \"1h\"\n"));
    let mut daemon = serve(&home, |_| {});
    let mut busy = Client::busy(daemon.outbound);
    daemon.signal(Signal::TERM);
    daemon.logged("stopping: open transactions may finish");
    // Still served.
    assert!(busy.command("NOOP").starts_with("250 "));
    daemon.signal(Signal::INT);
    daemon.logged("stopped at once by a second signal");
    assert_eq!(daemon.ended().code(), Some(75));
}

#[test]
fn what_others_can_read_or_write_is_refused() {
    let home = Home::new();
    let (key, certificate) = (home.at("key.pem"), home.at("cert.pem"));
    let made = rcgen::generate_simple_self_signed(["gw.company1.example".to_owned()]).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    home.configure(
        "[inbound]\nlisten = [\"127.0.0.1:0\"]\nnext_hop = \"smtp://127.0.0.1:1\"\n\
         tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n",
    );
    let ledger = home.at("state/ledger.sqlite");
    File::create(&ledger).unwrap();
    fs::set_permissions(&ledger, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.run(&["config", "check"]), (Some(0), String::new()));

    let keys = home.at("keys/company1.example");
    let cases = [
        (key.clone(), 0o640, "chmod 600"),
        (home.config(), 0o666, "chmod go-w"),
        (home.at("state"), 0o755, "chmod 700"),
        (ledger.clone(), 0o644, "chmod 600"),
        (keys.clone(), 0o750, "chmod 700"),
    ];
    for (path, mode, hint) in cases {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        refused(&home, &path, &format!("is open to other users (mode {mode:04o})"), hint);
        fs::set_permissions(&path, before).unwrap();
    }
    assert_eq!(home.run(&["config", "check"]), (Some(0), String::new()));

    let own = fs::metadata(&key).unwrap().uid();
    for path in [key, home.config(), home.at("state"), ledger, keys] {
        if let Err(error) = chown(&path, Some(65_534), None) {
            eprintln!("skipped: wrong owners, since only root can give files away: {error}");
            return;
        }
        refused(&home, &path, "belongs to user 65534, not to user", "chown");
        chown(&path, Some(own), None).unwrap();
    }
}

/// Both the gateway and the check refuse `path`, in the same words.
#[track_caller]
fn refused(home: &Home, path: &Path, what: &str, hint: &str) {
    let (code, checked) = home.run(&["config", "check"]);
    assert_eq!(code, Some(1), "{checked}");
    let (code, served) = home.run(&["serve"]);
    assert_eq!(code, Some(1), "{served}");
    for said in [checked, served] {
        assert!(said.contains(&format!("{} {what}", path.display())), "{said}");
        assert!(
            said.lines().any(|line| line.starts_with("hint: ") && line.contains(hint)),
            "{said}"
        );
    }
}

/// With a log of JSON lines even a failed start is one.
#[test]
fn a_failed_start_is_logged_in_the_form_of_the_log() {
    let home = Home::new();
    home.configure(JSON);
    fs::set_permissions(home.at("state"), Permissions::from_mode(0o755)).unwrap();
    let (code, said) = home.run(&["serve"]);
    assert_eq!(code, Some(1));
    let line: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("open to other users"), "{line}");
    assert!(line["hint"].as_str().unwrap().starts_with("chmod 700 "), "{line}");
}

/// A text log has no colours in a file, and no time of its own in the journal.
#[test]
fn text_logs_are_plain() {
    for journal in [false, true] {
        let home = Home::new();
        let manager = Manager::new(&home);
        let path = home.dir.path().join("log");
        let log = File::create(&path).unwrap();
        let metadata = log.metadata().unwrap();
        let mut command = program();
        command.arg("serve").arg("--config").arg(home.config()).stderr(log);
        command.env("NOTIFY_SOCKET", &manager.path);
        // The variable alone says nothing: here it names another stream.
        let inode = metadata.ino() + u64::from(!journal);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()));
        let mut child = command.spawn().unwrap();
        manager.heard("READY=1");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(wait(&mut child).success());
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let ready = text.lines().find(|line| line.contains("gateway ready")).unwrap();
        let first = ready.split_whitespace().next().unwrap();
        assert_eq!(first == "INFO", journal, "{ready}");
    }
}
