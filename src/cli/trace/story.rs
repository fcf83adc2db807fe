//! Rows put together to messages, and told as a timeline.

use crate::cli::moment::utc_exact;
use crate::cli::table::{self, printable};
use crate::core::hex::Hex;
use crate::store::ledger::AuditRow;
use crate::store::ledger::audit::Detail;
use serde_json::Value;
use std::collections::HashMap;

/// The rows about one message, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) rows: Vec<AuditRow>,
}

/// Puts together what has a name in common: Message-ID, envelope, or transaction and sender.
pub(super) fn tell(rows: Vec<AuditRow>) -> Vec<Story> {
    let mut stories: Vec<Option<Story>> = Vec::new();
    let mut place: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let names = names(&row);
        let mut known: Vec<usize> =
            names.iter().filter_map(|name| place.get(name)).copied().collect();
        known.sort_unstable();
        known.dedup();
        let at = known.first().copied().unwrap_or(stories.len());
        if at == stories.len() {
            stories.push(Some(Story { rows: Vec::new() }));
        }
        // What were two until now has become one.
        for other in known.into_iter().skip(1) {
            if let Some(story) = stories[other].take()
                && let Some(first) = &mut stories[at]
            {
                first.rows.extend(story.rows);
                place.values_mut().filter(|place| **place == other).for_each(|place| *place = at);
            }
        }
        for name in names {
            place.insert(name, at);
        }
        if let Some(story) = &mut stories[at] {
            story.rows.push(row);
        }
    }
    let mut stories: Vec<Story> = stories.into_iter().flatten().collect();
    for story in &mut stories {
        story.rows.sort_by_key(|row| row.seq);
    }
    stories.sort_by_key(|story| story.rows.last().map(|row| row.seq));
    stories
}

/// By what a row belongs to a message; its own number if by nothing.
fn names(row: &AuditRow) -> Vec<String> {
    let mut names = Vec::new();
    if !row.message_id.is_empty() {
        names.push(format!("message {}", row.message_id));
    }
    if let Some(envelope) = row.envelope_id() {
        names.push(format!("envelope {envelope}"));
    }
    if !row.trace.is_empty() {
        names.push(format!("trace {}", row.trace));
    }
    if let Some(queue) = row.details().text("queue") {
        names.push(format!("queue {queue} {}", row.sender));
    }
    if names.is_empty() {
        names.push(format!("row {}", row.seq));
    }
    names
}

impl Story {
    /// The Message-ID; empty if it is not known, or if it is about no message.
    pub(super) fn message_id(&self) -> &str {
        let known = self.rows.iter().map(|row| row.message_id.as_str());
        known.into_iter().find(|id| !id.is_empty()).unwrap_or_default()
    }

    /// The timeline.
    pub(super) fn text(&self) -> String {
        let mail = self.rows.iter().any(|row| row.direction != 2);
        let mut out = String::new();
        if mail {
            out.push_str(&match self.message_id() {
                "" => "message without a known Message-ID\n".to_owned(),
                id => format!("message {}\n", printable(id)),
            });
            let sender =
                self.rows.iter().find(|row| row.direction != 2).map(|row| row.sender.as_str());
            let sender = match sender {
                None | Some("") => "<>".to_owned(),
                Some(sender) => printable(sender),
            };
            out.push_str(&format!("  from {sender}\n"));
        }
        let lines: Vec<Vec<String>> = self.rows.iter().map(line).collect();
        out.push_str(&table::lines("  ", &lines));
        for name in self.names() {
            out.push_str(&format!("  {name}\n"));
        }
        out
    }

    /// What the message is called elsewhere.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: String| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        for row in &self.rows {
            let detail = row.details();
            if !row.trace.is_empty() {
                let queue =
                    detail.text("queue").map(|queue| format!(", queue id {}", printable(queue)));
                add(format!("trace {}{}", printable(&row.trace), queue.unwrap_or_default()));
            }
            if let Some(envelope) = row.envelope_id() {
                // Not every row about an envelope knows its carrier.
                let same = self.rows.iter().filter(|other| other.envelope == row.envelope);
                let token = same.filter_map(|other| other.token.as_deref()).next();
                let token = token.map(|token| format!(", token {}", Hex(token)));
                add(format!("envelope {envelope}{}", token.unwrap_or_default()));
            }
        }
        names
    }
}

fn line(row: &AuditRow) -> Vec<String> {
    let way = match row.direction {
        0 => "out",
        1 => "in",
        _ => "-",
    };
    let whom = if row.recipient.is_empty() { &row.domain } else { &row.recipient };
    vec![utc_exact(row.time()), way.to_owned(), row.kind.clone(), whom.clone(), what(row)]
}

/// The reason, and what else matters to a reader.
fn what(row: &AuditRow) -> String {
    let detail = row.details();
    let mut parts = Vec::new();
    if !row.reason.is_empty() {
        parts.push(row.reason.clone());
    }
    for name in ["level", "evidence", "serial", "what", "login", "rows", "count", "version"] {
        if let Some(value) = shown(&detail, name) {
            parts.push(format!("{name} {value}"));
        }
    }
    if let Some(reply) = detail.text("reply") {
        parts.push(reply.to_owned());
    }
    parts.join("; ")
}

fn shown(detail: &Detail, name: &str) -> Option<String> {
    detail.iter().find(|(known, _)| *known == name).map(|(_, value)| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: i64, kind: &str, trace: &str, message_id: &str) -> AuditRow {
        AuditRow {
            seq,
            at: 1_800_000_000 + seq * 61,
            kind: kind.to_owned(),
            direction: 0,
            trace: trace.to_owned(),
            message_id: message_id.to_owned(),
            envelope: None,
            token: None,
            sender: "alice@company1.example".to_owned(),
            recipient: "bob@company2.example".to_owned(),
            domain: "company2.example".to_owned(),
            reason: String::new(),
            detail: "{}".to_owned(),
            digest: Vec::new(),
            chain: Vec::new(),
        }
    }

    #[test]
    fn a_message_is_told_from_its_first_attempt_to_its_receipt() {
        let mut deferred = row(1, "deferred", "00000000000000aa", "");
        deferred.reason = "policy-unknown".to_owned();
        deferred.detail =
            r#"{"queue":"4XyZ12","reply":"451 4.7.10 \u001b[2Jcannot be determined"}"#.to_owned();
        let mut sealed = row(2, "sealed", "00000000000000bb", "<offer-1@company1.example>");
        sealed.reason = "accepted".to_owned();
        sealed.envelope = Some(vec![0xee; 32]);
        sealed.token = Some(vec![0xdd; 16]);
        sealed.detail = r#"{"evidence":"validated","level":"dnssec","queue":"4XyZ12","reply":"250 2.0.0 ok","serial":7}"#.to_owned();
        let other = row(3, "clear", "00000000000000cc", "<other@company1.example>");
        let mut receipt = row(4, "receipt-received", "", "");
        receipt.envelope = Some(vec![0xee; 32]);
        receipt.direction = 1;
        let stories = tell(vec![deferred, sealed, other, receipt]);
        assert_eq!(stories.len(), 2);
        let text: Vec<String> = stories.iter().map(Story::text).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
