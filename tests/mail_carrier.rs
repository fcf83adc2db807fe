//! The carrier: exact form, exact length, and recognition after everything that hops do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders};
use mta_seal::core::Domain;
use mta_seal::mail::carrier::{
    CarrierWriter, Limits, ScanError, Scanner, State, Token, carrier_len,
};
use proptest::prelude::*;

const MAGIC: &[u8] = b"\xD3MTASEAL";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn envelope(len: usize) -> Vec<u8> {
    let noise = (0..len).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[3]);
    MAGIC.iter().copied().chain([1, 0, 2]).chain(noise).collect()
}

fn wrap(envelope: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (a, b) = (domain("sender.example"), domain("recipient.example"));
    let mut writer = CarrierWriter::new(&a, &b, Token::new([0xAB; 16]), 0, &mut out);
    writer.write(envelope, &mut out);
    writer.finish(&mut out);
    out
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Seen {
    Envelope(Vec<u8>),
    Ordinary,
    Refused(ScanError),
}

/// Scans in pieces whose lengths repeat `sizes`, and checks what every scan must satisfy.
fn scan_in(message: &[u8], sizes: &[usize]) -> Seen {
    let mut scanner = Scanner::default();
    let mut out = Vec::new();
    let mut rest = message;
    let mut pushed = 0;
    for size in sizes.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        pushed += now.len();
        match scanner.push(now, &mut out) {
            Err(error) => {
                assert_eq!(scanner.push(b"x", &mut out), Err(error), "errors are final");
                return Seen::Refused(error);
            }
            Ok(State::NotCarrier) => {
                assert_eq!(scanner.take_held(), &message[..pushed]);
                assert!(out.is_empty());
                return Seen::Ordinary;
            }
            Ok(State::Undecided) => assert!(out.is_empty()),
            Ok(State::Carrier) => {}
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    match scanner.finish(&mut out) {
        Err(error) => Seen::Refused(error),
        Ok(State::Carrier) => {
            assert!(scanner.take_held().is_empty());
            Seen::Envelope(out)
        }
        Ok(state) => {
            assert_eq!(state, State::NotCarrier);
            assert_eq!(scanner.take_held(), message);
            assert!(out.is_empty());
            Seen::Ordinary
        }
    }
}

/// The same in several divisions, which must agree.
fn scan(message: &[u8]) -> Seen {
    let whole = scan_in(message, &[usize::MAX]);
    // Single octets are slow; a long message repeats itself.
    let fine = if message.len() < 20_000 { &[&[1][..], &[2], &[3, 1]][..] } else { &[] };
    for sizes in fine.iter().copied().chain([&[77][..], &[4096, 1]]) {
        assert_eq!(scan_in(message, sizes), whole, "division {sizes:?}");
    }
    whole
}

const HEADER: &str = "From: mta-seal@sender.example\r\nMIME-Version: 1.0\r\n";
const SEALED: &str = "Content-Type: application/mta-seal; name=\"message.mtaseal\"\r\n\
     Content-Transfer-Encoding: base64\r\n";

fn base64_lines(octets: &[u8], columns: usize) -> String {
    let text = STANDARD.encode(octets);
    let lines: Vec<_> =
        text.as_bytes().chunks(columns).map(|l| std::str::from_utf8(l).unwrap()).collect();
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

fn quoted_printable(octets: &[u8]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for &octet in octets {
        let item = match octet {
            b'!'..=b'<' | b'>'..=b'~' => char::from(octet).to_string(),
            _ => format!("={octet:02X}"),
        };
        if column + item.len() > 75 {
            text.push_str("=\r\n");
            column = 0;
        }
        column += item.len();
        text.push_str(&item);
    }
    text.push_str("\r\n");
    text
}

/// A message of one multipart/mixed with the given parts (header, empty line and content).
fn mixed(parts: &[String]) -> String {
    format!("{HEADER}{}", nested("b", parts))
}

fn nested(boundary: &str, parts: &[String]) -> String {
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
    for part in parts {
        text.push_str(&format!("--{boundary}\r\n{part}"));
    }
    text.push_str(&format!("--{boundary}--\r\n"));
    text
}

fn sealed_part(octets: &[u8]) -> String {
    format!("{SEALED}\r\n{}", base64_lines(octets, 76))
}

fn text_part() -> String {
    "Content-Type: text/plain\r\n\r\nA footer of a list\r\n".to_owned()
}

#[test]
fn exact_form() {
    let text = String::from_utf8(wrap(&envelope(60))).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head,
        "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\
         From: mta-seal@sender.example\r\n\
         To: mta-seal@recipient.example\r\n\
         Subject: Sealed message\r\n\
         Message-ID: <abababababababababababababababab@sender.example>\r\n\
         MTA-Seal-Token: abababababababababababababababab\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed;\r\n boundary=\"mta-seal-abababababababababababababababab\""
    );
    let sealed = body.split("--mta-seal-abababababababababababababababab").nth(2).unwrap();
    assert_eq!(
        sealed,
        format!(
            "\r\nContent-Type: application/mta-seal; name=\"message.mtaseal\"\r\n\
             Content-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"message.mtaseal\"\r\n\r\n{}",
            base64_lines(&envelope(60), 76)
        )
    );
    assert!(body.ends_with("\r\n--mta-seal-abababababababababababababababab--\r\n"));
    assert!(text.is_ascii());
    assert!(text.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])));
    assert!(!text.contains("://"));
}

