//! A damaged file: what can be read of it goes into a new one.

use std::fs;
use std::path::{Path, PathBuf};

use model::Stream;
use rusqlite::{Connection, OpenFlags, params};

use super::store::{FILE, StoreError, connect};
use crate::codec::head_of;

const DAMAGED: &str = "journal.damaged.db";

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
pub(super) fn resume(folder: &Path, mut new: Connection) -> Result<(Connection, bool), StoreError> {
    let damaged = folder.join(DAMAGED);
    if !damaged.exists() {
        return Ok((new, false));
    }
    let old = Connection::open_with_flags(&damaged, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let copy = new.transaction()?;
    let mut entries = 0;
    if let Ok(old) = &old {
        // From both ends: what lies between two damaged places is reached from neither.
        for order in ["asc", "desc"] {
            read_rows(
                old,
                &format!("select position, stream, rows, stored, head from heads order by position {order}"),
                |row| {
                    let position: i64 = row.get(0)?;
                    copy.execute(
                        "insert or ignore into heads values (?1, ?2, ?3, ?4, ?5)",
                        params![
                            position,
                            row.get::<_, i64>(1)?,
                            row.get::<_, i64>(2)?,
                            row.get::<_, i64>(3)?,
                            row.get::<_, Vec<u8>>(4)?
                        ],
                    )?;
                    Ok(())
                },
            )?;
            read_rows(old, &format!("select position, body from bodies order by position {order}"), |row| {
                let (position, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                entries += copy.execute("insert or ignore into bodies values (?1, ?2)", params![position, body])?;
                let Ok(head) = head_of(&body) else { return Ok(()) };
                let stream = Stream::ALL.iter().position(|stream| *stream == head.id.stream).unwrap_or_default();
                copy.execute(
                    "insert or ignore into heads values (?1, ?2, ?3, ?4, ?5)",
                    params![position, stream as i64, head.rows().cast_signed(), body.len() as i64, head.encode()],
                )?;
                Ok(())
            })?;
        }
        read_rows(old, "select name, state from sinks", |row| {
            let (name, state): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            copy.execute("insert or ignore into sinks values (?1, ?2)", params![name, state])?;
            Ok(())
        })?;
        read_rows(old, "select source, position from marks", |row| {
            let (source, position): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            copy.execute("insert or ignore into marks values (?1, ?2)", params![source, position])?;
            Ok(())
        })?;
    }
    copy.commit()?;
    drop(old);
    remove(&damaged)?;
    tracing::warn!(entries, "read out a damaged journal file");
    Ok((new, true))
}

/// Every row that can be read, until the first that cannot.
fn read_rows(
    old: &Connection,
    query: &str,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let outcome = old.prepare(query).and_then(|mut query| {
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            each(row)?;
        }
        Ok(())
    });
    match outcome.map_err(StoreError::from) {
        // The new file's trouble, not the old one's: what is left must not be given up for it.
        Err(StoreError::Full(error)) => return Err(StoreError::Full(error)),
        Err(error) => tracing::warn!(%error, query, "a part of the damaged journal file cannot be read"),
        Ok(()) => {}
    }
    Ok(())
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
