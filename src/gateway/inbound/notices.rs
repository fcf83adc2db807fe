//! Telling the sender of a sealed message which recipients were refused while others were accepted, and which were
//! passed on to a next hop that sends no notices.
//!
//! The sender is authentic, so this is no backscatter; but a hop can send a carrier again and again. A refusal of a
//! recipient is therefore claimed in the ledger like a delivery, and reported once [R-uns-10].

use tracing::warn;

use super::Inbound;
use crate::core::Domain;
use crate::core::smtp_envelope::mailbox_text;
use crate::gateway::report;
use crate::gateway::session::{Recipient, Sender};
use crate::mail::notice::Action;
use crate::smtp::Reply;
use crate::store::ledger::{Claim, Claimed, IncomingMessage, LedgerError, Side};

impl Inbound {
    /// Puts a notice about `told` into the outbox, for those it was not sent for before; `false` if the ledger did
    /// not take it.
    pub(super) async fn notify(
        &self,
        sender: &Sender,
        message: &IncomingMessage,
        keep_until: u64,
        action: Action,
        told: &[(&Recipient, &Reply)],
    ) -> bool {
        let result = self.notify_once(sender, message, keep_until, action, told).await;
        if let Err(error) = &result {
            warn!(%error, "no room for a notice");
        }
        result.is_ok()
    }

    async fn notify_once(
        &self,
        sender: &Sender,
        message: &IncomingMessage,
        keep_until: u64,
        action: Action,
        told: &[(&Recipient, &Reply)],
    ) -> Result<(), LedgerError> {
        let told: Vec<(&Recipient, &Reply)> = told
            .iter()
            .filter(|(recipient, _)| report::wants(recipient, action))
            .copied()
            .collect();
        if told.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            told.iter().map(|(recipient, _)| notice_of(recipient, action)).collect();
        let ledger = &self.shared.ledger;
        let answers = ledger.claim(message, &names, self.shared.clock.now()).await?;
        let mut due = Vec::new();
        let mut claims: Vec<Claim> = Vec::new();
        for (answer, &refused) in answers.into_iter().zip(&told) {
            if let Claimed::Claimed(claim) = answer {
                claims.push(claim);
                due.push(refused);
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        // No header: what came out of an envelope does not leave again.
        let notice = self.own_domain(&told).and_then(|from| {
            let due = due.into_iter();
            report::notice(&self.shared, Side::Outside, from, sender, None, action, due)
        });
        if let Err(error) = report::enqueue(&self.shared, notice, sender, action).await {
            self.release(&claims).await;
            return Err(error);
        }
        ledger.delivered(&claims, keep_until, &[]).await
    }

    /// In whose name the notice is sent.
    fn own_domain<'a>(&'a self, failed: &[(&'a Recipient, &Reply)]) -> Option<&'a Domain> {
        let named = failed.iter().find_map(|(recipient, _)| recipient.path.domain());
        named.or_else(|| self.shared.config.domains.first().map(|domain| &domain.name))
    }
}

/// What is claimed for the notice. A space never begins a mailbox, so it collides with no delivery.
pub(super) fn notice_of(recipient: &Recipient, action: Action) -> String {
    let what = match action {
        Action::Failed => "refused",
        Action::Relayed => "relayed",
        Action::Delayed => "delayed",
    };
    format!(" {what} {}", mailbox_text(&recipient.path))
}
