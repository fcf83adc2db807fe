//! The rule about ordinary mail in the name of domains that should have sealed it [R-uns-07] [R-uns-12] [R-uns-13]: without IO, so that
//! the gateway and `mta-seal explain` have the same.
//!
//! The domain of the reverse-path counts, and that of whoever a reader may take for the author. Only the first binds a
//! listed forwarder, which keeps the author of what it passes on. What else could tell a forwarder, such as `List-Id:`
//! or the reverse-path, is written by anybody.

use crate::core::Domain;
use crate::core::address::ReversePath;
use crate::gateway::config::{ClearMail, Config, OutgoingAlways, Treatment};
use crate::mail::claims::claimed_domains;
use crate::mail::header::Header;
use crate::policy::Promise;

/// Most domains of one message whose policy is looked up. A person writes for one, seldom for two.
const MAX_LOOK_UPS: usize = 4;

/// The domains in whose name a message comes.
#[derive(Debug, Clone)]
pub struct Claimed {
    path: Option<Domain>,
    /// `None`: more than anybody reads.
    authors: Option<Vec<Domain>>,
}

/// What may be done with a message all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exceptions {
    /// All recipients are those whom a partner must be able to tell that its sealing is broken [R-uns-08].
    pub contacts: bool,
    /// A listed forwarder brings it.
    pub forwarder: bool,
}

/// Why a message should have been sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The operator lets no clear mail of this domain in.
    Operator(Domain),
    /// This domain promises that it always seals.
    Promise(Domain),
    /// It comes in the name of more domains than are looked up: nobody hides one behind others.
    TooMany,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It passes as it is.
    Taken,
    /// It passes, and its result says that it should have been sealed.
    Marked(Cause),
    /// It is refused, and the reply names this domain.
    Refused(Domain),
}

impl Claimed {
    /// Reads what a message claims.
    #[must_use]
    pub fn of(path: &ReversePath, header: &Header) -> Self {
        Self { path: path.domain().cloned(), authors: claimed_domains(header) }
    }

    /// Each domain once, that of the reverse-path first.
    #[must_use]
    pub fn domains(&self) -> Vec<Domain> {
        let authors = self.authors.iter().flatten();
        let others = authors.filter(|domain| Some(*domain) != self.path.as_ref());
        self.path.iter().chain(others).cloned().collect()
    }

    /// Whether it claims more than anybody reads.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.authors.is_none()
    }

    /// What the operator's word makes of it. `nobody` stands in the reply about a message that comes from nobody in particular.
    #[must_use]
    pub fn by_operator(&self, config: &Config, exceptions: Exceptions, nobody: &Domain) -> Ruling {
        let by_path = self.path.clone().filter(|domain| strict(config.treatment(domain)));
        let by_author = self.strict_author(config, nobody);
        for (domain, by_path) in [(&by_path, true), (&by_author, false)] {
            if let Some(domain) = domain
                && exceptions.refuse(by_path)
            {
                return Ruling::Refused(domain.clone());
            }
        }
        let expected = by_path.or(by_author);
        expected.map_or(Ruling::Taken, |domain| Ruling::Marked(Cause::Operator(domain)))
    }

    /// The author's domain if the operator lets no clear mail of it in, for the reply.
    fn strict_author(&self, config: &Config, nobody: &Domain) -> Option<Domain> {
        let Some(authors) = &self.authors else {
            // Whoever must seal may be among them.
            let partner = config.partners.iter().find(|partner| strict(&partner.treatment));
            let anybody = strict(&config.defaults).then_some(&config.hostname);
            return partner.map(|partner| &partner.domain).or(anybody).cloned();
        };
        if authors.is_empty() && self.path.is_none() && strict(&config.defaults) {
            return Some(nobody.clone());
        }
        authors.iter().find(|domain| strict(config.treatment(domain))).cloned()
    }

    /// The domains whose promise matters.
    #[must_use]
    pub fn to_look_up(&self, always: OutgoingAlways) -> Vec<Domain> {
        let mut domains = match always {
            OutgoingAlways::Ignore => Vec::new(),
            OutgoingAlways::Mark | OutgoingAlways::Refuse => self.domains(),
        };
        domains.truncate(MAX_LOOK_UPS);
        domains
    }

    /// What the promises of these domains make of it.
    #[must_use]
    pub fn by_promises(
        &self,
        always: OutgoingAlways,
        promises: &[(Domain, Promise)],
        exceptions: Exceptions,
    ) -> Ruling {
        if always == OutgoingAlways::Ignore {
            return Ruling::Taken;
        }
        // What is remembered only may have changed since, and what nothing vouches for may be forged.
        let refuses = |domain: &Domain, promise: Promise| {
            always == OutgoingAlways::Refuse
                && promise == Promise::Published
                && exceptions.refuse(self.path.as_ref() == Some(domain))
        };
        let refused = promises.iter().find(|(domain, promise)| refuses(domain, *promise));
        if let Some((domain, _)) = refused {
            return Ruling::Refused(domain.clone());
        }
        if let Some((domain, _)) = promises.iter().find(|(_, promise)| *promise != Promise::None) {
            return Ruling::Marked(Cause::Promise(domain.clone()));
        }
        if self.is_unread() || self.domains().len() > MAX_LOOK_UPS {
            return Ruling::Marked(Cause::TooMany);
        }
        Ruling::Taken
    }
}

impl Exceptions {
    /// Whether a message is refused on account of its reverse-path, or of its author alone.
    fn refuse(self, by_path: bool) -> bool {
        !self.contacts && (by_path || !self.forwarder)
    }
}

fn strict(treatment: &Treatment) -> bool {
    treatment.inbound == ClearMail::RequireSealed
}
