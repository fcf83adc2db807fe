//! Whatever fails on the way out, nothing goes clear that must not, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::sync::Arc;
use std::time::Duration;

use gateway_support::*;
use mta_seal::core::IdentityKey;
use mta_seal::dns::{Authenticity, Denial, Lookup, LookupFuture, QueryName, Resolver};
use mta_seal::records::Mode;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use mta_seal::store::ledger::{Options, Scope};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const EVE: &str = "<eve@plain.example>";

fn message(fields: &str) -> Vec<u8> {
    format!("From: alice@company1.example\r\n{fields}\r\ncanary\r\n").into_bytes()
}

async fn world(extra1: &str) -> World {
    World::with(WorldOptions { extra1: extra1.to_owned(), ..WorldOptions::default() }).await
}

#[track_caller]
fn nothing_sent(world: &World) {
    assert!(world.relay.messages().is_empty());
    assert!(world.relay.commands("MAIL").is_empty());
    assert!(!contains(&world.relay.raw(), b"canary"));
}

fn denied(authenticity: Authenticity) -> Denial {
    Denial { authenticity, ttl: Duration::from_secs(60) }
}

#[tokio::test]
async fn failed_lookups_defer() {
    let world = world("").await;
    let name = world.company2.policy_name();
    for failure in [
        Lookup::ServFail { rcode: 2 },
        Lookup::ServFail { rcode: 5 },
        Lookup::Timeout,
        Lookup::Bogus,
        Lookup::Malformed,
        Lookup::CnameLoop,
        Lookup::Oversize,
    ] {
        world.dns.set(name.clone(), failure.clone());
        let sent = world.send(ALICE, &[BOB], &message("")).await;
        assert!(sent.rcpt[0].is("451 4.7.10"), "{failure:?}: {sent:?}");
        assert!(sent.rcpt[0].text.contains("company2.example"), "{sent:?}");
    }
    nothing_sent(&world);
}

#[tokio::test]
async fn unusable_policies_defer() {
    let world = world("").await;
    let (org, name) = (&world.company2, world.company2.policy_name());
    let good = org.policy();
    let sign = |change: fn(&mut mta_seal::records::PolicyDraft)| {
        let mut draft = org.draft();
        change(&mut draft);
        draft.sign(&org.domain, &org.identity()).unwrap()
    };
    let foreign = org.draft().sign(&world.company1.domain, &org.identity()).unwrap();
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("two records", vec![good.clone(), good.clone()]),
        ("expired", vec![sign(|d| d.expiry = NOW - 1)]),
        ("expires now", vec![sign(|d| d.expiry = NOW)]),
        ("not yet valid", vec![sign(|d| d.serial = NOW + 2 * HOUR)]),
        ("malformed", vec!["v=MTASEAL1; nonsense".to_owned()]),
        ("only the version", vec!["v=MTASEAL1".to_owned()]),
        ("duplicate tag", vec![good.replacen("; ", "; m=enforce; ", 1)]),
        ("altered", vec![good.replace("m=enforce", "m=testing")]),
        ("for another name", vec![foreign]),
        ("signature cut", vec![good[..good.len() - 8].to_owned()]),
        ("too long", vec![good.replacen("; ", &format!("; y={}; ", "x".repeat(2048)), 1)]),
    ];
    for (what, texts) in cases {
        let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        world.dns.set_txt(name.clone(), &texts, Authenticity::Secure);
        let sent = world.send(ALICE, &[BOB], &message("")).await;
        assert!(sent.rcpt[0].is("451 4.7."), "{what}: {sent:?}");
    }
    nothing_sent(&world);
    // What is no policy of ours does not count as one.
    let texts: [&[u8]; 2] = [b"v=spf1 -all", good.as_bytes()];
    world.dns.set_txt(name, &texts, Authenticity::Secure);
    world.send(ALICE, &[BOB], &message("")).await.expect("250");
    assert!(!contains(&world.relay.raw(), b"canary"));
}

/// A listed key whose record cannot be had.
#[tokio::test]
async fn missing_key_record_defers() {
    let world = world("").await;
    let mut org = world.company2.clone();
    org.suites = vec![mta_seal::core::Suite::XWing];
    org.publish(&world.dns);
    let record = {
        world.send(ALICE, &[BOB], &message("")).await.expect("250");
        world.dns.asked().into_iter().find(|n| n.as_str().starts_with('k')).unwrap()
    };
    let fresh = Gw::start(
        &Spec::new(&world.company1).outbound(Smtp, &world.relay.url),
        &world.dns,
        &world.clock,
    )
    .await;
    let before = world.relay.messages().len();
    for lookup in [
        Lookup::NxDomain(denied(Authenticity::Insecure)),
        Lookup::Timeout,
        Lookup::Bogus,
        Lookup::Malformed,
    ] {
        world.dns.set(record.clone(), lookup.clone());
        let sent = deliver(fresh.outbound(), Smtp, ALICE, &[BOB], &message("")).await;
        assert!(sent.rcpt[0].is("451 4.7.5"), "{lookup:?}: {sent:?}");
    }
    assert_eq!(world.relay.messages().len(), before);
}

