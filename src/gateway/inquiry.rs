//! Room at the resolver for the look-ups that incoming mail causes [R-uns-12], [R-uns-14].
//!
//! Strangers choose the domains, each message others, and share the resolver with outgoing mail, which asks 500 questions at once. So
//! these look-ups together may take about half of that. Domains that this side knows have room of their own, which strangers cannot fill;
//! so has sealed mail, which waits for its answer, beside clear mail, which does not.

use std::sync::Arc;

use tracing::debug;

use super::alarms::Standing;
use super::breaker::{Breaker, Step};
use super::config::Config;
use crate::core::Domain;
use crate::policy::{LookupFailure, Outcome};

/// What a look-up is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To verify sealed mail, or to see whether a reverse-path's domain seals.
    Sealed,
    /// To see what the domain of clear mail promises.
    Clear,
}

/// Most domains that nobody here knows, and that are looked up at the same time for one purpose.
const MAX_STRANGERS: usize = 64;

/// Most domains that mail is sent to; the same for those that the configuration names.
const MAX_KNOWN: usize = 32;

/// The look-ups under way.
#[derive(Debug)]
pub(super) struct Inquiries {
    sealed: Rooms,
    clear: Rooms,
}

#[derive(Debug)]
struct Rooms {
    strangers: Arc<Breaker>,
    correspondents: Arc<Breaker>,
    partners: Arc<Breaker>,
}

impl Inquiries {
    pub(super) fn new(config: &Config) -> Self {
        let breaker = || Arc::new(Breaker::new(config.limits.stalled, config.timeouts.stalled));
        let rooms =
            || Rooms { strangers: breaker(), correspondents: breaker(), partners: breaker() };
        Self { sealed: rooms(), clear: rooms() }
    }

    /// The outcome of `look_up`, if there is room to ask; else, and where others wait for the same domain in vain, that of a look-up
    /// that is not answered.
    pub(super) async fn ask(
        &self,
        purpose: Purpose,
        domain: &Domain,
        standing: Standing,
        look_up: impl Future<Output = Outcome>,
    ) -> Outcome {
        let rooms = match purpose {
            Purpose::Sealed => &self.sealed,
            Purpose::Clear => &self.clear,
        };
        let (room, most) = match standing {
            Standing::Stranger => (&rooms.strangers, MAX_STRANGERS),
            Standing::Correspondent => (&rooms.correspondents, MAX_KNOWN),
            Standing::Partner => (&rooms.partners, MAX_KNOWN),
        };
        let unanswered = Outcome::Failed(LookupFailure::Timeout);
        if room.is_crowded(domain, most) {
            debug!(%domain, "not looked up: too many others are");
            return unanswered;
        }
        let found = |outcome: &Outcome| !matches!(outcome, Outcome::Failed(_));
        room.wait(Some(domain), Step::LookUp, look_up, found).await.unwrap_or(unanswered)
    }
}
