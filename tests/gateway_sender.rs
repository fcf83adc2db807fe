//! In whose name a message comes: sealed mail that must be aligned, clear mail that should have been sealed, and what
//! is remembered of its senders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::sync::Arc;

use gateway_support::*;
use mail_parser::MessageParser;
use mta_seal::core::{Domain, ReversePathField};
use mta_seal::dns::{Authenticity, Lookup, LookupFuture, QueryName, Resolver, Scripted};
use mta_seal::records::Mode;
use mta_seal::smtp::Protocol::{self, Lmtp, Smtp};
use mta_seal::store::ledger::{Ledger, Scope};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const EVE: &str = "<x@evil.example>";
const REFUSED: &str =
    "550 5.7.10 clear mail from company1.example is refused here; it must be sealed";
const NONE: &str = "Authentication-Results: gw.company2.example; mta-seal=none\r\nReceived:";
const EXPECTED: &str =
    "Authentication-Results: gw.company2.example; mta-seal=none\r\n\tpolicy.expected=sealed\r\n";

async fn world(extra2: &str, inbound2: &str, between: Protocol) -> World {
    let (extra2, inbound2) = (extra2.to_owned(), inbound2.to_owned());
    World::with(WorldOptions { extra2, inbound2, between, ..WorldOptions::default() }).await
}

/// Company1 must seal.
async fn strict(inbound2: &str, between: Protocol) -> World {
    let partner = "[[partner]]\ndomain = \"company1.example\"\ninbound = \"require-sealed\"\n";
    world(partner, inbound2, between).await
}

/// Hands clear mail to the unsealing gateway.
async fn arrive(world: &World, path: &str, message: &[u8]) -> Delivery {
    deliver(world.gw2.inbound(), world.options.between, path, &[BOB], message).await
}

fn from(author: &str) -> Vec<u8> {
    format!("From: {author}\r\n\r\nx\r\n").into_bytes()
}

/// What was delivered last.
fn last(world: &World) -> String {
    text(&world.mta2.messages().pop().unwrap().data)
}

#[track_caller]
fn nothing_delivered(world: &World) {
    assert!(world.mta2.messages().is_empty(), "{:?}", world.mta2.messages());
}

/// Ways to show company1 as the author of a message that it has not sealed, each refused.
fn spoofs() -> Vec<Vec<u8>> {
    let authors = [
        "ceo@company1.example",
        "CEO@Company1.EXAMPLE",
        "ceo@company1.example.",
        "Chief <ceo@company1.example>",
        "=?utf-8?Q?Ch=C3=AFef?= <ceo@company1.example>",
        "ceo@company1.example <x@evil.example>",
        "<ceo@company1.example> <x@evil.example>",
        "x@evil.example, ceo@company1.example",
        "x@evil.example,\r\n\tceo@company1.example",
        "\r\n ceo@company1.example",
        "Board: x@evil.example, ceo@company1.example;",
        "(x@evil.example) ceo@company1.example (x)",
        "ceo (x) @ (y) company1 (z) . example",
        "ceo@company1\r\n .example",
        "<@relay.example:ceo@company1.example>",
        "<@company1.example:x@evil.example>",
        "\"ceo\"@company1.example",
        "\"ceo@company1.example\"@evil.example",
        "\"ceo@company1.example",
        "=?utf-8?Q?ceo=40company1=2Eexample?=",
        "=?utf-8?B?Y2VvQGNvbXBhbnkxLmV4YW1wbGU=?=",
        "=?utf-8?Q?ceo=40comp?= =?utf-8?Q?any1.example?=",
        "=?utf-8?Q?ceo=40company1.example=00?=@evil.example",
        "=?utf-8?Q?=3Cceo=40company1.example=3E?= <x@evil.example>",
        "=?utf-8?Q?ceo=40company1.example=2C?= <x@evil.example>",
        "=?utf-8?Q?ceo=40company1.example=3B?= <x@evil.example>",
        "=?utf-8?Q?x=3Aceo=40company1.example=3B?= <x@evil.example>",
        "=?utf-8?Q?=22ceo=22=40company1.example?= <x@evil.example>",
        "=?utf-8?B?Y2VvQGNvbXBhbnkxLmV4YW1wbGUs?= <x@evil.example>",
        "=?utf-7?Q?ceo+AEA-company1.example+ACw-?= <x@evil.example>",
        "=?utf-7?Q?ceo+AEA-company1.example?=",
        "\"=?utf-8?Q?x=22?= , ceo@company1.example, =?utf-8?Q?=22y?=\" <x@evil.example>",
        "x@evil.example (=?utf-8?Q?=29=2C_ceo=40company1.example_=28?=)",
        "=?utf-8?Q?ceo?=@company1.example",
        "ceo@\u{ff43}ompany1.example",
        "ceo@company1\u{3002}example",
        "\u{fc}ber <ceo@company1.example>",
        "ceo@company1.example\t",
        "ceo@\x0bcompany1.example",
        "ceo@comp\x0cany1.example",
    ];
    let mut spoofs: Vec<Vec<u8>> = authors.iter().map(|author| from(author)).collect();
    let fields: [&[u8]; 14] = [
        b"From : ceo@company1.example",
        b"From\t : ceo@company1.example",
        b"FROM:ceo@company1.example",
        b"From: x@evil.example\r\nFrom: ceo@company1.example",
        b"From: ceo@company1.example\r\nFrom: x@evil.example",
        b"From: x@evil.example\r\nSender: ceo@company1.example",
        b"From: x@evil.example\r\nResent-From: ceo@company1.example",
        b"From: x@evil.example\r\nResent-Sender: Chief <ceo@company1.example>",
        b"Sender: ceo@company1.example",
        b"From: ceo@company1.example\r\nList-Id: <list.evil.example>\r\nPrecedence: list",
        b"From: ceo@comp\xffany1.example",
        b"From: \xfc <ceo@company1.example>",
        b"Subject: x\r\nFrom:\r\n ceo@company1.example",
        b"From: J\xe4ger ceo@company1.example",
    ];
    spoofs.extend(fields.iter().map(|fields| [fields, &b"\r\n\r\nx\r\n"[..]].concat()));
    // The header does not end, with or without a line end.
    spoofs.push(b"Subject: x\r\nFrom: ceo@company1.example".to_vec());
    spoofs.push(b"Subject: x\r\nFrom: ceo@company1.example\r\n".to_vec());
    // More than a person could have written, whoever it is.
    spoofs.push(from(&format!("\"{}\" <x@evil.example>", "y ".repeat(5000))));
    spoofs.push(from(&"x@evil.example, ".repeat(70)));
    spoofs
}

