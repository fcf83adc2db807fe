//! Whether the world sees the records that the gateway goes by: without them partners send clear mail.

use super::finding::Finding;
use crate::cli::failure::Failure;
use crate::cli::moment::{length, utc};
use crate::core::Domain;
use crate::dns::{Lookup, Resolver};
use crate::records::{
    KeyRecord, SealingEntry, Selection, SignedPolicy, Validity, VerifiedPolicy, key_record_name,
    policy_name, select_key_record, select_policy,
};

/// Seconds before a policy's expiry from which it is worth a warning: 7 days.
const SOON: u64 = 7 * 86_400;

const PUBLISH: &str = "publish what `mta-seal zone` prints";

/// The keys or the policy in the keyring cannot be read.
pub(super) fn unreadable(domain: &Domain, failure: &Failure) -> Finding {
    let (what, hint) = match failure.message() {
        Some(message) => (message.text.clone(), message.hint.clone()),
        None => ("cannot be read".to_owned(), None),
    };
    let hint = hint.unwrap_or_else(|| "`mta-seal config check` says more".to_owned());
    Finding::fail(format!("keyring {domain}"), what, hint)
}

/// The published policy, and the key records it lists.
pub(super) async fn check(resolver: &dyn Resolver, own: &VerifiedPolicy, now: u64) -> Vec<Finding> {
    let domain = own.domain();
    let mut findings = vec![policy(resolver, own, now).await];
    for entry in &own.record().sealing_keys {
        let SealingEntry::Listed { selector, key_id, .. } = entry else { continue };
        let name = key_record_name(selector, domain);
        let subject = format!("dns {name}");
        findings.push(match records(resolver, &name).await {
            Err(what) => Finding::fail(subject, what, PUBLISH),
            Ok(records) => match select_key_record(&records) {
                Selection::None => Finding::fail(subject, "no key record", PUBLISH),
                Selection::Several => {
                    Finding::fail(subject, "several key records", "remove all but one")
                }
                Selection::One(text) => match KeyRecord::parse(text) {
                    Ok(record) if record.unverified().key_id() == *key_id => {
                        Finding::ok(subject, "the key that the policy lists")
                    }
                    Ok(_) => Finding::fail(subject, "not the key that the policy lists", PUBLISH),
                    Err(error) => Finding::fail(subject, error.to_string(), PUBLISH),
                },
            },
        });
    }
    findings
}

async fn policy(resolver: &dyn Resolver, own: &VerifiedPolicy, now: u64) -> Finding {
    let domain = own.domain();
    let name = policy_name(domain);
    let subject = format!("dns {name}");
    let records = match records(resolver, &name).await {
        Ok(records) => records,
        Err(what) => return Finding::fail(subject, what, PUBLISH),
    };
    let text = match select_policy(&records) {
        Selection::One(text) => text,
        Selection::None => return Finding::fail(subject, "no policy record", PUBLISH),
        Selection::Several => {
            return Finding::fail(subject, "several policy records", "remove all but one");
        }
    };
    let published = match SignedPolicy::parse(text) {
        Ok(signed) => signed,
        Err(error) => return Finding::fail(subject, error.to_string(), PUBLISH),
    };
    let serial = published.unverified().serial;
    let published = match published.verify(domain) {
        Ok(policy) => policy,
        Err(error) => return Finding::fail(subject, error.to_string(), PUBLISH),
    };
    let local = own.record();
    if published.text() != own.text() {
        let hint = if serial > local.serial {
            "the policy was signed elsewhere: put that policy.txt, and its keys, into the keyring"
        } else {
            PUBLISH
        };
        let what = format!(
            "the published policy (serial {serial}) is not the one of this gateway (serial {})",
            local.serial
        );
        return Finding::fail(subject, what, hint);
    }
    let expiry = local.expiry;
    match published.validity(now) {
        Validity::NotYet => Finding::fail(subject, "not valid yet", "check the clock"),
        Validity::Expired => Finding::fail(
            subject,
            format!("expired {} ago", length(now.saturating_sub(expiry))),
            "`mta-seal policy sign`, then publish what it prints",
        ),
        Validity::InForce if expiry.saturating_sub(now) < SOON => Finding::warning(
            subject,
            format!("expires in {}", length(expiry.saturating_sub(now))),
            "`mta-seal policy sign`, then publish what it prints",
        ),
        Validity::InForce => Finding::ok(
            subject,
            format!("as this gateway has it: serial {serial}, expires {}", utc(expiry)),
        ),
    }
}

