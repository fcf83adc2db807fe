//! What a visit has brought, in the log and as alarms.

use tracing::{debug, error, info, warn};

use super::desk::Event;
use super::keeper::Tended;
use crate::core::Domain;
use crate::lifetime::Concern;
use crate::policy::Alarm;

/// Logs what was done.
pub(super) fn log(domain: &Domain, tended: &Tended) {
    for event in &tended.events {
        match event {
            Event::Made(kind, id) => info!(%domain, %kind, key = %id, "key made"),
            Event::Signed { serial, expiry, sealing } => {
                info!(%domain, serial, expiry, ?sealing, "policy signed");
            }
            Event::Installed(serial) => info!(%domain, serial, "policy signed ahead is in force"),
            Event::Destroyed(kind, id) => info!(%domain, %kind, key = %id, "private key destroyed"),
            Event::RolloverEnded { former, destroyed } => {
                info!(%domain, %former, destroyed, "rollover of the identity key is over");
            }
            Event::Lost(kind, id) => {
                error!(%domain, %kind, key = %id, "private key is missing from the keyring");
            }
            Event::Swept(files) => warn!(%domain, files, "files that were left by a crash erased"),
            Event::Published(name) => info!(%domain, name, "record handed over for publication"),
            Event::Withdrawn(name) => info!(%domain, name, "record handed over for withdrawal"),
            Event::Visible(name) => info!(%domain, name, "record seen at every name server"),
        }
    }
    for change in &tended.by_hand {
        let (action, name) = (change.action, &change.name);
        debug!(%domain, %action, name, "record to be changed by hand: see `mta-seal keys list`");
    }
    if let Some(jump) = tended.jump {
        warn!(%domain, from = jump.from, to = jump.to, "the clock has jumped, or the gateway was away");
    }
}

/// What an operator must hear of.
pub(super) fn alarms(tended: &Tended) -> impl Iterator<Item = Alarm> {
    tended.concerns.iter().map(|concern| match concern {
        Concern::AnotherSigner { .. } => Alarm::AnotherSigner(concern.to_string()),
        Concern::PolicyEnds { at } => Alarm::PolicyEnds { at: *at },
        Concern::Clock { .. } => Alarm::ClockJumped,
        Concern::Late { .. } | Concern::NoSelector | Concern::FormerMissing { .. } => {
            Alarm::RotationLate(concern.to_string())
        }
        Concern::Unpublished { .. } | Concern::NotWithdrawn { .. } => {
            Alarm::RecordMissing(match &tended.refused {
                Some(why) => format!("{concern}: {why}"),
                None => concern.to_string(),
            })
        }
    })
}
