//! Whether somebody else signs policies with the identity key of the domain: another gateway with a copy of the keyring, or a thief
//! [R-life-15].

use super::sighting::Sighting;
use crate::core::Domain;
use crate::gateway::own_policy::verified;
use crate::records::{Validity, VerifiedPolicy};

/// Policies at the servers that were signed with the identity key, or its proven successor, and not taken from this keyring.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// The latest of those in whose place nothing may be put.
    pub(super) later: Option<VerifiedPolicy>,
    /// Those in whose place the policy in the keyring has come.
    pub(super) earlier: Vec<VerifiedPolicy>,
}

impl Rivals {
    /// Of `domain`, whose keyring has the policy `own`; `known` are the texts that it has published or is to publish.
    pub(super) fn of(
        sighting: &Sighting,
        domain: &Domain,
        own: &VerifiedPolicy,
        known: impl Fn(&str) -> bool,
        now: u64,
    ) -> Self {
        let mut rivals = Self::default();
        let records = sighting.servers.iter().filter_map(|seen| seen.records.as_ref().ok());
        for record in records.flatten() {
            let Ok(text) = std::str::from_utf8(record) else { continue };
            if known(text) {
                continue;
            }
            let Ok(policy) = verified(text, domain) else { continue };
            let same = policy.identity() == own.identity();
            if same && rank(&policy) < rank(own) {
                if !rivals.earlier.contains(&policy) {
                    rivals.earlier.push(policy);
                }
            } else if policy.continues(own, now)
                // One that lies ahead was signed by a wrong clock, and nobody has believed it [R-rec-06].
                && policy.validity(now) == Validity::InForce
                && rivals.later.as_ref().is_none_or(|later| rank(later) < rank(&policy))
            {
                rivals.later = Some(policy);
            }
        }
        rivals
    }
}

/// Which of two policies counts: all who see both must say the same, also of one serial.
fn rank(policy: &VerifiedPolicy) -> (u64, &str) {
    (policy.record().serial, policy.text())
}
