//! The pure heart of the protocol: no IO, no clock, no global random numbers.

mod domain;

pub use domain::{Domain, DomainError};
