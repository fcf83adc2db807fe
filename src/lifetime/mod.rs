//! The lifetime of a domain's keys (draft section "Key Lifetime"): what is to be made, listed, withdrawn and destroyed, and when; pure.
//!
//! A [`Book`] holds what is known of each key; [`plan`] compares it with the time and says what is due. It is asked again and again,
//! by a daemon or a command, and every step that it names is done and written into the book before the next question. So it does not
//! matter when a process ends in between, how long it was away, or which of two processes does a step.
//!
//! ```text
//! sealing key   made ──► its record seen everywhere for a TTL ──► listed ──► another listed ──► expiry + window: destroyed
//!               prepared                               published  active     retiring
//! signing key   made, listed ──► that policy seen everywhere for a TTL ──► listed first ──► another first: destroyed;
//!               prepared                                         published  active          listed for 30 days more
//! ```

mod book;
mod calendar;
mod clock;
mod forecast;
mod identity;
mod plan;
mod publication;
mod schedule;
mod state;

pub use book::{Book, BookError, Kind, Life, Listing};
pub use calendar::{Entry, Next, calendar};
pub use clock::{Jump, LEAP, SETTLING};
pub use forecast::{Forecast, Week, forecast};
pub use identity::{Identity, Proof, Succession};
pub use plan::{Concern, Lists, Plan, Step, View, end, next_serial, plan};
pub use publication::{Stand, TRIES, Wanted, names, wanted};
pub use schedule::{LISTED_AFTER_USE, Schedule, ScheduleError};
pub use state::State;
