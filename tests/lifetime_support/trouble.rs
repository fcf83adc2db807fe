//! What goes wrong in the simulation, how often, and until when.

use std::collections::BTreeMap;

use super::crash::Cut;
use super::zone::Break;
use super::{Chance, DAY, HOUR, MINUTE};

/// Something that is made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// Publication is refused for hours or days.
    Refused,
    /// One server takes nothing over for a day.
    Stale,
    /// One server does not answer for hours.
    Silent,
    /// Look-ups of a gateway fail.
    NoDns,
    /// A gateway is started anew.
    Restart,
    /// A keeper is killed between two of its steps.
    Killed(Break),
    /// A keeper is killed in the middle of a sitting.
    Cut(Cut),
    /// A clock is wrong by up to an hour, and then by something else.
    Skew,
    /// A clock is weeks ahead for less than an hour.
    LeapAhead,
    /// A clock is weeks behind for less than an hour.
    LeapBack,
    /// A gateway is off for a month.
    Asleep,
    /// An operator asks for other keys before their time.
    Hurry,
}

impl Trouble {
    /// All that must have happened.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Refused,
            Self::Stale,
            Self::Silent,
            Self::NoDns,
            Self::Restart,
            Self::Skew,
            Self::LeapAhead,
            Self::LeapBack,
            Self::Asleep,
            Self::Hurry,
        ];
        all.extend(Self::breaks().map(Self::Killed));
        all.extend(Self::cuts().map(Self::Cut));
        all
    }

    pub fn breaks() -> [Break; 3] {
        [Break::BeforePublication, Break::AfterPublication, Break::BeforeLook]
    }

    /// Those that a domain with its identity key can come into.
    pub fn cuts() -> [Cut; 6] {
        Cut::ALL
    }

    /// Mean time between two, in seconds.
    pub fn gap(self) -> u64 {
        match self {
            Self::Refused | Self::Stale => 15 * DAY,
            Self::Silent | Self::NoDns => 8 * DAY,
            Self::Restart => 2 * DAY,
            Self::Killed(_) => 6 * DAY,
            Self::Cut(_) => 9 * DAY,
            Self::Skew => 4 * DAY,
            Self::LeapAhead | Self::LeapBack => 12 * DAY,
            Self::Asleep => 150 * DAY,
            Self::Hurry => 45 * DAY,
        }
    }

    /// How long it lasts.
    pub fn length(self, chance: &mut Chance) -> u64 {
        match self {
            Self::Refused => chance.between(2 * HOUR, 4 * DAY),
            Self::Stale => DAY,
            Self::Silent => chance.between(HOUR, 12 * HOUR),
            // Now and then longer than an MTA tries.
            Self::NoDns if chance.once_in(12) => chance.between(5 * DAY, 7 * DAY),
            Self::NoDns if chance.once_in(2) => chance.between(DAY, 3 * DAY),
            Self::NoDns => chance.between(10 * MINUTE, 12 * HOUR),
            Self::LeapAhead | Self::LeapBack => chance.between(10 * MINUTE, 50 * MINUTE),
            Self::Asleep => chance.between(28 * DAY, 33 * DAY),
            Self::Restart | Self::Killed(_) | Self::Cut(_) | Self::Skew | Self::Hurry => 0,
        }
    }
}

/// How often what has happened.
#[derive(Debug, Default)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    pub fn add(&mut self, what: impl std::fmt::Debug, n: u64) {
        *self.0.entry(format!("{what:?}").trim_matches('"').to_owned()).or_default() += n;
    }

    pub fn of(&self, what: impl std::fmt::Debug) -> u64 {
        self.0.get(format!("{what:?}").trim_matches('"')).copied().unwrap_or(0)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, n) in &self.0 {
            writeln!(f, "{n:>8}  {what}")?;
        }
        Ok(())
    }
}
