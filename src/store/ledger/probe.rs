//! What the operator waits to see leave: a notice from the MTA before us to one address.

/// How long a probe is watched for, in seconds, at most.
pub const MAX_PROBE: u64 = 3_600;

/// The number of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub(super) i64);

/// A message with the null reverse-path that was seen on its way to the address of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// When, Unix seconds.
    pub seen: u64,
    /// How it ended: the word of a [`super::Fate`].
    pub how: String,
    /// For a deferred one, the reply.
    pub reply: String,
}
