//! Records into rows.

mod inventory;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use model::{
    Batch, BatchId, ContainerId, ContainerMeta, EventRecord, HostName, HostRecord, LogRecord, LossRecord, Rows, Sample,
    SampleValue, StatsRecord, Timestamp,
};
use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{CachedStatement, Connection, ToSql, named_params, params};
use serde_json::to_string as json;

use super::packed::{Packed, Place};

/// Turns batches into statements. Remembers the series, and the containers with lines, it has seen.
#[derive(Default)]
pub(super) struct Encoder {
    /// What is known of the samples that are no longer rows.
    pub(super) packed: Packed,
    /// Samples that were not stored: too old, or of a damaged chunk.
    pub(super) passed: Passed,
    /// Changes whenever another connection changes the file.
    version: Option<i64>,
    logged: HashMap<(HostName, ContainerId), i64>,
    series: HashMap<(HostName, ContainerId), Vec<Series>>,
}

/// Samples that are not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// They are older than what was removed.
    pub(super) late: u64,
    /// They would be in a chunk that cannot be read.
    pub(super) damaged: u64,
}

/// One run, name, image and set of labels of a container, and its number.
type Series = (Arc<ContainerMeta>, i64);

static INSERT_SAMPLE: LazyLock<String> = LazyLock::new(|| {
    let columns = Sample::FIELDS.join(", ");
    let marks = vec!["?"; Sample::FIELDS.len() + 4].join(", ");
    format!(
        "INSERT INTO samples (series, timestamp, received_at, network_scope, {columns}) VALUES ({marks})
         ON CONFLICT (series, timestamp) DO NOTHING"
    )
});

impl Encoder {
    /// One that takes no samples older than `age`.
    pub(super) fn new(age: Duration) -> Self {
        Self { packed: Packed::with_oldest(age), ..Self::default() }
    }

    /// To be told at the begin of each transaction: what another process has changed is looked up again.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version.replace(version).is_some_and(|before| before != version) {
            self.forget();
        }
        Ok(())
    }

    /// Writes every row of `batch`; rows that are there already stay as they are.
    pub(super) fn write(&mut self, connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
        match &batch.rows {
            Rows::Stats(rows) => self.write_stats(connection, rows),
            Rows::Events(rows) => write_events(connection, rows),
            Rows::Containers(rows) => inventory::write_containers(connection, rows),
            Rows::Images(rows) => inventory::write_images(connection, rows),
            Rows::ImageVersions(rows) => inventory::write_image_versions(connection, rows),
            Rows::Hosts(rows) => write_hosts(connection, rows),
            Rows::Logs(rows) => self.write_logs(connection, rows),
            Rows::Losses(rows) => write_losses(connection, &batch.id, rows),
        }
    }

    /// Looks every series up again from here on.
    pub(super) fn forget(&mut self) {
        self.series.clear();
        self.logged.clear();
        self.packed.forget();
    }

    fn write_stats(&mut self, connection: &Connection, rows: &[StatsRecord]) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(&INSERT_SAMPLE)?;
        for row in rows {
            let timestamp = row.timestamp.as_nanos();
            if self.packed.is_removed(connection, timestamp)? {
                self.passed.late += 1;
                continue;
            }
            let series = self.series_of(connection, &row.meta)?;
            match self.packed.place(connection, series, timestamp)? {
                Place::Open => {}
                Place::Taken => continue,
                Place::Damaged => {
                    self.passed.damaged += 1;
                    continue;
                }
            }
            bind_sample(&mut insert, series, row)?;
            insert.raw_execute()?;
        }
        Ok(())
    }

    fn write_logs(&mut self, connection: &Connection, rows: &[LogRecord]) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO log_lines (
                 container, timestamp, stream, ordinal, series, received_at, line, partial, truncated, invalid_utf8)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (container, timestamp, stream, ordinal) DO NOTHING",
        )?;
        for row in rows {
            let series = self.series_of(connection, &row.meta)?;
            let container = self.logged(connection, &row.meta)?;
            insert.execute(params![
                container,
                row.timestamp.as_nanos(),
                row.stream.name(),
                row.ordinal,
                series,
                row.received_at.as_nanos(),
                row.line,
                row.partial,
                row.truncated,
                row.invalid_utf8,
            ])?;
        }
        Ok(())
    }

    /// The number under which a container's lines are kept.
    fn logged(&mut self, connection: &Connection, meta: &ContainerMeta) -> rusqlite::Result<i64> {
        let key = (meta.host.clone(), meta.container_id.clone());
        if let Some(container) = self.logged.get(&key) {
            return Ok(*container);
        }
        let identity = params![meta.host.as_str(), meta.container_id.as_str()];
        connection
            .prepare_cached("INSERT INTO logged (host, container_id) VALUES (?, ?) ON CONFLICT DO NOTHING")?
            .execute(identity)?;
        let container = connection
            .prepare_cached("SELECT container FROM logged WHERE host = ? AND container_id = ?")?
            .query_row(identity, |row| row.get(0))?;
        self.logged.insert(key, container);
        Ok(container)
    }

    fn series_of(&mut self, connection: &Connection, meta: &Arc<ContainerMeta>) -> rusqlite::Result<i64> {
        let known = self.series.entry((meta.host.clone(), meta.container_id.clone())).or_default();
        if let Some((_, series)) = known.iter().rfind(|(seen, _)| Arc::ptr_eq(seen, meta) || seen == meta) {
            return Ok(*series);
        }
        let series = find_or_insert_series(connection, meta)?;
        known.push((meta.clone(), series));
        Ok(series)
    }
}

