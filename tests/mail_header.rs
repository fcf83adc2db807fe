//! Header blocks: split byte-exactly in every division, edited, and read for demands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mta_seal::mail::header::{
    Demand, Header, HeaderCollector, HeaderTooLarge, MalformedDemand, SEAL_REQUIRED, demand,
    is_automatic,
};
use proptest::prelude::*;

fn split(text: &str) -> (Header, Vec<u8>) {
    Header::split(text.as_bytes())
}

fn names(header: &Header) -> Vec<String> {
    header.fields().map(|f| String::from_utf8_lossy(f.name()).into_owned()).collect()
}

fn collect(
    message: &[u8],
    sizes: &[usize],
    limit: usize,
) -> Result<(Header, Vec<u8>), HeaderTooLarge> {
    let mut collector = HeaderCollector::with_limit(limit);
    let mut rest = message;
    let mut tail = &[][..];
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*size).min(rest.len()));
        rest = later;
        if collector.push(now)? {
            tail = rest;
            break;
        }
    }
    let (header, mut body) = collector.finish()?;
    body.extend_from_slice(tail);
    Ok((header, body))
}

#[test]
fn fields_keep_their_octets() {
    let text = "Subject: a\r\n  b\r\n\tc\r\nx-ODD:nospace\r\nEmpty:\r\nX-Space \t: v\r\n\
                Bin: \u{e9}\u{0}\r \n\r\n\r\nbody\r\n";
    let (header, body) = split(text);
    assert_eq!(names(&header), ["Subject", "x-ODD", "Empty", "X-Space", "Bin"]);
    assert_eq!(body, b"body\r\n");
    let fields: Vec<_> = header.fields().collect();
    assert_eq!(fields[0].raw(), b"Subject: a\r\n  b\r\n\tc\r\n");
    assert_eq!(fields[0].body(), b" a\r\n  b\r\n\tc");
    assert_eq!(fields[0].unfolded(), b"a  b\tc");
    assert_eq!(fields[1].body(), b"nospace");
    assert_eq!(fields[2].unfolded(), b"");
    assert_eq!(fields[3].unfolded(), b"v");
    assert_eq!(header.separator(), b"\r\n");
    assert_eq!(header.count("SUBJECT"), 1);
    assert!(header.only("x-space").is_some());
}

#[test]
fn where_a_header_ends() {
    for (message, fields, separator, body) in [
        ("A: b\r\n\r\nbody", 1, "\r\n", "body"),
        ("A: b\r\n", 1, "", ""),
        ("A: b", 1, "", ""),
        ("", 0, "", ""),
        ("\r\nbody", 0, "\r\n", "body"),
        ("\r\n\r\nbody", 0, "\r\n", "\r\nbody"),
        // A line without a colon is the first line of the body.
        ("A: b\r\nno field\r\nC: d\r\n\r\n", 1, "", "no field\r\nC: d\r\n\r\n"),
        ("just text", 0, "", "just text"),
        ("just", 0, "", "just"),
        (": no name\r\n", 0, "", ": no name\r\n"),
        ("From ann Mon Jan  1\r\nA: b\r\n", 0, "", "From ann Mon Jan  1\r\nA: b\r\n"),
        // A continuation of nothing.
        (" A: b\r\n\r\n", 0, "", " A: b\r\n\r\n"),
        (" ", 0, "", " "),
        // White space alone continues.
        ("A: b\r\n \t\r\nC: d\r\n\r\nx", 2, "\r\n", "x"),
        // A bare CR or LF ends nothing.
        ("A: b\n\nC: d\r\n\r\nx", 1, "\r\n", "x"),
        ("A: b\r\rC: d\r\n\r\nx", 1, "\r\n", "x"),
        ("A: b\r\n\n\r\nx", 1, "", "\n\r\nx"),
        ("A: b\r\n\r", 1, "", "\r"),
        ("A: b\r\nC: d\r", 2, "", ""),
    ] {
        let (header, rest) = split(message);
        assert_eq!(header.fields().count(), fields, "{message:?}");
        assert_eq!(header.separator(), separator.as_bytes(), "{message:?}");
        assert_eq!(rest, body.as_bytes(), "{message:?}");
        for size in [1, 2, 3] {
            let piecewise = collect(message.as_bytes(), &[size], 1000).unwrap();
            assert_eq!(piecewise, (header.clone(), rest.clone()), "{message:?} by {size}");
        }
    }
}

