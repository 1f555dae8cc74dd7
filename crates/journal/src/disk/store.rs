//! The bytes: one SQLite file in write-ahead mode. Only this file and `salvage` know it.
//!
//! A transaction is in the file's log when `write` returns: it survives the end of the process always, and the end
//! of the power once synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Stream;
use pipeline::ports::Mark;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::log::Found;
use super::reader::StoredSink;
use super::salvage;
use crate::codec::{Head, decode_state, encode_state, head_of};

/// Layout of the tables, in `user_version`.
const LAYOUT: i64 = 1;
/// `application_id` less the layout: where the two disagree the numbers are damaged.
const MARK: i64 = 0x6453_6a00;
pub(super) const FILE: &str = "journal.db";
const RESERVE: &str = "reserve";

const HEADS: &str = "select position, stream, rows, stored, head from heads order by position";
const MARKS: &str = "select source, position from marks";
const SINKS: &str = "select name, state from sinks order by name";

/// SQLite's page: entries are tens of KiB, cursors tens of bytes; measured in docs/adr.
const PAGE: u64 = 8192;
/// Pages in the write-ahead log before they are moved into the file: 8 MiB.
const CHECKPOINT: u64 = 1024;
/// Free pages worth giving back to the disk: 32 MiB.
const SPARE: u64 = 4096;
/// Pages given back at once: a step must not hold up appends.
const STEP: u64 = 512;
/// How long another process, or our own before us, may hold the file.
const PATIENCE: Duration = Duration::from_secs(3);

/// What storage says when it cannot.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// No room.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The file is damaged.
    #[error("{0}")]
    Damaged(String),
    /// Another process has it.
    #[error("{0}")]
    Locked(String),
    /// Anything else; may pass.
    #[error("{0}")]
    Other(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        // Values of another type than was written: their row's own head is damaged.
        if matches!(
            error,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
        ) {
            return Self::Damaged(text);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(text),
            _ => Self::Other(text),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Whether a transaction waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    ForDisk,
    No,
}

/// An entry to be stored.
pub(super) struct Put<'a> {
    pub(super) position: u64,
    pub(super) head: &'a Head,
    pub(super) body: &'a [u8],
}

/// What one transaction carries.
pub(super) struct Change<'a> {
    pub(super) puts: Vec<Put<'a>>,
    /// Entries to remove.
    pub(super) gone: &'a [u64],
    pub(super) sinks: &'a [(String, StoredSink)],
    /// Sinks to remove.
    pub(super) forgotten: &'a BTreeSet<String>,
    /// Later ones go over earlier ones of the same source.
    pub(super) marks: Vec<Mark>,
}

/// The open file.
pub(super) struct Store {
    db: Connection,
    folder: PathBuf,
    reserve: u64,
    waits: Wait,
    rescued: bool,
    /// A damaged file was set aside, and could not be read out yet.
    is_adrift: bool,
}

impl Store {
    /// Opens or makes the file in `folder`; a damaged one is read out into a new one.
    pub(super) fn open(folder: &Path, reserve: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(folder)?;
        let (db, rescued) = match salvage::open(folder) {
            Err(StoreError::Full(_)) if fs::remove_file(folder.join(RESERVE)).is_ok() => salvage::open(folder)?,
            opened => opened?,
        };
        let mut store = Self { db, folder: folder.to_owned(), reserve, waits: Wait::No, rescued, is_adrift: false };
        if let Err(error) = store.keep_reserve() {
            tracing::warn!(%error, "no room for the journal's reserve");
        }
        Ok(store)
    }

    /// Reads the damaged file out into a new one and goes on with that.
    pub(super) fn rescue(&mut self) -> Result<(), StoreError> {
        // The file must be closed before it is moved.
        self.db = Connection::open_in_memory()?;
        // For a while there are two files.
        let _ = fs::remove_file(self.folder.join(RESERVE));
        // Set aside only once: a second attempt goes on with what the first one left.
        let was_adrift = std::mem::replace(&mut self.is_adrift, true);
        self.db = if was_adrift { salvage::open(&self.folder)?.0 } else { salvage::rescue(&self.folder)? };
        (self.waits, self.rescued, self.is_adrift) = (Wait::No, true, false);
        Ok(())
    }

    /// True while a damaged file waits to be read out: nothing can be stored or read before.
    pub(super) fn is_adrift(&self) -> bool {
        self.is_adrift
    }

    /// True where the file was read out of a damaged one: sinks may be missing.
    pub(super) fn rescued(&self) -> bool {
        self.rescued
    }