/// TXT records of a name, or what is wrong.
async fn records(resolver: &dyn Resolver, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let Ok(name) = Domain::from_canonical(name.as_bytes()) else {
        return Err("the name is too long for DNS".to_owned());
    };
    match resolver.txt(&name).await {
        Lookup::Found(found) => Ok(found.records),
        Lookup::NoData(_) | Lookup::NxDomain(_) => Err("no such record".to_owned()),
        failure => Err(format!("the look-up failed ({})", failure.label())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::cli::bypass::finding::text;
    use crate::core::{IdentityKey, SealingPrivateKey, SigningKey, Suite};
    use crate::dns::{Authenticity, Scripted};
    use crate::records::{Mode, PolicyDraft, Selector};

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn domain() -> Domain {
        Domain::parse("company1.example").unwrap()
    }

    fn selector() -> Selector {
        "s1".parse().unwrap()
    }

    fn sealing(seed: u8) -> SealingPrivateKey {
        SealingPrivateKey::from_bytes(Suite::XWing, &[seed; 32]).unwrap()
    }

    fn signed(serial: u64, expiry: u64, key: u8) -> VerifiedPolicy {
        let draft = PolicyDraft {
            mode: Mode::Testing,
            serial,
            expiry,
            max_age: 60 * DAY,
            window: 14 * DAY,
            signing_keys: vec![SigningKey::from_bytes(&[2; 32]).public().clone()],
            sealing_keys: vec![SealingEntry::of(sealing(key).public(), &selector())],
            outgoing_always: false,
            rollover: None,
            next_identity: None,
        };
        let text = draft.sign(&domain(), &IdentityKey::from_bytes(&[1; 32])).unwrap();
        SignedPolicy::parse(text.as_bytes()).unwrap().verify(&domain()).unwrap()
    }

    fn publish(dns: &Scripted, name: &str, text: &str) {
        let name = Domain::from_canonical(name.as_bytes()).unwrap();
        dns.set_txt(name, &[text.as_bytes()], Authenticity::Insecure);
    }

    /// What is said of a policy when this one, and this key record, are published.
    async fn said(local: &VerifiedPolicy, policy: Option<&str>, key: Option<u8>) -> String {
        let dns = Scripted::new();
        if let Some(policy) = policy {
            publish(&dns, &policy_name(&domain()), policy);
        }
        if let Some(key) = key {
            let record = KeyRecord::new(sealing(key).public().clone()).to_string();
            publish(&dns, &key_record_name(&selector(), &domain()), &record);
        }
        text(&check(&dns, local, NOW).await)
    }

    #[tokio::test]
    async fn what_is_published_is_compared_with_what_is_here() {
        let local = signed(5, NOW + 30 * DAY, 3);
        let old = signed(4, NOW + 30 * DAY, 3);
        let newer = signed(6, NOW + 30 * DAY, 3);
        let soon = signed(5, NOW + 3 * DAY, 3);
        let over = signed(5, NOW - 3 * DAY, 3);
        let said = [
            said(&local, Some(local.text()), Some(3)).await,
            said(&local, Some(local.text()), Some(4)).await,
            said(&local, Some(local.text()), None).await,
            said(&local, Some(old.text()), Some(3)).await,
            said(&local, Some(newer.text()), Some(3)).await,
            said(&local, Some("v=MTASEAL1; broken"), Some(3)).await,
            said(&local, None, Some(3)).await,
            said(&soon, Some(soon.text()), Some(3)).await,
            said(&over, Some(over.text()), Some(3)).await,
        ];
        insta::assert_snapshot!(said.join("\n"));
    }
}
