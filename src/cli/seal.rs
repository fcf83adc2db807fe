//! `mta-seal seal`: a message in, a carrier out.

use super::context::{self, Own};
use super::discovery::discover;
use super::failure::Failure;
use super::record_files::Records;
use super::stream::{Input, Output};
use super::terminal;
use crate::core::address::Mailbox;
use crate::core::{
    DeliveryId, Domain, ForwardPath, Prefix, ReversePathField, SealTo, Sealer, SealingPublicKey,
    SmtpEnvelope, UnfitPath,
};
use crate::gateway::config::Config;
use crate::gateway::lookup::Keys;
use crate::mail::carrier::{CarrierWriter, Token};
use crate::policy::{
    Decision, DeferReason, Demand, Level, LocalPolicy, LookupFailure, Rule, decide,
};
use rand_core::Rng;
use std::path::{Path, PathBuf};

/// Options of `seal`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sender, as in MAIL FROM; "<>" for a bounce
    #[arg(long, value_name = "ADDRESS")]
    mail_from: String,
    /// A recipient, as in RCPT TO; repeat it for more of the same domain
    #[arg(long, value_name = "ADDRESS", required = true)]
    rcpt_to: Vec<String>,
    /// Read the recipient domain's records from FILE (a record or a zone file) instead of DNS
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A file with a key record that the policy lists; may be repeated
    #[arg(long, value_name = "FILE", requires = "policy")]
    key_record: Vec<PathBuf>,
    /// Write the carrier to FILE when it is complete, not to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Report the result as JSON on standard error
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let (recipient, paths) = recipients(&args.rcpt_to)?;
    let reverse = sender(&args.mail_from, &args.rcpt_to)?;
    let smtp_envelope = SmtpEnvelope::to_seal(&reverse, &paths, &recipient)
        .map_err(|error| unfit(&error, &recipient))?;
    let config = context::config(config)?;
    let now = context::now();

    let own = smtp_envelope.sender.0.domain().and_then(|domain| config.local(domain));
    let local = match (own, &config.outbound) {
        (Some(local), _) => local,
        (None, Some(outbound)) => context::local(&config, &outbound.domain)?,
        (None, None) => {
            return Err(Failure::refused("nobody to sign for: the sender is no local domain")
                .hint("set `domain` in [outbound] for null and foreign senders"));
        }
    };
    let own = Own::load(local)?;
    own.warn_if_expired(now);
    let signing = own.signing_key()?;
    let (key, level) = recipient_key(args, &config, &recipient, now)?;

    let mut rng = context::rng();
    let mut prefix =
        Prefix::mail(local.name.clone(), now, DeliveryId::random(&mut rng), reverse, paths);
    prefix.foreign_reverse_path = smtp_envelope.is_foreign_to(&local.name);

    let mut input = Input::open(None, "sealed")?;
    let mut output = match &args.output {
        Some(path) => Output::file(path)?,
        None => Output::standard()?,
    };
    let mut token = [0; 16];
    rng.fill_bytes(&mut token);
    let (mut envelope, mut text) = (Vec::new(), Vec::new());
    let mut carrier =
        CarrierWriter::new(&local.name, &recipient, Token::new(token), now, &mut text);
    let to = SealTo { recipient_domain: &recipient, key: &key };
    let mut sealer = Sealer::new(to, prefix, signing, &mut rng, &mut envelope)
        .map_err(|error| Failure::refused(format!("cannot seal: {error}")))?;
    let id = sealer.envelope_id();
    let mut octets = 0;
    while let Some(block) = input.next()? {
        octets += block.len() as u64;
        sealer
            .write(block, &mut envelope)
            .map_err(|error| Failure::refused(format!("cannot seal: {error}")))?;
        carrier.write(&envelope, &mut text);
        envelope.clear();
        output.write(&text)?;
        text.clear();
    }
    sealer
        .finish(&mut envelope)
        .map_err(|error| Failure::refused(format!("cannot seal: {error}")))?;
    carrier.write(&envelope, &mut text);
    carrier.finish(&mut text);
    output.write(&text)?;
    output.commit()?;
    drop(input);

    if args.json {
        let report = serde_json::json!({
            "result": "sealed", "envelope_id": id.to_string(), "sender_domain": local.name.as_str(),
            "recipient_domain": recipient.as_str(), "suite": key.suite().id().0,
            "key_id": key.key_id().to_string(), "level": level.as_str(), "octets": octets,
        });
        terminal::say(&report.to_string());
    } else {
        let suite = key.suite();
        terminal::say(&format!(
            "sealed {octets} octets for {recipient}: suite {suite}, key known at level {level}, envelope {id}"
        ));
    }
    Ok(())
}

