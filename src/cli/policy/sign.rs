//! `mta-seal policy sign`: the policy of a domain, signed anew before it expires; or, away from the gateway, those of coming weeks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::change::Changes;
use super::print;
use crate::cli::failure::Failure;
use crate::cli::moment::{length, utc};
use crate::cli::trail::{Trail, signed};
use crate::cli::{context, fingerprint, terminal, zone};
use crate::core::{IdentityKey, KeyId};
use crate::gateway::rotation::MAX_WEEKS;
use crate::records::{PolicyDraft, PolicyRequest, SealingEntry};
use crate::store::keyring::write_secret;
use crate::store::ledger::ActionKind;
use crate::store::secret_file;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Most days for which a policy is signed.
const MAX_DAYS: u64 = 90;

/// Options of `policy sign`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The domain, if the configuration has several
    #[arg(long, value_name = "DOMAIN", conflicts_with = "request")]
    domain: Option<String>,
    #[command(flatten)]
    changes: Changes,
    /// Days for which the policy is signed [default: 30]
    #[arg(long, value_name = "DAYS", conflicts_with = "request", value_parser = clap::value_parser!(u64).range(1..=MAX_DAYS))]
    days: Option<u64>,
    /// Sign what `policy request` has written; needs no configuration
    #[arg(long, value_name = "FILE", requires = "identity", conflicts_with_all = ["mode", "outgoing_always"])]
    request: Option<PathBuf>,
    /// The identity key, with --request
    #[arg(long, value_name = "FILE", requires = "request")]
    identity: Option<PathBuf>,
    /// The identity key that it succeeds, which states so in every policy
    #[arg(long, value_name = "FILE", requires = "request")]
    former: Option<PathBuf>,
    /// Where the signed policies go [default: standard output]
    #[arg(long, value_name = "FILE", requires = "request")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    match (&args.request, &args.identity) {
        (Some(request), Some(identity)) => elsewhere(args, request, identity),
        _ => here(args, config),
    }
}

/// Signs with the identity key of the keyring, stores the record, and prints what is to be published. The keys stay as they are.
fn here(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let local = context::one(&config, args.domain.as_deref())?;
    let now = context::now();
    let mut desk = context::desk(local, now)?;
    if desk.keyring.identity().is_none() {
        return Err(Failure::refused(format!("no identity.pem in {}", local.keys.display())).hint(
            "put it back for the signing, or sign where it is kept: `mta-seal policy request`",
        ));
    }
    let mut draft = desk.draft(&local.rotation.unwrap_or_default(), now);
    if let Some(days) = args.days {
        draft.expiry = now.saturating_add(days * DAY);
    }
    args.changes.apply(&mut draft);
    zone::check_names(&local.name, &draft.sealing_keys)?;
    let detail = format!("{}, {}", signed(draft.serial, draft.expiry), draft.mode);
    Trail::open(&config, local)?.change(ActionKind::Policy, &detail, || desk.put(&draft, now))?;
    let records = zone::records(local.records_under(), &desk.keyring)?;
    print(&zone::master_file(&records))
}

/// Signs a request with an identity key that is kept away from the gateway.
fn elsewhere(args: &Args, request: &Path, identity: &Path) -> Result<(), Failure> {
    let text =
        std::fs::read_to_string(request).map_err(|error| Failure::reading_file(request, &error))?;
    let named = request.display();
    let request: PolicyRequest =
        text.parse().map_err(|error| Failure::refused(format!("{named}: {error}")))?;
    let identity = key(identity)?;
    let former = args.former.as_deref().map(key).transpose()?;
    let former = proof(&request, &identity, former.as_ref())?;
    let now = context::now();
    terminal::say(words(&request, &identity, former, now).trim_end());
    for draft in &request.drafts {
        check(draft, now)?;
    }
    let policies = request.sign(&identity, former).map_err(Failure::refused)?;
    let signed = format!(
        "# policies of {}, signed ahead. With the keys that they list they are as dangerous as the identity key.\n{}\n",
        request.domain,
        policies.join("\n")
    );
    let Some(out) = &args.out else { return print(&signed) };
    // Not for others' eyes either, until each is published.
    write_secret(out, &signed)?;
    terminal::say(&format!("made {}", out.display()));
    Ok(())
}

fn key(path: &Path) -> Result<IdentityKey, Failure> {
    let pem = secret_file::read(path)?;
    IdentityKey::from_pem(&pem)
        .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
}

