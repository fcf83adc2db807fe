//! Retry memory in SQL; the rules stand in `ledger/outgoing.rs`.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::super::outgoing::{Entry, Retry, Standing, decide, distinct};
use super::super::{
    FinalOutcome, FinalReply, LedgerError, MAX_REPLY, OPEN_LEASE, Outcome, Outgoing, RetryKey,
    Upstream,
};
use super::{Instance, sql_time};
use crate::core::DeliveryId;

/// Most entries of one retry key that are looked at, the latest first.
const MAX_ENTRIES: i64 = 64;

// In an open entry, `doubt` of a final outcome says that it is lent to the transaction.
const PENDING: i64 = 0;
const WAITING: i64 = 1;
const ACCEPTED: i64 = 2;
const REFUSED: i64 = 3;
const TOLD: i64 = 4;
const MOVED: i64 = 5;

pub(super) fn begin(
    connection: &Connection,
    instance: &Instance,
    retry_key: RetryKey,
    recipients: &[String],
    fresh: DeliveryId,
    now: u64,
) -> Result<Outgoing, LedgerError> {
    let recipients = distinct(recipients);
    let entries = load(connection, retry_key, &recipients, now)?;
    let retry = decide(&entries, &recipients);
    let mut outgoing = Outgoing {
        delivery_id: fresh,
        send: recipients,
        already: Vec::new(),
        message_hash: None,
        retry: retry.as_ref().is_some_and(|retry| retry.entry.is_some()),
        retry_key,
        token: instance.token(),
    };
    match retry {
        Some(retry) => resume(connection, &entries, retry, &mut outgoing, now)?,
        None => insert(connection, fresh, retry_key, None, now)?,
    }
    connection
        .prepare_cached(
            "UPDATE outgoing SET open_epoch = ?2, open_token = ?3, open_until = ?4, touched = ?5,
                 expires = ?6, message_hash = coalesce(message_hash, ?7)
             WHERE delivery_id = ?1",
        )?
        .execute(params![
            outgoing.delivery_id.as_bytes(),
            instance.epoch,
            outgoing.token,
            sql_time(now.saturating_add(OPEN_LEASE)),
            sql_time(now),
            sql_time(now.saturating_add(instance.retry_memory)),
            outgoing.message_hash,
        ])?;
    // A recipient may have been in doubt: the mark stays until its outcome is final.
    let mut pending = connection.prepare_cached(
        "INSERT INTO outgoing_recipient (delivery_id, path, state, doubt) VALUES (?1, ?2, ?3, 0)
         ON CONFLICT DO UPDATE SET doubt = doubt OR state = ?3, state = ?3, code = NULL,
             reply = NULL",
    )?;
    for path in &outgoing.send {
        pending.execute(params![outgoing.delivery_id.as_bytes(), path, PENDING])?;
    }
    Ok(outgoing)
}

/// Entries of the retry key that are not expired, the latest first and open ones last, with what they say about the
/// recipients of the transaction.
fn load(
    connection: &Connection,
    retry_key: RetryKey,
    recipients: &[String],
    now: u64,
) -> Result<Vec<Entry>, LedgerError> {
    let wanted: HashSet<&str> = recipients.iter().map(String::as_str).collect();
    let mut entries = connection.prepare_cached(
        "SELECT delivery_id, message_hash, open_epoch IS NOT NULL AND open_until > ?2
             AND open_epoch IN (SELECT epoch FROM epoch) AS open FROM outgoing
         WHERE retry_key = ?1 AND expires > ?2
         ORDER BY open, touched DESC, delivery_id LIMIT ?3",
    )?;
    let entries = entries
        .query_map(params![retry_key.as_bytes(), sql_time(now), MAX_ENTRIES], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Option<[u8; 32]>>(1)?, row.get(2)?))
        })?
        .collect::<Result<Vec<(_, _, bool)>, _>>()?;
    let mut known = connection.prepare_cached(
        "SELECT path, state, doubt, code, reply FROM outgoing_recipient WHERE delivery_id = ?1",
    )?;
    let mut loaded = Vec::with_capacity(entries.len());
    for (delivery_id, message_hash, open) in entries {
        let mut recipients = HashMap::new();
        let mut rows = known.query([delivery_id])?;
        while let Some(row) = rows.next()? {
            let path: String = row.get(0)?;
            if wanted.contains(path.as_str()) {
                recipients.insert(path, standing(row, open)?);
            }
        }
        let delivery_id = DeliveryId::from_bytes(delivery_id);
        loaded.push(Entry { delivery_id, open, message_hash, recipients });
    }
    Ok(loaded)
}

