//! The decision table, read from the draft.

use std::collections::BTreeMap;
use std::path::Path;

use mta_seal::policy::{Decision, Source};

const MARKER: &str = "{#decision-table}";

/// What a cell of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    Seal,
    Memory,
    Clear,
    Defer,
    Reject,
}

/// Row, column, cell: the first table after the marker.
pub fn table() -> BTreeMap<String, BTreeMap<String, Cell>> {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec");
    let text = ["draft-mta-seal.md", "decision.part.md"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(spec.join(file)).ok())
        .find(|text| text.contains(MARKER))
        .expect("a draft with the decision table");
    let after = text.split_once(MARKER).unwrap().1;
    let mut rows = after
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|c| c.trim().to_owned()).collect::<Vec<_>>()
        });
    let head = rows.next().unwrap();
    let mut table = BTreeMap::new();
    for row in rows.skip(1) {
        assert_eq!(row.len(), head.len(), "{row:?}");
        let cells = head[1..].iter().zip(&row[1..]).map(|(column, cell)| {
            let cell = match cell.as_str() {
                "seal" => Cell::Seal,
                "memory" => Cell::Memory,
                "clear" => Cell::Clear,
                "defer" => Cell::Defer,
                "reject" => Cell::Reject,
                other => panic!("cell {other:?} in row {}", row[0]),
            };
            (column.clone(), cell)
        });
        let twice = table.insert(row[0].clone(), cells.collect());
        assert!(twice.is_none(), "row {} stands twice", row[0]);
    }
    table
}

impl Cell {
    /// The cell that stands for this decision.
    pub fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Seal { source: Source::Dns, .. } => Self::Seal,
            Decision::Seal { source: Source::Memory, .. } => Self::Memory,
            Decision::Clear(_) => Self::Clear,
            Decision::Defer(_) => Self::Defer,
            Decision::Reject(_) => Self::Reject,
        }
    }
}
