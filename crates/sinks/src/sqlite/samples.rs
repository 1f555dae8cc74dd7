//! Samples as rows, and what they come to.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chunks::{Merge, Rollup, Row};
use model::{NetworkScope, Sample, SampleKind, SampleValue, Timestamp};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, params};

use super::encode::SqlValue;

const MINUTE: i64 = 60_000_000_000;

/// The tables of rollups, and the length of a bucket in each: every one is made of the one before.
pub(super) const ROLLUPS: [(&str, i64); 3] =
    [("samples_1m", MINUTE), ("samples_1h", 60 * MINUTE), ("samples_1d", 24 * 60 * MINUTE)];

static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT timestamp, received_at, network_scope, {} FROM samples
         WHERE series = ?1 AND timestamp >= ?2 AND timestamp < ?3 ORDER BY timestamp LIMIT ?4",
        Sample::FIELDS.join(", ")
    )
});

/// The first `limit` rows of a series from `from` on, and before `to`.
pub(super) fn read(
    connection: &Connection,
    series: i64,
    from: i64,
    to: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(&SELECT)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![series, from, to, limit], |row| {
        let scope: Option<String> = row.get(2)?;
        let scope = scope.map(|scope| scope.parse::<NetworkScope>()).transpose();
        Ok(Row {
            timestamp: Timestamp::from_nanos(row.get(0)?),
            received_at: Timestamp::from_nanos(row.get(1)?),
            network_scope: scope.map_err(|error| FromSqlError::other(std::io::Error::other(error)))?,
            sample: Sample::read(|position, kind| {
                let column = 3 + position;
                Ok::<_, rusqlite::Error>(match kind {
                    SampleKind::Float64 => SampleValue::Float(row.get(column)?),
                    SampleKind::UInt32 | SampleKind::UInt64 => {
                        let value: Option<i64> = row.get(column)?;
                        SampleValue::Unsigned(value.and_then(|value| value.try_into().ok()))
                    }
                })
            })?,
        })
    })?;
    rows.collect()
}

/// Removes the rows of a series from `first` to `last`, both included.
pub(super) fn remove(connection: &Connection, series: i64, first: i64, last: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM samples WHERE series = ?1 AND timestamp BETWEEN ?2 AND ?3")?
        .execute(params![series, first, last])
}

/// `INSERT … ON CONFLICT DO UPDATE` for each table of rollups.
static UPSERT: LazyLock<[String; 3]> = LazyLock::new(|| {
    ROLLUPS.map(|(table, _)| {
        let names: Vec<&str> = Rollup::COLUMNS.iter().map(|(name, _)| *name).collect();
        let marks = vec!["?"; names.len() + 2].join(", ");
        let merged = Rollup::COLUMNS.iter().map(|(name, merge)| {
            let both = match merge {
                Merge::Add => return format!("{name} = {name} + excluded.{name}"),
                Merge::AddKnown => format!("{name} + excluded.{name}"),
                Merge::Lowest => format!("min({name}, excluded.{name})"),
                Merge::Highest => format!("max({name}, excluded.{name})"),
            };
            // Where one of the two is NULL so is what both make.
            format!("{name} = coalesce({both}, {name}, excluded.{name})")
        });
        let merged: Vec<String> = merged.collect();
        format!(
            "INSERT INTO {table} (series, timestamp, {}) VALUES ({marks})
             ON CONFLICT (series, timestamp) DO UPDATE SET {}",
            names.join(", "),
            merged.join(", ")
        )
    })
});

/// Adds samples, which were never added before, to the rollups of their series.
pub(super) fn roll_up(connection: &Connection, series: i64, rows: &[Row]) -> rusqlite::Result<()> {
    let mut buckets: BTreeMap<i64, Rollup> = BTreeMap::new();
    let start = |moment: i64, length: i64| moment.div_euclid(length) * length;
    for row in rows {
        let bucket = start(row.timestamp.as_nanos(), MINUTE);
        buckets.entry(bucket).or_default().merge(&Rollup::from(&row.sample));
    }
    for ((_, length), upsert) in ROLLUPS.iter().zip(&*UPSERT) {
        let mut longer: BTreeMap<i64, Rollup> = BTreeMap::new();
        let mut statement = connection.prepare_cached(upsert)?;
        for (moment, rollup) in buckets {
            longer.entry(start(moment, *length)).or_default().merge(&rollup);
        }
        for (moment, rollup) in &longer {
            statement.raw_bind_parameter(1, series)?;
            statement.raw_bind_parameter(2, *moment)?;
            for (position, value) in (3..).zip(rollup.values()) {
                statement.raw_bind_parameter(position, SqlValue(value))?;
            }
            statement.raw_execute()?;
        }
        buckets = longer;
    }
    Ok(())
}
