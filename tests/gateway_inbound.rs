//! What comes from outside is checked in every respect before anything is delivered [R-uns-01].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;
use mta_seal::core::{
    ContentType, DeliveryId, Domain, ForwardPath, IdentityKey, ReversePathField, SealingPrivateKey,
    SigningKey, Suite,
};
use mta_seal::dns::Lookup;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use mta_seal::store::keyring::Keyring;
use mta_seal::store::ledger::Ledger;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const CAROL: &str = "<carol@company2.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\nsecret\r\n";

fn forgery(world: &World) -> Forgery {
    Forgery::new(&world.company1, &world.company2)
}

/// Hands octets to the unsealing gateway, from alice to bob.
async fn arrive(world: &World, octets: &[u8]) -> Delivery {
    deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], octets).await
}

#[track_caller]
fn nothing_delivered(world: &World) {
    assert!(world.mta2.messages().is_empty(), "{:?}", world.mta2.messages());
}

/// The twin of all forgeries: without a fault it is delivered.
#[tokio::test]
async fn forgery_without_fault_is_delivered() {
    let world = World::new().await;
    arrive(&world, &forgery(&world).carrier()).await.expect("250");
    assert_eq!(without_trace(&world.mta2.only().data), MESSAGE);
}

#[tokio::test]
async fn each_check_has_its_reply() {
    let world = World::new().await;
    let company4 = Org::new("company4.example", 80);
    let dead = Org::new("dead.example", 90);
    world.dns.set(dead.policy_name(), Lookup::ServFail { rcode: 2 });
    let bogus = Org::new("bogus.example", 95);
    world.dns.set(bogus.policy_name(), Lookup::Bogus);
    let company2 = &world.company2;
    let reverse = |mailbox: &str| {
        ReversePathField::new(mailbox.to_owned(), 0, false, 0, String::new()).unwrap()
    };
    type Change<'a> = Box<dyn Fn(&mut Forgery) + 'a>;
    let cases: Vec<(&str, &str, Change<'_>)> = vec![
        ("2: another domain", "550 5.7.5 sealed message is not for this domain", {
            Box::new(|f| f.recipient_domain = Domain::parse("other.example").unwrap())
        }),
        ("3: unknown key", "550 5.7.5 sealed to a key that is not known here", {
            Box::new(|f| {
                let key = SealingPrivateKey::from_bytes(Suite::X25519, &[77; 32]).unwrap();
                f.key = key.public().clone();
            })
        }),
        ("6: forward-path is none", "550 5.6.0 sealed message is malformed", {
            Box::new(|f| {
                let bad = "bob@company2.example> NOTIFY=NEVER";
                f.prefix
                    .forward_paths
                    .push(ForwardPath::new(bad.into(), 0, String::new()).unwrap());
            })
        }),
        ("6: forward-path of another domain", "550 5.6.0 sealed message is malformed", {
            Box::new(|f| {
                let other = "bob@other.example".to_owned();
                f.prefix.forward_paths.push(ForwardPath::new(other, 0, String::new()).unwrap());
            })
        }),
        ("6: reverse-path is none", "550 5.6.0 sealed message is malformed", {
            Box::new(move |f| f.prefix.reverse_path = reverse("alice company1.example"))
        }),
        ("6: ENVID is none", "550 5.6.0 sealed message is malformed", {
            Box::new(|f| {
                let envid = "a b".to_owned();
                let field =
                    ReversePathField::new("alice@company1.example".into(), 0, false, 0, envid);
                f.prefix.reverse_path = field.unwrap();
            })
        }),
        ("6: ORCPT is none", "550 5.6.0 sealed message is malformed", {
            Box::new(|f| {
                let path = ForwardPath::new("bob@company2.example".into(), 0, "x y".into());
                f.prefix.forward_paths = vec![path.unwrap()];
            })
        }),
        ("6: no mail", "550 5.6.3 sealed message uses an unsupported feature", {
            Box::new(|f| f.prefix.content_type = ContentType::Receipt)
        }),
        ("7: sender without policy", "451 4.7.5 sealing policy of the sender", {
            Box::new(|f| {
                f.prefix.sender_domain = company4.domain.clone();
                f.signing = company4.signing();
            })
        }),
        ("7: sender's policy not to be had", "451 4.7.5 sealing policy of the sender", {
            Box::new(|f| {
                f.prefix.sender_domain = dead.domain.clone();
                f.signing = dead.signing();
            })
        }),
        ("7: sender's policy bogus", "451 4.7.5 sealing policy of the sender", {
            Box::new(|f| {
                f.prefix.sender_domain = bogus.domain.clone();
                f.signing = bogus.signing();
            })
        }),
        ("7: signing key not listed", "550 5.7.7 sealed message failed verification", {
            Box::new(|f| f.signing = SigningKey::from_bytes(&[78; 32]))
        }),
        ("7: signed by the wrong organisation", "550 5.7.7 sealed message failed verification", {
            Box::new(move |f| f.signing = company2.signing())
        }),
        ("9: reverse-path of others", "550 5.7.1 reverse-path does not belong", {
            Box::new(move |f| f.prefix.reverse_path = reverse("x@other.example"))
        }),
        ("9: reverse-path of a subdomain", "550 5.7.1 reverse-path does not belong", {
            Box::new(move |f| f.prefix.reverse_path = reverse("x@mail.company1.example"))
        }),
        // [R-con-02]
        ("9: forward-path that needs SMTPUTF8", "550 5.6.0 sealed message is malformed", {
            Box::new(|f| {
                let path = "b\u{f6}b@company2.example".to_owned();
                f.prefix.forward_paths.push(ForwardPath::new(path, 0, String::new()).unwrap());
            })
        }),
        ("9: reverse-path that needs SMTPUTF8", "550 5.6.0 sealed message is malformed", {
            Box::new(move |f| f.prefix.reverse_path = reverse("al\u{ef}ce@company1.example"))
        }),
        ("10: too old", "550 5.4.7 sealed message is too old; please send again", {
            Box::new(|f| f.prefix.sealed_at = NOW - 14 * DAY - 1)
        }),
        ("10: in the future", "451 4.7.5 sealed message is dated in the future", {
            Box::new(|f| f.prefix.sealed_at = NOW + HOUR + 1)
        }),
        ("10: at the end of time", "451 4.7.5 sealed message is dated in the future", {
            Box::new(|f| f.prefix.sealed_at = u64::MAX)
        }),
        ("12: nobody left", "550 5.7.1 recipient is not among the sealed recipients", {
            Box::new(|f| {
                let carol = "carol@company2.example".to_owned();
                f.prefix.forward_paths = vec![ForwardPath::new(carol, 0, String::new()).unwrap()];
            })
        }),
        ("12: no recipient at all", "550 5.7.1 recipient is not among the sealed recipients", {
            Box::new(|f| f.prefix.forward_paths = Vec::new())
        }),
        ("12: another spelling", "550 5.7.1 recipient is not among the sealed recipients", {
            Box::new(|f| {
                let bob = "BOB@company2.example".to_owned();
                f.prefix.forward_paths = vec![ForwardPath::new(bob, 0, String::new()).unwrap()];
            })
        }),
        ("14: bare LF", "550 5.6.0 bare CR, bare LF or NUL in message", {
            Box::new(|f| f.message = b"Subject: x\r\n\r\na\n.\nb\r\n".to_vec())
        }),
        ("14: bare CR", "550 5.6.0 bare CR, bare LF or NUL in message", {
            Box::new(|f| f.message = b"Subject: x\r\n\r\na\rb\r\n".to_vec())
        }),
        ("14: CR at the end", "550 5.6.0 bare CR, bare LF or NUL in message", {
            Box::new(|f| f.message = b"Subject: x\r\n\r\na\r".to_vec())
        }),
        ("14: NUL", "550 5.6.0 bare CR, bare LF or NUL in message", {
            Box::new(|f| f.message = b"Subject: x\r\n\r\na\0b\r\n".to_vec())
        }),
        ("14: bare LF in the header", "550 5.6.0 bare CR, bare LF or NUL in message", {
            Box::new(|f| f.message = b"Subject: x\nBcc: y\r\n\r\na\r\n".to_vec())
        }),
        ("14: bare LF alone", "550 5.6.0 bare CR, bare LF or NUL in message", {
            Box::new(|f| f.message = b"\n".to_vec())
        }),
        ("loop inside", "554 5.4.6 too many hops", {
            Box::new(|f| {
                f.message = ["Received: x\r\n".repeat(51).as_bytes(), b"\r\nx\r\n"].concat();
            })
        }),
        ("header inside too large", "552 5.3.4 message header too large", {
            Box::new(|f| f.message = "X: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(10_000).into_bytes())
        }),
    ];
    for (what, reply, change) in cases {
        let mut forgery = forgery(&world);
        change(&mut forgery);
        let got = arrive(&world, &forgery.carrier()).await;
        assert_eq!(got.codes()[..2], [250, 250], "{what}: {got:?}");
        assert!(got.end[0].is(reply), "{what}: {got:?}");
        nothing_delivered(&world);
    }
}

/// The limits of time are exact.
#[tokio::test]
async fn window_is_exact() {
    let world = World::new().await;
    for sealed_at in [NOW - 14 * DAY, NOW, NOW + HOUR] {
        let mut forgery = forgery(&world);
        forgery.prefix.sealed_at = sealed_at;
        arrive(&world, &forgery.carrier()).await.expect("250");
    }
    assert_eq!(world.mta2.messages().len(), 3);
}

/// An envelope that was delivered stays so to the last second of the longest window, though that of today is shorter
/// [R-uns-04].
#[tokio::test]
async fn a_lengthened_window_delivers_nothing_twice() {
    let mut world = World::new().await;
    let sealed_at = NOW - 14 * DAY;
    let of_that_time = |world: &World| {
        let mut forgery = forgery(world);
        forgery.prefix.sealed_at = sealed_at;
        forgery.carrier()
    };
    let (delivered, held_up) = (of_that_time(&world), of_that_time(&world));
    arrive(&world, &delivered).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 1);
    world.clock.set(sealed_at + 30 * DAY);
    world.gw2.ledger.expire(world.clock.now_seconds(), 1_000).await.unwrap();
    for envelope in [&delivered, &held_up] {
        arrive(&world, envelope).await.expect("550 5.4.7 sealed message is too old");
    }
    let mut draft = world.company2.draft();
    draft.window = 30 * DAY;
    let policy = draft.sign(&world.company2.domain, &world.company2.identity()).unwrap();
    let keys = world.gw2.directory().join(format!("keys-{}", world.company2.domain));
    Keyring::load(&keys).unwrap().set_policy(&policy).unwrap();
    let spec = world.gw2.spec.clone();
    world.gw2.reload(&spec).await.unwrap();
    arrive(&world, &delivered).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 1, "a replay was delivered");
    arrive(&world, &held_up).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 2);
    world.clock.advance(1);
    arrive(&world, &of_that_time(&world)).await.expect("550 5.4.7 sealed message is too old");
}

