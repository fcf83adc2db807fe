//! An ordinary message that arrives: whether it would have had to be sealed [R-uns-07].

use super::{Desk, Message, Outer, refused};
use crate::cli::steps::{Step, Steps};
use crate::core::Domain;
use crate::gateway::Failure as Refusal;
use crate::gateway::config::ClearMail;
use crate::mail::address::claimed_domains;
use crate::mail::results;

pub(super) fn explain(desk: &Desk<'_>, message: &Message, outer: &Outer, steps: &mut Steps) {
    let config = desk.config;
    let path = outer.from.domain().cloned();
    let Some(authors) = claimed_domains(&message.header) else {
        let what = "From shows more than anybody reads: whoever must seal may be among them";
        steps.push(Step::warn("claims", what));
        return;
    };
    let mut claimed: Vec<Domain> = path.into_iter().collect();
    claimed.extend(authors.into_iter().filter(|author| outer.from.domain() != Some(author)));
    let names: Vec<&str> = claimed.iter().map(Domain::as_str).collect();
    steps.push(match &names[..] {
        [] => Step::warn("claims", "it comes from no domain in particular"),
        names => Step::pass("claims", format!("it comes in the name of {}", names.join(", "))),
    });
    let strict = claimed.iter().find(|d| config.treatment(d).inbound == ClearMail::RequireSealed);
    if let Some(domain) = strict {
        let what = format!(
            "clear mail from {domain} is refused, unless it is to postmaster, abuse or mta-seal (inbound = \"require-sealed\")"
        );
        steps.push(refused("must-be-sealed", &what, &Refusal::SealDemanded(domain.clone())));
        return;
    }
    steps.push(Step::pass("must-be-sealed", "no: the configuration takes clear mail from there"));
    let field = results::field(config.hostname.as_str(), &results::Outcome::None);
    steps.push(Step::pass("results", field.split_whitespace().collect::<Vec<_>>().join(" ")));
}
