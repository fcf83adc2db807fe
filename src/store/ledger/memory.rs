//! Remembered domains: what earlier look-ups of a partner's policy showed.

/// For which direction a domain is remembered.
///
/// Look-ups for incoming mail never create memory for outgoing mail: a stranger who sends us a
/// message must not choose the moment of first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Decides how mail to the domain is sealed.
    Outgoing,
    /// Decides how mail from the domain is verified.
    Incoming,
}

impl Scope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Outgoing, Self::Incoming];

    /// The name used in output, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        }
    }
}

/// How full the memory of one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// The domains that are remembered.
    pub domains: u64,
    /// Most that may be, but for room that is kept for domains to which mail is sent.
    pub most: u64,
}

impl MemoryUse {
    /// Whether nine tenths are used: time to act before a domain is not remembered any more.
    #[must_use]
    pub const fn is_nearly_full(self) -> bool {
        self.domains.saturating_mul(10) >= self.most.saturating_mul(9)
    }
}

/// What is remembered of a domain. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The identity key, a raw Ed25519 public key.
    pub identity_key: [u8; 32],
    /// The highest serial seen under this identity key.
    pub serial: u64,
    /// The policy record's text as seen; at most [`super::MAX_POLICY`] octets.
    pub policy: Vec<u8>,
    /// The key records' texts as seen; at most [`super::MAX_KEY_RECORDS`] of
    /// [`super::MAX_KEY_RECORD`] octets.
    pub key_records: Vec<Vec<u8>>,
    /// The authenticity level in the policy layer's numbering.
    pub level: u8,
    /// For how many seconds an answer that nothing vouches for is held after it was last seen;
    /// `None`: as long as the domain asks.
    pub hold: Option<u64>,
    /// When the hold was last lengthened.
    pub counted_at: u64,
    /// The pinned fingerprint that the identity key has, or descends from.
    pub pinned_root: Option<[u8; 32]>,
    /// When the identity key was first seen.
    pub first_seen: u64,
    /// When the last consistent observation counted.
    pub last_observed: u64,
    /// Until when the memory holds.
    pub until: u64,
    /// Until when clear mail to the domain is forbidden, if its policy says `enforce`.
    pub enforce_until: Option<u64>,
}
