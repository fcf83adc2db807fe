//! The replies of the gateway and the table of the draft say the same [R-smtp-01].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use mta_seal::core::Domain;
use mta_seal::gateway::Failure;

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
