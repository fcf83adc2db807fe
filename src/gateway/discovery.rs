//! Finding a domain's policy: DNS and memory brought to the decision, and what it teaches kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::aftermath::Aftermath;
use super::alarms::{Alarms, Standing};
use super::clock::Clock;
use super::config::Config;
use super::generation::Foundation;
use super::inquiry::{Inquiries, Purpose};
use super::lookup::{Keys, look_up};
use super::metrics::Metrics;
use super::sources::{Considered, Sources};
use crate::core::Domain;
use crate::dns::Resolver;
use crate::policy::{
    self, Alarm, ClearReason, Decision, DeferReason, Demand, Hold, LocalPolicy, Memory,
    MemoryUpdate, Outcome, Promise, SenderDecision, SenderPolicy, SenderVerdict, Verdict,
};
use crate::records::{KeyRecord, SignedPolicy, policy_name};
use crate::store::ledger::{Allowance, LedgerError, Remembered, Scope, SharedLedger};

/// Looks up policies, decides, and remembers.
#[derive(Clone)]
pub(super) struct Discovery {
    resolver: Arc<dyn Resolver>,
    ledger: SharedLedger,
    clock: Arc<dyn Clock>,
    alarms: Arc<Alarms>,
    aftermath: Arc<Aftermath>,
    metrics: Arc<Metrics>,
    /// The domains that the configuration names.
    partners: Arc<HashSet<Domain>>,
    /// Look-ups for mail that comes in.
    inquiries: Arc<Inquiries>,
    /// Time for all look-ups of one domain.
    budget: Duration,
}

