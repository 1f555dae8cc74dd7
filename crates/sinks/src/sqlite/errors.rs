//! What can go wrong, and what that means for a delivery.

use std::io;
use std::path::PathBuf;

use pipeline::ports::{DeliverError, FailureClass};

use super::damage::is_damage;
use super::verdicts::VERDICTS;
use crate::verdicts::verdict;

/// A failure of the SQLite sink.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The file or its folder cannot be made or opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is damaged, or no SQLite database. When it is opened the next time it is moved aside.
    #[error("{} is damaged or not a database ({reason})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        reason: String,
    },
    /// The file is damaged, and cannot be moved aside. It is left where it is.
    #[error("{} is damaged ({reason}) and cannot be moved aside ({source}): move it away, or name another file", path.display())]
    Stuck {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        reason: String,
        /// Why it cannot be moved.
        source: io::Error,
    },
    /// There is another file at the path than the one that is open, or none.
    #[error("{} was moved or removed: it is opened anew", path.display())]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// The file is a database of another program. It is left as it is.
    #[error("{} is a database of another program: name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer dockstream.
    #[error("{} has schema version {found}, this dockstream knows {known}: use the newer dockstream, or name another file", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// SQLite refused a statement.
    #[error("sqlite: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The writer thread is gone, or has not been started.
    #[error("the sqlite writer is not running")]
    NoWriter,
    /// The thread could not be started.
    #[error("cannot start the sqlite writer: {0}")]
    Thread(io::Error),
}

impl SqliteError {
    /// What is wrong with the file, where it must not be used any more.
    pub(super) fn damage(&self) -> Option<String> {
        match self {
            Self::Damaged { reason, .. } => Some(reason.clone()),
            Self::Sql(error) if is_damage(error) => Some(error.to_string()),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureClass::RetrySlow,
                _ => FailureClass::Config,
            },
            Self::Stuck { .. } | Self::Foreign { .. } | Self::Newer { .. } => FailureClass::Config,
            // `prepare` starts the writer anew, with a new file where the old one is damaged.
            Self::NoWriter | Self::Damaged { .. } | Self::Replaced { .. } => FailureClass::Schema,
            Self::Thread(_) => FailureClass::RetrySlow,
            Self::Sql(error) => class_of(error),
        }
    }
}

impl From<SqliteError> for DeliverError {
    fn from(error: SqliteError) -> Self {
        Self::new(error.class(), error.to_string())
    }
}

fn class_of(error: &rusqlite::Error) -> FailureClass {
    match error {
        // A value that cannot be written at all.
        rusqlite::Error::ToSqlConversionFailure(_) => FailureClass::Poison,
        _ => match error.sqlite_error_code() {
            Some(code) => verdict(VERDICTS, &code).map_or(FailureClass::Retry, |verdict| verdict.course.at(1)),
            // An answer that does not fit the question: the tables are not those we know.
            None => FailureClass::Schema,
        },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn class(code: i32) -> FailureClass {
        SqliteError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).class()
    }

    #[test]
    fn what_may_pass_is_retried_and_what_needs_a_person_is_not() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_PROTOCOL, ffi::SQLITE_INTERRUPT] {
            assert_eq!(class(code), FailureClass::Retry, "{code}");
        }
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_NOMEM] {
            assert_eq!(class(code), FailureClass::RetrySlow, "{code}");
        }
        for code in [ffi::SQLITE_CANTOPEN, ffi::SQLITE_READONLY] {
            assert_eq!(class(code), FailureClass::Config, "{code}");
        }
        for code in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_MISMATCH, ffi::SQLITE_TOOBIG] {
            assert_eq!(class(code), FailureClass::Poison, "{code}");
        }
        // Extended codes are of their family.
        assert_eq!(class(ffi::SQLITE_IOERR_FSYNC), FailureClass::RetrySlow);
        // "no such table" and "no such column" come as the generic code. A damaged file is opened anew: it is moved aside.
        for code in [ffi::SQLITE_SCHEMA, ffi::SQLITE_ERROR, ffi::SQLITE_RANGE, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB]
        {
            assert_eq!(class(code), FailureClass::Schema, "{code}");
        }
    }
}
