//! Opening the file, and bringing its tables up to date.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};

use super::SqliteError;
use super::damage::{is_damage, is_other, look_through, move_aside};

/// The migrations, in order; the position is the version.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../../schemas/sqlite/0001_initial.sql"),
    include_str!("../../../../schemas/sqlite/0002_hosts.sql"),
    include_str!("../../../../schemas/sqlite/0003_logs.sql"),
    include_str!("../../../../schemas/sqlite/0004_events.sql"),
    include_str!("../../../../schemas/sqlite/0005_chunks.sql"),
];

/// The schema version this build writes.
#[expect(clippy::cast_possible_truncation, reason = "there are never 2^32 migrations")]
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// Creates the database at `path` where it is missing, and its tables where they are missing or old. Does
/// nothing where all is well; safe to call while another process does the same. A damaged file is moved aside.
///
/// # Errors
/// The file cannot be opened or written, is another program's or a newer dockstream's: in none of these cases is it
/// changed.
pub fn migrate(path: &Path) -> Result<(), SqliteError> {
    open(path).map(drop)
}

/// Opens the database for writing, with its schema up to date; in place of a damaged file a new one.
pub(super) fn open(path: &Path) -> Result<Connection, SqliteError> {
    match open_sound(path) {
        Err(SqliteError::Damaged { reason, .. }) => {
            move_aside(path, &reason)?;
            open_sound(path)
        }
        opened => opened,
    }
}

/// A further connection to a database that is open.
pub(super) fn beside(path: &Path) -> Result<Connection, SqliteError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn open_sound(path: &Path) -> Result<Connection, SqliteError> {
    create(path).map_err(|source| SqliteError::Open { path: path.to_owned(), source })?;
    let damaged = |reason| SqliteError::Damaged { path: path.to_owned(), reason };
    let named = |error: rusqlite::Error| match is_damage(&error) {
        true => damaged(error.to_string()),
        false => SqliteError::Sql(error),
    };
    // SQLite would remove the log beside a file that it does not know.
    if let Some(reason) = is_other(path).map_err(|source| SqliteError::Open { path: path.to_owned(), source })? {
        return Err(damaged(reason));
    }
    let mut connection = Connection::open(path).map_err(named)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    refuse_what_is_not_ours(&connection, path, named)?;
    if let Some(reason) = look_through(&connection).map_err(named)? {
        return Err(damaged(reason));
    }
    set_up(&connection).map_err(named)?;
    apply_migrations(&mut connection).map_err(named)?;
    Ok(connection)
}

// Readable by its owner alone: labels and events may tell more than their author thought.
fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn refuse_what_is_not_ours(
    connection: &Connection,
    path: &Path,
    named: impl Fn(rusqlite::Error) -> SqliteError + Copy,
) -> Result<(), SqliteError> {
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(named)?;
    if tables == 0 {
        return Ok(());
    }
    match version(connection).map_err(named)? {
        None => Err(SqliteError::Foreign { path: path.to_owned() }),
        Some(found) if found > SCHEMA_VERSION => {
            Err(SqliteError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        Some(_) => Ok(()),
    }
}

/// The schema version of the file; `None` where it has no such record.
fn version(connection: &Connection) -> rusqlite::Result<Option<u32>> {
    let ours = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'";
    if connection.query_row(ours, [], |row| row.get::<_, u32>(0))? == 0 {
        return Ok(None);
    }
    match connection
        .query_row("SELECT value FROM meta WHERE key = 'schema_version'", [], |row| row.get::<_, String>(0))
        .optional()
    {
        Ok(text) => Ok(text.and_then(|text| text.parse().ok())),
        // A `meta` of another shape is another program's.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(None),
        Err(error) => Err(error),
    }
}

// Checkpoints are made beside the writer.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // auto_vacuum only takes before the first table.
    connection.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA cache_size = -16000;
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;",
    )
}

fn apply_migrations(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    )?;
    // Read again under the lock: another process may have been faster.
    let done = version(&transaction)?.unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(usize::try_from(done).unwrap_or(usize::MAX)) {
        transaction.execute_batch(migration)?;
    }
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('schema_version', ?1)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [SCHEMA_VERSION.to_string()],
    )?;
    transaction.commit()
}
