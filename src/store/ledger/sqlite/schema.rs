//! The tables, and how a file of an earlier version becomes one of this version.

use rusqlite::Connection;

use super::super::LedgerError;

/// Marks the file as a ledger: "MSLg" (SQLite's application id).
const APPLICATION_ID: i64 = 0x4d53_4c67;

/// The steps from each schema version to the next; a released step never changes.
const STEPS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5];

/// The schema this version of the program reads and writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Times are Unix seconds. Keys of `incoming` are hashes: fixed size, whatever peers send.
/// `tally` counts what is bounded, kept by triggers and so by the same transaction.
const VERSION_1: &str = "
CREATE TABLE epoch (
    epoch   INTEGER PRIMARY KEY AUTOINCREMENT,
    started INTEGER NOT NULL
) STRICT;

CREATE TABLE outgoing (
    delivery_id  BLOB PRIMARY KEY,
    retry_key    BLOB NOT NULL,
    message_hash BLOB,
    open_epoch   INTEGER,
    open_token   INTEGER,
    open_until   INTEGER,
    touched      INTEGER NOT NULL,
    expires      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outgoing_retry ON outgoing (retry_key, touched);
CREATE INDEX outgoing_expires ON outgoing (expires);

-- state: 0 pending, 1 waiting, 2 accepted, 3 refused for good, 4 told, 5 moved
CREATE TABLE outgoing_recipient (
    delivery_id BLOB NOT NULL REFERENCES outgoing ON DELETE CASCADE,
    path        TEXT NOT NULL,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),
    doubt       INTEGER NOT NULL CHECK (doubt IN (0, 1)),
    code        INTEGER,
    reply       TEXT,
    PRIMARY KEY (delivery_id, path)
) STRICT, WITHOUT ROWID;