fn standing(row: &Row<'_>, open: bool) -> Result<Standing, LedgerError> {
    let state: i64 = row.get(1)?;
    if open && (state == PENDING || (is_final(state) && row.get(2)?)) {
        return Ok(Standing::Busy);
    }
    Ok(match state {
        // Its transaction vanished at a point nobody knows.
        PENDING => Standing::Waiting { doubt: true },
        WAITING => Standing::Waiting { doubt: row.get(2)? },
        ACCEPTED => Standing::Final(FinalOutcome::Accepted),
        REFUSED => Standing::Final(FinalOutcome::Permanent(FinalReply {
            code: row.get(3)?,
            text: row.get(4)?,
        })),
        TOLD => Standing::Told,
        MOVED => Standing::Moved,
        _ => return Err(LedgerError::Corrupt),
    })
}

fn is_final(state: i64) -> bool {
    matches!(state, ACCEPTED | REFUSED)
}

/// Makes the transaction continue an entry, or gives it a fresh one, and books the outcomes of others to it.
fn resume(
    connection: &Connection,
    entries: &[Entry],
    retry: Retry,
    outgoing: &mut Outgoing,
    now: u64,
) -> Result<(), LedgerError> {
    outgoing.message_hash = retry.message_hash;
    match retry.entry {
        Some(entry) => outgoing.delivery_id = entries[entry].delivery_id,
        None => {
            insert(connection, outgoing.delivery_id, outgoing.retry_key, retry.message_hash, now)?
        }
    }
    let settled: HashSet<&str> = retry.already.iter().map(|(path, ..)| path.as_str()).collect();
    outgoing.send.retain(|path| !settled.contains(path.as_str()));
    for (path, outcome, from) in &retry.already {
        if Some(*from) != retry.entry {
            let other = entries[*from].delivery_id;
            set_final(connection, outgoing.delivery_id, path, outcome)?;
            set_state(connection, other, path, MOVED, None)?;
            drop_if_settled(connection, other)?;
        }
        connection
            .prepare_cached(
                "UPDATE outgoing_recipient SET doubt = 1 WHERE delivery_id = ?1 AND path = ?2",
            )?
            .execute(params![outgoing.delivery_id.as_bytes(), path])?;
    }
    outgoing.already =
        retry.already.into_iter().map(|(path, outcome, _)| (path, outcome)).collect();
    Ok(())
}

pub(super) fn finish(
    connection: &Connection,
    instance: &Instance,
    outgoing: &Outgoing,
    outcomes: &[(String, Outcome)],
    message_hash: Option<[u8; 32]>,
    upstream: Upstream,
    now: u64,
) -> Result<(), LedgerError> {
    let sent: HashSet<&str> = outgoing.send.iter().map(String::as_str).collect();
    let outcomes: HashMap<&str, &Outcome> =
        outcomes.iter().map(|(path, outcome)| (path.as_str(), outcome)).collect();
    if outcomes.keys().any(|path| !sent.contains(path)) {
        return Err(LedgerError::StrayRecipient);
    }
    let id = outgoing.delivery_id;
    let entry = connection
        .prepare_cached(
            "SELECT message_hash, open_epoch = ?2 AND open_token = ?3 FROM outgoing
             WHERE delivery_id = ?1",
        )?
        .query_row(params![id.as_bytes(), instance.epoch, outgoing.token], |row| {
            Ok((row.get::<_, Option<[u8; 32]>>(0)?, row.get::<_, Option<bool>>(1)?))
        })
        .optional()?;
    // Whether this transaction has the entry. Not so at a second report, when a retry may
    // already be under way: then only its final outcomes are news. If all were told in between
    // the entry is gone, and nobody knows any more for whom its id was used: the outcomes are
    // kept under an id of their own.
    let (id, ours) = match entry {
        Some((Some(recorded), _)) if message_hash.is_some_and(|hash| hash != recorded) => {
            return Err(LedgerError::MessageDiffers);
        }
        Some((_, ours)) => (id, ours == Some(true)),
        None => {
            let other = successor(outgoing);
            match insert(connection, other, outgoing.retry_key, message_hash, now) {
                // A third report.
                Ok(()) | Err(LedgerError::Conflict) => (other, false),
                Err(error) => return Err(error),
            }
        }
    };
    let settle = |path: &str, outcome: &FinalOutcome| {
        // A second report changes only what the client was told.
        let before = if ours { None } else { state(connection, id, path)? };
        match (before, upstream) {
            (None | Some(ACCEPTED | REFUSED), Upstream::Told) => {
                set_state(connection, id, path, TOLD, None)
            }
            (None | Some(TOLD), Upstream::Deferred) => set_final(connection, id, path, outcome),
            _ => Ok(()),
        }
    };
    for (path, outcome) in &outgoing.already {
        settle(path, outcome)?;
    }
    for path in &outgoing.send {
        match outcomes.get(path.as_str()).copied() {
            Some(Outcome::Accepted) => settle(path, &FinalOutcome::Accepted)?,
            Some(Outcome::Permanent(reply)) => {
                settle(path, &FinalOutcome::Permanent(reply.clone()))?;
            }
            Some(Outcome::Temporary) if ours => set_waiting(connection, id, path, false)?,
            Some(Outcome::Unknown) | None if ours => set_waiting(connection, id, path, true)?,
            Some(Outcome::Temporary | Outcome::Unknown) | None => {}
        }
    }
    connection
        .prepare_cached(
            "UPDATE outgoing SET message_hash = coalesce(message_hash, ?2), touched = ?3,
                 expires = ?4, open_epoch = iif(?5, NULL, open_epoch)
             WHERE delivery_id = ?1",
        )?
        .execute(params![
            id.as_bytes(),
            message_hash,
            sql_time(now),
            sql_time(now.saturating_add(instance.retry_memory)),
            ours,
        ])?;
    drop_if_settled(connection, id)
}

