//! A message that is to be sent: what it demands, who signs it, and what becomes of it at each recipient domain.

use super::{Desk, Message, Outer, counted, is_local, refused};
use crate::cli::steps::{Step, Steps};
use crate::cli::verdict;
use crate::core::address::{Mailbox, ReversePath};
use crate::core::{
    DeliveryId, Domain, ForwardPath, Prefix, ReversePathField, SealingPublicKey, envelope_len,
};
use crate::gateway::{Authorisation, Failure as Refusal};
use crate::mail::carrier::carrier_len;
use crate::mail::header::{self, SEAL_REQUIRED};
use crate::policy::{Decision, Demand, Rule};

pub(super) async fn explain(
    desk: &Desk<'_>,
    message: &Message,
    outer: &Outer,
    size_limit: Option<u64>,
    steps: &mut Steps,
) {
    let config = desk.config;
    let Some(outbound) = &config.outbound else {
        let what = "this gateway has no [outbound]: it sends nothing";
        steps.push(Step::fail("sender", what).hint("--inbound explains what arrives"));
        return;
    };
    let demand = match header::demand(&message.header, SEAL_REQUIRED) {
        Ok(header::Demand::Sealed) => {
            steps.push(Step::pass("demand", format!("{SEAL_REQUIRED}: yes: sealed or not sent")));
            Demand::Sealed
        }
        Ok(header::Demand::None) => {
            steps.push(Step::pass("demand", format!("none ({SEAL_REQUIRED})")));
            Demand::Absent
        }
        Err(error) => {
            steps.push(refused("demand", &error.to_string(), &Refusal::DemandMalformed));
            return;
        }
    };
    steps.push(secret(desk, message));
    let own = outer.from.domain().filter(|domain| is_local(config, domain));
    let signer = own.unwrap_or(&outbound.domain);
    let foreign = own.is_none() && !outer.from.is_null();
    let from = &outer.from;
    let what = format!("{from}: signed by {signer}");
    steps.push(if foreign {
        let what = format!("{what}, which does not vouch for an address of another domain");
        Step::warn("sender", what).hint("only clients in [outbound] clients may send it")
    } else {
        Step::pass("sender", what)
    });
    let size = message.octets.len() as u64;
    if size > config.limits.message_size {
        let what = format!("{size} octets; the limit is {}", config.limits.message_size);
        steps.push(refused("size", &what, &Refusal::TooLarge));
    }
    if outer.to.unread > 0 {
        let what = format!("{} in To and Cc cannot be read", outer.to.unread);
        steps.push(Step::warn("recipients", what).hint("name the recipients with --to"));
    }
    if outer.to.is_empty() {
        steps.push(Step::fail("recipients", "nobody").hint("name the recipients with --to"));
        return;
    }
    if outer.to.without > 0 {
        let what = format!("{} without a domain, so nothing to seal to", counted(outer.to.without));
        // [R-id-02]
        let sealed = config.defaults.policy == Rule::Require || demand == Demand::Sealed;
        steps.push(match sealed {
            true => refused("message", &what, &Refusal::NoDomain),
            false => Step::warn("message", format!("{what}: the message leaves in clear")),
        });
    }
    for (domain, mailboxes) in &outer.to.domains {
        let local = verdict::local(Some(config), domain);
        let considered = match desk.sources().recipient(domain, &local, demand).await {
            Ok(considered) => considered,
            Err(error) => {
                steps.push(refused("message", &error.to_string(), &Refusal::Ledger));
                continue;
            }
        };
        verdict::alarms(steps, &format!("mail to {domain}"), &considered.verdict.alarms);
        let what = format!("to {domain} ({}): it", counted(mailboxes.len()));
        steps.push(verdict::outgoing("message", &what, &considered.verdict));
        if let Decision::Seal { key, .. } = &considered.verdict.decision {
            steps.push(sealed_size(from, signer, (domain, mailboxes), key, size, size_limit));
        }
    }
}

/// Whether a field is there that may hold a secret [R-seal-09].
fn secret(desk: &Desk<'_>, message: &Message) -> Step {
    let Some(outbound) = &desk.config.outbound else { return Step::pass("secret", "none") };
    let list = match Authorisation::load(outbound) {
        Ok(list) => list,
        Err(error) => {
            let step = Step::fail("secret", format!("[[outbound.shared]]: {error}"));
            return match error.hint() {
                Some(hint) => step.hint(hint),
                None => step,
            };
        }
    };
    let names: Vec<String> = message
        .header
        .fields()
        .filter(|field| list.is_secret(field))
        .map(|field| String::from_utf8_lossy(field.name()).into_owned())
        .collect();
    match &names[..] {
        [] => Step::pass("secret", "no field that holds a secret of [[outbound.shared]]"),
        names => {
            let what = format!(
                "{}: may prove where the message comes from; removed before it goes on",
                names.join(", ")
            );
            Step::pass("secret", what)
        }
    }
}

/// The size of the carrier [R-car-03], and whether the next hop takes it.
fn sealed_size(
    from: &ReversePath,
    signer: &Domain,
    (domain, mailboxes): (&Domain, &[Mailbox]),
    key: &SealingPublicKey,
    message: u64,
    limit: Option<u64>,
) -> Step {
    let Some(prefix) = prefix_len(from, signer, mailboxes) else {
        return refused("size", "an address has no place in an envelope", &Refusal::PathUnfit);
    };
    let envelope = envelope_len(key.suite(), domain, prefix, message);
    let sealed = carrier_len(signer, domain, envelope);
    let what = format!("{message} octets become {sealed}, sealed to {domain}");
    match limit {
        None => Step::pass(
            "size",
            format!("{what}; what the next hop takes is not known (--size-limit)"),
        ),
        Some(limit) if sealed > limit => refused(
            "size",
            &format!("{what}; the next hop takes {limit}"),
            &Refusal::SealedTooLarge,
        ),
        Some(limit) => Step::pass("size", format!("{what}; the next hop takes {limit}")),
    }
}

/// Octets of the prefix for these recipients.
fn prefix_len(from: &ReversePath, signer: &Domain, mailboxes: &[Mailbox]) -> Option<usize> {
    let sender = from.mailbox().map(ToString::to_string).unwrap_or_default();
    let ascii = sender.is_ascii() && mailboxes.iter().all(|m| m.to_string().is_ascii());
    let reverse = ReversePathField::new(sender, 0, !ascii, 0, String::new()).ok()?;
    let paths: Option<Vec<ForwardPath>> =
        mailboxes.iter().map(|m| ForwardPath::new(m.to_string(), 0, String::new()).ok()).collect();
    // Any time and any id are as long.
    let id = DeliveryId::from_bytes([0; 16]);
    Prefix::mail(signer.clone(), 0, id, reverse, paths?).encoded_len().ok()
}