impl Discovery {
    pub(super) fn new(
        foundation: &Foundation,
        config: &Config,
        resolver: Arc<dyn Resolver>,
    ) -> Self {
        Self {
            resolver,
            ledger: Arc::clone(&foundation.ledger),
            clock: Arc::clone(&foundation.clock),
            alarms: Arc::clone(&foundation.alarms),
            aftermath: Arc::clone(&foundation.aftermath),
            metrics: Arc::clone(&foundation.metrics),
            partners: Arc::new(config.partners.iter().map(|p| p.domain.clone()).collect()),
            inquiries: Arc::new(Inquiries::new(config)),
            budget: config.dns.timeout,
        }
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            resolver: &*self.resolver,
            ledger: Some(&*self.ledger),
            clock: &*self.clock,
            budget: self.budget,
        }
    }

    /// Decides about mail to `domain` [R-seal-01]. What was learned is durable when this returns; for a client that has not
    /// proved that it may send, nothing is learned or raised: a stranger must not choose the moment of first use, and what he
    /// sees matters to nobody. What DNS says too late for this message teaches all the same [R-dec-06].
    pub(super) async fn recipient(
        &self,
        domain: &Domain,
        local: &LocalPolicy,
        demand: Demand,
        proven: bool,
    ) -> Result<Verdict, LedgerError> {
        let Considered { verdict, allowance, early, .. } =
            self.sources().recipient(domain, local, demand).await?;
        if let (Decision::Clear(ClearReason::LocalAllowance), Some(allowance)) =
            (&verdict.decision, &allowance)
        {
            let Allowance { id, until, by, .. } = allowance;
            let by = by.login.as_str();
            warn!(%domain, allowance = id, until, by, "mail goes clear by an operator's override");
        }
        self.metrics.decision(&verdict.decision);
        if proven {
            self.raise(Scope::Outgoing, domain, &verdict.alarms).await;
            self.learn(Scope::Outgoing, domain, &verdict.memory).await?;
            if early {
                let work = self.clone().hear_out(domain.clone(), *local, demand);
                self.aftermath.spawn(domain, work);
            }
        }
        Ok(verdict)
    }

    /// Learns from a look-up that mail was not held up for.
    async fn hear_out(self, domain: Domain, local: LocalPolicy, demand: Demand) {
        let learned = async {
            let verdict = self.sources().afterwards(&domain, &local, demand).await?;
            self.raise(Scope::Outgoing, &domain, &verdict.alarms).await;
            self.learn(Scope::Outgoing, &domain, &verdict.memory).await
        };
        if let Err(error) = learned.await {
            warn!(%domain, %error, "ledger unavailable");
        }
    }

    /// Finds the keys of the domain that claims to have sealed a message [R-uns-01].
    pub(super) async fn sender(
        &self,
        domain: &Domain,
        local: &SenderPolicy,
    ) -> Result<SenderVerdict, LedgerError> {
        let sources = self.sources();
        let outcome = self.inquire(Purpose::Sealed, domain).await;
        let mut verdict = sources.sender_by(domain, local, outcome).await?.verdict;
        if verdict.decision == SenderDecision::Defer(DeferReason::UnknownSender)
            && let Ok(name) = Domain::from_canonical(policy_name(domain).as_bytes())
        {
            // Our cache may have it from before the domain began to seal: clear mail in its name is looked up too [R-dec-19].
            self.resolver.forget(&name);
            let outcome = self.inquire(Purpose::Sealed, domain).await;
            verdict = sources.sender_by(domain, local, outcome).await?.verdict;
        }
        self.raise(Scope::Incoming, domain, &verdict.alarms).await;
        self.learn(Scope::Incoming, domain, &verdict.memory).await?;
        Ok(verdict)
    }

    /// What `domain` promises, for mail in its name that comes in clear. Nothing is learned from
    /// it [R-uns-12]. Where DNS does not answer, or too many domains are being looked up, memory says alone.
    pub(super) async fn promise(
        &self,
        domain: &Domain,
        local: &SenderPolicy,
    ) -> Result<Promise, LedgerError> {
        let outcome = self.inquire(Purpose::Clear, domain).await;
        Ok(self.sources().promise_by(domain, local, outcome).await?.verdict)
    }

    /// Whether `domain` is known to seal its mail: cheap, from memory and cache where possible.
    pub(super) async fn seals(&self, domain: &Domain) -> bool {
        matches!(self.inquire(Purpose::Sealed, domain).await, Outcome::Found(_))
            || matches!(self.sources().recall(Scope::Incoming, domain).await, Ok(Some(_)))
    }

    /// Looks a domain up that mail from outside names.
    async fn inquire(&self, purpose: Purpose, domain: &Domain) -> Outcome {
        let standing = self.standing(domain).await;
        let asked = look_up(&*self.resolver, domain, Keys::NotNeeded, self.budget);
        self.inquiries.ask(purpose, domain, standing, asked).await
    }

    async fn learn(
        &self,
        scope: Scope,
        domain: &Domain,
        update: &MemoryUpdate,
    ) -> Result<(), LedgerError> {
        let MemoryUpdate::Store(memory) = update else { return Ok(()) };
        match self.ledger.remember(scope, domain, &keep(memory), self.clock.now()).await {
            Ok(_) => Ok(()),
            // Without memory DNS decides. Whoever filled it with names of his own must not keep others' mail out.
            Err(LedgerError::Limit(_)) => {
                self.raise(scope, domain, &[Alarm::MemoryFull]).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn raise(&self, scope: Scope, domain: &Domain, alarms: &[Alarm]) {
        if alarms.is_empty() {
            return;
        }
        let standing = self.standing(domain).await;
        for alarm in alarms {
            self.alarms.raise(scope, domain, standing, alarm);
        }
    }

    /// How well a domain is known, whichever way its mail goes.
    async fn standing(&self, domain: &Domain) -> Standing {
        if self.partners.contains(domain) {
            return Standing::Partner;
        }
        // A read like the one that the decision began with, and only where something is wrong.
        match self.ledger.recall(Scope::Outgoing, domain).await {
            Ok(Some(_)) => Standing::Correspondent,
            Ok(None) | Err(_) => Standing::Stranger,
        }
    }
}

/// The memory in the ledger's form.
fn keep(memory: &Memory) -> Remembered {
    let (hold, counted_at) = match memory.hold {
        Hold::Firm => (None, memory.last_seen),
        Hold::Growing { seconds, counted_at } => (Some(seconds), counted_at),
    };
    Remembered {
        identity_key: *memory.identity().as_bytes(),
        serial: memory.serial(),
        policy: memory.policy.text().as_bytes().to_vec(),
        key_records: memory
            .key
            .iter()
            .map(|key| KeyRecord::new(key.clone()).to_string().into_bytes())
            .collect(),
        level: level_code(memory.level),
        hold,
        counted_at,
        pinned_root: memory.pinned_root.map(|id| *id.as_bytes()),
        first_seen: memory.first_seen,
        last_observed: memory.last_seen,
        until: memory.until(),
        enforce_until: memory.enforce_until,
    }
}

/// The memory as it was; `None` if it cannot have been written by [`keep`] for this domain.
pub(crate) fn restore(domain: &Domain, kept: &Remembered) -> Option<Memory> {
    let policy = SignedPolicy::parse(&kept.policy).ok()?.verify(domain).ok()?;
    let key = match kept.key_records.first() {
        Some(text) => Some(KeyRecord::parse(text).ok()?.unverified().clone()),
        None => None,
    };
    Some(Memory {
        policy,
        key,
        level: policy::Level::ALL.into_iter().find(|l| level_code(*l) == kept.level)?,
        hold: match kept.hold {
            None => Hold::Firm,
            Some(seconds) => Hold::Growing { seconds, counted_at: kept.counted_at },
        },
        pinned_root: kept.pinned_root.map(crate::core::KeyId::from_bytes),
        first_seen: kept.first_seen,
        last_seen: kept.last_observed,
        enforce_until: kept.enforce_until,
    })
}

const fn level_code(level: policy::Level) -> u8 {
    match level {
        policy::Level::FirstUse => 0,
        policy::Level::Remembered => 1,
        policy::Level::Dnssec => 2,
        policy::Level::Pinned => 3,
    }
}
