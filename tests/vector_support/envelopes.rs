//! Envelopes and carriers, by the library alone, in any division into pieces.

use std::path::Path;

use bytes::BytesMut;
use mta_seal::core::address::Mailbox;
use mta_seal::core::{
    DeliveryId, Domain, EnvelopeId, ForwardPath, Header, InvalidField, KeyId, NamedKey, Parsed,
    Prefix, Received, ReversePathField, SealTo, SealingPrivateKey, SigningKey, SmtpEnvelope, Stage,
    Step, UnsealError, Verified, seal as seal_by, unseal as unseal_by,
};
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::config::Config;
use mta_seal::gateway::lookup::Keys;
use mta_seal::gateway::{Failure, Genuine, scan_failure, signing_key, unseal_failure};
use mta_seal::mail::carrier::{Limits, ScanError, Scanner, State};
use mta_seal::mail::header::Header as MailHeader;
use mta_seal::policy::{Decision, Level, Outcome, SenderPolicy, authenticate_sender};
use mta_seal::smtp::data::DataEncoder;
use mta_seal::store::ledger::{Claimed, IncomingMessage, IncomingStatus, Ledger, SqliteLedger};
use rand_core::UnwrapErr;
use serde_json::{Value, json};

use super::Answer;
use super::asking::{Given, InnerHeader, is_text, looked_up, loops};
use super::fields::Fields;
use super::keys::suite;
use super::records::{decided, publish};
use super::results::{self, b64};

/// How many octets are handed over at once.
pub const DIVISIONS: [usize; 3] = [usize::MAX, 1000, 1];

/// The octets that an envelope has in front of its first chunk, behind its sealed key.
const BODY_START: usize = 56;

type Refusal = (&'static str, &'static str);

fn pieces(octets: &[u8], division: usize) -> impl Iterator<Item = &[u8]> {
    octets.chunks(division.min(octets.len().max(1)))
}

/// Where unsealing failed, in the words of the vectors.
fn refusal(error: UnsealError) -> Refusal {
    let stage = match error {
        UnsealError::UnknownKey(NamedKey::Sealing) => "key",
        UnsealError::UnknownKey(NamedKey::Signing) => "sender-policy",
        _ => results::stage(error.stage()),
    };
    (stage, unseal_failure(&error).name())
}

/// Reads the clear part; what follows it comes back.
fn clear_part(envelope: &[u8], division: usize) -> Result<(Parsed, &[u8]), UnsealError> {
    let (mut received, mut at) = (Received::new(), 0);
    for piece in pieces(envelope, division) {
        at += piece.len();
        match received.push(piece)? {
            Step::More(more) => received = more,
            Step::Done(parsed) => return Ok((parsed, &envelope[at..])),
        }
    }
    Err(received.ended())
}

fn clear_refusal(error: UnsealError) -> Refusal {
    ("limits", unseal_failure(&error).name())
}

pub fn ids(mut input: Fields, division: usize) -> Answer {
    let octets = input.octets("octets");
    input.end();
    let (parsed, _) = clear_part(&octets, division).map_err(clear_refusal)?;
    Ok(results::clear_part(&parsed))
}

/// The envelope in a carrier.
fn scanned(message: &[u8], division: usize) -> Result<Vec<u8>, Refusal> {
    let refused = |error: ScanError| ("limits", scan_failure(error).name());
    let (mut scanner, mut out) = (Scanner::new(Limits::default()), Vec::new());
    for piece in pieces(message, division) {
        scanner.push(piece, &mut out).map_err(refused)?;
    }
    match scanner.finish(&mut out).map_err(refused)? {
        State::Carrier => Ok(out),
        State::NotCarrier | State::Undecided => Err(("recognition", "none")),
    }
}

