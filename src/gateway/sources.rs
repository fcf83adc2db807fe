//! What a decision about a domain rests on, brought to it without leaving a trace: nothing is learned, recorded or alarmed.
//!
//! The gateway decides by this and then learns; `mta-seal check` and `explain` decide by it and say why.

use std::time::Duration;

use super::clock::Clock;
use super::discovery::restore;
use super::lookup::{Budget, Keys, look_up};
use crate::core::Domain;
use crate::dns::Resolver;
use crate::policy::{
    self, Allowances, Decision, Demand, LocalPolicy, LookupFailure, Memory, Outcome, Promise,
    SenderPolicy, SenderVerdict, Verdict,
};
use crate::store::ledger::{Allowance, Ledger, LedgerError, Scope};

/// How long DNS is waited for where memory seals without it [R-dec-06].
const PATIENCE: Duration = Duration::from_millis(500);

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
    /// Memory decided before DNS had answered; what it says is still to be learned from [R-dec-06].
    pub early: bool,
    /// The verdict.
    pub verdict: V,
}

impl<V> Considered<V> {
    /// About mail that comes in.
    fn about(outcome: Outcome, recalled: Recalled, verdict: V) -> Self {
        let memory = recalled.into_memory();
        Self { outcome, memory, allowance: None, early: false, verdict }
    }
}

impl Sources<'_> {
    /// Decides about mail to `domain` [R-seal-01]. Where memory seals whatever DNS may say, DNS is not waited for long.
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
        let recalled = self.read(Scope::Outgoing, domain).await?;
        let keys = Keys::Wanted { remembered: recalled.memory() };
        let mut now = self.clock.now();
        let slow = Outcome::Failed(LookupFailure::Timeout);
        let alone = recalled.decide(local, &slow, demand, now).decision;
        let mut budget = Budget::from(self.budget);
        if matches!(alone, Decision::Seal { .. }) {
            budget.policy = PATIENCE.min(self.budget);
        }
        let outcome = look_up(self.resolver, domain, keys, budget).await;
        let early = budget.policy < self.budget && outcome == slow;
        if !early {
            now = self.clock.now();
        }
        let decide = |local| recalled.decide(local, &outcome, demand, now);
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
        Ok(Considered { outcome, memory: recalled.into_memory(), allowance, early, verdict })
    }

    /// What DNS teaches after a decision that was [early](Considered::early). It is about no message, so no override matters.
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn afterwards(
        &self,
        domain: &Domain,
        local: &LocalPolicy,
        demand: Demand,
    ) -> Result<Verdict, LedgerError> {
        let recalled = self.read(Scope::Outgoing, domain).await?;
        let keys = Keys::Wanted { remembered: recalled.memory() };
        let outcome = look_up(self.resolver, domain, keys, self.budget).await;
        Ok(recalled.decide(local, &outcome, demand, self.clock.now()))
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
        let outcome = look_up(self.resolver, domain, Keys::NotNeeded, self.budget).await;
        self.sender_by(domain, local, outcome).await
    }

    /// The same by what a look-up has brought.
    pub(super) async fn sender_by(
        &self,
        domain: &Domain,
        local: &SenderPolicy,
        outcome: Outcome,
    ) -> Result<Considered<SenderVerdict>, LedgerError> {
        let recalled = self.read(Scope::Incoming, domain).await?;
        let verdict = recalled.authenticate_sender(local, &outcome, self.clock.now());
        Ok(Considered::about(outcome, recalled, verdict))
    }

    /// What `domain` promises of its mail, for mail in its name that comes in clear [R-uns-12].
    ///
    /// # Errors
    ///
    /// The ledger cannot be read.
    pub async fn promise(
        &self,
        domain: &Domain,
        local: &SenderPolicy,
    ) -> Result<Considered<Promise>, LedgerError> {
        let outcome = look_up(self.resolver, domain, Keys::NotNeeded, self.budget).await;
        self.promise_by(domain, local, outcome).await
    }

    /// The same by what a look-up has brought.
    pub(super) async fn promise_by(
        &self,
        domain: &Domain,
        local: &SenderPolicy,
        outcome: Outcome,
    ) -> Result<Considered<Promise>, LedgerError> {
        let recalled = self.read(Scope::Incoming, domain).await?;
        let promise = recalled.promise(local, &outcome, self.clock.now());
        Ok(Considered::about(outcome, recalled, promise))
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
        Ok(self.read(scope, domain).await?.into_memory())
    }

    async fn read(&self, scope: Scope, domain: &Domain) -> Result<Recalled, LedgerError> {
        let Some(ledger) = self.ledger else { return Ok(Recalled::Nothing) };
        let Some(remembered) = ledger.recall(scope, domain).await? else {
            return Ok(Recalled::Nothing);
        };
        let until = remembered.until.max(remembered.enforce_until.unwrap_or(0));
        Ok(match restore(domain, &remembered) {
            Some(memory) => Recalled::Memory(Box::new(memory)),
            // Nothing would be left of it anyway.
            None if until <= self.clock.now() => Recalled::Nothing,
            None => Recalled::Damaged { enforce_until: remembered.enforce_until },
        })
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

/// What the ledger holds of a domain.
enum Recalled {
    Nothing,
    Memory(Box<Memory>),
    /// It cannot be understood, but for one time.
    Damaged {
        enforce_until: Option<u64>,
    },
}

impl Recalled {
    fn memory(&self) -> Option<&Memory> {
        match self {
            Self::Memory(memory) => Some(&**memory),
            Self::Nothing | Self::Damaged { .. } => None,
        }
    }

    fn into_memory(self) -> Option<Memory> {
        match self {
            Self::Memory(memory) => Some(*memory),
            Self::Nothing | Self::Damaged { .. } => None,
        }
    }

    fn decide(&self, local: &LocalPolicy, outcome: &Outcome, demand: Demand, now: u64) -> Verdict {
        match self {
            Self::Damaged { enforce_until } => {
                policy::decide_damaged(local, outcome, *enforce_until, demand, now)
            }
            Self::Nothing | Self::Memory(_) => {
                policy::decide(local, outcome, self.memory(), demand, now)
            }
        }
    }

    fn authenticate_sender(
        &self,
        local: &SenderPolicy,
        outcome: &Outcome,
        now: u64,
    ) -> SenderVerdict {
        match self {
            Self::Damaged { .. } => policy::authenticate_sender_damaged(local, outcome, now),
            Self::Nothing | Self::Memory(_) => {
                policy::authenticate_sender(local, outcome, self.memory(), now)
            }
        }
    }

    fn promise(&self, local: &SenderPolicy, outcome: &Outcome, now: u64) -> Promise {
        match self {
            Self::Damaged { .. } => policy::promise_damaged(local, outcome, now),
            Self::Nothing | Self::Memory(_) => policy::promise(local, outcome, self.memory(), now),
        }
    }
}
