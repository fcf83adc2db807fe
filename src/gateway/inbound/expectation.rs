//! Ordinary mail that should have been sealed: refused, or marked [R-uns-07] [R-uns-12] [R-uns-13].
//!
//! The domain of the reverse-path counts, and that of whoever a reader may take for the author. Only the first binds a
//! listed forwarder, which keeps the author of what it passes on. What else could tell a forwarder, such as `List-Id:`
//! or the reverse-path, is written by anybody.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{Instrument, info, warn};

use super::mailboxes::is_contact;
use super::{Inbound, Transaction};
use crate::core::Domain;
use crate::gateway::config::{ClearMail, OutgoingAlways, Treatment};
use crate::gateway::failure::Failure;
use crate::gateway::session::Sender;
use crate::mail::claims::claimed_domains;
use crate::mail::header::Header;
use crate::policy::Promise;

/// Most domains of one message whose policy is looked up. A person writes for one, seldom for two.
pub(crate) const MAX_LOOK_UPS: usize = 4;

/// The domains in whose name a message comes.
struct Claimed {
    path: Option<Domain>,
    /// `None`: more than anybody reads.
    authors: Option<Vec<Domain>>,
}

/// What may be done with a message.
struct Exceptions {
    /// All recipients are those whom a partner must be able to tell that its sealing is broken [R-uns-08].
    contacts: bool,
    /// A listed forwarder brings it.
    forwarder: bool,
}

impl Exceptions {
    /// Whether a message is refused on account of its reverse-path, or of its author alone.
    fn refuses(&self, by_path: bool) -> bool {
        !self.contacts && (by_path || !self.forwarder)
    }
}

impl Inbound {
    /// Whether this message should have been sealed, so that it is marked; the error refuses it.
    pub(super) async fn expects_sealed(
        &self,
        transaction: &Transaction,
        header: &Header,
    ) -> Result<bool, Failure> {
        let sender = &transaction.sender;
        let claimed =
            Claimed { path: sender.path.domain().cloned(), authors: claimed_domains(header) };
        let exceptions = Exceptions {
            contacts: transaction.recipients.iter().all(|recipient| is_contact(&recipient.path)),
            forwarder: self.is_forwarder(sender),
        };
        let by_path = claimed.path.clone().filter(|domain| self.is_strict(domain));
        let by_author = self.strict_author(&claimed, sender);
        for (domain, by_path) in [(&by_path, true), (&by_author, false)] {
            if let Some(domain) = domain
                && exceptions.refuses(by_path)
            {
                return Err(Failure::SealDemanded(domain.clone()));
            }
        }
        let expected = by_path.or(by_author);
        if let Some(domain) = &expected {
            info!(%domain, "clear mail that must be sealed passes by an exception");
        }
        Ok(self.is_promised(claimed, &exceptions).await? || expected.is_some())
    }

    fn is_strict(&self, domain: &Domain) -> bool {
        strict(self.shared.config.treatment(domain))
    }

    /// The author's domain if the operator lets no clear mail of it in, for the reply.
    fn strict_author(&self, claimed: &Claimed, sender: &Sender) -> Option<Domain> {
        let config = &self.shared.config;
        let Some(authors) = &claimed.authors else {
            // Whoever must seal may be among them.
            let partner = config.partners.iter().find(|partner| strict(&partner.treatment));
            let anybody = strict(&config.defaults).then_some(&config.hostname);
            return partner.map(|partner| &partner.domain).or(anybody).cloned();
        };
        if authors.is_empty() && claimed.path.is_none() && strict(&config.defaults) {
            // From nobody in particular; the name only stands in the reply.
            let hello = Domain::parse(&sender.peer.hello);
            return Some(hello.unwrap_or_else(|_| config.hostname.clone()));
        }
        authors.iter().find(|domain| self.is_strict(domain)).cloned()
    }

    /// Whether a domain promises by its own policy that it always seals.
    async fn is_promised(
        &self,
        claimed: Claimed,
        exceptions: &Exceptions,
    ) -> Result<bool, Failure> {
        let refuse = match self.outgoing_always {
            OutgoingAlways::Ignore => return Ok(false),
            OutgoingAlways::Mark => false,
            OutgoingAlways::Refuse => true,
        };
        let Claimed { path, authors } = claimed;
        let unread = authors.is_none();
        let mut domains: Vec<Domain> = path.iter().cloned().collect();
        domains
            .extend(authors.into_iter().flatten().filter(|domain| Some(domain) != path.as_ref()));
        // Nobody hides a domain behind others.
        let mut promised = unread || domains.len() > MAX_LOOK_UPS;
        domains.truncate(MAX_LOOK_UPS);
        let mut refused = None;
        for (domain, promise) in self.promises(domains).await {
            if promise == Promise::None {
                continue;
            }
            info!(%domain, "clear mail in the name of a domain that always seals");
            promised = true;
            // What is remembered only may have changed since, and what nothing vouches for may be forged.
            let refuses = exceptions.refuses(path.as_ref() == Some(&domain));
            if refuse && refuses && promise == Promise::Published {
                refused = Some(domain);
            }
        }
        refused.map_or(Ok(promised), |domain| Err(Failure::SealDemanded(domain)))
    }

    /// What these domains promise. All are asked at once, so that one that does not answer hides no other.
    async fn promises(&self, domains: Vec<Domain>) -> Vec<(Domain, Promise)> {
        let mut asked = JoinSet::new();
        for domain in domains {
            let (shared, breaker) = (Arc::clone(&self.shared), Arc::clone(&self.look_ups));
            let ask = async move {
                let local = shared.config.sender(&domain);
                let promise = shared.discovery.promise(&domain, &local, &breaker).await;
                let promise = promise.unwrap_or_else(|error| {
                    warn!(%error, "ledger unavailable");
                    Promise::None
                });
                (domain, promise)
            };
            asked.spawn(ask.in_current_span());
        }
        let mut promises = Vec::new();
        while let Some(promise) = asked.join_next().await {
            promises.extend(promise.ok());
        }
        promises
    }

    /// Whether the client is a forwarder, as far as a peer that may say so does not name another one.
    fn is_forwarder(&self, sender: &Sender) -> bool {
        let client = sender.origin(self.protocol).address;
        client.is_some_and(|client| self.forwarders.iter().any(|range| range.contains(client)))
    }
}

fn strict(treatment: &Treatment) -> bool {
    treatment.inbound == ClearMail::RequireSealed
}
