//! The order of the checks of [R-uns-01], at the gateway: a message with two faults is answered by the earlier one.
//!
//! Checks 4, 5, 8 and 15 have one reply; which of them failed first is told apart by a test of `core`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::core::{
    Domain, Extension, Extensions, ForwardPath, ReversePathField, SealingPrivateKey, SigningKey,
    Suite,
};
use mta_seal::dns::Lookup;
use mta_seal::smtp::Protocol::Smtp;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";

/// A message in the making, and what happens around it.
struct Attempt {
    forgery: Forgery,
    /// Done to the envelope after it is sealed.
    edits: Vec<fn(&mut [u8])>,
    /// Before the carrier.
    outer: Vec<u8>,
    /// The sealed part stands twice in the carrier.
    twice: bool,
    /// The next hop refuses this.
    refused: Option<Step>,
}

struct Fault {
    what: &'static str,
    reply: &'static str,
    cause: fn(&mut Attempt),
}

const UNAUTHENTIC: &str = "550 5.7.7 sealed message failed verification";

/// Length of header and `enc` and sealed key of an envelope to company2.example under suite 1.
const BODY: usize = 44 + 16 + 2 + 32 + 48;

/// In the order of the checks.
const FAULTS: [Fault; 24] = [
    Fault {
        what: "1: outer header too large",
        reply: "552 5.3.4 message header too large",
        cause: |a| a.outer.extend(b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n".repeat(7000)),
    },
    Fault {
        // The second one is far behind what every other check needs.
        what: "1: second sealed part",
        reply: "550 5.6.0 message has more than one sealed part",
        cause: |a| a.twice = true,
    },
    Fault {
        // [R-seal-08]
        what: "1: loop",
        reply: "554 5.4.6 too many hops",
        cause: |a| a.outer.extend(b"Received: from a by b\r\n".repeat(51)),
    },
    Fault {
        what: "2: another domain",
        reply: "550 5.7.5 sealed message is not for this domain",
        cause: |a| a.forgery.recipient_domain = Domain::parse("company9.example").unwrap(),
    },
    Fault {
        what: "3: unknown key",
        reply: "550 5.7.5 sealed to a key that is not known here",
        cause: |a| {
            let key = SealingPrivateKey::from_bytes(Suite::X25519, &[77; 32]).unwrap();
            a.forgery.key = key.public().clone();
        },
    },
    Fault { what: "4: HPKE", reply: UNAUTHENTIC, cause: |a| a.edits.push(|e| e[BODY - 1] ^= 1) },
    Fault {
        what: "5: commitment",
        reply: UNAUTHENTIC,
        cause: |a| a.edits.push(|e| e[BODY + 24] ^= 1),
    },
    Fault {
        what: "6: unknown critical extension",
        reply: "550 5.6.3 sealed message uses an unsupported feature",
        cause: |a| {
            let unknown = Extension { extension_type: 7, critical: true, value: Vec::new() };
            a.forgery.prefix.extensions = Extensions::new(vec![unknown]).unwrap();
        },
    },
    Fault {
        what: "7: sender's policy not to be had",
        reply: "451 4.7.5 sealing policy of the sender cannot be verified now",
        cause: |a| a.forgery.prefix.sender_domain = Domain::parse("dead.example").unwrap(),
    },
    Fault {
        what: "7: signing key not listed",
        reply: UNAUTHENTIC,
        cause: |a| a.forgery.signing = SigningKey::from_bytes(&[78; 32]),
    },
    Fault {
        what: "9: forward-path of another domain",
        reply: "550 5.6.0 sealed message is malformed",
        cause: |a| {
            let other = ForwardPath::new("bob@other.example".into(), 0, String::new()).unwrap();
            a.forgery.prefix.forward_paths.push(other);
        },
    },
    Fault {
        what: "9: reverse-path of others",
        reply: "550 5.7.1 reverse-path does not belong",
        cause: |a| {
            let mailbox = "x@other.example".to_owned();
            let path = ReversePathField::new(mailbox, 0, false, 0, String::new()).unwrap();
            a.forgery.prefix.reverse_path = path;
        },
    },
    Fault {
        what: "9: flagged foreign",
        reply: "550 5.7.1 author or reverse-path is not of",
        cause: |a| a.forgery.prefix.foreign_reverse_path = true,
    },
    Fault {
        what: "10: in the future",
        reply: "451 4.7.5 sealed message is dated in the future",
        cause: |a| a.forgery.prefix.sealed_at = NOW + HOUR + 1,
    },
    Fault {
        what: "10: too old",
        reply: "550 5.4.7 sealed message is too old",
        cause: |a| a.forgery.prefix.sealed_at = NOW - 15 * DAY,
    },
    Fault {
        what: "12: nobody left",
        reply: "550 5.7.1 recipient is not among the sealed recipients",
        cause: |a| {
            a.forgery
                .prefix
                .forward_paths
                .retain(|path| !path.mailbox().starts_with("bob@company2"))
        },
    },
    Fault {
        what: "13: next hop refuses the SMTP envelope",
        reply: "550 5.1.8 not from you",
        cause: |a| a.refused = a.refused.or(Some(Step::Mail)),
    },
    Fault {
        what: "before DATA: loop inside",
        reply: "554 5.4.6 too many hops",
        cause: |a| a.forgery.message.splice(0..0, b"Received: x\r\n".repeat(51)).for_each(drop),
    },
    Fault {
        what: "before DATA: another author",
        reply: "550 5.7.1 author or reverse-path is not of company1.example",
        cause: |a| {
            let at = a.forgery.message.windows(5).position(|w| w == b"alice").unwrap();
            a.forgery.message.splice(at..at, *b"eve@evil.example, ").for_each(drop);
        },
    },
    Fault {
        what: "13: next hop refuses DATA",
        reply: "550 5.6.9 no data",
        cause: |a| a.refused = a.refused.or(Some(Step::Data)),
    },
    Fault {
        what: "14: bare LF",
        reply: "550 5.6.0 bare CR, bare LF or NUL in message",
        cause: |a| a.forgery.message.splice(0..0, *b"X: y\nZ: z\r\n").for_each(drop),
    },
    Fault {
        what: "14: NUL at the end",
        reply: "550 5.6.0 bare CR, bare LF or NUL in message",
        cause: |a| a.forgery.message.extend(b"\0\r\n"),
    },
    Fault {
        what: "15: last octet",
        reply: UNAUTHENTIC,
        cause: |a| a.edits.push(|e| *e.last_mut().unwrap() ^= 1),
    },
    Fault {
        what: "17: next hop refuses the message",
        reply: "554 5.6.8 not this",
        cause: |a| a.refused = a.refused.or(Some(Step::Dot)),
    },
];

/// Whether two faults cannot be in one message, or the second keeps the first from coming about.
fn exclude_each_other(first: &Fault, second: &Fault) -> bool {
    let both = [first.what, second.what];
    let are = |a: &str, b: &str| both[0].starts_with(a) && both[1].starts_with(b);
    // A message is dated once, and a reverse-path that is flagged is in order so far.
    are("10", "10")
        || are("9: reverse-path", "9: flagged")
        // The next hop refuses once. If it refuses DATA, the message is read and verified all the same.
        || both.iter().all(|what| what.contains("next hop"))
        || are("13: next hop refuses DATA", "14")
        || are("13: next hop refuses DATA", "15")
        // The NUL is in the same chunk as the last octet, which is decrypted first.
        || are("14: NUL", "15")
}

async fn try_with(world: &World, faults: &[&Fault]) -> Delivery {
    let mut forgery = Forgery::new(&world.company1, &world.company2);
    forgery.message.extend(b"0123456789abcdef0123456789abcdef\r\n".repeat(2000));
    let mut attempt =
        Attempt { forgery, edits: Vec::new(), outer: Vec::new(), twice: false, refused: None };
    faults.iter().for_each(|fault| (fault.cause)(&mut attempt));
    match attempt.refused {
        Some(Step::Mail) => {
            world.mta2.rule(Step::Mail, "alice", 9, Act::Reply("550 5.1.8 not from you"));
            world.mta2.rule(Step::Mail, "other", 9, Act::Reply("550 5.1.8 not from you"));
        }
        Some(Step::Data) => world.mta2.rule(Step::Data, "", 9, Act::Reply("550 5.6.9 no data")),
        Some(step) => world.mta2.rule(step, "", 9, Act::Reply("554 5.6.8 not this")),
        None => {}
    }
    let mut envelope = attempt.forgery.envelope();
    attempt.edits.iter().for_each(|edit| edit(&mut envelope));
    let (from, to) = (&world.company1.domain, &attempt.forgery.recipient_domain);
    let mut octets = [attempt.outer, carrier(from, to, &envelope)].concat();
    if attempt.twice {
        let delimiter = b"\r\n--mta-seal-";
        let find = |octets: &[u8], from: usize| {
            let at = octets[from..].windows(delimiter.len()).position(|w| w == delimiter);
            from + at.unwrap()
        };
        // The header ends with the first one, and the text for people with the second.
        let part = find(&octets, find(&octets, 0) + 1);
        let end = find(&octets, part + 1);
        let sealed = octets[part..end].to_vec();
        octets.splice(end..end, sealed);
    }
    // The signed reverse-path is another one, so that MAIL is said again.
    let sent = deliver(world.gw2.inbound(), Smtp, "<outer@hop.example>", &[BOB], &octets).await;
    world.mta2.clear_rules();
    sent
}

async fn world() -> World {
    let extra2 = "[[partner]]\ndomain = \"company1.example\"\nrequire_aligned = true\n";
    let world =
        World::with(WorldOptions { extra2: extra2.to_owned(), ..WorldOptions::default() }).await;
    let dead = Org::new("dead.example", 90);
    world.dns.set(dead.policy_name(), Lookup::ServFail { rcode: 2 });
    world
}

#[tokio::test]
async fn of_two_faults_the_earlier_one_is_answered() {
    let world = world().await;
    for (n, first) in FAULTS.iter().enumerate() {
        let sent = try_with(&world, &[first]).await;
        assert!(sent.verdict().is(first.reply), "{}: {sent:?}", first.what);
        for second in FAULTS[n + 1..].iter().filter(|second| !exclude_each_other(first, second)) {
            let sent = try_with(&world, &[first, second]).await;
            let what = format!("{} and {}", first.what, second.what);
            assert!(sent.verdict().is(first.reply), "{what}: {sent:?}");
        }
    }
    assert!(world.mta2.messages().is_empty());
    try_with(&world, &[]).await.expect("250");
    assert_eq!(world.mta2.only().from, ALICE);
}

/// Check 11 is made for each recipient: who has the message does not get it again, whatever the next hop would say; but
/// a replay that does not verify is refused all the same.
#[tokio::test]
async fn a_replay_is_answered_before_the_next_hop_is_asked() {
    let world = world().await;
    let forgery = Forgery::new(&world.company1, &world.company2);
    let envelope = forgery.envelope();
    let (from, to) = (&world.company1.domain, &world.company2.domain);
    let gw2 = world.gw2.inbound();
    let again = async |envelope: &[u8], to_path: &str| {
        let octets = carrier(from, to, envelope);
        deliver(gw2, Smtp, "<outer@hop.example>", &[to_path], &octets).await
    };
    again(&envelope, BOB).await.expect("250");
    for step in [Step::Mail, Step::Data, Step::Dot] {
        let about = if step == Step::Mail { "alice" } else { "" };
        world.mta2.rule(step, about, 9, Act::Reply("554 5.6.8 not this"));
        again(&envelope, BOB).await.expect("250");
    }
    again(&envelope, "<carol@company2.example>").await.expect("550 5.7.1 recipient is not among");
    // Before check 11: it has become too old meanwhile.
    world.clock.set(NOW + 15 * DAY);
    again(&envelope, BOB).await.expect("550 5.4.7");
    assert_eq!(world.mta2.messages().len(), 1);
}

/// Check 16 comes before check 17: while one copy is claimed, the other does not send its final dot.
#[tokio::test]
async fn what_is_claimed_gets_no_second_dot() {
    let world = world().await;
    let octets = Forgery::new(&world.company1, &world.company2).carrier();
    let gw2 = world.gw2.inbound();
    world.mta2.rule(Step::Dot, "", 1, Act::Hold);
    // The second would be refused at the dot.
    world.mta2.rule(Step::Dot, "", 1, Act::Reply("554 5.6.8 not this"));
    let second = async {
        world.mta2.wait_held(1).await;
        deliver(gw2, Smtp, ALICE, &[BOB], &octets).await.expect("451 4.5.0 another delivery");
        world.mta2.release();
    };
    let (first, ()) = tokio::join!(deliver(gw2, Smtp, ALICE, &[BOB], &octets), second);
    first.expect("250");
    assert_eq!(world.mta2.messages().len(), 1);
}
