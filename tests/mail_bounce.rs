//! Bounces of carriers, read: those that MTAs have written, and what must not be taken for one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use mta_seal::mail::bounce::{Bounce, MAX_BOUNCE, Reported};
use mta_seal::mail::carrier::{TOKEN_FIELD, Token};
use mta_seal::mail::notice::Action;

const BOB: &str = "bob@company2.example";

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces").join(name);
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}

/// The token in a sample, as it stands in the field of the returned header.
fn token_of(bounce: &str) -> String {
    let (_, rest) = bounce.split_once(&format!("{TOKEN_FIELD}: ")).expect("a token");
    rest[..32].to_owned()
}

fn read(bounce: &str) -> Option<Bounce> {
    Bounce::read(bounce.as_bytes(), true)
}

/// One bounce of a carrier to bob, with the parts that a test changes.
fn written(kind: &str, status: &str, returned: &str) -> String {
    format!(
        "From: MAILER-DAEMON@relay.example\r\nMIME-Version: 1.0\r\n\
         Content-Type: {kind}; boundary=\"b/b\"\r\n\r\n\
         --b/b\r\nContent-Type: text/plain\r\n\r\nIt failed.\r\n\r\n\
         --b/b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n\
         --b/b\r\n{returned}\r\n--b/b--\r\n"
    )
}

const REPORT: &str = "multipart/report; report-type=delivery-status";
const STATUS: &str = "Reporting-MTA: dns; relay.example\r\n\r\n\
                      Final-Recipient: rfc822; bob@company2.example\r\nAction: failed\r\nStatus: 5.1.1\r\n";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn header(token: &str) -> String {
    format!(
        "Content-Type: text/rfc822-headers\r\n\r\nFrom: mta-seal@company1.example\r\n\
         Message-ID: <{token}@company1.example>\r\nMTA-Seal-Token: {token}\r\n"
    )
}

/// [R-bnc-01] Postfix, Exim, OpenSMTPD and sendmail, with the whole carrier or its header.
#[test]
fn what_mtas_write_is_read() {
    let no_user = "550 5.1.1 no such user here";
    let unwanted = "554 5.7.1 this message is not wanted";
    let busy = "451 4.2.1 mailbox is busy, try again";
    for (name, action, status, diagnostic) in [
        ("postfix-rcpt.eml", Action::Failed, (5, 1, 1), no_user),
        ("postfix-dot-headers.eml", Action::Failed, (5, 7, 1), unwanted),
        ("postfix-delayed.eml", Action::Delayed, (4, 2, 1), busy),
        ("exim-rcpt.eml", Action::Failed, (5, 1, 1), no_user),
        ("exim-dot-headers.eml", Action::Failed, (5, 7, 1), unwanted),
        ("opensmtpd-rcpt.eml", Action::Failed, (5, 1, 1), no_user),
        ("sendmail-rcpt.eml", Action::Failed, (5, 1, 1), no_user),
        ("sendmail-dot-headers.eml", Action::Failed, (5, 7, 1), unwanted),
    ] {
        let text = sample(name);
        let bounce = read(&text).unwrap_or_else(|| panic!("{name} is not read"));
        assert_eq!(bounce.token.to_string(), token_of(&text), "{name}");
        assert_eq!(bounce.reporting_mta.as_deref(), Some("relay.example"), "{name}");
        let [told] = &bounce.recipients[..] else { panic!("{name}: {bounce:?}") };
        assert_eq!(told.address, BOB, "{name}");
        assert_eq!((told.action, told.status), (action, status), "{name}");
        assert_eq!(told.diagnostic.as_deref(), Some(diagnostic), "{name}");
    }
    // Every sample has a row above.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.filter(|name| name.to_str().unwrap().ends_with(".eml")).count(), 8);
}

/// OpenSMTPD cuts the returned carrier about every 64 KiB with an end of the multipart and the header of another part. What is behind is not looked at.
#[test]
fn a_damaged_carrier_does_not_matter() {
    let whole = sample("opensmtpd-rcpt.eml");
    let (_, boundary) = whole.split_once("boundary=\"").unwrap();
    let delimiter = format!("--{}", boundary.split('"').next().unwrap());
    let (head, tail) = whole.split_at(whole.len() - 2000);
    let damaged = format!(
        "{head}\r\n{delimiter}--\r\n{delimiter}\r\nContent-Description: Message headers\r\n\
         Content-Type: text/rfc822-headers\r\n\r\n{tail}"
    );
    assert_eq!(read(&damaged), read(&whole));
    assert!(read(&damaged).is_some());
}

