//! What a partner publishes, for a person to look at before it is believed.

use super::super::discovery::discover;
use super::super::failure::Failure;
use super::super::fingerprint;
use super::super::moment::{length, utc};
use super::super::table;
use crate::core::{Domain, KeyId, Suite};
use crate::gateway::config::Config;
use crate::gateway::lookup::Keys;
use crate::policy::{
    Authenticity, Decision, DeferReason, Demand, Denial, FoundPolicy, LocalPolicy, LookupFailure,
    Memory, Outcome, Refusal, decide,
};
use crate::records::Mode;

/// A policy that was found, beside what is remembered of its domain.
pub(super) struct Found {
    domain: Domain,
    outcome: Outcome,
    memory: Option<Memory>,
}

impl Found {
    /// Looks the domain up as the gateway does before it seals.
    ///
    /// # Errors
    ///
    /// There is no policy, or none that can be read.
    pub(super) fn look_up(
        config: &Config,
        domain: &Domain,
        memory: Option<Memory>,
    ) -> Result<Self, Failure> {
        let keys = Keys::Wanted { remembered: memory.as_ref() };
        let outcome = discover(domain, keys, None, &config.dns)?;
        match outcome {
            Outcome::Found(_) => Ok(Self { domain: domain.clone(), outcome, memory }),
            Outcome::NoPolicy { denial, .. } => {
                let how = match denial {
                    Denial::NxDomain => "there is no such name",
                    Denial::NoData => "no record there is one",
                };
                Err(Failure::refused(format!("{domain} publishes no policy: {how}"))
                    .hint(format!("it stands at _mta-seal.{domain} (TXT); nothing was written")))
            }
            Outcome::Failed(failure) => {
                let what = format!("the policy of {domain} cannot be used: {failure}");
                let told = match failure {
                    LookupFailure::ServFail | LookupFailure::Timeout => Failure::temporary(what),
                    _ => Failure::refused(what),
                };
                Err(told.hint("nothing was written"))
            }
        }
    }

    fn policy(&self) -> Option<&FoundPolicy> {
        match &self.outcome {
            Outcome::Found(found) => Some(found),
            _ => None,
        }
    }

    /// The fingerprint of its identity key.
    pub(super) fn identity(&self) -> Option<KeyId> {
        self.policy().map(|found| found.policy.identity().fingerprint())
    }

    /// The identity that is remembered, if it is another one.
    pub(super) fn other_identity(&self) -> Option<KeyId> {
        let remembered = self.memory.as_ref()?.identity().fingerprint();
        (Some(remembered) != self.identity()).then_some(remembered)
    }

    /// What it says, how well it is known, and what would be sealed with.
    pub(super) fn description(&self, local: &LocalPolicy, now: u64) -> String {
        let Some(found) = self.policy() else { return String::new() };
        let record = found.policy.record();
        let mode = match record.mode {
            Mode::Enforce => "enforce: never send it clear mail",
            Mode::Testing => "testing: seal if it works",
            Mode::None => "none: it has withdrawn sealing",
        };
        let valid = if now < record.expiry {
            format!("until {}, {} left", utc(record.expiry), length(record.expiry - now))
        } else {
            format!("expired at {}", utc(record.expiry))
        };
        let level = match (found.authenticity, self.other_identity()) {
            (Authenticity::Secure, _) => "dnssec: DNSSEC vouches for it",
            (Authenticity::Insecure, None) if self.memory.is_some() => {
                "remembered: the key is the one seen before"
            }
            (Authenticity::Insecure, _) => "first-use: nothing vouches for it but your comparison",
        };
        let suites: Vec<String> = record
            .sealing_keys
            .iter()
            .map(|entry| {
                entry.suite().map_or("unknown".to_owned(), |suite: Suite| suite.to_string())
            })
            .collect();
        let sealed = match self.decide(local, now) {
            Decision::Seal { key, .. } => format!("sealed with {}", key.suite()),
            Decision::Clear(why) => format!("clear: {why}"),
            Decision::Defer(why) => format!("waits: {why}"),
            Decision::Reject(why) => format!("refused: {why}"),
        };
        let identity = found.policy.identity().fingerprint();
        let row = |name: &str, text: &str| vec![name.to_owned(), text.to_owned()];
        let rows = [
            row("mode", mode),
            row("since", &utc(record.serial)),
            row("valid", &valid),
            row("suites", &suites.join(", ")),
            row("level", level),
            row("mail", &sealed),
        ];
        let indent = " ".repeat(10);
        format!(
            "{}\n{}  identity\n{indent}{}\n",
            self.domain,
            table::lines("  ", &rows),
            fingerprint::lines(&identity, &indent),
        )
    }

    /// What would happen to mail under this policy of ours.
    fn decide(&self, local: &LocalPolicy, now: u64) -> Decision {
        decide(local, &self.outcome, self.memory.as_ref(), Demand::Absent, now).decision
    }

    /// Refuses what mail could not be sealed by.
    ///
    /// # Errors
    ///
    /// What would happen to mail instead.
    pub(super) fn must_seal(&self, local: &LocalPolicy, now: u64) -> Result<(), Failure> {
        let domain = &self.domain;
        let what = match self.decide(local, now) {
            Decision::Seal { .. } => return Ok(()),
            Decision::Defer(DeferReason::Refused(Refusal::PinMismatch)) => {
                return Err(self.mismatch(local.pin));
            }
            Decision::Defer(why) => format!("would wait: {why}"),
            Decision::Clear(why) => format!("would leave in clear: {why}"),
            Decision::Reject(why) => format!("would be refused: {why}"),
        };
        Err(Failure::refused(format!("mail to {domain} {what}")).hint("nothing was written"))
    }

    /// The fingerprint that was given is not that of the key in DNS.
    fn mismatch(&self, given: Option<KeyId>) -> Failure {
        let domain = &self.domain;
        let given = given.map(|given| given.to_string()).unwrap_or_default();
        let seen = self.identity().map(|seen| seen.to_string()).unwrap_or_default();
        Failure::refused(format!(
            "the identity key of {domain} in DNS is {seen}, not {given}"
        ))
        .hint("nothing was written: read the fingerprint to the partner again, and if it differs somebody may be forging the record")
    }
}
