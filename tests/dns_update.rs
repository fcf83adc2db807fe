//! What an update says to its server, and that no reply is believed that the server has not signed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod update_support;

use std::time::Duration;

use hickory_proto::rr::{DNSClass, RData, Record};
use mta_seal::core::Domain;
use mta_seal::dns::update::{Edit, Key, Primary, UpdateError, UpdateFailure};
use update_support::{At, KEY, Lie, NOW, SECRET, key_file};

use update_support::Primary as Fake;

const POLICY: &str = "_mta-seal.company1.example";
const ADD: Edit<'_> = Edit::Add { name: POLICY, text: "new", ttl: 600 };
const REMOVE: Edit<'_> = Edit::Remove { name: POLICY, text: "old" };

fn primary(fake: &Fake) -> Primary {
    let key = Key::parse(&key_file(KEY, "hmac-sha256", SECRET)).unwrap();
    Primary::new(fake.address, key, None)
}

/// The one update that was made, record by record: class, name, TTL and strings.
fn updated(fake: &Fake) -> Vec<String> {
    let seen = fake.seen.lock().unwrap();
    assert_eq!(seen.updates.len(), 1, "all in one message");
    let update = &seen.updates[0];
    assert!(update.answers.is_empty(), "no prerequisites");
    let zone = &update.queries[0];
    assert_eq!(
        (zone.name().to_ascii().as_str(), zone.query_class()),
        ("company1.example.", DNSClass::IN)
    );
    update.authorities.iter().map(told).collect()
}

fn told(record: &Record) -> String {
    let RData::TXT(txt) = &record.data else { panic!("{record}") };
    let strings: Vec<_> = txt.txt_data.iter().map(|s| String::from_utf8_lossy(s)).collect();
    format!("{} {} {} {}", record.dns_class, record.name, record.ttl, strings.join("|"))
}

#[tokio::test]
async fn all_changes_stand_in_one_signed_update() {
    let fake = Fake::start(&[(POLICY, &["old"])], None).await;
    let key = Edit::Add { name: "s1._mta-seal.company1.example", text: "key", ttl: 60 };
    primary(&fake).apply(&[REMOVE, ADD, key], NOW).await.unwrap();
    assert_eq!(
        updated(&fake),
        [
            "NONE _mta-seal.company1.example. 0 old",
            "IN _mta-seal.company1.example. 600 new",
            "IN s1._mta-seal.company1.example. 60 key",
        ]
    );
    let seen = fake.seen.lock().unwrap();
    assert_eq!(seen.questions[0], "_mta-seal.company1.example. SOA");
}

#[tokio::test]
async fn a_zone_that_is_named_is_not_asked_for() {
    let fake = Fake::start(&[], None).await;
    let key = Key::parse(&key_file(KEY, "hmac-sha256", SECRET)).unwrap();
    let zone = Domain::parse("company1.example").unwrap();
    Primary::new(fake.address, key, Some(zone)).apply(&[ADD], NOW).await.unwrap();
    assert_eq!(updated(&fake), ["IN _mta-seal.company1.example. 600 new"]);
    assert_eq!(fake.seen.lock().unwrap().questions, ["_mta-seal.company1.example. TXT"]);
}

#[tokio::test]
async fn long_texts_are_split_at_255_octets() {
    let fake = Fake::start(&[], None).await;
    let text = "x".repeat(255 * 6 + 10);
    primary(&fake).apply(&[Edit::Add { name: POLICY, text: &text, ttl: 1 }], NOW).await.unwrap();
    let updated = updated(&fake);
    let strings = updated[0].rsplit_once(' ').unwrap().1;
    let lengths: Vec<usize> = strings.split('|').map(str::len).collect();
    assert_eq!(lengths, [255, 255, 255, 255, 255, 255, 10]);
    assert_eq!(strings.replace('|', ""), text);
}

