//! The tables of the draft's section "Decision", read from the draft and held against the code over the full product of
//! outcome, memory, rule, demand, minimum level, pin and exceptions; and the properties that must follow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod policy_support;

use std::sync::LazyLock;

use mta_seal::core::SealingPublicKey;
use mta_seal::policy::{
    Alarm, Allowances, Authenticity, ClearReason, Decision, DeferReason, Demand, Denial, Hold,
    KeyFailure, Level, LocalPolicy, LookupFailure, Memory, MemoryUpdate, Outcome, RejectReason,
    Rule, Source, Verdict, decide, decide_damaged,
};
use mta_seal::records::{Mode, SealingEntry};
use policy_support::draft::{Evidence, Table, cell_name, failure_row};
use policy_support::*;

/// What is remembered, and what the draft calls it.
struct Remembered {
    /// N, K, KE or E.
    letters: &'static str,
    memory: Option<Memory>,
    /// Whether anything is left of it.
    live: bool,
    enforce: bool,
    /// A `none` that replaced another identity key and lifts nothing.
    displaced: bool,
    /// Tried over the full product, see [`Instance`].
    full: bool,
}

impl Remembered {
    fn live(&self) -> Option<&Memory> {
        self.memory.as_ref().filter(|_| self.live)
    }
}

/// Made once: signing is slow, and some tests ask for each outcome.
static MEMORIES: LazyLock<Vec<Remembered>> = LazyLock::new(memories);

fn memories() -> Vec<Remembered> {
    let keyless = |mode| Memory { key: None, ..memory(mode) };
    let expired = |mode| {
        let policy = remembered_policy(mode).with(|d| d.expiry = NOW);
        Memory { policy: policy.sign(), ..memory(mode) }
    };
    // `testing` came after an `enforce` that it does not lift.
    let carried = Memory { enforce_until: Some(NOW + 1), ..memory(Mode::Testing) };
    let displaced = Memory { enforce_until: Some(NOW + 1), ..memory(Mode::None) };
    let large = |mode| {
        let policy = remembered_policy(mode).with(|d| d.sealing_keys = vec![entry(&large_key())]);
        Memory { policy: policy.sign(), key: Some(large_key()), ..memory(mode) }
    };
    // A key that a later policy may still list.
    let expired_large = |mode| Memory { key: Some(large_key()), ..expired(mode) };
    let remembered = |letters: &'static str, memory: Option<Memory>, full| {
        let enforce = letters.ends_with('E');
        let withdrawn = memory.as_ref().is_some_and(|m| m.policy.record().mode == Mode::None);
        let live = memory.is_some();
        Remembered { letters, memory, live, enforce, displaced: enforce && withdrawn, full }
    };
    let mut all = vec![remembered("N", None, true)];
    for (letters, memory, full) in [
        ("N", memory(Mode::None), true),
        ("N", keyless(Mode::Testing), false),
        ("N", expired(Mode::Testing), false),
        ("N", expired_large(Mode::Testing), false),
        ("K", memory(Mode::Testing), true),
        ("K", large(Mode::Testing), false),
        ("KE", memory(Mode::Enforce), true),
        ("KE", large(Mode::Enforce), false),
        ("KE", carried, false),
        ("E", keyless(Mode::Enforce), false),
        ("E", expired(Mode::Enforce), true),
        ("E", expired_large(Mode::Enforce), false),
        ("E", displaced, true),
    ] {
        for (level, hold, pinned_root) in [
            (Level::FirstUse, memory.hold, None),
            (Level::Remembered, Hold::Firm, Some(fingerprint(ROOT))),
            (Level::Dnssec, Hold::Firm, None),
        ] {
            let memory = Memory { level, hold, pinned_root, ..memory.clone() };
            all.push(remembered(letters, Some(memory), full));
        }
    }
    // A memory of which nothing is left.
    let mut lapsed = expired_large(Mode::Enforce);
    lapsed.last_seen = NOW - 3 * DAY;
    lapsed.enforce_until = Some(NOW);
    all.push(Remembered { live: false, ..remembered("N", Some(lapsed), false) });
    all
}

/// Whose policy is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// That of the identity that is remembered, where one is.
    Own,
    /// Of a successor that the remembered identity names.
    Rollover,
    /// Of the one that its policies announce.
    Announced,
    /// Of one that has nothing to do with it.
    Stranger,
    /// Of one that it has succeeded.
    Root,
}

impl Who {
    fn seed(self) -> u8 {
        match self {
            Self::Own => OWN,
            Self::Rollover => SUCCESSOR,
            Self::Announced => ANNOUNCED,
            Self::Stranger => STRANGER,
            Self::Root => ROOT,
        }
    }
}

