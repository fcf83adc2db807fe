//! The statement by which one identity key names its successor [R-rec-08].

use std::fmt;
use std::str::FromStr;

use crate::core::codec::Field;
use crate::core::{Domain, IdentityKey, IdentityPublicKey, Label};

use super::error::ValueError;
use super::value;

const DOMAIN: Field = Field::new("domain", 1, 253);

/// A rollover statement as it stands in a policy: it proves nothing before [`Rollover::proves`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollover {
    former: [u8; 32],
    expiry: u64,
    signature: [u8; 64],
}

impl Rollover {
    /// States that `new` succeeds `former` as identity key of `domain`, in the policy with this
    /// `serial`, until `expiry` (seconds since 1970).
    #[must_use]
    pub fn sign(
        former: &IdentityKey,
        domain: &Domain,
        new: &IdentityPublicKey,
        serial: u64,
        expiry: u64,
    ) -> Option<Self> {
        let old = *former.public().as_bytes();
        let input = input(domain, &old, new.as_bytes(), serial, expiry)?;
        Some(Self { former: old, expiry, signature: former.sign(&input) })
    }

    /// Whether the statement is by `former`, for this domain, key and serial, and not expired at
    /// `now` (seconds since 1970).
    #[must_use]
    pub fn proves(
        &self,
        domain: &Domain,
        former: &IdentityPublicKey,
        new: &IdentityPublicKey,
        serial: u64,
        now: u64,
    ) -> bool {
        let old = former.as_bytes();
        *old == self.former
            && now < self.expiry
            && input(domain, old, new.as_bytes(), serial, self.expiry)
                .is_some_and(|input| former.verify(&input, &self.signature))
    }

    /// The key that the statement claims to be by; none if its octets are no key.
    #[must_use]
    pub fn former(&self) -> Option<IdentityPublicKey> {
        IdentityPublicKey::from_bytes(&self.former).ok()
    }

    /// The first second at which the statement is no longer valid, seconds since 1970.
    #[must_use]
    pub fn expiry(&self) -> u64 {
        self.expiry
    }
}

// struct {
//     opaque label<1..255>;         /* "mta-seal/1 rollover" */
//     opaque domain<1..253>;
//     opaque old_key[32];
//     opaque new_key[32];           /* tag i of the policy that carries
//                                      the statement */
//     uint64 serial;                /* tag n of that policy */
//     uint64 expiry;
// } RolloverInput;
/// What the old key signs; none for a domain that does not fit its field, which [`Domain`] excludes.
fn input(
    domain: &Domain,
    old: &[u8; 32],
    new: &[u8; 32],
    serial: u64,
    expiry: u64,
) -> Option<Vec<u8>> {
    let mut input = Label::Rollover.begin();
    DOMAIN.put(&mut input, domain.as_str().as_bytes()).ok()?;
    input.extend_from_slice(old);
    input.extend_from_slice(new);
    input.extend_from_slice(&serial.to_be_bytes());
    input.extend_from_slice(&expiry.to_be_bytes());
    Some(input)
}

impl FromStr for Rollover {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let (Some(former), Some(expiry), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ValueError::BadRollover);
        };
        Ok(Self {
            former: value::array(former)?,
            expiry: value::number(expiry, 12)?,
            signature: value::array(signature)?,
        })
    }
}

impl fmt::Display for Rollover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}",
            value::base64(&self.former),
            self.expiry,
            value::base64(&self.signature)
        )
    }
}