#[tokio::test]
async fn destroyed_key_has_its_own_reply() {
    let world = World::new().await;
    let carrier = forgery(&world).carrier();
    let World { gw2, company2, mta2, .. } = world;
    let keys = gw2.directory().join(format!("keys-{}", company2.domain));
    let list = keys.join("destroyed");
    std::fs::write(&list, format!("{}\n", company2.first_key().key_id())).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o600)).unwrap();
    let spec = gw2.spec.clone();
    let gw2 = gw2.restart(&spec).await;
    let refused = deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &carrier).await;
    refused.expect("550 5.7.5 sealed to a key that no longer exists; please send again");
    assert!(mta2.messages().is_empty());
}

/// A flip of any bit, in the header, the key, the prefix or the message, is seen in time.
#[tokio::test]
async fn flipped_bits() {
    let world = World::new().await;
    let (from, to) = (&world.company1.domain, &world.company2.domain);
    let envelope = forgery(&world).envelope();
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    let offsets = (0..200).chain((200..envelope.len()).step_by(61)).chain([envelope.len() - 1]);
    for (n, offset) in offsets.enumerate() {
        let mut altered = envelope.clone();
        altered[offset] ^= 1 << (n % 8);
        let got = client.transact(Smtp, ALICE, &[BOB], &carrier(from, to, &altered)).await;
        assert_eq!(got.verdict().code, 550, "{offset}: {got:?}");
        if offset > 300 {
            got.expect("550 5.7.7");
        }
    }
    nothing_delivered(&world);
    // The connection has stayed good, and the envelope too.
    client.transact(Smtp, ALICE, &[BOB], &carrier(from, to, &envelope)).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 1);
}

