//! Signs the audit trail from time to time, with the key that signs mail: beside the mail path and never in it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::gateway::clock::Clock;
use crate::gateway::generation::{Current, Generation};
use crate::store::ledger::{SharedLedger, Signer};

/// Longest time that rows wait for a signature.
const PERIOD: Duration = Duration::from_secs(600);

/// Least time between two checkpoints, so that a flood of rows does not mean one of signatures.
const PAUSE: Duration = Duration::from_secs(1);

/// What it is done with.
pub(in crate::gateway) struct Signing {
    pub(in crate::gateway) current: Current,
    pub(in crate::gateway) ledger: SharedLedger,
    pub(in crate::gateway) clock: Arc<dyn Clock>,
}

impl Signing {
    /// Signs until `stop` is cancelled: at the start, then when many rows have come or some time has passed.
    pub(in crate::gateway) async fn run(self, stop: CancellationToken) {
        loop {
            sign_last(&self.current, &self.ledger, self.clock.now()).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.ledger.checkpoint_due() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }
}

/// Signs what came last.
pub(in crate::gateway) async fn sign_last(current: &Current, ledger: &SharedLedger, now: u64) {
    let Some(signer) = signer(&current.load_full()) else {
        return warn!("the audit trail is not signed: no domain has a key");
    };
    match ledger.checkpoint(&signer, now).await {
        Ok(Some(checkpoint)) => {
            info!(seq = checkpoint.seq, key = %checkpoint.key, "audit trail signed");
        }
        Ok(None) => {}
        Err(error) => warn!(%error, "the audit trail could not be signed"),
    }
}

/// The first of our domains, with the key in force.
fn signer(generation: &Generation) -> Option<Signer> {
    let domains = generation.config().domains.iter();
    domains.filter_map(|local| generation.shared.domains().get(&local.name)).next().map(|keys| {
        Signer {
            domain: keys.policy.domain().clone(),
            key: keys.signing.clone(),
            policy: keys.policy.text().to_owned(),
        }
    })
}
