//! The author of a message: where we read one, another parser reads the same one and no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mail_parser::MessageParser;
use mta_seal::mail::address::author;
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
        "\"q\"@b.example",
        ".",
        "[192.0.2.1]",
        "Ann",
    ])
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
        let (header, _) = Header::split(text.as_bytes());
        if let Some(found) = author(&header) {
            let other = MessageParser::new().parse(text.as_bytes()).unwrap();
            let addresses: Vec<_> = other.from().unwrap().iter().collect();
            prop_assert_eq!(addresses.len(), 1, "{}", text);
            let address = addresses[0].address().unwrap().to_ascii_lowercase();
            prop_assert!(address.ends_with(&format!("@{}", found.domain)), "{} {}", text, address);
        }
    }
}
