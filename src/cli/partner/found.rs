//! What a partner publishes, for a person to look at before it is believed.

use super::super::discovery::discover;
use super::super::failure::Failure;
use super::super::fingerprint;
use super::super::moment::{length, utc};
use super::super::{table, verdict};
use crate::core::{Domain, KeyId, Suite};
use crate::gateway::config::Config;
use crate::gateway::lookup::Keys;
use crate::policy::{
    Alarm, Authenticity, Decision, Demand, Denial, LocalPolicy, LookupFailure, Memory, Outcome,
    Source, Verdict, decide,
};
use crate::records::{Mode, VerifiedPolicy};

/// A policy that was found, beside what is remembered of its domain.
pub(super) struct Found {
    policy: VerifiedPolicy,
    authenticity: Authenticity,
    outcome: Outcome,
    memory: Option<Memory>,
}

/// How the identity key of a policy relates to what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing is remembered.
    No,
    /// It is the remembered one.
    Same,
    /// The remembered one has named it as its successor.
    Successor(KeyId),
    /// It is another one, and nothing shows why.
    Stranger(KeyId),
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
        match &outcome {
            Outcome::Found(found) => {
                let (policy, authenticity) = (found.policy.clone(), found.authenticity);
                Ok(Self { policy, authenticity, outcome, memory })
            }
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

    /// The fingerprint of its identity key.
    pub(super) fn identity(&self) -> KeyId {
        self.policy.identity().fingerprint()
    }

    /// Whether the gateway knows its identity key.
    pub(super) fn known(&self, now: u64) -> Known {
        let Some(memory) = &self.memory else { return Known::No };
        let remembered = memory.identity().fingerprint();
        if remembered == self.identity() {
            return Known::Same;
        }
        let alarms = self.decide(&LocalPolicy::default(), now).alarms;
        let succeeds = |alarm: &Alarm| matches!(alarm, Alarm::IdentityRolledOver { .. });
        if alarms.iter().any(succeeds) {
            Known::Successor(remembered)
        } else {
            Known::Stranger(remembered)
        }
    }

    /// What it says, how well it is known, and what would be sealed with.
    pub(super) fn description(&self, local: &LocalPolicy, now: u64) -> String {
        let record = self.policy.record();
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
        let level = match (self.authenticity, self.known(now)) {
            (Authenticity::Secure, _) => "dnssec: DNSSEC vouches for it",
            (_, Known::Same) => "remembered: the key is the one seen before",
            (_, Known::Successor(_)) => "remembered: the key seen before has named it",
            (_, Known::No | Known::Stranger(_)) => {
                "first-use: nothing vouches for it but your comparison"
            }
        };
        let suites: Vec<String> = record
            .sealing_keys
            .iter()
            .map(|entry| {
                entry.suite().map_or("unknown".to_owned(), |suite: Suite| suite.to_string())
            })
            .collect();
        let mail = match self.decide(local, now).decision {
            Decision::Seal { key, source: Source::Dns, .. } => {
                format!("sealed with {}", key.suite())
            }
            Decision::Seal { key, .. } => {
                format!("sealed with {} as remembered, not as this says", key.suite())
            }
            decision => verdict::fate(&decision),
        };
        let row = |name: &str, text: &str| vec![name.to_owned(), text.to_owned()];
        let rows = [
            row("mode", mode),
            row("since", &utc(record.serial)),
            row("valid", &valid),
            row("suites", &suites.join(", ")),
            row("level", level),
            row("mail", &mail),
        ];
        let indent = " ".repeat(10);
        format!(
            "{}\n{}  identity\n{indent}{}\n",
            self.policy.domain(),
            table::lines("  ", &rows),
            fingerprint::lines(&self.identity(), &indent),
        )
    }

    /// What would happen to mail under this policy of ours.
    fn decide(&self, local: &LocalPolicy, now: u64) -> Verdict {
        decide(local, &self.outcome, self.memory.as_ref(), Demand::Absent, now)
    }

    /// Refuses what mail would not be sealed by.
    ///
    /// # Errors
    ///
    /// What would happen to mail instead.
    pub(super) fn must_seal(&self, local: &LocalPolicy, now: u64) -> Result<(), Failure> {
        let domain = self.policy.domain();
        let verdict = self.decide(local, now);
        for alarm in &verdict.alarms {
            if let Alarm::PinMismatch { pinned, seen } = alarm {
                return Err(mismatch(domain, pinned, seen));
            }
        }
        let what = match verdict.decision {
            Decision::Seal { source: Source::Dns, .. } => return Ok(()),
            // What is remembered seals, but it is not what was shown.
            Decision::Seal { .. } => {
                let why = verdict.alarms.first().map(|alarm| format!(": {alarm}"));
                format!("would be sealed by what is remembered only{}", why.unwrap_or_default())
            }
            decision => verdict::would(&decision),
        };
        // [R-dec-28]
        let hint = match self.policy.record().mode {
            Mode::None => {
                "nothing was written: it has withdrawn sealing, and under a pin its mail would wait, as the withdrawal may be an older answer; add it when it publishes `testing` or `enforce`"
            }
            Mode::Enforce | Mode::Testing => "nothing was written",
        };
        Err(Failure::refused(format!("mail to {domain} {what}")).hint(hint))
    }
}

/// The fingerprint that was given is not that of the key in DNS.
fn mismatch(domain: &Domain, given: &KeyId, seen: &KeyId) -> Failure {
    Failure::refused(format!("the identity key of {domain} in DNS is {seen}, not {given}"))
        .hint("nothing was written: read the fingerprint to the partner again, and if it differs somebody may be forging the record")
}