pub fn recognise(mut input: Fields, division: usize) -> Answer {
    let (message, own) = (input.octets("message"), input.texts("own_domains"));
    input.end();
    let envelope = scanned(&message, division)?;
    let (parsed, _) = clear_part(&envelope, division).map_err(clear_refusal)?;
    if !own.iter().any(|domain| domain == parsed.header().recipient_domain.as_str()) {
        return Err(("domain", Failure::CarrierForeign.name()));
    }
    Ok(json!({ "envelope": b64(envelope) }))
}

pub fn inspect(mut input: Fields, division: usize) -> Answer {
    let carrier = input.octets("carrier");
    input.end();
    let envelope = scanned(&carrier, division)?;
    let (parsed, _) = clear_part(&envelope, division).map_err(clear_refusal)?;
    let mut shown = results::clear_part(&parsed);
    shown["envelope_octets"] = envelope.len().into();
    Ok(shown)
}

/// Reverse-path and forward-paths; everything is read, fit or not.
fn paths(
    input: &mut Fields,
) -> (Result<ReversePathField, InvalidField>, Result<Vec<ForwardPath>, InvalidField>) {
    let mut reverse = input.object("reverse_path");
    let mailbox = reverse.text("mailbox");
    let body = u8::try_from(reverse.number("body")).unwrap();
    let (smtputf8, ret) =
        (reverse.number("smtputf8") == 1, u8::try_from(reverse.number("ret")).unwrap());
    let field = ReversePathField::new(mailbox, body, smtputf8, ret, reverse.text("envid"));
    reverse.end();
    let forward = |mut path: Fields| {
        let (mailbox, notify) =
            (path.text("mailbox"), u8::try_from(path.number("notify")).unwrap());
        let field = ForwardPath::new(mailbox, notify, path.text("orcpt"));
        path.end();
        field
    };
    let forward: Vec<_> = input.objects("forward_paths").into_iter().map(forward).collect();
    (field, forward.into_iter().collect())
}

/// Seals with the randomness of the vector: the octets are those that the other implementation has made.
pub fn seal(mut input: Fields) -> Answer {
    let recipient = Domain::parse(&input.text("recipient_domain")).unwrap();
    let mut sender = input.object("sender");
    let own = Domain::parse(&sender.text("domain")).unwrap();
    let signing = SigningKey::from_bytes(&sender.array("signing_key"));
    sender.end();
    let (message, now) = (input.octets("message"), input.number("now"));
    assert_eq!(input.number("block_size"), mta_seal::core::BLOCK as u64);
    let mut randomness = input.object("randomness");
    let drawn = ["content_key", "encapsulation", "salt"].map(|name| randomness.octets(name));
    let delivery_id = DeliveryId::from_bytes(randomness.array("delivery_id"));
    randomness.end();
    let (reverse, forward) = paths(&mut input);
    let records = input.objects("records");
    input.end();
    let unfit = |_| ("path", Failure::PathUnfit.name());
    let (reverse, forward) = (reverse.map_err(unfit)?, forward.map_err(unfit)?);
    let smtp_envelope = SmtpEnvelope::to_seal(&reverse, &forward, &recipient)
        .map_err(|_| ("path", Failure::PathUnfit.name()))?;
    if loops(&MailHeader::split(&message).0) {
        return Err(("bytes", Failure::Loop.name()));
    }
    // As the listener takes it, and the next hop gets it [R-seal-07].
    if !is_text(&message, true) {
        return Err(("bytes", Failure::BareLineEnd.name()));
    }
    let Decision::Seal { key, .. } = decided(&recipient, records, now)? else {
        panic!("not sealed");
    };
    let foreign = smtp_envelope.is_foreign_to(&own);
    let mut prefix = Prefix::mail(own, now, delivery_id, reverse, forward);
    prefix.foreign_reverse_path = foreign;
    let mut rng = UnwrapErr(Given(drawn.concat()));
    let to = SealTo { recipient_domain: &recipient, key: &key };
    let (envelope, sealed) = seal_by(&message, to, prefix, &signing, &mut rng).unwrap();
    assert!(rng.0.0.is_empty(), "randomness was left");
    let id = b64(sealed.envelope_id.as_bytes());
    Ok(json!({ "envelope": b64(envelope), "envelope_id": id }))
}

