//! Ordinary mail in the name of domains that must seal [R-uns-07].

use mta_seal::core::Domain;
use mta_seal::core::address::ReversePath;
use serde_json::json;

use super::envelopes::{OwnKeys, config_with};
use super::fields::Fields;
use super::gateway::{Given, arrived, converse, reply_of};
use super::{Answer, Vector, asking};

struct Task {
    message: Vec<u8>,
    reverse_path: String,
    sealed_only: Vec<String>,
}

impl Task {
    fn read(mut input: Fields) -> Self {
        let task = Self {
            message: input.octets("message"),
            reverse_path: input.text("reverse_path"),
            sealed_only: input.texts("sealed_only"),
        };
        input.end();
        task
    }
}

/// By the rule alone.
pub fn ordinary(input: Fields) -> Answer {
    let task = Task::read(input);
    let config = config_with(&asking::sealed_only(&task.sealed_only));
    let path = ReversePath::parse(&format!("<{}>", task.reverse_path)).unwrap();
    asking::by_operator(&path, &task.message, &config)
        .map(|()| json!({}))
        .map_err(|failure| ("ordinary", failure.name()))
}

/// What is wrong about what a gateway does with a vector.
pub async fn by_gateway(vector: &Vector) -> Result<(), String> {
    let task = Task::read(vector.input());
    let lines = [
        "EHLO client.example".to_owned(),
        format!("MAIL FROM:<{}>", task.reverse_path),
        "RCPT TO:<v@b.example>".to_owned(),
        "DATA".to_owned(),
    ];
    let own = OwnKeys {
        domain: Domain::parse("b.example").unwrap(),
        sealing: Vec::new(),
        destroyed: Vec::new(),
    };
    let given = Given {
        own: vec![own],
        now: 1_800_000_000,
        window: 1_209_600,
        carrier: task.message.clone(),
        config: asking::sealed_only(&task.sealed_only),
        ..Given::default()
    };
    let answered = converse(given, &lines, usize::from(!vector.is_refused())).await;
    let last = answered.replies.last().unwrap();
    let expected =
        vector.failure().map_or("250 2.0.0".to_owned(), |row| reply_of(row, "p.example"));
    if !last.starts_with(&expected) {
        return Err(format!("{last}, not {expected}"));
    }
    match answered.delivered.as_slice() {
        [] if vector.is_refused() => Ok(()),
        [one] if !vector.is_refused() && arrived(one, &task.message) => Ok(()),
        _ => Err("delivered otherwise".to_owned()),
    }
}
