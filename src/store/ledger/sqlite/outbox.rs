//! The outbox in SQL.

use rusqlite::{Connection, Row, params};

use super::super::{Bound, LedgerError, MAX_DUE, NewOutboxItem, OutboxId, OutboxItem, Side};
use super::{Instance, sql_time, unix_time};

pub(super) fn enqueue(
    connection: &Connection,
    instance: &Instance,
    item: &NewOutboxItem,
) -> Result<OutboxId, LedgerError> {
    let (items, octets): (i64, i64) = connection
        .prepare_cached("SELECT items, octets FROM tally WHERE name = 'outbox'")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let size = sql_time(item.message.len() as u64);
    if items >= sql_time(instance.max_outbox.0)
        || octets.saturating_add(size) > sql_time(instance.max_outbox.1)
    {
        return Err(LedgerError::Limit(Bound::Outbox));
    }
    let side = match item.side {
        Side::Inside => 0_i64,
        Side::Outside => 1,
    };
    connection
        .prepare_cached(
            "INSERT INTO outbox (side, reverse_path, message, created, next_attempt, attempts)
             VALUES (?1, ?2, ?3, ?4, ?4, 0)",
        )?
        .execute(params![side, item.reverse_path, item.message, sql_time(item.created)])?;
    let id = connection.last_insert_rowid();
    let mut insert =
        connection.prepare_cached("INSERT INTO outbox_recipient VALUES (?1, ?2, ?3)")?;
    for (position, path) in (0_i64..).zip(&item.recipients) {
        insert.execute(params![id, position, path])?;
    }
    Ok(OutboxId(id))
}

pub(super) fn due(
    connection: &Connection,
    now: u64,
    limit: usize,
) -> Result<Vec<OutboxItem>, LedgerError> {
    let limit = limit.min(MAX_DUE.0);
    let mut items = connection.prepare_cached(
        "SELECT id, side, reverse_path, message, created, attempts FROM outbox
         WHERE next_attempt <= ?1 ORDER BY next_attempt, id LIMIT ?2",
    )?;
    let mut recipients = connection
        .prepare_cached("SELECT path FROM outbox_recipient WHERE id = ?1 ORDER BY position")?;
    let mut rows = items.query(params![sql_time(now), sql_time(limit as u64)])?;
    let mut due: Vec<OutboxItem> = Vec::new();
    let mut octets = 0_usize;
    while let Some(row) = rows.next()? {
        let mut item = read(row)?;
        octets = octets.saturating_add(item.item.message.len());
        if octets > MAX_DUE.1 && !due.is_empty() {
            break;
        }
        item.item.recipients =
            recipients.query_map([item.id.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
        due.push(item);
    }
    Ok(due)
}

fn read(row: &Row<'_>) -> Result<OutboxItem, LedgerError> {
    let side = match row.get::<_, i64>(1)? {
        0 => Side::Inside,
        1 => Side::Outside,
        _ => return Err(LedgerError::Corrupt),
    };
    Ok(OutboxItem {
        id: OutboxId(row.get(0)?),
        attempts: row.get(5)?,
        item: NewOutboxItem {
            reverse_path: row.get(2)?,
            recipients: Vec::new(),
            message: row.get(3)?,
            side,
            created: unix_time(row.get(4)?),
        },
    })
}

pub(super) fn done(connection: &Connection, id: OutboxId) -> Result<(), LedgerError> {
    connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}

pub(super) fn postpone(
    connection: &Connection,
    id: OutboxId,
    next_attempt: u64,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE outbox SET next_attempt = ?2, attempts = min(attempts + 1, 4294967295)
             WHERE id = ?1",
        )?
        .execute(params![id.0, sql_time(next_attempt)])?;
    Ok(())
}
