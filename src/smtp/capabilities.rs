//! What a server offers in its reply to EHLO or LHLO (RFC 5321 section 4.1.1.1).

use super::Reply;
use super::origin::Attribute;

/// The extensions of one server, read from the next hop or advertised to the peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870) in octets; `Some(0)` is SIZE without a fixed limit.
    pub size: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH mechanisms (RFC 4954) in upper case.
    pub auth: Vec<String>,
    /// XFORWARD with the attributes that it takes.
    pub xforward: Vec<Attribute>,
    /// XCLIENT with the attributes that it takes.
    pub xclient: Vec<Attribute>,
}

impl Capabilities {
    /// Everything that the server side can speak to anybody, without a size limit and STARTTLS.
    #[must_use]
    pub fn all() -> Self {
        Self {
            pipelining: true,
            size: Some(0),
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            enhanced_status_codes: true,
            ..Self::default()
        }
    }

    /// Reads the reply to EHLO; its first line is the greeting. Unknown keywords are ignored.
    #[must_use]
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => offered.pipelining = true,
                // RFC 1870 section 4: no number and zero both say that no limit is stated.
                "SIZE" => offered.size = Some(words.next().and_then(parse_size).unwrap_or(0)),
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "DSN" => offered.dsn = true,
                "ENHANCEDSTATUSCODES" => offered.enhanced_status_codes = true,
                "STARTTLS" => offered.starttls = true,
                "AUTH" => offered.auth.extend(words.map(str::to_ascii_uppercase)),
                "XFORWARD" => offered.xforward = words.filter_map(Attribute::named).collect(),
                "XCLIENT" => offered.xclient = words.filter_map(Attribute::named).collect(),
                _ => {}
            }
        }
        offered
    }

    /// The stated size limit in octets, if there is one.
    #[must_use]
    pub fn size_limit(&self) -> Option<u64> {
        self.size.filter(|&limit| limit > 0)
    }

    /// The lines after the greeting, in the reply to EHLO.
    pub(super) fn ehlo_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.pipelining {
            lines.push("PIPELINING".to_owned());
        }
        if let Some(limit) = self.size {
            lines.push(if limit == 0 { "SIZE".to_owned() } else { format!("SIZE {limit}") });
        }
        for (offered, keyword) in [
            (self.eight_bit_mime, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.dsn, "DSN"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.starttls, "STARTTLS"),
        ] {
            if offered {
                lines.push(keyword.to_owned());
            }
        }
        if !self.auth.is_empty() {
            lines.push(format!("AUTH {}", self.auth.join(" ")));
        }
        for (keyword, attributes) in [("XFORWARD", &self.xforward), ("XCLIENT", &self.xclient)] {
            if !attributes.is_empty() {
                let names: Vec<&str> = attributes.iter().map(|a| a.name()).collect();
                lines.push(format!("{keyword} {}", names.join(" ")));
            }
        }
        lines
    }

    /// What both offer, where a client must not be offered more than any next hop can do: the smaller size limit. What
    /// concerns the connection alone (PIPELINING, STARTTLS, AUTH, XFORWARD, XCLIENT) is left out.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let limit = match (self.size_limit(), other.size_limit()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            size: limit.or_else(|| self.size.and(other.size)),
            eight_bit_mime: self.eight_bit_mime && other.eight_bit_mime,
            smtputf8: self.smtputf8 && other.smtputf8,
            dsn: self.dsn && other.dsn,
            enhanced_status_codes: self.enhanced_status_codes && other.enhanced_status_codes,
            ..Self::default()
        }
    }
}

fn parse_size(digits: &str) -> Option<u64> {
    let valid = digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit());
    // Twenty digits may exceed the type; such a limit binds nobody.
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn ehlo_reply_is_read() {
        let reply = Reply::plain(250, "mx.example.org SMTPUTF8 is not meant here")
            .with_line("pipelining")
            .with_line("SIZE 10240000")
            .with_line("AUTH plain LOGIN")
            .with_line("XFUTURE 1 2")
            .with_line("")
            .with_line("8BITMIME");
        let read = Capabilities::from_ehlo(&reply);
        let expected = Capabilities {
            pipelining: true,
            size: Some(10_240_000),
            eight_bit_mime: true,
            auth: vec!["PLAIN".into(), "LOGIN".into()],
            ..Capabilities::default()
        };
        assert_eq!(read, expected);
        assert_eq!(Capabilities::default().size_limit(), None);
    }

    #[test]
    fn size_without_number_is_no_limit() {
        for (line, limit) in [
            ("SIZE", None),
            ("SIZE 0", None),
            ("SIZE x", None),
            ("SIZE 7", Some(7)),
            ("SIZE 99999999999999999999", Some(u64::MAX)),
        ] {
            let read = Capabilities::from_ehlo(&Reply::plain(250, "mx").with_line(line));
            assert_eq!(read.size_limit(), limit, "{line}");
            assert!(read.size.is_some());
        }
    }

    #[test]
    fn what_is_advertised_is_read_back() {
        let offered = Capabilities {
            size: Some(1000),
            starttls: true,
            auth: vec!["PLAIN".into()],
            xforward: vec![Attribute::Addr, Attribute::Ident],
            xclient: vec![Attribute::Login],
            ..Capabilities::all()
        };
        let reply =
            offered.ehlo_lines().into_iter().fold(Reply::plain(250, "mx"), Reply::with_line);
        assert_eq!(Capabilities::from_ehlo(&reply), offered);
    }

    #[test]
    fn the_intersection_promises_what_both_can_do() {
        let wide = Capabilities::all();
        let narrow =
            Capabilities { size: Some(1000), dsn: true, starttls: true, ..Capabilities::default() };
        let both = Capabilities { size: Some(1000), dsn: true, ..Capabilities::default() };
        assert_eq!(wide.intersection(&narrow), both);
        assert_eq!(narrow.intersection(&wide), both);
        let other = Capabilities { size: Some(7), ..Capabilities::default() };
        assert_eq!(narrow.intersection(&other).size_limit(), Some(7));
        assert_eq!(wide.intersection(&Capabilities::default()), Capabilities::default());
    }
}
