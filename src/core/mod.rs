//! The pure heart of the protocol: no IO, no clock, no global random numbers.

pub mod address;
mod domain;
pub mod esmtp;
mod ids;

pub use domain::{Domain, DomainError};
pub use ids::{DeliveryId, EnvelopeId, IdError, KeyId};
