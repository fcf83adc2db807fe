//! Ranges that well-known clouds send from for all their customers.
//!
//! As their owners publish them; they change now and then, so that a range that is not here proves nothing.

use super::Network;
use super::value::FromText;

/// Exchange Online Protection: "Office 365 URLs and IP address ranges", id 10.
const MICROSOFT: [&str; 7] = [
    "40.92.0.0/15",
    "40.107.0.0/16",
    "52.100.0.0/14",
    "52.238.78.88/32",
    "104.47.0.0/17",
    "2a01:111:f400::/48",
    "2a01:111:f403::/48",
];

/// Google Workspace: the TXT records that `_spf.google.com` includes, and the ranges for unverified forwarding.
const GOOGLE: [&str; 29] = [
    "35.190.247.0/24",
    "35.191.0.0/16",
    "64.233.160.0/19",
    "66.102.0.0/20",
    "66.249.80.0/20",
    "72.14.192.0/18",
    "74.125.0.0/16",
    "108.177.8.0/21",
    "108.177.16.0/23",
    "108.177.96.0/19",
    "130.211.0.0/22",
    "142.250.220.0/23",
    "172.217.0.0/19",
    "172.217.32.0/20",
    "172.217.128.0/19",
    "172.217.160.0/20",
    "172.217.192.0/19",
    "172.253.56.0/21",
    "172.253.112.0/20",
    "173.194.0.0/16",
    "209.85.128.0/17",
    "216.58.192.0/19",
    "216.239.32.0/19",
    "2001:4860:4000::/36",
    "2404:6800:4000::/36",
    "2607:f8b0:4000::/36",
    "2800:3f0:4000::/36",
    "2a00:1450:4000::/36",
    "2c0f:fb50:4000::/36",
];

/// The cloud that some of `range` belongs to.
pub(super) fn of(range: &Network) -> Option<&'static str> {
    let meets = |list: &[&str]| {
        list.iter().filter_map(|text| Network::from_text(text).ok()).any(|own| own.overlaps(range))
    };
    if meets(&MICROSOFT) {
        Some("Microsoft 365")
    } else if meets(&GOOGLE) {
        Some("Google Workspace")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_range_is_one() {
        for text in MICROSOFT.iter().chain(&GOOGLE) {
            assert!(of(&Network::from_text(text).unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn whatever_meets_a_cloud_is_found() {
        let cloud = |text: &str| of(&Network::from_text(text).unwrap());
        assert_eq!(cloud("40.93.255.255"), Some("Microsoft 365"));
        assert_eq!(cloud("40.94.0.0"), None);
        assert_eq!(cloud("52.100.0.0/16"), Some("Microsoft 365"));
        assert_eq!(cloud("52.0.0.0/8"), Some("Microsoft 365"));
        assert_eq!(cloud("2607:f8b0:4864::/56"), Some("Google Workspace"));
        assert_eq!(cloud("::/0"), Some("Microsoft 365"));
        assert_eq!(cloud("192.0.2.1"), None);
        assert_eq!(cloud("10.0.0.0/8"), None);
    }
}
