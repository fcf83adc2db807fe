//! Visits the keys of one domain again and again: what is due is done if its rotation is configured, and what has changed in its
//! keyring is taken up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tracing::{debug, error};

use super::agreement::{Asked, Strangers, agree};
use super::keeper::{Keeper, Tended};
use super::sighting::Authoritative;
use super::stamp::Stamp;
use super::telling;
use crate::gateway::alarms::{Alarms, Standing};
use crate::gateway::clock::Clock;
use crate::gateway::config::LocalDomain;
use crate::gateway::generation::{Current, Generation};
use crate::gateway::local::{LocalKeys, passphrase};
use crate::lifetime::Schedule;
use crate::policy::Alarm;
use crate::records::VerifiedPolicy;
use crate::store::keyring::Passphrase;
use crate::store::ledger::{Scope, SharedLedger};

/// How often the keyring is looked at for changes that commands have made.
const LOOK: Duration = Duration::from_secs(2);

/// Seconds before a domain whose keyring could not be tended is tried again.
const AGAIN: u64 = 60;

/// Seconds between two looks at the end of a policy that is signed by hand.
const LOOK_AT_END: u64 = 3_600;

/// Most visits at once: each may have a command that runs and sockets to name servers.
pub(in crate::gateway) const MAX_VISITS: usize = 64;

/// What all domains are tended with.
pub(in crate::gateway) struct Means {
    pub(in crate::gateway) current: Current,
    pub(in crate::gateway) ledger: SharedLedger,
    pub(in crate::gateway) clock: Arc<dyn Clock>,
    pub(in crate::gateway) alarms: Arc<Alarms>,
    /// Port of the authoritative servers.
    pub(in crate::gateway) port: u16,
    /// For [`MAX_VISITS`] visits.
    pub(in crate::gateway) places: Semaphore,
}

/// Whoever tends one domain.
pub(super) struct Tender {
    pub(super) means: Arc<Means>,
    pub(super) local: LocalDomain,
}

/// What is known between two visits.
#[derive(Default)]
struct Known {
    /// The generation of this.
    generation: Weak<Generation>,
    /// When it was visited, Unix seconds. A time before it: the clock has been put right, and nothing that was put off then counts.
    came: u64,
    /// When the domain is visited next, Unix seconds.
    due: u64,
    /// Its keyring as it was taken up.
    stamp: Option<Stamp>,
    /// A state of it that could not be taken up, and when that is tried again, Unix seconds.
    refused: Option<(Option<Stamp>, u64)>,
    /// What opens it, if it is protected.
    passphrase: Option<Passphrase>,
}

impl Tender {
    pub(super) fn new(means: Arc<Means>, local: LocalDomain) -> Self {
        Self { means, local }
    }

    /// Goes on until it is dropped, be it in the middle of a visit.
    pub(super) async fn run(self, bell: Arc<Notify>) {
        let mut known = Known::default();
        loop {
            self.come(&mut known).await;
            tokio::select! {
                () = bell.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.means.clock.until(known.due) => {}
            }
        }
    }

    async fn come(&self, known: &mut Known) {
        let generation = self.means.current.load_full();
        if generation.config().local(&self.local.name) != Some(&self.local) {
            // The domain is another's now, or nobody's: this one is about to be ended.
            return;
        }
        let this = Arc::downgrade(&generation);
        if !known.generation.ptr_eq(&this) {
            // Its keys were read by whoever made it, at some time or other.
            let passphrase = known.passphrase.take();
            *known = Known { generation: this, passphrase, ..Known::default() };
        }
        self.visit(&generation, known).await;
    }

