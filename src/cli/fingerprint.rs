//! A fingerprint as two people compare it by telephone: digits, and words [R-key-02].

use crate::core::KeyId;

/// Words on a line.
const WORDS: usize = 8;

/// The fingerprint in hexadecimal and its words in lines of eight; each line but the first begins with `indent`.
pub(super) fn lines(id: &KeyId, indent: &str) -> String {
    format!("{id}\n{indent}{}", words(id, indent))
}

/// The words alone.
pub(super) fn words(id: &KeyId, indent: &str) -> String {
    let words = id.words();
    let words: Vec<&str> = words.split(' ').collect();
    let lines: Vec<String> = words.chunks(WORDS).map(|line| line.join(" ")).collect();
    lines.join(&format!("\n{indent}"))
}
