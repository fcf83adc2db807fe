//! This crate as a peer of the interop harness: tasks in a file, results to another. The contract is `interop/harness/CONTRACT.md`.
//!
//! Nothing is decided here: every answer is the library's, and only its form is that of the contract; the tests of the vectors
//! share it.

mod answer;
#[path = "../../tests/vector_support/asking.rs"]
mod asking;
mod carrier;
mod decide;
mod json;
mod keys;
mod ordinary;
mod records;
#[path = "../../tests/vector_support/results.rs"]
mod results;
mod seal;
mod unseal;

use answer::{Answer, unsupported};
use serde_json::{Map, Value};
use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

#[derive(serde::Deserialize)]
struct Task {
    id: Value,
    kind: String,
    input: Value,
}

fn answer(kind: &str, input: Value) -> Answer {
    match kind {
        "identity" => keys::identity(json::read(input)?),
        "keys" => keys::private(&json::read(input)?),
        "public-keys" => keys::public(&json::read(input)?),
        "words" => keys::words(&json::read(input)?),
        "signature" => keys::signature(&json::read(input)?),
        "policy-record" => records::policy(&json::read(input)?),
        "key-record" => records::key(&json::read(input)?),
        "rollover" => records::rollover(&json::read(input)?),
        "records" => records::records(&json::read(input)?),
        "decide" => decide::decide(&json::read(input)?),
        "padding" => carrier::padding(&json::read(input)?),
        "ids" => carrier::ids(&json::read(input)?),
        "inspect" => carrier::inspect(&json::read(input)?),
        "recognise" => carrier::recognise(&json::read(input)?),
        "seal" => seal::seal(&json::read(input)?),
        "unseal" => unseal::unseal(&json::read(input)?),
        "ordinary" => ordinary::ordinary(&json::read(input)?),
        other => Err(unsupported(format!("kind {other}"))),
    }
}

fn result(id: Value, answer: Answer) -> Value {
    let mut members = Map::from_iter([("id".to_owned(), id)]);
    match answer {
        Ok(Value::Object(done)) => {
            members.insert("result".to_owned(), "done".into());
            members.extend(done);
        }
        Ok(_) => {
            members.insert("result".to_owned(), "done".into());
        }
        Err(no) => members.extend(no.members()),
    }
    Value::Object(members)
}

/// Answers every task; whether any was supported.
fn run() -> Result<bool, Box<dyn Error>> {
    let tasks = BufReader::new(File::open(env::var("MTA_SEAL_TASKS")?)?);
    let mut results = BufWriter::new(File::create(env::var("MTA_SEAL_RESULTS")?)?);
    let mut any = false;
    for line in tasks.lines() {
        let Task { id, kind, input } = serde_json::from_str(&line?)?;
        let answer = answer(&kind, input);
        any |= answer.as_ref().err().is_none_or(answer::No::is_refusal);
        writeln!(results, "{}", result(id, answer))?;
        results.flush()?;
    }
    Ok(any)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(127),
        Err(error) => {
            eprintln!("interop_peer: {error}");
            ExitCode::FAILURE
        }
    }
}
