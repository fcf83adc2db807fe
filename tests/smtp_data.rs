//! The DATA codec: transparency under every chunking, and no smuggling in either direction.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::BytesMut;
use mta_seal::smtp::data::{DataDecoder, DataEncoder, DataEvent, Violation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What came out of a decoder: content, result, and the octets left behind the end.
type Decoded = (Vec<u8>, Result<(), Violation>, Vec<u8>);

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Option<Decoded> {
    let mut decoder = DataDecoder::new();
    let mut buf = BytesMut::new();
    let mut content = Vec::new();
    let mut ended = None;
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        while ended.is_none() {
            match decoder.decode(&mut buf) {
                DataEvent::Content(part) => {
                    assert!(decoder.violation().is_none());
                    content.extend_from_slice(&part);
                }
                DataEvent::NeedMore => {
                    assert!(buf.len() <= 2, "decoder holds {} octets back", buf.len());
                    break;
                }
                DataEvent::End(result) => ended = Some(result),
            }
        }
    }
    ended.map(|result| (content, result, buf.to_vec()))
}

fn decode_whole(wire: &[u8]) -> Option<Decoded> {
    decode(std::iter::once(wire))
}

fn encode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Result<bool, Violation>) {
    let mut encoder = DataEncoder::new();
    let mut out = BytesMut::new();
    for chunk in chunks {
        if let Err(violation) = encoder.encode(chunk, &mut out) {
            assert_eq!(encoder.encode(b"x", &mut out), Err(violation), "error does not stay");
            assert_eq!(encoder.finish(&mut out), Err(violation), "error does not stay");
            return (out.to_vec(), Err(violation));
        }
    }
    let result = encoder.finish(&mut out);
    (out.to_vec(), result)
}

fn first_violation(content: &[u8]) -> Option<Violation> {
    content.iter().enumerate().find_map(|(at, octet)| match octet {
        b'\r' if content.get(at + 1) != Some(&b'\n') => Some(Violation::BareCr),
        b'\n' if at == 0 || content[at - 1] != b'\r' => Some(Violation::BareLf),
        0 => Some(Violation::Nul),
        _ => None,
    })
}

/// The procedure of RFC 5321 section 4.5.2 in its plainest form.
fn model_decode(wire: &[u8]) -> Option<Decoded> {
    let framed = [b"\r\n", wire].concat();
    let end = framed.windows(5).position(|w| w == b"\r\n.\r\n")?;
    let body = &framed[2..=end + 1];
    let rest = framed[end + 5..].to_vec();
    if let Some(violation) = first_violation(body) {
        return Some((Vec::new(), Err(violation), rest));
    }
    let mut content = Vec::new();
    for line in body.split_inclusive(|&b| b == b'\n') {
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    Some((content, Ok(()), rest))
}

/// Octets that matter to the codec, and some that do not.
fn octets(len: usize) -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&[u8]] = &[b"\r\n", b".", b"\r\n.", b"\r", b"\n", b"\0", b"ab", b"\xff"];
    vec(select(PARTS), 0..len).prop_map(|parts| parts.concat())
}

