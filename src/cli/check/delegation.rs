//! Names that are aliases of others: where they lead, and whether those of our own lead to where the gateway publishes.

use super::Look;
use crate::cli::steps::{Step, Steps};
use crate::cli::zone::delegated;
use crate::core::Domain;
use crate::dns::authorities::{Said, Via, ask_all};
use crate::dns::{MAX_CHAIN, Resolver};
use crate::gateway::config::LocalDomain;
use crate::records::PolicyRecord;

/// Where a name leads, as the authoritative servers have it.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What it and its aliases stand for, one after the other.
    pub(super) links: Vec<Domain>,
    /// It comes back to where it was.
    pub(super) circle: bool,
    /// A server could not be asked, so that it may go on.
    open: bool,
}

impl Way {
    /// The name that a sentence is about: itself, or the end of its aliases.
    pub(super) fn told(&self, name: &Domain) -> String {
        match self.links.last() {
            Some(end) => format!("{name} is an alias ({}), and {end}", arrows(&self.links)),
            None => name.to_string(),
        }
    }
}

/// Follows the aliases of a name. The first server that answers is believed: whether all say the same is another step.
pub(super) async fn follow(look: &Look<'_>, name: &Domain) -> Way {
    let mut way = Way::default();
    // One more than may be, to tell a long chain from one in a circle.
    while way.links.len() <= MAX_CHAIN {
        let at = way.links.last().unwrap_or(name);
        let Ok(zone) = look.resolver.servers(at).await else {
            way.open = true;
            return way;
        };
        let answers = ask_all(&zone, at, Via::Udp, &look.direct).await;
        let Some(first) = answers.iter().map(|answer| &answer.said).find(|said| said.is_answer())
        else {
            way.open = true;
            return way;
        };
        let Said::Alias { target, .. } = first else { return way };
        let Ok(target) = Domain::parse(target) else { return way };
        way.circle = target == *name || way.links.contains(&target);
        way.links.push(target);
        if way.circle {
            return way;
        }
    }
    way
}

/// Whether the names of a domain of ours whose records stand elsewhere lead there.
pub(super) async fn check(
    look: &Look<'_>,
    local: &LocalDomain,
    policy: Option<&PolicyRecord>,
    steps: &mut Steps,
) {
    let names = delegated(local, policy);
    let (Some(under), false) = (&local.publication.under, names.is_empty()) else { return };
    let (mut wrong, mut wanted, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for (name, target) in &names {
        // Both are as long as DNS allows, or the configuration would have been refused.
        let (Ok(at), Ok(to)) = (Domain::parse(name), Domain::parse(target)) else { continue };
        let way = follow(look, &at).await;
        if way.links.contains(&to) && !way.circle {
            continue;
        }
        if way.open {
            open.push(name.as_str());
            continue;
        }
        wrong.push(match (way.links.last(), way.circle) {
            (None, _) => format!("{name} is no alias"),
            (Some(_), true) => format!("{name} leads in a circle ({})", arrows(&way.links)),
            (Some(end), false) => format!("{name} is an alias of {end}"),
        });
        wanted.push(format!("{name}. CNAME {target}."));
    }
    steps.push(if !wrong.is_empty() {
        Step::fail("delegation", format!("not all names lead to {under}: {}", wrong.join("; ")))
            .hint(format!("the zone of {} needs: {}", local.name, wanted.join(" ")))
    } else if !open.is_empty() {
        Step::unknown("delegation", format!("not known where these lead: {}", open.join(", ")))
            .hint("try again; see [dns]")
    } else {
        Step::pass(
            "delegation",
            format!("{} names are aliases of those below {under}", names.len()),
        )
    });
}

/// Links as they are shown.
pub(super) fn arrows(links: &[Domain]) -> String {
    links.iter().map(Domain::as_str).collect::<Vec<_>>().join(" -> ")
}
