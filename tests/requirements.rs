//! The draft's requirements and the code that cites them agree.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every `R-area-nn` in a text.
fn ids(text: &str) -> BTreeSet<String> {
    let is_id = |word: &str| {
        let mut parts = word.split('-');
        let (r, area, number) = (parts.next(), parts.next(), parts.next());
        r == Some("R")
            && area.is_some_and(|a| !a.is_empty() && a.bytes().all(|b| b.is_ascii_lowercase()))
            && number.is_some_and(|n| n.len() == 2 && n.bytes().all(|b| b.is_ascii_digit()))
            && parts.next().is_none()
    };
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| is_id(word))
        .map(str::to_owned)
        .collect()
}

fn sources(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_requirement_is_defined_once_and_cited_in_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let draft = fs::read_to_string(root.join("spec/draft-mta-seal.md")).unwrap();
    // A requirement begins a paragraph with its identifier in brackets.
    let mut defined = BTreeSet::new();
    for paragraph in draft.split("\n\n").filter(|paragraph| paragraph.starts_with("[R-")) {
        let id = ids(paragraph.split(']').next().unwrap()).pop_first().unwrap();
        assert!(defined.insert(id.clone()), "{id} is defined twice");
    }
    assert!(defined.len() > 50, "only {} requirements found", defined.len());
    let (mut code, mut tests) = (String::new(), String::new());
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut tests);
    let cited = ids(&code);
    let missing: Vec<&String> = defined.difference(&cited).collect();
    assert!(missing.is_empty(), "no code cites {missing:?}");
    let known = |text: &str| ids(text).difference(&defined).cloned().collect::<Vec<_>>();
    assert!(known(&code).is_empty(), "the code cites {:?}, which the draft lacks", known(&code));
    assert!(known(&tests).is_empty(), "the tests cite {:?}, which the draft lacks", known(&tests));
    assert!(known(&draft).is_empty(), "the draft refers to {:?} in vain", known(&draft));
    for entry in fs::read_dir(root.join("test-vectors")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(known(&text).is_empty(), "{path:?} cites {:?}", known(&text));
        }
    }
}
