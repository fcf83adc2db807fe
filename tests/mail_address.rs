//! The author of a message: where we read one, another parser reads the same one and no other; and whomever another
//! parser reads, is among those we take the message to be from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mail_parser::MessageParser;
use mta_seal::core::Domain;
use mta_seal::mail::address::author;
use mta_seal::mail::claims::claimed_domains;
use mta_seal::mail::header::Header;
use proptest::prelude::*;

fn fragment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "ann",
        "a.b",
        "@",
        "b.example",
        "<",
        ">",
        "ann@b.example",
        "<ceo@bank.example>",
        "<ann@b.example>",
        ",",
        ";",
        ":",
        " ",
        "\r\n ",
        "\"",
        "\\",
        "(",
        ")",
        "\"x, y\"",
        "(c <x@y.example>)",
        "=?utf-8?Q?a=40b?=",
        "=?utf-8?Q?ceo=40bank.example?=",
        "=?utf-8?B?PGNlb0BiYW5rLmV4YW1wbGU+?=",
        "=?utf-8?Q?=00=0D=0A?=",
        "ceo@bank.example",
        "\"ceo@bank.example\"",
        "bank",
        ".example",
        "\t",
        "\u{b}",
        "\u{fc}",
        "\r\nFrom: ",
        "\r\nSender: ",
        "\r\nFrom : ceo@bank.example",
        "\r\nno field\r\nFrom: ceo@bank.example",
        "\"q\"@b.example",
        ".",
        "[192.0.2.1]",
        "Ann",
    ])
}

/// The header as we read it, and the message as a gateway passes it on.
fn passed_on(text: &str) -> (Header, Vec<u8>) {
    let (header, body) = Header::split(text.as_bytes());
    let separator = header.due_separator(!body.is_empty());
    let delivered = [header.raw(), separator, &body].concat();
    (header, delivered)
}

#[test]
fn the_last_from_does_not_win() {
    let text = b"From: ann@b.example\r\nFrom: ceo@bank.example\r\n\r\n";
    let other = MessageParser::new().parse(text).unwrap();
    assert_eq!(other.from().unwrap().first().unwrap().address(), Some("ceo@bank.example"));
    assert_eq!(author(&Header::split(text).0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn another_reader_agrees(pieces in prop::collection::vec(fragment(), 1..8)) {
        let text = format!("From: {}\r\n\r\n", pieces.concat());
        let (header, delivered) = passed_on(&text);
        if let Some(found) = author(&header) {
            let other = MessageParser::new().parse(&delivered).unwrap();
            prop_assert_eq!(other.header_values("From").count(), 1, "{}", text);
            let addresses: Vec<_> = other.from().unwrap().iter().collect();
            prop_assert_eq!(addresses.len(), 1, "{}", text);
            let address = addresses[0].address().unwrap();
            let domain = address.rsplit('@').next().and_then(|name| Domain::parse(name).ok());
            prop_assert_eq!(domain, Some(found.domain), "{} {}", text, address);
        }
    }

    /// Where a decision must not be evaded, whatever the other parser takes for an author of a domain counts.
    #[test]
    fn another_reader_sees_no_author_that_we_do_not(
        pieces in prop::collection::vec(fragment(), 1..8),
    ) {
        let text = format!("From: {}\r\n\r\n", pieces.concat());
        let (header, delivered) = passed_on(&text);
        let other = MessageParser::new().parse(&delivered).unwrap();
        let fields = [other.from(), other.sender()];
        let addresses = fields.iter().flatten().flat_map(|field| field.iter());
        for address in addresses.filter_map(|address| address.address()) {
            let address = address.to_ascii_lowercase();
            let domain = address.rsplit('@').next().unwrap();
            if address.contains('@') && ["bank.example", "b.example"].contains(&domain) {
                let claimed = claimed_domains(&header).unwrap();
                let found = claimed.iter().any(|claimed| claimed.as_str() == domain);
                prop_assert!(found, "{:?} {} {:?}", text, address, claimed);
            }
        }
    }
}