/// The keys of one domain of the gateway.
pub struct OwnKeys {
    pub domain: Domain,
    pub sealing: Vec<SealingPrivateKey>,
    pub destroyed: Vec<KeyId>,
}

impl OwnKeys {
    pub fn read(mut told: Fields) -> Self {
        let domain = Domain::parse(&told.text("domain")).unwrap();
        let key = |mut key: Fields| {
            let suite = suite(key.number("suite"));
            let private = SealingPrivateKey::from_bytes(suite, &key.octets("private_key")).unwrap();
            key.end();
            private
        };
        let sealing = told.objects("sealing").into_iter().map(key).collect();
        let id = |text: String| KeyId::from_bytes(super::fields::octets(&text).try_into().unwrap());
        let destroyed = told.texts("destroyed").into_iter().map(id).collect();
        told.end();
        Self { domain, sealing, destroyed }
    }
}

/// What a delivery before was remembered under.
pub struct Before {
    pub message: IncomingMessage,
    pub recipient: String,
}

impl Before {
    /// The name that is not given is nobody's.
    pub fn read(mut told: Fields) -> Self {
        let (mut envelope_id, mut sender_domain, mut delivery_id) =
            ([0xee; 32], "nobody.example".to_owned(), [0xee; 16]);
        if told.has("envelope_id") {
            envelope_id = told.array("envelope_id");
        } else {
            sender_domain = told.text("sender_domain");
            delivery_id = told.array("delivery_id");
        }
        let recipient = told.text("recipient");
        told.end();
        let message = IncomingMessage {
            envelope_id: EnvelopeId::from_bytes(envelope_id),
            sender_domain: Domain::parse(&sender_domain).unwrap(),
            delivery_id: DeliveryId::from_bytes(delivery_id),
        };
        Self { message, recipient }
    }

    /// Makes a ledger remember it.
    pub async fn record(self, ledger: &SqliteLedger, now: u64) {
        let claimed = ledger.claim(&self.message, &[self.recipient], now).await.unwrap();
        let claims: Vec<_> = claimed
            .into_iter()
            .map(|one| match one {
                Claimed::Claimed(claim) => claim,
                other => panic!("{other:?}"),
            })
            .collect();
        ledger.delivered(&claims, now + 10_000_000, &[]).await.unwrap();
    }
}

/// A vector of kind `unseal`, taken apart.
pub struct Task {
    pub carrier: Vec<u8>,
    pub own: Vec<OwnKeys>,
    pub records: Vec<Fields>,
    pub now: u64,
    pub window: u64,
    pub recipients: Option<Vec<String>>,
    pub claims: Vec<Before>,
    /// Whether the sender's mail must be aligned [R-uns-11].
    pub aligned: bool,
}

impl Task {
    pub fn read(mut input: Fields) -> Self {
        let (now, window) = (input.number("now"), input.number("window"));
        let recipients = match input.take("recipients") {
            Value::Null => None,
            value => Some(serde_json::from_value(value).unwrap()),
        };
        let task = Self {
            carrier: input.octets("carrier"),
            own: input.objects("own_keys").into_iter().map(OwnKeys::read).collect(),
            records: input.objects("records"),
            now,
            window,
            recipients,
            claims: input.objects("claims").into_iter().map(Before::read).collect(),
            aligned: input.has("require_aligned") && input.flag("require_aligned"),
        };
        input.end();
        task
    }
}

/// What a configuration has about the one sender of all vectors, if its mail must be aligned.
pub const ALIGNED: &str = "[[partner]]\ndomain = \"a.example\"\nrequire_aligned = true\n";

