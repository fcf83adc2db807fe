//! The tables of the draft, read from the draft itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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