/// Content that DATA can carry.
fn clean_octets(len: usize) -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&[u8]] = &[b"\r\n", b".", b"\r\n.", b"..", b"a", b"\xff\x01\x7f"];
    vec(select(PARTS), 0..len).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decoder_agrees_with_the_model(wire in octets(24), step in 1usize..8) {
        let expected = model_decode(&wire);
        for chunked in [decode_whole(&wire), decode(wire.chunks(step)), decode(wire.chunks(1))] {
            match (&expected, &chunked) {
                (Some((content, Ok(()), rest)), Some(found)) => {
                    // Chunks after the end were never given to the decoder in order; compare
                    // what a connection would hold.
                    prop_assert_eq!(&found.0, content);
                    prop_assert_eq!(found.1, Ok(()));
                    prop_assert_eq!(&found.2, rest);
                }
                (Some((_, Err(violation), rest)), Some(found)) => {
                    prop_assert_eq!(found.1, Err(*violation));
                    prop_assert_eq!(&found.2, rest);
                    // What came out before the violation holds none.
                    prop_assert_eq!(first_violation(&found.0), None);
                }
                (None, None) => {}
                _ => prop_assert!(false, "model {:?}, codec {:?}", expected, chunked),
            }
        }
    }

    #[test]
    fn whatever_is_encoded_is_decoded(
        content in clean_octets(24),
        write in 1usize..9,
        read in 1usize..9,
    ) {
        let (wire, result) = encode(content.chunks(write));
        let unterminated = !content.is_empty() && !content.ends_with(b"\r\n");
        prop_assert_eq!(result, Ok(unterminated));
        let mut expected = content;
        if unterminated {
            expected.extend_from_slice(b"\r\n");
        }
        let wire = [wire, b"NOOP\r\n".to_vec()].concat();
        let (decoded, result, rest) = decode(wire.chunks(read)).unwrap();
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(decoded, expected);
        prop_assert_eq!(rest, b"NOOP\r\n");
    }

    #[test]
    fn encoder_never_emits_anything_dangerous(content in octets(24), step in 1usize..9) {
        let (wire, result) = encode(content.chunks(step));
        match first_violation(&content) {
            Some(violation) => prop_assert_eq!(result, Err(violation)),
            None => prop_assert!(result.is_ok()),
        }
        // Cut off where it may, what is on the wire is clean and ends only by its own final dot.
        let framed = [&b"\r\n"[..], &wire].concat();
        let ends = framed.windows(5).filter(|w| w == b"\r\n.\r\n").count();
        prop_assert_eq!(ends, usize::from(result.is_ok()));
        prop_assert_eq!(first_violation(&wire), None);
    }
}

#[test]
fn every_smuggling_form_is_a_violation() {
    for form in [
        &b"\n.\n"[..],
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r.\n",
        b"\n.\r",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\n\r.\r\n",
        b"\n\n.\r\n",
    ] {
        let smuggled = b"MAIL FROM:<forged@example.org>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n";
        let wire = [b"text", form, smuggled, b"forged\r\n.\r\nQUIT\r\n"].concat();
        for step in 1..wire.len() {
            let (content, result, rest) = decode(wire.chunks(step)).unwrap();
            assert!(result.is_err(), "{form:?} passed");
            assert_eq!(rest, b"QUIT\r\n", "{form:?} put the connection out of step");
            assert!(!content.windows(6).any(|w| w == b"forged"), "{form:?} let content out");
        }
        for step in 1..8 {
            let content = [b"text", form, smuggled].concat();
            let (wire, result) = encode(content.chunks(step));
            assert!(result.is_err(), "{form:?} was sent");
            assert!(!wire.windows(4).any(|w| w == b"MAIL"), "{form:?} was sent");
        }
    }
}

#[test]
fn what_a_parser_crate_was_seen_to_get_wrong() {
    let end = |content: &[u8]| Some((content.to_vec(), Ok(()), Vec::new()));
    assert_eq!(decode_whole(b".\r\n"), end(b""));
    assert_eq!(decode_whole(b"..x\r\n.\r\n"), end(b".x\r\n"));
    assert_eq!(decode_whole(b".x\r\n.\r\n"), end(b"x\r\n"));
    assert_eq!(decode_whole(b"\r\n.\r\n"), end(b"\r\n"));
    assert_eq!(decode_whole(b"a\r\n...\r\n.\r\n"), end(b"a\r\n..\r\n"));
    assert_eq!(decode_whole(b"a\r\n.\r\r\n"), None);
    assert_eq!(encode([&b""[..]].into_iter()), (b".\r\n".to_vec(), Ok(false)));
    assert_eq!(encode([&b"."[..]].into_iter()), (b"..\r\n.\r\n".to_vec(), Ok(true)));
    assert_eq!(
        encode([&b"a\r"[..], b"\n", b".", b".\r\n"].into_iter()),
        (b"a\r\n...\r\n.\r\n".to_vec(), Ok(false))
    );
}

#[test]
fn long_lines_and_large_messages_pass_in_constant_memory() {
    let content = [vec![b'x'; 1 << 20], b"\r\n".to_vec(), b".y\r\n".repeat(1 << 16)].concat();
    let (wire, result) = encode(content.chunks(65_536));
    assert_eq!(result, Ok(false));
    let (decoded, result, _) = decode(wire.chunks(32_768)).unwrap();
    assert_eq!(result, Ok(()));
    assert!(decoded == content);
}
