//! Claims and deliveries in SQL.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::super::{CLAIM_LEASE, Claim, Claimed, IncomingMessage, IncomingStatus, LedgerError};
use super::{Instance, sql_time};

/// The two keys of a delivery. They are the ledger's own: no other program computes them.
fn keys(message: &IncomingMessage, recipient: &str) -> [[u8; 32]; 2] {
    let mut by_envelope = Sha256::new();
    by_envelope.update(b"envelope\0");
    by_envelope.update(message.envelope_id.as_bytes());
    by_envelope.update(recipient);
    let mut by_delivery = Sha256::new();
    by_delivery.update(b"delivery\0");
    by_delivery.update(message.delivery_id.as_bytes());
    // A domain has no NUL, so the boundary to the recipient is unambiguous.
    by_delivery.update(message.sender_domain.as_str());
    by_delivery.update(b"\0");
    by_delivery.update(recipient);
    [by_envelope.finalize().into(), by_delivery.finalize().into()]
}

pub(super) fn status(
    connection: &Connection,
    message: &IncomingMessage,
    recipients: &[String],
    now: u64,
) -> Result<Vec<IncomingStatus>, LedgerError> {
    recipients.iter().map(|path| of_keys(connection, &keys(message, path), now)).collect()
}

fn of_keys(
    connection: &Connection,
    keys: &[[u8; 32]; 2],
    now: u64,
) -> Result<IncomingStatus, LedgerError> {
    // A delivery counts as long as its row exists; a claim until its epoch or its lease ends.
    let mut look_up = connection.prepare_cached(
        "SELECT epoch IS NULL FROM incoming WHERE key = ?1 AND (epoch IS NULL
             OR (expires > ?2 AND epoch IN (SELECT epoch FROM epoch)))",
    )?;
    let mut found = IncomingStatus::New;
    for key in keys {
        match look_up.query_row(params![key, sql_time(now)], |row| row.get(0)).optional()? {
            Some(true) => return Ok(IncomingStatus::Delivered),
            Some(false) => found = IncomingStatus::InProgress,
            None => {}
        }
    }
    Ok(found)
}

pub(super) fn claim(
    connection: &Connection,
    instance: &Instance,
    message: &IncomingMessage,
    recipients: &[String],
    now: u64,
) -> Result<Vec<Claimed>, LedgerError> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO incoming (key, epoch, token, expires) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let lease = sql_time(now.saturating_add(CLAIM_LEASE));
    let mut answers = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let keys = keys(message, recipient);
        answers.push(match of_keys(connection, &keys, now)? {
            IncomingStatus::Delivered => Claimed::Delivered,
            IncomingStatus::InProgress => Claimed::InProgress,
            IncomingStatus::New => {
                let token = instance.token();
                for key in &keys {
                    insert.execute(params![key, instance.epoch, token, lease])?;
                }
                Claimed::Claimed(Claim { recipient: recipient.clone(), keys, token })
            }
        });
    }
    Ok(answers)
}

pub(super) fn delivered(
    connection: &Connection,
    keys: &[[u8; 32]],
    keep_until: u64,
) -> Result<(), LedgerError> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO incoming (key, expires) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET epoch = NULL, token = NULL,
             expires = iif(epoch IS NULL, max(expires, ?2), ?2)",
    )?;
    for key in keys {
        upsert.execute(params![key, sql_time(keep_until)])?;
    }
    Ok(())
}

pub(super) fn release(
    connection: &Connection,
    instance: &Instance,
    claims: &[([u8; 32], i64)],
) -> Result<(), LedgerError> {
    let mut delete = connection
        .prepare_cached("DELETE FROM incoming WHERE key = ?1 AND epoch = ?2 AND token = ?3")?;
    for (key, token) in claims {
        delete.execute(params![key, instance.epoch, token])?;
    }
    Ok(())
}
