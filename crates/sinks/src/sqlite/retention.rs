//! Removal of what is old, or too much, in steps small enough to go between two writes.

use std::collections::BTreeSet;
use std::time::Duration;

use chunks::Chunk;
use model::{ContainerState, HostStatus, ImageState, Timestamp};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::SqliteConfig;
use super::encode::Encoder;
use super::packed::note_removal;
use super::pages::{used_bytes, vacuum};
use super::samples::{self, ROLLUPS};

/// Rows removed in one step: a few milliseconds.
const ROWS_PER_STEP: u32 = 2_000;
/// Chunks removed in one step.
const CHUNKS_PER_STEP: u32 = 100;
/// Series looked at in one step.
const SERIES_PER_STEP: usize = 200;
/// Where the file is too large, samples that are still rows go in stretches of this.
const STRETCH: i64 = 10 * 60 * 1_000_000_000;

/// One pass over everything that can be old.
pub(super) struct Sweep {
    raw: i64,
    health: i64,
    rollups: [i64; 3],
    logs: i64,
    events: i64,
    max_bytes: i64,
    /// True once it was found to be too large: then it is brought well below.
    is_shrinking: bool,
    stage: Stage,
    removed: Removed,
}

/// What a sweep removed of samples and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Samples as old as they get.
    pub(super) by_age: u64,
    /// Samples that went before their time, as the file was too large.
    pub(super) samples_by_size: u64,
    /// Lines that went before their time.
    pub(super) lines_by_size: u64,
    /// Samples of chunks that were found damaged.
    pub(super) damaged: u64,
}

/// How far the chunks were looked at: some with each sweep, all of them every few days.
pub(super) struct Scrub {
    after: i64,
    /// Those that were told as damaged.
    told: BTreeSet<i64>,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { after: i64::MIN, told: BTreeSet::new() }
    }
}

enum Stage {
    /// Samples of the series after this one.
    Samples(i64),
    Chunks,
    /// Rollups of this table, of the series after this one.
    Rollups(usize, i64),
    /// Lines of the containers after this one.
    Logs(i64),
    Logged,
    Series,
    HostHealth,
    Events,
    Losses,
    Containers,
    Hosts,
    Images,
    ImageVersions,
    Scrub,
    Size,
    Vacuum,
}

impl Sweep {
    pub(super) fn new(config: &SqliteConfig, now: Timestamp) -> Self {
        let before = |age: Duration| (now - age).as_nanos();
        Self {
            raw: before(config.retention_raw),
            health: before(config.retention_raw),
            rollups: [config.retention_1m, config.retention_1h, config.retention_1d].map(before),
            logs: before(config.retention_logs),
            events: before(config.retention_events),
            max_bytes: i64::try_from(config.max_bytes).unwrap_or(i64::MAX),
            is_shrinking: false,
            stage: Stage::Samples(i64::MIN),
            removed: Removed::default(),
        }
    }

    /// What it has removed so far.
    pub(super) fn removed(&self) -> Removed {
        self.removed
    }

