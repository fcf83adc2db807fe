//! The sealing decision, authenticity levels and memory rules; pure.
//!
//! [`decide`] is the one function that says whether a message to a domain is sealed, goes clear,
//! waits or is refused; [`authenticate_sender`] says with which keys a sealed message is verified.
//! Both are the tables of the draft's section "Decision", and a test reads the tables from there.
//! [`check_content`] judges what the sender of a verified message has signed.
//! Time is an argument; looking up, storing and alarming are the caller's.

mod alarm;
mod content;
mod decide;
mod evidence;
mod keys;
mod level;
mod local;
mod memory;
mod outcome;
mod reason;
mod sender;

pub use alarm::{Alarm, AlarmKind, Severity, UnknownAlarm};
pub use content::{Acceptance, ContentFault, check_content};
pub use decide::{Decision, Source, Verdict, decide, decide_damaged};
pub use evidence::Refusal;
pub use keys::{KeyFailure, MAX_KEY_LOOKUPS, WantedKey, wanted_keys};
pub use level::{Level, UnknownLevel};
pub use local::{Allowances, Demand, LocalPolicy, Rule, UnknownRule};
pub use memory::{FIRST_HOLD, Hold, Memory, MemoryUpdate, OBSERVATION_GAP};
pub use outcome::{Authenticity, Denial, FetchedKey, FoundPolicy, LookupFailure, Outcome};
pub use reason::{ClearReason, DeferReason, RefuseReason, RejectReason};
pub use sender::{
    Promise, SenderDecision, SenderPolicy, SenderVerdict, authenticate_sender,
    authenticate_sender_damaged, promise, promise_damaged,
};
