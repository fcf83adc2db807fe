//! How the library is asked, with what a vector gives in place of DNS and randomness. The peer of the interop harness includes
//! this file.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use mta_seal::core::Domain;
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::policy::{Decision, Demand, LocalPolicy, Outcome, Rule, decide};
use mta_seal::records::{SignedPolicy, VerifiedPolicy};
use mta_seal::smtp::data::DataEncoder;
use rand_core::{TryCryptoRng, TryRng};

/// No name is looked up elsewhere, so that nothing is waited for.
const BUDGET: Duration = Duration::from_secs(20);

/// Publishes texts at names; what is at no name does not exist.
pub(crate) fn publish(
    dns: &Scripted,
    records: impl IntoIterator<Item = (String, Vec<u8>)>,
    authenticity: Authenticity,
) {
    let mut by_name: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
    for (name, text) in records {
        by_name.entry(name).or_default().push(text);
    }
    for (name, texts) in by_name {
        // A name that cannot be asked for is not there.
        if let Ok(name) = Domain::from_canonical(name.as_bytes()) {
            let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            dns.set_txt(name, &texts, authenticity);
        }
    }
}

/// What the gateway's own look-up brings.
pub(crate) fn looked_up(dns: &Scripted, domain: &Domain, keys: Keys<'_>) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(runtime.block_on(look_up(dns, domain, keys, BUDGET)))
}

/// What an operator who requires sealing and remembers nothing decides.
pub(crate) fn required(dns: &Scripted, domain: &Domain, now: u64) -> io::Result<Decision> {
    let outcome = looked_up(dns, domain, Keys::Wanted { remembered: None })?;
    let local = LocalPolicy { rule: Rule::Require, ..LocalPolicy::default() };
    Ok(decide(&local, &outcome, None, Demand::Absent, now).decision)
}

/// A policy whose signature holds, or the stage at which it fails, and why.
pub(crate) fn policy(
    domain: &Domain,
    text: &[u8],
) -> Result<VerifiedPolicy, (&'static str, String)> {
    SignedPolicy::parse(text)
        .map_err(|error| ("record", error.to_string()))?
        .verify(domain)
        .map_err(|error| ("record-signature", error.to_string()))
}

/// Whether SMTP takes a message: it has no bare CR, bare LF or NUL [R-seal-07].
pub(crate) fn is_text(message: &[u8]) -> bool {
    let (mut encoder, mut wire) = (DataEncoder::new(), BytesMut::new());
    encoder.encode(message, &mut wire).and_then(|()| encoder.finish(&mut wire)).is_ok()
}

/// The octets that a vector gives, in the order in which the library asks for them; then there are no more.
pub(crate) struct Given(pub(crate) Vec<u8>);

#[derive(Debug, thiserror::Error)]
#[error("randomness is asked for that the vector does not have")]
pub(crate) struct NotGiven;

impl TryRng for Given {
    type Error = NotGiven;

    fn try_next_u32(&mut self) -> Result<u32, NotGiven> {
        // Numbers are not part of it.
        Err(NotGiven)
    }

    fn try_next_u64(&mut self) -> Result<u64, NotGiven> {
        Err(NotGiven)
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), NotGiven> {
        if to.len() > self.0.len() {
            return Err(NotGiven);
        }
        to.copy_from_slice(&self.0[..to.len()]);
        self.0.drain(..to.len());
        Ok(())
    }
}

impl TryCryptoRng for Given {}