    /// The sinks' states. One that is damaged is left out and counted.
    pub(super) fn sinks(&self) -> Result<(Vec<(String, StoredSink)>, usize), StoreError> {
        let mut query = self.db.prepare(SINKS)?;
        let mut rows = query.query([])?;
        let (mut sinks, mut damaged) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            match decode_state(row.get_ref(1)?.as_blob().unwrap_or_default()) {
                Ok(state) => sinks.push((name, state)),
                Err(error) => {
                    damaged += 1;
                    tracing::error!(sink = name, %error, "a sink's place in the journal is damaged");
                }
            }
        }
        Ok((sinks, damaged))
    }

    /// Where sources begin again. A mark that is damaged is left out: its source begins as one that is new.
    pub(super) fn marks(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let mut query = self.db.prepare(MARKS)?;
        let mut rows = query.query([])?;
        let mut marks = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let source: String = row.get(0)?;
            match decode_state(row.get_ref(1)?.as_blob().unwrap_or_default()) {
                Ok(position) => drop(marks.insert(source, position)),
                Err(error) => tracing::error!(source, %error, "the place of a source in the journal is damaged"),
            }
        }
        Ok(marks)
    }

    /// Every entry's head, oldest first.
    pub(super) fn heads(&self, mut each: impl FnMut(Found)) -> Result<(), StoreError> {
        let mut query = self.db.prepare(HEADS)?;
        let mut rows = query.query([])?;
        let mut before = None;
        while let Some(row) = rows.next()? {
            let position = row.get::<_, i64>(0)?.cast_unsigned();
            if before.replace(position).is_some_and(|before| position <= before) {
                return Err(StoreError::Damaged(format!("position {position} is out of order")));
            }
            let stored = row.get::<_, i64>(3)?.cast_unsigned();
            let head = match Head::decode(row.get_ref(4)?.as_blob().unwrap_or_default()) {
                Ok(head) => Ok(head),
                Err(error) => match self.body(position)?.map(|body| head_of(&body)) {
                    Some(Ok(head)) => Ok(head),
                    _ => {
                        tracing::error!(position, %error, "a journal entry is damaged");
                        let stream = usize::try_from(row.get::<_, i64>(1)?).ok();
                        let stream = stream.and_then(|index| Stream::ALL.get(index)).unwrap_or(&Stream::Stats);
                        Err((*stream, u64::try_from(row.get::<_, i64>(2)?).unwrap_or(1).clamp(1, 1 << 20)))
                    }
                },
            };
            each(Found { position, stored, head });
        }
        Ok(())
    }

    /// The bytes of one entry; `None` where they are gone.
    pub(super) fn body(&self, position: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut query = self.db.prepare_cached("select body from bodies where position = ?1")?;
        let read = query.query_row([position.cast_signed()], |row| row.get(0)).optional();
        match read {
            Ok(body) => Ok(body),
            // Not worth giving up the file for: the entry is lost, the next one is not.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(None),
            Err(rusqlite::Error::InvalidColumnType(..)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores all of it or nothing.
    pub(super) fn write(&mut self, wait: Wait, change: &Change<'_>) -> Result<(), StoreError> {
        self.wait(wait)?;
        let transaction = self.db.transaction()?;
        {
            let mut head = transaction.prepare_cached("insert or replace into heads values (?1, ?2, ?3, ?4, ?5)")?;
            let mut body = transaction.prepare_cached("insert or replace into bodies values (?1, ?2)")?;
            for put in &change.puts {
                let position = put.position.cast_signed();
                let stream = Stream::ALL.iter().position(|stream| *stream == put.head.id.stream).unwrap_or_default();
                let (rows, stored) = (put.head.rows().cast_signed(), put.body.len() as i64);
                head.execute(params![position, stream as i64, rows, stored, put.head.encode()])?;
                body.execute(params![position, put.body])?;
            }
            let mut head = transaction.prepare_cached("delete from heads where position = ?1")?;
            let mut body = transaction.prepare_cached("delete from bodies where position = ?1")?;
            for position in change.gone {
                head.execute([position.cast_signed()])?;
                body.execute([position.cast_signed()])?;
            }
            let mut state = transaction.prepare_cached("insert or replace into sinks values (?1, ?2)")?;
            for (name, sink) in change.sinks {
                state.execute(params![name, encode_state(sink).map_err(StoreError::Other)?])?;
            }
            let mut forget = transaction.prepare_cached("delete from sinks where name = ?1")?;
            for name in change.forgotten {
                forget.execute([name])?;
            }
            let mut mark = transaction.prepare_cached("insert or replace into marks values (?1, ?2)")?;
            let mut unmark = transaction.prepare_cached("delete from marks where source = ?1")?;
            for Mark { source, position } in &change.marks {
                match position {
                    Some(position) => {
                        mark.execute(params![source, encode_state(position).map_err(StoreError::Other)?])?
                    }
                    None => unmark.execute([source])?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Waits until the disk has everything written so far.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.wait(Wait::ForDisk)?;
        // A commit in this mode syncs the whole write-ahead log.
        self.db.execute("update syncs set count = count + 1", [])?;
        Ok(())
    }

    fn wait(&mut self, wait: Wait) -> Result<(), StoreError> {
        if self.waits != wait {
            self.db.pragma_update(None, "synchronous", if wait == Wait::ForDisk { "full" } else { "normal" })?;
            self.waits = wait;
        }
        Ok(())
    }

    /// Gives a step's worth of free pages back to the disk where nearly all of the file is free, as pages in use
    /// have to be moved for it; or `all` there are.
    /// `true` where more is to be had.
    pub(super) fn shrink(&mut self, all: bool) -> Result<bool, StoreError> {
        let count = |name: &str| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (free, pages) = (count("freelist_count")?.cast_unsigned(), count("page_count")?.cast_unsigned());
        if free == 0 || (!all && (free < SPARE || free < pages / 8 * 7)) {
            return Ok(false);
        }
        let mut step = self.db.prepare(&format!("pragma incremental_vacuum({STEP})"))?;
        let mut rows = step.query([])?;
        while rows.next()?.is_some() {}
        Ok(free > STEP)
    }

    /// Makes the reserve: room set aside so that a full disk cannot keep entries from being given out and removed.
    pub(super) fn keep_reserve(&mut self) -> Result<(), StoreError> {
        let path = self.folder.join(RESERVE);
        if fs::metadata(&path).is_ok_and(|found| found.len() == self.reserve) {
            return Ok(());
        }
        let made = fs::write(&path, vec![0xa5; usize::try_from(self.reserve).unwrap_or(usize::MAX)]);
        if made.is_err() {
            // A part of it is of no use, and in the way.
            let _ = fs::remove_file(&path);
        }
        Ok(made?)
    }

    /// Gives the reserve up and moves the write-ahead log into the file, so that small writes pass again.
    pub(super) fn use_reserve(&mut self) -> Result<(), StoreError> {
        let _ = fs::remove_file(self.folder.join(RESERVE));
        self.checkpoint()
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.db.query_row("pragma wal_checkpoint(restart)", [], |_| Ok(()))?;
        Ok(())
    }

    /// At most that many pages from now on: a full disk for tests.
    #[cfg(test)]
    pub(super) fn limit_to(&self, pages: Option<u64>) {
        let most = pages.unwrap_or(1 << 30).cast_signed();
        self.db.query_row(&format!("pragma max_page_count = {most}"), [], |_| Ok(())).unwrap();
    }

    /// Pages in the file.
    #[cfg(test)]
    pub(super) fn pages(&self) -> u64 {
        self.db.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    }
}

/// Opens the file at `path` for this process alone, with its tables.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(16);
    db.execute_batch(&format!(
        "pragma locking_mode = exclusive;
         pragma page_size = {PAGE};
         pragma auto_vacuum = incremental;
         pragma journal_mode = wal;
         pragma synchronous = normal;
         pragma wal_autocheckpoint = {CHECKPOINT};
         pragma cache_size = -2048;
         begin immediate;
         commit;"
    ))?;
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (number("user_version")?, number("application_id")?) {
        (0, 0) => made(&db)?,
        (LAYOUT, mark) if mark == MARK + LAYOUT => {}
        (other, mark) if mark == MARK.wrapping_add(other) => {
            return Err(StoreError::Other(format!("layout {other} of the journal file is not known")));
        }
        _ => return Err(StoreError::Damaged("the numbers of its layout are damaged".to_owned())),
    }
    // The tables' own names are bytes like any other.
    for query in [HEADS, MARKS, "select body from bodies where position = ?1", SINKS, "select count from syncs"] {
        db.prepare(query).map_err(|error| StoreError::Damaged(error.to_string()))?;
    }
    Ok(db)
}

fn made(db: &Connection) -> Result<(), StoreError> {
    if db.query_row("select count(*) from sqlite_schema", [], |row| row.get::<_, i64>(0))? > 0 {
        return Err(StoreError::Damaged("the numbers of its layout are damaged".to_owned()));
    }
    db.execute_batch(&format!(
        "begin immediate;
         create table heads (position integer primary key, stream integer not null, rows integer not null,
                             stored integer not null, head blob not null);
         create table bodies (position integer primary key, body blob not null);
         create table sinks (name text primary key, state blob not null) without rowid;
         create table marks (source text primary key, position blob not null) without rowid;
         create table syncs (count integer not null);
         insert into syncs values (0);
         pragma user_version = {LAYOUT};
         pragma application_id = {};
         commit;",
        MARK + LAYOUT
    ))?;
    Ok(())
}