#[tokio::test]
async fn no_spoof_of_a_partner_passes() {
    // [R-uns-07]
    for between in [Smtp, Lmtp] {
        let world = strict("", between).await;
        for spoof in spoofs() {
            for path in [EVE, "<>"] {
                let sent = arrive(&world, path, &spoof).await;
                assert!(sent.verdict().is(REFUSED), "{path} {}: {sent:?}", text(&spoof));
            }
        }
        // The reverse-path counts as well, in every spelling.
        for path in [
            ALICE,
            "<\"a b\"@COMPANY1.example>",
            "<@relay.example:ceo@company1.example>",
            "<ceo@company1.example> SMTPUTF8",
            "<ceo@\u{ff43}ompany1.example> SMTPUTF8",
        ] {
            let sent = arrive(&world, path, &from("x@evil.example")).await;
            assert!(sent.verdict().is(REFUSED), "{path}: {sent:?}");
        }
        // What is no line end for SMTP is none of the message's.
        for smuggled in
            ["X: y\nFrom: ceo@company1.example", "X: y\rFrom: z", "From: ceo\0@y.example"]
        {
            let message = format!("From: x@evil.example\r\n{smuggled}\r\n\r\nx\r\n");
            arrive(&world, EVE, message.as_bytes()).await.expect("550 5.6.0 bare CR");
        }
        nothing_delivered(&world);
    }
}

/// What is not in the name of company1, by the protocol.
#[tokio::test]
async fn the_address_decides() {
    let world = strict("", Smtp).await;
    for author in [
        "\"ceo@company1.example\" <x@evil.example>",
        "\"'ceo@company1.example' via Sales\" <sales@list.example>",
        "=?utf-8?Q?ceo=40company1.example?= <x@evil.example>",
        "=?utf-8?Q?Company1.example=2C_Chief?= <x@evil.example>",
        "=?utf-8?Q?Doe=2C_John_=28=22JD=22=29?= <x@evil.example>",
        "x@evil.example (ceo@company1.example)",
        "ceo=company1.example@evil.example",
        "ceo%company1.example@evil.example",
        "ceo@company1.example.evil.example",
        "ceo@mail.company1.example",
        "ceo@c\u{43e}mpany1.example",
        "ceo@xn--cmpany1-9ig.example",
        "ceo@company-1.example",
        "company1.example",
        "",
    ] {
        for path in [EVE, "<x@mail.company1.example>", "<>"] {
            let sent = arrive(&world, path, &from(author)).await;
            assert_eq!(sent.verdict().code, 250, "{author}: {sent:?}");
            assert!(last(&world).starts_with(NONE), "{author}");
        }
    }
    let other = b"From: x@evil.example\r\nReply-To: ceo@company1.example\r\n\r\nx\r\n";
    arrive(&world, EVE, other).await.expect("250");
}

