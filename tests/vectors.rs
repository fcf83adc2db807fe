//! The test vectors of `test-vectors/` on every surface: the library whole and in pieces, the gateway, the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;
mod vector_support;

use std::collections::{BTreeMap, BTreeSet};

use vector_support::envelopes::DIVISIONS;
use vector_support::{
    Answer, Vector, all, decisions, envelopes, expectation, fields, gateway, keys, of_kinds,
    ordinary, program, records, results,
};

/// How the library answers, for each division into pieces where there are pieces.
fn answers(vector: &Vector) -> Vec<Answer> {
    let whole = |answer: fn(fields::Fields) -> Answer| vec![answer(vector.input())];
    let divided = |answer: fn(fields::Fields, usize) -> Answer| {
        DIVISIONS.iter().map(|division| answer(vector.input(), *division)).collect()
    };
    match vector.kind.as_str() {
        "identity" => whole(keys::identity),
        "keys" => whole(keys::keys),
        "public-keys" => whole(keys::public_keys),
        "words" => whole(keys::words),
        "signature" => whole(keys::signature),
        "padding" => whole(keys::padding),
        "policy-record" => whole(records::policy_record),
        "key-record" => whole(records::key_record),
        "rollover" => whole(records::rollover),
        "records" => whole(records::records),
        "decide" => whole(decisions::decide),
        "seal" => whole(envelopes::seal),
        "ids" => divided(envelopes::ids),
        "recognise" => divided(envelopes::recognise),
        "inspect" => divided(envelopes::inspect),
        "unseal" => divided(envelopes::unseal),
        "ordinary" => whole(ordinary::ordinary),
        // By the gateway alone.
        "smtp" => Vec::new(),
        other => panic!("{}: nobody knows the kind {other}", vector.name),
    }
}