#[tokio::test]
async fn what_was_split_otherwise_is_still_the_same_record() {
    let fake = Fake::start(&[(POLICY, &["o", "l", "d"]), (POLICY, &["ne", "w"])], None).await;
    primary(&fake).apply(&[REMOVE, ADD], NOW).await.unwrap();
    assert_eq!(
        updated(&fake),
        [
            "NONE _mta-seal.company1.example. 0 o|l|d",
            "NONE _mta-seal.company1.example. 0 ne|w",
            "IN _mta-seal.company1.example. 600 new",
        ]
    );
}

#[tokio::test]
async fn changes_that_are_made_already_succeed() {
    let fake = Fake::start(&[(POLICY, &["new"]), (POLICY, &["v=spf1 -all"])], None).await;
    primary(&fake).apply(&[REMOVE, ADD], NOW).await.unwrap();
    // Adding again sets the time to live.
    assert_eq!(updated(&fake), ["IN _mta-seal.company1.example. 600 new"]);

    let fake = Fake::start(&[], None).await;
    primary(&fake).apply(&[REMOVE], NOW).await.unwrap();
    primary(&fake).apply(&[], NOW).await.unwrap();
    assert!(fake.seen.lock().unwrap().updates.is_empty());
}

async fn fails(at: At, lie: Lie) -> UpdateError {
    let fake = Fake::start(&[(POLICY, &["old"])], Some((at, lie))).await;
    let primary = primary(&fake);
    let primary =
        if lie == Lie::Silent { primary.within(Duration::from_millis(300)) } else { primary };
    let error = primary.apply(&[REMOVE, ADD], NOW).await.expect_err(&format!("{at:?} {lie:?}"));
    let updates = fake.seen.lock().unwrap().updates.len();
    assert_eq!(updates, usize::from(at == At::Update), "{at:?} {lie:?}");
    assert_eq!(error.server, fake.address);
    let said = format!("{error} {error:?} {:?}", error.hint());
    assert!(!said.contains("sixteen") && !said.contains("c2l4dGVlbi"), "{said}");
    error
}

#[tokio::test]
async fn no_reply_is_believed_that_is_not_signed_for_the_request() {
    for at in [At::Soa, At::Txt, At::Update] {
        for lie in [Lie::Unsigned, Lie::UnsignedRcode(0), Lie::UnsignedRcode(5)] {
            let error = fails(at, lie).await;
            assert!(
                matches!(error.failure, UpdateFailure::Unsigned { .. }),
                "{at:?} {lie:?}: {error}"
            );
        }
        for lie in [
            Lie::FlippedBody,
            Lie::FlippedRcode,
            Lie::FlippedMac,
            Lie::HalfMac,
            Lie::NoMac,
            Lie::OtherSecret,
            Lie::OtherName,
            Lie::OtherRequest,
        ] {
            let error = fails(at, lie).await;
            assert!(matches!(error.failure, UpdateFailure::BadReply), "{at:?} {lie:?}: {error}");
        }
        for lie in [Lie::Echo, Lie::OtherId, Lie::Empty, Lie::Garbage, Lie::Counts, Lie::Twice] {
            let error = fails(at, lie).await;
            assert!(matches!(error.failure, UpdateFailure::Malformed), "{at:?} {lie:?}: {error}");
        }
        for lie in [Lie::Cut, Lie::Close] {
            let error = fails(at, lie).await;
            assert!(
                matches!(error.failure, UpdateFailure::Connection(_)),
                "{at:?} {lie:?}: {error}"
            );
        }
        let error = fails(at, Lie::Silent).await;
        assert!(matches!(error.failure, UpdateFailure::Timeout(_)), "{at:?}: {error}");
    }
}