#[test]
fn tokens_are_read_back() {
    let token = Token::new(*b"\x00\x01\x7f\x80\xff-token-1234");
    assert_eq!(Token::parse(token.to_string().as_bytes()), Some(token));
    for text in ["", "ab", &"AB".repeat(16), &"ag".repeat(16), &"ab".repeat(17)] {
        assert_eq!(Token::parse(text.as_bytes()), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn length_is_known_and_the_way_back_is_exact(
        octets in prop::collection::vec(any::<u8>(), 0..3000),
        sizes in prop::collection::vec(1usize..200, 1..4),
        date in any::<u64>(),
        names in ("[a-z]{1,60}\\.example", "[a-z]{1,9}\\.org"),
    ) {
        let octets = [MAGIC, &octets].concat();
        let (a, b) = (domain(&names.0), domain(&names.1));
        let mut out = Vec::new();
        let mut writer = CarrierWriter::new(&a, &b, Token::new([7; 16]), date, &mut out);
        let mut rest = &octets[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            writer.write(now, &mut out);
            rest = later;
            if rest.is_empty() { break; }
        }
        writer.finish(&mut out);
        prop_assert_eq!(carrier_len(&a, &b, octets.len() as u64), out.len() as u64);
        prop_assert_eq!(scan_in(&out, &sizes), Seen::Envelope(octets));
    }
}

#[test]
fn length_is_known_for_every_remainder_and_does_not_overflow() {
    let (a, b) = (domain("sender.example"), domain("recipient.example"));
    for len in 0..240 {
        let octets = vec![0x55; len];
        assert_eq!(wrap(&octets).len() as u64, carrier_len(&a, &b, len as u64), "{len}");
    }
    let big = 57 * 512 * 3 + 1;
    assert_eq!(wrap(&vec![9; big]).len() as u64, carrier_len(&a, &b, big as u64));
    assert_eq!(carrier_len(&a, &b, u64::MAX), u64::MAX);
}

/// What hops do to a carrier; each is recognised and gives the same envelope.
fn mangled(octets: &[u8]) -> Vec<(&'static str, String)> {
    let carrier = String::from_utf8(wrap(octets)).unwrap();
    let lines = base64_lines(octets, 76);
    let with = |text: &str| carrier.replace(&lines, text);
    let boundary = "mta-seal-abababababababababababababababab";
    let (header, body) = carrier.split_once("\r\n\r\n").unwrap();
    let inner_type = header.split_once("Content-Type: ").unwrap().1;
    let outer = |depth: usize| {
        let mut part = format!("Content-Type: {inner_type}\r\n\r\n{body}\r\n");
        for level in 1..depth {
            part = nested(&format!("level{level}"), &[part, text_part()]);
        }
        mixed(&[part, text_part()])
    };
    let declared_as = |encoding: &str, text: &str| {
        with(text).replace("Content-Transfer-Encoding: base64\r\n", encoding)
    };
    let qp = "Content-Transfer-Encoding: Quoted-Printable\r\n";
    vec![
        ("untouched", carrier.clone()),
        ("64 columns", with(&base64_lines(octets, 64))),
        ("988 columns", with(&base64_lines(octets, 988))),
        ("4 columns", with(&base64_lines(octets, 4))),
        ("63 columns", with(&base64_lines(octets, 63))),
        ("blanks at the end of lines", with(&lines.replace("\r\n", " \t \r\n"))),
        (
            "blanks before lines",
            with(&format!(" {}\r\n", lines.trim_end().replace("\r\n", "\r\n\t"))),
        ),
        ("blank lines", with(&format!("\r\n\r\n{}\r\n \r\n", lines.replace("\r\n", "\r\n\r\n")))),
        (
            "footer part",
            carrier.replace(
                &format!("--{boundary}--"),
                &format!("--{boundary}\r\n{}--{boundary}--", text_part()),
            ),
        ),
        (
            "part in front",
            carrier.replacen(
                &format!("--{boundary}\r\n"),
                &format!("--{boundary}\r\n{}--{boundary}\r\n", text_part()),
                1,
            ),
        ),
        ("outer multipart", outer(1)),
        ("two outer multiparts", outer(2)),
        ("quoted-printable of the envelope", declared_as(qp, &quoted_printable(octets))),
        (
            "quoted-printable of the base64 text",
            declared_as(qp, &quoted_printable(lines.trim_end().as_bytes())),
        ),
        (
            "quoted-printable that only quotes =",
            declared_as(qp, &lines.replace('=', "=3d").replace("\r\n", "  \r\n")),
        ),
        ("base64 text as 8bit", declared_as("content-transfer-encoding:8BIT (x)\r\n", &lines)),
        ("base64 text as 7bit", declared_as("Content-Transfer-Encoding: 7bit\r\n", &lines)),
        ("base64 text without encoding", declared_as("", &lines)),
        (
            "folded and quoted differently",
            carrier
                .replace(
                    "application/mta-seal; name=\"message.mtaseal\"",
                    "\r\n\tAPPLICATION/Mta-Seal\r\n ; (a;b) NAME\r\n =\r\n message.mtaseal;",
                )
                .replace(
                    &format!("multipart/mixed;\r\n boundary=\"{boundary}\""),
                    &format!("Multipart/MIXED; x=\"a\\\";b\"; Boundary={boundary}"),
                ),
        ),
        (
            "boundary in sections",
            carrier.replace(
                &format!("boundary=\"{boundary}\""),
                &format!("boundary*0=\"mta-seal-\"; boundary*1={}", &boundary[9..]),
            ),
        ),
        ("media type lost", carrier.replace("application/mta-seal", "application/octet-stream")),
        (
            "media type and disposition lost",
            carrier
                .replace("application/mta-seal", "Application/Octet-Stream")
                .replace("Content-Disposition: attachment; filename=\"message.mtaseal\"\r\n", ""),
        ),
        (
            "type field lost",
            carrier.replace("Content-Type: application/mta-seal; name=\"message.mtaseal\"\r\n", ""),
        ),
        (
            "file name in RFC 2231 form",
            carrier
                .replace("application/mta-seal; name=\"message.mtaseal\"", "application/binary")
                .replace(
                    "filename=\"message.mtaseal\"",
                    "filename*0*=utf-8''mess%61ge; filename*1=\".MTAseal\"",
                ),
        ),
        (
            "file names lost",
            carrier
                .replace("; name=\"message.mtaseal\"", "")
                .replace("Content-Disposition: attachment; filename=\"message.mtaseal\"\r\n", ""),
        ),
        (
            "header fields added",
            format!(
                "Received: from x by y;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n\
                 X-Spam: no\r\nDKIM-Signature: v=1; b=ab\r\n cd\r\n{carrier}"
            ),
        ),
        (
            "display name added",
            carrier
                .replace("mta-seal@sender.example\r\nTo", "\"x\" <mta-seal@sender.example>\r\nTo"),
        ),
        ("white space after delimiters", {
            carrier
                .replace(&format!("--{boundary}\r\n"), &format!("--{boundary} \t\r\n"))
                .replace(&format!("--{boundary}--\r\n"), &format!("--{boundary}--  \r\n"))
        }),
        (
            "preamble and epilogue",
            carrier.replacen(
                &format!("\r\n\r\n--{boundary}\r\n"),
                &format!(
                    "\r\n\r\nThis is MIME --{boundary}\r\n--{boundary}X\r\n--{boundary}-\r\n\
                     -- {boundary}\r\n--\r\n-\r\n --{boundary}\r\n--{boundary}\r\n"
                ),
                1,
            ) + "--something\r\nelse\r\n",
        ),
        ("last delimiter lost", carrier.replace(&format!("--{boundary}--\r\n"), "")),
        ("last line end lost", carrier.trim_end().to_owned()),
        ("the body is the part", format!("{HEADER}{SEALED}\r\n{lines}")),
        (
            "the body is the part, quoted-printable",
            format!(
                "{HEADER}Content-Type: application/mta-seal\r\n{qp}\r\n{}",
                quoted_printable(octets)
            ),
        ),
    ]
}

#[test]
fn survives_what_hops_do() {
    for len in [5, 46, 300, 3000] {
        let octets = envelope(len);
        for (what, message) in mangled(&octets) {
            assert_eq!(scan(message.as_bytes()), Seen::Envelope(octets.clone()), "{what} ({len})");
        }
    }
}

#[test]
fn mail_parser_sees_the_same_envelope() {
    let octets = envelope(500);
    for (what, message) in mangled(&octets) {
        let parsed = MessageParser::new().parse(message.as_bytes()).unwrap();
        let bodies: Vec<_> = parsed
            .parts
            .iter()
            .filter(|part| {
                part.content_type().is_some_and(|t| t.subtype() == Some("mta-seal"))
                    || part.attachment_name().is_some_and(|n| n.ends_with(".mtaseal"))
            })
            .map(|part| part.contents().to_vec())
            .collect();
        match what {
            // The hop left base64 text inside, or wrote what the other reader does not decode.
            "quoted-printable of the base64 text"
            | "quoted-printable that only quotes ="
            | "base64 text as 8bit"
            | "base64 text as 7bit"
            | "base64 text without encoding" => {
                let text = String::from_utf8(bodies[0].clone()).unwrap();
                let text: String = text.split_ascii_whitespace().collect();
                assert_eq!(STANDARD.decode(text).unwrap(), octets, "{what}");
            }
            // Without a type it is text to the other reader; boundaries it finds in the middle of
            // lines; and base64 without an end it does not decode.
            "type field lost" | "preamble and epilogue" | "last delimiter lost" => {}
            // This test compares the case of file names.
            "file name in RFC 2231 form" => assert!(bodies.is_empty()),
            _ => {
                assert_eq!(bodies.len(), 1, "{what}");
                let body = bodies[0].strip_suffix(b"\r\n").unwrap_or(&bodies[0]);
                assert!(body == octets || bodies[0] == octets, "{what}");
            }
        }
    }
}

#[test]
fn a_large_envelope_streams_in_constant_memory() {
    let octets = envelope(3_000_000);
    let message = wrap(&octets);
    let mut scanner = Scanner::default();
    let (mut all, mut out) = (Vec::new(), Vec::new());
    for piece in message.chunks(10_000) {
        scanner.push(piece, &mut out).unwrap();
        assert!(out.len() <= 64 * 1024);
        all.append(&mut out);
    }
    assert_eq!(scanner.finish(&mut all), Ok(State::Carrier));
    assert!(all == octets);
}

#[test]
fn what_is_no_carrier_is_ordinary_mail() {
    let octets = envelope(300);
    let good = String::from_utf8(wrap(&octets)).unwrap();
    assert_eq!(scan(good.as_bytes()), Seen::Envelope(octets.clone()));
    let from = "From: mta-seal@sender.example";
    let part = sealed_part(&octets);
    let deep = |depth: usize| {
        let mut inner = part.clone();
        for level in 0..depth {
            inner = nested(&format!("n{level}"), &[inner]);
        }
        format!("{HEADER}{inner}")
    };
    assert_eq!(scan(deep(3).as_bytes()), Seen::Envelope(octets.clone()));
    let inside = |media: &str| {
        let inner = format!("Content-Type: {media}; boundary=in\r\n\r\n--in\r\n{part}--in--\r\n");
        mixed(&[inner])
    };
    assert_eq!(scan(inside("multipart/mixed").as_bytes()), Seen::Envelope(octets.clone()));
    for (what, message) in [
        ("another mailbox", good.replace(from, "From: ann@sender.example")),
        ("another case", good.replace(from, "From: Mta-Seal@sender.example")),
        ("a longer local part", good.replace(from, "From: mta-seal+x@sender.example")),
        ("no From", good.replace(from, "X: y")),
        ("two From", good.replace(from, &format!("{from}\r\n{from}"))),
        ("two authors", good.replace(from, &format!("{from}, a@b.example"))),
        ("a group", good.replace(from, "From: g: mta-seal@sender.example;")),
        ("depth 4", deep(4)),
        ("alternative", inside("multipart/alternative")),
        ("report", inside("multipart/report")),
        ("related", inside("multipart/related")),
        ("encrypted", inside("multipart/encrypted")),
        ("outer report", good.replace("multipart/mixed", "multipart/report")),
        ("forwarded", mixed(&[format!("Content-Type: message/rfc822\r\n\r\n{good}")])),
        (
            "a message with our file name",
            mixed(&[format!(
                "Content-Type: message/rfc822; name=a.mtaseal\r\n\r\n{}",
                base64_lines(&octets, 76)
            )]),
        ),
        (
            "a file of our name that is something else",
            mixed(&["Content-Type: text/plain; name=\"notes.mtaseal\"\r\n\r\nNotes on mail\r\n"
                .to_owned()]),
        ),
        (
            "a file of our name in unknown encoding",
            mixed(&[
                "Content-Type: a/b; name=x.mtaseal\r\nContent-Transfer-Encoding: x-uue\r\n\r\n"
                    .to_owned(),
            ]),
        ),
        ("an empty file of our name", mixed(&["Content-Type: a/b; name=x.mtaseal\r\n\r\n".into()])),
        ("a boundary that never comes", good.replace("--mta-seal", "--mta-seal ")),
        ("two types", good.replace("MIME-Version", "Content-Type: text/plain\r\nMIME-Version")),
        ("two boundaries", good.replace("boundary=", "boundary=x; boundary=")),
        ("empty boundary", good.replace("boundary=\"", "boundary=\"\"; x=\"")),
        (
            "encoded multipart",
            good.replace("MIME-Version", "Content-Transfer-Encoding: base64\r\nX"),
        ),
        ("no header", format!("no header here\r\n{good}")),
        ("header only", HEADER.to_owned()),
        (
            "header only, with our type",
            format!("{HEADER}Content-Type: multipart/mixed; boundary=b"),
        ),
        ("empty", String::new()),
        ("empty line only", "\r\n".to_owned()),
        (
            "part header with a line that is no field",
            good.replace(SEALED, &format!("x\r\n{SEALED}")),
        ),
    ] {
        assert_eq!(scan(message.as_bytes()), Seen::Ordinary, "{what}");
    }
}

#[test]
fn the_part_begins_within_64_kib_of_the_body() {
    let octets = envelope(100);
    let at = |start: usize| {
        let head = format!("{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n");
        let tail = format!("\r\n--b\r\n{SEALED}\r\n");
        let preamble = "x".repeat(start - tail.len());
        format!("{head}{preamble}{tail}{}--b--\r\n", base64_lines(&octets, 76))
    };
    assert_eq!(scan(at(65_535).as_bytes()), Seen::Envelope(octets.clone()));
    assert_eq!(scan(at(65_536).as_bytes()), Seen::Ordinary);
    assert_eq!(scan(at(80_000).as_bytes()), Seen::Ordinary);
    // The magic is looked for in the first 1,024 octets of the part only.
    let late = |blanks: usize| {
        mixed(&[format!("{SEALED}\r\n{}{}", " ".repeat(blanks), base64_lines(&octets, 76))])
    };
    assert_eq!(scan(late(1012).as_bytes()), Seen::Envelope(octets.clone()));
    assert_eq!(scan(late(1013).as_bytes()), Seen::Refused(ScanError::BadMagic));
}

#[test]
fn delimiters_are_whole_lines() {
    let octets = envelope(300);
    let text = base64_lines(&octets, 76);
    let (first, second) = text.split_at(78);
    // A line that only looks like a delimiter is content, and no base64.
    for fake in ["--bX\r\n", "--b-\r\n", "--b--x\r\n", " --b\r\n", "x--b\r\n", "--b\r\r\n", "--b\n"]
    {
        let message = mixed(&[format!("{SEALED}\r\n{first}{fake}{second}")]);
        assert_eq!(scan(message.as_bytes()), Seen::Refused(ScanError::BadBase64), "{fake:?}");
    }
    // A real one ends the part: what is left of the envelope does not pass for the whole.
    let message = mixed(&[format!("{SEALED}\r\n{first}--b\r\n\r\n{second}")]);
    assert_eq!(scan(message.as_bytes()), Seen::Envelope(octets[..57].to_vec()));
    // The outer delimiter ends inner parts, whatever these still await.
    let inner =
        format!("Content-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\n{SEALED}\r\n{text}");
    assert_eq!(scan(mixed(&[inner, text_part()]).as_bytes()), Seen::Envelope(octets));
}

#[test]
fn second_sealed_part_is_refused() {
    let octets = envelope(9000);
    let part = sealed_part(&octets);
    let named =
        format!("Content-Type: a/b; name=x.mtaseal\r\n\r\n{}", base64_lines(&envelope(3), 76));
    let far = format!("Content-Type: text/plain\r\n\r\n{}", "words and words\r\n".repeat(6000));
    let hidden = format!("Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n{part}");
    for parts in [
        vec![part.clone(), part.clone()],
        vec![part.clone(), named],
        vec![part.clone(), far.clone(), nested("in", std::slice::from_ref(&part))],
        vec![nested("in", std::slice::from_ref(&part)), text_part(), part.clone()],
    ] {
        assert_eq!(scan(mixed(&parts).as_bytes()), Seen::Refused(ScanError::SecondPart));
    }
    let claims = format!("{SEALED}\r\n{}", base64_lines(b"something else", 76));
    assert_eq!(scan(mixed(&[part.clone(), claims]).as_bytes()), Seen::Refused(ScanError::BadMagic));
    for other in [text_part(), far, hidden, "Content-Type: a/b; name=x.mtaseal\r\n\r\nno".into()] {
        assert_eq!(scan(mixed(&[part.clone(), other]).as_bytes()), Seen::Envelope(octets.clone()));
    }
}

#[test]
fn wrong_magic_of_our_type_is_refused() {
    let part = |text: &str| scan(mixed(&[format!("{SEALED}\r\n{text}")]).as_bytes());
    assert_eq!(
        part(&base64_lines(b"not an envelope at all", 76)),
        Seen::Refused(ScanError::BadMagic)
    );
    assert_eq!(part(&base64_lines(&MAGIC[..7], 76)), Seen::Refused(ScanError::BadMagic));
    assert_eq!(part(""), Seen::Refused(ScanError::BadMagic));
    assert_eq!(part(&base64_lines(MAGIC, 76)), Seen::Envelope(MAGIC.to_vec()));
    // One encoding too many is not undone.
    let twice = base64_lines(base64_lines(&envelope(50), 76).as_bytes(), 76);
    assert_eq!(part(&twice), Seen::Refused(ScanError::BadMagic));
    let odd = mixed(&[sealed_part(&envelope(50)).replace(": base64", ": x-uuencode")]);
    assert_eq!(scan(odd.as_bytes()), Seen::Refused(ScanError::BadEncoding));
    let both =
        mixed(&[format!("Content-Transfer-Encoding: 7bit\r\n{}", sealed_part(&envelope(50)))]);
    assert_eq!(scan(both.as_bytes()), Seen::Refused(ScanError::BadEncoding));
}

#[test]
fn base64_is_strict() {
    let octets = envelope(200);
    let text = STANDARD.encode(&octets);
    assert!(text.ends_with("=="), "a case with padding");
    let part = |text: &str| scan(mixed(&[format!("{SEALED}\r\n{text}\r\n")]).as_bytes());
    assert_eq!(part(&text), Seen::Envelope(octets));
    let bare = text.trim_end_matches('=').to_owned();
    let loose = {
        // Same octets by a lenient reader: the unused bits of the last character are set.
        let mut chars = bare.clone().into_bytes();
        *chars.last_mut().unwrap() += 1;
        String::from_utf8(chars).unwrap() + "=="
    };
    let long = STANDARD.encode(envelope(200_000 + 1));
    for bad in [
        bare.clone(),
        format!("{bare}="),
        format!("{bare}==="),
        format!("{bare}== ="),
        format!("{text}QUJD"),
        format!("{text}\r\nQUJD"),
        format!("{text}\r\n____________\r\nA list footer"),
        format!("{text}\r\n-- \r\nsignature"),
        format!("{}QUJD=QUJD", &text[..16]),
        format!("{}=={}", &text[..14], &text[16..]),
        format!("{}-{}", &text[..20], &text[21..]),
        text.replace('+', "-").replace('/', "_") + "_",
        format!("{}\0{}", &text[..20], &text[20..]),
        format!("{}\u{b}{}", &text[..20], &text[20..]),
        format!("{}\u{a0}{}", &text[..20], &text[20..]),
        loose,
        format!("{long}!"),
        format!("{}*{}", &long[..150_000], &long[150_000..]),
        format!("{}===={}", &long[..65_548], &long[65_548..]),
        text[..text.len() - 5].to_owned(),
    ] {
        let shown = &bad[bad.len().saturating_sub(40)..];
        assert_eq!(part(&bad), Seen::Refused(ScanError::BadBase64), "...{shown:?}");
    }
    // White space anywhere, also after the padding and across blocks.
    for good in [format!("{text} \r\n\r\n\t"), text.replace("U", " U\r\n\t"), format!(" {text}")] {
        assert!(matches!(part(&good), Seen::Envelope(_)));
    }
    let spaced = long.as_bytes().chunks(7).map(|c| std::str::from_utf8(c).unwrap());
    let spaced = spaced.collect::<Vec<_>>().join(" \r\n");
    assert_eq!(part(&spaced), part(&long));
}

#[test]
fn quoted_printable_is_strict() {
    let octets = envelope(100);
    let head = "Content-Type: application/mta-seal\r\n\
                Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    let text = quoted_printable(&octets);
    let text = text.trim_end();
    let part = |text: &str| scan(mixed(&[format!("{head}{text}\r\n")]).as_bytes());
    assert_eq!(part(text), Seen::Envelope(octets.clone()));
    assert_eq!(part(&format!("{text}= \t\r\n  \t")), Seen::Envelope(octets.clone()));
    // The line end before the delimiter is not content, any other is.
    let ended = [&octets[..], b"\r\n"].concat();
    assert_eq!(part(&format!("{text}\r\n")), Seen::Envelope(ended.clone()));
    assert_eq!(part(&format!("{text}=0D=0A")), Seen::Envelope(ended));
    for bad in ["=G0", "=4", "= x", "=4\r\n1", "==41"] {
        let bad = format!("{text}{bad}");
        assert_eq!(part(&bad), Seen::Refused(ScanError::BadQuotedPrintable), "{bad:?}");
    }
    // The first error of the stream counts, not that of the outer encoding.
    assert_eq!(part("!!!!!!!!!!!!=G0"), Seen::Refused(ScanError::BadBase64));
    let run = format!("{text}{}x", " ".repeat(1000));
    assert_eq!(part(&run), Seen::Refused(ScanError::BadQuotedPrintable));
}

#[test]
fn many_parts_and_deep_nesting_are_cheap() {
    // [R-car-09]
    let octets = envelope(100);
    let many = |parts: usize| {
        let mut list = vec![sealed_part(&octets)];
        list.extend(std::iter::repeat_n(text_part(), parts));
        mixed(&list)
    };
    assert_eq!(scan(many(999).as_bytes()), Seen::Envelope(octets.clone()));
    assert_eq!(scan(many(10_000).as_bytes()), Seen::Refused(ScanError::TooManyParts));
    // Before a sealed part is found, parts are ordinary mail, however many.
    assert_eq!(scan(mixed(&vec![text_part(); 10_000]).as_bytes()), Seen::Ordinary);
    let mut deep = HEADER.to_owned();
    for level in 0..20_000 {
        deep.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=d{level}\r\n\r\n--d{level}\r\n"
        ));
    }
    assert_eq!(scan(deep.as_bytes()), Seen::Ordinary);
    // Behind a sealed part the nesting is skipped as well.
    let behind = format!("{}--b\r\n{}", many(0).replace("--b--\r\n", ""), &deep[HEADER.len()..]);
    assert_eq!(scan(behind.as_bytes()), Seen::Envelope(octets));
}

