//! What the audit trail is told of a message at one destination, and on what it was decided.

use super::destination::{Course, Destination};
use crate::core::hex::Hex;
use crate::core::{Domain, sha256};
use crate::gateway::audit::Story;
use crate::gateway::session::Sender;
use crate::store::ledger::audit::Detail;
use crate::store::ledger::{EventKind, Scope};

impl Destination {
    /// Once the message has passed to its end, or cannot.
    pub(super) fn story(&self, sender: &Sender, origin: &Domain) -> Story {
        let passed = self.passed.as_ref();
        // Rounded up to a power of two: enough to tell a letter from a film.
        let size =
            passed.map(|passed| passed.octets.checked_next_power_of_two().unwrap_or(u64::MAX));
        let story = |kind| {
            let story = Story::new(Scope::Outgoing, sender, self.domain.as_ref(), kind);
            story.saying(|detail| detail.with_some("size", size))
        };
        match &self.course {
            Course::Clear(reason) => story(EventKind::Clear).because(reason),
            Course::Seal { key, evidence, .. } => {
                let policy = &evidence.policy;
                let delivery = self.entry.as_ref().map(|entry| entry.delivery_id().to_string());
                let closing =
                    passed.and_then(|passed| passed.closing).map(|hash| Hex(&hash).to_string());
                let said = |detail: Detail| {
                    detail
                        .with("from", origin.as_str())
                        .with_some("delivery", delivery)
                        .with_some("closing", closing)
                        .with("key", key.key_id().to_string())
                        .with("suite", key.suite().id().0)
                        .with("serial", policy.record().serial)
                        .with("policy", Hex(&sha256(policy.text().as_bytes())).to_string())
                        .with("identity", policy.identity().fingerprint().to_string())
                        .with("level", evidence.level.as_str())
                        .with("evidence", evidence.source)
                };
                let token = self.token.map(|token| *token.as_bytes());
                story(EventKind::Sealed).saying(said).in_envelope(self.envelope, token)
            }
        }
    }
}
