//! What samples come to over a minute, an hour and a day, to be added to what the tables have.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{ContainerMeta, Sample, StatsRecord, Timestamp};
use tokio_postgres::types::ToSql;

use super::value::{storable, storable_json};

/// The tables, and the length of their buckets in nanoseconds.
pub(super) const ROLLUPS: [(&str, i64); 3] =
    [("rollup_1m", 60_000_000_000), ("rollup_1h", 3_600_000_000_000), ("rollup_1d", 86_400_000_000_000)];

/// How a column is brought together with what the table has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    Key,
    /// The newer sample's.
    Newest,
    Sum,
    Min,
    Max,
}
use Merge::{Key, Max, Min, Newest, Sum};

/// Name, type of an element as it is sent, type it is turned into, and how it is merged.
type Column = (&'static str, &'static str, &'static str, Merge);

const COLUMNS: &[Column] = &[
    ("host", "text", "text", Key),
    ("container_id", "text", "text", Key),
    ("timestamp", "timestamptz", "timestamptz", Key),
    ("container_name", "text", "text", Newest),
    ("image", "text", "text", Newest),
    ("compose_project", "text", "text", Newest),
    ("compose_service", "text", "text", Newest),
    ("run", "timestamptz", "timestamptz", Max),
    ("labels", "text", "jsonb", Newest),
    ("newest", "timestamptz", "timestamptz", Max),
    ("samples", "bigint", "bigint", Sum),
    ("interval_ns", "text", "numeric", Sum),
    ("cpu_usage_delta_ns", "text", "numeric", Sum),
    ("cpu_throttled_delta_ns", "text", "numeric", Sum),
    ("network_rx_delta_bytes", "text", "numeric", Sum),
    ("network_tx_delta_bytes", "text", "numeric", Sum),
    ("block_read_delta_bytes", "text", "numeric", Sum),
    ("block_write_delta_bytes", "text", "numeric", Sum),
    ("cpu_throttled_interval_ns", "text", "numeric", Sum),
    ("network_rx_interval_ns", "text", "numeric", Sum),
    ("network_tx_interval_ns", "text", "numeric", Sum),
    ("block_read_interval_ns", "text", "numeric", Sum),
    ("block_write_interval_ns", "text", "numeric", Sum),
    ("cpu_usage_percent_min", "float8", "float8", Min),
    ("cpu_usage_percent_max", "float8", "float8", Max),
    ("cpu_usage_percent_sum", "float8", "float8", Sum),
    ("cpu_usage_percent_samples", "bigint", "bigint", Sum),
    ("memory_usage_percent_min", "float8", "float8", Min),
    ("memory_usage_percent_max", "float8", "float8", Max),
    ("memory_usage_percent_sum", "float8", "float8", Sum),
    ("memory_usage_percent_samples", "bigint", "bigint", Sum),
    ("memory_usage_bytes_min", "bigint", "bigint", Min),
    ("memory_usage_bytes_max", "bigint", "bigint", Max),
    ("memory_usage_bytes_sum", "text", "numeric", Sum),
    ("memory_usage_bytes_samples", "bigint", "bigint", Sum),
    ("pids_min", "bigint", "bigint", Min),
    ("pids_max", "bigint", "bigint", Max),
    ("pids_sum", "text", "numeric", Sum),
    ("pids_samples", "bigint", "bigint", Sum),
    ("memory_limit_bytes", "bigint", "bigint", Max),
    ("online_cpus", "bigint", "bigint", Max),
    ("pids_limit", "bigint", "bigint", Max),
];

/// The names of the columns of a rollup's table.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, ..)| *name)
}

/// The statement that adds buckets to `table`; a parameter is an array, with an element a bucket.
pub(super) fn upsert(table: &str) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    let names: Vec<String> = names().map(str::to_owned).collect();
    let arrays = COLUMNS.iter().zip(1..).map(|((_, sent, ..), number)| format!("${number}::{sent}[]")).collect();
    let taken = COLUMNS.iter().map(|(name, _, kind, _)| format!("given.{name}::{kind}")).collect();
    let sets = COLUMNS.iter().filter(|(.., merge)| *merge != Key).map(|(name, .., merge)| {
        let merged = match merge {
            Key => unreachable!("keys are left out"),
            Newest => format!("CASE WHEN excluded.newest >= there.newest THEN excluded.{name} ELSE there.{name} END"),
            Sum => format!("coalesce(there.{name} + excluded.{name}, there.{name}, excluded.{name})"),
            Min => format!("least(there.{name}, excluded.{name})"),
            Max => format!("greatest(there.{name}, excluded.{name})"),
        };
        format!("{name} = {merged}")
    });
    format!(
        "INSERT INTO {table} AS there ({names}) SELECT {} FROM unnest({}) AS given ({names})
         ON CONFLICT (container_id, host, timestamp) DO UPDATE SET {}",
        join(taken),
        join(arrays),
        join(sets.collect()),
        names = names.join(", "),
    )
}

