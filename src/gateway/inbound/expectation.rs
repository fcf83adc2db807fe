//! Ordinary mail that should have been sealed: what the [rule](super::claimed) needs to know is brought to it.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{Instrument, info, warn};

use super::claimed::{Cause, Claimed, Exceptions, Ruling};
use super::mailboxes::is_contact;
use super::{Inbound, Transaction};
use crate::core::Domain;
use crate::gateway::failure::Failure;
use crate::gateway::session::Sender;
use crate::mail::header::Header;
use crate::policy::Promise;

impl Inbound {
    /// Whether this message should have been sealed, so that it is marked; the error refuses it.
    pub(super) async fn expects_sealed(
        &self,
        transaction: &Transaction,
        header: &Header,
    ) -> Result<bool, Failure> {
        let (sender, config) = (&transaction.sender, &self.shared.config);
        let claimed = Claimed::of(&sender.path, header);
        let exceptions = Exceptions {
            contacts: transaction.recipients.iter().all(|recipient| is_contact(&recipient.path)),
            forwarder: self.is_forwarder(sender),
        };
        let nobody = Domain::parse(&sender.peer.hello).unwrap_or_else(|_| config.hostname.clone());
        let by_operator = is_marked(claimed.by_operator(config, exceptions, &nobody))?;
        let promises = self.promises(claimed.to_look_up(self.outgoing_always)).await;
        let promised = claimed.by_promises(self.outgoing_always, &promises, exceptions);
        Ok(is_marked(promised)? || by_operator)
    }

    /// What these domains promise, in their order. All are asked at once, so that one that does not answer hides no other.
    async fn promises(&self, domains: Vec<Domain>) -> Vec<(Domain, Promise)> {
        let mut asked = JoinSet::new();
        for (at, domain) in domains.into_iter().enumerate() {
            let shared = Arc::clone(&self.shared);
            let ask = async move {
                let local = shared.config.sender(&domain);
                let promise = shared.discovery.promise(&domain, &local).await;
                let promise = promise.unwrap_or_else(|error| {
                    warn!(%error, "ledger unavailable");
                    Promise::None
                });
                (at, domain, promise)
            };
            asked.spawn(ask.in_current_span());
        }
        let mut promises = Vec::new();
        while let Some(promise) = asked.join_next().await {
            promises.extend(promise.ok());
        }
        promises.sort_by_key(|(at, ..)| *at);
        promises.into_iter().map(|(_, domain, promise)| (domain, promise)).collect()
    }

    /// Whether the client is a forwarder, as far as a peer that may say so does not name another one.
    fn is_forwarder(&self, sender: &Sender) -> bool {
        let client = sender.origin(self.protocol).address;
        client.is_some_and(|client| self.forwarders.iter().any(|range| range.contains(client)))
    }
}

fn is_marked(ruling: Ruling) -> Result<bool, Failure> {
    match ruling {
        Ruling::Taken => return Ok(false),
        Ruling::Refused(domain) => return Err(Failure::SealDemanded(domain)),
        Ruling::Marked(Cause::Operator(domain)) => {
            info!(%domain, "clear mail that must be sealed passes by an exception");
        }
        Ruling::Marked(Cause::Promise(domain)) => {
            info!(%domain, "clear mail in the name of a domain that always seals");
        }
        Ruling::Marked(Cause::TooMany) => {
            info!("clear mail in the name of more domains than are looked up");
        }
    }
    Ok(true)
}
