//! What is known of a domain's keys: a text beside them, without secrets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::core::{KeyId, Suite, SuiteId};
use crate::records::{PolicyRecord, VerifiedPolicy};

use super::identity::Identity;
use super::publication::Stand;
use super::schedule::Schedule;

/// How long a destroyed key stays in the book, in seconds: 100 days. The keyring remembers its id for good.
const REMEMBERED: u64 = 100 * 86_400;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Others seal to it.
    Sealing(Suite),
    /// It signs content.
    Signing,
}

impl Kind {
    /// Whether such a key needs a record of its own.
    #[must_use]
    pub fn has_record(self) -> bool {
        matches!(self, Self::Sealing(suite) if !suite.is_inline())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealing(suite) => write!(f, "sealing-{}", suite.id()),
            Self::Signing => f.write_str("signing"),
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = "neither `signing` nor `sealing-` and a suite";
        if text == "signing" {
            return Ok(Self::Signing);
        }
        let number = text.strip_prefix("sealing-").and_then(|n| n.parse().ok()).ok_or(unknown)?;
        Suite::try_from(SuiteId(number)).map(Self::Sealing).map_err(|_| unknown)
    }
}

/// That policies list a key, or have listed it. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The latest expiry of all policies that list it.
    pub expiry: u64,
    /// Until when what was sealed to it may arrive: see [`Schedule::opens_until`].
    pub opens: u64,
}

/// The life of one key. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// What it is for.
    #[serde(with = "as_text")]
    pub kind: Kind,
    /// Its key id.
    #[serde(with = "as_text")]
    pub id: KeyId,
    /// The selector of its key record; a signing key has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// When it was made, or first found in the keyring.
    pub made: u64,
    /// From when on everybody sees what must be seen before it is used: its record, or the policy that lists it. Of a key that stands in
    /// the policy itself: from when on the gateway has it, see [`Schedule::takes_up`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// The policies that list it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    /// Since when it is the one that is used: listed, or the first of the signing keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
    /// Whether its private part goes at once after that, though mail is on its way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
    /// When its private part was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<u64>,
    /// Whether that is in the audit trail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noted: bool,
}

impl Life {
    /// The life of a key that was just made.
    #[must_use]
    pub fn new(kind: Kind, id: KeyId, selector: Option<String>, now: u64) -> Self {
        Self {
            kind,
            id,
            selector,
            made: now,
            ready: None,
            listing: None,
            from: None,
            to: None,
            revoked: None,
            at_once: false,
            destroyed: None,
            noted: false,
        }
    }

    /// Whether it needs a record of its own.
    #[must_use]
    pub fn has_record(&self) -> bool {
        self.kind.has_record()
    }

    /// Whether the policy lists it.
    #[must_use]
    pub fn is_listed_by(&self, policy: &PolicyRecord) -> bool {
        match self.kind {
            Kind::Sealing(_) => policy.lists_sealing(&self.id),
            Kind::Signing => policy.lists_signing(&self.id),
        }
    }

    /// Whether it is active under the policy: listed, or the first of the signing keys [R-life-01].
    #[must_use]
    pub fn is_used_by(&self, policy: &PolicyRecord) -> bool {
        match self.kind {
            Kind::Sealing(_) => policy.lists_sealing(&self.id),
            Kind::Signing => policy.signer() == Some(self.id),
        }
    }

    /// Whether it can still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.revoked.is_none() && self.destroyed.is_none()
    }

    /// Whether all that must be seen before it is used has been seen for long enough.
    #[must_use]
    pub fn is_ready(&self, now: u64) -> bool {
        // Of an inline key that was made before times were set for such, nothing is known but that it is long ago.
        let inline = matches!(self.kind, Kind::Sealing(_)) && !self.has_record();
        self.ready.map_or(inline, |at| now >= at)
    }
}

/// The keys of a domain, and what is known of what it publishes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Book {
    /// The latest time at which somebody has looked, Unix seconds.
    #[serde(default)]
    pub seen: u64,
    /// Until when nothing is signed or destroyed after a jump of the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<u64>,
    /// When the operator has asked for other keys before their time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hurry: Option<u64>,
    /// When the policy in the keyring was put there.
    #[serde(default)]
    pub installed: u64,
    /// From when on everybody sees that policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ready: Option<u64>,
    /// Whose policy it is.
    #[serde(default)]
    pub identity: Identity,
    /// The keys, oldest first.
    #[serde(default)]
    pub keys: Vec<Life>,
    /// What has been published, or is to be.
    #[serde(default)]
    pub stands: Vec<Stand>,
}

/// The text is no book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not what mta-seal writes: {0}")]
pub struct BookError(String);

