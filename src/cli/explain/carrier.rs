//! A carrier that arrives: what it shows to everybody, and with the local keys the checks of [R-uns-01] in their order.

use super::{Desk, Message, Outer, refused};
use crate::cli::context::Own;
use crate::cli::moment::{length, utc};
use crate::cli::steps::{Grade, Step, Steps};
use crate::cli::verdict;
use crate::core::{Domain, Parsed, Received, Step as Progress, Suite, UnsealError, Verified};
use crate::gateway::{Failure as Refusal, Genuine, signing_key, unseal_failure};
use crate::mail::address;
use crate::mail::header::Header;
use crate::mail::results::{self, ReversePathOf};
use crate::policy::Level;
use crate::store::keyring::Find;
use crate::store::ledger::{IncomingStatus, Ledger};

/// Explains a carrier; returns the id of its envelope, if it has one.
pub(super) async fn explain(
    desk: &Desk<'_>,
    message: &Message,
    envelope: &[u8],
    outer: &Outer,
    steps: &mut Steps,
) -> Option<String> {
    steps.push(visible(&message.header));
    let parsed = match clear_part(envelope) {
        Ok(parsed) => parsed,
        Err(error) => {
            steps.push(refused("envelope", &error.to_string(), &unseal_failure(&error)));
            return None;
        }
    };
    let id = parsed.envelope_id().to_string();
    let header = parsed.header();
    let what = format!(
        "{id}, {} octets, for {}, suite {}, sealed to key {}",
        envelope.len(),
        header.recipient_domain,
        header.suite,
        header.key_id
    );
    steps.push(Step::pass("envelope", what));
    // The first refusal is the last step.
    if let Err(step) = open(desk, parsed, outer, steps).await {
        steps.push(step);
    }
    Some(id)
}

/// The names of the fields that every hop sees. Their values are not shown.
fn visible(header: &Header) -> Step {
    let mut names: Vec<String> = Vec::new();
    for field in header.fields() {
        let name = String::from_utf8_lossy(field.name()).into_owned();
        if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
    }
    Step::pass("visible", format!("hops see these fields: {}", names.join(", ")))
}

fn clear_part(envelope: &[u8]) -> Result<Parsed, UnsealError> {
    match Received::new().push(envelope)? {
        Progress::Done(parsed) => Ok(parsed),
        Progress::More(received) => Err(received.ended()),
    }
}

fn refuse(step: &'static str) -> impl Fn(UnsealError) -> Step {
    move |error| refused(step, &error.to_string(), &unseal_failure(&error))
}

/// The checks that need a key of ours.
async fn open(
    desk: &Desk<'_>,
    parsed: Parsed,
    outer: &Outer,
    steps: &mut Steps,
) -> Result<(), Step> {
    let domain = parsed.header().recipient_domain.clone();
    let key_id = parsed.header().key_id;
    let Some(local) = desk.config.local(&domain) else {
        let what =
            format!("{domain} is no domain of this gateway, so that it cannot be opened here");
        return Err(refused("key", &what, &Refusal::CarrierForeign));
    };
    let own = Own::load(local).map_err(|failure| {
        let text = failure.message().map_or_else(String::new, |message| message.text.clone());
        Step::fail("key", text)
    })?;
    let key = match own.keyring.find(&key_id) {
        Find::Found(key) => key,
        Find::Destroyed => {
            let what = format!("key {key_id} of {domain} has been destroyed");
            return Err(refused("key", &what, &Refusal::DestroyedKey));
        }
        Find::Unknown => {
            let what = format!("key {key_id} is not in {}", own.keyring.directory().display());
            return Err(refused("key", &what, &Refusal::UnknownKey));
        }
    };
    steps.push(Step::pass("key", format!("the key is ours ({domain})")));
    let opened = parsed.open(key).map_err(refuse("opens"))?;
    let decrypted = match opened.push(&[]).map_err(refuse("opens"))? {
        Progress::Done(decrypted) => decrypted,
        Progress::More(opened) => opened.end().map_err(refuse("opens"))?,
    };
    let sender = decrypted.sender_domain().clone();
    steps.push(Step::pass("opens", format!("it opens, and claims to be sealed by {sender}")));
    let asked = verdict::sender_local(Some(desk.config), &sender);
    let considered = desk
        .sources()
        .sender(&sender, &asked)
        .await
        .map_err(|error| refused("sender-policy", &error.to_string(), &Refusal::Ledger))?;
    verdict::alarms(steps, &format!("mail from {sender}"), &considered.verdict.alarms);
    steps.push(verdict::incoming("sender-policy", &considered.verdict));
    let wanted = decrypted.signing_key_id();
    let (key, level) = signing_key(&decrypted, considered.verdict.decision).map_err(|refusal| {
        let what = format!("signing key {wanted} is not known to be one of {sender}");
        refused("signature", &what, &refusal)
    })?;
    let verified = decrypted.verify(&key).map_err(refuse("signature"))?;
    let what = format!("signed by {sender} with key {wanted}, known at level {level}");
    steps.push(Step::pass("signature", what));
    let window = own.policy.record().window;
    let age = age(verified.prefix().sealed_at, window, desk.now);
    let genuine =
        Genuine::judge(verified, level, desk.config, window, desk.now).map_err(|refusal| {
            match refusal {
                Refusal::InFuture | Refusal::TooOld => refused("window", &age, &refusal),
                other => refused("prefix", "what the signed prefix says", &other),
            }
        })?;
    steps.push(Step::pass("window", age));
    let (from, foreign) = (&genuine.sender.0, genuine.verified.prefix().foreign_reverse_path);
    let whose = if foreign { ", of another domain than the sealing one" } else { "" };
    steps.push(Step::pass("prefix", format!("sent by {from}{whose}")));
    deliveries(desk, &genuine, outer, steps).await?;
    let reverse_path = genuine.reverse_path_of();
    let suite = genuine.verified.header().suite;
    let message = contents(genuine.verified)?;
    let what = format!("{} octets, verified to the end", message.len());
    steps.push(Step::pass("contents", what));
    report(desk, &message, (&sender, suite, level, reverse_path), steps);
    Ok(())
}

