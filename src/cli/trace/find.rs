//! From what an operator has of a message to the rows about it: also those that name it otherwise.

use crate::cli::failure::Failure;
use crate::cli::table::printable;
use crate::core::{Domain, EnvelopeId, hex};
use crate::store::ledger::audit::{MAX_ROWS, Subject};
use crate::store::ledger::{AuditRow, EventQuery, LedgerError, Trail};
use std::collections::{BTreeMap, HashSet};

/// Most messages whose other names are followed.
const FOLLOWED: usize = 200;

/// What a text may mean.
pub(super) fn subjects(what: &str) -> Result<Vec<Subject>, Failure> {
    let what = what.trim();
    let digits = what.len().is_multiple_of(2) && what.bytes().all(|c| c.is_ascii_hexdigit());
    if digits && what.len() == 16 {
        return Ok(vec![Subject::Trace(what.to_ascii_lowercase())]);
    }
    if digits && let Some(token) = hex::parse(what.as_bytes()) {
        return Ok(vec![Subject::Token(token)]);
    }
    if let Ok(id) = what.parse::<EnvelopeId>() {
        return Ok(vec![Subject::Envelope(id)]);
    }
    if let Some((left, domain)) =
        what.trim_start_matches('<').trim_end_matches('>').rsplit_once('@')
    {
        let bare = format!("{left}@{domain}");
        let mut all =
            vec![Subject::MessageId(format!("<{bare}>")), Subject::MessageId(bare.clone())];
        // The Message-ID of a carrier is its token.
        all.extend(hex::parse(left.as_bytes()).map(Subject::Token));
        if !what.starts_with('<') {
            // As the gateway prints a mailbox: the domain in lower case.
            all.push(Subject::Address(format!("{left}@{}", domain.to_ascii_lowercase())));
        }
        return Ok(all);
    }
    match Domain::parse(what) {
        Ok(domain) => Ok(vec![Subject::Domain(domain.to_string())]),
        Err(error) => Err(Failure::usage(format!("`{}`: {error}", printable(what)))
            .hint("a Message-ID, an address, a domain, a trace id, an envelope or a token")),
    }
}

/// Rows in their order.
pub(super) struct Found {
    pub(super) rows: Vec<AuditRow>,
    /// There may be more.
    pub(super) cut: bool,
}

/// The rows about `subjects`, or all within the time.
pub(super) fn rows(
    trail: &Trail,
    subjects: Option<&[Subject]>,
    since: Option<u64>,
    until: Option<u64>,
) -> Result<Found, LedgerError> {
    let mut all = BTreeMap::new();
    let mut cut = false;
    let any = [Subject::Any];
    for subject in subjects.unwrap_or(&any) {
        let query = EventQuery { subject: subject.clone(), since, until, ..EventQuery::default() };
        let rows = trail.events(&query)?;
        cut |= rows.len() >= MAX_ROWS;
        all.extend(rows.into_iter().map(|row| (row.seq, row)));
    }
    if subjects.is_some() {
        follow(trail, &mut all)?;
    }
    Ok(Found { rows: all.into_values().collect(), cut })
}

/// Adds what is about the same messages: retries, receipts, bounces.
fn follow(trail: &Trail, all: &mut BTreeMap<i64, AuditRow>) -> Result<(), LedgerError> {
    let (mut asked, mut queues) = (HashSet::new(), HashSet::new());
    // Twice: a receipt leads to an envelope, that to a message, that to its other attempts.
    for _ in 0..2 {
        let mut next = Vec::new();
        // The latest messages first.
        for row in all.values().rev() {
            let names = [
                (!row.message_id.is_empty()).then(|| Subject::MessageId(row.message_id.clone())),
                row.envelope_id().map(Subject::Envelope),
                (!row.trace.is_empty()).then(|| Subject::Trace(row.trace.clone())),
            ];
            for subject in names.into_iter().flatten() {
                if asked.len() < 3 * FOLLOWED && asked.insert(format!("{subject:?}")) {
                    next.push(subject);
                }
            }
        }
        for subject in next {
            let rows = trail.events(&EventQuery { subject, ..EventQuery::default() })?;
            all.extend(rows.into_iter().map(|row| (row.seq, row)));
        }
    }
    // A recipient that was refused before DATA is known by the queue id of the MTA before us.
    let mut pairs = HashSet::new();
    for row in all.values().rev() {
        if let Some(queue) = row.details().text("queue") {
            queues.insert(queue.to_owned());
            if pairs.len() < FOLLOWED {
                pairs.insert(row.recipient.clone());
            }
        }
    }
    for recipient in pairs.into_iter().filter(|recipient| !recipient.is_empty()) {
        let query = EventQuery {
            subject: Subject::Address(recipient),
            limit: 1_000,
            ..EventQuery::default()
        };
        for row in trail.events(&query)? {
            let same = row.details().text("queue").is_some_and(|queue| queues.contains(queue));
            if same && row.message_id.is_empty() {
                all.insert(row.seq, row);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_given_is_told_by_its_form() {
        let one = |what: &str| subjects(what).unwrap();
        assert_eq!(one("0011223344556677"), [Subject::Trace("0011223344556677".to_owned())]);
        assert_eq!(one(&"ab".repeat(16)), [Subject::Token([0xab; 16])]);
        assert_eq!(one(&"cd".repeat(32)), [Subject::Envelope(EnvelopeId::from_bytes([0xcd; 32]))]);
        assert_eq!(one("Company2.Example"), [Subject::Domain("company2.example".to_owned())]);
        let carrier = format!("<{}@company1.example>", "ab".repeat(16));
        assert!(one(&carrier).contains(&Subject::Token([0xab; 16])));
        assert!(one("<x@y.example>").contains(&Subject::MessageId("<x@y.example>".to_owned())));
        assert!(!one("<x@y.example>").iter().any(|s| matches!(s, Subject::Address(_))));
        assert!(one("Bob@Y.example").contains(&Subject::Address("Bob@y.example".to_owned())));
        assert!(subjects("no such thing").is_err());
    }
}
