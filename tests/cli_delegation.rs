//! `check` of a domain whose names are aliases into a provider's zone: what is missing or leads elsewhere is named, and DNSSEC vouches
//! for no more than the weaker of both zones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use cli_support::{mta_seal, name};
use mta_seal::dns::authority::{Authority, Security, ZoneSpec};
use mta_seal::dns::{Authenticity, Lookup, Resolver, StubResolver};

const OWN: &str = "company1.example";
const UNDER: &str = "company1.hosted.example";
const ZONE: &str = "hosted.example";
const SELECTORS: [&str; 8] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];

/// The customer's zone, the provider's, and the provider's gateway.
struct World {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let specs = [ZoneSpec::signed(name(OWN)), ZoneSpec::signed(name(ZONE))];
        let authority = Authority::start(&specs).await.unwrap();
        for zone in [OWN, ZONE] {
            let host = format!("ns1.{zone}");
            authority.set_servers(&name(zone), &[&host]).unwrap();
            authority.set_addresses(&name(&host), &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
        }
        let world = Self { authority, directory: tempfile::tempdir().unwrap() };
        let place = world.place();
        let made = ["init", "--domain", OWN, "--dir", place.to_str().unwrap()];
        let made = mta_seal(&[&made[..], &["--selector", "s1"]].concat());
        assert!(made.status.success(), "{made:?}");
        fs::write(place.join("root.key"), world.authority.anchors()).unwrap();
        let selectors = SELECTORS.map(|selector| format!("'{selector}'")).join(", ");
        let text = format!(
            "hostname = 'gw.{ZONE}'\nstate = 'state'\n[[domain]]\nname = '{OWN}'\nkeys = 'keys/{OWN}'\n\
             [domain.publish]\nhook = '/bin/true'\nunder = '{UNDER}'\nselectors = [{selectors}]\n\
             [inbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
             [dns]\nmode = 'validate'\ntrust_anchor = 'root.key'\nservers = ['{}']\ntimeout = '3s'\n",
            world.authority.address()
        );
        fs::write(world.config(), text).unwrap();
        world.publish();
        world
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("gw")
    }

    fn config(&self) -> PathBuf {
        self.place().join("mta-seal.toml")
    }

    /// Publishes what `zone` prints: the records in the provider's zone, the aliases in the customer's.
    fn publish(&self) {
        let config = self.config();
        let zone = ["zone", "--format", "json", "--config", config.to_str().unwrap()];
        let records = mta_seal(&zone);
        let records: Vec<serde_json::Value> = serde_json::from_slice(&records.stdout).unwrap();
        for record in records {
            let word = |key: &str| record[key].as_str().unwrap();
            let (at, value) = (name(word("name")), word("value"));
            match word("type") {
                "CNAME" => self.authority.set_cname(&at, &name(value)).unwrap(),
                "TXT" => self.authority.set_txt(&at, &[value.as_bytes()]).unwrap(),
                other => panic!("{other}"),
            }
        }
    }

    fn alias(&self, at: &str, target: &str) {
        self.authority.set_cname(&name(at), &name(target)).unwrap();
    }

    /// Exit code, and the steps that have not passed: name, grade, text, hint.
    async fn trouble(&self) -> (i32, Vec<(String, String, String, String)>) {
        let config = self.config().to_str().unwrap().to_owned();
        let port = self.authority.address().port().to_string();
        let output = tokio::task::spawn_blocking(move || {
            mta_seal(&["check", OWN, "--json", "--authoritative-port", &port, "--config", &config])
        });
        let output = output.await.unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let word =
            |step: &serde_json::Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let steps = report["steps"].as_array().unwrap().iter();
        let steps = steps.map(|step| {
            (word(step, "step"), word(step, "grade"), word(step, "text"), word(step, "hint"))
        });
        let wrong = steps.filter(|step| step.1 != "pass").collect();
        (output.status.code().unwrap(), wrong)
    }

