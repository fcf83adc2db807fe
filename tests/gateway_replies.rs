//! The replies of the gateway and the table of the draft say the same [R-smtp-01], and each reason can be read in a bounce [R-smtp-02].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use mta_seal::core::Domain;
use mta_seal::gateway::Failure;
use mta_seal::policy::{
    Authenticity, ClearReason, DeferReason, Denial, KeyFailure, Level, LookupFailure, Refusal,
    RefuseReason, RejectReason,
};
use mta_seal::smtp::Reply;

const DRAFT: &str = include_str!("../spec/draft-mta-seal.md");

/// Rows of the draft's table: name, then reply and text.
fn draft() -> BTreeMap<String, String> {
    let section = DRAFT.split("[R-smtp-01]").nth(1).expect("the requirement");
    let table = section.lines().skip_while(|line| !line.starts_with("| Failure"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, reply, text] = cells[..] else { panic!("{row}") };
        (name.to_owned(), format!("{reply} {text}"))
    })
    .collect()
}

#[test]
fn failures_are_the_rows_of_the_draft() {
    let draft = draft();
    assert!(draft.len() > 30, "{draft:?}");
    let domain = Domain::parse("domain.example").unwrap();
    let own: BTreeMap<String, String> = Failure::all(&domain)
        .into_iter()
        .map(|failure| {
            let reply = failure.reply().to_string();
            let temporary = reply.starts_with('4');
            assert_eq!(failure.is_temporary(), temporary, "{failure:?}");
            (failure.name().to_owned(), reply.replace("domain.example", "DOMAIN"))
        })
        .collect();
    assert_eq!(own, draft);
}

/// Every reason to wait; the match makes the compiler ask for a new one.
fn deferrals() -> Vec<DeferReason> {
    let minimum = Level::Dnssec;
    let mut all: Vec<DeferReason> = LookupFailure::ALL.map(DeferReason::Lookup).to_vec();
    all.extend(Refusal::ALL.map(DeferReason::Refused));
    all.extend(KeyFailure::ALL.map(DeferReason::Key));
    all.extend(KeyFailure::ALL.map(DeferReason::PreferredKey));
    all.extend([
        DeferReason::EnforceRemembered,
        DeferReason::PolicyVanished,
        DeferReason::UnknownSender,
        DeferReason::BelowMinimum { level: Level::Remembered, minimum },
        DeferReason::DenialBelowMinimum { minimum },
        DeferReason::PinnedWithoutPolicy,
        DeferReason::WithdrawalUnsupported,
        DeferReason::MemoryNotPinned,
        DeferReason::MemoryDamaged,
    ]);
    for reason in &all {
        match reason {
            DeferReason::Lookup(_)
            | DeferReason::Refused(_)
            | DeferReason::Key(_)
            | DeferReason::PreferredKey(_)
            | DeferReason::EnforceRemembered
            | DeferReason::PolicyVanished
            | DeferReason::UnknownSender
            | DeferReason::BelowMinimum { .. }
            | DeferReason::DenialBelowMinimum { .. }
            | DeferReason::PinnedWithoutPolicy
            | DeferReason::WithdrawalUnsupported
            | DeferReason::MemoryNotPinned
            | DeferReason::MemoryDamaged => {}
        }
    }
    all
}

fn rejections() -> Vec<RejectReason> {
    let all = vec![RejectReason::NoPolicy, RejectReason::Withdrawn, RejectReason::LocalRule];
    for reason in &all {
        match reason {
            RejectReason::NoPolicy | RejectReason::Withdrawn | RejectReason::LocalRule => {}
        }
    }
    all
}

/// The reply to our own MTA about each reason.
fn inside(domain: &Domain) -> Vec<Reply> {
    const SINCE: u64 = 1_800_000_000;
    let waits = deferrals().into_iter().map(|why| {
        let failure = Failure::of_deferral(domain, &why);
        assert!(failure.is_temporary());
        failure.reply_because(&why, why.code(), Some(SINCE))
    });
    let refused = rejections().into_iter().map(|why| {
        let failure = Failure::of_rejection(domain, &why);
        assert!(!failure.is_temporary());
        failure.reply_because(&why, why.code(), None)
    });
    waits.chain(refused).collect()
}

fn wire(reply: &Reply) -> String {
    let mut octets = BytesMut::new();
    reply.write_to(&mut octets);
    String::from_utf8(octets.to_vec()).unwrap()
}

#[test]
fn replies_on_the_inside_are_readable_and_stable() {
    let domain = Domain::parse("company2.example").unwrap();
    let replies: Vec<String> = inside(&domain).iter().map(wire).collect();
    insta::assert_snapshot!(replies.join("\n").replace("\r\n", "\n"));
    for reply in &replies {
        assert!(reply.contains("company2.example"), "{reply}");
    }
}

/// No line is cut, whatever the name of the domain.
#[test]
fn every_line_has_room_for_the_longest_domain() {
    let label = "a".repeat(61);
    let longest = [&label[..]; 4].join(".") + ".exam";
    let domain = Domain::parse(&longest).unwrap();
    assert!(domain.as_str().len() > 250, "{}", domain.as_str().len());
    let rows = Failure::all(&domain).into_iter().map(|failure| failure.reply());
    for reply in inside(&domain).into_iter().chain(rows) {
        for (line, text) in wire(&reply).split_terminator("\r\n").zip(reply.lines()) {
            assert!(line.is_ascii() && line.len() + 2 <= 512, "{line}");
            assert!(line.ends_with(text) && !text.contains(char::is_control), "{line}");
        }
        assert_eq!(wire(&reply).matches("\r\n").count(), reply.lines().len());
    }
}

/// The names stand in the draft, each is that of one reason, and none has a character that a log or a label must quote.
#[test]
fn reasons_have_the_names_of_the_draft() {
    let section = DRAFT.split("The names of reasons").nth(1).expect("the list");
    let section = section.split("\n#").next().unwrap();
    let named: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    let clear = [
        ClearReason::NoPolicy { denial: Denial::NoData, authenticity: Authenticity::Secure },
        ClearReason::Withdrawn,
        ClearReason::Testing(KeyFailure::Missing),
        ClearReason::LocalRule,
        ClearReason::LocalAllowance,
    ];
    let refused = [RefuseReason::NoSigningKey];
    let defers: BTreeSet<&str> = deferrals().iter().map(DeferReason::code).collect();
    // The preferred key and the only one share their names.
    assert_eq!(defers.len(), deferrals().len() - KeyFailure::ALL.len());
    let own = (defers.into_iter())
        .chain(rejections().iter().map(RejectReason::code))
        .chain(clear.iter().map(ClearReason::code))
        .chain(refused.iter().map(RefuseReason::code))
        .collect::<BTreeSet<&str>>();
    assert_eq!(own, named);
    for name in own {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
    }
}
