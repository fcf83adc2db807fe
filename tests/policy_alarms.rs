//! The alarms of the code and the table of the draft are the same [R-alm-01].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use mta_seal::policy::{AlarmKind, Severity, UnknownAlarm};

const DRAFT: &str = include_str!("../spec/draft-mta-seal.md");

#[test]
fn names_and_severities_are_those_of_the_draft() {
    let section = DRAFT.split("## Alarms").nth(1).expect("the section");
    let table = section.lines().skip_while(|line| !line.starts_with("| Alarm")).skip(2);
    let draft: BTreeMap<&str, &str> = table
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0], cells[1])
        })
        .collect();
    let own: BTreeMap<&str, &str> =
        AlarmKind::ALL.iter().map(|kind| (kind.as_str(), kind.severity().as_str())).collect();
    assert_eq!(own, draft);
    assert_eq!(own.len(), AlarmKind::ALL.len(), "a name stands twice");
    for kind in AlarmKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert_eq!("identity".parse::<AlarmKind>(), Err(UnknownAlarm));
    assert!(Severity::Critical > Severity::Warning && Severity::Warning > Severity::Notice);
}
