//! Unsealing, check by check in the order of [R-uns-01].

use crate::answer::{Answer, No, refused, unsupported};
use crate::asking::{InnerHeader, looked_up};
use crate::carrier::{clear_part, of_ours, scan};
use crate::json::{Exactly, Id, Name, Octets};
use crate::keys::{sealing_key, suite};
use crate::records::{Record, script};
use crate::results;
use crate::seal::check_octets;
use mta_seal::core::address::Mailbox;
use mta_seal::core::{Domain, ForwardPath, KeyId, SealingPrivateKey, Stage, Step, UnsealError};
use mta_seal::dns::Authenticity;
use mta_seal::gateway::config::Config;
use mta_seal::gateway::lookup::Keys;
use mta_seal::gateway::{Failure, Genuine, signing_key, unseal_failure};
use mta_seal::policy::{SenderPolicy, authenticate_sender};
use serde::Deserialize;
use std::path::Path;

/// [`Genuine::judge`] asks only whether a partner must be aligned.
const CONFIG: &str = r#"
hostname = "peer.example"
state = "state"
[[domain]]
name = "peer.example"
keys = "keys"
[inbound]
listen = ["127.0.0.1:25"]
next_hop = "smtp://127.0.0.1:26"
"#;

/// A configuration with no more than this beside what every one has.
pub(crate) fn config(rest: &str) -> Result<Config, No> {
    Config::parse(&format!("{CONFIG}{rest}"), Path::new("peer.toml")).map_err(unsupported)
}

#[derive(Deserialize)]
struct OwnKeys {
    domain: Name,
    sealing: Vec<OwnKey>,
    destroyed: Vec<Id>,
}

#[derive(Deserialize)]
struct OwnKey {
    suite: u16,
    private_key: Id,
}

#[derive(Deserialize)]
struct Claim {
    envelope_id: Option<Id>,
    sender_domain: Option<Name>,
    delivery_id: Option<Exactly<16>>,
    recipient: String,
}

#[derive(Deserialize)]
pub(crate) struct Incoming {
    carrier: Octets,
    own_keys: Vec<OwnKeys>,
    records: Vec<Record>,
    now: u64,
    window: u64,
    recipients: Option<Vec<String>>,
    claims: Vec<Claim>,
    /// Whether the sender's mail must be aligned [R-uns-11].
    #[serde(default)]
    require_aligned: bool,
}

/// The stage that failed; none where the library does not say which.
fn stage(error: &UnsealError) -> Option<&'static str> {
    match error.stage() {
        Stage::Truncated => None,
        stage => Some(results::stage(stage)),
    }
}

fn wrong(error: UnsealError) -> No {
    refused(stage(&error), &unseal_failure(&error), error)
}

impl Incoming {
    /// Check 3.
    fn key(&self, domain: &Domain, id: KeyId) -> Result<SealingPrivateKey, No> {
        for own in self.own_keys.iter().filter(|own| own.domain.0 == *domain) {
            for key in &own.sealing {
                let key = sealing_key(suite(key.suite)?, &key.private_key)?;
                if key.key_id() == id {
                    return Ok(key);
                }
            }
            if own.destroyed.iter().any(|destroyed| KeyId::from(*destroyed) == id) {
                return Err(refused("key", &Failure::DestroyedKey, id));
            }
        }
        Err(refused("key", &Failure::UnknownKey, id))
    }

