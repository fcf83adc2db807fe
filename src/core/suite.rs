//! The cipher suites, one table [R-suite-01].

use std::fmt;

/// The number of a suite as it stands on the wire; unknown values survive [R-suite-02].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuiteId(pub u16);

impl fmt::Display for SuiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A suite that this implementation knows. It fixes KEM, KDF, AEAD, hash and body scheme
/// together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// Suite 1: DHKEM(X25519, HKDF-SHA256), mandatory to implement.
    X25519,
    /// Suite 2: X-Wing, a hybrid of X25519 and ML-KEM-768.
    XWing,
}

/// One row of the table [R-suite-01]; lengths in octets.
struct Row {
    suite: Suite,
    id: SuiteId,
    name: &'static str,
    kem: u16,
    public_key: usize,
    private_key: usize,
    enc: usize,
}

const TABLE: [Row; 2] = [
    Row {
        suite: Suite::X25519,
        id: SuiteId(1),
        name: "X25519",
        kem: 0x0020,
        public_key: 32,
        private_key: 32,
        enc: 32,
    },
    Row {
        suite: Suite::XWing,
        id: SuiteId(2),
        name: "X-Wing",
        kem: 0x647a,
        public_key: 1216,
        private_key: 32,
        enc: 1120,
    },
];

impl Suite {
    /// All known suites, in order of their numbers.
    pub const ALL: [Self; 2] = [TABLE[0].suite, TABLE[1].suite];

    /// Octets of the sealed content key: 32 octets and the AEAD's tag.
    pub const SEALED_KEY_LEN: usize = 48;

    const fn row(self) -> &'static Row {
        match self {
            Self::X25519 => &TABLE[0],
            Self::XWing => &TABLE[1],
        }
    }

    /// The number of the suite.
    #[must_use]
    pub const fn id(self) -> SuiteId {
        self.row().id
    }

    /// The name of the KEM for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The HPKE KEM identifier (IANA "HPKE KEM Identifiers").
    #[must_use]
    pub const fn kem_id(self) -> u16 {
        self.row().kem
    }

    /// `Npk`: octets of a public key.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        self.row().public_key
    }

    /// `Nsk`: octets of a private key.
    #[must_use]
    pub const fn private_key_len(self) -> usize {
        self.row().private_key
    }

    /// `Nenc`: octets of an encapsulated key.
    #[must_use]
    pub const fn enc_len(self) -> usize {
        self.row().enc
    }

    /// Whether a policy record carries the key itself and not its identifier [R-rec-03].
    #[must_use]
    pub const fn is_inline(self) -> bool {
        self.public_key_len() == 32
    }
}

impl TryFrom<SuiteId> for Suite {
    type Error = SuiteId;

    /// The known suite of this number; the number again if there is none.
    fn try_from(id: SuiteId) -> Result<Self, SuiteId> {
        TABLE.iter().find(|row| row.id == id).map(|row| row.suite).ok_or(id)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hpke::Serializable;
    use hpke::kem::{Kem, X25519HkdfSha256, XWing};

    fn lengths<K: Kem>() -> (u16, usize, usize, usize) {
        (K::KEM_ID, K::PublicKey::size(), K::PrivateKey::size(), K::EncappedKey::size())
    }

    #[test]
    fn table_agrees_with_the_kems() {
        for (suite, kem) in
            [(Suite::X25519, lengths::<X25519HkdfSha256>()), (Suite::XWing, lengths::<XWing>())]
        {
            let table =
                (suite.kem_id(), suite.public_key_len(), suite.private_key_len(), suite.enc_len());
            assert_eq!(table, kem, "{suite}");
            assert_eq!(Suite::try_from(suite.id()), Ok(suite));
        }
        assert_eq!(Suite::ALL.map(Suite::id), [SuiteId(1), SuiteId(2)]);
    }

    #[test]
    fn unknown_numbers_survive() {
        for id in [0, 3, u16::MAX].map(SuiteId) {
            assert_eq!(Suite::try_from(id), Err(id));
        }
    }
}
