//! What a decision about a domain rests on, brought to it without leaving a trace: nothing is learned, recorded or alarmed.
//!
//! The gateway decides by this and then learns; `mta-seal check` and `explain` decide by it and say why.

use std::time::Duration;

use tracing::warn;

use super::clock::Clock;
use super::discovery::restore;
use super::lookup::{Keys, look_up};
use crate::core::Domain;
use crate::dns::Resolver;
use crate::policy::{
    self, Allowances, Decision, Demand, LocalPolicy, Memory, Outcome, SenderPolicy, SenderVerdict,
    Verdict,
};
use crate::store::ledger::{Allowance, Ledger, LedgerError, Scope};

/// DNS, memory and time.
pub struct Sources<'a> {
    /// Looks records up.
    pub resolver: &'a dyn Resolver,
    /// What is remembered; `None` remembers nothing, as before a gateway's first start. It is only read.
    pub ledger: Option<&'a dyn Ledger>,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Time for all look-ups of one domain.
    pub budget: Duration,
}

/// A verdict with what it came from.
#[derive(Debug, Clone)]
pub struct Considered<V> {
    /// What looking up the policy brought.
    pub outcome: Outcome,
    /// What was remembered of the domain.
    pub memory: Option<Memory>,
    /// The operator's override, if one was looked for and holds.
    pub allowance: Option<Allowance>,
    /// The verdict.
    pub verdict: V,
}

impl Sources<'_> {
    /// Decides about mail to `domain` [R-seal-01].
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn recipient(
        &self,
        domain: &Domain,
        local: &LocalPolicy,
        demand: Demand,
    ) -> Result<Considered<Verdict>, LedgerError> {
        let memory = self.recall(Scope::Outgoing, domain).await?;
        let keys = Keys::Wanted { remembered: memory.as_ref() };
        let outcome = look_up(self.resolver, domain, keys, self.budget).await;
        let now = self.clock.now();
        let decide = |local| policy::decide(local, &outcome, memory.as_ref(), demand, now);
        let mut verdict = decide(local);
        let mut allowance = None;
        // An override matters only to what would not leave otherwise, so that others need not look for one.
        if matches!(verdict.decision, Decision::Defer(_) | Decision::Reject(_)) {
            allowance = self.allowance(domain).await?;
            if allowance.is_some() {
                let allow = Allowances { clear_on_failure: true, ..local.allow };
                verdict = decide(&LocalPolicy { allow, ..*local });
            }
        }
        Ok(Considered { outcome, memory, allowance, verdict })
    }

    /// Finds the keys of the domain that claims to have sealed a message [R-uns-01].
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn sender(
        &self,
        domain: &Domain,
        local: &SenderPolicy,
    ) -> Result<Considered<SenderVerdict>, LedgerError> {
        let memory = self.recall(Scope::Incoming, domain).await?;
        let outcome = look_up(self.resolver, domain, Keys::NotNeeded, self.budget).await;
        let now = self.clock.now();
        let verdict = policy::authenticate_sender(local, &outcome, memory.as_ref(), now);
        Ok(Considered { outcome, memory, allowance: None, verdict })
    }

    /// What is remembered of a domain.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn recall(
        &self,
        scope: Scope,
        domain: &Domain,
    ) -> Result<Option<Memory>, LedgerError> {
        let Some(ledger) = self.ledger else { return Ok(None) };
        let remembered = ledger.recall(scope, domain).await?;
        Ok(remembered.and_then(|remembered| {
            let memory = restore(domain, &remembered);
            if memory.is_none() {
                warn!(%domain, "what the ledger remembers of the domain is damaged");
            }
            memory
        }))
    }

    /// The operator's override that holds for mail to a domain now.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn allowance(&self, domain: &Domain) -> Result<Option<Allowance>, LedgerError> {
        match self.ledger {
            Some(ledger) => ledger.allowance(domain, self.clock.now()).await,
            None => Ok(None),
        }
    }
}
