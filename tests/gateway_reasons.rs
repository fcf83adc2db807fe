//! Why mail waits or is refused: told to our own MTA, logged on both sides, and kept from the world [R-smtp-02], [R-smtp-03].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::core::IdentityKey;
use mta_seal::dns::{Authenticity, Denial, Lookup};
use mta_seal::records::{Mode, PolicyDraft};
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::{Ledger, MAX_DEFERRALS};
use tracing::Level;

const ALICE: &str = "<alice@company1.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\nsecret\r\n";
const DEMANDED: &[u8] = b"From: alice@company1.example\r\nMTA-Seal-Required: yes\r\n\r\nsecret\r\n";

/// The reasons that lines of this kind give about a domain.
fn reasons(log: &Log, message: &str, domain: &str) -> Vec<String> {
    let lines = log.lines(message).into_iter().filter(|line| line["domain"] == domain);
    lines.map(|line| line["reason"].as_str().unwrap().to_owned()).collect()
}

/// What DNS says of a domain.
enum Says {
    Lookup(Lookup),
    Policy(fn(&Org) -> String),
}

fn signed(org: &Org, change: impl FnOnce(&mut PolicyDraft)) -> String {
    let mut draft = org.draft();
    change(&mut draft);
    draft.sign(&org.domain, &org.identity()).unwrap()
}

/// What DNS says of a domain that is not known, and the name of the reason.
fn troubles() -> Vec<(&'static str, Says)> {
    vec![
        ("lookup-servfail", Says::Lookup(Lookup::ServFail { rcode: 2 })),
        ("lookup-timeout", Says::Lookup(Lookup::Timeout)),
        ("lookup-bogus", Says::Lookup(Lookup::Bogus)),
        ("lookup-malformed", Says::Lookup(Lookup::Malformed)),
        ("lookup-cname-loop", Says::Lookup(Lookup::CnameLoop)),
        ("lookup-oversize", Says::Lookup(Lookup::Oversize)),
        (
            "lookup-bad-signature",
            Says::Policy(|org| {
                let stranger = IdentityKey::from_bytes(&[99; 32]);
                let other = org.draft().sign(&org.domain, &stranger).unwrap();
                let signature = other.rsplit("s=").next().unwrap();
                let policy = org.policy();
                let (unsigned, _) = policy.rsplit_once("s=").unwrap();
                format!("{unsigned}s={signature}")
            }),
        ),
        ("policy-expired", Says::Policy(|org| signed(org, |draft| draft.expiry = NOW - 1))),
        (
            "policy-not-yet-valid",
            Says::Policy(|org| {
                signed(org, |draft| {
                    draft.serial = NOW + DAY;
                    draft.expiry = NOW + 2 * DAY;
                })
            }),
        ),
    ]
}

fn publish(world: &World, org: &Org, says: &Says) {
    match says {
        Says::Lookup(lookup) => world.dns.set(org.policy_name(), lookup.clone()),
        Says::Policy(policy) => org.publish_text(&world.dns, &policy(org)),
    }
}