/// The key that has to state in each policy who succeeds it; none if nothing has to be stated.
fn proof<'a>(
    request: &PolicyRequest,
    identity: &IdentityKey,
    former: Option<&'a IdentityKey>,
) -> Result<Option<&'a IdentityKey>, Failure> {
    let (own, present) = (identity.fingerprint(), request.identity.fingerprint());
    let given = former.map(IdentityKey::fingerprint);
    let wanted = if own == present { request.former } else { Some(present) };
    if given.is_some() && given != wanted {
        let text = match wanted {
            Some(wanted) => {
                format!("--former is not the key that has to state who succeeds it: {wanted}")
            }
            None => "no statement of a former identity key is due".to_owned(),
        };
        return Err(Failure::refused(text));
    }
    let announced = request.drafts.iter().all(|draft| draft.next_identity == Some(own));
    match former {
        None if own == present && wanted.is_some() => Err(Failure::refused(
            "the policies have to carry statements of the former identity key",
        )
        .hint(format!(
            "name it with --former; its fingerprint is {}. If it is lost, take the line `former:` out of the request: \
             partners that have not seen the new key yet will not believe it",
            wanted.map(|wanted| wanted.to_string()).unwrap_or_default()
        ))),
        None if own != present && !announced => Err(Failure::refused(format!(
            "this is not the present identity key of {}, which is {present}",
            request.domain
        ))
        .hint("to have it succeed that one, name that one with --former")),
        other => Ok(other),
    }
}

/// Refuses what no request of a gateway asks for: it would be in force for a time that nobody expects.
fn check(draft: &PolicyDraft, now: u64) -> Result<(), Failure> {
    // A week more, since a request may be older than the signing.
    let latest = now.saturating_add((MAX_WEEKS + 1) * 7 * DAY);
    if draft.serial > latest {
        return Err(Failure::refused(format!(
            "a policy of the request begins {}, which is more than {MAX_WEEKS} weeks ahead",
            utc(draft.serial)
        )));
    }
    if draft.expiry > draft.serial.saturating_add(MAX_DAYS * DAY) {
        return Err(Failure::refused(format!(
            "a policy of the request lasts for {}, which is more than {MAX_DAYS} days",
            length(draft.expiry.saturating_sub(draft.serial))
        )));
    }
    Ok(())
}

/// What is signed, for the eyes of whoever holds the key.
fn words(
    request: &PolicyRequest,
    identity: &IdentityKey,
    former: Option<&IdentityKey>,
    now: u64,
) -> String {
    let own = identity.fingerprint();
    let mut out = format!(
        "{} of {}, signed with the identity key\n  {}\n",
        match request.drafts.len() {
            1 => "1 policy".to_owned(),
            n => format!("{n} policies"),
        },
        request.domain,
        fingerprint::lines(&own, "  ")
    );
    if let Some(former) = former {
        let _ = writeln!(out, "each states that this key succeeds\n  {}", former.fingerprint());
    } else if own != request.identity.fingerprint() {
        let _ = writeln!(
            out,
            "which succeeds {}, as that one has announced",
            request.identity.fingerprint()
        );
    }
    for draft in &request.drafts {
        let late = if draft.serial < now { " (that is past)" } else { "" };
        let always = if draft.outgoing_always { ", all mail it sends is sealed" } else { "" };
        let _ = writeln!(
            out,
            "from {}{late} until {}: {}{always}, mail may be under way for {}, remembered for {}",
            utc(draft.serial),
            utc(draft.expiry),
            draft.mode,
            length(draft.window),
            length(draft.max_age),
        );
        let sealing = draft.sealing_keys.iter().map(|entry| match entry {
            SealingEntry::Listed { selector, .. } => {
                format!("{} at {selector}", id(entry.key_id()))
            }
            _ => id(entry.key_id()),
        });
        let signing = draft.signing_keys.iter().map(|key| id(Some(key.key_id())));
        let _ = writeln!(out, "  seal to {}", sealing.collect::<Vec<_>>().join(", "));
        let _ = writeln!(out, "  mail is signed by {}", signing.collect::<Vec<_>>().join(", "));
        if let Some(next) = draft.next_identity.filter(|next| *next != own) {
            let _ = writeln!(out, "  next identity key {next}");
        }
    }
    out
}

/// A key id, short as in `keys list`.
fn id(id: Option<KeyId>) -> String {
    id.map_or_else(
        || "an unknown key".to_owned(),
        |id| id.to_string().get(..16).unwrap_or_default().to_owned(),
    )
}
