//! The `publish` table of a domain: how its records reach DNS.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::error::Source;
use super::file::DnsServer;
use super::value::{FromText, Text};
use crate::core::Domain;
use crate::records::{Selector, key_record_name, policy_name};

/// Time to live of records unless the table says otherwise, in seconds.
const DEFAULT_TTL: u32 = 3600;

/// Most seconds that records may be kept: a new key is listed one time to live after its record is visible.
const MAX_TTL: u32 = 86_400;

/// Fewest selectors that can be used in turn. A key is made each week and may be in use for up to 51 days: for as long as a
/// policy may be kept, and the window after it.
const MIN_SELECTORS: usize = 8;

/// How the records of a domain reach DNS, and what they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Who makes the changes.
    pub way: PublicationWay,
    /// Time to live of the records, in seconds.
    pub ttl: u32,
    /// Below which name the records stand; none: below the domain. If another one is named, the domain's own names are aliases
    /// (CNAME) of those below it.
    pub under: Option<Domain>,
    /// The selectors that key records have in turn, so that aliases of theirs can stand; none: each key has a new one.
    pub selectors: Vec<Selector>,
}

impl Default for Publication {
    fn default() -> Self {
        Self { way: PublicationWay::Manual, ttl: DEFAULT_TTL, under: None, selectors: Vec::new() }
    }
}

/// Who changes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicationWay {
    /// The operator.
    Manual,
    /// A command of the operator's.
    Hook {
        /// Its absolute path.
        command: PathBuf,
    },
    /// The gateway itself, by dynamic update (RFC 2136).
    Update {
        /// The primary server.
        server: SocketAddr,
        /// File of the key that signs updates.
        tsig: PathBuf,
        /// The zone that holds the records; none: the server is asked.
        zone: Option<Domain>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    hook: Option<Spanned<PathBuf>>,
    server: Option<Spanned<Text<DnsServer>>>,
    tsig: Option<Spanned<PathBuf>>,
    zone: Option<Spanned<Text<Domain>>>,
    ttl: Option<Spanned<Text<Duration>>>,
    under: Option<Spanned<Text<Domain>>>,
    selectors: Option<Spanned<Vec<Spanned<Text<Selector>>>>>,
}

impl FromText for Selector {
    const EXPECTED: &'static str =
        "a label of lower-case letters, digits and inner hyphens, such as \"s1\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is no selector"))
    }
}

/// The publication of `domain`. Paths become relative to `base`.
pub(super) fn check(
    domain: &Domain,
    table: Spanned<Table>,
    base: &Path,
    source: &Source<'_>,
) -> Result<Publication, ConfigError> {
    let span = table.span();
    let table = table.into_inner();
    let ttl = table.ttl.map_or(Ok(DEFAULT_TTL), |ttl| seconds(ttl, source))?;
    let at = table.under.as_ref().map_or(domain, |under| &under.get_ref().0);
    if Domain::parse(&policy_name(at)).is_err() {
        let what = format!("no name in DNS is as long as {}", policy_name(at));
        let span = table.under.as_ref().map_or(span, Spanned::span);
        return Err(source.error(span, what, "choose a shorter one"));
    }
    let selectors = table.selectors.map_or(Ok(Vec::new()), |list| selectors(list, at, source))?;
    let by_hand_here = table.under.is_some() || !selectors.is_empty();
    let way = match (table.hook, table.server) {
        (Some(hook), Some(_)) => {
            let what = format!("`hook` and `server` both publish the records of {domain}");
            return Err(source.error(hook.span(), what, "keep one of them"));
        }
        (hook, None) => {
            for (key, span) in [
                ("tsig", table.tsig.as_ref().map(Spanned::span)),
                ("zone", table.zone.as_ref().map(Spanned::span)),
            ] {
                if let Some(span) = span {
                    let what = format!("`{key}` without `server` has no effect");
                    return Err(source.error(
                        span,
                        what,
                        "add the primary's `server`, or remove it",
                    ));
                }
            }
            match hook {
                Some(hook) => PublicationWay::Hook { command: command(hook, source)? },
                None if by_hand_here => PublicationWay::Manual,
                None => {
                    let what = format!("nothing in `publish` of {domain} says who publishes");
                    let hint = "add `hook` or `server`; without the table you publish by hand";
                    return Err(source.error(span, what, hint));
                }
            }
        }
        (None, Some(server)) => {
            let Some(tsig) = table.tsig else {
                let what = "`server` without `tsig`: no primary should take updates from anybody";
                let hint = "tsig = \"FILE\", as `tsig-keygen NAME` of BIND writes it";
                return Err(source.error(server.span(), what, hint));
            };
            let zone = table.zone.map(|zone| within(zone, at, source)).transpose()?;
            let server = server.into_inner().0.0;
            PublicationWay::Update { server, tsig: base.join(tsig.into_inner()), zone }
        }
    };
    Ok(Publication { way, ttl, under: table.under.map(|under| under.into_inner().0), selectors })
}

