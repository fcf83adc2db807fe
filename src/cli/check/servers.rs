//! Whether every authoritative server says the same.

use super::Look;
use super::published::{rcode_name, s};
use crate::cli::steps::{Step, Steps};
use crate::core::Domain;
use crate::dns::authorities::{
    self, MAX_ASKED, MAX_TIME, NotAsked, Said, ServerAnswer, Via, ask_all,
};
use crate::dns::{Lookup, NoServers, Resolver, ZoneServers};
use std::time::Duration;

/// Asks the servers of `name`, and of each name that its aliases lead to. `lookup` is what the resolver has found.
pub(super) async fn ask(
    look: &Look<'_>,
    step: &'static str,
    name: &Domain,
    lookup: &Lookup,
    via: Via,
    steps: &mut Steps,
) {
    let chain: Vec<Domain> = match lookup {
        Lookup::Found(found) => {
            found.chain.iter().filter_map(|link| Domain::parse(link).ok()).collect()
        }
        _ => Vec::new(),
    };
    let names: Vec<&Domain> = std::iter::once(name).chain(&chain).collect();
    for (at, name) in names.iter().enumerate() {
        let expected = match (names.get(at + 1), lookup) {
            (Some(target), _) => {
                Some(Said::Alias { target: target.to_string(), ttl: Duration::ZERO })
            }
            (None, Lookup::Found(found)) => {
                let mut records = found.records.clone();
                records.sort();
                Some(Said::Records { records, ttl: Duration::ZERO })
            }
            (None, Lookup::NxDomain(_)) => Some(Said::Denied { nxdomain: true }),
            (None, Lookup::NoData(_)) => Some(Said::Denied { nxdomain: false }),
            (None, _) => None,
        };
        if look.direct.left().is_zero() {
            let what = format!("the servers of {name} were not asked: {}", no_time());
            steps.push(Step::unknown(step, what).hint("try again"));
            continue;
        }
        match look.resolver.servers(name).await {
            Ok(zone) => {
                let answers = ask_all(&zone, name, via, &look.direct).await;
                steps.push(judge(step, &zone, name, &answers, expected.as_ref(), via));
            }
            Err(failure) => steps.push(unknown(step, name, &failure)),
        }
    }
}

/// Whether the servers of the zone of `name` have the same version of it.
pub(super) async fn serials(look: &Look<'_>, name: &Domain, steps: &mut Steps) {
    // Already told about if it failed.
    let Ok(zone) = look.resolver.servers(name).await else { return };
    let mut known: Vec<(u32, Vec<String>)> = Vec::new();
    let mut others = Vec::new();
    for (server, address, soa) in authorities::zone_soas(&zone, &look.direct).await {
        match soa.map(|soa| soa.serial) {
            Err(said) => others.push(ServerAnswer { server, address, said }),
            Ok(serial) => {
                let place = place(&server, address);
                match known.iter_mut().find(|(other, _)| *other == serial) {
                    Some((_, places)) => places.push(place),
                    None => known.push((serial, vec![place])),
                }
            }
        }
    }
    let zone = &zone.zone;
    let open = not_determined(&others);
    let troubled = troubled(&others);
    steps.push(match &known[..] {
        // Told about with the records.
        [] => return,
        [(serial, places)] => {
            let n = places.len();
            let what = format!("zone {zone} has serial {serial} at {n} address{}", es(n));
            match (open, &troubled[..]) {
                (Some(open), _) => Step::unknown("serials", format!("{what}; {open}")).hint(LIMITS),
                (None, []) => Step::pass("serials", what + &away(&others)),
                (None, _) => Step::warn("serials", format!("{what}, but {}", troubled.join("; ")))
                    .hint(look_at(&others, &troubled)),
            }
        }
        several => {
            let told: Vec<String> = several
                .iter()
                .map(|(serial, places)| format!("{serial} at {}", places.join(", ")))
                .chain(troubled)
                .collect();
            Step::warn("serials", format!("zone {zone} differs in its serial: {}", told.join("; ")))
                .hint("try again in some minutes; if it stays so, a secondary does not take the zone over")
        }
    });
}

fn unknown(step: &'static str, name: &Domain, failure: &NoServers) -> Step {
    let what = format!("which servers have {name} is not known: {failure}");
    match failure {
        NoServers::NoZone => Step::warn(step, what),
        NoServers::Failed(_) => Step::unknown(step, what).hint("try again; see [dns]"),
    }
}

const LIMITS: &str = "the domain has more name servers, or slower ones, than `check` asks";

fn no_time() -> String {
    format!("the {} s for all servers are over", MAX_TIME.as_secs())
}

fn es(n: usize) -> &'static str {
    if n == 1 { "" } else { "es" }
}

/// How many servers the limits of a check have left out; what they would say is not known.
fn not_determined(answers: &[ServerAnswer]) -> Option<String> {
    let count = |why| answers.iter().filter(|a| a.said == Said::NotAsked(why)).count();
    match (count(NotAsked::TooMany), count(NotAsked::TooLate)) {
        (0, 0) => None,
        (0, n) => Some(format!("{n} address{} not asked: {}", es(n), no_time())),
        (n, late) => {
            let n = n + late;
            Some(format!("{n} address{} not asked: {MAX_ASKED} others were", es(n)))
        }
    }
}

/// What is wrong with those that gave no answer. No way there from here, as without IPv6, says nothing of the server.
fn troubled(answers: &[ServerAnswer]) -> Vec<String> {
    answers
        .iter()
        .filter(|a| !a.said.is_answer())
        .filter(|a| a.said != Said::Unreachable || a.address.is_none())
        .map(trouble)
        .collect()
}

