//! Identifiers of envelopes, deliveries and keys.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;

use super::hex::{self, Hex};

/// Why a text is no identifier: not exactly two hexadecimal digits for each octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0} hexadecimal digits")]
pub struct ParseIdError(usize);

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $octets:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $octets]);

        impl $name {
            /// The identifier with these octets.
            #[must_use]
            pub const fn from_bytes(octets: [u8; $octets]) -> Self {
                Self(octets)
            }

            /// The octets of the identifier.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $octets] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                hex::parse(text.as_bytes()).map(Self).ok_or(ParseIdError(2 * $octets))
            }
        }
    };
}

identifier! {
    /// Identifier of an envelope: a hash over header, `enc` and sealed key [R-env-06]. Both ends
    /// and their logs use it.
    EnvelopeId, 32
}

identifier! {
    /// Identifier of a delivery: random octets, used again only for a retry [R-con-07].
    DeliveryId, 16
}

identifier! {
    /// Identifier of a sealing or signing key, or fingerprint of an identity key [R-key-01].
    KeyId, 32
}

impl KeyId {
    /// The words in which two people compare it [R-key-02].
    #[must_use]
    pub fn words(&self) -> String {
        super::words::of(&self.0).collect::<Vec<_>>().join(" ")
    }
}

impl DeliveryId {
    /// A fresh delivery id.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut octets = [0; 16];
        rng.fill_bytes(&mut octets);
        Self(octets)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hexadecimal_round_trip() {
        let id = KeyId::from_bytes(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), format!("KeyId({text})"));
    }

    #[test]
    fn other_texts_are_refused() {
        let good = "00112233445566778899aabbccddeeff";
        assert!(good.parse::<DeliveryId>().is_ok());
        for bad in ["", &good[1..], &format!("{good}00"), &good.replace("aa", "+a"), "é"] {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad}");
        }
    }
}