    async fn visit(&self, generation: &Generation, known: &mut Known) {
        let (local, now) = (&self.local, self.means.clock.now());
        let stamp = Stamp::of(&local.keys).await;
        let before = |until: u64| (known.came..until).contains(&now);
        let rests = known.refused.is_some_and(|(refused, until)| refused == stamp && before(until));
        let changed = stamp != known.stamp && !rests;
        if !changed && before(known.due) {
            return;
        }
        known.came = now;
        // Never closed.
        let Ok(_place) = self.means.places.acquire().await else { return };
        let read = local.clone();
        match blocking(move || passphrase(&read)).await {
            Ok(given) => {
                // The one that is known has the slow derivation behind it.
                let same =
                    given.as_ref().zip(known.passphrase.as_ref()).is_some_and(|(a, b)| a.is(b));
                if !same {
                    known.passphrase = given;
                }
            }
            Err(why) => {
                self.raise(&Alarm::RotationFailed(why));
                known.due = now.saturating_add(AGAIN);
                return;
            }
        }
        if local.rotation.is_some() {
            let tended = self.tend(generation, known.passphrase.clone(), now).await;
            known.due = tended.unwrap_or_else(|why| {
                self.raise(&Alarm::RotationFailed(why));
                now.saturating_add(AGAIN)
            });
        }
        let stamp = Stamp::of(&local.keys).await;
        if stamp != known.stamp {
            if self.take_up(generation, known.passphrase.clone(), now).await {
                (known.stamp, known.refused) = (stamp, None);
            } else {
                known.refused = Some((stamp, now.saturating_add(AGAIN)));
            }
        }
        if local.rotation.is_none() {
            known.due = self.look_at_end(generation, now);
        }
        // The clock may have been put forward meanwhile, and what is due next was reckoned from there.
        known.came = self.means.clock.now().max(now);
    }

    /// Tells of the end of a policy that only an operator renews; when to come again.
    fn look_at_end(&self, generation: &Generation, now: u64) -> u64 {
        let again = now.saturating_add(LOOK_AT_END);
        let Some(keys) = generation.shared.domains().get(&self.local.name) else { return again };
        let at = keys.policy.record().expiry;
        let warn = at.saturating_sub(Schedule::default().warn);
        if now < warn {
            return warn.min(again);
        }
        self.raise(&Alarm::PolicyEnds { at });
        again
    }

    /// Does what is due; when to come again.
    async fn tend(
        &self,
        generation: &Generation,
        passphrase: Option<Passphrase>,
        now: u64,
    ) -> Result<u64, String> {
        let (local, port) = (self.local.clone(), self.means.port);
        let (resolver, clock) = (Arc::clone(&generation.resolver), Arc::clone(&self.means.clock));
        let keeper =
            blocking(move || Keeper::of(&local, passphrase, resolver, port, clock)).await?;
        let tended = keeper.tend(now).await.map_err(|error| error.to_string())?;
        self.tell(&tended);
        self.note_destroyed(&keeper, tended.ended, now).await;
        Ok(tended.next)
    }

    /// Logs what was done, and raises alarms about what was not.
    fn tell(&self, tended: &Tended) {
        telling::log(&self.local.name, tended);
        for alarm in telling::alarms(tended) {
            self.raise(&alarm);
        }
    }

    fn raise(&self, alarm: &Alarm) {
        // It concerns mail that comes in, which needs these keys.
        self.means.alarms.raise(Scope::Incoming, &self.local.name, Standing::Partner, alarm);
    }

    /// Puts the keys that are in the keyring now into force; `false`: it cannot be done.
    async fn take_up(
        &self,
        generation: &Generation,
        passphrase: Option<Passphrase>,
        now: u64,
    ) -> bool {
        let domain = &self.local.name;
        match self.read(generation, passphrase, now).await {
            Ok(keys) => {
                generation.shared.domains().replace(domain, keys);
                debug!(%domain, "keys taken up");
                true
            }
            Err(error) => {
                error!(%domain, error, "keys cannot be taken up: the former ones stay in use");
                self.raise(&Alarm::RotationFailed(error));
                false
            }
        }
    }

    /// Reads the keyring. One with another policy may be the wrong one [R-life-08].
    async fn read(
        &self,
        generation: &Generation,
        passphrase: Option<Passphrase>,
        now: u64,
    ) -> Result<LocalKeys, String> {
        let (domain, at) = (&self.local.name, self.local.records_under());
        let read = self.local.clone();
        let keys = blocking(move || LocalKeys::unlocked(&read, passphrase.as_ref())).await?;
        let in_force = generation.shared.domains().get(domain);
        let same = |in_force: &VerifiedPolicy| in_force.text() == keys.policy.text();
        if !in_force.as_ref().is_some_and(|in_force| same(&in_force.policy)) {
            let servers = Authoritative::new(Arc::clone(&generation.resolver), self.means.port);
            let asked = Asked { domain, at, keys: &keys };
            let known =
                in_force.is_some_and(|in_force| keys.policy.continues(&in_force.policy, now));
            let strangers = if known { Strangers::Ignored } else { Strangers::Count };
            let agreed = agree(&[asked], now, Arc::new(servers), strangers).await;
            agreed.map_err(|(_, error)| error.to_string())?;
        }
        Ok(keys)
    }
}

/// Does what blocks away from the tasks that carry mail.
async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
