//! The policy record of a domain (draft section "Policy record").

use std::fmt;
use std::str::FromStr;

use crate::core::codec::Field;
use crate::core::{Domain, IdentityKey, IdentityPublicKey, KeyId, Label, VerifyingKey};

use super::error::{DraftError, RecordError, ValueError, VerifyError};
use super::rollover::Rollover;
use super::sealing::{SealingEntry, parse_entries};
use super::tags::TagList;
use super::value;

/// The version tag that begins a policy record [R-rec-01].
pub(super) const POLICY_VERSION: &str = "v=MTASEAL1";
/// Most octets of a policy record [R-rec-02].
pub const MAX_POLICY: usize = 2048;
/// Most signing keys, and most sealing keys, in one policy.
pub const MAX_KEYS: usize = 8;
/// Greatest `max_age` in seconds.
pub const MAX_MAX_AGE: u64 = 31_557_600;
/// Least and greatest window in seconds.
pub const WINDOW: std::ops::RangeInclusive<u64> = 3600..=2_592_000;
/// The window in seconds of a policy that does not name one: 14 days.
pub const DEFAULT_WINDOW: u64 = 1_209_600;
/// How far the clocks of two domains may differ, in seconds [R-rec-06].
pub const CLOCK_TOLERANCE: u64 = 3600;

const SERIAL: std::ops::RangeInclusive<u64> = 0..=999_999_999_999;
const QUERY_NAME: Field = Field::new("query_name", 1, 255);
const TEXT: Field = Field::new("text", 1, 0xffff);

/// What a domain asks of those who send mail to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Never send clear mail.
    Enforce,
    /// Seal if you can.
    Testing,
    /// Sealing is withdrawn.
    None,
}

impl Mode {
    /// The value of tag `m`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Enforce, Self::Testing, Self::None]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(ValueError::UnknownWord)
    }
}

/// The tags of a policy record, typed; says nothing about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// `m`: what the domain asks of senders.
    pub mode: Mode,
    /// `n`: the time from which the policy is valid, seconds since 1970.
    pub serial: u64,
    /// `x`: the first second at which it is no longer valid, seconds since 1970.
    pub expiry: u64,
    /// `a`: how long `enforce` is remembered after the last sight, in seconds.
    pub max_age: u64,
    /// `w`: how old an envelope may be when it arrives, in seconds.
    pub window: u64,
    /// `i`: the identity key under which the record claims to be signed.
    pub identity: IdentityPublicKey,
    /// `g`: the keys that sign the domain's content; empty only if the mode is `none`.
    pub signing_keys: Vec<VerifyingKey>,
    /// `k`: the keys to seal to, in order of preference; empty only if the mode is `none`.
    pub sealing_keys: Vec<SealingEntry>,
    /// `o`: all outgoing mail to domains that can unseal is sealed.
    pub outgoing_always: bool,
    /// `r`: statement of the former identity key, not yet verified.
    pub rollover: Option<Rollover>,
    /// `p`: fingerprint of the identity key that may succeed without a statement.
    pub next_identity: Option<KeyId>,
}

impl PolicyRecord {
    /// Whether it lists this sealing key.
    #[must_use]
    pub fn lists_sealing(&self, id: &KeyId) -> bool {
        self.sealing_keys.iter().any(|entry| entry.key_id() == Some(*id))
    }

    /// Whether it lists this signing key.
    #[must_use]
    pub fn lists_signing(&self, id: &KeyId) -> bool {
        self.signing_keys.iter().any(|key| key.key_id() == *id)
    }

    /// The signing key that it lists first, which is the one that signs [R-life-01].
    #[must_use]
    pub fn signer(&self) -> Option<KeyId> {
        self.signing_keys.first().map(|key| key.key_id())
    }

    fn from_tags(tags: &TagList<'_>) -> Result<Self, RecordError> {
        let at = RecordError::at;
        let mode: Mode = tags.require("m")?.parse().map_err(at("m"))?;
        let serial = value::number_in(tags.require("n")?, SERIAL).map_err(at("n"))?;
        let expiry =
            value::number_in(tags.require("x")?, serial + 1..=*SERIAL.end()).map_err(at("x"))?;
        let max_age = value::number_in(tags.require("a")?, 0..=MAX_MAX_AGE).map_err(at("a"))?;
        let window = match tags.get("w") {
            Some(text) => value::number_in(text, WINDOW).map_err(at("w"))?,
            None => DEFAULT_WINDOW,
        };
        let identity = value::array::<32>(tags.require("i")?)
            .and_then(|octets| {
                IdentityPublicKey::from_bytes(&octets).map_err(|_| ValueError::BadVerifyingKey)
            })
            .map_err(at("i"))?;
        let keyless = mode == Mode::None;
        let signing_keys = match tags.get("g") {
            None if keyless => Vec::new(),
            None => return Err(RecordError::Missing { tag: "g" }),
            Some(text) => parse_signing_keys(text).map_err(at("g"))?,
        };
        let sealing_keys = match tags.get("k") {
            None if keyless => Vec::new(),
            None => return Err(RecordError::Missing { tag: "k" }),
            Some(text) => parse_entries(text, MAX_KEYS).map_err(at("k"))?,
        };
        let outgoing_always = match tags.get("o") {
            None => false,
            Some("always") => true,
            Some(_) => return Err(at("o")(ValueError::UnknownWord)),
        };
        let rollover = tags.get("r").map(str::parse).transpose().map_err(at("r"))?;
        let next_identity =
            tags.get("p").map(value::array).transpose().map_err(at("p"))?.map(KeyId::from_bytes);
        Ok(Self {
            mode,
            serial,
            expiry,
            max_age,
            window,
            identity,
            signing_keys,
            sealing_keys,
            outgoing_always,
            rollover,
            next_identity,
        })
    }
}

