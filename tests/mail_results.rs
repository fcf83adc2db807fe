//! Authentication-Results: what is written, and which fields may not stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mta_seal::core::Domain;
use mta_seal::mail::header::Header;
use mta_seal::mail::results::{Outcome, ReversePathOf, field, removes_forged};
use proptest::prelude::*;

const OURS: &str = "gw.example.org";

fn removed(raw: &str) -> bool {
    let (header, rest) = Header::split(raw.as_bytes());
    assert!(rest.is_empty(), "{raw:?} is one field");
    assert_eq!(header.fields().count(), 1, "{raw:?} is one field");
    let first = header.fields().next().unwrap();
    removes_forged(&first, OURS)
}

fn pass(from: &str) -> String {
    passed(from, ReversePathOf::Sender)
}

fn passed(from: &str, reverse_path: ReversePathOf) -> String {
    let (header, _) = Header::split(format!("{from}\r\n").as_bytes());
    let sender = Domain::parse("sender.example").unwrap();
    let outcome =
        Outcome::Pass { sender: &sender, suite: 2, level: "dnssec", reverse_path, header: &header };
    field(OURS, &outcome)
}

#[test]
fn written_fields() {
    assert_eq!(
        pass("From: Ann <ann@sender.example>\r\n"),
        "Authentication-Results: gw.example.org; mta-seal=pass\r\n\
         \tpolicy.domain=sender.example policy.suite=2 policy.level=dnssec\r\n\
         \tpolicy.aligned=yes header.from=sender.example\r\n"
    );
    let other = pass("From: Ann <ann@x.sender.example>\r\n");
    assert!(other.ends_with("policy.aligned=no header.from=x.sender.example\r\n"), "{other}");
    for none in [
        "",
        "From: a@sender.example, b@sender.example\r\n",
        "From: a@sender.example\r\nFrom: a@sender.example\r\n",
    ] {
        let written = pass(none);
        assert!(written.ends_with("policy.aligned=no\r\n"), "{written}");
    }
    let forwarded = passed("From: Ann <ann@sender.example>\r\n", ReversePathOf::Foreign);
    assert!(
        forwarded
            .ends_with("\tpolicy.foreign=yes policy.aligned=no header.from=sender.example\r\n"),
        "{forwarded}"
    );
    // [R-uns-11]: a null reverse-path is not foreign, nor does it say who wrote the message.
    let notice = passed("From: Ann <ann@sender.example>\r\n", ReversePathOf::Nobody);
    assert!(notice.ends_with("\tpolicy.aligned=no header.from=sender.example\r\n"), "{notice}");
    assert_eq!(
        field(OURS, &Outcome::None { expected: false }),
        "Authentication-Results: gw.example.org; mta-seal=none\r\n"
    );
    assert_eq!(
        field(OURS, &Outcome::None { expected: true }),
        "Authentication-Results: gw.example.org; mta-seal=none policy.expected=sealed\r\n"
    );
}

#[test]
fn what_we_write_is_recognised_as_ours() {
    assert!(removed(&pass("From: a@b.example\r\n")));
    for expected in [false, true] {
        assert!(removed(&field(OURS, &Outcome::None { expected })));
    }
}

