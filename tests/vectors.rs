//! The test vectors of `test-vectors/` on every surface: the library whole and in pieces, the gateway, the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;
mod vector_support;

use std::collections::{BTreeMap, BTreeSet};

use vector_support::envelopes::DIVISIONS;
use vector_support::{
    Answer, Vector, all, decisions, envelopes, expectation, gateway, keys, of_kinds, program,
    records,
};

/// How the library answers, for each division into pieces where there are pieces.
fn answers(vector: &Vector) -> Vec<Answer> {
    let whole = |answer: fn(vector_support::fields::Fields) -> Answer| vec![answer(vector.input())];
    let divided = |answer: fn(vector_support::fields::Fields, usize) -> Answer| {
        DIVISIONS.iter().map(|division| answer(vector.input(), *division)).collect()
    };
    match vector.kind.as_str() {
        "identity" => whole(keys::identity),
        "keys" => whole(keys::keys),
        "public-keys" => whole(keys::public_keys),
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
