//! How the library is asked, with what a vector gives in place of DNS and randomness. The peer of the interop harness includes
//! this file.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use mta_seal::core::Domain;
use mta_seal::core::address::ReversePath;
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::config::{Config, Limits};
use mta_seal::gateway::lookup::{Keys, look_up};
use mta_seal::gateway::{Claimed, Exceptions, Failure, Ruling};
use mta_seal::mail::address::is_aligned;
use mta_seal::mail::header::{Header, HeaderCollector};
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

/// Whether SMTP takes a message: it has no bare CR, bare LF or NUL [R-seal-07]. `ended`: no LF can follow its last octet any
/// more [R-uns-01].
pub(crate) fn is_text(message: &[u8], ended: bool) -> bool {
    let (mut encoder, mut wire) = (DataEncoder::new(), BytesMut::new());
    let encoded = encoder.encode(message, &mut wire);
    encoded.is_ok() && (!ended || encoder.finish(&mut wire).is_ok())
}

/// The header block of a message that was sealed, as check 14 of [R-uns-01] judges it once it is complete.
pub(crate) struct InnerHeader {
    /// Until it is.
    collector: Option<HeaderCollector>,
    /// Of whom its one author must be [R-uns-11].
    aligned_with: Option<Domain>,
}

impl InnerHeader {
    pub(crate) fn new(aligned_with: Option<Domain>) -> Self {
        Self { collector: Some(HeaderCollector::new()), aligned_with }
    }

    pub(crate) fn push(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let Some(collector) = &mut self.collector else { return Ok(()) };
        if collector.push(octets).map_err(|_| Failure::HeaderTooLarge)? {
            self.end()
        } else {
            Ok(())
        }
    }

    /// The message has ended.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        let Some(collector) = self.collector.take() else { return Ok(()) };
        let (header, _) = collector.finish().map_err(|_| Failure::HeaderTooLarge)?;
        if loops(&header) {
            return Err(Failure::Loop);
        }
        match &self.aligned_with {
            Some(domain) if !is_aligned(&header, domain) => {
                Err(Failure::NotAligned(domain.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a message has passed more hosts than any should [R-seal-08].
pub(crate) fn loops(header: &Header) -> bool {
    header.received_count() > Limits::default().received
}

/// Whether ordinary mail is taken by an operator who lets no clear mail in of these domains [R-uns-07].
pub(crate) fn by_operator(
    reverse_path: &ReversePath,
    message: &[u8],
    config: &Config,
) -> Result<(), Failure> {
    let claimed = Claimed::of(reverse_path, &Header::split(message).0);
    match claimed.by_operator(config, Exceptions::default(), &config.hostname) {
        Ruling::Refused(domain) => Err(Failure::SealDemanded(domain)),
        Ruling::Taken | Ruling::Marked(_) => Ok(()),
    }
}

/// What a configuration has for such an operator.
pub(crate) fn sealed_only(domains: impl IntoIterator<Item = impl Display>) -> String {
    let partner =
        |domain| format!("[[partner]]\ndomain = \"{domain}\"\ninbound = \"require-sealed\"\n");
    domains.into_iter().map(partner).collect()
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