/// The same for a message whose beginning has been passed on before the fault comes.
#[tokio::test]
async fn flipped_bits_after_data_has_begun() {
    let world = World::new().await;
    let (from, to) = (&world.company1.domain, &world.company2.domain);
    let mut forgery = forgery(&world);
    forgery.message = [MESSAGE, &b"0123456789abcdef0123456789abcdef\r\n".repeat(5000)].concat();
    let envelope = forgery.envelope();
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    let offsets: Vec<usize> =
        (envelope.len() / 2..envelope.len()).step_by(9001).chain([envelope.len() - 1]).collect();
    for &offset in &offsets {
        let mut altered = envelope.clone();
        altered[offset] ^= 0x80;
        let got = client.transact(Smtp, ALICE, &[BOB], &carrier(from, to, &altered)).await;
        got.expect("550 5.7.7");
    }
    // Cut off, without a final dot.
    assert_eq!(world.mta2.wait_broken(offsets.len()).await.len(), offsets.len());
    nothing_delivered(&world);
    client.transact(Smtp, ALICE, &[BOB], &carrier(from, to, &envelope)).await.expect("250");
    assert_eq!(without_trace(&world.mta2.only().data), forgery.message);
}

#[tokio::test]
async fn truncation_and_extension() {
    let world = World::new().await;
    let (from, to) = (&world.company1.domain, &world.company2.domain);
    let envelope = forgery(&world).envelope();
    let mut client = Client::greeted(world.gw2.inbound(), Smtp).await;
    let lengths = (8..300).step_by(13).chain((300..envelope.len()).step_by(331));
    for length in lengths.chain([envelope.len() - 1]) {
        let cut = carrier(from, to, &envelope[..length]);
        let got = client.transact(Smtp, ALICE, &[BOB], &cut).await;
        assert_eq!(got.verdict().code, 550, "{length}: {got:?}");
    }
    let longer = carrier(from, to, &[&envelope[..], b"x"].concat());
    client.transact(Smtp, ALICE, &[BOB], &longer).await.expect("550 5.7.7");
    // Two envelopes in one part, and the text of the carrier cut off.
    let twice = carrier(from, to, &envelope.repeat(2));
    client.transact(Smtp, ALICE, &[BOB], &twice).await.expect("550 5.7.7");
    let whole = carrier(from, to, &envelope);
    for length in [whole.len() / 2, whole.len() - 200] {
        let got = client.transact(Smtp, ALICE, &[BOB], &whole[..length]).await;
        assert_eq!(got.verdict().code, 550, "{length}: {got:?}");
    }
    nothing_delivered(&world);
}

