//! `mta-seal keys list`, `rotate` and `revoke`: what an administrator reads, and what they do to the keyring, the policy and the
//! audit trail [R-life-01] [R-life-07].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod lifetime_support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;

use cli_support::{now, program, wait};
use lifetime_support::zone::Lag;
use lifetime_support::{Chance, DAY, Party, Zone, runtime};
use mta_seal::core::Suite;
use mta_seal::lifetime::{Kind, State};
use mta_seal::store::ledger::{Ledger as _, Options, SqliteLedger};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const DOMAIN: &str = "company1.example";

/// A keyring whose weeks have gone by in virtual time until half an hour ago, on the minute, and a configuration for it.
struct Home {
    dir: tempfile::TempDir,
    party: Party,
    /// When its virtual time ended, Unix seconds.
    at: u64,
}

/// A keyring that was made `days` before `at` and has been tended until then; for the last days by hand, by nobody.
fn age(days: u64, by_hand: Option<u64>, at: u64) -> Party {
    let begun = at - days * DAY;
    let zone = Zone::new(2, 3_600, 900, Lag::None, begun, Chance::new(1));
    let party = Party::new(DOMAIN, &zone, begun);
    runtime().block_on(async {
        let until = at - by_hand.unwrap_or(0) * DAY;
        party.pass(begun, until).await;
        zone.by_hand(by_hand.is_some());
        // Nobody publishes what it waits for; the last visit is at this very minute.
        for now in (until..=at).step_by(6 * 3_600) {
            zone.advance(now);
            party.tend(now).await;
        }
    });
    party
}

impl Home {
    /// Keys that were made `days` ago and have been tended since; by hand for the last days, if nobody publishes.
    fn aged(days: u64, by_hand: Option<u64>, more: &str) -> Self {
        let at = (now() - 1_800) / 60 * 60;
        Self::of(age(days, by_hand, at), at, more)
    }

    /// Keys of two months, so that some are in each state.
    fn old(more: &str) -> Self {
        static OLD: OnceLock<(BTreeMap<String, Vec<u8>>, u64)> = OnceLock::new();
        let (files, at) = OLD.get_or_init(|| {
            let at = (now() - 1_800) / 60 * 60;
            (read_all(age(60, None, at).keys()), at)
        });
        let zone = Zone::new(2, 3_600, 900, Lag::None, *at, Chance::new(1));
        let mut party = Party::new(DOMAIN, &zone, *at);
        party.keeper.keys = party.keys().with_file_name("old");
        fs::DirBuilder::new().mode(0o700).create(party.keys()).unwrap();
        for (file, octets) in files {
            let mut options = fs::File::options();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(party.keys().join(file))
                .unwrap();
            file.write_all(octets).unwrap();
        }
        Self::of(party, *at, more)
    }

    fn of(party: Party, at: u64, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::DirBuilder::new().mode(0o700).create(dir.path().join("state")).unwrap();
        let home = Self { dir, party, at };
        home.configure(more);
        home
    }

    /// `more`: tables of its `[[domain]]`.
    fn configure(&self, more: &str) {
        let text = format!(
            "hostname = 'gw.{DOMAIN}'\nstate = 'state'\n\
             [[domain]]\nname = '{DOMAIN}'\nkeys = '{}'\n{more}\n\
             [inbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
             [dns]\nmode = 'plain'\nservers = ['127.0.0.1:1']\ntimeout = '1s'\n",
            self.party.keys().display()
        );
        fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("mta-seal.toml")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command.args(arguments).arg("--config").arg(self.config()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Exit code and text, without what no two runs have in common; no line is longer than a terminal is wide.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        // A name and the value of a record stay whole, so that they can be copied.
        let fits = |line: &str| line.chars().count() <= 80 || line.contains("v=MTASEAL");
        assert!(arguments.contains(&"--json") || text.lines().all(fits), "{text}");
        let text = text + &String::from_utf8(output.stderr).unwrap();
        let text: Vec<String> =
            self.constant(&text).lines().map(|line| line.trim_end().to_owned()).collect();
        format!("exit {}\n{}\n", output.status.code().unwrap(), text.join("\n"))
    }

    /// Key ids by their kind and age, times by their distance from the last visit.
    fn constant(&self, text: &str) -> String {
        let mut text = text.replace(self.dir.path().to_str().unwrap(), "DIR");
        let mut kinds = BTreeMap::<Kind, usize>::new();
        let mut lives = self.party.book().keys;
        lives.sort_by_key(|life| (life.kind, life.made, life.from));
        for life in lives {
            let n = kinds.entry(life.kind).or_default();
            *n += 1;
            let (id, name) = (life.id.to_string(), format!("{}#{n:<2}", life.kind));
            text = text.replace(&id, name.trim_end()).replace(&id[..16], &format!("{name:16}"));
            text = text.replace(&id[..12], &format!("<{}>", name.trim_end()));
        }
        let identity = self.party.policy().identity().fingerprint().to_string();
        self.times(&text.replace(&identity, "IDENTITY"))
    }

    fn times(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let digits = from.len() - from.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if let Some(unix) = from.get(..16).and_then(unix) {
                out.push_str(&format!("{:16}", self.distance(unix)));
                rest = &from[16..];
            } else if digits == 10 {
                out.push_str(&self.distance(from[..10].parse().unwrap()));
                rest = &from[10..];
            } else {
                out.push_str(&from[..digits]);
                rest = &from[digits..];
            }
        }
        out.push_str(rest);
        out
    }

