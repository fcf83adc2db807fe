//! The names of decisions and reasons are those of the draft: logs, counters, replies and whoever reads them depend on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod policy_support;

use mta_seal::policy::{
    Authenticity, ClearReason, Decision, DeferReason, Denial, KeyFailure, Level, LookupFailure,
    Refusal, RefuseReason, RejectReason, Source,
};
use mta_seal::records::Mode;
use policy_support::draft::Table;
use policy_support::*;

/// The names in one row of the table of [R-smtp-02].
fn names(table: &Table, row: &str) -> Vec<String> {
    table.cell(row, "Reasons").split(", ").map(str::to_owned).collect()
}

fn failing() -> KeyFailure {
    KeyFailure::Missing
}

#[test]
fn reasons_have_the_names_of_the_draft() {
    let table = Table::read("reason-table");
    let denial = (Denial::NxDomain, Authenticity::Insecure);
    let clear = [
        ClearReason::NoPolicy { denial: denial.0, authenticity: denial.1 },
        ClearReason::Withdrawn,
        ClearReason::Testing(failing()),
        ClearReason::LocalRule,
        ClearReason::LocalAllowance,
    ];
    let otherwise = [
        DeferReason::EnforceRemembered,
        DeferReason::PolicyVanished,
        DeferReason::UnknownSender,
        DeferReason::BelowMinimum { level: Level::FirstUse, minimum: Level::Dnssec },
        DeferReason::DenialBelowMinimum { minimum: Level::Dnssec },
        DeferReason::PinnedWithoutPolicy,
        DeferReason::WithdrawalUnsupported,
        DeferReason::MemoryNotPinned,
        DeferReason::MemoryDamaged,
    ];
    let rejected = [RejectReason::NoPolicy, RejectReason::Withdrawn, RejectReason::LocalRule];
    let decisions: [(&str, &str, Vec<Decision>); 6] = [
        ("clear", "clear", clear.map(Decision::Clear).into()),
        ("defer, the look-up fails", "defer", deferred(LookupFailure::ALL, DeferReason::Lookup)),
        (
            "defer, the policy is not in force",
            "defer",
            deferred(Refusal::ALL, DeferReason::Refused),
        ),
        ("defer, a key cannot be had", "defer", deferred(KeyFailure::ALL, DeferReason::Key)),
        ("defer, otherwise", "defer", otherwise.map(Decision::Defer).into()),
        ("reject", "reject", rejected.map(Decision::Reject).into()),
    ];
    for (row, name, decisions) in decisions {
        let reasons: Vec<_> = decisions.iter().map(Decision::reason).collect();
        assert_eq!(reasons, names(&table, row), "{row}");
        for decision in decisions {
            assert_eq!(decision.name(), name);
        }
    }
    let preferred = deferred(KeyFailure::ALL, DeferReason::PreferredKey);
    let reasons: Vec<_> = preferred.iter().map(Decision::reason).collect();
    assert_eq!(reasons, names(&table, "defer, a key cannot be had"));
    assert_eq!(names(&table, "refuse a sender"), [RefuseReason::NoSigningKey.code()]);
    table.every_cell_was_tried();
}

#[test]
fn a_sealed_message_names_the_source_of_the_policy() {
    for (source, name) in [(Source::Dns, "dns"), (Source::Memory, "memory")] {
        let policy = Box::new(remembered_policy(Mode::Enforce).sign());
        let sealed = Decision::Seal { key: old_key(), level: Level::FirstUse, source, policy };
        assert_eq!((sealed.name(), sealed.reason()), ("seal", name));
    }
}

fn deferred<T, const N: usize>(all: [T; N], reason: impl Fn(T) -> DeferReason) -> Vec<Decision> {
    all.into_iter().map(|one| Decision::Defer(reason(one))).collect()
}
