//! What the policies of the coming weeks list, for an identity key that is kept elsewhere [R-life-13].

use crate::core::{KeyId, Suite};
use crate::records::{MAX_KEYS, PolicyRecord};

use super::book::{Kind, Life};
use super::plan::{Lists, View, next_serial};
use super::schedule::LISTED_AFTER_USE;

/// A policy that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Week {
    /// The keys that it lists.
    pub lists: Lists,
    /// Its serial, the beginning of its week.
    pub serial: u64,
    /// Its expiry.
    pub expiry: u64,
}

/// What can be said of the coming weeks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forecast {
    /// A key of this kind has to be made first; then ask again.
    Needs(Kind),
    /// These policies, by their serials.
    Weeks(Vec<Week>),
}

/// The policies from now until `weeks` signings ahead, behind those that are signed already. Their keys take turns as they would if
/// the identity key were here, each at the signing that is next to its time.
#[must_use]
pub fn forecast(view: &View<'_>, weeks: u64) -> Forecast {
    let mut course = Course::new(view);
    let last = view.now.saturating_add(weeks.saturating_mul(view.schedule.sign));
    let mut found = Vec::new();
    while course.at <= last && found.len() as u64 != weeks {
        match course.week() {
            Ok(week) => found.push(week),
            Err(kind) => return Forecast::Needs(kind),
        }
    }
    Forecast::Weeks(found)
}

/// A key of the course, and from when on it is used.
type Turn = Option<(KeyId, u64)>;

/// The keys as time goes on.
struct Course<'a> {
    view: &'a View<'a>,
    /// When the next policy begins, and the serial of the one before.
    at: u64,
    serial: u64,
    sealing: Vec<(Suite, Turn)>,
    signing: Turn,
    /// Signing keys that are listed in the policy before, and until when they have to be if another signs.
    listed: Vec<(KeyId, Option<u64>)>,
    /// Keys that have had their turn or have it.
    taken: Vec<KeyId>,
}

impl<'a> Course<'a> {
    fn new(view: &'a View<'a>) -> Self {
        let mut course = Self {
            view,
            at: view.book.installed.saturating_add(view.schedule.sign).max(view.now),
            serial: view.policy.serial,
            // The order is the order of preference [R-rec-02].
            sealing: [Suite::XWing, Suite::X25519].map(|suite| (suite, None)).to_vec(),
            signing: None,
            listed: Vec::new(),
            taken: Vec::new(),
        };
        course.follow(view.policy);
        let mut ahead: Vec<&PolicyRecord> =
            view.ahead.iter().filter(|ahead| ahead.serial > view.policy.serial).collect();
        ahead.sort_by_key(|ahead| ahead.serial);
        for policy in ahead {
            course.follow(policy);
            course.at = policy.serial.saturating_add(view.schedule.sign).max(view.now);
        }
        course
    }

    /// Takes over what a policy that is signed lists.
    fn follow(&mut self, policy: &PolicyRecord) {
        let Self { view, sealing, taken, .. } = self;
        let used = |kind: Kind| {
            let mut lives = view.book.keys.iter();
            lives.find(|life| life.kind == kind && life.is_usable() && life.is_used_by(policy))
        };
        let turn = |before: Turn, life: Option<&Life>| {
            let life = life?;
            match before {
                Some((id, from)) if id == life.id => Some((id, from)),
                _ => Some((life.id, life.from.unwrap_or(policy.serial))),
            }
        };
        for (suite, current) in sealing.iter_mut() {
            *current = turn(*current, used(Kind::Sealing(*suite)));
            taken.extend(current.map(|(id, _)| id));
        }
        let signing = turn(self.signing, used(Kind::Signing));
        self.taken.extend(signing.map(|(id, _)| id));
        let before = self.signing.filter(|(id, _)| signing.map(|(id, _)| id) != Some(*id));
        self.signing = signing;
        let listed = policy.signing_keys.iter().map(|key| key.key_id());
        let listed =
            listed.filter(|id| self.view.book.life(id).is_none_or(|life| life.revoked.is_none()));
        self.listed = listed
            .map(|id| {
                let known = self.listed.iter().find(|(other, _)| *other == id);
                let of_book = self.view.book.life(&id).and_then(|life| life.to);
                let replaced = before.filter(|(other, _)| *other == id).map(|_| policy.serial);
                let until = known
                    .and_then(|(_, until)| *until)
                    .or_else(|| of_book.or(replaced).map(|to| to.saturating_add(LISTED_AFTER_USE)));
                (id, until)
            })
            .collect();
        self.serial = policy.serial;
    }

    /// The next policy, or the kind of the key that it lacks.
    fn week(&mut self) -> Result<Week, Kind> {
        let (at, schedule) = (self.at, self.view.schedule);
        // Each turn is at the signing next to its time.
        let nearest = at.saturating_add(schedule.sign / 2);
        for place in 0..self.sealing.len() {
            let (suite, current) = self.sealing[place];
            let due =
                current.is_none_or(|(_, from)| nearest >= from.saturating_add(schedule.sealing));
            if due {
                let id = self.spare(Kind::Sealing(suite))?;
                self.taken.push(id);
                self.sealing[place].1 = Some((id, at));
            }
        }
        let due = self.signing.map_or(0, |(_, from)| from.saturating_add(schedule.signing));
        let soon = nearest.saturating_add(schedule.sign) >= due;
        let mut follower = if soon { Some(self.spare(Kind::Signing)?) } else { None };
        // Who signs must have been listed before, so that everybody knows the key; but somebody must sign.
        let known = follower.is_some_and(|id| self.listed.iter().any(|(other, _)| *other == id));
        if let Some(id) = follower.filter(|_| nearest >= due && (known || self.signing.is_none())) {
            if let Some((former, _)) = self.signing.replace((id, at)) {
                for (listed, until) in &mut self.listed {
                    if *listed == former {
                        *until = Some(at.saturating_add(LISTED_AFTER_USE));
                    }
                }
            }
            self.taken.push(id);
            follower = None;
        }
        let former = self.listed.iter().filter(|(_, until)| until.is_some_and(|until| at < until));
        let former: Vec<(KeyId, Option<u64>)> = former.copied().collect();
        let first = self.signing.map(|(id, _)| (id, None));
        let mut signing: Vec<(KeyId, Option<u64>)> = Vec::new();
        for (id, until) in first.into_iter().chain(follower.map(|id| (id, None))).chain(former) {
            if !signing.iter().any(|(other, _)| *other == id) && signing.len() < MAX_KEYS {
                signing.push((id, until));
            }
        }
        self.listed = signing;
        let lists = Lists {
            sealing: self.sealing.iter().filter_map(|(_, turn)| turn.map(|(id, _)| id)).collect(),
            signing: self.listed.iter().map(|(id, _)| *id).collect(),
        };
        let serial = next_serial(self.serial, at);
        self.serial = serial;
        self.at = serial.saturating_add(schedule.sign);
        Ok(Week { lists, serial, expiry: serial.saturating_add(schedule.policy) })
    }

    /// A key that is made and has not had its turn.
    fn spare(&self, kind: Kind) -> Result<KeyId, Kind> {
        let mut lives = self.view.book.keys.iter();
        let spare = lives.find(|life| {
            life.kind == kind
                && life.is_usable()
                && life.from.is_none()
                && !self.taken.contains(&life.id)
        });
        spare.map(|life| life.id).ok_or(kind)
    }
}