/// A resolver that never answers.
struct Silent;

impl Resolver for Silent {
    fn txt<'a>(&'a self, _: &'a QueryName) -> LookupFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn silent_dns_defers_within_its_budget() {
    let world = world("").await;
    let spec = Spec::new(&world.company1)
        .outbound(Smtp, &world.relay.url)
        .extra("[dns]\ntimeout = \"100ms\"");
    let gw1 = Gw::start_with(&spec, &world.dns, Arc::new(Silent), &world.clock).await;
    let sent = deliver(gw1.outbound(), Smtp, ALICE, &[BOB], &message("")).await;
    assert!(sent.rcpt[0].is("451 4.7.10"), "{sent:?}");
    nothing_sent(&world);
}

#[tokio::test]
async fn local_rules() {
    // [R-dec-03]
    let world = world(
        "[[partner]]\ndomain = \"plain.example\"\npolicy = \"require\"\n\
         [[partner]]\ndomain = \"company2.example\"\npolicy = \"never\"\n\
         [[partner]]\ndomain = \"weak.example\"\nminimum_level = \"dnssec\"\n",
    )
    .await;
    let sent = world.send(ALICE, &[EVE], &message("")).await;
    assert!(sent.rcpt[0].is("550 5.7.10"), "{sent:?}");
    assert!(sent.rcpt[0].text.contains("plain.example"), "{sent:?}");
    // Neither a policy below the minimum nor an unsigned denial will do.
    let weak = "<x@weak.example>";
    let sent = world.send(ALICE, &[weak], &message("")).await;
    assert!(sent.rcpt[0].is("451 4.7.5"), "{sent:?}");
    Org::new("weak.example", 40).publish(&world.dns);
    let sent = world.send(ALICE, &[weak], &message("")).await;
    assert!(sent.rcpt[0].is("451 4.7.5"), "{sent:?}");
    nothing_sent(&world);
    // The operator's `never` wins over a policy, but not over the message's own demand.
    let demand = message("MTA-Seal-Required: yes\r\n");
    let sent = world.send(ALICE, &[BOB], &demand).await;
    assert!(sent.end[0].is("550 5.7.10 sealing is demanded and refused"), "{sent:?}");
    assert!(world.relay.messages().is_empty());
    world.send(ALICE, &[BOB], &message("")).await.expect("250");
    assert!(contains(&world.relay.only().data, b"canary"));
}

#[tokio::test]
async fn demand_is_met_or_refused() {
    // [R-seal-03]
    let world = world("").await;
    let demand = message("MTA-Seal-Required: yes\r\n");
    for field in ["MTA-Seal-Required: yes\r\n", "mta-seal-required:\r\n YES \r\n"] {
        let sent = world.send(ALICE, &[EVE], &message(field)).await;
        assert!(sent.end[0].is("550 5.7.10"), "{sent:?}");
    }
    let sent = world.send(ALICE, &["<x@[192.0.2.1]>"], &demand).await;
    assert!(sent.end[0].is("550 5.7.10 sealing is required and the recipient has no domain"));
    // A malformed demand is refused even where the message would be sealed.
    for bad in [
        "MTA-Seal-Required: perhaps\r\n",
        "MTA-Seal-Required: \r\n",
        "MTA-Seal-Required: yes please\r\n",
        "MTA-Seal-Required: yes\r\nMTA-Seal-Required: maybe\r\n",
    ] {
        let sent = world.send(ALICE, &[BOB, EVE], &message(bad)).await;
        assert!(sent.end[0].is("550 5.6.0 malformed MTA-Seal-Required field"), "{bad} {sent:?}");
    }
    assert!(world.relay.messages().is_empty());
    assert!(!contains(&world.relay.raw(), b"canary"));
    // For several recipients: sealed for one, refused for the other, who is reported.
    world.send(ALICE, &[BOB, EVE], &demand).await.expect("250");
    let carrier = world.relay.only();
    assert_eq!(carrier.to, [BOB]);
    // The field stays, so that an onward gateway honours it.
    assert_eq!(open(&carrier.data, &world.company1, &world.company2).0, demand);
    assert!(contains(&world.mta1.wait(1).await[0].data, b"eve@plain.example"));
    assert!(!contains(&world.relay.raw(), b"canary"));
}

