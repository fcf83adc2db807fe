//! The DNS records of MTA-SEAL: grammar and signatures; pure.
//!
//! A record goes through types that say what is known about it: octets, then [`SignedPolicy`]
//! (well-formed, nothing believed), then [`VerifiedPolicy`] (signed for this domain by the
//! identity key it names). Whether that identity key is believed is the matter of
//! [`crate::policy`].

mod error;
mod key;
mod policy;
mod request;
mod rollover;
mod sealing;
mod select;
pub mod tags;
mod value;
mod zone;

pub use error::{DraftError, RecordError, ValueError, VerifyError};
pub use key::{KeyRecord, MAX_KEY_RECORD, key_record_name};
pub use policy::{
    CLOCK_TOLERANCE, DEFAULT_WINDOW, MAX_KEYS, MAX_MAX_AGE, MAX_POLICY, Mode, PolicyDraft,
    PolicyRecord, SignedPolicy, Validity, VerifiedPolicy, WINDOW, policy_name,
};
pub use request::{PolicyRequest, RequestError};
pub use rollover::Rollover;
pub use sealing::{SealingEntry, Selector};
pub use select::{Selection, select_key_record, select_policy};
pub use zone::{DnsRecord, MAX_STRING};
