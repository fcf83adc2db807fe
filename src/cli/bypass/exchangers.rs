//! Whether mail comes in by the gateway: who takes the mail of our own domains.

use super::finding::Finding;
use super::nexthop::addresses;
use crate::core::Domain;
use crate::dns::MailHosts;
use crate::gateway::config::Config;
use std::net::{IpAddr, UdpSocket};

const HINT: &str =
    "let the MX lead to this gateway, or name what stands before it with --edge HOST";

/// The mail exchangers of a domain, compared with where this gateway listens.
pub(super) fn check(
    config: &Config,
    domain: &Domain,
    hosts: &MailHosts,
    edges: &[String],
) -> Vec<Finding> {
    let hostname = config.hostname.as_str();
    let listen: Vec<IpAddr> = match &config.inbound {
        Some(inbound) => inbound.listen.iter().map(std::net::SocketAddr::ip).collect(),
        None => {
            let what = "the gateway has no [inbound]: nothing that comes in is unsealed";
            let hint = "add [inbound], or let another gateway unseal for the domain";
            return vec![Finding::warning(format!("mx {domain}"), what, hint)];
        }
    };
    let here = |host: &str| {
        host == hostname
            || addresses(host).iter().any(|address| {
                listen
                    .iter()
                    .any(|own| own == address || (own.is_unspecified() && is_ours(*address)))
            })
    };
    judge(domain, hosts, edges, here)
}

/// Whether an address belongs to this host: no other can be bound to.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn judge(
    domain: &Domain,
    hosts: &MailHosts,
    edges: &[String],
    here: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let subject = format!("mx {domain}");
    let implicit = [domain.as_str().to_owned()];
    let listed: &[String] = match hosts {
        MailHosts::Listed(hosts) => hosts,
        MailHosts::Implicit => &implicit,
        MailHosts::Nobody => return vec![Finding::ok(subject, "the domain takes no mail")],
        MailHosts::NoDomain => {
            let what = "the domain does not exist in DNS";
            return vec![Finding::fail(subject, what, "is its name right in [[domain]]?")];
        }
        MailHosts::Unknown => {
            let what = "the look-up failed: not known who takes the mail";
            return vec![Finding::warning(subject, what, "try again; see [dns]")];
        }
    };
    let edge =
        |host: &str| edges.iter().any(|edge| edge.trim_end_matches('.').eq_ignore_ascii_case(host));
    let finding = |host: &String| {
        let subject = subject.clone();
        if edge(host) {
            Finding::ok(subject, format!("{host} stands before this gateway (--edge)"))
        } else if here(host) {
            Finding::ok(subject, format!("{host} is this gateway"))
        } else {
            let what = format!("{host} is not this gateway: mail comes in there past it");
            Finding::warning(subject, what, HINT)
        }
    };
    listed.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::cli::bypass::finding::text;

    #[test]
    fn every_exchanger_must_be_here_or_named() {
        let domain = Domain::parse("company1.example").unwrap();
        let listed = |hosts: &[&str]| {
            MailHosts::Listed(hosts.iter().map(|host| (*host).to_owned()).collect())
        };
        let said = |hosts: &MailHosts, here: &str| {
            text(&judge(&domain, hosts, &["Filter.example.".to_owned()], |host| host == here))
        };
        let mixed = listed(&["gw.company1.example", "filter.example", "backup.example"]);
        let all = [
            said(&mixed, "gw.company1.example"),
            said(&MailHosts::Implicit, "company1.example"),
            said(&MailHosts::Implicit, "gw.company1.example"),
            said(&MailHosts::Nobody, ""),
            said(&MailHosts::NoDomain, ""),
            said(&MailHosts::Unknown, ""),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn an_address_is_ours_or_not() {
        assert!(is_ours("127.0.0.1".parse().unwrap()));
        // A documentation address (RFC 5737).
        assert!(!is_ours("192.0.2.1".parse().unwrap()));
    }
}
