//! Reads figures and tables out of the draft, and the files of its worked example.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod presentation;
pub mod primitives;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text of the draft.
pub const DRAFT: &str = include_str!("../../spec/draft-mta-seal.md");

/// The lines of the first figure after a text that stands once in the draft.
pub fn figure(after: &str) -> Vec<&'static str> {
    let mut parts = DRAFT.split(after);
    let (Some(_), Some(rest), None) = (parts.next(), parts.next(), parts.next()) else {
        panic!("{after:?} does not stand once in the draft");
    };
    let figure = rest.split("\n~~~").nth(1).expect("a figure");
    let lines = figure.split_once('\n').expect("its lines").1.lines().collect::<Vec<_>>();
    assert!(!lines.is_empty(), "{after}");
    lines
}

/// The rows of the table with this mark, without its head and without backticks.
pub fn table(mark: &str) -> Vec<Vec<String>> {
    let rows = table_with_code(mark).into_iter();
    rows.map(|row| row.iter().map(|cell| cell.replace('`', "")).collect()).collect()
}

/// The rows of the table with this mark, without its head.
pub fn table_with_code(mark: &str) -> Vec<Vec<String>> {
    let (_, rest) = DRAFT.split_once(&format!("{{: #{mark}}}\n")).expect("the mark");
    rows(rest)
}

/// The rows of the table at the beginning of a text, without its head.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().take_while(|line| line.starts_with('|')).skip(2);
    let rows: Vec<Vec<String>> = rows
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table: {text}");
    rows
}

/// The words between backticks, repetitions in a row left out.
pub fn words(cell: &str) -> impl Iterator<Item = &str> {
    let mut words: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    words.dedup();
    words.into_iter()
}

/// Reply and text of a failure [R-smtp-01].
pub fn failure_reply(name: &str) -> String {
    let (_, rest) = DRAFT.split_once("\n| Failure | Reply |").expect("the table");
    let rows = rows(&format!("|{rest}"));
    let mut rows = rows.iter().filter(|row| row[0] == name);
    let (Some(row), None) = (rows.next(), rows.next()) else {
        panic!("{name} does not stand once in the table");
    };
    format!("{} {}", row[1], row[2])
}

/// The path of a file of the worked example.
pub fn example_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/example").join(name)
}

/// A file of the worked example.
pub fn example(name: &str) -> Vec<u8> {
    fs::read(example_path(name)).unwrap()
}

/// The TXT records of a domain of the worked example: name, and strings joined.
pub fn zone(domain: &str) -> Vec<(String, String)> {
    let text = String::from_utf8(example(&format!("{domain}.zone"))).unwrap();
    let mut records: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some((name, rest)) = line.split_once(". ") {
            assert_eq!(rest, "3600 IN TXT (");
            records.push((name.to_owned(), String::new()));
        } else if let Some(string) = line.strip_prefix("  \"").and_then(|l| l.strip_suffix('"')) {
            records.last_mut().unwrap().1.push_str(string);
        } else {
            assert_eq!(line, ")");
        }
    }
    records
}

/// A list of named values of the worked example. Each must be asked for.
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// Reads `keys.txt` or `values.txt`.
    pub fn read(name: &str) -> Self {
        let text = String::from_utf8(example(name)).unwrap();
        let mut values = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(more) = line.strip_prefix("  ") {
                let value: &mut String = values.get_mut(&current).expect("a name before");
                value.push_str(more);
            } else {
                line.strip_suffix(':').expect("a name").clone_into(&mut current);
                assert!(values.insert(current.clone(), String::new()).is_none(), "{line} twice");
            }
        }
        Self(values)
    }

    /// Takes a value as it stands.
    pub fn text(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_else(|| panic!("no value {name}, or it was taken before"))
    }

    /// Takes the octets of a value.
    pub fn octets(&mut self, name: &str) -> Vec<u8> {
        let text = self.text(name);
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    /// Takes octets of a fixed number.
    pub fn array<const N: usize>(&mut self, name: &str) -> [u8; N] {
        self.octets(name).try_into().unwrap_or_else(|_| panic!("{name} has another length"))
    }

    /// Fails if a value was not taken.
    pub fn end(self) {
        assert!(self.0.is_empty(), "not looked at: {:?}", self.0.keys());
    }
}

/// Base64 as in records.
pub fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}
