//! Ordinary mail [R-uns-07].

use crate::answer::{Answer, refused, unsupported};
use crate::asking;
use crate::json::{Name, Octets};
use crate::unseal::config;
use mta_seal::core::address::ReversePath;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
pub(crate) struct Ordinary {
    message: Octets,
    reverse_path: String,
    sealed_only: Vec<Name>,
}

pub(crate) fn ordinary(mail: &Ordinary) -> Answer {
    let config = config(&asking::sealed_only(mail.sealed_only.iter().map(|name| &name.0)))?;
    let path = ReversePath::parse(&format!("<{}>", mail.reverse_path)).map_err(unsupported)?;
    asking::by_operator(&path, &mail.message.0, &config)
        .map(|()| json!({}))
        .map_err(|failure| refused("ordinary", &failure, failure.name()))
}