/// The buckets of one resolution, in order of their keys: whoever else adds to the same ones locks them in that order.
#[derive(Default)]
pub(super) struct Buckets<'a>(BTreeMap<(&'a str, &'a str, i64), Bucket<'a>>);

/// What some samples of one container come to.
#[derive(Default)]
struct Bucket<'a> {
    meta: Option<&'a ContainerMeta>,
    newest: Option<Timestamp>,
    run: Option<Timestamp>,
    samples: i64,
    sums: [Option<i128>; 7],
    /// The time over which the sums behind the second are known.
    over: [Option<i128>; 5],
    percents: [Spread<f64>; 2],
    counts: [Spread<i64>; 2],
    highest: [Option<i64>; 3],
}

#[derive(Clone, Copy, Default)]
struct Spread<T> {
    min: Option<T>,
    max: Option<T>,
    float_sum: Option<f64>,
    sum: Option<i128>,
    samples: i64,
}

impl<'a> Buckets<'a> {
    /// Buckets of `length` nanoseconds, aligned to the epoch.
    pub(super) fn add(&mut self, row: &'a StatsRecord, length: i64) {
        let start = row.timestamp.as_nanos().div_euclid(length).saturating_mul(length);
        let key = (row.meta.container_id.as_str(), row.meta.host.as_str(), start);
        self.0.entry(key).or_default().add(row);
    }

    /// The parameters of [`upsert`].
    pub(super) fn arrays(&self) -> Vec<Box<dyn ToSql + Sync + Send>> {
        let mut arrays = Arrays(Vec::with_capacity(COLUMNS.len()));
        let known = || self.0.iter().filter_map(|(key, bucket)| Some((key, bucket, bucket.meta?)));
        let buckets = || known().map(|(_, bucket, _)| bucket);
        let text = |text: &str| Some(storable(text).into_owned());
        arrays.push(known().map(|((_, host, _), ..)| (*host).to_owned()));
        arrays.push(known().map(|((id, ..), ..)| (*id).to_owned()));
        arrays.push(known().map(|((.., start), ..)| system_time(Timestamp::from_nanos(*start))));
        arrays.push(known().map(|(.., meta)| text(&meta.container_name)));
        arrays.push(known().map(|(.., meta)| text(&meta.image)));
        arrays.push(known().map(|(.., meta)| meta.compose_project.as_deref().and_then(text)));
        arrays.push(known().map(|(.., meta)| meta.compose_service.as_deref().and_then(text)));
        arrays.push(buckets().map(|bucket| bucket.run.map(system_time)));
        arrays.push(
            known().map(|(.., meta)| storable_json(serde_json::to_string(&meta.labels).expect("texts are JSON"))),
        );
        arrays.push(buckets().map(|bucket| bucket.newest.map(system_time)));
        arrays.push(buckets().map(|bucket| bucket.samples));
        let decimal = |sum: Option<i128>| sum.map(|sum| sum.to_string());
        for index in 0..7 {
            arrays.push(buckets().map(move |bucket| decimal(bucket.sums[index])));
        }
        for index in 0..5 {
            arrays.push(buckets().map(move |bucket| decimal(bucket.over[index])));
        }
        for index in 0..2 {
            arrays.push(buckets().map(move |bucket| bucket.percents[index].min));
            arrays.push(buckets().map(move |bucket| bucket.percents[index].max));
            arrays.push(buckets().map(move |bucket| bucket.percents[index].float_sum));
            arrays.push(buckets().map(move |bucket| bucket.percents[index].samples));
        }
        for index in 0..2 {
            arrays.push(buckets().map(move |bucket| bucket.counts[index].min));
            arrays.push(buckets().map(move |bucket| bucket.counts[index].max));
            arrays.push(buckets().map(move |bucket| decimal(bucket.counts[index].sum)));
            arrays.push(buckets().map(move |bucket| bucket.counts[index].samples));
        }
        for index in 0..3 {
            arrays.push(buckets().map(move |bucket| bucket.highest[index]));
        }
        arrays.0
    }
}