    /// How long before or after the last visit, in days, hours and minutes, if it is by the calendar, which is in whole hours. What
    /// comes of a command counts from `NOW`, to five minutes.
    fn distance(&self, unix: u64) -> String {
        let after = |minutes: u64, sign: char| {
            format!("{sign}{}d {:02}:{:02}", minutes / 1_440, minutes / 60 % 24, minutes % 60)
        };
        let minutes = unix.abs_diff(self.at) / 60;
        if minutes.is_multiple_of(60) {
            return after(minutes, if unix < self.at { '-' } else { '+' });
        }
        let minutes = (unix.saturating_sub(now()) + 150) / 300 * 5;
        if minutes == 0 { "NOW".to_owned() } else { format!("NOW{}", after(minutes, '+')) }
    }

    fn keyring(&self) -> BTreeMap<String, Vec<u8>> {
        read_all(self.party.keys())
    }

    /// A ledger, as after the first start.
    fn ledger(&self) {
        runtime().block_on(async {
            let path = self.dir.path().join("state/ledger.sqlite");
            SqliteLedger::open(&path, &Options::default(), now()).unwrap().close().await;
        });
    }

    /// What is on record about the domain, the first first.
    fn trail(&self) -> Vec<(String, String)> {
        runtime().block_on(async {
            let path = self.dir.path().join("state/ledger.sqlite");
            let ledger = SqliteLedger::open(&path, &Options::default(), now()).unwrap();
            let mut actions = ledger.actions(Some(&self.party.domain), 100).await.unwrap();
            ledger.close().await;
            actions.reverse();
            actions.into_iter().map(|action| (action.action, action.detail)).collect()
        })
    }

    fn the(&self, kind: Kind, state: State) -> String {
        let lives = self.party.keys_in(kind, state, now());
        assert_eq!(lives.len(), 1, "{lives:?}");
        lives[0].id.to_string()
    }
}

fn read_all(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// `YYYY-MM-DD HH:MM` as Unix seconds.
fn unix(text: &str) -> Option<u64> {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]");
    let at = time::PrimitiveDateTime::parse(text, format).ok()?;
    u64::try_from(at.assume_utc().unix_timestamp()).ok()
}

const XWING: Kind = Kind::Sealing(Suite::XWing);
const X25519: Kind = Kind::Sealing(Suite::X25519);

#[test]
fn the_list_is_a_calendar() {
    let home = Home::old("[domain.publish]\nhook = '/bin/false'\n");
    let mut told = home.told(&["keys", "list"]);
    told += &home.told(&["keys", "list", "--json"]);
    insta::assert_snapshot!("list", told);

    // Nothing was changed by looking.
    let before = home.keyring();
    home.run(&["keys", "list", "--records"]);
    assert_eq!(home.keyring(), before);
}

#[test]
fn by_hand_the_list_says_what_to_publish() {
    // The day before the next sealing keys: they are made, and nobody has published them.
    let home = Home::aged(6, Some(3), "[domain.rotation]\n");
    let mut told = home.told(&["keys", "list"]);
    told += "== with values\n";
    let values = home.told(&["keys", "list", "--records"]);
    let cut = |line: &str| match line.find("v=MTASEAL") {
        Some(at) => format!("{}...\n", &line[..line.len().min(at + 14)]),
        None => format!("{line}\n"),
    };
    told += &values.lines().map(cut).collect::<String>();
    insta::assert_snapshot!("list_by_hand", told);
    let record = home.party.book().stands.iter().find(|s| s.seen.is_none()).unwrap().clone();
    assert!(values.contains(&format!("\n    {}\n", record.value)), "{values}");
}

