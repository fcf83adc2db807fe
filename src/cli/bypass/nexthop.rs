//! Next-hop destinations as Postfix writes them (transport(5), smtp(8)), and whether they lead to the gateway.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Where this gateway can be reached, and how names of others are looked up.
pub(super) struct Gateway<'a> {
    pub(super) hostname: &'a str,
    /// Addresses of the listener in question.
    pub(super) listen: &'a [SocketAddr],
    /// The addresses of a host.
    pub(super) resolve: &'a dyn Fn(&str) -> Vec<IpAddr>,
}

/// One host with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The addresses of a host by the system's resolver; none if there is no such host.
pub(super) fn addresses(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    (host, 0).to_socket_addrs().map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default()
}

/// A transport and its next hop, each possibly empty: `smtp:[relay.example]:587`.
pub(super) fn transport(value: &str) -> (&str, &str) {
    let value = value.trim();
    match value.split_once(':') {
        Some((transport, nexthop)) => (transport.trim(), nexthop.trim()),
        None => (value, ""),
    }
}

/// The destinations of a next hop, which may be several; `None` for a socket or what cannot be read.
pub(super) fn destinations(nexthop: &str, default_port: u16) -> Option<Vec<Destination>> {
    let words = nexthop.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.map(|word| destination(word, default_port)).collect()
}

fn destination(text: &str, default_port: u16) -> Option<Destination> {
    if text.starts_with("unix:") {
        return None;
    }
    let text = text.strip_prefix("inet:").unwrap_or(text);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            // An IPv6 address without brackets has no port.
            Some((host, _)) if host.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host = host.strip_prefix("ipv6:").or_else(|| host.strip_prefix("IPv6:")).unwrap_or(host);
    let port = match port {
        None | Some("") => default_port,
        Some(name) => service(name)?,
    };
    Some(Destination { host: host.to_ascii_lowercase(), port })
}

/// A port by number or by the name of a mail service.
pub(super) fn service(name: &str) -> Option<u16> {
    match name {
        "smtp" => Some(25),
        "lmtp" => Some(24),
        "submission" => Some(587),
        "smtps" | "submissions" | "urd" => Some(465),
        digits => digits.parse().ok(),
    }
}

impl Gateway<'_> {
    /// Whether every destination of `nexthop` is this gateway; an empty one is not.
    pub(super) fn is_reached_by(&self, nexthop: &str, default_port: u16) -> bool {
        destinations(nexthop, default_port)
            .is_some_and(|all| !all.is_empty() && all.iter().all(|one| self.is_at(one)))
    }

    /// Whether this gateway listens there.
    pub(super) fn is_at(&self, destination: &Destination) -> bool {
        let mut ports = self.listen.iter().filter(|own| own.port() == destination.port).peekable();
        if ports.peek().is_none() {
            return false;
        }
        if destination.host == self.hostname {
            return true;
        }
        let found = (self.resolve)(&destination.host);
        ports.any(|own| {
            found.iter().any(|address| {
                *address == own.ip() || (own.ip().is_unspecified() && address.is_loopback())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn next_hops_are_read_as_postfix_does() {
        for (text, host, port) in [
            ("[127.0.0.1]:10025", "127.0.0.1", 10_025),
            ("127.0.0.1:10025", "127.0.0.1", 10_025),
            ("inet:localhost:10025", "localhost", 10_025),
            ("[Relay.Example]", "relay.example", 25),
            ("relay.example:submission", "relay.example", 587),
            ("[::1]:10025", "::1", 10_025),
            ("[ipv6:::1]:10025", "::1", 10_025),
            ("::1", "::1", 25),
        ] {
            let one = Destination { host: host.to_owned(), port };
            assert_eq!(destinations(text, 25), Some(vec![one]), "{text}");
        }
        assert_eq!(destinations("unix:private/lmtp", 25), None);
        assert_eq!(destinations("[broken", 25), None);
        assert_eq!(destinations("[a]:b", 25), None);
        assert_eq!(destinations("[a]:1, [b]:2", 25).unwrap().len(), 2);
        assert_eq!(transport("lmtp:inet:127.0.0.1:24"), ("lmtp", "inet:127.0.0.1:24"));
        assert_eq!(transport("smtp"), ("smtp", ""));
    }

    #[test]
    fn the_gateway_is_told_by_address_and_port() {
        let resolve = |host: &str| match host {
            "partner.gw.internal" | "localhost" | "127.0.0.1" => vec![[127, 0, 0, 1].into()],
            "10.0.0.1" => vec![[10, 0, 0, 1].into()],
            _ => Vec::new(),
        };
        let at = |listen: &[&str], nexthop: &str| {
            let listen: Vec<SocketAddr> = listen.iter().map(|l| l.parse().unwrap()).collect();
            let hostname = "gw.company1.example";
            Gateway { hostname, listen: &listen, resolve: &resolve }.is_reached_by(nexthop, 25)
        };
        let own = ["127.0.0.1:10025"];
        for reached in [
            "[127.0.0.1]:10025",
            "localhost:10025",
            "[partner.gw.internal]:10025",
            "[gw.company1.example]:10025",
            "[localhost]:10025, [127.0.0.1]:10025",
        ] {
            assert!(at(&own, reached), "{reached}");
        }
        for elsewhere in [
            "",
            "[127.0.0.1]:10026",
            "[127.0.0.1]",
            "[10.0.0.1]:10025",
            "[nowhere.example]:10025",
            "[127.0.0.1]:10025, [relay.example]",
            "unix:private/lmtp",
        ] {
            assert!(!at(&own, elsewhere), "{elsewhere}");
        }
        assert!(at(&["0.0.0.0:10025"], "[127.0.0.1]:10025"));
        assert!(!at(&["0.0.0.0:10025"], "[10.0.0.1]:10025"));
    }
}