/// With LMTP before us each recipient is told.
#[tokio::test]
async fn demand_over_lmtp() {
    let world = World::with(WorldOptions { inside: Lmtp, ..WorldOptions::default() }).await;
    let demand = message("MTA-Seal-Required: yes\r\n");
    let sent = world.send(ALICE, &[EVE, BOB], &demand).await;
    assert!(sent.end[0].is("550 5.7.10") && sent.end[1].is("250"), "{sent:?}");
    assert!(!contains(&world.relay.raw(), b"canary"));
}

#[tokio::test]
async fn closed_ledger_stops_everything() {
    let world = world("").await;
    let carrier = world.carrier(&message("")).await;
    let before = world.relay.messages().len();
    world.gw1.ledger.clone().close().await;
    for to in [BOB, EVE] {
        let sent = world.send(ALICE, &[to], &message("")).await;
        assert!(sent.verdict().is("451 4.3.0"), "{sent:?}");
    }
    // Also what goes without a look-up.
    let sent = world.send(ALICE, &["<postmaster>"], &message("")).await;
    assert!(sent.verdict().is("451 4.3.0"), "{sent:?}");
    assert_eq!(world.relay.messages().len(), before);
    assert!(!contains(&world.relay.raw(), b"canary"));
    world.gw2.ledger.clone().close().await;
    world.forward(&carrier).await.expect("451 4.3.0");
    assert!(world.mta2.messages().is_empty());
}

/// A ledger that fills up: every message was either passed on and answered 250, or answered 4xx.
#[tokio::test]
async fn full_ledger() {
    let world = world("").await;
    let dir = tempfile::tempdir().unwrap();
    let max_size = (1..200).map(|pages| pages * 4096).find(|&size| {
        let path = dir.path().join(format!("{size}.sqlite"));
        let options = Options { max_size: Some(size), ..Options::default() };
        mta_seal::store::ledger::SqliteLedger::open(&path, &options, NOW).is_ok()
    });
    let mut spec = Spec::new(&world.company1).outbound(Smtp, &world.relay.url);
    spec.ledger = Options { max_size, ..Options::default() };
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    let (mut taken, mut refused) = (0, 0);
    // Each with outcomes that must be remembered.
    let mut client = Client::greeted(gw1.outbound(), Smtp).await;
    for n in 0..200 {
        world.relay.rule(Step::Dot, "plain.example", 1, Act::Reply("450 4.2.0 later"));
        let case = message(&format!("X-Number: {n}\r\nX-Pad: {}\r\n", "x".repeat(500)));
        let local = "y".repeat(60);
        let eve = format!("<{local}@plain.example>");
        let bob = format!("<{local}@company2.example>");
        let sent = client.transact(Smtp, ALICE, &[&bob, &eve], &case).await;
        assert_eq!(sent.verdict().code / 100, 4, "{sent:?}");
        world.relay.clear_rules();
        if sent.verdict().is("451 4.3.0") {
            refused += 1;
            if refused > 3 {
                break;
            }
        } else {
            taken += 1;
        }
    }
    assert!(refused > 0, "{taken} taken");
    // What was taken for the one domain was answered 451 for the sake of the other; nobody was told 250.
    assert!(world.relay.messages().iter().all(|m| m.to[0].contains("company2")));
}

/// With an unexpired memory, mail is sealed whatever DNS says or fails to say [R-dec-06].
#[tokio::test]
async fn memory_seals_while_dns_fails_or_lies() {
    let world = world("").await;
    world.send(ALICE, &[BOB], &message("")).await.expect("250");
    let name = world.company2.policy_name();
    let two: [&[u8]; 2] = [b"v=MTASEAL1", b"v=MTASEAL1"];
    let lies: Vec<Box<dyn Fn()>> = vec![
        Box::new(|| world.dns.set(name.clone(), Lookup::ServFail { rcode: 2 })),
        Box::new(|| world.dns.set(name.clone(), Lookup::Bogus)),
        Box::new(|| {
            world.dns.set(name.clone(), Lookup::NxDomain(denied(Authenticity::Insecure)));
        }),
        Box::new(|| {
            world.dns.set(name.clone(), Lookup::NoData(denied(Authenticity::Insecure)));
        }),
        Box::new(|| world.dns.set_txt(name.clone(), &two, Authenticity::Insecure)),
        Box::new(|| {
            // Withdrawn by somebody else.
            let mut draft = world.company2.draft();
            draft.mode = Mode::None;
            draft.serial = NOW;
            let forged = draft.sign(&world.company2.domain, &IdentityKey::from_bytes(&[99; 32]));
            world.company2.publish_text(&world.dns, &forged.unwrap());
        }),
    ];
    for (at, lie) in lies.iter().enumerate() {
        lie();
        world.send(ALICE, &[BOB], &message("")).await.expect("250");
        assert_eq!(world.relay.messages().len(), at + 2);
    }
    assert!(!contains(&world.relay.raw(), b"canary"));
}