/// Which of the policy's sealing keys can be had without memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// The most preferred one.
    Best,
    /// [`large_key`] cannot, another can.
    Other,
    /// [`large_key`] cannot, and there is no other.
    None,
    /// No key of a known suite is listed.
    Unknown,
}

/// What the draft says of a policy that is found.
#[derive(Debug, Clone)]
struct Found {
    mode: Mode,
    who: Who,
    keys: Keys,
    /// Not in force for its time: the row, but for mode `none`.
    outside: Option<&'static str>,
    lower_serial: bool,
    /// The key that `seal` means.
    key: Option<SealingPublicKey>,
}

/// One concrete outcome.
struct Instance {
    outcome: Outcome,
    authenticity: Authenticity,
    kind: Kind,
    /// Tried over the full product; others differ from such a one only in what does not matter there, and are held
    /// against the first table only.
    full: bool,
}

enum Kind {
    Found(Found),
    /// The row of a denial or failure.
    Row(String),
}

static INSTANCES: LazyLock<Vec<Instance>> = LazyLock::new(instances);

/// All outcomes, first with a secure answer, then, in the same order, with an insecure one; then failures. The matches
/// are exhaustive, so a new outcome needs a row.
fn instances() -> Vec<Instance> {
    use Authenticity::{Insecure, Secure};
    let mut all = Vec::new();
    for authenticity in [Secure, Insecure] {
        let vouched = match authenticity {
            Secure => "secure",
            Insecure => "insecure",
        };
        for denial in [Denial::NxDomain, Denial::NoData] {
            let row = match denial {
                Denial::NxDomain => "NXDOMAIN",
                Denial::NoData => "NODATA",
            };
            let outcome = Outcome::NoPolicy { denial, authenticity };
            let kind = Kind::Row(format!("{row}, {vouched}"));
            all.push(Instance { outcome, authenticity, kind, full: denial == Denial::NoData });
        }
        let mut add = |policy: &Policy, keys: Vec<_>, found: Found, full: bool| {
            let outcome = policy.found_with(authenticity, keys);
            all.push(Instance { outcome, authenticity, kind: Kind::Found(found), full });
        };
        for mode in [Mode::Enforce, Mode::Testing, Mode::None] {
            for who in [Who::Own, Who::Rollover, Who::Announced, Who::Stranger, Who::Root] {
                let plain = policy().mode(mode).by(who.seed());
                let plain = if who == Who::Rollover { plain.succeeding(OWN) } else { plain };
                let found = Found {
                    mode,
                    who,
                    keys: Keys::Best,
                    outside: None,
                    lower_serial: false,
                    key: Some(new_key()),
                };
                let own = who == Who::Own;
                let usual = found.clone();
                add(&plain, Vec::new(), usual, who != Who::Announced);
                // Whose it is does not matter then.
                if own || who == Who::Stranger {
                    for (outside, serial, expiry) in [
                        ("expired", NOW - 500, NOW),
                        ("expired", NOW - 500, NOW - 1),
                        ("not yet valid", NOW + HOUR + 1, NOW + DAY),
                    ] {
                        let policy = plain.clone().with(|d| {
                            d.serial = serial;
                            d.expiry = expiry;
                        });
                        let found = Found { outside: Some(outside), ..found.clone() };
                        add(&policy, Vec::new(), found, own && expiry == NOW);
                    }
                }
                if own {
                    let lower = plain.clone().with(|d| d.serial = NOW - 1001);
                    add(&lower, Vec::new(), Found { lower_serial: true, ..found.clone() }, true);
                    let same = remembered_policy(mode);
                    add(&same, Vec::new(), Found { key: Some(old_key()), ..found.clone() }, true);
                }
                if mode == Mode::None {
                    continue;
                }
                let listing = |sealing_keys| plain.clone().with(|d| d.sealing_keys = sealing_keys);
                let both = listing(vec![entry(&large_key()), entry(&new_key())]);
                let single = listing(vec![entry(&large_key())]);
                let unknown = listing(vec!["9:AAAA".parse::<SealingEntry>().unwrap()]);
                let with = |keys| Found { keys, ..found.clone() };
                let best = Found { key: Some(large_key()), ..found.clone() };
                add(&both, fetched(None), best, false);
                for failure in KeyFailure::ALL {
                    if failure == KeyFailure::NoUsableSuite {
                        add(&unknown, Vec::new(), with(Keys::Unknown), false);
                        continue;
                    }
                    let full = failure == KeyFailure::Missing;
                    let full = full && (own || who == Who::Stranger);
                    add(&both, fetched(Some(failure)), with(Keys::Other), full);
                    add(&single, fetched(Some(failure)), with(Keys::None), full);
                }
                // A look-up that was not even made.
                add(&single, Vec::new(), with(Keys::None), false);
            }
        }
    }
    for failure in LookupFailure::ALL {
        let row = failure_row(failure);
        let kind = Kind::Row(row.to_owned());
        let outcome = Outcome::Failed(failure);
        let full = failure == LookupFailure::ServFail;
        all.push(Instance { outcome, authenticity: Insecure, kind, full });
    }
    all
}

