//! Updates of a zone of BIND's, under the very lines of `docs/publishing.md`.
//!
//! Runs when `MTA_SEAL_TEST_BIND=1`; needs `named` and `tsig-keygen` (Debian: bind9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dns_support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dns_support::{Named, is_wanted, name};
use mta_seal::core::Domain;
use mta_seal::dns::authorities::{Direct, Said, zone_soas};
use mta_seal::dns::{
    DnsConfig, Lookup, Mode, Resolver, Servers, StubResolver, ZoneServer, ZoneServers,
};
use mta_seal::gateway::publication::{Action, Change, PublishError, Published, Publisher, Update};
use mta_seal::gateway::{Clock, SystemClock};

const DOCUMENT: &str = include_str!("../docs/publishing.md");
const POLICY: &str = "_mta-seal.company1.example";
const KEY: &str = "s1._mta-seal.company1.example";

const ZONE: &str = "\
$TTL 300
@ IN SOA ns. hostmaster. 1 3600 600 86400 60
@ IN NS ns.
ready IN TXT \"yes\"
_mta-seal IN TXT \"v=MTASEAL1; by hand\" \", and split\" \" somewhere\"
_mta-seal IN TXT \"v=spf1 -all\"
alias._mta-seal IN CNAME elsewhere.example.
";

/// The block of the document behind `mark`.
fn block(mark: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("<!-- {mark} -->\n```")).unwrap();
    rest.split_once('\n').unwrap().1.split_once("```").unwrap().0
}

fn tsig_keygen(dir: &Path, file: &str, arguments: &[&str]) -> PathBuf {
    let output = Command::new("tsig-keygen").args(arguments).output().unwrap();
    assert!(output.status.success());
    let path = dir.join(file);
    fs::write(&path, output.stdout).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

struct World {
    named: Named,
    dir: tempfile::TempDir,
}

impl World {
    /// `keygen`: the arguments of `tsig-keygen`.
    async fn start(keygen: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = tsig_keygen(dir.path(), "update.key", keygen);
        let zone = dir.path().join("zone");
        fs::write(&zone, ZONE).unwrap();
        let ours = |text: &str, place: &str, path: &Path| {
            assert!(text.contains(place), "{place} is not in the document");
            text.replace(place, &path.display().to_string())
        };
        let config = ours(block("named.conf"), "/etc/bind/mta-seal.key", &key);
        let config = ours(&config, "/var/lib/bind/company1.example.zone", &zone);
        let body = format!("recursion no; dnssec-validation no; }};\n{config}");
        let named = Named::start(dir.path(), "primary", &body, "ready.company1.example").await;
        Self { named, dir }
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("update.key")
    }

    fn publisher(&self) -> Update {
        self.publisher_with(&self.key(), None, Arc::new(SystemClock))
    }

    fn publisher_with(&self, key: &Path, zone: Option<&str>, clock: Arc<dyn Clock>) -> Update {
        let zone = zone.map(|zone| Domain::parse(zone).unwrap());
        Update::load(self.named.address(), key, zone, clock).unwrap()
    }

    /// The texts of a name, sorted, and their time to live.
    async fn texts(&self, text: &str) -> (Vec<String>, Duration) {
        let config = DnsConfig {
            servers: Servers::Listed(vec![self.named.address()]),
            mode: Mode::Plain,
            cache_entries: 0,
            ..DnsConfig::default()
        };
        match StubResolver::new(&config).unwrap().txt(&name(text)).await {
            Lookup::Found(found) => {
                let mut texts: Vec<String> = found
                    .records
                    .into_iter()
                    .map(|record| String::from_utf8(record).unwrap())
                    .collect();
                texts.sort();
                (texts, found.ttl)
            }
            Lookup::NxDomain(denial) | Lookup::NoData(denial) => (Vec::new(), denial.ttl),
            other => panic!("{text}: {other:?}"),
        }
    }

    async fn serial(&self) -> u32 {
        let SocketAddr::V4(address) = self.named.address() else { panic!("not IPv4") };
        let zone = ZoneServers {
            zone: "company1.example".to_owned(),
            servers: vec![ZoneServer {
                name: "ns".to_owned(),
                addresses: vec![(*address.ip()).into()],
            }],
        };
        let direct = Direct::new(address.port(), Duration::from_secs(10), true);
        let mut answers = zone_soas(&zone, &direct).await;
        let (_, _, soa) = answers.remove(0);
        soa.unwrap_or_else(|said: Said| panic!("{said:?}")).serial
    }
}

fn change(action: Action, name: &str, value: &str) -> Change {
    Change { action, name: name.to_owned(), value: value.to_owned(), ttl: 600 }
}

async fn refused(publisher: &Update, changes: &[Change], said: &str, hint: &str) {
    let error = publisher.publish(changes).await.unwrap_err();
    assert!(matches!(error, PublishError::Update(_)));
    assert!(error.to_string().contains(said), "{error}");
    assert!(error.hint().is_some_and(|told| told.contains(hint)), "{:?}", error.hint());
}

struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }
}

