//! What the operator's commands write while the daemon holds the ledger: overrides, acknowledgements and
//! probes, and nothing else.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::super::{
    AlarmRow, Allowance, Bound, LedgerError, MAX_ALLOWANCE, MAX_PROBE, MAX_WHY, Operator, ProbeId,
};
use super::open::{connect, open_error};
use super::{Options, alarm, schema, sql_time, unix_time};
use crate::core::Domain;

const COLUMNS: &str = "id, domain, created, until, why, uid, login, ended, ended_uid, ended_login";

/// A ledger open beside the daemon that keeps it, for the operator's commands. It takes no lock of its own, and touches no
/// table by which the daemon decides about deliveries. Every call blocks while it works.
#[derive(Debug)]
pub struct OperatorLedger {
    connection: Connection,
}

impl OperatorLedger {
    /// Opens an existing ledger.
    ///
    /// # Errors
    /// [`LedgerError::OlderSchema`] until a daemon of this version has opened it, and what the file system says.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        // SQLite would say only "cannot open".
        File::options().read(true).write(true).open(path).map_err(open_error)?;
        let busy = Options::default().busy_timeout;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy)?;
        schema::current(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(Self { connection })
    }

    /// Lets clear mail go to `domain` from `now` until `until`, Unix seconds, where it would wait otherwise. Durable when
    /// this returns.
    ///
    /// # Errors
    /// [`LedgerError::Limit`] for a missing or overlong reason, or more than [`MAX_ALLOWANCE`].
    pub fn allow(
        &self,
        domain: &Domain,
        now: u64,
        until: u64,
        why: &str,
        by: &Operator,
    ) -> Result<Allowance, LedgerError> {
        let why = why.trim();
        let length = until.saturating_sub(now);
        if why.is_empty() || why.len() > MAX_WHY || length == 0 || length > MAX_ALLOWANCE {
            return Err(LedgerError::Limit(Bound::Allowance));
        }
        let allowance = self.connection.query_row(
            &format!(
                "INSERT INTO allowance (domain, created, until, why, uid, login)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING {COLUMNS}"
            ),
            params![domain.as_str(), sql_time(now), sql_time(until), why, by.uid, by.login],
            read,
        )?;
        Ok(allowance)
    }

    /// Ends every override of `domain` that holds at `now`, and returns them. Durable when this returns.
    pub fn disallow(
        &self,
        domain: &Domain,
        now: u64,
        by: &Operator,
    ) -> Result<Vec<Allowance>, LedgerError> {
        let mut update = self.connection.prepare(&format!(
            "UPDATE allowance SET ended = ?2, ended_uid = ?3, ended_login = ?4
             WHERE domain = ?1 AND ended IS NULL AND until > ?2 RETURNING {COLUMNS}"
        ))?;
        let ended = update
            .query_map(params![domain.as_str(), sql_time(now), by.uid, by.login], read)?
            .collect::<Result<_, _>>()?;
        Ok(ended)
    }

    /// Notes that somebody has looked into the open alarms about `domain`, of one kind or of all, and returns them. Durable
    /// when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Limit`] for a missing or overlong reason.
    pub fn acknowledge(
        &self,
        domain: &Domain,
        kind: Option<&str>,
        now: u64,
        why: &str,
        by: &Operator,
    ) -> Result<Vec<AlarmRow>, LedgerError> {
        let why = why.trim();
        if why.is_empty() || why.len() > MAX_WHY {
            return Err(LedgerError::Limit(Bound::Acknowledgement));
        }
        alarm::acknowledge(&self.connection, domain, kind, now, why, by)
    }

    /// Watches, for `seconds` and at most [`MAX_PROBE`], for a message with the null reverse-path to `recipient`, a mailbox
    /// as the gateway prints it.
    pub fn watch(&self, recipient: &str, now: u64, seconds: u64) -> Result<ProbeId, LedgerError> {
        let until = now.saturating_add(seconds.min(MAX_PROBE));
        self.connection.execute("DELETE FROM probe WHERE until <= ?1", [sql_time(now)])?;
        self.connection.execute(
            "INSERT INTO probe (recipient, until) VALUES (?1, ?2)",
            params![recipient, sql_time(until)],
        )?;
        Ok(ProbeId(self.connection.last_insert_rowid()))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Allowance> {
    let ended: Option<i64> = row.get(7)?;
    let ended = match ended {
        Some(at) => {
            let by = Operator { uid: row.get(8)?, login: row.get(9)? };
            Some((unix_time(at), by))
        }
        None => None,
    };
    Ok(Allowance {
        id: row.get(0)?,
        domain: row.get(1)?,
        created: unix_time(row.get(2)?),
        until: unix_time(row.get(3)?),
        why: row.get(4)?,
        by: Operator { uid: row.get(5)?, login: row.get(6)? },
        ended,
    })
}

pub(super) fn allowance(
    connection: &Connection,
    domain: &Domain,
    now: u64,
) -> Result<Option<Allowance>, LedgerError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM allowance
             WHERE domain = ?1 AND until > ?2 AND ended IS NULL ORDER BY until DESC, id LIMIT 1"
        ))?
        .query_row(params![domain.as_str(), sql_time(now)], read)
        .optional()?;
    Ok(found)
}

pub(super) fn list(connection: &Connection, limit: usize) -> Result<Vec<Allowance>, LedgerError> {
    let all = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM allowance ORDER BY id DESC LIMIT ?1"))?
        .query_map([sql_time(limit as u64)], read)?
        .collect::<Result<_, _>>()?;
    Ok(all)
}
