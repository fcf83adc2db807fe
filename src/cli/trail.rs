//! The audit trail of what commands change in keys and policies of our own.

use std::io;

use super::failure::Failure;
use super::{context, operator, terminal};
use crate::core::Domain;
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::{Config, LocalDomain};
use crate::gateway::rotation::{Desk, Event};
use crate::store::ledger::{ActionKind, LedgerError, NewAction, OperatorLedger};

/// The trail of one domain, if there is one: before the gateway has started once there is no ledger, and nothing goes on record.
pub(super) struct Trail(Option<(OperatorLedger, Domain)>);

impl Trail {
    /// Opens the ledger; before anything is changed, so that nothing is changed that cannot go on record.
    pub(super) fn open(config: &Config, local: &LocalDomain) -> Result<Self, Failure> {
        match OperatorLedger::open(&config.state.join(LEDGER_FILE)) {
            Ok(ledger) => Ok(Self(Some((ledger, local.name.clone())))),
            Err(LedgerError::Open { kind: io::ErrorKind::NotFound }) => Ok(Self::none()),
            Err(error) => Err(context::ledger_failure(error)),
        }
    }

    /// No trail: for a keyring without a configuration.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Puts on record what is about to be done, and does it; if that fails, puts this on record too.
    pub(super) fn change<T, E: Into<Failure>>(
        &self,
        kind: ActionKind,
        detail: &str,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.record([(kind, detail.to_owned())], Vec::new())?;
        change().map_err(|error| {
            let failure: Failure = error.into();
            let failed = (ActionKind::Failed, format!("{}: {}", kind.as_str(), why(&failure)));
            // What matters is reported already.
            let _ = self.record([failed], Vec::new());
            failure
        })
    }

    /// Puts on record what work that was due has brought: policies, and the end of keys, unless that is on record already [R-life-04].
    pub(super) fn note(&self, events: &[Event], desk: &mut Desk, now: u64) -> Result<(), Failure> {
        if self.0.is_none() {
            return Ok(());
        }
        let policies = events.iter().filter_map(|event| match event {
            Event::Signed { serial, expiry, .. } => {
                Some((ActionKind::Policy, signed(*serial, *expiry)))
            }
            Event::Installed(serial) => {
                Some((ActionKind::Policy, format!("serial {serial} put into force")))
            }
            _ => None,
        });
        let (ids, ended): (Vec<_>, Vec<_>) = desk.to_note().into_iter().unzip();
        match self.record(policies, ended) {
            Ok(()) => Ok(desk.noted(&ids, now)?),
            // It is done all the same.
            Err(failure) => {
                terminal::warning(&format!("what was done is not on record: {}", why(&failure)));
                Ok(())
            }
        }
    }

    fn record(
        &self,
        actions: impl IntoIterator<Item = (ActionKind, String)>,
        more: Vec<NewAction>,
    ) -> Result<(), Failure> {
        let Some((ledger, domain)) = &self.0 else { return Ok(()) };
        let action = |(kind, detail)| NewAction { kind, domain: domain.clone(), detail };
        let actions: Vec<NewAction> = actions.into_iter().map(action).chain(more).collect();
        ledger
            .record(&actions, context::now(), &operator::current())
            .map_err(context::ledger_failure)
    }
}

fn why(failure: &Failure) -> &str {
    failure.message().map_or("", |message| message.text.as_str())
}

/// A policy that is signed, as the trail has it.
pub(super) fn signed(serial: u64, expiry: u64) -> String {
    format!("serial {serial} signed, until {expiry}")
}
