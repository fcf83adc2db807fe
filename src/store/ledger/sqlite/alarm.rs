//! Alarms in SQL.

use std::collections::HashMap;

use rusqlite::{Connection, Row, ToSql, params};

use super::super::audit::Detail;
use super::super::{
    ALARM_GAP, Acknowledgement, AlarmRow, Event, EventKind, LedgerError, MAX_ALARM_BATCH,
    MAX_ALARM_TEXT, MAX_PATH, Occurrence, Operator, Recorded, Scope,
};
use super::memory::code;
use super::{Instance, audit, sql_time, unix_time};
use crate::core::Domain;

const COLUMNS: &str = "scope, domain, kind, words, first_seen, last_seen, count, open,
    ack_at, ack_uid, ack_login, ack_why";

/// Most alarms of strangers that one batch puts into the audit trail.
const MAX_STRANGERS: u64 = 16;

/// The occurrences that fit, for a job to own.
pub(super) fn bounded(occurrences: &[Occurrence]) -> Vec<Occurrence> {
    let fits = |o: &&Occurrence| o.domain.len() <= MAX_PATH && o.kind.len() <= MAX_ALARM_TEXT;
    occurrences.iter().filter(fits).take(MAX_ALARM_BATCH).cloned().collect()
}

/// The pool of a domain: 2 for a partner, 1 for another destination of our mail, 0 for strangers.
fn standing(connection: &Connection, occurrence: &Occurrence) -> Result<i64, LedgerError> {
    if occurrence.partner {
        return Ok(2);
    }
    let known = connection
        .prepare_cached("SELECT 1 FROM remembered WHERE scope = 0 AND domain = ?1")?
        .exists([&occurrence.domain])?;
    Ok(i64::from(known))
}

/// An acknowledgement is of what was seen: other words, or the same after a long silence, are news.
const ANEW: &str = "(open = 0 AND (words <> ?4 OR last_seen < ?5))";

pub(super) fn record(
    connection: &Connection,
    instance: &Instance,
    occurrences: &[Occurrence],
) -> Result<Recorded, LedgerError> {
    let mut room = Room { instance, items: HashMap::new() };
    let mut recorded = Recorded::default();
    let mut news = Vec::new();
    for occurrence in occurrences {
        let standing = standing(connection, occurrence)?;
        recorded.dropped += room.make(connection, occurrence, standing)?;
        let (scope, words) = (code(occurrence.scope), cut(&occurrence.words));
        let silent_since = sql_time(occurrence.first.saturating_sub(ALARM_GAP));
        let reopens = occurrence.asks
            && connection
                .prepare_cached(&format!(
                    "SELECT 1 FROM alarm WHERE scope = ?1 AND domain = ?2 AND kind = ?3 AND {ANEW}"
                ))?
                .exists(params![scope, occurrence.domain, occurrence.kind, words, silent_since])?;
        if reopens {
            recorded.reopened.push(occurrence.clone());
        }
        if reopens || says_more(connection, occurrence, words)? {
            news.push((standing, occurrence, words));
        }
        connection
            .prepare_cached(&format!(
                "INSERT INTO alarm
                     (scope, domain, kind, words, first_seen, last_seen, count, open, standing)
                 VALUES (?1, ?2, ?3, ?4, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT DO UPDATE SET words = ?4, standing = ?10,
                     last_seen = max(last_seen, ?7),
                     first_seen = iif({ANEW}, ?6, first_seen),
                     count = iif({ANEW}, ?8, count + ?8),
                     open = iif({ANEW}, ?9, open)"
            ))?
            .execute(params![
                scope,
                occurrence.domain,
                occurrence.kind,
                words,
                silent_since,
                sql_time(occurrence.first),
                sql_time(occurrence.last),
                sql_time(occurrence.count),
                occurrence.asks,
                standing,
            ])?;
    }
    audit::append(connection, &events(&news))?;
    Ok(recorded)
}

/// Whether the alarm is not known, or in other words.
fn says_more(
    connection: &Connection,
    occurrence: &Occurrence,
    words: &str,
) -> Result<bool, LedgerError> {
    let known = connection
        .prepare_cached(
            "SELECT 1 FROM alarm WHERE scope = ?1 AND domain = ?2 AND kind = ?3 AND words = ?4",
        )?
        .exists(params![code(occurrence.scope), occurrence.domain, occurrence.kind, words])?;
    Ok(!known)
}

/// What the audit trail has of alarms that are news. Strangers raise as many as they like: most of theirs are counted only.
fn events(news: &[(i64, &Occurrence, &str)]) -> Vec<Event> {
    let Some((_, first, _)) = news.first() else { return Vec::new() };
    let (mut events, mut strangers, mut lapse) = (Vec::new(), 0, 0);
    for (standing, occurrence, words) in news {
        if *standing == 0 {
            strangers += 1;
            if strangers > MAX_STRANGERS {
                lapse += 1;
                continue;
            }
        }
        events.push(Event {
            scope: Some(occurrence.scope),
            domain: occurrence.domain.clone(),
            reason: occurrence.kind.clone(),
            detail: Detail::default().with("what", *words).with("count", occurrence.count),
            ..Event::new(EventKind::Alarm, occurrence.last)
        });
    }
    if lapse > 0 {
        events.push(Event::lapse(first.last, "alarms-of-strangers", lapse));
    }
    events
}

/// The beginning of a text, cut between characters.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_ALARM_TEXT)).unwrap_or_default()
}

