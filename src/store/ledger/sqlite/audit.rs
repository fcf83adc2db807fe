//! The audit trail in SQL: rows are appended to the chain in the transaction of what they tell of.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::Scope;
use super::super::audit::{
    AuditRow, Chain, Checkpoint, Detail, Event, EventKind, EventQuery, MAX_AUDIT_TEXT, MAX_EVENTS,
    MAX_ROWS, Signer, Subject, TrailId, cut,
};
use super::{LedgerError, sql_time, unix_time};
use crate::core::{KeyId, sha256};

pub(super) const COLUMNS: &str =
    "seq, at, kind, direction, trace, message_id, envelope, token, sender, recipient,
    domain, reason, detail, digest, chain";

/// The id of the trail.
pub(super) fn trail(connection: &Connection) -> Result<TrailId, LedgerError> {
    let trail = connection
        .prepare_cached("SELECT trail FROM audit_trail")?
        .query_row([], |row| row.get(0))?;
    Ok(trail)
}

/// The last row, and the chain there.
fn head(connection: &Connection) -> Result<(i64, Chain), LedgerError> {
    for table in [
        "SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1",
        // All rows may have been pruned, the last checkpoint never is.
        "SELECT seq, chain FROM audit_checkpoint ORDER BY seq DESC LIMIT 1",
    ] {
        let found = connection
            .prepare_cached(table)?
            .query_row([], |row| Ok((row.get(0)?, Chain(row.get(1)?))))
            .optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Ok((0, Chain::genesis(&trail(connection)?)))
}

/// Appends rows, within the open transaction, which must be one that writes already: another program may append too.
pub(super) fn append(connection: &Connection, events: &[Event]) -> Result<(), LedgerError> {
    let Some(first) = events.first() else { return Ok(()) };
    let (mut seq, mut chain) = head(connection)?;
    let (kept, dropped) = events.split_at(events.len().min(MAX_EVENTS));
    let lapse =
        (!dropped.is_empty()).then(|| Event::lapse(first.at, "too-many", dropped.len() as u64));
    let mut insert = connection.prepare_cached(&format!(
        "INSERT INTO audit ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    ))?;
    for event in kept.iter().chain(&lapse) {
        seq += 1;
        let row = row_of(event, seq);
        let digest = row.digest();
        chain = chain.and(&digest);
        insert.execute(params![
            row.seq,
            row.at,
            row.kind,
            row.direction,
            row.trace,
            row.message_id,
            row.envelope,
            row.token,
            row.sender,
            row.recipient,
            row.domain,
            row.reason,
            row.detail,
            digest,
            chain.0,
        ])?;
    }
    Ok(())
}

fn row_of(event: &Event, seq: i64) -> AuditRow {
    let text = |text: &str| cut(text, MAX_AUDIT_TEXT).to_owned();
    AuditRow {
        seq,
        at: sql_time(event.at),
        kind: event.kind.as_str().to_owned(),
        direction: match event.scope {
            Some(Scope::Outgoing) => 0,
            Some(Scope::Incoming) => 1,
            None => 2,
        },
        trace: text(&event.trace),
        message_id: text(&event.message_id),
        envelope: event.envelope.map(|id| id.as_bytes().to_vec()),
        token: event.token.map(|token| token.to_vec()),
        sender: text(&event.sender),
        recipient: text(&event.recipient),
        domain: text(&event.domain),
        reason: text(&event.reason),
        detail: event.detail.to_json(),
        digest: Vec::new(),
        chain: Vec::new(),
    }
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        direction: row.get(3)?,
        trace: row.get(4)?,
        message_id: row.get(5)?,
        envelope: row.get(6)?,
        token: row.get(7)?,
        sender: row.get(8)?,
        recipient: row.get(9)?,
        domain: row.get(10)?,
        reason: row.get(11)?,
        detail: row.get(12)?,
        digest: row.get(13)?,
        chain: row.get(14)?,
    })
}

/// Signs the end of the trail, unless it is signed already.
pub(super) fn checkpoint(
    connection: &Connection,
    signer: &Signer,
    now: u64,
) -> Result<Option<Checkpoint>, LedgerError> {
    let (seq, chain) = head(connection)?;
    let previous: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM audit_checkpoint")?
        .query_row([], |row| row.get(0))?;
    if previous.unwrap_or(0) >= seq {
        return Ok(None);
    }
    let (at, previous) = (unix_time(seq), unix_time(previous.unwrap_or(0)));
    let checkpoint = Checkpoint::sign(signer, trail(connection)?, (at, chain), previous, now);
    connection
        .prepare_cached(
            "INSERT INTO audit_policy (digest, domain, text) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![sha256(signer.policy.as_bytes()), checkpoint.domain, signer.policy])?;
    connection
        .prepare_cached(
            "INSERT INTO audit_checkpoint (seq, previous, at, chain, domain, key, policy, signature)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            seq,
            sql_time(previous),
            sql_time(now),
            chain.0,
            checkpoint.domain,
            checkpoint.key.as_bytes(),
            checkpoint.policy,
            checkpoint.signature,
        ])?;
    Ok(Some(checkpoint))
}

/// Reads a row of `SELECT seq, previous, at, chain, domain, key, policy, signature`.
pub(super) fn read_checkpoint(row: &Row<'_>, trail: TrailId) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        trail,
        seq: unix_time(row.get(0)?),
        previous: unix_time(row.get(1)?),
        at: unix_time(row.get(2)?),
        chain: Chain(row.get(3)?),
        domain: row.get(4)?,
        key: KeyId::from_bytes(row.get(5)?),
        policy: row.get(6)?,
        signature: row.get(7)?,
    })
}

