//! Packing: samples that are no longer recent leave their rows for chunks, a piece at a time.
//!
//! A piece is one transaction: the rows go, a chunk comes, and the rollups take the samples in. Whatever happens, a sample is
//! in one place, and in the rollups once it is in a chunk.

use std::collections::HashSet;

use chunks::{Chunk, Row, pack};
use model::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::packed::Packed;
use super::{SqliteConfig, samples};

/// Samples of a chunk. More pack hardly closer, and cost more where one sample is wanted.
pub(super) const SAMPLES: usize = 600;
/// Samples of a chunk that late ones were added to, at most.
const MOST: usize = 2 * SAMPLES;
/// Series looked at in one step, where none has anything to pack.
const SERIES_PER_STEP: usize = 64;

/// One pass over the samples.
pub(super) struct Packer {
    /// Samples before this are no longer recent.
    before: i64,
    /// What is older than this waits for no others to fill a chunk.
    stale: i64,
    /// Series before this one are done.
    series: i64,
    /// Samples of it before this moment are passed over: they belong into a damaged chunk.
    from: i64,
}

/// What came of looking at a series.
enum Found {
    /// Nothing to pack.
    Nothing,
    /// A piece was packed; there may be more.
    Piece,
    /// Samples before this moment cannot be packed.
    Passed(i64),
}

/// A chunk as it lies in the table.
struct Stored {
    chunk: i64,
    last: i64,
    samples: usize,
}

impl Packer {
    pub(super) fn new(config: &SqliteConfig, now: Timestamp) -> Self {
        let before = now - config.pack_after;
        Self {
            before: before.as_nanos(),
            stale: (before - config.pack_after).as_nanos(),
            series: i64::MIN,
            from: i64::MIN,
        }
    }