/// When it was sealed, and how long that may be ago.
fn age(sealed_at: u64, window: u64, now: u64) -> String {
    let at = utc(sealed_at);
    if sealed_at > now {
        return format!("sealed at {at}, which is to come");
    }
    format!("sealed at {at}, {} ago; the window is {}", length(now - sealed_at), length(window))
}

/// Who is signed, who of them is addressed, and who has it already.
async fn deliveries(
    desk: &Desk<'_>,
    genuine: &Genuine,
    outer: &Outer,
    steps: &mut Steps,
) -> Result<(), Step> {
    let signed = genuine.recipients();
    steps.push(Step::pass("recipients", format!("signed: {}", signed.join(", "))));
    let domain = &genuine.verified.header().recipient_domain;
    for mailbox in outer.to.domains.iter().filter(|(d, _)| d == domain).flat_map(|(_, all)| all) {
        let name = mailbox.to_string();
        // The mailbox between which carriers go stands in their own header [R-car-01].
        if mailbox.local_part() != crate::mail::carrier::LOCAL_PART && !signed.contains(&name) {
            steps.push(refused("recipients", &name, &Refusal::NotSignedRecipient));
        }
    }
    let known = match desk.ledger {
        None => vec![IncomingStatus::New; signed.len()],
        Some(ledger) => ledger
            .incoming_status(&genuine.message, &signed, desk.now)
            .await
            .map_err(|error| refused("delivered", &error.to_string(), &Refusal::Ledger))?,
    };
    for (name, status) in signed.iter().zip(known) {
        steps.push(match status {
            IncomingStatus::New => Step::pass("delivered", format!("{name}: not yet")),
            IncomingStatus::Delivered => Step::warn(
                "delivered",
                format!("{name}: before; answered 250 and not delivered again"),
            ),
            IncomingStatus::InProgress => {
                refused("delivered", &format!("{name}: right now"), &Refusal::InProgress)
            }
        });
    }
    Ok(())
}

/// The message inside, verified to its end.
fn contents(mut verified: Verified) -> Result<Vec<u8>, Step> {
    let mut plain = Vec::new();
    verified.push(&[], &mut plain).map_err(refuse("contents"))?;
    verified.finish(&mut plain).map_err(refuse("contents"))?;
    Ok(plain)
}

/// What the Authentication-Results field would say.
fn report(
    desk: &Desk<'_>,
    message: &[u8],
    (sender, suite, level, reverse_path): (&Domain, Suite, Level, ReversePathOf),
    steps: &mut Steps,
) {
    let (header, _) = Header::split(message);
    let (grade, text) = match address::author(&header) {
        Some(author) if author.domain == *sender => match reverse_path {
            ReversePathOf::Sender => (Grade::Pass, format!("the author is of {sender}")),
            ReversePathOf::Foreign => (
                Grade::Warn,
                format!("the author is of {sender}, which only passed the message on"),
            ),
            ReversePathOf::Nobody => {
                (Grade::Warn, format!("the author is of {sender}, but the reverse-path is null"))
            }
        },
        Some(author) => {
            (Grade::Warn, format!("the author is of {}, not of {sender}", author.domain))
        }
        None => (Grade::Warn, "From does not name exactly one author".to_owned()),
    };
    // [R-uns-11]: the reverse-path has been seen to.
    let required = desk.config.treatment(sender).require_aligned;
    if required && !address::is_aligned(&header, sender) {
        steps.push(refused("aligned", &text, &Refusal::NotAligned(sender.clone())));
        return;
    }
    steps.push(Step::new("aligned", grade, text));
    let outcome = results::Outcome::Pass {
        sender,
        reverse_path,
        suite: suite.id().0,
        level: level.as_str(),
        header: &header,
    };
    let field = results::field(desk.config.hostname.as_str(), &outcome);
    steps.push(Step::pass("results", field.split_whitespace().collect::<Vec<_>>().join(" ")));
}
