//! The records as DNS has them: the policy record and the key records that it lists.

use super::servers;
use super::{Look, delegation};
use crate::cli::steps::{Step, Steps};
use crate::core::Domain;
use crate::dns::authorities::Via;
use crate::dns::{Lookup, MAX_CHAIN, Resolver};
use crate::records::tags::TagList;
use crate::records::{
    KeyRecord, MAX_KEY_RECORD, MAX_POLICY, MAX_STRING, RecordError, SealingEntry, Selection,
    SignedPolicy, VerifiedPolicy, key_record_name, select_key_record, select_policy,
};

/// Octets of TXT data up to which an answer fits into one UDP datagram (RFC 9715: 1,232 octets), with room for the rest of it.
const UDP_TEXT: usize = 1_100;

/// The longest TXT value, in octets, that large DNS hosts take.
const HOSTED_TEXT: usize = 2_048;

/// The version tags that begin the records.
const POLICY: &str = "v=MTASEAL1";
const KEY: &str = "v=MTASEALKEY1";

/// The text of the policy record, if there is exactly one and it is well-formed.
pub(super) async fn record(
    look: &Look<'_>,
    name: &Domain,
    lookup: &Lookup,
    steps: &mut Steps,
) -> Option<Vec<u8>> {
    let found = match lookup {
        Lookup::Found(found) => found,
        other => {
            steps.push(absent(look, "record", name, other).await);
            return None;
        }
    };
    let text = match select_policy(&found.records) {
        Selection::One(text) => text,
        Selection::None => {
            let n = found.records.len();
            let what = format!("{name} has {n} TXT record{}, but no policy ({POLICY})", s(n));
            steps.push(Step::fail("record", what).hint(look.publish()));
            return None;
        }
        Selection::Several => {
            let what = format!("{name} has more than one policy record, so none of them counts");
            let hint = if look.own { "remove all but one".to_owned() } else { look.publish() };
            steps.push(Step::fail("record", what).hint(hint));
            return None;
        }
    };
    if let Err(error) = SignedPolicy::parse(text) {
        let what =
            format!("the policy record at {name} is malformed: {}", placed(text, POLICY, &error));
        steps
            .push(Step::fail("record", what).hint(mangled(text).unwrap_or_else(|| look.publish())));
        return None;
    }
    let what = format!("one policy record at {name}, {} octets, well-formed", text.len());
    steps.push(Step::pass("record", what));
    let all: usize = found.records.iter().map(Vec::len).sum();
    steps.push(sizes("strings", name, text.len(), all));
    steps.push(aliases(name, &found.chain));
    Some(text.to_vec())
}

/// The key records that a policy lists: found, well-formed, and holding the keys that the policy names.
pub(super) async fn keys(look: &Look<'_>, policy: &VerifiedPolicy, steps: &mut Steps) {
    for entry in &policy.record().sealing_keys {
        let SealingEntry::Listed { suite, selector, key_id } = entry else { continue };
        let name = key_record_name(selector, look.domain);
        let Ok(name) = Domain::from_canonical(name.as_bytes()) else {
            steps.push(Step::fail("key-record", format!("{name} is too long for DNS")));
            continue;
        };
        let lookup = look.resolver.txt(&name).await;
        let step = match &lookup {
            Lookup::Found(found) => match select_key_record(&found.records) {
                Selection::None => {
                    let what = format!("{name} has TXT records, but no key record ({KEY})");
                    Step::fail("key-record", what).hint(look.publish())
                }
                Selection::Several => {
                    let what = format!("{name} has more than one key record");
                    Step::fail("key-record", what).hint(look.publish())
                }
                Selection::One(text) => {
                    let all: usize = found.records.iter().map(Vec::len).sum();
                    let step = sizes("key-strings", &name, text.len(), all);
                    steps.push(step);
                    match KeyRecord::parse(text) {
                        Err(error) => {
                            let why = placed(text, KEY, &error);
                            let what = format!("the key record at {name} is malformed: {why}");
                            let hint = mangled(text).unwrap_or_else(|| look.publish());
                            Step::fail("key-record", what).hint(hint)
                        }
                        Ok(record) => match record.authenticate(*suite, key_id) {
                            Some(_) => {
                                let what = format!(
                                    "{name} holds the key of suite {suite} that the policy lists"
                                );
                                Step::pass("key-record", what)
                            }
                            None => {
                                let what = format!(
                                    "{name} holds another key than the policy lists ({key_id})"
                                );
                                Step::fail("key-record", what).hint(look.publish())
                            }
                        },
                    }
                }
            },
            other => absent(look, "key-record", &name, other).await,
        };
        steps.push(step);
        servers::ask(look, "key-servers", &name, &lookup, Via::Tcp, steps).await;
    }
}

