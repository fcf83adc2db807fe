#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../examples/mta-seal.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/mta-seal/mta-seal.toml"))
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.state, Path::new("/etc/mta-seal/state"));
    assert_eq!(config.domains[0].keys, Path::new("/etc/mta-seal/keys/company1.example"));
    let hop = config.inbound.unwrap().next_hop.remove(0);
    assert_eq!(hop.address.to_string(), "lmtp+unix:///run/dovecot/lmtp");
}

/// Uncommenting a default in the example must change nothing, so the example tells the truth.
#[test]
fn example_states_the_real_defaults() {
    let stated: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_default(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (bare, stated) = (parse(EXAMPLE).unwrap(), parse(&stated).unwrap());
    assert_eq!(format!("{:#?}", bare), format!("{stated:#?}"));
    assert_eq!(stated.timeouts.dot, Duration::from_secs(540));
}

fn is_default(line: &str) -> bool {
    const NOT_DEFAULTS: [&str; 7] =
        ["dkim", "servers", "trust_anchor", "tls", "identity", "next_hop", "delay_notice"];
    let Some((key, _)) = line.split_once(" = ") else { return false };
    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !NOT_DEFAULTS.contains(&key)
}

#[test]
fn partners_inherit_the_defaults() {
    let config = parse(
        "hostname = 'gw.a.example'\n[defaults]\npolicy = 'require'\nminimum_level = 'dnssec'\n\
         [[domain]]\nname = 'a.example'\nkeys = 'k'\n\
         [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n\
         [[partner]]\ndomain = 'B.Example'\nminimum_level = 'first-use'\n",
    )
    .unwrap();
    let partner = config.treatment(&Domain::parse("b.example").unwrap());
    assert_eq!((partner.policy, partner.minimum_level), (Rule::Require, Level::FirstUse));
    let other = config.treatment(&Domain::parse("c.example").unwrap());
    assert_eq!((other.policy, other.minimum_level), (Rule::Require, Level::Dnssec));
    let hop = config.inbound.unwrap().next_hop.remove(0);
    assert_eq!(hop.address.to_string(), "lmtp://[::1]:24");
    assert_eq!(hop.tls, crate::smtp::tls::TlsLevel::Off);
}

#[test]
fn pins_in_hexadecimal_and_base64_agree() {
    let config = |pin: &str| {
        parse(&format!(
            "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n\
             [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n\
             [[partner]]\ndomain = 'b.example'\nidentity = '{pin}'\n"
        ))
        .map(|config| config.partners[0].identity.unwrap())
    };
    let hex = config(&"a5".repeat(32)).unwrap();
    assert_eq!(hex.as_bytes(), &[0xa5; 32]);
    assert_eq!(config("paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=").unwrap(), hex);
    assert!(config(&"a5".repeat(31)).is_err());
    assert!(config("paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaV=").is_err());
}

fn with_next_hop(directory: &Path, next_hop: &str) -> Config {
    let text = format!(
        "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n\
         [outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = {next_hop}\n"
    );
    Config::parse(&text, &directory.join("mta-seal.toml")).unwrap()
}

#[test]
fn next_hops_may_be_several() {
    let list = "['smtp://one.example', { url = 'smtp://two.example:26', tls = 'required' }]";
    let hops = with_next_hop(Path::new("/etc"), list).outbound.unwrap().next_hop;
    let addresses: Vec<String> = hops.iter().map(|hop| hop.address.to_string()).collect();
    assert_eq!(addresses, ["smtp://one.example:25", "smtp://two.example:26"]);
    assert_eq!(hops[1].tls, crate::smtp::tls::TlsLevel::Required);
}

#[test]
fn passwords_are_read_from_private_files() {
    use crate::store::secret_file::SecretFileError;
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let table = "{ url = 'smtp://smart.example:587', tls = 'verified', user = 'gw', \
                 password_file = 'smart.pass' }";
    let path = directory.path().join("smart.pass");
    let write = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        with_next_hop(directory.path(), table).outbound.unwrap().next_hop.remove(0).credentials()
    };
    let plain = write("s3cret word", 0o600).unwrap().unwrap();
    assert_eq!(plain.user(), "gw");
    for text in ["s3cret word\n", "s3cret word\r\n"] {
        assert!(write(text, 0o400).unwrap().unwrap() == plain, "{text:?}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(write("s3cret word ", 0o600).unwrap().unwrap() != plain);
    for mode in [0o644, 0o640, 0o604, 0o660, 0o610] {
        let error = write("s3cret", mode).unwrap_err();
        assert!(matches!(&error, PasswordError::File(SecretFileError::Permission(_))), "{error}");
        assert!(error.hint().unwrap().contains("chmod 600"));
    }
    for text in ["", "\n", "one\ntwo\n", "a\0b"] {
        let error = write(text, 0o600).unwrap_err();
        assert!(matches!(&error, PasswordError::Unusable { .. }), "{error}");
        assert!(!error.to_string().contains("two"));
    }
    std::fs::remove_file(&path).unwrap();
    let config = with_next_hop(directory.path(), table);
    let error = config.outbound.unwrap().next_hop[0].credentials().unwrap_err();
    assert!(matches!(&error, PasswordError::File(SecretFileError::Io { .. })), "{error}");
}

#[test]
fn a_partner_may_be_allowed_a_weaker_suite_but_never_clear_mail() {
    let config = |line: &str| {
        parse(&format!(
            "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n\
             [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n\
             [[partner]]\ndomain = 'b.example'\n{line}\n"
        ))
    };
    let of = |config: &Config, name| config.destination(&Domain::parse(name).unwrap()).allow;
    let allowing = config("allow_weaker_suite = true").unwrap();
    assert!(of(&allowing, "b.example").weaker_suite);
    assert!(!of(&allowing, "b.example").clear_on_failure);
    assert!(!of(&allowing, "c.example").weaker_suite);
    assert!(!of(&config("").unwrap(), "b.example").weaker_suite);
    assert!(config("allow_clear = true").is_err());
}

#[test]
fn counters_are_read_from_loopback_at_a_port_of_their_own() {
    let with = |listen: &str| {
        parse(&format!(
            "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n\
             [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n\
             [metrics]\nlisten = '{listen}'\n"
        ))
    };
    let config = with("127.0.0.1:9090").unwrap();
    assert_eq!(config.metrics.unwrap().listen.port(), 9090);
    assert!(config.warnings.is_empty());
    let open = with("0.0.0.0:9090").unwrap();
    assert!(
        open.warnings[0].summary().contains("mta-seal.toml:9: [metrics] listens on 0.0.0.0:9090")
    );
    let taken = with("127.0.0.1:25").unwrap_err();
    assert!(taken.summary().contains("where mail is taken"), "{taken}");
}

fn publication(table: &str) -> Publication {
    let text = format!(
        "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n{table}\n\
         [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n"
    );
    let mut config = parse(&text).unwrap();
    config.domains.remove(0).publication
}

#[test]
fn records_are_published_by_hand_unless_somebody_else_is_named() {
    let by_hand = publication("");
    assert_eq!(by_hand, Publication::default());
    assert_eq!((by_hand.way, by_hand.ttl), (PublicationWay::Manual, 3600));
    let command = PathBuf::from("/usr/local/sbin/publish");
    let hook = publication("[domain.publish]\nhook = '/usr/local/sbin/publish'\nttl = '1d'");
    assert_eq!((hook.way, hook.ttl), (PublicationWay::Hook { command }, 86_400));
    for (zone, found) in [
        ("", None),
        ("zone = 'a.example'", Some("a.example")),
        ("zone = '_mta-seal.a.example'", Some("_mta-seal.a.example")),
    ] {
        let table = format!("[domain.publish]\nserver = '[::1]:5353'\ntsig = 'u.key'\n{zone}");
        let zone = found.map(|zone| Domain::parse(zone).unwrap());
        let server = "[::1]:5353".parse().unwrap();
        let tsig = PathBuf::from("/etc/mta-seal/u.key");
        assert_eq!(publication(&table).way, PublicationWay::Update { server, tsig, zone });
    }
    let PublicationWay::Update { server, .. } =
        publication("[domain.publish]\nserver = '192.0.2.53'\ntsig = 'u.key'").way
    else {
        panic!("not by update")
    };
    assert_eq!(server.to_string(), "192.0.2.53:53");
}

#[test]
fn records_may_stand_below_another_name() {
    let names = (1..=8).map(|at| format!("'s{at}'")).collect::<Vec<_>>().join(", ");
    let table = format!("[domain.publish]\nunder = 'a.hosted.example'\nselectors = [{names}]");
    let found = publication(&table);
    assert_eq!(found.way, PublicationWay::Manual);
    let selectors: Vec<String> = found.selectors.iter().map(ToString::to_string).collect();
    assert_eq!(selectors, ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"]);
    let mut local = LocalDomain {
        name: Domain::parse("a.example").unwrap(),
        keys: PathBuf::new(),
        dkim: Vec::new(),
        publication: found,
        rotation: None,
    };
    assert_eq!(local.records_under().as_str(), "a.hosted.example");
    local.publication = Publication::default();
    assert_eq!(local.records_under().as_str(), "a.example");
}
