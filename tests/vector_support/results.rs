//! What the library says, in the JSON of the vectors' results. The peer of the interop harness includes this file.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mta_seal::core::{
    Accepted, Domain, ForwardPath, IdentityPublicKey, KeyId, Parsed, ReversePathField,
    SealingPublicKey, Stage, VerifyingKey,
};
use mta_seal::gateway::Failure;
use mta_seal::policy::{Decision, DeferReason, LookupFailure, Source};
use mta_seal::records::{PolicyRecord, SealingEntry};
use serde_json::{Value, json};

/// Octets, in base64.
pub(crate) fn b64(octets: impl AsRef<[u8]>) -> Value {
    Value::String(BASE64_STANDARD.encode(octets))
}

/// A sealing key with its id.
pub(crate) fn sealing_key(key: &SealingPublicKey) -> Value {
    json!({ "public_key": b64(key.as_bytes()), "key_id": b64(key.key_id().as_bytes()) })
}

/// A key of Ed25519 with its ids in both uses.
pub(crate) fn ed25519_key(signing: &VerifyingKey, identity: &IdentityPublicKey) -> Value {
    json!({
        "public_key": b64(signing.as_bytes()),
        "signing_key_id": b64(signing.key_id().as_bytes()),
        "fingerprint": b64(identity.fingerprint().as_bytes()),
    })
}

/// A fingerprint, and how it is said [R-key-02].
pub(crate) fn fingerprint(id: &KeyId) -> Value {
    json!({ "fingerprint": b64(id.as_bytes()), "words": id.words() })
}

/// A policy record.
pub(crate) fn policy(record: &PolicyRecord) -> Value {
    // All members, so that a new one is not forgotten here.
    let PolicyRecord {
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
    } = record;
    let signing = signing_keys.iter().map(
        |key| json!({ "public_key": b64(key.as_bytes()), "key_id": b64(key.key_id().as_bytes()) }),
    );
    json!({
        "mode": mode.as_str(),
        "serial": serial,
        "expiry": expiry,
        "max_age": max_age,
        "window": window,
        "identity": b64(identity.as_bytes()),
        "fingerprint": b64(identity.fingerprint().as_bytes()),
        "signing_keys": signing.collect::<Vec<_>>(),
        "sealing_keys": sealing_keys.iter().filter_map(entry).collect::<Vec<_>>(),
        "outgoing_always": outgoing_always,
        "rollover": rollover.as_ref().and_then(|statement| Some(json!({
            "old_key": b64(statement.former()?.as_bytes()),
            "expiry": statement.expiry(),
        }))),
        "next_identity": next_identity.map(|id| b64(id.as_bytes())),
    })
}

/// An entry of a known suite.
fn entry(entry: &SealingEntry) -> Option<Value> {
    let (public, selector) = match entry {
        SealingEntry::Inline(key) => (Some(b64(key.as_bytes())), None),
        SealingEntry::Listed { selector, .. } => (None, Some(selector.as_str())),
        SealingEntry::Unknown { .. } => return None,
    };
    Some(json!({
        "suite": entry.suite()?.id().0,
        "key_id": b64(entry.key_id()?.as_bytes()),
        "public_key": public,
        "selector": selector,
    }))
}

/// The policy and the key that mail is sealed to; none if it is not.
pub(crate) fn published(decision: &Decision) -> Option<Value> {
    let Decision::Seal { key, policy, .. } = decision else { return None };
    Some(json!({
        "mode": policy.record().mode.as_str(),
        "serial": policy.record().serial,
        "suite": key.suite().id().0,
        "key_id": b64(key.key_id().as_bytes()),
        "public_key": b64(key.as_bytes()),
    }))
}

/// A decision that seals or lets go; none if it is neither.
pub(crate) fn verdict(decision: &Decision) -> Option<Value> {
    match decision {
        Decision::Seal { key, level, source, .. } => Some(json!({
            "verdict": "seal",
            "source": match source { Source::Dns => "dns", Source::Memory => "memory" },
            "level": level.as_str(),
            "suite": key.suite().id().0,
            "key_id": b64(key.key_id().as_bytes()),
        })),
        Decision::Clear(_) => Some(json!({ "verdict": "clear" })),
        Decision::Defer(_) | Decision::Reject(_) => None,
    }
}