#[tokio::test]
async fn our_own_mta_is_told_why_and_since_when() {
    let log = Log::of_this_process(Level::INFO);
    let world = World::new().await;
    for (at, (name, says)) in troubles().iter().enumerate() {
        let partner = Org::new(&format!("p{at}.inside.example"), 60);
        let domain = partner.domain.as_str();
        publish(&world, &partner, says);
        let to = format!("<bob@{domain}>");
        let first = world.send(ALICE, &[&to], MESSAGE).await;
        let lines: Vec<&str> = first.verdict().text.lines().collect();
        assert_eq!((first.verdict().code, lines.len()), (451, 2), "{first:?}");
        assert!(lines[0].contains(domain), "{lines:?}");
        assert!(lines[1].ends_with(&format!("({name})")), "{name}: {lines:?}");

        // Once it waits, since when; the words are those that the operator is shown.
        let waits = soon("the ledger", async {
            loop {
                let found = world.gw1.ledger.deferrals(Some(&partner.domain), MAX_DEFERRALS).await;
                if let Some(waits) = found.unwrap().pop() {
                    return waits;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(lines[1].ends_with(&waits.cause.words), "{waits:?}");
        let again = world.send(ALICE, &[&to], MESSAGE).await;
        let expected = format!("mail for {domain} has been waiting since 2027-01-15 08:00 UTC");
        let last = again.verdict().text.lines().nth(2).map(str::to_owned);
        assert!(last.is_some_and(|line| line.ends_with(&expected)), "{again:?}");
        assert_eq!(reasons(&log, "mail is deferred", domain), [*name, *name]);
    }
    for (name, says, message) in
        [("no-policy", None, DEMANDED), ("withdrawn", Some(Mode::None), DEMANDED)]
    {
        let partner = Org::new(&format!("{name}.inside.example"), 60);
        if let Some(mode) = says {
            let policy = signed(&partner, |draft| draft.mode = mode);
            partner.publish_text(&world.dns, &policy);
        }
        let to = format!("<bob@{}>", partner.domain);
        let refused = world.send(ALICE, &[&to], message).await;
        assert_eq!(refused.verdict().code, 550, "{refused:?}");
        assert!(refused.verdict().text.ends_with(&format!("({name})")), "{refused:?}");
        assert_eq!(reasons(&log, "mail is refused", partner.domain.as_str()), [name]);
    }
}

#[tokio::test]
async fn the_world_is_told_the_same_whatever_is_wrong() {
    let log = Log::of_this_process(Level::INFO);
    let world = World::new().await;
    let mut expected = Vec::new();
    for (at, (name, says)) in troubles().iter().enumerate() {
        let sender = Org::new(&format!("p{at}.outside.example"), 60);
        publish(&world, &sender, says);
        let carrier = Forgery::new(&sender, &world.company2).carrier();
        let (from, to) = (format!("<alice@{}>", sender.domain), ["<bob@company2.example>"]);
        let answer = deliver(world.gw2.inbound(), Smtp, &from, &to, &carrier).await;
        assert_eq!(
            answer.verdict().text,
            "4.7.5 sealing policy of the sender cannot be verified now; check its DNS records",
            "{name}"
        );
        let logged = reasons(&log, "sender cannot be verified now", sender.domain.as_str());
        assert_eq!(logged, [*name]);
        expected.push(*name);
    }
    // No policy: it may be a resolver's memory. One without a signing key is refused for good, as if a signature were wrong.
    let denied = Denial { authenticity: Authenticity::Secure, ttl: std::time::Duration::ZERO };
    let wait = "4.7.5 sealing policy of the sender cannot be verified now; check its DNS records";
    let wrong = "5.7.7 sealed message failed verification; please send again";
    for (name, text) in [("unknown-sender", wait), ("no-signing-key", wrong)] {
        let sender = Org::new(&format!("{name}.outside.example"), 60);
        if text == wrong {
            let policy = signed(&sender, |draft| {
                draft.mode = Mode::None;
                draft.signing_keys.clear();
                draft.sealing_keys.clear();
            });
            sender.publish_text(&world.dns, &policy);
        } else {
            world.dns.set(sender.policy_name(), Lookup::NoData(denied));
        }
        let carrier = Forgery::new(&sender, &world.company2).carrier();
        let (from, to) = (format!("<alice@{}>", sender.domain), ["<bob@company2.example>"]);
        let answer = deliver(world.gw2.inbound(), Smtp, &from, &to, &carrier).await;
        assert_eq!(answer.verdict().text, text);
        let line = if text == wait {
            "sender cannot be verified now"
        } else {
            "sender cannot be verified"
        };
        let logged = reasons(&log, line, sender.domain.as_str());
        assert_eq!(logged, [name]);
    }
}

#[tokio::test]
async fn the_notice_of_a_refusal_has_the_same_words() {
    let world = World::new().await;
    let to = ["<bob@company2.example>", "<dave@plain.example>"];
    world.send(ALICE, &to, DEMANDED).await.expect("250");
    let notice = world.mta1.wait(1).await.remove(0);
    // Quoted-printable and folded lines put together again.
    let notice = text(&notice.data).replace("=\r\n", "").replace("\r\n\t", " ");
    let why = "mail to the domain must be sealed, but the domain publishes no key (no-policy)";
    assert!(notice.contains(&format!("Refused by this mail system: {why}.")), "{notice}");
    assert!(notice.contains("publishes no sealing policy"), "{notice}");
    assert!(notice.contains("Status: 5.7.10"), "{notice}");
}

/// A client that shares its addresses with strangers, before it has proved anything.
#[tokio::test]
async fn a_client_without_proof_is_told_no_reason() {
    let world = World::new().await;
    let mut spec = world.gw1.spec.clone();
    spec.outbound_extra = "clients = [\"10.0.0.1/32\"]\n[[outbound.shared]]\n\
        clients = [\"127.0.0.0/8\"]\nheader = { name = \"X-Proof\", secret_file = \"proof\" }\n"
        .to_owned();
    let file = world.gw1.directory().join("proof");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let World { mut gw1, dns, company2, relay: _relay, mta1: _mta1, .. } = world;
    gw1.reload(&spec).await.unwrap();
    dns.set(company2.policy_name(), Lookup::Bogus);
    let mut client = Client::greeted(gw1.outbound(), Smtp).await;
    let answer = client.transact(Smtp, ALICE, &["<bob@company2.example>"], MESSAGE).await;
    assert_eq!(
        answer.verdict().text,
        "4.7.10 sealing policy of company2.example cannot be determined now"
    );
}
