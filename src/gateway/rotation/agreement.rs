//! Whether the keys here are those that the domain publishes: asked before they are put into force, at the start and at a reload
//! [R-life-08].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::sighting::{Sighting, Sightings};
use crate::core::{Domain, KeyId};
use crate::gateway::local::LocalKeys;
use crate::gateway::own_policy::verified;
use crate::records::{Selection, Validity, policy_name, select_policy};
use crate::store::keyring::Find;

/// How long the servers of all domains together are asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most domains whose servers are asked at once.
pub(super) const AT_ONCE: usize = 32;

/// The keyring is not that of the published policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// Another identity key has signed it.
    #[error(
        "DNS has a policy signed by the identity key {published}, and the keyring is that of {own}"
    )]
    Identity {
        /// Fingerprint in DNS.
        published: KeyId,
        /// Fingerprint here.
        own: KeyId,
    },
    /// It lists a sealing key that is not here, so that mail that comes could not be opened.
    #[error("DNS has a policy that lists the sealing key {0}, which is not in the keyring")]
    MissingKey(KeyId),
    /// It is newer than the one here.
    #[error("DNS has a policy of serial {published}, and the one in the keyring has {own}")]
    Newer {
        /// Serial in DNS.
        published: u64,
        /// Serial here.
        own: u64,
    },
}

impl Disagreement {
    /// What the operator can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Identity { .. } => {
                "put the right keyring in its place, or publish the records of this one (`mta-seal zone`)"
            }
            Self::MissingKey(_) => {
                "restore the keyring of the gateway that published it (`mta-seal keys import`), or publish the records of this one \
                 (`mta-seal zone`): what was sealed to the other key is refused, and sent again by its senders"
            }
            Self::Newer { .. } => {
                "another gateway has signed it, or this keyring is an old copy: bring the newer one here (`mta-seal keys import`)"
            }
        }
    }
}

/// A domain whose keys are compared.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Asked<'a> {
    pub(in crate::gateway) domain: &'a Domain,
    /// Where its records stand.
    pub(in crate::gateway) at: &'a Domain,
    pub(in crate::gateway) keys: &'a LocalKeys,
}

/// What a policy of any other identity key, and no proven successor's, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strangers {
    /// It may be the keyring that is the wrong one.
    Count,
    /// Nothing: that the identity key is the right one, or its proven successor, is known [R-life-15].
    Ignored,
}

/// Which keys have been compared with what their domains publish.
#[derive(Default)]
pub(in crate::gateway) struct Agreement(HashMap<Domain, Compared>);

/// What of keys is compared, and where.
#[derive(Clone, PartialEq, Eq)]
struct Compared {
    at: Domain,
    policy: String,
    sealing: BTreeSet<KeyId>,
}

impl Compared {
    fn of(asked: &Asked<'_>) -> Self {
        let sealing = asked.keys.keyring.sealing_keys().iter();
        Self {
            at: asked.at.clone(),
            policy: asked.keys.policy.text().to_owned(),
            sealing: sealing.map(|stored| stored.key.key_id()).collect(),
        }
    }
}

impl Agreement {
    /// Compares the keys of these domains that are others than before, and has all of them for the next time.
    ///
    /// # Errors
    ///
    /// As those of [`agree`].
    pub(in crate::gateway) async fn with(
        &self,
        all: &[Asked<'_>],
        now: u64,
        sightings: Arc<dyn Sightings>,
    ) -> Result<Self, (Domain, Disagreement)> {
        let next: HashMap<Domain, Compared> =
            all.iter().map(|asked| (asked.domain.clone(), Compared::of(asked))).collect();
        let other = |asked: &&Asked<'_>| self.0.get(asked.domain) != next.get(asked.domain);
        let others: Vec<Asked<'_>> = all.iter().filter(other).copied().collect();
        agree(&others, now, sightings, Strangers::Count).await?;
        Ok(Self(next))
    }
}

/// Compares what every server has with the keyrings, as far as they say in time. Servers that do not answer, and policies that nobody
/// would believe, prove nothing; nor do those of one domain keep the others waiting.
///
/// # Errors
///
/// The first domain of which it is known that its keys are not those.
pub(super) async fn agree(
    all: &[Asked<'_>],
    now: u64,
    sightings: Arc<dyn Sightings>,
    strangers: Strangers,
) -> Result<(), (Domain, Disagreement)> {
    let until = Instant::now() + PATIENCE;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut looks = JoinSet::new();
    for (place, asked) in all.iter().enumerate() {
        let Ok(name) = Domain::parse(&policy_name(asked.at)) else { continue };
        let (sightings, places) = (Arc::clone(&sightings), Arc::clone(&places));
        looks.spawn(async move {
            let _one = places.acquire().await;
            (place, sightings.look(&name).await)
        });
    }
    let mut silent: Vec<&Domain> = all.iter().map(|asked| asked.domain).collect();
    while let Ok(done) = timeout_at(until, looks.join_next()).await {
        let Some(done) = done else { return Ok(()) };
        let Ok((place, sighting)) = done else { continue };
        let Some(asked) = all.get(place) else { continue };
        silent.retain(|domain| *domain != asked.domain);
        compare(asked, &sighting, now, strangers).map_err(|error| (asked.domain.clone(), error))?;
    }
    for domain in silent {
        warn!(%domain, "the name servers do not say in time which policy is published: not compared with the keys");
    }
    Ok(())
}

/// Compares what the servers of one domain have with its keyring.
fn compare(
    asked: &Asked<'_>,
    sighting: &Sighting,
    now: u64,
    strangers: Strangers,
) -> Result<(), Disagreement> {
    let Asked { domain, keys, .. } = asked;
    for records in sighting.servers.iter().filter_map(|seen| seen.records.as_ref().ok()) {
        let Selection::One(text) = select_policy(records) else { continue };
        let text = std::str::from_utf8(text).unwrap_or_default();
        let Ok(published) = verified(text, domain) else { continue };
        if published.validity(now) != Validity::InForce {
            continue;
        }
        let (theirs, ours) = (published.record(), keys.policy.record());
        if theirs.identity != ours.identity {
            // The one before a rollover may still stand.
            let former = ours.rollover.as_ref().and_then(|rollover| rollover.former());
            let succeeds = former.as_ref() == Some(&theirs.identity)
                || theirs.next_identity == Some(ours.identity.fingerprint());
            if succeeds && theirs.serial < ours.serial {
                continue;
            }
            if strangers == Strangers::Ignored && !published.continues(&keys.policy, now) {
                continue;
            }
            let (published, own) = (theirs.identity.fingerprint(), ours.identity.fingerprint());
            return Err(Disagreement::Identity { published, own });
        }
        if theirs.serial > ours.serial {
            return Err(Disagreement::Newer { published: theirs.serial, own: ours.serial });
        }
        let listed = theirs.sealing_keys.iter().filter_map(|entry| entry.key_id());
        for id in listed {
            if matches!(keys.keyring.find(&id), Find::Unknown) {
                return Err(Disagreement::MissingKey(id));
            }
        }
    }
    Ok(())
}
