//! The audit trail as a whole, for commands that read it beside the daemon: in one snapshot, row by row.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::super::audit::{
    AuditRow, Checkpoint, EventQuery, Report, SigningKeys, TrailId, Verifier,
};
use super::open::{connect, open_error};
use super::{LedgerError, Options, audit, schema};

/// A trail open for reading. What it says does not change while it is open; keep it so no longer than needed, since the
/// write-ahead log grows meanwhile. Every call blocks while it works.
#[derive(Debug)]
pub struct Trail {
    connection: Connection,
    id: TrailId,
}

const CHECKPOINTS: &str =
    "SELECT seq, previous, at, chain, domain, key, policy, signature FROM audit_checkpoint";

impl Trail {
    /// Opens the trail of an existing ledger.
    ///
    /// # Errors
    /// [`LedgerError::OlderSchema`] until a daemon of this version has opened it, and what the file system says.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        // SQLite would say only "cannot open".
        File::open(path).map_err(open_error)?;
        let busy = Options::default().busy_timeout;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy)?;
        schema::current(&connection)?;
        connection.execute_batch("BEGIN")?;
        let id = audit::trail(&connection)?;
        Ok(Self { connection, id })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> TrailId {
        self.id
    }

    /// Hands every row to `take`, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read, or what `take` says.
    pub fn each<E: From<LedgerError>>(
        &self,
        mut take: impl FnMut(&AuditRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = |error: rusqlite::Error| E::from(LedgerError::from(error));
        let statement = format!("SELECT {} FROM audit ORDER BY seq", audit::COLUMNS);
        let mut rows = self.connection.prepare(&statement).map_err(sql)?;
        let mut rows = rows.query([]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            take(&audit::read(row).map_err(sql)?)?;
        }
        Ok(())
    }

    /// The rows that answer a question.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<AuditRow>, LedgerError> {
        audit::query(&self.connection, query)
    }

    /// The last checkpoint.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn last_checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        let found = self
            .connection
            .prepare(&format!("{CHECKPOINTS} ORDER BY seq DESC LIMIT 1"))?
            .query_row([], |row| audit::read_checkpoint(row, self.id))
            .optional()?;
        Ok(found)
    }

    /// The domains and the texts of all policy records that list keys of checkpoints.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn policies(&self) -> Result<Vec<(String, String)>, LedgerError> {
        let all = self
            .connection
            .prepare("SELECT domain, text FROM audit_policy")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(all)
    }

    /// Reads all of it and says whether it is whole; `kept` was kept elsewhere.
    ///
    /// # Errors
    /// The ledger cannot be read. [`LedgerError::Corrupt`]: a row or a checkpoint has another form than any that was written.
    pub fn verify(
        &self,
        keys: &mut dyn SigningKeys,
        kept: Option<Checkpoint>,
    ) -> Result<Report, LedgerError> {
        let mut verifier = Verifier::new(self.id, keys, kept);
        let mut checkpoints = self.connection.prepare(&format!("{CHECKPOINTS} ORDER BY seq"))?;
        let mut checkpoints =
            checkpoints.query_map([], |row| audit::read_checkpoint(row, self.id))?;
        let mut next = checkpoints.next().transpose()?;
        self.each::<LedgerError>(|row| {
            // Those before the row: of an anchor, and of rows that are missing.
            while let Some(checkpoint) =
                next.take_if(|next| i64::try_from(next.seq).is_ok_and(|seq| seq < row.seq))
            {
                verifier.checkpoint(&checkpoint);
                next = checkpoints.next().transpose()?;
            }
            verifier.row(row);
            Ok(())
        })?;
        while let Some(checkpoint) = next {
            verifier.checkpoint(&checkpoint);
            next = checkpoints.next().transpose()?;
        }
        Ok(verifier.finish())
    }
}
