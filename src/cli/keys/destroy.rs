//! `keys import --destroy`: ends here the keys that have ended where an export was made.
//!
//! Anybody can encrypt to a recipient, so an export may be anybody's. What the policy uses is never destroyed on its word; and a
//! key that mail may need, by what is known here, only if a person says so.

use super::{Found, confirm};
use crate::cli::failure::Failure;
use crate::cli::moment::utc;
use crate::cli::{context, passphrase, terminal};
use crate::core::{Domain, KeyId};
use crate::gateway::rotation::Desk;
use crate::lifetime::Kind;
use crate::store::keyring::Export;

/// A key that the export lists as destroyed, and that is here.
struct Named {
    kind: Kind,
    id: KeyId,
    stands: Stands,
}

/// What is known of it here.
enum Stands {
    /// The policy uses it.
    Used,
    /// It may be used yet, or mail may need it, until then if that is known (Unix seconds).
    Needed(Option<u64>),
    /// Its time is over.
    Over,
}

impl Named {
    fn words(&self) -> String {
        let Self { kind, id, stands } = self;
        match stands {
            Stands::Used => format!("{kind} key {id}: kept, since the policy uses it"),
            Stands::Needed(Some(at)) => {
                format!("{kind} key {id}: mail may need it until {}", utc(*at))
            }
            Stands::Needed(None) => format!("{kind} key {id}: it may be used yet"),
            Stands::Over => format!("{kind} key {id}: nothing needs it any more"),
        }
    }
}

/// Destroys what `export` lists as destroyed, once that is confirmed; with `yes` what nothing needs any more, without a question.
pub(super) fn run(
    found: &Found,
    domain: &Domain,
    export: &Export,
    yes: bool,
) -> Result<(), Failure> {
    let now = context::now();
    let passphrase = passphrase::existing(&found.directory, found.passphrase.as_deref())?;
    // Not kept while a person thinks.
    let open = || Desk::open(&found.directory, domain, passphrase.as_ref(), now);
    let named = named(&open()?, &export.destroyed()?, now);
    if named.is_empty() {
        return terminal::print("nothing to destroy\n");
    }
    let mut text = "destroyed where the export was made:\n".to_owned();
    for named in &named {
        text.push_str(&format!("- {}\n", named.words()));
    }
    terminal::print(&text)?;
    let mut ends: Vec<&Named> = Vec::new();
    for named in &named {
        match named.stands {
            Stands::Used => {}
            Stands::Needed(_) if yes => terminal::warning(&format!(
                "{} key {} is kept: without --yes you are asked",
                named.kind, named.id
            )),
            Stands::Needed(_) | Stands::Over => ends.push(named),
        }
    }
    if ends.is_empty() {
        return Ok(());
    }
    confirm(yes, "destroy them here?", "nothing was destroyed")?;
    let mut desk = open()?;
    // A policy may have listed one meanwhile.
    let still = self::named(&desk, &export.destroyed()?, now);
    let mut text = String::new();
    for Named { kind, id, .. } in ends {
        match still.iter().find(|named| named.id == *id).map(|named| &named.stands) {
            // Somebody else has destroyed it.
            None => continue,
            Some(Stands::Used) => {
                text.push_str(&format!("kept {kind} key {id}, since the policy uses it now\n"));
                continue;
            }
            Some(Stands::Needed(_) | Stands::Over) => {}
        }
        desk.destroy(id, now)?;
        text.push_str(&format!("destroyed {kind} key {id}\n"));
    }
    found.trail.note(&[], &mut desk, now)?;
    terminal::print(&text)
}

/// Those of these keys that are here.
fn named(desk: &Desk, destroyed: &[KeyId], now: u64) -> Vec<Named> {
    let sealing = desk.keyring.sealing_keys().iter().map(|stored| stored.key.key_id());
    let here = sealing.chain(desk.keyring.signing_keys().iter().map(|key| key.key_id()));
    let here = here.filter(|id| destroyed.contains(id));
    here.filter_map(|id| {
        let life = desk.book.life(&id)?;
        let used = desk.ahead().iter().any(|ahead| life.is_used_by(ahead))
            || life.is_used_by(desk.policy().record());
        let stands = match desk.end_of(life, now) {
            _ if used => Stands::Used,
            Some(end) if now >= end => Stands::Over,
            end => Stands::Needed(end),
        };
        Some(Named { kind: life.kind, id, stands })
    })
    .collect()
}
