//! The identity key at the desk: its successor, the rollover, and policies that are to be signed elsewhere.

use rand_core::CryptoRng;

use super::{Desk, DeskError, Event, Made};
use crate::core::{IdentityKey, KeyId};
use crate::gateway::own_policy::verified;
use crate::lifetime::{Forecast, Lists, Proof, Schedule, View, forecast, next_serial};
use crate::records::{
    CLOCK_TOLERANCE, Mode, PolicyDraft, PolicyRecord, PolicyRequest, Rollover, VerifiedPolicy,
};

/// Most policies for times to come: what is signed ahead is as good as the identity key for whoever has its keys [R-life-13].
pub const MAX_WEEKS: u64 = 8;

/// Why the identity key is not rolled, or a policy is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A rollover lasts.
    #[error(
        "the identity key was rolled over already, and not everybody has had the time to see it"
    )]
    Rolling {
        /// When it ends, Unix seconds; at the earliest, if its first policy is not seen everywhere.
        until: u64,
        /// Whether that is known.
        known: bool,
    },
    /// The identity key is not here to state who succeeds it.
    #[error("the identity key is not in the keyring, so it cannot state who succeeds it")]
    NoStatement,
    /// The policy announces another successor.
    #[error("the policy announces another next identity key: {0}")]
    OtherAnnounced(KeyId),
    /// There is a next key already.
    #[error("the policy announces a next identity key already: {0}")]
    Announced(KeyId),
    /// The key is the present one.
    #[error("this is the present identity key")]
    Present,
    /// A policy that was signed elsewhere is not taken.
    #[error("the policy with serial {serial} is not taken: {why}")]
    NotTaken {
        /// Which one.
        serial: u64,
        /// Why.
        why: NotTaken,
    },
    /// There is no policy.
    #[error("there is no policy in it")]
    Empty,
    /// The identity key is here, so that policies are signed here.
    #[error("the identity key is in the keyring, so the gateway signs by itself")]
    SignsHere,
    /// Anything else.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// Why a policy that was signed elsewhere is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Nothing shows that its identity key succeeds the one before.
    #[error("its identity key neither is the present one nor its proven successor")]
    Identity,
    /// A sealing key that it lists is not here.
    #[error("sealing key {0}, which it lists, is not here or cannot be used any more")]
    Sealing(KeyId),
    /// The signing key that it lists first is not here.
    #[error("the signing key that it lists first is not here or cannot be used any more")]
    Signing,
    /// Serials do not rise.
    #[error("its serial is not above the one before")]
    Serial,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It would be in force beside others.
    #[error("policies for the same time are here already")]
    Conflict,
}

impl Desk {
    /// Signs `draft`, with what the succession of identity keys asks for: a fresh statement of the former key, since that names the
    /// serial of the policy that carries it [R-life-11], and the fingerprint of the next one.
    pub(super) fn signed(&self, draft: &PolicyDraft) -> Result<String, DeskError> {
        let identity = self.keyring.identity().ok_or(DeskError::NoIdentity)?;
        let own = identity.fingerprint();
        let named = self.policy.identity().fingerprint();
        let rolling = self.book.rollover();
        // After a crash in a rollover the policy still names the former key.
        let wanted = if own == named { rolling.map(|rolling| rolling.former) } else { Some(named) };
        let former = self.keyring.former_identity();
        let former = former.filter(|former| Some(former.fingerprint()) == wanted);
        let announced = self.policy.record().next_identity == Some(own);
        if own != named && former.is_none() && !announced {
            return Err(DeskError::OtherIdentity { named, here: own });
        }
        let next = self.keyring.next_identity().map(IdentityKey::fingerprint);
        let draft = PolicyDraft {
            next_identity: next.or(draft.next_identity).filter(|next| *next != own),
            ..draft.clone()
        };
        self.stated(&draft, identity, former)
    }

    /// Signs `draft` with a statement of the former key, if there is one.
    fn stated(
        &self,
        draft: &PolicyDraft,
        identity: &IdentityKey,
        former: Option<&IdentityKey>,
    ) -> Result<String, DeskError> {
        let statement = former.and_then(|former| {
            let new = identity.public();
            Rollover::sign(former, &self.domain, new, draft.serial, draft.expiry)
        });
        let draft = PolicyDraft { rollover: statement, ..draft.clone() };
        Ok(draft.sign(&self.domain, identity)?)
    }

