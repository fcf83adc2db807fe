//! Identifiers that the protocol derives or draws: fixed octet strings, written in hexadecimal.

use std::fmt;
use std::str::FromStr;

/// Why a text is no identifier: not exactly two hexadecimal digits for each octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("identifier is not {expected} hexadecimal digits")]
pub struct IdError {
    /// How many digits the identifier has.
    pub expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Takes the octets as they stand on the wire.
            #[must_use]
            pub const fn from_bytes(octets: [u8; $len]) -> Self {
                Self(octets)
            }

            /// The octets as they stand on the wire.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut octets = [0; $len];
                read_hex(text, &mut octets)?;
                Ok(Self(octets))
            }
        }
    };
}

id! {
    /// The envelope id: SHA-256 over header, encapsulated key and sealed content key
    /// (draft-mta-seal, "Envelope").
    EnvelopeId, 32
}

id! {
    /// The delivery id: 16 random octets that a retry of one message to one domain keeps
    /// (draft-mta-seal, "Once-only delivery").
    DeliveryId, 16
}

id! {
    /// The id of a sealing key: SHA-256 over label, suite and raw public key.
    KeyId, 32
}

fn read_hex(text: &str, octets: &mut [u8]) -> Result<(), IdError> {
    let wrong = IdError { expected: octets.len() * 2 };
    let digits = text.as_bytes();
    if digits.len() != wrong.expected {
        return Err(wrong);
    }
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                b'A'..=b'F' => digit - b'A' + 10,
                _ => return Err(wrong),
            };
            value = value << 4 | nibble;
        }
        *octet = value;
    }
    Ok(())
}
