//! Who may send, and which local domain signs [R-seal-02], [R-seal-09].

use tracing::info;

use super::{Outbound, Transaction};
use crate::gateway::authorisation::Grant;
use crate::gateway::failure::Failure;
use crate::gateway::message::Start;
use crate::gateway::session::Sender;

impl Outbound {
    /// What is known at MAIL.
    pub(super) fn authorise(&self, sender: &Sender) -> Result<Grant, Failure> {
        let evidence = sender.peer.evidence(self.shared.clock.now());
        let list = self.access.authorisation().ok_or(Failure::SenderNotAllowed)?;
        let granted = list
            .at_mail(evidence)
            .and_then(|grant| list.may_begin(&grant, &sender.path).map(|()| grant));
        granted.inspect_err(|failure| {
            let client = sender.peer.address;
            info!(%client, from = %sender.path, reason = failure.name(), "sender refused");
        })
    }

    /// What is known with the header block: the signer. Secrets in it go no further, whoever sent them.
    pub(super) fn claim(
        &self,
        transaction: &mut Transaction,
        start: &mut Start,
    ) -> Result<(), Failure> {
        let list = self.access.authorisation().ok_or(Failure::SenderNotAllowed)?;
        let is_local = |domain: &_| self.shared.domains.contains_key(domain);
        let Transaction { sender, grant, .. } = transaction;
        let signer = list.signer(grant, &start.header, &sender.path, &self.domain, is_local);
        if start.header.fields().any(|field| list.is_secret(&field)) {
            start.header = start.header.without(|field| list.is_secret(field));
        }
        transaction.origin = signer?;
        transaction.proven = true;
        Ok(())
    }
}