    /// There is one such step; its text and its hint.
    async fn fails(&self, step: &str) -> (String, String) {
        let (code, wrong) = self.trouble().await;
        assert_eq!(code, 1, "{wrong:#?}");
        let mut found = wrong.iter().filter(|(name, grade, ..)| name == step && grade == "fail");
        let (_, _, text, hint) = found.next().unwrap_or_else(|| panic!("no {step}: {wrong:#?}"));
        (text.clone(), hint.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_are_printed_and_found_well() {
    let world = World::new().await;
    let (code, wrong) = world.trouble().await;
    assert_eq!((code, wrong.len()), (0, 0), "{wrong:#?}");
    let config = world.config();
    let lines = mta_seal(&["zone", "--config", config.to_str().unwrap()]);
    let lines = String::from_utf8(lines.stdout).unwrap();
    for selector in ["", "s1.", "s8."] {
        let line =
            format!("{selector}_mta-seal.{OWN}. 3600 IN CNAME {selector}_mta-seal.{UNDER}.\n");
        assert!(lines.contains(&line), "{lines}");
    }
    assert!(
        lines.contains(&format!("\n_mta-seal.{UNDER}. 3600 IN TXT"))
            || lines.starts_with(&format!("_mta-seal.{UNDER}. 3600 IN TXT")),
        "{lines}"
    );
    assert!(!lines.contains(&format!("_mta-seal.{OWN}. 3600 IN TXT")), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_delegation_is_named() {
    let world = World::new().await;
    // What is not there is told apart from what is not authentic: the server of the test cannot prove that a name has names below it only.
    for zone in [OWN, ZONE] {
        world.authority.set_security(&name(zone), Security::Unsigned).unwrap();
    }
    let (policy, key) = (format!("_mta-seal.{OWN}"), format!("s1._mta-seal.{OWN}"));
    let to_policy = format!("_mta-seal.{UNDER}");
    let wanted = format!("{policy}. CNAME {to_policy}.");

    // Missing.
    world.authority.remove(&name(&policy)).unwrap();
    let (text, hint) = world.fails("delegation").await;
    assert!(text.contains(&format!("{policy} is no alias")), "{text}");
    assert!(hint.contains(&format!("the zone of {OWN} needs: {wanted}")), "{hint}");
    let (text, _) = world.fails("record").await;
    assert!(text.contains(&format!("{policy} ")), "{text}");
    // A copy of the record in place of the alias works today, and not after the next signing.
    let record = fs::read(world.place().join(format!("keys/{OWN}/policy.txt"))).unwrap();
    world.authority.set_txt(&name(&policy), &[record.trim_ascii_end()]).unwrap();
    let (text, _) = world.fails("delegation").await;
    assert!(text.contains(&format!("{policy} is no alias")), "{text}");

    // To a name that is not there.
    let wrong = format!("_mta-seal.company2.{ZONE}");
    world.alias(&policy, &wrong);
    let (text, hint) = world.fails("delegation").await;
    assert!(text.contains(&format!("{policy} is an alias of {wrong}")), "{text}");
    assert!(hint.contains(&wanted), "{hint}");
    let (text, _) = world.fails("record").await;
    let told = format!("{policy} is an alias ({wrong}), and {wrong} does not exist");
    assert!(text.contains(&told), "{text}");

    // In a circle, by way of the provider.
    world.alias(&policy, &wrong);
    world.alias(&wrong, &policy);
    let (text, hint) = world.fails("delegation").await;
    assert!(text.contains(&format!("{policy} leads in a circle ({wrong} -> {policy})")), "{text}");
    assert!(hint.contains(&wanted), "{hint}");
    let (text, _) = world.fails("record").await;
    assert!(text.contains("in a circle") && text.contains(&wrong), "{text}");

    // By way of another name it is as good.
    world.alias(&wrong, &to_policy);
    let (code, wrong_steps) = world.trouble().await;
    assert_eq!(code, 0, "{wrong_steps:#?}");
    world.alias(&policy, &to_policy);

    // Of a key: one in use, and one that comes later.
    for (selector, used) in [("s1", true), ("s5", false)] {
        let at = format!("{selector}._mta-seal.{OWN}");
        world.authority.remove(&name(&at)).unwrap();
        let (text, hint) = world.fails("delegation").await;
        assert!(text.contains(&format!("{at} is no alias")), "{text}");
        assert!(hint.contains(&format!("{at}. CNAME {selector}._mta-seal.{UNDER}.")), "{hint}");
        let (_, wrong) = world.trouble().await;
        assert_eq!(wrong.iter().any(|(step, ..)| step == "key-record"), used, "{wrong:#?}");
        world.alias(&at, &format!("{selector}._mta-seal.{UNDER}"));
    }
    // A key that leads to another's record.
    world.alias(&key, &to_policy);
    let (text, _) = world.fails("delegation").await;
    assert!(text.contains(&format!("{key} is an alias of {to_policy}")), "{text}");
    world.publish();
    assert_eq!(world.trouble().await.0, 0);
}

/// A chain is worth what its weakest zone is worth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dnssec_vouches_for_the_weaker_of_both_zones() {
    let world = World::new().await;
    let policy = name(&format!("_mta-seal.{OWN}"));
    let level = || async {
        let resolver = StubResolver::new(&world.authority.config()).unwrap();
        match resolver.txt(&policy).await {
            Lookup::Found(found) => Some(found.authenticity),
            Lookup::Bogus => None,
            other => panic!("{other:?}"),
        }
    };
    for (customer, provider, wanted) in [
        (Security::Signed, Security::Signed, Some(Authenticity::Secure)),
        (Security::Signed, Security::Unsigned, Some(Authenticity::Insecure)),
        (Security::Unsigned, Security::Signed, Some(Authenticity::Insecure)),
        (Security::Unsigned, Security::Unsigned, Some(Authenticity::Insecure)),
        (Security::Signed, Security::Stripped, None),
        (Security::Expired, Security::Signed, None),
    ] {
        world.authority.set_security(&name(OWN), customer).unwrap();
        world.authority.set_security(&name(ZONE), provider).unwrap();
        assert_eq!(level().await, wanted, "{customer:?} {provider:?}");
        let (code, wrong) = world.trouble().await;
        let dnssec = wrong.iter().find(|(step, ..)| step == "dnssec");
        match wanted {
            Some(Authenticity::Secure) => assert!(code == 0 && dnssec.is_none(), "{wrong:#?}"),
            Some(Authenticity::Insecure) => {
                let (_, grade, text, hint) = dnssec.unwrap();
                assert_eq!((code, grade.as_str()), (0, "warn"), "{wrong:#?}");
                assert!(text.contains("the zone, or one on the way, is not signed"), "{text}");
                assert!(hint.contains("sign the zone"), "{hint}");
            }
            None => {
                let (_, grade, text, _) = dnssec.unwrap();
                assert_eq!((code, grade.as_str()), (1, "fail"), "{wrong:#?}");
                assert!(text.starts_with("bogus"), "{text}");
            }
        }
    }
}