fn find_or_insert_series(connection: &Connection, meta: &ContainerMeta) -> rusqlite::Result<i64> {
    let labels = to_json(&meta.labels)?;
    let identity = named_params! {
        ":host": meta.host.as_str(),
        ":id": meta.container_id.as_str(),
        ":name": meta.container_name,
        ":image": meta.image,
        ":project": meta.compose_project,
        ":service": meta.compose_service,
        ":run": meta.run.map(Timestamp::as_nanos),
        ":labels": labels,
    };
    let mut find = connection.prepare_cached(
        "SELECT series FROM series
         WHERE host = :host AND container_id = :id AND container_name = :name AND image = :image
           AND compose_project IS :project AND compose_service IS :service AND run IS :run AND labels = :labels",
    )?;
    let mut rows = find.query(identity)?;
    if let Some(row) = rows.next()? {
        return row.get(0);
    }
    connection
        .prepare_cached(
            "INSERT INTO series (host, container_id, container_name, image, compose_project, compose_service, run, labels)
             VALUES (:host, :id, :name, :image, :project, :service, :run, :labels)",
        )?
        .insert(identity)
}

fn bind_sample(insert: &mut CachedStatement<'_>, series: i64, row: &StatsRecord) -> rusqlite::Result<()> {
    insert.raw_bind_parameter(1, series)?;
    insert.raw_bind_parameter(2, row.timestamp.as_nanos())?;
    insert.raw_bind_parameter(3, row.received_at.as_nanos())?;
    insert.raw_bind_parameter(4, row.network_scope.as_ref().map(ToString::to_string))?;
    for (position, value) in (5..).zip(row.sample.values()) {
        insert.raw_bind_parameter(position, SqlValue(value))?;
    }
    Ok(())
}

pub(super) struct SqlValue(pub(super) SampleValue);

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self.0 {
            SampleValue::Float(value) => value.map_or(Value::Null, Value::Real),
            SampleValue::Unsigned(value) => integer(value).map_or(Value::Null, Value::Integer),
        };
        Ok(ToSqlOutput::Owned(value))
    }
}

/// SQLite's integers have 63 bits and a sign: what does not fit is not known.
fn integer(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}

fn nanos(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_nanos)
}

fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    json(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn write_events(connection: &Connection, rows: &[EventRecord]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO container_events (
             host, timestamp, received_at, type, action, argument, actor_id, actor_name, container_id, container_name,
             image, compose_project, compose_service, exit_code, exit_cause, signal, synthetic,
             attributes, labels)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (timestamp, host, type, action, actor_id) DO NOTHING",
    )?;
    for row in rows {
        let attributes: &BTreeMap<String, String> = &row.attributes;
        insert.execute(params![
            row.host.as_str(),
            row.timestamp.as_nanos(),
            row.received_at.as_nanos(),
            row.kind,
            row.action,
            row.argument,
            row.actor_id,
            row.actor_name,
            row.container_id.as_ref().map(ContainerId::as_str),
            row.container_name,
            row.image,
            row.compose_project,
            row.compose_service,
            row.exit_code,
            row.exit_cause,
            row.signal,
            row.synthetic,
            to_json(attributes)?,
            to_json(&row.labels)?,
        ])?;
    }
    Ok(())
}

/// `INSERT … ON CONFLICT (key) DO UPDATE`, where the newer state wins.
fn upsert(table: &str, key: &str, columns: &[&str]) -> String {
    let names = columns.join(", ");
    let marks = vec!["?"; columns.len()].join(", ");
    let updates: Vec<String> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let updates = updates.join(", ");
    format!(
        "INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {updates}
         WHERE excluded.observed_at >= {table}.observed_at"
    )
}

static UPSERT_HOST: LazyLock<String> = LazyLock::new(|| {
    let columns = [
        "host",
        "url",
        "status",
        "last_error",
        "engine",
        "engine_version",
        "api_version",
        "os",
        "kernel",
        "cgroup_version",
        "cpus",
        "memory_bytes",
        "response_ns",
        "containers",
        "containers_running",
        "observed_at",
        "labels",
        "status_since",
        "failures",
        "retry_at",
    ];
    upsert("hosts", "host", &columns)
});

fn write_hosts(connection: &Connection, rows: &[HostRecord]) -> rusqlite::Result<()> {
    let mut latest = connection.prepare_cached(&UPSERT_HOST)?;
    let mut history = connection.prepare_cached(
        "INSERT INTO host_health (host, observed_at, status, last_error, response_ns, containers, containers_running,
             failures)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (host, observed_at) DO NOTHING",
    )?;
    for row in rows {
        latest.execute(params![
            row.host.as_str(),
            row.url,
            row.status.name(),
            row.last_error,
            row.engine,
            row.engine_version,
            row.api_version,
            row.os,
            row.kernel,
            row.cgroup_version,
            row.cpus,
            integer(row.memory_bytes),
            integer(row.response_ns),
            integer(row.containers),
            integer(row.containers_running),
            row.observed_at.as_nanos(),
            to_json(&row.labels)?,
            row.status_since.map(Timestamp::as_nanos),
            integer(Some(row.failures)),
            row.retry_at.map(Timestamp::as_nanos),
        ])?;
        history.execute(params![
            row.host.as_str(),
            row.observed_at.as_nanos(),
            row.status.name(),
            row.last_error,
            integer(row.response_ns),
            integer(row.containers),
            integer(row.containers_running),
            integer(Some(row.failures)),
        ])?;
    }
    Ok(())
}

fn write_losses(connection: &Connection, id: &BatchId, rows: &[LossRecord]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO losses (node, epoch, sequence, stream, sink, reason, count, first_at, last_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node, epoch, sequence) DO NOTHING",
    )?;
    for (sequence, row) in (id.first..).zip(rows) {
        insert.execute(params![
            id.node.as_str(),
            integer(Some(id.epoch)),
            integer(Some(sequence)),
            row.stream.name(),
            row.sink,
            row.reason.name(),
            integer(Some(row.count)),
            row.first_at.as_nanos(),
            row.last_at.as_nanos(),
        ])?;
    }
    Ok(())
}