/// The room in the pools while one batch is written; each pool is counted once.
struct Room<'a> {
    instance: &'a Instance,
    /// Rows by scope and standing.
    items: HashMap<(i64, i64), i64>,
}

impl Room<'_> {
    /// Makes room in the pool of a row that is not there yet: those that are not open go first, then those seen least lately.
    /// How many that were open have gone.
    fn make(
        &mut self,
        connection: &Connection,
        occurrence: &Occurrence,
        standing: i64,
    ) -> Result<u64, LedgerError> {
        let scope = code(occurrence.scope);
        let known = connection
            .prepare_cached("SELECT 1 FROM alarm WHERE scope = ?1 AND domain = ?2 AND kind = ?3")?
            .exists(params![scope, occurrence.domain, occurrence.kind])?;
        if known {
            return Ok(0);
        }
        let pool = (scope, standing);
        let items = match self.items.get(&pool) {
            Some(items) => *items,
            None => connection
                .prepare_cached("SELECT count(*) FROM alarm WHERE scope = ?1 AND standing = ?2")?
                .query_row([scope, standing], |row| row.get(0))?,
        };
        // More than one where standings have changed.
        let surplus = items.saturating_add(1).saturating_sub(sql_time(self.instance.max_alarms));
        let mut gone: Vec<bool> = Vec::new();
        if surplus > 0 {
            gone = connection
                .prepare_cached(
                    "DELETE FROM alarm WHERE rowid IN
                         (SELECT rowid FROM alarm WHERE scope = ?1 AND standing = ?2
                          ORDER BY open, last_seen LIMIT ?3) RETURNING open",
                )?
                .query_map([scope, standing, surplus], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
        }
        self.items.insert(pool, items.saturating_add(1).saturating_sub_unsigned(gone.len() as u64));
        Ok(gone.into_iter().filter(|open| *open).count() as u64)
    }
}

pub(super) fn list(
    connection: &Connection,
    domain: Option<&Domain>,
    limit: usize,
) -> Result<Vec<AlarmRow>, LedgerError> {
    select(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM alarm WHERE ?1 IS NULL OR domain = ?1
             ORDER BY open DESC, standing DESC, last_seen DESC, rowid LIMIT ?2"
        ),
        params![domain.map(Domain::as_str), sql_time(limit as u64)],
    )
}

pub(super) fn open(connection: &Connection) -> Result<Vec<(String, u64)>, LedgerError> {
    let counts = connection
        .prepare_cached("SELECT kind, count(*) FROM alarm WHERE open = 1 GROUP BY kind")?
        .query_map([], |row| Ok((row.get(0)?, unix_time(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    Ok(counts)
}

/// Closes what is open of a domain, of one kind or of all, and says what that was.
pub(super) fn acknowledge(
    connection: &Connection,
    domain: &Domain,
    kind: Option<&str>,
    now: u64,
    why: &str,
    by: &Operator,
) -> Result<Vec<AlarmRow>, LedgerError> {
    select(
        connection,
        &format!(
            "UPDATE alarm SET open = 0, ack_at = ?3, ack_uid = ?4, ack_login = ?5, ack_why = ?6
             WHERE domain = ?1 AND open = 1 AND (?2 IS NULL OR kind = ?2) RETURNING {COLUMNS}"
        ),
        params![domain.as_str(), kind, sql_time(now), by.uid, by.login, why],
    )
}

fn select(
    connection: &Connection,
    statement: &str,
    parameters: &[&dyn ToSql],
) -> Result<Vec<AlarmRow>, LedgerError> {
    let rows = connection
        .prepare_cached(statement)?
        .query_map(parameters, read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(rows)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AlarmRow> {
    let acknowledged = match row.get::<_, Option<i64>>(8)? {
        Some(at) => Some(Acknowledgement {
            at: unix_time(at),
            by: Operator { uid: row.get(9)?, login: row.get(10)? },
            why: row.get(11)?,
        }),
        None => None,
    };
    Ok(AlarmRow {
        scope: if row.get::<_, i64>(0)? == code(Scope::Outgoing) {
            Scope::Outgoing
        } else {
            Scope::Incoming
        },
        domain: row.get(1)?,
        kind: row.get(2)?,
        words: row.get(3)?,
        first_seen: unix_time(row.get(4)?),
        last_seen: unix_time(row.get(5)?),
        count: unix_time(row.get(6)?),
        open: row.get(7)?,
        acknowledged,
    })
}