#[test]
fn limit_is_exact() {
    let message = b"A: bcd\r\n\r\nbody that is longer than the limit\r\n";
    for sizes in [&[1][..], &[usize::MAX], &[7, 2]] {
        assert!(collect(message, sizes, 10).is_ok());
        assert_eq!(collect(message, sizes, 9), Err(HeaderTooLarge { limit: 9 }));
    }
    // What has no header cannot exceed the limit.
    let (header, body) = collect(&[b'x'; 5000], &[100], 10).unwrap();
    assert_eq!((header.fields().count(), body.len()), (0, 5000));
    let endless = [b"A: ".to_vec(), vec![b'x'; 300 * 1024]].concat();
    assert!(collect(&endless, &[1000], 256 * 1024).is_err());
    let mut collector = HeaderCollector::new();
    assert!(collector.push(&endless).is_err());
}

#[test]
fn fields_are_counted_and_removed() {
    let text = "Received: 1\r\nA: x\r\nreceived : 2\r\n more\r\nB:y\r\nRECEIVED:3\r\n\r\n";
    let (header, _) = split(text);
    assert_eq!(header.received_count(), 3);
    assert!(header.only("Received").is_none());
    let mut out = Vec::new();
    assert_eq!(header.write_without(|f| f.is("Received"), &mut out), 3);
    assert_eq!(out, b"A: x\r\nB:y\r\n\r\n");
    out.clear();
    assert_eq!(header.write_without(|_| false, &mut out), 0);
    assert_eq!(out, header.raw());
}

#[test]
fn demands() {
    let of = |text: &str| demand(&split(text).0, SEAL_REQUIRED);
    assert_eq!(of("Subject: x\r\n\r\n"), Ok(Demand::None));
    assert_eq!(of("MTA-Seal-Required: no\r\n\r\n"), Ok(Demand::None));
    for yes in [
        "yes",
        " YES ",
        "\r\n\tYes\t",
        "no\r\nMTA-Seal-Required: yes",
        "yes\r\nmta-seal-required:no",
    ] {
        assert_eq!(of(&format!("mta-SEAL-required:{yes}\r\n\r\n")), Ok(Demand::Sealed), "{yes:?}");
    }
    for bad in [
        "",
        "true",
        "1",
        "yes (please)",
        "\"yes\"",
        "yes,no",
        "y\r\n es",
        "yes\u{0}",
        "yes\r\nMTA-Seal-Required: perhaps",
    ] {
        assert_eq!(
            of(&format!("MTA-Seal-Required: {bad}\r\n\r\n")),
            Err(MalformedDemand),
            "{bad:?}"
        );
    }
    assert_eq!(demand(&split("X-Seal: yes\r\n\r\n").0, "x-seal"), Ok(Demand::Sealed));
}

#[test]
fn automatic_mail() {
    for (text, automatic) in [
        ("Subject: x\r\n", false),
        ("Auto-Submitted: no\r\n", false),
        ("Auto-Submitted: No (really)\r\n", false),
        ("Auto-Submitted: auto-replied\r\n", true),
        ("auto-submitted: auto-generated; x=y\r\n", true),
        ("Content-Type: multipart/Report; report-type=delivery-status;\r\n boundary=x\r\n", true),
        ("Content-Type: multipart/mixed; boundary=x\r\n", false),
    ] {
        assert_eq!(is_automatic(&split(text).0), automatic, "{text}");
    }
}

proptest! {
    #[test]
    fn every_division_gives_the_same_and_nothing_is_lost(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "A: b\r\n", "Long-Name : x", "\r\n", "\r", "\n", " ", "\t", ":", "x", "From ", "\u{e9}", "\0",
        ]), 0..30),
        sizes in prop::collection::vec(1usize..9, 1..4),
        limit in 0usize..80,
    ) {
        let message = pieces.concat().into_bytes();
        let whole = collect(&message, &[usize::MAX], limit);
        prop_assert_eq!(&collect(&message, &sizes, limit), &whole);
        prop_assert_eq!(&collect(&message, &[1], limit), &whole);
        if let Ok((header, body)) = whole {
            prop_assert!(header.raw().len() <= limit);
            prop_assert_eq!([header.raw(), &body].concat(), message);
            let mut out = Vec::new();
            header.write_without(|_| false, &mut out);
            prop_assert_eq!(out, header.raw());
        }
    }
}