#[tokio::test]
async fn records_are_changed_at_once_with_each_algorithm() {
    if !is_wanted("dns_update_bind") {
        return;
    }
    for algorithm in [None, Some("hmac-sha384"), Some("hmac-sha512")] {
        let mut keygen = vec!["mta-seal"];
        keygen.extend(algorithm.iter().flat_map(|algorithm| ["-a", algorithm]));
        keygen.rotate_left(1);
        let world = World::start(&keygen).await;
        let publisher = world.publisher();
        let before = world.serial().await;
        // A policy that was published by hand gives way, however it was split; another record of the name stays.
        let policy = format!("v=MTASEAL1; {}", "p".repeat(700));
        let key = format!("v=MTASEAL1; {}", "k".repeat(1700));
        let changes = [
            change(Action::Remove, POLICY, "v=MTASEAL1; by hand, and split somewhere"),
            change(Action::Add, POLICY, &policy),
            change(Action::Add, KEY, &key),
        ];
        assert_eq!(publisher.publish(&changes).await.unwrap(), Published::Done);
        let ttl = Duration::from_secs(600);
        let spf = "v=spf1 -all".to_owned();
        assert_eq!(world.texts(POLICY).await, (vec![policy.clone(), spf.clone()], ttl));
        assert_eq!(world.texts(KEY).await, (vec![key.clone()], ttl));
        // One step of the zone: nobody sees two policies, or none.
        assert_eq!(world.serial().await, before + 1);

        // The same again changes nothing.
        assert_eq!(publisher.publish(&changes).await.unwrap(), Published::Done);
        assert_eq!(world.texts(POLICY).await.0, [policy, spf]);
        assert_eq!(world.serial().await, before + 1);
        let gone = [change(Action::Remove, KEY, &key)];
        for _ in 0..2 {
            assert_eq!(publisher.publish(&gone).await.unwrap(), Published::Done);
            assert!(world.texts(KEY).await.0.is_empty());
        }
    }
}

#[tokio::test]
async fn whatever_the_server_refuses_is_told_and_leaves_the_zone_alone() {
    if !is_wanted("dns_update_bind") {
        return;
    }
    let world = World::start(&["mta-seal"]).await;
    let before = world.serial().await;
    let add = [change(Action::Add, POLICY, "v=MTASEAL1; new")];
    let publisher = world.publisher();

    // Outside what the key is granted: another name, also together with one that would be allowed.
    let other = change(Action::Add, "www.company1.example", "x");
    let both = [add[0].clone(), other.clone()];
    for changes in [&[other][..], &both] {
        refused(
            &publisher,
            changes,
            "refuses the update of zone company1.example: REFUSED",
            "grant \"mta-seal\" subdomain",
        )
        .await;
    }
    // BIND would say that it is done (RFC 2136 section 3.4.2.2).
    let alias = [change(Action::Add, "alias._mta-seal.company1.example", "x")];
    refused(&publisher, &alias, "is an alias of elsewhere.example", "`under`").await;
    // Not a zone of the server's.
    let stranger = [change(Action::Add, "_mta-seal.company2.example", "x")];
    refused(&publisher, &stranger, "cannot be asked for: REFUSED", "primary").await;
    let parent = world.publisher_with(&world.key(), Some(POLICY), Arc::new(SystemClock));
    let said = "refuses the update of zone _mta-seal.company1.example: NOTAUTH";
    refused(&parent, &add, said, "`zone`").await;

    // The key: unknown by name, unknown by algorithm, with another secret.
    let wrong = |file: &str, arguments: &[&str]| {
        let key = tsig_keygen(world.dir.path(), file, arguments);
        world.publisher_with(&key, None, Arc::new(SystemClock))
    };
    refused(
        &wrong("name", &["other"]),
        &add,
        "no key other for hmac-sha256 (BADKEY)",
        "name and algorithm",
    )
    .await;
    let algorithm = wrong("algorithm", &["-a", "hmac-sha512", "mta-seal"]);
    refused(&algorithm, &add, "no key mta-seal for hmac-sha512 (BADKEY)", "name and algorithm")
        .await;
    refused(&wrong("secret", &["mta-seal"]), &add, "(BADSIG)", "secret").await;

    // The clock.
    let now = SystemClock.now();
    for (at, said) in [(now - 3600, "ahead of this host's"), (now + 3600, "behind this host's")] {
        let late = world.publisher_with(&world.key(), None, Arc::new(At(at)));
        refused(&late, &add, said, "clocks").await;
    }

    assert_eq!(world.serial().await, before);
    assert_eq!(world.texts(POLICY).await.0[0], "v=MTASEAL1; by hand, and split somewhere");
    assert_eq!(publisher.publish(&add).await.unwrap(), Published::Done);
}