/// What to do about `troubled`.
fn look_at(answers: &[ServerAnswer], troubled: &[String]) -> &'static str {
    if answers.iter().any(|a| a.said == Said::NotAsked(NotAsked::Private)) {
        "nobody outside can ask a private address; for a zone inside this network use --private-servers"
    } else if troubled.len() == 1 {
        "look at that server"
    } else {
        "look at these servers"
    }
}

/// The end of a text about how many addresses could not be asked from here.
fn away(answers: &[ServerAnswer]) -> String {
    match answers.iter().filter(|a| a.said == Said::Unreachable).count() {
        0 => String::new(),
        n => format!("; no way from here to {n} more address{}", es(n)),
    }
}

fn place(server: &str, address: Option<std::net::IpAddr>) -> String {
    match address {
        Some(address) => format!("{server} ({address})"),
        None => server.to_owned(),
    }
}

/// What is to be said of the answers for one name.
fn judge(
    step: &'static str,
    zone: &ZoneServers,
    name: &Domain,
    answers: &[ServerAnswer],
    expected: Option<&Said>,
    via: Via,
) -> Step {
    let given: Vec<&ServerAnswer> = answers.iter().filter(|a| a.said.is_answer()).collect();
    let open = not_determined(answers);
    let Some(first) = given.first() else {
        let told: Vec<String> = answers.iter().map(trouble).collect();
        let what = format!("no server of {} answers for {name}: {}", zone.zone, told.join("; "));
        if open.is_some() {
            return Step::unknown(step, what).hint(LIMITS);
        }
        if answers.iter().any(|a| a.said == Said::NotAsked(NotAsked::Private)) {
            let what = format!("{what}; what the resolver says is not compared");
            return Step::warn(step, what).hint(look_at(answers, &told));
        }
        // A host that may ask its resolver only is no fault of the domain's.
        return if expected.is_some() {
            Step::warn(step, format!("{what}; what the resolver says is not compared"))
                .hint("let this host ask other servers than its resolver (port 53, UDP and TCP)")
        } else {
            Step::unknown(step, what).hint("try again")
        };
    };
    let among = |one: &Said, other: &Said| one.agrees_with(other);
    let alike = given.iter().all(|answer| among(&answer.said, &first.said));
    let n = given.len();
    let by = if via == Via::Tcp { " by TCP" } else { "" };
    let troubled = troubled(answers);
    if !alike {
        // The resolver's answer may be older than all of them.
        let known = expected.filter(|right| given.iter().any(|answer| among(&answer.said, right)));
        let right = known.unwrap_or(&first.said);
        let told: Vec<String> = given
            .iter()
            .filter(|answer| !among(&answer.said, right))
            .map(|answer| {
                format!("{} {}", place(&answer.server, answer.address), word(&answer.said, right))
            })
            .chain(troubled)
            .collect();
        return Step::fail(step, format!("the servers of {} differ about {name}: {}", zone.zone, told.join("; ")))
            .hint("wait until the zone has reached every server; if it stays so, one does not take it over");
    }
    let what = format!("{n} address{} of {} {}{by}", es(n), zone.zone, same(&first.said, name, n));
    if let Some(open) = open {
        return Step::unknown(step, format!("{what}; {open}")).hint(LIMITS);
    }
    if expected.is_some_and(|expected| !among(&first.said, expected)) {
        return Step::warn(step, format!("{what}, but the resolver has something else"))
            .hint("it keeps an older answer until its time to live is over; try again then");
    }
    if !troubled.is_empty() {
        return Step::warn(step, format!("{what}, but {}", troubled.join("; ")))
            .hint(look_at(answers, &troubled));
    }
    Step::pass(step, what + &away(answers))
}

/// What all say.
fn same(said: &Said, name: &Domain, n: usize) -> String {
    let verb = |one: &'static str, many: &'static str| if n == 1 { one } else { many };
    match said {
        Said::Records { records, .. } => {
            format!("{} the same record{} for {name}", verb("gives", "give"), s(records.len()))
        }
        Said::Alias { target, .. } => {
            format!("{} {name} as an alias of {target}", verb("gives", "give"))
        }
        _ => format!("{} that {name} has no record", verb("says", "say")),
    }
}

/// How an answer differs from the right one.
fn word(said: &Said, right: &Said) -> String {
    match (said, right) {
        (Said::Denied { .. }, _) => "has no record".to_owned(),
        (Said::Records { .. }, Said::Records { .. }) => "has another record".to_owned(),
        (Said::Records { .. }, _) => "has a record".to_owned(),
        (Said::Alias { target, .. }, _) => format!("has an alias of {target}"),
        _ => "does not answer".to_owned(),
    }
}

/// What is wrong with a server that gave no answer.
fn trouble(answer: &ServerAnswer) -> String {
    let what = match &answer.said {
        Said::Lame => "is lame: it does not have the zone".to_owned(),
        Said::Refused => "refuses to answer".to_owned(),
        Said::Failed(rcode) => format!("fails ({})", rcode_name(*rcode)),
        Said::Timeout => "is silent".to_owned(),
        Said::Malformed => "gives an answer that breaks the protocol".to_owned(),
        Said::Unreachable if answer.address.is_none() => "has no address".to_owned(),
        Said::NotAsked(NotAsked::Private) => "is not asked: private address".to_owned(),
        Said::NotAsked(_) => "is not asked".to_owned(),
        Said::Unreachable => "cannot be reached from here".to_owned(),
        Said::Records { .. } | Said::Alias { .. } | Said::Denied { .. } => "answers".to_owned(),
    };
    format!("{} {what}", place(&answer.server, answer.address))
}