#[tokio::test]
async fn header_of_the_envelope() {
    let world = World::new().await;
    let (from, to) = (&world.company1.domain, &world.company2.domain);
    let envelope = forgery(&world).envelope();
    let version = [&envelope[..8], &[2], &envelope[9..]].concat();
    let suite = [&envelope[..9], &[0, 9], &envelope[11..]].concat();
    let mut upper = envelope.clone();
    upper[44] = b'C';
    for (octets, reply) in [
        (version, "550 5.6.3"),
        (suite, "550 5.6.3"),
        (upper, "550 5.6.0"),
        (envelope[..20].to_vec(), "550 5.7.7"),
        (b"\xd3MTASEAL".to_vec(), "550 5.7.7"),
    ] {
        arrive(&world, &carrier(from, to, &octets)).await.expect(reply);
    }
    nothing_delivered(&world);
}

#[tokio::test]
async fn carriers_that_are_wrong() {
    let world = World::new().await;
    let whole = text(&forgery(&world).carrier());
    let boundary = whole.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let part_at = whole.rfind(&format!("--{boundary}\r\nContent-Type: application")).unwrap();
    let end = whole.rfind(&format!("--{boundary}--")).unwrap();
    let twice = [&whole[..end], &whole[part_at..]].concat();
    arrive(&world, twice.as_bytes()).await.expect("550 5.6.0 message has more than one sealed");
    let body = whole[part_at..].find("\r\n\r\n").unwrap() + part_at + 4;
    let magic = [&whole[..body], "AAAA", &whole[body + 4..]].concat();
    arrive(&world, magic.as_bytes()).await.expect("550 5.6.0 sealed message is malformed");
    let base64 = [&whole[..body + 400], "*", &whole[body + 401..]].concat();
    arrive(&world, base64.as_bytes()).await.expect("550 5.6.0 sealed message is malformed");
    let encoding = whole.replace("Encoding: base64", "Encoding: x-unknown");
    arrive(&world, encoding.as_bytes()).await.expect("550 5.6.0 sealed message is malformed");
    nothing_delivered(&world);
    // Inside a bounce, or from another address, it is ordinary mail.
    let bounced = format!(
        "From: x@y.example\r\nContent-Type: multipart/report; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{whole}\r\n--b--\r\n"
    );
    arrive(&world, bounced.as_bytes()).await.expect("250");
    let person = whole.replace("From: mta-seal@", "From: someone@");
    arrive(&world, person.as_bytes()).await.expect("250");
    for (delivered, sent) in world.mta2.messages().iter().zip([bounced, person]) {
        assert!(delivered.data.starts_with(b"Authentication-Results: gw.company2.example; mta-"));
        assert!(contains(&delivered.data, b"mta-seal=none"));
        assert_eq!(text(without_trace(&delivered.data)), sent);
    }
}