/// A look-up that brought no records.
async fn absent(look: &Look<'_>, step: &'static str, name: &Domain, lookup: &Lookup) -> Step {
    match lookup {
        Lookup::NxDomain(_) => {
            let what = delegation::follow(look, name).await.told(name);
            Step::fail(step, format!("{what} does not exist")).hint(look.publish())
        }
        Lookup::NoData(_) | Lookup::Found(_) => {
            let what = delegation::follow(look, name).await.told(name);
            Step::fail(step, format!("{what} has no TXT record")).hint(look.publish())
        }
        Lookup::Bogus => {
            Step::fail(step, format!("the answer for {name} is not authentic (DNSSEC)"))
        }
        Lookup::Malformed => {
            Step::fail(step, format!("the answer for {name} breaks the DNS protocol"))
        }
        Lookup::CnameLoop => {
            let links = delegation::follow(look, name).await.links;
            let way = match links.is_empty() {
                true => String::new(),
                false => format!(": {name} -> {}", delegation::arrows(&links)),
            };
            let what =
                format!("{name} is an alias in a circle, or one of more than {MAX_CHAIN}{way}");
            Step::fail(step, what)
                .hint("the aliases (CNAME) must end at a name that has the record")
        }
        Lookup::Oversize => Step::fail(step, format!("the answer for {name} is too large")),
        Lookup::ServFail { rcode } => Step::unknown(
            step,
            format!("the look-up of {name} failed: the servers say {}", rcode_name(*rcode)),
        )
        .hint("try again; if it stays so, ask another resolver, and see [dns]"),
        Lookup::Timeout => Step::unknown(step, format!("the look-up of {name} took too long"))
            .hint("try again; if it stays so, see [dns]"),
    }
}

/// The words for a response code.
pub(super) fn rcode_name(rcode: u16) -> String {
    match rcode {
        2 => "SERVFAIL".to_owned(),
        5 => "REFUSED".to_owned(),
        other => format!("response code {other}"),
    }
}

/// How long a record is, and what that costs.
fn sizes(step: &'static str, name: &Domain, octets: usize, all: usize) -> Step {
    let strings = octets.div_ceil(MAX_STRING).max(1);
    let text = format!(
        "{octets} octets at {name}: {strings} string{} of at most {MAX_STRING}",
        s(strings)
    );
    let limit = if step == "strings" { MAX_POLICY } else { MAX_KEY_RECORD };
    if octets > HOSTED_TEXT && octets <= limit {
        return Step::warn(
            step,
            format!("{text}; more than the {HOSTED_TEXT} that large DNS hosts take"),
        );
    }
    if step == "strings" && all > UDP_TEXT {
        return Step::warn(step, format!("{text}; all TXT records there have {all}, too many for one UDP answer, so that each look-up needs TCP"))
            .hint("a wildcard may have added records of other purposes to the name");
    }
    let how = if all > UDP_TEXT { "fetched by TCP" } else { "one UDP answer" };
    Step::pass(step, format!("{text}, {how}"))
}

fn aliases(name: &Domain, chain: &[String]) -> Step {
    if chain.is_empty() {
        return Step::pass("aliases", format!("{name} is no alias"));
    }
    Step::pass("aliases", format!("{name} is an alias: {}", chain.join(" -> ")))
}

/// The error, with the position of the tag it is about.
fn placed(text: &[u8], version: &str, error: &RecordError) -> String {
    let position = match error {
        RecordError::Value { tag, .. } => TagList::parse(text, version, MAX_KEY_RECORD)
            .ok()
            .and_then(|tags| tags.iter().find(|found| found.name == *tag).map(|found| found.start)),
        _ => None,
    };
    match position {
        Some(at) => format!("{error} (at octet {at})"),
        None => error.to_string(),
    }
}

/// What to do about a text that has become another on its way into DNS.
fn mangled(text: &[u8]) -> Option<String> {
    text.contains(&b'"').then(|| {
        "the text holds quotation marks: paste it into the DNS panel as `mta-seal zone --format values` prints it".to_owned()
    })
}

/// The ending of a plural.
pub(super) fn s(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
