//! A domain of our own: what DNS has, compared with what is here.

use super::{Look, delegation};
use crate::cli::context::Own;
use crate::cli::steps::{Step, Steps};
use crate::dns::MailHosts;
use crate::gateway::config::{Config, LocalDomain};
use crate::records::{MAX_STRING, Mode, VerifiedPolicy};
use crate::store::keyring::Find;

pub(super) async fn check(
    look: &Look<'_>,
    config: &Config,
    local: &LocalDomain,
    published: Option<&VerifiedPolicy>,
    steps: &mut Steps,
) {
    steps.extend(zone_file(config, local));
    let own = Own::load(local);
    let policy = own.as_ref().ok().map(|own| own.policy.record());
    delegation::check(look, local, policy, steps).await;
    match own {
        Ok(own) => {
            if let Some(published) = published {
                keys(look, &own, published, steps);
            }
        }
        Err(failure) => {
            let (text, hint) = match failure.message() {
                Some(message) => (message.text.clone(), message.hint.clone()),
                None => ("the keyring cannot be read".to_owned(), None),
            };
            let hint = hint.unwrap_or_else(|| "`mta-seal config check` says more".to_owned());
            steps.push(Step::fail("local-policy", text).hint(hint));
        }
    }
    if let Some(published) = published {
        steps.push(outgoing(config, published));
    }
    steps.push(exchangers(look, published).await);
}

/// Policy, identity, signing and sealing keys.
fn keys(look: &Look<'_>, own: &Own, published: &VerifiedPolicy, steps: &mut Steps) {
    let (here, there) = (own.policy.record(), published.record());
    let place = own.keyring.directory().display();
    steps.push(if own.policy.text() == published.text() {
        Step::pass("local-policy", format!("the published policy is the one in {place}"))
    } else {
        let what = format!(
            "the published policy (serial {}) is not the one in {place} (serial {})",
            there.serial, here.serial
        );
        Step::fail("local-policy", what).hint(if there.serial > here.serial {
            "the policy was signed elsewhere: put that policy.txt, and its keys, into the keyring"
                .to_owned()
        } else {
            look.publish()
        })
    });
    let (ours, theirs) = (own.policy.identity().fingerprint(), published.identity().fingerprint());
    steps.push(if ours == theirs {
        Step::pass("local-identity", "the published identity key is ours")
    } else {
        let what = format!("the published identity key is {theirs}, ours is {ours}");
        Step::fail("local-identity", what)
            .hint("partners that remember ours will not believe the other")
    });
    let listed: Vec<_> = there.signing_keys.iter().map(|key| key.key_id()).collect();
    steps.push(match own.keyring.signing_key(listed) {
        Some(key) => {
            let id = key.public().key_id();
            Step::pass("local-signing", format!("the published policy lists our signing key {id}"))
        }
        None if there.mode == Mode::None => Step::pass(
            "local-signing",
            "the published policy lists no signing key, as it is withdrawn",
        ),
        None => {
            let what = format!("the published policy lists no signing key that is in {place}");
            Step::fail("local-signing", what).hint("partners refuse what this gateway seals")
        }
    });
    let ids: Vec<_> = there.sealing_keys.iter().filter_map(|entry| entry.key_id()).collect();
    let missing: Vec<String> = ids
        .iter()
        .filter(|id| !matches!(own.keyring.find(id), Find::Found(_)))
        .map(ToString::to_string)
        .collect();
    steps.push(if missing.is_empty() {
        Step::pass(
            "local-sealing",
            format!("{place} has the private key of each of the {} listed", ids.len()),
        )
    } else {
        let what = format!("the private key of {} is not in {place}", missing.join(", "));
        Step::fail("local-sealing", what).hint(
            "mail sealed to it cannot be opened: restore the key, or publish a policy without it",
        )
    });
}

/// The zone file that `init` wrote beside the configuration, if it is still there: strings that DNS cannot hold.
fn zone_file(config: &Config, local: &LocalDomain) -> Option<Step> {
    let file = config.file.with_file_name(format!("{}.zone", local.name));
    let text = std::fs::read_to_string(&file).ok()?;
    let longest = text.lines().flat_map(strings).map(str::len).max().unwrap_or(0);
    let name = file.display();
    Some(if longest > MAX_STRING {
        let what =
            format!("{name} has a string of {longest} octets: DNS holds {MAX_STRING} at most");
        Step::fail("local-zone", what)
            .hint("`mta-seal zone` prints lines that are cut as they must be")
    } else {
        Step::pass("local-zone", format!("no string in {name} is longer than {MAX_STRING} octets"))
    })
}

/// What stands between quotation marks on a line of a master file.
fn strings(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

/// Whether what the policy promises of outgoing mail can be kept.
fn outgoing(config: &Config, published: &VerifiedPolicy) -> Step {
    match (published.record().outgoing_always, &config.outbound) {
        (false, _) => Step::pass("outgoing", "the policy makes no promise about outgoing mail"),
        (true, Some(_)) => Step::pass(
            "outgoing",
            "the policy promises (o=always) that outgoing mail is sealed where it can be",
        ),
        (true, None) => {
            let what = "the policy promises (o=always) sealed outgoing mail, but this gateway has no [outbound]";
            Step::warn("outgoing", what).hint("another gateway must seal all mail of the domain")
        }
    }
}

/// Whether the domain takes mail at all.
async fn exchangers(look: &Look<'_>, published: Option<&VerifiedPolicy>) -> Step {
    let asks = published.is_some_and(|policy| policy.record().mode != Mode::None);
    match look.resolver.mail_hosts(look.domain).await {
        MailHosts::Listed(hosts) => Step::pass(
            "mx",
            format!("{}; `mta-seal bypass` says whether they lead here", hosts.join(", ")),
        ),
        MailHosts::Implicit => {
            Step::pass("mx", "no MX record: the domain's own address takes its mail")
        }
        MailHosts::Nobody if asks => Step::warn(
            "mx",
            "the null MX says that the domain takes no mail, but its policy asks for sealed mail",
        ),
        MailHosts::Nobody => Step::pass("mx", "the domain takes no mail (null MX)"),
        MailHosts::NoDomain => Step::fail("mx", format!("{} does not exist in DNS", look.domain)),
        MailHosts::Unknown => Step::unknown("mx", "the look-up of the MX records failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_a_line_are_found() {
        let line = r#"_mta-seal.a.example. 60 IN TXT ( "one" "two" )"#;
        assert_eq!(strings(line).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(strings("; comment").count(), 0);
    }
}