pub(super) fn retire(connection: &Connection, id: DeliveryId) -> Result<(), LedgerError> {
    connection
        .prepare_cached("DELETE FROM outgoing WHERE delivery_id = ?1")?
        .execute([id.as_bytes()])?;
    Ok(())
}

/// A delivery id as unpredictable as that of the transaction, and never used.
fn successor(outgoing: &Outgoing) -> DeliveryId {
    let mut hash = Sha256::new();
    hash.update(b"successor\0");
    hash.update(outgoing.delivery_id.as_bytes());
    hash.update(outgoing.token.to_be_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(hash.finalize()).for_each(|(octet, from)| *octet = from);
    DeliveryId::from_bytes(id)
}

fn insert(
    connection: &Connection,
    id: DeliveryId,
    retry_key: RetryKey,
    message_hash: Option<[u8; 32]>,
    now: u64,
) -> Result<(), LedgerError> {
    let added = connection
        .prepare_cached(
            "INSERT INTO outgoing (delivery_id, retry_key, message_hash, touched, expires)
             VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![id.as_bytes(), retry_key.as_bytes(), message_hash, sql_time(now),])?;
    if added == 1 { Ok(()) } else { Err(LedgerError::Conflict) }
}

fn set_waiting(
    connection: &Connection,
    id: DeliveryId,
    path: &str,
    doubt: bool,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO outgoing_recipient (delivery_id, path, state, doubt)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET state = ?3, doubt = doubt OR ?4",
        )?
        .execute(params![id.as_bytes(), path, WAITING, doubt])?;
    Ok(())
}

fn state(connection: &Connection, id: DeliveryId, path: &str) -> Result<Option<i64>, LedgerError> {
    let state = connection
        .prepare_cached(
            "SELECT state FROM outgoing_recipient WHERE delivery_id = ?1 AND path = ?2",
        )?
        .query_row(params![id.as_bytes(), path], |row| row.get(0))
        .optional()?;
    Ok(state)
}

fn set_final(
    connection: &Connection,
    id: DeliveryId,
    path: &str,
    outcome: &FinalOutcome,
) -> Result<(), LedgerError> {
    match outcome {
        FinalOutcome::Accepted => set_state(connection, id, path, ACCEPTED, None),
        FinalOutcome::Permanent(reply) => set_state(connection, id, path, REFUSED, Some(reply)),
    }
}

fn set_state(
    connection: &Connection,
    id: DeliveryId,
    path: &str,
    state: i64,
    reply: Option<&FinalReply>,
) -> Result<(), LedgerError> {
    let text = reply.map(|reply| &reply.text[..reply.text.floor_char_boundary(MAX_REPLY)]);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO outgoing_recipient (delivery_id, path, state, doubt, code, reply)
             VALUES (?1, ?2, ?3, 0, ?4, ?5)",
        )?
        .execute(params![id.as_bytes(), path, state, reply.map(|reply| reply.code), text])?;
    Ok(())
}

fn drop_if_settled(connection: &Connection, id: DeliveryId) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "DELETE FROM outgoing WHERE delivery_id = ?1 AND NOT EXISTS
                 (SELECT 1 FROM outgoing_recipient WHERE delivery_id = ?1 AND state NOT IN (?2, ?3))",
        )?
        .execute(params![id.as_bytes(), TOLD, MOVED])?;
    Ok(())
}
