//! Carriers and the clear part of envelopes.

use crate::answer::{Answer, No, not_good, refused};
use crate::json::{Name, Octets};
use crate::results::{self, b64};
use mta_seal::core::padding::padded;
use mta_seal::core::{Domain, Parsed, Received, Step};
use mta_seal::gateway::{Failure, scan_failure, unseal_failure};
use mta_seal::mail::carrier::{Limits, Scanner, State};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
pub(crate) struct Length {
    length: u64,
}

/// [R-con-05]
pub(crate) fn padding(input: &Length) -> Answer {
    Ok(json!({ "padded": padded(input.length) }))
}

/// The envelope in a carrier [R-car-04].
pub(crate) fn scan(message: &[u8]) -> Result<Vec<u8>, No> {
    let (mut scanner, mut envelope) = (Scanner::new(Limits::default()), Vec::new());
    scanner
        .push(message, &mut envelope)
        .and_then(|_| scanner.finish(&mut envelope))
        .map_err(|error| refused("limits", &scan_failure(error), error))
        .and_then(|state| match state {
            State::Carrier => Ok(envelope),
            State::Undecided | State::NotCarrier => Err(not_good("recognition", "ordinary mail")),
        })
}

/// The clear part of an envelope.
pub(crate) fn clear_part(envelope: &[u8]) -> Result<Parsed, No> {
    let parsed = match Received::new().push(envelope) {
        Ok(Step::Done(parsed)) => Ok(parsed),
        Ok(Step::More(received)) => Err(received.ended()),
        Err(error) => Err(error),
    };
    parsed.map_err(|error| refused("limits", &unseal_failure(&error), error))
}

/// Check 2 of [R-uns-01].
pub(crate) fn of_ours(parsed: &Parsed, own: &[&Domain]) -> Result<(), No> {
    let domain = &parsed.header().recipient_domain;
    if own.contains(&domain) {
        Ok(())
    } else {
        Err(refused("domain", &Failure::CarrierForeign, domain))
    }
}

#[derive(Deserialize)]
pub(crate) struct Clear {
    octets: Octets,
}

pub(crate) fn ids(input: &Clear) -> Answer {
    Ok(results::clear_part(&clear_part(&input.octets.0)?))
}

#[derive(Deserialize)]
pub(crate) struct Carrier {
    carrier: Octets,
}

pub(crate) fn inspect(input: &Carrier) -> Answer {
    let envelope = scan(&input.carrier.0)?;
    let mut report = results::clear_part(&clear_part(&envelope)?);
    report["envelope_octets"] = envelope.len().into();
    Ok(report)
}

#[derive(Deserialize)]
pub(crate) struct Message {
    message: Octets,
    own_domains: Vec<Name>,
}

pub(crate) fn recognise(input: &Message) -> Answer {
    let envelope = scan(&input.message.0)?;
    let own: Vec<&Domain> = input.own_domains.iter().map(|name| &name.0).collect();
    of_ours(&clear_part(&envelope)?, &own)?;
    Ok(json!({ "envelope": b64(envelope) }))
}
