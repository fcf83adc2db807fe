//! `mta-seal unseal`: a carrier in, the original octets out.

use super::context::{self, Own};
use super::discovery::discover;
use super::failure::Failure;
use super::record_files::Records;
use super::sealed_input::SealedInput;
use super::stream::{Input, Output};
use super::terminal;
use crate::core::{Accepted, Decrypted, Received, Step, UnsealError, Verified, VerifyingKey};
use crate::gateway::config::Config;
use crate::gateway::lookup::Keys;
use crate::policy::{
    Acceptance, ContentFault, Level, SenderDecision, authenticate_sender, check_content,
};
use crate::store::keyring::Find;
use std::path::{Path, PathBuf};

/// Options of `unseal`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write the message to FILE, which appears only when everything has been verified
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read the sender domain's policy from FILE (a record or a zone file) instead of DNS
    #[arg(long, value_name = "FILE")]
    sender_policy: Option<PathBuf>,
    /// Report the result as JSON on standard error
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let mut sealed = SealedInput::new(Input::open(None, "unsealed")?);
    let (decrypted, own) = decrypt(&mut sealed, &config)?;
    let (keys, level) = sender_keys(args, &config, &decrypted)?;
    let named = decrypted.signing_key_id();
    let key = keys.iter().find(|key| key.key_id() == named).ok_or_else(|| {
        Failure::refused(format!(
            "not authentic: {} does not list the key that signed this",
            decrypted.sender_domain()
        ))
    })?;
    let verified = decrypted.verify(key).map_err(refuse)?;
    check(&verified, &own)?;

    let mut output = match &args.output {
        Some(path) => Output::file(path)?,
        None => Output::standard()?,
    };
    let mut octets = 0;
    let accepted = message(&mut sealed, verified, &mut output, &mut octets)
        .map_err(|failure| distrust(failure, output.released()))?;
    output.commit()?;
    drop(sealed);
    report(args, &accepted, level, octets);
    Ok(())
}

/// Opens the envelope up to the end of the prefix, with the key that it names.
fn decrypt(sealed: &mut SealedInput, config: &Config) -> Result<(Decrypted, Own), Failure> {
    let mut received = Received::new();
    let parsed = loop {
        let Some(block) = sealed.next()? else { return Err(refuse(received.ended())) };
        match received.push(block).map_err(refuse)? {
            Step::More(more) => received = more,
            Step::Done(parsed) => break parsed,
        }
    };
    let header = parsed.header();
    let domain = &header.recipient_domain;
    let own = Own::load(context::local(config, domain)?)?;
    let key = match own.keyring.find(&header.key_id) {
        Find::Found(key) => key,
        Find::Destroyed => {
            let text = format!("sealed to a key of {domain} that has been destroyed");
            return Err(Failure::refused(text).hint("ask the sender to send it again"));
        }
        Find::Unknown => {
            let text =
                format!("sealed to key {}, which is not in the keyring of {domain}", header.key_id);
            return Err(Failure::refused(text));
        }
    };
    let mut opened = parsed.open(key).map_err(refuse)?;
    let decrypted = loop {
        let Some(block) = sealed.next()? else { break opened.end().map_err(refuse)? };
        match opened.push(block).map_err(refuse)? {
            Step::More(more) => opened = more,
            Step::Done(decrypted) => break decrypted,
        }
    };
    Ok((decrypted, own))
}

fn sender_keys(
    args: &Args,
    config: &Config,
    decrypted: &Decrypted,
) -> Result<(Vec<VerifyingKey>, Level), Failure> {
    let domain = decrypted.sender_domain();
    let files = Records::read(&args.sender_policy)?;
    let outcome = discover(domain, Keys::NotNeeded, files.as_ref(), &config.dns)?;
    match authenticate_sender(&config.sender(domain), &outcome, None, context::now()).decision {
        SenderDecision::Verify { keys, level, .. } => Ok((keys, level)),
        SenderDecision::Defer(reason) => {
            Err(Failure::temporary(format!("cannot authenticate {domain} now: {reason}")))
        }
        SenderDecision::Refuse(reason) => {
            Err(Failure::refused(format!("cannot authenticate {domain}: {reason}")))
        }
    }
}

