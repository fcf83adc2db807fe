//! What is deleted once its time is over.

use rusqlite::{Connection, params};

use super::super::{ALARM_MEMORY, DEFERRAL_MEMORY, DELAY_NOTICE_GAP};
use super::{LedgerError, sql_time};

/// Deletes at most `limit` rows of each kind; returns how many are gone.
pub(super) fn expire(
    connection: &Connection,
    now: u64,
    limit: usize,
) -> Result<usize, LedgerError> {
    let since = |seconds: u64| sql_time(now.saturating_sub(seconds));
    let statements = [
        (
            sql_time(now),
            "DELETE FROM outgoing WHERE delivery_id IN
                 (SELECT delivery_id FROM outgoing WHERE expires <= ?1 LIMIT ?2)",
        ),
        (
            sql_time(now),
            "DELETE FROM incoming WHERE key IN
                 (SELECT key FROM incoming WHERE expires <= ?1 LIMIT ?2)",
        ),
        (
            sql_time(now),
            "DELETE FROM remembered WHERE rowid IN
                 (SELECT rowid FROM remembered WHERE expires <= ?1 LIMIT ?2)",
        ),
        (
            since(DEFERRAL_MEMORY),
            "DELETE FROM deferral WHERE rowid IN
                 (SELECT rowid FROM deferral WHERE last_seen <= ?1 LIMIT ?2)",
        ),
        (
            since(DELAY_NOTICE_GAP),
            "DELETE FROM delay_notice WHERE (sender, domain) IN
                 (SELECT sender, domain FROM delay_notice WHERE told <= ?1 LIMIT ?2)",
        ),
        (
            since(ALARM_MEMORY),
            "DELETE FROM alarm WHERE rowid IN
                 (SELECT rowid FROM alarm WHERE open = 0 AND last_seen <= ?1 LIMIT ?2)",
        ),
    ];
    let mut gone = 0;
    for (time, statement) in statements {
        gone +=
            connection.prepare_cached(statement)?.execute(params![time, sql_time(limit as u64)])?;
    }
    Ok(gone)
}