/// What stands behind the header is text, also for whoever reads it after us.
#[tokio::test]
async fn an_author_in_the_body_is_none() {
    let world = strict("", Smtp).await;
    let hidden = "From: ceo@company1.example\r\n\r\nx\r\n";
    for before in [
        "\r\n",
        "Subject: y\r\n\r\n",
        "Subject: y\r\nno field\r\n",
        "no field\r\n",
        " continued\r\n",
        "From ceo@company1.example Mon Jan  1 00:00:00 2024\r\n",
        ">From x\r\n",
        "Subject: y\r\n\u{a0}: z\r\n",
        "Subject: y\r\n: z\r\n",
        "\u{feff}",
        "Subject: y\r\n\u{feff}",
        "Subject: y\r\nFrom\u{a0}",
    ] {
        let message = format!("{before}{hidden}");
        let sent = arrive(&world, EVE, message.as_bytes()).await;
        assert_eq!(sent.verdict().code, 250, "{before:?}: {sent:?}");
        let delivered = last(&world);
        assert!(delivered.ends_with(hidden), "{delivered}");
        let read = MessageParser::new().parse(delivered.as_bytes()).unwrap();
        assert_eq!(read.from(), None, "{before:?}: {delivered}");
    }
}

fn signed_by(world: &World, path: &str, message: &[u8]) -> Forgery {
    let mut forgery = Forgery::new(&world.company1, &world.company2);
    forgery.prefix.reverse_path =
        ReversePathField::new(path.to_owned(), 0, false, 0, String::new()).unwrap();
    forgery.prefix.foreign_reverse_path = path.ends_with("other.example");
    forgery.message = message.to_vec();
    forgery
}

/// [R-uns-11]
#[tokio::test]
async fn sealed_mail_that_must_be_aligned() {
    const PATH: &str = "alice@company1.example";
    let refusal =
        "550 5.7.1 author or reverse-path is not of company1.example, which has sealed the message";
    let entry = "[[partner]]\ndomain = \"company1.example\"\n";
    for (extra, required) in [
        (format!("{entry}require_aligned = true\n"), true),
        (format!("[defaults]\nrequire_aligned = true\n{entry}"), true),
        ("[defaults]\nrequire_aligned = true\n".to_owned(), true),
        (format!("[defaults]\nrequire_aligned = true\n{entry}require_aligned = false\n"), false),
        (entry.to_owned(), false),
    ] {
        let world = world(&extra, "", Smtp).await;
        for (path, author, refused, aligned) in [
            (PATH, "alice@company1.example", false, "yes"),
            (PATH, "\"x@evil.example\" <ceo@company1.example>", false, "yes"),
            (PATH, "ceo@mail.company1.example", true, "no"),
            (PATH, "ceo@bank.example", true, "no"),
            (PATH, "alice@company1.example, bob@company1.example", true, "no"),
            (PATH, "alice@company1.example\r\nFrom: alice@company1.example", true, "no"),
            (PATH, "\"ceo@bank.example\"@company1.example", true, "no"),
            (PATH, "", true, "no"),
            ("x@other.example", "alice@company1.example", true, "no"),
            // A notice passes if it is in the name of the domain; nobody says who wrote it.
            ("", "MAILER-DAEMON@company1.example", false, "no"),
            ("", "MAILER-DAEMON@other.example", true, "no"),
        ] {
            let before = world.mta2.messages().len();
            let data = world.mta2.commands("DATA").len();
            let octets = signed_by(&world, path, &from(author)).carrier();
            let sent = arrive(&world, EVE, &octets).await;
            if required && refused {
                assert!(sent.verdict().is(refusal), "{extra} {path} {author}: {sent:?}");
                assert_eq!(world.mta2.commands("DATA").len(), data, "not even begun");
                assert_eq!(world.mta2.messages().len(), before);
            } else {
                assert_eq!(sent.verdict().code, 250, "{extra} {path} {author}: {sent:?}");
                let delivered = last(&world);
                assert!(delivered.contains(&format!("policy.aligned={aligned}")), "{author}");
                // A null reverse-path is not foreign.
                let foreign = path.ends_with("other.example");
                assert_eq!(delivered.contains("policy.foreign=yes"), foreign, "{path:?}");
            }
        }
    }
}

fn always(org: &Org, dns: &Scripted, mode: Mode, authenticity: Authenticity) {
    let mut draft = org.draft();
    (draft.outgoing_always, draft.mode) = (true, mode);
    let policy = draft.sign(&org.domain, &org.identity()).unwrap();
    dns.set_txt(org.policy_name(), &[policy.as_bytes()], authenticity);
}

