//! The gateway daemon: the only layer that knows all others.

pub mod config;
