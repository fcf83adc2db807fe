//! The same outcomes with BIND as authority and as validating resolver, for what the in-process
//! server does not offer: wildcards, NSEC3, DNAME, other algorithms, the AD bit.
//!
//! Runs when `MTA_SEAL_TEST_BIND=1`; needs `named`, `dnssec-keygen` and `dnssec-signzone`
//! (Debian: bind9, bind9-utils).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dns_support;

use std::fmt::Write as _;
use std::net::SocketAddr;

use dns_support::{Named, ROOT, Signing, is_wanted, make_zone, name, trust_anchor};
use mta_seal::dns::{
    AnchorSource, Authenticity, DnsConfig, Lookup, Mode, Resolver, Servers, StubResolver,
};

use Authenticity::{Insecure, Secure};

const NSEC: &str = r#"
* IN TXT "v=spf1 -all"
exists IN A 127.0.0.1
alias IN CNAME text.nsec3.example.
*.wild IN CNAME text.nsec3.example.
nowhere IN CNAME a.exists.nsec3.example.
d IN DNAME tree.nsec3.example.
"#;

const NSEC3: &str = r#"
* IN TXT "v=spf1 -all"
text IN TXT "a" "b" "c"
exists IN A 127.0.0.1
_mta-seal.tree IN TXT "through a dname"
alias IN CNAME text.nsec.example.
"#;

const PLAIN: &str = r#"
_mta-seal IN TXT "plain"
alias IN CNAME text.nsec3.example.
d IN DNAME tree.nsec3.example.
"#;

const ONE: &str = "_mta-seal IN TXT \"one\"\n";

/// Origin, records and, if signed, how.
type Zone = (&'static str, &'static str, Option<Signing>);

const ZONES: [Zone; 6] = [
    ("nsec.example", NSEC, Some(("ECDSAP256SHA256", &[]))),
    ("nsec3.example", NSEC3, Some(("ED25519", &["-3", "-"]))),
    ("p384.example", ONE, Some(("ECDSAP384SHA384", &[]))),
    ("rsa.example", ONE, Some(("RSASHA256", &["-3", "abcd"]))),
    (
        "old.example",
        ONE,
        Some(("RSASHA256", &["-P", "-s", "20240101000000", "-e", "20240201000000"])),
    ),
    ("plain.example", PLAIN, None),
];

struct World {
    authority: Named,
    resolver: Named,
    anchors: String,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let mut zones = String::new();
    let mut root = ROOT.to_owned();
    let large = "x".repeat(250);
    for (origin, records, signing) in ZONES {
        let head = "$TTL 300\n@ IN SOA ns. hostmaster. 1 3600 600 86400 60\n@ IN NS ns.\n";
        let big = format!("sel._large IN TXT{}\n", format!(" \"{large}\"").repeat(7));
        let (file, _) = make_zone(path, origin, &format!("{head}{records}{big}"), signing);
        writeln!(zones, "zone \"{origin}\" {{ type primary; file \"{}\"; }};", file.display())
            .unwrap();
        writeln!(root, "{origin}. IN NS ns.").unwrap();
    }
    let (file, key) = make_zone(path, ".", &root, Some(("ECDSAP256SHA256", &[])));
    writeln!(zones, "zone \".\" {{ type primary; file \"{}\"; }};", file.display()).unwrap();
    let key = trust_anchor(path, &key.unwrap());

    let body = format!("recursion no; dnssec-validation no; }};\n{zones}");
    let authority = Named::start(path, "authority", &body, "_mta-seal.plain.example").await;

    let fields: Vec<&str> = key.split_whitespace().collect();
    let at = fields.iter().position(|f| *f == "DNSKEY").unwrap();
    let (numbers, base64) = (fields[at + 1..at + 4].join(" "), fields[at + 4..].concat());
    let body = format!(
        "recursion yes; dnssec-validation yes; empty-zones-enable no; forward only;\n\
         forwarders {{ 127.0.0.1 port {}; }}; }};\n\
         trust-anchors {{ . static-key {numbers} \"{base64}\"; }};\n",
        authority.address().port(),
    );
    let resolver = Named::start(path, "resolver", &body, "_mta-seal.plain.example").await;
    World { authority, resolver, anchors: key, _dir: dir }
}

