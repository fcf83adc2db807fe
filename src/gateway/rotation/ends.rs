//! The end of keys in the audit trail, at least once each [R-life-04].

use tracing::warn;

use super::keeper::Keeper;
use super::tender::Tender;
use crate::core::KeyId;
use crate::store::ledger::{NewAction, Operator};

impl Tender {
    /// Puts the end of these keys on record, and notes in the book that it is.
    pub(super) async fn note_destroyed(
        &self,
        keeper: &Keeper,
        ended: Vec<(KeyId, NewAction)>,
        now: u64,
    ) {
        if ended.is_empty() {
            return;
        }
        let domain = &self.local.name;
        let (ids, actions): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        if let Err(error) =
            self.means.ledger.record_actions(&actions, now, &Operator::gateway()).await
        {
            warn!(%domain, %error, "the end of keys could not be put on record");
            return;
        }
        if let Err(error) = keeper.noted(ids, now).await {
            warn!(%domain, %error, "the end of keys could not be put on record");
        }
    }
}