struct Arrays(Vec<Box<dyn ToSql + Sync + Send>>);

impl Arrays {
    fn push<T: ToSql + Sync + Send + 'static>(&mut self, values: impl Iterator<Item = T>) {
        self.0.push(Box::new(values.collect::<Vec<T>>()));
    }
}

impl<'a> Bucket<'a> {
    fn add(&mut self, row: &'a StatsRecord) {
        let sample = &row.sample;
        self.samples += 1;
        if self.newest.is_none_or(|newest| row.timestamp >= newest) {
            (self.newest, self.meta) = (Some(row.timestamp), Some(row.meta.as_ref()));
        }
        self.run = self.run.max(row.meta.run);
        let interval = stored(sample.interval_ns);
        let deltas = deltas(sample);
        add(&mut self.sums[0], interval);
        for (sum, delta) in self.sums[1..].iter_mut().zip(deltas) {
            add(sum, delta);
        }
        for (over, delta) in self.over.iter_mut().zip(&deltas[1..]) {
            add(over, delta.and(interval));
        }
        for (spread, value) in self.percents.iter_mut().zip([sample.cpu_usage_percent, sample.memory_usage_percent]) {
            if let Some(value) = value {
                spread.float_sum = Some(spread.float_sum.map_or(value, |sum| sum + value));
                spread.add(value, f64::min, f64::max);
            }
        }
        for (spread, value) in self.counts.iter_mut().zip([stored(sample.memory_usage_bytes), stored(sample.pids)]) {
            if let Some(value) = value {
                add(&mut spread.sum, Some(value));
                spread.add(value, i64::min, i64::max);
            }
        }
        let limits = [stored(sample.memory_limit_bytes), sample.online_cpus.map(i64::from), stored(sample.pids_limit)];
        for (highest, limit) in self.highest.iter_mut().zip(limits) {
            *highest = (*highest).max(limit);
        }
    }
}

impl<T: Copy> Spread<T> {
    fn add(&mut self, value: T, lower: fn(T, T) -> T, higher: fn(T, T) -> T) {
        self.min = Some(self.min.map_or(value, |min| lower(min, value)));
        self.max = Some(self.max.map_or(value, |max| higher(max, value)));
        self.samples += 1;
    }
}

/// In the order of the sums behind the first.
fn deltas(sample: &Sample) -> [Option<i64>; 6] {
    [
        sample.cpu_usage_delta_ns,
        sample.cpu_throttled_delta_ns,
        sample.network_rx_delta_bytes,
        sample.network_tx_delta_bytes,
        sample.block_read_delta_bytes,
        sample.block_write_delta_bytes,
    ]
    .map(stored)
}

/// As it is in the table of the samples.
fn stored(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}

fn add(sum: &mut Option<i128>, value: Option<i64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0) + i128::from(value));
    }
}

/// Down to the microsecond, as PostgreSQL has it; never rounded up.
fn system_time(time: Timestamp) -> SystemTime {
    let micros = super::value::micros(time);
    let length = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { UNIX_EPOCH - length } else { UNIX_EPOCH + length }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{noon, stats, unknown_stats};

    #[test]
    fn a_column_has_an_array_and_the_unknown_is_no_zero() {
        let rows = [stats(1, noon()), unknown_stats(2, noon()), stats(1, noon() + Duration::from_nanos(1))];
        let mut buckets = Buckets::default();
        rows.iter().for_each(|row| buckets.add(row, 60_000_000_000));
        assert_eq!((buckets.0.len(), buckets.arrays().len()), (2, COLUMNS.len()));
        let [known, unknown] = [0, 1].map(|index| buckets.0.values().nth(index).unwrap());
        assert_eq!((known.samples, unknown.samples), (2, 1));
        assert_eq!(known.sums[0], rows[0].sample.interval_ns.map(|ns| 2 * i128::from(ns)));
        assert_eq!((unknown.sums, unknown.over), ([None; 7], [None; 5]));
        assert_eq!((unknown.percents[0].min, unknown.counts[0].sum, unknown.highest), (None, None, [None; 3]));
    }
}
