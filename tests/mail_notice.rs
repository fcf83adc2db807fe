//! Delivery status notifications, as another parser reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mail_parser::{MessageParser, MimeHeaders};
use mta_seal::core::Domain;
use mta_seal::mail::header::Header;
use mta_seal::mail::notice::{Action, Dsn, Recipient, Translated, refusal};
use proptest::prelude::*;

fn failed() -> Recipient<'static> {
    Recipient {
        address: "bob@recipient.example",
        original: Some("rfc822;Bob+tag@recipient.example"),
        action: Action::Failed,
        status: (5, 7, 1),
        diagnostic: Some("550 5.7.1 refused by policy"),
        reason: "The mail system of the recipient refused the message.",
    }
}

fn build(recipients: &[Recipient<'_>], returned: Option<&Header>) -> Vec<u8> {
    build_for("ann@sender.example", recipients, returned)
}

fn build_for(sender: &str, recipients: &[Recipient<'_>], returned: Option<&Header>) -> Vec<u8> {
    let from = Domain::parse("sender.example").unwrap();
    Dsn {
        reporting_mta: "gw.sender.example",
        from: &from,
        id: "4f2a",
        sender,
        envid: Some("QQ314159"),
        arrival: 0,
        translated: None,
        date: 60,
        recipients,
        returned,
    }
    .build()
}

/// The fields of the delivery-status part, unfolded.
fn status(message: &[u8]) -> String {
    let parsed = MessageParser::new().parse(message).unwrap();
    let part = parsed
        .parts
        .iter()
        .find(|p| {
            let media = p.content_type().and_then(|media| media.subtype());
            matches!(media, Some("delivery-status" | "global-delivery-status"))
        })
        .unwrap();
    String::from_utf8(part.contents().to_vec()).unwrap().replace("\r\n\t", " ")
}

/// [R-bnc-03] A report of another system says whose it is and what message it is about, whatever stands in it.
#[test]
fn a_report_of_somebody_else() {
    let from = Domain::parse("sender.example").unwrap();
    let made = |reporting_mta, came_from, message_id, diagnostic| {
        let recipients = [Recipient { original: None, diagnostic: Some(diagnostic), ..failed() }];
        let translated = Some(Translated { reporting_mta, came_from, message_id });
        let (returned, _) = Header::split(b"Message-ID: <1@sender.example>\r\n\r\n");
        let returned = message_id.map(|_| &returned);
        let message = Dsn {
            reporting_mta: "gw.sender.example",
            from: &from,
            id: "4f2a",
            sender: "ann@sender.example",
            envid: None,
            arrival: 0,
            translated,
            date: 60,
            recipients: &recipients,
            returned,
        }
        .build();
        let parsed = MessageParser::new().parse(&message).unwrap();
        let human = String::from_utf8(parsed.parts[1].contents().to_vec()).unwrap();
        let (outer, _) = Header::split(&message);
        (outer, human.replace("\r\n", " "), status(&message))
    };
    let (outer, human, status) =
        made("mx.relay.example", "[192.0.2.9]", Some("<1@sender.example>"), "550 5.7.1 no");
    for name in ["In-Reply-To", "References"] {
        assert_eq!(outer.only(name).unwrap().unfolded(), b"<1@sender.example>");
    }
    assert!(
        human.contains("The report came unsealed from [192.0.2.9]. It is that system's word, and nothing proves it.")
    );
    assert!(human.contains("Message-ID of your message: <1@sender.example>"));
    assert!(status.starts_with(
        "Reporting-MTA: dns; mx.relay.example\r\nDSN-Gateway: dns; gw.sender.example\r\n"
    ));

    // Text from outside makes no lines, and what is no Message-ID stands in no field.
    for id in [
        "<1@sender.example>\r\nBcc: x@y.example",
        "1@sender.example",
        "<a b@c>",
        "<\u{e9}@c>",
        "<a><b>",
    ] {
        let lines = "x\r\nFinal-Recipient: rfc822; mallory@evil.example\r\n\r\ny";
        let (outer, human, status) = made(lines, lines, Some(id), lines);
        assert_eq!(
            outer.count("In-Reply-To") + outer.count("References") + outer.count("Bcc"),
            0,
            "{id}"
        );
        assert_eq!(status.matches("\r\nFinal-Recipient:").count(), 1, "{id}");
        assert!(human.contains("The report came unsealed from x  Final-Recipient"), "{human}");
    }
    let (outer, ..) = made("mx.relay.example", "[192.0.2.9]", None, "550 5.7.1 no");
    assert_eq!(outer.count("In-Reply-To"), 0);
}

#[test]
fn a_whole_notice() {
    let (header, _) = Header::split(
        b"Received: from x by y\r\nSubject: secret\r\n folded\r\nMessage-ID: <1@sender.example>\r\n\r\nbody text",
    );
    let delayed = Recipient {
        address: "carol@recipient.example",
        original: None,
        action: Action::Delayed,
        status: (4, 4, 1),
        diagnostic: None,
        reason: "The mail system of the recipient does not answer.",
    };
    let message = build(&[failed(), delayed], Some(&header));
    let (outer, _) = Header::split(&message);
    assert_eq!(outer.only("Date").unwrap().unfolded(), b"Thu, 01 Jan 1970 00:01:00 +0000");
    assert_eq!(outer.only("Message-ID").unwrap().unfolded(), b"<4f2a@sender.example>");
    assert_eq!(outer.only("To").unwrap().unfolded(), b"<ann@sender.example>");
    assert_eq!(outer.only("Subject").unwrap().unfolded(), b"Message not delivered");
    assert!(mta_seal::mail::header::is_automatic(&outer));
    let author = mta_seal::mail::address::author(&outer).unwrap();
    assert_eq!(author.local, b"postmaster");

    let parsed = MessageParser::new().parse(&message).unwrap();
    let report = parsed.content_type().unwrap();
    assert_eq!((report.ctype(), report.subtype()), ("multipart", Some("report")));
    assert_eq!(report.attribute("report-type"), Some("delivery-status"));
    let kinds: Vec<_> = parsed
        .parts
        .iter()
        .skip(1)
        .map(|p| p.content_type().unwrap().subtype().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["plain", "delivery-status", "rfc822-headers"]);
    assert_eq!(
        status(&message).trim_end(),
        "Original-Envelope-Id: QQ314159\r\n\
         Reporting-MTA: dns; gw.sender.example\r\n\
         Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\n\
         Original-Recipient: rfc822; Bob+tag@recipient.example\r\n\
         Final-Recipient: rfc822; bob@recipient.example\r\n\
         Action: failed\r\nStatus: 5.7.1\r\n\
         Diagnostic-Code: smtp; 550 5.7.1 refused by policy\r\n\r\n\
         Final-Recipient: rfc822; carol@recipient.example\r\n\
         Action: delayed\r\nStatus: 4.4.1"
    );
    let human = String::from_utf8(parsed.parts[1].contents().to_vec()).unwrap();
    assert!(human.contains("bob@recipient.example: failed"));
    assert!(human.contains("does not answer."));
    let returned = parsed.parts[3].contents();
    assert_eq!([returned, b"\r\n"].concat(), header.raw());
    assert!(!String::from_utf8_lossy(&message).contains("body text"));
}

#[test]
fn subjects_follow_the_worst_action() {
    let of = |action| {
        let message = build(&[Recipient { action, ..failed() }], None);
        let (outer, _) = Header::split(&message);
        String::from_utf8(outer.only("Subject").unwrap().unfolded()).unwrap()
    };
    assert_eq!(of(Action::Relayed), "Message passed on");
    assert_eq!(of(Action::Delayed), "Message delayed");
    assert_eq!(of(Action::Failed), "Message not delivered");
}

#[test]
fn a_long_or_8_bit_header_is_returned_whole_in_fields() {
    let many: String = (0..3000).map(|i| format!("X-{i}: {}\r\n", "v".repeat(20))).collect();
    let (header, _) = Header::split(format!("{many}\r\n").as_bytes());
    let message = build(&[failed()], Some(&header));
    assert!(message.len() < 40_000);
    let parsed = MessageParser::new().parse(&message).unwrap();
    let returned = parsed.parts[3].contents();
    assert!(many.as_bytes().starts_with(returned) && returned.ends_with(b"vvv\r\n"));

    let (header, _) = Header::split("Subject: Gr\u{fc}\u{df}e\r\n\r\n".as_bytes());
    let message = build(&[failed()], Some(&header));
    assert!(message.is_ascii());
    let parsed = MessageParser::new().parse(&message).unwrap();
    let text = String::from_utf8(parsed.parts[3].contents().to_vec()).unwrap();
    assert_eq!(text.trim_end(), "Subject: Gr\u{fc}\u{df}e");
}

#[test]
fn addresses_beyond_ascii() {
    let recipient =
        Recipient { address: "j\u{f6}rg@recipient.example", original: None, ..failed() };
    let text = status(&build(&[recipient], None));
    assert!(text.contains("Final-Recipient: utf-8; j\\x{F6}rg@recipient.example\r\n"), "{text}");
}

/// A sender with such an address hears of it by SMTPUTF8, in the form of RFC 6533.
#[test]
fn a_sender_beyond_ascii() {
    let recipient = Recipient {
        address: "j\u{f6}rg@recipient.example",
        original: Some("utf-8;J\u{f6}rg@recipient.example"),
        diagnostic: Some("550 5.1.1 j\u{f6}rg?"),
        ..failed()
    };
    let (header, _) = Header::split("Subject: Gr\u{fc}\u{df}e\r\n\r\n".as_bytes());
    let message = build_for("\u{e4}nne@sender.example", &[recipient], Some(&header));
    let parsed = MessageParser::new().parse(&message).unwrap();
    let report = parsed.content_type().unwrap();
    assert_eq!(report.attribute("report-type"), Some("global-delivery-status"));
    let kinds: Vec<_> = parsed.parts.iter().skip(1).map(|p| p.content_type().unwrap()).collect();
    let kinds: Vec<_> = kinds.iter().map(|t| (t.ctype(), t.subtype().unwrap())).collect();
    let expected =
        [("text", "plain"), ("message", "global-delivery-status"), ("message", "global-headers")];
    assert_eq!(kinds, expected);
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("\u{e4}nne@sender.example"));
    let text = status(&message);
    for line in [
        "Final-Recipient: utf-8; j\u{f6}rg@recipient.example",
        "Original-Recipient: utf-8; J\u{f6}rg@recipient.example",
        "Diagnostic-Code: smtp; 550 5.1.1 j\\x{F6}rg?",
    ] {
        assert!(text.contains(line), "{line} not in {text}");
    }
    let returned = String::from_utf8(parsed.parts[3].contents().to_vec()).unwrap();
    assert_eq!(returned.trim_end(), "Subject: Gr\u{fc}\u{df}e");
}

/// The reason in words is about what the status says, and every refusal has one.
#[test]
fn refusals_are_told_in_words() {
    assert!(refusal((5, 1, 1)).contains("no such mailbox"));
    assert!(refusal((5, 2, 2)).contains("full"));
    assert!(refusal((5, 3, 4)).contains("too large"));
    assert!(refusal((5, 7, 10)).contains("sealed"));
    for subject in 0..10 {
        for detail in 0..40 {
            let words = refusal((5, subject, detail));
            assert!(words.ends_with('.') && words.len() < 100, "{words}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_can_be_injected(
        address in ".{0,40}|(\\PC|\r|\n|\t){0,40}",
        diagnostic in "(\\PC|\r\n|\n|X: y|--){0,40}",
        reason in "(\\PC|\r\n|\n\n|--){0,40}",
        original in "(;|\r\n|\\PC){0,20}",
        sender in "(\\PC|\r\n|X: y){0,20}",
    ) {
        let recipient = Recipient {
            address: &address,
            original: Some(&original),
            diagnostic: Some(&diagnostic),
            reason: &reason,
            ..failed()
        };
        let from = Domain::parse("sender.example").unwrap();
        let message = Dsn {
            reporting_mta: "gw.sender.example",
            from: &from,
            id: &original,
            sender: &sender,
            envid: Some(&diagnostic),
            arrival: 0,
            translated: None,
            date: 0,
            recipients: &[recipient],
            returned: None,
        }
        .build();
        let (outer, _) = Header::split(&message);
        let names: Vec<_> = outer.fields().map(|f| f.name().to_vec()).collect();
        let expected: [&[u8]; 8] = [b"Date", b"Message-ID", b"From", b"To", b"Subject",
            b"Auto-Submitted", b"MIME-Version", b"Content-Type"];
        prop_assert_eq!(names, expected);
        prop_assert!(message.split(|&b| b == b'\n').all(|l| l.len() <= 999));
        prop_assert_eq!(
            message.iter().filter(|&&b| b == b'\n').count(),
            memchr::memmem::find_iter(&message, b"\r\n").count()
        );
        let text = status(&message);
        let fields: Vec<_> = text.lines().filter_map(|l| l.split_once(':')).map(|f| f.0).collect();
        let known = ["Original-Envelope-Id", "Reporting-MTA", "Arrival-Date", "Original-Recipient",
            "Final-Recipient", "Action", "Status", "Diagnostic-Code"];
        prop_assert!(fields.iter().all(|f| known.contains(f)), "{}", text);
    }
}