#[test]
fn what_is_late_and_what_ends_is_said_with_what_to_do() {
    // Nobody has published for a fortnight.
    let home = Home::aged(20, Some(14), "[domain.rotation]\n");
    let mut told = format!("== rotation, by hand\n{}", home.told(&["keys", "list"]));
    home.configure("");
    told += &format!("== no rotation\n{}", home.told(&["keys", "list"]));
    let identity = home.party.keys().join("identity.pem");
    fs::rename(identity, home.dir.path().join("identity.pem")).unwrap();
    told += &format!("== the identity key elsewhere\n{}", home.told(&["keys", "list"]));
    insta::assert_snapshot!("list_late", told);
}

#[test]
fn rotate_does_what_is_due_and_says_what_is_left() {
    let home = Home::aged(1, None, "[domain.rotation]\n");
    home.ledger();
    let before = home.keyring();
    let mut told = format!("== by hand\n{}", home.told(&["keys", "rotate"]));
    assert_eq!(home.keyring()["policy.txt"], before["policy.txt"], "nothing was due");

    told += &format!("== by hand, now\n{}", cut(&home.told(&["keys", "rotate", "--now"])));
    // The successors are here. What needs a record of its own, or to be listed first, is not used before everybody sees that; the
    // other one not before the gateway has it.
    for kind in [XWING, X25519, Kind::Signing] {
        assert_eq!(home.party.keys_in(kind, State::Active, now()).len(), 1);
        assert_eq!(home.party.keys_in(kind, State::Retiring, now()).len(), 0, "{kind}");
        let lives = home.party.book().keys.into_iter().filter(|life| life.kind == kind);
        assert_eq!(lives.count(), 2, "{kind}");
    }
    let mut desk = home.party.desk(now());
    let waiting = desk.book.keys.iter_mut().find(|life| life.kind == X25519 && life.from.is_none());
    let waiting = waiting.unwrap();
    // As if a minute had gone by.
    waiting.ready = waiting.ready.map(|at| at - 60);
    desk.save(now()).unwrap();
    drop(desk);
    assert!(home.keyring().len() > before.len());
    let trail: Vec<String> = home.trail().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(trail[0], "keys-rotated");

    // By a command, which first fails and then works.
    let hook = home.dir.path().join("hook");
    for code in [1, 0] {
        let asked = home.dir.path().join("asked");
        fs::write(&hook, format!("#!/bin/sh\necho \"$1 $2\" >>{}\nexit {code}\n", asked.display()))
            .unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
        home.configure(&format!("[domain.publish]\nhook = '{}'\n", hook.display()));
        let said = home.told(&["keys", "rotate"]);
        if code == 0 {
            told += &format!("== a command\n{said}");
        } else {
            // Its lines depend on how long the path is.
            assert!(said.contains("  ! not published: ") && said.contains("    hint: "), "{said}");
            assert!(said.contains("Nothing that is in use is taken away meanwhile."), "{said}");
        }
        let asked = fs::read_to_string(asked).unwrap();
        // Whoever gives the command sees it tried, though it was refused a moment ago.
        // What fails at one name holds up no other.
        assert!(asked.contains(&format!("add _mta-seal.{DOMAIN}\n")), "{asked}");
        let keys = asked.lines().any(|line| line.starts_with("add k"));
        assert!(keys, "{asked}");
        fs::remove_file(home.dir.path().join("asked")).unwrap();
    }
    insta::assert_snapshot!("rotate", told);
}

fn cut(text: &str) -> String {
    let cut = |line: &str| match line.find("v=MTASEAL") {
        Some(at) => format!("{}...\n", &line[..line.len().min(at + 14)]),
        None => format!("{line}\n"),
    };
    text.lines().map(cut).collect()
}

/// What it says before anything is done, for each kind of key.
#[test]
fn revoke_says_first_what_it_does() {
    let home = Home::old("[domain.publish]\nhook = '/bin/true'\n");
    let before = home.keyring();
    let mut told = String::new();
    let (xwing, x25519) = (home.the(XWING, State::Active), home.the(X25519, State::Active));
    let signing = home.the(Kind::Signing, State::Active);
    let why = ["--why", "the disk was copied"];
    let mut ask = |title: &str, key: &str, more: &[&str]| {
        let words = [&["keys", "revoke", key], &why[..], more].concat();
        told += &format!("== {title}\n{}", home.told(&words));
    };
    ask("X-Wing", &xwing, &[]);
    ask("X25519, destroyed at once", &x25519[..16], &["--destroy"]);
    ask("signing", &signing, &[]);
    let former = &home.party.keys_in(X25519, State::Retiring, now())[0].id.to_string();
    ask("retiring", former, &[]);
    ask("no key", "00000000", &[]);
    ask("too short", "abc", &[]);
    told += &format!("== no reason\n{}", home.told(&["keys", "revoke", &xwing, "--why", " "]));
    home.configure("[domain.rotation]\n");
    let identity = home.party.keys().join("identity.pem");
    let away = home.dir.path().join("identity.pem");
    fs::rename(&identity, &away).unwrap();
    let words = [&["keys", "revoke", &x25519], &why[..]].concat();
    told += &format!("== by hand, the identity key elsewhere\n{}", home.told(&words));
    fs::rename(&away, &identity).unwrap();
    insta::assert_snapshot!("revoke_asks", told);
    assert_eq!(home.keyring(), before, "nothing was changed without a yes");
}