fn stub(server: SocketAddr, mode: Mode) -> StubResolver {
    let config = DnsConfig { servers: Servers::Listed(vec![server]), mode, ..DnsConfig::default() };
    StubResolver::new(&config).unwrap()
}

/// What a look-up must end in: `found TEXT`, or the label of another outcome.
const EXPECTED: [(&str, &str, Option<Authenticity>); 22] = [
    // A signed domain with a wildcard SPF record that has never heard of us is not bogus.
    ("_mta-seal.nsec.example", "found v=spf1 -all", Some(Secure)),
    ("_mta-seal.nsec3.example", "found v=spf1 -all", Some(Secure)),
    ("_mta-seal.exists.nsec.example", "nxdomain", Some(Secure)),
    ("_mta-seal.exists.nsec3.example", "nxdomain", Some(Secure)),
    ("exists.nsec.example", "nodata", Some(Secure)),
    ("exists.nsec3.example", "nodata", Some(Secure)),
    ("wild.nsec.example", "nodata", Some(Secure)),
    ("text.nsec3.example", "found abc", Some(Secure)),
    ("alias.nsec.example", "found abc", Some(Secure)),
    ("_mta-seal.wild.nsec.example", "found abc", Some(Secure)),
    ("alias.nsec3.example", "found v=spf1 -all", Some(Secure)),
    ("nowhere.nsec.example", "nxdomain", Some(Secure)),
    ("_mta-seal.d.nsec.example", "found through a dname", Some(Secure)),
    ("_mta-seal.p384.example", "found one", Some(Secure)),
    ("_mta-seal.rsa.example", "found one", Some(Secure)),
    ("nothing.rsa.example", "nxdomain", Some(Secure)),
    ("_mta-seal.plain.example", "found plain", Some(Insecure)),
    ("alias.plain.example", "found abc", Some(Insecure)),
    ("_mta-seal.d.plain.example", "found through a dname", Some(Insecure)),
    ("nothing.plain.example", "nxdomain", Some(Insecure)),
    ("nothing.example", "nxdomain", Some(Secure)),
    ("_mta-seal.old.example", "bogus", None),
];

async fn check(server: SocketAddr, mode: Mode, bogus: &str) {
    let resolver = stub(server, mode.clone());
    for (text, expected, authenticity) in EXPECTED {
        let outcome = resolver.txt(&name(text)).await;
        let mut label = outcome.label().to_owned();
        if let Lookup::Found(found) = &outcome {
            assert_eq!(found.records.len(), 1);
            label = format!("found {}", String::from_utf8_lossy(&found.records[0]));
        }
        let expected = if expected == "bogus" { bogus } else { expected };
        assert_eq!(
            (label.as_str(), outcome.authenticity()),
            (expected, authenticity),
            "{text} {mode:?}"
        );
    }
    for zone in ["nsec", "nsec3", "plain"] {
        let outcome = resolver.txt(&name(&format!("sel._large.{zone}.example"))).await;
        let Lookup::Found(found) = outcome else { panic!("{zone}: {outcome:?}") };
        assert_eq!(found.records[0].len(), 1750);
    }
}

#[tokio::test]
async fn bind_and_the_resolver_agree() {
    if !is_wanted("dns_bind") {
        return;
    }
    let world = world().await;
    let validate = || Mode::Validate { anchors: AnchorSource::Text(world.anchors.clone()) };
    // An authoritative server leaves chains across zones open; a resolver completes them.
    check(world.authority.address(), validate(), "bogus").await;
    check(world.resolver.address(), validate(), "bogus").await;
    check(world.resolver.address(), Mode::AdBit, "servfail").await;
}