#[test]
fn fields_in_our_name_go() {
    for body in [
        " gw.example.org; mta-seal=pass",
        "gw.example.org;mta-seal=pass",
        " GW.Example.ORG; none",
        " gw.example.org.; mta-seal=pass",
        " gw.example.org",
        " gw.example.org 1; mta-seal=pass",
        " gw.example.org(x)1(y); mta-seal=pass",
        "\r\n\tgw.example.org;\r\n mta-seal=pass",
        " (comment) gw.example.org; mta-seal=pass",
        " (a(b)\\)c;) gw.example.org; mta-seal=pass",
        " (mx.other.example;) gw.example.org; mta-seal=pass",
        " \"gw.example.org\"; mta-seal=pass",
        " \"gw\\.example.org\"; mta-seal=pass",
        " \" gw.example.org\"; mta-seal=pass",
        // Malformed, disguised.
        " gw.example.org mta-seal=pass",
        " gw . example . org; mta-seal=pass",
        " gw.(x)example.org; mta-seal=pass",
        " ; gw.example.org; mta-seal=pass",
        " <gw.example.org>; mta-seal=pass",
        " @gw.example.org; mta-seal=pass",
        " (gw.example.org; mta-seal=pass",
        " \"gw.example.org; mta-seal=pass",
        " other.example (gw.example.org); mta-seal=pass",
        " other.example gw.example.org; mta-seal=pass",
        " =?utf-8?Q?gw.example.org?=; mta-seal=pass",
        " =?utf-8?B?Z3cuZXhhbXBsZS5vcmc=?=; dkim=pass",
        " gw.example.org\u{0}; mta-seal=pass",
        " gw.exam\u{200b}ple.org; mta-seal=pass",
        " mta-seal=pass policy.domain=bank.example",
        "; mta-seal=pass",
        " spf=pass (x) smtp.mailfrom=gw.example.org",
    ] {
        assert!(removed(&format!("Authentication-Results:{body}\r\n")), "{body:?}");
    }
    assert!(removed("authentication-RESULTS : gw.example.org; none\r\n"));
}

#[test]
fn fields_of_others_stay() {
    for raw in [
        "Authentication-Results: mx.other.example; spf=pass smtp.mailfrom=gw.example.org",
        "Authentication-Results: mx.other.example; mta-seal=pass policy.domain=a.example",
        "Authentication-Results: mx.gw.example.com 1;\r\n\tdkim=pass header.d=gw.example.org",
        "Authentication-Results: (their) mx.other.example (x); none",
        "Authentication-Results: \"mx.other.example\"; none",
        "Authentication-Results: b\u{fc}cher.example; dkim=pass",
        // Exchange Online writes no authserv-id.
        "Authentication-Results: spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=a.example;",
        "ARC-Authentication-Results: i=1; gw.example.org; mta-seal=pass",
        "X-Authentication-Results: gw.example.org; mta-seal=pass",
        "Subject: gw.example.org; mta-seal=pass",
    ] {
        assert!(!removed(&format!("{raw}\r\n")), "{raw}");
    }
}

#[test]
fn internationalised_names_are_one_name() {
    let (header, _) =
        Header::split("Authentication-Results: b\u{fc}cher.example; x=pass\r\n".as_bytes());
    let first = header.fields().next().unwrap();
    assert!(removes_forged(&first, "xn--bcher-kva.example"));
    assert!(!removes_forged(&first, "xn--bcher-kvb.example"));
}

proptest! {
    #[test]
    fn no_disguise_before_the_first_result_survives(
        before in "(\\([a-z ;.]{0,8}\\)|[ \t]){0,4}",
        cases in prop::collection::vec(any::<bool>(), 14),
        after in "(\\([a-z ;.]{0,8}\\)| 1 |\\.|[ \t]){0,3}",
        tail in "(; ?mta-seal=pass)?",
    ) {
        let name: String = OURS.chars().zip(cases.iter().cycle())
            .map(|(c, up)| if *up { c.to_ascii_uppercase() } else { c }).collect();
        let raw = format!("Authentication-Results:{before}{name}{after}{tail}\r\n");
        prop_assert!(removed(&raw), "{}", raw);
    }

    #[test]
    fn our_name_in_any_form_of_disorder_goes(
        before in prop::collection::vec(any::<u8>(), 0..40),
        after in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let is_inside = |b: &u8| !matches!(b, b';' | b'\r' | b'\n');
        let before: Vec<u8> = before.into_iter().filter(is_inside).collect();
        let after: Vec<u8> = after.into_iter().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        let field = [b"Authentication-Results:", &before[..], OURS.as_bytes(), &after, b"\r\n"];
        let (header, _) = Header::split(&field.concat());
        let first = header.fields().next().unwrap();
        prop_assert!(removes_forged(&first, OURS));
    }
}
