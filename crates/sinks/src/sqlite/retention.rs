//! Removal of old rows, in steps small enough to go between two writes.

use std::time::Duration;

use model::{ContainerState, HostStatus, ImageState, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteConfig;

/// Rows removed in one step: a few milliseconds.
const ROWS_PER_STEP: u32 = 2_000;
/// Pages given back to the file system in one sweep, 4 KiB each.
const PAGES_PER_SWEEP: u32 = 4_000;

/// One pass over everything that can be old.
pub(super) struct Sweep {
    raw: i64,
    logs: i64,
    events: i64,
    stage: Stage,
}

enum Stage {
    /// Samples of the series after this one.
    Samples(i64),
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
    Vacuum,
}

impl Sweep {
    pub(super) fn new(config: &SqliteConfig, now: Timestamp) -> Self {
        let before = |age: Duration| (now - age).as_nanos();
        Self {
            raw: before(config.retention_raw),
            logs: before(config.retention_logs),
            events: before(config.retention_events),
            stage: Stage::Samples(0),
        }
    }

    /// Does a little. True where there is more to do.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let limit = ROWS_PER_STEP;
        let (removed, next) = match self.stage {
            Stage::Samples(done) => return self.samples_after(connection, done),
            Stage::Logs(done) => return self.logs_after(connection, done),
            Stage::Logged => (
                connection.execute(
                    "DELETE FROM logged WHERE container IN (
                         SELECT container FROM logged AS old
                         WHERE NOT EXISTS (SELECT 1 FROM log_lines WHERE log_lines.container = old.container) LIMIT ?1)",
                    params![limit],
                )?,
                Stage::Series,
            ),
            // One that gets samples again later is simply made again.
            Stage::Series => (
                connection.execute(
                    "DELETE FROM series WHERE series IN (
                         SELECT series FROM series AS old
                         WHERE NOT EXISTS (SELECT 1 FROM samples WHERE samples.series = old.series)
                           AND NOT EXISTS (SELECT 1 FROM logged
                                           WHERE logged.host = old.host AND logged.container_id = old.container_id)
                         LIMIT ?1)",
                    params![limit],
                )?,
                Stage::HostHealth,
            ),
            Stage::HostHealth => (
                connection.execute(
                    "DELETE FROM host_health WHERE (host, observed_at) IN (
                         SELECT host, observed_at FROM host_health WHERE observed_at < ?1 LIMIT ?2)",
                    params![self.raw, limit],
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
                Stage::Vacuum,
            ),
            Stage::Vacuum => {
                connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_PER_SWEEP}); PRAGMA optimize;"))?;
                return Ok(false);
            }
        };
        if removed < limit as usize {
            self.stage = next;
        }
        Ok(true)
    }

    fn samples_after(&mut self, connection: &Connection, done: i64) -> rusqlite::Result<bool> {
        let next: Option<i64> = connection
            .prepare_cached("SELECT series FROM series WHERE series > ?1 ORDER BY series LIMIT 1")?
            .query_row([done], |row| row.get(0))
            .optional()?;
        let Some(series) = next else {
            self.stage = Stage::Logs(0);
            return Ok(true);
        };
        let removed = connection
            .prepare_cached(
                "DELETE FROM samples WHERE series = ?1 AND timestamp IN (
                     SELECT timestamp FROM samples WHERE series = ?1 AND timestamp < ?2 ORDER BY timestamp LIMIT ?3)",
            )?
            .execute(params![series, self.raw, ROWS_PER_STEP])?;
        if removed < ROWS_PER_STEP as usize {
            self.stage = Stage::Samples(series);
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