fn parse_signing_keys(text: &str) -> Result<Vec<VerifyingKey>, ValueError> {
    value::list(text, MAX_KEYS)?
        .into_iter()
        .map(|element| {
            let octets = value::array::<32>(element)?;
            VerifyingKey::from_bytes(&octets).map_err(|_| ValueError::BadVerifyingKey)
        })
        .collect()
}

/// A well-formed policy record whose signature has not been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPolicy {
    text: Box<str>,
    /// Offset of the signature tag: what stands before is signed [R-rec-05].
    signed: usize,
    signature: [u8; 64],
    record: PolicyRecord,
}

impl SignedPolicy {
    /// Reads the text of one policy record, its strings joined.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        let tags = TagList::parse(text, POLICY_VERSION, MAX_POLICY)?;
        tags.require("s")?;
        let last =
            tags.last().filter(|tag| tag.name == "s").ok_or(RecordError::SignatureNotLast)?;
        let signature = value::array(last.value).map_err(RecordError::at("s"))?;
        let record = PolicyRecord::from_tags(&tags)?;
        // The tag list has refused everything that is not ASCII.
        let owned = std::str::from_utf8(text)
            .map_err(|e| RecordError::Octet { offset: e.valid_up_to() })?;
        Ok(Self { signed: last.start, signature, record, text: owned.into() })
    }

    /// Verifies the signature under the record's own identity key for the policy name of `domain`
    /// [R-rec-05]. Whether that key is believed is another matter.
    pub fn verify(self, domain: &Domain) -> Result<VerifiedPolicy, VerifyError> {
        let input = signature_input(domain, &self.text.as_bytes()[..self.signed])?;
        if !self.record.identity.verify(&input, &self.signature) {
            return Err(VerifyError::Signature);
        }
        Ok(VerifiedPolicy { domain: domain.clone(), text: self.text, record: self.record })
    }

    /// What the record says, on nobody's authority yet.
    #[must_use]
    pub fn unverified(&self) -> &PolicyRecord {
        &self.record
    }

    /// The text as received.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

// struct {
//     opaque label<1..255>;         /* "mta-seal/1 policy" */
//     opaque query_name<1..255>;    /* "_mta-seal." and the domain */
//     opaque text<1..2^16-1>;       /* of the record, up to the "s" of
//                                      the signature tag, exclusive */
// } PolicyInput;
fn signature_input(domain: &Domain, text: &[u8]) -> Result<Vec<u8>, VerifyError> {
    let mut input = Label::Policy.begin();
    let name = policy_name(domain);
    QUERY_NAME
        .put(&mut input, name.as_bytes())
        .and_then(|()| TEXT.put(&mut input, text))
        .map_err(|_| VerifyError::NameTooLong)?;
    Ok(input)
}

/// The name at which the policy of `domain` is published, without trailing dot.
#[must_use]
pub fn policy_name(domain: &Domain) -> String {
    format!("_mta-seal.{domain}")
}

/// A policy record that is signed, for this domain, by the identity key that it names.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedPolicy {
    domain: Domain,
    text: Box<str>,
    record: PolicyRecord,
}

/// Where a moment lies with respect to a policy's time [R-rec-06].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// The policy is in force.
    InForce,
    /// It will be from its serial on.
    NotYet,
    /// Its expiry has passed.
    Expired,
}

impl VerifiedPolicy {
    /// The domain for whose policy name the record is signed.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The text as received, from which the policy can be read and verified again.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the policy says.
    #[must_use]
    pub fn record(&self) -> &PolicyRecord {
        &self.record
    }

    /// The identity key that signed the policy.
    #[must_use]
    pub fn identity(&self) -> &IdentityPublicKey {
        &self.record.identity
    }

    /// Whether the policy is in force at `now`, seconds since 1970 [R-rec-06].
    #[must_use]
    pub fn validity(&self, now: u64) -> Validity {
        if now >= self.record.expiry {
            Validity::Expired
        } else if now < self.record.serial.saturating_sub(CLOCK_TOLERANCE) {
            Validity::NotYet
        } else {
            Validity::InForce
        }
    }