/// [R-uns-12]
#[tokio::test]
async fn clear_mail_of_a_domain_that_always_seals_is_marked() {
    let world = World::new().await;
    let insecure = Authenticity::Insecure;
    for (mode, result) in [(Mode::Enforce, EXPECTED), (Mode::Testing, EXPECTED), (Mode::None, NONE)]
    {
        always(&world.company1, &world.dns, mode, insecure);
        for (path, author) in [
            (ALICE, "x@evil.example"),
            (EVE, "ceo@company1.example"),
            ("<>", "ceo@company1.example, x@evil.example"),
        ] {
            arrive(&world, path, &from(author)).await.expect("250");
            assert!(last(&world).starts_with(result), "{mode:?} {path} {author}: {}", last(&world));
        }
        for (path, author) in [
            (EVE, "x@evil.example"),
            ("<>", ""),
            (EVE, "\"ceo@company1.example\" <x@evil.example>"),
        ] {
            arrive(&world, path, &from(author)).await.expect("250");
            assert!(last(&world).starts_with(NONE), "{mode:?} {path} {author}");
        }
    }
    // A policy that only says so is none: expired, or not signed.
    let mut draft = world.company1.draft();
    (draft.outgoing_always, draft.expiry) = (true, NOW);
    let expired = draft.sign(&world.company1.domain, &world.company1.identity()).unwrap();
    world.company1.publish_text(&world.dns, &expired);
    arrive(&world, ALICE, &from("")).await.expect("250");
    assert!(last(&world).starts_with(NONE));
    // Nothing was learned from any of them.
    for scope in [Scope::Incoming, Scope::Outgoing] {
        assert!(!world.gw2.ledger_knows(scope, &world.company1).await, "{scope:?}");
    }
}

