//! The test vectors of `test-vectors/`, and how each surface of this crate answers them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod asking;
pub mod decisions;
pub mod envelopes;
pub mod fields;
pub mod gateway;
pub mod keys;
pub mod ordinary;
pub mod program;
pub mod records;
pub mod results;
pub mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fields::Fields;
use serde_json::{Value, json};

/// One vector.
#[derive(Clone)]
pub struct Vector {
    pub name: String,
    pub kind: String,
    pub twin: Option<String>,
    pub requirements: Vec<String>,
    pub input: Value,
    pub expected: Value,
}

impl Vector {
    fn read(value: Value) -> Self {
        let mut fields = Fields::new("vector", value);
        let name = fields.text("name");
        assert!(!fields.text("comment").is_empty(), "{name}");
        let vector = Self {
            kind: fields.text("kind"),
            twin: fields.has("twin").then(|| fields.text("twin")),
            requirements: fields.texts("requirements"),
            input: fields.take("input"),
            expected: fields.take("expected"),
            name,
        };
        fields.end();
        vector
    }

    pub fn input(&self) -> Fields {
        Fields::new(&self.name, self.input.clone())
    }

    pub fn is_refused(&self) -> bool {
        self.expected["result"] == "refused"
    }

    /// Where it is refused, if it is.
    pub fn stage(&self) -> Option<&str> {
        self.expected["stage"].as_str()
    }

    /// The row of [R-smtp-01], if it is refused.
    pub fn failure(&self) -> Option<&str> {
        self.expected["failure"].as_str()
    }
}

pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors")
}

/// All vectors by file.
pub fn all() -> BTreeMap<String, Vec<Vector>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let mut fields = Fields::new("file", value);
            let subject = fields.text("subject");
            assert_eq!(path.file_stem().unwrap().to_str(), Some(subject.as_str()));
            let vectors = fields.list("vectors").into_iter().map(Vector::read).collect();
            fields.end();
            files.insert(subject, vectors);
        }
    }
    files
}

/// All vectors of these kinds.
pub fn of_kinds(kinds: &[&str]) -> Vec<Vector> {
    all().into_values().flatten().filter(|vector| kinds.contains(&vector.kind.as_str())).collect()
}

/// An answer, or stage and failure.
pub type Answer = Result<Value, (&'static str, &'static str)>;

/// An answer as `expected` has it.
pub fn expectation(answer: Answer) -> Value {
    match answer {
        Ok(mut done) => {
            done.as_object_mut().unwrap().insert("result".to_owned(), json!("done"));
            done
        }
        Err((stage, failure)) => json!({ "result": "refused", "stage": stage, "failure": failure }),
    }
}
