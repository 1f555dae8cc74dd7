//! A damaged file: what can be read of it goes into a new one.

use std::fs;
use std::path::{Path, PathBuf};

use model::Stream;
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, params};

use super::store::{FILE, StoreError, connect};
use crate::codec::head_of;

const DAMAGED: &str = "journal.damaged.db";
/// Bytes copied in one transaction.
const TOGETHER: usize = if cfg!(test) { 4 << 10 } else { 8 << 20 };

/// Opens the journal's file, and reads out a damaged one into a new one: `true` with it where there was one.
pub(super) fn open(folder: &Path) -> Result<(Connection, bool), StoreError> {
    let (file, damaged) = (folder.join(FILE), folder.join(DAMAGED));
    // The process ended while it set the file aside: without its write-ahead log it is not whole.
    if with_suffix(&damaged, "-wal").exists() && !damaged.exists() && file.exists() {
        fs::rename(&file, &damaged)?;
    }
    match connect(&file) {
        Err(StoreError::Damaged(error)) => {
            tracing::error!(error, "journal file is damaged; reading out what is left");
            Ok((rescue(folder)?, true))
        }
        other => resume(folder, other?),
    }
}

/// Sets the damaged file aside, and reads it out.
pub(super) fn rescue(folder: &Path) -> Result<Connection, StoreError> {
    let (file, damaged) = (folder.join(FILE), folder.join(DAMAGED));
    remove(&damaged)?;
    // The write-ahead log first: without its file it is never taken for another's.
    for suffix in ["-wal", ""] {
        let from = with_suffix(&file, suffix);
        if from.exists() {
            fs::rename(from, with_suffix(&damaged, suffix))?;
        }
    }
    let _ = fs::remove_file(with_suffix(&file, "-shm"));
    Ok(resume(folder, connect(&file)?)?.0)
}

/// Reads out a file that was set aside, where there is one: also after the process ended in between.
/// `true` with it where there was one.
fn resume(folder: &Path, new: Connection) -> Result<(Connection, bool), StoreError> {
    let damaged = folder.join(DAMAGED);
    if !damaged.exists() {
        return Ok((new, false));
    }
    let old = Connection::open_with_flags(&damaged, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut copy = Copy { new: &new, bytes: 0 };
    copy.begin()?;
    let mut entries = 0;
    // From both ends: what lies between two damaged places is reached from neither.
    for order in ["asc", "desc"] {
        read_rows(
            &old,
            &format!("select position, stream, rows, stored, head from heads order by position {order}"),
            |row| {
                let position: i64 = row.get(0)?;
                let (stream, rows, stored): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
                copy.head(position, stream, rows, stored, row.get(4)?)
            },
        )?;
        read_rows(&old, &format!("select position, body from bodies order by position {order}"), |row| {
            let (position, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let (head, stored) = (head_of(&body), body.len() as i64);
            entries += copy.row("insert or ignore into bodies values (?1, ?2)", params![position, body], body.len())?;
            let Ok(head) = head else { return Ok(()) };
            let stream = Stream::ALL.iter().position(|stream| *stream == head.id.stream).unwrap_or_default();
            copy.head(position, stream as i64, head.rows().cast_signed(), stored, head.encode())
        })?;
    }
    for (table, columns) in [("sinks", "name, state"), ("marks", "source, position")] {
        read_rows(&old, &format!("select {columns} from {table}"), |row| {
            let (name, state): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let insert = format!("insert or ignore into {table} values (?1, ?2)");
            copy.row(&insert, params![name, state], state.len()).map(drop)
        })?;
    }
    copy.commit()?;
    drop(old);
    remove(&damaged)?;
    tracing::warn!(entries, "read out a damaged journal file");
    Ok((new, true))
}

/// Rows on their way into the new file, in transactions of some MiB: the disk needs room for one copy, not for a
/// write-ahead log as large beside it. One that was cut short is begun anew, over what it copied.
struct Copy<'a> {
    new: &'a Connection,
    /// Copied in this transaction.
    bytes: usize,
}

impl Copy<'_> {
    fn head(&mut self, position: i64, stream: i64, rows: i64, stored: i64, head: Vec<u8>) -> rusqlite::Result<()> {
        let insert = "insert or ignore into heads values (?1, ?2, ?3, ?4, ?5)";
        self.row(insert, params![position, stream, rows, stored, head], head.len()).map(drop)
    }

    /// How many rows were new.
    fn row(&mut self, insert: &str, values: &[&dyn ToSql], bytes: usize) -> rusqlite::Result<usize> {
        let rows = self.new.prepare_cached(insert)?.execute(values)?;
        self.bytes += bytes;
        if self.bytes >= TOGETHER {
            self.commit()?;
            self.begin()?;
        }
        Ok(rows)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.bytes = 0;
        self.new.execute_batch("begin immediate")
    }

    fn commit(&self) -> rusqlite::Result<()> {
        self.new.execute_batch("commit")
    }
}

/// Every row that can be read, until the first that cannot. Trouble that is not the damaged file's own is an error:
/// what is left must not be given up for it.
fn read_rows(
    old: &Connection,
    query: &str,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, query, "a part of the damaged journal file cannot be read");
        Ok(())
    };
    let of_old = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory | ErrorCode::CannotOpen | ErrorCode::DatabaseBusy) => {
            Err(error.into())
        }
        _ => unreadable(&error),
    };
    let mut statement = match old.prepare(query) {
        Ok(statement) => statement,
        Err(error) => return of_old(error),
    };
    let mut rows = statement.query([])?;
    loop {
        match rows.next() {
            Ok(None) => return Ok(()),
            Err(error) => return of_old(error),
            Ok(Some(row)) => match each(row).map_err(StoreError::from) {
                // A value of another type than was written.
                Err(StoreError::Damaged(error)) => return unreadable(&error),
                copied => copied?,
            },
        }
    }
}

fn remove(file: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(with_suffix(file, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