/// The operator's exceptions, by the columns of the draft. An override brings the weaker suite with it.
const EXCEPTIONS: [(Option<&str>, Allowances); 3] = [
    (None, Allowances { weaker_suite: false, clear_on_failure: false }),
    (Some("weaker suite allowed"), Allowances { weaker_suite: true, clear_on_failure: false }),
    (Some("override"), Allowances { weaker_suite: false, clear_on_failure: true }),
];

const DEMANDS: [Demand; 2] = [Demand::Absent, Demand::Sealed];

const PINS: [Option<u8>; 5] = [None, Some(OWN), Some(STRANGER), Some(SUCCESSOR), Some(ROOT)];

struct Tables {
    decision: Table,
    evidence: Evidence,
    minimum: Table,
    exception: Table,
    never: Table,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    decision: Table::read("decision-table"),
    evidence: Evidence::read(),
    minimum: Table::read("minimum-table"),
    exception: Table::read("exception-table"),
    never: Table::read("never-table"),
});

/// What the tables say of an outcome and a memory, before rule and minimum level are looked at.
struct Expected {
    row: String,
    /// The level of the policy found, if it is believed.
    found: Option<Level>,
    /// The level of the remembered policy.
    remembered: Option<Level>,
    /// The key of a cell `seal`.
    key: Option<SealingPublicKey>,
    /// A believed policy in force, or the memory, forbids clear mail.
    enforce: bool,
    /// A `none` of a pinned domain on an insecure answer [R-dec-28].
    unsupported: bool,
}

fn expect(instance: &Instance, remembered: &Remembered, pin: Option<u8>) -> Expected {
    let evidence = &TABLES.evidence;
    let memory = remembered.live();
    let secure = instance.authenticity == Authenticity::Secure;
    let expected = |row: &str| Expected {
        row: row.to_owned(),
        found: None,
        remembered: memory.map(|memory| evidence.remembered(secure, memory, pin)),
        key: None,
        enforce: remembered.enforce,
        unsupported: false,
    };
    let found = match &instance.kind {
        Kind::Row(row) => return expected(row),
        Kind::Found(found) => found,
    };
    if let Some(outside) = found.outside {
        return expected(if found.mode == Mode::None { "none, not in its time" } else { outside });
    }
    let Outcome::Found(policy) = &instance.outcome else { panic!("a policy is found") };
    let Some(level) = evidence.found(&policy.policy, secure, memory, pin) else {
        return expected(if secure {
            "other identity, secure"
        } else {
            "other identity, insecure"
        });
    };
    if found.lower_serial && memory.is_some() {
        return expected("lower serial");
    }

    let related = memory.is_some() && !matches!(found.who, Who::Stranger | Who::Root);
    let mode = found.mode.as_str();
    let replaces = memory.is_some() && !related;
    let kept_key = related && memory.and_then(|m| m.key.as_ref()) == Some(&large_key());
    let (row, key) = match (found.mode, found.keys) {
        (Mode::None, _) if replaces || remembered.displaced => {
            ("none, stronger evidence".into(), None)
        }
        (_, Keys::Other | Keys::None) if kept_key => {
            (format!("{mode}, key remembered"), Some(large_key()))
        }
        (_, Keys::Other) => (format!("{mode}, other key"), found.key.clone()),
        (_, Keys::None) => (format!("{mode}, no key"), None),
        (_, Keys::Unknown) => (format!("{mode}, unknown suites"), None),
        (_, Keys::Best) if replaces => {
            ("other identity, stronger evidence".into(), found.key.clone())
        }
        (_, Keys::Best) => {
            let row = match found.who {
                Who::Rollover if related => format!("{mode}, by rollover"),
                Who::Announced if related => format!("{mode}, by announced key"),
                _ => mode.to_owned(),
            };
            (row, found.key.clone())
        }
    };
    let unsupported = found.mode == Mode::None && !secure && pin.is_some();
    let lifted = row.starts_with("none") && row != "none, stronger evidence" && !unsupported;
    Expected {
        found: Some(level),
        key,
        enforce: found.mode == Mode::Enforce || (remembered.enforce && !lifted),
        unsupported,
        ..expected(&row)
    }
}

