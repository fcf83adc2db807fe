//! `mta-seal partner pin`: sets or changes the fingerprint of a partner.

use std::path::Path;

use super::super::failure::Failure;
use super::super::fingerprint;
use super::book::Book;
use super::compare::{Comparison, compare, given, somebody_to_ask};
use super::{domain, print, reason};
use crate::core::KeyId;
use crate::gateway::config::{Config, Partner};
use crate::policy::{LocalPolicy, Rule};
use crate::store::ledger::{ActionKind, NewAction};

/// Options of `partner pin`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The partner's domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// The fingerprint that the partner has told you, in digits or words; without it you are asked to compare
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: Vec<String>,
    /// Why another fingerprint takes the place of the old one; it stays in the ledger, with your name
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// With a fingerprint: look nothing up
    #[arg(long, requires = "fingerprint")]
    offline: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    let given = match args.fingerprint.as_slice() {
        [] => None,
        words => Some(given(&words.join(" "))?),
    };
    let why = args.why.as_deref().map(reason).transpose()?;
    let (book, config) = Book::open(config)?;
    let entry = book.entry(&config, &domain)?;
    let old = entry.identity;
    if let Some(old) = old {
        print(&format!("{domain} is pinned to\n  {}\n", fingerprint::lines(&old, "  ")))?;
        if given == Some(old) {
            return print("nothing to change\n");
        }
        if why.is_none() {
            return Err(Failure::usage("another fingerprint needs --why")
                .hint("a key that changes without a reason the partner can tell is what a forgery looks like"));
        }
    }
    let identity = match given {
        Some(given) if args.offline => given,
        _ => looked_up(&config, entry, given)?,
    };
    if old == Some(identity) {
        return print("nothing to change\n");
    }
    book.change(|config, text| {
        if book.entry(config, &domain)?.identity != old {
            return Err(Failure::refused(format!("the entry of {domain} has changed meanwhile"))
                .hint("begin again"));
        }
        text.pin(&domain, identity).map_err(|error| book.cannot_edit(&error))?;
        let detail = detail(old, identity, why);
        Ok(vec![NewAction { kind: ActionKind::Pin, domain: domain.clone(), detail }])
    })?;
    let now = if old.is_some() { "is now pinned to" } else { "is pinned to" };
    print(&format!("{domain} {now}\n  {}\n", fingerprint::lines(&identity, "  ")))?;
    book.tell()
}

fn looked_up(config: &Config, entry: &Partner, given: Option<KeyId>) -> Result<KeyId, Failure> {
    // Whether mail could be sealed, also where it never is.
    let rule = Rule::Require;
    let local = LocalPolicy { rule, pin: None, ..config.destination(&entry.domain) };
    let how = given.map_or(Comparison::Asked, Comparison::Given);
    somebody_to_ask(how, "give the one that the partner has told you, behind the domain")?;
    compare(config, &entry.domain, local, how)?
        .ok_or_else(|| Failure::refused("no fingerprint was found"))
}

fn detail(old: Option<KeyId>, new: KeyId, why: Option<&str>) -> String {
    match (old, why) {
        (None, None) => format!("identity {new}"),
        (None, Some(why)) => format!("identity {new}: {why}"),
        (Some(old), why) => {
            format!("identity {new} in place of {old}: {}", why.unwrap_or_default())
        }
    }
}