#[tokio::test]
async fn clear_mail_of_a_domain_that_always_seals_is_refused() {
    let world = world("", "outgoing_always = \"refuse\"", Smtp).await;
    let (dns, company1) = (&world.dns, &world.company1);
    // An answer that nothing vouches for may be forged.
    always(company1, dns, Mode::Enforce, Authenticity::Insecure);
    arrive(&world, ALICE, &from("")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    let marked = world.mta2.messages().len();
    always(company1, dns, Mode::Enforce, Authenticity::Secure);
    for (path, author) in [(ALICE, "x@evil.example"), (EVE, "ceo@company1.example")] {
        arrive(&world, path, &from(author)).await.expect(REFUSED);
    }
    assert_eq!(world.mta2.messages().len(), marked);
    // [R-uns-08]
    let to = ["<postmaster>", "<abuse@company2.example>"];
    deliver(world.gw2.inbound(), Smtp, ALICE, &to, &from("")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    // A look-up that fails refuses nothing; nor is anything known.
    for failure in
        [Lookup::ServFail { rcode: 2 }, Lookup::Bogus, Lookup::Timeout, Lookup::Malformed]
    {
        dns.set(company1.policy_name(), failure);
        arrive(&world, ALICE, &from("")).await.expect("250");
        assert!(last(&world).starts_with(NONE));
    }
    // After sealed mail it is remembered.
    always(company1, dns, Mode::Enforce, Authenticity::Insecure);
    let sealed = Forgery::new(company1, &world.company2).carrier();
    arrive(&world, ALICE, &sealed).await.expect("250");
    arrive(&world, ALICE, &from("")).await.expect(REFUSED);
    dns.set(company1.policy_name(), Lookup::ServFail { rcode: 2 });
    arrive(&world, ALICE, &from("")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    dns.remove(&company1.policy_name());
    arrive(&world, EVE, &from("ceo@company1.example")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    // Memory ends.
    world.clock.advance(61 * DAY);
    arrive(&world, ALICE, &from("")).await.expect("250");
    assert!(last(&world).starts_with(NONE));
}

/// A domain hides neither behind many others, nor behind one that does not answer, nor in a text that is too long.
#[tokio::test]
async fn a_domain_that_always_seals_is_found_among_others() {
    let world = World::new().await;
    always(&world.company1, &world.dns, Mode::Enforce, Authenticity::Secure);
    let mut spec = Spec::new(&world.company2).inbound(Smtp, &world.mta2.url);
    spec.extra = "[dns]\ntimeout = \"500ms\"\n".to_owned();
    spec.inbound_extra = "outgoing_always = \"refuse\"".to_owned();
    let resolver = Arc::new(Deaf(Arc::clone(&world.dns)));
    let gw2 = Gw::start_with(&spec, &world.dns, resolver, &world.clock).await;
    let others = "a@a.deaf.example, b@b.deaf.example, c@c.deaf.example";
    let address = gw2.inbound();
    let sent = async |authors: &str| {
        deliver(address, Smtp, "<x@deaf.example>", &[BOB], &from(authors)).await
    };
    for authors in
        ["ceo@company1.example", "a@a.deaf.example, b@b.deaf.example, ceo@company1.example"]
    {
        sent(authors).await.expect(REFUSED);
    }
    // More than are looked up: refused or not, it is marked.
    let asked = world.dns.asked().len();
    sent(&format!("{others}, d@d.deaf.example, ceo@company1.example")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    assert!(world.dns.asked().len() <= asked + 4);
    sent(&"x@evil.example, ".repeat(70)).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    sent(others).await.expect("250");
    assert!(last(&world).starts_with(NONE));
}

/// Answers no question about `deaf.example`.
struct Deaf(Arc<Scripted>);

impl Resolver for Deaf {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        if name.as_str().ends_with("deaf.example") {
            return Box::pin(std::future::pending());
        }
        self.0.txt(name)
    }
}

/// Clear mail whose domain DNS does not answer for stays one's own trouble.
#[tokio::test]
async fn look_ups_for_clear_mail_hold_up_nobody() {
    let world = World::new().await;
    let mut spec =
        Spec::new(&world.company2).outbound(Smtp, &world.relay.url).inbound(Smtp, &world.mta2.url);
    spec.extra = "[dns]\ntimeout = \"20s\"\n[limits]\nstalled = 2\n\
                  [timeouts]\nstalled = \"300ms\"\n"
        .to_owned();
    let resolver = Arc::new(Deaf(Arc::clone(&world.dns)));
    let gw2 = Gw::start_with(&spec, &world.dns, resolver, &world.clock).await;
    // One goes on waiting for the answer, the others go on without it; other mail does not notice.
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..4 {
        let (address, path) = (gw2.inbound(), format!("<x{n}@evil.example>"));
        let message = from("x@deaf.example");
        sent.spawn(async move { deliver(address, Smtp, &path, &[BOB], &message).await });
    }
    let many = async {
        for _ in 0..3 {
            sent.join_next().await.unwrap().unwrap().expect("250");
        }
        deliver(gw2.inbound(), Smtp, EVE, &[BOB], &from("x@evil.example")).await.expect("250");
        // The other direction is not put off on account of it: its own look-up decides.
        let mut client = Client::greeted(gw2.outbound(), Smtp).await;
        client.command(&format!("MAIL FROM:{BOB}")).await;
        client.send(b"RCPT TO:<y@deaf.example>\r\n").await;
        let soon = tokio::time::timeout(std::time::Duration::from_millis(200), client.reply());
        assert!(soon.await.is_err(), "it is waited for");
    };
    let started = std::time::Instant::now();
    many.await;
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(world.mta2.messages().len(), 4);
}

/// Has room for so many questions at a time, like the real one. Those about `deaf.example` are never answered.
struct Narrow {
    dns: Arc<Scripted>,
    room: tokio::sync::Semaphore,
}

impl Resolver for Narrow {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        Box::pin(async move {
            let _place = self.room.acquire().await.unwrap();
            if name.as_str().ends_with("deaf.example") {
                std::future::pending::<()>().await;
            }
            self.dns.txt(name).await
        })
    }
}

/// Strangers name as many domains as they like: outgoing mail finds room at the resolver all the same.
#[tokio::test]
async fn look_ups_for_clear_mail_leave_room_for_others() {
    const MESSAGES: usize = 40;
    let world = World::new().await;
    let mut spec =
        Spec::new(&world.company2).outbound(Smtp, &world.relay.url).inbound(Smtp, &world.mta2.url);
    spec.extra = "[dns]\ntimeout = \"20s\"\n[timeouts]\nstalled = \"20s\"\n".to_owned();
    // Enough for what is allowed, and not for four domains of each message.
    let resolver =
        Arc::new(Narrow { dns: Arc::clone(&world.dns), room: tokio::sync::Semaphore::new(80) });
    let gw2 = Gw::start_with(&spec, &world.dns, resolver, &world.clock).await;
    always(&world.company1, &world.dns, Mode::Enforce, Authenticity::Insecure);
    let sealed = Forgery::new(&world.company1, &world.company2).carrier();
    deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &sealed).await.expect("250");
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..MESSAGES {
        let address = gw2.inbound();
        let authors: Vec<String> = (0..4).map(|k| format!("x@d{n}-{k}.deaf.example")).collect();
        let message = from(&authors.join(", "));
        sent.spawn(async move { deliver(address, Smtp, "<>", &[BOB], &message).await });
    }
    // The 64 take 16 messages with four domains each, and some of others. Those for which there is no room go on at once, long before the first look-up is over.
    let soon = std::time::Duration::from_secs(15);
    let few = MESSAGES - 64 / 4 - 4;
    let asked = world.dns.asked().len();
    let outgoing = async {
        for _ in 0..few {
            sent.join_next().await.unwrap().unwrap().expect("250");
        }
        deliver(gw2.outbound(), Smtp, BOB, &[ALICE], &from("bob@company2.example")).await
    };
    tokio::time::timeout(soon, outgoing).await.expect("in time").expect("250");
    assert_eq!(world.relay.messages().len(), 1);
    assert!(world.dns.asked().len() > asked, "outgoing mail was decided by DNS");
    // What is remembered marks.
    deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &from("")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
}

#[tokio::test]
async fn whoever_ignores_the_promise_asks_for_nothing() {
    let world = world("", "outgoing_always = \"ignore\"", Smtp).await;
    always(&world.company1, &world.dns, Mode::Enforce, Authenticity::Insecure);
    arrive(&world, ALICE, &from("ceo@company1.example")).await.expect("250");
    assert!(last(&world).starts_with(NONE));
    assert!(world.dns.asked().is_empty(), "{:?}", world.dns.asked());
}

/// [R-uns-13]
#[tokio::test]
async fn forwarders_keep_the_author_of_what_they_pass_on() {
    let refuse = "outgoing_always = \"refuse\"\n";
    for promised in [false, true] {
        let inbound = format!("{refuse}forwarders = [\"127.0.0.1\"]");
        let world =
            if promised { world("", &inbound, Smtp).await } else { strict(&inbound, Smtp).await };
        if promised {
            always(&world.company1, &world.dns, Mode::Enforce, Authenticity::Secure);
        }
        arrive(&world, EVE, &from("ceo@company1.example")).await.expect("250");
        assert!(last(&world).starts_with(EXPECTED));
        arrive(&world, ALICE, &from("x@evil.example")).await.expect(REFUSED);
        arrive(&world, ALICE, &from("ceo@company1.example")).await.expect(REFUSED);
        // Other mail is what it was.
        arrive(&world, EVE, &from("x@evil.example")).await.expect("250");
        assert!(last(&world).starts_with(NONE));
    }
}

/// The client is the one that a listed peer names, and nobody if it names none.
#[tokio::test]
async fn forwarders_behind_another_mta() {
    let listed = "forwarders = [\"192.0.2.0/24\", \"2001:db8::/48\"]\n";
    for (verb, trusted) in [("XFORWARD", "xforward"), ("XCLIENT", "xclient")] {
        let world = strict(&format!("{listed}{trusted} = [\"127.0.0.1\"]"), Smtp).await;
        for (address, passes) in [
            ("192.0.2.7", true),
            ("IPV6:2001:db8::1", true),
            ("198.51.100.1", false),
            ("127.0.0.1", false),
            ("[UNAVAILABLE]", false),
        ] {
            let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
            client.command(&format!("{verb} ADDR={address}")).await;
            if verb == "XCLIENT" {
                client.hello(Smtp).await;
            }
            let sent = client.transact(Smtp, EVE, &[BOB], &from("ceo@company1.example")).await;
            sent.expect(if passes { "250" } else { REFUSED });
        }
        assert_eq!(world.mta2.messages().len(), 2);
    }
    // The peer's own address does not count for those it speaks for.
    let own = "forwarders = [\"127.0.0.1\"]\nxforward = [\"127.0.0.1\"]\nxclient = [\"127.0.0.1\"]";
    let world = strict(own, Smtp).await;
    for said in
        ["XFORWARD ADDR=[UNAVAILABLE]", "XFORWARD ADDR=198.51.100.1", "XCLIENT ADDR=[UNAVAILABLE]"]
    {
        let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
        client.command(said).await;
        if said.starts_with("XCLIENT") {
            client.hello(Smtp).await;
        }
        client.transact(Smtp, EVE, &[BOB], &from("ceo@company1.example")).await.expect(REFUSED);
    }
    // Who is not listed speaks for nobody.
    let world = strict(listed, Smtp).await;
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    assert!(client.command("XFORWARD ADDR=192.0.2.7").await.code >= 500);
    client.transact(Smtp, EVE, &[BOB], &from("ceo@company1.example")).await.expect(REFUSED);
}

/// Each direction has a memory of its own [R-dec-12].
#[tokio::test]
async fn memory_of_one_direction_is_none_of_the_other() {
    let message = from("bob@company2.example");
    for incoming in [true, false] {
        let world = World::new().await;
        let (gw2, company1) = (&world.gw2, &world.company1);
        let sealed = |world: &World| Forgery::new(&world.company1, &world.company2).carrier();
        if incoming {
            arrive(&world, ALICE, &sealed(&world)).await.expect("250");
        } else {
            deliver(gw2.outbound(), Smtp, BOB, &[ALICE], &message).await.expect("250");
        }
        assert_eq!(gw2.ledger_knows(Scope::Incoming, company1).await, incoming);
        assert_eq!(gw2.ledger_knows(Scope::Outgoing, company1).await, !incoming);
        // Where DNS fails, each side has what it has seen itself.
        world.dns.set(company1.policy_name(), Lookup::ServFail { rcode: 2 });
        let came = arrive(&world, ALICE, &sealed(&world)).await;
        let left = deliver(gw2.outbound(), Smtp, BOB, &[ALICE], &message).await;
        if incoming {
            came.expect("250");
            left.expect("451 4.7.10 sealing policy of company1.example cannot be determined now");
        } else {
            left.expect("250");
            came.expect("451 4.7.5 sealing policy of the sender cannot be verified now");
        }
    }
}

/// The level at which a sender was authenticated stands in the results, and counts.
#[tokio::test]
async fn levels() {
    let company1 = Org::new("company1.example", 10);
    let pin = company1.identity().fingerprint();
    let partner =
        |settings: &str| format!("[[partner]]\ndomain = \"company1.example\"\n{settings}\n");
    for (settings, authenticity, levels) in [
        (String::new(), Authenticity::Insecure, ["first-use", "remembered"]),
        (String::new(), Authenticity::Secure, ["dnssec", "dnssec"]),
        (format!("identity = \"{pin}\""), Authenticity::Insecure, ["pinned", "pinned"]),
        ("minimum_level = \"dnssec\"".to_owned(), Authenticity::Secure, ["dnssec", "dnssec"]),
    ] {
        let world = world(&partner(&settings), "", Smtp).await;
        always(&company1, &world.dns, Mode::Enforce, authenticity);
        for level in levels {
            let octets = Forgery::new(&world.company1, &world.company2).carrier();
            arrive(&world, ALICE, &octets).await.expect("250");
            assert!(last(&world).contains(&format!(" policy.level={level}")), "{}", last(&world));
        }
    }
    // Below the minimum, sealed mail waits, and a promise is not believed.
    for minimum in ["remembered", "dnssec"] {
        let world = world(&partner(&format!("minimum_level = \"{minimum}\"")), "", Smtp).await;
        always(&company1, &world.dns, Mode::Enforce, Authenticity::Insecure);
        arrive(&world, ALICE, &from("")).await.expect("250");
        assert!(last(&world).starts_with(NONE));
        let octets = Forgery::new(&world.company1, &world.company2).carrier();
        let waits = arrive(&world, ALICE, &octets).await;
        waits.expect("451 4.7.5 sealing policy of the sender cannot be verified now");
        assert_eq!(world.mta2.messages().len(), 1);
    }
}

/// Spellings of one domain.
#[test]
fn the_homographs_are_homographs() {
    let cyrillic = Domain::parse("c\u{43e}mpany1.example").unwrap();
    assert_eq!(cyrillic.as_str(), "xn--cmpany1-9ig.example");
}

/// Keeps every answer until it is told to forget it, as a cache does with long times to live.
struct Remembering {
    dns: Arc<Scripted>,
    kept: std::sync::Mutex<std::collections::HashMap<QueryName, Lookup>>,
}

impl Resolver for Remembering {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        Box::pin(async move {
            if let Some(kept) = self.kept.lock().unwrap().get(name) {
                return kept.clone();
            }
            let found = self.dns.txt(name).await;
            self.kept.lock().unwrap().insert(name.clone(), found.clone());
            found
        })
    }

    fn forget(&self, name: &QueryName) {
        self.kept.lock().unwrap().remove(name);
    }
}

/// [R-dec-19]: clear mail of a domain has our cache know that it has no policy; its first sealed message comes in all the same.
#[tokio::test]
async fn the_first_sealed_message_is_not_lost_by_a_denial_that_clear_mail_left() {
    let world = World::new().await;
    let spec =
        Spec::new(&world.company2).outbound(Smtp, &world.relay.url).inbound(Smtp, &world.mta2.url);
    let resolver = Arc::new(Remembering { dns: Arc::clone(&world.dns), kept: Default::default() });
    let gw2 = Gw::start_with(&spec, &world.dns, resolver, &world.clock).await;
    let newcomer = Org::new("newcomer.example", 30);
    let path = "<alice@newcomer.example>";
    let sealed = Forgery::new(&newcomer, &world.company2).carrier();
    deliver(gw2.inbound(), Smtp, path, &[BOB], &from("alice@newcomer.example")).await.expect("250");
    // Sealed too early: it waits for the policy.
    deliver(gw2.inbound(), Smtp, path, &[BOB], &sealed).await.expect("451 4.7.5");
    newcomer.publish(&world.dns);
    deliver(gw2.inbound(), Smtp, path, &[BOB], &sealed).await.expect("250");
    assert!(last(&world).contains("mta-seal=pass"));
}

/// Check 7: a signing key may be newer than what is remembered, so that DNS has to say before it is refused for good.
#[tokio::test]
async fn a_signing_key_that_memory_does_not_list_waits_for_dns() {
    let world = World::new().await;
    let sealed = Forgery::new(&world.company1, &world.company2).carrier();
    deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &sealed).await.expect("250");
    world.dns.set(world.company1.policy_name(), Lookup::Timeout);
    let mut newer = Forgery::new(&world.company1, &world.company2);
    newer.signing = Org::new("other.example", 90).signing();
    deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &newer.carrier()).await.expect("451 4.7.5");
    world.company1.publish(&world.dns);
    deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &newer.carrier()).await.expect("550 5.7.7");
}

