//! A signed point of the trail: whoever keeps one elsewhere can tell later whether the rows up to it are still the same.

use serde_json::{Value, json};

use super::{Chain, begin};
use crate::core::hex::{self, Hex};
use crate::core::{Domain, KeyId, SigningKey, VerifyingKey, sha256};

/// Random octets that tell one trail from another; a new ledger begins a new one.
pub type TrailId = [u8; 16];

/// Who signs.
#[derive(Clone)]
pub struct Signer {
    /// The domain whose key it is.
    pub domain: Domain,
    /// The key.
    pub key: SigningKey,
    /// Text of the policy record that lists it.
    pub policy: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}, {}, ..)", self.domain, self.key.key_id())
    }
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The trail.
    pub trail: TrailId,
    /// The last row that it covers.
    pub seq: u64,
    /// The last row that the checkpoint before it covers; 0 if it is the first.
    pub previous: u64,
    /// When it was signed, Unix seconds.
    pub at: u64,
    /// The chain at that row.
    pub chain: Chain,
    /// The domain that signed.
    pub domain: String,
    /// The signing key.
    pub key: KeyId,
    /// SHA-256 of the text of the policy record that lists the key.
    pub policy: [u8; 32],
    /// By the signing key.
    pub signature: [u8; 64],
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no JSON object of this version.
    #[error("not a checkpoint of an audit trail")]
    Malformed,
    /// A member is missing or is not what it should be.
    #[error("the checkpoint has no usable `{0}`")]
    Member(&'static str),
}

const TYPE: &str = "mta-seal/1 audit-checkpoint";

impl Checkpoint {
    /// Signs a point of the trail.
    #[must_use]
    pub fn sign(
        signer: &Signer,
        trail: TrailId,
        (seq, chain): (u64, Chain),
        previous: u64,
        at: u64,
    ) -> Self {
        let mut checkpoint = Self {
            trail,
            seq,
            previous,
            at,
            chain,
            domain: signer.domain.to_string(),
            key: signer.key.key_id(),
            policy: sha256(signer.policy.as_bytes()),
            signature: [0; 64],
        };
        checkpoint.signature = signer.key.sign(&checkpoint.input());
        checkpoint
    }

    // struct {
    //     opaque label<1..255>;             /* "mta-seal/1 audit-checkpoint" */
    //     opaque trail[16];
    //     uint64 seq; uint64 previous; uint64 at;
    //     opaque chain[32];
    //     opaque domain<1..255>;
    //     opaque signing_key_id[32];
    //     opaque policy_digest[32];
    // } CheckpointInput;
    fn input(&self) -> Vec<u8> {
        let mut input = begin(TYPE);
        input.extend_from_slice(&self.trail);
        for number in [self.seq, self.previous, self.at] {
            input.extend_from_slice(&number.to_be_bytes());
        }
        input.extend_from_slice(&self.chain.0);
        input.push(u8::try_from(self.domain.len()).unwrap_or(u8::MAX));
        input.extend_from_slice(self.domain.as_bytes());
        input.extend_from_slice(self.key.as_bytes());
        input.extend_from_slice(&self.policy);
        input
    }

    /// Whether it is signed by this key, whose id it names.
    #[must_use]
    pub fn is_by(&self, key: &VerifyingKey) -> bool {
        key.key_id() == self.key && key.verify(&self.input(), &self.signature)
    }

    /// As one JSON object, to be kept elsewhere.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "type": TYPE,
            "trail": Hex(&self.trail).to_string(),
            "seq": self.seq,
            "previous": self.previous,
            "at": self.at,
            "chain": Hex(&self.chain.0).to_string(),
            "domain": self.domain,
            "key": self.key.to_string(),
            "policy": Hex(&self.policy).to_string(),
            "signature": Hex(&self.signature).to_string(),
        })
    }

    /// Reads what [`Checkpoint::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let value: Value = serde_json::from_str(text).map_err(|_| CheckpointError::Malformed)?;
        if value.get("type").and_then(Value::as_str) != Some(TYPE) {
            return Err(CheckpointError::Malformed);
        }
        let number =
            |name| value.get(name).and_then(Value::as_u64).ok_or(CheckpointError::Member(name));
        let domain = value.get("domain").and_then(Value::as_str);
        Ok(Self {
            trail: octets(&value, "trail")?,
            seq: number("seq")?,
            previous: number("previous")?,
            at: number("at")?,
            chain: Chain(octets(&value, "chain")?),
            domain: domain.ok_or(CheckpointError::Member("domain"))?.to_owned(),
            key: KeyId::from_bytes(octets(&value, "key")?),
            policy: octets(&value, "policy")?,
            signature: octets(&value, "signature")?,
        })
    }
}

fn octets<const N: usize>(value: &Value, name: &'static str) -> Result<[u8; N], CheckpointError> {
    let digits = value.get(name).and_then(Value::as_str);
    digits.and_then(|digits| hex::parse(digits.as_bytes())).ok_or(CheckpointError::Member(name))
}