#[test]
fn the_library_answers_as_expected() {
    let mut wrong = Vec::new();
    for vector in all().values().flatten() {
        for (answer, division) in answers(vector).into_iter().zip(DIVISIONS) {
            let answer = expectation(answer);
            if answer != vector.expected {
                wrong.push(format!(
                    "{} in pieces of {division}: {}",
                    vector.name,
                    difference(&answer, &vector.expected)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the function for envelopes in memory finds by itself.
const OF_THE_CORE: [&str; 11] = [
    "limits",
    "domain",
    "key",
    "hpke",
    "commitment",
    "body",
    "prefix",
    "opening",
    "blocks",
    "padding",
    "closing",
];

#[test]
fn the_library_unseals_in_memory_as_expected() {
    let mut wrong = BTreeMap::new();
    for vector in of_kinds(&["unseal"]) {
        let stage = vector.stage();
        // Whether a policy counts is the caller's to say.
        if stage == Some("sender-policy") {
            continue;
        }
        let unsealed = envelopes::unseal_in_memory(vector.input());
        let refused = stage.is_some_and(|stage| OF_THE_CORE.contains(&stage))
            // The gateway's fault comes first, and behind it is one of the core.
            || vector.name.ends_with("-in-unfinished-block")
            || vector.name == "unseal/refused/bytes-and-closing";
        match unsealed {
            Some((message, id)) if stage.is_none() => {
                let right = results::b64(message) == vector.expected["message"]
                    && results::b64(id.as_bytes()) == vector.expected["envelope_id"];
                if !right {
                    wrong.insert(vector.name, "another message or envelope id".to_owned());
                }
            }
            unsealed if unsealed.is_none() != refused => {
                wrong.insert(vector.name, format!("refused is {}", unsealed.is_none()));
            }
            _ => {}
        }
    }
    none_wrong(&wrong);
}

/// The members that are not as expected.
fn difference(answer: &serde_json::Value, expected: &serde_json::Value) -> String {
    let names: BTreeSet<&String> =
        [answer, expected].iter().flat_map(|value| value.as_object().unwrap().keys()).collect();
    let differing = names.into_iter().filter(|name| answer.get(name) != expected.get(name));
    let shown = differing.map(|name| {
        let short = |value: Option<&serde_json::Value>| {
            value.map_or("nothing".to_owned(), |v| v.to_string().chars().take(200).collect())
        };
        format!("{name} is {}, not {}", short(answer.get(name)), short(expected.get(name)))
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Reports all vectors of which something is wrong.
fn none_wrong(wrong: &BTreeMap<String, String>) {
    let lines: Vec<String> = wrong.iter().map(|(name, what)| format!("{name}: {what}")).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// What is wrong about the vectors of a kind. Each is a task of its own, so that one which panics is named and hides no other.
async fn wrong_by_gateway<F>(kind: &str, of: impl Fn(Vector) -> F) -> BTreeMap<String, String>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let mut wrong = BTreeMap::new();
    for vector in of_kinds(&[kind]) {
        let name = vector.name.clone();
        let what = match tokio::spawn(of(vector)).await {
            Ok(answered) => answered.err(),
            Err(ended) => Some(format!("no answer: {ended}")),
        };
        wrong.extend(what.map(|what| (name, what)));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_answers_every_carrier_as_expected() {
    let answer = |vector: Vector| async move { gateway::unseal(&vector).await };
    none_wrong(&wrong_by_gateway("unseal", answer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_speaks_every_dialog_as_expected() {
    let answer = |vector: Vector| async move { gateway::dialog(&vector).await };
    none_wrong(&wrong_by_gateway("smtp", answer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_ordinary_mail_as_expected() {
    let answer = |vector: Vector| async move { ordinary::by_gateway(&vector).await };
    none_wrong(&wrong_by_gateway("ordinary", answer).await);
}

#[test]
fn the_program_shows_what_a_carrier_says_without_a_key() {
    let mut wrong = BTreeMap::new();
    for vector in of_kinds(&["inspect"]) {
        if let Err(what) = program::inspect_vector(&vector) {
            wrong.insert(vector.name, what);
        }
    }
    for vector in of_kinds(&["unseal"]) {
        if let Err(what) = program::inspect_unsealed(&vector) {
            wrong.insert(vector.name, what);
        }
    }
    none_wrong(&wrong);
}

#[test]
fn the_program_unseals_as_expected() {
    program::is_timed("what the program unseals once the time counts");
    let (mut wrong, mut asked) = (BTreeMap::new(), 0);
    for vector in of_kinds(&["unseal"]).into_iter().filter(program::is_asked) {
        asked += 1;
        if let Err(what) = program::unseal(&vector) {
            wrong.insert(vector.name, what);
        }
    }
    none_wrong(&wrong);
    assert!(asked >= 50, "{asked}");
}

#[test]
fn the_program_seals_by_records_as_expected() {
    if !program::is_timed("what the program seals") {
        return;
    }
    let mut wrong = BTreeMap::new();
    for vector in of_kinds(&["records"]).into_iter().filter(program::is_record_file) {
        if let Err(what) = program::seal(&vector) {
            wrong.insert(vector.name, what);
        }
    }
    none_wrong(&wrong);
}

/// A vector that nobody could fail would hold nothing.
#[test]
fn every_refusal_has_a_twin_that_is_done() {
    let vectors: Vec<Vector> = all().into_values().flatten().collect();
    let done: BTreeMap<&str, &Vector> = vectors
        .iter()
        .filter(|vector| !vector.is_refused())
        .map(|vector| (vector.name.as_str(), vector))
        .collect();
    let refused: Vec<&Vector> = vectors.iter().filter(|vector| vector.is_refused()).collect();
    assert!(vectors.len() >= 150 && 3 * refused.len() >= 2 * vectors.len());
    for vector in refused {
        let twin =
            done.get(vector.twin.as_deref().unwrap()).unwrap_or_else(|| panic!("{}", vector.name));
        assert_eq!(twin.kind, vector.kind, "{}", vector.name);
    }
    let names: BTreeSet<&String> = vectors.iter().map(|vector| &vector.name).collect();
    assert_eq!(names.len(), vectors.len());
}
