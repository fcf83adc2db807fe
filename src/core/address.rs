//! Mailboxes and paths of the SMTP envelope (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
//!
//! Everything that comes from a peer or out of an envelope is parsed by this strict grammar and
//! printed anew from the typed value, so no octet of a command is ever copied through.

mod mailbox;
mod path;

use std::fmt;

pub use mailbox::{Host, MAX_LOCAL_PART, Mailbox};
pub use path::{ForwardPath, MAX_PATH, ReversePath};

/// Why a text is no mailbox or path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A path does not stand in angle brackets, or something is left behind the closing one.
    #[error("path is not enclosed in angle brackets")]
    Brackets,
    /// More than [`MAX_PATH`] octets.
    #[error("path longer than {MAX_PATH} octets")]
    PathTooLong,
    /// The local part has more than [`MAX_LOCAL_PART`] octets.
    #[error("local part longer than {MAX_LOCAL_PART} octets")]
    LocalPartTooLong,
    /// The local part is neither a dot-string nor a quoted string.
    #[error("malformed local part")]
    LocalPart,
    /// There is no `@` behind the local part.
    #[error("address without a domain")]
    NoDomain,
    /// What follows the `@` is no fully qualified domain name.
    #[error("malformed domain")]
    Domain,
    /// The address literal is neither IPv4 nor IPv6.
    #[error("malformed address literal")]
    Literal,
    /// The source route before the mailbox is malformed.
    #[error("malformed source route")]
    SourceRoute,
}

macro_rules! debug_as_display {
    ($($type:ident),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    )*};
}
debug_as_display!(Host, Mailbox, ReversePath, ForwardPath);

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spelling_is_kept() {
        for text in [
            "<a@example.org>",
            "<First.Last+tag@example.org>",
            "<\"a@x\"@example.org>",
            "<\"a > b\"@example.org>",
            "<\"q\\\"uote\\\\\"@example.org>",
            "<\"\"@example.org>",
            "<a@[192.0.2.1]>",
            "<a@[IPv6:2001:db8::1]>",
            "<döner@example.org>",
            "<!#$%&'*+-/=?^_`{|}~@example.org>",
        ] {
            assert_eq!(ReversePath::parse(text).unwrap().to_string(), text);
            assert_eq!(ForwardPath::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ReversePath::parse("<>").unwrap(), ReversePath::Null);
        assert_eq!(
            ForwardPath::parse("<Döner@BÜCHER.Example>").unwrap().to_string(),
            "<Döner@xn--bcher-kva.example>"
        );
    }

    #[test]
    fn postmaster_needs_no_domain_as_recipient_only() {
        assert_eq!(ForwardPath::parse("<PostMaster>").unwrap(), ForwardPath::Postmaster);
        assert_eq!(ForwardPath::parse("<PostMaster>").unwrap().to_string(), "<postmaster>");
        assert_eq!(ReversePath::parse("<postmaster>"), Err(AddressError::NoDomain));
        assert_eq!(ForwardPath::parse("<>"), Err(AddressError::LocalPart));
    }

    #[test]
    fn source_routes_are_dropped() {
        let path = ForwardPath::parse("<@a.example,@b.example:u@c.example>").unwrap();
        assert_eq!(path.to_string(), "<u@c.example>");
        for bad in ["<@a.example>", "<@a.example,b.example:u@c.example>", "<@:u@c.example>"] {
            assert_eq!(ForwardPath::parse(bad), Err(AddressError::SourceRoute), "{bad}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in [
            "",
            "a@example.org",
            "<a@example.org",
            "<a@example.org>x",
            "< a@example.org>",
            "<a@example.org >",
            "<a b@example.org>",
            "<a..b@example.org>",
            "<.a@example.org>",
            "<a.@example.org>",
            "<@example.org>",
            "<a@>",
            "<a@b>",
            "<a@example.org.>",
            "<a@b@example.org>",
            "<a@-x.example>",
            "<a@192.0.2.1>",
            "<a@[192.0.2.256]>",
            "<a@[IPv6:fe80::1%eth0]>",
            "<a@[2001:db8::1]>",
            "<a@[x-tag:y]>",
            "<a@[192.0.2.1>",
            "<a\r\n@example.org>",
            "<\"a\r\nDATA\"@example.org>",
            "<\"a\\\r\"@example.org>",
            "<\"a\0\"@example.org>",
            "<\"a\u{85}\"@example.org>",
            "<a\u{9b}31m@example.org>",
            "<\"a@example.org>",
            "<\"a\"b@example.org>",
            "<a\"b\"@example.org>",
            "<a\\b@example.org>",
            "<<a@example.org>>",
        ] {
            assert!(ReversePath::parse(bad).is_err(), "{bad:?}");
            assert!(ForwardPath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let local = |n| "a".repeat(n);
        assert!(Mailbox::parse(&format!("{}@example.org", local(255))).is_ok());
        assert_eq!(
            Mailbox::parse(&format!("{}@example.org", local(256))),
            Err(AddressError::LocalPartTooLong)
        );
        let route = format!("<@{}.example:a@example.org>", "x.".repeat(120) + "x");
        assert!(ForwardPath::parse(&route).is_ok());
        let route = format!("<{}:a@example.org>", vec!["@aaaa.example"; 50].join(","));
        assert_eq!(ForwardPath::parse(&route), Err(AddressError::PathTooLong));
    }

    #[test]
    fn local_parts_are_compared_by_octets_and_domains_are_not() {
        let a = Mailbox::parse("User@Example.ORG").unwrap();
        assert_eq!(a, Mailbox::parse("User@example.org").unwrap());
        assert_ne!(a, Mailbox::parse("user@example.org").unwrap());
        assert_ne!(a, Mailbox::parse("\"User\"@example.org").unwrap());
        assert!(Mailbox::parse("a@[192.0.2.1]").unwrap().domain().is_none());
    }

    #[test]
    fn what_follows_the_path_is_returned() {
        let (path, rest) = ReversePath::parse_prefix("<\">\"@example.org> SIZE=1").unwrap();
        assert_eq!(path.mailbox().unwrap().local_part(), "\">\"");
        assert_eq!(rest, " SIZE=1");
    }

    proptest! {
        /// Whatever is accepted prints to one line of the same meaning.
        #[test]
        fn accepted_paths_print_to_themselves(text in "<[ -~é\u{0}-\u{1f}]{0,12}@(example\\.org|\\[192\\.0\\.2\\.1\\])>") {
            if let Ok(path) = ForwardPath::parse(&text) {
                let printed = path.to_string();
                prop_assert!(!printed.chars().any(char::is_control));
                prop_assert_eq!(ForwardPath::parse(&printed).unwrap(), path);
            }
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = ForwardPath::parse(&text);
            let _ = ReversePath::parse(&format!("<{text}>"));
        }
    }
}
