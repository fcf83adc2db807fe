//! From SQLite's result codes to the ledger's errors.

use super::super::LedgerError;

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        use rusqlite::ErrorCode as C;
        match error {
            E::SqliteFailure(failure, _) => match failure.code {
                C::DiskFull => Self::Full,
                C::DatabaseBusy | C::DatabaseLocked => Self::Locked,
                C::DatabaseCorrupt | C::NotADatabase => Self::Corrupt,
                C::ReadOnly => Self::ReadOnly,
                _ => Self::Unavailable { code: failure.extended_code },
            },
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => Self::Corrupt,
            _ => Self::Unavailable { code: 0 },
        }
    }
}
