//! The draft's requirements, and the code, tests and vectors that cite them, agree.
//!
//! `spec/coverage.md` says what cites what. `MTA_SEAL_UPDATE=1 cargo test --test requirements` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// An identifier of the form `R-area-nn`.
fn is_id(word: &str) -> bool {
    let mut parts = word.split('-');
    let (r, area, number) = (parts.next(), parts.next(), parts.next());
    r == Some("R")
        && area.is_some_and(|a| !a.is_empty() && a.bytes().all(|b| b.is_ascii_lowercase()))
        && number.is_some_and(|n| n.len() == 2 && n.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().is_none()
}

/// Every `R-area-nn` in a text, those of a range `R-area-nn..mm` included.
fn ids(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.find("R-") {
        let before = rest[..at].chars().next_back();
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let whole = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-');
        if whole && is_id(word) {
            let (area, first) = word.rsplit_once('-').unwrap();
            let last = after.strip_prefix("..").and_then(|after| after.get(..2));
            let first: u32 = first.parse().unwrap();
            let last = last.and_then(|last| last.parse().ok()).unwrap_or(first);
            found.extend((first..=last).map(|number| format!("{area}-{number:02}")));
        }
        rest = if after.is_empty() && !whole { &rest[2..] } else { after };
    }
    found
}

/// All files of this kind below a directory, by their path from the root of the project.
fn files(dir: &str, extension: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(dir), extension, &mut found);
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// What the draft defines, in its order.
struct Draft {
    text: String,
    defined: Vec<String>,
}

impl Draft {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/draft-mta-seal.md");
        let text = fs::read_to_string(path).unwrap();
        // A requirement begins a paragraph with its identifier in brackets.
        let mut defined = Vec::new();
        for paragraph in text.split("\n\n").filter(|paragraph| paragraph.starts_with("[R-")) {
            let id = ids(paragraph.split(']').next().unwrap()).pop_first().unwrap();
            assert!(!defined.contains(&id), "{id} is defined twice");
            defined.push(id);
        }
        assert!(defined.len() > 50, "only {} requirements found", defined.len());
        Self { text, defined }
    }

    /// Fails if something cites what the draft lacks.
    fn has_all(&self, who: &str, cited: &BTreeSet<String>) {
        let unknown: Vec<&String> = cited.iter().filter(|id| !self.defined.contains(id)).collect();
        assert!(unknown.is_empty(), "{who} cites {unknown:?}, which the draft lacks");
    }
}

/// Files by the requirement that they cite.
#[derive(Default)]
struct Cited(BTreeMap<String, BTreeSet<String>>);

impl Cited {
    fn add(&mut self, file: &str, cited: BTreeSet<String>) {
        for id in cited {
            self.0.entry(id).or_default().insert(file.to_owned());
        }
    }