/// What the tables say: the decision, and the level of what is sealed.
fn decided(
    expected: &Expected,
    instance: &Instance,
    remembered: &Remembered,
    local: &LocalPolicy,
    exception: Option<&str>,
    demand: Demand,
    pin: Option<u8>,
) -> (&'static str, Option<Level>) {
    let tables = &*TABLES;
    if local.rule == Rule::Never {
        let row = if expected.enforce {
            "enforce published or remembered"
        } else {
            "enforce neither published nor remembered"
        };
        let column = match demand {
            Demand::Absent => "without demand",
            Demand::Sealed => "with demand",
        };
        return (tables.never.cell(row, column), None);
    }
    let wish = if must_seal(local.rule, demand) { "+" } else { "-" };
    let mut cell = tables.decision.cell(&expected.row, &format!("{}{wish}", remembered.letters));
    let denial = matches!(instance.outcome, Outcome::NoPolicy { .. })
        || expected.row == "none, not in its time";
    let pin_row = match cell {
        "memory" => Some("cell memory"),
        "clear" | "reject" if denial => Some("cell clear or reject, after a denial"),
        "clear" | "reject" if expected.unsupported => {
            Some("cell clear or reject, after an unsupported none")
        }
        "clear" | "seal" if expected.row.starts_with("testing, ") && wants_key(&expected.row) => {
            Some("cell clear for want of a key, or seal to another key")
        }
        _ => None,
    };
    if let (Some(pin), Some(row)) = (pin, pin_row) {
        cell = tables.evidence.with_pin(row, remembered.live(), pin);
    }

    let policy = |level: Option<Level>| level.map(|level| format!("policy at {level}"));
    let by = match cell {
        "memory" => policy(expected.remembered),
        "clear" | "reject" if denial => Some(match instance.authenticity {
            Authenticity::Secure => "secure denial".to_owned(),
            Authenticity::Insecure => "insecure denial".to_owned(),
        }),
        "defer" if !expected.row.ends_with("other key") => None,
        _ => policy(expected.found),
    };
    let stands =
        by.is_none_or(|by| tables.minimum.cell(&by, local.minimum_level.as_str()) == "stands");
    if !stands {
        cell = "defer";
    }
    if let Some(exception) = exception {
        let so_far = match cell {
            "defer" if stands && expected.row.ends_with("other key") => "other key",
            other => other,
        };
        cell = tables.exception.cell(so_far, &format!("{exception}, {wish}"));
    }
    let level = match cell {
        "seal" => expected.found,
        "memory" => expected.remembered,
        _ => None,
    };
    (cell, level)
}

/// Whether the most preferred key of a known suite cannot be had.
fn wants_key(row: &str) -> bool {
    ["other key", "no key", "unknown suites"].iter().any(|end| row.ends_with(end))
}

fn must_seal(rule: Rule, demand: Demand) -> bool {
    rule == Rule::Require || demand == Demand::Sealed
}

/// The verdicts about one outcome and memory with one pin and rule: for every minimum level, exception and demand.
struct Grid<'a> {
    instance: &'a Instance,
    remembered: &'a Remembered,
    expected: &'a Expected,
    rule: Rule,
    pin: Option<u8>,
    verdicts: Vec<Verdict>,
}

/// Which minimum level, exception and demand a verdict of a grid is for.
#[derive(Debug, Clone, Copy)]
struct At {
    minimum: usize,
    exception: usize,
    demand: usize,
}

impl At {
    fn all() -> impl Iterator<Item = Self> {
        (0..Level::ALL.len() * EXCEPTIONS.len() * DEMANDS.len()).map(|at| Self {
            minimum: at / (EXCEPTIONS.len() * DEMANDS.len()),
            exception: at / DEMANDS.len() % EXCEPTIONS.len(),
            demand: at % DEMANDS.len(),
        })
    }

    fn index(self) -> usize {
        (self.minimum * EXCEPTIONS.len() + self.exception) * DEMANDS.len() + self.demand
    }

    fn local(self, rule: Rule, pin: Option<u8>) -> LocalPolicy {
        LocalPolicy {
            rule,
            minimum_level: Level::ALL[self.minimum],
            pin: pin.map(fingerprint),
            allow: EXCEPTIONS[self.exception].1,
        }
    }

    fn exception(self) -> Option<&'static str> {
        EXCEPTIONS[self.exception].0
    }

    fn overridden(self) -> bool {
        EXCEPTIONS[self.exception].1.clear_on_failure
    }

    fn demand(self) -> Demand {
        DEMANDS[self.demand]
    }
}