    /// Packs at most one chunk. True where there is more to do.
    pub(super) fn step(&mut self, connection: &mut Connection, packed: &mut Packed) -> rusqlite::Result<bool> {
        for _ in 0..SERIES_PER_STEP {
            let next: Option<i64> = connection
                .prepare_cached("SELECT min(series) FROM samples WHERE series >= ?1")?
                .query_row([self.series], |row| row.get(0))?;
            let Some(series) = next else { return Ok(false) };
            if series > self.series {
                (self.series, self.from) = (series, i64::MIN);
            }
            match self.piece(connection)? {
                Found::Nothing => (self.series, self.from) = (series + 1, i64::MIN),
                Found::Passed(to) => self.from = to,
                Found::Piece => {
                    packed.forget_series(series);
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }

    fn piece(&self, connection: &mut Connection) -> rusqlite::Result<Found> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = self.pack(&transaction)?;
        transaction.commit()?;
        Ok(found)
    }

    fn pack(&self, connection: &Connection) -> rusqlite::Result<Found> {
        let series = self.series;
        let (oldest, newest): (Option<i64>, Option<i64>) = connection
            .prepare_cached(
                "SELECT (SELECT min(timestamp) FROM samples WHERE series = ?1 AND timestamp >= ?2),
                        (SELECT max(timestamp) FROM samples WHERE series = ?1)",
            )?
            .query_row(params![series, self.from], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // The newest stays a row, however old: who asks what a container does finds it at once.
        let end = newest.map_or(self.before, |newest| newest.min(self.before));
        let Some(oldest) = oldest.filter(|oldest| *oldest < end) else { return Ok(Found::Nothing) };
        let (before, next) = neighbours(connection, series, oldest)?;
        let is_inside = before.as_ref().is_some_and(|chunk| chunk.last >= oldest);
        let end = end.min(next.unwrap_or(end));
        // Late ones wait for no others: where chunks lie behind them there may be none to come.
        let may_wait = !is_inside && next.is_none() && oldest >= self.stale;
        if may_wait && !has_enough(connection, series, oldest, end)? {
            return Ok(Found::Nothing);
        }
        let rows = samples::read(connection, series, oldest, end, SAMPLES)?;
        let has_room = |chunk: &Stored| rows.len() < SAMPLES && chunk.samples + rows.len() <= MOST;
        let into = before.filter(|chunk| is_inside || has_room(chunk));
        let held = match into.as_ref().map(|stored| unpacked(connection, stored)).transpose()? {
            None => Vec::new(),
            Some(Some(held)) => held,
            Some(None) if is_inside => {
                tracing::debug!(series, "late samples of a damaged chunk stay rows");
                return Ok(Found::Passed(next.unwrap_or(i64::MAX)));
            }
            // It stays as it is, and they get a chunk of their own.
            Some(None) => return store(connection, series, None, Vec::new(), rows),
        };
        store(connection, series, into.as_ref(), held, rows)
    }
}

/// Whether there are enough samples for a chunk.
fn has_enough(connection: &Connection, series: i64, from: i64, to: i64) -> rusqlite::Result<bool> {
    let last = i64::try_from(SAMPLES - 1).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT 1 FROM samples WHERE series = ?1 AND timestamp >= ?2 AND timestamp < ?3
             ORDER BY timestamp LIMIT 1 OFFSET ?4",
        )?
        .exists(params![series, from, to, last])
}

/// The last chunk that begins at `moment` or before, and where the one after it begins.
fn neighbours(connection: &Connection, series: i64, moment: i64) -> rusqlite::Result<(Option<Stored>, Option<i64>)> {
    let before = connection
        .prepare_cached(
            "SELECT chunk, last, samples FROM chunks WHERE series = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
        )?
        .query_row(params![series, moment], |row| {
            let samples: u32 = row.get(2)?;
            Ok(Stored { chunk: row.get(0)?, last: row.get(1)?, samples: samples as usize })
        })
        .optional()?;
    let next = connection
        .prepare_cached("SELECT min(first) FROM chunks WHERE series = ?1 AND first > ?2")?
        .query_row(params![series, moment], |row| row.get(0))?;
    Ok((before, next))
}

/// The samples of a chunk; `None` where it is damaged.
fn unpacked(connection: &Connection, stored: &Stored) -> rusqlite::Result<Option<Vec<Row>>> {
    let data: Vec<u8> = connection
        .prepare_cached("SELECT data FROM chunks WHERE chunk = ?1")?
        .query_row([stored.chunk], |row| row.get(0))?;
    Ok(Chunk::parse(&data).and_then(|mut chunk| chunk.rows()).ok())
}

/// Turns `rows` into a chunk, together with what is `held` by the chunk `into` that it replaces.
fn store(
    connection: &Connection,
    series: i64,
    into: Option<&Stored>,
    held: Vec<Row>,
    mut rows: Vec<Row>,
) -> rusqlite::Result<Found> {
    let moment = |row: &Row| row.timestamp.as_nanos();
    let (Some(first), Some(last)) = (rows.first().map(moment), rows.last().map(moment)) else {
        return Ok(Found::Nothing);
    };
    // The rows go first: the chunk takes their room, also where the disk has no other.
    samples::remove(connection, series, first, last)?;
    if let Some(stored) = into {
        connection.prepare_cached("DELETE FROM chunks WHERE chunk = ?1")?.execute([stored.chunk])?;
        // Another process may have stored what this one had packed.
        let known: HashSet<Timestamp> = held.iter().map(|row| row.timestamp).collect();
        rows.retain(|row| !known.contains(&row.timestamp));
    }
    samples::roll_up(connection, series, &rows)?;
    let mut all = held;
    all.extend(rows);
    all.sort_by_key(moment);
    let pieces = all.len().div_ceil(MOST).max(1);
    for piece in all.chunks(all.len().div_ceil(pieces).max(1)) {
        let samples = i64::try_from(piece.len()).unwrap_or(i64::MAX);
        connection
            .prepare_cached("INSERT INTO chunks (series, first, last, samples, data) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![series, moment(&piece[0]), moment(&piece[piece.len() - 1]), samples, pack(piece)])?;
    }
    Ok(Found::Piece)
}