/// [R-uns-14]: whoever seals in the name of many domains takes no room from partners, nor from outgoing mail.
#[tokio::test]
async fn look_ups_for_sealed_mail_leave_room_for_those_who_are_known() {
    const MESSAGES: usize = 80;
    let world = World::new().await;
    let mut spec =
        Spec::new(&world.company2).outbound(Smtp, &world.relay.url).inbound(Smtp, &world.mta2.url);
    spec.extra = "[dns]\ntimeout = \"20s\"\n[timeouts]\nstalled = \"20s\"\n\
                  [limits]\nconnections_per_client = 200\n\
                  [[partner]]\ndomain = \"company1.example\"\n"
        .to_owned();
    let resolver =
        Arc::new(Narrow { dns: Arc::clone(&world.dns), room: tokio::sync::Semaphore::new(70) });
    let gw2 = Gw::start_with(&spec, &world.dns, resolver, &world.clock).await;
    let sealed = Forgery::new(&world.company1, &world.company2).carrier();
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..MESSAGES {
        let stranger = Org::new(&format!("d{n}.deaf.example"), 30);
        let carrier = Forgery::new(&stranger, &world.company2).carrier();
        let address = gw2.inbound();
        sent.spawn(async move { deliver(address, Smtp, "<>", &[BOB], &carrier).await });
    }
    let meanwhile = async {
        // Those for which there is no room wait at their own side, long before the first look-up is over.
        for _ in 0..MESSAGES - 64 - 4 {
            sent.join_next().await.unwrap().unwrap().expect("451 4.7.5");
        }
        deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &sealed).await.expect("250");
        deliver(gw2.outbound(), Smtp, BOB, &[ALICE], &from("bob@company2.example")).await
    };
    let soon = std::time::Duration::from_secs(15);
    tokio::time::timeout(soon, meanwhile).await.expect("in time").expect("250");
}

