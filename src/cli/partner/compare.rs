//! Comparing a fingerprint with what the partner says, by a person or with what was given on the command line.

use super::super::failure::Failure;
use super::super::{context, fingerprint, terminal};
use super::found::{Found, Known};
use super::{print, recall};
use crate::core::{Domain, KeyId};
use crate::gateway::config::{Config, parse_fingerprint};
use crate::policy::LocalPolicy;
use crate::store::ledger::Scope;

/// How the fingerprint of a partner is to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// By a person at this terminal.
    Asked,
    /// With this one.
    Given(KeyId),
    /// Not at all: nothing is pinned.
    None,
}

/// A fingerprint from the command line.
pub(super) fn given(text: &str) -> Result<KeyId, Failure> {
    parse_fingerprint(text).map_err(|what| {
        Failure::usage(format!("the fingerprint: {what}"))
            .hint("write 64 hexadecimal digits, 44 characters of base64, or 32 words in quotes")
    })
}

/// Refuses to go on if a person is to compare and there is none; `instead` says what to do.
pub(super) fn somebody_to_ask(how: Comparison, instead: &str) -> Result<(), Failure> {
    if how == Comparison::Asked && !terminal::can_ask() {
        let what = "there is no terminal to ask whether the fingerprint matches";
        return Err(Failure::usage(what).hint(instead));
    }
    Ok(())
}

/// Looks a partner up, shows what it publishes, and compares its fingerprint. Returns the fingerprint to pin.
pub(super) fn compare(
    config: &Config,
    domain: &Domain,
    local: LocalPolicy,
    how: Comparison,
) -> Result<Option<KeyId>, Failure> {
    let ledger = context::ledger_if_any(config)?;
    let now = context::now();
    let memory = recall(ledger.as_ref(), Scope::Outgoing, domain)?
        .and_then(|known| known.memory)
        .filter(|memory| now < memory.until());
    let found = Found::look_up(config, domain, memory)?;
    let pin = match how {
        Comparison::Asked => Some(found.identity()),
        Comparison::Given(given) => Some(given),
        Comparison::None => None,
    };
    let local = LocalPolicy { pin, ..local };
    print(&found.description(&local, now))?;
    if let Known::Stranger(remembered) = found.known(now) {
        let indent = " ".repeat(10);
        terminal::warning(&format!(
            "the gateway remembers another identity key of {domain}; let the partner confirm that it has changed\n{indent}{}",
            fingerprint::lines(&remembered, &indent)
        ));
    }
    found.must_seal(&local, now)?;
    if how == Comparison::Asked {
        let matches = terminal::ask("does it match what the partner reads to you?")
            .map_err(|error| Failure::reading("the terminal", &error))?;
        if !matches {
            return Err(Failure::refused("not confirmed: nothing was written")
                .hint("call the partner at a number that you know, and let it read its words from `mta-seal config check`"));
        }
    }
    Ok(pin)
}