/// At which stage a set of records leads to no sealing, how that is answered, and why; none if it is sealed, or goes clear.
pub(crate) fn refusal(
    domain: &Domain,
    decision: &Decision,
) -> Option<(&'static str, Failure, String)> {
    match decision {
        Decision::Seal { .. } | Decision::Clear(_) => None,
        Decision::Defer(why) => {
            let stage = match why {
                DeferReason::Lookup(LookupFailure::BadSignature) => "record-signature",
                DeferReason::Lookup(_) => "record",
                _ => "policy",
            };
            Some((stage, Failure::of_deferral(domain, why), why.to_string()))
        }
        Decision::Reject(why) => {
            Some(("policy", Failure::of_rejection(domain, why), why.to_string()))
        }
    }
}

/// The stage at which an envelope failed. One that is cut off may lack its commitment instead of a chunk.
pub(crate) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Header => "limits",
        Stage::Hpke => "hpke",
        Stage::Commitment => "commitment",
        Stage::Chunk | Stage::Truncated => "body",
        Stage::Prefix => "prefix",
        Stage::OpeningSignature => "opening",
        Stage::Block => "blocks",
        Stage::Padding => "padding",
        Stage::ClosingSignature => "closing",
    }
}

/// The stage at which a verified prefix failed; none if it was none of the checks 9 and 10.
pub(crate) fn content_stage(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::CarrierUnsupported => Some("type"),
        Failure::CarrierMalformed => Some("paths"),
        Failure::SenderPath | Failure::NotAligned(_) => Some("reverse-path"),
        Failure::InFuture | Failure::TooOld => Some("time"),
        _ => None,
    }
}

/// The clear part of an envelope.
pub(crate) fn clear_part(parsed: &Parsed) -> Value {
    let header = parsed.header();
    let extensions = header.extensions.as_slice().iter().map(|one| one.extension_type);
    json!({
        "suite": header.suite.id().0,
        "key_id": b64(header.key_id.as_bytes()),
        "recipient_domain": header.recipient_domain.as_str(),
        "extensions": extensions.collect::<Vec<_>>(),
        "envelope_id": b64(parsed.envelope_id().as_bytes()),
    })
}

/// A message that was unsealed, for these forward-paths, with the outer recipients that are not signed.
pub(crate) fn unsealed<'p>(
    message: &[u8],
    accepted: &Accepted,
    delivered: impl IntoIterator<Item = &'p ForwardPath>,
    refused: &[String],
) -> Value {
    let (header, prefix) = (&accepted.header, &accepted.prefix);
    json!({
        "message": b64(message),
        "sender_domain": prefix.sender_domain.as_str(),
        "recipient_domain": header.recipient_domain.as_str(),
        "suite": header.suite.id().0,
        "key_id": b64(header.key_id.as_bytes()),
        "envelope_id": b64(accepted.envelope_id.as_bytes()),
        "signing_key_id": b64(prefix.signing_key_id.as_bytes()),
        "delivery_id": b64(prefix.delivery_id.as_bytes()),
        "sealed_at": prefix.sealed_at,
        "foreign": prefix.foreign_reverse_path,
        "reverse_path": reverse_path(&prefix.reverse_path),
        "forward_paths": delivered.into_iter().map(forward_path).collect::<Vec<_>>(),
        "refused_recipients": refused,
    })
}

fn reverse_path(path: &ReversePathField) -> Value {
    json!({
        "mailbox": path.mailbox(),
        "body": path.body(),
        "smtputf8": u8::from(path.smtputf8()),
        "ret": path.ret(),
        "envid": path.envid(),
    })
}

fn forward_path(path: &ForwardPath) -> Value {
    json!({ "mailbox": path.mailbox(), "notify": path.notify(), "orcpt": path.orcpt() })
}
