//! Opening the file: lock, permissions, settings, schema, threads.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::super::LedgerError;
use super::writer::{Counters, Message, QUEUE, read_loop, write_loop};
use super::{Instance, Options, SqliteLedger, Unsigned, schema, sql_time};

/// SQLite's page size, set for new files.
const PAGE: u64 = 4_096;
/// Size to which the write-ahead log shrinks again after a burst.
const LOG_SIZE: i64 = 16 * 1_024 * 1_024;

pub(super) fn for_writing(
    path: &Path,
    options: &Options,
    now: u64,
) -> Result<SqliteLedger, LedgerError> {
    let lock = lock(path)?;
    create(path)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options.busy_timeout)?;
    // Look before anything is changed: the file may be newer, or something else.
    schema::version(&connection)?;
    connection.pragma_update(None, "page_size", sql_time(PAGE))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(LedgerError::Unavailable { code: 0 });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", LOG_SIZE)?;
    if let Some(size) = options.max_size {
        connection.query_row(
            &format!("PRAGMA max_page_count = {}", sql_time(size / PAGE).max(1)),
            [],
            |_| Ok(()),
        )?;
    }
    let epoch = schema::migrate(&mut connection, sql_time(now))?;
    let instance = Instance {
        epoch,
        next_token: AtomicI64::new(1),
        retry_memory: options.retry_memory,
        max_remembered: options.max_remembered,
        max_outbox: (options.max_outbox_items, options.max_outbox_octets),
        max_deferrals: options.max_deferrals,
        max_alarms: options.max_alarms,
        trail: options.trail,
        unsigned: Unsigned::default(),
    };
    let reader = start_reader(path, options.busy_timeout)?;
    let counters = Arc::new(Counters::default());
    let (writer, queue) = mpsc::channel(QUEUE);
    let counted = counters.clone();
    start("ledger-writer", move || {
        let stop = write_loop(&connection, queue, &counted);
        drop(connection);
        drop(lock);
        stop
    })?;
    Ok(SqliteLedger { instance: Arc::new(instance), writer: Some(writer), reader, counters })
}

pub(super) fn for_reading(path: &Path) -> Result<SqliteLedger, LedgerError> {
    let busy = Options::default().busy_timeout;
    // SQLite would say only "cannot open".
    File::open(path).map_err(open_error)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy)?;
    schema::current(&connection)?;
    drop(connection);
    let instance = Instance {
        epoch: 0,
        next_token: AtomicI64::new(1),
        retry_memory: 0,
        max_remembered: 0,
        max_outbox: (0, 0),
        max_deferrals: 0,
        max_alarms: 0,
        trail: false,
        unsigned: Unsigned::default(),
    };
    Ok(SqliteLedger {
        instance: Arc::new(instance),
        writer: None,
        reader: start_reader(path, busy)?,
        counters: Arc::default(),
    })
}

fn start_reader(path: &Path, busy: Duration) -> Result<mpsc::Sender<Message>, LedgerError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy)?;
    let (reader, queue) = mpsc::channel(QUEUE);
    start("ledger-reader", move || {
        let stop = read_loop(&connection, queue);
        drop(connection);
        stop
    })?;
    Ok(reader)
}

fn start(
    name: &str,
    run: impl FnOnce() -> Option<oneshot::Sender<()>> + Send + 'static,
) -> Result<(), LedgerError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(waiter) = run() {
            let _ = waiter.send(());
        }
    });
    spawned.map(drop).map_err(open_error)
}

/// One process at a time: SQLite itself would let two daemons share the file, and each would
/// take the other's claims for those of a dead process.
fn lock(path: &Path) -> Result<File, LedgerError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(PathBuf::from(name))
        .map_err(open_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked),
        Err(TryLockError::Error(error)) => Err(open_error(error)),
    }
}

/// Creates the file closed to others; SQLite gives its log the same mode.
fn create(path: &Path) -> Result<(), LedgerError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(open_error)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(open_error)?;
            directory.sync_all().map_err(open_error)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(open_error(error)),
    }
}

pub(super) fn connect(
    path: &Path,
    access: OpenFlags,
    busy: Duration,
) -> Result<Connection, LedgerError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

pub(super) fn open_error(error: io::Error) -> LedgerError {
    if error.kind() == io::ErrorKind::StorageFull {
        return LedgerError::Full;
    }
    LedgerError::Open { kind: error.kind() }
}
