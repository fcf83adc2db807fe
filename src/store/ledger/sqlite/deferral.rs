//! Deferrals, notices of delay and sightings of probes in SQL.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::super::{
    Attempt, Cause, DEFERRAL_GAP, DELAY_NOTICE_GAP, Deferral, Fate, LedgerError, MAX_ATTEMPTS,
    MAX_DEFERRAL_TEXT, MAX_PATH, NewOutboxItem, OutboxId, ProbeId, Scope, Sighting,
};
use super::memory::code;
use super::{Instance, outbox, sql_time, unix_time};
use crate::core::Domain;

const COLUMNS: &str = "scope, domain, sender, recipient, reason, words, reply, queue, trace, tell,
    original, envid, first_seen, last_seen, attempts";

/// The attempts that fit, for a job to own.
pub(super) fn bounded(attempts: &[Attempt]) -> Vec<Attempt> {
    let fits = |attempt: &&Attempt| {
        [&attempt.domain, &attempt.sender, &attempt.recipient].iter().all(|t| t.len() <= MAX_PATH)
    };
    attempts.iter().filter(fits).take(MAX_ATTEMPTS).cloned().collect()
}

pub(super) fn record(
    connection: &Connection,
    instance: &Instance,
    attempts: &[Attempt],
) -> Result<(), LedgerError> {
    for attempt in attempts {
        match &attempt.fate {
            Fate::Deferred(cause) => defer(connection, instance, attempt, cause)?,
            _ => {
                connection
                    .prepare_cached(
                        "DELETE FROM deferral WHERE scope = ?1 AND sender = ?2 AND recipient = ?3",
                    )?
                    .execute(params![code(attempt.scope), attempt.sender, attempt.recipient])?;
            }
        }
        if attempt.scope == Scope::Outgoing && attempt.sender.is_empty() {
            sight(connection, attempt)?;
        }
    }
    Ok(())
}

fn defer(
    connection: &Connection,
    instance: &Instance,
    attempt: &Attempt,
    cause: &Cause,
) -> Result<(), LedgerError> {
    make_room(connection, instance, attempt)?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO deferral ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, 1)
             ON CONFLICT DO UPDATE SET domain = ?2, reason = ?5, words = ?6, reply = ?7,
                 queue = ?8, trace = ?9, tell = ?10, original = ?11, envid = ?12,
                 first_seen = iif(last_seen < ?14, ?13, first_seen),
                 attempts = iif(last_seen < ?14, 1, attempts + 1),
                 last_seen = max(last_seen, ?13)"
        ))?
        .execute(params![
            code(attempt.scope),
            attempt.domain,
            attempt.sender,
            attempt.recipient,
            cut(&cause.reason),
            cut(&cause.words),
            cut(&cause.reply),
            cause.queue.as_deref().map(cut),
            cut(&cause.trace),
            cause.tell,
            cause.original.as_deref().map(cut),
            cause.envid.as_deref().map(cut),
            sql_time(attempt.at),
            sql_time(attempt.at.saturating_sub(DEFERRAL_GAP)),
        ])?;
    Ok(())
}

/// The beginning of a text, cut between characters.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_DEFERRAL_TEXT)).unwrap_or_default()
}

/// Lets what was tried least lately go, if a new pair would be one too many.
fn make_room(
    connection: &Connection,
    instance: &Instance,
    attempt: &Attempt,
) -> Result<(), LedgerError> {
    let scope = code(attempt.scope);
    let items: i64 = connection
        .prepare_cached("SELECT items FROM tally WHERE name = 'deferral ' || ?1")?
        .query_row([scope], |row| row.get(0))?;
    if items < sql_time(instance.max_deferrals) {
        return Ok(());
    }
    let known = connection
        .prepare_cached(
            "SELECT 1 FROM deferral WHERE scope = ?1 AND sender = ?2 AND recipient = ?3",
        )?
        .exists(params![scope, attempt.sender, attempt.recipient])?;
    if !known {
        connection
            .prepare_cached(
                "DELETE FROM deferral WHERE rowid IN
                     (SELECT rowid FROM deferral WHERE scope = ?1 ORDER BY last_seen LIMIT 1)",
            )?
            .execute([scope])?;
    }
    Ok(())
}

