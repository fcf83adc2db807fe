//! Whether the keys here are those that the domain publishes: asked once, before the gateway starts [R-life-08].

use std::time::Duration;

use super::sighting::Sightings;
use crate::core::{Domain, KeyId};
use crate::gateway::local::LocalKeys;
use crate::records::{Selection, SignedPolicy, policy_name, select_policy};
use crate::store::keyring::Find;

/// How long the servers of all domains together are asked.
pub(in crate::gateway) const PATIENCE: Duration = Duration::from_secs(10);

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

/// Compares what every server has with the keyring. Servers that do not answer, and policies that nobody would believe, prove nothing.
///
/// # Errors
///
/// [`Disagreement`].
pub(in crate::gateway) async fn agree(
    domain: &Domain,
    at: &Domain,
    keys: &LocalKeys,
    now: u64,
    sightings: &dyn Sightings,
) -> Result<(), Disagreement> {
    let Ok(name) = Domain::parse(&policy_name(at)) else { return Ok(()) };
    let sighting = sightings.look(&name).await;
    for records in sighting.servers.iter().filter_map(|seen| seen.records.as_ref().ok()) {
        let Selection::One(text) = select_policy(records) else { continue };
        let Some(published) = SignedPolicy::parse(text).ok().and_then(|p| p.verify(domain).ok())
        else {
            continue;
        };
        let (theirs, ours) = (published.record(), keys.policy.record());
        if now >= theirs.expiry {
            continue;
        }
        if theirs.identity != ours.identity {
            // The one before a rollover may still stand.
            let former = ours.rollover.as_ref().and_then(|rollover| rollover.former());
            let succeeds = former.as_ref() == Some(&theirs.identity)
                || theirs.next_identity == Some(ours.identity.fingerprint());
            if succeeds && theirs.serial < ours.serial {
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