/// What relays and lists do to a carrier on the way does no harm [R-car-06].
#[tokio::test]
async fn mangled_carriers() {
    let world = World::new().await;
    let boundary_of = |carrier: &str| {
        carrier.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let rewrap = |carrier: &str, width: usize| {
        let (head, part) = carrier.split_once("filename=\"message.mtaseal\"\r\n\r\n").unwrap();
        let (base64, tail) = part.split_once("\r\n--").unwrap();
        let joined: Vec<u8> = base64.bytes().filter(|o| !b"\r\n".contains(o)).collect();
        let lines: Vec<&str> =
            joined.chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let base64 = lines.join("\r\n");
        format!("{head}filename=\"message.mtaseal\"\r\n\r\n{base64}\r\n--{tail}")
    };
    type Mangle<'a> = Box<dyn Fn(&str) -> String + 'a>;
    let ways: Vec<(&str, Mangle<'_>)> = vec![
        ("lines of 64", Box::new(|c| rewrap(c, 64))),
        ("lines of 990", Box::new(|c| rewrap(c, 990))),
        ("lines of 1", Box::new(|c| rewrap(c, 1))),
        ("a footer part", {
            Box::new(|c| {
                let boundary = boundary_of(c);
                let footer = format!(
                    "--{boundary}\r\nContent-Type: text/plain\r\n\r\nThis list ...\r\n--{boundary}--"
                );
                c.replace(&format!("--{boundary}--"), &footer)
            })
        }),
        ("an outer multipart with a disclaimer", {
            Box::new(|c| {
                let (head, body) = c.split_once("\r\n\r\n").unwrap();
                let (head, media) = head.split_once("Content-Type: ").unwrap();
                format!(
                    "{head}Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n\
                     Content-Type: {media}\r\n\r\n{body}\r\n--outer\r\n\
                     Content-Type: text/plain\r\n\r\nDisclaimer\r\n--outer--\r\n"
                )
            })
        }),
        ("more header fields", {
            Box::new(|c| {
                format!(
                    "Received: from a by b\r\nX-Spam: no\r\nDKIM-Signature: v=1\r\n{}",
                    c.replace("Subject: Sealed message", "Subject: [EXTERNAL] Sealed message")
                )
            })
        }),
        ("folding and case", {
            Box::new(|c| {
                c.replace("; name=\"message.mtaseal\"", ";\r\n\tNAME=message.mtaseal")
                    .replace("Content-Type: application", "CONTENT-TYPE:\r\n application")
            })
        }),
        ("the media type lost", {
            Box::new(|c| c.replace("application/mta-seal", "application/octet-stream"))
        }),
        ("the file name lost", Box::new(|c| c.replace("filename=\"message.mtaseal\"", "x=y"))),
    ];
    for (n, (what, mangle)) in ways.iter().enumerate() {
        let carrier = text(&forgery(&world).carrier());
        let mangled = mangle(&carrier);
        assert_ne!(mangled, carrier, "{what}");
        let got = arrive(&world, mangled.as_bytes()).await;
        assert_eq!(got.verdict().code, 250, "{what}: {got:?}");
        let delivered = world.mta2.messages();
        assert_eq!(delivered.len(), n + 1);
        assert!(contains(&delivered[n].data, b"mta-seal=pass"), "{what}");
        assert_eq!(without_trace(&delivered[n].data), MESSAGE);
    }
}

#[tokio::test]
async fn replays_are_answered_and_not_delivered() {
    let world = World::new().await;
    let octets = forgery(&world).carrier();
    for _ in 0..3 {
        arrive(&world, &octets).await.expect("250");
    }
    // Also from another sender, in another carrier, and after a restart.
    let again = deliver(world.gw2.inbound(), Smtp, "<x@evil.example>", &[BOB], &octets).await;
    again.expect("250");
    let (from, to) = (&world.company1.domain, &world.company2.domain);
    arrive(&world, &carrier(from, to, &sealed_part(&octets))).await.expect("250");
    let World { gw2, mta2, clock, .. } = world;
    let spec = gw2.spec.clone();
    let gw2 = gw2.restart(&spec).await;
    deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &octets).await.expect("250");
    assert_eq!(mta2.messages().len(), 1);
    // A replay that is altered at its end is no replay, and once too old it is refused.
    let altered = text(&octets).replace("==\r\n", "AA\r\n").replace("=\r\n", "A\r\n");
    if altered.as_bytes() != octets {
        let refused = deliver(gw2.inbound(), Smtp, ALICE, &[BOB], altered.as_bytes()).await;
        assert_eq!(refused.verdict().code, 550, "{refused:?}");
    }
    clock.set(NOW + 15 * DAY);
    deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &octets).await.expect("550 5.4.7");
    assert_eq!(mta2.messages().len(), 1);
}

/// Sealed again under the same delivery id, as a retry is.
#[tokio::test]
async fn same_delivery_id_is_delivered_once() {
    let world = World::new().await;
    let forgery = forgery(&world);
    arrive(&world, &forgery.carrier()).await.expect("250");
    arrive(&world, &forgery.carrier()).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 1);
    // Another sender's ids are its own.
    let other = Org::new("company3.example", 70);
    other.publish(&world.dns);
    let mut twin = Forgery::new(&other, &world.company2);
    twin.prefix.delivery_id = forgery.prefix.delivery_id;
    deliver(world.gw2.inbound(), Smtp, "<alice@company3.example>", &[BOB], &twin.carrier())
        .await
        .expect("250");
    assert_eq!(world.mta2.messages().len(), 2);
}

