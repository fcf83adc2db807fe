//! An ordinary message that arrives: whether it should have been sealed [R-uns-07] [R-uns-12].

use super::{Desk, Message, Outer, refused};
use crate::cli::steps::{Step, Steps};
use crate::core::Domain;
use crate::gateway::{Cause, Claimed, Exceptions, Failure as Refusal, Ruling};
use crate::mail::results;
use crate::policy::Promise;

/// Who may send in clear all the same; which client brings a message, and to whom, only the gateway knows.
const EXCEPT: &str =
    "unless it is to postmaster, abuse or mta-seal, or a listed forwarder brings it";

pub(super) async fn explain(desk: &Desk<'_>, message: &Message, outer: &Outer, steps: &mut Steps) {
    let config = desk.config;
    let Some(inbound) = &config.inbound else {
        steps.push(Step::fail("claims", "this gateway has no [inbound]: it takes nothing"));
        return;
    };
    let claimed = Claimed::of(&outer.from, &message.header);
    steps.push(claims(&claimed));
    let (always, exceptions) = (inbound.outgoing_always, Exceptions::default());
    if let Ruling::Refused(domain) = claimed.by_operator(config, exceptions, &config.hostname) {
        // The gateway's reply names the client instead, by its EHLO.
        let nobody = !claimed.is_unread() && claimed.domains().is_empty();
        let from = if nobody { "nobody in particular" } else { domain.as_str() };
        let what = format!("the configuration takes no clear mail from {from}, {EXCEPT}");
        steps.push(refused("must-be-sealed", &what, &Refusal::SealDemanded(domain)));
        return;
    }
    let promises = promises(desk, claimed.to_look_up(always)).await;
    let ruling = claimed.by_promises(always, &promises, exceptions);
    let expected = ruling != Ruling::Taken;
    steps.push(match ruling {
        Ruling::Taken => Step::pass("must-be-sealed", "no: clear mail from there is taken"),
        Ruling::Refused(domain) => {
            let what =
                format!("{domain} promises to seal all its mail (o=always); refused, {EXCEPT}");
            steps.push(refused("must-be-sealed", &what, &Refusal::SealDemanded(domain)));
            return;
        }
        Ruling::Marked(Cause::Promise(domain) | Cause::Operator(domain)) => {
            let what = format!("{domain} promises to seal all its mail (o=always): it is marked");
            Step::warn("must-be-sealed", what)
        }
        Ruling::Marked(Cause::TooMany) => {
            let what = "it comes in the name of more domains than are looked up: it is marked";
            Step::warn("must-be-sealed", what)
        }
    });
    let outcome = results::Outcome::None { expected };
    let field = results::field(config.hostname.as_str(), &outcome);
    steps.push(Step::pass("results", field.split_whitespace().collect::<Vec<_>>().join(" ")));
}

fn claims(claimed: &Claimed) -> Step {
    if claimed.is_unread() {
        let what = "From shows more than anybody reads: whoever must seal may be among them";
        return Step::warn("claims", what);
    }
    let domains = claimed.domains();
    let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
    match &names[..] {
        [] => Step::warn("claims", "it comes from no domain in particular"),
        names => Step::pass("claims", format!("it comes in the name of {}", names.join(", "))),
    }
}

/// What the domains promise. The gateway takes a message too when its ledger cannot be read.
async fn promises(desk: &Desk<'_>, domains: Vec<Domain>) -> Vec<(Domain, Promise)> {
    let mut promises = Vec::new();
    for domain in domains {
        let local = desk.config.sender(&domain);
        if let Ok(considered) = desk.sources().promise(&domain, &local).await {
            promises.push((domain, considered.verdict));
        }
    }
    promises
}