    fn ids(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    fn list(&self, id: &str) -> String {
        let files = self.0.get(id).into_iter().flatten();
        files.map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Where requirements are cited.
struct Coverage {
    code: Cited,
    tests: Cited,
    vectors: Cited,
    second: Cited,
}

impl Coverage {
    fn read() -> Self {
        let (mut code, mut tests) = (Cited::default(), Cited::default());
        for (file, text) in files("src", "rs") {
            let name = file.trim_start_matches("src/");
            let of_tests = name.ends_with("tests.rs");
            let (own, unit) = text.split_once("\nmod tests {").unwrap_or((&text, ""));
            if of_tests {
                tests.add(&file, ids(&text));
            } else {
                code.add(name, ids(own));
                tests.add(&file, ids(unit));
            }
        }
        for (file, text) in files("tests", "rs") {
            // This file cites examples of citations.
            if file != "tests/requirements.rs" {
                tests.add(file.trim_start_matches("tests/"), ids(&text));
            }
        }
        let mut vectors = Cited::default();
        for (file, text) in files("test-vectors", "json") {
            // Below stand the schema and vectors of others.
            let name = file.trim_start_matches("test-vectors/");
            if name.contains('/') {
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let list =
                value["vectors"].as_array().unwrap_or_else(|| panic!("{file} has no vectors"));
            for vector in list {
                let named = vector["requirements"].as_array().into_iter().flatten();
                let named: BTreeSet<String> =
                    named.map(|id| id.as_str().unwrap().to_owned()).collect();
                assert!(!named.is_empty(), "{file}: {} names no requirement", vector["name"]);
                vectors.add(name, named);
            }
        }
        let mut second = Cited::default();
        for (file, text) in files("interop/python/mta_seal_py", "py") {
            second.add(file.trim_start_matches("interop/python/mta_seal_py/"), ids(&text));
        }
        Self { code, tests, vectors, second }
    }

    fn to_text(&self, defined: &[String]) -> String {
        let mut text = "\
# What cites which requirement

Written by `MTA_SEAL_UPDATE=1 cargo test --test requirements`, which otherwise compares. Code is in `src/`, tests in `tests/` or
beside the code, vectors in `test-vectors/`, the second implementation in `interop/python/mta_seal_py/`.

| Requirement | Code | Tests | Vectors | Second implementation |
|---|---|---|---|---|
"
        .to_owned();
        for id in defined {
            let lists = [&self.code, &self.tests, &self.vectors, &self.second].map(|c| c.list(id));
            writeln!(text, "| {id} | {} |", lists.join(" | ")).unwrap();
        }
        text
    }
}

#[test]
fn every_requirement_is_defined_once_and_cited_in_the_code() {
    let draft = Draft::read();
    let coverage = Coverage::read();
    let cited = coverage.code.ids();
    let missing: Vec<&String> = draft.defined.iter().filter(|id| !cited.contains(*id)).collect();
    assert!(missing.is_empty(), "no code cites {missing:?}");
    draft.has_all("the code", &cited);
    draft.has_all("a test", &coverage.tests.ids());
    draft.has_all("a vector", &coverage.vectors.ids());
    draft.has_all("the second implementation", &coverage.second.ids());
    draft.has_all("the draft", &ids(&draft.text));
}

#[test]
fn every_requirement_is_cited_by_a_test_or_a_vector() {
    let coverage = Coverage::read();
    let cited = &coverage.tests.ids() | &coverage.vectors.ids();
    let defined = Draft::read().defined;
    let missing: Vec<&String> = defined.iter().filter(|id| !cited.contains(*id)).collect();
    assert!(missing.is_empty(), "neither a test nor a vector cites {missing:?}");
}

#[test]
fn key_words_stand_in_requirements() {
    let draft = Draft::read();
    let (_, text) = draft.text.split_once("\n# Architecture").unwrap();
    let mut within = false;
    let mut checked = 0;
    for paragraph in text.split("\n\n") {
        within = paragraph.starts_with("[R-") || within && !paragraph.starts_with('#');
        let mut words = paragraph.split(|c: char| !c.is_ascii_alphabetic());
        if words.any(|word| ["MUST", "SHALL", "SHOULD", "MAY", "RECOMMENDED"].contains(&word)) {
            checked += 1;
            assert!(within, "belongs to no requirement: {paragraph}");
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn coverage_is_as_recorded() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/coverage.md");
    let now = Coverage::read().to_text(&Draft::read().defined);
    if std::env::var_os("MTA_SEAL_UPDATE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    let changed: Vec<(&str, &str)> = recorded
        .lines()
        .chain(std::iter::repeat(""))
        .zip(now.lines().chain(std::iter::repeat("")))
        .take(recorded.lines().count().max(now.lines().count()))
        .filter(|(before, after)| before != after)
        .collect();
    assert!(
        recorded == now,
        "run `MTA_SEAL_UPDATE=1 cargo test --test requirements`; recorded, now: {changed:#?}"
    );
}

#[test]
fn citations_are_found() {
    let found = |text| ids(text).into_iter().collect::<Vec<_>>();
    assert_eq!(found("[R-env-03]; R-dec-17, (R-id-01)"), ["R-dec-17", "R-env-03", "R-id-01"]);
    assert_eq!(found("[R-car-01..03]"), ["R-car-01", "R-car-02", "R-car-03"]);
    assert!(found("R-env-3 R-env-033 R-Env-03 XR-env-03 R--03 R-env-03-x").is_empty());
}
