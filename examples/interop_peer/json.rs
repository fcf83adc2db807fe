//! Octets, domains and ids as they stand in tasks and results.

use crate::answer::{No, unsupported};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mta_seal::core::{Domain, KeyId};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An input of a kind; one that this peer does not understand is one that it does not support.
pub(crate) fn read<T: DeserializeOwned>(input: Value) -> Result<T, No> {
    serde_json::from_value(input).map_err(unsupported)
}

/// Octets, in base64.
#[derive(Debug)]
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map(Self).map_err(D::Error::custom)
    }
}

/// A known number of octets, in base64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exactly<const N: usize>(pub(crate) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Exactly<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Octets(octets) = Octets::deserialize(from)?;
        octets.try_into().map(Self).map_err(|_| D::Error::custom(format!("not {N} octets")))
    }
}

/// A key id, a fingerprint or an envelope id.
pub(crate) type Id = Exactly<32>;

impl From<Id> for KeyId {
    fn from(id: Id) -> Self {
        Self::from_bytes(id.0)
    }
}

/// A domain in its canonical form.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) Domain);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Domain::from_canonical(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}