/// Removes rows that a checkpoint covers which was signed at `before` or earlier, and such as are not among the last `most`, up to
/// a checkpoint and about `limit` of them. That checkpoint stays and is the anchor of the rest.
pub(super) fn prune(
    connection: &Connection,
    before: u64,
    most: u64,
    limit: usize,
    now: u64,
) -> Result<usize, LedgerError> {
    let first: Option<i64> =
        connection.prepare_cached("SELECT min(seq) FROM audit")?.query_row([], |row| row.get(0))?;
    let Some(first) = first else { return Ok(0) };
    let (last, _) = head(connection)?;
    let slice = first.saturating_add(sql_time(limit as u64));
    // The farthest within the slice, else the next one.
    let mut candidates = connection.prepare_cached(
        "SELECT seq FROM audit_checkpoint WHERE seq >= ?1 AND (at <= ?2 OR seq <= ?3) ORDER BY seq",
    )?;
    let over = last.saturating_sub(sql_time(most));
    let mut rows = candidates.query(params![first, sql_time(before), over])?;
    let mut through: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if through.is_some() && seq > slice {
            break;
        }
        through = Some(seq);
    }
    drop(rows);
    let Some(through) = through else { return Ok(0) };
    connection.execute("UPDATE audit_trail SET pruned = ?1", [through])?;
    let gone = connection.execute("DELETE FROM audit WHERE seq <= ?1", [through])?;
    connection.execute("DELETE FROM audit_checkpoint WHERE seq < ?1", [through])?;
    connection.execute(
        "DELETE FROM audit_policy WHERE digest NOT IN (SELECT policy FROM audit_checkpoint)",
        [],
    )?;
    let detail = Detail::default().with("rows", gone as u64).with("through", unix_time(through));
    append(connection, &[Event { detail, ..Event::new(EventKind::Pruned, now) }])?;
    Ok(gone)
}

/// The rows that answer a question, oldest first: the last of them, if there are too many.
pub(super) fn query(
    connection: &Connection,
    query: &EventQuery,
) -> Result<Vec<AuditRow>, LedgerError> {
    let (condition, key): (&str, &dyn rusqlite::ToSql) = match &query.subject {
        Subject::Any => ("?1 IS NULL", &None::<i64>),
        Subject::MessageId(id) => ("message_id = ?1 AND message_id <> ''", id),
        Subject::Address(address) => {
            ("(recipient = ?1 AND recipient <> '' OR sender = ?1 AND sender <> '')", address)
        }
        Subject::Domain(domain) => ("domain = ?1", domain),
        Subject::Trace(trace) => ("trace = ?1 AND trace <> ''", trace),
        Subject::Envelope(id) => ("envelope = ?1", id.as_bytes()),
        Subject::Token(token) => ("token = ?1", token),
    };
    let limit = if query.limit == 0 { MAX_ROWS } else { query.limit.min(MAX_ROWS) };
    let mut rows = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM audit WHERE {condition} AND at >= ?2 AND at < ?3
                 AND (?4 IS NULL OR kind = ?4)
             ORDER BY seq DESC LIMIT ?5"
        ))?
        .query_map(
            params![
                key,
                sql_time(query.since.unwrap_or(0)),
                sql_time(query.until.unwrap_or(u64::MAX)),
                query.kind.map(EventKind::as_str),
                sql_time(limit as u64),
            ],
            read,
        )?
        .collect::<Result<Vec<_>, _>>()?;
    rows.reverse();
    Ok(rows)
}

/// The rows about the sealing of a carrier, one for each recipient.
pub(super) fn sealed(
    connection: &Connection,
    subject: Subject,
) -> Result<Vec<AuditRow>, LedgerError> {
    query(
        connection,
        &EventQuery { subject, kind: Some(EventKind::Sealed), ..EventQuery::default() },
    )
}