    /// Does a little. True where there is more to do.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        encoder: &mut Encoder,
        scrub: &mut Scrub,
    ) -> rusqlite::Result<bool> {
        let limit = ROWS_PER_STEP;
        let (removed, next) = match self.stage {
            Stage::Chunks => return self.chunks(connection, encoder),
            Stage::Rollups(table, done) => return self.rollups_after(connection, table, done),
            Stage::Size => return self.size(connection, encoder),
            Stage::Samples(done) => return self.samples_after(connection, encoder, done),
            Stage::Logs(done) => return self.logs_after(connection, done),
            Stage::Logged => {
                let removed = connection.execute(
                    "DELETE FROM logged WHERE container IN (
                         SELECT container FROM logged AS old
                         WHERE NOT EXISTS (SELECT 1 FROM log_lines WHERE log_lines.container = old.container) LIMIT ?1)",
                    params![limit],
                )?;
                if removed > 0 {
                    encoder.forget();
                }
                (removed, Stage::Series)
            }
            // One that gets samples again later is simply made again.
            Stage::Series => {
                let removed = connection.execute(
                    "DELETE FROM series WHERE series IN (
                         SELECT series FROM series AS old
                         WHERE NOT EXISTS (SELECT 1 FROM samples WHERE samples.series = old.series)
                           AND NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.series = old.series)
                           AND NOT EXISTS (SELECT 1 FROM samples_1m WHERE samples_1m.series = old.series)
                           AND NOT EXISTS (SELECT 1 FROM samples_1h WHERE samples_1h.series = old.series)
                           AND NOT EXISTS (SELECT 1 FROM samples_1d WHERE samples_1d.series = old.series)
                           AND NOT EXISTS (SELECT 1 FROM logged
                                           WHERE logged.host = old.host AND logged.container_id = old.container_id)
                         LIMIT ?1)",
                    params![limit],
                )?;
                if removed > 0 {
                    encoder.forget();
                }
                (removed, Stage::HostHealth)
            }
            Stage::HostHealth => (
                connection.execute(
                    "DELETE FROM host_health WHERE (host, observed_at) IN (
                         SELECT host, observed_at FROM host_health WHERE observed_at < ?1 LIMIT ?2)",
                    params![self.health, limit],
                )?,
                Stage::Events,
            ),
            Stage::Events => (
                connection.execute(
                    "DELETE FROM container_events WHERE event IN (
                         SELECT event FROM container_events WHERE timestamp < ?1 ORDER BY timestamp LIMIT ?2)",
                    params![self.events, limit],
                )?,
                Stage::Losses,
            ),
            Stage::Losses => (
                connection.execute(
                    "DELETE FROM losses WHERE (node, epoch, sequence) IN (
                         SELECT node, epoch, sequence FROM losses WHERE last_at < ?1 LIMIT ?2)",
                    params![self.events, limit],
                )?,
                Stage::Containers,
            ),
            Stage::Containers => (
                connection.execute(
                    "DELETE FROM containers WHERE (host, container_id) IN (
                         SELECT host, container_id FROM containers WHERE state = ?1 AND observed_at < ?2 LIMIT ?3)",
                    params![ContainerState::Removed.name(), self.events, limit],
                )?,
                Stage::Hosts,
            ),
            Stage::Hosts => (
                connection.execute(
                    "DELETE FROM hosts WHERE host IN (
                         SELECT host FROM hosts WHERE status = ?1 AND observed_at < ?2 LIMIT ?3)",
                    params![HostStatus::Removed.name(), self.events, limit],
                )?,
                Stage::Images,
            ),
            Stage::Images => (
                connection.execute(
                    "DELETE FROM docker_images WHERE (host, image_id) IN (
                         SELECT host, image_id FROM docker_images WHERE state = ?1 AND observed_at < ?2 LIMIT ?3)",
                    params![ImageState::Removed.name(), self.events, limit],
                )?,
                Stage::ImageVersions,
            ),
            Stage::ImageVersions => (
                connection.execute(
                    "DELETE FROM image_versions WHERE (host, observed_at) IN (
                         SELECT host, observed_at FROM image_versions WHERE observed_at < ?1 LIMIT ?2)",
                    params![self.events, limit],
                )?,
                Stage::Scrub,
            ),
            Stage::Scrub => return self.scrub(connection, scrub),
            Stage::Vacuum => return vacuum(connection),
        };
        if removed < limit as usize {
            self.stage = next;
        }
        Ok(true)
    }

    /// Old samples that are still rows: the rollups take them in, and they go.
    fn samples_after(
        &mut self,
        connection: &mut Connection,
        encoder: &mut Encoder,
        done: i64,
    ) -> rusqlite::Result<bool> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next = "SELECT min(series) FROM samples WHERE series > ?1";
        let next: Option<i64> = transaction.prepare_cached(next)?.query_row([done], |row| row.get(0))?;
        let Some(series) = next else {
            self.stage = Stage::Chunks;
            return Ok(true);
        };
        let rows = samples::read(&transaction, series, i64::MIN, self.raw, ROWS_PER_STEP as usize)?;
        if let [first, .., last] | [first @ last] = &rows[..] {
            samples::roll_up(&transaction, series, &rows)?;
            samples::remove(&transaction, series, first.timestamp.as_nanos(), last.timestamp.as_nanos())?;
            note_removal(&transaction, last.timestamp.as_nanos())?;
            encoder.packed.forget();
        }
        transaction.commit()?;
        self.count(rows.len() as u64);
        if rows.len() < ROWS_PER_STEP as usize {
            self.stage = Stage::Samples(series);
        }
        Ok(true)
    }

    fn count(&mut self, samples: u64) {
        match self.is_shrinking {
            true => self.removed.samples_by_size += samples,
            false => self.removed.by_age += samples,
        }
    }

    fn chunks(&mut self, connection: &Connection, encoder: &mut Encoder) -> rusqlite::Result<bool> {
        let (chunks, samples) = remove_chunks(connection, self.raw, encoder)?;
        self.count(samples);
        if chunks < CHUNKS_PER_STEP as usize {
            self.stage = Stage::Rollups(0, i64::MIN);
        }
        Ok(true)
    }

    fn rollups_after(&mut self, connection: &Connection, table: usize, done: i64) -> rusqlite::Result<bool> {
        let Some((name, _)) = ROLLUPS.get(table) else {
            self.stage = Stage::Logs(0);
            return Ok(true);
        };
        let mut next = connection.prepare_cached(&format!("SELECT min(series) FROM {name} WHERE series > ?1"))?;
        let mut remove = connection.prepare_cached(&format!(
            "DELETE FROM {name} WHERE series = ?1 AND timestamp IN (
                 SELECT timestamp FROM {name} WHERE series = ?1 AND timestamp < ?2 ORDER BY timestamp LIMIT ?3)"
        ))?;
        let (mut removed, mut done) = (0, done);
        for _ in 0..SERIES_PER_STEP {
            let Some(series) = next.query_row([done], |row| row.get::<_, Option<i64>>(0))? else {
                self.stage = Stage::Rollups(table + 1, i64::MIN);
                return Ok(true);
            };
            removed += remove.execute(params![series, self.rollups[table], ROWS_PER_STEP])?;
            if removed >= ROWS_PER_STEP as usize {
                break;
            }
            done = series;
        }
        self.stage = Stage::Rollups(table, done);
        Ok(true)
    }

    /// Looks at the next chunks, so that one that is damaged is told before it is needed.
    fn scrub(&mut self, connection: &Connection, scrub: &mut Scrub) -> rusqlite::Result<bool> {
        let mut chunks =
            connection.prepare_cached("SELECT chunk, series, samples, data FROM chunks WHERE chunk > ?1 LIMIT ?2")?;
        let mut rows = chunks.query(params![scrub.after, CHUNKS_PER_STEP])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (chunk, series, samples): (i64, i64, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let data = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            if let Err(error) = Chunk::parse(data)
                && scrub.told.insert(chunk)
            {
                tracing::error!(chunk, series, samples, %error, "a chunk of samples is damaged: what it held is lost");
                self.removed.damaged += u64::from(samples);
            }
            (scrub.after, count) = (chunk, count + 1);
        }
        if count < CHUNKS_PER_STEP {
            scrub.after = i64::MIN;
        }
        self.stage = Stage::Size;
        Ok(true)
    }

    /// Where the file is too large the oldest goes: chunks and lines by turns, whichever are older.
    fn size(&mut self, connection: &Connection, encoder: &mut Encoder) -> rusqlite::Result<bool> {
        // With the empty pages that are kept the file is below its size, and for a while.
        let goal = self.max_bytes / 100 * if self.is_shrinking { 95 } else { 97 };
        if used_bytes(connection)? <= goal {
            self.stage = Stage::Vacuum;
            return Ok(true);
        }
        self.is_shrinking = true;
        // The oldest, and the last of those that go in one step.
        let chunk: (Option<i64>, Option<i64>) = connection.query_row(
            "SELECT min(last), max(last) FROM (SELECT last FROM chunks ORDER BY last LIMIT ?1)",
            [CHUNKS_PER_STEP],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let line = "SELECT number, timestamp FROM log_lines ORDER BY number LIMIT 1";
        let line: Option<(i64, i64)> =
            connection.query_row(line, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match (chunk, line) {
            ((chunk, _), Some((number, moment))) if chunk.is_none_or(|chunk| moment < chunk) => {
                let last = number.saturating_add(i64::from(ROWS_PER_STEP));
                let removed = connection.execute("DELETE FROM log_lines WHERE number < ?1", [last])?;
                self.removed.lines_by_size += removed as u64;
            }
            ((_, Some(last)), _) => {
                let (_, samples) = remove_chunks(connection, last + 1, encoder)?;
                self.removed.samples_by_size += samples;
            }
            ((_, None), _) => {
                let oldest = "SELECT min((SELECT min(timestamp) FROM samples WHERE samples.series = series.series))
                              FROM series";
                let oldest: Option<i64> = connection.query_row(oldest, [], |row| row.get(0))?;
                let Some(oldest) = oldest else {
                    self.stage = Stage::Vacuum;
                    return Ok(true);
                };
                self.raw = oldest.saturating_add(STRETCH);
                self.stage = Stage::Samples(i64::MIN);
            }
        }
        Ok(true)
    }

    fn logs_after(&mut self, connection: &Connection, done: i64) -> rusqlite::Result<bool> {
        let next: Option<i64> = connection
            .prepare_cached("SELECT container FROM logged WHERE container > ?1 ORDER BY container LIMIT 1")?
            .query_row([done], |row| row.get(0))
            .optional()?;
        let Some(container) = next else {
            self.stage = Stage::Logged;
            return Ok(true);
        };
        let removed = connection
            .prepare_cached(
                "DELETE FROM log_lines WHERE number IN (
                     SELECT number FROM log_lines WHERE container = ?1 AND timestamp < ?2 ORDER BY timestamp LIMIT ?3)",
            )?
            .execute(params![container, self.logs, ROWS_PER_STEP])?;
        if removed < ROWS_PER_STEP as usize {
            self.stage = Stage::Logs(container);
        }
        Ok(true)
    }
}

/// Removes chunks without a sample at `before` or later, the oldest first: how many, and of how many samples.
fn remove_chunks(connection: &Connection, before: i64, encoder: &mut Encoder) -> rusqlite::Result<(usize, u64)> {
    let mut oldest =
        connection.prepare_cached("SELECT chunk, samples, last FROM chunks WHERE last < ?1 ORDER BY last LIMIT ?2")?;
    let oldest: Vec<(i64, u32, i64)> = oldest
        .query_map(params![before, CHUNKS_PER_STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let samples = oldest.iter().map(|(_, samples, _)| u64::from(*samples)).sum();
    let Some((_, _, last)) = oldest.last() else { return Ok((0, 0)) };
    let transaction = connection.unchecked_transaction()?;
    note_removal(&transaction, *last)?;
    for (chunk, ..) in &oldest {
        transaction.prepare_cached("DELETE FROM chunks WHERE chunk = ?1")?.execute([chunk])?;
    }
    transaction.commit()?;
    encoder.packed.forget();
    Ok((oldest.len(), samples))
}
