//! `mta-seal demo` shows what it promises, with its own message and with any other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;
use std::path::Path;

/// What is never missing, whatever the message.
const KEY_LINES: [&str; 20] = [
    "✓ the mailboxes stand in the SMTP envelope only",
    "✓ the message is the same, octet for octet",
    "✓ above it stand the two trace fields of gateway 2 and nothing else",
    "✓ gateway 2 vouches for company1.example, by keys from signed DNS",
    "✓ delivered once",
    "✓ one bit flipped",
    "✓ cut short",
    "✓ spliced from two envelopes",
    "✓ redirected to mallory@",
    "✓ clear mail as company1",
    "✓ the same, sealed inside",
    "✓ the same at first contact",
    "✓ replayed, both messages",
    "✓ forged result, clear mail",
    "✓ forged result, sealed mail",
    "✓ smuggled end of data, 14x",
    "✓ forged record and keys",
    "✓ record stripped (NODATA)",
    "✓ record stripped (NXDOMAIN)",
    "✓ forged in a signed zone",
];

/// Runs the demo; its exit code, standard output and standard error.
fn demo(message: Option<&Path>, temporary: &Path) -> (i32, String, String) {
    let mut command = Command::cargo_bin("mta-seal").unwrap();
    let output = command.arg("demo").args(message).env("TMPDIR", temporary).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A run with a message of this content that must succeed; what it printed.
fn shown(content: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("message.eml");
    std::fs::write(&file, content).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let (code, text, errors) = demo(Some(&file), temporary.path());
    assert_eq!(code, 0, "{text}\n{errors}");
    check(&text);
    text
}

fn check(text: &str) {
    for line in KEY_LINES {
        assert!(text.contains(line), "`{line}` is missing in\n{text}");
    }
    assert!(!text.contains('✗'), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("All ") && last.contains("expectations held"), "{last}");
}

#[test]
fn the_built_in_message_shows_everything_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (code, text, errors) = demo(None, temporary.path());
    assert_eq!(code, 0, "{text}\n{errors}");
    assert_eq!(errors, "");
    check(&text);
    // Not a terminal: no colours, and no line that would be wrapped.
    assert!(!text.contains('\x1b'));
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.lines().count() <= 120, "{} lines", text.lines().count());
    // What is shown as sent is what is shown as arrived.
    let hashes: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("sha256 ")).collect();
    assert_eq!(hashes.len(), 2);
    assert_eq!(hashes[0], hashes[1]);
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn dots_and_long_lines_arrive_unchanged() {
    let mut content =
        b"From: someone@elsewhere.example\r\nSubject: dots and length\r\n\r\n".to_vec();
    content.extend_from_slice(b".\r\n..\r\n...\r\n.leading\r\n\r\n.\r\n");
    content.extend_from_slice(&[b'x'; 100_000]);
    content.extend_from_slice(b"\r\nK\xc3\xb6ln, \xe9 in another charset\r\n\r\n\r\n");
    let text = shown(&content);
    assert_eq!(content.len(), 100_123);
    assert!(text.contains("100,123 octets in all"), "{text}");
    assert!(!text.contains("Before sending"), "{text}");
}

#[test]
fn bare_line_feeds_are_converted_and_said_so() {
    let text = shown(b"From: anna@company1.example\nSubject: saved on Unix\n\nhello\nlast");
    let sent = b"From: anna@company1.example\r\nSubject: saved on Unix\r\n\r\nhello\r\nlast\r\n";
    assert!(text.contains("Before sending: gave 4 lines the ends that SMTP has: LF became CRLF."));
    assert!(text.contains("Before sending: ended the last line."));
    assert!(text.contains(&format!("{} octets in all", sent.len())), "{text}");
}

#[test]
fn what_smtp_cannot_carry_is_refused_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("message.eml");
    for (content, what) in [
        (b"A: b\r\n\r\na\0b\r\n".as_slice(), "has a NUL octet"),
        (b"A: b\r\n\r\na\rb\r\n".as_slice(), "has a CR that ends no line"),
        (b"".as_slice(), "is empty"),
    ] {
        std::fs::write(&file, content).unwrap();
        let (code, text, errors) = demo(Some(&file), directory.path());
        assert_eq!((code, text.as_str()), (1, ""));
        assert!(errors.starts_with("mta-seal: ") && errors.contains(what), "{errors}");
        assert!(errors.contains("\nhint: "), "{errors}");
    }
    let (code, _, errors) = demo(Some(&directory.path().join("missing.eml")), directory.path());
    assert_eq!(code, 1);
    assert!(errors.starts_with("mta-seal: cannot read "), "{errors}");
}