fn seconds(ttl: Spanned<Text<Duration>>, source: &Source<'_>) -> Result<u32, ConfigError> {
    let given = ttl.get_ref().0;
    let seconds = u32::try_from(given.as_secs()).unwrap_or(u32::MAX);
    if given.subsec_nanos() != 0 || !(1..=MAX_TTL).contains(&seconds) {
        let what = "`ttl` is not between 1s and 1d, in whole seconds";
        let hint = "1h is usual; a new key waits that long before it is used";
        return Err(source.error(ttl.span(), what, hint));
    }
    Ok(seconds)
}

fn selectors(
    list: Spanned<Vec<Spanned<Text<Selector>>>>,
    at: &Domain,
    source: &Source<'_>,
) -> Result<Vec<Selector>, ConfigError> {
    let span = list.span();
    let mut selectors: Vec<Selector> = Vec::new();
    for selector in list.into_inner() {
        let span = selector.span();
        let selector = selector.into_inner().0;
        if selectors.contains(&selector) {
            let what = format!("`selectors` names {selector} twice");
            return Err(source.error(span, what, "give each key a name of its own"));
        }
        let name = key_record_name(&selector, at);
        if Domain::parse(&name).is_err() {
            let what = format!("no name in DNS is as long as {name}");
            return Err(source.error(span, what, "choose a shorter selector"));
        }
        selectors.push(selector);
    }
    if selectors.len() < MIN_SELECTORS {
        let what = format!(
            "`selectors` names {}, but with weekly keys {MIN_SELECTORS} are in use at a time",
            selectors.len()
        );
        let hint = "name more, or leave it out if no aliases need to stand";
        return Err(source.error(span, what, hint));
    }
    Ok(selectors)
}

fn command(hook: Spanned<PathBuf>, source: &Source<'_>) -> Result<PathBuf, ConfigError> {
    let span = hook.span();
    let command = hook.into_inner();
    if command.is_absolute() {
        return Ok(command);
    }
    let what = format!("`hook` is no absolute path: {}", command.display());
    let hint = "write the whole path of the command, without arguments";
    Err(source.error(span, what, hint))
}

/// The zone, if it can hold the records below `at`. It may be the name of the policy itself, where that is a zone of its own.
fn within(
    zone: Spanned<Text<Domain>>,
    at: &Domain,
    source: &Source<'_>,
) -> Result<Domain, ConfigError> {
    let span: Range<usize> = zone.span();
    let zone = zone.into_inner().0;
    let name = policy_name(at);
    let above = name.strip_suffix(zone.as_str());
    if above.is_some_and(|above| above.is_empty() || above.ends_with('.')) {
        return Ok(zone);
    }
    let what = format!("{name} is not in `zone` {zone}");
    Err(source.error(span, what, "leave it out, and the server is asked for its zone"))
}
