//! The newest samples. Each series keeps its own as a row, whatever is packed.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use model::{
    ContainerId, ContainerMeta, HostName, NetworkScope, Sample, SampleKind, SampleValue, StatsRecord, Timestamp,
};
use rusqlite::{Connection, Row, named_params};

use super::pool::QueryError;
use super::read::{from_json, optional_text, text, time, whole};
use crate::{ContainerKey, LatestStats};

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

// Of all series there ever were only those are looked at that have rows: one search finds the next.
pub(super) fn latest_all_sql() -> String {
    format!(
        "WITH RECURSIVE alive(number) AS (
             SELECT min(series) FROM samples
             UNION ALL
             SELECT (SELECT min(series) FROM samples WHERE series > number) FROM alive WHERE number IS NOT NULL
         )
         SELECT {} FROM alive CROSS JOIN {NEWEST}
         WHERE series.series = alive.number AND samples.received_at >= ?1 ORDER BY samples.timestamp",
        *RECORD
    )
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