    /// Checks 11 and 12: the signed recipients that are delivered to, and the outer ones that are not signed.
    fn recipients(&self, genuine: &Genuine) -> Result<(Vec<ForwardPath>, Vec<String>), No> {
        let paths = &genuine.verified.prefix().forward_paths;
        let same = |a: &str, b: &str| {
            Mailbox::parse(a).is_ok_and(|a| Mailbox::parse(b).is_ok_and(|b| a == b))
        };
        let outer = |path: &str| {
            self.recipients.as_ref().is_none_or(|all| all.iter().any(|one| same(one, path)))
        };
        let signed: Vec<_> = paths.iter().filter(|path| outer(path.mailbox())).collect();
        let all = self.recipients.iter().flatten();
        let unsigned = all.filter(|one| !paths.iter().any(|path| same(path.mailbox(), one)));
        if signed.is_empty() {
            return Err(refused("recipients", &Failure::NotSignedRecipient, "none is signed"));
        }
        let delivered = |path: &str| {
            self.claims.iter().any(|claim| {
                let message = &genuine.message;
                let envelope =
                    claim.envelope_id.is_some_and(|id| id.0 == *message.envelope_id.as_bytes());
                let delivery = claim.sender_domain.as_ref().map(|name| &name.0)
                    == Some(&message.sender_domain)
                    && claim.delivery_id.is_some_and(|id| id.0 == *message.delivery_id.as_bytes());
                (envelope || delivery) && same(&claim.recipient, path)
            })
        };
        let open: Vec<ForwardPath> = signed
            .iter()
            .filter(|path| !delivered(path.mailbox()))
            .map(|path| (*path).clone())
            .collect();
        if open.is_empty() {
            // Answered 250, by no row of the table.
            return Err(No::Refused {
                stage: Some("delivered"),
                failure: "delivered-before",
                detail: "every recipient had it before".to_owned(),
            });
        }
        Ok((open, unsigned.cloned().collect()))
    }
}

pub(crate) fn unseal(incoming: &Incoming) -> Answer {
    let envelope = scan(&incoming.carrier.0)?;
    let parsed = clear_part(&envelope)?;
    let own: Vec<&Domain> = incoming.own_keys.iter().map(|own| &own.domain.0).collect();
    of_ours(&parsed, &own)?;
    let header = parsed.header().clone();
    let key = incoming.key(&header.recipient_domain, header.key_id)?;
    let opened = parsed.open(&key).map_err(wrong)?;
    let decrypted = match opened.push(&[]).map_err(wrong)? {
        Step::Done(decrypted) => decrypted,
        Step::More(opened) => opened.end().map_err(wrong)?,
    };
    let script = script(&incoming.records, Authenticity::Insecure);
    let outcome =
        looked_up(&script, decrypted.sender_domain(), Keys::NotNeeded).map_err(unsupported)?;
    let sender = authenticate_sender(&SenderPolicy::default(), &outcome, None, incoming.now);
    let (signing, level) = signing_key(&decrypted, sender.decision)
        .map_err(|failure| refused("sender-policy", &failure, decrypted.sender_domain()))?;
    let verified = decrypted.verify(&signing).map_err(wrong)?;
    let sender = verified.prefix().sender_domain.clone();
    let aligned_with = incoming.require_aligned.then_some(sender);
    let partner = aligned_with
        .as_ref()
        .map(|domain| format!("[[partner]]\ndomain = \"{domain}\"\nrequire_aligned = true\n"));
    let config = config(&partner.unwrap_or_default())?;
    let genuine = Genuine::judge(verified, level, &config, incoming.window, incoming.now)
        .map_err(|failure| refused(results::content_stage(&failure), &failure, failure.name()))?;
    let (forward, unsigned) = incoming.recipients(&genuine)?;
    let mut verified = genuine.verified;
    let (mut message, mut header) = (Vec::new(), InnerHeader::new(aligned_with));
    let unfit = |failure: Failure| refused("bytes", &failure, "header block of the message");
    let read = verified.push(&[], &mut message);
    header.push(&message).map_err(unfit)?;
    check_octets(&message, false)?;
    read.map_err(wrong)?;
    let passed = message.len();
    let read = verified.finish(&mut message);
    header.push(&message[passed..]).map_err(unfit)?;
    let behind = [Stage::Padding, Stage::ClosingSignature].map(UnsealError::Unauthentic);
    let ended = read.as_ref().err().is_none_or(|error| behind.contains(error));
    if ended {
        header.end().map_err(unfit)?;
    }
    check_octets(&message, ended)?;
    let accepted = read.map_err(wrong)?;
    Ok(results::unsealed(&message, &accepted, &forward, &unsigned))
}
