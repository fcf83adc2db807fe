//! An ordinary message that arrives: whether it should have been sealed [R-uns-07] [R-uns-12].

use super::{Desk, Message, Outer, refused};
use crate::cli::steps::{Step, Steps};
use crate::core::Domain;
use crate::gateway::config::{ClearMail, OutgoingAlways};
use crate::gateway::{Failure as Refusal, MAX_LOOK_UPS};
use crate::mail::claims::claimed_domains;
use crate::mail::results;
use crate::policy::{Promise, promise};

/// Who may send in clear all the same; which client brings a message, and to whom, only the gateway knows.
const EXCEPT: &str =
    "unless it is to postmaster, abuse or mta-seal, or a listed forwarder brings it";

pub(super) async fn explain(desk: &Desk<'_>, message: &Message, outer: &Outer, steps: &mut Steps) {
    let config = desk.config;
    let Some(inbound) = &config.inbound else {
        steps.push(Step::fail("claims", "this gateway has no [inbound]: it takes nothing"));
        return;
    };
    let Some(authors) = claimed_domains(&message.header) else {
        let what = "From shows more than anybody reads: whoever must seal may be among them";
        steps.push(Step::warn("claims", what));
        return;
    };
    let mut claimed: Vec<Domain> = outer.from.domain().cloned().into_iter().collect();
    claimed.extend(authors.into_iter().filter(|author| outer.from.domain() != Some(author)));
    let names: Vec<&str> = claimed.iter().map(Domain::as_str).collect();
    steps.push(match &names[..] {
        [] => Step::warn("claims", "it comes from no domain in particular"),
        names => Step::pass("claims", format!("it comes in the name of {}", names.join(", "))),
    });
    let strict = claimed.iter().find(|d| config.treatment(d).inbound == ClearMail::RequireSealed);
    if let Some(domain) = strict {
        let what = format!("the configuration takes no clear mail from {domain}, {EXCEPT}");
        steps.push(refused("must-be-sealed", &what, &Refusal::SealDemanded(domain.clone())));
        return;
    }
    let promised = match inbound.outgoing_always {
        OutgoingAlways::Ignore => None,
        OutgoingAlways::Mark | OutgoingAlways::Refuse => promised(desk, &claimed).await,
    };
    let expected = promised.is_some();
    match promised {
        None => steps.push(Step::pass("must-be-sealed", "no: clear mail from there is taken")),
        Some((domain, Promise::Published)) if inbound.outgoing_always == OutgoingAlways::Refuse => {
            let what =
                format!("{domain} promises to seal all its mail (o=always); refused, {EXCEPT}");
            steps.push(refused("must-be-sealed", &what, &Refusal::SealDemanded(domain)));
            return;
        }
        Some((domain, _)) => {
            let what = format!("{domain} promises to seal all its mail (o=always): it is marked");
            steps.push(Step::warn("must-be-sealed", what));
        }
    }
    let outcome = results::Outcome::None { expected };
    let field = results::field(config.hostname.as_str(), &outcome);
    steps.push(Step::pass("results", field.split_whitespace().collect::<Vec<_>>().join(" ")));
}

/// The first of the domains that promises to seal all its mail; one for which mail can be refused comes before others.
async fn promised(desk: &Desk<'_>, claimed: &[Domain]) -> Option<(Domain, Promise)> {
    let mut weak = None;
    for domain in claimed.iter().take(MAX_LOOK_UPS) {
        let local = desk.config.sender(domain);
        // The gateway takes the message too when its ledger cannot be read.
        let Ok(considered) = desk.sources().sender(domain, &local).await else { continue };
        match promise(&local, &considered.outcome, considered.memory.as_ref(), desk.now) {
            Promise::Published => return Some((domain.clone(), Promise::Published)),
            Promise::Weak => {
                weak.get_or_insert_with(|| (domain.clone(), Promise::Weak));
            }
            Promise::None => {}
        }
    }
    weak
}