impl Grid<'_> {
    fn at(&self, at: At) -> &Verdict {
        &self.verdicts[at.index()]
    }

    fn describe(&self, at: At) -> String {
        let Self { expected, remembered, rule, pin, .. } = self;
        let (row, letters, memory) = (&expected.row, remembered.letters, &remembered.memory);
        format!("{row}, {letters}, {rule}, pin {pin:?}, {at:?}, {memory:?}: {:?}", self.at(at))
    }
}

/// Calls `check` for the full product.
fn every_grid(mut check: impl FnMut(&Grid<'_>)) {
    for instance in INSTANCES.iter().filter(|instance| instance.full) {
        for remembered in MEMORIES.iter().filter(|remembered| remembered.full) {
            for pin in PINS {
                let expected = &expect(instance, remembered, pin);
                for rule in Rule::ALL {
                    let memory = remembered.memory.as_ref();
                    let verdicts = At::all().map(|at| {
                        let local = at.local(rule, pin);
                        decide(&local, &instance.outcome, memory, at.demand(), NOW)
                    });
                    let verdicts = verdicts.collect();
                    check(&Grid { instance, remembered, expected, rule, pin, verdicts });
                }
            }
        }
    }
}

/// Holds one verdict against the tables.
fn compare(
    expected: &Expected,
    instance: &Instance,
    remembered: &Remembered,
    (local, exception, demand): (&LocalPolicy, Option<&str>, Demand),
    pin: Option<u8>,
    verdict: &Verdict,
) {
    let described = || {
        let memory = &remembered.memory;
        format!("{}, {local:?}, {demand:?}, memory {memory:?}: {verdict:?}", expected.row)
    };
    let (cell, level) = decided(expected, instance, remembered, local, exception, demand, pin);
    let alarm = verdict.alarms.contains(&Alarm::NeverOverEnforce);
    let got = if alarm { "clear, alarm" } else { cell_name(&verdict.decision) };
    assert_eq!(got, cell, "{}", described());
    if let Decision::Seal { key, source, policy, level: sealed_at } = &verdict.decision {
        assert_eq!(Some(*sealed_at), level, "{}", described());
        let (its_key, its_policy) = match (source, &instance.outcome) {
            (Source::Dns, Outcome::Found(found)) => (expected.key.clone(), &found.policy),
            (Source::Memory, _) => {
                let memory = remembered.memory.as_ref().unwrap();
                (memory.key.clone(), &memory.policy)
            }
            _ => panic!("{}", described()),
        };
        assert_eq!((Some(key), &**policy), (its_key.as_ref(), its_policy), "{}", described());
    }
}

#[test]
fn the_code_decides_as_the_tables_say_and_the_properties_hold() {
    // Every outcome against the first table.
    for instance in INSTANCES.iter() {
        for remembered in MEMORIES.iter() {
            let expected = expect(instance, remembered, None);
            for rule in Rule::ALL {
                for demand in DEMANDS {
                    let local = LocalPolicy { rule, ..LocalPolicy::default() };
                    let memory = remembered.memory.as_ref();
                    let verdict = decide(&local, &instance.outcome, memory, demand, NOW);
                    let wish = (&local, None, demand);
                    compare(&expected, instance, remembered, wish, None, &verdict);
                }
            }
        }
    }
    // The full product against all tables, and against what follows from them.
    every_grid(|grid| {
        let Grid { instance, remembered, expected, rule, pin, .. } = grid;
        for at in At::all() {
            let wish = (&at.local(*rule, *pin), at.exception(), at.demand());
            compare(expected, instance, remembered, wish, *pin, grid.at(at));
            properties_of_one(grid, at);
            properties_of_two(grid, at);
        }
    });
    let Tables { decision, evidence: Evidence { level, pin }, minimum, exception, never } =
        &*TABLES;
    for table in [decision, level, pin, minimum, exception, never] {
        table.every_cell_was_tried();
    }
}

/// How far a decision is from clear mail [R-dec-05].
fn strictness(decision: &Decision) -> u8 {
    match decision {
        Decision::Clear(_) => 0,
        Decision::Seal { .. } => 1,
        Decision::Defer(_) => 2,
        Decision::Reject(_) => 3,
    }
}

/// What holds of every verdict, whatever the tables say.
fn properties_of_one(grid: &Grid<'_>, at: At) {
    let Grid { instance, remembered, expected, rule, pin, .. } = grid;
    let verdict = grid.at(at);
    let described = || grid.describe(at);
    let never = *rule == Rule::Never;
    let clear = matches!(verdict.decision, Decision::Clear(_));
    let allowance = verdict.decision == Decision::Clear(ClearReason::LocalAllowance);

    // [R-dec-20]
    assert!(!clear || !must_seal(*rule, at.demand()), "{}", described());
    if never && at.demand() == Demand::Sealed {
        assert!(matches!(verdict.decision, Decision::Reject(_)), "{}", described());
    }
    // [R-dec-18]: an override raises an alarm that says what was lifted.
    let alarmed = verdict.alarms.iter().any(|alarm| matches!(alarm, Alarm::ClearOnFailure(_)));
    assert_eq!(allowance, alarmed, "{}", described());
    assert!(!allowance || at.overridden(), "{}", described());
    let exempt = never || allowance;
    // [R-dec-21]
    let withdrawn = matches!(expected.row.as_str(), "none" | "none, by rollover");
    assert!(!clear || !remembered.enforce || exempt || withdrawn, "{}", described());
    // [R-dec-22]
    if clear && !exempt {
        let lifting = match &instance.outcome {
            Outcome::Failed(_) => false,
            Outcome::NoPolicy { .. } => pin.is_none(),
            Outcome::Found(found) => match found.policy.record().mode {
                Mode::Enforce => false,
                Mode::Testing => {
                    expected.key.is_none() && expected.found.is_some() && pin.is_none()
                }
                Mode::None => expected.found.is_some() || pin.is_none(),
            },
        };
        assert!(lifting, "{}", described());
    }
    // [R-dec-28], [R-dec-24]
    if expected.unsupported {
        let waits = matches!(verdict.decision, Decision::Defer(_));
        assert!(waits || allowance || never, "{}", described());
        assert!(verdict.alarms.contains(&Alarm::PolicyVanished), "{}", described());
    }
    if expected.unsupported {
        assert_eq!(verdict.memory, MemoryUpdate::Keep, "{}", described());
    }
    if let Decision::Seal { key, level, policy, source } = &verdict.decision {
        // [R-dec-23]
        assert!(*level >= Level::ALL[at.minimum], "{}", described());
        // [R-dec-24]
        let identity = policy.identity().fingerprint();
        if let Some(pin) = pin.map(fingerprint) {
            let root = remembered.memory.as_ref().is_some_and(|m| m.satisfies(&pin))
                && [OWN, SUCCESSOR, ANNOUNCED].map(fingerprint).contains(&identity);
            assert!(identity == pin || root, "{}", described());
            assert_eq!(*level, Level::Pinned, "{}", described());
        }
        // [R-dec-25]
        let mut listed = policy.record().sealing_keys.iter();
        assert!(listed.any(|entry| entry.key_id() == Some(key.key_id())), "{}", described());
        let held = match (source, &instance.outcome) {
            (Source::Dns, Outcome::Found(found)) => **policy == found.policy,
            (Source::Memory, _) => remembered.memory.as_ref().unwrap().policy == **policy,
            _ => false,
        };
        assert!(held, "{}", described());
    }
    // Only a policy that is found and believed changes memory, and a pin is not remembered as a level.
    if let MemoryUpdate::Store(after) = &verdict.memory {
        let Outcome::Found(found) = &instance.outcome else { panic!("{}", described()) };
        assert!(expected.found.is_some(), "{}", described());
        assert_eq!(after.policy, found.policy, "{}", described());
        assert!(after.level < Level::Pinned, "{}", described());
    }
}

/// What holds between verdicts that differ in one thing.
fn properties_of_two(grid: &Grid<'_>, at: At) {
    let verdict = grid.at(at);
    let described = || grid.describe(at);
    // [R-dec-05]: a demand only tightens.
    if at.demand() == Demand::Sealed {
        let without = grid.at(At { demand: 0, ..at });
        let weaker = without.alarms.iter().any(|alarm| matches!(alarm, Alarm::WeakerSuite(_)));
        let (with, before) = (strictness(&verdict.decision), strictness(&without.decision));
        assert!(with >= before, "{}", described());
        assert!(with == before || before == 0 || weaker, "{}", described());
        assert!(with != before || verdict.decision == without.decision, "{}", described());
        assert_eq!(verdict.memory, without.memory, "{}", described());
    }
    // [R-dec-23]: a higher minimum only makes mail wait.
    if at.minimum > 0 {
        let below = grid.at(At { minimum: at.minimum - 1, ..at });
        let waits = matches!(verdict.decision, Decision::Defer(_))
            || verdict.decision == Decision::Clear(ClearReason::LocalAllowance);
        assert!(waits || verdict.decision == below.decision, "{}", described());
        assert_eq!(verdict.memory, below.memory, "{}", described());
    }
    // [R-dec-27]: exceptions change nothing that is sealed without them.
    if at.exception > 0 && grid.rule != Rule::Never {
        let without = grid.at(At { exception: 0, ..at });
        let suite = grid.at(At { exception: 1, ..at });
        if matches!(without.decision, Decision::Seal { .. }) {
            assert_eq!(verdict, without, "{}", described());
        }
        if matches!(suite.decision, Decision::Seal { .. }) {
            assert_eq!(verdict, suite, "{}", described());
        }
        assert_eq!(verdict.memory, without.memory, "{}", described());
    }
}

/// What a decision is, but for how well its evidence vouches for it.
fn essence(decision: &Decision) -> (Decision, Option<Level>) {
    match decision.clone() {
        Decision::Seal { key, level, source, policy } => {
            let decision = Decision::Seal { key, level: Level::FirstUse, source, policy };
            (decision, Some(level))
        }
        Decision::Clear(ClearReason::NoPolicy { denial, .. }) => {
            let authenticity = Authenticity::Secure;
            (Decision::Clear(ClearReason::NoPolicy { denial, authenticity }), None)
        }
        other => (other, None),
    }
}

/// [R-dec-26]
fn only_lifts_what_was_withheld(less: &Verdict, more: &Verdict, described: &str) {
    use DeferReason::{BelowMinimum, DenialBelowMinimum, WithdrawalUnsupported};
    let withheld = matches!(
        less.decision,
        Decision::Defer(BelowMinimum { .. } | DenialBelowMinimum { .. } | WithdrawalUnsupported)
    );
    let doubted = |verdict: &Verdict| {
        verdict.alarms.iter().any(|alarm| matches!(alarm, Alarm::IdentityChanged { .. }))
    };
    if withheld || doubted(less) || doubted(more) {
        return;
    }
    let (less, more) = (essence(&less.decision), essence(&more.decision));
    assert_eq!(less.0, more.0, "{described}");
    assert!(less.1 <= more.1, "{described}");
}

#[test]
fn better_evidence_only_lifts_what_was_withheld() {
    let of =
        |authenticity| INSTANCES.iter().filter(move |i| i.full && i.authenticity == authenticity);
    let pairs = of(Authenticity::Insecure).zip(of(Authenticity::Secure));
    for (insecure, secure) in pairs {
        for remembered in MEMORIES.iter().filter(|r| r.full) {
            let memory = remembered.memory.as_ref();
            let firm = memory.map(|m| Memory { level: Level::Dnssec, ..m.clone() });
            for pin in [None, Some(OWN)] {
                for at in At::all().filter(|at| at.exception().is_none()) {
                    let local = at.local(Rule::Prefer, pin);
                    let run = |instance: &Instance, memory: Option<&Memory>| {
                        decide(&local, &instance.outcome, memory, at.demand(), NOW)
                    };
                    let less = run(insecure, memory);
                    let described = format!("{:?}, {local:?}, {memory:?}", insecure.outcome);
                    let secured = run(secure, memory);
                    only_lifts_what_was_withheld(&less, &secured, &described);
                    let kept = run(insecure, firm.as_ref());
                    only_lifts_what_was_withheld(&less, &kept, &described);
                }
            }
        }
    }
}

/// [R-dec-11], [R-dec-28]: what is not clear at first sight is not clear at the second either.
#[test]
fn the_same_answer_again_does_not_make_mail_clear() {
    for pin in PINS {
        let local = LocalPolicy { pin: pin.map(fingerprint), ..LocalPolicy::default() };
        for instance in INSTANCES.iter() {
            for remembered in MEMORIES.iter() {
                let memory = remembered.memory.as_ref();
                let first = decide(&local, &instance.outcome, memory, Demand::Absent, NOW);
                let MemoryUpdate::Store(after) = &first.memory else { continue };
                let second = decide(&local, &instance.outcome, Some(after), Demand::Absent, NOW);
                let clear = |verdict: &Verdict| matches!(verdict.decision, Decision::Clear(_));
                let case = format!("{pin:?} {memory:?} {first:?} {second:?}");
                assert_eq!(clear(&first), clear(&second), "{case}");
            }
        }
    }
}

#[test]
fn the_operator_hears_of_what_looks_like_an_attack() {
    for instance in INSTANCES.iter() {
        for remembered in MEMORIES.iter() {
            let expected = expect(instance, remembered, None);
            let local = LocalPolicy::default();
            let memory = remembered.memory.as_ref();
            let verdict = decide(&local, &instance.outcome, memory, Demand::Absent, NOW);
            let has = |wanted: fn(&Alarm) -> bool| verdict.alarms.iter().any(wanted);
            let (row, letters) = (expected.row.as_str(), remembered.letters);
            let case = format!("{row}, {letters}: {verdict:?}");
            let changed = has(|a| matches!(a, Alarm::IdentityChanged { .. }));
            assert_eq!(changed, row.starts_with("other identity, ") && expected.found.is_none());
            assert_eq!(has(|a| matches!(a, Alarm::SerialBack { .. })), row == "lower serial");
            let (rolled, replaced) = match &instance.kind {
                Kind::Found(found) if expected.found.is_some() && remembered.live => {
                    match found.who {
                        Who::Own => (false, false),
                        Who::Rollover | Who::Announced => (true, false),
                        Who::Stranger | Who::Root => (false, true),
                    }
                }
                _ => (false, false),
            };
            assert_eq!(has(|a| matches!(a, Alarm::IdentityRolledOver { .. })), rolled, "{case}");
            assert_eq!(has(|a| matches!(a, Alarm::IdentityReplaced { .. })), replaced, "{case}");
            // [R-dec-08]: a `none` not in its time is a denial.
            let denied = row.starts_with("NX") || row.starts_with("NODATA");
            let denied = denied || row == "none, not in its time";
            let asked = memory.is_some_and(|m| m.policy.record().mode != Mode::None);
            let vanished = has(|a| matches!(a, Alarm::PolicyVanished));
            assert_eq!(vanished, denied && remembered.live && asked, "{case}");
        }
    }
}

/// [R-dec-11]: of a damaged memory only the time of `enforce` is left, and it forbids clear mail as before.
#[test]
fn a_damaged_memory_forbids_clear_mail_while_it_can_say_so() {
    let mut waited = 0;
    for instance in INSTANCES.iter() {
        let outcome = &instance.outcome;
        for (rule, demand, lifted) in Rule::ALL.into_iter().flat_map(|rule| {
            let demands = [Demand::Absent, Demand::Sealed];
            demands.into_iter().flat_map(move |d| [(rule, d, false), (rule, d, true)])
        }) {
            let allow = Allowances { clear_on_failure: lifted, ..Allowances::default() };
            let local = LocalPolicy { rule, allow, ..LocalPolicy::default() };
            let plain = decide(&local, outcome, None, demand, NOW);
            let secure = instance.authenticity == Authenticity::Secure;
            let sealed = matches!(plain.decision, Decision::Seal { .. });
            for over in [None, Some(NOW)] {
                let verdict = decide_damaged(&local, outcome, over, demand, NOW);
                if sealed && !secure {
                    let clear = lifted && !must_seal(rule, demand);
                    let held = match verdict.decision {
                        Decision::Defer(why) => why == DeferReason::MemoryDamaged && !clear,
                        Decision::Clear(why) => why == ClearReason::LocalAllowance && clear,
                        _ => false,
                    };
                    assert!(held && verdict.memory == MemoryUpdate::Keep, "{verdict:?}");
                    continue;
                }
                let alarms = [plain.alarms.clone(), vec![Alarm::MemoryDamaged]].concat();
                let memory = if secure { plain.memory.clone() } else { MemoryUpdate::Keep };
                assert_eq!(verdict, Verdict { alarms, memory, ..plain.clone() });
            }
            let verdict = decide_damaged(&local, outcome, Some(NOW + 1), demand, NOW);
            let case = format!("{local:?}, {demand:?}, {outcome:?}: {verdict:?}");
            assert!(verdict.alarms.contains(&Alarm::MemoryDamaged), "{case}");
            let never = verdict.decision == Decision::Clear(ClearReason::LocalRule);
            assert_eq!(verdict.alarms.contains(&Alarm::NeverOverEnforce), never, "{case}");
            match &plain.decision {
                Decision::Clear(ClearReason::LocalRule | ClearReason::LocalAllowance)
                | Decision::Reject(RejectReason::LocalRule)
                | Decision::Defer(_) => assert_eq!(verdict.decision, plain.decision, "{case}"),
                Decision::Seal { .. } if secure => {
                    assert_eq!(verdict.decision, plain.decision, "{case}");
                }
                _ if lifted && !must_seal(rule, demand) => {
                    let clear = Decision::Clear(ClearReason::LocalAllowance);
                    assert_eq!(verdict.decision, clear, "{case}");
                }
                Decision::Seal { .. } | Decision::Clear(_) | Decision::Reject(_) => {
                    let waits = Decision::Defer(DeferReason::MemoryDamaged);
                    assert_eq!(verdict.decision, waits, "{case}");
                    waited += 1;
                }
            }
            if let MemoryUpdate::Store(after) = &verdict.memory {
                assert!(secure && after.enforce_until > Some(NOW), "{case}");
            }
        }
    }
    assert!(waited > 0);
}
