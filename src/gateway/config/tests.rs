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
    let hop = config.inbound.unwrap().next_hop;
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
    let hop = config.inbound.unwrap().next_hop;
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
