//! What a well-formed policy says: its signature, times, keys and suites.

use super::Look;
use super::published::s;
use crate::cli::moment::{length, utc};
use crate::cli::steps::{Step, Steps};
use crate::records::{Mode, PolicyRecord, SignedPolicy, Validity, VerifiedPolicy};

/// Seconds before a policy's expiry from which it is worth a warning: 14 days.
const SOON: u64 = 14 * 86_400;

/// How long, in seconds, MTAs commonly go on trying (RFC 5321 section 4.5.4.1): 5 days.
const QUEUE: u64 = 5 * 86_400;

/// The policy, if its signature holds.
pub(super) fn check(look: &Look<'_>, text: &[u8], steps: &mut Steps) -> Option<VerifiedPolicy> {
    let signed = SignedPolicy::parse(text).ok()?;
    let policy = match signed.verify(look.domain) {
        Ok(policy) => policy,
        Err(error) => {
            let hint = if look.own {
                "the record was changed, or signed for another domain: `mta-seal zone` prints the right one"
                    .to_owned()
            } else {
                look.publish()
            };
            steps.push(Step::fail("signature", format!("for {}: {error}", look.domain)).hint(hint));
            return None;
        }
    };
    let what = format!("holds for {} under the identity key of the record", look.domain);
    steps.push(Step::pass("signature", what));
    let fingerprint = policy.identity().fingerprint();
    steps.push(Step::pass("identity", format!("identity key {fingerprint}")));
    let record = policy.record();
    steps.push(mode(record));
    steps.push(validity(look, &policy));
    steps.push(window(record));
    steps.push(signing_keys(record));
    steps.push(suites(record));
    Some(policy)
}

fn mode(record: &PolicyRecord) -> Step {
    let age = length(record.max_age);
    match record.mode {
        Mode::Enforce => Step::pass(
            "mode",
            format!("enforce: no clear mail, and senders remember that for {age}"),
        ),
        Mode::Testing => Step::pass("mode", "testing: sealed where it can be"),
        Mode::None => Step::warn("mode", "none: the domain has withdrawn sealing"),
    }
}

fn validity(look: &Look<'_>, policy: &VerifiedPolicy) -> Step {
    let (record, now) = (policy.record(), look.now);
    let sign = || match look.own {
        true => "run `mta-seal policy sign`, then publish what it prints".to_owned(),
        false => look.publish(),
    };
    let left = record.expiry.saturating_sub(now);
    match policy.validity(now) {
        Validity::NotYet => {
            let what = format!("not valid before {}: nobody goes by it", utc(record.serial));
            Step::fail("validity", what).hint("compare the clocks; this host's with `timedatectl`")
        }
        Validity::Expired => {
            let ago = length(now.saturating_sub(record.expiry));
            let what = format!("expired {ago} ago, {}: nobody goes by it", utc(record.expiry));
            Step::fail("validity", what).hint(sign())
        }
        Validity::InForce => {
            let what = format!(
                "from {} to {}, {} left",
                utc(record.serial),
                utc(record.expiry),
                length(left)
            );
            if left < SOON {
                Step::warn("validity", what).hint(sign())
            } else {
                Step::pass("validity", what)
            }
        }
    }
}

fn window(record: &PolicyRecord) -> Step {
    let what = format!("sealed mail may be on its way for {}", length(record.window));
    if record.window < QUEUE {
        Step::warn("window", format!("{what}: less than the 5 days for which MTAs try"))
    } else {
        Step::pass("window", what)
    }
}

fn signing_keys(record: &PolicyRecord) -> Step {
    let ids: Vec<String> = record.signing_keys.iter().map(|key| key.key_id().to_string()).collect();
    match &ids[..] {
        [] => Step::warn("signing-keys", "none: no sealed mail of the domain can be verified"),
        ids => Step::pass("signing-keys", format!("{}: {}", ids.len(), ids.join(", "))),
    }
}

fn suites(record: &PolicyRecord) -> Step {
    let entries = &record.sealing_keys;
    if entries.is_empty() {
        return Step::warn("suites", "no key to seal to");
    }
    let mut known: Vec<String> = Vec::new();
    for suite in entries.iter().filter_map(|entry| entry.suite()) {
        let text = suite.to_string();
        if !known.contains(&text) {
            known.push(text);
        }
    }
    let unknown = entries.iter().filter(|entry| entry.suite().is_none()).count();
    match (&known[..], unknown) {
        ([], n) => Step::fail("suites", format!("{n} key{}, none of a suite known here", s(n)))
            .hint("is there a newer version of this program?"),
        ([first, rest @ ..], n) => {
            let mut what = format!("preferred: {first}");
            if !rest.is_empty() {
                what.push_str(&format!("; then {}", rest.join(", ")));
            }
            if n == 0 {
                Step::pass("suites", what)
            } else {
                Step::warn("suites", format!("{what}; {n} key{} of an unknown suite skipped", s(n)))
            }
        }
    }
}