/// A configuration with no more than this beside what every one has.
pub fn config_with(rest: &str) -> Config {
    let toml = "hostname = \"gw.b.example\"\nstate = \"state\"\n[[domain]]\nname = \"b.example\"\nkeys = \"keys\"\n\
                [inbound]\nlisten = [\"127.0.0.1:0\"]\nnext_hop = \"smtp://127.0.0.1:1\"\n";
    Config::parse(&format!("{toml}{rest}"), Path::new("mta-seal.toml")).unwrap()
}

/// Checks 8 to 10, whose failures do not overlap but for the three of check 9.
fn judged(verified: Verified, task: &Task, level: Level) -> Result<Genuine, Refusal> {
    let config = config_with(if task.aligned { ALIGNED } else { "" });
    Genuine::judge(verified, level, &config, task.window, task.now).map_err(|failure| {
        let stage = results::content_stage(&failure).unwrap_or_else(|| panic!("{failure:?}"));
        (stage, failure.name())
    })
}

/// Checks 11 and 12: which of the signed paths are delivered to, and which outer recipients are not signed.
fn remaining(
    genuine: &Genuine,
    recipients: Option<&Vec<String>>,
    claims: Vec<Before>,
    now: u64,
) -> Result<(Vec<usize>, Vec<String>), Refusal> {
    let signed = genuine.recipients();
    let mailbox = |text: &String| Mailbox::parse(text).unwrap();
    let (kept, refused) = match recipients {
        None => ((0..signed.len()).collect(), Vec::new()),
        Some(outer) => {
            let of = |one: &String| signed.iter().position(|s| mailbox(s) == mailbox(one));
            let kept: Vec<usize> =
                (0..signed.len()).filter(|n| outer.iter().any(|o| of(o) == Some(*n))).collect();
            (kept, outer.iter().filter(|one| of(one).is_none()).cloned().collect())
        }
    };
    if kept.is_empty() {
        return Err(("recipients", Failure::NotSignedRecipient.name()));
    }
    if claims.is_empty() {
        return Ok((kept, refused));
    }
    let names: Vec<String> = kept.iter().map(|n| signed[*n].clone()).collect();
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let known = runtime.block_on(async {
        let path = directory.path().join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &Default::default(), now).unwrap();
        for claim in claims {
            claim.record(&ledger, now).await;
        }
        let known = ledger.incoming_status(&genuine.message, &names, now).await.unwrap();
        ledger.close().await;
        known
    });
    let fresh: Vec<usize> = kept
        .into_iter()
        .zip(known)
        .filter_map(|(n, status)| (status == IncomingStatus::New).then_some(n))
        .collect();
    if fresh.is_empty() { Err(("delivered", "delivered-before")) } else { Ok((fresh, refused)) }
}