/// Notes a message with the null reverse-path for whoever watches for it.
fn sight(connection: &Connection, attempt: &Attempt) -> Result<(), LedgerError> {
    let reply = match &attempt.fate {
        Fate::Deferred(cause) => cut(&cause.reply),
        _ => "",
    };
    connection
        .prepare_cached(
            "UPDATE probe SET seen = ?2, how = ?3, reply = ?4
             WHERE recipient = ?1 AND until > ?2 AND (how IS NULL OR how = 'deferred')",
        )?
        .execute(params![attempt.recipient, sql_time(attempt.at), attempt.fate.as_str(), reply])?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    domain: Option<&Domain>,
    limit: usize,
) -> Result<Vec<Deferral>, LedgerError> {
    select(
        connection,
        "WHERE ?1 IS NULL OR domain = ?1 ORDER BY domain, scope, last_seen DESC, rowid LIMIT ?2",
        params![domain.map(Domain::as_str), sql_time(limit as u64)],
    )
}

pub(super) fn waiting_since(
    connection: &Connection,
    domain: &Domain,
    now: u64,
) -> Result<Option<u64>, LedgerError> {
    let since: Option<i64> = connection
        .prepare_cached(
            "SELECT min(first_seen) FROM deferral
             WHERE domain = ?1 AND scope = 0 AND last_seen > ?2",
        )?
        .query_row(params![domain.as_str(), sql_time(now.saturating_sub(DEFERRAL_GAP))], |row| {
            row.get(0)
        })?;
    Ok(since.map(unix_time))
}

pub(super) fn delayed(
    connection: &Connection,
    delay: u64,
    now: u64,
    limit: usize,
) -> Result<Vec<Deferral>, LedgerError> {
    select(
        connection,
        "WHERE scope = 0 AND tell = 1 AND last_seen - first_seen >= ?1 AND last_seen > ?2
             AND NOT EXISTS (SELECT 1 FROM delay_notice AS n
                 WHERE n.sender = deferral.sender AND n.domain = deferral.domain AND n.told > ?2)
         ORDER BY sender, domain, first_seen, rowid LIMIT ?3",
        params![
            sql_time(delay),
            sql_time(now.saturating_sub(DELAY_NOTICE_GAP)),
            sql_time(limit as u64)
        ],
    )
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: &[&dyn ToSql],
) -> Result<Vec<Deferral>, LedgerError> {
    let rows = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM deferral {condition}"))?
        .query_map(parameters, read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(rows)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Deferral> {
    Ok(Deferral {
        scope: if row.get::<_, i64>(0)? == code(Scope::Outgoing) {
            Scope::Outgoing
        } else {
            Scope::Incoming
        },
        domain: row.get(1)?,
        sender: row.get(2)?,
        recipient: row.get(3)?,
        cause: Cause {
            reason: row.get(4)?,
            words: row.get(5)?,
            reply: row.get(6)?,
            queue: row.get(7)?,
            trace: row.get(8)?,
            tell: row.get(9)?,
            original: row.get(10)?,
            envid: row.get(11)?,
        },
        first_seen: unix_time(row.get(12)?),
        last_seen: unix_time(row.get(13)?),
        attempts: unix_time(row.get(14)?),
    })
}

pub(super) fn tell(
    connection: &Connection,
    instance: &Instance,
    notice: &NewOutboxItem,
    sender: &str,
    domain: &str,
) -> Result<OutboxId, LedgerError> {
    let id = outbox::enqueue(connection, instance, notice)?;
    connection
        .prepare_cached(
            "INSERT INTO delay_notice VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET told = ?3",
        )?
        .execute(params![sender, domain, sql_time(notice.created)])?;
    Ok(id)
}

pub(super) fn sighting(
    connection: &Connection,
    probe: ProbeId,
) -> Result<Option<Sighting>, LedgerError> {
    let found = connection
        .prepare_cached("SELECT seen, how, reply FROM probe WHERE id = ?1 AND how IS NOT NULL")?
        .query_row([probe.0], |row| {
            Ok(Sighting { seen: unix_time(row.get(0)?), how: row.get(1)?, reply: row.get(2)? })
        })
        .optional()?;
    Ok(found)
}
