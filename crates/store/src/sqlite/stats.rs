//! Samples: the newest, and the past.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use model::{
    ContainerId, ContainerMeta, HostName, NetworkScope, Sample, SampleKind, SampleValue, StatsRecord, Timestamp,
};
use rusqlite::{Connection, Row, named_params};

use super::pool::QueryError;
use super::read::{from_json, optional_text, text, time, whole};
use crate::answer::{per_second, rounded};
use crate::{ContainerKey, History, HistoryPoint, LatestStats, Plan, Rates, Resolution};

/// The columns of a stats record, from `series` and `samples`.
static RECORD: LazyLock<String> = LazyLock::new(|| {
    let fields: Vec<String> = Sample::FIELDS.iter().map(|field| format!("samples.{field}")).collect();
    format!(
        "series.host, series.container_id, series.container_name, series.image, series.compose_project,
         series.compose_service, series.run, series.labels, samples.timestamp, samples.received_at,
         samples.network_scope, {}",
        fields.join(", ")
    )
});

/// Where the fields of the sample begin in [`RECORD`].
const FIRST_FIELD: usize = 11;

/// Joins each series to its newest sample: one search per series. A cross join keeps the order of the tables.
const NEWEST: &str = "series CROSS JOIN samples ON samples.series = series.series AND samples.timestamp =
    (SELECT max(newest.timestamp) FROM samples AS newest WHERE newest.series = series.series)";