impl Book {
    /// Reads the text of a book.
    ///
    /// # Errors
    ///
    /// [`BookError`] with line and column.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        serde_json::from_str(text).map_err(|error| BookError(error.to_string()))
    }

    /// Writes it; whoever reads [`Book::parse`] of it has the same.
    #[must_use]
    pub fn text(&self) -> String {
        // Cannot fail: no map has a key that is no string.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// The life of a key.
    #[must_use]
    pub fn life(&self, id: &KeyId) -> Option<&Life> {
        self.keys.iter().find(|life| life.id == *id)
    }

    /// The same, to be changed.
    pub fn life_mut(&mut self, id: &KeyId) -> Option<&mut Life> {
        self.keys.iter_mut().find(|life| life.id == *id)
    }

    /// Enters keys that are in the keyring and not in the book: made by `init` or by hand, brought back, or because the book was
    /// lost. What nobody knows is counted as if it began now: too long a life, never too short a one.
    pub fn adopt(
        &mut self,
        keys: impl IntoIterator<Item = (Kind, KeyId, Option<String>)>,
        policy: &VerifiedPolicy,
        now: u64,
    ) {
        let record = policy.record();
        for (kind, id, selector) in keys {
            if self.life(&id).is_some() {
                continue;
            }
            let mut life = Life::new(kind, id, selector, now);
            if life.is_used_by(record) {
                life.ready = Some(now);
                life.from = Some(record.serial.min(now));
            } else {
                // Perhaps listed once, by whatever policy.
                let expiry = record.expiry.max(now);
                let opens = Schedule::opens_until(expiry, record.window);
                life.listing = Some(Listing { expiry, opens });
                (life.from, life.to) = (Some(now), Some(now));
            }
            self.keys.push(life);
        }
        for key in &record.signing_keys {
            // Its private part is gone or elsewhere; what it has signed may still be on the way.
            if self.life(&key.key_id()).is_none() {
                let life = Life::new(Kind::Signing, key.key_id(), None, now);
                self.keys.push(Life {
                    ready: Some(now),
                    from: Some(now),
                    to: Some(now),
                    destroyed: Some(now),
                    noted: true,
                    ..life
                });
            }
        }
        // One of a higher serial than that time has come since: brought here from another gateway.
        self.installed = self.installed.max(record.serial.min(now));
        self.identify(policy, now);
        self.enter(record, now);
    }

    /// Enters a policy that is put into the keyring, or was found there: which keys it lists and until when.
    pub fn enter(&mut self, policy: &PolicyRecord, now: u64) {
        self.announce(policy);
        for life in &mut self.keys {
            if life.is_used_by(policy) {
                life.from.get_or_insert(now);
                life.to = None;
            } else if life.from.is_some() {
                life.to.get_or_insert(now);
            }
        }
    }

    /// Enters a policy that is signed but not yet in force: from now on somebody may have it.
    pub fn announce(&mut self, policy: &PolicyRecord) {
        self.heed(policy);
        if self.identity.key == Some(policy.identity.fingerprint()) {
            self.identity.next = policy.next_identity;
        }
    }

    /// Enters a policy that somebody may have, whoever has signed it with the identity key: what it lists lives accordingly.
    pub fn heed(&mut self, policy: &PolicyRecord) {
        let opens = Schedule::opens_until(policy.expiry, policy.window);
        for life in &mut self.keys {
            if life.is_listed_by(policy) {
                let before = life.listing.unwrap_or(Listing { expiry: 0, opens: 0 });
                life.listing = Some(Listing {
                    expiry: before.expiry.max(policy.expiry),
                    opens: before.opens.max(opens),
                });
            }
        }
        let identity = &mut self.identity;
        if identity.key == Some(policy.identity.fingerprint()) {
            identity.expiry = identity.expiry.max(policy.expiry);
            identity.max_age = identity.max_age.max(policy.max_age);
        }
    }

    /// Takes a key out of use; with `destroy` its private part goes at once, else when mail that is on its way has arrived [R-life-07].
    pub fn revoke(&mut self, id: &KeyId, destroy: bool, now: u64) {
        if let Some(life) = self.life_mut(id) {
            life.revoked.get_or_insert(now);
            life.at_once |= destroy;
        }
    }

    /// Leaves out what was destroyed long ago.
    pub fn prune(&mut self, now: u64) {
        self.keys
            .retain(|life| life.destroyed.is_none_or(|at| now <= at.saturating_add(REMEMBERED)));
    }
}

/// As the text that `Display` writes and `FromStr` reads.
pub(super) mod as_text {
    use super::{Deserialize, Deserializer, FromStr, Serializer, de, fmt};

    pub(in super::super) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }

    /// The same, if there is one.
    pub(in super::super) mod option {
        use super::{Deserialize, Deserializer, FromStr, Serializer, de, fmt};

        pub(in super::super::super) fn serialize<T: fmt::Display, S: Serializer>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => serializer.collect_str(value),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super::super) fn deserialize<'de, T, D>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error>
        where
            T: FromStr<Err: fmt::Display>,
            D: Deserializer<'de>,
        {
            let text: Option<String> = Option::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
        }
    }
}