#[test]
fn revoke_takes_the_key_out_of_the_policy_and_of_use() {
    // The gateway does nothing by itself: what the command has destroyed is on record all the same.
    let home = Home::old("");
    home.ledger();
    let (x25519, signing) =
        (home.the(X25519, State::Active), home.the(Kind::Signing, State::Active));
    let (kept, why) = (x25519.clone(), ["--why", "the disk was copied", "--yes"]);
    let words = [&["keys", "revoke", &x25519], &why[..]].concat();
    let mut told =
        format!("== a sealing key, kept for what is on its way\n{}", cut(&home.told(&words)));
    let listed = |id: &str| home.party.policy().text().contains(id);
    let policy = home.party.policy();
    let ids = policy.record().sealing_keys.iter().filter_map(|entry| entry.key_id());
    assert!(!ids.map(|id| id.to_string()).any(|id| id == kept), "{}", policy.text());
    assert!(!listed(&kept));
    let holds = |id: &str| home.keyring().keys().any(|name| name.contains(&id[..12]));
    assert!(holds(&kept));

    // Another at once.
    let xwing = home.the(XWING, State::Active);
    let words = [&["keys", "revoke", &xwing, "--destroy"], &why[..]].concat();
    told += &format!("== at once\n{}", cut(&home.told(&words)));
    assert!(!holds(&xwing) && !listed(&xwing));
    let destroyed = String::from_utf8(home.keyring()["destroyed"].clone()).unwrap();
    assert!(destroyed.contains(&xwing) && !destroyed.contains(&kept), "{destroyed}");

    let words = [&["keys", "revoke", &signing], &why[..]].concat();
    told += &format!("== the signing key\n{}", cut(&home.told(&words)));
    assert_ne!(home.party.signs().to_string(), signing);
    assert!(!holds(&signing));
    told += &format!("== afterwards\n{}", cut(&home.told(&["keys", "list"])));
    let words = [&["keys", "revoke", &xwing], &why[..]].concat();
    told += &format!("== again\n{}", cut(&home.told(&words)));
    insta::assert_snapshot!("revoke", told);

    // On record: the revocations, the policies, and the ends; nothing twice.
    let trail = home.trail();
    let of = |kind: &str| -> Vec<String> {
        trail.iter().filter(|(k, _)| k == kind).map(|(_, detail)| detail.clone()).collect()
    };
    let row = |id: &str| format!("key {id}: the disk was copied");
    assert_eq!(of("key-revoked"), [row(&kept), row(&xwing), row(&signing)]);
    let ended = of("key-destroyed");
    for id in [&xwing, &signing] {
        assert_eq!(ended.iter().filter(|d| d.contains(id.as_str())).count(), 1, "{trail:?}");
    }
    assert!(ended.iter().all(|detail| !detail.contains(&kept)));
    assert!(of("policy").len() >= 3, "{trail:?}");
}

/// On a terminal it asks, and anything but a yes changes nothing.
#[test]
fn revoke_asks_on_a_terminal() {
    let home = Home::aged(3, None, "[domain.rotation]\n");
    let key = home.the(X25519, State::Active);
    for (answer, code) in [("no\n", 1), ("yes\n", 0)] {
        let before = home.keyring();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = || {
            let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
            let mut options = fs::File::options();
            options.read(true).write(true).custom_flags(flags).open(name.to_str().unwrap()).unwrap()
        };
        let mut command = program();
        command.args(["keys", "revoke", &key, "--why", "lost laptop", "--config"]);
        command.arg(home.config()).stdin(side()).stderr(side()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(command);
        // What it does is there to be read before it asks.
        let mut terminal = fs::File::from(master);
        let mut asked = Vec::new();
        while !String::from_utf8_lossy(&asked).contains("[y/N]") {
            let mut octets = [0; 256];
            let read = terminal.read(&mut octets).unwrap();
            asked.extend_from_slice(&octets[..read]);
        }
        assert_eq!(home.keyring(), before);
        terminal.write_all(answer.as_bytes()).unwrap();
        let mut told = String::new();
        child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(told.contains("Nothing can change that."), "{told}");
        assert_eq!(wait(&mut child).code(), Some(code), "{told}");
        assert_eq!(home.keyring() == before, code == 1);
    }
}