#[tokio::test]
async fn replies_of_another_time_are_not_believed() {
    for (later, said) in [(301, "301 s in the future"), (-301, "301 s ago")] {
        let error = fails(At::Update, Lie::SignedAt(later)).await;
        assert!(matches!(error.failure, UpdateFailure::StaleReply { by } if by == later));
        assert!(error.to_string().contains(said), "{error}");
    }
    for later in [300, -300] {
        let lie = Some((At::Update, Lie::SignedAt(later)));
        let fake = Fake::start(&[], lie).await;
        primary(&fake).apply(&[ADD], NOW).await.unwrap();
    }
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let mut told = String::new();
    for (at, lie) in [
        (At::Update, Lie::Rcode(1)),
        (At::Update, Lie::Rcode(2)),
        (At::Update, Lie::Rcode(4)),
        (At::Update, Lie::Rcode(5)),
        (At::Update, Lie::Rcode(6)),
        (At::Update, Lie::Rcode(7)),
        (At::Update, Lie::Rcode(8)),
        (At::Update, Lie::Rcode(9)),
        (At::Update, Lie::Rcode(10)),
        (At::Update, Lie::Rcode(11)),
        (At::Update, Lie::UnsignedRcode(5)),
        (At::Update, Lie::OtherSecret),
        (At::Soa, Lie::UnsignedError(17)),
        (At::Soa, Lie::UnsignedError(16)),
        (At::Soa, Lie::BadTime(3600)),
        (At::Soa, Lie::BadTime(-3600)),
        (At::Soa, Lie::SignedError(22)),
        (At::Soa, Lie::NoAuthority),
        (At::Soa, Lie::OtherZone),
        (At::Soa, Lie::Rcode(2)),
        (At::Soa, Lie::Close),
        (At::Txt, Lie::Rcode(5)),
        (At::Txt, Lie::NoAuthority),
        (At::Txt, Lie::Truncated),
        (At::Txt, Lie::Alias),
        (At::Update, Lie::Silent),
        (At::Update, Lie::SignedAt(400)),
    ] {
        let error = fails(at, lie).await;
        let said = error.to_string().replace(&error.server.to_string(), "SERVER");
        told.push_str(&format!("{at:?} {lie:?}\n  {said}\n"));
        if let Some(hint) = error.hint() {
            told.push_str(&format!("  hint: {hint}\n"));
        }
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn names_outside_the_zone_are_not_sent() {
    let fake = Fake::start(&[], None).await;
    let stranger = Edit::Add { name: "_mta-seal.company2.example", text: "x", ttl: 1 };
    let error = primary(&fake).apply(&[ADD, stranger], NOW).await.unwrap_err();
    assert!(matches!(error.failure, UpdateFailure::OutsideZone { .. }), "{error}");
    let error = primary(&fake)
        .apply(&[Edit::Add { name: "a..b\n", text: "x", ttl: 1 }], NOW)
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with(r"a..b\n is no name in DNS"), "{error}");
    assert!(fake.seen.lock().unwrap().updates.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_into_one_message_is_not_made_in_part() {
    let fake = Fake::start(&[], None).await;
    let texts: Vec<String> = (0..20).map(|at| format!("{at}{}", "x".repeat(4000))).collect();
    let edits: Vec<Edit<'_>> =
        texts.iter().map(|text| Edit::Add { name: POLICY, text, ttl: 1 }).collect();
    let error = primary(&fake).apply(&edits, NOW).await.unwrap_err();
    assert!(matches!(error.failure, UpdateFailure::TooLarge), "{error}");
    assert!(fake.seen.lock().unwrap().updates.is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_is_told_of() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let key = Key::parse(&key_file(KEY, "hmac-sha256", SECRET)).unwrap();
    // A port that is bound and not listened on refuses.
    let primary = Primary::new(socket.local_addr().unwrap(), key, None);
    let error = primary.apply(&[ADD], NOW).await.unwrap_err();
    assert!(error.to_string().ends_with(": connection refused"), "{error}");
    assert!(error.hint().unwrap().contains("TCP"));
}

#[test]
fn the_secret_is_in_no_debug_output() {
    let key = || Key::parse(&key_file(KEY, "hmac-sha512", SECRET)).unwrap();
    assert_eq!(key().to_string(), "mta-seal (hmac-sha512)");
    let primary = Primary::new("[::1]:53".parse().unwrap(), key(), None);
    let shown = format!("{:?} {:#?}", key(), primary);
    let octets: Vec<String> = SECRET.iter().map(u8::to_string).collect();
    for secret in ["sixteen", "c2l4dGVlbi", &octets.join(", ")] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