/// The beginning tells everything; of a message that is cut in the middle of what it tells, nothing is believed.
#[test]
fn a_large_bounce_is_read_from_its_beginning() {
    let report = written(REPORT, STATUS, &header(TOKEN));
    let large = report.replace(
        "\r\n--b/b--",
        &format!("\r\n{}\r\n--b/b--", "body of the carrier\r\n".repeat(200_000)),
    );
    assert!(large.len() > 4_000_000);
    let head = &large.as_bytes()[..MAX_BOUNCE];
    assert_eq!(Bounce::read(head, false), Bounce::read(large.as_bytes(), true));
    assert_eq!(Bounce::read(head, false).unwrap().token.to_string(), TOKEN);

    // Nothing is known before the empty line behind the header, for another field may contradict those before it.
    let end = report.len() - "--b/b--\r\n".len();
    assert!(report[..end].ends_with(&format!("{TOKEN}\r\n\r\n")));
    for cut in 0..=report.len() {
        let known = Bounce::read(&report.as_bytes()[..cut], false).is_some();
        assert_eq!(known, cut >= end, "cut at {cut}");
    }
    // A token behind the limit is not found, wherever the message is divided.
    let late = report.replace("It failed.", &"It failed.\r\n".repeat(30_000));
    assert!(late.find(TOKEN).unwrap() > MAX_BOUNCE);
    assert_eq!(Bounce::read(late.as_bytes(), true), None);
}