pub fn unseal(input: Fields, division: usize) -> Answer {
    let mut task = Task::read(input);
    let envelope = scanned(&task.carrier, division)?;
    let (parsed, rest) = clear_part(&envelope, division).map_err(clear_refusal)?;
    let header = parsed.header().clone();
    let own = task.own.iter().find(|own| own.domain == header.recipient_domain);
    let own = own.ok_or(("domain", Failure::CarrierForeign.name()))?;
    if own.destroyed.contains(&header.key_id) {
        return Err(("key", Failure::DestroyedKey.name()));
    }
    let key = own.sealing.iter().find(|key| key.key_id() == header.key_id);
    let key = key.ok_or(("key", Failure::UnknownKey.name()))?;
    let clear = clear_len(&header);
    let body_refusal = |error: UnsealError| match error {
        // Whether commitment or first chunk is missing shows in the length alone.
        UnsealError::Unauthentic(Stage::Truncated) if envelope.len() < clear + BODY_START => {
            ("commitment", unseal_failure(&error).name())
        }
        error => refusal(error),
    };
    let mut opened = parsed.open(key).map_err(refusal)?;
    let mut pieces = pieces(rest, division);
    let decrypted = loop {
        let piece = pieces.next();
        match piece {
            None => break opened.end().map_err(body_refusal)?,
            Some(piece) => match opened.push(piece).map_err(body_refusal)? {
                Step::More(more) => opened = more,
                Step::Done(decrypted) => break decrypted,
            },
        }
    };
    let dns = Scripted::new();
    publish(&dns, std::mem::take(&mut task.records), Authenticity::Insecure);
    let outcome = looked_up(&dns, decrypted.sender_domain(), Keys::NotNeeded).unwrap();
    let verdict = authenticate_sender(&SenderPolicy::default(), &outcome, None, task.now);
    let (signing, level) = signing_key(&decrypted, verdict.decision)
        .map_err(|failure| ("sender-policy", failure.name()))?;
    let verified = decrypted.verify(&signing).map_err(refusal)?;
    let genuine = judged(verified, &task, level)?;
    let claims = std::mem::take(&mut task.claims);
    let (kept, refused) = remaining(&genuine, task.recipients.as_ref(), claims, task.now)?;

    let mut verified = genuine.verified;
    let mut header =
        InnerHeader::new(task.aligned.then(|| verified.prefix().sender_domain.clone()));
    let unfit = |failure: Failure| ("bytes", failure.name());
    let (mut message, mut encoder, mut wire) = (Vec::new(), DataEncoder::new(), BytesMut::new());
    let bare = |_| ("bytes", Failure::BareLineEnd.name());
    let mut take = |plain: &mut Vec<u8>| {
        message.extend_from_slice(plain);
        header.push(plain).map_err(unfit)?;
        encoder.encode(plain, &mut wire).map_err(bare)?;
        plain.clear();
        Ok::<(), Refusal>(())
    };
    let mut plain = Vec::new();
    let pushed = verified.push(&[], &mut plain);
    take(&mut plain)?;
    pushed.map_err(refusal)?;
    for piece in pieces {
        // Octets come out also with an error, and are judged first.
        let pushed = verified.push(piece, &mut plain);
        take(&mut plain)?;
        pushed.map_err(refusal)?;
    }
    let finished = verified.finish(&mut plain);
    take(&mut plain)?;
    let accepted = finished.map_err(refusal)?;
    header.end().map_err(unfit)?;
    encoder.finish(&mut wire).map_err(bare)?;

    let delivered = kept.iter().map(|n| &accepted.prefix.forward_paths[*n]);
    Ok(results::unsealed(&message, &accepted, delivered, &refused))
}

/// Octets of header, `enc` and sealed key.
fn clear_len(header: &Header) -> usize {
    let extensions: usize =
        header.extensions.as_slice().iter().map(|extension| 5 + extension.value.len()).sum();
    let fixed = 8 + 1 + 2 + 32 + 1 + 2;
    fixed + header.recipient_domain.as_str().len() + extensions + header.suite.enc_len() + 48
}

/// The message by the function for envelopes in memory, which leaves to its caller whether the sender's policy is in force, and all
/// that depends on paths, time and recipients.
pub fn unseal_in_memory(input: Fields) -> Option<(Vec<u8>, EnvelopeId)> {
    let task = Task::read(input);
    let envelope = scanned(&task.carrier, usize::MAX).ok()?;
    let dns = Scripted::new();
    publish(&dns, task.records, Authenticity::Insecure);
    let sender = Domain::parse("a.example").unwrap();
    let listed = match looked_up(&dns, &sender, Keys::NotNeeded).unwrap() {
        Outcome::Found(found) => found.policy.record().signing_keys.clone(),
        _ => Vec::new(),
    };
    let (message, accepted) = unseal_by(
        &envelope,
        |header| {
            let own = task.own.iter().find(|own| own.domain == header.recipient_domain)?;
            own.sealing.iter().find(|key| key.key_id() == header.key_id)
        },
        |domain, id| listed.iter().find(|key| *domain == sender && key.key_id() == id),
    )
    .ok()?;
    Some((message, accepted.envelope_id))
}
