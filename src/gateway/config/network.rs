//! Ranges of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3).

use super::value::FromText;
use std::fmt;
use std::net::IpAddr;

/// A range of addresses, such as `192.0.2.0/24` or `2001:db8::/32`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies in the range. An IPv4-mapped IPv6 address counts as its IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.address)
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        self.address.is_ipv4() == other.address.is_ipv4()
            && masked(self.address, prefix) == masked(other.address, prefix)
    }

    /// Whether the range is at most as wide as these prefix lengths, for IPv4 and for IPv6.
    pub(super) fn is_within(&self, (v4, v6): (u8, u8)) -> bool {
        self.prefix >= if self.address.is_ipv4() { v4 } else { v6 }
    }

    /// Whether the range lies within loopback, private or link-local space (RFC 1918, RFC 4193,
    /// RFC 3927, RFC 4291), so that only one's own hosts can be in it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        const PRIVATE: [&str; 8] = [
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ];
        PRIVATE
            .iter()
            .filter_map(|text| Self::from_text(text).ok())
            .any(|range| range.prefix <= self.prefix && range.contains(self.address))
    }
}

/// The first `prefix` bits of `address`; none if it has fewer bits.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let host_bits = 32_u32.checked_sub(u32::from(prefix))?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(IpAddr::V4((v4.to_bits() & mask).into()))
        }
        IpAddr::V6(v6) => {
            let host_bits = 128_u32.checked_sub(u32::from(prefix))?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(IpAddr::V6((v6.to_bits() & mask).into()))
        }
    }
}

impl FromText for Network {
    const EXPECTED: &'static str =
        "a range such as \"10.0.0.0/8\", \"::1/128\" or a single address";

    fn from_text(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("`{text}` is no range of addresses"))?;
        if address.to_canonical() != address {
            return Err(format!("`{text}`: write an IPv4 range as IPv4"));
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or_else(|| format!("the prefix length in `{text}` is above {width}"))?,
            Some(_) => return Err(format!("`{text}` is no range of addresses")),
        };
        let range = Self { address, prefix };
        match masked(address, prefix) {
            // A slip in the prefix length would silently admit other hosts.
            Some(network) if network != address => Err(format!(
                "`{text}` has bits set behind the prefix; the range would be {network}/{prefix}"
            )),
            _ => Ok(range),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn range(text: &str) -> Network {
        Network::from_text(text).unwrap()
    }

    #[test]
    fn membership() {
        assert!(range("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!range("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(range("127.0.0.0/8").contains("::ffff:127.0.0.1".parse().unwrap()));
        assert!(range("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(!range("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(range("::/0").contains("2001:db8::1".parse().unwrap()));
        assert!(range("192.0.2.7").contains("192.0.2.7".parse().unwrap()));
        assert!(!range("192.0.2.7").contains("192.0.2.6".parse().unwrap()));
    }

    #[test]
    fn overlap() {
        for (a, b, meets) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0/8", false),
            ("10.0.0.0/9", "10.128.0.0/9", false),
            ("0.0.0.0/0", "203.0.113.0/24", true),
            ("0.0.0.0/0", "::/0", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
        ] {
            assert_eq!(range(a).overlaps(&range(b)), meets, "{a} {b}");
            assert_eq!(range(b).overlaps(&range(a)), meets, "{b} {a}");
        }
    }

    #[test]
    fn private_ranges_lie_wholly_inside() {
        for private in
            ["127.0.0.0/8", "::1/128", "10.1.0.0/16", "172.16.0.0/12", "fd00::/8", "192.168.1.1"]
        {
            assert!(range(private).is_private(), "{private}");
        }
        for public in
            ["0.0.0.0/0", "8.0.0.0/5", "172.0.0.0/8", "203.0.113.0/24", "::/0", "2001:db8::/32"]
        {
            assert!(!range(public).is_private(), "{public}");
        }
    }

    #[test]
    fn malformed_ranges() {
        for bad in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::/129",
            "localhost",
            "10/8",
        ] {
            assert!(Network::from_text(bad).is_err(), "{bad}");
        }
    }
}
