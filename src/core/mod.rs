//! The pure heart of the protocol: no IO, no clock, no global random numbers.

mod domain;
mod ids;

pub use domain::{Domain, DomainError};
pub use ids::{DeliveryId, EnvelopeId, IdError, KeyId};
