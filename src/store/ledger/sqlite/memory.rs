//! Remembered domains in SQL.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::{Bound, LedgerError, Remembered, Scope};
use super::{Instance, sql_time, unix_time};
use crate::core::Domain;

/// Most expired domains that give way to a new one at once.
const MAKE_ROOM: i64 = 100;

const COLUMNS: &str = "domain, identity_key, serial, policy, level, first_seen, last_observed,
    until, enforce_until, hold, counted_at, pinned_root";

pub(super) fn code(scope: Scope) -> i64 {
    match scope {
        Scope::Outgoing => 0,
        Scope::Incoming => 1,
    }
}

pub(super) fn recall(
    connection: &Connection,
    scope: Scope,
    domain: &Domain,
) -> Result<Option<Remembered>, LedgerError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM remembered WHERE scope = ?1 AND domain = ?2"
        ))?
        .query_row(params![code(scope), domain.as_str()], read)
        .optional()?;
    match found {
        Some((_, mut remembered)) => {
            remembered.key_records = key_records(connection, scope, domain.as_str())?;
            Ok(Some(remembered))
        }
        None => Ok(None),
    }
}

/// Everything but the key records.
fn read(row: &Row<'_>) -> rusqlite::Result<(String, Remembered)> {
    let remembered = Remembered {
        identity_key: row.get(1)?,
        serial: row.get::<_, i64>(2)?.cast_unsigned(),
        policy: row.get(3)?,
        key_records: Vec::new(),
        level: row.get(4)?,
        first_seen: unix_time(row.get(5)?),
        last_observed: unix_time(row.get(6)?),
        until: unix_time(row.get(7)?),
        enforce_until: row.get::<_, Option<i64>>(8)?.map(unix_time),
        hold: row.get::<_, Option<i64>>(9)?.map(unix_time),
        counted_at: unix_time(row.get(10)?),
        pinned_root: row.get(11)?,
    };
    Ok((row.get(0)?, remembered))
}

fn key_records(
    connection: &Connection,
    scope: Scope,
    domain: &str,
) -> Result<Vec<Vec<u8>>, LedgerError> {
    let records = connection
        .prepare_cached(
            "SELECT record FROM remembered_key WHERE scope = ?1 AND domain = ?2 ORDER BY position",
        )?
        .query_map(params![code(scope), domain], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(records)
}

pub(super) fn remember(
    connection: &Connection,
    instance: &Instance,
    scope: Scope,
    domain: &Domain,
    remembered: &Remembered,
    now: u64,
) -> Result<bool, LedgerError> {
    let before = connection
        .prepare_cached(
            "SELECT identity_key, serial FROM remembered WHERE scope = ?1 AND domain = ?2",
        )?
        .query_row(params![code(scope), domain.as_str()], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })
        .optional()?;
    match before {
        Some((identity, serial))
            if identity == remembered.identity_key && serial > remembered.serial =>
        {
            return Ok(false);
        }
        Some(_) => {}
        None => make_room(connection, room_of(connection, instance, scope, domain)?, scope, now)?,
    }
    let expires = remembered.until.max(remembered.enforce_until.unwrap_or(0));
    connection
        .prepare_cached(&format!(
            "INSERT INTO remembered (scope, {COLUMNS}, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT DO UPDATE SET identity_key = ?3, serial = ?4, policy = ?5, level = ?6,
                 first_seen = ?7, last_observed = ?8, until = ?9, enforce_until = ?10,
                 hold = ?11, counted_at = ?12, pinned_root = ?13, expires = ?14"
        ))?
        .execute(params![
            code(scope),
            domain.as_str(),
            remembered.identity_key,
            remembered.serial.cast_signed(),
            remembered.policy,
            remembered.level,
            sql_time(remembered.first_seen),
            sql_time(remembered.last_observed),
            sql_time(remembered.until),
            remembered.enforce_until.map(sql_time),
            remembered.hold.map(sql_time),
            sql_time(remembered.counted_at),
            remembered.pinned_root,
            sql_time(expires),
        ])?;
    connection
        .prepare_cached("DELETE FROM remembered_key WHERE scope = ?1 AND domain = ?2")?
        .execute(params![code(scope), domain.as_str()])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO remembered_key VALUES (?1, ?2, ?3, ?4)")?;
    for (position, record) in (0_i64..).zip(&remembered.key_records) {
        insert.execute(params![code(scope), domain.as_str(), position, record])?;
    }
    Ok(true)
}

/// Most domains that may be remembered before a new one. In the incoming scope whoever seals makes himself remembered: the last
/// quarter is for domains to which mail is sent.
fn room_of(
    connection: &Connection,
    instance: &Instance,
    scope: Scope,
    domain: &Domain,
) -> Result<i64, LedgerError> {
    let correspondent = connection
        .prepare_cached("SELECT 1 FROM remembered WHERE scope = ?1 AND domain = ?2")?
        .exists(params![code(Scope::Outgoing), domain.as_str()])?;
    let room = if correspondent { instance.max_remembered } else { instance.room_for_all(scope) };
    Ok(sql_time(room))
}

/// Lets expired domains go if there are too many; living ones stay, or strangers could make a
/// gateway forget its partners.
fn make_room(
    connection: &Connection,
    bound: i64,
    scope: Scope,
    now: u64,
) -> Result<(), LedgerError> {
    if count(connection, scope)? < bound {
        return Ok(());
    }
    connection
        .prepare_cached(
            "DELETE FROM remembered WHERE rowid IN
                 (SELECT rowid FROM remembered WHERE expires <= ?1 AND scope = ?2 LIMIT ?3)",
        )?
        .execute(params![sql_time(now), code(scope), MAKE_ROOM])?;
    if count(connection, scope)? < bound {
        Ok(())
    } else {
        Err(LedgerError::Limit(Bound::Remembered))
    }
}

/// How many domains are remembered.
pub(super) fn count(connection: &Connection, scope: Scope) -> Result<i64, LedgerError> {
    let count = connection
        .prepare_cached("SELECT items FROM tally WHERE name = 'remembered ' || ?1")?
        .query_row([code(scope)], |row| row.get(0))?;
    Ok(count)
}

pub(super) fn forget(
    connection: &Connection,
    scope: Scope,
    domain: &Domain,
) -> Result<bool, LedgerError> {
    let gone = connection
        .prepare_cached("DELETE FROM remembered WHERE scope = ?1 AND domain = ?2")?
        .execute(params![code(scope), domain.as_str()])?;
    Ok(gone > 0)
}

pub(super) fn list(
    connection: &Connection,
    scope: Scope,
    after: Option<&Domain>,
    limit: usize,
) -> Result<Vec<(Domain, Remembered)>, LedgerError> {
    let rows = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM remembered WHERE scope = ?1 AND domain > ?2
             ORDER BY domain LIMIT ?3"
        ))?
        .query_map(
            params![code(scope), after.map_or("", Domain::as_str), sql_time(limit as u64)],
            read,
        )?
        .collect::<Result<Vec<_>, _>>()?;
    rows.into_iter()
        .map(|(name, mut remembered)| {
            remembered.key_records = key_records(connection, scope, &name)?;
            let domain = Domain::from_canonical(name.as_bytes());
            Ok((domain.map_err(|_| LedgerError::Corrupt)?, remembered))
        })
        .collect()
}
