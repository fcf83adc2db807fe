//! Telling the sender of a sealed message which recipients were refused while others were accepted.
//!
//! The sender is authentic, so this is no backscatter; but a hop can send a carrier again and again. A refusal of a
//! recipient is therefore claimed in the ledger like a delivery, and reported once.

use tracing::warn;

use super::Inbound;
use crate::core::Domain;
use crate::gateway::report;
use crate::gateway::session::{Recipient, Sender};
use crate::gateway::smtp_envelope::mailbox_text;
use crate::smtp::Reply;
use crate::store::ledger::{Claim, Claimed, IncomingMessage, LedgerError, Side};

impl Inbound {
    /// Puts a notice about `failed` into the outbox, for those it was not sent for before; `false` if the ledger did
    /// not take it.
    pub(super) async fn notify(
        &self,
        sender: &Sender,
        message: &IncomingMessage,
        keep_until: u64,
        failed: &[(&Recipient, &Reply)],
    ) -> bool {
        let result = self.notify_once(sender, message, keep_until, failed).await;
        if let Err(error) = &result {
            warn!(trace = %sender.trace, %error, "no room for a notice");
        }
        result.is_ok()
    }

    async fn notify_once(
        &self,
        sender: &Sender,
        message: &IncomingMessage,
        keep_until: u64,
        failed: &[(&Recipient, &Reply)],
    ) -> Result<(), LedgerError> {
        let names: Vec<String> =
            failed.iter().map(|(recipient, _)| refusal_of(recipient)).collect();
        let ledger = &self.shared.ledger;
        let answers = ledger.claim(message, &names, self.shared.clock.now()).await?;
        let mut due = Vec::new();
        let mut claims: Vec<Claim> = Vec::new();
        for (answer, &refused) in answers.into_iter().zip(failed) {
            if let Claimed::Claimed(claim) = answer {
                claims.push(claim);
                due.push(refused);
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        // No header: what came out of an envelope does not leave again.
        let notice = self.own_domain(failed).and_then(|from| {
            let due = due.into_iter();
            report::failure(&self.shared, Side::Outside, from, sender, None, due)
        });
        if let Err(error) = report::enqueue(&self.shared, notice).await {
            self.release(&claims).await;
            return Err(error);
        }
        ledger.delivered(&claims, keep_until).await
    }

    /// In whose name the notice is sent.
    fn own_domain<'a>(&'a self, failed: &[(&'a Recipient, &Reply)]) -> Option<&'a Domain> {
        let named = failed.iter().find_map(|(recipient, _)| recipient.path.domain());
        named.or_else(|| self.shared.config.domains.first().map(|domain| &domain.name))
    }
}

/// What is claimed for the notice. A space never begins a mailbox, so it collides with no delivery.
fn refusal_of(recipient: &Recipient) -> String {
    format!(" refused {}", mailbox_text(&recipient.path))
}