#[tokio::test]
async fn concurrent_duplicate_waits_its_turn() {
    let world = World::new().await;
    let octets = forgery(&world).carrier();
    world.mta2.rule(Step::Dot, "", 1, Act::Hold);
    let second = async {
        world.mta2.wait_held(1).await;
        arrive(&world, &octets).await.expect("451 4.5.0 another delivery");
        world.mta2.release();
    };
    let (first, ()) = tokio::join!(arrive(&world, &octets), second);
    first.expect("250");
    arrive(&world, &octets).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 1);
}

/// A gateway that dies while it waits for the dot: its claims do not outlive it.
#[tokio::test]
async fn claims_are_released_by_a_restart() {
    let world = World::with(WorldOptions {
        extra2: "[timeouts]\nshutdown = \"50ms\"\n".to_owned(),
        ..WorldOptions::default()
    })
    .await;
    let octets = forgery(&world).carrier();
    let World { gw2, mta2, .. } = world;
    mta2.rule(Step::Dot, "", 1, Act::Stall);
    let address = gw2.inbound();
    let copy = octets.clone();
    let first = tokio::spawn(async move {
        let mut client = Client::greeted(address, Smtp).await;
        client.command(&format!("MAIL FROM:{ALICE}")).await;
        client.command(&format!("RCPT TO:{BOB}")).await;
        client.command("DATA").await;
        client.send(&stuff(&copy)).await;
        std::future::pending::<()>().await;
    });
    soon("the dot", async {
        while mta2.commands("DATA").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let spec = gw2.spec.clone();
    let gw2 = gw2.restart(&spec).await;
    deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &octets).await.expect("250");
    assert_eq!(mta2.messages().len(), 1);
    first.abort();
}

#[tokio::test]
async fn redirected_recipients() {
    let world = World::new().await;
    let carrier = forgery(&world).signed_for(&["bob@company2.example", "carol@company2.example"]);
    let mallory = "<mallory@company2.example>";
    let gw2 = world.gw2.inbound();
    // All of them unknown to the sender.
    let sent = deliver(gw2, Smtp, ALICE, &[mallory], &carrier.carrier()).await;
    sent.expect("550 5.7.1 recipient is not among the sealed recipients");
    nothing_delivered(&world);
    // One of them: over SMTP the signed sender is told, over a sealed path.
    let sent = deliver(gw2, Smtp, "<x@evil.example>", &[BOB, mallory], &carrier.carrier()).await;
    sent.expect("250");
    assert_eq!(world.mta2.only().to, [BOB]);
    assert_eq!(world.mta2.only().from, ALICE);
    let notice = world.relay.wait(1).await.remove(0);
    assert_eq!(notice.to, [ALICE]);
    let (report, _) = open(&notice.data, &world.company2, &world.company1);
    assert!(contains(&report, b"mallory@company2.example"), "{}", text(&report));
    assert!(!contains(&report, b"secret"));
}

/// With LMTP each has its reply, in the order of the outer recipients.
#[tokio::test]
async fn redirected_recipients_over_lmtp() {
    let world = World::with(WorldOptions { between: Lmtp, ..WorldOptions::default() }).await;
    let carrier = forgery(&world).signed_for(&["bob@company2.example", "carol@company2.example"]);
    let to = ["<mallory@company2.example>", CAROL, BOB];
    let sent = deliver(world.gw2.inbound(), Lmtp, ALICE, &to, &carrier.carrier()).await;
    let end: Vec<u16> = sent.end.iter().map(|reply| reply.code).collect();
    assert_eq!(end, [550, 250, 250], "{sent:?}");
    assert_eq!(world.mta2.only().to, [CAROL, BOB]);
}

/// For edges that rewrite aliases: the whole signed list, once.
#[tokio::test]
async fn deliver_to_all_that_are_signed() {
    let world = World::with(WorldOptions {
        inbound2: "recipients = \"signed\"".to_owned(),
        ..WorldOptions::default()
    })
    .await;
    let carrier =
        forgery(&world).signed_for(&["bob@company2.example", "carol@company2.example"]).carrier();
    let alias = "<sales@company2.example>";
    deliver(world.gw2.inbound(), Smtp, ALICE, &[alias], &carrier).await.expect("250");
    assert_eq!(world.mta2.only().to, [BOB, CAROL]);
    deliver(world.gw2.inbound(), Smtp, ALICE, &[BOB], &carrier).await.expect("250");
    assert_eq!(world.mta2.messages().len(), 1);
}

#[tokio::test]
async fn forged_results_are_removed() {
    let world = World::new().await;
    let forged = "Authentication-Results: gw.company2.example; mta-seal=pass\r\n\
                  AUTHENTICATION-RESULTS:\r\n (c) GW.Company2.Example. 1; mta-seal=pass\r\n";
    let other = "Authentication-Results: mx.elsewhere.example; spf=pass\r\n";
    let rest = "From: alice@company1.example\r\n\r\nx\r\n";
    let message = format!("{forged}{other}{rest}");
    arrive(&world, message.as_bytes()).await.expect("250");
    let mut inside = forgery(&world);
    inside.message = message.into_bytes();
    let carrier = [forged.as_bytes(), &inside.carrier()].concat();
    arrive(&world, &carrier).await.expect("250");
    for (delivered, result) in world.mta2.messages().iter().zip(["none", "pass"]) {
        let data = text(&delivered.data);
        assert_eq!(text(without_trace(&delivered.data)), format!("{other}{rest}"));
        assert_eq!(data.matches("mta-seal=").count(), 1, "{data}");
        assert!(data.contains(&format!("mta-seal={result}")), "{data}");
    }
}

/// The author inside is compared with who sealed.
#[tokio::test]
async fn alignment() {
    let world = World::new().await;
    for (author, aligned) in [
        ("alice@company1.example", "yes"),
        ("alice@mail.company1.example", "no"),
        ("ceo@company2.example", "no"),
        ("alice@company1.example, bob@company2.example", "no"),
    ] {
        let mut forgery = forgery(&world);
        forgery.message = format!("From: {author}\r\n\r\nx\r\n").into_bytes();
        let before = world.mta2.messages().len();
        arrive(&world, &forgery.carrier()).await.expect("250");
        let data = text(&world.mta2.messages()[before].data);
        assert!(data.contains(&format!("policy.aligned={aligned}")), "{author}: {data}");
    }
}

#[tokio::test]
async fn partner_that_must_seal() {
    let world = World::with(WorldOptions {
        extra2: "[[partner]]\ndomain = \"company1.example\"\ninbound = \"require-sealed\"\n"
            .to_owned(),
        ..WorldOptions::default()
    })
    .await;
    let gw2 = world.gw2.inbound();
    let stranger = b"From: x@stranger.example\r\n\r\nx\r\n";
    let refusal = "550 5.7.10 clear mail from company1.example is refused here";
    // By the reverse-path, and by each author.
    deliver(gw2, Smtp, ALICE, &[BOB], stranger).await.expect(refusal);
    for from in [
        "From: alice@company1.example",
        "From: \"x@stranger.example\" <alice@COMPANY1.example>",
        "From: x@stranger.example, alice@company1.example",
        "From: x@stranger.example\r\nFrom: alice@company1.example",
        "From: Group: alice@company1.example;",
    ] {
        let message = format!("{from}\r\n\r\nx\r\n");
        let path = "<x@stranger.example>";
        let got = deliver(gw2, Smtp, path, &[BOB], message.as_bytes()).await;
        assert!(got.verdict().is(refusal), "{from}: {got:?}");
    }
    nothing_delivered(&world);
    // Sealed it is welcome; a subdomain is another identity.
    arrive(&world, &forgery(&world).carrier()).await.expect("250");
    let sub = b"From: x@mail.company1.example\r\n\r\nx\r\n";
    deliver(gw2, Smtp, "<x@mail.company1.example>", &[BOB], sub).await.expect("250");
    // A partner whose sealing is broken can tell the postmaster.
    let postmasters = ["<postmaster>", "<Postmaster@company2.example>", "<abuse@company2.example>"];
    deliver(gw2, Smtp, ALICE, &postmasters, MESSAGE).await.expect("250");
    deliver(gw2, Smtp, ALICE, &["<postmaster>", BOB], MESSAGE).await.expect(refusal);
    assert_eq!(world.mta2.messages().len(), 3);
}

/// Where all must seal, nobody in particular must as well.
#[tokio::test]
async fn everybody_must_seal() {
    let world = World::with(WorldOptions {
        extra2: "[defaults]\ninbound = \"require-sealed\"\n".to_owned(),
        ..WorldOptions::default()
    })
    .await;
    for (path, message) in [
        ("<>", &b"Subject: no author\r\n\r\nx\r\n"[..]),
        ("<>", b"From: nobody\r\n\r\nx\r\n"),
        ("<>", b"From: x@stranger.example\r\n\r\nx\r\n"),
        ("<x@stranger.example>", b"\r\nx\r\n"),
    ] {
        let got = deliver(world.gw2.inbound(), Smtp, path, &[BOB], message).await;
        assert!(got.verdict().is("550 5.7.10 clear mail from"), "{got:?}");
    }
    nothing_delivered(&world);
    arrive(&world, &forgery(&world).carrier()).await.expect("250");
}

#[tokio::test]
async fn no_relaying() {
    let world = World::new().await;
    let gw2 = world.gw2.inbound();
    for to in [
        "<x@elsewhere.example>",
        "<x@company1.example>",
        "<x@mail.company2.example>",
        "<x@[127.0.0.1]>",
        "<x%elsewhere.example@[192.0.2.1]>",
    ] {
        let sent = deliver(gw2, Smtp, ALICE, &[to], MESSAGE).await;
        sent.expect("550 5.7.1 relaying denied");
    }
    nothing_delivered(&world);
    assert!(world.mta2.commands("MAIL").is_empty());
}

#[tokio::test]
async fn loops_and_large_headers() {
    let world = World::new().await;
    for address in [world.gw1.outbound(), world.gw2.inbound()] {
        for (count, reply) in [(51, "554 5.4.6 too many hops"), (50, "250")] {
            let fields = "Received: from a by b\r\n".repeat(count);
            let message = format!("{fields}From: alice@company1.example\r\n\r\nx\r\n");
            deliver(address, Smtp, ALICE, &[BOB], message.as_bytes()).await.expect(reply);
        }
        let large =
            [&b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n".repeat(7000), MESSAGE].concat();
        deliver(address, Smtp, ALICE, &[BOB], &large).await.expect("552 5.3.4");
    }
    assert_eq!((world.relay.messages().len(), world.mta2.messages().len()), (1, 1));
}

/// A sender is known again after its look-up fails, but not under another identity.
#[tokio::test]
async fn sender_memory() {
    let world = World::new().await;
    arrive(&world, &forgery(&world).carrier()).await.expect("250");
    world.dns.set(world.company1.policy_name(), Lookup::ServFail { rcode: 2 });
    arrive(&world, &forgery(&world).carrier()).await.expect("250");
    assert!(contains(&world.mta2.messages()[1].data, b"policy.level=remembered"));
    // An impostor's policy, with the impostor's signing key.
    let mut impostor = Org::new("company1.example", 60);
    impostor.publish(&world.dns);
    let forged = Forgery::new(&impostor, &world.company2);
    let got = arrive(&world, &forged.carrier()).await;
    assert!(got.verdict().code >= 400, "{got:?}");
    impostor.seed = 10;
    assert_eq!(impostor.identity().fingerprint(), IdentityKey::from_bytes(&[10; 32]).fingerprint());
    assert_eq!(world.mta2.messages().len(), 2);
}

/// Whoever fills the memory with names of his own keeps nobody else's mail out.
#[tokio::test]
async fn full_memory_of_senders() {
    let world = World::new().await;
    let mut spec = Spec::new(&world.company2).inbound(Smtp, &world.mta2.url);
    spec.ledger.max_remembered = 1;
    let gw2 = Gw::start(&spec, &world.dns, &world.clock).await;
    for (name, seed) in [("a.evil.example", 70), ("b.evil.example", 75), ("company1.example", 10)] {
        let sender = Org::new(name, seed);
        sender.publish(&world.dns);
        let mut forgery = Forgery::new(&sender, &world.company2);
        forgery.message = format!("From: x@{name}\r\n\r\nx\r\n").into_bytes();
        deliver(gw2.inbound(), Smtp, "<>", &[BOB], &forgery.carrier()).await.expect("250");
    }
    assert_eq!(world.mta2.messages().len(), 3);
}

/// Several domains of one gateway.
#[tokio::test]
async fn one_gateway_for_two_domains() {
    let world = World::new().await;
    let company3 = Org::new("company3.example", 70);
    company3.publish(&world.dns);
    let mut spec = Spec::new(&world.company2).inbound(Smtp, &world.mta2.url);
    spec.orgs.push(company3.clone());
    let gw2 = Gw::start(&spec, &world.dns, &world.clock).await;
    let to3 = Forgery::new(&world.company1, &company3);
    let xena = "<bob@company3.example>";
    deliver(gw2.inbound(), Smtp, ALICE, &[xena], &to3.carrier()).await.expect("250");
    // Sealed to one domain, sent to the other.
    let to3 = Forgery { prefix: to3.prefix.clone(), ..Forgery::new(&world.company1, &company3) };
    let mut fresh = to3;
    fresh.prefix.delivery_id = DeliveryId::random(&mut rng());
    deliver(gw2.inbound(), Smtp, ALICE, &[BOB], &fresh.carrier()).await.expect("550 5.7.1");
    assert_eq!(world.mta2.only().to, [xena]);
}