/// [R-uns-14]: anybody can name partners too.
#[tokio::test]
async fn look_ups_of_those_who_are_known_are_bounded_as_well() {
    const PARTNERS: usize = 40;
    let world = World::new().await;
    let mut spec = Spec::new(&world.company2).inbound(Smtp, &world.mta2.url);
    let partner = |n: usize| format!("[[partner]]\ndomain = \"d{n}.deaf.example\"\n");
    let partners: String = (0..PARTNERS).map(partner).collect();
    spec.extra = format!("[dns]\ntimeout = \"20s\"\n[timeouts]\nstalled = \"20s\"\n{partners}");
    let resolver = Arc::new(Deaf(Arc::clone(&world.dns)));
    let gw2 = Gw::start_with(&spec, &world.dns, resolver, &world.clock).await;
    let sealed = Forgery::new(&world.company1, &world.company2).carrier();
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..PARTNERS {
        let partner = Org::new(&format!("d{n}.deaf.example"), 30);
        let carrier = Forgery::new(&partner, &world.company2).carrier();
        let address = gw2.inbound();
        sent.spawn(async move { deliver(address, Smtp, "<>", &[BOB], &carrier).await });
    }
    let some = async {
        for _ in 0..PARTNERS - 32 - 2 {
            sent.join_next().await.unwrap().unwrap().expect("451 4.7.5");
        }
        // Strangers have room of their own.
        deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &sealed).await
    };
    let soon = std::time::Duration::from_secs(15);
    tokio::time::timeout(soon, some).await.expect("in time").expect("250");
}