/// What must hold before an octet of the message is passed on. Whether a partner's mail must be aligned [R-uns-11] is for the
/// gateway to ask, which delivers it.
fn check(verified: &Verified, own: &Own) -> Result<(), Failure> {
    let window = own.policy.record().window;
    let acceptance = Acceptance { window, require_aligned: false };
    match check_content(verified, &acceptance, context::now()) {
        Ok(_) => Ok(()),
        Err(fault @ ContentFault::InFuture) => {
            Err(Failure::temporary(fault).hint("check the clock"))
        }
        Err(ContentFault::TooOld) => {
            let text = format!("too old: sealed more than {} days ago", window / 86_400);
            Err(Failure::refused(text).hint("ask the sender to send it again"))
        }
        Err(fault) => Err(Failure::refused(fault)),
    }
}

fn message(
    sealed: &mut SealedInput,
    mut verified: Verified,
    output: &mut Output,
    octets: &mut u64,
) -> Result<Accepted, Failure> {
    let mut plain = Vec::new();
    while let Some(block) = sealed.next()? {
        verified.push(block, &mut plain).map_err(refuse)?;
        *octets += plain.len() as u64;
        output.write(&plain)?;
        plain.clear();
    }
    let accepted = verified.finish(&mut plain).map_err(refuse)?;
    *octets += plain.len() as u64;
    output.write(&plain)?;
    Ok(accepted)
}

fn refuse(error: UnsealError) -> Failure {
    Failure::refused(format!("cannot unseal: {error}"))
}

/// Says so if somebody may have read octets that turned out not to be genuine.
fn distrust(failure: Failure, released: u64) -> Failure {
    match failure {
        Failure::Refused(message) if released > 0 => Failure::refused(format!(
            "{}; the {released} octets written so far must not be trusted",
            message.text
        ))
        .hint("throw the output away; --output FILE appears only when everything is verified"),
        other => other,
    }
}

fn report(args: &Args, accepted: &Accepted, level: Level, octets: u64) {
    let prefix = &accepted.prefix;
    let suite = accepted.header.suite;
    let recipients: Vec<&str> = prefix.forward_paths.iter().map(|path| path.mailbox()).collect();
    if args.json {
        let report = serde_json::json!({
            "result": "pass", "envelope_id": accepted.envelope_id.to_string(),
            "sender_domain": prefix.sender_domain.as_str(),
            "recipient_domain": accepted.header.recipient_domain.as_str(),
            "suite": suite.id().0, "key_id": accepted.header.key_id.to_string(),
            "signing_key_id": prefix.signing_key_id.to_string(), "level": level.as_str(),
            "sealed_at": prefix.sealed_at, "mail_from": prefix.reverse_path.mailbox(),
            "foreign_mail_from": prefix.foreign_reverse_path, "rcpt_to": recipients,
            "octets": octets,
        });
        terminal::say(&report.to_string());
        return;
    }
    let foreign = if prefix.foreign_reverse_path { " (of another domain)" } else { "" };
    terminal::say(&format!("verified {octets} octets sealed by {}", prefix.sender_domain));
    terminal::say(&format!(
        "  sender      <{}>{foreign}",
        printable(prefix.reverse_path.mailbox())
    ));
    for recipient in recipients {
        terminal::say(&format!("  recipient   <{}>", printable(recipient)));
    }
    terminal::say(&format!("  suite       {suite}"));
    terminal::say(&format!("  key level   {level}"));
    terminal::say(&format!("  envelope    {}", accepted.envelope_id));
}

/// Text of a stranger for a terminal: no control characters, no invisible ones.
fn printable(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).filter(|c| !c.is_control()).collect()
}