-- epoch and token: claimed by; both null: delivered
CREATE TABLE incoming (
    key     BLOB PRIMARY KEY,
    epoch   INTEGER,
    token   INTEGER,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX incoming_expires ON incoming (expires);
CREATE INDEX incoming_claims ON incoming (epoch) WHERE epoch IS NOT NULL;

-- scope: 0 outgoing, 1 incoming; serial: unsigned, kept as its two's complement
CREATE TABLE remembered (
    scope         INTEGER NOT NULL,
    domain        TEXT NOT NULL,
    identity_key  BLOB NOT NULL,
    serial        INTEGER NOT NULL,
    policy        BLOB NOT NULL,
    level         INTEGER NOT NULL,
    first_seen    INTEGER NOT NULL,
    last_observed INTEGER NOT NULL,
    until         INTEGER NOT NULL,
    enforce_until INTEGER,
    hold          INTEGER,
    counted_at    INTEGER NOT NULL,
    pinned_root   BLOB,
    expires       INTEGER NOT NULL,
    PRIMARY KEY (scope, domain)
) STRICT;
CREATE INDEX remembered_expires ON remembered (expires);
CREATE TABLE remembered_key (
    scope    INTEGER NOT NULL,
    domain   TEXT NOT NULL,
    position INTEGER NOT NULL,
    record   BLOB NOT NULL,
    PRIMARY KEY (scope, domain, position),
    FOREIGN KEY (scope, domain) REFERENCES remembered ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- side: 0 inside, 1 outside
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    side         INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,
    message      BLOB NOT NULL,
    created      INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    attempts     INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_next ON outbox (next_attempt);
CREATE TABLE outbox_recipient (
    id       INTEGER NOT NULL REFERENCES outbox ON DELETE CASCADE,
    position INTEGER NOT NULL,
    path     TEXT NOT NULL,
    PRIMARY KEY (id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (
    name   TEXT PRIMARY KEY,
    items  INTEGER NOT NULL,
    octets INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tally VALUES ('outbox', 0, 0), ('remembered 0', 0, 0), ('remembered 1', 0, 0);
CREATE TRIGGER outbox_in AFTER INSERT ON outbox BEGIN
    UPDATE tally SET items = items + 1, octets = octets + length(new.message)
    WHERE name = 'outbox';
END;
CREATE TRIGGER outbox_out AFTER DELETE ON outbox BEGIN
    UPDATE tally SET items = items - 1, octets = octets - length(old.message)
    WHERE name = 'outbox';
END;
CREATE TRIGGER remembered_in AFTER INSERT ON remembered BEGIN
    UPDATE tally SET items = items + 1 WHERE name = 'remembered ' || new.scope;
END;
CREATE TRIGGER remembered_out AFTER DELETE ON remembered BEGIN
    UPDATE tally SET items = items - 1 WHERE name = 'remembered ' || old.scope;
END;
";

/// What an operator looks at in the first hour: who waits, what was overridden, what a probe saw.
const VERSION_2: &str = "
-- scope: 0 outgoing, 1 incoming; tell: the sender may be told of the delay
CREATE TABLE deferral (
    scope      INTEGER NOT NULL CHECK (scope IN (0, 1)),
    sender     TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    domain     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    words      TEXT NOT NULL,
    reply      TEXT NOT NULL,
    queue      TEXT,
    trace      TEXT NOT NULL,
    tell       INTEGER NOT NULL CHECK (tell IN (0, 1)),
    original   TEXT,
    envid      TEXT,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    PRIMARY KEY (scope, sender, recipient)
) STRICT;
CREATE INDEX deferral_last_seen ON deferral (scope, last_seen);
CREATE INDEX deferral_expires ON deferral (last_seen);
CREATE TABLE delay_notice (
    sender TEXT NOT NULL,
    domain TEXT NOT NULL,
    told   INTEGER NOT NULL,
    PRIMARY KEY (sender, domain)
) STRICT, WITHOUT ROWID;
CREATE INDEX delay_notice_told ON delay_notice (told);
INSERT INTO tally VALUES ('deferral 0', 0, 0), ('deferral 1', 0, 0);
CREATE TRIGGER deferral_in AFTER INSERT ON deferral BEGIN
    UPDATE tally SET items = items + 1 WHERE name = 'deferral ' || new.scope;
END;
CREATE TRIGGER deferral_out AFTER DELETE ON deferral BEGIN
    UPDATE tally SET items = items - 1 WHERE name = 'deferral ' || old.scope;
END;

-- the audit trail of overrides: rows are ended, never deleted
CREATE TABLE allowance (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    domain      TEXT NOT NULL,
    created     INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    why         TEXT NOT NULL CHECK (length(trim(why)) > 0),
    uid         INTEGER NOT NULL,
    login       TEXT NOT NULL,
    ended       INTEGER,
    ended_uid   INTEGER,
    ended_login TEXT,
    CHECK (until - created BETWEEN 1 AND 604800)
) STRICT;
CREATE INDEX allowance_domain ON allowance (domain, until);
CREATE TRIGGER allowance_kept BEFORE DELETE ON allowance BEGIN
    SELECT RAISE(ABORT, 'overrides are kept');
END;

CREATE TABLE probe (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL,
    until     INTEGER NOT NULL,
    seen      INTEGER,
    how       TEXT,
    reply     TEXT
) STRICT;
CREATE INDEX probe_recipient ON probe (recipient);
";

/// What an operator should look into.
const VERSION_3: &str = "
-- scope: 0 outgoing, 1 incoming; standing: 0 stranger, 1 correspondent, 2 partner
-- ack_*: the last acknowledgement, which stays when the alarm is open again
CREATE TABLE alarm (
    scope      INTEGER NOT NULL CHECK (scope IN (0, 1)),
    domain     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    standing   INTEGER NOT NULL CHECK (standing BETWEEN 0 AND 2),
    words      TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    open       INTEGER NOT NULL CHECK (open IN (0, 1)),
    ack_at     INTEGER,
    ack_uid    INTEGER,
    ack_login  TEXT,
    ack_why    TEXT CHECK (ack_why IS NULL OR length(trim(ack_why)) > 0),
    PRIMARY KEY (scope, domain, kind),
    CHECK ((ack_at IS NULL) = (ack_why IS NULL))
) STRICT;
CREATE INDEX alarm_pool ON alarm (scope, standing, open, last_seen);
CREATE INDEX alarm_open ON alarm (kind) WHERE open = 1;
CREATE INDEX alarm_closed ON alarm (last_seen) WHERE open = 0;
CREATE INDEX deferral_domain ON deferral (domain, scope);
";

/// The audit trail of the operators' commands.
const VERSION_4: &str = "
-- rows are added, never changed or deleted
CREATE TABLE operator_action (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    uid    INTEGER NOT NULL,
    login  TEXT NOT NULL,
    action TEXT NOT NULL,
    domain TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX operator_action_domain ON operator_action (domain, id);
CREATE TRIGGER operator_action_kept BEFORE DELETE ON operator_action BEGIN
    SELECT RAISE(ABORT, 'actions are kept');
END;
CREATE TRIGGER operator_action_unchanged BEFORE UPDATE ON operator_action BEGIN
    SELECT RAISE(ABORT, 'actions are kept as they are');
END;
";

/// The audit trail of everything; `docs/audit.md` has its format.
const VERSION_5: &str = "
-- pruned: the last row that has gone, since its time was over
CREATE TABLE audit_trail (
    trail  BLOB NOT NULL,
    pruned INTEGER NOT NULL
) STRICT;
INSERT INTO audit_trail VALUES (randomblob(16), 0);

-- direction: 0 outgoing, 1 incoming, 2 neither
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    direction  INTEGER NOT NULL CHECK (direction BETWEEN 0 AND 2),
    trace      TEXT NOT NULL,
    message_id TEXT NOT NULL,
    envelope   BLOB,
    token      BLOB,
    sender     TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    domain     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    digest     BLOB NOT NULL,
    chain      BLOB NOT NULL
) STRICT;
CREATE INDEX audit_envelope ON audit (envelope) WHERE envelope IS NOT NULL;
CREATE INDEX audit_token ON audit (token) WHERE token IS NOT NULL;
CREATE INDEX audit_trace ON audit (trace) WHERE trace <> '';
CREATE INDEX audit_message ON audit (message_id) WHERE message_id <> '';
CREATE INDEX audit_sender ON audit (sender) WHERE sender <> '';
CREATE INDEX audit_recipient ON audit (recipient) WHERE recipient <> '';
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit trail is kept as it is');
END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
WHEN old.seq > (SELECT pruned FROM audit_trail) BEGIN
    SELECT RAISE(ABORT, 'the audit trail is kept');
END;

CREATE TABLE audit_checkpoint (
    seq       INTEGER PRIMARY KEY,
    previous  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    chain     BLOB NOT NULL,
    domain    TEXT NOT NULL,
    key       BLOB NOT NULL,
    policy    BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_checkpoint_unchanged BEFORE UPDATE ON audit_checkpoint BEGIN
    SELECT RAISE(ABORT, 'checkpoints are kept as they are');
END;
CREATE TRIGGER audit_checkpoint_kept BEFORE DELETE ON audit_checkpoint
WHEN old.seq >= (SELECT pruned FROM audit_trail) BEGIN
    SELECT RAISE(ABORT, 'checkpoints are kept');
END;

-- the policy records that list the keys of checkpoints
CREATE TABLE audit_policy (
    digest BLOB PRIMARY KEY,
    domain TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Says which schema version the file has; 0 for a file without any content.
pub(super) fn version(connection: &Connection) -> Result<i64, LedgerError> {
    let pragma = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
    };
    let version = pragma("user_version")?;
    let application = pragma("application_id")?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if objects == 0 => Ok(0),
        (APPLICATION_ID, found) if found > VERSION => {
            Err(LedgerError::NewerSchema { found, supported: VERSION })
        }
        (APPLICATION_ID, found) if found > 0 => Ok(found),
        _ => Err(LedgerError::NotALedger),
    }
}

/// Refuses a file that only a daemon may bring to this version.
pub(super) fn current(connection: &Connection) -> Result<(), LedgerError> {
    let found = version(connection)?;
    if found < VERSION {
        return Err(LedgerError::OlderSchema { found, supported: VERSION });
    }
    Ok(())
}

/// Brings the file to [`VERSION`] in one transaction, and begins a new epoch: every earlier one
/// is dead, since the caller holds the lock of the ledger. Returns the epoch.
pub(super) fn migrate(connection: &mut Connection, now: i64) -> Result<i64, LedgerError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let from = usize::try_from(found).map_err(|_| LedgerError::NotALedger)?;
    for step in STEPS.iter().skip(from) {
        transaction.execute_batch(step)?;
    }
    if found < VERSION {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.execute("INSERT INTO epoch (started) VALUES (?1)", [now])?;
    let epoch = transaction.last_insert_rowid();
    transaction.execute("DELETE FROM epoch WHERE epoch <> ?1", [epoch])?;
    transaction.execute("DELETE FROM incoming WHERE epoch IS NOT NULL AND epoch <> ?1", [epoch])?;
    transaction.commit()?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A ledger as version 1 of the schema left it.
    fn first_version() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(VERSION_1).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
    }

    #[test]
    fn an_earlier_ledger_becomes_one_of_today_and_keeps_what_it_held() {
        let mut connection = first_version();
        let outbox =
            "INSERT INTO outbox (side, reverse_path, message, created, next_attempt, attempts)
             VALUES (0, '', x'00', 1, 1, 0)";
        connection.execute(outbox, []).unwrap();
        let insert = "INSERT INTO deferral VALUES
             (0, '', 'bob@b.example', 'b.example', '', '', '', NULL, '', 0, NULL, NULL, 1, 1, 1)";
        assert!(connection.execute(insert, []).is_err());
        migrate(&mut connection, 2).unwrap();
        assert_eq!(version(&connection), Ok(VERSION));
        connection.execute(insert, []).unwrap();
        let count = |name: &str| -> i64 {
            let query = "SELECT items FROM tally WHERE name = ?1";
            connection.query_row(query, [name], |row| row.get(0)).unwrap()
        };
        assert_eq!(["outbox", "deferral 0", "deferral 1"].map(count), [1, 1, 0]);
        // A second opening changes nothing.
        migrate(&mut connection, 3).unwrap();
        assert_eq!(version(&connection), Ok(VERSION));
    }

    #[test]
    fn an_earlier_and_a_fresh_ledger_have_the_same_tables() {
        let tables = |mut connection: Connection| -> Vec<(String, Option<String>)> {
            migrate(&mut connection, 1).unwrap();
            let mut rows =
                connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(tables(first_version()), tables(Connection::open_in_memory().unwrap()));
    }

    #[test]
    fn overrides_cannot_be_deleted_nor_be_without_reason_or_end() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 1).unwrap();
        let insert = |until: i64, why: &str| {
            let query = "INSERT INTO allowance (domain, created, until, why, uid, login)
                 VALUES ('b.example', 0, ?1, ?2, 0, 'root')";
            connection.execute(query, rusqlite::params![until, why])
        };
        assert!(insert(604_801, "key lost").is_err());
        assert!(insert(0, "key lost").is_err());
        assert!(insert(60, " ").is_err());
        insert(604_800, "key lost").unwrap();
        assert!(connection.execute("DELETE FROM allowance", []).is_err());
    }

    #[test]
    fn actions_can_be_neither_deleted_nor_changed() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 1).unwrap();
        let insert = "INSERT INTO operator_action (at, uid, login, action, domain, detail)
             VALUES (0, 0, 'root', 'add', 'b.example', '')";
        connection.execute(insert, []).unwrap();
        assert!(connection.execute("DELETE FROM operator_action", []).is_err());
        assert!(connection.execute("UPDATE operator_action SET login = 'x'", []).is_err());
    }
}