/// The token counts in a returned header and nowhere else.
#[test]
fn a_token_elsewhere_is_none() {
    assert!(read(&written(REPORT, STATUS, &header(TOKEN))).is_some());
    // In the text for people, in the status, in the outer header, in a part of another type, one level deeper.
    let text = format!("MTA-Seal-Token: {TOKEN}\r\n");
    let without =
        written(REPORT, STATUS, "Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n");
    assert_eq!(read(&without.replace("It failed.", &format!("It failed.\r\n\r\n{text}"))), None);
    assert_eq!(
        read(&without.replace("Status: 5.1.1\r\n", &format!("Status: 5.1.1\r\n{text}"))),
        None
    );
    assert_eq!(read(&format!("{text}{without}")), None);
    for media in
        ["text/plain", "application/octet-stream", "message/partial", "multipart/mixed; boundary=c"]
    {
        let other = header(TOKEN).replace("text/rfc822-headers", media);
        assert_eq!(read(&written(REPORT, STATUS, &other)), None, "{media}");
    }
    let deeper = header(TOKEN).replace("\r\n\r\n", "\r\n\r\nSubject: x\r\n\r\n");
    assert_eq!(read(&written(REPORT, STATUS, &deeper)), None);
    let encoded =
        header(TOKEN).replace("\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    assert_eq!(read(&written(REPORT, STATUS, &encoded)), None);
}

/// Two tokens are none; the first returned message is the one that is meant.
#[test]
fn contradictions_are_not_settled() {
    let twice = header(TOKEN) + &format!("MTA-Seal-Token: {OTHER}\r\n");
    assert_eq!(read(&written(REPORT, STATUS, &twice)), None);
    let same = header(TOKEN) + &format!("MTA-Seal-Token: {TOKEN}\r\n");
    assert_eq!(read(&written(REPORT, STATUS, &same)), None);
    let unlike = header(TOKEN).replace(&format!("<{TOKEN}@"), &format!("<{OTHER}@"));
    assert_eq!(read(&written(REPORT, STATUS, &unlike)), None);
    for broken in [&TOKEN[1..], &TOKEN.to_uppercase(), "", "0123456789abcdef0123456789abcdeg"] {
        let field = header(TOKEN).replace(&format!("Token: {TOKEN}"), &format!("Token: {broken}"));
        assert_eq!(read(&written(REPORT, STATUS, &field)), None, "{broken}");
    }
    let first = format!("{}\r\n--b/b\r\n{}", header(TOKEN), header(OTHER));
    assert_eq!(
        read(&written(REPORT, STATUS, &first)).unwrap().token,
        Token::parse(TOKEN.as_bytes()).unwrap()
    );
    let none_first = format!(
        "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nx\r\n--b/b\r\n{}",
        header(OTHER)
    );
    assert_eq!(read(&written(REPORT, STATUS, &none_first)), None);
    // Each of the two names suffices: hops take fields out.
    for field in ["MTA-Seal-Token", "Message-ID"] {
        let one = header(TOKEN).replace(field, "X-Removed");
        assert_eq!(
            read(&written(REPORT, STATUS, &one)).unwrap().token.to_string(),
            TOKEN,
            "{field}"
        );
    }
}

/// Whatever says nothing of any recipient is no bounce, nor is what is no report.
#[test]
fn other_messages_are_no_bounces() {
    assert!(read(&written("multipart/mixed", STATUS, &header(TOKEN))).is_some());
    for kind in ["multipart/alternative", "text/plain", "multipart/signed"] {
        assert_eq!(read(&written(kind, STATUS, &header(TOKEN))), None, "{kind}");
    }
    let doubled = written(REPORT, STATUS, &header(TOKEN));
    assert_eq!(read(&format!("Content-Type: text/plain\r\n{doubled}")), None);
    for (field, other) in [
        ("Final-Recipient: rfc822; bob@company2.example\r\n", ""),
        ("Final-Recipient: rfc822; ", "Final-Recipient: "),
        ("Action: failed\r\n", ""),
        ("Action: failed", "Action: exploded"),
        ("Action: failed\r\n", "Action: failed\r\nAction: delayed\r\n"),
        ("Content-Type: message/delivery-status", "Content-Type: message/disposition-notification"),
    ] {
        let changed = written(REPORT, STATUS, &header(TOKEN)).replace(field, other);
        assert_eq!(read(&changed), None, "{field}");
    }
    for nothing in ["", "\r\n", "From: x@y.example\r\n\r\n--b/b\r\n"] {
        assert_eq!(read(nothing), None);
    }
}

/// The fields of a recipient, in their variety.
#[test]
fn statuses_are_read() {
    let one = |fields: &str| -> Reported {
        let status = format!("Reporting-MTA: dns; r.example\r\n\r\n{fields}");
        let bounce = read(&written(REPORT, &status, &header(TOKEN))).unwrap();
        bounce.recipients.into_iter().next().unwrap()
    };
    let told = one(
        "Action: Failed (for good)\r\nFinal-Recipient: RFC822 ;\r\n bob@company2.example\r\nStatus: 5.2.2 (full)\r\n\
                    Original-Recipient: rfc822;robert@company2.example\r\n\
                    Diagnostic-Code: smtp;\r\n  552 5.2.2 mailbox\r\n\tis full\r\n",
    );
    assert_eq!(told.address, BOB);
    assert_eq!(told.original.as_deref(), Some("robert@company2.example"));
    assert_eq!((told.action, told.status), (Action::Failed, (5, 2, 2)));
    assert_eq!(told.diagnostic.as_deref(), Some("552 5.2.2 mailbox is full"));

    let recipient = "Final-Recipient: rfc822; bob@company2.example\r\n";
    for (fields, status) in [
        ("Action: failed\r\n", (5, 0, 0)),
        ("Action: delayed\r\nStatus: 9.1.1\r\n", (4, 0, 0)),
        ("Action: relayed\r\nStatus: 2.0.0.0\r\n", (2, 0, 0)),
        ("Action: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550 5.1.1 no\r\n", (5, 1, 1)),
        ("Action: failed\r\nStatus: 4.4.7\r\nDiagnostic-Code: smtp; 451 4.7.1 no\r\n", (4, 4, 7)),
        ("Action: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: X-Unix; 67\r\n", (5, 0, 0)),
    ] {
        assert_eq!(one(&format!("{recipient}{fields}")).status, status, "{fields}");
    }
    for word in ["delivered", "relayed", "expanded"] {
        assert_eq!(one(&format!("{recipient}Action: {word}\r\n")).action, Action::Relayed);
    }

    // Several recipients, of which one says nothing usable; and far too many.
    let several = "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\r\n\
                   Final-Recipient: rfc822; c@d.example\r\n\r\nFinal-Recipient: rfc822; e@f.example\r\nAction: delayed\r\n";
    let bounce = read(&written(REPORT, several, &header(TOKEN))).unwrap();
    let addresses: Vec<_> = bounce.recipients.iter().map(|told| told.address.as_str()).collect();
    assert_eq!(addresses, ["a@b.example", "e@f.example"]);
    assert_eq!(bounce.reporting_mta, None);
    let many = "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\r\n".repeat(2_000);
    assert_eq!(read(&written(REPORT, &many, &header(TOKEN))).unwrap().recipients.len(), 1_000);
}
