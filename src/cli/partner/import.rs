//! `mta-seal partner import`: a file of domains with forced TLS becomes partners whose mail must be sealed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::failure::Failure;
use super::super::verdict::fate;
use super::super::{context, table, terminal};
use super::book::Book;
use super::forced_tls::{self, ForcedTls, Skipped};
use super::print;
use crate::core::Domain;
use crate::dns::StubResolver;
use crate::gateway::config::{Config, NewPartner};
use crate::gateway::lookup::{Keys, look_up};
use crate::policy::{Decision, Demand, LocalPolicy, Rule, decide};
use crate::store::ledger::{ActionKind, NewAction};

/// Most octets of such a file.
const MAX_FILE: u64 = 16 << 20;

/// Most octets of its path that are kept in the ledger.
const MAX_NAME: usize = 200;

/// Domains that are looked up at the same time.
const AT_ONCE: usize = 16;

/// Options of `partner import`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Lines of Postfix's smtp_tls_policy_maps, or one domain a line
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seal to them where that is possible, instead of refusing mail that cannot be sealed
    #[arg(long)]
    prefer: bool,
    /// Look each one up first, and add none if mail to one would not be sealed (unless --prefer)
    #[arg(long)]
    check: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let text = read(&args.file)?;
    let (book, config) = Book::open(config)?;
    let found = forced_tls::read(&text);
    let rule = if args.prefer { Rule::Prefer } else { Rule::Require };
    let (new, told) = sorted(&config, &found, rule);
    print(&told)?;
    if new.is_empty() {
        return print("nothing to add\n");
    }
    if args.check {
        let unsealed = check(&config, &new, rule)?;
        print(&verdicts(&unsealed, new.len()))?;
        if !unsealed.is_empty() && rule == Rule::Require {
            return Err(Failure::refused("nothing was added: mail to some of them would not be sealed")
                .hint("take them out of the file, or use --prefer; without --check they are added all the same"));
        }
    }
    if args.dry_run {
        return print(&format!("would add {} with policy {rule}\n", partners(new.len())));
    }
    let mut added = 0;
    book.change(|config, text| {
        let mut actions = Vec::new();
        for (line, domain) in &new {
            if config.partner(domain).is_some() {
                continue;
            }
            text.add(&NewPartner {
                domain: domain.clone(),
                policy: rule,
                minimum_level: None,
                inbound: None,
                identity: None,
            });
            let detail = format!("policy {rule}, from {}:{line}", named(&args.file));
            actions.push(NewAction { kind: ActionKind::Import, domain: domain.clone(), detail });
        }
        added = actions.len();
        Ok(actions)
    })?;
    print(&format!("added {} with policy {rule}\n", partners(added)))?;
    if rule == Rule::Require && !args.check {
        terminal::warning(
            "mail to those that publish no policy is refused from now on; `mta-seal partner import --check` on the file says first \
             which these are, and --prefer seals where it can",
        );
    }
    book.tell()
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(|error| Failure::reading_file(path, &error))?;
    if read as u64 > MAX_FILE {
        return Err(Failure::refused(format!("{} is larger than 16 MiB", path.display())));
    }
    Ok(text)
}

/// The path for the record of what was done. Of a long one the end says more.
fn named(path: &Path) -> String {
    let name = table::printable(&path.display().to_string());
    let from = name.ceil_char_boundary(name.len().saturating_sub(MAX_NAME));
    match name.get(from..) {
        Some(end) if from > 0 => format!("...{end}"),
        _ => name,
    }
}

fn partners(count: usize) -> String {
    format!("{count} partner{}", if count == 1 { "" } else { "s" })
}

/// What is new in the file, and what is said of the rest.
fn sorted(config: &Config, found: &ForcedTls, rule: Rule) -> (Vec<(usize, Domain)>, String) {
    let skipped = |skipped: &Skipped| {
        let (key, why) = (table::printable(&skipped.key), table::printable(&skipped.why));
        (skipped.line, format!("{key} skipped: {why}"))
    };
    let mut remarks: Vec<(usize, String)> = found.skipped.iter().map(skipped).collect();
    let (mut new, mut kept) = (Vec::new(), 0_usize);
    for (line, domain) in &found.domains {
        if config.local(domain).is_some() {
            remarks.push((*line, format!("{domain} skipped: a domain of this gateway")));
        } else if let Some(partner) = config.partner(domain) {
            kept += 1;
            let (policy, place) = (partner.treatment.policy, &partner.place);
            if policy != rule {
                let remark = format!("{domain} stays as it is, with policy {policy}, at {place}");
                remarks.push((*line, remark));
            }
        } else {
            new.push((*line, domain.clone()));
        }
    }
    remarks.sort();
    let mut told: String =
        remarks.iter().map(|(line, remark)| format!("line {line}: {remark}\n")).collect();
    if kept > 0 {
        told.push_str(&format!("{} left alone: there already\n", partners(kept)));
    }
    (new, told)
}

/// Those to which mail would not be sealed now, and what would happen to it.
fn check(
    config: &Config,
    new: &[(usize, Domain)],
    rule: Rule,
) -> Result<Vec<(Domain, String)>, Failure> {
    let resolver = Arc::new(StubResolver::new(&config.dns).map_err(Failure::refused)?);
    let (budget, minimum_level) = (config.dns.timeout, config.defaults.minimum_level);
    let looked_up = context::block_on(async {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for (at, (_, domain)) in new.iter().enumerate() {
            let (resolver, places, domain) = (resolver.clone(), places.clone(), domain.clone());
            tasks.spawn(async move {
                let _place = places.acquire().await;
                let keys = Keys::Wanted { remembered: None };
                let outcome = look_up(&*resolver, &domain, keys, budget).await;
                let local = LocalPolicy { rule, minimum_level, ..LocalPolicy::default() };
                let verdict = decide(&local, &outcome, None, Demand::Absent, context::now());
                let sealed = matches!(verdict.decision, Decision::Seal { .. });
                (at, domain, (!sealed).then(|| fate(&verdict.decision)))
            });
        }
        tasks.join_all().await
    })?;
    let mut unsealed: Vec<(usize, Domain, String)> = looked_up
        .into_iter()
        .filter_map(|(at, domain, instead)| Some((at, domain, instead?)))
        .collect();
    unsealed.sort_by_key(|(at, ..)| *at);
    Ok(unsealed.into_iter().map(|(_, domain, instead)| (domain, instead)).collect())
}

fn verdicts(unsealed: &[(Domain, String)], all: usize) -> String {
    let mut text = String::new();
    for (domain, instead) in unsealed {
        text.push_str(&format!("{domain}: mail {instead}\n"));
    }
    let sealed = all.saturating_sub(unsealed.len());
    text.push_str(&format!("mail to {sealed} of {all} can be sealed\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        assert_eq!(named(Path::new("/etc/tls\u{9b}\npolicy")), "/etc/tls??policy");
        let long = format!("{}/tls_policy", "\u{e9}".repeat(3_000));
        let named = named(Path::new(&long));
        assert!(named.starts_with("...\u{e9}") && named.ends_with("/tls_policy"), "{named}");
        assert!(named.len() <= MAX_NAME + 3, "{named}");
    }
}
