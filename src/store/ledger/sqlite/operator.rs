//! What the operator's commands write while the daemon holds the ledger: overrides, actions, acknowledgements and
//! probes, and nothing else.

use std::fs::File;
use std::path::Path;

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};

use super::super::audit::Detail;
use super::super::{
    Action, ActionKind, AlarmRow, Allowance, Bound, Event, EventKind, LedgerError, MAX_ALLOWANCE,
    MAX_PROBE, MAX_WHY, NewAction, Operator, ProbeId,
};
use super::open::{connect, open_error};
use super::{Options, alarm, audit, schema, sql_time, unix_time};
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
        let transaction = self.begin()?;
        let allowance = transaction.query_row(
            &format!(
                "INSERT INTO allowance (domain, created, until, why, uid, login)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING {COLUMNS}"
            ),
            params![domain.as_str(), sql_time(now), sql_time(until), why, by.uid, by.login],
            read,
        )?;
        let detail = format!("override {} for {length} s: {why}", allowance.id);
        let action = NewAction { kind: ActionKind::AllowClear, domain: domain.clone(), detail };
        insert(&transaction, &[action], now, by)?;
        transaction.commit()?;
        Ok(allowance)
    }

    /// Ends every override of `domain` that holds at `now`, and returns them. Durable when this returns.
    pub fn disallow(
        &self,
        domain: &Domain,
        now: u64,
        by: &Operator,
    ) -> Result<Vec<Allowance>, LedgerError> {
        let transaction = self.begin()?;
        let mut update = transaction.prepare(&format!(
            "UPDATE allowance SET ended = ?2, ended_uid = ?3, ended_login = ?4
             WHERE domain = ?1 AND ended IS NULL AND until > ?2 RETURNING {COLUMNS}"
        ))?;
        let ended = update
            .query_map(params![domain.as_str(), sql_time(now), by.uid, by.login], read)?
            .collect::<Result<Vec<_>, _>>()?;
        drop(update);
        let action = |allowance: &Allowance| NewAction {
            kind: ActionKind::DisallowClear,
            domain: domain.clone(),
            detail: format!("override {}", allowance.id),
        };
        insert(&transaction, &ended.iter().map(action).collect::<Vec<_>>(), now, by)?;
        transaction.commit()?;
        Ok(ended)
    }

    /// Puts actions on record, all or none. Durable when this returns: make the change afterwards.
    ///
    /// # Errors
    /// What the file system says; nothing is recorded then.
    pub fn record(
        &self,
        actions: &[NewAction],
        now: u64,
        by: &Operator,
    ) -> Result<(), LedgerError> {
        let transaction = self.begin()?;
        insert(&transaction, actions, now, by)?;
        Ok(transaction.commit()?)
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
        let transaction = self.begin()?;
        let closed = alarm::acknowledge(&transaction, domain, kind, now, why, by)?;
        let event = |row: &AlarmRow| {
            let detail = Detail::default()
                .with("alarm", row.kind.as_str())
                .with("uid", by.uid)
                .with("login", by.login.as_str())
                .with("what", why);
            Event {
                scope: Some(row.scope),
                domain: row.domain.clone(),
                reason: "acknowledged".to_owned(),
                detail,
                ..Event::new(EventKind::Alarm, now)
            }
        };
        audit::append(&transaction, &closed.iter().map(event).collect::<Vec<_>>())?;
        transaction.commit()?;
        Ok(closed)
    }

    /// A transaction that writes from its beginning: the end of the audit trail does not move meanwhile.
    fn begin(&self) -> Result<Transaction<'_>, LedgerError> {
        Ok(Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?)
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

pub(super) fn insert(
    connection: &Connection,
    actions: &[NewAction],
    now: u64,
    by: &Operator,
) -> Result<(), LedgerError> {
    let mut insert = connection.prepare(
        "INSERT INTO operator_action (at, uid, login, action, domain, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for NewAction { kind, domain, detail } in actions {
        let (at, kind, domain) = (sql_time(now), kind.as_str(), domain.as_str());
        insert.execute(params![at, by.uid, by.login, kind, domain, detail])?;
    }
    let events: Vec<Event> = actions.iter().map(|action| event(action, now, by)).collect();
    audit::append(connection, &events)
}

/// The action as a row of the audit trail.
fn event(action: &NewAction, now: u64, by: &Operator) -> Event {
    let detail = Detail::default()
        .with("uid", by.uid)
        .with("login", by.login.as_str())
        .with("what", action.detail.as_str());
    Event {
        domain: action.domain.to_string(),
        reason: action.kind.as_str().to_owned(),
        detail,
        ..Event::new(action.kind.event(), now)
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

/// A change that is followed by its failure was none.
pub(super) fn partner_on_record(connection: &Connection) -> Result<Option<String>, LedgerError> {
    let made = [ActionKind::Add, ActionKind::Pin, ActionKind::Import].map(ActionKind::as_str);
    let [add, pin, import] = made;
    let found = connection
        .prepare_cached(
            "SELECT domain FROM operator_action AS made
             WHERE action IN (?1, ?2, ?3) AND ?4 IS NOT
                 (SELECT action FROM operator_action AS next
                  WHERE next.domain = made.domain AND next.id > made.id ORDER BY next.id LIMIT 1)
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![add, pin, import, ActionKind::Failed.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found)
}

pub(super) fn actions(
    connection: &Connection,
    domain: Option<&Domain>,
    limit: usize,
) -> Result<Vec<Action>, LedgerError> {
    let read = |row: &Row<'_>| {
        Ok(Action {
            id: row.get(0)?,
            at: unix_time(row.get(1)?),
            by: Operator { uid: row.get(2)?, login: row.get(3)? },
            action: row.get(4)?,
            domain: row.get(5)?,
            detail: row.get(6)?,
        })
    };
    let all = connection
        .prepare_cached(
            "SELECT id, at, uid, login, action, domain, detail FROM operator_action
             WHERE ?1 IS NULL OR domain = ?1 ORDER BY id DESC LIMIT ?2",
        )?
        .query_map(params![domain.map(Domain::as_str), sql_time(limit as u64)], read)?
        .collect::<Result<_, _>>()?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_partner_is_on_record_unless_making_it_failed() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, 1).unwrap();
        let by = Operator { uid: 0, login: "alice".to_owned() };
        let record = |kind, name: &str| {
            let domain = Domain::parse(name).unwrap();
            let action = NewAction { kind, domain, detail: "x".to_owned() };
            insert(&connection, &[action], 1, &by).unwrap();
        };
        let found = || partner_on_record(&connection).unwrap();
        record(ActionKind::AllowClear, "a.example");
        record(ActionKind::Add, "b.example");
        record(ActionKind::Failed, "b.example");
        assert_eq!(found(), None);
        record(ActionKind::Import, "c.example");
        record(ActionKind::Forget, "c.example");
        record(ActionKind::Add, "d.example");
        record(ActionKind::Failed, "d.example");
        assert_eq!(found().as_deref(), Some("c.example"));
    }
}
