//! The end of keys in the audit trail, at least once each [R-life-04].

use tracing::warn;

use super::keeper::{Ended, Keeper};
use super::tender::Tender;
use crate::store::ledger::{ActionKind, NewAction, Operator};

impl Tender {
    /// Puts the end of these keys on record, and notes in the book that it is.
    pub(super) async fn note_destroyed(&self, keeper: &Keeper, ended: &[Ended], now: u64) {
        if ended.is_empty() {
            return;
        }
        let domain = &self.local.name;
        let action = |Ended { what, id, at }: &Ended| NewAction {
            kind: ActionKind::KeyDestroyed,
            domain: domain.clone(),
            detail: format!("{what} key {id} at {at}"),
        };
        let actions: Vec<NewAction> = ended.iter().map(action).collect();
        if let Err(error) =
            self.means.ledger.record_actions(&actions, now, &Operator::gateway()).await
        {
            warn!(%domain, %error, "the end of keys could not be put on record");
            return;
        }
        if let Err(error) = keeper.noted(ended.iter().map(|ended| ended.id).collect(), now).await {
            warn!(%domain, %error, "the end of keys could not be put on record");
        }
    }
}
