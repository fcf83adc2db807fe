//! The daemon's part: tends the keys of each domain whose rotation is configured, and takes up what has changed in the keyrings of all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::desk::Event;
use super::keeper::{Keeper, Tended};
use super::stamp::Stamp;
use crate::core::Domain;
use crate::gateway::alarms::{Alarms, Standing};
use crate::gateway::clock::Clock;
use crate::gateway::config::LocalDomain;
use crate::gateway::generation::{Current, Generation};
use crate::gateway::local::{LocalKeys, passphrase};
use crate::lifetime::Concern;
use crate::policy::Alarm;
use crate::store::keyring::Passphrase;
use crate::store::ledger::{Operator, Scope, SharedLedger};

/// How often keyrings are looked at for changes that commands have made.
const LOOK: Duration = Duration::from_secs(2);

/// Seconds before a domain whose keyring could not be tended is tried again.
const AGAIN: u64 = 60;

/// What it is done with.
pub(in crate::gateway) struct Rotation {
    pub(in crate::gateway) current: Current,
    pub(in crate::gateway) ledger: SharedLedger,
    pub(in crate::gateway) clock: Arc<dyn Clock>,
    pub(in crate::gateway) alarms: Arc<Alarms>,
    /// Rings when another generation is in force.
    pub(in crate::gateway) bell: Arc<Notify>,
    /// Port of the authoritative servers.
    pub(in crate::gateway) port: u16,
}

/// What is known of a domain between two visits.
#[derive(Default)]
struct Known {
    /// When it is visited next, Unix seconds.
    due: u64,
    /// Its keyring as it was taken up.
    stamp: Option<Stamp>,
    /// A state of it that could not be taken up, and when that is tried again, Unix seconds.
    refused: Option<(Option<Stamp>, u64)>,
    /// What opens it, if it is protected.
    passphrase: Option<Passphrase>,
}