/// A changed identity key is not believed: the old one stays in use.
#[tokio::test]
async fn changed_identity_is_not_believed() {
    let world = world("").await;
    world.send(ALICE, &[BOB], &message("")).await.expect("250");
    let impostor = Org::new("company2.example", 60);
    impostor.publish(&world.dns);
    world.send(ALICE, &[BOB], &message("")).await.expect("250");
    let keys: Vec<_> = world
        .relay
        .messages()
        .iter()
        .map(|carrier| open(&carrier.data, &world.company1, &world.company2).1.header.key_id)
        .collect();
    assert_eq!(keys, [world.company2.first_key().key_id(); 2]);
}

/// Memory survives a restart; the hold of a first use ends by itself.
#[tokio::test]
async fn memory_survives_a_restart() {
    let World { dns, clock, gw1, relay, company2, .. } = world("").await;
    let send = |address| async move {
        deliver(address, Smtp, ALICE, &[BOB], &message("")).await.rcpt[0].clone()
    };
    assert_eq!(send(gw1.outbound()).await.code, 250);
    dns.set(company2.policy_name(), Lookup::ServFail { rcode: 2 });
    let spec = gw1.spec.clone();
    let gw1 = gw1.restart(&spec).await;
    assert_eq!(send(gw1.outbound()).await.code, 250);
    assert!(gw1.ledger_knows(Scope::Outgoing, &company2).await);
    assert_eq!(relay.messages().len(), 2);
    assert!(!contains(&relay.raw(), b"canary"));
    // A policy that has expired is not used, and what enforced it defers.
    clock.set(NOW + DAY);
    assert_eq!(send(gw1.outbound()).await.code, 250);
    clock.set(NOW + 40 * DAY);
    let late = send(gw1.outbound()).await;
    assert!(late.is("451 4.7."), "{late:?}");
}

/// A reverse-path of another domain is signed by the listener's own, and flagged [R-seal-02].
#[tokio::test]
async fn foreign_reverse_path_is_flagged() {
    let world = world("").await;
    let forwarded = "<list-bounces@elsewhere.example>";
    let out = world.through(forwarded, &[BOB], &message("")).await;
    let (_, accepted) = open(&world.relay.only().data, &world.company1, &world.company2);
    assert!(accepted.prefix.foreign_reverse_path);
    assert_eq!(accepted.prefix.sender_domain.as_str(), "company1.example");
    assert_eq!(accepted.prefix.reverse_path.mailbox(), "list-bounces@elsewhere.example");
    assert_eq!(out[0].from, forwarded);
    let data = text(&out[0].data);
    for word in ["policy.domain=company1.example", "policy.foreign=yes", "policy.aligned=no"] {
        assert!(data.contains(word), "{data}");
    }
    // And one of our own is not.
    world.send(ALICE, &[BOB], &message("")).await.expect("250");
    let second = &world.relay.messages()[1];
    let (_, accepted) = open(&second.data, &world.company1, &world.company2);
    assert!(!accepted.prefix.foreign_reverse_path);
}

/// One gateway for two domains: each signs its own mail.
#[tokio::test]
async fn each_local_domain_signs_its_own_mail() {
    let world = world("").await;
    let other = Org::new("company3.example", 70);
    other.publish(&world.dns);
    let mut spec = Spec::new(&world.company1).outbound(Smtp, &world.relay.url);
    spec.orgs.push(other.clone());
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    for from in ["<x@company3.example>", ALICE, "<>"] {
        deliver(gw1.outbound(), Smtp, from, &[BOB], &message("")).await.expect("250");
    }
    for (carrier, signer) in
        world.relay.messages().iter().zip([&other, &world.company1, &world.company1])
    {
        let (_, accepted) = open(&carrier.data, signer, &world.company2);
        assert_eq!(accepted.prefix.sender_domain, signer.domain);
        assert!(!accepted.prefix.foreign_reverse_path);
        let from = format!("From: mta-seal@{}\r\n", signer.domain);
        assert!(contains(&carrier.data, from.as_bytes()));
        world.forward(carrier).await.expect("250");
    }
}

#[tokio::test]
async fn strangers_may_not_use_the_inside_listener() {
    let world = world("").await;
    let mut spec = Spec::new(&world.company1).outbound(Smtp, &world.relay.url);
    spec.outbound_extra = "clients = [\"10.0.0.0/8\"]".to_owned();
    let gw1 = Gw::start(&spec, &world.dns, &world.clock).await;
    let mut client = Client::silent(gw1.outbound()).await;
    let greeting = client.reply().await;
    assert!(greeting.is("554 5.7.1"), "{greeting:?}");
    assert!(client.is_closed().await);
    nothing_sent(&world);
}