/// [R-dec-19]: without what was remembered no key is believed that neither DNSSEC nor a pin vouches for.
#[tokio::test]
async fn sealed_mail_of_a_sender_whose_memory_is_damaged_waits() {
    let world = World::new().await;
    let carrier = || Forgery::new(&world.company1, &world.company2).carrier();
    let send =
        async |carrier: Vec<u8>| deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &carrier).await;
    let (ledger, domain) = (&world.gw2.ledger, &world.company1.domain);
    send(carrier()).await.expect("250");
    send(from("")).await.expect("250");
    assert!(last(&world).starts_with(NONE));
    let mut row = ledger.recall(Scope::Incoming, domain).await.unwrap().unwrap();
    row.policy.truncate(20);
    ledger.remember(Scope::Incoming, domain, &row, row.last_observed).await.unwrap();
    send(carrier()).await.expect("451 4.7.5");
    let kept = ledger.recall(Scope::Incoming, domain).await.unwrap().unwrap();
    assert_eq!(kept.policy, row.policy, "it may be repaired");
    // It may have held a promise.
    send(from("")).await.expect("250");
    assert!(last(&world).starts_with(EXPECTED));
    // DNSSEC shows the key.
    always(&world.company1, &world.dns, Mode::Enforce, Authenticity::Secure);
    send(carrier()).await.expect("250");
}

/// [R-dec-19]: nor does one take its place that would not be acted upon.
#[tokio::test]
async fn a_damaged_memory_is_kept_where_the_level_is_too_low_as_well() {
    let least = "[[partner]]\ndomain = \"company1.example\"\nminimum_level = \"dnssec\"\n";
    let world = world(least, "", Smtp).await;
    let (ledger, domain) = (&world.gw2.ledger, &world.company1.domain);
    let send = async || {
        let carrier = Forgery::new(&world.company1, &world.company2).carrier();
        deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &carrier).await.expect("451 4.7.5");
    };
    send().await;
    let mut row = ledger.recall(Scope::Incoming, domain).await.unwrap().unwrap();
    row.policy.truncate(20);
    ledger.remember(Scope::Incoming, domain, &row, row.last_observed).await.unwrap();
    send().await;
    let kept = ledger.recall(Scope::Incoming, domain).await.unwrap().unwrap();
    assert_eq!(kept.policy, row.policy);
}