impl Rotation {
    /// Tends all domains until `stop` is cancelled.
    pub(in crate::gateway) async fn run(self, stop: CancellationToken) {
        let mut known: HashMap<Domain, Known> = HashMap::new();
        loop {
            let generation = self.current.load_full();
            for local in &generation.config().domains {
                // A visit that is broken off loses nothing.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.visit(&generation, local, known.entry(local.name.clone()).or_default()) => {}
                }
            }
            let next = known.values().map(|known| known.due).min().unwrap_or(u64::MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.bell.notified() => known.clear(),
                () = tokio::time::sleep(LOOK) => {}
                () = self.clock.until(next) => {}
            }
        }
    }

    async fn visit(&self, generation: &Generation, local: &LocalDomain, known: &mut Known) {
        let now = self.clock.now();
        let stamp = Stamp::of(&local.keys).await;
        let rests = known.refused.is_some_and(|(refused, until)| refused == stamp && now < until);
        let changed = stamp != known.stamp && !rests;
        if !changed && now < known.due {
            return;
        }
        match passphrase(local) {
            Ok(given) => {
                // The one that is known has the slow derivation behind it.
                let same =
                    given.as_ref().zip(known.passphrase.as_ref()).is_some_and(|(a, b)| a.is(b));
                if !same {
                    known.passphrase = given;
                }
            }
            Err(error) => {
                self.raise(local, &Alarm::RotationFailed(error.to_string()));
                known.due = now.saturating_add(AGAIN);
                return;
            }
        }
        known.due = match local.rotation {
            None => u64::MAX,
            Some(_) => match self.tend(generation, local, known.passphrase.clone(), now).await {
                Ok(next) => next,
                Err(why) => {
                    self.raise(local, &Alarm::RotationFailed(why));
                    now.saturating_add(AGAIN)
                }
            },
        };
        let stamp = Stamp::of(&local.keys).await;
        if stamp != known.stamp {
            if self.take_up(generation, local, known.passphrase.clone()).await {
                (known.stamp, known.refused) = (stamp, None);
            } else {
                known.refused = Some((stamp, now.saturating_add(AGAIN)));
            }
        }
    }

    /// Does what is due; when to come again.
    async fn tend(
        &self,
        generation: &Generation,
        local: &LocalDomain,
        passphrase: Option<Passphrase>,
        now: u64,
    ) -> Result<u64, String> {
        let (resolver, clock) = (Arc::clone(&generation.resolver), Arc::clone(&self.clock));
        let keeper = Keeper::of(local, passphrase, resolver, self.port, clock)
            .map_err(|error| error.to_string())?;
        let tended = keeper.tend(now).await.map_err(|error| error.to_string())?;
        self.tell(local, &tended);
        self.note_destroyed(local, &keeper, now).await;
        Ok(tended.next)
    }

    /// Logs what was done, and raises alarms about what was not.
    fn tell(&self, local: &LocalDomain, tended: &Tended) {
        let domain = &local.name;
        for event in &tended.events {
            match event {
                Event::Made(kind, id) => info!(%domain, %kind, key = %id, "key made"),
                Event::Signed { serial, expiry, sealing } => {
                    info!(%domain, serial, expiry, ?sealing, "policy signed");
                }
                Event::Installed(serial) => {
                    info!(%domain, serial, "policy signed ahead is in force")
                }
                Event::Destroyed(kind, id) => {
                    info!(%domain, %kind, key = %id, "private key destroyed")
                }
                Event::RolloverEnded { former, destroyed } => {
                    info!(%domain, %former, destroyed, "rollover of the identity key is over");
                }
                Event::Lost(kind, id) => {
                    error!(%domain, %kind, key = %id, "private key is missing from the keyring")
                }
                Event::Swept(files) => {
                    warn!(%domain, files, "files that were left by a crash erased")
                }
                Event::Published(name) => {
                    info!(%domain, name, "record handed over for publication")
                }
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
        for concern in &tended.concerns {
            let alarm = match concern {
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
            };
            self.raise(local, &alarm);
        }
    }

    fn raise(&self, local: &LocalDomain, alarm: &Alarm) {
        // It concerns mail that comes in, which needs these keys.
        self.alarms.raise(Scope::Incoming, &local.name, Standing::Partner, alarm);
    }

    /// Puts the end of keys on record, at least once each [R-life-04].
    async fn note_destroyed(&self, local: &LocalDomain, keeper: &Keeper, now: u64) {
        let noted = async {
            let ended = keeper.to_note(now).await?;
            if ended.is_empty() {
                return Ok(());
            }
            let (ids, actions): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
            if let Err(error) =
                self.ledger.record_actions(&actions, now, &Operator::gateway()).await
            {
                warn!(domain = %local.name, %error, "the end of keys could not be put on record");
                return Ok(());
            }
            keeper.noted(ids, now).await
        };
        if let Err(error) = noted.await {
            warn!(domain = %local.name, %error, "the end of keys could not be put on record");
        }
    }

    /// Puts the keys that are in the keyring now into force; `false`: it cannot be done.
    async fn take_up(
        &self,
        generation: &Generation,
        local: &LocalDomain,
        passphrase: Option<Passphrase>,
    ) -> bool {
        let (domain, read) = (&local.name, local.clone());
        let keys =
            tokio::task::spawn_blocking(move || LocalKeys::unlocked(&read, passphrase.as_ref()))
                .await;
        match keys {
            Ok(Ok(keys)) => {
                generation.shared.domains().replace(domain, keys);
                debug!(%domain, "keys taken up");
                true
            }
            Ok(Err(error)) => {
                error!(%domain, %error, "keys cannot be taken up: the former ones stay in use");
                self.raise(local, &Alarm::RotationFailed(error.to_string()));
                false
            }
            Err(error) => {
                error!(%domain, %error, "keys cannot be taken up");
                false
            }
        }
    }
}
