//! The rotation of keys: what [`crate::lifetime`] says is due is done here, with keyring, publication and name servers.
//!
//! A [`Keeper`] tends the keys of one domain. Whatever it has done stands on the disk before the next step, and it reads the keyring anew
//! each time: it can be ended at any point, and a command can do the same work beside a daemon.

mod agreement;
#[cfg(test)]
mod agreement_tests;
mod desk;
mod ends;
mod keeper;
mod rival;
mod sighting;
mod stamp;
mod task;
mod telling;
mod tender;

pub use agreement::Disagreement;
pub(super) use agreement::{Agreement, Asked};
pub use desk::{Ask, Desk, DeskError, Event, IdentityError, MAX_WEEKS, Made, NotTaken, Roll};
pub use keeper::{Keeper, Tended};
pub use sighting::{Authoritative, Seen, Sighting, SightingFuture, Sightings};
pub(super) use task::Rotation;
pub(super) use tender::{MAX_VISITS, Means};