    /// Whether this policy proves that its identity key succeeds `former`: by a rollover statement
    /// of `former` that is valid at `now` [R-rec-08], or because `former` had named the fingerprint
    /// `announced` in advance.
    #[must_use]
    pub fn succeeds(
        &self,
        former: &IdentityPublicKey,
        announced: Option<&KeyId>,
        now: u64,
    ) -> bool {
        let stated = self.record.rollover.as_ref().is_some_and(|statement| {
            statement.proves(&self.domain, former, &self.record.identity, self.record.serial, now)
        });
        stated || announced == Some(&self.record.identity.fingerprint())
    }

    /// Whether its identity key is that of `former`, or proves that it succeeds it, be it by what `former` announces.
    #[must_use]
    pub fn continues(&self, former: &Self, now: u64) -> bool {
        self.identity() == former.identity()
            || self.succeeds(former.identity(), former.record.next_identity.as_ref(), now)
    }
}

impl fmt::Debug for VerifiedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedPolicy")
            .field("domain", &self.domain)
            .field("text", &self.text)
            .finish()
    }
}

/// What a domain is about to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDraft {
    /// What is asked of senders.
    pub mode: Mode,
    /// The time from which the policy is valid, seconds since 1970.
    pub serial: u64,
    /// The first second at which it is no longer valid, seconds since 1970.
    pub expiry: u64,
    /// How long `enforce` is to be remembered, in seconds, at most [`MAX_MAX_AGE`].
    pub max_age: u64,
    /// How old an envelope may be when it arrives, in seconds, within [`WINDOW`].
    pub window: u64,
    /// Keys that sign content, at most [`MAX_KEYS`]; none only for [`Mode::None`].
    pub signing_keys: Vec<VerifyingKey>,
    /// Keys to seal to in order of preference, at most [`MAX_KEYS`]; none only for
    /// [`Mode::None`].
    pub sealing_keys: Vec<SealingEntry>,
    /// Promise that all outgoing mail to domains that can unseal is sealed.
    pub outgoing_always: bool,
    /// Statement of the former identity key; it must be made for this serial.
    pub rollover: Option<Rollover>,
    /// Fingerprint of the identity key that may succeed without a statement.
    pub next_identity: Option<KeyId>,
}

impl PolicyDraft {
    /// Signs the policy for `domain` and returns the text of the record.
    ///
    /// The text is read and verified again before it is returned, so nothing is ever published
    /// that this implementation would refuse.
    pub fn sign(&self, domain: &Domain, identity: &IdentityKey) -> Result<String, DraftError> {
        let mut text = self.unsigned(identity.public());
        let input = signature_input(domain, text.as_bytes())?;
        text.push_str("s=");
        text.push_str(&value::base64(&identity.sign(&input)));
        let policy = SignedPolicy::parse(text.as_bytes())?.verify(domain)?;
        if let Some(rollover) = &policy.record.rollover {
            let stated = rollover.former().is_some_and(|former| {
                let new = &policy.record.identity;
                rollover.proves(domain, &former, new, self.serial, self.serial)
            });
            if !stated {
                return Err(DraftError::Rollover);
            }
        }
        Ok(text)
    }

    /// Reads a policy before its signature, and the identity key that it names.
    pub(super) fn parse_unsigned(text: &str) -> Result<(Self, IdentityPublicKey), RecordError> {
        let tags = TagList::parse(text.as_bytes(), POLICY_VERSION, MAX_POLICY)?;
        let record = PolicyRecord::from_tags(&tags)?;
        Ok((Self { rollover: None, ..Self::from(&record) }, record.identity))
    }

    /// The text up to the signature.
    pub(super) fn unsigned(&self, identity: &IdentityPublicKey) -> String {
        let mut text = format!(
            "{POLICY_VERSION}; m={}; n={}; x={}; a={}; ",
            self.mode, self.serial, self.expiry, self.max_age
        );
        let mut tag = |name: &str, value: &str| {
            text.push_str(name);
            text.push('=');
            text.push_str(value);
            text.push_str("; ");
        };
        if self.window != DEFAULT_WINDOW {
            tag("w", &self.window.to_string());
        }
        tag("i", &value::base64(identity.as_bytes()));
        if !self.signing_keys.is_empty() {
            let keys = self.signing_keys.iter().map(|k| value::base64(k.as_bytes()));
            tag("g", &keys.collect::<Vec<_>>().join(","));
        }
        if !self.sealing_keys.is_empty() {
            let keys = self.sealing_keys.iter().map(ToString::to_string);
            tag("k", &keys.collect::<Vec<_>>().join(","));
        }
        if self.outgoing_always {
            tag("o", "always");
        }
        if let Some(rollover) = &self.rollover {
            tag("r", &rollover.to_string());
        }
        if let Some(next) = &self.next_identity {
            tag("p", &value::base64(next.as_bytes()));
        }
        text
    }
}

impl From<&PolicyRecord> for PolicyDraft {
    fn from(record: &PolicyRecord) -> Self {
        Self {
            mode: record.mode,
            serial: record.serial,
            expiry: record.expiry,
            max_age: record.max_age,
            window: record.window,
            signing_keys: record.signing_keys.clone(),
            sealing_keys: record.sealing_keys.clone(),
            outgoing_always: record.outgoing_always,
            rollover: record.rollover.clone(),
            next_identity: record.next_identity,
        }
    }
}