/// The reverse-path; with SMTPUTF8 if an address needs it.
fn sender(text: &str, recipients: &[String]) -> Result<ReversePathField, Failure> {
    let mailbox = match bare(text) {
        "" => String::new(),
        address => Mailbox::parse(address)
            .map_err(|error| {
                Failure::usage(format!("--mail-from `{text}`: {error}"))
                    .hint("write an address such as anna@company1.example, or \"<>\" for a bounce")
            })?
            .to_string(),
    };
    let ascii = text.is_ascii() && recipients.iter().all(|address| address.is_ascii());
    ReversePathField::new(mailbox, 0, !ascii, 0, String::new())
        .map_err(|field| Failure::usage(format!("--mail-from: unusable {}", field.0)))
}

/// The recipients, and the domain of the first one.
fn recipients(texts: &[String]) -> Result<(Domain, Vec<ForwardPath>), Failure> {
    let mut domain: Option<Domain> = None;
    let mut paths = Vec::new();
    for text in texts {
        let mailbox = Mailbox::parse(bare(text)).map_err(|error| {
            Failure::usage(format!("--rcpt-to `{text}`: {error}"))
                .hint("write an address such as bob@company2.example")
        })?;
        let Some(own) = mailbox.domain() else {
            // [R-id-02]
            return Err(Failure::refused(format!(
                "--rcpt-to `{text}`: an address literal cannot be sealed to"
            )));
        };
        domain.get_or_insert_with(|| own.clone());
        let path = ForwardPath::new(mailbox.to_string(), 0, String::new())
            .map_err(|field| Failure::usage(format!("--rcpt-to `{text}`: unusable {}", field.0)))?;
        paths.push(path);
    }
    let domain = domain.ok_or_else(|| Failure::usage("no recipient"))?;
    Ok((domain, paths))
}

/// Why these addresses cannot stand in one envelope for `recipient` [R-env-01].
fn unfit(error: &UnfitPath, recipient: &Domain) -> Failure {
    match error {
        UnfitPath::OtherDomain(other) => {
            Failure::usage(format!("recipients of two domains: {recipient} and {}", other.host()))
                .hint("seal once for each recipient domain")
        }
        other => Failure::usage(other),
    }
}

fn bare(text: &str) -> &str {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text)
}

/// The key to seal to. Sealing was asked for by the command itself, so nothing leads to clear.
fn recipient_key(
    args: &Args,
    config: &Config,
    recipient: &Domain,
    now: u64,
) -> Result<(SealingPublicKey, Level), Failure> {
    let files = Records::read(args.policy.iter().chain(&args.key_record))?;
    let outcome =
        discover(recipient, Keys::Wanted { remembered: None }, files.as_ref(), &config.dns)?;
    let local = LocalPolicy { rule: Rule::Require, ..config.destination(recipient) };
    match decide(&local, &outcome, None, Demand::Sealed, now).decision {
        Decision::Seal { key, level, .. } => Ok((key, level)),
        Decision::Clear(reason) => {
            Err(Failure::refused(format!("cannot seal to {recipient}: {reason}")))
        }
        Decision::Defer(reason) => {
            let failure = Failure::temporary(format!("cannot seal to {recipient} now: {reason}"));
            Err(match reason {
                DeferReason::Lookup(LookupFailure::Bogus | LookupFailure::ServFail) => failure.hint(
                    "with dns.mode = \"validate\" the servers must pass DNSSEC records on; see [dns]",
                ),
                _ => failure,
            })
        }
        Decision::Reject(reason) => {
            Err(Failure::refused(format!("cannot seal to {recipient}: {reason}")))
        }
    }
}
