//! A module imports only from lower layers (see the crate documentation).
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first; `records`, `policy` and `lifetime` share a floor in that order.
const LAYERS: [&str; 10] =
    ["core", "records", "policy", "lifetime", "mail", "smtp", "dns", "store", "gateway", "cli"];

/// Imports inside these floors that their position in the list would allow, but the design does not: `mail`, `smtp`, `dns` and
/// `store` use types of `core` only.
const ONLY_CORE: [&str; 4] = ["mail", "smtp", "dns", "store"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The layers named after `crate::` in `source`, outside line comments.
fn imports(source: &str) -> Vec<&str> {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next())
        .filter(|name| LAYERS.contains(name))
        .collect()
}

fn allowed(from: &str, to: &str) -> bool {
    let place = |name: &str| LAYERS.iter().position(|l| *l == name).unwrap();
    if ONLY_CORE.contains(&from) {
        return to == from || to == "core";
    }
    place(to) <= place(from)
}

#[test]
fn a_module_imports_only_from_lower_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for layer in LAYERS {
        let mut files = Vec::new();
        sources(&root.join(layer), &mut files);
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            for import in imports(&source) {
                checked += 1;
                assert!(
                    allowed(layer, import),
                    "{} imports crate::{import} from a higher layer",
                    file.display()
                );
            }
        }
    }
    assert!(checked > 0, "no import was found: the search itself is broken");
}

#[test]
fn an_upward_import_would_be_found() {
    assert_eq!(imports("use crate::gateway::Config;\n// crate::cli\n"), ["gateway"]);
    assert!(!allowed("core", "gateway"));
    assert!(!allowed("smtp", "mail"));
    assert!(allowed("gateway", "smtp"));
}