pub(super) fn latest(connection: &Connection, container: &ContainerKey) -> Result<Option<LatestStats>, QueryError> {
    let sql = format!(
        "SELECT {} FROM {NEWEST} WHERE series.host = :host AND series.container_id = :id
         ORDER BY samples.timestamp DESC LIMIT 1",
        *RECORD
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows =
        statement.query(named_params! { ":host": container.host.as_str(), ":id": container.container_id.as_str() })?;
    Ok(rows.next()?.map(read_record).transpose()?.map(LatestStats::from))
}

pub(super) fn latest_all_sql() -> String {
    format!("SELECT {} FROM {NEWEST} WHERE samples.received_at >= ?1 ORDER BY samples.timestamp", *RECORD)
}

pub(super) fn latest_all(connection: &Connection, since: Timestamp) -> Result<Vec<LatestStats>, QueryError> {
    let mut statement = connection.prepare_cached(&latest_all_sql())?;
    let mut newest = BTreeMap::new();
    for record in statement.query_map([since.as_nanos()], read_record)? {
        let record = record?;
        // A container has a series for each run and name; the last one in order of time stays.
        newest.insert((record.meta.host.clone(), record.meta.container_id.clone()), record);
    }
    let mut latest: Vec<LatestStats> = newest.into_values().map(LatestStats::from).collect();
    latest.sort_by(|a, b| {
        let key = |of: &LatestStats| (of.record.meta.host.clone(), of.record.meta.container_name.clone());
        key(a).cmp(&key(b))
    });
    Ok(latest)
}

pub(super) fn history(
    connection: &Connection,
    container: &ContainerKey,
    from: Timestamp,
    to: Timestamp,
    plan: Plan,
) -> Result<History, QueryError> {
    let answer = |step_ns, points| Ok(History { resolution: plan.resolution, step_ns, from, to, points });
    if plan.resolution == Resolution::Raw {
        // One more than asked for tells that there are too many.
        let points = points(connection, container, from, to, None, plan.max_points + 1)?;
        if points.len() <= plan.max_points {
            return answer(None, points);
        }
    }
    answer(Some(plan.step_ns), points(connection, container, from, to, Some(plan.step_ns), plan.max_points)?)
}

/// What is summed over a step; the rates need the time over which each is known.
const SUMMED: [&str; 6] = [
    "cpu_usage_delta_ns",
    "cpu_throttled_delta_ns",
    "network_rx_delta_bytes",
    "network_tx_delta_bytes",
    "block_read_delta_bytes",
    "block_write_delta_bytes",
];

/// What is told as mean, lowest and highest.
const SPREAD: [&str; 3] = ["cpu_usage_percent", "memory_usage_bytes", "memory_usage_percent"];

pub(super) fn points(
    connection: &Connection,
    container: &ContainerKey,
    from: Timestamp,
    to: Timestamp,
    step_ns: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<HistoryPoint>> {
    let spread = SPREAD.map(|field| format!("avg({field}), min({field}), max({field})")).join(", ");
    let summed =
        SUMMED.map(|field| format!("sum({field}), sum(CASE WHEN {field} IS NOT NULL THEN interval_ns END)")).join(", ");
    // Rounded down also before 1970, where division rounds towards zero.
    let step = match step_ns {
        Some(_) => "timestamp - ((timestamp % :step) + :step) % :step",
        None => "timestamp + 0 * :step",
    };
    let sql = format!(
        "SELECT {step} AS step, count(*), sum(interval_ns), max(memory_limit_bytes), max(pids), {spread}, {summed}
         FROM series CROSS JOIN samples ON samples.series = series.series
         WHERE host = :host AND container_id = :id AND timestamp >= :from AND timestamp < :to
         GROUP BY step ORDER BY step LIMIT :limit"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":step": step_ns.unwrap_or(1),
            ":host": container.host.as_str(),
            ":id": container.container_id.as_str(),
            ":from": from.as_nanos(),
            ":to": to.as_nanos(),
            ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
        },
        read_point,
    )?;
    rows.collect()
}

fn read_point(row: &Row<'_>) -> rusqlite::Result<HistoryPoint> {
    let (spread, summed) = (5, 5 + 3 * SPREAD.len());
    let sum = |index: usize| whole(row, summed + 2 * index);
    let rate = |index: usize| -> rusqlite::Result<Option<f64>> {
        let over = whole(row, summed + 2 * index + 1)?;
        Ok(sum(index)?.zip(over).and_then(|(delta, over)| per_second(delta, over)))
    };
    Ok(HistoryPoint {
        timestamp: Timestamp::from_nanos(row.get(0)?),
        samples: whole(row, 1)?.unwrap_or(0),
        interval_ns: whole(row, 2)?,
        memory_limit_bytes: whole(row, 3)?,
        pids: whole(row, 4)?,
        cpu_usage_percent: row.get(spread)?,
        cpu_usage_percent_min: row.get(spread + 1)?,
        cpu_usage_percent_max: row.get(spread + 2)?,
        memory_usage_bytes: rounded(row.get(spread + 3)?),
        memory_usage_bytes_min: whole(row, spread + 4)?,
        memory_usage_bytes_max: whole(row, spread + 5)?,
        memory_usage_percent: row.get(spread + 6)?,
        memory_usage_percent_min: row.get(spread + 7)?,
        memory_usage_percent_max: row.get(spread + 8)?,
        cpu_usage_delta_ns: sum(0)?,
        cpu_throttled_delta_ns: sum(1)?,
        network_rx_delta_bytes: sum(2)?,
        network_tx_delta_bytes: sum(3)?,
        block_read_delta_bytes: sum(4)?,
        block_write_delta_bytes: sum(5)?,
        rates: Rates {
            cpu_throttled_ns_per_second: rate(1)?,
            network_rx_bytes_per_second: rate(2)?,
            network_tx_bytes_per_second: rate(3)?,
            block_read_bytes_per_second: rate(4)?,
            block_write_bytes_per_second: rate(5)?,
        },
    })
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<StatsRecord> {
    let sample = Sample::read(|position, kind| {
        let column = FIRST_FIELD + position;
        Ok::<_, rusqlite::Error>(match kind {
            SampleKind::Float64 => SampleValue::Float(row.get(column)?),
            SampleKind::UInt32 | SampleKind::UInt64 => SampleValue::Unsigned(whole(row, column)?),
        })
    })?;
    Ok(StatsRecord {
        meta: Arc::new(ContainerMeta {
            host: text::<HostName>(row, 0)?,
            container_id: text::<ContainerId>(row, 1)?,
            container_name: row.get(2)?,
            image: row.get(3)?,
            compose_project: row.get(4)?,
            compose_service: row.get(5)?,
            run: time(row, 6)?,
            labels: from_json(row, 7)?,
        }),
        timestamp: Timestamp::from_nanos(row.get(8)?),
        received_at: Timestamp::from_nanos(row.get(9)?),
        network_scope: optional_text::<NetworkScope>(row, 10)?,
        sample,
    })
}