    /// The former key, if policies should carry its statements and cannot for want of it.
    pub(super) fn lacks_former(&self) -> Option<KeyId> {
        let rolling = self.book.rollover().filter(|r| r.proof == Proof::Statement)?;
        let here = self.keyring.former_identity().map(IdentityKey::fingerprint);
        let signs = self.keyring.identity().is_some();
        (signs && here != Some(rolling.former)).then_some(rolling.former)
    }

    /// Ends the rollover: the former key is destroyed, if it is here.
    pub(super) fn end_rollover(&mut self, former: KeyId, now: u64) -> Result<Event, DeskError> {
        let destroyed = self.keyring.destroy_former_identity(now)?.is_some();
        self.book.end_rollover(destroyed, now);
        self.save(now)?;
        Ok(Event::RolloverEnded { former, destroyed })
    }

    /// The same policy, to be signed at `now`.
    #[must_use]
    pub fn draft(&self, schedule: &Schedule, now: u64) -> PolicyDraft {
        let mut draft = PolicyDraft::from(self.policy.record());
        draft.serial = next_serial(draft.serial, now);
        draft.expiry = now.saturating_add(schedule.policy);
        draft
    }

    /// Makes the identity key that is to succeed the present one, and has the policy announce it, if that can be signed here
    /// [R-life-12]. With `anew` it takes the place of one that is announced already.
    ///
    /// # Errors
    ///
    /// One is announced already, or the file system refuses.
    pub fn prepare_identity(
        &mut self,
        anew: bool,
        schedule: &Schedule,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyId, IdentityError> {
        let here = self.keyring.next_identity().map(IdentityKey::fingerprint);
        let announced = here.or(self.policy.record().next_identity);
        match announced {
            Some(announced) if !anew => return Err(IdentityError::Announced(announced)),
            _ => self.keyring.destroy_next_identity(now).map_err(DeskError::from)?,
        };
        let key = IdentityKey::generate(rng);
        let id = key.fingerprint();
        self.keyring.add_next_identity(key).map_err(DeskError::from)?;
        if self.keyring.identity().is_some() {
            self.put(&self.draft(schedule, now), now)?;
        }
        Ok(id)
    }

    /// Puts the next identity key in the place of the present one and signs a policy with it. `next`: that key, if it is not in the
    /// keyring; `None` takes the one that was prepared, or makes one. `anew`: not the announced one. `lost`: though nothing shows that it
    /// succeeds the present one, which is lost, or though an earlier rollover lasts.
    ///
    /// # Errors
    ///
    /// A rollover lasts, the present key is not here, another successor is announced, or the file system refuses. After a crash it can
    /// be called again.
    pub fn roll_identity(
        &mut self,
        next: Option<IdentityKey>,
        Roll { anew, lost }: Roll,
        schedule: &Schedule,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyId, IdentityError> {
        let named = self.policy.identity().fingerprint();
        let announced = self.policy.record().next_identity;
        let here = self.keyring.identity().map(IdentityKey::fingerprint);
        let proven = |id: &KeyId| self.is_former(&named) || announced == Some(*id);
        if let Some(id) = here.filter(|id| *id != named && proven(id)) {
            // A crash came between the keys and the policy.
            self.put(&self.draft(schedule, now), now)?;
            return Ok(id);
        }
        if let Some(rolling) = self.book.rollover().filter(|_| !lost) {
            let until = rolling.end_if_seen(rolling.ready.unwrap_or(now));
            return Err(IdentityError::Rolling { until, known: rolling.ready.is_some() });
        }
        let prepared = self.keyring.next_identity();
        let next = match (next, prepared) {
            (Some(next), Some(prepared)) if next.fingerprint() != prepared.fingerprint() => {
                let prepared = prepared.fingerprint();
                if !anew {
                    return Err(IdentityError::OtherAnnounced(prepared));
                }
                self.keyring.destroy_next_identity(now).map_err(DeskError::from)?;
                next
            }
            (Some(next), _) => next,
            (None, Some(prepared)) => prepared.clone(),
            (None, None) => match announced.filter(|_| !anew) {
                Some(announced) => return Err(IdentityError::OtherAnnounced(announced)),
                None => IdentityKey::generate(rng),
            },
        };
        let id = next.fingerprint();
        if id == named {
            return Err(IdentityError::Present);
        }
        if let Some(announced) = announced.filter(|announced| *announced != id && !anew) {
            return Err(IdentityError::OtherAnnounced(announced));
        }
        let former = self.keyring.identity().filter(|key| key.fingerprint() == named);
        // In the first step of an interrupted rollover it has gone there already.
        let former = former
            .or_else(|| self.keyring.former_identity().filter(|key| key.fingerprint() == named));
        if former.is_none() && announced != Some(id) && !lost {
            return Err(IdentityError::NoStatement);
        }
        let draft = PolicyDraft { next_identity: None, ..self.draft(schedule, now) };
        let text = self.stated(&draft, &next, former)?;
        if self.keyring.next_identity().is_none() {
            self.keyring.add_next_identity(next).map_err(DeskError::from)?;
        }
        if former_is_useless(self, &named) {
            self.keyring.destroy_former_identity(now).map_err(DeskError::from)?;
        }
        self.keyring.roll_identity(now).map_err(DeskError::from)?;
        // Those for times to come are by the former key.
        self.set_ahead(Vec::new(), now)?;
        self.replace_policy(&text, now)?;
        Ok(id)
    }

    fn is_former(&self, id: &KeyId) -> bool {
        self.keyring.former_identity().is_some_and(|key| key.fingerprint() == *id)
    }

    /// Makes the keys of the coming weeks, and says which policies have to be signed for them [R-life-13]. `change` is applied to each.
    /// How long the keys live is written down before anybody can sign. With `anew` policies that are signed already are passed over.
    ///
    /// # Errors
    ///
    /// The identity key is here, no selector is free, or the file system refuses.
    pub fn request(
        &mut self,
        Ask { weeks, anew }: Ask,
        change: impl Fn(&mut PolicyDraft),
        schedule: &Schedule,
        made: Made<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<PolicyRequest, IdentityError> {
        if self.keyring.identity().is_some() {
            return Err(IdentityError::SignsHere);
        }
        let weeks = weeks.min(MAX_WEEKS);
        let ahead = if anew { Vec::new() } else { self.ahead() };
        let found = loop {
            let mut book = self.book.clone();
            if anew {
                // From now on, not from when the present policy is to be followed.
                book.installed = now.saturating_sub(schedule.sign);
            }
            let view = View {
                now,
                book: &book,
                policy: self.policy.record(),
                schedule,
                identity: true,
                ahead: &ahead,
                selector: true,
            };
            match forecast(&view, weeks) {
                Forecast::Weeks(found) => break found,
                Forecast::Needs(kind) => self.make(kind, None, made, now, rng)?,
            };
        };
        let next = self.keyring.next_identity().map(IdentityKey::fingerprint);
        let mut drafts = Vec::new();
        for week in found {
            let mut draft = self.listing(&week.lists, week.serial, week.expiry)?;
            draft.next_identity = next.or(draft.next_identity);
            change(&mut draft);
            self.book.announce(&PolicyRecord {
                serial: draft.serial,
                expiry: draft.expiry,
                sealing_keys: draft.sealing_keys.clone(),
                signing_keys: draft.signing_keys.clone(),
                ..self.policy.record().clone()
            });
            drafts.push(draft);
        }
        self.save(now)?;
        let former = self.book.rollover().filter(|rolling| rolling.proof == Proof::Statement);
        Ok(PolicyRequest {
            domain: self.domain.clone(),
            identity: self.policy.identity().clone(),
            former: former.map(|rolling| rolling.former),
            drafts,
        })
    }

    /// A draft that differs from the policy in its time and its keys.
    pub(super) fn listing(
        &self,
        lists: &Lists,
        serial: u64,
        expiry: u64,
    ) -> Result<PolicyDraft, DeskError> {
        let mut draft = PolicyDraft::from(self.policy.record());
        (draft.serial, draft.expiry, draft.rollover) = (serial, expiry, None);
        draft.sealing_keys =
            lists.sealing.iter().map(|id| self.entry(id)).collect::<Result<_, _>>()?;
        draft.signing_keys =
            lists.signing.iter().map(|id| self.verifying(id)).collect::<Result<_, _>>()?;
        Ok(draft)
    }

    /// Takes policies that were signed elsewhere, if all of them can be used here [R-life-14]; `replace`: in place of those for the same
    /// time. Returns their number.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotTaken`] names the first that cannot; nothing has changed then.
    pub fn take(
        &mut self,
        texts: &[&str],
        replace: bool,
        now: u64,
    ) -> Result<Vec<PolicyRecord>, IdentityError> {
        if self.keyring.identity().is_some() {
            return Err(IdentityError::SignsHere);
        }
        let mut taken: Vec<VerifiedPolicy> = Vec::new();
        // What has come into force meanwhile is no mistake.
        for text in texts.iter().filter(|text| **text != self.policy.text()) {
            taken.push(verified(text, &self.domain).map_err(DeskError::from)?);
        }
        let Some(first) = taken.first().map(|policy| policy.record().serial) else {
            return Err(IdentityError::Empty);
        };
        let earlier = self.ahead.iter().filter(|policy| policy.record().serial < first);
        let earlier = earlier.max_by_key(|policy| policy.record().serial);
        let mut before = earlier.unwrap_or(&self.policy);
        for policy in &taken {
            let serial = policy.record().serial;
            self.check(policy, before, now)
                .map_err(|why| IdentityError::NotTaken { serial, why })?;
            before = policy;
        }
        let mut kept = self.ahead.clone();
        let conflict = |policy: &VerifiedPolicy| policy.record().serial >= first;
        if !replace {
            let known = |policy: &VerifiedPolicy| taken.iter().any(|t| t.text() == policy.text());
            if let Some(other) = kept.iter().find(|policy| conflict(policy) && !known(policy)) {
                let serial = other.record().serial;
                return Err(IdentityError::NotTaken { serial, why: NotTaken::Conflict });
            }
        }
        kept.retain(|policy| !conflict(policy));
        let records = taken.iter().map(|policy| policy.record().clone()).collect();
        kept.extend(taken);
        self.set_ahead(kept, now)?;
        Ok(records)
    }

    /// Whether a policy can be used here after the one before it.
    fn check(
        &self,
        policy: &VerifiedPolicy,
        before: &VerifiedPolicy,
        now: u64,
    ) -> Result<(), NotTaken> {
        let record = policy.record();
        // A serial that lies ahead was signed by a wrong clock [R-rec-06]; those of this file are meant to.
        let present = before.text() == self.policy.text();
        let wrong = present && before.record().serial > now.saturating_add(CLOCK_TOLERANCE);
        if !wrong && record.serial <= before.record().serial {
            return Err(NotTaken::Serial);
        }
        if now >= record.expiry {
            return Err(NotTaken::Expired);
        }
        if !policy.continues(before, now) {
            return Err(NotTaken::Identity);
        }
        if record.mode == Mode::None && record.sealing_keys.is_empty() {
            return Ok(());
        }
        let usable = |id: &KeyId| self.book.life(id).is_some_and(|life| life.is_usable());
        let sealing: Vec<KeyId> =
            self.keyring.sealing_keys().iter().map(|stored| stored.key.key_id()).collect();
        let listed = record.sealing_keys.iter().filter_map(|entry| entry.key_id());
        if let Some(missing) = listed.into_iter().find(|id| !sealing.contains(id) || !usable(id)) {
            return Err(NotTaken::Sealing(missing));
        }
        let first = record.signer();
        let here = first.filter(|id| self.keyring.signing_key([*id]).is_some() && usable(id));
        if here.is_none() { Err(NotTaken::Signing) } else { Ok(()) }
    }
}

/// Whether a former key lies here that is not the one that the policy names.
fn former_is_useless(desk: &Desk, named: &KeyId) -> bool {
    desk.keyring.former_identity().is_some() && !desk.is_former(named)
}

/// Which policies are to be signed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Those of this many weeks, at most [`MAX_WEEKS`].
    pub weeks: u64,
    /// From now on, those that are signed already passed over.
    pub anew: bool,
}

/// What an operator allows in a rollover of the identity key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roll {
    /// To another key than the announced one.
    pub anew: bool,
    /// Without proof, or while another rollover lasts: the present key is lost.
    pub lost: bool,
}
