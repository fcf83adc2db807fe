//! The tables of the draft, read from the draft itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mta_seal::policy::{Decision, Level, LookupFailure, Memory, Source};
use mta_seal::records::VerifiedPolicy;

use super::{ANNOUNCED, OWN, SUCCESSOR, fingerprint};

/// What becomes of a message, as the cells of the draft call it.
pub fn cell_name(decision: &Decision) -> &'static str {
    match decision {
        Decision::Seal { source: Source::Dns, .. } => "seal",
        Decision::Seal { source: Source::Memory, .. } => "memory",
        Decision::Clear(_) => "clear",
        Decision::Defer(_) => "defer",
        Decision::Reject(_) => "reject",
    }
}

/// The row of a look-up that failed. The match is exhaustive, so a new failure needs a row.
pub fn failure_row(failure: LookupFailure) -> &'static str {
    match failure {
        LookupFailure::ServFail => "SERVFAIL",
        LookupFailure::Timeout => "timeout",
        LookupFailure::Bogus => "bogus",
        LookupFailure::Malformed => "malformed",
        LookupFailure::TwoRecords => "two records",
        LookupFailure::CnameLoop => "CNAME loop",
        LookupFailure::Oversize => "too large",
        LookupFailure::BadSignature => "bad signature",
    }
}

/// One table: rows by their first cell. Every cell that a test looks up is noted, so that it can
/// say which were never needed.
pub struct Table {
    id: &'static str,
    rows: BTreeMap<String, BTreeMap<String, Cell>>,
}

struct Cell {
    text: String,
    used: AtomicBool,
}

/// What stands in a cell that no case may reach.
const NOT_POSSIBLE: &str = "not possible";

impl Table {
    /// The first table after the mark `#id`.
    pub fn read(id: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/draft-mta-seal.md");
        let text = std::fs::read_to_string(path).unwrap().replace('`', "");
        let (_, after) = text.split_once(&format!("#{id}}}")).unwrap();
        let mut lines = after
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells = line.trim_matches('|').split('|');
                cells.map(|c| c.trim().to_owned()).collect::<Vec<_>>()
            });
        let head = lines.next().unwrap();
        let mut rows = BTreeMap::new();
        for line in lines.skip(1) {
            assert_eq!(line.len(), head.len(), "{id}: {line:?}");
            let cell = |text: &String| Cell { text: text.clone(), used: AtomicBool::default() };
            let cells = head[1..].iter().cloned().zip(line[1..].iter().map(cell));
            let twice = rows.insert(line[0].clone(), cells.collect());
            assert!(twice.is_none(), "{id}: row {} stands twice", line[0]);
        }
        Self { id, rows }
    }

    /// What stands in a cell.
    pub fn cell(&self, row: &str, column: &str) -> &str {
        let cell = self.rows.get(row).and_then(|cells| cells.get(column));
        let cell = cell.unwrap_or_else(|| panic!("{}: no cell {row}, {column}", self.id));
        assert_ne!(cell.text, NOT_POSSIBLE, "{}: {row}, {column}", self.id);
        cell.used.store(true, Ordering::Relaxed);
        &cell.text
    }

    /// Fails if a case was missing for a cell.
    pub fn every_cell_was_tried(&self) {
        for (row, cells) in &self.rows {
            for (column, cell) in cells {
                let tried = cell.used.load(Ordering::Relaxed);
                assert_eq!(tried, cell.text != NOT_POSSIBLE, "{}: {row}, {column}", self.id);
            }
        }
    }
}

/// The tables that say whether a policy is believed, and at which level. A memory is one of [`OWN`] that something is left
/// of; a policy by [`SUCCESSOR`] carries its statement.
pub struct Evidence {
    pub level: Table,
    pub pin: Table,
}

impl Evidence {
    pub fn read() -> Self {
        Self { level: Table::read("level-table"), pin: Table::read("pin-table") }
    }

    /// The level of a policy in force that is found; none if it is not believed.
    pub fn found(
        &self,
        policy: &VerifiedPolicy,
        secure: bool,
        memory: Option<&Memory>,
        pin: Option<u8>,
    ) -> Option<Level> {
        let by = |seed| policy.identity().fingerprint() == fingerprint(seed);
        let related = memory.is_some() && [OWN, SUCCESSOR, ANNOUNCED].into_iter().any(by);
        let same_text = memory.is_some_and(|m| m.policy.text() == policy.text());
        let firm = memory.is_some_and(|m| m.level == Level::Dnssec);
        let cell = match (pin, memory) {
            (Some(pin), _) => {
                let row = match (related, by(pin)) {
                    (true, true) => {
                        "policy of the remembered identity key or its proven successor, \
                         and the pinned one"
                    }
                    (true, false) => {
                        "policy of the remembered identity key or its proven successor, \
                         not the pinned one"
                    }
                    (false, true) => "policy of the pinned identity key",
                    (false, false) => "policy of any other identity key",
                };
                self.with_pin(row, memory, pin)
            }
            (None, None) => self.level.cell("found, nothing remembered", answer(secure)),
            (None, Some(_)) => {
                let row = match (related, by(OWN), firm) {
                    (false, _, true) => "found, of another identity key, memory at dnssec",
                    (false, _, false) => "found, of another identity key, memory below dnssec",
                    (true, false, _) => "found, of its proven successor",
                    (true, true, true) if same_text => {
                        "found, the remembered text, learned at dnssec"
                    }
                    (true, true, false) if same_text => {
                        "found, the remembered text, learned below dnssec"
                    }
                    (true, true, _) => "found, a new text of the remembered identity key",
                };
                self.level.cell(row, answer(secure))
            }
        };
        (cell != "not believed").then(|| cell.parse().unwrap())
    }

    /// The level of the remembered policy, whatever the answer.
    pub fn remembered(&self, secure: bool, memory: &Memory, pin: Option<u8>) -> Level {
        let row = match memory.level {
            _ if pin.is_some_and(|pin| fits(memory, pin)) => return Level::Pinned,
            Level::Dnssec => "remembered, learned at dnssec",
            _ => "remembered, learned below dnssec",
        };
        self.level.cell(row, answer(secure)).parse().unwrap()
    }

    /// A cell of the table about pins.
    pub fn with_pin(&self, row: &str, memory: Option<&Memory>, pin: u8) -> &str {
        let column = match memory {
            None => "nothing remembered",
            Some(memory) if fits(memory, pin) => "memory fits",
            Some(_) => "memory does not fit",
        };
        self.pin.cell(row, column)
    }
}

fn answer(secure: bool) -> &'static str {
    if secure { "Secure answer" } else { "Insecure answer" }
}

fn fits(memory: &Memory, pin: u8) -> bool {
    pin == OWN || memory.pinned_root == Some(fingerprint(pin))
}