#[test]
fn limits_hold() {
    // [R-car-09]
    let octets = envelope(100);
    let long = format!("X-Long: {}\r\n", "x".repeat(300_000));
    let message = format!("{long}{}", mixed(&[sealed_part(&octets)]));
    assert!(matches!(scan(message.as_bytes()), Seen::Refused(ScanError::Header(_))));
    let behind = mixed(&[sealed_part(&octets), format!("{long}\r\nx\r\n")]);
    assert_eq!(scan(behind.as_bytes()), Seen::Refused(ScanError::PartHeaderTooLarge));
    let limits = Limits { header: 10, ..Limits::default() };
    let mut scanner = Scanner::new(limits);
    assert!(scanner.push(b"From: mta-seal@a.example\r\n", &mut Vec::new()).is_err());
}

/// Pieces that make messages which are nearly carriers.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&'static [u8]> = vec![
        b"\r\n",
        b"\r",
        b"\n",
        b"-",
        b"--",
        b"--b\r\n",
        b"--b--\r\n",
        b"--c\r\n",
        b"--c--",
        b"--bc\r\n",
        b"\r\n--b \t\r\n",
        b"Content-Type: application/mta-seal\r\n",
        b"Content-Type: multipart/mixed; boundary=c\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b--\r\n\r\n",
        b"Content-Disposition: attachment; filename=a.mtaseal\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"001UQVNFQUwBAAI",
        b"001UQVNFQUwB\r\n",
        b"QUJD\r\nQUJD",
        b"QQ==",
        b"=D3MTASEAL=\r\n",
        b"=3D",
        b" ",
        b"\xD3MTASEAL",
    ];
    prop_oneof![
        8 => prop::sample::select(fixed).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_division_gives_the_same(
        pieces in prop::collection::vec(fragment(), 0..40),
        sizes in prop::collection::vec(1usize..40, 1..6),
        head in prop::sample::select(vec![
            "From: mta-seal@a.example\r\n".to_owned(),
            "From: mta-seal@a.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".into(),
            mixed(&[format!("{SEALED}\r\n001UQVNFQUwB\r\n")]).replace("--b--\r\n", ""),
            mixed(&[format!("{SEALED}\r\n=D3MTASEAL=\r\n")])
                .replace("--b--\r\n", "")
                .replace(": base64", ": quoted-printable"),
        ]),
    ) {
        let message = [head.as_bytes(), &pieces.concat()].concat();
        let whole = scan_in(&message, &[usize::MAX]);
        prop_assert_eq!(&scan_in(&message, &[1]), &whole);
        prop_assert_eq!(&scan_in(&message, &sizes), &whole);
    }

    #[test]
    fn arbitrary_octets_pass_unchanged(
        octets in prop::collection::vec(any::<u8>(), 0..400),
        sizes in prop::collection::vec(1usize..40, 1..6),
    ) {
        prop_assert_eq!(scan_in(&octets, &sizes), Seen::Ordinary);
    }
}
